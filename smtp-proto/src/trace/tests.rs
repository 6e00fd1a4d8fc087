//! Rows N082, N193, N194, N195, N196, N197, N200, N202, N203, N214, N215, N216, N283, N287, N314, X149.

use proptest::prelude::*;

use super::*;
use crate::command::Argument;
use crate::strategies;

const AT: Timestamp = Timestamp { unix_seconds: 1_795_414_841, offset_minutes: 330 };

fn hello(name: &str) -> HelloName {
    match name.parse() {
        Ok(domain) => HelloName::Domain(domain),
        Err(_) => HelloName::Other(Argument::new(name).unwrap()),
    }
}

fn printed(name: &str, peer: Option<&str>, with: Protocol, recipient: Option<&str>) -> String {
    let (hello, by) = (hello(name), "mx.example.org".parse().unwrap());
    let recipient = recipient.map(|path| path.parse::<ForwardPath>().unwrap());
    let peer = peer.map(|address| address.parse().unwrap());
    let is_tls = matches!(with, Protocol::Esmtp { tls, .. } | Protocol::Utf8Smtp { tls, .. } if tls);
    let tls = is_tls.then_some("TLS_AES_256_GCM_SHA384");
    Received { hello: &hello, peer, by: &by, with, tls, id: "01J-x", recipient: recipient.as_ref(), at: AT }.to_string()
}

/// RFC 5321, 4.4, in every form that ours can have.
#[test]
fn received_fields() {
    let end = ";\r\n\tMon, 23 Nov 2026 11:50:41 +0530\r\n";
    for (name, peer, with, recipient, start) in [
        (
            "client.example",
            Some("192.0.2.7"),
            Protocol::Esmtp { tls: false, auth: false },
            Some("<bob@example.org>"),
            "Received: from client.example ([192.0.2.7])\r\n\tby mx.example.org with ESMTP id 01J-x\r\n\tfor <bob@example.org>",
        ),
        (
            "[IPv6:2001:db8::1]",
            Some("2001:db8::2"),
            Protocol::Smtp,
            None,
            "Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::2])\r\n\tby mx.example.org with SMTP id 01J-x",
        ),
        (
            "client.example",
            Some("::ffff:192.0.2.7"),
            Protocol::Utf8Smtp { tls: false, auth: false },
            Some("<bób@example.org>"),
            "Received: from client.example ([192.0.2.7])\r\n\tby mx.example.org with UTF8SMTP id 01J-x\r\n\tfor <bób@example.org>",
        ),
        (
            "client.example",
            None,
            Protocol::Esmtp { tls: false, auth: false },
            None,
            "Received: from client.example\r\n\tby mx.example.org with ESMTP id 01J-x",
        ),
        (
            "client.example",
            None,
            Protocol::Esmtp { tls: true, auth: false },
            Some("<bob@example.org>"),
            "Received: from client.example\r\n\tby mx.example.org with ESMTPS id 01J-x\r\n\tfor <bob@example.org>\r\n\ttls TLS_AES_256_GCM_SHA384",
        ),
        (
            "client.example",
            None,
            Protocol::Utf8Smtp { tls: true, auth: false },
            None,
            "Received: from client.example\r\n\tby mx.example.org with UTF8SMTPS id 01J-x\r\n\ttls TLS_AES_256_GCM_SHA384",
        ),
        // What is no domain would break the field's grammar; a peer's own words least of all.
        (
            "x) by evil (x",
            Some("192.0.2.7"),
            Protocol::Smtp,
            Some("<Postmaster>"),
            "Received: from [192.0.2.7] ([192.0.2.7])\r\n\tby mx.example.org with SMTP id 01J-x",
        ),
        ("x y", None, Protocol::Smtp, None, "Received: from unknown\r\n\tby mx.example.org with SMTP id 01J-x"),
    ] {
        assert_eq!(printed(name, peer, with, recipient), format!("{start}{end}"));
    }
}

/// The grammar of RFC 5321, 4.4 (`Time-stamp-line`), written down by hand and strictly, for our own lines.
fn check_grammar(field: &str) -> Result<(), String> {
    let unfolded = field.strip_suffix("\r\n").ok_or("no CRLF at the end")?.replace("\r\n\t", " ");
    if unfolded.contains(|character: char| character.is_control()) {
        return Err("a control character".to_owned());
    }
    let rest = unfolded.strip_prefix("Received: from ").ok_or("no FROM clause")?;
    let (stamp, date) = rest.rsplit_once("; ").ok_or("no date")?;
    let (from, rest) = stamp.split_once(" by ").ok_or("no BY clause")?;
    let (name, address) = match from.split_once(" (") {
        Some((name, address)) => (name, Some(address.strip_suffix(')').ok_or("no ) behind the address")?)),
        None => (from, None),
    };
    name.parse::<Domain>().map_err(|error| format!("from {name}: {error}"))?;
    if !address.is_none_or(|address| matches!(address.parse(), Ok(Domain::Literal(_)))) {
        return Err(format!("{address:?} is no address literal"));
    }
    let (by, rest) = rest.split_once(" with ").ok_or("no WITH clause")?;
    by.parse::<Domain>().map_err(|error| format!("by {by}: {error}"))?;
    let (with, rest) = rest.split_once(" id ").ok_or("no ID clause")?;
    if !["SMTP", "ESMTP", "ESMTPS", "UTF8SMTP", "UTF8SMTPS"].contains(&with) {
        return Err(format!("{with} is not registered"));
    }
    // RFC 8314, 4.3: the last clause, with the registered name of a cipher suite.
    let (rest, suite) = match rest.rsplit_once(" tls ") {
        Some((rest, suite)) => (rest, Some(suite)),
        None => (rest, None),
    };
    let is_suite = |suite: &str| {
        suite.starts_with("TLS_")
            && suite.bytes().all(|octet| octet.is_ascii_uppercase() || octet.is_ascii_digit() || octet == b'_')
    };
    if suite.is_some() != with.ends_with('S') || !suite.is_none_or(is_suite) {
        return Err(format!("{with} with {suite:?}"));
    }
    let (id, recipient) = match rest.split_once(" for ") {
        Some((id, recipient)) => (id, Some(recipient)),
        None => (rest, None),
    };
    if id.is_empty() || !id.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-') {
        return Err(format!("{id} is no atom of ours"));
    }
    if let Some(recipient) = recipient {
        let is_path = recipient.starts_with('<') && matches!(recipient.parse(), Ok(ForwardPath::Mailbox(_)));
        is_path.then_some(()).ok_or(format!("{recipient} is not one path"))?;
    }
    check_date(date)
}

/// RFC 5322, 3.3 without its obsolete forms: `Mon, 23 Nov 2026 11:50:41 +0530`.
fn check_date(date: &str) -> Result<(), String> {
    let words: Vec<_> = date.split(' ').collect();
    let [weekday, day, month, year, time, zone] = words[..] else {
        return Err(format!("{date} has not six words"));
    };
    let is_number = |text: &str, digits| text.len() == digits && text.bytes().all(|digit| digit.is_ascii_digit());
    let is_zone = zone.strip_prefix(['+', '-']).is_some_and(|digits| is_number(digits, 4));
    let is_time = time.split(':').count() == 3 && time.split(':').all(|part| is_number(part, 2));
    let is_date = ["Mon,", "Tue,", "Wed,", "Thu,", "Fri,", "Sat,", "Sun,"].contains(&weekday)
        && (is_number(day, 1) || is_number(day, 2))
        && month.len() == 3
        && is_number(year, 4);
    (is_date && is_time && is_zone).then_some(()).ok_or(format!("{date} is no date"))
}

/// The grammar check itself can fail.
#[test]
fn the_grammar_check_is_strict() {
    let good = printed("a.example", Some("192.0.2.1"), Protocol::Esmtp { tls: false, auth: false }, Some("<b@c>"));
    assert_eq!(check_grammar(&good), Ok(()));
    let good_under_tls =
        printed("a.example", Some("192.0.2.1"), Protocol::Esmtp { tls: true, auth: false }, Some("<b@c>"));
    assert_eq!(check_grammar(&good_under_tls), Ok(()));
    for (part, spoilt) in [("ESMTPS", "ESMTP"), ("TLS_AES", "TLS AES"), ("\r\n\ttls", "\r\n\tssl")] {
        assert!(check_grammar(&good_under_tls.replace(part, spoilt)).is_err(), "{spoilt}");
    }
    for (part, spoilt) in [
        ("from a.example", "from a_b"),
        ("([192.0.2.1])", "(192.0.2.1)"),
        ("with ESMTP", "with MAGIC"),
        ("for <b@c>", "for <b@c> for <d@e>"),
        ("for <b@c>", "for <b@c>,<d@e>"),
        ("id 01J-x", "id a b"),
        ("+0530", "IST"),
        ("2026", "26"),
        ("\r\n\tby", "\r\nby"),
    ] {
        assert!(check_grammar(&good.replace(part, spoilt)).is_err(), "{spoilt}");
    }
}

/// RFC 5321, 4.4: what came with MAIL, in brackets, also when it is nobody.
#[test]
fn return_paths() {
    assert_eq!(return_path(&ReversePath::Null), "Return-Path: <>\r\n");
    assert_eq!(return_path(&"\"a b\"@c".parse().unwrap()), "Return-Path: <\"a b\"@c>\r\n");
}

/// An id is ours; should it ever not be, it makes no field of its own.
#[test]
fn an_odd_id_ends_no_field() {
    let (hello, by) = (hello("a"), "b".parse().unwrap());
    let received = Received {
        hello: &hello,
        peer: None,
        by: &by,
        with: Protocol::Esmtp { tls: true, auth: false },
        tls: Some("TLS_A\r\nY: B;("),
        id: "a\r\nX: b;(",
        recipient: None,
        at: AT,
    };
    assert_eq!(check_grammar(&received.to_string()), Ok(()));
    assert!(received.to_string().contains(" id aXb\r\n\ttls TLS_AYB;"));
}

/// Fed whole, octet by octet, and cut at every place.
fn hops(message: &str) -> usize {
    let count = |pieces: &[&str]| {
        let mut counter = HopCounter::default();
        pieces.iter().for_each(|piece| counter.handle(piece.as_bytes()));
        counter.hops()
    };
    let whole = count(&[message]);
    let octets: Vec<_> = (0..message.len()).map(|place| &message[place..=place]).collect();
    assert_eq!(count(&octets), whole, "{message:?} octet by octet");
    for cut in 0..=message.len() {
        assert_eq!(count(&[&message[..cut], &message[cut..]]), whole, "{message:?} cut at {cut}");
    }
    whole
}

/// RFC 5321, 6.3 and 3.7.2 (rows N082, N283): very tolerant, and not fooled.
#[test]
fn counts_hops() {
    for (message, expected) in [
        ("", 0),
        ("Received: a\r\n\r\n", 1),
        ("Received: a\r\nReceived: b\r\nSubject: c\r\n\r\n", 2),
        ("RECEIVED: a\r\nreceived:b\r\nrEcEiVeD:\r\n\r\n", 3),
        ("Received: from a\r\n\tby b\r\n with c;\r\n date\r\n\r\n", 1),
        ("Received : a\r\nReceived\t :b\r\n\r\n", 2),
        ("Subject: x\r\n Received: folded\r\n\tReceived: folded\r\n\r\n", 0),
        ("Subject: x\r\n\r\nReceived: in the body\r\nReceived: too\r\n", 0),
        ("\r\nReceived: body\r\n", 0),
        ("Received-SPF: pass\r\nX-Received: a\r\nReceive: b\r\nReceivedd: c\r\nRe ceived: d\r\n\r\n", 0),
        ("Received", 0),
        ("Received:", 1),
        ("no header at all\r\nReceived: a\r\n", 1),
        ("R\r\nRReceived: a\r\nReceived: b\r\n", 1),
        ("ReceivedReceived: a\r\nReceived ReceivedReceived: b\r\n", 0),
    ] {
        assert_eq!(hops(message), expected, "{message:?}");
    }
    assert_eq!(hops(&"Received: x\r\n".repeat(100)), 100);
}

proptest! {
    /// Rows N194, N195, N197, N200, N215: whatever a client said, our line keeps to the grammar.
    #[test]
    fn every_received_field_is_well_formed(
        hello in strategies::hello_name(), peer in any::<Option<std::net::IpAddr>>(), by in strategies::domain(),
        recipient in prop::option::of(strategies::forward_path()), unix_seconds in 0_i64..250_000_000_000, offset_minutes in -14 * 60_i16..=14 * 60,
    ) {
        let at = Timestamp { unix_seconds, offset_minutes };
        let received = Received { hello: &hello, peer, by: &by, with: Protocol::Esmtp { tls: false, auth: false }, tls: None, id: "1", recipient: recipient.as_ref(), at };
        // Spaces of a quoted local part aside: they could look like the next clause.
        let is_plain = recipient.as_ref().is_none_or(|path| !path.to_string().contains(' '));
        if is_plain {
            prop_assert_eq!(check_grammar(&received.to_string()), Ok(()), "{}", received);
        }
        let longest = received.to_string().split("\r\n").map(str::len).max();
        prop_assert!(longest <= Some(998), "RFC 5322, 2.1.1");
    }
}
