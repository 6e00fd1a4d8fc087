//! STARTTLS. Rows X050, X052, X058, X059, X062, X064.

use super::*;
use crate::trace::Protocol;

fn offering() -> Config {
    Config { starttls: true, ..config() }
}

/// A client that may shake hands: 220 was said.
fn at_handshake(policy: Policy) -> Host {
    let mut host = Host::with(offering(), policy);
    host.agree("EHLO client.example");
    assert_eq!(host.say("STARTTLS"), "220 2.0.0 Go on with TLS");
    assert!(host.wants_tls);
    host
}

/// One whose handshake has succeeded.
fn under_tls() -> Host {
    let mut host = at_handshake(accept_all);
    host.establish_tls();
    host
}

fn offers(host: &mut Host) -> bool {
    host.say("EHLO client.example").lines().any(|line| line.ends_with("STARTTLS"))
}

/// Rows X062, X064: offered in clear and nowhere else; and not where there is no certificate.
#[test]
fn it_is_offered_in_clear_only() {
    assert!(!offers(&mut Host::new()));
    let mut host = Host::with(offering(), accept_all);
    assert!(offers(&mut host) && !host.session.is_tls());
    let mut host = under_tls();
    assert!(!offers(&mut host) && host.session.is_tls());
    assert_eq!(host.say("STARTTLS"), "503 5.5.1 This is said under TLS already");
    assert!(!host.wants_tls);
    // Where TLS comes first, there was never anything to offer.
    let mut host = Host::connecting(offering(), accept_all);
    host.session.handle_tls_established(host.now);
    assert_eq!(host.feed(b""), "220 mx.example.org ESMTP ready\r\n");
    assert!(!offers(&mut host) && host.session.is_tls());
    assert_eq!(host.code("STARTTLS"), 503);
}

/// When it may come, and what it leads to. Row X052: it has no parameter.
#[test]
fn in_every_state() {
    let lines = ["EHLO client.example", "MAIL FROM:<a@a>", "RCPT TO:<b@b>"];
    for count in 0..=lines.len() {
        let mut host = Host::with(offering(), accept_all);
        host.agree_all(&lines[..count]);
        assert_eq!(host.say("STARTTLS now"), "501 5.5.4 The arguments do not fit; the form is STARTTLS");
        assert!(!host.wants_tls);
        host.agree("STARTTLS");
        assert!(host.wants_tls, "behind {count} lines");
    }
    // With a part of a message here, RSET comes first.
    let mut host = Host::with(offering(), accept_all);
    host.agree_all(&lines);
    host.feed(b"BDAT 3\r\nabc");
    assert_eq!(host.code("STARTTLS"), 503);
    assert_eq!(codes(&host.feed(b"BDAT 3\r\na\rb")), [550]);
    assert_eq!(host.code("STARTTLS"), 503);
    host.agree_all(&["RSET", "STARTTLS"]);
    assert!(host.wants_tls);
    // Nothing leads on for a client that was refused at the door.
    let mut host = Host::connecting(offering(), |_| refusal(554, EnhancedCode::new(5, 7, 1)));
    host.feed(b"");
    assert_eq!(host.code("STARTTLS"), 503);
}

/// Row X058: the name and the transaction are forgotten, whatever they were.
#[test]
fn what_was_said_in_clear_is_forgotten() {
    let mut host = Host::with(offering(), accept_all);
    host.agree_all(&["EHLO client.example", "MAIL FROM:<a@a>", "RCPT TO:<b@b>", "STARTTLS"]);
    assert!(host.session.hello().is_none());
    host.establish_tls();
    assert!(host.session.hello().is_none());
    assert_eq!(host.code("RCPT TO:<b@b>"), 503);
    assert_eq!(host.code("DATA"), 503);
    assert_eq!(host.say("MAIL FROM:<a@a>"), "503 5.5.1 Say EHLO first");
    host.agree("EHLO client.example");
    assert_eq!(host.session.protocol(), Protocol::Esmtp { tls: true, auth: false });
    host.agree("MAIL FROM:<a@a> SMTPUTF8");
    assert_eq!(host.session.protocol(), Protocol::Utf8Smtp { tls: true, auth: false });
    host.agree_all(&["RCPT TO:<c@c>", "DATA", "."]);
    assert_eq!(host.messages.len(), 1);
    assert_eq!(host.messages[0].0.recipients.len(), 1);
    // RFC 3848 has no name for it.
    host.agree("HELO client.example");
    assert_eq!(host.session.protocol(), Protocol::Smtp);
}

/// Row X059 (CVE-2011-0411): what stands behind it in the same group is never run, and the session is over.
#[test]
fn octets_behind_it_end_the_session() {
    for behind in ["NOOP\r\n", "EHLO x\r\nMAIL FROM:<a@a>\r\n", "\r\n", "N", "\u{16}\u{3}\u{1}"] {
        let mut host = Host::with(offering(), accept_all);
        host.agree("EHLO client.example");
        let output = host.feed(format!("STARTTLS\r\n{behind}").as_bytes());
        assert!(output.starts_with("554 5.5.0 ") && output.lines().count() == 1, "{behind:?}: {output}");
        assert!(host.is_closed && !host.wants_tls);
    }
    // It may be the last of a group.
    let mut host = Host::with(offering(), accept_all);
    assert_eq!(codes(&host.feed(b"NOOP\r\nSTARTTLS\r\n")), [250, 220]);
    assert!(host.wants_tls);
    // Where it is not offered it changes nothing, so nothing is gained by what stands behind it.
    let mut host = Host::new();
    assert_eq!(codes(&host.feed(b"STARTTLS\r\nNOOP\r\n")), [502, 250]);
}

/// Between 220 and the end of the handshake nothing is taken for a command and nothing is said, whatever the driver does.
#[test]
fn nothing_is_said_at_the_handshake() {
    let mut host = at_handshake(accept_all);
    assert_eq!(host.feed(b"NOOP\r\nQUIT\r\n"), "");
    assert!(host.wants_tls && host.session.is_between_transactions());
    for reason in [CloseReason::Drain, CloseReason::Evict, CloseReason::Deadline, CloseReason::Failure] {
        let mut host = at_handshake(accept_all);
        host.session.handle_close(reason);
        assert_eq!((host.feed(b""), host.is_closed), (String::new(), true));
    }
    let mut host = at_handshake(accept_all);
    host.session.handle_end_of_input();
    host.session.handle_tls_established(host.now);
    assert_eq!((host.feed(b""), host.is_closed), (String::new(), true));
    assert!(!host.session.is_tls());
}

/// RFC 3207, 4: 454, and the client may go on as it was.
#[test]
fn when_it_cannot_be_had_now() {
    let mut host = Host::with(offering(), |question| match question {
        Question::StartTls => refusal(454, EnhancedCode::new(4, 7, 0)),
        _ => Decision::Accept,
    });
    host.agree_all(&["EHLO client.example", "MAIL FROM:<a@a>"]);
    assert_eq!(host.say("STARTTLS"), "454 4.7.0 No");
    assert!(!host.wants_tls && !host.session.is_tls());
    host.agree_all(&["RCPT TO:<b@b>", "DATA", "."]);
    assert_eq!(host.messages.len(), 1);
}

/// A driver that calls at the wrong time does not make clear text count as TLS.
#[test]
fn tls_is_established_only_where_it_may_be() {
    let mut host = Host::with(offering(), accept_all);
    host.session.handle_tls_established(host.now);
    assert!(!host.session.is_tls());
    host.agree("EHLO client.example");
    host.session.handle_tls_established(host.now);
    assert!(!host.session.is_tls() && host.session.hello().is_some());
}

/// Behind the handshake the client has its time again, and the limits are what they were.
#[test]
fn time_and_limits() {
    let mut host = Host::with(Config { fruitless_commands: 3, ..offering() }, accept_all);
    host.agree_all(&["EHLO client.example", "STARTTLS"]);
    host.now = Duration::from_secs(20);
    host.establish_tls();
    assert_eq!(host.session.deadline(), host.now + host.session.config.command_timeout);
    host.agree("EHLO client.example");
    assert_eq!(host.code("NOOP"), 421);
}

/// Row X157: REQUIRETLS is for clients under TLS, where the host honours it.
#[test]
fn require_tls_is_offered_under_tls_only() {
    for (is_honoured, is_secured) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut host = Host::with(Config { require_tls: is_honoured, ..offering() }, accept_all);
        if is_secured {
            host.agree_all(&["EHLO client.example", "STARTTLS"]);
            host.establish_tls();
        }
        let offered = host.say("EHLO client.example").lines().any(|line| line.ends_with("REQUIRETLS"));
        assert_eq!(offered, is_honoured && is_secured);
        let code = host.code("MAIL FROM:<a@a> REQUIRETLS");
        assert_eq!(code, if is_honoured && is_secured { 250 } else { 555 }, "{is_honoured} {is_secured}");
    }
}
