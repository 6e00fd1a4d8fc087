//! What `smtp-client` prints, word for word: help, errors, conversations, JSON. Each file in `golden/` is a command as one
//! would type it, what it says on both outputs, and its exit code.
//!
//! `SNAPSHOTS=overwrite cargo test -p smtp-tests --test client_golden` writes the files anew; read the difference before it
//! goes in.

#![allow(clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::path::Path;
use std::process::Output;

use smtp_tests::client::{answers, code, errors, run_with_input, write_file};
use smtp_tests::scripted_server::{Answer, ReservedPort, Said, Script, ScriptedServer, polite, polite_with};
use snapbox::{Assert, Data};

const LETTER: &[u8] = b"From: Ann <a@example.com>\nTo: b@example.org\nSubject: x\n\nhello\n.dot\n";

/// Words that differ between two runs, and what stands for them in the files.
#[derive(Default)]
struct Names(Vec<(String, &'static str)>);

impl Names {
    fn of(server: &ScriptedServer) -> Self {
        Names(vec![(server.name(), "SERVER")])
    }

    fn and(mut self, text: &str, name: &'static str) -> Self {
        self.0.push((text.to_owned(), name));
        self
    }

    fn hide(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (word, name)| text.replace(word, name))
    }
}

fn check(name: &str, command: &[&str], output: &Output, names: &Names) {
    let quoted = command
        .iter()
        .map(|word| if word.contains(' ') || word.is_empty() { format!("'{word}'") } else { (*word).to_owned() });
    let mut text = format!("$ smtp-client {}\n", quoted.collect::<Vec<_>>().join(" "));
    for (title, lines) in [("standard output", answers(output)), ("standard error", errors(output))] {
        if !lines.is_empty() {
            text += &format!("-- {title}\n{lines}");
        }
    }
    text += &format!("-- exit code {}\n", code(output));
    compare(name, &without_times(&names.hide(&text)));
}

fn compare(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(format!("{name}.txt"));
    Assert::new().action_env("SNAPSHOTS").normalize_paths(false).eq(text.to_owned(), Data::read_from(&path, None));
}

/// Every number with a decimal point is a time here.
fn without_times(text: &str) -> String {
    let is_number =
        |word: &str| word.len() > 2 && word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.');
    let is_time = |word: &str| is_number(word) && word.matches('.').count() == 1;
    let mut shown = String::new();
    for word in text.split_inclusive(|character: char| !(character.is_ascii_digit() || character == '.')) {
        let number = word.trim_end_matches(|character: char| !(character.is_ascii_digit() || character == '.'));
        shown += &if is_time(number) { word.replacen(number, "T", 1) } else { word.to_owned() };
    }
    shown
}

/// Runs it with this input and compares.
fn golden(name: &str, command: &[&str], input: &[u8], names: &Names) {
    check(name, command, &run_with_input(command, input), names);
}

#[test]
fn help() {
    for (name, command) in [
        ("help", &["--help"][..]),
        ("help-send", &["send", "--help"]),
        ("help-queue", &["queue", "--help"]),
        ("help-flush", &["flush", "--help"]),
        ("help-list", &["list", "--help"]),
        ("help-retry", &["retry", "--help"]),
        ("help-remove", &["remove", "--help"]),
        ("help-probe", &["probe", "--help"]),
        ("help-mx", &["mx", "--help"]),
        ("help-replay", &["replay", "--help"]),
        ("help-load", &["load", "--help"]),
        ("error-no-command", &[]),
        ("error-unknown-option", &["send", "--form", "a@x"]),
        ("error-no-address", &["send", "--to", "Bob <bob@example.org>"]),
        ("error-no-file", &["send", "/nonexistent/letter.eml"]),
    ] {
        golden(name, command, b"", &Names::default());
    }
}

/// The same codes in the help and on the first page.
#[test]
fn exit_codes_are_the_same_everywhere() {
    let output = run_with_input(&["send", "--help"], b"");
    let (_, codes) = answers(&output).split_once("Error codes:").unwrap();
    let in_help: Vec<(String, String)> = codes.lines().filter(|line| !line.trim().is_empty()).fold(
        Vec::new(),
        |mut codes: Vec<(String, String)>, line| {
            match line.trim().split_once(' ') {
                Some((code, meaning)) if code.parse::<u8>().is_ok() => {
                    codes.push((code.to_owned(), meaning.trim().to_owned()))
                }
                // A meaning that goes on.
                _ => codes.last_mut().unwrap().1 += &format!(" {}", line.trim()),
            }
            codes
        },
    );
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let (_, table) = readme.split_once("## Exit codes of `smtp-client`").unwrap();
    let rows = table.lines().skip_while(|line| !line.starts_with("| 0 ")).take_while(|line| line.starts_with('|'));
    let in_readme: Vec<(String, String)> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            (cells[1].to_owned(), cells[2].to_owned())
        })
        .collect();
    assert_eq!(in_help, in_readme);
    let codes: Vec<&str> = in_help.iter().map(|(code, _)| code.as_str()).collect();
    assert_eq!(codes, ["0", "64", "65", "66", "67", "68", "69", "73", "74", "75", "76", "77", "78"]);
    let order = "75 76 68 74 66 65 69 77 67";
    assert!(answers(&output).contains(order) && table.contains(order));
}

#[test]
fn what_becomes_of_a_message() {
    let answer = |said: Said<'_>| -> Answer {
        match said {
            Said::Line("RCPT TO:<unknown@x>") => "550 5.1.1 There is no such mailbox".into(),
            Said::Line("RCPT TO:<closed@x>") => "550 5.7.1 Not for you".into(),
            Said::Line("RCPT TO:<full@x>") => "452 4.2.2 The mailbox is full".into(),
            Said::Content(_) => "250 2.0.0 queued as 4711".into(),
            said => polite_with(&["PIPELINING", "SIZE 1000"], said),
        }
    };
    for (name, more) in [("send", &[][..]), ("send-json", &["--json"])] {
        let server = ScriptedServer::start([Script::serve(answer)]);
        let address = server.name();
        let mut command = vec!["send", "--server", &address, "--retries", "0"];
        command.extend(["--to", "b@x", "--to", "unknown@x", "--to", "closed@x", "--to", "full@x"]);
        command.extend(more);
        golden(name, &command, LETTER, &Names::of(&server));
        server.finish_one();
    }
}

#[test]
fn the_server_is_not_as_it_should_be() {
    type Named = (&'static str, fn() -> Script);
    let scripts: [Named; 6] = [
        ("error-greeting", || Script::new().say("554 5.3.2 No mail here").converse(polite)),
        ("error-busy", || Script::new().say("421 4.3.2 Come back later").close()),
        ("error-no-smtp", || Script::new().say("+OK POP3 is ready\x1b[2J")),
        ("error-lost", || Script::greeted(&[]).expect("MAIL").say_in_pieces([b"250-one\r\n25".to_vec()]).close()),
        ("error-silent", || {
            Script::greeted(&[]).expect("MAIL").say("250 OK").expect("RCPT").say_in_pieces([b"2".to_vec()]).hold()
        }),
        ("error-no-8bitmime", || Script::serve(|said| polite_with(&["SIZE 1000"], said))),
    ];
    for (name, script) in scripts {
        let server = ScriptedServer::start([script()]);
        let address = server.name();
        let command =
            ["send", "--server", &address, "--retries", "0", "--timeout", "2", "--from", "a@x", "--to", "b@x"];
        let letter: &[u8] = if name == "error-no-8bitmime" { b"h\xe9llo\n" } else { LETTER };
        golden(name, &command, letter, &Names::of(&server));
        server.finish_anyhow();
    }
    let port = ReservedPort::new();
    let command = ["send", "--server", &port.name(), "--retries", "0", "--from", "a@x", "--to", "b@x"];
    golden("error-nobody-there", &command, LETTER, &Names::default().and(&port.name(), "SERVER"));
}

#[test]
fn many_messages() {
    let folder = tempfile::tempdir().unwrap();
    let folder_name = folder.path().to_str().unwrap();
    let mbox = [b"From a\n", LETTER, b"\nFrom b\n", LETTER, b"\n"].concat();
    let file = write_file(folder.path(), "box", &mbox);
    let server = ScriptedServer::start([Script::serve(polite)]);
    let address = server.name();
    let command = ["send", "--server", &address, "--resume", &file];
    let output = run_with_input(&command, b"");
    // The rate is of this moment.
    let mut known = output.clone();
    known.stderr = errors(&output).rsplit_once(", ").unwrap().0.as_bytes().to_vec();
    known.stderr.push(b'\n');
    check("send-many", &command, &known, &Names::of(&server).and(folder_name, "FOLDER"));
    server.finish_one();
}

#[test]
fn conversations() {
    let folder = tempfile::tempdir().unwrap();
    let folder_name = folder.path().to_str().unwrap();
    let file = folder.path().join("talk.txt").to_str().unwrap().to_owned();
    let server =
        ScriptedServer::start([Script::serve(|said| polite_with(&["PIPELINING"], said)), Script::serve(polite)]);
    let address = server.name();
    let names = || Names::of(&server).and(folder_name, "FOLDER");
    let hello = ["--hello", "client.example"];
    let command = [&["send", "--server", &address][..], &hello, &["--transcript", "--transcript-to", &file]].concat();
    golden("send-transcript", &command, LETTER, &names());
    compare("transcript-file", &names().hide(&std::fs::read_to_string(&file).unwrap()));
    golden("replay", &["replay", "--server", &address, &file], b"", &names());
    server.finish();
}

#[test]
fn replays_that_go_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let folder_name = folder.path().to_str().unwrap();
    let good =
        write_file(folder.path(), "talk.txt", b"# A talk\n\nS: 220 mx\nC: NOOP\nS: 250 OK\nC: QUIT\nS: 221 bye\n");
    let bad = write_file(folder.path(), "bad.txt", b"# A talk\n\nS: 220 mx\nB: NOOP\n");
    let server = ScriptedServer::start([Script::serve(|said| match said {
        Said::Line("NOOP") => "500 5.5.1 what?".into(),
        said => polite(said),
    })]);
    let address = server.name();
    let names = || Names::of(&server).and(folder_name, "FOLDER");
    golden("replay-otherwise", &["replay", "--server", &address, &good], b"", &names());
    golden("replay-no-conversation", &["replay", "--server", &address, &bad], b"", &names());
    server.finish();
}

#[test]
fn a_probe() {
    for (name, more) in [("probe", &[][..]), ("probe-json", &["--json"])] {
        let keywords = ["SIZE 1000", "PIPELINING", "LIMITS MAILMAX=5 RCPTMAX=10", "X-ODD thing"];
        let server = ScriptedServer::start([Script::serve(move |said| polite_with(&keywords, said))]);
        let address = server.name();
        golden(name, &[&["probe", &address], more].concat(), b"", &Names::of(&server));
        server.finish_one();
    }
}
