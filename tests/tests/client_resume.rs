//! `smtp-client send --resume`: what an interruption leaves behind, and how the next run goes on.

#![allow(clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use smtp_tests::client::{answers, check_complaint, check_failure, code, command, errors, send, write_file};
use smtp_tests::letters::{arrived, letter, mbox, once_each, send_to, summary};
use smtp_tests::processes::program;
use smtp_tests::scripted_server::{Answer, ReservedPort, Said, Script, ScriptedServer, polite};
use smtp_tests::server::TestServer;
use smtp_tests::wait_until;

/// Ends the program in the middle of a batch, as a power cut would, once so many more messages have arrived, or it is at its end.
fn kill_after(server: &TestServer, arguments: &[&str], messages: usize) {
    let address = server.address.to_string();
    let all: Vec<&str> = ["send", "--server", &address].iter().chain(arguments).copied().collect();
    let before = server.stored().len();
    let mut child = command(&all).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("messages arrive", || server.stored().len() >= before + messages || child.try_wait().unwrap().is_some());
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(status.signal() == Some(9) || status.success(), "{status}");
}

const KILLS: usize = 3;

/// Killed three times and resumed: each message arrives, and more than once only what is named.
#[test]
fn killed_and_resumed() {
    const MESSAGES: usize = 600;
    for parallel in ["1", "4"] {
        let folder = tempfile::tempdir().unwrap();
        let file = write_file(folder.path(), "box", &mbox(0..MESSAGES));
        let server = TestServer::start();
        let arguments = ["--resume", "--parallel", parallel, &file];
        for _ in 0..KILLS {
            kill_after(&server, &arguments, MESSAGES / 12);
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
            text.contains(&format!("{file}#{}: the run was interrupted or an answer was lost", number + 1)),
            "{number} is not named in {text}"
        );
    }
    let doubled = arrived.values().filter(|count| **count > 1).count();
    // A kill leaves as many in doubt as there are connections, and each kill may hit the same ones.
    assert!(doubled <= KILLS * 4 && arrived.values().all(|count| *count <= 1 + KILLS), "{arrived:?}");
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

// ---- Where the journal lies --------------------------------------------------------------------------------------------

/// A pattern such as `mail/*` finds the journals of earlier runs. They were sent as mail, or stopped the second run.
#[test]
fn a_journal_among_the_files_is_no_message() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let files = [0, 1].map(|number| write_file(folder.path(), &format!("mail/{number}"), letter(number).as_bytes()));
    let server = TestServer::start();
    let envelope = ["--from", "a@x", "--to", "b@example.org"];
    let send = |arguments: &[&str]| send_to(&server, &[&envelope, arguments].concat(), b"");
    assert_eq!(code(&send(&["--resume", &files[0]])), 0);
    let beside = path("mail/0.smtp-journal");
    assert!(summary(&send(&["--resume", &files[0], &beside])).starts_with("1 message: 1 accepted in an earlier run"));
    // Under a name of its own, among the files and below a directory.
    let journal = path("mail/journal");
    for last in [&files[1], &journal, &path("mail")] {
        let output = send(&["--journal", &journal, &files[0], &beside, last]);
        assert_eq!(code(&output), 0, "{output:?}");
    }
    assert_eq!(arrived(&server), BTreeMap::from([(0, 3), (1, 1)]));
    // Whoever forgets to name it sends nothing at all.
    check_failure(&send(&["--resume", &path("mail")]), 65, &[&journal, "a journal of smtp-client, and no message"]);
    check_failure(&send(&[&beside]), 64, &["a journal, and no message"]);
    assert_eq!(arrived(&server).values().sum::<usize>(), 4);
}

/// The journal lay beside the first file: once another one came first, everything was sent again.
#[test]
fn the_journal_of_several_files_has_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let files = [0, 1].map(|number| write_file(folder.path(), &number.to_string(), letter(number).as_bytes()));
    let server = ScriptedServer::start([]);
    for arguments in [
        &["--resume", &files[0], &files[1]][..],
        &["--resume", "--files0-from", "-"],
        &["--resume", "."],
        &["--resume"],
    ] {
        let output = send(&server.name(), arguments, files[0].as_bytes());
        check_failure(&output, 64, &["--resume", "--journal", "nothing was sent"]);
    }
    assert!(server.finish().is_empty());
}

/// A mistyped name left a journal behind, and the next run took that for its own.
#[test]
fn what_cannot_be_sent_leaves_no_journal() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("mistyped").to_str().unwrap().to_owned();
    let server = ScriptedServer::start([]);
    assert_eq!(code(&send(&server.name(), &["--resume", &missing], b"")), 66);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    server.finish();
}

/// When two mails that differ only in Bcc changed places, each went to the other's recipients once more.
#[test]
fn blind_copies_that_change_places() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal").to_str().unwrap().to_owned();
    let mail = |to: &str| format!("From: a@example.com\nBcc: {to}@example.org\nSubject: x\n\nhello\n").into_bytes();
    let server = TestServer::start();
    for names in [["1", "2"], ["4", "3"]] {
        let files = [(names[0], "b"), (names[1], "c")].map(|(name, to)| write_file(folder.path(), name, &mail(to)));
        let mut files: Vec<&str> = files.iter().map(String::as_str).collect();
        files.sort_unstable();
        let output = send_to(&server, &["--journal", &journal, files[0], files[1]], b"");
        assert_eq!(code(&output), 0, "{output:?}");
    }
    assert_eq!(server.stored().len(), 2);
}

// ---- What is said of earlier runs --------------------------------------------------------------------------------------

/// A run with nothing to do said nothing at all, and of a doubt about the only message nothing either.
#[test]
fn a_single_message_that_was_sent_before() {
    let folder = tempfile::tempdir().unwrap();
    let file = write_file(folder.path(), "one", letter(0).as_bytes());
    let server = ScriptedServer::start([Script::serve(|said| match said {
        Said::Content(_) => Answer::Reset,
        said => polite(said),
    })]);
    assert_eq!(code(&send(&server.name(), &["--resume", "--retries", "0", &file], b"")), 75);
    server.finish_one();
    let server = TestServer::start();
    assert_eq!(code(&send_to(&server, &["--resume", &file], b"")), 0);
    let output = send_to(&server, &["--resume", &file], b"");
    assert_eq!((code(&output), answers(&output)), (0, ""));
    let doubt = format!("{file}: the run was interrupted or an answer was lost, so it may have arrived once more");
    assert!(errors(&output).starts_with(&doubt), "{output:?}");
    assert!(summary(&output).starts_with("1 message: 1 accepted in an earlier run, 0 accepted; "), "{output:?}");
}

// ---- A journal that cannot be written ------------------------------------------------------------------------------------

/// Runs the program with no room for more than a few blocks in any file.
fn send_with_little_room(blocks: usize, server: &TestServer, arguments: &[&str]) -> Output {
    let mut shell = Command::new("sh");
    // Without the trap the system would end the program instead of refusing to write.
    let script = format!("trap '' XFSZ && ulimit -f {blocks} && exec \"$@\"");
    shell.args(["-c", &script, "sh"]).arg(program("smtp-client"));
    shell.args(["send", "--server", &server.address.to_string()]).args(arguments);
    shell.env_remove("RUST_LOG").stdin(Stdio::null()).output().unwrap()
}

/// Half a line was left behind, later lines were written behind it, and the journal could not be read any more.
#[test]
fn a_full_disk_ends_the_batch_and_the_next_run_goes_on() {
    const MESSAGES: usize = 60;
    for parallel in ["1", "3"] {
        let folder = tempfile::tempdir().unwrap();
        let file = write_file(folder.path(), "box", &mbox(0..MESSAGES));
        let server = TestServer::start();
        let output = send_with_little_room(2, &server, &["--resume", "--parallel", parallel, &file]);
        assert_eq!(code(&output), 74, "{output:?}");
        assert!(errors(&output).contains("box.smtp-journal: File too large"), "{output:?}");
        assert!(fs::read(format!("{file}.smtp-journal")).unwrap().ends_with(b"\n"));
        let sent = arrived(&server).len();
        assert!((1..MESSAGES).contains(&sent), "{sent}");
        let output = send_to(&server, &["--resume", &file], b"");
        assert_eq!(code(&output), 0, "{output:?}");
        check_resumed(&output, &file, &arrived(&server), MESSAGES);
    }
}

/// It failed behind the last message of the queue: nobody was told, and the code was 0.
#[test]
fn a_journal_that_fails_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = write_file(folder.path(), "one", letter(0).as_bytes());
    let server = TestServer::start();
    let to: Vec<String> = (0..40).map(|number| format!("r{number}@example.org")).collect();
    let to: Vec<&str> = to.iter().flat_map(|to| ["--to", to]).collect();
    let output = send_with_little_room(2, &server, &[&["--resume", &file], to.as_slice()].concat());
    assert_eq!((code(&output), server.stored().len()), (74, 1), "{output:?}");
    assert_eq!(answers(&output).lines().count(), 40);
    check_failure(&output, 74, &["one.smtp-journal: File too large", "the journal is not complete"]);
}
