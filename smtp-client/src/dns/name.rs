//! A name to be looked up: wider than a mail domain, since hosts with an underscore exist and are reached, and
//! narrower, since DNS holds ASCII.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use idna::AsciiDenyList;
use smtp_proto::address::DomainName;
use smtp_proto::limits::LABEL_OCTETS;

/// Octets of a name as text, without the final dot. On the wire it has two more (RFC 1035, 2.3.4: 255).
const NAME_OCTETS: usize = 253;

/// A complete name, without the final dot: labels of visible ASCII. In lower case, because case does not count
/// (RFC 4343), and so equal names are equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// Why a text is not a name that can be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameError {
    /// Octets beyond ASCII, and no domain that has a form in ASCII.
    NotAscii,
    /// Longer than a name or a label in DNS can be, so nobody has it.
    TooLong,
    /// No labels with single dots between.
    Malformed,
}

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name from the labels in a message. They may hold any octet there; what is no name in text is none here.
    pub(super) fn from_labels<'a>(labels: impl Iterator<Item = &'a [u8]>) -> Result<Self, NameError> {
        let mut text = String::new();
        for label in labels {
            if label.contains(&b'.') {
                return Err(NameError::Malformed);
            }
            let separator = if text.is_empty() { "" } else { "." };
            text.push_str(separator);
            text.push_str(std::str::from_utf8(label).map_err(|_| NameError::NotAscii)?);
        }
        text.parse()
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if !text.is_ascii() {
            return Err(NameError::NotAscii);
        }
        if text.len() > NAME_OCTETS || text.split('.').any(|label| label.len() > LABEL_OCTETS) {
            return Err(NameError::TooLong);
        }
        // A backslash would be the beginning of an escape to whoever reads the name as text.
        let is_label = |label: &str| !label.is_empty() && label.bytes().all(|o| o.is_ascii_graphic() && o != b'\\');
        if !text.split('.').all(is_label) {
            return Err(NameError::Malformed);
        }
        Ok(Name(text.to_ascii_lowercase()))
    }
}

impl TryFrom<&DomainName> for Name {
    type Error = NameError;

    /// DNS holds ASCII: what is beyond is looked up in the form with `xn--`. "When doing lookups, the SMTPUTF8-aware SMTP
    /// client or server MUST either use a Unicode-aware DNS library, or transform the internationalized domain name to
    /// A-label form" (RFC 6531, 3.2).
    fn try_from(domain: &DomainName) -> Result<Self, NameError> {
        let text = domain.as_str();
        if text.is_ascii() {
            return text.parse();
        }
        idna::domain_to_ascii_cow(text.as_bytes(), AsciiDenyList::URL).map_err(|_| NameError::NotAscii)?.parse()
    }
}

/// The one spelling by which domains are compared and filed: lower case and A-labels, since `bücher.example` and
/// `xn--bcher-kva.example` are one domain (RFC 5890, 2.3.2.4). What has no
/// such form stays as it is, and is equal to itself alone.
pub fn a_label(domain: &DomainName) -> Cow<'_, str> {
    let text = domain.as_str();
    let folded = || match text.bytes().any(|octet| octet.is_ascii_uppercase()) {
        true => Cow::Owned(text.to_ascii_lowercase()),
        false => Cow::Borrowed(text),
    };
    match text.is_ascii() {
        true => folded(),
        false => Name::try_from(domain).map_or_else(|_| folded(), |name| Cow::Owned(name.0)),
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NameError::NotAscii => "the domain has characters that no domain may have",
            NameError::TooLong => "the name is longer than DNS allows",
            NameError::Malformed => "not a name",
        })
    }
}

impl std::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_can_be_looked_up() {
        let label = "a".repeat(63);
        let longest = [label.as_str(), &label, &label, &label[..61]].join(".");
        for (text, expected) in [
            ("Example.ORG", Ok("example.org")),
            ("localhost", Ok("localhost")),
            ("_dc-mx.example.org", Ok("_dc-mx.example.org")),
            ("192.0.2.1", Ok("192.0.2.1")),
            (&longest, Ok(longest.as_str())),
            (&format!("{longest}a"), Err(NameError::TooLong)),
            (&format!("{label}a.org"), Err(NameError::TooLong)),
            ("bücher.example", Err(NameError::NotAscii)),
            ("", Err(NameError::Malformed)),
            (".", Err(NameError::Malformed)),
            ("a..b", Err(NameError::Malformed)),
            ("example.org.", Err(NameError::Malformed)),
            ("a b", Err(NameError::Malformed)),
            ("a\x1b[2J", Err(NameError::Malformed)),
            ("a\\.b", Err(NameError::Malformed)),
        ] {
            assert_eq!(text.parse::<Name>().as_ref().map(Name::as_str).map_err(Clone::clone), expected, "{text:?}");
        }
        assert_eq!(longest.len(), NAME_OCTETS);
    }

    /// Row X135: look-ups are done in A-labels (RFC 6531, 3.2), whatever the case and the composition of what was typed.
    #[test]
    fn beyond_ascii() {
        for (domain, expected) in [
            ("bücher.example", Ok("xn--bcher-kva.example")),
            ("BÜCHER.Example", Ok("xn--bcher-kva.example")),
            ("bu\u{308}cher.example", Ok("xn--bcher-kva.example")),
            ("例え.テスト", Ok("xn--r8jz45g.xn--zckzah")),
            ("mail.παράδειγμα.example", Ok("mail.xn--hxajbheg2az3al.example")),
            ("a\u{ad}\u{378}.example", Err(NameError::NotAscii)),
        ] {
            let name = domain.parse::<DomainName>().map(|domain| Name::try_from(&domain));
            assert_eq!(name.unwrap().as_ref().map(Name::as_str).map_err(Clone::clone), expected, "{domain:?}");
        }
    }

    /// Row X156.
    #[test]
    fn one_spelling_of_each_domain() {
        for (domain, expected) in [
            ("Example.ORG", "example.org"),
            ("example.org", "example.org"),
            ("bücher.Example", "xn--bcher-kva.example"),
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("XN--Bcher-KVA.example", "xn--bcher-kva.example"),
            ("a\u{ad}\u{378}.Example", "a\u{ad}\u{378}.example"),
        ] {
            assert_eq!(a_label(&domain.parse().unwrap()), expected, "{domain:?}");
        }
    }

    #[test]
    fn labels_hold_any_octet_and_names_do_not() {
        let name = |labels: &[&[u8]]| Name::from_labels(labels.iter().copied());
        assert_eq!(name(&[b"MX", b"example", b"org"]).unwrap().as_str(), "mx.example.org");
        assert_eq!(name(&[b"mx.example", b"org"]), Err(NameError::Malformed));
        assert_eq!(name(&[b"mx\xff", b"org"]), Err(NameError::NotAscii));
        assert_eq!(name(&[b"mx\r\n", b"org"]), Err(NameError::Malformed));
        assert_eq!(name(&[]), Err(NameError::Malformed));
    }
}
