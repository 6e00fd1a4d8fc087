//! `smtp-client send --transcript-to` and `smtp-client replay`: what is recorded with one server is held again with another,
//! and the same messages arrive.

#![allow(clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use smtp_tests::client::{answers, check_failure, code, errors, run};
use smtp_tests::processes::program;
use smtp_tests::scripted_server::{Script, ScriptedServer, polite};
use smtp_tests::server::{Stored, TestServer};

const LETTER: &[u8] = b"From: a@client.example\nTo: alice@example.org\nSubject: caf\xc3\xa9\n\n.\n..\n.dot\n\\x41 \\\n\
    \t\xff\x00\x1b\x7f \nC: QUIT\n# no comment\n== no connection\nno line end";

fn server() -> TestServer {
    TestServer::builder().recipients("alice\nbob\n").start()
}

/// A message in a file, sent and recorded. Returns the recording.
fn record(server: &str, folder: &Path, message: &[u8], options: &[&str]) -> (Output, String) {
    let path = |name: &str| folder.join(name).into_os_string().into_string().unwrap();
    let (letter, recording) = (path("letter"), path("talk.txt"));
    fs::write(&letter, message).unwrap();
    let words = ["send", "--server", server, "--retries", "0", "--transcript-to", &recording, &letter];
    (run(&[&words, options].concat()), recording)
}

fn replay(server: &TestServer, file: &str) -> Output {
    run(&["replay", "--timeout", "30", "--server", &server.address.to_string(), file])
}

/// What does not change from one time to the next.
fn messages(stored: Vec<Stored>) -> Vec<(String, Vec<String>, Vec<u8>)> {
    stored.into_iter().map(|stored| (stored.sender(), stored.recipients(), stored.content)).collect()
}

#[test]
fn what_was_recorded_arrives_again() {
    for options in [&[][..], &["--chunking"], &["--transcript"]] {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (server(), server());
        let (output, recording) = record(&first.address.to_string(), folder.path(), LETTER, options);
        assert_eq!(code(&output), 0, "{output:?}");
        let again = replay(&second, &recording);
        assert_eq!((code(&again), errors(&again)), (0, ""));
        assert!(answers(&again).starts_with(&format!("{recording}: as recorded (")), "{again:?}");
        let (sent, replayed) = (messages(first.stored()), messages(second.stored()));
        assert_eq!(sent.len(), 1);
        assert!(sent[0].2.ends_with(b"\r\n== no connection\r\nno line end\r\n"));
        assert_eq!(sent, replayed, "{options:?}");
    }
}

/// The words of the recording, and who may read them.
#[test]
fn a_recording_is_a_dialogue_for_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let server = server();
    let (output, recording) = record(&server.address.to_string(), folder.path(), LETTER, &["--transcript"]);
    assert_eq!(code(&output), 0, "{output:?}");
    // What is on the screen holds no mail.
    assert!(errors(&output).contains("octets of content, ending in a line with a lone dot>"), "{output:?}");
    assert!(!errors(&output).contains("Subject"), "{output:?}");
    assert_eq!(fs::metadata(&recording).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&recording).unwrap();
    let address = server.address;
    assert!(text.starts_with(&format!("# A conversation with {address}\n\n== {address}\nS: 220 mx")), "{text}");
    for wanted in [
        "\nC: DATA\nS: 250 2.1.0 Sender OK\nS: 250 2.1.5 Recipient OK\nS: 354 ",
        "\nC: Subject: café\nC:\nC: ..\nC: ...\nC: ..dot\nC: \\\\x41 \\\\\nC: \\x09\\xff\\x00\\x1b\\x7f\\x20\nC: C: QUIT\n",
        "\nC: no line end\nC: .\nS: 250 2.0.0 queued as ",
        "\nC: QUIT\nS: 221 2.0.0 Goodbye\n",
    ] {
        assert!(text.contains(wanted), "{wanted:?} is not in {text}");
    }
}

/// One recipient is refused here and there; then the other one is refused there only.
#[test]
fn refusals_are_part_of_a_recording() {
    let folder = tempfile::tempdir().unwrap();
    let first = server();
    let to = ["--to", "alice@example.org", "--to", "nobody@example.org"];
    let (output, recording) = record(&first.address.to_string(), folder.path(), LETTER, &to);
    check_failure(&output, 67, &["<nobody@example.org>", "550 5.1.1"]);
    let second = server();
    assert_eq!(code(&replay(&second, &recording)), 0);
    assert_eq!(messages(first.stored()), messages(second.stored()));

    let third = TestServer::builder().recipients("bob\n").start();
    let text = fs::read_to_string(&recording).unwrap();
    let line = 1 + text.lines().position(|line| line == "S: 250 2.1.5 Recipient OK").unwrap();
    let wanted = format!("{recording}:{line}: RCPT: expected 250, got 550 5.1.1 There is no such mailbox here");
    check_failure(&replay(&third, &recording), 76, &[&wanted]);
    assert!(third.stored().is_empty());
}

/// 1 MiB of all octets but CR, with lines of all lengths, some of them very long.
#[test]
fn any_content_is_recorded_octet_for_octet() {
    let mut state = 1_u32;
    let octets = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let noise: Vec<u8> = octets.filter(|octet| *octet != b'\r').take(1 << 20).collect();
    let in_a_row = b"x\xc3\xa9".repeat(100_000);
    let message = [b"From: a@client.example\nTo: bob@example.org\n\n", noise.as_slice(), &in_a_row].concat();
    for options in [&[][..], &["--chunking"]] {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (server(), server());
        let (output, recording) = record(&first.address.to_string(), folder.path(), &message, options);
        assert_eq!(code(&output), 0, "{output:?}");
        assert_eq!(code(&replay(&second, &recording)), 0);
        let stored = second.only_stored().content;
        assert!(stored == first.only_stored().content, "something else has arrived");
        assert!(stored.strip_suffix(b"\r\n") == Some(&with_crlf(&message)), "something else was sent");
    }
}

fn with_crlf(octets: &[u8]) -> Vec<u8> {
    octets.split(|octet| *octet == b'\n').collect::<Vec<_>>().join(&b"\r\n"[..])
}

/// Neither writing nor reading needs room for the message, which has 17 megabytes. The program itself takes up ten of the
/// twenty in a build for tests.
#[cfg(target_os = "linux")]
#[test]
fn a_large_recording_takes_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).into_os_string().into_string().unwrap();
    let (letter, recording) = (path("letter"), path("talk.txt"));
    let lines = [&b"0123456789".repeat(7)[..], b"\n"].concat().repeat(250_000);
    fs::write(&letter, [b"From: a@x\nTo: bob@example.org\n\n", lines.as_slice()].concat()).unwrap();
    let (first, second) = (server(), server());
    let within_20_megabytes = |words: &[&str]| {
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -v 20000 && exec \"$@\"", "sh"]).arg(program("smtp-client")).args(words);
        let output = shell.env_remove("RUST_LOG").stdin(Stdio::null()).output().unwrap();
        assert_eq!(code(&output), 0, "{output:?}");
    };
    let name = first.address.to_string();
    within_20_megabytes(&["send", "--server", &name, "--transcript-to", &recording, &letter]);
    within_20_megabytes(&["replay", "--server", &second.address.to_string(), &recording]);
    assert!(first.only_stored().content == second.only_stored().content);
}

/// A file is made or the mail is not sent; and what is there already stays.
#[test]
fn recordings_replace_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).into_os_string().into_string().unwrap();
    let letter = path("letter");
    fs::write(&letter, LETTER).unwrap();
    std::os::unix::fs::symlink(path("elsewhere"), path("link")).unwrap();
    let server = ScriptedServer::start([]);
    for (name, wanted) in [
        ("letter", "there already"),
        ("link", "there already"),
        ("", "cannot be made"),
        ("no/talk.txt", "cannot be made"),
    ] {
        let output = run(&["send", "--server", &server.name(), "--transcript-to", &path(name), &letter]);
        check_failure(&output, 73, &[&path(name), wanted, "nothing was sent"]);
    }
    assert!(server.finish().is_empty());
    assert_eq!(fs::read(&letter).unwrap(), LETTER);
    assert!(!Path::new(&path("elsewhere")).exists());
}

/// A conversation with a server that steers terminals is text all the same.
#[test]
fn no_server_writes_into_a_recording() {
    let folder = tempfile::tempdir().unwrap();
    let server =
        ScriptedServer::start([Script::new().say(&b"220-\x1b]0;t\x07\r\n220 \xffa\tb\\\r\n"[..]).converse(polite)]);
    let (output, recording) = record(&server.name(), folder.path(), LETTER, &[]);
    assert_eq!(code(&output), 0, "{output:?}");
    let text = fs::read_to_string(recording).unwrap();
    assert!(text.contains("\nS: 220-\\x1b]0;t\\x07\nS: 220 \\xffa\\x09b\\\\\nC: EHLO "), "{text}");
    server.finish_one();
}

/// Chunks in one piece, each of several blocks: their replies come while the next ones are written.
#[test]
fn chunks_that_do_not_wait_for_replies() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("talk.txt").into_os_string().into_string().unwrap();
    let chunk = format!("C: BDAT 200000\n{}", format!("C: {}\n", "x".repeat(98)).repeat(2_000));
    let envelope = "C: MAIL FROM:<a@client.example>\nC: RCPT TO:<bob@example.org>\nS: 250 OK\nS: 250 OK\n";
    let hello = "S: 220 mx\nC: EHLO client.example\nS: 250 mx\n";
    let end = format!("C: BDAT 0 LAST\nC: QUIT\n{}S: 221 bye\n", "S: 250 OK\n".repeat(21));
    fs::write(&file, [hello, envelope, &chunk.repeat(20), &end].concat()).unwrap();
    let server = server();
    let output = replay(&server, &file);
    assert_eq!((code(&output), errors(&output)), (0, ""));
    assert_eq!(server.only_stored().content.len(), 20 * 200_000);
}

/// The file may not grow any more: that is said once, and the mail goes all the same; but whoever wanted the recording hears
/// by the exit code that there is none.
#[test]
fn a_recording_that_cannot_be_written_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).into_os_string().into_string().unwrap();
    let (one, two) = (path("one"), path("two"));
    for letter in [&one, &two] {
        fs::write(letter, [LETTER, &b"\n0123456789".repeat(10_000)].concat()).unwrap();
    }
    let server = server();
    let mut shell = Command::new("sh");
    // Without the trap the system would end the program instead of refusing to write.
    shell.args(["-c", "trap '' XFSZ && ulimit -f 8 && exec \"$@\"", "sh"]).arg(program("smtp-client"));
    shell.args(["send", "--server", &server.address.to_string(), "--transcript-to", &path("talk.txt"), &one, &two]);
    let output = shell.env_remove("RUST_LOG").stdin(Stdio::null()).output().unwrap();
    assert_eq!((code(&output), server.stored().len()), (74, 2), "{output:?}");
    let warning = format!("{}: the conversation cannot be written any more: ", path("talk.txt"));
    assert!(errors(&output).matches(&warning).count() == 1, "{output:?}");
}
