//! Clients that others wrote, and how each is told to send a message.

mod exim;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::shapes::Shape;
use super::{Content, SENDER, unless_installed};
use crate::workshop::letter::with_lf;
use crate::workshop::process::{self, run_with_input};
use crate::workshop::scratch::Scratch;
use crate::workshop::{Outcome, failure::ensure};

/// How long one message may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client.
pub(super) struct Client {
    /// What it is called.
    pub(super) name: &'static str,
    /// How to get what it lacks here.
    pub(super) lacks: fn() -> Option<&'static str>,
    /// Whether it can send several messages over one connection.
    pub(super) keeps_connection: bool,
    /// What it puts behind every message on its own account.
    pub(super) appends: &'static [u8],
    /// Sends a message to its recipients.
    pub(super) send: fn(SocketAddr, &Shape, &Scratch) -> Outcome,
}

/// All of them.
pub(super) const CLIENTS: [Client; 7] = [
    Client {
        name: "swaks",
        lacks: || unless_installed("swaks", "install swaks"),
        keeps_connection: false,
        appends: b"",
        send: swaks,
    },
    Client {
        name: "curl",
        lacks: || unless_installed("curl", "install curl"),
        keeps_connection: true,
        appends: b"",
        send: curl,
    },
    Client {
        name: "python3",
        lacks: || unless_installed("python3", "install python3"),
        keeps_connection: true,
        appends: b"",
        send: smtplib,
    },
    Client {
        name: "msmtp",
        lacks: || unless_installed("msmtp", "install msmtp"),
        keeps_connection: false,
        appends: b"",
        send: msmtp,
    },
    Client {
        name: "smtp-source",
        lacks: || unless_installed("smtp-source", "install postfix"),
        keeps_connection: true,
        appends: b"\r\n",
        send: smtp_source,
    },
    Client {
        name: "Exim",
        lacks: super::exim::lacks,
        keeps_connection: true,
        appends: b"",
        send: |server, shape, _scratch| exim::send(server, shape, Content::Data),
    },
    Client {
        name: "Exim by BDAT",
        lacks: super::exim::lacks,
        keeps_connection: true,
        appends: b"",
        send: |server, shape, _scratch| exim::send(server, shape, Content::Bdat),
    },
];

/// The recipients, named as smtp-source names them: `bob@localhost`, `2bob@localhost` and so on.
pub(super) fn recipients(shape: &Shape) -> Vec<String> {
    let others = (2..=shape.recipients).map(|number| format!("{number}bob@localhost"));
    std::iter::once("bob@localhost".to_owned()).chain(others).collect()
}

fn swaks(server: SocketAddr, shape: &Shape, scratch: &Scratch) -> Outcome {
    // It puts a line end of its own behind what it is given, and an empty line behind the header section, whatever is
    // there; so a message without a body is handed over as it is to travel.
    let content = shape.octets.strip_suffix(b"\r\n").unwrap_or(&shape.octets);
    let is_empty = content.ends_with(b"\r\n");
    let content = if is_empty { [content, b"\r\n."].concat() } else { content.to_vec() };
    let file = scratch.file("swaks.eml", content)?;
    let mut command = Command::new("swaks");
    command.args(["--hide-all", "--helo", "client.example.org", "--from", SENDER]);
    command.args(["--to", &recipients(shape).join(","), "--server", &server.ip().to_string()]);
    command.args(["--port", &server.port().to_string(), "--data", &format!("@{}", file.display())]);
    if is_empty {
        command.arg("--no-data-fixup");
    }
    must_succeed(&mut command)
}

fn curl(server: SocketAddr, shape: &Shape, scratch: &Scratch) -> Outcome {
    let file = scratch.file("curl.eml", &shape.octets)?;
    let mut command = Command::new("curl");
    for copy in 0..shape.copies {
        if copy > 0 {
            command.arg("--next");
        }
        command.args(["--silent", "--show-error", "--url", &format!("smtp://{server}/client.example.org")]);
        command.args(["--mail-from", SENDER]).arg("--upload-file").arg(&file);
        for recipient in recipients(shape) {
            command.args(["--mail-rcpt", &recipient]);
        }
    }
    must_succeed(&mut command)
}

/// Host, port, copies, options of MAIL, sender, file; then the recipients.
const SMTPLIB: &str = "
import smtplib, sys
host, port, copies, options, sender, file = sys.argv[1:7]
content = open(file, 'rb').read()
with smtplib.SMTP(host, int(port), 'client.example.org', timeout=50) as server:
    for _ in range(int(copies)):
        refused = server.sendmail(sender, sys.argv[7:], content, mail_options=options.split())
        assert not refused, refused
";

fn smtplib(server: SocketAddr, shape: &Shape, scratch: &Scratch) -> Outcome {
    let file = scratch.file("smtplib.eml", &shape.octets)?;
    let options = if shape.is_eight_bit() { "BODY=8BITMIME" } else { "" };
    let mut command = Command::new("python3");
    command.args(["-c", SMTPLIB, &server.ip().to_string(), &server.port().to_string(), &shape.copies.to_string()]);
    command.args([options, SENDER]).arg(&file).args(recipients(shape));
    must_succeed(&mut command)
}

fn msmtp(server: SocketAddr, shape: &Shape, _scratch: &Scratch) -> Outcome {
    let mut command = Command::new("msmtp");
    // With a host on the command line it reads no configuration.
    command.args([&format!("--host={}", server.ip()), &format!("--port={}", server.port())]);
    command.args(["--domain=client.example.org", "--tls=off", "--auth=off", &format!("--from={SENDER}"), "--"]);
    // It is made to stand in for sendmail: the message comes as files have it, and goes out with CRLF.
    must_succeed_with_input(command.args(recipients(shape)), &with_lf(&shape.octets))
}

fn smtp_source(server: SocketAddr, shape: &Shape, scratch: &Scratch) -> Outcome {
    // It makes CRLF of each LF.
    let file = scratch.file("smtp-source.eml", with_lf(&shape.octets))?;
    let mut command = Command::new("smtp-source");
    command.args(["-s", "1", "-d", "-m", &shape.copies.to_string(), "-M", "client.example.org", "-f", SENDER]);
    command.args(["-t", "bob@localhost", "-r", &shape.recipients.to_string()]).arg("-F").arg(&file);
    command.arg(format!("inet:{server}"));
    must_succeed(&mut with_system_directories(command))
}

/// Postfix's tools lie where only root's search path leads.
pub(super) fn with_system_directories(mut command: Command) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain([Path::new("/usr/sbin").to_owned()]);
    if let Ok(path) = std::env::join_paths(places) {
        command.env("PATH", path);
    }
    command
}

fn must_succeed(command: &mut Command) -> Outcome {
    must_succeed_with_input(command, b"")
}

fn must_succeed_with_input(command: &mut Command, input: &[u8]) -> Outcome {
    let finished = run_with_input(command, input, PATIENCE)?;
    let words = || format!("{}: {}: {}", process::shown(command), finished.status, finished.text());
    ensure(finished.status.success(), || words().chars().take(600).collect())
}
