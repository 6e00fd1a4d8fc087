//! Rows of `docs/requirements.md` that no other test of the protocol core answers for, from outside, by name.

// A helper of a test is a test: what it did not expect fails it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use proptest::prelude::*;
use smtp_proto::address::{ForwardPath, ReversePath};
use smtp_proto::client::{self, ClientSession};
use smtp_proto::command::Command;
use smtp_proto::content::{ContentEncoder, LineEnds};
use smtp_proto::line::LineReader;
use smtp_proto::server::{self, Decision, Event, ServerSession};
use smtp_proto::transaction::Transaction;

const NOW: Duration = Duration::ZERO;

/// What a server that agrees to everything answers to these lines, each handed in by itself.
fn answers(lines: &[&str]) -> Vec<String> {
    let mut session = ServerSession::new(server::Config::new("mx.example.org".parse().unwrap()));
    let mut answers = Vec::new();
    for line in [&[""], lines].concat() {
        let input = if line.is_empty() { Vec::new() } else { format!("{line}\r\n").into_bytes() };
        let mut rest = &input[..];
        loop {
            let (used, event) = session.handle(rest, NOW);
            rest = &rest[used..];
            match event {
                Event::Question => session.decide(Decision::Accept, NOW),
                Event::NeedInput | Event::StartTls | Event::Close => break,
                Event::Content(_) | Event::Dropped => {}
            }
        }
        answers.push(String::from_utf8(session.output().to_vec()).unwrap());
        session.clear_output();
    }
    answers
}

fn answer(line: &str) -> String {
    answers(&["EHLO a.example", line]).pop().unwrap()
}

/// Rows N003, N007, N008, N009, N160: EHLO is answered with keywords, every one is registered, and none begins with X.
/// Row N025: 8BITMIME is one of them; X001: SIZE another, with a number. Row N108: so is every command that is not basic.
#[test]
fn only_registered_keywords_are_announced() {
    // The registry of service extensions, as far as servers use it.
    const REGISTERED: [&str; 18] = [
        "EXPN",
        "LIMITS",
        "HELP",
        "8BITMIME",
        "SIZE",
        "CHUNKING",
        "BINARYMIME",
        "DSN",
        "ETRN",
        "ENHANCEDSTATUSCODES",
        "STARTTLS",
        "AUTH",
        "PIPELINING",
        "SMTPUTF8",
        "LIMITS",
        "REQUIRETLS",
        "DELIVERBY",
        "FUTURERELEASE",
    ];
    let reply = answers(&["EHLO a.example"]).pop().unwrap();
    let keywords: Vec<&str> = reply.lines().skip(1).map(|line| line[4..].split(' ').next().unwrap()).collect();
    for keyword in &keywords {
        assert!(REGISTERED.contains(keyword) && !keyword.starts_with('X'), "{keyword}");
    }
    assert!(keywords.contains(&"8BITMIME"), "{reply}");
    let size = reply.lines().find_map(|line| line[4..].strip_prefix("SIZE ")).unwrap();
    assert!(size.parse::<u64>().unwrap() >= 65_536, "{reply}");
    // The minimum of RFC 5321, 4.5.1 needs no announcement; what else is understood does.
    for (command, keyword) in [
        ("HELP", "HELP"),
        ("EXPN a", "EXPN"),
        ("STARTTLS", "STARTTLS"),
        ("AUTH PLAIN", "AUTH"),
        ("BDAT 0 LAST", "CHUNKING"),
    ] {
        let is_understood = !answer(command).starts_with("502");
        assert_eq!(is_understood, keywords.contains(&keyword), "{command}");
    }
}

/// Row N013: a name without a domain goes neither in nor out.
#[test]
fn an_unqualified_name_is_no_address() {
    for name in ["alice", "<alice>", "alice@", "<alice@>"] {
        assert!(name.parse::<ReversePath>().is_err(), "{name}");
        assert!(name.parse::<ForwardPath>().is_err(), "{name}");
    }
    assert!(answer("MAIL FROM:<alice>").starts_with("501 "));
}

/// Row N018: a line end goes out as CRLF, whichever it was.
#[test]
fn line_ends_go_out_as_crlf() {
    for content in ["a\nb\n", "a\r\nb\r\n", "a\r\nb\n", "a\nb"] {
        let mut wire = Vec::new();
        let mut encoder = ContentEncoder::default();
        encoder.encode(content.as_bytes(), &mut wire).unwrap();
        encoder.finish(&mut wire).unwrap();
        assert_eq!(wire, b"a\r\nb\r\n.\r\n", "{content:?}");
    }
}

/// Row N019: what a local part means is not for us to say: `%`, `!`, `+` and case go through as they are.
#[test]
fn local_parts_are_opaque() {
    for path in ["<a%b!c+d@x.example>", "<MiXeD@x.example>", "<\"a@b\"@x.example>", "<owner-list=me@x.example>"] {
        assert_eq!(path.parse::<ForwardPath>().unwrap().to_string(), path);
    }
}

/// Rows N053, N055, N064, N065, N067: whatever VRFY asks for, with a domain or without, here or elsewhere, the answer is
/// that nothing was verified. Rows N049, N290: the command is there and claims nothing. EXPN is not.
#[test]
fn nothing_is_ever_claimed_to_be_verified() {
    for name in ["bob", "bob@example.org", "<bob@example.org>", "everybody-list", "bob@elsewhere.example", "Bob B"] {
        let answer = answer(&format!("VRFY {name}"));
        assert!(answer.starts_with("252 2.5.0 ") && !answer.contains("bob"), "{answer}");
    }
    assert!(answer("EXPN everybody").starts_with("502 5.5.1 "));
}

/// Rows N072, N109, N112, N279, N302, N303, N304, N305: a route in front of an address is read and forgotten at once, on
/// either path, so none is ever sent on, made longer, or resolved; a report goes to the last hop of it.
#[test]
fn routes_are_dropped_where_they_are_read() {
    for route in ["@one.example:", "@one.example,@two.example:", "@us.example,@[192.0.2.1]:"] {
        let text = format!("<{route}u@d.example>");
        assert_eq!(text.parse::<ReversePath>().unwrap().to_string(), "<u@d.example>");
        assert_eq!(text.parse::<ForwardPath>().unwrap().to_string(), "<u@d.example>");
        let command = Command::parse(format!("MAIL FROM:{text}").as_bytes()).unwrap();
        assert_eq!(command.to_string(), "MAIL FROM:<u@d.example>");
    }
}

/// A conversation of the client with a server that offers nothing, line by line: what the server says, and what goes out
/// then.
fn client_says(server: &[&str]) -> Vec<String> {
    let mut session = ClientSession::new(client::Config::new("laptop.example.com".parse().unwrap()));
    let mut transaction = Transaction::new("<a@x.example>".parse().unwrap());
    transaction.recipients.push("<b@y.example>".parse::<ForwardPath>().unwrap().into());
    transaction.recipients.push("<c@y.example>".parse::<ForwardPath>().unwrap().into());
    let mut transaction = Some(transaction);
    let mut said = Vec::new();
    for reply in server {
        let reply = format!("{reply}\r\n");
        let mut rest = reply.as_bytes();
        loop {
            let (used, event) = session.handle(rest, NOW);
            rest = &rest[used..];
            match event {
                client::Event::NeedInput => break,
                client::Event::StartTls | client::Event::Auth(_) => unreachable!("nobody asked for it"),
                client::Event::Ready => match transaction.take() {
                    Some(transaction) => session.start(transaction, NOW).unwrap(),
                    None => session.quit(NOW),
                },
                client::Event::WantContent => {
                    session.write_content(b"hello\n", NOW).unwrap();
                    session.finish_content(NOW).unwrap();
                }
                client::Event::Finished(outcome) => assert!(outcome.is_success(), "{outcome:?}"),
                client::Event::Closed(_) => break,
            }
        }
        said.push(String::from_utf8(session.output().to_vec()).unwrap());
        session.clear_output();
    }
    said
}

/// Row N006: a client that knows only HELO is served to the end.
#[test]
fn helo_is_enough() {
    let content = "Subject: x\r\n\r\nhello\r\n.";
    let lines = ["HELO a.example", "MAIL FROM:<a@b.example>", "RCPT TO:<x@c.example>", "DATA", content, "QUIT"];
    let answers = answers(&lines);
    let codes: Vec<&str> = answers.iter().map(|answer| &answer[..4]).collect();
    assert_eq!(codes, ["220 ", "250 ", "250 ", "250 ", "354 ", "250 ", "221 "]);
}

/// Row N186: one command, one reply, and so on, where the server offers no more. Rows N045, N145: hello first,
/// then MAIL, RCPT, DATA. Rows N056, N069, N315: none of them is VRFY, EXPN, or SEND and its like.
#[test]
fn in_lock_step() {
    let said = client_says(&["220 x", "250 x", "250 x", "250 x", "250 x", "354 x", "250 x", "221 x"]);
    assert_eq!(
        said,
        [
            "EHLO laptop.example.com\r\n",
            "MAIL FROM:<a@x.example>\r\n",
            "RCPT TO:<b@y.example>\r\n",
            "RCPT TO:<c@y.example>\r\n",
            "DATA\r\n",
            "hello\r\n.\r\n",
            "QUIT\r\n",
            ""
        ]
    );
}

/// Rows N167, N188: the first digit decides; codes that nobody has listed, and words that say the opposite, change nothing.
#[test]
fn the_first_digit_decides() {
    let usual = client_says(&["220 x", "250 x", "250 x", "250 x", "250 x", "354 x", "250 x", "221 x"]);
    let odd = client_says(&["299 no", "201", "277 no", "251 no", "252 no", "399 550 no", "200 421 no", "299"]);
    assert_eq!(odd, usual);
}

proptest! {
    /// Row X044: no octets can hurt what reads lines and commands.
    #[test]
    fn any_octets_are_a_command_or_none(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Command::parse(&octets);
        for line_ends in [LineEnds::Strict, LineEnds::AcceptBareLineFeed] {
            let (used, _) = LineReader::new(line_ends).read(&octets, smtp_proto::limits::COMMAND_LINE_OCTETS);
            prop_assert!(used <= octets.len());
        }
    }
}
