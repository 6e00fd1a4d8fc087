//! How a conversation ends. Rows N028, N029, N030, N090, N092, N125, N128, N129, N163.

use super::*;

/// RFC 5321, 3.1 (rows N028, N029, N030): 554 with its reason, then only QUIT ends it.
#[test]
fn a_refused_connection_waits_for_quit() {
    let mut host = Host::connecting(config(), |_| {
        Decision::Refuse(Reply::new(Code::new(550).unwrap(), Some(EnhancedCode::new(5, 7, 1)), "Listed at\nbl.example"))
    });
    assert_eq!(host.feed(b""), "554-Listed at\r\n554 bl.example\r\n");
    assert_eq!(codes(&host.feed(b"NOOP\r\nMAIL FROM:<a@a>\r\nXYZZY\r\n")), [503, 503, 503]);
    assert!(!host.is_closed);
    assert_eq!(host.say("QUIT"), "221 2.0.0 Goodbye");
    assert!(host.is_closed);
}

/// What the policy says at the connection. "Not now" must never become "never": the client would return the mail.
#[test]
fn refused_greetings() {
    fn with(code: u16) -> Decision {
        Decision::Refuse(Reply::new(Code::new(code).unwrap(), None, "No"))
    }
    let policies: [(Policy, &str, bool); 6] = [
        (|_| with(554), "554 No\r\n", false),
        (|_| with(550), "554 No\r\n", false),
        (|_| with(521), "521 No\r\n", true),
        (|_| with(421), "421 No\r\n", true),
        (|_| with(450), "421 No\r\n", true),
        (|_| with(250), "421 Something is wrong on our side; try again later\r\n", true),
    ];
    for (policy, greeting, is_closed) in policies {
        let mut host = Host::connecting(config(), policy);
        assert_eq!(host.feed(b""), greeting);
        assert_eq!(host.feed(b"NOOP\r\n").is_empty(), is_closed, "{greeting}");
        assert_eq!(host.is_closed, is_closed, "{greeting}");
    }
}

/// Row X012: a policy may forget the enhanced code; the client gets one all the same.
#[test]
fn a_refusal_without_an_enhanced_code() {
    let mut host = Host::with(config(), |question| match question {
        Question::Mail(_) => Decision::Refuse(Reply::new(Code::new(450).unwrap(), None, "Later")),
        _ => Decision::Accept,
    });
    host.agree("EHLO a");
    assert_eq!(host.say("MAIL FROM:<a@a>"), "450 4.0.0 Later");

    let mut host = Host::with(config(), |question| match question {
        Question::Rcpt(..) => Decision::refuse::<550>(7, 1, "Only Bob"),
        _ => Decision::Accept,
    });
    host.agree_all(&["EHLO a", "MAIL FROM:<a@a>"]);
    assert_eq!(host.say("RCPT TO:<b@b>"), "550 5.7.1 Only Bob");
}

/// Row X012: no enhanced code in the replies to EHLO and HELO.
#[test]
fn a_refused_hello() {
    let mut host = Host::with(config(), |question| match question {
        Question::Connect => Decision::Accept,
        _ => refusal(550, EnhancedCode::new(5, 7, 1)),
    });
    assert_eq!(host.say("EHLO a"), "550 No");
    assert_eq!(host.say("HELO"), "501 The arguments do not fit; the form is HELO client.example");
    assert_eq!(host.say("HELO é"), host.say("EHLO é").replace("EHLO", "HELO"));
}

/// Speaking before the greeting, or behind EHLO before its answer.
#[test]
fn early_talkers() {
    let mut host = Host::connecting(config(), accept_all);
    assert!(host.feed(b"EHLO a\r\n").starts_with("554 5.5.0 "));
    assert!(host.is_closed && host.questions == 0);
    for hello in ["EHLO a", "HELO a"] {
        for behind in ["M", "MAIL FROM:<a@a>\r\n", "QUIT\r\n", "\r\n"] {
            let mut host = Host::new();
            assert!(host.feed(format!("{hello}\r\n{behind}").as_bytes()).starts_with("554 5.5.0 "));
            assert!(host.is_closed);
        }
        // A second one may come in a transaction, and must be last in its group too.
        let mut host = Host::after(&["MAIL FROM:<a@a>"]);
        assert_eq!(codes(&host.feed(format!("NOOP\r\n{hello}\r\n").as_bytes())), [250, 250]);
        assert_eq!(codes(&host.feed(format!("{hello}\r\nNOOP\r\n").as_bytes())), [554]);
    }
}

/// A browser sends its header first. Nothing of it is echoed, nothing behind it is read.
#[test]
fn foreign_protocols() {
    let mut host = Host::new();
    let request = b"POST /evil HTTP/1.1\r\nHost: mx\r\n\r\nEHLO a\r\nMAIL FROM:<a@a>\r\n";
    assert_eq!(host.feed(request), "554 5.5.1 This is an SMTP server, and that was not SMTP\r\n");
    assert!(host.is_closed);
}

/// A client that expects TLS from the first octet hears at once that there is none.
#[test]
fn a_tls_handshake() {
    let hello =
        [&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03][..], b"\r\n\n", &[0xa5; 500]].concat();
    for cut in [1, 2, 3, hello.len()] {
        let mut host = Host::new();
        let output = host.feed(&hello[..cut]) + &host.feed(&hello[cut..]);
        assert_eq!(codes(&output), [554], "{cut}");
        assert!(host.is_closed);
    }
    // One such octet is no handshake yet, and inside a line it is none.
    let mut host = Host::new();
    assert_eq!(host.feed(&[0x16]), "");
    assert_eq!(codes(&host.feed(b"NOOP\r\n")), [501]);
    assert!(!host.is_closed);
}

const REASONS: [(CloseReason, &str); 4] = [
    (CloseReason::Drain, "421 4.3.2 The server is being stopped"),
    (CloseReason::Evict, "421 4.3.2 Others are waiting"),
    (CloseReason::Deadline, "421 4.4.2 That took too long"),
    (CloseReason::Failure, "421 4.3.0 Something broke on our side"),
];

/// Row N092: in every state the session ends with 421 and a reason, once, and nothing more is taken.
#[test]
fn the_driver_ends_the_session() {
    let lines = ["EHLO a", "MAIL FROM:<a@a>", "RCPT TO:<b@b>", "DATA"];
    for (reason, words) in REASONS {
        for count in 0..=lines.len() {
            let mut host = Host::new();
            host.agree_all(&lines[..count]);
            host.feed(b"half a li");
            host.session.handle_close(reason);
            host.session.handle_close(CloseReason::Failure);
            let output = host.feed(b"ne\r\n.\r\nNOOP\r\n");
            assert!(output.starts_with(words), "{output}");
            assert_eq!((codes(&output), host.is_closed, host.messages.len()), (vec![421], true, 0));
        }
        // While a question is open: the answer comes too late.
        let mut host = Host::connecting(config(), accept_all);
        host.session.handle_close(reason);
        host.session.decide(Decision::Accept, Duration::ZERO);
        assert!(host.feed(b"").starts_with(words));
        // Behind a refused greeting, and behind QUIT.
        let mut host = Host::connecting(config(), |_| refusal(554, EnhancedCode::new(5, 7, 1)));
        host.feed(b"");
        host.session.handle_close(reason);
        assert!(host.feed(b"").starts_with(words) && host.is_closed);
        let mut host = Host::new();
        host.agree("QUIT");
        host.session.handle_close(reason);
        assert_eq!(host.feed(b""), "");
    }
}

/// A reply of the policy that closes, at any question, closes.
#[test]
fn the_policy_ends_the_session() {
    let at = |place: usize| -> Policy {
        fn close_if(is_here: bool) -> Decision {
            if is_here { refusal(421, EnhancedCode::new(4, 3, 2)) } else { Decision::Accept }
        }
        match place {
            0 => |question| close_if(matches!(question, Question::Hello(_))),
            1 => |question| close_if(matches!(question, Question::Mail(_))),
            2 => |question| close_if(matches!(question, Question::Rcpt(..))),
            3 => |question| close_if(matches!(question, Question::Content(_))),
            _ => |question| close_if(matches!(question, Question::EndOfContent(_))),
        }
    };
    let lines = ["EHLO a", "MAIL FROM:<a@a>", "RCPT TO:<b@b>", "DATA", "."];
    for place in 0..lines.len() {
        let mut host = Host::with(config(), at(place));
        host.agree_all(&lines[..place]);
        assert_eq!(host.code(lines[place]), 421);
        assert!(host.is_closed && host.messages.is_empty());
        assert_eq!(host.feed(b"NOOP\r\n"), "");
    }
}
