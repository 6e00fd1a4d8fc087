//! A disk that fails once: the call says so, the client hears 4yz, and the letter never turns up.

use super::kill::restart_and_compare;
use super::strace::Tracer;
use crate::workshop::Outcome;
use crate::workshop::dialogue::Dialogue;
use crate::workshop::failure::ensure;
use crate::workshop::letter::letter;
use crate::workshop::programs::Programs;
use crate::workshop::scratch::Scratch;
use crate::workshop::sender::{Fate, queue_id};
use crate::workshop::server::Server;
use crate::workshop::stored::Account;
use crate::workshop::tally::Tally;

/// Octets of a letter that is committed to the journal, and of one that has a file of its own.
const SMALL: usize = 1_000;
const LARGE: usize = 300_000;

/// Directories are synced by fsync.
const SYNC_OF_FILES: &str = "fdatasync";

/// Where, octets of the letter, call, which of them, error, what the client hears. The first letter in the journal makes a file for it,
/// whose name is synced first; a letter in a file of its own syncs its file first, its directory second.
const FAULTS: [(&str, usize, &str, usize, &str, &str); 10] = [
    ("making the journal, no descriptor left", SMALL, "openat", 2, "EMFILE", "45"),
    ("sync of the directory of the journal", SMALL, "fsync", 1, "EIO", "451"),
    ("writing the journal, disk full", SMALL, "writev", 1, "ENOSPC", "452"),
    ("sync of the journal", SMALL, "fdatasync", 1, "EIO", "451"),
    ("sync of the journal, disk full", SMALL, "fdatasync", 1, "ENOSPC", "452"),
    ("sync of the file", LARGE, "fdatasync", 1, "EIO", "451"),
    ("sync of the directory", LARGE, "fsync", 1, "EIO", "451"),
    ("sync of the file, disk full", LARGE, "fdatasync", 1, "ENOSPC", "452"),
    ("rename", LARGE, "renameat2", 1, "EIO", "451"),
    ("making the file", LARGE, "openat", 1, "EIO", "451"),
];

/// One line per fault.
pub(super) fn run(programs: &Programs, tally: &mut Tally) {
    for (name, octets, call, number, error, expected) in FAULTS {
        let result = fail_once(programs, octets, (call, number, error), expected);
        tally.check(&format!("{error} at {name}"), result);
    }
}

fn fail_once(
    programs: &Programs,
    octets: usize,
    (call, number, error): (&str, usize, &str),
    expected: &str,
) -> Outcome<String> {
    let scratch = Scratch::new("fault")?;
    let spool = scratch.at("spool");
    let server = Server::start(programs, &spool, &["--threads", "1"])?;
    let expressions = [format!("trace={call}"), format!("inject={call}:error={error}:when={number}")];
    let tracer = Tracer::attach(server.pid(), &expressions.each_ref().map(String::as_str), &scratch.at("trace"))?;
    let mut dialogue = Dialogue::greeted(server.address)?;
    let refused = dialogue.send(&letter(1, octets), expected)?;
    // The session goes on, and the next letter is taken.
    let (second, mut account) = (letter(2, octets), Account::default());
    let accepted = dialogue.send(&second, "250")?;
    account.note(second, Fate::Acknowledged(queue_id(&accepted)));
    let calls = tracer.detach()?;
    server.kill();
    let is_injected = |result: &str| result.contains("(INJECTED)");
    let hit = calls.iter().filter(|call| is_injected(&call.result)).count();
    ensure(hit == 1, || format!("the fault took place {hit} times, not once"))?;
    // A kernel that could not write says "ok" to the next sync of the same file, so there must be none.
    let failed = calls.iter().find(|call| is_injected(&call.result)).map(|call| call.path().to_owned());
    let is_of_failed = |path: &str| failed.as_deref() == Some(path);
    let syncs = calls.iter().filter(|call| call.name == SYNC_OF_FILES && is_of_failed(call.path())).count();
    ensure(call != SYNC_OF_FILES || syncs == 1, || format!("the same file was synced {syncs} times"))?;
    let unexpected = restart_and_compare(programs, &spool, &account)?;
    ensure(unexpected == 0, || "the refused letter is there".to_owned())?;
    Ok(format!("`{refused}`, the next letter taken, the refused one gone for good"))
}
