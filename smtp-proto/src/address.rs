//! Who a message is from and who it is for: the address grammar of RFC 5321, 4.1.2 and 4.1.3, with RFC 6531's UTF-8.
//!
//! A value of these types is well formed by construction, and no value can hold CR, LF, NUL or any other control
//! character: what is printed on the wire is one command whatever a caller, a file or a peer put in. The text is kept as
//! it came, since "the local-part of a mailbox MUST BE treated as case sensitive" (RFC 5321, 2.4); only quoting is
//! undone, because all quoted forms of one local part are the same mailbox (RFC 5321, 4.1.2).

mod grammar;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::limits;
pub(crate) use grammar::{forward_path, reverse_path};

/// The reverse-path: whom to tell if the message cannot be delivered (RFC 5321, 4.1.1.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `<>`: nobody. The sender of reports, so that no report is ever answered by another (RFC 5321, 4.5.5).
    Null,
    /// A mailbox.
    Mailbox(Mailbox),
}

/// The forward-path: one recipient (RFC 5321, 4.1.1.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ForwardPath {
    /// `<Postmaster>` without a domain, which every server must know, in any case of letters (RFC 5321, 4.5.1).
    Postmaster,
    /// A mailbox.
    Mailbox(Mailbox),
}

/// `local-part@domain`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mailbox {
    local_part: LocalPart,
    domain: Domain,
}

/// What stands before the `@`, without quoting. Its meaning is known to the host of the domain alone (RFC 5321, 2.3.11).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LocalPart(String);

/// What stands behind the `@`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Domain {
    /// A host or domain name.
    Name(DomainName),
    /// An address in brackets.
    Literal(AddressLiteral),
}

/// A domain name: labels of letters, digits and hyphens, or of UTF-8 under SMTPUTF8. Case is kept; see [`DomainName::is`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DomainName(String);

/// An address in brackets (RFC 5321, 4.1.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AddressLiteral {
    /// `[192.0.2.1]`
    Ipv4(Ipv4Addr),
    /// `[IPv6:2001:db8::1]`
    Ipv6(Ipv6Addr),
    /// `[tag:content]` for a tag that may be standardised one day. Nobody can route to it, so the server refuses it later.
    General(GeneralLiteral),
}

/// The inside of `[tag:content]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GeneralLiteral {
    tag: String,
    content: String,
}

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// Nothing stands where an address must stand.
    Empty,
    /// The local part holds a character it may not hold, or a dot in the wrong place.
    LocalPart,
    /// `@` and the domain are missing.
    NoDomain,
    /// The domain is not made of labels of letters, digits and hyphens.
    Domain,
    /// The address in brackets is not one.
    Literal,
    /// A quoted string is not closed or holds a control character.
    Quoting,
    /// `>` is missing.
    Unclosed,
    /// A source route (`@one,@two:`) is broken.
    Route,
    /// Something follows the address.
    Trailing,
    /// Longer than the limits of this implementation.
    TooLong,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AddressError::Empty => "the address is missing",
            AddressError::LocalPart => "the local part holds a character or a dot that may not stand there; quote it",
            AddressError::NoDomain => "the address needs @ and a domain",
            AddressError::Domain => "the domain is not made of labels of letters, digits and hyphens",
            AddressError::Literal => "the address in brackets is neither [192.0.2.1] nor [IPv6:2001:db8::1]",
            AddressError::Quoting => "the quoted local part is not closed or holds a control character",
            AddressError::Unclosed => "the closing > is missing",
            AddressError::Route => "the source route is malformed",
            AddressError::Trailing => "something follows the address",
            AddressError::TooLong => "the address is too long",
        })
    }
}

impl std::error::Error for AddressError {}

impl ReversePath {
    /// The mailbox, or `None` for the null reverse-path.
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            ReversePath::Null => None,
            ReversePath::Mailbox(mailbox) => Some(mailbox),
        }
    }

    /// Whether it can be sent without SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        self.mailbox().is_none_or(Mailbox::is_ascii)
    }
}

impl ForwardPath {
    /// The mailbox, or `None` for the bare postmaster.
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            ForwardPath::Postmaster => None,
            ForwardPath::Mailbox(mailbox) => Some(mailbox),
        }
    }

    /// Whether it can be sent without SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        self.mailbox().is_none_or(Mailbox::is_ascii)
    }
}

impl Mailbox {
    /// Whether the domain is an address literal of a kind that nobody has registered: "general address literals" are
    /// well formed, and MUST NOT be used before they are (RFC 5321, 4.1.3).
    pub(crate) fn is_at_unknown_literal(&self) -> bool {
        matches!(self.domain, Domain::Literal(AddressLiteral::General(_)))
    }

    /// Joins two parts. Fails only if the path would be longer than [`limits::PATH_OCTETS`].
    pub fn new(local_part: LocalPart, domain: Domain) -> Result<Self, AddressError> {
        let mailbox = Mailbox { local_part, domain };
        // Quoting at most doubles a local part. Nothing is printed to be counted where that is short enough.
        let most_octets = match &mailbox.domain {
            Domain::Name(name) => 2 * mailbox.local_part.0.len() + name.0.len() + "<\"\"@>".len(),
            Domain::Literal(_) => usize::MAX,
        };
        if most_octets > limits::PATH_OCTETS && mailbox.to_string().len() + "<>".len() > limits::PATH_OCTETS {
            return Err(AddressError::TooLong);
        }
        Ok(mailbox)
    }

    /// What stands before the `@`.
    pub fn local_part(&self) -> &LocalPart {
        &self.local_part
    }

    /// What stands behind the `@`.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Whether it can be sent without SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        self.local_part.0.is_ascii()
            && match &self.domain {
                Domain::Name(name) => name.0.is_ascii(),
                Domain::Literal(_) => true,
            }
    }
}

impl LocalPart {
    /// A local part from its value without quoting: `John Smith`, not `"John Smith"`.
    pub fn new(value: &str) -> Result<Self, AddressError> {
        if value.chars().any(|character| !is_quotable(character)) {
            return Err(AddressError::Quoting);
        }
        if value.len() > limits::LOCAL_PART_OCTETS {
            return Err(AddressError::TooLong);
        }
        Ok(LocalPart(value.to_owned()))
    }

    /// The value without quoting, in its own case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The reserved name (RFC 5321, 4.5.1).
    pub fn postmaster() -> Self {
        LocalPart("postmaster".to_owned())
    }

    /// The same in lower case, as far as it is ASCII: the one name under which a host that does not tell `Bob` from `bob`
    /// looks for a mailbox. Only the host of the domain may do so (RFC 5321, 2.4).
    pub fn folded(&self) -> Self {
        LocalPart(self.0.to_ascii_lowercase())
    }

    /// What stands before a separator: `bob` of `bob+lists`. `None` if there is no separator, or nothing before it.
    pub fn before(&self, separator: char) -> Option<Self> {
        let (name, _) = self.0.split_once(separator)?;
        (!name.is_empty()).then(|| LocalPart(name.to_owned()))
    }

    fn is_dot_string(&self) -> bool {
        // One walk: each address is looked at several times on its way.
        let mut before = '.';
        let is_good = |character: char| {
            let is_good = if character == '.' { before != '.' } else { is_atext(character) };
            before = character;
            is_good
        };
        // Where there is nothing, or a dot at the end, a dot was the last.
        self.0.chars().all(is_good) && before != '.'
    }
}

impl Domain {
    /// The name, or `None` for an address literal.
    pub fn name(&self) -> Option<&DomainName> {
        match self {
            Domain::Name(name) => Some(name),
            Domain::Literal(_) => None,
        }
    }
}

impl DomainName {
    /// `localhost`, the name that every host has.
    pub fn localhost() -> Self {
        DomainName("localhost".to_owned())
    }

    /// The name as it was given, without a final dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names the same domain: case does not count (RFC 5321, 2.4).
    pub fn is(&self, other: &str) -> bool {
        self.0.eq_ignore_ascii_case(other)
    }
}

impl AddressLiteral {
    /// The literal of a host's address; IPv4 in IPv6 clothing (`::ffff:192.0.2.1`) is undressed.
    pub fn from_ip(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => AddressLiteral::Ipv4(address),
            IpAddr::V6(address) => AddressLiteral::Ipv6(address),
        }
    }
}

/// RFC 5321, 4.1.2 `atext`, and RFC 6531, 3.3: any non-ASCII character.
fn is_atext(character: char) -> bool {
    matches!(character, 'a'..='z' | 'A'..='Z' | '0'..='9')
        || matches!(character, '!' | '#'..='\'' | '*' | '+' | '-' | '/' | '=' | '?' | '^'..='`' | '{'..='~')
        || is_utf8_non_ascii(character)
}

/// What may stand in a quoted string, with or without a backslash: no control characters, C1 included, so that no
/// terminal and no log is steered by an address.
fn is_quotable(character: char) -> bool {
    matches!(character, ' '..='~') || is_utf8_non_ascii(character)
}

pub(crate) fn is_utf8_non_ascii(character: char) -> bool {
    !character.is_ascii() && !character.is_control() && !matches!(character, '\u{2028}' | '\u{2029}')
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReversePath::Null => f.write_str("<>"),
            ReversePath::Mailbox(mailbox) => write!(f, "<{mailbox}>"),
        }
    }
}

impl fmt::Display for ForwardPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ForwardPath::Postmaster => f.write_str("<Postmaster>"),
            ForwardPath::Mailbox(mailbox) => write!(f, "<{mailbox}>"),
        }
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local_part, self.domain)
    }
}

impl fmt::Display for LocalPart {
    /// With the least quoting that keeps the meaning (RFC 5321, 4.1.2).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_dot_string() {
            return f.write_str(&self.0);
        }
        f.write_str("\"")?;
        for character in self.0.chars() {
            if matches!(character, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{character}")?;
        }
        f.write_str("\"")
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Domain::Name(name) => name.fmt(f),
            Domain::Literal(literal) => literal.fmt(f),
        }
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for AddressLiteral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddressLiteral::Ipv4(address) => write!(f, "[{address}]"),
            AddressLiteral::Ipv6(address) => write!(f, "[IPv6:{address}]"),
            AddressLiteral::General(literal) => write!(f, "[{}:{}]", literal.tag, literal.content),
        }
    }
}

#[cfg(test)]
mod tests;
