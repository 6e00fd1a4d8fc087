//! `smtp-client probe`: what it tells of our own server, and of those that are not willing.

#![allow(clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::time::Instant;

use smtp_tests::PATIENCE;
use smtp_tests::client::{answers, check_failure, code, errors, run};
use smtp_tests::scripted_server::{Answer, ReservedPort, Said, Script, ScriptedServer, polite, polite_with};
use smtp_tests::server::TestServer;

/// A text with every number of seconds replaced by `T`.
fn without_times(text: &str) -> String {
    let is_time = |word: &str| {
        let parts = word.split_once('.').filter(|(whole, part)| !whole.is_empty() && matches!(part.len(), 3 | 6));
        parts.is_some_and(|(whole, part)| whole.chars().chain(part.chars()).all(|digit| digit.is_ascii_digit()))
    };
    let words = text.split_inclusive([' ', ',']).map(|word| {
        let bare = word.trim_end_matches([' ', ',']);
        let start = bare.rfind(':').map_or(0, |colon| colon + 1);
        if is_time(&bare[start..]) { word.replace(&bare[start..], "T") } else { word.to_owned() }
    });
    words.collect()
}

#[test]
fn our_own_server() {
    let server = TestServer::start();
    let name = server.address.to_string();
    let output = run(&["probe", &name]);
    assert_eq!((code(&output), errors(&output)), (0, ""));
    let expected = format!(
        "\
{name}: connected in T s
greeting in T s: 220 mx.example.org ESMTP ready
EHLO in T s: 250 mx.example.org greets you

SIZE 67108864        the largest message it takes, in octets (RFC 1870)
PIPELINING           commands may come in groups (RFC 2920)
8BITMIME             content may hold 8-bit octets (RFC 6152)
SMTPUTF8             addresses and headers in all scripts (RFC 6531)
ENHANCEDSTATUSCODES  replies hold finer codes, such as 5.1.1 (RFC 2034)
CHUNKING             content may come by BDAT, with its size in front (RFC 3030)
LIMITS RCPTMAX=1000  how much it takes at a time (RFC 9422)
"
    );
    assert!(without_times(answers(&output)).starts_with(&expected), "{}", answers(&output));
    assert!(answers(&output).contains("\nlargest message: 67108864 octets\n"), "{}", answers(&output));
    assert!(server.stored().is_empty());
}

#[test]
fn one_json_object() {
    let keywords = ["SIZE 1000", "auth plain login", "LIMITS MAILMAX=5 RCPTMAX=100", "X-odd \"thing\""];
    let server = ScriptedServer::start([Script::serve(move |said| polite_with(&keywords, said))]);
    let name = server.name();
    let output = run(&["probe", "--json", "--hello", "probe.example", &name]);
    assert_eq!((code(&output), errors(&output)), (0, ""));
    let expected = [
        &format!(r#"{{"server":"{name}","address":"{name}","connect_seconds":T,"#),
        r#""greeting":{"seconds":T,"code":220,"enhanced":null,"lines":["mx.example ESMTP"]},"#,
        r#""ehlo":{"seconds":T,"code":250,"enhanced":null,"lines":["mx.example greets you","SIZE 1000","auth plain login","#,
        r#""LIMITS MAILMAX=5 RCPTMAX=100","X-odd \"thing\""]},"helo":null,"tls":null,"extensions":["#,
        r#"{"keyword":"SIZE","arguments":"1000","meaning":"the largest message it takes, in octets (RFC 1870)"},"#,
        r#"{"keyword":"AUTH","arguments":"PLAIN LOGIN","meaning":"users can prove who they are, in these ways (RFC 4954)"},"#,
        r#"{"keyword":"LIMITS","arguments":"MAILMAX=5 RCPTMAX=100","meaning":"how much it takes at a time (RFC 9422)"},"#,
        r#"{"keyword":"X-odd","arguments":"\"thing\"","meaning":null}],"#,
        r#""size_limit_octets":1000,"limits":["MAILMAX=5","RCPTMAX=100"],"failure":null}"#,
        "\n",
    ]
    .concat();
    assert_eq!(without_times(answers(&output)), expected);
    assert_eq!(server.finish_one().commands, ["EHLO probe.example", "QUIT"]);
}

#[test]
fn a_server_that_knows_no_ehlo() {
    let script = |said: Said<'_>| match said {
        Said::Line(line) if line.starts_with("EHLO") => "500 5.5.1 what".into(),
        said => polite(said),
    };
    let server = ScriptedServer::start([Script::serve(script), Script::serve(script)]);
    let output = run(&["probe", "--transcript", &server.name()]);
    assert_eq!(code(&output), 0, "{output:?}");
    let wanted = "EHLO in T s: 500 what\nHELO in T s: 250 OK\n\nno extensions\n\nlargest message: no limit announced\n";
    assert!(without_times(answers(&output)).ends_with(wanted), "{output:?}");
    assert!(errors(&output).contains("S: 500 5.5.1 what\nC: HELO "), "{output:?}");
    let output = run(&["probe", "--json", &server.name()]);
    let wanted = r#""code":500,"enhanced":"5.5.1","lines":["what"]},"helo":{"seconds":T,"code":250,"#;
    assert!(without_times(answers(&output)).contains(wanted), "{output:?}");
    server.finish();
}

#[test]
fn no_server_steers_the_terminal() {
    let evil = |said: Said<'_>| match said {
        Said::Line(line) if line.starts_with("EHLO") => {
            Answer::Say(b"250-mx\x1b[2J\r\n250-\x1b]0;t\x07 \xc2\x9b1m\r\n250-\r\n250 LIMITS \x07=\x1b\r\n".to_vec())
        }
        said => polite(said),
    };
    let script = || Script::new().say(&b"220-\x1b[31m\r\n220 \xff\xe2\x80\xae\r\n"[..]).converse(evil);
    let server = ScriptedServer::start([script(), script()]);
    for words in [&["probe"][..], &["probe", "--json"]] {
        let output = run(&[words, &[&server.name()]].concat());
        assert_eq!((code(&output), errors(&output)), (0, ""));
        assert!(output.stdout.iter().all(|octet| matches!(octet, b' '..=b'~' | b'\n')), "{output:?}");
        for wanted in ["x1b[31m", "xff", "x1b]0;t", "x1b[2J", "LIMITS"] {
            assert!(answers(&output).contains(wanted), "{wanted} is not in {output:?}");
        }
    }
    server.finish();
}

/// Where it ended and what came, in words and as JSON; the exit code is that of `send`.
#[test]
fn servers_that_are_not_willing() {
    for (script, expected, stage, wanted) in [
        (refusing as fn() -> Script, 69, "greeting", "554 5.3.2 no mail here"),
        (|| Script::new().say("421 4.3.2 later").close(), 75, "greeting", "421 4.3.2 later"),
        (|| Script::new().say("SSH-2.0-x\x1b[2J"), 76, "greeting", "received so far: \"SSH-2.0-x\\x1b[2J\""),
        (|| Script::new().say_in_pieces([b"22".to_vec()]).close(), 75, "greeting", "received so far: \"22\""),
        (|| Script::new().say_for_ever(b"220-a\r\n"), 76, "greeting", "too long"),
        (|| Script::new().say("220 mx").expect("EHLO").say_for_ever(b"x"), 76, "EHLO", "received so far: \"xxx"),
        // An answer before the question.
        (|| Script::new().say("220 mx\r\n250 mx\r\n"), 76, "EHLO", "a reply that belongs to no command"),
        (|| Script::new().say("220 mx").expect("EHLO").close(), 75, "EHLO", "the connection was lost"),
    ] {
        let server = ScriptedServer::start([script(), script()]);
        let output = run(&["probe", &server.name()]);
        check_failure(&output, expected, &[&server.name(), stage, wanted]);
        assert!(answers(&output).starts_with(&format!("{}: connected in ", server.name())), "{output:?}");
        let output = run(&["probe", "--json", &server.name()]);
        check_failure(&output, expected, &[&server.name(), stage, wanted]);
        let object = answers(&output);
        assert!(object.starts_with('{') && object.ends_with("\"}\n") && object.lines().count() == 1, "{object}");
        let escaped = wanted.replace('\\', "\\\\").replace('"', "\\\"");
        for wanted in [&escaped, r#""tls":null,"extensions":[],"size_limit_octets":null,"limits":[],"failure":""#] {
            assert!(object.contains(wanted), "{wanted} is not in {object}");
        }
        assert_eq!(
            object.contains(r#""greeting":null"#),
            stage == "greeting" && !wanted.starts_with(['4', '5']),
            "{object}"
        );
        server.finish_anyhow();
    }
}

fn refusing() -> Script {
    Script::new().say("554 5.3.2 no mail here").converse(polite)
}

#[test]
fn nobody_there() {
    let nobody = ReservedPort::new();
    let output = run(&["probe", "--json", &nobody.name()]);
    check_failure(&output, 75, &[&nobody.name(), "no connection"]);
    assert!(answers(&output).contains(r#""address":null,"connect_seconds":null,"greeting":null,"#), "{output:?}");
    // A label too long for DNS: the answer needs no network.
    let host = format!("{}.invalid", "x".repeat(64));
    let output = run(&["probe", &host]);
    check_failure(&output, 68, &[&host, "cannot be looked up"]);
    assert_eq!(answers(&output), "");
}

#[test]
fn a_silent_server_holds_nobody() {
    // The first use of a program may have to build it.
    assert!(run(&["--version"]).status.success());
    for (script, stage) in [(Script::new().hold(), "greeting"), (Script::new().say("220 mx").hold(), "EHLO")] {
        let server = ScriptedServer::start([script]);
        let started = Instant::now();
        let output = run(&["probe", "--timeout", "1", &server.name()]);
        check_failure(&output, 75, &[&format!("{stage}: the server was silent for too long")]);
        assert!(started.elapsed() < PATIENCE / 2, "{:?}", started.elapsed());
        server.finish_anyhow();
    }
}

#[test]
fn wrong_command_lines() {
    for words in [
        &["probe"][..],
        &["probe", "::1"],
        &["probe", "a:b:c"],
        &["probe", "--timeout", "0", "x"],
        &["probe", "a", "b"],
    ] {
        check_failure(&run(words), 64, &[]);
    }
}
