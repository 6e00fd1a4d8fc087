//! `cargo xtask demo relay`: two servers, and what a server does with a message that is not for itself.
//!
//! Alice's server, at a.example, hands what is for others to Bob's, at b.example. It waits for it, comes back, and tells
//! Alice what cannot be done. Both are the real program, as anybody would start it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{PATIENCE, show};
use crate::workshop::failure::ensure;
use crate::workshop::process::{self, must_run};
use crate::workshop::programs::Programs;
use crate::workshop::scratch::Scratch;
use crate::workshop::server::{Server, free_address};
use crate::workshop::stored::names;
use crate::workshop::{OrFail, Outcome};

const LETTER: &str = "From: Alice <alice@a.example>
To: Bob <bob@b.example>
Subject: Are you there?

Dear Bob,
this goes from my server to yours.
Alice
";

const ASTRAY: &str = "From: Alice <alice@a.example>
To: nobody@b.example
Subject: Is anybody there?

Hello?
";

/// What the scenes share.
struct Stage {
    programs: Programs,
    scratch: Scratch,
    /// Where Bob's server is to be found.
    bobs: SocketAddr,
}

/// Plays all scenes.
pub(super) fn run() -> Outcome {
    let programs = Programs::build()?;
    let stage = Stage { programs, scratch: Scratch::new("demo-relay")?, bobs: free_address()? };
    let alices = stage.nobody_is_at_the_other_end()?;
    let bobs = stage.it_comes_back(&alices)?;
    stage.a_report(&alices)?;
    stage.the_end(alices, bobs)
}

impl Stage {
    fn nobody_is_at_the_other_end(&self) -> Outcome<Server> {
        show::scene("The next server is down");
        show::say("Alice's server delivers mail for a.example into mailboxes, and gives the rest to one other server,");
        show::say("which it does for peers on this machine only: for everybody, it would be an open relay.");
        let route = format!("smart:{}", self.bobs);
        let alices = self.start("a", "127.0.0.1:0", &["--relay", &route, "--relay-from", "127.0.0.1/32"])?;
        show::output(&[format!("listening on {}", alices.address)]);
        show::say("Alice writes to Bob at b.example, whose server is not there. That is not her problem:");
        self.send(&alices, "bob@b.example", "letter.eml", LETTER)?;
        show::say("250: from here on her server answers for it. It tries at once, and is refused the connection:");
        let line = self.log_line(&alices, "status=deferred")?;
        show::output(&[line]);
        show::say(
            "A code that begins with 4 means: not now. The message stays on disk, with the time of its next try:",
        );
        let listed = self.list("a")?;
        ensure(listed.iter().any(|line| line.contains("bob@b.example")), || "the message does not wait".to_owned())?;
        show::output(&listed);
        Ok(alices)
    }

    fn it_comes_back(&self, alices: &Server) -> Outcome<Server> {
        show::scene("The next server is back");
        show::say("Bob's server starts. It knows nothing of Alice's, and has nothing to do but to wait.");
        let bobs = self.start("b", &self.bobs.to_string(), &[])?;
        show::output(&[format!("listening on {}", bobs.address)]);
        show::say("Tries come after 1, 5, 15 and 30 minutes, then every hour, for five days (RFC 5321, 4.5.4.1).");
        show::say("Whoever does not want to wait for the next one says so, and Alice's server calls again:");
        let said = self.spool_tool("a", &["retry-now", "--all"])?;
        show::output(&said);
        show::output(&[self.log_line(alices, "status=delivered")?]);
        show::say("And this lies in Bob's mailbox. Each server has signed on top, the last one first (RFC 5321, 4.4):");
        let letter = self.only_mail("b/mail/bob")?;
        let signed = letter.lines().filter(|line| line.starts_with("Received: ")).count();
        ensure(signed == 2 && letter.ends_with(LETTER), || format!("it is not what Alice wrote: {letter}"))?;
        show::output(&super::lines(&letter));
        Ok(bobs)
    }

    fn a_report(&self, alices: &Server) -> Outcome {
        show::scene("The recipient does not exist");
        show::say("Alice's server cannot know who has a mailbox at b.example, so it takes this one over as well:");
        self.send(alices, "nobody@b.example", "astray.eml", ASTRAY)?;
        show::say("Bob's server knows, and says so at RCPT. A code that begins with 5 means: never.");
        show::output(&[self.log_line(alices, "status=failed")?]);
        show::say(
            "Whoever has taken a message over delivers it or says that it could not (RFC 5321, 6.1). This is the",
        );
        show::say("first part of the report in Alice's mailbox; fields for programs and her message come behind it:");
        let report = self.only_mail("a/mail/alice")?;
        for wanted in ["Return-Path: <>\n", "\nAction: failed\nStatus: 5.1.1\n", "\nSubject: Is anybody there?\n"] {
            ensure(report.contains(wanted), || format!("{wanted:?} is not in the report: {report}"))?;
        }
        show::output(&first_part(&report)?);
        show::say("It comes from nobody, <>, so that nobody reports that a report could not be delivered.");
        Ok(())
    }

    fn the_end(&self, alices: Server, bobs: Server) -> Outcome {
        show::scene("Nothing is left to do");
        show::say("Both messages have come to an end, and so has each server's part of it:");
        for name in ["a", "b"] {
            let listed = self.list(name)?;
            ensure(listed.is_empty(), || format!("something is left: {}", listed.join("\n")))?;
            show::output(&listed);
        }
        alices.stop()?;
        bobs.stop()?;
        show::say("Both spools are empty, both servers have stopped, and the mailboxes are thrown away now.");
        Ok(())
    }

    /// A server of `NAME.example` with a spool, a list of mailboxes and Maildirs in a directory of that name.
    fn start(&self, name: &str, address: &str, options: &[&str]) -> Outcome<Server> {
        self.scratch.directory(name)?;
        let mailboxes = if name == "a" { "alice\npostmaster\n" } else { "bob\npostmaster\n" };
        let mailboxes = self.scratch.file(&format!("{name}/mailboxes"), mailboxes)?.display().to_string();
        let mail = format!("maildir:{}", self.scratch.at(&format!("{name}/mail")).display());
        let (domain, host) = (format!("{name}.example"), format!("mx.{name}.example"));
        let own = ["--listen", address, "--hostname", &host, "--domain", &domain, "--recipients", &mailboxes];
        let options = [&own[..], &["--deliver", &mail], options].concat();
        let command = Server::command(&self.programs, &self.scratch.at(&format!("{name}/spool")), &options);
        show::command_line(&command, &self.scratch);
        Server::start_by(command)
    }

    fn send(&self, server: &Server, to: &str, name: &str, letter: &str) -> Outcome {
        let file = self.scratch.file(name, letter)?;
        let mut command = self.programs.client();
        command.args(["send", "--server", &server.address.to_string(), "--from", "alice@a.example", "--to", to]);
        command.arg("--transcript").arg(file);
        show::command_line(&command, &self.scratch);
        let finished = process::run(&mut command, PATIENCE)?;
        ensure(finished.status.success(), || format!("the client: {}: {}", finished.status, finished.text()))?;
        show::part_of_dialogue(&finished.stderr, "C: MAIL", "C: QUIT");
        Ok(())
    }

    /// The next line that a server logs about what became of a recipient, without the time.
    fn log_line(&self, server: &Server, status: &str) -> Outcome<String> {
        let line = server.wait_for_line(PATIENCE, |line| line.contains(status).then(|| line.to_owned()))?;
        Ok(line.split_once(' ').map_or(line.clone(), |(_, rest)| rest.to_owned()))
    }

    fn list(&self, name: &str) -> Outcome<Vec<String>> {
        self.spool_tool(name, &["list"])
    }

    fn spool_tool(&self, name: &str, words: &[&str]) -> Outcome<Vec<String>> {
        let mut command = self.programs.spool(&self.scratch.at(&format!("{name}/spool")));
        command.args(words);
        show::command_line(&command, &self.scratch);
        let finished = must_run(&mut command)?;
        Ok(super::lines(&String::from_utf8_lossy(&finished.stdout)))
    }

    /// The one message in a mailbox, once it is there.
    fn only_mail(&self, mailbox: &str) -> Outcome<String> {
        let new = self.scratch.at(mailbox).join("new");
        let deadline = Instant::now() + PATIENCE;
        while !Path::new(&new).is_dir() || names(&new)?.is_empty() {
            ensure(Instant::now() < deadline, || format!("no mail arrives in {mailbox}"))?;
            std::thread::sleep(Duration::from_millis(20));
        }
        let names = names(&new)?;
        ensure(names.len() == 1, || format!("{} messages are in {mailbox}, not one", names.len()))?;
        let name = names.first().or_fail("the mailbox is empty")?;
        std::fs::read_to_string(new.join(name)).or_fail("reading a message")
    }
}

/// The header of a report and the words for people: what stands before the second boundary.
fn first_part(report: &str) -> Outcome<Vec<String>> {
    let boundaries: Vec<usize> = report.match_indices("\n--=").map(|(place, _)| place).collect();
    let end = boundaries.get(1).or_fail("the report has no parts")?;
    Ok(super::lines(report.get(..*end).unwrap_or_default()))
}
