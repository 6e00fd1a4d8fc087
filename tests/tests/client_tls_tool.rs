//! The client tool under TLS: options, exit codes, and what it shows. Row X065.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::sync::Arc;

use rustls::ServerConfig;
use smtp_tests::certificates::{Authority, Identity};
use smtp_tests::client::{answers, check_complaint, code, command, errors, run, send, write_file};
use smtp_tests::scripted_server::{Script, ScriptedServer, polite, server_config};
use tempfile::TempDir;

const LETTER: &[u8] = b"From: a@example.com\nTo: b@x\nSubject: hello\n\nIt is me.\n";

fn secured(config: &Arc<ServerConfig>) -> Script {
    Script::greeted(&["SIZE", "STARTTLS"]).expect("STARTTLS").say("220 go ahead").tls(config).converse(polite)
}

fn plain() -> Script {
    Script::greeted(&["SIZE"]).converse(polite)
}

/// An authority in a file.
fn authority() -> (Authority, TempDir, String) {
    let authority = Authority::new("ours").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem").to_str().unwrap().to_owned();
    std::fs::write(&path, authority.certificate_pem()).unwrap();
    (authority, directory, path)
}

#[test]
fn what_is_shown() {
    let (authority, _directory, ca_file) = authority();
    let config = server_config(&authority.issue().unwrap());
    let server = ScriptedServer::start((0..4).map(|_| secured(&config)));
    let sent = send(&server.name(), &["--ca-file", &ca_file, "--transcript", "--json"], LETTER);
    assert_eq!(code(&sent), 0, "{sent:?}");
    assert!(errors(&sent).contains("S: 220 go ahead\nC: <TLS 1.3, TLS_"), "{sent:?}");
    assert!(errors(&sent).contains(", verified>\nC: EHLO "), "{sent:?}");
    assert!(answers(&sent).contains(r#""tls":{"version":"TLS 1.3","cipher":"TLS_"#), "{sent:?}");
    assert!(answers(&sent).contains(r#","verified":true,"problem":null}"#), "{sent:?}");
    // Opportunistic: not verified, and taken.
    let sent = send(&server.name(), &["--json"], LETTER);
    assert_eq!(code(&sent), 0, "{sent:?}");
    let problem = r#","verified":false,"problem":"nobody who is trusted has issued its certificate"}"#;
    assert!(answers(&sent).contains(problem), "{sent:?}");
    let probed = run(&["probe", &server.name()]);
    assert!(answers(&probed).contains("s: 220 go ahead\nTLS in "), "{probed:?}");
    assert!(answers(&probed).contains(", not verified: nobody who is trusted"), "{probed:?}");
    let probed = run(&["probe", "--json", &server.name()]);
    assert!(answers(&probed).contains(problem), "{probed:?}");
    server.finish();
}

/// At once, since a certificate stays as it is; and nothing was said in clear.
#[test]
fn what_is_required_and_not_to_be_had() {
    let untrusted = server_config(&Identity::self_signed().unwrap());
    let pin = "00".repeat(32);
    for (script, options, words) in [
        (plain(), &["--tls", "require"][..], "TLS is required, and the server does not offer STARTTLS"),
        (secured(&untrusted), &["--tls", "require"], "its certificate is self-signed"),
        (secured(&untrusted), &["--tls-pin", &pin], "pinned is 0000"),
    ] {
        let server = ScriptedServer::start([script]);
        let sent = send(&server.name(), options, LETTER);
        assert_eq!(code(&sent), 76, "{sent:?}");
        check_complaint(&sent, &[words, "nothing was sent"]);
        let commands = server.finish_one().commands;
        assert!(!commands.iter().any(|line| line.starts_with("MAIL")), "{commands:?}");
    }
    // In the queue it waits.
    let server = ScriptedServer::start([plain()]);
    let spool = tempfile::tempdir().unwrap();
    let spool = spool.path().join("outgoing").to_str().unwrap().to_owned();
    let queued = smtp_tests::client::run_with_input(&["queue", "--spool", &spool], LETTER);
    assert_eq!(code(&queued), 0, "{queued:?}");
    let flushed = run(&["flush", "--spool", &spool, "--server", &server.name(), "--tls", "require"]);
    assert_eq!(code(&flushed), 75, "{flushed:?}");
    assert!(errors(&flushed).contains("4.7.4 "), "{flushed:?}");
    server.finish();
}

#[test]
fn options_that_make_no_sense() {
    let (_, _directory, ca_file) = authority();
    let pin = "00".repeat(32);
    let cases: [(&[&str], i32, &str); 7] = [
        (&["--tls", "always"], 64, "write none, try, require or implicit"),
        (&["--tls-pin", "00"], 64, "write the 64 hexadecimal digits of a SHA-256"),
        (&["--tls", "try", "--tls-pin", &pin], 64, "--tls try takes any key"),
        (&["--tls", "none", "--ca-file", &ca_file], 64, "there is nobody to trust with --tls none"),
        (&["--tls-pin", &pin, "--ca-file", &ca_file], 64, "leave out --ca-file"),
        (&["--ca-file", "/nowhere/ca.pem"], 66, "--ca-file /nowhere/ca.pem: "),
        (&["--lmtp", "127.0.0.1:24", "--tls", "try"], 64, "LMTP is spoken in clear"),
    ];
    for (options, expected, words) in cases {
        let sent = smtp_tests::client::run_with_input(&[&["send"][..], options].concat(), LETTER);
        assert_eq!(code(&sent), expected, "{sent:?}");
        check_complaint(&sent, &[words]);
    }
}

/// A list of authorities that cannot be read is not replaced by one that nobody has asked for.
#[test]
fn authorities_of_the_host_that_cannot_be_read() {
    let (authority, directory, _) = authority();
    let config = server_config(&authority.issue().unwrap());
    let server = ScriptedServer::start((0..2).map(|_| {
        let asked = Script::greeted(&["SIZE", "STARTTLS"]).expect("STARTTLS").say("220 go ahead");
        asked.tls(&config).converse(polite)
    }));
    let letter = write_file(directory.path(), "letter.eml", LETTER);
    let with = |mode: &str| {
        let arguments = ["send", "--server", &server.name(), "--retries", "0", "--json", "--tls", mode, &letter];
        let mut command = command(&arguments);
        command.env("SSL_CERT_FILE", directory.path().join("missing.pem")).env_remove("SSL_CERT_DIR").output().unwrap()
    };
    let sent = with("require");
    assert_eq!(code(&sent), 75, "{sent:?}");
    let words = "no TLS: the authorities that this host trusts cannot be read: ";
    assert!(errors(&sent).contains(words) || answers(&sent).contains(words), "{sent:?}");
    let sent = with("try");
    assert_eq!(code(&sent), 0, "{sent:?}");
    assert!(
        answers(&sent).contains(r#""problem":"the authorities that this host trusts cannot be read: "#),
        "{sent:?}"
    );
}
