//! What a conversation makes of the commands. Rows N004, N012, N015, N031, N037, N105, N111, N119, N124, N128, N132, N133,
//! N152, N155, N161, N210, N218, N219, N230, X016, X025, X026, X027, X028, X029, X030, X031, X032, X033, X134.

use super::*;

/// RFC 5321, 3.3, and the second message of the session with its own sender and recipients.
#[test]
fn several_messages() {
    let mut host = Host::after(&["MAIL FROM:<alice@a>", "RCPT TO:<bob@b>", "RCPT TO:<carol@c>", "DATA"]);
    assert_eq!(host.feed(b"Subject: one\r\n\r\n..dot\r\n.\r\n"), "250 2.0.0 Accepted\r\n");
    host.agree_all(&["MAIL FROM:<>", "RCPT TO:<dave@d>", "DATA"]);
    assert_eq!(codes(&host.feed(b"two\r\n.\r\n")), [250]);
    assert_eq!(host.say("QUIT"), "221 2.0.0 Goodbye");
    assert!(host.is_closed);
    let told: Vec<_> = host
        .messages
        .iter()
        .map(|(transaction, content)| {
            let recipients: Vec<_> = transaction.recipients.iter().map(|r| r.forward_path.to_string()).collect();
            (transaction.reverse_path.to_string(), recipients.join(","), String::from_utf8(content.clone()).unwrap())
        })
        .collect();
    assert_eq!(
        told,
        [
            ("<alice@a>".into(), "<bob@b>,<carol@c>".into(), "Subject: one\r\n\r\n.dot\r\n".into()),
            ("<>".into(), "<dave@d>".into(), "two\r\n".into()),
        ]
    );
}

/// Rows N031, N105: HELO never gets the form with many lines. Row X016: enhanced codes all the same.
#[test]
fn helo_is_answered_on_one_line() {
    let mut host = Host::new();
    assert_eq!(host.say("HELO client.example"), "250 mx.example.org greets you");
    assert_eq!(host.session.protocol(), Protocol::Smtp);
    assert_eq!(host.say("MAIL FROM:<alice@a>"), "250 2.1.0 Sender OK");
    host.agree("EHLO client.example");
    assert_eq!(host.session.protocol(), Protocol::Esmtp { tls: false, auth: false });
    host.agree("MAIL FROM:<alice@a> SMTPUTF8");
    assert_eq!(host.session.protocol(), Protocol::Utf8Smtp { tls: false, auth: false });
}

/// Row N152: the name proves nothing. It is kept for the trace.
#[test]
fn any_name_will_do() {
    for name in ["does-not-exist.invalid", "[192.0.2.1]", "under_score", "localhost", "-"] {
        let mut host = Host::new();
        assert!(host.session.hello().is_none());
        assert_eq!(host.say(&format!("EHLO {name}")).get(..4), Some("250-"));
        assert_eq!(host.session.hello().unwrap().to_string(), name);
    }
}

/// Rows N037, N111, N219, X134.
#[test]
fn recipients_as_they_are_kept() {
    let mut host = Host::after(&["MAIL FROM:<@x,@y:alice@a> SMTPUTF8"]);
    for (path, kept) in [
        ("<@x,@y:bob@b>", "<bob@b>"),
        ("<pOsTmAsTeR>", "<Postmaster>"),
        ("<POSTMASTER@b>", "<POSTMASTER@b>"),
        ("<почта@пример.example>", "<почта@пример.example>"),
        ("<\"Bob\"@b>", "<Bob@b>"),
    ] {
        host.agree(&format!("RCPT TO:{path}"));
        let transaction = host.session.state.transaction().unwrap();
        assert_eq!(transaction.recipients.last().unwrap().forward_path.to_string(), kept);
        assert_eq!(transaction.reverse_path.to_string(), "<alice@a>");
    }
    // Twice the same is agreed to and kept once; another case is another mailbox (RFC 5321, 2.4).
    host.agree_all(&["RCPT TO:<bob@b>", "RCPT TO:<BOB@b>"]);
    assert_eq!(host.session.state.transaction().unwrap().recipients.len(), 6);
}

/// Rows N155, N157: the first transaction stays as it was.
#[test]
fn a_second_mail_changes_nothing() {
    let mut host = Host::after(&["MAIL FROM:<alice@a>", "RCPT TO:<bob@b>"]);
    assert_eq!(host.code("MAIL FROM:<mallory@m>"), 503);
    host.agree_all(&["RCPT TO:<carol@c>", "DATA", "."]);
    assert_eq!(host.messages[0].0.reverse_path.to_string(), "<alice@a>");
    assert_eq!(host.messages[0].0.recipients.len(), 2);
}

/// RFC 2920, 3.2 (rows N161, X025, X031): a group in one segment, one reply for each, in order, none held back.
#[test]
fn groups() {
    let mut host = Host::after(&[]);
    let group = "MAIL FROM:<alice@a>\r\nRCPT TO:<bob@b>\r\nRCPT TO:<>\r\nRCPT TO:<carol@c>\r\nDATA\r\n";
    assert_eq!(codes(&host.feed(group.as_bytes())), [250, 250, 501, 250, 354]);
    // Row X033: what stands behind the content in the same segment is not thrown away.
    let rest = "Hello\r\n.\r\nRSET\r\nNOOP\r\nVRFY x\r\nXYZZY\r\nMAIL FROM:<>\r\nRCPT TO:<dave@d>\r\nDATA\r\n";
    assert_eq!(codes(&host.feed(rest.as_bytes())), [250, 250, 250, 252, 500, 250, 250, 354]);
    assert_eq!(codes(&host.feed(b".\r\nQUIT\r\nNOOP\r\n")), [250, 221]);
    assert_eq!(host.messages.len(), 2);
    assert!(host.is_closed && host.buffer.is_empty());
}

/// Row X031: half a command holds nothing back, and is completed later.
#[test]
fn a_group_may_end_anywhere() {
    let mut host = Host::after(&[]);
    assert_eq!(codes(&host.feed(b"MAIL FROM:<alice@a>\r\nRCPT TO:<bo")), [250]);
    assert_eq!(codes(&host.feed(b"b@b>\r")), []);
    assert_eq!(codes(&host.feed(b"\nDATA\r\n")), [250, 354]);
}

/// RFC 2920, 3.1 and 3.2 (rows X027, X028): no recipient, no 354; and the lone dot that an eager client sends all the same
/// is a wrong command, not an empty message.
#[test]
fn data_without_a_recipient() {
    let mut host = Host::with(config(), |question| match question {
        Question::Rcpt(..) => refusal(550, EnhancedCode::new(5, 1, 1)),
        _ => Decision::Accept,
    });
    host.agree("EHLO client.example");
    assert_eq!(
        codes(&host.feed(b"MAIL FROM:<a@a>\r\nRCPT TO:<x@b>\r\nRCPT TO:<y@b>\r\nDATA\r\n")),
        [250, 550, 550, 554]
    );
    assert_eq!(host.code("."), 500);
    assert_eq!(host.messages.len(), 0);
}

/// RFC 5321, 4.1.4: "a refused command leaves the state as it was", at every question that the policy is asked.
#[test]
fn refused_decisions_leave_the_state() {
    fn refuse_every_other(question: Question<'_>) -> Decision {
        let is_refused = match question {
            Question::AuthBegins(..) | Question::AuthGoesOn(_) => false,
            Question::Connect | Question::StartTls => false,
            Question::Hello(name) => name.to_string() == "no.example",
            Question::Mail(transaction) => transaction.reverse_path.to_string() == "<no@a>",
            Question::Rcpt(_, recipient) => recipient.forward_path.to_string() == "<no@b>",
            Question::Content(transaction) => transaction.recipients.len() == 1,
            Question::EndOfContent(transaction) => transaction.recipients.len() == 2,
        };
        if is_refused { refusal(451, EnhancedCode::new(4, 3, 0)) } else { Decision::Accept }
    }
    let mut host = Host::with(config(), refuse_every_other);
    assert_eq!(codes(&host.feed(b"EHLO no.example\r\n")), [451]);
    assert_eq!(host.code("MAIL FROM:<a@a>"), 503);
    host.agree("EHLO yes.example");
    assert_eq!(host.code("MAIL FROM:<no@a>"), 451);
    host.agree_all(&["MAIL FROM:<yes@a>", "RCPT TO:<one@b>"]);
    assert_eq!(host.code("RCPT TO:<no@b>"), 451);
    assert_eq!(host.code("EHLO no.example"), 451);
    assert_eq!(host.session.hello().unwrap().to_string(), "yes.example");
    assert_eq!(host.code("DATA"), 451);
    host.agree_all(&["RCPT TO:<two@b>", "DATA"]);
    // The end of the content ends the transaction even so (RFC 5321, 4.1.1.4).
    assert_eq!(codes(&host.feed(b"refused\r\n.\r\n")), [451]);
    assert_eq!(host.code("DATA"), 503);
    host.agree_all(&["MAIL FROM:<yes@a>", "RCPT TO:<1@b>", "RCPT TO:<2@b>", "RCPT TO:<3@b>", "DATA", "."]);
    assert_eq!(host.messages.len(), 1);
}

/// A policy that refuses with "yes" is our fault, and the client hears so; one that means to close closes.
#[test]
fn what_a_policy_may_say() {
    fn refuse_with_yes(question: Question<'_>) -> Decision {
        match question {
            Question::Connect | Question::Hello(_) => Decision::Accept,
            Question::Mail(_) => Decision::Refuse(Reply::new(Code::new(250).unwrap(), None, "certainly")),
            _ => Decision::Refuse(Reply::new(Code::new(354).unwrap(), None, "go on")),
        }
    }
    let mut host = Host::with(config(), refuse_with_yes);
    host.agree("EHLO client.example");
    assert!(host.say("MAIL FROM:<a@a>").starts_with("451 4.3.0 "));
    assert_eq!(host.code("RCPT TO:<b@b>"), 503);

    let mut host = Host::with(config(), |question| match question {
        Question::EndOfContent(_) => Decision::AcceptAs("Queued as 01J-x".into()),
        _ => Decision::AcceptAs("not heard".into()),
    });
    host.agree_all(&["EHLO client.example", "MAIL FROM:<a@a>", "RCPT TO:<b@b>", "DATA"]);
    assert_eq!(host.feed(b".\r\n"), "250 2.0.0 Queued as 01J-x\r\n");
}

/// An answer to which there is no question: not heard, and the conversation goes on.
#[test]
fn a_decision_out_of_turn() {
    let mut host = Host::after(&["MAIL FROM:<a@a>"]);
    let deadline = host.session.deadline();
    host.session.decide(refusal(550, EnhancedCode::new(5, 7, 1)), Duration::from_secs(9));
    host.session.decide(Decision::Accept, Duration::from_secs(9));
    assert!(host.session.question().is_none() && host.session.output().is_empty());
    assert_eq!(host.session.deadline(), deadline);
    assert_eq!(host.code("RCPT TO:<b@b>"), 250);
}

/// RFC 5321, 4.1.1.10 (rows N132, N133): what is not finished is forgotten, what is finished stays.
#[test]
fn a_connection_that_is_lost() {
    let mut host =
        Host::after(&["MAIL FROM:<a@a>", "RCPT TO:<b@b>", "DATA", ".", "MAIL FROM:<a@a>", "RCPT TO:<b@b>", "DATA"]);
    assert_eq!(host.feed(b"half a mess"), "");
    assert!(!host.session.is_between_transactions());
    host.session.handle_end_of_input();
    assert_eq!(host.feed(b""), "");
    assert!(host.is_closed && host.session.is_between_transactions());
    assert_eq!((host.messages.len(), host.questions), (1, 1 + 1 + 4 + 3));
}

/// For the choice of whom to evict.
#[test]
fn between_transactions() {
    let mut host = Host::connecting(config(), accept_all);
    assert!(!host.session.is_between_transactions());
    assert_eq!(codes(&host.feed(b"")), [220]);
    for (line, is_between) in [
        ("NOOP", true),
        ("EHLO a", true),
        ("MAIL FROM:<a@a>", false),
        ("RCPT TO:<b@b>", false),
        ("RSET", true),
        ("MAIL FROM:<a@a>", false),
        ("EHLO a", true),
        ("MAIL FROM:<a@a>", false),
        ("RCPT TO:<b@b>", false),
        ("DATA", false),
        (".", true),
        ("QUIT", true),
    ] {
        host.agree(line);
        assert_eq!(host.session.is_between_transactions(), is_between, "{line}");
    }
}
