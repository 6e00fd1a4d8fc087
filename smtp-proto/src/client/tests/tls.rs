//! STARTTLS (RFC 3207). Rows X053, X054, X060, X061, X062, X063, X065, X066.

use super::hello::ending;
use super::*;
use crate::address::ReversePath;

const OFFER: &str = "220 mx\r\n250-mx\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250 STARTTLS\r\n";

fn wishing(tls: Tls) -> Talk {
    Talk::with(Config { tls, ..config() })
}

/// Where the handshake is to begin.
fn asked(tls: Tls) -> Talk {
    let mut talk = wishing(tls);
    assert_eq!(talk.hear(OFFER), []);
    assert_eq!(talk.said(), "EHLO laptop.example.com\r\nSTARTTLS\r\n");
    talk
}

fn under_tls(tls: Tls) -> Talk {
    let mut talk = asked(tls);
    assert_eq!(talk.hear("220 go ahead\r\n"), [Event::StartTls]);
    assert_eq!(talk.said(), "", "row X053: behind the 220 comes the handshake and nothing else");
    talk.session.handle_tls_established(talk.now);
    talk
}

/// What each wish makes of what the server offers and answers.
#[test]
fn wishes() {
    let plain = "220 mx\r\n250-mx\r\n250 SIZE 1000\r\n";
    let old = "220 mx\r\n500 what?\r\n250 mx\r\n";
    let ready = "ready";
    let cases = [
        // Row X066: where it is possible.
        (Tls::Try, OFFER, "220 go\r\n", "STARTTLS", "handshake"),
        (Tls::Try, OFFER, "299 go\r\n", "STARTTLS", "handshake"),
        (Tls::Try, OFFER, "454 not now\r\n", "STARTTLS", ready),
        (Tls::Try, OFFER, "501 what?\r\n", "STARTTLS", ready),
        (Tls::Try, OFFER, "421 bye\r\n", "STARTTLS", "refused STARTTLS 421"),
        (Tls::Try, OFFER, "354 go\r\n221 bye\r\n", "STARTTLS QUIT", "failed STARTTLS Reply(Unexpected)"),
        (Tls::Try, plain, "", "", ready),
        (Tls::Try, old, "", "HELO", ready),
        // Row X065: or not at all.
        (Tls::Require, OFFER, "220 go\r\n", "STARTTLS", "handshake"),
        (Tls::Require, OFFER, "454 not now\r\n221 bye\r\n", "STARTTLS QUIT", "refused STARTTLS 454"),
        (Tls::Require, OFFER, "502 no\r\n221 bye\r\n", "STARTTLS QUIT", "refused STARTTLS 502"),
        (Tls::Require, OFFER, "421 bye\r\n", "STARTTLS", "refused STARTTLS 421"),
        (Tls::Require, plain, "221 bye\r\n", "QUIT", "not offered"),
        (Tls::Require, old, "221 bye\r\n", "HELO QUIT", "not offered"),
        // Nobody asks, or it is there already (row X063).
        (Tls::None, OFFER, "", "", ready),
        (Tls::Established, OFFER, "", "", ready),
    ];
    for (tls, offer, answer, said, expected) in cases {
        let mut talk = wishing(tls);
        let mut events = talk.hear(offer);
        if !answer.is_empty() {
            events.extend(talk.hear(answer));
        }
        let verbs: Vec<String> =
            talk.said().lines().skip(1).map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect();
        assert_eq!(verbs.join(" "), said, "{tls:?} {offer:?} {answer:?}");
        let end = match events.as_slice() {
            [Event::Ready] => ready.to_owned(),
            [Event::StartTls] => "handshake".to_owned(),
            [Event::Closed(Ending::TlsNotOffered)] => "not offered".to_owned(),
            events => ending(events),
        };
        assert_eq!(end, expected, "{tls:?} {offer:?} {answer:?}");
        assert_eq!(talk.session.is_tls(), tls == Tls::Established, "row X062");
    }
}

/// Rows X060, X061: what was said in clear is forgotten, and EHLO comes first.
#[test]
fn everything_is_forgotten() {
    for tls in [Tls::Try, Tls::Require] {
        let mut talk = under_tls(tls);
        assert!(talk.session.is_tls());
        assert_eq!(talk.session.extensions(), &Extensions::default());
        assert_eq!(talk.session.start(transaction(&["<bob@b>"]), talk.now), Err(StartError::NotReady));
        assert_eq!(talk.said(), "EHLO laptop.example.com\r\n");
        // Row X063: whatever it offers now.
        assert_eq!(talk.hear("250-mx\r\n250-8BITMIME\r\n250 STARTTLS\r\n"), [Event::Ready]);
        assert!(talk.session.extensions().has(&Extension::EightBitMime));
        assert!(!talk.session.extensions().has(&Extension::Pipelining));
        talk.start(transaction(&["<bob@b>"]));
        assert_eq!(talk.said(), "MAIL FROM:<alice@a>\r\n");
    }
}

/// Row X060, and CVE-2011-0411 from the other side: what stands behind the 220 was put in by somebody who wants it to be
/// read as the answer to the EHLO under TLS.
#[test]
fn octets_behind_the_220() {
    for words in ["250 mx\r\n", "250-mx\r\n250 AUTH PLAIN\r\n", "421 bye\r\n", "2", "\r", "\n", "\0", "\x16\x03\x03"] {
        let (_, events) = asked(Tls::Try).hear_at_once(&format!("220 go ahead\r\n{words}"));
        assert_eq!(ending(&events), "failed STARTTLS Reply(Unexpected)", "{words:?}");
        // In the next segment, where a driver hands it in all the same.
        let mut talk = asked(Tls::Require);
        assert_eq!(talk.hear("220 go ahead\r\n"), [Event::StartTls]);
        let (_, events) = talk.hear_at_once(&format!("{words}\r\n"));
        assert!(ending(&events).starts_with("failed STARTTLS Reply("), "{words:?} {events:?}");
        // Nothing leads from there to the mail.
        talk.session.handle_tls_established(talk.now);
        assert_eq!((talk.said().as_str(), talk.session.is_tls()), ("", false));
    }
    // The 220 in front of its question.
    let mut talk = wishing(Tls::Require);
    talk.hear("220 mx\r\n");
    talk.write();
    let (_, events) = talk.hear_at_once("250-mx\r\n250 STARTTLS\r\n220 go\r\n");
    assert_eq!(ending(&events), "failed STARTTLS Reply(Unexpected)");
}

/// Row X054: a handshake that does not come about is the end of the conversation, and has its time.
#[test]
fn handshakes_that_fail() {
    let timeout = config().timeouts.tls;
    let mut talk = asked(Tls::Try);
    assert_eq!(talk.session.deadline(), timeout);
    talk.now = Duration::from_secs(7);
    talk.hear("220 go ahead\r\n");
    assert_eq!(talk.session.deadline(), talk.now + timeout, "the handshake has its own");
    talk.session.handle_timeout();
    assert_eq!(ending(&talk.hear("")), "failed STARTTLS Timeout");
    let mut talk = asked(Tls::Try);
    talk.hear("220 go ahead\r\n");
    talk.session.handle_connection_lost();
    assert_eq!(ending(&talk.hear("")), "failed STARTTLS ConnectionLost");
    // Only where it was asked for.
    let mut talk = asked(Tls::Require);
    talk.session.handle_tls_established(talk.now);
    assert!(!talk.session.is_tls());
    // A server that knows no EHLO under TLS is under TLS all the same.
    let mut talk = under_tls(Tls::Require);
    assert_eq!(talk.hear("502 what?\r\n250 mx\r\n"), [Event::Ready]);
}

/// LMTP knows STARTTLS too, and then LHLO is said again.
#[test]
fn lmtp() {
    let mut talk = Talk::with(Config { tls: Tls::Require, protocol: Protocol::Lmtp, ..config() });
    assert_eq!(talk.hear("220 mx\r\n250-mx\r\n250 STARTTLS\r\n220 go\r\n"), [Event::StartTls]);
    talk.session.handle_tls_established(talk.now);
    assert_eq!(talk.said(), "LHLO laptop.example.com\r\nSTARTTLS\r\nLHLO laptop.example.com\r\n");
}

/// Rows X144, X158, X160: to whom a message goes whose sender requires TLS, and with what in its MAIL.
#[test]
fn required_of_every_host() {
    let (with, without) = ("250-mx\r\n250 REQUIRETLS\r\n", "250 mx\r\n");
    let null = ReversePath::Null;
    let alice: ReversePath = "<alice@a>".parse().unwrap();
    let cases = [
        (true, with, &alice, Ok("MAIL FROM:<alice@a> REQUIRETLS\r\n")),
        (true, without, &alice, Err(StartError::NeedsRequireTls)),
        (false, with, &alice, Err(StartError::NeedsVerifiedTls)),
        (false, without, &alice, Err(StartError::NeedsVerifiedTls)),
        // A report is not to be lost, and says it where it may.
        (false, with, &null, Ok("MAIL FROM:<> REQUIRETLS\r\n")),
        (true, without, &null, Ok("MAIL FROM:<>\r\n")),
    ];
    for (is_verified, offer, reverse_path, expected) in cases {
        let mut talk = under_tls(Tls::Try);
        if is_verified {
            talk.session.handle_server_verified();
        }
        talk.hear(offer);
        talk.said();
        let mut transaction = transaction(&["<bob@b>"]);
        transaction.reverse_path = reverse_path.clone();
        transaction.parameters.require_tls = true;
        let started = talk.session.start(transaction, talk.now);
        assert_eq!(
            started.map(|()| talk.said()),
            expected.map(str::to_owned),
            "{is_verified} {offer:?} {reverse_path}"
        );
    }
    // What was proved in clear is no proof.
    let mut talk = Talk::new();
    talk.session.handle_server_verified();
    talk.hear(&format!("220 mx\r\n{with}"));
    let mut transaction = transaction(&["<bob@b>"]);
    transaction.parameters.require_tls = true;
    assert_eq!(talk.session.start(transaction, talk.now), Err(StartError::NeedsVerifiedTls));
}
