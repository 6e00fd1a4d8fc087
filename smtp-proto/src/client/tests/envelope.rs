//! What goes out, octet for octet, and when. Rows N012, N022, N026, N034, N035, N070, N100, N112, N113, N136, N139, N155,
//! N184, N225, N229, N251, N252, X002, X017, X018, X021, X023, X048, X077, X128, X136, X138, X139.

use super::*;
use crate::command::Command as Line;
use crate::limits;
use crate::parameter::{Body, MailParameters, OriginalRecipient, RcptParameters};

/// A transaction from its command lines, so that each parameter is written as it is read.
fn transaction_of(lines: &[&str]) -> Transaction {
    let mut transaction = Transaction::new("<>".parse().unwrap());
    for line in lines {
        match Line::parse(line.as_bytes()).unwrap() {
            Line::Mail { reverse_path, parameters } => {
                transaction.reverse_path = reverse_path;
                transaction.parameters = parameters;
            }
            Line::Rcpt { forward_path, parameters } => {
                transaction.recipients.push(Recipient { forward_path, parameters })
            }
            command => panic!("{command}"),
        }
    }
    transaction
}

/// RFC 2920 (rows X017, X018): the whole envelope in one group, DATA last. Rows N251, N252: one MAIL, many RCPT, one DATA.
#[test]
fn one_group() {
    let mut talk = Talk::ready(ALL);
    talk.start(transaction(&["<bob@b>", "<carol@c>", "<Postmaster>"]));
    assert_eq!(
        talk.said(),
        "MAIL FROM:<alice@a>\r\nRCPT TO:<bob@b>\r\nRCPT TO:<carol@c>\r\nRCPT TO:<Postmaster>\r\nDATA\r\n"
    );
    assert_eq!(talk.hear("250 OK\r\n250 OK\r\n250 OK\r\n250 OK\r\n"), []);
    assert_eq!(talk.said(), "");
    assert_eq!(talk.hear("354 go\r\n"), [Event::WantContent]);
    talk.send_content("Subject: x\n\n.\ntext");
    assert_eq!(talk.said(), "Subject: x\r\n\r\n..\r\ntext\r\n.\r\n");
    let events = talk.hear("250 2.0.0 taken\r\n");
    assert_eq!(results(outcome(&events)), ["250", "250", "250"]);
    assert!(outcome(&events).is_success());
    assert_eq!(events[1..], [Event::Ready]);
}

/// Row N184: without PIPELINING, or without the wish, every command waits for the reply to the one before.
#[test]
fn lock_step() {
    let mut unwilling = config();
    unwilling.pipelining = false;
    let mut talk = Talk::with(unwilling);
    talk.hear(ALL);
    talk.said();
    for mut talk in [Talk::plain(), talk] {
        talk.start(transaction(&["<bob@b>", "<carol@c>"]));
        for (said, reply) in [
            ("MAIL FROM:<alice@a>\r\n", "250-OK\r\n250 OK\r\n"),
            ("RCPT TO:<bob@b>\r\n", "250 OK\r\n"),
            ("RCPT TO:<carol@c>\r\n", "550 no\r\n"),
        ] {
            assert_eq!(talk.said(), said);
            // Half a reply moves nothing.
            let (start, rest) = reply.split_at(reply.len() - 1);
            assert_eq!(talk.hear_partly(start), "");
            assert_eq!(talk.hear(&format!("{}{rest}", talk.held(start))), []);
        }
        assert_eq!(talk.said(), "DATA\r\n");
        assert_eq!(talk.hear("354 go\r\n"), [Event::WantContent]);
        talk.send_content("");
        assert_eq!(talk.said(), ".\r\n");
        assert_eq!(results(outcome(&talk.hear("250 OK\r\n"))), ["250", "RCPT 550"]);
    }
}

impl Talk {
    /// Hands in octets that end in the middle of a line. Returns what was sent.
    fn hear_partly(&mut self, start: &str) -> String {
        assert_eq!(
            self.session.handle(start.as_bytes(), self.now),
            (start.len() - self.held(start).len(), Event::NeedInput)
        );
        self.said()
    }

    /// What the driver must keep of such octets: the line that is not complete.
    fn held<'a>(&self, start: &'a str) -> &'a str {
        start.rsplit_once('\n').map_or(start, |(_, line)| line)
    }
}

/// RFC 2920, 3.1 (row X023): what waits for replies is bounded, whatever the number of recipients, and every reply lets
/// more go out.
#[test]
fn groups_are_bounded() {
    for octets in [10, 200] {
        let paths: Vec<_> = (0..1_000).map(|number| format!("<{number:0octets$}@example.org>")).collect();
        let mut talk = Talk::ready(ALL);
        talk.start(transaction(&paths.iter().map(String::as_str).collect::<Vec<_>>()));
        let mut unanswered: VecDeque<String> = VecDeque::new();
        let (mut commands, mut fullest) = (0, (0, 0));
        loop {
            unanswered.extend(talk.said().split_inclusive("\r\n").map(str::to_owned));
            let waiting = unanswered.iter().map(String::len).sum::<usize>();
            assert!(unanswered.len() <= limits::OUTSTANDING_COMMANDS && waiting <= limits::OUTSTANDING_OCTETS);
            fullest = (fullest.0.max(unanswered.len()), fullest.1.max(waiting));
            let Some(command) = unanswered.pop_front() else { break };
            commands += 1;
            if command == "DATA\r\n" {
                assert!(unanswered.is_empty(), "row X018: DATA is last");
                assert_eq!(talk.hear("354 go\r\n"), [Event::WantContent]);
            } else {
                assert_eq!(talk.hear("250 OK\r\n"), []);
            }
        }
        assert_eq!(commands, 1_002);
        // The bound is used, not only kept.
        assert!(
            fullest.0 == limits::OUTSTANDING_COMMANDS || fullest.1 > limits::OUTSTANDING_OCTETS - 300,
            "{fullest:?}"
        );
    }
}

const MAIL: &str = "MAIL FROM:<alice@a> SIZE=900 BODY=8BITMIME RET=HDRS ENVID=e+20f";
const RCPT: &str = "RCPT TO:<bob@b> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;bob@b";

/// Rows N100, N113, X077: only what was offered, in every combination.
#[test]
fn parameters_only_where_they_were_offered() {
    for (offered, mail, rcpt) in [
        ("SIZE", "MAIL FROM:<alice@a> SIZE=900", "RCPT TO:<bob@b>"),
        ("SIZE 900", "MAIL FROM:<alice@a> SIZE=900", "RCPT TO:<bob@b>"),
        ("SIZE 0", "MAIL FROM:<alice@a> SIZE=900", "RCPT TO:<bob@b>"),
        ("DSN", "MAIL FROM:<alice@a> RET=HDRS ENVID=e+20f", RCPT),
        ("AUTH PLAIN", "MAIL FROM:<alice@a>", "RCPT TO:<bob@b>"),
        ("HELP", "MAIL FROM:<alice@a>", "RCPT TO:<bob@b>"),
        ("SMTPUTF8", "MAIL FROM:<alice@a>", "RCPT TO:<bob@b>"),
    ] {
        let mut talk = Talk::ready(&format!("220 mx\r\n250-mx\r\n250 {offered}\r\n"));
        talk.start(transaction_of(&[&MAIL.replace(" BODY=8BITMIME", " BODY=7BIT AUTH=<>"), RCPT]));
        assert_eq!(talk.said(), format!("{mail}\r\n"), "{offered}");
        talk.hear("250 OK\r\n");
        assert_eq!(talk.said(), format!("{rcpt}\r\n"), "{offered}");
    }
    let mut talk = Talk::ready(ALL);
    talk.start(transaction_of(&[MAIL, RCPT]));
    assert_eq!(talk.said(), format!("{MAIL}\r\n{RCPT}\r\nDATA\r\n"));
}

/// What cannot do without an extension is not started. Rows N022, X048, X128, X136; RFC 1870, 6.1.
#[test]
fn what_this_server_cannot_carry() {
    let plain = "220 mx\r\n250 mx\r\n";
    let missing = |keyword: &str| ALL.replace(&format!("250-{keyword}\r\n"), "");
    for (server, lines, error) in [
        (plain.to_owned(), vec!["MAIL FROM:<é@a>", "RCPT TO:<bob@b>"], StartError::NeedsSmtpUtf8),
        (missing("SMTPUTF8"), vec!["MAIL FROM:<a@a>", "RCPT TO:<b@b>", "RCPT TO:<b@é>"], StartError::NeedsSmtpUtf8),
        (missing("SMTPUTF8"), vec!["MAIL FROM:<a@a> SMTPUTF8", "RCPT TO:<b@b>"], StartError::NeedsSmtpUtf8),
        (missing("8BITMIME"), vec!["MAIL FROM:<a@a> BODY=8BITMIME", "RCPT TO:<b@b>"], StartError::NeedsEightBitMime),
        (ALL.to_owned(), vec!["MAIL FROM:<a@a> BODY=BINARYMIME", "RCPT TO:<b@b>"], StartError::NeedsEightBitMime),
        (plain.to_owned(), vec!["MAIL FROM:<a@a> BODY=BINARYMIME", "RCPT TO:<b@b>"], StartError::NeedsEightBitMime),
        (
            ALL.to_owned(),
            vec!["MAIL FROM:<a@a> SIZE=1001", "RCPT TO:<b@b>"],
            StartError::TooBig { limit_octets: 1_000 },
        ),
        (ALL.to_owned(), vec!["MAIL FROM:<a@a>"], StartError::NoRecipients),
    ] {
        let mut talk = Talk::ready(&server);
        assert_eq!(talk.session.start(transaction_of(&lines), talk.now), Err(error), "{lines:?}");
        // Nothing was said, and the next message has its chance.
        assert_eq!(talk.said(), "");
        talk.start(transaction(&["<bob@b>"]));
        assert!(talk.said().starts_with("MAIL FROM:<alice@a>\r\n"));
    }
    for size in [0, 999, 1_000] {
        let mut talk = Talk::ready(ALL);
        talk.start(transaction_of(&[&format!("MAIL FROM:<a@a> SIZE={size}"), "RCPT TO:<b@b>"]));
        assert!(talk.said().starts_with(&format!("MAIL FROM:<a@a> SIZE={size}\r\n")));
    }
}

/// Rows X138, X139: SMTPUTF8 is said when an address or the message needs it, and not otherwise.
#[test]
fn smtputf8() {
    for (lines, mail) in [
        (["MAIL FROM:<a@a>", "RCPT TO:<b@b>"], "MAIL FROM:<a@a>\r\n"),
        (["MAIL FROM:<a@a>", "RCPT TO:<é@b>"], "MAIL FROM:<a@a> SMTPUTF8\r\n"),
        (["MAIL FROM:<é@a>", "RCPT TO:<b@b>"], "MAIL FROM:<é@a> SMTPUTF8\r\n"),
        (["MAIL FROM:<a@a> SMTPUTF8", "RCPT TO:<b@b>"], "MAIL FROM:<a@a> SMTPUTF8\r\n"),
    ] {
        let mut talk = Talk::ready(ALL);
        talk.start(transaction_of(&lines));
        assert!(talk.said().starts_with(mail), "{lines:?}");
    }
    // RFC 6533, 3: what the sender first wrote goes to an ASCII recipient in ASCII, and is left out if it becomes too long.
    let mut talk = Talk::ready(ALL);
    talk.start(transaction_of(&["MAIL FROM:<a@a>", "RCPT TO:<b@b> ORCPT=utf-8;é@京.example"]));
    assert!(talk.said().contains("RCPT TO:<b@b> ORCPT=utf-8;\\x{E9}@\\x{4EAC}.example\r\n"));
    let mut talk = Talk::ready(ALL);
    talk.start(transaction_of(&["MAIL FROM:<a@a>", &format!("RCPT TO:<b@b> ORCPT=utf-8;{}@b", "é".repeat(200))]));
    assert!(talk.said().contains("RCPT TO:<b@b>\r\n"));
    let mut talk = Talk::ready(ALL);
    talk.start(transaction_of(&["MAIL FROM:<é@a>", "RCPT TO:<b@b> ORCPT=utf-8;é@b"]));
    assert!(talk.said().contains("RCPT TO:<b@b> ORCPT=utf-8;é@b\r\n"));
}

/// Row X138: the caller, who has seen the header, says that it needs SMTPUTF8. What is refused is told in words that fit.
#[test]
fn smtputf8_for_the_header() {
    let mut talk = Talk::ready(ALL);
    let mut transaction = transaction(&["<bob@b>"]);
    transaction.parameters.smtputf8 = true;
    talk.start(transaction.clone());
    assert!(talk.said().starts_with("MAIL FROM:<alice@a> SMTPUTF8\r\n"));
    let mut talk = Talk::plain();
    let error = talk.session.start(transaction, talk.now).unwrap_err();
    assert_eq!(error, StartError::NeedsSmtpUtf8);
    let text = "an address or a header field is not ASCII and the server does not offer SMTPUTF8";
    assert_eq!((error.to_string().as_str(), error.is_transient()), (text, false));
}

/// Row X069: the ORCPT of a recipient beyond ASCII, to servers that read it and that do not.
#[test]
fn the_original_recipient() {
    for (recipient, said) in [
        ("b\u{f6}b@b", "RCPT TO:<b\u{f6}b@b> NOTIFY=FAILURE ORCPT=utf-8;b\u{f6}b@b\r\n"),
        ("b+b@b", "RCPT TO:<b+b@b> NOTIFY=FAILURE ORCPT=rfc822;b+2Bb@b\r\n"),
    ] {
        let mut transaction = transaction_of(&["MAIL FROM:<a@a>", &format!("RCPT TO:<{recipient}> NOTIFY=FAILURE")]);
        transaction.recipients[0].parameters.orcpt = OriginalRecipient::of(&recipient.parse().unwrap());
        let mut talk = Talk::ready(ALL);
        talk.start(transaction);
        let sent = talk.said();
        assert!(sent.contains(said), "{sent}");
    }
}

/// Rows N034, N035, N139: no route, the least quoting, the case as it is.
#[test]
fn paths_as_they_go_out() {
    let mut talk = Talk::ready(ALL);
    talk.start(transaction_of(&["MAIL FROM:<@x,@y:\"MiXeD\"@A>", "RCPT TO:<@z:\"b b\"@B.>"]));
    assert_eq!(talk.said(), "MAIL FROM:<MiXeD@A>\r\nRCPT TO:<\"b b\"@B>\r\nDATA\r\n");
}

/// A command line that would be too long is found before anything is said. Only a caller's own ENVID can be so long.
#[test]
fn lines_that_are_too_long() {
    for (octets, is_taken) in [(1_000, true), (3_000, false)] {
        let mut talk = Talk::ready(ALL);
        let mut transaction = transaction(&["<bob@b>"]);
        transaction.parameters = MailParameters {
            envid: crate::xtext::Xtext::encode(&"e".repeat(octets)),
            body: Some(Body::SevenBit),
            ..MailParameters::default()
        };
        transaction.recipients[0].parameters = RcptParameters::default();
        assert_eq!(talk.session.start(transaction, talk.now).is_ok(), is_taken, "{octets}");
        assert_eq!(talk.said().is_empty(), !is_taken);
    }
}
