//! Our server takes mail for mailboxes that a Dovecot has, and brings it there by LMTP: what lies in them is what our client
//! was given, and POP3 gives it out.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use super::our_client::every_shape;
use super::servers::{Dovecot, Receiver, lacks_dovecot};
use super::{Content, SENDER, unless_installed};
use crate::workshop::failure::ensure;
use crate::workshop::letter::without_trace;
use crate::workshop::process::must_run;
use crate::workshop::programs::Programs;
use crate::workshop::scratch::Scratch;
use crate::workshop::server::Server;
use crate::workshop::tally::Tally;
use crate::workshop::{OrFail, Outcome};

/// How long a message may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// Both ways to call a Dovecot, and out of it again.
pub(super) fn run(programs: &Programs, tally: &mut Tally) -> Outcome {
    if let Some(remedy) = lacks_dovecot() {
        tally.skip("our server and Dovecot by LMTP", remedy);
        return Ok(());
    }
    for (name, is_unix) in [("LMTP", false), ("LMTP over a Unix socket", true)] {
        let scratch = Scratch::new("to-dovecot")?;
        let mut receiver = ToDovecot::start(programs, &scratch, is_unix)?;
        let name = format!("our server, and on to Dovecot by {name}");
        every_shape(&name, &mut receiver, Content::Data, programs, &scratch, tally);
    }
    match unless_installed("curl", "install curl") {
        Some(remedy) => tally.skip("our server, Dovecot, and out by POP3", remedy),
        None => tally.check("our server, Dovecot, and out by POP3", by_pop3(programs)),
    }
    Ok(())
}

/// Our server, whose mailboxes are at a Dovecot.
struct ToDovecot {
    server: Server,
    dovecot: Dovecot,
}

impl ToDovecot {
    fn start(programs: &Programs, scratch: &Scratch, is_unix: bool) -> Outcome<Self> {
        let dovecot = Dovecot::start()?;
        let dovecot = if is_unix { dovecot.over_unix_socket() } else { dovecot };
        let [_, name] = dovecot.option();
        let options = ["--hostname", "mail.here.test", "--domain", "localhost", "--deliver", &format!("lmtp:{name}")];
        let server = Server::start(programs, &scratch.at("spool"), &options)?;
        Ok(ToDovecot { server, dovecot })
    }
}

impl Receiver for ToDovecot {
    fn address(&self) -> SocketAddr {
        self.server.address
    }

    fn files(&self, recipients: usize) -> usize {
        self.dovecot.files(recipients)
    }

    /// Below what Dovecot put on top is our field.
    fn take(&mut self, count: usize) -> Outcome<Vec<Vec<u8>>> {
        let strip = |octets: &Vec<u8>| without_trace(octets).map(<[u8]>::to_vec).or_fail("there is no field of ours");
        self.dovecot.take(count)?.iter().map(strip).collect()
    }
}

/// Once through everything: client, server, LMTP, mailbox, POP3.
fn by_pop3(programs: &Programs) -> Outcome<String> {
    let scratch = Scratch::new("to-reader")?;
    let ToDovecot { server, dovecot } = ToDovecot::start(programs, &scratch, false)?;
    fs::create_dir(dovecot.maildirs_of_reader()).or_fail("making a directory for Dovecot")?;
    dovecot.hand_over()?;
    let file = scratch.file("letter.eml", "Subject: hello\n\n.\n.. and the end\n")?;
    let mut command: Command = programs.client();
    command.args(["send", "--retries", "0", "--server", &server.address.to_string()]);
    must_run(command.args(["--from", SENDER, "--to", "reader@localhost"]).arg(file))?;
    let deadline = Instant::now() + PATIENCE;
    while !must_run(programs.spool(&scratch.at("spool")).arg("list"))?.stdout.is_empty() {
        ensure(Instant::now() < deadline, || "the message is still in the spool".to_owned())?;
        std::thread::sleep(Duration::from_millis(10));
    }
    let found = String::from_utf8_lossy(&dovecot.retrieve(1)?.stdout).into_owned();
    let has_path = found.starts_with(&format!("Return-Path: <{SENDER}>\r\n"));
    let is_letter = found.ends_with("\r\nSubject: hello\r\n\r\n.\r\n.. and the end\r\n");
    ensure(has_path && is_letter, || format!("POP3 gives out {found:?}"))?;
    server.stop().map(|()| "it is the letter that was sent".to_owned())
}
