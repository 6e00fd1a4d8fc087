//! Reports as a whole: what is in which part, and that nothing from outside gets out of its place.
//!
//! How they look is in `tests/reports`.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::parameter::OriginalRecipient;
use crate::strategies;

const AT: Timestamp = Timestamp { unix_seconds: 1_795_414_841, offset_minutes: 60 };
const LATER: Timestamp = Timestamp { unix_seconds: 1_795_587_641, offset_minutes: 60 };

/// A report, and what it gives back, read as MIME (RFC 2046, 5.1.1).
struct Read {
    header: String,
    parts: Vec<(String, Vec<u8>)>,
}

fn split<'a>(octets: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let place = octets.windows(separator.len()).position(|window| window == separator)?;
    Some((&octets[..place], &octets[place + separator.len()..]))
}

fn read(report: &Report<'_>, original: &[u8]) -> Read {
    let mut output = Vec::new();
    let mut returned = report.write_head(&mut output);
    for octets in original.chunks(7) {
        returned.handle(octets, &mut output);
    }
    returned.finish(&mut output);
    let (header, body) = split(&output, b"\r\n\r\n").unwrap();
    let header = String::from_utf8(header.to_vec()).unwrap();
    let boundary = header.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap();
    let (delimiter, end) = (format!("\r\n--{boundary}\r\n"), format!("\r\n--{boundary}--\r\n"));
    let mut rest = body.strip_suffix(end.as_bytes()).unwrap();
    let mut pieces = Vec::new();
    while let Some((piece, behind)) = split(rest, delimiter.as_bytes()) {
        pieces.push(piece);
        rest = behind;
    }
    pieces.push(rest);
    let parts = pieces.iter().skip(1).map(|part| {
        let (header, body) = split(part, b"\r\n\r\n").unwrap();
        (String::from_utf8(header.to_vec()).unwrap(), body.to_vec())
    });
    Read { parts: parts.collect(), header }
}

fn recipient(path: &str, parameters: RcptParameters) -> Recipient {
    Recipient { forward_path: path.parse().unwrap(), parameters }
}

fn reported(recipient: &Recipient, action: Action) -> ReportedRecipient<'_> {
    let status = EnhancedCode::new(5, 1, 1);
    ReportedRecipient { recipient, action, status, diagnostic: None, remote_mta: None, last_attempt: None }
}

/// Who writes to whom over which host, for reports on one recipient.
struct Sent {
    reporting_mta: Domain,
    reverse_path: Mailbox,
    mail: MailParameters,
    recipient: Recipient,
}

impl Sent {
    fn new() -> Self {
        Sent {
            reporting_mta: "mx.example.org".parse().unwrap(),
            reverse_path: "alice@example.net".parse().unwrap(),
            mail: MailParameters::default(),
            recipient: recipient("<bob@example.org>", RcptParameters::default()),
        }
    }

    fn report<'a>(&'a self, recipients: &'a [ReportedRecipient<'a>]) -> Report<'a> {
        Report {
            reporting_mta: &self.reporting_mta,
            id: "r1",
            at: LATER,
            reverse_path: &self.reverse_path,
            original: Original { id: "m1", arrived_at: AT, mail: &self.mail, octets: 100, is_eight_bit: false },
            recipients,
        }
    }

    fn failed(&self) -> [ReportedRecipient<'_>; 1] {
        [reported(&self.recipient, Action::Failed)]
    }
}

/// Row X086: all of the message for a failure, if it is not too large and not refused with RET; else the header section.
#[test]
fn how_much_is_given_back() {
    let delayed = Action::Delayed { will_retry_until: LATER };
    for (action, ret, octets, part) in [
        (Action::Failed, None, limits::RETURNED_OCTETS, Part::Full),
        (Action::Failed, None, limits::RETURNED_OCTETS + 1, Part::Headers),
        (Action::Failed, Some(Ret::Full), limits::RETURNED_OCTETS + 1, Part::Full),
        (Action::Failed, Some(Ret::Full), limits::RETURNED_OCTETS_IF_ASKED, Part::Full),
        (Action::Failed, Some(Ret::Full), limits::RETURNED_OCTETS_IF_ASKED + 1, Part::Headers),
        (Action::Failed, Some(Ret::Full), u64::MAX, Part::Headers),
        (Action::Failed, Some(Ret::Headers), 1, Part::Headers),
        (delayed, None, 1, Part::Headers),
        (delayed, Some(Ret::Full), 1, Part::Headers),
        (Action::Delivered, Some(Ret::Full), 1, Part::Headers),
        (Action::Relayed, Some(Ret::Full), 1, Part::Headers),
        (Action::Expanded, Some(Ret::Full), 1, Part::Headers),
    ] {
        let mut sent = Sent::new();
        sent.mail.ret = ret;
        let recipients = [reported(&sent.recipient, action)];
        let mut report = sent.report(&recipients);
        report.original.octets = octets;
        assert_eq!(report.returns(), part, "{action:?} {ret:?} {octets}");
    }
}

/// Rows X085, N076, N077, N214, N276, N277: from nobody, to the reverse-path, without RET, never to be reported on.
#[test]
fn the_envelope_of_a_report() {
    let mut sent = Sent::new();
    (sent.mail.ret, sent.mail.smtputf8) = (Some(Ret::Full), true);
    let recipients = sent.failed();
    let report = sent.report(&recipients);
    let envelope = report.envelope();
    assert_eq!(envelope.reverse_path, ReversePath::Null);
    assert_eq!(envelope.parameters, MailParameters::default());
    assert_eq!(envelope.recipients.len(), 1);
    assert_eq!(envelope.recipients[0].forward_path.to_string(), "<alice@example.net>");
    assert_eq!(envelope.recipients[0].parameters.to_string(), " NOTIFY=NEVER");
    assert!(!wants_report(Some(Notify::Never), &envelope.reverse_path, Case::Failure));
}

/// RFC 6533, 4.4 and 4.5; RFC 2046, 5.2.1: the type of the third part, how it is carried, and what MAIL must say then.
#[test]
fn types_and_encodings() {
    for (reverse_path, is_eight_bit, smtputf8, ret, third, envelope) in [
        ("alice@example.net", false, false, Ret::Full, "message/rfc822 7bit", ""),
        ("alice@example.net", true, false, Ret::Full, "message/rfc822 8bit", " BODY=8BITMIME"),
        ("alice@example.net", false, true, Ret::Full, "message/rfc822 7bit", ""),
        ("alice@example.net", true, true, Ret::Full, "message/global quoted-printable", ""),
        ("alice@example.net", false, false, Ret::Headers, "text/rfc822-headers 7bit", ""),
        ("alice@example.net", true, false, Ret::Headers, "text/rfc822-headers quoted-printable", ""),
        ("alice@example.net", true, true, Ret::Headers, "message/global-headers quoted-printable", ""),
        ("\u{e4}@example.net", false, false, Ret::Full, "message/rfc822 7bit", " BODY=8BITMIME SMTPUTF8"),
        ("\u{e4}@example.net", true, true, Ret::Full, "message/global 8bit", " BODY=8BITMIME SMTPUTF8"),
        ("\u{e4}@example.net", true, true, Ret::Headers, "message/global-headers 8bit", " BODY=8BITMIME SMTPUTF8"),
    ] {
        let mut sent = Sent::new();
        sent.reverse_path = reverse_path.parse().unwrap();
        (sent.mail.ret, sent.mail.smtputf8) = (Some(ret), smtputf8);
        let recipients = sent.failed();
        let mut report = sent.report(&recipients);
        report.original.is_eight_bit = is_eight_bit;
        let read = read(&report, b"A: b\r\n\r\nc\r\n");
        let (content_type, encoding) = third.split_once(' ').unwrap();
        let expected = format!("Content-Type: {content_type}\r\nContent-Transfer-Encoding: {encoding}");
        assert_eq!(read.parts[2].0, expected);
        assert_eq!(report.envelope().parameters.to_string(), envelope);
        let is_eight_bit = read.header.ends_with("Content-Transfer-Encoding: 8bit");
        assert_eq!(is_eight_bit, envelope.contains("8BITMIME"));
    }
}

/// A subject for every case, and the worst one for several.
#[test]
fn subjects() {
    let (sent, delayed) = (Sent::new(), Action::Delayed { will_retry_until: AT });
    for (actions, subject) in [
        (vec![Action::Failed], "Your message could not be delivered"),
        (vec![delayed], "Your message is delayed; we keep trying"),
        (vec![Action::Delivered], "Your message was delivered"),
        (vec![Action::Relayed], "Your message was passed on"),
        (vec![Action::Expanded], "Your message was delivered and sent on to others"),
        (vec![Action::Delivered, delayed, Action::Failed, Action::Relayed], "Your message could not be delivered"),
        (vec![Action::Delivered, delayed, Action::Relayed], "Your message is delayed; we keep trying"),
    ] {
        let recipients: Vec<_> = actions.into_iter().map(|action| reported(&sent.recipient, action)).collect();
        assert!(read(&sent.report(&recipients), b"").header.contains(&format!("\r\nSubject: {subject}\r\n")));
    }
}

/// An answer of a mebibyte, as a next host might think of it: cut, on its one line, in both parts.
#[test]
fn a_mebibyte_of_diagnostic() {
    let diagnostic =
        format!("550 {}\r\nStatus: 2.0.0\r\n\r\n--=_report-r1--\r\n", "\u{1b}[2J\r\n.\r\n".repeat(100_000));
    let sent = Sent::new();
    let mut recipients = sent.failed();
    (recipients[0].diagnostic, recipients[0].remote_mta) = (Some(diagnostic.as_str()), Some(diagnostic.as_str()));
    let read = read(&sent.report(&recipients), b"");
    assert_eq!(read.parts.len(), 3);
    let fields = String::from_utf8(read.parts[1].1.clone()).unwrap().replace("\r\n ", " ");
    assert_eq!(fields.matches("\r\n").count(), 3 + 1 + 5, "{fields}");
    let value = fields.lines().find_map(|line| line.strip_prefix("Diagnostic-Code: smtp; ")).unwrap();
    // One space more: there is none in it at which it could have been folded.
    assert!(value.len() <= limits::DIAGNOSTIC_OCTETS + 1 && value.ends_with(" [...]"), "{value}");
}

/// RFC 3464, 2.3.5: programs get the name of the host, people all of it.
#[test]
fn the_host_that_said_it() {
    for (shown, field) in [
        ("mx.example.net", "mx.example.net"),
        ("mx.example.net[192.0.2.7]", "mx.example.net"),
        ("mx.example.net:2525[2001:db8::7]", "mx.example.net"),
        ("192.0.2.7:25", "[192.0.2.7]"),
        ("[192.0.2.7]", "[192.0.2.7]"),
        ("[2001:db8::7]:25", "[IPv6:2001:db8::7]"),
        ("[IPv6:2001:db8::7]", "[IPv6:2001:db8::7]"),
        (":25", ":25"),
    ] {
        let sent = Sent::new();
        let mut recipients = sent.failed();
        (recipients[0].diagnostic, recipients[0].remote_mta) = (Some("550 5.1.1 no"), Some(shown));
        let read = read(&sent.report(&recipients), b"");
        let part = |number: usize| String::from_utf8(read.parts[number].1.clone()).unwrap().replace("\r\n", "\n");
        assert!(part(1).contains(&format!("\nRemote-MTA: dns; {field}\n")), "{shown}: {}", part(1));
        assert!(part(0).contains(&format!("\n    {shown} said:\n")), "{shown}: {}", part(0));
    }
}

/// The longest address in its longest spelling is longer than a line may be.
#[test]
fn the_longest_address() {
    let path = format!("<{}@{}.example>", "\u{e9}".repeat(127), vec!["\u{e9}".repeat(31); 3].join("."));
    let sent = Sent { recipient: recipient(&path, RcptParameters::default()), ..Sent::new() };
    let read = read(&sent.report(&sent.failed()), b"");
    let fields = String::from_utf8(read.parts[1].1.clone()).unwrap();
    assert!(fields.lines().all(|line| line.len() <= 998));
    let address = path.replace('\u{e9}', "\\x{E9}").trim_matches(['<', '>']).to_owned();
    assert!(fields.replace("\r\n ", "").contains(&format!("\r\nFinal-Recipient: utf-8;{address}\r\n")), "{fields}");
}

/// What a reported recipient owns.
type Hostile = (Recipient, Action, EnhancedCode, Option<String>, Option<String>, Option<Timestamp>);

fn timestamp() -> impl Strategy<Value = Timestamp> {
    (any::<i64>(), -840_i16..=840).prop_map(|(unix_seconds, offset_minutes)| Timestamp { unix_seconds, offset_minutes })
}

fn hostile_recipient() -> impl Strategy<Value = Hostile> {
    let action = prop_oneof![
        Just(Action::Failed),
        timestamp().prop_map(|will_retry_until| Action::Delayed { will_retry_until }),
        Just(Action::Delivered),
        Just(Action::Relayed),
        Just(Action::Expanded),
    ];
    let orcpt = strategies::mailbox().prop_map(|mailbox| OriginalRecipient::of(&mailbox));
    let recipient = (strategies::forward_path(), orcpt).prop_map(|(forward_path, orcpt)| {
        let parameters = RcptParameters { notify: None, orcpt };
        Recipient { forward_path, parameters }
    });
    let status = any::<(u8, u16, u16)>().prop_map(|(class, subject, detail)| EnhancedCode::new(class, subject, detail));
    let text = || (strategies::hostile_text(), 1_usize..50).prop_map(|(text, times)| text.repeat(times));
    let diagnostic =
        (any::<bool>(), text()).prop_map(|(is_reply, text)| if is_reply { format!("550 {text}") } else { text });
    (recipient, action, status, option::of(diagnostic), option::of(text()), option::of(timestamp()))
}

/// Lines of any octets but CR and LF, with line ends.
fn original() -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![b' '..=b'~', any::<u8>()].prop_filter("a line", |octet| !matches!(octet, b'\r' | b'\n'));
    vec(vec(octet, 0..30), 0..6)
        .prop_map(|lines| lines.into_iter().flat_map(|line| [line, b"\r\n".to_vec()].concat()).collect())
}

/// Undoes quoted-printable.
fn decode(encoded: &[u8]) -> Vec<u8> {
    let (mut octets, mut rest) = (Vec::new(), encoded);
    while let Some((&octet, behind)) = rest.split_first() {
        let escape = (octet == b'=').then(|| behind.split_at(2));
        let Some((digits, after)) = escape else {
            octets.push(octet);
            rest = behind;
            continue;
        };
        if digits != b"\r\n" {
            octets.push(u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap());
        }
        rest = after;
    }
    octets
}

fn names(fields: &str) -> Vec<&str> {
    let lines = fields.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
    lines.map(|line| line.split_once(": ").unwrap().0).collect()
}

/// The names of the fields that a recipient must have, in the order of RFC 3464, 2.3.
fn expected_names(recipient: &ReportedRecipient<'_>) -> Vec<&'static str> {
    let fields = [
        (recipient.recipient.parameters.orcpt.is_some(), "Original-Recipient"),
        (true, "Final-Recipient"),
        (true, "Action"),
        (true, "Status"),
        (recipient.remote_mta.is_some(), "Remote-MTA"),
        (recipient.diagnostic.is_some(), "Diagnostic-Code"),
        (recipient.last_attempt.is_some(), "Last-Attempt-Date"),
        (matches!(recipient.action, Action::Delayed { .. }), "Will-Retry-Until"),
    ];
    fields.into_iter().filter(|(is_there, _)| *is_there).map(|(_, name)| name).collect()
}

proptest! {
    /// Rows N212, N213, X087, X088, X089, X090, X091, X094: whatever goes in, three parts come out, with a group for
    /// each recipient, the fields that belong there in their order, lines that everybody can take, and the original.
    #[test]
    fn nothing_gets_out_of_its_place(
        (reporting_mta, reverse_path) in (strategies::domain(), strategies::mailbox()),
        (id, original_id) in ("[a-z0-9-]{10,30}", strategies::hostile_text()),
        mail in strategies::mail_parameters(),
        (at, arrived_at) in (timestamp(), timestamp()),
        hostile in vec(hostile_recipient(), 1..4),
        message in original(),
    ) {
        let recipients: Vec<_> = hostile.iter().map(|(recipient, action, status, diagnostic, remote_mta, last_attempt)| {
            let (diagnostic, remote_mta) = (diagnostic.as_deref(), remote_mta.as_deref());
            ReportedRecipient { recipient, action: *action, status: *status, diagnostic, remote_mta, last_attempt: *last_attempt }
        }).collect();
        let is_eight_bit = !message.is_ascii();
        let original = Original { id: &original_id, arrived_at, mail: &mail, octets: message.len() as u64, is_eight_bit };
        let report = Report {
            reporting_mta: &reporting_mta, id: &id, at, reverse_path: &reverse_path, original, recipients: &recipients,
        };
        let read = read(&report, &message);

        prop_assert_eq!(names(&read.header), [
            "Date", "From", "Reply-To", "To", "Subject", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type",
            "Content-Transfer-Encoding",
        ]);
        let to = format!("\r\nTo: <{reverse_path}>\r\n");
        prop_assert!(read.header.contains(&to));
        prop_assert_eq!(read.parts.len(), 3);
        let fields = String::from_utf8(read.parts[1].1.clone()).unwrap();
        for text in [&read.header, &String::from_utf8(read.parts[0].1.clone()).unwrap(), &fields] {
            prop_assert!(text.split("\r\n").all(|line| line.len() <= 998 && !line.contains(|c: char| c.is_control() && c != '\t')));
        }

        let mut groups = fields.strip_suffix("\r\n").unwrap().split("\r\n\r\n");
        let mut per_message = vec!["Reporting-MTA", "Arrival-Date", "X-Queue-Id"];
        if mail.envid.is_some() {
            per_message.insert(0, "Original-Envelope-Id");
        }
        prop_assert_eq!(names(groups.next().unwrap()), per_message);
        for recipient in &recipients {
            prop_assert_eq!(names(groups.next().unwrap()), expected_names(recipient));
        }
        prop_assert_eq!(groups.next(), None);

        let (third, returned) = &read.parts[2];
        let returned = if third.ends_with("quoted-printable") { decode(returned) } else { returned.clone() };
        let whole = [b"\r\n", &message[..]].concat();
        let header = split(&whole, b"\r\n\r\n").map_or(&whole[..], |(header, _)| &whole[..header.len() + 2]);
        prop_assert_eq!(&returned[..], if report.returns() == Part::Full { &message[..] } else { &header[2..] });

        let is_ascii = read.header.is_ascii() && read.parts.iter().all(|(header, body)| header.is_ascii() && body.is_ascii());
        prop_assert!(is_ascii || report.envelope().parameters.body == Some(Body::EightBitMime));
    }
}
