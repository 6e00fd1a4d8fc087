//! A server that said how much it takes (RFC 9422), and a client that keeps to it: at the limit, one above, and far above.
//! Row X155.

use proptest::prelude::*;

use super::*;
use crate::address::ForwardPath;

fn server(limits: &str) -> String {
    format!("220 mx\r\n250-mx\r\n250-PIPELINING\r\n250 LIMITS {limits}\r\n")
}

fn paths(list: &[&str]) -> Vec<ForwardPath> {
    list.iter().map(|path| path.parse().unwrap()).collect()
}

/// Sends a message that is taken.
fn send(talk: &mut Talk, recipients: &[&str]) {
    talk.start(transaction(recipients));
    talk.hear(&"250 OK\r\n".repeat(1 + recipients.len()));
    assert_eq!(talk.hear("354 go\r\n"), [Event::WantContent]);
    talk.send_content("");
    assert!(outcome(&talk.hear("250 OK\r\n")).is_success());
    talk.said();
}

#[track_caller]
fn assert_refused(talk: &mut Talk, recipients: &[&str], expected: StartError) {
    assert_eq!(talk.session.start(transaction(recipients), talk.now), Err(expected.clone()));
    assert!(expected.is_transient());
    assert_eq!(talk.said(), "");
}

#[test]
fn recipients_of_one_transaction() {
    let mut talk = Talk::ready(&server("RCPTMAX=2"));
    let three = ["<b@b>", "<c@b>", "<d@b>"];
    assert_refused(&mut talk, &three, StartError::TooManyRecipients { limit: 2 });
    assert_refused(&mut talk, &three.repeat(1_000), StartError::TooManyRecipients { limit: 2 });
    assert_eq!(talk.session.room_for(&paths(&three)), [0, 1]);
    // The rest goes in the next, over the same connection.
    send(&mut talk, &three[..2]);
    assert_eq!(talk.session.room_for(&paths(&three[2..])), [0]);
    send(&mut talk, &three[2..]);
}

/// What counts is MAIL, whatever the answer (RFC 9422, 4.1).
#[test]
fn mails_of_one_session() {
    let mut talk = Talk::ready(&server("MAILMAX=2"));
    talk.start(transaction(&["<b@b>"]));
    assert_eq!(results(outcome(&talk.hear("450 no\r\n503 no\r\n503 no\r\n"))), ["MAIL 450"]);
    talk.said();
    // What is refused here is not said, so it counts for nothing.
    assert_eq!(talk.session.start(transaction(&[]), talk.now), Err(StartError::NoRecipients));
    send(&mut talk, &["<b@b>"]);
    assert_refused(&mut talk, &["<b@b>"], StartError::TooManyMails { limit: 2 });
    assert_eq!(
        talk.session.rehearse(transaction(&["<b@b>"]), Until::Mail, talk.now),
        Err(StartError::TooManyMails { limit: 2 })
    );
    assert_eq!(talk.session.room_for(&paths(&["<b@b>"])), []);
    // What is left is to say goodbye.
    talk.session.quit(talk.now);
    assert_eq!(talk.hear("221 bye\r\n"), [Event::Closed(Ending::Quit)]);
}

/// RFC 9422, 4.3: different domains, all transactions of the session together; case makes no difference.
#[test]
fn domains_of_one_session() {
    let mut talk = Talk::ready(&server("RCPTDOMAINMAX=2"));
    let mixed = [
        "<a@One.example>",
        "<b@two.example>",
        "<c@three.example>",
        "<d@ONE.EXAMPLE>",
        "<Postmaster>",
        "<e@[192.0.2.1]>",
    ];
    assert_refused(&mut talk, &mixed, StartError::TooManyDomains { limit: 2 });
    assert_eq!(talk.session.room_for(&paths(&mixed)), [0, 1, 3]);
    send(&mut talk, &["<a@One.example>", "<d@one.EXAMPLE>"]);
    // One domain is used up, and may be named again as often as one likes.
    assert_refused(&mut talk, &["<b@two.example>", "<c@three.example>"], StartError::TooManyDomains { limit: 2 });
    assert_eq!(talk.session.room_for(&paths(&mixed)), [0, 1, 3]);
    send(&mut talk, &["<b@two.example>"]);
    assert_eq!(talk.session.room_for(&paths(&mixed[2..])), [1]);
    assert_eq!(talk.session.room_for(&paths(&["<Postmaster>"])), []);
    send(&mut talk, &["<x@two.example>", "<y@one.example>"]);
    // Beyond ASCII, too.
    let talk = Talk::ready(&server("RCPTDOMAINMAX=1"));
    assert_eq!(talk.session.room_for(&paths(&["<a@\u{c9}.example>", "<b@\u{e9}.example>", "<c@e.example>"])), [0, 1]);
}

/// What binds nobody: no limit, one that cannot be read, and one of a server that turned out not to know EHLO.
#[test]
fn without_limits() {
    let many: Vec<String> = (0..5_000).map(|number| format!("<b@{number}.example>")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for greeting in [
        "220 mx\r\n250 mx\r\n".to_owned(),
        server("RCPTMAX=0 MAILMAX=none FUTURE=1"),
        "220 mx\r\n502 no\r\n250-mx\r\n250 LIMITS RCPTMAX=1\r\n".to_owned(),
    ] {
        let mut talk = Talk::ready(&greeting);
        assert_eq!(talk.session.room_for(&paths(&many)).len(), many.len());
        talk.start(transaction(&many));
    }
}

/// Whoever plans at the wrong time is given no room, since nothing could be started.
#[test]
fn room_is_for_the_moment_between_two_transactions() {
    let bob = paths(&["<b@b>"]);
    let mut talk = Talk::new();
    assert_eq!(talk.session.room_for(&bob), []);
    talk.hear(ALL);
    assert_eq!(talk.session.room_for(&bob), [0]);
    assert_eq!(talk.session.room_for(&[]), []);
    talk.start(transaction(&["<b@b>"]));
    assert_eq!(talk.session.room_for(&bob), []);
    talk.hear("421 bye\r\n");
    assert_eq!(talk.session.room_for(&bob), []);
}

/// All that may pass later, and no more.
#[test]
fn what_another_connection_may_carry() {
    for error in [
        StartError::NotReady,
        StartError::TooManyMails { limit: 1 },
        StartError::TooManyRecipients { limit: 1 },
        StartError::TooManyDomains { limit: 1 },
    ] {
        assert!(error.is_transient(), "{error}");
    }
    for error in [
        StartError::NoRecipients,
        StartError::NeedsSmtpUtf8,
        StartError::NeedsEightBitMime,
        StartError::TooBig { limit_octets: 1 },
        StartError::LineTooLong,
    ] {
        assert!(!error.is_transient(), "{error}");
    }
}

proptest! {
    /// A plan is kept to by the session that made it, leaves nobody out without need, and a fresh connection brings at
    /// least one recipient forward: so a list of any length comes to its end.
    #[test]
    fn a_list_comes_to_its_end(
        domains in prop::collection::vec(0_u8..6, 1..40),
        mails in prop::option::of(1_usize..4),
        recipients in prop::option::of(1_usize..5),
        recipient_domains in prop::option::of(1_usize..4),
    ) {
        let limits = crate::extension::Limits { mails, recipients, recipient_domains };
        let greeting = format!("220 mx\r\n250-mx\r\n250-PIPELINING\r\n250 {limits}\r\n");
        let mut waiting: Vec<String> =
            domains.iter().enumerate().map(|(number, domain)| format!("<{number}@{domain}.example>")).collect();
        while !waiting.is_empty() {
            let before = waiting.len();
            let mut talk = Talk::ready(&greeting);
            loop {
                let list: Vec<&str> = waiting.iter().map(String::as_str).collect();
                let room = talk.session.room_for(&paths(&list));
                let chosen: Vec<&str> = room.iter().map(|place| list[*place]).collect();
                if chosen.is_empty() {
                    break;
                }
                // One more is one too many, whoever it is.
                if let Some(other) = (0..list.len()).find(|place| !room.contains(place)) {
                    let more = transaction(&[&chosen[..], &[list[other]]].concat());
                    prop_assert!(talk.session.start(more, talk.now).is_err_and(|error| error.is_transient()));
                }
                send(&mut talk, &chosen);
                waiting = (0..list.len()).filter(|place| !room.contains(place)).map(|place| list[place].to_owned()).collect();
            }
            prop_assert!(waiting.len() < before);
        }
    }
}
