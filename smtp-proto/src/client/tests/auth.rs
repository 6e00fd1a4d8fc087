//! AUTH (RFC 4954). Rows X103, X104, X106, X107, X112, X115, X117.

use super::hello::ending;
use super::*;
use crate::sasl::{Mechanism, base64};
use crate::secret::Secret;

fn authenticate(talk: &mut Talk, mechanism: Mechanism, response: Option<&str>) {
    talk.session.authenticate(mechanism, response.map(Secret::new), talk.now).unwrap();
}

/// A client that has said AUTH PLAIN with its first message.
fn asking() -> Talk {
    let mut talk = Talk::ready(ALL);
    authenticate(&mut talk, Mechanism::Plain, Some("\0ann\0good"));
    assert!(talk.session.is_output_secret());
    assert_eq!(talk.said(), "AUTH PLAIN AGFubgBnb29k\r\n");
    assert!(!talk.session.is_output_secret());
    talk
}

/// The message of PLAIN, as octets: a driver may write the session into its log.
#[test]
fn the_debug_text_of_a_session_shows_no_password() {
    let mut talk = Talk::ready(ALL);
    authenticate(&mut talk, Mechanism::Plain, Some("\0ann\0good"));
    let octets = format!("{:?}", talk.session.output());
    let octets = octets.trim_matches(['[', ']']);
    assert!(octets.starts_with("65, 85, 84, 72"), "AUTH: {octets}");
    let shown = format!("{:?}", talk.session);
    assert!(!shown.contains(octets) && !shown.contains("AGFubgBnb29k"), "{shown}");
}

fn refused_auth(events: &[Event]) -> String {
    match events {
        [Event::Auth(AuthEvent::Failed(failure)), Event::Ready] => failure.to_string(),
        events => panic!("{events:?}"),
    }
}

#[test]
fn the_strongest_goes_first() {
    let talk = Talk::ready("220 mx\r\n250-mx\r\n250 AUTH login plain X-NEW SCRAM-SHA-256 XOAUTH2 CRAM-MD5\r\n");
    let expected = [Mechanism::ScramSha256, Mechanism::XOAuth2, Mechanism::Plain, Mechanism::Login];
    assert_eq!(talk.session.mechanisms(), expected);
    assert_eq!(Talk::plain().session.mechanisms(), []);
}

#[test]
fn a_success() {
    let mut talk = asking();
    let events = talk.hear("235 2.7.0 yes\r\n");
    assert!(
        matches!(&events[..], [Event::Auth(AuthEvent::Succeeded(reply)), Event::Ready] if reply.code().number() == 235)
    );
    assert!(talk.session.is_authenticated());
    let again = talk.session.authenticate(Mechanism::Plain, None, talk.now);
    assert_eq!(again, Err(StartError::NotReady));
    talk.start(transaction(&["<bob@b>"]));
    assert!(talk.said().starts_with("MAIL FROM:<alice@a>\r\n"));
}

/// Row X104: a first message of nothing is `=`, an answer of nothing an empty line.
#[test]
fn messages_of_nothing() {
    let mut talk = Talk::ready(ALL);
    authenticate(&mut talk, Mechanism::Plain, Some(""));
    assert_eq!(talk.said(), "AUTH PLAIN =\r\n");
    assert_eq!(talk.hear("334 \r\n"), [Event::Auth(AuthEvent::Challenge(vec![]))]);
    talk.session.respond(&Secret::default(), talk.now);
    assert_eq!(talk.said(), "\r\n");
}

/// Row X103: what is too long for the line of the command waits until the server asks.
#[test]
fn long_first_messages() {
    let first = |octets: usize| {
        let mut talk = Talk::ready(ALL);
        authenticate(&mut talk, Mechanism::Plain, Some(&"x".repeat(octets)));
        (talk.said(), talk)
    };
    // 371 octets of base64 are padded to 496, with "AUTH PLAIN " and CRLF 509; three more octets make it 513.
    assert_eq!(first(372).0.len(), 509);
    let (said, mut talk) = first(373);
    assert_eq!(said, "AUTH PLAIN\r\n");
    assert_eq!(talk.hear("334 \r\n"), [], "nobody needs to be asked");
    assert_eq!(talk.said(), format!("{}\r\n", base64::encode("x".repeat(373).as_bytes())));
    assert!(matches!(&talk.hear("235 yes\r\n")[..], [Event::Auth(AuthEvent::Succeeded(_)), Event::Ready]));
    // Before it has heard anything, the server cannot know.
    let (_, mut talk) = first(373);
    assert_eq!(ending(&talk.hear("235 yes\r\n")), "failed AUTH Reply(Unexpected)");
    assert!(!talk.session.is_authenticated());
}

/// Row X107.
#[test]
fn the_longest_challenge() {
    let challenge = vec![b'x'; (crate::limits::AUTH_LINE_OCTETS - 6) / 4 * 3];
    let mut talk = asking();
    let line = format!("334 {}\r\n", base64::encode(&challenge));
    assert!(line.len() > crate::limits::AUTH_LINE_OCTETS - 4);
    assert_eq!(talk.hear(&line), [Event::Auth(AuthEvent::Challenge(challenge.clone()))]);
    talk.session.respond(&Secret::new(challenge), talk.now);
    assert_eq!(talk.said().len(), line.len() - 4);
}

/// Row X106: what is not base64 is answered with `*`, and what the server says to that is not the reason.
#[test]
fn challenges_that_are_none() {
    for challenge in ["334 ====", "334 a", "334 AG*u", "334-AGFu\r\n334 AGFu", "354 go ahead"] {
        let mut talk = asking();
        assert_eq!(talk.hear(&format!("{challenge}\r\n")), [], "{challenge}");
        assert_eq!(talk.said(), "*\r\n");
        assert_eq!(
            refused_auth(&talk.hear("501 cancelled\r\n")),
            "AUTH: the server sent a reply that belongs to no command"
        );
        assert!(!talk.session.is_authenticated());
        // A server that goes on all the same is out of step.
        for reply in ["235 yes", "334 AGFu"] {
            let mut talk = asking();
            talk.hear(&format!("{challenge}\r\n"));
            assert_eq!(ending(&talk.hear(&format!("{reply}\r\n"))), "failed AUTH Reply(Unexpected)");
        }
    }
}

#[test]
fn the_driver_breaks_it_off() {
    let mut talk = asking();
    assert_eq!(talk.hear("334 AGFu\r\n"), [Event::Auth(AuthEvent::Challenge(b"\0an".to_vec()))]);
    talk.session.cancel_auth(talk.now);
    assert_eq!(talk.said(), "*\r\n");
    assert_eq!(refused_auth(&talk.hear("501 5.7.0 as you like\r\n")), "AUTH: 501 5.7.0 as you like");
    // Out of turn, neither says anything.
    talk.session.cancel_auth(talk.now);
    talk.session.respond(&Secret::new("x"), talk.now);
    assert_eq!(talk.said(), "");
}

/// Row X112: "not now" is no verdict on the password, and the connection is good for another try.
#[test]
fn refusals() {
    for (reply, is_transient) in [("535 5.7.8 no", false), ("454 4.7.0 not now", true), ("534 5.7.9 too weak", false)] {
        let mut talk = asking();
        match &talk.hear(&format!("{reply}\r\n"))[..] {
            [Event::Auth(AuthEvent::Failed(failure)), Event::Ready] => {
                assert_eq!((failure.stage, failure.is_transient()), (Stage::Auth, is_transient), "{reply}");
            }
            events => panic!("{events:?}"),
        }
        authenticate(&mut talk, Mechanism::Login, None);
        assert_eq!(talk.said(), "AUTH LOGIN\r\n");
    }
    assert_eq!(ending(&asking().hear("421 4.7.0 enough\r\n")), "refused AUTH 421");
    let mut talk = asking();
    talk.session.handle_connection_lost();
    assert_eq!(ending(&talk.hear("")), "failed AUTH ConnectionLost");
    let mut talk = asking();
    assert_eq!(talk.session.deadline(), talk.now + config().timeouts.auth);
    talk.session.handle_timeout();
    assert_eq!(ending(&talk.hear("")), "failed AUTH Timeout");
}

/// Row X115: AUTH stands alone, and what comes before its answer can be asked for is not believed.
#[test]
fn nothing_is_said_out_of_turn() {
    let mut talk = Talk::ready(ALL);
    authenticate(&mut talk, Mechanism::Plain, Some("\0ann\0good"));
    assert_eq!(talk.session.start(transaction(&["<bob@b>"]), talk.now), Err(StartError::NotReady));
    // The answer before the question, and two answers to one.
    let (_, events) = talk.hear_at_once("235 yes\r\n");
    assert_eq!(ending(&events), "failed AUTH Reply(Unexpected)");
    let (_, events) = asking().hear_at_once("334 AGFu\r\n235 yes\r\n");
    assert_eq!(ending(&events), "failed AUTH Reply(Unexpected)");
    let (_, events) = asking().hear_at_once("235 yes\r\n250 and more\r\n");
    assert!(
        matches!(&events[..], [Event::Auth(AuthEvent::Succeeded(_)), Event::Closed(Ending::Failed(..))]),
        "{events:?}"
    );
}

/// Row X117.
#[test]
fn the_author_is_named_to_whom_we_are_known() {
    let mut transaction = transaction(&["<bob@b>"]);
    transaction.parameters.auth = Some(crate::address::ReversePath::Null);
    let mut talk = Talk::ready(ALL);
    talk.start(transaction.clone());
    assert!(talk.said().starts_with("MAIL FROM:<alice@a>\r\n"));
    let mut talk = asking();
    talk.hear("235 yes\r\n");
    talk.start(transaction);
    assert!(talk.said().starts_with("MAIL FROM:<alice@a> AUTH=<>\r\n"));
}
