//! The server is killed before every single system call of a conversation, and of its start.
//!
//! A first run counts: each call by name, for the thread that makes it most often. Then, for each name and each number up
//! to that count, a new server on a new spool is killed just before that call. After it the next server is started on the
//! same spool, and what it finds is compared with what was acknowledged.

use std::path::Path;
use std::time::Duration;

use super::strace::{Tracer, counts, parse, traced};
use crate::workshop::failure::ensure;
use crate::workshop::letter::letter;
use crate::workshop::programs::Programs;
use crate::workshop::scratch::Scratch;
use crate::workshop::sender::{Fate, Sender};
use crate::workshop::server::Server;
use crate::workshop::stored::{self, Account};
use crate::workshop::tally::Tally;
use crate::workshop::{OrFail, Outcome};

/// The letters of the conversation: in one write, in several, and one more.
const SIZES: [usize; 3] = [900, 200_000, 1_500];

/// How long a killed server may take to be gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// Calls that commit a message. Each of their numbers must be reached by the sweep.
const COMMITTING: [&str; 6] = ["writev", "pwrite64", "fdatasync", "fsync", "renameat2", "openat"];

/// Calls by which a start changes or reads the spool. The many others of a start belong to the loader.
const AT_START: &str =
    "openat,mkdirat,renameat,renameat2,linkat,unlinkat,fsync,fdatasync,write,getdents64,flock,pread64";

/// Both sweeps.
pub(super) fn run(programs: &Programs, tally: &mut Tally, is_quick: bool) -> Outcome {
    let step = if is_quick { 2 } else { 1 };
    for (name, count) in conversation_calls(programs)? {
        let result = sweep(&name, count, step, |number| kill_in_conversation(programs, &name, number));
        tally.check(&format!("killed in a conversation, before {name}"), result);
    }
    let left = Leftovers::make(programs)?;
    for (name, count) in start_calls(programs, &left)? {
        let result = sweep(&name, count, step, |number| kill_at_start(programs, &left, &name, number));
        tally.check(&format!("killed at its start, before {name}"), result);
    }
    Ok(())
}

/// What one kill found: whether the call was reached, and how many letters were there without having been acknowledged.
struct Survived {
    was_killed: bool,
    unacknowledged: usize,
}

fn sweep(name: &str, count: usize, step: usize, mut kill: impl FnMut(usize) -> Outcome<Survived>) -> Outcome<String> {
    let (mut kills, mut runs, mut unacknowledged) = (0, 0, 0);
    for number in (1..=count).step_by(step) {
        let survived = kill(number).or_fail(format_args!("before {name} number {number}"))?;
        runs += 1;
        kills += usize::from(survived.was_killed);
        unacknowledged += survived.unacknowledged;
    }
    // How often a socket is read depends on how the octets arrive; how often a file is synced does not.
    let is_certain = COMMITTING.contains(&name);
    ensure(!is_certain || kills == runs, || format!("only {kills} of {runs} kills took place"))?;
    Ok(format!("{kills} kills of {count} calls; {unacknowledged} times a letter was stored whose 250 was not sent"))
}

fn conversation_calls(programs: &Programs) -> Outcome<Vec<(String, usize)>> {
    let scratch = Scratch::new("count")?;
    let server = Server::start(programs, &scratch.at("spool"), &["--threads", "1"])?;
    let tracer = Tracer::attach(server.pid(), &["trace=all"], &scratch.at("trace"))?;
    let account = converse(&server);
    ensure(account.acknowledged() == SIZES.len(), || "the counting run did not go well".to_owned())?;
    let counts = counts(&tracer.detach()?);
    server.stop()?;
    Ok(counts.into_iter().filter(|(name, _)| name != "restart_syscall").collect())
}

/// Sends the letters until something breaks.
fn converse(server: &Server) -> Account {
    let mut account = Account::default();
    let Ok(mut sender) = Sender::open(server.address) else { return account };
    for (place, octets) in SIZES.iter().enumerate() {
        let letter = letter(place as u64, *octets);
        // An error of our own would show as a letter that is missing.
        let Ok(fate) = sender.send(&letter) else { return account };
        let was_acknowledged = matches!(fate, Fate::Acknowledged(_));
        account.note(letter, fate);
        if !was_acknowledged {
            return account;
        }
    }
    sender.quit();
    account
}

fn kill_in_conversation(programs: &Programs, name: &str, number: usize) -> Outcome<Survived> {
    let scratch = Scratch::new("kill")?;
    let spool = scratch.at("spool");
    let mut server = Server::start(programs, &spool, &["--threads", "1"])?;
    let expressions = [format!("trace={name}"), format!("inject={name}:signal=KILL:when={number}")];
    let tracer = Tracer::attach(server.pid(), &expressions.each_ref().map(String::as_str), &scratch.at("trace"))?;
    let account = converse(&server);
    let was_killed =
        account.acknowledged() < SIZES.len() || server.wait_until_killed(Duration::from_millis(200)).is_ok();
    if was_killed {
        server.wait_until_killed(PATIENCE)?;
        tracer.detach()?;
    } else {
        tracer.detach()?;
        server.stop()?;
    }
    let unacknowledged = restart_and_compare(programs, &spool, &account)?;
    Ok(Survived { was_killed, unacknowledged })
}

/// Starts a server on what is left, compares, and sees that it takes mail.
pub(super) fn restart_and_compare(programs: &Programs, spool: &Path, account: &Account) -> Outcome<usize> {
    let server = Server::start(programs, spool, &["--threads", "1"])?;
    stored::check(programs, spool)?;
    let unacknowledged = account.compare(stored::export(programs, spool)?)?;
    let mut sender = Sender::open(server.address)?;
    sender.must_send(&letter(999, 600))?;
    sender.quit();
    server.stop()?;
    Ok(unacknowledged)
}

/// A spool as a kill leaves it: one letter that was acknowledged, one that was not, half of it on disk.
struct Leftovers {
    scratch: Scratch,
    account: Account,
}

impl Leftovers {
    fn make(programs: &Programs) -> Outcome<Self> {
        let scratch = Scratch::new("leftovers")?;
        let mut server = Server::start(programs, &scratch.at("spool"), &["--threads", "1"])?;
        let expressions = ["trace=renameat2", "inject=renameat2:signal=KILL:when=1"];
        let tracer = Tracer::attach(server.pid(), &expressions, &scratch.at("trace"))?;
        let account = converse(&server);
        server.wait_until_killed(PATIENCE)?;
        tracer.detach()?;
        let unfinished = stored::names(&scratch.at("spool/tmp"))?;
        ensure(account.acknowledged() == 1 && !unfinished.is_empty(), || {
            "the kill left no unfinished file".to_owned()
        })?;
        Ok(Leftovers { scratch, account })
    }

    /// A copy that a server may spoil.
    fn copy(&self, to: &Path) -> Outcome {
        let mut command = std::process::Command::new("cp");
        crate::workshop::process::must_run(command.arg("-a").arg(self.scratch.at("spool")).arg(to)).map(drop)
    }
}

fn start_calls(programs: &Programs, left: &Leftovers) -> Outcome<Vec<(String, usize)>> {
    let scratch = Scratch::new("count-start")?;
    let spool = scratch.at("spool");
    left.copy(&spool)?;
    let command = Server::command(programs, &spool, &["--threads", "1"]);
    let server = Server::start_by(traced(&command, &[&format!("trace={AT_START}")], &scratch.at("trace")))?;
    // It listens, so all that matters is in the trace up to the line that says so.
    server.kill();
    let trace = wait_for_end(&scratch.at("trace"))?;
    let start: Vec<_> = trace.lines().take_while(|line| !line.contains("listening on")).collect();
    Ok(counts(&parse(&start.join("\n"))))
}

/// strace writes its last line when the process is gone.
fn wait_for_end(trace: &Path) -> Outcome<String> {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(trace).or_fail("reading the trace")?;
        if text.lines().last().is_some_and(|line| line.contains("+++ killed by")) {
            return Ok(text);
        }
        ensure(std::time::Instant::now() < deadline, || "strace did not end".to_owned())?;
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn kill_at_start(programs: &Programs, left: &Leftovers, name: &str, number: usize) -> Outcome<Survived> {
    let scratch = Scratch::new("kill-start")?;
    let spool = scratch.at("spool");
    left.copy(&spool)?;
    let command = Server::command(programs, &spool, &["--threads", "1"]);
    let expressions = [format!("trace={name}"), format!("inject={name}:signal=KILL:when={number}")];
    let command = traced(&command, &expressions.each_ref().map(String::as_str), Path::new("/dev/null"));
    // Killed on its way, or ready before it comes to that call, and then killed all the same.
    let was_killed = match Server::start_by(command) {
        Ok(server) => {
            server.kill();
            false
        }
        Err(_) => true,
    };
    let unacknowledged = restart_and_compare(programs, &spool, &left.account)?;
    Ok(Survived { was_killed, unacknowledged })
}
