//! `smtp-client send` with many messages: where they lie, how they go out, what an interruption leaves behind.

#![allow(clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Output, Stdio};

use smtp_tests::client::{answers, check_complaint, code, command, errors, send, write_file};
use smtp_tests::scripted_server::{Answer, ReservedPort, Said, Script, ScriptedServer, polite, polite_with};
use smtp_tests::server::TestServer;
use smtp_tests::wait_until;

/// A message that can be told from others.
fn letter(number: usize) -> String {
    format!("From: a@example.com\nTo: b@example.org\nSubject: number {number}\n\nhello {number}\n")
}

/// So many messages in one file.
fn mbox(numbers: impl IntoIterator<Item = usize>) -> Vec<u8> {
    let messages =
        numbers.into_iter().map(|number| format!("From a@example.com Mon Jan  1 12:00:00 2024\n{}\n", letter(number)));
    messages.collect::<String>().into_bytes()
}

/// How often each number has arrived.
fn arrived(server: &TestServer) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    for stored in server.stored() {
        let text = String::from_utf8(stored.content).unwrap();
        let number = text.split("number ").nth(1).and_then(|rest| rest.lines().next()).unwrap().parse().unwrap();
        assert_eq!(text, letter(number).replace('\n', "\r\n"));
        *counts.entry(number).or_default() += 1;
    }
    counts
}

fn once_each(numbers: impl IntoIterator<Item = usize>) -> BTreeMap<usize, usize> {
    numbers.into_iter().map(|number| (number, 1)).collect()
}

fn send_to(server: &TestServer, arguments: &[&str], input: &[u8]) -> Output {
    send(&server.address.to_string(), arguments, input)
}

fn summary(output: &Output) -> String {
    errors(output).lines().last().unwrap_or_default().to_owned()
}

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
    let journal = write_file(folder.path(), "note", b"Subject: no journal\n");
    let file = write_file(folder.path(), "one", letter(0).as_bytes());
    for (arguments, expected, wanted) in [
        (&["--files0-from", "/nonexistent"][..], 66, "/nonexistent"),
        (&["--files0-from", &list], 65, "a name in the list is empty"),
        (&["--files0-from", "-", "-"], 64, "standard input can be read once only"),
        (&["--parallel", "0"], 64, "--parallel \"0\": not a number from 1 to 1000"),
        (&["--parallel", "2", "--transcript"], 64, "--parallel"),
        (&["--resume"], 64, "--journal"),
        (&["--journal", "/nonexistent/x", &file], 73, "/nonexistent/x: the journal cannot be opened"),
        (&["--journal", &journal, &file], 78, "note:1: this is no line of a journal"),
        (&["--stop-after", "data"], 64, "--stop-after \"data\": not ehlo, mail or rcpt"),
        (&["--stop-after", "rcpt", "--resume", &file], 64, "--stop-after"),
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
        assert!(!answers(&output).contains("queued"), "{output:?}");
        let session = server.finish_one();
        assert!(session.contents.is_empty());
        let commands: Vec<&String> = session.commands.iter().rev().take(2).collect();
        assert!(commands[0] == "QUIT" && commands[1].starts_with(last), "{session:?}");
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

// ---- Going on after an interruption -----------------------------------------------------------------------------------

/// Ends the program in the middle of a batch, as a power cut would, once so many messages have arrived.
fn kill_after(server: &TestServer, arguments: &[&str], messages: usize) {
    let address = server.address.to_string();
    let all: Vec<&str> = ["send", "--server", &address].iter().chain(arguments).copied().collect();
    let mut child = command(&all).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("messages arrive", || server.stored().len() >= messages);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(status.signal() == Some(9) || status.success(), "{status}");
}

/// Killed three times and resumed: each message arrives, and twice only what is named.
#[test]
fn killed_and_resumed() {
    const MESSAGES: usize = 600;
    for parallel in ["1", "4"] {
        let folder = tempfile::tempdir().unwrap();
        let file = write_file(folder.path(), "box", &mbox(0..MESSAGES));
        let server = TestServer::start();
        let arguments = ["--resume", "--parallel", parallel, &file];
        for fraction in 1..=3 {
            kill_after(&server, &arguments, fraction * MESSAGES / 6);
        }
        let output = send_to(&server, &arguments, b"");
        assert_eq!(code(&output), 0, "{output:?}");
        check_resumed(&output, &file, &arrived(&server), MESSAGES);
        // And once more: there is nothing left to do.
        let again = send_to(&server, &arguments, b"");
        assert_eq!((code(&again), answers(&again)), (0, ""));
        let expected = format!("{MESSAGES} messages: {MESSAGES} accepted in an earlier run, 0 accepted; ");
        assert!(summary(&again).starts_with(&expected), "{again:?}");
    }
}

fn check_resumed(output: &Output, file: &str, arrived: &BTreeMap<usize, usize>, messages: usize) {
    assert_eq!(arrived.len(), messages, "every message is there");
    let text = errors(output).to_owned() + answers(output);
    for (number, _) in arrived.iter().filter(|(_, count)| **count > 1) {
        assert!(
            text.contains(&format!("{file}#{}: an answer was lost", number + 1)),
            "{number} is not named in {text}"
        );
    }
    let doubled = arrived.values().filter(|count| **count > 1).count();
    assert!(doubled <= 3 * 4 && arrived.values().all(|count| *count <= 2), "{arrived:?}");
}

/// The same message twice in a batch is two messages; a message that has moved or a batch that has grown is the same.
#[test]
fn what_a_journal_knows_a_message_by() {
    let folder = tempfile::tempdir().unwrap();
    let file = write_file(folder.path(), "box", &mbox([0, 0, 1]));
    let journal = folder.path().join("journal").to_str().unwrap().to_owned();
    let server = TestServer::start();
    assert_eq!(code(&send_to(&server, &["--journal", &journal, &file], b"")), 0);
    assert_eq!(arrived(&server), BTreeMap::from([(0, 2), (1, 1)]));
    fs::write(&file, mbox([1, 2, 0, 0, 0])).unwrap();
    let moved = write_file(folder.path(), "folder/mail.eml", letter(3).as_bytes());
    assert_eq!(code(&send_to(&server, &["--journal", &journal, &moved, &file], b"")), 0);
    assert_eq!(arrived(&server), BTreeMap::from([(0, 3), (1, 1), (2, 1), (3, 1)]));
    // The journal lies beside the batch and is no part of it.
    let folder_name = folder.path().join("folder").to_str().unwrap().to_owned();
    assert_eq!(code(&send_to(&server, &["--resume", &format!("{folder_name}/mail.eml")], b"")), 0);
    assert!(Path::new(&format!("{folder_name}/mail.eml.smtp-journal")).is_file());
    let output = send_to(&server, &["--resume", &folder_name], b"");
    assert!(summary(&output).is_empty() && answers(&output).lines().count() == 1, "{output:?}");
}

/// Only those recipients go out again whom the server had put off; one that was refused is told again, and tried again.
#[test]
fn a_resumed_run_sends_only_what_was_not_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let file = write_file(folder.path(), "one", b"From: a@x\nTo: b@x, later@x, no@x\n\nhello\n");
    let busy = |said: Said<'_>| -> Answer {
        match said {
            Said::Line("RCPT TO:<later@x>") => "450 4.2.1 later".into(),
            Said::Line("RCPT TO:<no@x>") => "550 5.1.1 no".into(),
            said => polite(said),
        }
    };
    let server = ScriptedServer::start([Script::serve(busy)]);
    let output = send(&server.name(), &["--resume", "--retries", "0", &file], b"");
    assert_eq!(code(&output), 75, "{output:?}");
    server.finish_one();
    let server = ScriptedServer::start([Script::serve(polite)]);
    let output = send(&server.name(), &["--resume", "--retries", "0", &file], b"");
    assert_eq!(code(&output), 0, "{output:?}");
    let session = server.finish_one();
    assert_eq!(session.commands[2..4], ["RCPT TO:<later@x>", "RCPT TO:<no@x>"]);
}

/// Nobody was there at all: nothing is in doubt.
#[test]
fn a_run_that_reached_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let file = write_file(folder.path(), "box", &mbox(0..2));
    let port = ReservedPort::new();
    let output = send(&port.name(), &["--resume", "--retries", "0", &file], b"");
    assert_eq!(code(&output), 75);
    let server = TestServer::start();
    let output = send_to(&server, &["--resume", &file], b"");
    assert_eq!((code(&output), errors(&output).lines().count()), (0, 1), "{output:?}");
    assert_eq!(arrived(&server), once_each(0..2));
}

/// The answer to the whole message was lost in one run; the next sends it again and says so.
#[test]
fn a_lost_answer_is_named_by_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = write_file(folder.path(), "one", letter(0).as_bytes());
    let server = ScriptedServer::start([Script::serve(|said| match said {
        Said::Content(_) => Answer::Reset,
        said => polite(said),
    })]);
    let output = send(&server.name(), &["--resume", "--retries", "0", &file], b"");
    assert_eq!(code(&output), 75);
    assert!(errors(&output).contains("it may have arrived all the same"), "{output:?}");
    server.finish_one();
    let server = TestServer::start();
    let output = send_to(&server, &["--resume", &file], b"");
    assert_eq!((code(&output), arrived(&server)), (0, once_each([0])));
    assert!(answers(&output).contains("so it may have arrived twice"), "{output:?}");
}

/// Two runs at once would send everything twice.
#[test]
fn one_run_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = write_file(folder.path(), "one", letter(0).as_bytes());
    let server = ScriptedServer::start([Script::new().hold()]);
    let mut first = command(&["send", "--server", &server.name(), "--resume", &file]).spawn().unwrap();
    let journal = format!("{file}.smtp-journal");
    wait_until("the journal is made", || fs::metadata(&journal).is_ok_and(|metadata| metadata.len() > 0));
    let output = send(&server.name(), &["--resume", &file], b"");
    assert_eq!(code(&output), 75, "{output:?}");
    check_complaint(&output, &["another run is at work with this journal"]);
    first.kill().unwrap();
    first.wait().unwrap();
    server.finish();
}
