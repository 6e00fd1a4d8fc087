//! Nothing that a caller, a file or a network hands to the library becomes a command of its own.
//!
//! Past incidents: lettre RUSTSEC-2020-0069 and RUSTSEC-2021-0069, nodemailer GHSA-c7w3-x93f-qmm8 and
//! GHSA-vvjj-xcjg-gr5g, Python bpo-43124.

#![allow(clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use smtp_client::proto::address::{Domain, DomainName, ForwardPath, LocalPart, Mailbox, ReversePath};
use smtp_client::proto::command::{Argument, Command};
use smtp_client::proto::parameter::OriginalRecipient;
use smtp_client::proto::transaction::{Recipient, Transaction};
use smtp_client::proto::xtext::Xtext;
use smtp_client::server_name::ServerName;
use smtp_client::{Connection, Content, Options};
use smtp_tests::scripted_server::{Script, ScriptedServer, in_haste, polite_with};

/// Every extension with parameters of its own.
const KEYWORDS: [&str; 6] = ["PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE", "DSN", "AUTH PLAIN"];

/// Texts that look like what they are to become, with something in them that would end a command.
fn hostile_text() -> impl Strategy<Value = String> {
    let start = prop_oneof![
        Just("a@x"),
        Just("<a@x"),
        Just("\"a"),
        Just("a b"),
        Just("x.example"),
        Just("[127.0.0.1"),
        Just("\u{e9}@x"),
        Just(""),
    ];
    let control = prop_oneof![
        (0_u8..32).prop_map(char::from),
        Just('\u{7f}'),
        Just('\u{85}'),
        Just('\u{2028}'),
        Just('\\'),
        Just('>'),
        Just('+'),
        Just('a'),
    ];
    let end = prop_oneof![
        Just("\nRCPT TO:<evil@x>"),
        Just("\r\nDATA\r\n"),
        Just("> SIZE=1"),
        Just("\"@x>"),
        Just("@x"),
        Just("]"),
        Just(""),
    ];
    (start, proptest::collection::vec(control, 0..3), end)
        .prop_map(|(start, controls, end)| format!("{start}{}{end}", controls.into_iter().collect::<String>()))
}

/// Whatever the constructors of the library make of a text.
#[derive(Debug)]
struct Made {
    reverse_path: ReversePath,
    forward_path: ForwardPath,
    envid: Option<Xtext>,
    orcpt: Option<OriginalRecipient>,
}

fn make(text: &str) -> Made {
    let mailboxes = [
        text.parse::<Mailbox>().ok(),
        LocalPart::new(text).ok().and_then(|local| Mailbox::new(local, "x".parse().unwrap()).ok()),
        text.parse::<Domain>().ok().and_then(|domain| Mailbox::new(LocalPart::new("a").unwrap(), domain).ok()),
        text.parse::<DomainName>()
            .ok()
            .and_then(|name| Mailbox::new(LocalPart::new("a").unwrap(), Domain::Name(name)).ok()),
    ];
    let mailbox = mailboxes.into_iter().flatten().next();
    let fallback = || mailbox.clone().unwrap_or_else(|| "fallback@x".parse().unwrap());
    Made {
        reverse_path: text.parse().unwrap_or_else(|_| ReversePath::Mailbox(fallback())),
        forward_path: text.parse().unwrap_or_else(|_| ForwardPath::Mailbox(fallback())),
        envid: Xtext::encode(text).or_else(|| Xtext::from_encoded(text)),
        orcpt: mailbox.as_ref().and_then(OriginalRecipient::rfc822),
    }
}

/// What comes over the wire are the commands that were meant, and no others.
#[test]
fn every_command_is_the_one_that_was_meant() {
    let server = ScriptedServer::start([Script::serve(|said| polite_with(&KEYWORDS, said))]);
    let connection = RefCell::new(Connection::open(&server.name(), in_haste()).unwrap());
    let meant = RefCell::new(Vec::new());
    let content = Content::from_bytes(b"x\n".to_vec()).unwrap();
    let config = Config { cases: 2_000, failure_persistence: None, ..Config::default() };
    let run = TestRunner::new(config).run(&(hostile_text(), hostile_text()), |(one, other)| {
        let (one, other) = (make(&one), make(&other));
        let mut transaction = Transaction::new(one.reverse_path);
        transaction.parameters.envid = one.envid.or(other.envid);
        transaction.parameters.auth = Some(other.reverse_path);
        for (forward_path, orcpt) in [(one.forward_path, one.orcpt), (other.forward_path, other.orcpt)] {
            let mut recipient = Recipient::from(forward_path);
            recipient.parameters.orcpt = orcpt;
            transaction.recipients.push(recipient);
        }
        let sent = connection.borrow_mut().send(transaction.clone(), &content);
        prop_assert!(sent.is_ok_and(|outcome| outcome.is_success()));
        meant.borrow_mut().push(transaction);
        Ok(())
    });
    run.unwrap();
    connection.into_inner().quit();

    let session = server.finish_one();
    let mut lines = session.commands.iter().skip(1);
    let mut next = || Command::parse(lines.next().expect("a line for each command").as_bytes()).expect("a command");
    for transaction in meant.into_inner() {
        match next() {
            Command::Mail { reverse_path, parameters } => {
                assert_eq!(reverse_path, transaction.reverse_path);
                assert_eq!(parameters.size, Some(3));
            }
            other => panic!("{other:?}"),
        }
        for recipient in transaction.recipients {
            match next() {
                Command::Rcpt { forward_path, .. } => assert_eq!(forward_path, recipient.forward_path),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(next(), Command::Data);
    }
    assert_eq!(next(), Command::Quit);
    assert_eq!(lines.next(), None);
    assert!(session.contents.iter().all(|content| content == b"x\r\n"));
}

/// Each control byte, at each place of each text that the library takes: refused, and by a value.
#[test]
fn control_bytes_are_refused_everywhere() {
    for control in (0..32).chain([127]).map(char::from) {
        for good in ["a@x.example", "<a@x.example>", "\"a b\"@x", "x.example", "[127.0.0.1]", "127.0.0.1:25"] {
            for place in 0..=good.len() {
                let (before, behind) = good.split_at(place);
                let text = format!("{before}{control}{behind}");
                assert!(text.parse::<ReversePath>().is_err(), "{text:?}");
                assert!(text.parse::<ForwardPath>().is_err(), "{text:?}");
                assert!(text.parse::<Mailbox>().is_err(), "{text:?}");
                assert!(text.parse::<Domain>().is_err(), "{text:?}");
                assert!(text.parse::<DomainName>().is_err(), "{text:?}");
                assert!(text.parse::<ServerName>().is_err(), "{text:?}");
                assert!(LocalPart::new(&text).is_err(), "{text:?}");
                assert!(Argument::new(&text).is_none(), "{text:?}");
                assert!(Xtext::from_encoded(&text).is_none(), "{text:?}");
                assert!(Xtext::encode(&text).is_none(), "{text:?}");
                assert!(Connection::open(&text, Options::default()).is_err(), "{text:?}");
            }
        }
    }
}

/// Row N017, S1 at the sender: the whole matrix of line ends around a dot. Either CRLF is all there is on the wire, and
/// the content is one, or the message is refused.
#[test]
fn smuggling_through_content() {
    let ends = ["\r\n", "\n", "\r", "\r\r\n", "\n\r", "\0", "\r\0\n", "\r\n\0"];
    let server = ScriptedServer::start([Script::serve(|said| polite_with(&KEYWORDS, said))]);
    let mut connection = Connection::open(&server.name(), in_haste()).unwrap();
    let mut sent = Vec::new();
    for before in ends {
        for behind in ends {
            let message = format!("Subject: x\n\nhello{before}.{behind}MAIL FROM:<evil@x>{behind}");
            let has_bare_cr = message.replace("\r\n", "").contains('\r');
            match Content::from_bytes(message.clone().into_bytes()) {
                Ok(content) => {
                    assert!(!has_bare_cr, "{message:?}");
                    let mut transaction = Transaction::new(ReversePath::Null);
                    transaction.recipients.push("b@x".parse::<ForwardPath>().unwrap().into());
                    assert!(connection.send(transaction, &content).unwrap().is_success());
                    sent.push(message.replace("\r\n", "\n"));
                }
                Err(error) => assert!(has_bare_cr, "{message:?}: {error}"),
            }
        }
    }
    connection.quit();
    let session = server.finish_one();
    assert_eq!(session.contents.len(), sent.len());
    for (content, message) in session.contents.iter().zip(&sent) {
        let text = String::from_utf8(content.clone()).unwrap();
        let bare = text.replace("\r\n", "");
        assert!(!bare.contains(['\r', '\n']), "{text:?}");
        let lines: Vec<&str> =
            text.split_terminator("\r\n").map(|line| line.strip_prefix('.').unwrap_or(line)).collect();
        assert_eq!(lines, message.split_terminator('\n').collect::<Vec<_>>());
    }
    assert!(!session.commands.iter().any(|line| line.contains("evil")));
}
