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

/// Call, which of them, error, what the client hears. A commit syncs its file first, its directory second.
const FAULTS: [(&str, &str, usize, &str, &str); 6] = [
    ("sync of the file", "fsync", 1, "EIO", "451"),
    ("sync of the directory", "fsync", 2, "EIO", "451"),
    ("sync of the file, disk full", "fsync", 1, "ENOSPC", "452"),
    ("rename", "renameat2", 1, "EIO", "451"),
    ("making the file", "openat", 1, "EIO", "451"),
    ("making the file, no descriptor left", "openat", 1, "EMFILE", "45"),
];

/// One line per fault.
pub(super) fn run(programs: &Programs, tally: &mut Tally) {
    for (name, call, number, error, expected) in FAULTS {
        let result = fail_once(programs, call, number, error, expected);
        tally.check(&format!("{error} at {name}"), result);
    }
}

fn fail_once(programs: &Programs, call: &str, number: usize, error: &str, expected: &str) -> Outcome<String> {
    let scratch = Scratch::new("fault")?;
    let spool = scratch.at("spool");
    let server = Server::start(programs, &spool, &["--threads", "1"])?;
    let expressions = [format!("trace={call}"), format!("inject={call}:error={error}:when={number}")];
    let tracer = Tracer::attach(server.pid(), &expressions.each_ref().map(String::as_str), &scratch.at("trace"))?;
    let mut dialogue = Dialogue::greeted(server.address)?;
    let refused = dialogue.send(&letter(1, 1_000), expected)?;
    // The session goes on, and the next letter is taken.
    let (second, mut account) = (letter(2, 1_000), Account::default());
    let accepted = dialogue.send(&second, "250")?;
    account.note(second, Fate::Acknowledged(queue_id(&accepted)));
    let calls = tracer.detach()?;
    server.kill();
    let is_injected = |result: &str| result.contains("(INJECTED)");
    let hit = calls.iter().filter(|call| is_injected(&call.result)).count();
    ensure(hit == 1, || format!("the fault took place {hit} times, not once"))?;
    // A kernel that could not write says "ok" to the next sync of the same file, so there must be none.
    let failed = calls.iter().find(|call| is_injected(&call.result)).map(|call| call.path().to_owned());
    let syncs = calls.iter().filter(|call| call.name == "fsync" && failed.as_deref() == Some(call.path())).count();
    let is_file_sync = call == "fsync" && failed.as_deref().is_some_and(|path| path.contains("/spool/tmp/"));
    ensure(!is_file_sync || syncs == 1, || format!("the same file was synced {syncs} times"))?;
    let unexpected = restart_and_compare(programs, &spool, &account)?;
    ensure(unexpected == 0, || "the refused letter is there".to_owned())?;
    Ok(format!("`{refused}`, the next letter taken, the refused one gone for good"))
}
