//! `cargo xtask load`: much mail, a large letter, many idle visitors, a full house, dead destinations. With figures.
//!
//! What is asserted is what must hold everywhere (nothing lost, memory bounded, a newcomer told); what is printed besides
//! are figures of this machine in this minute, which move by a factor of two between runs on a busy one.

mod black_holes;
mod tls;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::workshop::dialogue::Dialogue;
use crate::workshop::failure::ensure;
use crate::workshop::letter::letter;
use crate::workshop::machine::{file_system, processors, raise_descriptors};
use crate::workshop::programs::{Programs, has_run_optimised};
use crate::workshop::scratch::Scratch;
use crate::workshop::sender::{Fate, Sender};
use crate::workshop::server::Server;
use crate::workshop::stored::{self, Account};
use crate::workshop::tally::Tally;
use crate::workshop::{OrFail, Outcome};

/// Letters, and connections over which they go.
const LETTERS: u64 = 10_000;
const CONNECTIONS: u64 = 64;

/// Octets of a large letter.
const LARGE_OCTETS: usize = 50 << 20;

/// Memory that the server may have above what it has when it is idle, while a large letter passes.
const LARGE_KIB: u64 = 20 << 10;

/// Visitors who say EHLO and then nothing.
const IDLE: usize = 1_000;

/// One question: how it is called, and what it answers.
type Question = (&'static str, fn(&Programs) -> Outcome<String>);

const QUESTIONS: [Question; 6] = [
    ("10,000 letters of 1 KiB over 64 connections", many_letters),
    ("a letter of 50 MiB", large_letter),
    ("1,000 idle connections", idle_connections),
    ("what TLS costs", tls::compare),
    ("a full house", full_house),
    ("10,000 letters beside 200 black holes and a silent DNS server", |_| black_holes::compare()),
];

/// One line per question, of all or of those in whose name the words stand. The sending side lives in this program, so it
/// has to be optimised as well.
pub(crate) fn run(words: &[String]) -> Outcome {
    if has_run_optimised("load", words)? {
        return Ok(());
    }
    let programs = Programs::build_release()?;
    raise_descriptors();
    let mut tally = Tally::without_skips();
    let scratch = Scratch::new("load")?;
    println!("on {} processors, spool on {}", processors(), file_system(scratch.path()));
    drop(scratch);
    for (name, answer) in QUESTIONS {
        if words.iter().all(|word| name.contains(word.as_str())) {
            tally.check(name, answer(&programs));
        }
    }
    tally.finish()
}

fn many_letters(programs: &Programs) -> Outcome<String> {
    let scratch = Scratch::new("many")?;
    let spool = scratch.at("spool");
    let server = Server::start(programs, &spool, &[])?;
    let (address, began, ticks) = (server.address, Instant::now(), server.processor_ticks()?);
    let account = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..CONNECTIONS).map(|number| scope.spawn(move || send_share(address, number))).collect();
        senders.into_iter().try_fold(Account::default(), |mut account, sender| {
            account.merge(sender.join().ok().or_fail("a sender")??);
            Ok(account)
        })
    })?;
    let (seconds, ticks) = (began.elapsed().as_secs_f64(), server.processor_ticks()? - ticks);
    let peak_kib = server.memory()?.peak_kib;
    server.stop()?;
    let count = account.acknowledged() as u64;
    ensure(count == LETTERS, || format!("only {count} of {LETTERS} were acknowledged"))?;
    stored::check(programs, &spool)?;
    let found = stored::export(programs, &spool)?;
    ensure(found.len() as u64 == LETTERS, || format!("{} lie in the spool", found.len()))?;
    let different: BTreeSet<_> = found.values().collect();
    ensure(different.len() as u64 == LETTERS, || format!("only {} different ones", different.len()))?;
    account.compare(found)?;
    let rate = LETTERS as f64 / seconds;
    let milliseconds = ticks as f64 * 10.0 / LETTERS as f64;
    Ok(format!(
        "all there, none twice; {rate:.0} letters/s, {milliseconds:.2} ms of processor time each, at most {peak_kib} KiB"
    ))
}

/// Every connection sends its part of the letters, and stops at the first that is not taken.
fn send_share(address: SocketAddr, number: u64) -> Outcome<Account> {
    let mut account = Account::default();
    let mut sender = Sender::open(address)?;
    for number in (number..LETTERS).step_by(CONNECTIONS as usize) {
        let letter = letter(number, 1_024);
        let fate = sender.send(&letter)?;
        let was_acknowledged = matches!(fate, Fate::Acknowledged(_));
        ensure(was_acknowledged, || format!("letter {number}: {fate:?}"))?;
        account.note(letter, fate);
    }
    sender.quit();
    Ok(account)
}

fn large_letter(programs: &Programs) -> Outcome<String> {
    let scratch = Scratch::new("large")?;
    let spool = scratch.at("spool");
    let server = Server::start(programs, &spool, &[])?;
    // Whatever is allocated once is allocated now.
    let mut sender = Sender::open(server.address)?;
    sender.must_send(&letter(1, 1_024))?;
    let idle_kib = server.memory()?.resident_kib;
    let large = letter(2, LARGE_OCTETS);
    let mut account = Account::default();
    let began = Instant::now();
    let fate = sender.send(&large)?;
    let seconds = began.elapsed().as_secs_f64();
    account.note(large, fate);
    sender.quit();
    let above_kib = server.memory()?.peak_kib.saturating_sub(idle_kib);
    server.stop()?;
    let mut found = stored::export(programs, &spool)?;
    // The first one is known to be there.
    found.retain(|_, content| content.len() > LARGE_OCTETS / 2);
    ensure(account.acknowledged() == 1, || "it was not acknowledged".to_owned())?;
    account.compare(found)?;
    ensure(above_kib < LARGE_KIB, || format!("{above_kib} KiB above idle ({idle_kib} KiB); {LARGE_KIB} are allowed"))?;
    let rate = LARGE_OCTETS as f64 / seconds / 1e6;
    Ok(format!("octet for octet; at most {above_kib} KiB above idle ({idle_kib} KiB); {rate:.0} MB/s"))
}

/// A connection needs a thread, which is there already when it comes; so there are two figures.
fn idle_connections(programs: &Programs) -> Outcome<String> {
    let scratch = Scratch::new("idle")?;
    let alone = Server::start(programs, &scratch.at("alone"), &["--threads", "1"])?;
    let alone_kib = alone.memory()?.resident_kib;
    alone.stop()?;
    let server = Server::start(programs, &scratch.at("spool"), &["--threads", "1100"])?;
    let before_kib = server.memory()?.resident_kib;
    let visitors: Outcome<Vec<_>> = (0..IDLE).map(|_| Dialogue::greeted(server.address)).collect();
    let mut visitors = visitors?;
    let after_kib = server.memory()?.resident_kib;
    // They are all inside, the last one too.
    let last = visitors.last_mut().or_fail("there is no visitor")?;
    last.ask("NOOP", "250")?;
    drop(visitors);
    server.stop()?;
    let each = |more_kib: u64, less_kib: u64| more_kib.saturating_sub(less_kib) as f64 / IDLE as f64;
    let (connection, thread) = (each(after_kib, before_kib), each(before_kib, alone_kib) / 1.1);
    Ok(format!(
        "{connection:.1} KiB of resident memory each, and {thread:.1} KiB for its thread, which is there before \
         ({alone_kib} KiB with 1 thread, {before_kib} with 1,100, {after_kib} with 1,000 connections)"
    ))
}

/// Four threads, four visitors in the middle of a letter, a fifth at the door.
fn full_house(programs: &Programs) -> Outcome<String> {
    let scratch = Scratch::new("full")?;
    let server = Server::start(programs, &scratch.at("spool"), &["--threads", "4"])?;
    let mut visitors = Vec::new();
    for _ in 0..4 {
        let mut visitor = Dialogue::greeted(server.address)?;
        visitor.ask("MAIL FROM:<alice@example.org>", "250")?;
        visitor.ask("RCPT TO:<bob@localhost>", "250")?;
        visitor.ask("DATA", "354")?;
        visitor.write(b"Subject: not finished yet\r\n\r\n")?;
        visitors.push(visitor);
    }
    let began = Instant::now();
    let refused = Dialogue::open(server.address)?.expect("421 4.3.2")?;
    let milliseconds = began.elapsed().as_millis();
    for visitor in &mut visitors {
        visitor.write(b"Now it is.\r\n")?;
        visitor.ask(".", "250")?;
        visitor.ask("QUIT", "221")?;
    }
    drop(visitors);
    wait_for_room(server.address)?;
    server.stop()?;
    Ok(format!("a newcomer reads `{refused}` after {milliseconds} ms; the four inside finish, and there is room again"))
}

/// A thread is free a moment after its visitor has gone, so a newcomer may be told to come back a few times.
fn wait_for_room(address: SocketAddr) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut dialogue = Dialogue::open(address)?;
        match dialogue.expect("220") {
            Ok(_) => return dialogue.ask("QUIT", "221").map(drop),
            Err(failure) if Instant::now() >= deadline => return Err(failure),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}
