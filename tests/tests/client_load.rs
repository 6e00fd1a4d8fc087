//! `smtp-client load`: as many messages as were asked for, and a count of what went wrong.

#![allow(clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::process::Output;

use smtp_tests::client::{answers, check_complaint, code, run_with_input};
use smtp_tests::scripted_server::{ReservedPort, Said, Script, ScriptedServer, polite};
use smtp_tests::server::TestServer;

fn load(server: &str, arguments: &[&str]) -> Output {
    run_with_input(&[&["load", "--server", server], arguments].concat(), b"")
}

#[test]
fn every_message_arrives_and_is_as_large_as_asked() {
    let server = TestServer::builder().recipients("bob").start();
    for (arguments, messages) in [
        (&["--messages", "20"][..], 20),
        (&["--messages", "30", "--connections", "3", "--per-connection", "4", "--pipeline", "--chunking"], 30),
    ] {
        let before = server.stored().len();
        let arguments = [arguments, &["--size", "777", "--to", "bob@example.org"]].concat();
        let output = load(&server.address.to_string(), &arguments);
        assert_eq!(code(&output), 0, "{output:?}");
        assert!(answers(&output).starts_with(&format!("{messages} messages of 777 octets over ")), "{output:?}");
        assert!(answers(&output).contains("\nfailures  none\n"), "{output:?}");
        let stored = server.stored();
        assert_eq!(stored.len() - before, messages);
        assert!(stored.iter().all(|stored| stored.content.len() == 777));
    }
}

/// Without --pipeline it goes in lock-step, and a connection takes as many messages as it is told.
#[test]
fn in_lock_step_over_fresh_connections() {
    let scripts = (0..3).map(|_| Script::serve(polite));
    let server = ScriptedServer::start(scripts);
    assert_eq!(code(&load(&server.name(), &["--messages", "6", "--per-connection", "2"])), 0);
    let sessions = server.finish();
    assert!(sessions.len() == 3 && sessions.iter().all(|session| session.contents.len() == 2), "{sessions:?}");
}

#[test]
fn failures_are_counted_by_their_codes() {
    let mut count = 0;
    let server = ScriptedServer::start([Script::serve(move |said| match said {
        Said::Content(_) => {
            count += 1;
            ["250 queued", "451 later", "552 never", "451 later"][count - 1].into()
        }
        said => polite(said),
    })]);
    let output = load(&server.name(), &["--messages", "4", "--json"]);
    assert_eq!(code(&output), 75, "{output:?}");
    let text = answers(&output);
    assert!(text.starts_with(r#"{"accepted":1,"octets":1024,"#), "{text}");
    let end = r#""reasons":{"451":"end of content: 451 later","552":"end of content: 552 never"},"failures":{"451":2,"552":1}}"#;
    assert!(text.ends_with(&format!("{end}\n")), "{text}");
    server.finish_one();
}

/// A mistyped name must not put load on a stranger.
#[test]
fn only_this_host_unless_told_otherwise() {
    // An address of nobody (RFC 5737), to which nothing is sent.
    let output = load("192.0.2.1:25", &[]);
    assert_eq!(code(&output), 64, "{output:?}");
    check_complaint(&output, &["192.0.2.1:25", "--anywhere", "nothing was sent"]);
    for (arguments, wanted) in [
        (&["--size", "10"][..], "--size 10: a message with a header section has at least"),
        // It was made in memory.
        (&["--size", "100000000000"], "--size \"100000000000\": not a number up to 1073741824"),
        (&["--connections", "0"], "--connections \"0\": not a number from 1 to 1000"),
        (&["--per-connection", "0"], "--per-connection \"0\": not a number from 1"),
        (&["--messages", "x"], "--messages \"x\": not a number"),
    ] {
        let output = load("127.0.0.1:1", arguments);
        assert_eq!(code(&output), 64, "{arguments:?}");
        check_complaint(&output, &[wanted]);
    }
}

/// It ended with 0 though the time was over long before the last message.
#[test]
fn messages_for_which_there_was_no_time() {
    let server = TestServer::start();
    let output =
        load(&server.address.to_string(), &["--messages", "1000000000", "--timeout", "1", "--to", "b@example.org"]);
    assert_eq!(code(&output), 75, "{output:?}");
    assert!(answers(&output).contains(" x not begun (the time given with --timeout is over)"), "{output:?}");
    assert!(!server.stored().is_empty());
}

/// A time beyond the clock was taken for one that is over.
#[test]
fn a_timeout_without_end() {
    let server = ScriptedServer::start([Script::serve(polite)]);
    let output = load(&server.name(), &["--messages", "2", "--timeout", &u64::MAX.to_string()]);
    assert_eq!(code(&output), 0, "{output:?}");
    assert_eq!(server.finish_one().contents.len(), 2);
}

/// "2 x no connection" told nobody why.
#[test]
fn failures_have_reasons() {
    let nobody = ReservedPort::new();
    let output = load(&nobody.name(), &["--messages", "2"]);
    assert_eq!(code(&output), 75, "{output:?}");
    let wanted = format!("\nfailures  2 x no connection ({}: no connection: ", nobody.name());
    assert!(answers(&output).contains(&wanted), "{output:?}");
}
