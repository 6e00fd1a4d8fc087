//! The power is cut while the server works: its spool lies on an ext4 image, of which a copy is made.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::kill::restart_and_compare;
use super::mount::Mount;
use crate::workshop::failure::ensure;
use crate::workshop::letter::letter;
use crate::workshop::programs::Programs;
use crate::workshop::sender::{Fate, Sender};
use crate::workshop::server::Server;
use crate::workshop::stored::Account;
use crate::workshop::tally::Tally;
use crate::workshop::{OrFail, Outcome};

/// Connections at a time when the server is busy.
const SENDERS: u64 = 8;

/// Letters that must have been acknowledged before a busy server is cut off.
const ENOUGH: usize = 60;

/// How long to wait for any one thing.
const PATIENCE: Duration = Duration::from_secs(60);

/// A quiet server, then busy ones.
pub(super) fn run(programs: &Programs, tally: &mut Tally, is_quick: bool) {
    tally.check("power cut right after the 250 of each of five letters", after_each_letter(programs));
    for round in 1..=if is_quick { 1 } else { 5 } {
        let result = while_busy(programs, round);
        tally.check(&format!("power cut under a busy server, round {round}"), result);
    }
}

fn after_each_letter(programs: &Programs) -> Outcome<String> {
    let disk = Mount::ext4_image()?;
    let server = Server::start(programs, &disk.at("spool"), &["--threads", "2"])?;
    let mut sender = Sender::open(server.address)?;
    let mut account = Account::default();
    for (number, octets) in [500, 3_000, 100_000, 700, 2_000_000].into_iter().enumerate() {
        let letter = letter(number as u64, octets);
        let id = sender.must_send(&letter)?;
        stop(&server)?;
        account.note(letter, Fate::Acknowledged(id));
        let left = disk.after_power_cut()?;
        restart_and_compare(programs, &left.at("spool"), &account)?;
        server.signal(Signal::SIGCONT)?;
    }
    sender.quit();
    server.stop()?;
    Ok(format!("{} of {} there, octet for octet", account.acknowledged(), account.acknowledged()))
}

fn while_busy(programs: &Programs, round: u64) -> Outcome<String> {
    let disk = Mount::ext4_image()?;
    let server = Server::start(programs, &disk.at("spool"), &[])?;
    let (is_over, acknowledged) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (left, account) = std::thread::scope(|scope| {
        let address = server.address;
        let flags = (&is_over, &acknowledged);
        let senders: Vec<_> = (0..SENDERS)
            .map(|number| scope.spawn(move || send_until_over(address, (round * 100 + number) * 100_000, flags)))
            .collect();
        let left = cut(&disk, &server, &acknowledged);
        // Whoever still waits for an answer hears from the kernel that there will be none.
        is_over.store(true, Ordering::Relaxed);
        server.kill();
        let mut account = Account::default();
        for sender in senders {
            account.merge(sender.join().ok().or_fail("a sender")??);
        }
        Ok((left?, account))
    })?;
    let unacknowledged = restart_and_compare(programs, &left.at("spool"), &account)?;
    let count = account.acknowledged();
    Ok(format!("{count} of {count} there, octet for octet, and {unacknowledged} whose 250 was under way"))
}

/// Waits until there is enough to lose, stops the server where it stands, and takes what is on the disk.
fn cut(disk: &Mount, server: &Server, acknowledged: &AtomicUsize) -> Outcome<Mount> {
    let deadline = Instant::now() + PATIENCE;
    while acknowledged.load(Ordering::Relaxed) < ENOUGH {
        ensure(Instant::now() < deadline, || "too few letters were acknowledged".to_owned())?;
        std::thread::sleep(Duration::from_millis(1));
    }
    stop(server)?;
    disk.after_power_cut()
}

fn send_until_over(
    address: std::net::SocketAddr,
    first: u64,
    (is_over, acknowledged): (&AtomicBool, &AtomicUsize),
) -> Outcome<Account> {
    let mut account = Account::default();
    let mut sender = Sender::open(address)?;
    for number in first..first + 10_000 {
        let letter = letter(number, 500 + (number % 7) as usize * 3_000);
        let fate = sender.send(&letter)?;
        let was_acknowledged = matches!(fate, Fate::Acknowledged(_));
        account.note(letter, fate);
        acknowledged.fetch_add(usize::from(was_acknowledged), Ordering::Relaxed);
        if !was_acknowledged || is_over.load(Ordering::Relaxed) {
            break;
        }
    }
    Ok(account)
}

/// Stops every thread, and waits until each stands still: one that is inside a sync stops only behind it.
fn stop(server: &Server) -> Outcome {
    server.signal(Signal::SIGSTOP)?;
    let deadline = Instant::now() + PATIENCE;
    while !stands_still(server.pid())? {
        ensure(Instant::now() < deadline, || "the server cannot be stopped".to_owned())?;
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn stands_still(pid: u32) -> Outcome<bool> {
    let tasks = format!("/proc/{pid}/task");
    for task in std::fs::read_dir(Path::new(&tasks)).or_fail("looking at threads")? {
        let stat = std::fs::read_to_string(task.or_fail("looking at threads")?.path().join("stat"));
        let stat = stat.or_fail("looking at a thread")?;
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        if state != Some('T') {
            return Ok(false);
        }
    }
    Ok(true)
}
