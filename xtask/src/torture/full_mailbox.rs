//! The disk with the mailboxes is full: what was acknowledged waits in the spool, nothing half lies in a mailbox, and it goes
//! on when there is room.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use smtp_spool::{Reader, Status};

use super::delivery::{found, wait_until_done};
use super::mount::Mount;
use crate::workshop::dialogue::Dialogue;
use crate::workshop::failure::ensure;
use crate::workshop::letter::letter;
use crate::workshop::process::must_run;
use crate::workshop::programs::Programs;
use crate::workshop::scratch::Scratch;
use crate::workshop::server::Server;
use crate::workshop::stored::names;
use crate::workshop::{OrFail, Outcome};

/// How long the first try may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// One letter, tried with no room and then with some.
pub(super) fn run(programs: &Programs) -> Outcome<String> {
    let disk = Mount::tmpfs("size=1m")?;
    let scratch = Scratch::new("full-mailbox")?;
    let (spool, mail, ballast) = (scratch.at("spool"), disk.at("mail"), disk.at("ballast"));
    let deliver = format!("maildir:{}", mail.display());
    let server = Server::start(programs, &spool, &["--domain", "here.test", "--deliver", &deliver])?;
    // It holds less than that: what does not fit is the point.
    let filled = fs::write(&ballast, vec![b'x'; 2 << 20]);
    ensure(filled.is_err(), || "the disk cannot be filled".to_owned())?;

    let mut dialogue = Dialogue::greeted(server.address)?;
    dialogue.ask("MAIL FROM:<alice@far.test>", "250")?;
    dialogue.ask("RCPT TO:<bob@here.test>", "250")?;
    dialogue.ask("DATA", "354")?;
    dialogue.write(&letter(1, 3_000))?;
    dialogue.ask(".", "250")?;
    dialogue.ask("QUIT", "221")?;
    let why = wait_until_put_off(&spool)?;
    let mailbox = mail.join("bob");
    for folder in ["new", "cur", "tmp"].map(|name| mailbox.join(name)) {
        let left = if folder.is_dir() { names(&folder)?.len() } else { 0 };
        ensure(left == 0, || format!("{left} files are left in {}", folder.display()))?;
    }

    fs::remove_file(&ballast).or_fail("removing ballast")?;
    must_run(programs.spool(&spool).args(["retry-now", "--all"]))?;
    wait_until_done(&spool)?;
    server.stop()?;
    let copies = found(&mailbox.join("new"))?.get(&1).copied().unwrap_or(0);
    ensure(copies == 1, || format!("the letter is there {copies} times"))?;
    Ok(format!("`{why}`, and delivered once there was room"))
}

/// Waits for the first try, and returns what came of it.
fn wait_until_put_off(spool: &Path) -> Outcome<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reader = Reader::open(spool).or_fail("opening the spool")?;
        let listed = reader.list().or_fail("listing the spool")?;
        let recipients = listed.filter_map(|(_, summary)| summary.ok()).flat_map(|summary| summary.recipients);
        if let Some(recipient) = recipients.filter(|recipient| recipient.attempts > 0).last() {
            ensure(matches!(recipient.status, Status::Due(_)), || format!("it is not put off: {}", recipient.remark))?;
            return Ok(recipient.remark);
        }
        ensure(Instant::now() < deadline, || "it is not tried".to_owned())?;
        std::thread::sleep(Duration::from_millis(10));
    }
}
