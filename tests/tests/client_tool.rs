//! The `smtp-client` program: what it sends, what it says, and with which code it ends.

#![allow(clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use smtp_tests::PATIENCE;
use smtp_tests::client::{answers, check_complaint, code, command, errors, run_with_input, send, write_file};
use smtp_tests::processes::program;
use smtp_tests::scripted_server::{Answer, ReservedPort, Said, Script, ScriptedServer, polite, polite_with};

const LETTER: &[u8] = b"From: Ann <a@example.com>\nTo: b@example.org\nSubject: x\n\nhello\n";

#[test]
fn a_message_from_standard_input() {
    let server = ScriptedServer::start([Script::serve(polite)]);
    let output = send(&server.name(), &[], LETTER);
    assert_eq!((code(&output), errors(&output)), (0, ""));
    assert_eq!(answers(&output), "-: <b@example.org>: 250 queued\n");
    let session = server.finish_one();
    assert!(session.commands.contains(&"RCPT TO:<b@example.org>".to_owned()));
    assert_eq!(session.contents[0], with_crlf(LETTER));
    assert_eq!(session.commands.last().unwrap(), "QUIT");
}

fn with_crlf(text: &[u8]) -> Vec<u8> {
    String::from_utf8(text.to_vec()).unwrap().replace('\n', "\r\n").into_bytes()
}

/// Rows N296, N297, N299: recipients from the header, Bcc among them and nowhere in the message.
#[test]
fn recipients_from_the_header() {
    let letter =
        b"From: a@x\nSender: s@x\nTo: Bob <b@x>, c@x\nCc: b@X\nBcc: secret@x,\n other@x\nSubject: y\n\nhello\n";
    let server = ScriptedServer::start([Script::serve(polite)]);
    assert_eq!(code(&send(&server.name(), &[], letter)), 0);
    let session = server.finish_one();
    let recipients: Vec<&str> = session.commands.iter().filter_map(|line| line.strip_prefix("RCPT TO:")).collect();
    assert_eq!(recipients, ["<b@x>", "<c@x>", "<secret@x>", "<other@x>"]);
    assert!(session.commands[1].starts_with("MAIL FROM:<s@x>"));
    let sent = String::from_utf8(session.contents[0].clone()).unwrap();
    let expected = "From: a@x\r\nSender: s@x\r\nTo: Bob <b@x>, c@x\r\nCc: b@X\r\nSubject: y\r\n\r\nhello\r\n";
    assert_eq!(sent, expected);
}

/// Bcc goes even where the recipients are given, and nothing else is touched.
#[test]
fn recipients_from_the_command_line() {
    let letter = b"To: somebody else\nBcc: secret@x\n\n.\nno final newline";
    let server = ScriptedServer::start([Script::serve(polite)]);
    let output = send(&server.name(), &["--from", "", "--to", "b@x", "--to", "<c@x>", "--to", "b@X"], letter);
    assert_eq!(code(&output), 0, "{output:?}");
    let session = server.finish_one();
    assert_eq!(session.commands[1], "MAIL FROM:<> SIZE=42");
    assert_eq!(session.commands[2..4], ["RCPT TO:<b@x>", "RCPT TO:<c@x>"]);
    assert_eq!(session.contents[0], b"To: somebody else\r\n\r\n..\r\nno final newline\r\n");
}

#[test]
fn files_and_standard_input_over_one_connection() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (write_file(folder.path(), "one", LETTER), write_file(folder.path(), "two", b""));
    let server = ScriptedServer::start([Script::serve(polite)]);
    let output = send(&server.name(), &["--from", "a@x", "--to", "b@x", &one, "-", &two], b"NUL \0 and dots\n..\n");
    assert_eq!(code(&output), 0, "{output:?}");
    assert_eq!(answers(&output).lines().count(), 3);
    let session = server.finish_one();
    assert_eq!(session.contents.len(), 3);
    assert_eq!(session.contents[1..], [b"NUL \0 and dots\r\n...\r\n".to_vec(), Vec::new()]);
    assert_eq!(session.commands.iter().filter(|line| line.starts_with("EHLO")).count(), 1);
}

/// More files than may be open to begin with.
#[test]
fn many_files() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..150).map(|number| write_file(folder.path(), &number.to_string(), LETTER)).collect();
    let server = ScriptedServer::start([Script::serve(polite)]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -Sn 64 && exec \"$@\"", "sh"]).arg(program("smtp-client"));
    shell.args(["send", "--server", &server.name()]).args(&names);
    let output = shell.stdin(Stdio::null()).output().unwrap();
    assert_eq!(code(&output), 0, "{output:?}");
    assert_eq!(server.finish_one().contents.len(), 150);
}

#[test]
fn addresses_that_look_like_options() {
    let server = ScriptedServer::start([Script::serve(polite)]);
    let output = send(&server.name(), &["--from", "-a@x", "--to", "-b@x"], b"x\n");
    assert_eq!(code(&output), 0, "{output:?}");
    assert_eq!(server.finish_one().commands[1..3], ["MAIL FROM:<-a@x> SIZE=3", "RCPT TO:<-b@x>"]);
}

/// CR and LF in an argument (NUL cannot be in one): 64, and nobody is called.
#[test]
fn control_characters_in_arguments() {
    for evil in ["\r", "\n", "\r\n", "\r\nDATA\r\n", "\u{1b}", "\u{85}"] {
        for (option, value) in
            [("--from", "a@x"), ("--to", "b@x"), ("--hello", "client.example"), ("--server", "127.0.0.1:25")]
        {
            for value in [format!("{value}{evil}"), format!("{evil}{value}"), value.replacen(['@', '.'], evil, 1)] {
                let server = ScriptedServer::start([]);
                let output = send(&server.name(), &["--from", "a@x", "--to", "b@x", option, &value], b"x\n");
                assert_eq!(code(&output), 64, "{option} {value:?}: {output:?}");
                check_complaint(&output, &[]);
                assert!(server.finish().is_empty());
            }
        }
    }
}

#[test]
fn wrong_command_lines() {
    for arguments in [
        &[][..],
        &["sned"],
        &["send", "--form", "a@x"],
        &["send", "--from"],
        &["send", "--from", "nobody"],
        &["send", "--to", ""],
        &["send", "--to", "b@x c@x"],
        &["send", "--server", "::1"],
        &["send", "--hello", "b\u{fc}cher.example"],
        &["send", "--retries", "-1"],
        &["send", "--retries", "99999999999"],
        &["send", "--timeout", "0"],
        &["send", "--timeout", "soon"],
        &["send", "-", "-"],
        &["send", "--from", "-"],
    ] {
        let output = run_with_input(arguments, LETTER);
        assert_eq!(code(&output), 64, "{arguments:?}: {output:?}");
        check_complaint(&output, &[]);
    }
}

/// What is wrong, in one line: the option, the value as it was given, the reason.
#[test]
fn wrong_command_lines_are_explained() {
    for (arguments, wanted) in [
        (
            &[][..],
            "needs a command: send, queue, flush, list, retry, remove, probe, mx, replay, load; see smtp-client --help",
        ),
        (
            &["send", "--to", "Bob <bob@localhost>"],
            "--to \"Bob <bob@localhost>\": write the address alone, without a name",
        ),
        (&["send", "--from", "Bob <b@x>"], "--from \"Bob <b@x>\": write the address alone, without a name"),
        (&["send", "--to", "bob"], "--to \"bob\": the address needs @ and a domain"),
        (&["send", "--to", "b\u{fc}cher"], "--to \"b\u{fc}cher\": the address needs @ and a domain"),
        (&["send", "--server", "::1"], "--server \"::1\": not a server; write HOST:PORT"),
        (&["send", "--retries", "-1"], "--retries \"-1\": not a number from 0 to 65535"),
        (&["send", "--timeout", "soon"], "--timeout \"soon\": not a number of seconds"),
        (&["send", "--retries", "1\n\u{1b}"], "--retries \"1\\u{a}\\u{1b}\": not"),
        (&["send", "--form", "a@x"], "smtp-client: unrecognized argument: --form; see smtp-client send --help"),
        (&["send", "--from"], "smtp-client: no value provided for option '--from'; see smtp-client send --help"),
        (&["sned"], "smtp-client: unrecognized argument: sned; see smtp-client --help"),
        (&["probe"], "smtp-client: needs host[:port]; see smtp-client probe --help"),
        (&["send", "--server", "b@x"], "--server \"b@x\": not a server; write HOST:PORT"),
        (&["send", "--from", "-"], "--from \"-\": "),
        // A lone hyphen became a path in every place.
        (&["send", "--journal", "-"], "--journal \"-\": it is written into a file"),
        (&["send", "--transcript-to", "-"], "--transcript-to \"-\": it is written into a file"),
        (&["send", "--from", "a@x", "--from", "b@x"], "--from \"b@x\": given twice"),
    ] {
        let output = run_with_input(arguments, LETTER);
        assert_eq!(code(&output), 64, "{arguments:?}: {output:?}");
        check_complaint(&output, &[wanted]);
        let text = errors(&output);
        assert!(!text.contains("Error parsing") && !text.contains("; \\u"), "{text}");
    }
}

/// It is a value like any other where no file is read.
#[test]
fn a_lone_hyphen() {
    let server = ScriptedServer::start([Script::serve(|said| polite_with(&["DSN"], said))]);
    let output = send(&server.name(), &["--envid", "-", "-"], LETTER);
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(server.finish_one().commands[1].ends_with(" ENVID=-"));
}

/// `send help` sent nothing, printed the help and ended with 0.
#[test]
fn a_file_that_is_called_help() {
    let folder = tempfile::tempdir().unwrap();
    write_file(folder.path(), "help", LETTER);
    let server = ScriptedServer::start([Script::serve(polite)]);
    let output = command(&["send", "--server", &server.name(), "help"]).current_dir(folder.path()).output().unwrap();
    assert_eq!((code(&output), answers(&output)), (0, "help: <b@example.org>: 250 queued\n"));
    server.finish_one();
}

/// Such a name cannot stand on the command line, and the error says where it can.
#[test]
fn a_file_whose_name_is_no_utf8() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(OsStr::from_bytes(b"h\xe9llo"));
    std::fs::write(&path, LETTER).unwrap();
    let output = command(&[OsStr::new("send"), path.as_os_str()]).output().unwrap();
    assert_eq!(code(&output), 64, "{output:?}");
    check_complaint(&output, &["is not UTF-8", "--files0-from"]);
    let server = ScriptedServer::start([Script::serve(polite)]);
    let output = send(&server.name(), &["--files0-from", "-"], path.as_os_str().as_bytes());
    assert_eq!(code(&output), 0, "{output:?}");
    server.finish_one();
}

#[test]
fn messages_that_cannot_be_sent() {
    let endless = "X: y\n".repeat(300_000);
    for (message, wanted) in [
        (&b"From: a@x\nTo: b@x\n\na\rb\n"[..], "carriage return"),
        (b"From: a@x\nTo: b@x\n\na\r", "carriage return"),
        (b"To: b@x\n\nhello\n", "--from"),
        (b"From: a@x\n\nhello\n", "--to"),
        (b"From: a@x, c@x\nTo: b@x\n\nhello\n", "--from"),
        (b"From: a@x\nTo: nobody\n\nhello\n", "\"nobody\" in the To field"),
        (b"From: nobody\nTo: b@x\n\nhello\n", "\"nobody\" in the From field"),
        (b"From: a@x\nTo: j\xf6rg@x\n\nhello\n", "not an address"),
        (b"", "--from"),
        (endless.as_bytes(), "header section is longer"),
    ] {
        let server = ScriptedServer::start([]);
        let output = send(&server.name(), &[], message);
        assert_eq!(code(&output), 65, "{output:?}");
        check_complaint(&output, &[wanted, "-: ", "nothing was sent"]);
        assert!(server.finish().is_empty());
    }
}

#[test]
fn a_missing_file_among_others() {
    let folder = tempfile::tempdir().unwrap();
    let good = write_file(folder.path(), "good", LETTER);
    for missing in ["/nonexistent/\u{1b}[2J\nx", &format!("{good}/x")] {
        let server = ScriptedServer::start([]);
        let output = send(&server.name(), &[&good, missing], b"");
        assert_eq!(code(&output), 66, "{output:?}");
        check_complaint(&output, &["nothing was sent"]);
        assert!(server.finish().is_empty());
    }
}

/// A label too long for DNS: the answer needs no network.
#[test]
fn a_host_without_an_address() {
    let host = format!("{}.invalid", "x".repeat(64));
    let output = send(&host, &["--retries", "0"], LETTER);
    assert_eq!(code(&output), 68, "{output:?}");
    check_complaint(&output, &[&host, "<b@example.org>", "cannot be looked up"]);
}

/// One line that names the message, the recipient, the server, the stage and the reply.
#[test]
fn refused_for_good() {
    for (verb, stage) in [("MAIL", "MAIL"), ("RCPT", "RCPT"), ("DATA", "DATA"), ("", "end of content")] {
        let server = ScriptedServer::start([Script::serve(move |said| match said {
            Said::Line(line) if !verb.is_empty() && line.starts_with(verb) => "550 5.7.1 not \u{1b}[31myou".into(),
            Said::Content(_) => "550 5.7.1 not \u{1b}[31myou".into(),
            said => polite(said),
        })]);
        let output = send(&server.name(), &[], LETTER);
        assert_eq!(code(&output), 77, "{output:?}");
        let reply = "550 5.7.1 not \\x1b[31myou";
        check_complaint(&output, &["-: <b@example.org>: ", &server.name(), stage, reply]);
        server.finish_one();
    }
    let server = ScriptedServer::start([Script::new().say("554 5.3.2 no mail").converse(polite)]);
    let output = send(&server.name(), &[], LETTER);
    assert_eq!(code(&output), 69, "{output:?}");
    check_complaint(&output, &["<b@example.org>", &server.name(), "greeting", "554 5.3.2 no mail"]);
    server.finish_one();
}

/// Letters of all languages are shown as they are, in whatever line; what nobody sees is not.
#[test]
fn addresses_are_shown_as_they_were_written() {
    let server = ScriptedServer::start([Script::serve(|said| match said {
        Said::Line("RCPT TO:<m\u{fc}ller@x>") => "550 5.1.1 never".into(),
        said => polite_with(&["SMTPUTF8", "8BITMIME"], said),
    })]);
    let output =
        send(&server.name(), &["--from", "a@x", "--to", "m\u{fc}ller@x", "--to", "\u{4f8b}\u{202e}\u{200b}@x"], b"x\n");
    assert_eq!(code(&output), 67, "{output:?}");
    assert!(errors(&output).starts_with("smtp-client: -: <m\u{fc}ller@x>: "), "{output:?}");
    assert_eq!(answers(&output), "-: <\u{4f8b}\\u{202e}\\u{200b}@x>: 250 queued\n");
    server.finish_one();
}

/// Rows X128, X136, and SIZE: what the server cannot take is named, and not sent.
#[test]
fn what_the_server_cannot_take() {
    for (to, message, wanted) in [
        ("b@x", &b"h\xe9llo\n"[..], "8-bit"),
        ("\u{e9}@x", b"hello\n", "SMTPUTF8"),
        ("b@x", b"a message of more than 20 octets\n", "20 octets"),
    ] {
        let server = ScriptedServer::start([Script::serve(|said| polite_with(&["SIZE 20"], said))]);
        let output = send(&server.name(), &["--from", "a@x", "--to", to], message);
        assert_eq!(code(&output), 69, "{output:?}");
        check_complaint(&output, &[&server.name(), wanted]);
        let session = server.finish_one();
        assert_eq!(session.commands[1..], ["QUIT"]);
    }
}

/// The file becomes shorter while the server makes up its mind: the message is not ended.
#[test]
fn a_file_that_cannot_be_read_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_file(folder.path(), "letter", &[LETTER, &b"x\n".repeat(1_000)].concat());
    let file = File::options().write(true).open(&path).unwrap();
    let server = ScriptedServer::start([Script::greeted(&[])
        .expect("MAIL")
        .say("250 OK")
        .expect("RCPT")
        .say("250 OK")
        .expect("DATA")
        .run(move || file.set_len(200).unwrap())
        .say("354 go on")]);
    let output = send(&server.name(), &[&path], b"");
    assert_eq!(code(&output), 74, "{output:?}");
    check_complaint(&output, &[&path, "<b@example.org>", "shorter"]);
    let session = server.finish_one();
    assert!(!session.octets.ends_with(b".\r\n"), "the message was ended");
}

#[test]
fn not_now() {
    let nobody = ReservedPort::new();
    let output = send(&nobody.name(), &["--retries", "0"], LETTER);
    assert_eq!(code(&output), 75, "{output:?}");
    check_complaint(&output, &[&nobody.name(), "<b@example.org>", "no connection"]);

    for script in [
        Script::new().say("421 later").close(),
        Script::serve(|said| match said {
            Said::Line(line) if line.starts_with("RCPT") => "450 later".into(),
            said => polite(said),
        }),
    ] {
        let server = ScriptedServer::start([script]);
        let output = send(&server.name(), &["--retries", "0"], LETTER);
        assert_eq!(code(&output), 75, "{output:?}");
        check_complaint(&output, &[&server.name(), "later"]);
        server.finish_one();
    }
}

/// The answer to the whole message is lost: not now, and marked.
#[test]
fn an_answer_that_is_lost() {
    let server = ScriptedServer::start([Script::serve(|said| match said {
        Said::Content(_) => Answer::close(),
        said => polite(said),
    })]);
    let output = send(&server.name(), &["--retries", "0"], LETTER);
    assert_eq!(code(&output), 75, "{output:?}");
    check_complaint(&output, &["end of content", "connection was lost", "may have arrived all the same"]);
    server.finish_one();
}

#[test]
fn what_is_no_smtp() {
    let server = ScriptedServer::start([Script::new().say("SSH-2.0-OpenSSH_9.6")]);
    let output = send(&server.name(), &["--retries", "0"], LETTER);
    assert_eq!(code(&output), 76, "{output:?}");
    check_complaint(&output, &[&server.name(), "greeting", "three-digit code"]);
    server.finish_one();
}

/// 75 goes before 69, 69 before 0, and each recipient has a line.
#[test]
fn several_ends_at_once() {
    for (recipients, expected) in
        [(&["yes@x", "never@x", "later@x"][..], 75), (&["never@x", "yes@x"], 69), (&["yes@x"], 0)]
    {
        let server = ScriptedServer::start([Script::serve(|said| match said {
            Said::Line("RCPT TO:<never@x>") => "550 never".into(),
            Said::Line("RCPT TO:<later@x>") => "450 later".into(),
            said => polite(said),
        })]);
        let mut arguments = vec!["--retries", "0", "--from", "a@x"];
        recipients.iter().for_each(|to| arguments.extend(["--to", to]));
        let output = send(&server.name(), &arguments, b"x\n");
        assert_eq!(code(&output), expected, "{output:?}");
        assert_eq!(answers(&output).lines().count(), 1);
        assert_eq!(errors(&output).lines().count(), recipients.len() - 1);
        server.finish_one();
    }
}

/// Row N244: with nothing said about retries, the program comes back after five seconds.
#[test]
fn comes_back_by_itself() {
    let port = ReservedPort::new();
    let mut child = command(&["send", "--server", &port.name(), "--from", "a@x", "--to", "b@x"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    assert!(line.contains("not yet") && line.contains("next try in 5s"), "{line}");
    let server = port.listen([Script::serve(polite)]);
    assert!(child.wait().unwrap().success());
    server.finish_one();
}

/// One reason stood for all, and nobody knew for how many.
#[test]
fn how_many_wait() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["one", "two"].map(|name| write_file(folder.path(), name, LETTER));
    let port = ReservedPort::new();
    let mut child = command(&["send", "--server", &port.name(), &files[0], &files[1]]).spawn().unwrap();
    let line = BufReader::new(child.stderr.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(line.contains("not yet: 2 messages wait; ") && line.ends_with("; next try in 5s"), "{line}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_help_names_tries_and_codes() {
    let output = run_with_input(&["send", "--help"], b"");
    assert_eq!((code(&output), errors(&output)), (0, ""));
    for wanted in ["64", "65", "66", "68", "69", "73", "74", "75", "76"] {
        assert!(answers(&output).contains(wanted), "{wanted} is not in {output:?}");
    }
    let output = run_with_input(&["send", "--help"], b"");
    let help = answers(&output).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("3 tries over about 20 s"), "{help}");
    assert!(help.contains("127.0.0.1:2525"), "{help}");
    assert!(help.contains("a name that cannot be looked up, 421"), "{help}");
    for arguments in [&["--help"][..], &["send", "--help"]] {
        let short = [&arguments[..arguments.len() - 1], &["-h"]].concat();
        assert_eq!(answers(&run_with_input(arguments, b"")), answers(&run_with_input(&short, b"")));
    }
}

#[test]
fn the_transcript_shows_all_and_steers_nothing() {
    let server = ScriptedServer::start([Script::new().say("220-\u{1b}]0;title\u{7}\r\n220 \u{9b}2J").converse(polite)]);
    let output = send(&server.name(), &["--transcript"], LETTER);
    assert_eq!(code(&output), 0, "{output:?}");
    let text = errors(&output);
    let is_printable = |octet: &u8| matches!(octet, b' '..=b'~' | b'\n');
    assert!(output.stderr.iter().all(is_printable), "{text}");
    for wanted in [
        "C: <opens a TCP connection to 127.0.0.1:",
        "S: 220-\\x1b]0;title\\x07\n",
        "S: 220 \\xc2\\x9b2J\n",
        "C: EHLO ",
        "S: 354 go on\n",
        "ending in a line with a lone dot>\n",
        "C: QUIT\nS: 221 bye\nC: <closes the connection>\n",
    ] {
        assert!(text.contains(wanted), "{wanted:?} is not in {text}");
    }
    server.finish_one();
}

/// `--chunking` where the server offers it, and where it does not.
#[test]
fn a_chunk_where_the_server_takes_it() {
    let octets = LETTER.len() + LETTER.iter().filter(|octet| **octet == b'\n').count();
    let chunk = Script::greeted(&["PIPELINING", "CHUNKING"])
        .expect("MAIL")
        .expect("RCPT")
        .say("250 OK\r\n250 OK\r\n")
        .expect(&format!("BDAT {octets} LAST"))
        .take(octets)
        .say("250 taken")
        .expect("QUIT")
        .say("221 bye");
    let server = ScriptedServer::start([chunk, Script::serve(polite)]);
    for (sent, shown) in [("BDAT", " octets of content, as announced>\nS: 250 taken"), ("DATA", "with a lone dot>\n")] {
        let output = send(&server.name(), &["--chunking", "--transcript"], LETTER);
        assert_eq!(code(&output), 0, "{output:?}");
        let text = errors(&output);
        assert!(text.contains(&format!("\nC: {sent}")) && text.contains(shown), "{text}");
    }
    server.finish();
}

/// The time is for all: tries, pauses and whatever the server does with it.
#[test]
fn a_timeout_for_everything() {
    for script in [Script::new().hold(), Script::new().say("421 later").close(), Script::greeted(&[]).hold()] {
        let server = ScriptedServer::start([script]);
        let started = Instant::now();
        let output = send(&server.name(), &["--timeout", "1", "--retries", "100"], LETTER);
        assert_eq!(code(&output), 75, "{output:?}");
        assert!(started.elapsed() < PATIENCE / 2, "{:?}", started.elapsed());
        server.finish_one();
    }
    let server = ScriptedServer::start([Script::serve(polite)]);
    assert_eq!(code(&send(&server.name(), &["--timeout", &u64::MAX.to_string()], LETTER)), 0);
    server.finish_one();
}

/// Nobody reads the good news, or the transcript: the mail goes all the same.
#[test]
fn nobody_reads_what_the_program_says() {
    for transcript in [&[][..], &["--transcript"]] {
        let server = ScriptedServer::start([Script::serve(polite)]);
        let name = server.name();
        let all: Vec<&str> = ["send", "--server", &name].iter().chain(transcript).copied().collect();
        let mut child: Child = command(&all).stdin(Stdio::piped()).spawn().unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        child.stdin.take().unwrap().write_all(LETTER).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert_eq!(server.finish_one().contents.len(), 1);
    }
    for arguments in [&["--help"][..], &["--version"], &["send", "--from", "nobody"]] {
        let mut child: Child = command(arguments).spawn().unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        assert!(matches!(child.wait().unwrap().code(), Some(0 | 64)), "{arguments:?}");
    }
}

/// A message larger than what is kept in memory comes through standard input as it is.
#[test]
fn a_large_message_from_standard_input() {
    let letter = [LETTER, &b"0123456789 \xc3\xa9\n.\n".repeat(200_000)].concat();
    let server = ScriptedServer::start([Script::serve(polite)]);
    let output = send(&server.name(), &[], &letter);
    assert_eq!(code(&output), 0, "{output:?}");
    let session = server.finish_one();
    assert!(session.commands[1].ends_with(" BODY=8BITMIME"));
    let sent = session.contents[0].clone();
    let expected = with_crlf(String::from_utf8(letter).unwrap().replace("\n.\n", "\n..\n").as_bytes());
    assert!(sent == expected, "{} octets, not {}", sent.len(), expected.len());
}

/// 50 MiB from a file, with every octet but CR, in far less memory than that.
#[test]
#[cfg(target_os = "linux")] // elsewhere nothing bounds a process's memory
fn a_message_of_50_mebibytes() {
    let folder = tempfile::tempdir().unwrap();
    let octets: Vec<u8> = (0..=255).filter(|octet| *octet != b'\r').collect();
    let letter = [LETTER, &octets.repeat((50 << 20) / octets.len())].concat();
    let file = write_file(folder.path(), "letter", &letter);
    let server = ScriptedServer::start([Script::serve(polite_eight_bit)]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -v 24000 && exec \"$@\"", "sh"]).arg(program("smtp-client"));
    let output = shell.args(["send", "--server", &server.name(), &file]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(code(&output), 0, "{output:?}");
    let sent = &server.finish_one().contents[0];
    let mut expected = Vec::with_capacity(letter.len() + (1 << 20));
    for line in letter.split_inclusive(|octet| *octet == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        expected.extend_from_slice(if text.starts_with(b".") { b"." } else { b"" });
        expected.extend_from_slice(text);
        expected.extend_from_slice(b"\r\n");
    }
    assert!(*sent == expected, "{} octets, not {}", sent.len(), expected.len());
}

fn polite_eight_bit(said: Said<'_>) -> Answer {
    polite_with(&["8BITMIME"], said)
}

/// Where it is to be kept is the reason, and not the message.
#[test]
fn no_room_for_a_large_message() {
    let mut child = command(&["send", "--from", "a@x", "--to", "b@x"])
        .env("TMPDIR", "/nonexistent")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    // The program ends before it has read all.
    let _ = child.stdin.take().unwrap().write_all(&b"x\n".repeat(1 << 20));
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(74), "{text}");
    assert!(text.contains("/nonexistent"), "{text}");
}

/// What the program waits for is never shorter than what it was told.
#[test]
fn a_slow_server_within_the_timeout() {
    let slow = Duration::from_millis(200);
    let server = ScriptedServer::start([Script::new()
        .quiet(slow)
        .say("220 mx")
        .expect("EHLO")
        .quiet(slow)
        .say("250 x")
        .converse(polite)]);
    assert_eq!(code(&send(&server.name(), &["--timeout", "15"], LETTER)), 0);
    server.finish_one();
}
