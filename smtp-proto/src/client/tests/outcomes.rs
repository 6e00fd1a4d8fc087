//! Who is told what. Rows N040, N041, N162, N165, N166, N171, N172, N188, N226, N234, N235, X006, X007, X008, X010, X019,
//! X020, X021, X022, X024.

use super::*;

/// A transaction with three recipients and the replies to it, in a group or in lock-step; what was said at its end, and
/// each recipient's result.
fn run(has_pipelining: bool, replies: &[&str]) -> (Talk, String, Vec<Event>) {
    let mut talk = if has_pipelining { Talk::ready(ALL) } else { Talk::plain() };
    talk.start(transaction(&["<bob@b>", "<carol@c>", "<dave@d>"]));
    let mut said = talk.said();
    let mut events = Vec::new();
    for reply in replies {
        for event in talk.hear(&format!("{reply}\r\n")) {
            if event == Event::WantContent {
                talk.send_content("text\n");
            }
            events.push(event);
        }
        said += &talk.said();
    }
    events.retain(|event| *event != Event::WantContent);
    (talk, said, events)
}

/// Row X019: every status of a group is looked at, and belongs to its own recipient.
#[test]
fn mixed_replies() {
    for has_pipelining in [true, false] {
        for (replies, expected) in [
            (["250", "250", "250", "250", "354", "250"], ["250", "250", "250"]),
            (["250", "250", "550", "451", "354", "250"], ["250", "RCPT 550", "RCPT 451"]),
            (["250", "550", "251", "252", "354", "250"], ["RCPT 550", "250", "250"]),
            (["250", "552", "250", "550", "354", "550"], ["RCPT 552", "end of content 550", "RCPT 550"]),
            (["250", "250", "550", "250", "354", "451"], ["end of content 451", "RCPT 550", "end of content 451"]),
            (["250", "250", "550", "250", "451", ""], ["DATA 451", "RCPT 550", "DATA 451"]),
            (["250", "250", "550", "250", "554", ""], ["DATA 554", "RCPT 550", "DATA 554"]),
            // Rows N168, N189: by the first digit.
            (["299", "258", "599", "499", "399", "222"], ["222", "RCPT 599", "RCPT 499"]),
            // 521 to one recipient is about that one.
            (["250", "521", "250", "250", "354", "250"], ["RCPT 521", "250", "250"]),
        ] {
            let replies: Vec<_> = replies.into_iter().filter(|reply| !reply.is_empty()).collect();
            let (_, said, events) = run(has_pipelining, &replies);
            assert_eq!(results(outcome(&events)), expected, "{replies:?}");
            assert_eq!(events[1..], [Event::Ready], "{replies:?}");
            // Rows N040, N041: content behind 354 only.
            assert_eq!(said.contains("text\r\n.\r\n"), replies.contains(&"354") || replies.contains(&"399"));
        }
    }
}

/// RFC 2920, 3.1 (row X020): DATA went out in the group, so its reply must be read; 354 is answered with a lone dot.
#[test]
fn all_recipients_are_refused() {
    let refused = ["RCPT 550", "RCPT 451", "RCPT 550"];
    let envelope = ["250", "550", "451", "550"];
    for (last, said_last) in [("503", "DATA\r\n"), ("554", "DATA\r\n"), ("451", "DATA\r\n")] {
        let (mut talk, said, events) = run(true, &[&envelope[..], &[last]].concat());
        assert!(said.ends_with(said_last));
        assert_eq!(results(outcome(&events)), refused);
        // The server holds a transaction still.
        talk.start(transaction(&["<bob@b>"]));
        assert!(talk.said().starts_with("RSET\r\nMAIL "), "{last}");
    }
    for last in ["250", "554", "451"] {
        let (mut talk, said, events) = run(true, &[&envelope[..], &["354", last]].concat());
        assert!(said.ends_with("DATA\r\n.\r\n"), "{said:?}");
        assert_eq!(results(outcome(&events)), refused, "an empty message that was taken over is nobody's success");
        assert_eq!(events[1..], [Event::Ready]);
        talk.start(transaction(&["<bob@b>"]));
        assert!(talk.said().starts_with("MAIL "));
    }
    // In lock-step DATA is never said.
    let (mut talk, said, events) = run(false, &envelope);
    assert!(!said.contains("DATA"));
    assert_eq!(results(outcome(&events)), refused);
    talk.start(transaction(&["<bob@b>"]));
    assert_eq!(talk.said(), "RSET\r\n");
    talk.hear("250 OK\r\n");
    assert_eq!(talk.said(), "MAIL FROM:<alice@a>\r\n");
}

/// A refused MAIL is everybody's result; in a group the rest is still answered, and read.
#[test]
fn the_sender_is_refused() {
    for (code, is_transient) in [("550", false), ("451", true), ("552", false), ("452", true)] {
        for replies in [vec![code, "503", "503", "503", "503"], vec![code, "250", "503", "250", "354", "250"]] {
            let (_, said, events) = run(true, &replies);
            assert_eq!(results(outcome(&events)), vec![format!("MAIL {code}"); 3], "{replies:?}");
            assert!(!said.contains("text"));
            for recipient in &outcome(&events).recipients {
                assert_eq!(recipient.result.as_ref().unwrap_err().is_transient(), is_transient);
            }
        }
        let (_, said, events) = run(false, &[code]);
        assert_eq!(results(outcome(&events)), vec![format!("MAIL {code}"); 3]);
        assert_eq!(said, "MAIL FROM:<alice@a>\r\n");
        assert_eq!(events[1..], [Event::Ready]);
    }
}

/// With more recipients than fit into a group, nothing more goes out once MAIL is refused.
#[test]
fn a_refused_sender_stops_the_rest() {
    let paths = vec!["<bob@b>"; 200];
    let mut talk = Talk::ready(ALL);
    talk.start(transaction(&paths));
    let sent = talk.said().lines().count();
    assert_eq!(sent, crate::limits::OUTSTANDING_COMMANDS);
    assert_eq!(talk.hear("550 no\r\n"), []);
    let events = talk.hear(&"503 no\r\n".repeat(sent - 1));
    assert_eq!(results(outcome(&events)), vec!["MAIL 550"; 200]);
    assert_eq!((talk.said(), &events[1..]), (String::new(), &[Event::Ready][..]));
}

/// RFC 5321, 4.5.3.1.10 (rows N234, N235): 552 to RCPT is "not now"; the 5yz that come later are what they say (X010).
#[test]
fn what_may_work_later() {
    for (replies, is_transient) in [
        (vec!["250", "552", "250", "250", "354", "250"], true),
        (vec!["250", "452", "250", "250", "354", "250"], true),
        (vec!["250", "550", "250", "250", "354", "250"], false),
        (vec!["250", "521", "250", "250", "354", "250"], false),
        (vec!["250", "250", "250", "250", "354", "552"], false),
        (vec!["250", "250", "250", "250", "354", "452"], true),
        (vec!["250", "250", "250", "250", "552"], false),
    ] {
        let (_, _, events) = run(true, &replies);
        let failure = outcome(&events).recipients[0].result.as_ref().unwrap_err();
        assert_eq!(failure.is_transient(), is_transient, "{replies:?}");
        assert!(!failure.is_uncertain());
    }
}

/// DATA is refused while recipients were accepted: they are still in the server's transaction, and must not get the next
/// message.
#[test]
fn reset_before_the_next_transaction() {
    for has_pipelining in [true, false] {
        let (mut talk, _, events) = run(has_pipelining, &["250", "250", "250", "250", "451"]);
        assert_eq!(results(outcome(&events)), ["DATA 451"; 3]);
        talk.start(transaction(&["<erin@e>"]));
        let mut said = talk.said();
        for reply in ["250 reset\r\n", "250 OK\r\n", "250 OK\r\n"] {
            assert_eq!(talk.hear(reply), []);
            said += &talk.said();
        }
        assert_eq!(said, "RSET\r\nMAIL FROM:<alice@a>\r\nRCPT TO:<erin@e>\r\nDATA\r\n");
        assert_eq!(talk.hear("354 go\r\n"), [Event::WantContent]);
        talk.send_content("");
        assert_eq!(results(outcome(&talk.hear("250 OK\r\n"))), ["250"]);
        // And no RSET where the content ended it.
        talk.start(transaction(&["<erin@e>"]));
        assert!(!talk.said().contains("RSET"));
    }
}

/// A server that refuses RSET would take Erin into the message before: the conversation ends, and Erin is tried again.
#[test]
fn a_refused_reset_ends_the_conversation() {
    for has_pipelining in [true, false] {
        for reply in ["500 what?\r\n", "451 no\r\n", "354 odd\r\n"] {
            let (mut talk, ..) = run(has_pipelining, &["250", "250", "250", "250", "451"]);
            talk.start(transaction(&["<erin@e>"]));
            talk.said();
            let events = talk.hear(&format!("{reply}503 nested\r\n250 OK\r\n354 go\r\n"));
            assert_eq!(results(outcome(&events)), ["RSET Unexpected"]);
            assert!(outcome(&events).recipients[0].result.as_ref().unwrap_err().is_transient());
            assert!(matches!(events[1..], [Event::Closed(Ending::Failed(Stage::Reset, _))]));
            assert_eq!(talk.said(), "", "not even the lone dot");
        }
    }
}

/// Rows N162, N165, N166, X022, X024: any text, none, and many lines; a reply is one reply.
#[test]
fn replies_in_every_shape() {
    let shapes: [fn(&str) -> String; 5] = [
        |code| code.to_owned(),
        |code| format!("{code} "),
        |code| format!("{code} 550 not what it seems"),
        |code| format!("{code}-550 no\r\n{code}-\r\n{code} 421 yes"),
        |code| format!("{code}-5.1.1 odd\r\n{code}"),
    ];
    for shape in shapes {
        for has_pipelining in [true, false] {
            let replies = ["250", "250", "550", "250", "354", "250"].map(shape);
            let (_, _, events) = run(has_pipelining, &replies.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(results(outcome(&events)), ["250", "RCPT 550", "250"], "{replies:?}");
        }
    }
}

/// The reply that decided it is kept whole.
#[test]
fn the_full_reply_is_told() {
    let (_, _, events) =
        run(true, &["250", "550-5.1.1 no\r\n550 5.1.1 such user", "250", "250", "354", "250 2.0.0 as 01J"]);
    let told: Vec<_> = outcome(&events)
        .recipients
        .iter()
        .map(|recipient| match &recipient.result {
            Ok(reply) => reply.to_string(),
            Err(failure) => failure.to_string(),
        })
        .collect();
    assert_eq!(told, ["RCPT: 550 5.1.1 no / such user", "250 2.0.0 as 01J", "250 2.0.0 as 01J"]);
    let paths: Vec<_> =
        outcome(&events).recipients.iter().map(|recipient| recipient.forward_path.to_string()).collect();
    assert_eq!(paths, ["<bob@b>", "<carol@c>", "<dave@d>"]);
    assert!(!outcome(&events).is_success());
}
