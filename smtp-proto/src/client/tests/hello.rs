//! How a conversation begins and ends. Rows N003, N005, N006, N032, N102, N103, N104, N106, N107, N130, N131, N150, N151,
//! N154, N158, N159, N165, N168, N170, N185, N189, N311, X060, X132.

use super::*;

/// What a conversation that was ended is called: `stage code`, or `stage error`.
pub(super) fn ending(events: &[Event]) -> String {
    match events {
        [Event::Closed(Ending::Quit)] => "quit".to_owned(),
        [Event::Closed(Ending::Refused(stage, reply))] => format!("refused {stage} {}", reply.code()),
        [Event::Closed(Ending::Goodbye(reply))] => format!("goodbye {}", reply.code()),
        [Event::Closed(Ending::Failed(stage, cause))] => format!("failed {stage} {cause:?}"),
        [] => String::new(),
        events => panic!("{events:?}"),
    }
}

/// Row N185: not an octet before the greeting. Then EHLO and nothing else on the line (rows N103, N104).
#[test]
fn greetings() {
    let quit = "QUIT\r\n";
    for (greeting, said, ended) in [
        ("220 mx ready\r\n", "EHLO laptop.example.com\r\n", ""),
        ("220-mx\r\n220 ready\r\n", "EHLO laptop.example.com\r\n", ""),
        ("220\r\n", "EHLO laptop.example.com\r\n", ""),
        // Rows N168, N189: by the first digit.
        ("299 welcome\r\n", "EHLO laptop.example.com\r\n", ""),
        ("421 mx too busy\r\n", "", "refused greeting 421"),
        ("521 mx takes no mail\r\n", "", "refused greeting 521"),
        // Row N159: QUIT is sent even when no session was opened.
        ("554 mx not you\r\n", quit, "refused greeting 554"),
        ("450 mx not now\r\n", quit, "refused greeting 450"),
        ("354 mx\r\n", quit, "failed greeting Reply(Unexpected)"),
        ("HTTP/1.1 400 Bad Request\r\n", "", "failed greeting Reply(Malformed)"),
        ("150 mx\r\n", "", "failed greeting Reply(Code)"),
        ("220 mx\n", "", "failed greeting Reply(BareLineFeed)"),
    ] {
        let mut talk = Talk::new();
        assert_eq!(talk.said(), "");
        let mut events = talk.hear(greeting);
        assert_eq!(talk.said(), said, "{greeting:?}");
        if said == quit {
            assert_eq!(events, []);
            events = talk.hear("221 bye\r\n");
        }
        assert_eq!(ending(&events), ended, "{greeting:?}");
        assert_eq!(talk.said(), "");
    }
}

/// RFC 5321, 3.2 (rows N006, N032): HELO where EHLO is not known.
#[test]
fn hellos() {
    let helo = "HELO laptop.example.com\r\n";
    for (ehlo, said) in
        [("500 what?", helo), ("502 no", helo), ("550 no", helo), ("451 later", "QUIT\r\n"), ("354 odd", "QUIT\r\n")]
    {
        let mut talk = Talk::new();
        assert_eq!(talk.hear("220 mx\r\n"), []);
        talk.said();
        assert_eq!(talk.hear(&format!("{ehlo}\r\n")), []);
        assert_eq!(talk.said(), said, "{ehlo}");
    }
    for (replies, ended) in [
        ("421 later\r\n", "refused EHLO 421"),
        ("521 never\r\n", "refused EHLO 521"),
        ("451 later\r\n221 bye\r\n", "refused EHLO 451"),
        ("500 what?\r\n550 not you\r\n221 bye\r\n", "refused EHLO 550"),
        ("500 what?\r\n421 later\r\n", "refused EHLO 421"),
        ("250-mx\r\n251 mx\r\n", "failed EHLO Reply(DifferentCodes)"),
    ] {
        let mut talk = Talk::new();
        talk.hear("220 mx\r\n");
        assert_eq!(ending(&talk.hear(replies)), ended, "{replies:?}");
    }
    // Behind HELO there are no extensions, whatever its reply looks like.
    let talk = Talk::ready("220 mx\r\n500 what?\r\n250-mx\r\n250 PIPELINING\r\n");
    assert_eq!(talk.session.extensions(), &Extensions::default());
}

/// Rows N107, X132: keywords in any case; N102, N151: a host without a name gives its address.
#[test]
fn extensions() {
    let talk = Talk::ready("220 mx\r\n250-mx\r\n250-pIpElInInG\r\n250-smtputf8 argument\r\n250 size 7\r\n");
    let extensions = talk.session.extensions();
    assert!(extensions.has(&Extension::Pipelining) && extensions.has(&Extension::SmtpUtf8));
    assert_eq!(extensions.size_limit_octets(), Some(7));
    let mut session = ClientSession::new(Config::new("[IPv6:2001:db8::1]".parse().unwrap()));
    session.handle(b"220 mx\r\n", Duration::ZERO);
    assert_eq!(session.output(), b"EHLO [IPv6:2001:db8::1]\r\n");
}

/// RFC 5321, 4.1.1.10 (rows N130, N131, N158): QUIT, its reply, and the end; whatever the reply is.
#[test]
fn goodbyes() {
    for reply in ["221 bye\r\n", "250 OK\r\n", "421 bye\r\n", "500 what?\r\n", "nonsense\r\n"] {
        let mut talk = Talk::plain();
        talk.session.quit(talk.now);
        assert_eq!(talk.said(), "QUIT\r\n");
        assert_eq!(ending(&talk.hear(reply)), "quit", "{reply:?}");
    }
    let mut talk = Talk::plain();
    talk.session.quit(talk.now);
    talk.session.handle_connection_lost();
    assert_eq!(ending(&talk.hear("")), "quit");
    let mut talk = Talk::plain();
    talk.session.quit(talk.now);
    talk.session.handle_timeout();
    assert_eq!(ending(&talk.hear("")), "quit");
    // Only between transactions.
    let mut talk = Talk::plain();
    talk.start(transaction(&["<bob@b>"]));
    talk.session.quit(talk.now);
    assert_eq!(talk.said(), "MAIL FROM:<alice@a>\r\n");
    let mut talk = Talk::new();
    talk.session.quit(talk.now);
    assert_eq!(talk.said(), "");
}

/// A server that speaks unasked has lost count, or is leaving. Its words are never the answer to the next command.
#[test]
fn replies_out_of_nowhere() {
    for (words, ended) in [
        ("250 OK\r\n", "failed idle Reply(Unexpected)"),
        ("550 no\r\n", "failed idle Reply(Unexpected)"),
        ("250-half a rep", "failed idle Reply(Unexpected)"),
        ("\0", "failed idle Reply(Unexpected)"),
        ("421 going down\r\n", "goodbye 421"),
    ] {
        // In the same segment as the reply to EHLO, and as the reply to the end of the content.
        let mut talk = Talk::new();
        talk.hear("220 mx\r\n");
        talk.write();
        assert_eq!(ending(&talk.hear_at_once(&format!("250 mx\r\n{words}")).1), ended, "{words:?}");
        let mut talk = Talk::plain();
        talk.start(transaction(&["<bob@b>"]));
        talk.hear("250 OK\r\n250 OK\r\n354 go\r\n");
        talk.send_content("text");
        talk.write();
        let (_, events) = talk.hear_at_once(&format!("250 taken\r\n{words}"));
        assert_eq!(results(outcome(&events)), ["250"]);
        assert_eq!(ending(&events[1..]), ended, "{words:?}");
        assert_eq!(talk.session.start(transaction(&["<bob@b>"]), talk.now), Err(StartError::NotReady));
    }
    for (words, ended) in [("250 OK\r\n", "failed idle Reply(Unexpected)"), ("421 idle\r\n", "goodbye 421")] {
        assert_eq!(ending(&Talk::plain().hear(words)), ended);
    }
}

/// A server once said its greeting and a 250 in one segment, and the 250 was taken for the answer to an EHLO which it could
/// not have read. Whoever can put octets in front of an answer must not be able to give it.
#[test]
fn replies_that_come_before_their_commands() {
    for (words, ended) in [
        ("250 mx\r\n", "failed EHLO Reply(Unexpected)"),
        ("250-half a rep", "failed EHLO Reply(Unexpected)"),
        ("2", "failed EHLO Reply(Unexpected)"),
        ("421 going down\r\n", "refused EHLO 421"),
    ] {
        let (_, events) = Talk::new().hear_at_once(&format!("220 mx\r\n{words}"));
        assert_eq!(ending(&events), ended, "{words:?}");
    }
    let (_, events) = {
        let mut talk = Talk::new();
        talk.hear("220 mx\r\n");
        talk.write();
        talk.hear_at_once("500 what?\r\n250 mx\r\n")
    };
    assert_eq!(ending(&events), "failed EHLO Reply(Unexpected)");
    // In lock-step, the reply to RCPT together with that to MAIL; in a group, as many as there are commands.
    for (server, replies, expected) in [
        ("220 mx\r\n250 mx\r\n", "250 OK\r\n250 OK\r\n", "RCPT Unexpected"),
        ("220 mx\r\n250 mx\r\n", "250 OK\r\n421 going down\r\n", "RCPT 421"),
        (ALL, "250 OK\r\n250 OK\r\n354 go on\r\n", ""),
    ] {
        let mut talk = Talk::ready(server);
        talk.start(transaction(&["<bob@b>"]));
        talk.write();
        let (_, events) = talk.hear_at_once(replies);
        match expected {
            "" => assert_eq!(events, [Event::WantContent]),
            expected => assert_eq!(results(outcome(&events)), [expected]),
        }
    }
}

/// Nothing can be started before it is time.
#[test]
fn not_ready() {
    let mut talk = Talk::new();
    for (reply, said) in
        [("", ""), ("220 mx\r\n", "EHLO laptop.example.com\r\n"), ("500 no\r\n", "HELO laptop.example.com\r\n")]
    {
        talk.hear(reply);
        assert_eq!(talk.session.start(transaction(&["<bob@b>"]), talk.now), Err(StartError::NotReady));
        assert_eq!(talk.session.write_content(b"text", talk.now), Ok(()));
        assert_eq!(talk.session.finish_content(talk.now), Ok(()));
        assert_eq!(talk.said(), said);
    }
}
