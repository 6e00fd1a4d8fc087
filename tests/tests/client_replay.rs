//! `smtp-client replay` with servers that follow a script: what counts as recorded, what is told when it is not, and that
//! nobody holds it for ever.

#![allow(clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::fs::{self, File};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use smtp_tests::PATIENCE;
use smtp_tests::client::{answers, check_failure, code, errors, run};
use smtp_tests::processes::program;
use smtp_tests::scripted_server::{Answer, ReservedPort, Said, Script, ScriptedServer, polite};
use tempfile::TempDir;

const TALK: &str = "\
# A conversation
S: 220 mx.example
C: EHLO client.example
S: 250-mx.example
S: 250 PIPELINING
C: MAIL FROM:<a@x>
C: RCPT TO:<b@x>
C: DATA
S: 250 OK
S: 250 OK
S: 354 go on
C: hello
C: .
S: 250 queued
C: QUIT
S: 221 bye
";

/// Files in a folder of their own.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Files(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).into_os_string().into_string().unwrap()
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }
}

/// Replays a conversation with a server that plays this.
fn replay(text: &str, script: Script, options: &[&str]) -> (Output, String, ScriptedServer) {
    let files = Files::new();
    let server = ScriptedServer::start([script]);
    let file = files.write("talk.txt", text);
    let output = run(&[&["replay", "--server", &server.name(), &file], options].concat());
    (output, file, server)
}

#[test]
fn texts_and_lines_may_differ() {
    let script = Script::new()
        .say("220-mx\r\n220 another")
        .expect("EHLO client.example")
        .say("250 one line")
        .expect("MAIL FROM:<a@x>")
        .expect("RCPT TO:<b@x>")
        .expect("DATA")
        .say("250-2.1.0 A\r\n250 2.1.0 B\r\n250\r\n354 \x1b[2J")
        .content()
        .say("250 taken")
        .expect("QUIT")
        .say("221 until then")
        .close();
    let (output, file, server) = replay(TALK, script, &[]);
    assert_eq!((code(&output), errors(&output)), (0, ""));
    assert_eq!(answers(&output), format!("{file}: as recorded (7 replies)\n"));
    assert_eq!(server.finish_one().contents, [b"hello\r\n"]);
}

#[test]
fn the_first_difference_is_named_with_its_line() {
    let answering = |line: &'static str, answer: &'static str| {
        Script::serve(move |said| match said {
            Said::Line(said) if said.starts_with(line) => answer.into(),
            said => polite(said),
        })
    };
    for (script, wanted) in [
        (Script::new().say("554 5.3.2 no\x1b[2J").close(), ":2: greeting: expected 220, got 554 5.3.2 no\\x1b[2J"),
        (answering("EHLO", "502 5.5.1 what"), ":4: EHLO: expected 250, got 502 5.5.1 what"),
        (answering("MAIL", "251 ok"), ":9: MAIL: expected 250, got 251 ok"),
        (answering("RCPT", "550 5.1.1 who"), ":10: RCPT: expected 250, got 550 5.1.1 who"),
        (answering("DATA", "451 later"), ":11: DATA: expected 354, got 451 later"),
        (Script::serve(refuse_content), ":14: end of content: expected 250, got 552 full"),
        (answering("QUIT", "221 bye\r\n250 more"), ":16: idle: expected nothing more, got 250 more"),
        (answering("QUIT", "220 why"), ":16: QUIT: expected 221, got 220 why"),
    ] {
        let (output, file, server) = replay(TALK, script, &[]);
        check_failure(&output, 76, &[&format!("smtp-client: {file}{wanted}\n")]);
        assert!(output.stdout.is_empty(), "{output:?}");
        server.finish_anyhow();
    }
}

fn refuse_content(said: Said<'_>) -> Answer {
    match said {
        Said::Content(_) => "552 full".into(),
        said => polite(said),
    }
}

#[test]
fn servers_that_are_no_servers() {
    for (script, expected, wanted) in [
        (Script::new().say("SSH-2.0-x"), 76, ":2: greeting: expected 220, got nothing: the server's reply does not"),
        (Script::new().say("220 a\n"), 76, "LF without CR"),
        (Script::new().say_for_ever(b"220-a\r\n"), 76, "too long"),
        (Script::new().say_for_ever(b"a"), 76, "too long"),
        (Script::new().say("220 mx").say_for_ever(b"250 a\r\n"), 76, ":11: DATA: expected 354, got 250 a"),
        (Script::new().close(), 75, ":2: greeting: expected 220, got nothing: the connection was lost"),
        (Script::new().say_in_pieces([b"220 m".to_vec()]).close(), 75, ":2: greeting: expected 220, got nothing"),
        (Script::new().say("220 mx").expect("EHLO").reset(), 75, ":4: EHLO: expected 250, got nothing: the connection"),
        (Script::greeted(&[]).expect("MAIL").say("250 OK").close(), 75, ":10: RCPT: expected 250, got nothing"),
    ] {
        let (output, _, server) = replay(TALK, script, &[]);
        check_failure(&output, expected, &[wanted]);
        server.finish_anyhow();
    }
}

/// The time is for all, wherever it is spent.
#[test]
fn a_silent_server_holds_nobody() {
    let open = "# Nobody says QUIT\nS: 220 mx\n";
    for (text, script, wanted) in [
        (TALK, Script::new().hold(), ":2: greeting: expected 220, got nothing: the server was silent"),
        (TALK, Script::greeted(&[]).hold(), ":9: MAIL: expected 250, got nothing: the server was silent"),
        (
            open,
            Script::new().say("220 mx").hold(),
            ":2: end: expected the end of the connection: the server was silent",
        ),
    ] {
        let started = Instant::now();
        let (output, _, server) = replay(text, script, &["--timeout", "1"]);
        check_failure(&output, 75, &[wanted]);
        assert!(started.elapsed() < PATIENCE / 2, "{:?}", started.elapsed());
        server.finish_anyhow();
    }
}

/// A recording that was cut off on a full disk was replayed as if it were whole.
#[test]
fn a_message_without_an_end() {
    let text = TALK.split("C: .\n").next().unwrap();
    let script = Script::new().say("220 mx").expect("EHLO").say("250 a").expect("MAIL").expect("RCPT").expect("DATA");
    let (output, _, server) = replay(text, script.say("250 OK\r\n250 OK\r\n354 go on").take(7).close(), &[]);
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(errors(&output).contains("ends in the middle of a message"), "{output:?}");
    server.finish_one();
}

/// A server that takes nothing, and one that says why.
#[test]
fn content_that_is_not_taken() {
    let lines = format!("C: {}\n", "0123456789".repeat(90)).repeat(16_000);
    let long = TALK.replace("C: hello\n", &lines);
    let before = || {
        let script =
            Script::new().say("220 mx").expect("EHLO").say("250 a").expect("MAIL").expect("RCPT").expect("DATA");
        script.say("250 OK\r\n250 OK\r\n354 go on")
    };
    let (output, _, server) = replay(&long, before().hold(), &["--timeout", "1"]);
    check_failure(&output, 75, &[":16013: end of content: expected 250, got nothing: the server was silent"]);
    server.finish_anyhow();
    for script in [before().take(1_000).say("552 full").close(), before().take(1_000).say("552 full").hold()] {
        let (output, _, server) = replay(&long, script, &[]);
        check_failure(&output, 76, &["expected 250, got 552 full"]);
        server.finish_anyhow();
    }
    // The same, as recorded; but then nothing can follow.
    let early = |end: &str| long.split("C: .\n").next().unwrap().to_owned() + "S: 552 too much\n" + end;
    let (output, ..) = replay(&early(""), before().take(1_000).say("552 full").close(), &[]);
    assert_eq!((code(&output), errors(&output)), (0, ""));
    let (output, ..) = replay(&early("C: QUIT\nS: 221 bye\n"), before().take(1_000).say("552 full").close(), &[]);
    check_failure(&output, 76, &["the server answered before it had taken everything"]);
}

#[test]
fn several_connections_and_several_files() {
    let files = Files::new();
    let twice =
        files.write("twice", "== one\nS: 421 later\n== two\nS: 220 mx\nC: QUIT\nS: 221 bye\n== none\n== none\n");
    let once = files.write("once", "S: 220 mx\nC: QUIT\nS: 221 bye\n");
    let scripts = || [Script::new().say("421 not now").close(), Script::serve(polite), Script::serve(polite)];
    let server = ScriptedServer::start(scripts());
    let output = run(&["replay", "--server", &server.name(), &twice, &once]);
    assert_eq!((code(&output), errors(&output)), (0, ""));
    assert_eq!(answers(&output), format!("{twice}: as recorded (3 replies)\n{once}: as recorded (2 replies)\n"));
    assert_eq!(server.finish().len(), 3);
    // Each file is tried, whatever became of the one before.
    let server = ScriptedServer::start(scripts());
    let output = run(&["replay", "--server", &server.name(), &once, &once]);
    check_failure(&output, 76, &[&format!("{once}:1: greeting: expected 220, got 421 not now")]);
    assert_eq!(answers(&output), format!("{once}: as recorded (2 replies)\n"));
    server.finish_anyhow();
}

#[test]
fn files_that_cannot_be_replayed() {
    let files = Files::new();
    let good = files.write("good", TALK);
    let server = ScriptedServer::start([]);
    for (text, wanted) in [
        ("S: 220 mx\nC: QUIT\\q\n", ":2: a backslash"),
        ("S: 220 mx\nQUIT\n", ":2: the line begins neither"),
        ("S: welcome\n", ":1: not a reply"),
        ("S: 250-mx\n", ":1: the reply is not complete"),
    ] {
        let bad = files.write("bad", text);
        let output = run(&["replay", "--server", &server.name(), &good, &bad]);
        check_failure(&output, 65, &[&format!("smtp-client: {bad}{wanted}"), "; nothing was sent"]);
    }
    for missing in [files.path("missing"), files.path("")] {
        let output = run(&["replay", "--server", &server.name(), &good, &missing]);
        check_failure(&output, 66, &[&missing, "; nothing was sent"]);
    }
    check_failure(&run(&["replay", "--server", &server.name()]), 64, &["needs a file"]);
    check_failure(&run(&["replay", "--timeout", "0", &good]), 64, &["--timeout \"0\""]);
    assert!(server.finish().is_empty());
}

#[test]
fn nobody_there() {
    let files = Files::new();
    let file = files.write("talk", TALK);
    let nobody = ReservedPort::new();
    let output = run(&["replay", "--server", &nobody.name(), &file]);
    check_failure(&output, 75, &[&format!("{file}:2: {}: no connection", nobody.name())]);
    // A label too long for DNS: the answer needs no network.
    let host = format!("{}.invalid", "x".repeat(64));
    check_failure(&run(&["replay", "--server", &host, &file]), 68, &[&host, "cannot be looked up"]);
}

/// What is no file is read to its end before anybody is called.
#[test]
fn a_conversation_from_standard_input() {
    let files = Files::new();
    let file = files.write("talk", TALK);
    let server = ScriptedServer::start([Script::serve(polite), Script::serve(polite)]);
    for words in [&["-"][..], &["--transcript", "-"]] {
        let mut cat = Command::new("cat").stdin(File::open(&file).unwrap()).stdout(Stdio::piped()).spawn().unwrap();
        let mut command = Command::new(program("smtp-client"));
        command.args(["replay", "--server", &server.name()]).args(words).env_remove("RUST_LOG");
        let output = command.stdin(cat.stdout.take().unwrap()).output().unwrap();
        cat.wait().unwrap();
        assert_eq!((code(&output), answers(&output)), (0, "-: as recorded (7 replies)\n"), "{output:?}");
        let shown = "C: <10 octets of content, ending in a line with a lone dot>\nS: 250 queued\nC: QUIT\nS: 221 bye\nC: <closes";
        assert_eq!(errors(&output).contains(shown), words.len() > 1, "{output:?}");
    }
    server.finish();
}
