//! The dialogues in `transcripts/`, held with a real server. They are printed in the documents.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::path::PathBuf;

use smtp_tests::server::TestServer;
use smtp_tests::transcript::Transcript;

fn files() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/transcripts")).unwrap();
    let mut files: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_dialogue_goes_as_it_is_printed() {
    let mut differences = String::new();
    for file in files() {
        // Each has a server of its own: what one leaves behind, the next must not find.
        let mut transcript = Transcript::read(&file).unwrap();
        let mails = transcript.announced_mails;
        let builder = TestServer::builder().recipients(
            "alice
bob
carol
rené
",
        );
        let server = builder.config(|config| config.session.mails = mails).start();
        let name = file.file_name().unwrap().to_string_lossy();
        if let Err(difference) = transcript.play(&server) {
            differences.push_str(&format!("\n{name}:\n{difference}\n"));
            continue;
        }
        assert!(transcript.is_whole(), "{name} ends before the conversation does");
        assert_eq!(
            server.stored().len(),
            transcript.accepted_messages(),
            "{name}: what was accepted is stored, and no more"
        );
    }
    assert!(differences.is_empty(), "{differences}");
}

/// They are read one after the other, so the numbers have no gap, and each says what it teaches.
#[test]
fn the_dialogues_stand_in_learning_order() {
    let files = files();
    assert!(files.len() >= 12, "{files:?}");
    for (place, file) in files.iter().enumerate() {
        let name = file.file_name().unwrap().to_string_lossy();
        assert!(name.starts_with(&format!("{:02}-", place + 1)) && name.ends_with(".txt"), "{name}");
        let text = std::fs::read_to_string(file).unwrap();
        let comment = text.lines().take_while(|line| line.starts_with('#')).count();
        assert!(comment >= 3, "{name} says too little of what it teaches");
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{name} is too wide to be printed");
        assert!(!Transcript::read(file).unwrap().title.is_empty());
    }
}

/// The runner itself: a wrong word, a missing line and a line too many are each found.
#[test]
fn a_dialogue_that_goes_otherwise_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let server = TestServer::start();
    let play = |text: &str| {
        let file = directory.path().join("x.txt");
        std::fs::write(&file, format!("# Title\n{text}")).unwrap();
        Transcript::read(&file).map_err(|error| error.to_string())?.play(&server)
    };
    let greeting = "S: 220 mx.example.org ESMTP ready\n";
    assert_eq!(play(&format!("{greeting}C: QUIT\nS: 221 2.0.0 Goodbye\n")), Ok(()));
    assert_eq!(play("S: 220 ...\nC: QUIT\nS: 221 2...\n"), Ok(()));
    for text in [
        format!("{greeting}C: QUIT\nS: 221 2.0.0 Farewell\n"),
        format!("{greeting}C: QUIT\nS: 250...\n"),
        format!("{greeting}C: EHLO a\nS: 250-mx.example.org greets you\n"),
        format!("{greeting}C: QUIT\nS: 221 2.0.0 Goodbye\nS: 250 more\n"),
        format!("{greeting}C: NOOP\nC: QUIT\nS: 250 2.0.0 OK\n"),
        format!("{greeting}C: QUIT\n"),
    ] {
        assert!(play(&text).is_err(), "{text}");
    }
}
