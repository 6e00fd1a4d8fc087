//! What the client puts on the wire, octet for octet, and how it reads what comes back.

#![allow(clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::time::Duration;

use smtp_client::connection::SendError;
use smtp_client::proto::address::DomainName;
use smtp_client::proto::client::{Cause, Outcome, Stage, StartError};
use smtp_client::proto::parameter::{Notify, Ret};
use smtp_client::proto::xtext::Xtext;
use smtp_client::{Connection, Options};
use smtp_tests::scripted_server::{
    Answer, Said, Script, ScriptedServer, Session, content, hello, in_haste, in_lock_step, polite, polite_with,
    transaction,
};

/// How long the server listens before it believes that nothing comes.
const WHILE: Duration = Duration::from_millis(30);

/// Sends one message and quits.
fn send(server: &ScriptedServer, options: Options, to: &[&str], message: &[u8]) -> Outcome {
    let mut connection = Connection::open(&server.name(), options).unwrap();
    let outcome = connection.send(transaction("a@example.com", to), &content(message)).unwrap();
    connection.quit();
    outcome
}

/// What a polite server with these extensions hears when one message is sent.
fn heard(keywords: &'static [&'static str], to: &[&str], message: &[u8]) -> Session {
    let server = ScriptedServer::start([Script::serve(move |said| polite_with(keywords, said))]);
    assert!(send(&server, in_haste(), to, message).is_success());
    server.finish_one()
}

fn named() -> Options {
    Options { hello_name: Some("client.example.com".parse().unwrap()), ..in_lock_step() }
}

/// Rows N005, N104, N106, N130, N131, N145, N154, N158, N184, N185, N251, N252, N311: the whole dialogue with a server
/// that fails if anything comes before the reply to what came before.
#[test]
fn in_lock_step_nothing_comes_before_its_reply() {
    let mut script = Script::new().quiet(WHILE).say("220 mx.example ESMTP");
    for (line, reply) in [
        ("EHLO client.example.com", "250 mx.example"),
        ("MAIL FROM:<a@example.com>", "250 OK"),
        ("RCPT TO:<b@example.org>", "250 OK"),
        ("RCPT TO:<c@example.org>", "251 forwarded"),
        ("DATA", "354 go on"),
    ] {
        script = script.expect(line).quiet(WHILE).say(reply);
    }
    let script = script.content().quiet(WHILE).say("250 queued").expect("QUIT").quiet(WHILE).say("221 bye");
    let server = ScriptedServer::start([script]);
    let outcome = send(&server, named(), &["b@example.org", "c@example.org"], b"Subject: x\n\nhello\n");
    assert!(outcome.is_success());
    let session = server.finish_one();
    let expected = "EHLO client.example.com\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\n\
        RCPT TO:<c@example.org>\r\nDATA\r\nSubject: x\r\n\r\nhello\r\n.\r\nQUIT\r\n";
    assert_eq!(session.octets.escape_ascii().to_string(), expected.as_bytes().escape_ascii().to_string());
}

/// Rows X017, X018, X021: MAIL, every RCPT and DATA in one group, EHLO and QUIT alone.
#[test]
fn with_pipelining_the_envelope_is_one_group() {
    let script = Script::new()
        .say("220 mx.example")
        .expect("EHLO ")
        .quiet(WHILE)
        .say("250-mx.example\r\n250 PIPELINING")
        .expect("MAIL FROM:<a@example.com>")
        .expect("RCPT TO:<b@x.example>")
        .expect("RCPT TO:<c@x.example>")
        .expect("DATA")
        .quiet(WHILE)
        .say("250 one\r\n550 two\r\n250 three\r\n354 four\r\n")
        .content()
        .quiet(WHILE)
        .say("250 five")
        .expect("QUIT")
        .say("221 bye");
    let server = ScriptedServer::start([script]);
    let outcome = send(&server, in_haste(), &["b@x.example", "c@x.example"], b"hello\n");
    let results: Vec<_> = outcome.recipients.iter().map(|one| one.result.as_ref().map(ToString::to_string)).collect();
    assert_eq!(results[1], Ok("250 five".to_owned()));
    assert_eq!(results[0].as_ref().unwrap_err().to_string(), "RCPT: 550 two");
    server.finish_one();
}

/// Row X023: a group never outgrows what both sides can hold.
#[test]
fn many_recipients_go_out_in_bounded_groups() {
    let to: Vec<String> = (0..300).map(|number| format!("u{number}@x.example")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let mut script = Script::greeted(&["PIPELINING"]).expect("MAIL");
    for _ in 1..64 {
        script = script.expect("RCPT");
    }
    let script = script.quiet(WHILE).say("250 OK\r\n".repeat(64)).converse(polite);
    let server = ScriptedServer::start([script]);
    assert!(send(&server, in_haste(), &to, b"hello\n").is_success());
    let session = server.finish_one();
    assert_eq!(session.commands.iter().filter(|line| line.starts_with("RCPT")).count(), 300);
    assert_eq!(session.commands.iter().filter(|line| *line == "DATA").count(), 1);
}

/// Rows N014, N102, N103, N150, N151: a full name, or the address in brackets, and nothing behind it.
#[test]
fn the_client_names_itself_in_full() {
    let session = heard(&[], &["b@x.example"], b"hello\n");
    let argument = session.commands[0].strip_prefix("EHLO ").unwrap();
    let is_full_name = argument.contains('.') && argument.parse::<DomainName>().is_ok();
    assert!(is_full_name || argument == "[127.0.0.1]", "{argument}");
}

/// Row X141.
#[test]
fn the_name_is_ascii_or_nobody_is_called() {
    let server = ScriptedServer::start([]);
    let options = Options { hello_name: Some("b\u{fc}cher.example".parse().unwrap()), ..in_haste() };
    let error = Connection::open(&server.name(), options).unwrap_err();
    assert!(!error.is_transient() && error.to_string().contains("ASCII"), "{error}");
    assert!(server.finish().is_empty());
}

/// Rows N100, N113, X002, X077, X138, X139: only what was offered, once, and only where it is needed.
#[test]
fn parameters_are_sent_where_they_were_offered() {
    let (plain, eight_bit): (&[u8], &[u8]) = (b"hello\n", b"h\xc3\xa9llo\n");
    for (keywords, from, message, expected) in [
        (&[][..], "a@x", plain, "MAIL FROM:<a@x>"),
        (&["SIZE"], "a@x", plain, "MAIL FROM:<a@x> SIZE=7"),
        (&["SIZE 1000"], "a@x", plain, "MAIL FROM:<a@x> SIZE=7"),
        (&["8BITMIME", "SMTPUTF8"], "a@x", plain, "MAIL FROM:<a@x>"),
        (&["8BITMIME"], "a@x", eight_bit, "MAIL FROM:<a@x> BODY=8BITMIME"),
        (&["8BITMIME", "SMTPUTF8"], "\u{e9}@x", plain, "MAIL FROM:<\u{e9}@x> SMTPUTF8"),
        (
            &["SIZE", "8BITMIME", "SMTPUTF8"],
            "\u{e9}@x",
            eight_bit,
            "MAIL FROM:<\u{e9}@x> SIZE=8 BODY=8BITMIME SMTPUTF8",
        ),
        // Row N107: keywords in any case; X132: arguments of SMTPUTF8 are ignored.
        (&["sIzE", "8bitmime", "smtputf8 x=y"], "\u{e9}@x", plain, "MAIL FROM:<\u{e9}@x> SIZE=7 SMTPUTF8"),
        (&["DSN"], "a@x", plain, "MAIL FROM:<a@x> RET=HDRS ENVID=id"),
    ] {
        let keywords: Vec<String> = keywords.iter().map(|keyword| (*keyword).to_owned()).collect();
        let has_dsn = keywords.iter().any(|keyword| keyword == "DSN");
        let server = ScriptedServer::start([Script::serve(move |said| match said {
            Said::Line(line) if line.starts_with("EHLO") => {
                hello(&keywords.iter().map(String::as_str).collect::<Vec<_>>()).into()
            }
            said => polite(said),
        })]);
        let mut transaction = transaction(from, &["b@x"]);
        transaction.parameters.ret = Some(Ret::Headers);
        transaction.parameters.envid = Xtext::encode("id");
        transaction.parameters.auth = Some("<a@x>".parse().unwrap());
        transaction.recipients[0].parameters.notify = Some(Notify::Never);
        let mut connection = Connection::open(&server.name(), in_haste()).unwrap();
        assert!(connection.send(transaction, &content(message)).unwrap().is_success());
        connection.quit();
        let commands = server.finish_one().commands;
        assert_eq!(commands[1], expected);
        assert_eq!(commands[2], if has_dsn { "RCPT TO:<b@x> NOTIFY=NEVER" } else { "RCPT TO:<b@x>" });
    }
}

/// What the caller says about the content does not count against what it is.
#[test]
fn size_and_body_are_those_of_the_content() {
    let server = ScriptedServer::start([Script::serve(polite)]);
    let mut transaction = transaction("a@x", &["b@x"]);
    transaction.parameters.size = Some(1);
    transaction.parameters.body = Some(smtp_client::proto::parameter::Body::SevenBit);
    let mut connection = Connection::open(&server.name(), in_haste()).unwrap();
    assert!(connection.send(transaction, &content(b"\xe9\n")).unwrap().is_success());
    connection.quit();
    assert_eq!(server.finish_one().commands[1], "MAIL FROM:<a@x> SIZE=3 BODY=8BITMIME");
}

/// Rows N021, N034, N035, N070, N072, N109, N139, N302, N303: plain mailboxes, in their own case, quoted if they must be.
#[test]
fn addresses_go_out_in_their_plainest_form() {
    for (given, sent) in [
        ("MiXeD@ExAmPle.org", "<MiXeD@ExAmPle.org>"),
        ("\"a\"@x", "<a@x>"),
        ("\"a.b\"@x", "<a.b@x>"),
        ("\"a\\b\"@x", "<ab@x>"),
        ("\"john smith\"@x", "<\"john smith\"@x>"),
        ("\"\"@x", "<\"\"@x>"),
        ("\"a\\\"b\"@x", "<\"a\\\"b\"@x>"),
        ("\"a@b\"@x", "<\"a@b\"@x>"),
        ("<@one,@two:u@x>", "<u@x>"),
        ("-leading-dash@x", "<-leading-dash@x>"),
        ("u@[IPv6:2001:db8::1]", "<u@[IPv6:2001:db8::1]>"),
        ("u@[192.0.2.1]", "<u@[192.0.2.1]>"),
        ("u@x.", "<u@x>"),
    ] {
        let server = ScriptedServer::start([Script::serve(polite)]);
        let mut connection = Connection::open(&server.name(), in_haste()).unwrap();
        assert!(connection.send(transaction(given, &[given]), &content("x")).unwrap().is_success());
        connection.quit();
        let commands = server.finish_one().commands;
        assert_eq!(commands[1..3], [format!("MAIL FROM:{sent} SIZE=3"), format!("RCPT TO:{sent}")]);
    }
}

#[test]
fn the_null_sender_and_the_bare_postmaster() {
    let server = ScriptedServer::start([Script::serve(polite)]);
    let mut connection = Connection::open(&server.name(), in_haste()).unwrap();
    assert!(connection.send(transaction("<>", &["<PostMaster>"]), &content("x")).unwrap().is_success());
    connection.quit();
    let commands = server.finish_one().commands;
    assert_eq!(commands[1..3], ["MAIL FROM:<> SIZE=3", "RCPT TO:<Postmaster>"]);
}

/// Rows N018, N115, N116, N221: CRLF only, leading dots doubled, a last line without an end gets one, and nothing else.
#[test]
fn content_as_it_goes_over_the_wire() {
    for (message, expected) in [
        (&b""[..], &b""[..]),
        (b"\n", b"\r\n"),
        (b"one", b"one\r\n"),
        (b"one\n", b"one\r\n"),
        (b"one\r\n", b"one\r\n"),
        (b"one\n\n\n", b"one\r\n\r\n\r\n"),
        (b".", b"..\r\n"),
        (b".\n", b"..\r\n"),
        (b".\r\n.\r\n", b"..\r\n..\r\n"),
        (b"..\n...\n....", b"...\r\n....\r\n.....\r\n"),
        (b"a.\n.b\n", b"a.\r\n..b\r\n"),
        (b"one\r\ntwo\nthree", b"one\r\ntwo\r\nthree\r\n"),
        (b"a\0b\x01\x7f\n", b"a\0b\x01\x7f\r\n"),
        (b"A: b\nBcc: c@x\n\n.\n", b"A: b\r\n\r\n..\r\n"),
    ] {
        let session = heard(&[], &["b@x"], message);
        assert_eq!(session.contents[0].escape_ascii().to_string(), expected.escape_ascii().to_string(), "{message:?}");
        assert_eq!(session.commands.last().unwrap(), "QUIT");
    }
}

/// Row N115 for what is larger than any buffer on the way: lines of dots, cut at every place a buffer may cut.
#[test]
fn a_large_message_arrives_as_it_is() {
    let lines: Vec<Vec<u8>> = (0..9_000).map(|length| vec![b'.'; length % 700]).collect();
    let message = lines.join(&b'\n');
    let session = heard(&[], &["b@x"], &message);
    let expected: Vec<u8> =
        lines.iter().flat_map(|line| [if line.is_empty() { &b""[..] } else { b"." }, line, b"\r\n"].concat()).collect();
    assert!(session.contents[0] == expected, "{} octets, not {}", session.contents[0].len(), expected.len());
}

/// Row N155: each message has its own transaction, and one that was given up is ended before the next.
#[test]
fn several_messages_over_one_connection() {
    let script = Script::serve(|said| match said {
        Said::Line("RCPT TO:<nobody@x>") => "550 who?".into(),
        said => polite_with(&[], said),
    });
    let server = ScriptedServer::start([script]);
    let mut connection = Connection::open(&server.name(), in_haste()).unwrap();
    for (to, is_success) in [("b@x", true), ("nobody@x", false), ("c@x", true)] {
        let outcome = connection.send(transaction("a@x", &[to]), &content("x")).unwrap();
        assert_eq!(outcome.is_success(), is_success, "{to}");
    }
    connection.quit();
    let commands = server.finish_one().commands;
    let expected = [
        "MAIL FROM:<a@x>",
        "RCPT TO:<b@x>",
        "DATA",
        "MAIL FROM:<a@x>",
        "RCPT TO:<nobody@x>",
        "RSET",
        "MAIL FROM:<a@x>",
        "RCPT TO:<c@x>",
        "DATA",
        "QUIT",
    ];
    assert_eq!(commands[1..], expected);
}

/// Rows N040, N041: content follows 354 and nothing else.
#[test]
fn no_content_without_354() {
    for answer in ["250 OK", "450 later", "503 no", "554 no", "500 what?"] {
        for keywords in [&[][..], &["PIPELINING"]] {
            let server = ScriptedServer::start([Script::serve(move |said| match said {
                Said::Line("DATA") => answer.into(),
                said => polite_with(keywords, said),
            })]);
            let outcome = send(&server, in_haste(), &["b@x"], b"secret\n");
            let failure = outcome.recipients[0].result.as_ref().unwrap_err();
            assert!(failure.stage == Stage::Data && !failure.is_uncertain(), "{answer}: {failure}");
            let session = server.finish_one();
            assert!(!session.octets.windows(6).any(|octets| octets == b"secret"), "{answer}");
        }
    }
}

/// Row X020: a server that says 354 though every recipient was refused gets a lone dot.
#[test]
fn nobody_wants_it_and_the_server_says_354() {
    let script = Script::serve(|said| match said {
        Said::Line(line) if line.starts_with("RCPT") => "550 no".into(),
        Said::Content(_) => "554 no recipients".into(),
        said => polite(said),
    });
    let server = ScriptedServer::start([script]);
    let outcome = send(&server, in_haste(), &["b@x", "c@x"], b"secret\n");
    assert!(outcome.recipients.iter().all(|one| one.result.as_ref().is_err_and(|why| why.stage == Stage::Rcpt)));
    let session = server.finish_one();
    assert_eq!((session.contents[0].len(), session.commands.last().unwrap().as_str()), (0, "QUIT"));
}

/// Rows N006, N032: a server that does not know EHLO may know HELO, and then nothing is asked of it that it cannot know.
#[test]
fn falls_back_to_helo() {
    for answer in ["500 what?", "502 not here", "550 no", "504 no such argument"] {
        let server = ScriptedServer::start([Script::serve(move |said| match said {
            Said::Line(line) if line.starts_with("EHLO") => answer.into(),
            Said::Line(line) if line.starts_with("HELO") => "250-mx.example\r\n250 PIPELINING".into(),
            said => polite(said),
        })]);
        assert!(send(&server, named(), &["b@x"], b"x\n").is_success());
        let session = server.finish_one();
        let expected = ["EHLO client.example.com", "HELO client.example.com", "MAIL FROM:<a@example.com>"];
        assert_eq!(session.commands[..3], expected);
    }
}

/// Row N159: QUIT also where no session was opened, unless the server closes itself.
#[test]
fn a_refused_session_ends_with_quit() {
    for (greeting, commands) in [("554 no mail here", &["QUIT"][..]), ("451 not now", &["QUIT"]), ("421 not now", &[])]
    {
        let script = Script::new().say(greeting).converse(polite);
        let server = ScriptedServer::start([script]);
        let error = Connection::open(&server.name(), in_haste()).unwrap_err();
        assert!(error.to_string().contains(greeting), "{error}");
        assert_eq!(error.is_transient(), greeting.starts_with('4'));
        assert_eq!(server.finish_one().commands, commands);
    }
}

/// Rows N162, N165, N166, N168, N173, N189, X022: what counts is the code, by its first digit, in however many lines.
#[test]
fn replies_of_every_shape() {
    let shapes: [fn(&str) -> String; 5] = [
        |code| code.to_owned(),
        |code| format!("{code} "),
        |code| format!("{code} 550 421 no go away"),
        |code| format!("{code}-\r\n{code}-550 what\r\n{code}"),
        |code| format!("{code}-\u{1b}[2J\u{e9}\t\r\n{code} {}", "x".repeat(500)),
    ];
    for shape in shapes {
        for (positive, intermediate) in [("250", "354"), ("299", "399"), ("211", "300")] {
            let (yes, go_on) = (shape(positive), shape(intermediate));
            let server = ScriptedServer::start([Script::new().say(&yes).converse(move |said| match said {
                Said::Line("DATA") => go_on.clone().into(),
                _ => yes.clone().into(),
            })]);
            assert!(send(&server, in_haste(), &["b@x"], b"x\n").is_success());
            server.finish_one();
        }
    }
}

/// Rows N168, N171, N172.
#[test]
fn unlisted_refusals() {
    for (code, is_transient) in [(400, true), (499, true), (500, false), (599, false)] {
        let server = ScriptedServer::start([Script::serve(move |said| match said {
            Said::Line(line) if line.starts_with("RCPT") => code.to_string().into(),
            said => polite(said),
        })]);
        let outcome = send(&server, in_haste(), &["b@x"], b"x\n");
        let failure = outcome.recipients[0].result.as_ref().unwrap_err();
        assert_eq!(failure.is_transient(), is_transient, "{code}");
        assert!(matches!(&failure.cause, Cause::Refused(reply) if reply.code().number() == code));
        server.finish_one();
    }
}

#[test]
fn replies_octet_by_octet() {
    let mut script = Script::new().say_slowly("220-mx.example\r\n220 ESMTP");
    for (line, reply) in [
        ("EHLO", "250-mx.example\r\n250-SIZE\r\n250 8BITMIME"),
        ("MAIL", "250 2.1.0 OK"),
        ("RCPT", "250-2.1.5 one\r\n250 2.1.5 two"),
        ("DATA", "354 go on"),
    ] {
        script = script.expect(line).say_slowly(reply);
    }
    let script = script.content().say_slowly("250 2.0.0 queued").expect("QUIT").say_slowly("221 bye");
    let server = ScriptedServer::start([script]);
    assert!(send(&server, in_haste(), &["b@x"], b"x\n").is_success());
    server.finish_one();
}

/// Row N238: each step has its own time, so a slow server is served if it is steady.
#[test]
fn slow_but_steady() {
    let slow = Duration::from_millis(120);
    let mut script = Script::new().quiet(slow).say("220 mx.example");
    for (line, reply) in [("EHLO", "250 x"), ("MAIL", "250 x"), ("RCPT", "250 x"), ("RCPT", "250 x"), ("DATA", "354 x")]
    {
        script = script.expect(line).quiet(slow).say(reply);
    }
    let server = ScriptedServer::start([script.content().quiet(slow).say("250 x").expect("QUIT").say("221 x")]);
    let options = Options { timeouts: smtp_tests::scripted_server::timeouts(slow * 5), ..in_haste() };
    assert!(send(&server, options, &["b@x", "c@x"], b"x\n").is_success());
    server.finish_one();
}

/// Rows N022, X048, X128, X136: what a server cannot carry is not sent to it.
#[test]
fn what_the_server_cannot_carry_stays_here() {
    for (keywords, from, to, message, expected) in [
        (&["SIZE"][..], "a@x", "b@x", &b"\xe9\n"[..], StartError::NeedsEightBitMime),
        (&["8BITMIME"], "\u{e9}@x", "b@x", b"x\n", StartError::NeedsSmtpUtf8),
        (&["8BITMIME"], "a@x", "b@\u{e9}.example", b"x\n", StartError::NeedsSmtpUtf8),
        (&["SIZE 10"], "a@x", "b@x", b"0123456789\n", StartError::TooBig { limit_octets: 10 }),
    ] {
        let server = ScriptedServer::start([Script::serve(move |said| polite_with(keywords, said))]);
        let mut connection = Connection::open(&server.name(), in_haste()).unwrap();
        match connection.send(transaction(from, &[to]), &content(message)) {
            Err(SendError::Start(error)) => assert_eq!(error, expected),
            other => panic!("{expected:?}: {other:?}"),
        }
        // The next message is none the worse for it.
        assert!(connection.send(transaction("a@x", &["b@x"]), &content("x")).unwrap().is_success());
        connection.quit();
        let commands = server.finish_one().commands;
        assert_eq!(commands.iter().filter(|line| line.starts_with("MAIL")).count(), 1, "{expected:?}");
    }
}

/// Row N226, X008: a size that was announced in time is no promise.
#[test]
fn a_size_may_be_refused_at_any_time() {
    for (at, stage) in [("MAIL", Stage::Mail), ("DATA", Stage::Data), ("", Stage::EndOfContent)] {
        let server = ScriptedServer::start([Script::serve(move |said| match said {
            Said::Line(line) if !at.is_empty() && line.starts_with(at) => "552 5.3.4 too big".into(),
            Said::Content(_) => "552 5.3.4 too big".into(),
            said => polite_with(&["SIZE"], said),
        })]);
        let outcome = send(&server, in_haste(), &["b@x"], b"x\n");
        let failure = outcome.recipients[0].result.as_ref().unwrap_err();
        assert_eq!((failure.stage, failure.is_transient()), (stage, false));
        server.finish_one();
    }
}

/// A close right behind 250 does not undo it.
#[test]
fn a_server_may_close_behind_its_last_reply() {
    let server = ScriptedServer::start([Script::serve(|said| match said {
        Said::Content(_) => Answer::last("250 queued, and good night"),
        said => polite(said),
    })]);
    let mut connection = Connection::open(&server.name(), in_haste()).unwrap();
    assert!(connection.send(transaction("a@x", &["b@x"]), &content("x")).unwrap().is_success());
    connection.quit();
    server.finish_one();
}
