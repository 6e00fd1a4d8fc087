//! Values for the property tests: every well-formed value can come up, the odd ones often.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::address::{AddressLiteral, Domain, ForwardPath, LocalPart, Mailbox, ReversePath};
use crate::command::{Argument, Auth, Command, HelloName};
use crate::extension::{Extension, Extensions};
use crate::parameter::{Body, MailParameters, Notify, OriginalRecipient, RcptParameters, Ret};
use crate::reply::{Code, EnhancedCode, Reply};
use crate::sasl::Mechanism;
use crate::secret::Secret;
use crate::xtext::Xtext;

/// Any text, with the characters that break protocols coming up far too often.
pub(crate) fn hostile_text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        4 => prop::sample::select("\r\n\0\u{1b}\u{7f}\u{85}\u{2028}\t <>@\"\\.:;,[]+=-é".chars().collect::<Vec<_>>()),
        4 => prop::char::range('!', '~'),
        1 => any::<char>(),
    ];
    vec(character, 0..40).prop_map(String::from_iter)
}

pub(crate) fn local_part() -> impl Strategy<Value = LocalPart> {
    prop_oneof!["[a-z0-9.+=_-]{1,20}", "[ -~]{0,20}", "[ -~é京\u{10ffff}]{1,20}"]
        .prop_map(|value| LocalPart::new(&value).unwrap())
}

pub(crate) fn domain() -> impl Strategy<Value = Domain> {
    let literal = prop_oneof![
        any::<u32>().prop_map(|bits| AddressLiteral::Ipv4(Ipv4Addr::from_bits(bits)).to_string()),
        any::<u128>().prop_map(|bits| AddressLiteral::Ipv6(Ipv6Addr::from_bits(bits)).to_string()),
        Just("[IPv6:::]".to_owned()),
        "\\[x-[a-z]{1,5}:[!-Z^-~]{1,10}\\]",
    ];
    let label = "[a-zA-Z0-9]([a-zA-Z0-9-]{0,10}[a-zA-Z0-9])?";
    let name = vec(prop_oneof![3 => label, 1 => "[é京]{1,4}"], 1..5).prop_map(|labels| labels.join("."));
    prop_oneof![3 => name, 1 => literal].prop_map(|text| text.parse().unwrap())
}

pub(crate) fn mailbox() -> impl Strategy<Value = Mailbox> {
    (local_part(), domain()).prop_map(|(local_part, domain)| Mailbox::new(local_part, domain).unwrap())
}

pub(crate) fn reverse_path() -> impl Strategy<Value = ReversePath> {
    prop_oneof![1 => Just(ReversePath::Null), 4 => mailbox().prop_map(ReversePath::Mailbox)]
}

pub(crate) fn forward_path() -> impl Strategy<Value = ForwardPath> {
    prop_oneof![1 => Just(ForwardPath::Postmaster), 4 => mailbox().prop_map(ForwardPath::Mailbox)]
}

fn ascii_reverse_path() -> impl Strategy<Value = ReversePath> {
    reverse_path().prop_filter("AUTH carries ASCII", ReversePath::is_ascii)
}

fn body() -> impl Strategy<Value = Body> {
    prop::sample::select(vec![Body::SevenBit, Body::EightBitMime, Body::BinaryMime])
}

pub(crate) fn mail_parameters() -> impl Strategy<Value = MailParameters> {
    let envid = "[ -~]{1,30}".prop_map(|value| Xtext::encode(&value).unwrap());
    let ret = prop::sample::select(vec![Ret::Full, Ret::Headers]);
    let fields = (
        option::of(any::<u64>()),
        option::of(body()),
        any::<bool>(),
        option::of(ret),
        option::of(envid),
        option::of(ascii_reverse_path()),
        any::<bool>(),
    );
    fields.prop_map(|(size, body, smtputf8, ret, envid, auth, require_tls)| MailParameters {
        size,
        body,
        smtputf8,
        ret,
        envid,
        auth,
        require_tls,
    })
}

fn notify() -> impl Strategy<Value = Notify> {
    any::<(bool, bool, bool)>().prop_map(|(success, failure, delay)| match success || failure || delay {
        true => Notify::On { success, failure, delay },
        false => Notify::Never,
    })
}

pub(crate) fn rcpt_parameters() -> impl Strategy<Value = RcptParameters> {
    let orcpt =
        mailbox().prop_filter_map("rfc822 is ASCII and not too long", |mailbox| OriginalRecipient::rfc822(&mailbox));
    (option::of(notify()), option::of(orcpt)).prop_map(|(notify, orcpt)| RcptParameters { notify, orcpt })
}

fn argument() -> impl Strategy<Value = Argument> {
    "[!-~]([ -~é]{0,20}[!-~])?".prop_map(|text| Argument::new(&text).unwrap())
}

/// In the form in which it is read: what is a domain is one.
pub(crate) fn hello_name() -> impl Strategy<Value = HelloName> {
    let other = "[!-~]([ -~]{0,20}[!-~])?".prop_map(|text| match text.parse() {
        Ok(domain) => HelloName::Domain(domain),
        Err(_) => HelloName::Other(Argument::new(&text).unwrap()),
    });
    let is_ascii = |domain: &Domain| domain.to_string().is_ascii();
    let domain = domain().prop_filter("RFC 6531, 3.7.1: ASCII", is_ascii).prop_map(HelloName::Domain);
    prop_oneof![domain, other.prop_filter("no dot at the end", |name| !name.to_string().ends_with('.'))]
}

fn mechanism() -> impl Strategy<Value = Mechanism> {
    prop::sample::select(Mechanism::ALL.to_vec())
}

pub(crate) fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        hello_name().prop_map(Command::Ehlo),
        hello_name().prop_map(Command::Helo),
        (reverse_path(), mail_parameters())
            .prop_map(|(reverse_path, parameters)| Command::Mail { reverse_path, parameters }),
        (forward_path(), rcpt_parameters())
            .prop_map(|(forward_path, parameters)| Command::Rcpt { forward_path, parameters }),
        Just(Command::Data),
        Just(Command::Rset),
        argument().prop_map(Command::Vrfy),
        option::of(argument()).prop_map(Command::Help),
        option::of(argument()).prop_map(Command::Noop),
        Just(Command::Quit),
        Just(Command::StartTls),
        (mechanism(), option::of(vec(any::<u8>(), 0..20)))
            .prop_map(|(mechanism, response)| Command::Auth(Auth::new(mechanism, response.map(Secret::new).as_ref()))),
        (any::<u64>(), any::<bool>()).prop_map(|(size, is_last)| Command::Bdat { size, is_last }),
        Just(Command::Unoffered),
    ]
}

/// Replies whose text cannot be taken for an enhanced code, which stands in the same place.
pub(crate) fn reply() -> impl Strategy<Value = Reply> {
    let enhanced = (2_u8..=5, 0_u16..1100, 0_u16..1100).prop_map(|(a, b, c)| EnhancedCode::new(a, b, c));
    let text =
        vec(prop_oneof![hostile_text(), "[ -~]{0,2000}"], 1..4).prop_map(|lines| format!("~{}", lines.join("\n")));
    (200_u16..600, option::of(enhanced), text)
        .prop_map(|(code, enhanced, text)| Reply::new(Code::new(code).unwrap(), enhanced, text))
}

pub(crate) fn extensions() -> impl Strategy<Value = Extensions> {
    let extension = prop_oneof![
        option::of(1..=u64::MAX).prop_map(Extension::Size),
        Just(Extension::Pipelining),
        Just(Extension::EightBitMime),
        Just(Extension::SmtpUtf8),
        Just(Extension::EnhancedStatusCodes),
        Just(Extension::Help),
        Just(Extension::Chunking),
        Just(Extension::Dsn),
        Just(Extension::StartTls),
        Just(Extension::RequireTls),
        vec("[A-Z0-9-]{1,10}", 1..4).prop_map(Extension::Auth),
        "X[A-Z0-9-]{1,10}( [!-~]{1,10}){0,3}".prop_map(Extension::Other),
    ];
    vec(extension, 0..12).prop_map(Extensions::new)
}
