//! The second part of a report, for programs: fields about the message, then a group for each recipient (RFC 3464, 2.2 and
//! 2.3).

use std::net::IpAddr;

use super::{Action, Report, ReportedRecipient, status, text};
use crate::address::{AddressLiteral, Domain, ForwardPath};
use crate::limits;
use crate::parameter::{OriginalRecipient, embed};

/// All groups, each behind an empty line but the first.
pub(super) fn fields(report: &Report<'_>) -> String {
    let mut fields = message_fields(report);
    for recipient in report.recipients {
        fields.push_str("\r\n");
        recipient_fields(&mut fields, recipient, report.is_international());
    }
    fields
}

/// RFC 3464, 2.2, in the order of its grammar.
fn message_fields(report: &Report<'_>) -> String {
    let (mut fields, original) = (String::new(), &report.original);
    // RFC 3461, 6.3 (a): if and only if it came with ENVID; and decoded, since this field is not xtext.
    if let Some(envid) = &original.mail.envid {
        text::field(&mut fields, "Original-Envelope-Id", &text::printable(&envid.decode(), limits::ENVID_OCTETS));
    }
    text::field(&mut fields, "Reporting-MTA", &reporting_mta(report.reporting_mta));
    text::field(&mut fields, "Arrival-Date", &original.arrived_at.to_string());
    // RFC 3464, 2.4: a field of our own, for whoever looks into our log.
    text::field(&mut fields, "X-Queue-Id", &text::id(original.id));
    fields
}

/// RFC 3461, 6.3 (b): `dns` is for names that are complete, and for addresses in brackets (RFC 3461, 9.3).
fn reporting_mta(domain: &Domain) -> String {
    let is_local = domain.name().is_some_and(|name| !name.as_str().contains('.'));
    format!("{}; {domain}", if is_local { "x-local-hostname" } else { "dns" })
}

/// RFC 3464, 2.3, in the order of its grammar.
fn recipient_fields(fields: &mut String, reported: &ReportedRecipient<'_>, is_international: bool) {
    // RFC 3461, 6.3 (d): if and only if it came with ORCPT.
    if let Some(orcpt) = &reported.recipient.parameters.orcpt {
        text::field(fields, "Original-Recipient", &original_recipient(orcpt, is_international));
    }
    text::field(fields, "Final-Recipient", &final_recipient(&reported.recipient.forward_path, is_international));
    let (action, class) = match reported.action {
        Action::Failed => ("failed", 5),
        Action::Delayed { .. } => ("delayed", 4),
        Action::Delivered => ("delivered", 2),
        Action::Relayed => ("relayed", 2),
        Action::Expanded => ("expanded", 2),
    };
    text::field(fields, "Action", action);
    text::field(fields, "Status", &status::well_formed(reported.status, class).to_string());
    if let Some(name) = reported.remote_mta {
        text::field(fields, "Remote-MTA", &format!("dns; {}", text::printable(&host(name), limits::REMOTE_MTA_OCTETS)));
    }
    if let Some(diagnostic) = reported.diagnostic {
        // RFC 3461, 9.2: `smtp` is a reply and nothing else.
        let diagnostic_type = if is_reply(diagnostic) { "smtp" } else { "x-local" };
        let diagnostic = text::printable(diagnostic, limits::DIAGNOSTIC_OCTETS);
        text::field(fields, "Diagnostic-Code", &format!("{diagnostic_type}; {diagnostic}"));
    }
    if let Some(last_attempt) = reported.last_attempt {
        text::field(fields, "Last-Attempt-Date", &last_attempt.to_string());
    }
    // RFC 3464, 2.3.9: in the report of a delay and in no other.
    if let Action::Delayed { will_retry_until } = reported.action {
        text::field(fields, "Will-Retry-Until", &will_retry_until.to_string());
    }
}

/// The name of a host without what people read behind it: "a fully-qualified domain name", or "a domain-literal as defined in
/// RFC 822" (RFC 3464, 2.1.2 and 2.3.5). What has no name in front stays as it is.
fn host(shown: &str) -> String {
    let literal = shown.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(inside, _)| inside);
    let name = literal.unwrap_or_else(|| shown.split([':', '[', ' ']).next().unwrap_or_default());
    match name.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => AddressLiteral::Ipv4(address).to_string(),
        Ok(IpAddr::V6(address)) => AddressLiteral::Ipv6(address).to_string(),
        Err(_) if literal.is_some() => format!("[{name}]"),
        Err(_) if name.is_empty() => shown.to_owned(),
        Err(_) => name.to_owned(),
    }
}

/// Whether a diagnostic is what a server said: it begins with a code.
pub(super) fn is_reply(diagnostic: &str) -> bool {
    matches!(diagnostic.as_bytes(), [b'2'..=b'5', one, two, rest @ ..]
        if one.is_ascii_digit() && two.is_ascii_digit() && matches!(rest, [] | [b' ' | b'-', ..]))
}

/// The recipient as this host took it, in its own case (RFC 3464, 2.3.2).
fn final_recipient(forward_path: &ForwardPath, is_international: bool) -> String {
    let Some(mailbox) = forward_path.mailbox() else {
        return "rfc822; Postmaster".to_owned();
    };
    let address = mailbox.to_string();
    if mailbox.is_ascii() {
        format!("rfc822; {address}")
    } else if is_international {
        format!("utf-8; {address}")
    } else {
        // RFC 6533, 3: utf-8-addr-xtext is ASCII, and stands for the very address.
        let is_qchar = |character| matches!(character, '!'..='~') && !matches!(character, '\\' | '+' | '=');
        format!("utf-8; {}", embed(&address, is_qchar))
    }
}

/// The recipient as the sender first wrote it (RFC 3464, 2.3.1).
fn original_recipient(orcpt: &OriginalRecipient, is_international: bool) -> String {
    let (address_type, address) = (orcpt.address_type(), orcpt.address());
    let address = match is_international {
        // RFC 6533, 3: the utf-8-address form, if what comes out is one.
        true => {
            orcpt.mailbox().filter(|_| address_type.eq_ignore_ascii_case("utf-8")).map_or(address, |m| m.to_string())
        }
        false => embed(&address, |character| character.is_ascii()),
    };
    format!("{address_type}; {address}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;

    #[test]
    fn names_of_this_host() {
        for (domain, field) in [
            ("mx.example.org", "dns; mx.example.org"),
            ("[192.0.2.1]", "dns; [192.0.2.1]"),
            ("[IPv6:2001:db8::1]", "dns; [IPv6:2001:db8::1]"),
            ("localhost", "x-local-hostname; localhost"),
        ] {
            assert_eq!(reporting_mta(&domain.parse().unwrap()), field);
        }
    }

    /// RFC 6533, 3: an address beyond ASCII in both forms.
    #[test]
    fn final_recipients() {
        for (path, ascii, utf8) in [
            ("<Bob@example.org>", "rfc822; Bob@example.org", "rfc822; Bob@example.org"),
            ("<postmaster>", "rfc822; Postmaster", "rfc822; Postmaster"),
            ("<\"a b\"@example.org>", "rfc822; \"a b\"@example.org", "rfc822; \"a b\"@example.org"),
            ("<m\u{fc}ller@example.org>", "utf-8; m\\x{FC}ller@example.org", "utf-8; m\u{fc}ller@example.org"),
            (
                "<\"\u{fc} +=\"@example.org>",
                "utf-8; \"\\x{FC}\\x{20}\\x{2B}\\x{3D}\"@example.org",
                "utf-8; \"\u{fc} +=\"@example.org",
            ),
        ] {
            let path = path.parse().unwrap();
            assert_eq!(final_recipient(&path, false), ascii);
            assert_eq!(final_recipient(&path, true), utf8);
        }
    }

    /// RFC 3461, 6.3 and RFC 6533, 4.1: decoded, and in UTF-8 where the report is.
    #[test]
    fn original_recipients() {
        for (orcpt, ascii, utf8) in [
            ("rfc822;Bob@example.org", "rfc822; Bob@example.org", "rfc822; Bob@example.org"),
            ("rfc822;a+2Bb@example.org", "rfc822; a+b@example.org", "rfc822; a+b@example.org"),
            ("x400;/S=b", "", ""),
            ("x400;/S+3Db", "x400; /S=b", "x400; /S=b"),
            ("utf-8;m\\x{FC}ller@example.org", "utf-8; m\\x{FC}ller@example.org", "utf-8; m\u{fc}ller@example.org"),
            ("utf-8;m\u{fc}ller@example.org", "utf-8; m\\x{FC}ller@example.org", "utf-8; m\u{fc}ller@example.org"),
            // No address comes out, so it stays as it is.
            ("utf-8;\\x{0D}\\x{0A}", "utf-8; \\x{0D}\\x{0A}", "utf-8; \\x{0D}\\x{0A}"),
            ("utf-8;\\x{D800}@example.org", "utf-8; \\x{D800}@example.org", "utf-8; \\x{D800}@example.org"),
            ("rfc822;m\\x{FC}@example.org", "rfc822; m\\x{FC}@example.org", "rfc822; m\\x{FC}@example.org"),
        ] {
            let line = format!("RCPT TO:<bob@example.org> ORCPT={orcpt}");
            let Ok(Command::Rcpt { parameters, .. }) = Command::parse(line.as_bytes()) else {
                assert!(ascii.is_empty(), "{line}");
                continue;
            };
            let orcpt = parameters.orcpt.unwrap();
            assert_eq!(original_recipient(&orcpt, false), ascii);
            assert_eq!(original_recipient(&orcpt, true), utf8);
        }
    }

    #[test]
    fn replies_and_other_words() {
        for (text, reply) in [
            ("550 5.1.1 no", true),
            ("550-no", true),
            ("250", true),
            ("", false),
            ("5500 no", false),
            ("650 no", false),
            ("the connection was lost", false),
        ] {
            assert_eq!(is_reply(text), reply, "{text}");
        }
    }
}
