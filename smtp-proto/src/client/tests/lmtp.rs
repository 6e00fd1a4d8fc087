//! LMTP (RFC 2033): another hello, and one verdict for each accepted recipient. Row X150.

use super::*;

fn lmtp() -> Config {
    Config { protocol: Protocol::Lmtp, ..config() }
}

/// With a server that offers this.
fn ready(config: Config, keywords: &[&str]) -> Talk {
    let mut talk = Talk::with(config);
    assert_eq!(talk.hear("220 lmtp\r\n"), []);
    let keywords: String = keywords.iter().map(|keyword| format!("250-{keyword}\r\n")).collect();
    assert_eq!(talk.hear(&format!("250-mx\r\n{keywords}250 ENHANCEDSTATUSCODES\r\n")), [Event::Ready]);
    talk.said();
    talk
}

/// A transaction with three recipients, of whom the second is refused, in a group or in lock-step, up to the end of the
/// content.
fn until_verdicts(has_pipelining: bool) -> Talk {
    let mut talk = ready(lmtp(), if has_pipelining { &["PIPELINING"] } else { &[] });
    talk.start(transaction(&["<bob@b>", "<carol@c>", "<dave@d>"]));
    assert_eq!(talk.hear("250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n354 go on\r\n"), [Event::WantContent]);
    talk.send_content("text\n");
    talk.write();
    talk
}

#[test]
fn says_lhlo_and_nothing_else() {
    let mut talk = Talk::with(lmtp());
    assert_eq!(talk.hear("220 lmtp\r\n"), []);
    assert_eq!(talk.said(), "LHLO laptop.example.com\r\n");
    assert_eq!(talk.hear("250-mx\r\n250 SIZE 5\r\n"), [Event::Ready]);
    assert_eq!(talk.session.extensions().size_limit_octets(), Some(5));

    // Rows N005, N032 are about SMTP: a server that does not know LHLO is not asked in other words.
    for refusal in ["500 what", "502 no", "550 no", "421 no"] {
        let mut talk = Talk::with(lmtp());
        talk.hear("220 smtp\r\n");
        talk.said();
        let mut events = talk.hear(&format!("{refusal}\r\n"));
        if !refusal.starts_with("421") {
            assert_eq!(talk.said(), "QUIT\r\n", "{refusal}");
            events = talk.hear("221 bye\r\n");
        }
        assert!(matches!(&events[..], [Event::Closed(Ending::Refused(Stage::Lhlo, _))]), "{refusal}: {events:?}");
    }
}

#[test]
fn every_accepted_recipient_has_its_verdict() {
    for has_pipelining in [true, false] {
        for (verdicts, expected) in [
            ("250 2.0.0 <bob> saved\r\n250 2.0.0 <dave> saved\r\n", ["250", "RCPT 550", "250"]),
            ("250-two\r\n250 lines\r\n452 4.2.2 full\r\n", ["250", "RCPT 550", "end of content 452"]),
            ("552 5.2.2 full\r\n250 ok\r\n", ["end of content 552", "RCPT 550", "250"]),
            ("451 later\r\n550 never\r\n", ["end of content 451", "RCPT 550", "end of content 550"]),
            // 521 here is about one mailbox, as it is behind RCPT.
            ("521 no mail\r\n250 ok\r\n", ["end of content 521", "RCPT 550", "250"]),
        ] {
            let mut talk = until_verdicts(has_pipelining);
            let events = talk.hear(verdicts);
            assert_eq!(results(outcome(&events)), expected, "{verdicts:?}");
            assert_eq!(events[1..], [Event::Ready], "{verdicts:?}");
            // The conversation goes on, and in step.
            talk.said();
            talk.start(transaction(&["<bob@b>"]));
            assert!(talk.said().starts_with("MAIL FROM:<alice@a>\r\n"));
            // What was said to one recipient is the reply that he is told of.
            if let Ok(reply) = &outcome(&events).recipients[0].result {
                assert!(verdicts.starts_with(&reply.to_string()[..3]));
            }
        }
    }
}

/// What stands is kept; who was not answered is in doubt.
#[test]
fn verdicts_that_break_off() {
    let lost: fn(&mut Talk) = |talk| talk.session.handle_connection_lost();
    let timeout: fn(&mut Talk) = |talk| talk.session.handle_timeout();
    let nothing: fn(&mut Talk) = |_| {};
    for (verdicts, and_then, expected, in_doubt) in [
        ("", lost, ["end of content lost", "RCPT 550", "end of content lost"], [true, false, true]),
        ("250 ok\r\n", lost, ["250", "RCPT 550", "end of content lost"], [false, false, true]),
        ("250 ok\r\n25", lost, ["250", "RCPT 550", "end of content lost"], [false, false, true]),
        ("250 ok\r\n", timeout, ["250", "RCPT 550", "end of content timeout"], [false, false, true]),
        ("550 no\r\n", lost, ["end of content 550", "RCPT 550", "end of content lost"], [false, false, true]),
        ("421 bye\r\n", nothing, ["end of content 421", "RCPT 550", "end of content lost"], [false, false, true]),
        ("250 ok\r\n421 bye\r\n", nothing, ["250", "RCPT 550", "end of content 421"], [false; 3]),
        ("250 ok\r\n354 go\r\n", nothing, ["250", "RCPT 550", "end of content Unexpected"], [false, false, true]),
    ] {
        let mut talk = until_verdicts(true);
        let (_, mut events) = talk.hear_at_once(verdicts);
        and_then(&mut talk);
        events.extend(talk.hear_at_once("").1);
        let found = outcome(&events);
        assert_eq!(results(found), expected, "{verdicts:?}");
        let doubts =
            found.recipients.iter().map(|recipient| matches!(&recipient.result, Err(why) if why.is_uncertain()));
        assert_eq!(doubts.collect::<Vec<_>>(), in_doubt, "{verdicts:?}");
        assert!(matches!(events[1..], [Event::Closed(Ending::Failed(..) | Ending::Goodbye(_))]), "{events:?}");
        let again = found.recipients.iter().map(|recipient| recipient.result.as_ref().err().map(Failure::is_transient));
        assert!(again.zip(expected).all(|(again, result)| again.is_none_or(|again| again != result.ends_with("550"))));
    }
}

/// A reply too many is nobody's, and must not be taken for the answer to the next command.
#[test]
fn more_verdicts_than_recipients() {
    for is_at_once in [true, false] {
        let mut talk = until_verdicts(true);
        let mut events =
            talk.hear_at_once(if is_at_once { "250 a\r\n250 b\r\n250 c\r\n" } else { "250 a\r\n250 b\r\n" }).1;
        if !is_at_once {
            assert_eq!(events.last(), Some(&Event::Ready));
            events.pop();
            events.extend(talk.hear_at_once("250 c\r\n").1);
        }
        assert_eq!(results(outcome(&events)), ["250", "RCPT 550", "250"]);
        let unexpected = Ending::Failed(Stage::Ready, Cause::Reply(ReplyError::Unexpected));
        assert_eq!(events[1..], [Event::Closed(unexpected)]);
    }
}

/// Each verdict has the time of a delivery.
#[test]
fn the_clock_starts_anew_with_each_verdict() {
    let mut talk = until_verdicts(true);
    let patience = lmtp().timeouts.end_of_content;
    talk.now = Duration::from_secs(60);
    assert_eq!(talk.hear("250 ok\r\n"), []);
    assert_eq!(talk.session.deadline(), talk.now + patience);
}

/// RFC 2033, 4.2: a server refuses DATA when nobody was accepted. With one that does not, the count of replies is lost.
#[test]
fn nobody_is_accepted() {
    for (reply, expected) in [("503 no recipients", true), ("354 go on", false)] {
        let mut talk = ready(lmtp(), &["PIPELINING"]);
        talk.start(transaction(&["<bob@b>", "<carol@c>"]));
        let events = talk.hear(&format!("250 ok\r\n550 no\r\n450 no\r\n{reply}\r\n"));
        assert_eq!(results(outcome(&events)), ["RCPT 550", "RCPT 450"]);
        assert_eq!(events.last() == Some(&Event::Ready), expected, "{events:?}");
        assert!(!talk.said().contains("\r\n.\r\n"));
    }
}

/// What comes before the end of the content is the first recipient's, and the end is never said.
#[test]
fn a_verdict_before_its_time() {
    let mut talk = ready(lmtp(), &["PIPELINING"]);
    talk.start(transaction(&["<bob@b>", "<carol@c>"]));
    assert_eq!(talk.hear("250 ok\r\n250 ok\r\n250 ok\r\n354 go on\r\n"), [Event::WantContent]);
    talk.session.write_content(b"text\n", talk.now).unwrap();
    let events = talk.hear("552 5.2.2 full\r\n");
    assert_eq!(results(outcome(&events)), ["content 552", "content lost"]);
    let carol = outcome(&events).recipients[1].result.clone().unwrap_err();
    assert!(carol.is_transient() && !carol.is_uncertain());
    assert!(matches!(events[1..], [Event::Closed(Ending::Goodbye(_))]));
}

/// Behind BDAT LAST it is the same (RFC 2033, 4.3).
#[test]
fn one_chunk_and_its_verdicts() {
    let mut talk = ready(Config { chunking: true, ..lmtp() }, &["PIPELINING", "CHUNKING"]);
    let mut two = transaction(&["<bob@b>", "<carol@c>"]);
    two.parameters.size = Some(6);
    talk.start(two);
    assert_eq!(talk.hear("250 ok\r\n250 ok\r\n250 ok\r\n"), [Event::WantContent]);
    talk.send_content("text\n");
    let events = talk.hear("250 ok\r\n451 later\r\n");
    assert!(talk.said().ends_with("BDAT 6 LAST\r\ntext\r\n"));
    assert_eq!(results(outcome(&events)), ["250", "end of content 451"]);
    talk.start(transaction(&["<bob@b>"]));
    assert!(talk.said().starts_with("RSET\r\n"));
}
