//! The maildrop: who leaves a message there is killed, and so is the server while it takes them over. What was said to be on
//! disk is delivered once; what was not may be delivered, once and whole.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::delivery::{found, kill_and_restart, wait_until_done};
use super::strace::traced;
use crate::workshop::failure::ensure;
use crate::workshop::letter::letter;
use crate::workshop::process::{must_run, run as run_program};
use crate::workshop::programs::Programs;
use crate::workshop::scratch::Scratch;
use crate::workshop::server::Server;
use crate::workshop::tally::Tally;
use crate::workshop::{OrFail, Outcome};

/// Octets of a letter, the same that [`found`] expects.
const OCTETS: usize = 3_000;

/// Calls that a submitter makes on its way to disk.
const SUBMITTING: [&str; 9] =
    ["openat", "mkdirat", "flock", "write", "fsync", "fdatasync", "renameat", "renameat2", "unlinkat"];

/// No submitter makes more of one of these calls.
const MOST_CALLS: usize = 100;

/// Calls that the server makes when it takes a message over, and when it delivers it.
const ADOPTING: [&str; 5] = ["linkat", "unlinkat", "fsync", "fdatasync", "renameat2"];

/// How long a submitter, a server or a delivery may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Both sides of it.
pub(super) fn run(programs: &Programs, tally: &mut Tally, is_quick: bool) {
    tally.check("a submitter is killed at the maildrop", submitters(programs));
    let most = if is_quick { 1 } else { 3 };
    tally.check("the server is killed at the maildrop", owners(programs, most));
}

fn start(programs: &Programs, scratch: &Scratch) -> Outcome<Server> {
    let mail = format!("maildir:{}", scratch.at("mail").display());
    Server::start(programs, &scratch.at("spool"), &["--threads", "1", "--domain", "here.test", "--deliver", &mail])
}

/// The command that leaves a letter.
fn submitter(programs: &Programs, scratch: &Scratch, number: u64) -> Outcome<std::process::Command> {
    let file = scratch.at(&format!("letter-{number}"));
    std::fs::write(&file, letter(number, OCTETS)).or_fail("writing a letter")?;
    let mut command = programs.client();
    command.args(["queue", "--from", "alice@far.test", "--to", "bob@here.test", "--spool"]);
    command.arg(scratch.at("spool")).arg(file);
    Ok(command)
}

/// A server waits; submitters are killed before each call that they make, until one survives its call's name.
fn submitters(programs: &Programs) -> Outcome<String> {
    let scratch = Scratch::new("maildrop")?;
    let server = start(programs, &scratch)?;
    let (mut acknowledged, mut sent) = (Vec::new(), 0);
    for name in SUBMITTING {
        for number in 1..=MOST_CALLS {
            let command = submitter(programs, &scratch, sent)?;
            let expressions = [format!("trace={name}"), format!("inject={name}:signal=KILL:when={number}")];
            let mut command = traced(&command, &expressions.each_ref().map(String::as_str), &scratch.at("trace"));
            let survived = run_program(&mut command, PATIENCE)?.status.success();
            sent += 1;
            if survived {
                acknowledged.push(sent - 1);
                break;
            }
            ensure(number < MOST_CALLS, || format!("it is killed at {name}, however often it made that call"))?;
        }
    }
    wait_until_done(&scratch.at("spool"))?;
    server.stop()?;
    compare(&scratch, sent, &acknowledged)?;
    let kills = sent - u64::try_from(acknowledged.len()).unwrap_or(0);
    Ok(format!("{kills} kills before {}; every letter that was said to be on disk once", SUBMITTING.join(", ")))
}

/// A server is killed before one of its first calls of each name behind a submission, and the next one goes on.
fn owners(programs: &Programs, most: usize) -> Outcome<String> {
    let mut kills = 0;
    for name in ADOPTING {
        for number in 1..=most {
            kills += usize::from(owner(programs, name, number).or_fail(format_args!("before {name} {number}"))?);
        }
    }
    ensure(kills > 0, || "no server was killed".to_owned())?;
    Ok(format!("{kills} kills before {}; every letter once", ADOPTING.join(", ")))
}

/// Whether the kill took place.
fn owner(programs: &Programs, name: &str, number: usize) -> Outcome<bool> {
    let scratch = Scratch::new("maildrop-owner")?;
    let start = || start(programs, &scratch);
    let leave = |_: &Server| must_run(&mut submitter(programs, &scratch, 0)?);
    let (was_killed, _) = kill_and_restart(programs, &scratch, start, (name, number), leave)?;
    compare(&scratch, 1, &[0])?;
    Ok(was_killed)
}

fn compare(scratch: &Scratch, sent: u64, acknowledged: &[u64]) -> Outcome {
    let new = scratch.at("mail").join("bob").join("new");
    let found: BTreeMap<u64, usize> = found(Path::new(&new))?;
    for number in 0..sent {
        let copies = found.get(&number).copied().unwrap_or(0);
        let is_right = copies == 1 || copies == 0 && !acknowledged.contains(&number);
        ensure(is_right, || format!("letter {number} is in the mailbox {copies} times"))?;
    }
    Ok(())
}
