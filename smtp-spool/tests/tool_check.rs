//! What `smtp-spool check` promises, and what comes of it.
//!
//! Alone in its program, as `tool_remove.rs` is and for its reason.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

mod support;

use std::process::Command;

use smtp_spool::{Due, Options, Spool};
use support::*;

/// What `check` says becomes of each bad message is what becomes of it: a start moves the torn one, the one with the wrong
/// checksum stays until it is removed, and can be removed.
#[test]
fn what_check_says_comes_true() {
    let parent = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(parent.path().join("spool"), Options::default()).unwrap();
    let new = parent.path().join("spool/new");
    for id in ["flipped", "torn"] {
        put(&spool, id, &octets(200_000), Due::Kept).unwrap();
    }
    drop(spool);
    let mut flipped = std::fs::read(new.join("flipped")).unwrap();
    flipped[20] ^= 1;
    std::fs::write(new.join("flipped"), flipped).unwrap();
    std::fs::File::options().write(true).open(new.join("torn")).unwrap().set_len(60).unwrap();
    std::fs::write(new.join("no id!"), b"").unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smtp-spool"));
        let output = command.args(arguments).current_dir(parent.path()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = run(&["check"]);
    assert_eq!(code, 65);
    for wanted in [
        "(smtp-spool remove flipped)",
        "start of the server moves it to corrupt",
        "no id!: it is not a message; left alone",
    ] {
        assert!(text.contains(wanted), "{wanted} in {text}");
    }
    drop(Spool::open(parent.path().join("spool"), Options::default()).unwrap());
    assert!(new.join("flipped").exists() && !new.join("torn").exists() && new.join("no id!").exists());
    assert!(parent.path().join("spool/corrupt/torn").exists());
    assert_eq!(run(&["remove", "flipped"]).0, 0);
    assert!(!new.join("flipped").exists());
}
