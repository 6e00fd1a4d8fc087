//! `smtp-client send` with many messages: where they lie, how they go out.

#![allow(clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::fs;
use std::process::{Command, Output, Stdio};

use smtp_tests::client::{answers, check_complaint, code, errors, send, write_file};
use smtp_tests::letters::{arrived, letter, mbox, once_each, send_to, summary};
use smtp_tests::processes::program;
use smtp_tests::scripted_server::{Said, Script, ScriptedServer, polite, polite_with};
use smtp_tests::server::TestServer;

/// Files, directories, a Maildir, an mbox and a list of names, over one connection and over several.
#[test]
fn messages_wherever_they_lie() {
    for parallel in ["1", "3"] {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let mut files = vec![];
        for (name, number) in
            [("one.eml", 0), ("folder/a", 1), ("folder/b/c", 2), ("mail/new/1.x", 3), ("mail/cur/2.x:2,S", 4)]
        {
            files.push(write_file(folder.path(), name, letter(number).as_bytes()));
        }
        fs::create_dir(path("mail/tmp")).unwrap();
        write_file(folder.path(), "mail/tmp/3.x", letter(99).as_bytes());
        let boxed = write_file(folder.path(), "box", &mbox(5..9));
        let listed = write_file(folder.path(), "with\nline end", letter(9).as_bytes());
        let server = TestServer::start();
        let arguments =
            ["--parallel", parallel, "--files0-from", "-", &files[0], &path("folder"), &path("mail"), &boxed];
        let output = send_to(&server, &arguments, format!("{listed}\0").as_bytes());
        assert_eq!(code(&output), 0, "{output:?}");
        assert_eq!(arrived(&server), once_each(0..10));
        assert_eq!(answers(&output).lines().count(), 10);
        assert!(answers(&output).contains(&format!("{boxed}#4: <b@example.org>: 250 2.0.0 queued as ")), "{output:?}");
        assert!(summary(&output).starts_with("10 messages: 10 accepted; "), "{output:?}");
    }
}

#[test]
fn an_mbox_on_standard_input() {
    let server = TestServer::start();
    let output = send_to(&server, &[], &mbox(0..3));
    assert_eq!((code(&output), arrived(&server)), (0, once_each(0..3)));
    assert!(answers(&output).starts_with("-#1: "), "{output:?}");
}

/// An empty Maildir is no mistake: whoever empties it every minute will find it so.
#[test]
fn nothing_to_send() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("new")).unwrap();
    fs::create_dir_all(folder.path().join("cur")).unwrap();
    let server = ScriptedServer::start([]);
    let output = send(&server.name(), &[folder.path().to_str().unwrap()], b"");
    assert_eq!((code(&output), errors(&output)), (0, "there was no message to send\n"));
    assert!(server.finish().is_empty());
}

/// The one that cannot be sent is named by its number, and nothing goes out.
#[test]
fn a_bad_message_in_an_mbox() {
    let folder = tempfile::tempdir().unwrap();
    let bad = [mbox(0..2), b"From x\nSubject: to nobody\n\nhello\n".to_vec()].concat();
    let file = write_file(folder.path(), "box", &bad);
    let server = ScriptedServer::start([]);
    let output = send(&server.name(), &[&file], b"");
    assert_eq!(code(&output), 65);
    check_complaint(&output, &[&format!("{file}#3: "), "--from", "nothing was sent"]);
    assert!(server.finish().is_empty());
}

#[test]
fn wrong_lists_and_options() {
    let folder = tempfile::tempdir().unwrap();
    let list = write_file(folder.path(), "list", b"a\0\0b\0");
    let long = write_file(folder.path(), "long", &[b'x'; 4_096]);
    let journal = write_file(folder.path(), "note", b"Subject: no journal\n");
    let file = write_file(folder.path(), "one", letter(0).as_bytes());
    for (arguments, expected, wanted) in [
        (&["--files0-from", "/nonexistent"][..], 66, "/nonexistent"),
        (&["--files0-from", &list], 65, "a name in the list is empty"),
        // What is no list was read until the memory was full.
        (&["--files0-from", "/dev/zero"], 65, "a name in the list is empty"),
        (&["--files0-from", &long], 65, "a name in the list is too long"),
        (&["--files0-from", "-", "-"], 64, "standard input can be read once only"),
        (&["--parallel", "0"], 64, "--parallel \"0\": not a number from 1 to 1000"),
        (&["--parallel", "2", "--transcript"], 64, "--parallel"),
        (&["--resume"], 64, "--journal"),
        (&["--journal", "/nonexistent/x", &file], 73, "/nonexistent/x: the journal cannot be opened"),
        (&["--journal", &journal, &file], 78, "note:1: this is no line of a journal"),
        (&["--stop-after", "data"], 64, "--stop-after \"data\": not ehlo, mail or rcpt"),
        (&["--stop-after", "rcpt", "--resume", &file], 64, "--stop-after"),
        // All of these were passed over in silence.
        (&["--stop-after", "ehlo", "--journal", &journal], 64, "--stop-after"),
        (&["--stop-after", "ehlo", &file], 64, "--stop-after ehlo"),
        (&["--stop-after", "ehlo", "--json"], 64, "smtp-client probe --json"),
        (&["--stop-after", "ehlo", "--parallel", "2", "--transcript"], 64, "--parallel"),
        (&["--notify", "always"], 64, "--notify \"always\": write never, or any of success,failure,delay"),
        (&["--ret", "none"], 64, "--ret \"none\": write full or hdrs"),
        (&["--envid", "\u{e9}"], 64, "not printable ASCII"),
    ] {
        let server = ScriptedServer::start([]);
        let output = send(&server.name(), arguments, b"x\n");
        assert_eq!(code(&output), expected, "{arguments:?}: {output:?}");
        check_complaint(&output, &[wanted]);
        assert!(server.finish().is_empty());
    }
}

/// A server that has room for three: the fourth connection hears 421, and the three do it all.
#[test]
fn more_connections_than_the_server_takes() {
    let server = TestServer::builder().threads(3).start();
    let folder = tempfile::tempdir().unwrap();
    let file = write_file(folder.path(), "box", &mbox(0..200));
    let output = send_to(&server, &["--parallel", "8", &file], b"");
    assert_eq!(code(&output), 0, "{output:?}");
    assert_eq!(arrived(&server), once_each(0..200));
}

/// Rows X154, X155: what a server says of its limits is kept to before it has to be said again.
#[test]
fn the_limits_of_the_server() {
    let script = || {
        Script::serve(|said| match said {
            Said::Line(line) if line.starts_with("RCPT TO:<r4@x>") => "550 5.1.1 who?".into(),
            said => polite_with(&["LIMITS RCPTMAX=3 MAILMAX=2 FUTUREMAX=1"], said),
        })
    };
    let server = ScriptedServer::start([script(), script()]);
    let to: Vec<String> = (0..8).map(|number| format!("r{number}@x")).collect();
    let to: Vec<&str> = to.iter().flat_map(|to| ["--to", to]).collect();
    let output = send(&server.name(), &[&["--from", "a@x"], to.as_slice()].concat(), b"Subject: x\n\nhello\n");
    assert_eq!(code(&output), 67, "{output:?}");
    assert_eq!(answers(&output).lines().count(), 7);
    let sessions = server.finish();
    let shape = |line: &String| line.split(['<', '>']).nth(1).unwrap_or_default().replace("a@x", "|");
    let shapes: Vec<String> = sessions.iter().map(|session| session.commands.iter().map(shape).collect()).collect();
    assert_eq!(shapes, ["|r0@xr1@xr2@x|r3@xr4@xr5@x", "|r6@xr7@x"]);
}

/// The limit of our own server, too.
#[test]
fn one_recipient_more_than_go_together() {
    let server = TestServer::builder().config(|config| config.session.recipients = 10).start();
    let to: Vec<String> = (0..25).map(|number| format!("r{number}@example.org")).collect();
    let to: Vec<&str> = to.iter().flat_map(|to| ["--to", to]).collect();
    let output = send_to(&server, &[&["--from", "a@x"], to.as_slice()].concat(), b"Subject: x\n\nhello\n");
    assert_eq!(code(&output), 0, "{output:?}");
    let counts: Vec<usize> = server.stored().iter().map(|stored| stored.envelope.recipients.len()).collect();
    assert_eq!((counts.len(), counts.iter().sum::<usize>()), (3, 25));
}

/// Rows X069, X076: ORCPT is the address of RCPT, and nothing of it is said where DSN is not offered.
#[test]
fn reports_are_asked_for_where_they_are_offered() {
    let arguments = ["--from", "a@x", "--to", "B+c@x", "--notify", "failure,delay", "--ret", "hdrs", "--envid", "no 1"];
    let server = ScriptedServer::start([Script::serve(|said| polite_with(&["DSN"], said))]);
    let output = send(&server.name(), &arguments, b"x\n");
    assert_eq!((code(&output), errors(&output)), (0, ""));
    let session = server.finish_one();
    assert_eq!(session.commands[1], "MAIL FROM:<a@x> RET=HDRS ENVID=no+201");
    assert_eq!(session.commands[2], "RCPT TO:<B+c@x> NOTIFY=FAILURE,DELAY ORCPT=rfc822;B+2Bc@x");
    let server = ScriptedServer::start([Script::serve(polite)]);
    let output = send(&server.name(), &arguments, b"x\n");
    assert_eq!(code(&output), 0);
    assert!(errors(&output).contains("the server does not offer DSN"), "{output:?}");
    assert_eq!(server.finish_one().commands[2], "RCPT TO:<B+c@x>");
}

/// Row X138: a header field in UTF-8 needs SMTPUTF8; where that is not offered, the message stays here.
#[test]
fn letters_of_all_languages_in_the_header() {
    let letter = "From: a@x\nTo: b@x\nSubject: h\u{e9}llo\n\nx\n".as_bytes();
    let server = ScriptedServer::start([Script::serve(|said| polite_with(&["8BITMIME", "SMTPUTF8"], said))]);
    assert_eq!(code(&send(&server.name(), &[], letter)), 0);
    assert_eq!(server.finish_one().commands[1], "MAIL FROM:<a@x> BODY=8BITMIME SMTPUTF8");
    let server = ScriptedServer::start([Script::serve(|said| polite_with(&["8BITMIME"], said))]);
    let output = send(&server.name(), &[], letter);
    assert_eq!(code(&output), 69);
    check_complaint(&output, &["SMTPUTF8"]);
    server.finish_one();
    // Neither are octets that are no UTF-8: 8BITMIME carries them as it always did.
    let latin_1 = b"From: a@x\nTo: b@x\nSubject: h\xe9llo\n\nx\n";
    let server = ScriptedServer::start([Script::serve(|said| polite_with(&["8BITMIME", "SMTPUTF8"], said))]);
    assert_eq!(code(&send(&server.name(), &[], latin_1)), 0);
    assert_eq!(server.finish_one().commands[1], "MAIL FROM:<a@x> BODY=8BITMIME");
}

#[test]
fn nothing_is_sent_with_stop_after() {
    for (stage, last) in [("ehlo", "EHLO"), ("mail", "MAIL"), ("rcpt", "RCPT")] {
        let server = ScriptedServer::start([Script::serve(|said| match said {
            Said::Line("RCPT TO:<no@x>") => "550 5.1.1 who?".into(),
            said => polite(said),
        })]);
        let arguments = ["--from", "a@x", "--to", "b@x", "--to", "no@x", "--stop-after", stage];
        let output = send(&server.name(), &arguments, b"x\n");
        assert_eq!(code(&output), if stage == "rcpt" { 67 } else { 0 }, "{output:?}");
        assert!(!answers(&output).contains("queued") && answers(&output).contains("nothing was sent"), "{output:?}");
        let session = server.finish_one();
        assert!(session.contents.is_empty());
        let commands: Vec<&String> = session.commands.iter().rev().take(2).collect();
        assert!(commands[0] == "QUIT" && commands[1].starts_with(last), "{session:?}");
    }
}

/// A thread that could open no more files took one message after the other and gave them up for good.
#[test]
#[cfg(target_os = "linux")] // what else a process has open differs
fn more_connections_than_open_files() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..200 {
        write_file(folder.path(), &number.to_string(), letter(number).as_bytes());
    }
    let server = TestServer::start();
    let output = send_with_few_files(20, &server, &["--parallel", "12", folder.path().to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{output:?}");
    assert_eq!(arrived(&server), once_each(0..200));
}

/// Every mbox of a directory was kept open.
#[test]
fn more_mboxes_than_open_files() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..100 {
        write_file(folder.path(), &number.to_string(), &mbox([2 * number, 2 * number + 1]));
    }
    let server = TestServer::start();
    let output = send_with_few_files(20, &server, &[folder.path().to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{output:?}");
    assert_eq!(arrived(&server), once_each(0..200));
}

fn send_with_few_files(files: usize, server: &TestServer, arguments: &[&str]) -> Output {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -n {files} && exec \"$@\""), "sh"]).arg(program("smtp-client"));
    shell.args(["send", "--server", &server.address.to_string()]).args(arguments);
    shell.env_remove("RUST_LOG").stdin(Stdio::null()).output().unwrap()
}

/// What is in the files changes while the first message is sent: nothing else goes out to the recipients that they had
/// before, and of an mbox no pieces that are cut at the old places.
#[test]
fn a_file_that_changes_before_its_turn() {
    let other = letter(7).replace("b@example.org", "other@example.org");
    for (name, text) in [("two", letter(1).into_bytes()), ("two", mbox(1..3))] {
        let folder = tempfile::tempdir().unwrap();
        let one = write_file(folder.path(), "one", letter(0).as_bytes());
        let two = write_file(folder.path(), name, &text);
        let (path, other) = (two.clone(), other.clone());
        let server = ScriptedServer::start([Script::serve(move |said| {
            if let Said::Content(_) = said {
                fs::write(&path, &other).unwrap();
            }
            polite(said)
        })]);
        let output = send(&server.name(), &[&one, &two], b"");
        assert_eq!(code(&output), 74, "{output:?}");
        assert!(errors(&output).contains("the file has changed since it was looked at"), "{output:?}");
        assert_eq!(server.finish_one().contents.len(), 1);
    }
}

/// What had come by then is part of the error: here a reply of which the last line never comes.
#[test]
fn an_error_tells_what_had_come_by_then() {
    let server =
        ScriptedServer::start([Script::greeted(&[]).expect("MAIL").say("250-one moment\r\n250-an\x1b[2Jd").hold()]);
    let output = send(&server.name(), &["--timeout", "1", "--retries", "0", "--from", "a@x", "--to", "b@x"], b"x\n");
    assert_eq!(code(&output), 75, "{output:?}");
    let wanted =
        [&server.name(), "MAIL: the server was silent for too long; after ", "250-one moment", "250-an\\x1b[2Jd"];
    check_complaint(&output, &wanted);
    server.finish();
}
