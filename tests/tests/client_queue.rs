//! The outgoing queue of the client: put there now, sent later, once, by whoever owns the spool.

#![allow(clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;
use std::sync::mpsc::channel;

use smtp_tests::client::{answers, check_failure, code, command, errors, run, run_with_input, write_file};
use smtp_tests::processes::ServerProcess;
use smtp_tests::scripted_server::{Answer, ReservedPort, Said, Script, ScriptedServer, hello, polite};
use smtp_tests::{PATIENCE, wait_until};

const LETTER: &[u8] = b"From: Ann <a@example.com>\nTo: b@example.org\nBcc: c@example.org\nSubject: x\n\nhello\n.dot\n";

/// A spool that is not there yet, in a folder of its own.
struct Place {
    folder: tempfile::TempDir,
    spool: String,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let spool = folder.path().join("outgoing").to_str().unwrap().to_owned();
        Place { folder, spool }
    }

    /// `COMMAND --spool SPOOL ...`.
    fn run(&self, word: &str, more: &[&str]) -> Output {
        run(&[&[word, "--spool", &self.spool], more].concat())
    }

    /// Queues a letter of this text. Returns its id.
    fn queue(&self, text: &str) -> String {
        let letter = format!("From: a@example.com\nTo: b@example.org\n\n{text}\n");
        let output = run_with_input(&["queue", "--spool", &self.spool], letter.as_bytes());
        assert_eq!((code(&output), errors(&output)), (0, ""));
        answers(&output).trim().strip_prefix("-: queued as ").unwrap().to_owned()
    }

    fn flush(&self, server: &str) -> Output {
        self.run("flush", &["--server", server])
    }

    fn listed(&self) -> String {
        let output = self.run("list", &[]);
        assert_eq!(code(&output), 0, "{output:?}");
        answers(&output).to_owned()
    }
}

/// How often a text was taken over, in all these connections.
fn times(sessions: &[smtp_tests::scripted_server::Session], text: &str) -> usize {
    let contents = sessions.iter().flat_map(|session| &session.contents);
    contents.filter(|content| String::from_utf8_lossy(content).contains(text)).count()
}

#[test]
fn what_is_queued_is_what_would_have_been_sent() {
    let place = Place::new();
    let file = write_file(place.folder.path(), "letter.eml", LETTER);
    let output = place.run("queue", &["--notify", "failure", "--envid", "e", &file]);
    assert_eq!(code(&output), 0, "{output:?}");
    let id = answers(&output).trim().strip_prefix(&format!("{file}: queued as ")).unwrap().to_owned();
    assert!(place.listed().starts_with(&format!("{id}  queued ")), "{}", place.listed());

    let server = ScriptedServer::start([Script::serve(|said| match said {
        Said::Line(line) if line.starts_with("EHLO ") => hello(&["SIZE", "DSN"]).into(),
        said => polite(said),
    })]);
    let output = place.flush(&server.name());
    assert_eq!((code(&output), errors(&output)), (0, ""));
    assert_eq!(answers(&output).lines().count(), 2);
    assert!(answers(&output).starts_with(&format!("{id}: <b@example.org>: <127.0.0.1:")), "{output:?}");
    assert_eq!(place.listed(), "");
    let session = server.finish_one();
    assert_eq!(
        session.contents,
        [b"From: Ann <a@example.com>\r\nTo: b@example.org\r\nSubject: x\r\n\r\nhello\r\n..dot\r\n"]
    );
    assert!(session.commands[1].starts_with("MAIL FROM:<a@example.com> SIZE="), "{:?}", session.commands);
    assert!(session.commands[1].ends_with(" ENVID=e"), "{:?}", session.commands);
    assert_eq!(session.commands[2], "RCPT TO:<b@example.org> NOTIFY=FAILURE ORCPT=rfc822;b@example.org");
}

#[test]
fn the_server_is_down_and_comes_back() {
    let place = Place::new();
    let (first, second) = (place.queue("first letter"), place.queue("second letter"));
    let port = ReservedPort::new();
    let output = place.flush(&port.name());
    assert_eq!(code(&output), 75, "{output:?}");
    for id in [&first, &second] {
        // The host is named once.
        let wanted = format!("{id}: <b@example.org>: <{}> 4.4.1 no connection: ", port.name());
        assert!(errors(&output).contains(&wanted), "{output:?}");
    }
    assert!(errors(&output).contains("still in the queue: 2; see smtp-client list"), "{output:?}");
    // It is not their turn yet, and nobody is called.
    let output = place.flush(&port.name());
    assert_eq!((code(&output), errors(&output).lines().count()), (75, 1), "{output:?}");

    let server = port.listen([Script::serve(polite), Script::serve(polite)]);
    let output = place.run("retry", &["--server", &server.name(), &first]);
    assert_eq!((code(&output), answers(&output).lines().count()), (75, 1), "{output:?}");
    assert!(answers(&output).starts_with(&first));
    let output = place.run("retry", &["--all", "--server", &server.name()]);
    assert_eq!((code(&output), errors(&output)), (0, ""));
    // Nothing is left, so nobody is called.
    let output = place.flush(&server.name());
    assert_eq!((code(&output), errors(&output), answers(&output)), (0, "", ""));
    let sessions = server.finish();
    assert_eq!((times(&sessions, "first letter"), times(&sessions, "second letter"), sessions.len()), (1, 1, 2));
}

#[test]
fn one_flush_at_a_time() {
    let place = Place::new();
    place.queue("letter");
    let ((reached, is_reached), (go_on, may_go_on)) = (channel(), channel());
    let server = ScriptedServer::start([Script::greeted(&[])
        .run(move || {
            reached.send(()).unwrap();
            may_go_on.recv_timeout(PATIENCE).unwrap();
        })
        .converse(polite)]);
    let first = command(&["flush", "--spool", &place.spool, "--server", &server.name()]).spawn().unwrap();
    is_reached.recv_timeout(PATIENCE).unwrap();
    let second = place.flush(&server.name());
    for (output, instead) in [
        (second, "retry-now --all"),
        (place.run("retry", &["--all"]), "retry-now --all"),
        (place.run("retry", &["x"]), "retry-now ID"),
        (place.run("remove", &["x"]), "remove ID"),
    ] {
        let instead = format!("smtp-spool --spool {} {instead}\n", place.spool);
        check_failure(&output, 75, &["is in use by another process", &instead]);
    }
    // Those that own nothing may go on.
    let id = place.queue("another");
    assert!(place.listed().contains(&id));
    go_on.send(()).unwrap();
    let first = first.wait_with_output().unwrap();
    assert!([0, 75].contains(&code(&first)), "{first:?}");
    server.finish_anyhow();
}

/// Killed between the last octet of a message and the reply to it: that one goes out again, and no other.
#[test]
fn killed_in_the_middle() {
    let place = Place::new();
    for text in ["first letter", "second letter", "third letter"] {
        place.queue(text);
    }
    let (reached, is_reached) = channel();
    let (go_on, may_go_on) = channel::<()>();
    let server = ScriptedServer::start([
        Script::serve(move |said| {
            if matches!(said, Said::Content(content) if content.windows(6).any(|window| window == b"second")) {
                reached.send(()).unwrap();
                // Until it is dead.
                may_go_on.recv_timeout(PATIENCE).unwrap();
                return Answer::close();
            }
            polite(said)
        }),
        Script::serve(polite),
    ]);
    let mut flush = command(&["flush", "--spool", &place.spool, "--server", &server.name()]).spawn().unwrap();
    is_reached.recv_timeout(PATIENCE).unwrap();
    flush.kill().unwrap();
    flush.wait().unwrap();
    go_on.send(()).unwrap();
    assert_eq!(place.listed().lines().filter(|line| line.contains("queued")).count(), 2);
    let output = place.flush(&server.name());
    assert_eq!((code(&output), answers(&output).lines().count()), (0, 2), "{output:?}");
    let sessions = server.finish_anyhow();
    let counts = ["first letter", "second letter", "third letter"].map(|text| times(&sessions, text));
    assert_eq!(counts, [1, 2, 1]);
}

/// A server that owns the spool takes what is queued there, for its mailboxes and for others.
#[test]
fn into_the_spool_of_a_running_server() {
    let place = Place::new();
    let mail = place.folder.path().join("mail");
    fs::create_dir(&mail).unwrap();
    let smart = ScriptedServer::start([Script::serve(polite)]);
    let (deliver, relay) = (format!("maildir:{}", mail.display()), format!("smart:{}", smart.name()));
    let options = ["--hostname", "mx.example.org", "--domain", "example.org", "--spool", &place.spool];
    fs::create_dir_all(Path::new(&place.spool).join("maildrop")).unwrap();
    fs::set_permissions(&place.spool, fs::Permissions::from_mode(0o700)).unwrap();
    let junk = write_file(Path::new(&place.spool), "maildrop/junk", b"not a message of a spool\n");
    let server = ServerProcess::start(&[&options[..], &["--deliver", &deliver, "--relay", &relay]].concat());
    let file = write_file(place.folder.path(), "letter.eml", LETTER);
    let output = place.run("queue", &["--to", "ann@example.org", "--to", "far@example.net", &file]);
    assert_eq!(code(&output), 0, "{output:?}");
    server.wait_for_line(|line| line.contains("far@example.net") && line.contains("status=delivered"));
    wait_until("it lies in the mailbox", || letters(&mail.join("ann")).len() == 1);
    assert!(String::from_utf8_lossy(&letters(&mail.join("ann"))[0]).contains("hello\n.dot\n"));
    wait_until("nothing is left of it", || place.listed().is_empty());
    // It was seen at the start and at every look since then, and told once.
    assert_eq!(server.seen().iter().filter(|line| line.contains("maildrop/junk: ")).count(), 1);
    assert!(fs::exists(junk).unwrap());
    drop(server);
    assert_eq!(times(&smart.finish(), "hello"), 1);
}

/// Whoever runs the queue says how long a message is tried, and lists tell until when, also once it is gone.
#[test]
fn listed_until_it_is_given_up() {
    let place = Place::new();
    place.queue("letter");
    let mail = place.folder.path().join("mail");
    fs::create_dir(&mail).unwrap();
    let port = ReservedPort::new();
    let left = || {
        let json = answers(&place.run("list", &["--json"])).to_owned();
        let number = |member: &str| -> i64 {
            let (_, rest) = json.split_once(&format!("\"{member}_unix_seconds\":")).unwrap();
            rest.split(',').next().unwrap().parse().unwrap()
        };
        number("give_up") - number("received_at")
    };
    const FIVE_DAYS: i64 = 5 * 24 * 3_600;
    assert_eq!(left(), FIVE_DAYS);
    let (deliver, relay) = (format!("maildir:{}", mail.display()), format!("smart:{}", port.name()));
    let options = ["--domain", "example.com", "--spool", &place.spool, "--give-up-after", "2h"];
    let server = ServerProcess::start(&[&options[..], &["--deliver", &deliver, "--relay", &relay]].concat());
    assert_eq!(left(), 2 * 3_600);
    drop(server);
    assert_eq!(left(), 2 * 3_600);
    // This owner has its own idea of it.
    assert_eq!(code(&place.flush(&port.name())), 75);
    assert_eq!(left(), FIVE_DAYS);
}

fn letters(maildir: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(maildir.join("new")).into_iter().flatten();
    entries.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
}

/// The server knows no such recipient: the sender hears of it by the same server, in the same flush.
#[test]
fn a_report_to_the_sender() {
    let place = Place::new();
    place.queue("letter");
    let refuse = |said: Said<'_>| match said {
        Said::Line("RCPT TO:<b@example.org>") => "550 5.1.1 no such mailbox".into(),
        said => polite(said),
    };
    let server = ScriptedServer::start([Script::serve(refuse), Script::serve(refuse)]);
    let output = place.run("flush", &["--server", &server.name(), "--hello", "desk.example.com"]);
    assert_eq!(code(&output), 67, "{output:?}");
    assert!(errors(&output).contains("550 5.1.1 no such mailbox") && answers(&output).contains("<a@example.com>"));
    assert_eq!(place.listed(), "");
    let sessions = server.finish();
    let report = String::from_utf8_lossy(&sessions[1].contents[0]).into_owned();
    assert!(sessions[1].commands.iter().any(|line| line.starts_with("MAIL FROM:<>")));
    assert!(report.contains("Reporting-MTA: dns; desk.example.com") && report.contains("no such mailbox"), "{report}");
}

/// Nor does it want the report: that is held, for a person to look at.
#[test]
fn a_report_that_nobody_takes() {
    let place = Place::new();
    place.queue("letter");
    let refuse = |said: Said<'_>| match said {
        Said::Line(line) if line.starts_with("RCPT ") => "550 5.7.1 not for you".into(),
        said => polite(said),
    };
    let server = ScriptedServer::start([Script::serve(refuse), Script::serve(refuse), Script::serve(polite)]);
    assert_eq!(code(&place.flush(&server.name())), 77);
    let listed = place.listed();
    let (id, rest) = listed.split_once(' ').unwrap();
    assert!(rest.trim_start().starts_with("held "), "{listed}");
    assert_eq!(code(&place.run("retry", &["--all", "--server", &server.name()])), 0);
    assert_eq!(place.listed(), listed);
    // Somebody has mended it.
    let output = place.run("retry", &["--server", &server.name(), id]);
    assert_eq!((code(&output), place.listed().as_str()), (0, ""), "{output:?}");
    server.finish();
}

#[test]
fn removed() {
    let place = Place::new();
    let (first, second) = (place.queue("first letter"), place.queue("second letter"));
    check_failure(&place.run("remove", &["x", &first]), 66, &["x: there is no such message"]);
    assert!(place.listed().starts_with(&second));
    let json = place.run("list", &["--json"]);
    assert!(answers(&json).contains(&format!(r#"{{"id":"{second}","state":"queued""#)), "{json:?}");
    assert_eq!(code(&place.run("remove", &[&second])), 0);
    assert_eq!(place.listed(), "");
}

#[test]
fn mistakes() {
    let place = Place::new();
    let file = write_file(place.folder.path(), "plain", b"no header\n");
    for (words, expected, wanted) in [
        (&["flush"][..], 66, "there is no spool"),
        (&["list"], 66, "there is no spool"),
        (&["retry", "--all"], 66, "there is no spool"),
        (&["remove", "x"], 66, "there is no spool"),
        (&["remove"], 64, "needs the ids of messages"),
        (&["remove", "a/b"], 64, "letters, digits and hyphens"),
        (&["retry"], 64, "or --all"),
        (&["retry", "--all", "x"], 64, "or --all"),
        (&["flush", "--mx", "--server", "a"], 64, "leave out one of them"),
        (&["flush", "--mx", "--tls", "implicit"], 64, "--tls implicit is for --server: "),
        (&["flush", "--dns", "192.0.2.1"], 64, "--dns is of no use without --mx"),
        (&["queue", "/nonexistent/letter"], 66, "nothing was queued"),
        (&["queue", &file], 65, "nothing was queued"),
    ] {
        check_failure(&place.run(words[0], &words[1..]), expected, &[wanted]);
        assert!(!Path::new(&place.spool).exists(), "{words:?}");
    }
    let no_parent = run_with_input(&["queue", "--spool", "/nonexistent/outgoing"], LETTER);
    check_failure(&no_parent, 73, &["its parent directory does not exist"]);
    place.queue("letter");
    check_failure(&place.run("retry", &["x"]), 66, &["x: there is no such message"]);
}
