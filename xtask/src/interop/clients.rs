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

/// How a conversation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// And stays as it is.
    Clear,
    StartTls,
    /// TLS from the first octet.
    TlsFirst,
}

impl Way {
    pub(super) fn name(self) -> &'static str {
        match self {
            Way::Clear => "in clear",
            Way::StartTls => "by STARTTLS",
            Way::TlsFirst => "TLS first",
        }
    }
}

/// Our server, as a client is told to find it.
pub(super) struct Target<'a> {
    pub(super) address: SocketAddr,
    pub(super) way: Way,
    /// Whom to trust, a file. Of no use in clear.
    pub(super) authority: &'a Path,
}

/// A client.
pub(super) struct Client {
    /// What it is called.
    pub(super) name: &'static str,
    /// How to get what it lacks here.
    pub(super) lacks: fn() -> Option<&'static str>,
    /// How to get what it lacks here for TLS. `None`: it knows no TLS, or is not asked for it.
    pub(super) lacks_for_tls: Option<fn() -> Option<&'static str>>,
    /// Whether it can send several messages over one connection.
    pub(super) keeps_connection: bool,
    /// What it puts behind every message on its own account.
    pub(super) appends: &'static [u8],
    /// Sends a message to its recipients.
    pub(super) send: fn(&Target<'_>, &Shape, &Scratch) -> Outcome,
}

/// All of them.
pub(super) const CLIENTS: [Client; 7] = [
    Client {
        name: "swaks",
        lacks: || unless_installed("swaks", "install swaks"),
        lacks_for_tls: Some(lacks_perl_tls),
        keeps_connection: false,
        appends: b"",
        send: swaks,
    },
    Client {
        name: "curl",
        lacks: || unless_installed("curl", "install curl"),
        lacks_for_tls: Some(|| None),
        keeps_connection: true,
        appends: b"",
        send: curl,
    },
    Client {
        name: "python3",
        lacks: || unless_installed("python3", "install python3"),
        lacks_for_tls: Some(|| None),
        keeps_connection: true,
        appends: b"",
        send: smtplib,
    },
    Client {
        name: "msmtp",
        lacks: || unless_installed("msmtp", "install msmtp"),
        lacks_for_tls: Some(|| None),
        keeps_connection: false,
        appends: b"",
        send: msmtp,
    },
    Client {
        name: "smtp-source",
        lacks: || unless_installed("smtp-source", "install postfix"),
        lacks_for_tls: None,
        keeps_connection: true,
        appends: b"\r\n",
        send: smtp_source,
    },
    Client {
        name: "Exim",
        lacks: super::exim::lacks,
        lacks_for_tls: None,
        keeps_connection: true,
        appends: b"",
        send: |target, shape, _scratch| exim::send(target.address, shape, Content::Data),
    },
    Client {
        name: "Exim by BDAT",
        lacks: super::exim::lacks,
        lacks_for_tls: None,
        keeps_connection: true,
        appends: b"",
        send: |target, shape, _scratch| exim::send(target.address, shape, Content::Bdat),
    },
];

/// The recipients, named as smtp-source names them: `bob@localhost`, `2bob@localhost` and so on.
pub(super) fn recipients(shape: &Shape) -> Vec<String> {
    let others = (2..=shape.recipients).map(|number| format!("{number}bob@localhost"));
    std::iter::once("bob@localhost".to_owned()).chain(others).collect()
}

fn lacks_perl_tls() -> Option<&'static str> {
    let has_it = process::run(Command::new("perl").args(["-MNet::SSLeay", "-e1"]), PATIENCE);
    let is_there = has_it.is_ok_and(|finished| finished.status.success());
    (!is_there).then_some("install libnet-ssleay-perl")
}

fn swaks(target: &Target<'_>, shape: &Shape, scratch: &Scratch) -> Outcome {
    // It puts a line end of its own behind what it is given, and an empty line behind the header section, whatever is
    // there; so a message without a body is handed over as it is to travel.
    let content = shape.octets.strip_suffix(b"\r\n").unwrap_or(&shape.octets);
    let is_empty = content.ends_with(b"\r\n");
    let content = if is_empty { [content, b"\r\n."].concat() } else { content.to_vec() };
    let file = scratch.file("swaks.eml", content)?;
    let server = target.address;
    let mut command = Command::new("swaks");
    command.args(["--hide-all", "--helo", "client.example.org", "--from", SENDER]);
    command.args(["--to", &recipients(shape).join(","), "--server", &server.ip().to_string()]);
    command.args(["--port", &server.port().to_string(), "--data", &format!("@{}", file.display())]);
    if is_empty {
        command.arg("--no-data-fixup");
    }
    if target.way != Way::Clear {
        let way = if target.way == Way::TlsFirst { "--tls-on-connect" } else { "--tls" };
        command.args([way, "--tls-verify", "--tls-ca-path"]).arg(target.authority);
    }
    must_succeed(&mut command)
}

fn curl(target: &Target<'_>, shape: &Shape, scratch: &Scratch) -> Outcome {
    let file = scratch.file("curl.eml", &shape.octets)?;
    let (server, scheme) = (target.address, if target.way == Way::TlsFirst { "smtps" } else { "smtp" });
    let mut command = Command::new("curl");
    for copy in 0..shape.copies {
        if copy > 0 {
            command.arg("--next");
        }
        command.args(["--silent", "--show-error", "--url", &format!("{scheme}://{server}/client.example.org")]);
        if target.way != Way::Clear {
            command.args(["--ssl-reqd", "--cacert"]).arg(target.authority);
        }
        command.args(["--mail-from", SENDER]).arg("--upload-file").arg(&file);
        for recipient in recipients(shape) {
            command.args(["--mail-rcpt", &recipient]);
        }
    }
    must_succeed(&mut command)
}

/// Host, port, way, authority, copies, options of MAIL, sender, file; then the recipients.
const SMTPLIB: &str = "
import smtplib, ssl, sys
host, port, way, authority, copies, options, sender, file = sys.argv[1:9]
content = open(file, 'rb').read()
trust = {} if way == 'Clear' else {'context': ssl.create_default_context(cafile=authority)}
first = way == 'TlsFirst'
connect, early = (smtplib.SMTP_SSL, trust) if first else (smtplib.SMTP, {})
with connect(host, int(port), 'client.example.org', timeout=50, **early) as server:
    if way == 'StartTls':
        server.starttls(**trust)
    for _ in range(int(copies)):
        refused = server.sendmail(sender, sys.argv[9:], content, mail_options=options.split())
        assert not refused, refused
";

fn smtplib(target: &Target<'_>, shape: &Shape, scratch: &Scratch) -> Outcome {
    let file = scratch.file("smtplib.eml", &shape.octets)?;
    let options = if shape.is_eight_bit() { "BODY=8BITMIME" } else { "" };
    let mut command = Command::new("python3");
    let (ip, port) = (target.address.ip().to_string(), target.address.port().to_string());
    command.args(["-c", SMTPLIB, &ip, &port, &format!("{:?}", target.way)]).arg(target.authority);
    command.args([&shape.copies.to_string(), options, SENDER]).arg(&file).args(recipients(shape));
    must_succeed(&mut command)
}

fn msmtp(target: &Target<'_>, shape: &Shape, _scratch: &Scratch) -> Outcome {
    let mut command = Command::new("msmtp");
    // With a host on the command line it reads no configuration.
    command.args([&format!("--host={}", target.address.ip()), &format!("--port={}", target.address.port())]);
    let tls: &[&str] = match target.way {
        Way::Clear => &["--tls=off"],
        Way::StartTls => &["--tls=on", "--tls-starttls=on"],
        Way::TlsFirst => &["--tls=on", "--tls-starttls=off"],
    };
    command.args(tls);
    if target.way != Way::Clear {
        command.arg(format!("--tls-trust-file={}", target.authority.display()));
    }
    command.args(["--domain=client.example.org", "--auth=off", &format!("--from={SENDER}"), "--"]);
    // It is made to stand in for sendmail: the message comes as files have it, and goes out with CRLF.
    must_succeed_with_input(command.args(recipients(shape)), &with_lf(&shape.octets))
}

fn smtp_source(target: &Target<'_>, shape: &Shape, scratch: &Scratch) -> Outcome {
    // It makes CRLF of each LF.
    let file = scratch.file("smtp-source.eml", with_lf(&shape.octets))?;
    let mut command = Command::new("smtp-source");
    command.args(["-s", "1", "-d", "-m", &shape.copies.to_string(), "-M", "client.example.org", "-f", SENDER]);
    command.args(["-t", "bob@localhost", "-r", &shape.recipients.to_string()]).arg("-F").arg(&file);
    command.arg(format!("inet:{}", target.address));
    must_succeed(&mut with_system_directories(command))
}

/// Postfix's tools lie where only root's search path leads.
pub(crate) fn with_system_directories(mut command: Command) -> Command {
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
