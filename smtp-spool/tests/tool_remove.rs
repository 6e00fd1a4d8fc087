//! `smtp-spool remove` beside an owner who takes no requests, and without one.
//!
//! Alone in its program: a child process that another test starts would hold copies of all descriptors, the owner's lock
//! among them, for the moment between its birth and its first instruction.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

mod support;

use std::process::Command;

use smtp_spool::{Due, Options, Spool};
use support::*;

#[test]
fn without_somebody_to_ask_remove_needs_the_spool_for_itself() {
    let parent = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(parent.path().join("spool"), Options::default()).unwrap();
    put(&spool, "m", b"text\r\n", Due::Kept).unwrap();
    let remove = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smtp-spool"));
        let output = command.args(["remove", "m"]).current_dir(parent.path()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, error) = remove();
    assert_eq!(code, 75);
    assert!(error.contains("in use by another process") && error.contains("try again"), "{error}");
    drop(spool);
    assert_eq!(remove(), (0, String::new()));
    assert_eq!(remove().0, 66);
    assert!(!parent.path().join("spool/new/m").exists());
}
