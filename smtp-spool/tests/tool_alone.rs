//! The `smtp-spool` program where nobody owns the spool: it becomes the owner for the moment. Also beside what a killed owner
//! left.
//!
//! Alone in its program, as `tool_remove.rs` is and for its reason.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

mod support;

use std::os::unix::net::UnixListener;
use std::process::Command;

use smtp_spool::{Due, MessageState, Options, Reader, Report, Spool, Status};
use support::*;

#[test]
fn without_an_owner_the_tool_is_the_owner() {
    const FUTURE: i64 = 5_000_000_000;
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("spool");
    let (spool, _) = Spool::open(&path, Options::default()).unwrap();
    for name in ["m", "n"] {
        put(&spool, name, b"text\r\n", Due::At(FUTURE)).unwrap();
    }
    drop(spool);
    let reader = Reader::open(&path).unwrap();
    let run = |line: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smtp-spool"));
        let output = command.args(line.split(' ')).current_dir(parent.path()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    // With no socket, and with the one that a killed owner has left.
    for hold in ["held: 2 recipients\n", "held: 0 recipients\n"] {
        assert_eq!(run("hold m"), (0, hold.to_owned()));
        let _ = std::fs::remove_file(path.join("control"));
        drop(UnixListener::bind(path.join("control")).unwrap());
    }
    assert_eq!(reader.summary(&id("m")).unwrap().state(), MessageState::Held);
    assert!(run("stats").1.ends_with("owner       nobody answers\n"));
    // What is in memory only would be gone with the tool.
    assert_eq!(run("retry-now --all"), (0, "due now: 1 message\n".to_owned()));
    assert!(matches!(reader.summary(&id("n")).unwrap().recipients[0].status, Status::Due(at) if at < FUTURE));
    // The report is for the next server to make.
    assert_eq!(run("remove --report m"), (0, "given up: 2 recipients\n".to_owned()));
    assert_eq!(reader.summary(&id("m")).unwrap().recipients[0].report, Report::Owed);
    assert_eq!((run("hold z").0, run("remove z").0), (66, 66));
}
