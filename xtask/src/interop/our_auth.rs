//! Logging in, both ways: their clients to our server, and our client to a Postfix that asks Dovecot who somebody is. Dovecot
//! reads the lines that `smtp-server hash-password` makes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use smtp_tests::certificates::{Authority, Files};

use super::clients::with_system_directories;
use super::servers::{Postfix, Receiver as _, Sasl, lacks_postfix, lacks_sasl};
use super::{SENDER, unless_installed};
use crate::workshop::failure::ensure;
use crate::workshop::process::{Finished, run, run_with_input};
use crate::workshop::programs::Programs;
use crate::workshop::scratch::Scratch;
use crate::workshop::server::Server;
use crate::workshop::tally::Tally;
use crate::workshop::{OrFail, Outcome};

/// How long one message may take.
const PATIENCE: Duration = Duration::from_secs(60);

const USER: &str = "ann";
const PASSWORD: &str = "correct horse";
const LETTER: &[u8] = b"Subject: hello\r\n\r\nIt is me.\r\n";

/// A client, and the mechanisms it is asked for.
type Client = (&'static str, &'static str, &'static [&'static str], fn(&Site, &str, &str) -> Command);

const CLIENTS: [Client; 4] = [
    ("swaks", "install swaks", &["PLAIN", "LOGIN"], swaks),
    ("curl", "install curl", &["PLAIN", "LOGIN"], curl),
    ("python3", "install python3", &["PLAIN", "LOGIN"], smtplib),
    ("msmtp", "install msmtp", &["PLAIN", "LOGIN", "SCRAM-SHA-256"], msmtp),
];

/// A server for submissions.
struct Site {
    server: Server,
    files: Files,
    users: PathBuf,
    letter: PathBuf,
}

impl Site {
    fn start(programs: &Programs, scratch: &Scratch) -> Outcome<Self> {
        let authority = Authority::new("SMTP test authority").or_fail("making an authority")?;
        let identity = authority.issue().or_fail("making a certificate")?;
        let files =
            Files::write(&scratch.at("certs of logins"), &authority, &identity).or_fail("writing certificates")?;
        let mut command = programs.server();
        command.args(["hash-password", "--scheme", "scram-sha-256", USER]);
        let line = run_with_input(&mut command, PASSWORD.as_bytes(), PATIENCE)?;
        ensure(line.status.success(), || format!("hash-password: {}", line.text()))?;
        let users = scratch.file("users of logins", line.stdout)?;
        let letter = scratch.file("letter of logins", LETTER)?;
        let shown = |path: &Path| path.display().to_string();
        let (certificate, key, list) = (shown(&files.certificate), shown(&files.key), shown(&users));
        let mut command = programs.server();
        command.args(["--listen-submission", "127.0.0.1:0", "--tls-cert", &certificate, "--tls-key", &key]);
        command.args(["--users", &list, "--domain", "example.org", "--spool"]).arg(scratch.at("spool of logins"));
        Ok(Site { server: Server::start_by(command)?, files, users, letter })
    }

    fn port(&self) -> String {
        self.server.address.port().to_string()
    }
}

/// Everybody with each mechanism, with the right password and a wrong one.
pub(super) fn run_all(programs: &Programs, scratch: &Scratch, tally: &mut Tally) -> Outcome {
    let site = Site::start(programs, scratch)?;
    for (name, remedy, mechanisms, client) in CLIENTS {
        if let Some(remedy) = unless_installed(name, remedy) {
            tally.skip(&format!("{name} logs in"), remedy);
            continue;
        }
        for mechanism in mechanisms {
            let result = theirs(name, |password| client(&site, mechanism, password));
            tally.check(&format!("{name} logs in to our server: {mechanism}"), result.map(|()| String::new()));
        }
    }
    match lacks_postfix().or_else(lacks_sasl) {
        Some(remedy) => tally.skip("our client logs in to Postfix with Dovecot", remedy),
        None => {
            let sasl = Sasl::start(scratch, &site.users)?;
            let (certificate, key) = (site.files.certificate.display(), site.files.key.display());
            let settings = format!(
                "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {certificate}\nsmtpd_tls_key_file = {key}\n\
                 smtpd_tls_auth_only = yes\nsmtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\n\
                 smtpd_sasl_path = inet:{}\nsmtpd_relay_restrictions = permit_sasl_authenticated, reject\n",
                sasl.address()
            );
            let mut postfix = Postfix::start_with(scratch, &settings)?;
            for mechanism in ["plain", "login", "scram-sha-256"] {
                let result = ours(programs, &site, &mut postfix, mechanism);
                tally.check(&format!("our client logs in to Postfix with Dovecot: {mechanism}"), result);
            }
        }
    }
    site.server.stop()
}

/// The right password, and then a wrong one, to which the client must not succeed.
fn theirs(name: &str, client: impl Fn(&str) -> Command) -> Outcome {
    let finished = run_with_input(&mut client(PASSWORD), LETTER, PATIENCE)?;
    ensure(finished.status.success(), || format!("{name}: {}: {}", finished.status, finished.text()))?;
    let wrong = run_with_input(&mut client("wrong"), LETTER, PATIENCE)?;
    ensure(!wrong.status.success(), || format!("{name} gets in with a wrong password: {}", wrong.text()))
}

fn ours(programs: &Programs, site: &Site, postfix: &mut Postfix, mechanism: &str) -> Outcome<String> {
    let address = postfix.address();
    let send = |password: &str| -> Outcome<Finished> {
        let mut command = programs.client();
        command.args(["send", "--retries", "0", "--transcript", "--server", &address.to_string(), "--ca-file"]);
        command.arg(&site.files.authority).args(["--user", USER, "--auth", mechanism]).env("SMTP_PASSWORD", password);
        command.args(["--from", SENDER, "--to", "bob@localhost"]).arg(&site.letter);
        run(&mut command, PATIENCE)
    };
    let finished = send(PASSWORD)?;
    ensure(finished.status.success(), || format!("{}: {}", finished.status, finished.text()))?;
    ensure(!finished.text().contains(PASSWORD), || "the transcript shows the password".to_owned())?;
    let wrong = send("wrong")?;
    ensure(wrong.status.code() == Some(77), || format!("a wrong password: {}: {}", wrong.status, wrong.text()))?;
    // Those who were let in, and nobody else.
    postfix.take(1)?;
    Ok(String::new())
}

fn swaks(site: &Site, mechanism: &str, password: &str) -> Command {
    let mut command = Command::new("swaks");
    command.args(["--hide-all", "--server", "127.0.0.1", "--port", &site.port(), "--tls", "--auth", mechanism]);
    command.args(["--auth-user", USER, "--auth-password", password, "--from", SENDER, "--to", "bob@example.org"]);
    command.args(["--helo", "client.example.org"]);
    command
}

fn curl(site: &Site, mechanism: &str, password: &str) -> Command {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--ssl-reqd", "--cacert"]).arg(&site.files.authority);
    command.args([
        "--url",
        &format!("smtp://localhost:{}", site.port()),
        "--login-options",
        &format!("AUTH={mechanism}"),
    ]);
    command.args(["--user", &format!("{USER}:{password}"), "--mail-from", SENDER, "--mail-rcpt", "bob@example.org"]);
    command.arg("--upload-file").arg(&site.letter);
    command
}

/// Port, authority, mechanism, user, password, sender.
const SMTPLIB: &str = "
import smtplib, ssl, sys
port, authority, mechanism, user, password, sender = sys.argv[1:7]
with smtplib.SMTP('localhost', int(port), 'client.example.org', timeout=50) as server:
    server.starttls(context=ssl.create_default_context(cafile=authority))
    server.ehlo()
    server.user, server.password = user, password
    way = server.auth_plain if mechanism == 'PLAIN' else server.auth_login
    server.auth(mechanism, way)
    server.sendmail(sender, ['bob@example.org'], sys.stdin.buffer.read())
";

fn smtplib(site: &Site, mechanism: &str, password: &str) -> Command {
    let mut command = Command::new("python3");
    command.args(["-c", SMTPLIB, &site.port()]).arg(&site.files.authority);
    command.args([mechanism, USER, password, SENDER]);
    command
}

fn msmtp(site: &Site, mechanism: &str, password: &str) -> Command {
    let mut command = Command::new("msmtp");
    command.args(["--host=localhost", &format!("--port={}", site.port()), "--tls=on", "--tls-starttls=on"]);
    command.arg(format!("--tls-trust-file={}", site.files.authority.display()));
    command.args([&format!("--auth={}", mechanism.to_lowercase()), &format!("--user={USER}")]);
    command.args([&format!("--passwordeval=echo '{password}'"), &format!("--from={SENDER}"), "bob@example.org"]);
    with_system_directories(command)
}
