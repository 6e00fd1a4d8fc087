//! The server is killed while it delivers: into mailboxes, to another host that refuses, and with a report to the sender.
//!
//! A first run counts the calls that change something on disk, each by name, for the thread that makes it most often. Then,
//! for numbers up to that count, a new server on a new spool is killed just before that call. The next one, started on the
//! same spool, must finish the work: each letter that was acknowledged lies once in each mailbox, and its sender has one
//! report. What was not acknowledged may be there as well, once.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use smtp_spool::{Reader, listing};

use super::strace::{Tracer, counts};
use crate::workshop::dialogue::Dialogue;
use crate::workshop::failure::{ensure, fail};
use crate::workshop::letter::letter;
use crate::workshop::programs::Programs;
use crate::workshop::scratch::Scratch;
use crate::workshop::server::Server;
use crate::workshop::stored::{self, names};
use crate::workshop::tally::Tally;
use crate::workshop::{OrFail, Outcome};

/// The letters of the conversation.
const LETTERS: u64 = 3;

/// Calls that change something on disk.
const CHANGING: &str = "openat,mkdirat,write,fsync,fdatasync,linkat,renameat,renameat2,unlinkat";

/// Kills for each name of a call, spread over its numbers.
const KILLS: usize = 8;

/// How long a server may take to be gone, or to be done.
const PATIENCE: Duration = Duration::from_secs(30);

/// One line for each name of a call.
pub(super) fn run(programs: &Programs, tally: &mut Tally, is_quick: bool) -> Outcome {
    // The other host: it has a Carol, and nobody else.
    let scratch = Scratch::new("next-host")?;
    let recipients = scratch.file("recipients", "carol\n")?.display().to_string();
    let mail = format!("maildir:{}", scratch.at("mail").display());
    let options = ["--domain", "far.test", "--recipients", &recipients, "--deliver", &mail];
    let next = Server::start(programs, &scratch.at("spool"), &options)?;
    let route = format!("smart:{}", next.address);
    let kills = if is_quick { KILLS / 4 } else { KILLS };
    for (name, count) in calls(programs, &route)? {
        let mut killed = 0;
        let numbers: Vec<usize> = (1..=count).step_by(count.div_ceil(kills)).collect();
        let result = numbers.iter().try_for_each(|number| {
            killed +=
                usize::from(kill(programs, &route, &name, *number).or_fail(format_args!("before number {number}"))?);
            Ok(())
        });
        let words = || format!("{killed} kills; every letter once, and one report of it");
        tally.check(&format!("killed while it delivers, before {name}"), result.map(|()| words()));
    }
    next.stop()
}

fn start(programs: &Programs, scratch: &Scratch, route: &str) -> Outcome<Server> {
    let mail = format!("maildir:{}", scratch.at("mail").display());
    let options = ["--threads", "1", "--domain", "here.test", "--deliver", &mail];
    let relaying = ["--relay", route, "--relay-from", "127.0.0.1/32"];
    Server::start(programs, &scratch.at("spool"), &[&options[..], &relaying].concat())
}

fn calls(programs: &Programs, route: &str) -> Outcome<Vec<(String, usize)>> {
    let scratch = Scratch::new("count-deliveries")?;
    let server = start(programs, &scratch, route)?;
    let tracer = Tracer::attach(server.pid(), &[&format!("trace={CHANGING}")], &scratch.at("trace"))?;
    let acknowledged = converse(&server);
    ensure(acknowledged.len() == usize::try_from(LETTERS).unwrap_or(0), || "the counting run failed".to_owned())?;
    wait_until_done(&scratch.at("spool"))?;
    let counts = counts(&tracer.detach()?);
    server.stop()?;
    compare(&scratch, &acknowledged)?;
    Ok(counts)
}

/// Sends the letters until something breaks. Returns the numbers of those that were acknowledged.
fn converse(server: &Server) -> Vec<u64> {
    let Ok(mut dialogue) = Dialogue::greeted(server.address) else { return Vec::new() };
    (0..LETTERS).take_while(|number| send(&mut dialogue, *number).is_ok()).collect()
}

fn send(dialogue: &mut Dialogue, number: u64) -> Outcome {
    dialogue.ask("MAIL FROM:<alice@here.test>", "250")?;
    for recipient in ["bob@here.test", "carol@here.test", "nobody@far.test"] {
        dialogue.ask(&format!("RCPT TO:<{recipient}>"), "250")?;
    }
    dialogue.ask("DATA", "354")?;
    dialogue.write(&letter(number, 3_000))?;
    dialogue.ask(".", "250").map(drop)
}

/// Whether the kill took place.
fn kill(programs: &Programs, route: &str, name: &str, number: usize) -> Outcome<bool> {
    let scratch = Scratch::new("kill-delivery")?;
    let start = || start(programs, &scratch, route);
    let (was_killed, acknowledged) =
        kill_and_restart(programs, &scratch, start, (name, number), |server| Ok(converse(server)))?;
    compare(&scratch, &acknowledged)?;
    Ok(was_killed)
}

/// Kills a server before a call, by name and number, while it works on what `hand_over` gives it; then starts another one
/// on the same spool, which must finish the work. Whether the kill took place, and what `hand_over` returned.
pub(super) fn kill_and_restart<T>(
    programs: &Programs,
    scratch: &Scratch,
    start: impl Fn() -> Outcome<Server>,
    (name, number): (&str, usize),
    hand_over: impl FnOnce(&Server) -> Outcome<T>,
) -> Outcome<(bool, T)> {
    let spool = scratch.at("spool");
    let mut server = start()?;
    let expressions = [format!("trace={name}"), format!("inject={name}:signal=KILL:when={number}")];
    let tracer = Tracer::attach(server.pid(), &expressions.each_ref().map(String::as_str), &scratch.at("trace"))?;
    let handed_over = hand_over(&server)?;
    let deadline = Instant::now() + PATIENCE;
    let was_killed = loop {
        if server.wait_until_killed(Duration::from_millis(20)).is_ok() {
            break true;
        }
        if spooled(&spool)? == 0 {
            // Killed or not, all is done.
            break server.wait_until_killed(Duration::from_millis(100)).is_ok();
        }
        ensure(Instant::now() < deadline, || "it is neither killed nor done".to_owned())?;
    };
    tracer.detach()?;
    if !was_killed {
        server.stop()?;
    }
    let server = start()?;
    wait_until_done(&spool)?;
    server.stop()?;
    stored::check(programs, &spool)?;
    Ok((was_killed, handed_over))
}

fn spooled(spool: &Path) -> Outcome<usize> {
    let reader = Reader::open(spool).or_fail("opening the spool")?;
    Ok(reader.list().or_fail("listing the spool")?.count())
}

pub(super) fn wait_until_done(spool: &Path) -> Outcome {
    let deadline = Instant::now() + PATIENCE;
    while spooled(spool)? > 0 {
        if Instant::now() >= deadline {
            let reader = Reader::open(spool).or_fail("opening the spool")?;
            let mut text = Vec::new();
            let messages = reader.list().or_fail("listing the spool")?;
            listing::write(messages, reader.lifetime_seconds(), false, &mut text).or_fail("listing the spool")?;
            fail(format!("the spool does not become empty: {}", String::from_utf8_lossy(&text)))?;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Letters in both mailboxes, and reports in that of the sender.
fn compare(scratch: &Scratch, acknowledged: &[u64]) -> Outcome {
    for mailbox in ["bob", "carol", "alice"] {
        let found = found(&scratch.at("mail").join(mailbox).join("new"))?;
        for number in 0..LETTERS {
            let copies = found.get(&number).copied().unwrap_or(0);
            let is_right = copies == 1 || copies == 0 && !acknowledged.contains(&number);
            ensure(is_right, || format!("letter {number} is in the mailbox of {mailbox} {copies} times"))?;
        }
    }
    Ok(())
}

/// How often each letter, or a report of it, is in a mailbox.
pub(super) fn found(directory: &Path) -> Outcome<BTreeMap<u64, usize>> {
    let mut found = BTreeMap::new();
    if !directory.is_dir() {
        return Ok(found);
    }
    for name in names(directory)? {
        let text = std::fs::read_to_string(directory.join(name)).or_fail("reading a message")?;
        let number = text.lines().find_map(|line| line.strip_prefix("Subject: letter ")?.parse().ok());
        let is_whole = text.contains(&String::from_utf8_lossy(&letter(number.unwrap_or(0), 3_000)).replace('\r', ""));
        ensure(is_whole, || format!("there is something that nobody sent: {text}"))?;
        *found.entry(number.or_fail("a message without a number")?).or_default() += 1;
    }
    Ok(found)
}
