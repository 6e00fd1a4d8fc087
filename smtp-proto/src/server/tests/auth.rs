//! AUTH: the dialogue, and what it is refused for. Rows X051, X058, X096, X097, X098, X099, X100, X101, X102, X106, X107, X108,
//! X110, X111, X116, X118, X119, X120.

use super::*;
use crate::sasl::base64;
use crate::trace::Protocol;

/// A client that has named itself, under these mechanisms.
fn offering(config: Config, mechanisms: &[Mechanism]) -> Host {
    let mut host = Host::with(config, accept_all);
    host.session.offer_auth(mechanisms.to_vec());
    host.agree("EHLO client.example");
    host
}

fn plain() -> Host {
    offering(config(), &[Mechanism::Plain])
}

fn keywords(host: &mut Host) -> Vec<String> {
    let reply = host.say("EHLO client.example");
    reply.lines().map(|line| line[4..].to_owned()).filter(|line| line.starts_with("AUTH")).collect()
}

const GOOD: &str = "AGFubgBnb29k";
const BAD: &str = "AGFubgBiYWQ=";

/// Row X096.
#[test]
fn it_is_announced_as_it_is_offered() {
    let mut host = Host::new();
    assert_eq!(keywords(&mut host), [""; 0]);
    host.session.offer_auth(vec![Mechanism::ScramSha256, Mechanism::Plain]);
    assert_eq!(keywords(&mut host), ["AUTH SCRAM-SHA-256 PLAIN"]);
    host.session.offer_auth(vec![Mechanism::Plain]);
    assert_eq!(keywords(&mut host), ["AUTH PLAIN"]);
    // Row X119.
    assert_eq!(host.session.protocol(), Protocol::Esmtp { tls: false, auth: false });
    assert_eq!(host.say(&format!("AUTH PLAIN {GOOD}")), "235 2.7.0 Authentication succeeded");
    assert_eq!(host.session.protocol(), Protocol::Esmtp { tls: false, auth: true });
    assert_eq!(host.session.user(), Some("ann"));
    // Row X097, and EHLO forgets nobody.
    assert_eq!(host.code("AUTH PLAIN"), 503);
    host.agree("EHLO client.example");
    assert_eq!((host.code("AUTH PLAIN"), host.session.user()), (503, Some("ann")));
}

/// Rows X100, X102: the challenge, empty or not.
#[test]
fn a_dialogue() {
    let mut host = plain();
    assert_eq!(host.feed(b"AUTH PLAIN\r\n"), "334 \r\n");
    assert_eq!(host.say(GOOD), "235 2.7.0 Authentication succeeded");
    let mut host = offering(config(), &[Mechanism::Login]);
    // In pieces, and the next command in the same segment.
    assert_eq!(host.feed(b"auth login\r\nYW5u\r"), "334 VXNlcm5hbWU6\r\n");
    assert_eq!(
        host.feed(b"\nZ29vZA==\r\nNOOP\r\n"),
        "334 UGFzc3dvcmQ6\r\n235 2.7.0 Authentication succeeded\r\n250 2.0.0 OK\r\n"
    );
}

/// Rows X099, X101, X106, X108: each wrong thing has its code, and the next line is a command again.
#[test]
fn what_is_wrong_and_the_session_in_step() {
    let long = "A".repeat(crate::limits::AUTH_LINE_OCTETS);
    for (lines, expected) in [
        (vec!["AUTH"], "501 5.5.4"),
        (vec!["AUTH PLAIN a b"], "501 5.5.4"),
        (vec!["AUTH CRAM-MD5"], "504 5.5.4"),
        (vec!["AUTH LOGIN"], "504 5.5.4"),
        (vec!["AUTH PLAIN ===="], "501 5.5.2"),
        (vec!["AUTH PLAIN AGFub*BiYWQ="], "501 5.5.2"),
        (vec!["AUTH PLAIN ="], "501 5.5.2"),
        (vec!["AUTH PLAIN", "*"], "501 5.7.0"),
        (vec!["AUTH PLAIN", ""], "501 5.5.2"),
        (vec!["AUTH PLAIN", "="], "501 5.5.2"),
        // It happens to be base64, and so it is an answer.
        (vec!["AUTH PLAIN", "QUIT"], "535 5.7.8"),
        (vec!["AUTH PLAIN", "EHLO client.example"], "501 5.5.2"),
        (vec!["AUTH PLAIN", "AGFubgBiYWQ"], "501 5.5.2"),
        (vec!["AUTH PLAIN", "\u{e9}"], "501 5.5.2"),
        (vec!["AUTH PLAIN", BAD], "535 5.7.8"),
        (vec!["AUTH PLAIN AGFubgBiYWQ="], "535 5.7.8"),
        (vec!["AUTH PLAIN", &long], "500 5.5.6"),
        (vec![&format!("AUTH PLAIN {long}")], "500 5.5.6"),
    ] {
        let mut host = plain();
        let (last, before) = lines.split_last().unwrap();
        host.agree_all(before);
        let reply = host.say(last);
        assert!(reply.starts_with(&format!("{expected} ")), "{last:.20}: {reply}");
        assert_eq!(host.say("NOOP"), "250 2.0.0 OK", "{last:.20}");
        assert_eq!(host.session.user(), None);
        assert_eq!(host.code(&format!("AUTH PLAIN {GOOD}")), 235, "{last:.20}");
    }
}

/// Row X107.
#[test]
fn the_longest_line() {
    // In the dialogue, and in the command.
    let response = |octets: usize| {
        let message = [b"\0ann\0good".to_vec(), vec![b'!'; octets]].concat();
        base64::encode(&message)
    };
    let line = response((crate::limits::AUTH_LINE_OCTETS - 2) / 4 * 3 - 9);
    assert!(line.len() + 2 > crate::limits::AUTH_LINE_OCTETS - 4);
    let mut host = plain();
    host.agree("AUTH PLAIN");
    assert_eq!(host.code(&line), 535);
    assert_eq!(host.code(&format!("AUTH PLAIN {}", response(9_000))), 535);
    // Everybody else keeps to what commands have; and so does AUTH where it is not offered.
    assert_eq!(host.say(&format!("NOOP {}", response(9_000))), "500 5.5.2 The line is too long");
}

/// Row X098: and the transaction is not lost.
#[test]
fn not_in_a_transaction_and_not_before_ehlo() {
    let mut host = plain();
    host.agree_all(&["MAIL FROM:<a@a>", "RCPT TO:<b@b>"]);
    assert!(host.say("AUTH PLAIN").starts_with("503 5.5.1 AUTH cannot come in a transaction"));
    host.agree("BDAT 0");
    assert_eq!(host.code("AUTH PLAIN"), 503);
    host.agree("RSET");
    host.agree("AUTH PLAIN");
    for hello in ["NOOP", "HELO client.example"] {
        let mut host = Host::new();
        host.session.offer_auth(vec![Mechanism::Plain]);
        host.agree(hello);
        assert_eq!(host.code("AUTH PLAIN"), 503, "{hello}");
    }
}

/// Rows X110, X120: not before the third, whatever the mechanisms; what is not the client's fault does not count (row X111).
#[test]
fn three_tries() {
    let mut host = plain();
    for _ in 0..3 {
        // Neither cancelling nor trouble of ours is a failure.
        host.agree("AUTH PLAIN");
        assert_eq!(host.code("*"), 501);
        assert_eq!(host.say("AUTH PLAIN AHdhaXQAZ29vZA=="), "454 4.7.0 Not now");
        assert_eq!(host.say(&format!("AUTH PLAIN {BAD}")), "535 5.7.8 No");
    }
    assert_eq!(host.code("NOOP"), 250);
    assert!(host.say(&format!("AUTH PLAIN {GOOD}")).starts_with("421 4.7.0 "));
    assert!(host.is_closed);
}

#[test]
fn a_policy_that_only_agrees_lets_nobody_in() {
    let mut host = plain();
    host.auth = |_, _| None;
    assert!(host.say(&format!("AUTH PLAIN {GOOD}")).starts_with("454 4.7.0 "));
    assert_eq!(host.session.user(), None);
}

/// Row X058.
#[test]
fn tls_forgets_who_it_was() {
    let mut host = offering(Config { starttls: true, ..config() }, &[Mechanism::Plain]);
    host.agree(&format!("AUTH PLAIN {GOOD}"));
    host.agree("STARTTLS");
    host.establish_tls();
    assert_eq!(keywords(&mut host), [""; 0]);
    assert_eq!(host.session.user(), None);
}

/// Row X118.
#[test]
fn where_it_is_required() {
    let config = Config { requires_auth: true, starttls: true, ..config() };
    let mut host = Host::with(config, accept_all);
    assert_eq!(host.say("MAIL FROM:<a@a>"), "530 5.7.0 Send STARTTLS first; nobody logs in here in clear");
    host.agree("EHLO client.example");
    assert_eq!(host.code(&format!("AUTH PLAIN {GOOD}")), 530);
    host.agree("STARTTLS");
    host.establish_tls();
    host.session.offer_auth(vec![Mechanism::Plain]);
    host.agree("EHLO client.example");
    for line in [
        "MAIL FROM:<a@a>",
        "RCPT TO:<b@b>",
        "DATA",
        "VRFY x",
        "HELP",
        "EXPN x",
        "BDAT 6\r\nNOOP",
        "BDAT 6 LAST\r\nNOOP",
    ] {
        assert_eq!(host.say(line), "530 5.7.0 Authentication is required; send AUTH first", "{line}");
    }
    host.agree_all(&["NOOP", "RSET", "HELO client.example", "EHLO client.example"]);
    host.agree(&format!("AUTH PLAIN {GOOD}"));
    host.agree_all(&["MAIL FROM:<a@a>", "RCPT TO:<b@b>", "DATA"]);
}

/// Row X116.
#[test]
fn whom_the_client_names_as_the_author_is_not_believed() {
    let mut host = plain();
    for (parameter, expected) in [("", None), (" AUTH=bob@b", Some("<>")), (" AUTH=<>", Some("<>"))] {
        host.agree(&format!("MAIL FROM:<a@a>{parameter}"));
        let auth = host.session.state.transaction().unwrap().parameters.auth.as_ref();
        assert_eq!(auth.map(ToString::to_string).as_deref(), expected);
        host.agree("RSET");
    }
    assert_eq!(host.code("MAIL FROM:<a@a> AUTH=a+zz"), 501);
    assert_eq!(Host::after(&[]).code("MAIL FROM:<a@a> AUTH=<>"), 555, "where AUTH is not offered");
}
