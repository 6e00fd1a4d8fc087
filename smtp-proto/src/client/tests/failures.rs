//! What breaks, and when. Rows N017, N041, N093, N134, N170, N176, N237, N238, N240, N242; RFC 1047.

use super::*;
use crate::content::BareCarriageReturn;

/// One message in lock-step: what is awaited, the reply that comes, and how long it may take (row N240).
const STEPS: [(&str, &str, u64); 8] = [
    ("greeting", "220 mx", 300),
    ("EHLO", "250 mx", 300),
    ("MAIL", "250 OK", 300),
    ("RCPT", "250 OK", 300),
    ("RCPT", "250 OK", 300),
    ("DATA", "354 go", 120),
    ("end of content", "250 OK", 600),
    ("QUIT", "221 bye", 5),
];

/// Goes as far as to wait for the reply of step `count`.
fn talk_at(count: usize) -> Talk {
    let mut talk = Talk::new();
    for (number, (stage, reply, seconds)) in STEPS[..count].iter().enumerate() {
        assert_eq!(talk.session.stage().to_string(), *stage, "step {number}");
        talk.now += Duration::from_secs(seconds - 1);
        for event in talk.hear(&format!("{reply}\r\n")) {
            match event {
                Event::Ready if number == 1 => talk.start(transaction(&["<bob@b>", "<carol@c>"])),
                Event::Ready => talk.session.quit(talk.now),
                Event::WantContent => talk.send_content("text"),
                Event::Finished(outcome) => assert!(outcome.is_success()),
                event => panic!("{event:?}"),
            }
        }
    }
    talk
}

/// Rows N093, N134, N237: every kind of break at every step, and who is told. Nothing that is not a 250 to the end of the
/// content is a success.
#[test]
fn breaks_at_every_step() {
    type Break = (&'static str, fn(&mut Talk) -> Vec<Event>);
    let breaks: [Break; 4] = [
        ("lost", |talk| {
            talk.session.handle_connection_lost();
            talk.hear("")
        }),
        ("timeout", |talk| {
            talk.session.handle_timeout();
            talk.hear("")
        }),
        ("421", |talk| talk.hear("421 mx going down\r\n")),
        ("Malformed", |talk| talk.hear("go away\r\n")),
    ];
    for (name, break_it) in breaks {
        for (count, (stage, ..)) in STEPS.iter().enumerate() {
            let mut talk = talk_at(count);
            let events = break_it(&mut talk);
            let Some(Event::Closed(ending)) = events.last() else { panic!("{name} at {stage}: {events:?}") };
            match count {
                2..=6 => {
                    let outcome = outcome(&events);
                    assert_eq!(results(outcome), vec![format!("{stage} {name}"); 2]);
                    for recipient in &outcome.recipients {
                        let failure = recipient.result.as_ref().unwrap_err();
                        assert!(failure.is_transient(), "{name} at {stage}");
                        // RFC 1047: the server may have it, unless it said that it has not.
                        assert_eq!(failure.is_uncertain(), *stage == "end of content" && name != "421");
                    }
                    assert_eq!(matches!(ending, Ending::Goodbye(_)), name == "421", "{ending:?}");
                }
                7 => assert_eq!(ending, &Ending::Quit),
                _ => {
                    assert_eq!(events.len(), 1);
                    assert_eq!(matches!(ending, Ending::Refused(..)), name == "421", "{ending:?}");
                }
            }
            // The session is over: nothing more goes out, and nothing can be started.
            talk.said();
            assert_eq!(talk.session.start(transaction(&["<bob@b>"]), talk.now), Err(StartError::NotReady));
            talk.session.quit(talk.now);
            talk.session.write_content(b"text", talk.now).unwrap();
            assert_eq!(talk.said(), "");
        }
    }
}

/// RFC 5321, 4.5.3.2 (rows N238, N240): for each step from its own start, so that a slow but steady server is served.
#[test]
fn deadlines() {
    for (count, (stage, _, seconds)) in STEPS.iter().enumerate() {
        let talk = talk_at(count);
        assert_eq!(talk.session.deadline(), talk.now + Duration::from_secs(*seconds), "{stage}");
    }
    // In a group each reply has its time from the reply before.
    let mut talk = Talk::ready(ALL);
    talk.start(transaction(&["<bob@b>", "<carol@c>"]));
    for (reply, seconds) in [("250 OK\r\n", 300), ("250 OK\r\n", 300), ("550 no\r\n", 120), ("354 go\r\n", 180)] {
        talk.now += Duration::from_secs(100);
        talk.hear(reply);
        assert_eq!(talk.session.deadline(), talk.now + Duration::from_secs(seconds));
    }
    // A block of content has three minutes, each one.
    for _ in 0..5 {
        talk.now += Duration::from_secs(179);
        talk.session.write_content(b"text\n", talk.now).unwrap();
        assert_eq!(talk.session.deadline(), talk.now + Duration::from_secs(180));
    }
    // The lone dot of nobody's message waits as long as any other.
    let mut talk = Talk::ready(ALL);
    talk.start(transaction(&["<bob@b>"]));
    talk.hear("250 OK\r\n550 no\r\n354 go\r\n");
    assert_eq!(talk.session.deadline(), Duration::from_secs(600));
    // RSET as long as EHLO.
    let mut talk = Talk::ready(ALL);
    talk.start(transaction(&["<bob@b>"]));
    talk.hear("250 OK\r\n250 OK\r\n451 no\r\n");
    talk.start(transaction(&["<bob@b>"]));
    assert_eq!((talk.session.stage(), talk.session.deadline()), (Stage::Reset, Duration::from_secs(300)));
}

/// Row N240, as a table of its own, and "for ever" as a duration.
#[test]
fn timeouts_are_the_least_of_the_rfc() {
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let defaults = Timeouts::default();
    assert!(defaults.greeting >= minutes(5) && defaults.hello >= minutes(5));
    assert!(defaults.mail >= minutes(5) && defaults.rcpt >= minutes(5) && defaults.data >= minutes(2));
    assert!(defaults.block >= minutes(3) && defaults.end_of_content >= minutes(10));
    let ever = Duration::MAX;
    let timeouts = Timeouts {
        greeting: ever,
        hello: ever,
        tls: ever,
        auth: ever,
        mail: ever,
        rcpt: ever,
        data: ever,
        block: ever,
        end_of_content: ever,
        quit: ever,
    };
    let mut talk = Talk { now: minutes(1), ..Talk::with(Config { timeouts, ..config() }) };
    talk.hear("220 mx\r\n250 mx\r\n");
    talk.start(transaction(&["<bob@b>"]));
    assert_eq!(talk.hear("250 OK\r\n250 OK\r\n354 go\r\n"), [Event::WantContent]);
    talk.send_content("text");
    assert_eq!(results(outcome(&talk.hear("250 OK\r\n"))), ["250"]);
    assert_eq!(talk.session.deadline(), ever);
}

/// A server that has seen enough speaks in the middle of the content, and that is the result: not the lost connection that
/// follows.
#[test]
fn early_replies_during_content() {
    for (reply, result, is_transient) in [
        ("552 too big\r\n", "content 552", false),
        ("421 going down\r\n", "content 421", true),
        ("451 disk\r\n", "content 451", true),
        ("250 thank you\r\n", "content Unexpected", true),
        ("354 go on\r\n", "content Unexpected", true),
        ("rubbish\r\n", "content Malformed", true),
    ] {
        let mut talk = Talk::ready(ALL);
        talk.start(transaction(&["<bob@b>", "<carol@c>"]));
        assert_eq!(talk.hear("250 OK\r\n250 OK\r\n550 no\r\n354 go\r\n"), [Event::WantContent]);
        talk.said();
        talk.session.write_content(b"first half\n", talk.now).unwrap();
        let events = talk.hear(reply);
        assert_eq!(results(outcome(&events)), [result, "RCPT 550"]);
        let failure = outcome(&events).recipients[0].result.as_ref().unwrap_err();
        assert_eq!((failure.is_transient(), failure.is_uncertain()), (is_transient, false));
        assert!(matches!(events[1..], [Event::Closed(_)]));
        talk.session.handle_connection_lost();
        // What the driver still hands in goes nowhere; above all no dot.
        talk.said();
        talk.send_content("second half\n");
        assert_eq!(talk.said(), "");
    }
}

/// RFC 5321, 4.3.2: a reply of a class that the command cannot have. The server has lost count; so would we.
#[test]
fn replies_out_of_step() {
    for (replies, result) in [
        ("354 go\r\n", "MAIL Unexpected"),
        ("250 OK\r\n354 go\r\n", "RCPT Unexpected"),
        ("250 OK\r\n250 OK\r\n250 OK\r\n", "DATA Unexpected"),
        ("250 OK\r\n250 OK\r\n221 bye\r\n", "DATA Unexpected"),
        ("250 OK\r\n550 no\r\n250 OK\r\n", "RCPT 550"),
    ] {
        let mut talk = Talk::ready(ALL);
        talk.start(transaction(&["<bob@b>"]));
        talk.said();
        let events = talk.hear(replies);
        assert_eq!(results(outcome(&events)), [result], "{replies:?}");
        assert!(
            matches!(&events[1..], [Event::Closed(Ending::Failed(_, Cause::Reply(ReplyError::Unexpected)))]),
            "{events:?}"
        );
        assert_eq!(talk.said(), "");
    }
    // 354 to the end of the content.
    let mut talk = Talk::ready(ALL);
    talk.start(transaction(&["<bob@b>"]));
    talk.hear("250 OK\r\n250 OK\r\n354 go\r\n");
    talk.send_content("text");
    assert_eq!(results(outcome(&talk.hear("354 go\r\n"))), ["end of content Unexpected"]);
}

/// Row N017: a CR alone cannot go out, and half a message must not be ended as a whole one.
#[test]
fn content_with_a_bare_carriage_return() {
    for (first, second) in [("a\rb", ""), ("a\r", "b"), ("text\n\r", "\r\n"), ("a", "\r")] {
        let mut talk = Talk::plain();
        talk.start(transaction(&["<bob@b>"]));
        talk.hear("250 OK\r\n250 OK\r\n354 go\r\n");
        talk.said();
        let _ = talk.session.write_content(first.as_bytes(), talk.now);
        let _ = talk.session.write_content(second.as_bytes(), talk.now);
        assert_eq!(talk.session.finish_content(talk.now), Err(BareCarriageReturn.into()), "{first:?} {second:?}");
        assert_eq!(talk.session.finish_content(talk.now), Err(BareCarriageReturn.into()));
        assert_eq!(talk.session.stage(), Stage::Content);
        assert!(!talk.said().contains(".\r\n"));
        // The way out that is documented.
        talk.session.handle_connection_lost();
        let events = talk.hear("");
        assert_eq!(results(outcome(&events)), ["content lost"]);
        assert!(matches!(events[1..], [Event::Closed(_)]));
    }
}

/// What had come of the reply when the connection broke.
#[test]
fn half_a_reply_is_not_lost() {
    let mut talk = Talk::plain();
    talk.start(transaction(&["<bob@b>"]));
    assert_eq!(talk.session.unfinished_reply(), "");
    assert_eq!(talk.hear("451-first\r\n451-\u{1b}second\r\n"), []);
    assert_eq!(talk.session.unfinished_reply(), "451-first; 451-\\x1bsecond");
    talk.session.handle_timeout();
    assert_eq!(results(outcome(&talk.hear(""))), ["MAIL timeout"]);
    assert_eq!(talk.session.unfinished_reply(), "451-first; 451-\\x1bsecond");
    // A whole one is handed on, and leaves nothing.
    let mut talk = Talk::plain();
    talk.start(transaction(&["<bob@b>"]));
    talk.hear("451-first\r\n451 second\r\n");
    assert_eq!(talk.session.unfinished_reply(), "");
}
