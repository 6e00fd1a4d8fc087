//! Who a message is from and who it is for: the address grammar of RFC 5321, 4.1.2 and 4.1.3, with RFC 6531's UTF-8.
//!
//! A value of these types is well formed by construction, and no value can hold CR, LF, NUL or any other control
//! character: what is printed on the wire is one command whatever a caller, a file or a peer put in. The text is kept as
//! it came, since "the local-part of a mailbox MUST BE treated as case sensitive" (RFC 5321, 2.4); only quoting is
//! undone, because all quoted forms of one local part are the same mailbox (RFC 5321, 4.1.2).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::cursor::Cursor;
use crate::limits;

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
        if mailbox.to_string().len() + "<>".len() > limits::PATH_OCTETS {
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

    fn is_dot_string(&self) -> bool {
        self.0.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
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
    character.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(character) || is_utf8_non_ascii(character)
}

/// What may stand in a quoted string, with or without a backslash: no control characters, C1 included, so that no
/// terminal and no log is steered by an address.
fn is_quotable(character: char) -> bool {
    matches!(character, ' '..='~') || is_utf8_non_ascii(character)
}

pub(crate) fn is_utf8_non_ascii(character: char) -> bool {
    !character.is_ascii() && !character.is_control() && !matches!(character, '\u{2028}' | '\u{2029}')
}

// ---- Reading -------------------------------------------------------------------------------------------------------

/// Reads `<...>` or, as tolerated on receipt, a mailbox without brackets, up to the next space.
///
/// `null` and `postmaster` say what stands for `<>` and `<Postmaster>`, which the two kinds of path treat differently.
fn path<P>(
    cursor: &mut Cursor<'_>,
    null: Option<P>,
    postmaster: Option<P>,
    wrap: impl Fn(Mailbox) -> P,
) -> Result<P, AddressError> {
    let start = *cursor;
    let is_bracketed = cursor.take_char('<');
    if is_bracketed && cursor.take_char('>') {
        return null.ok_or(AddressError::Empty);
    }
    if is_bracketed {
        source_route(cursor)?;
    }
    let parsed = match (mailbox(cursor), postmaster) {
        (Ok(mailbox), _) => wrap(mailbox),
        (Err(error), Some(postmaster)) => {
            let mut again = start;
            let _ = is_bracketed && again.take_char('<');
            let name = again.take_while(|character| character.is_ascii_alphabetic());
            if !name.eq_ignore_ascii_case("postmaster") || !matches!(again.peek(), None | Some(' ' | '\t' | '>')) {
                return Err(error);
            }
            *cursor = again;
            postmaster
        }
        (Err(error), None) => return Err(error),
    };
    if is_bracketed && !cursor.take_char('>') {
        return Err(AddressError::Unclosed);
    }
    if start.rest().len() - cursor.rest().len() > limits::PATH_OCTETS {
        return Err(AddressError::TooLong);
    }
    Ok(parsed)
}

/// `MAIL FROM:` takes this.
pub(crate) fn reverse_path(cursor: &mut Cursor<'_>) -> Result<ReversePath, AddressError> {
    path(cursor, Some(ReversePath::Null), None, ReversePath::Mailbox)
}

/// `RCPT TO:` takes this.
pub(crate) fn forward_path(cursor: &mut Cursor<'_>) -> Result<ForwardPath, AddressError> {
    path(cursor, None, Some(ForwardPath::Postmaster), ForwardPath::Mailbox)
}

/// `@one,@two:` in front of a mailbox: must be accepted, should be ignored, is never generated (RFC 5321, 4.1.1.3, C).
fn source_route(cursor: &mut Cursor<'_>) -> Result<(), AddressError> {
    if cursor.peek() != Some('@') {
        return Ok(());
    }
    loop {
        if !cursor.take_char('@') {
            return Err(AddressError::Route);
        }
        domain(cursor).map_err(|_| AddressError::Route)?;
        if cursor.take_char(':') {
            return Ok(());
        }
        if !cursor.take_char(',') {
            return Err(AddressError::Route);
        }
    }
}

fn mailbox(cursor: &mut Cursor<'_>) -> Result<Mailbox, AddressError> {
    let local_part = local_part(cursor)?;
    if !cursor.take_char('@') {
        return Err(match cursor.peek() {
            None | Some('>' | ' ') => AddressError::NoDomain,
            Some(_) => AddressError::LocalPart,
        });
    }
    Mailbox::new(local_part, domain(cursor)?)
}

fn local_part(cursor: &mut Cursor<'_>) -> Result<LocalPart, AddressError> {
    if cursor.take_char('"') {
        return quoted_string(cursor);
    }
    let value = cursor.take_while(|character| character == '.' || is_atext(character));
    if value.is_empty() {
        return Err(match cursor.peek() {
            None | Some('>') => AddressError::Empty,
            Some(_) => AddressError::LocalPart,
        });
    }
    let local_part = LocalPart::new(value)?;
    if !local_part.is_dot_string() {
        return Err(AddressError::LocalPart);
    }
    Ok(local_part)
}

/// The rest of a quoted string behind its opening quote; a backslash makes any printable character plain.
fn quoted_string(cursor: &mut Cursor<'_>) -> Result<LocalPart, AddressError> {
    let mut value = String::new();
    loop {
        match cursor.take() {
            Some('"') => return LocalPart::new(&value),
            Some('\\') => match cursor.take() {
                Some(character @ ' '..='~') => value.push(character),
                _ => return Err(AddressError::Quoting),
            },
            Some(character) if is_quotable(character) => value.push(character),
            _ => return Err(AddressError::Quoting),
        }
    }
}

/// A domain name or an address literal.
pub(crate) fn domain(cursor: &mut Cursor<'_>) -> Result<Domain, AddressError> {
    if cursor.take_char('[') {
        let content = cursor.take_while(|character| matches!(character, '!'..='Z' | '^'..='~'));
        if !cursor.take_char(']') {
            return Err(AddressError::Literal);
        }
        return address_literal(content).map(Domain::Literal);
    }
    let name = cursor.take_while(|character| {
        character.is_ascii_alphanumeric() || matches!(character, '-' | '.') || is_utf8_non_ascii(character)
    });
    // What is left must end a path or stand behind one: an underscore or the like belongs to the name, and spoils it.
    if !matches!(cursor.peek(), None | Some('>' | ' ' | '\t' | ',' | ':')) {
        return Err(AddressError::Domain);
    }
    domain_name(name).map(Domain::Name)
}

fn domain_name(text: &str) -> Result<DomainName, AddressError> {
    // Tolerated on receipt, never sent: the dot that ends a fully qualified name in a zone file.
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.len() > limits::DOMAIN_OCTETS {
        return Err(AddressError::TooLong);
    }
    // RFC 5890, 4.2: the limit of DNS is one for the ASCII form of a label; the same label is longer in UTF-8.
    let is_short = |label: &str| label.len() <= limits::LABEL_OCTETS || !label.is_ascii();
    let is_label =
        |label: &str| !label.is_empty() && is_short(label) && !label.starts_with('-') && !label.ends_with('-');
    if !name.split('.').all(is_label) {
        return Err(AddressError::Domain);
    }
    Ok(DomainName(name.to_owned()))
}

fn address_literal(content: &str) -> Result<AddressLiteral, AddressError> {
    if content.len() > limits::DOMAIN_OCTETS {
        return Err(AddressError::TooLong);
    }
    let Some((tag, rest)) = content.split_once(':') else {
        return ipv4(content).map(AddressLiteral::Ipv4).ok_or(AddressError::Literal);
    };
    if tag.eq_ignore_ascii_case("IPv6") {
        return rest.parse().map(AddressLiteral::Ipv6).map_err(|_| AddressError::Literal);
    }
    let is_tag = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
    if tag.is_empty() || tag.ends_with('-') || !tag.bytes().all(is_tag) || rest.is_empty() {
        return Err(AddressError::Literal);
    }
    Ok(AddressLiteral::General(GeneralLiteral { tag: tag.to_owned(), content: rest.to_owned() }))
}

/// `Snum` is one to three decimal digits, leading zeros included (RFC 5321, 4.1.3); std refuses those.
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0_u8; 4];
    let mut numbers = text.split('.');
    for octet in &mut octets {
        let number = numbers.next().filter(|n| (1..=3).contains(&n.len()) && n.bytes().all(|d| d.is_ascii_digit()))?;
        *octet = number.parse().ok()?;
    }
    numbers.next().is_none().then(|| octets.into())
}

/// Reads all of `text` by one grammar rule.
pub(crate) fn whole<T>(
    text: &str,
    rule: impl Fn(&mut Cursor<'_>) -> Result<T, AddressError>,
) -> Result<T, AddressError> {
    let mut cursor = Cursor::new(text);
    let value = rule(&mut cursor)?;
    if cursor.is_at_end() { Ok(value) } else { Err(AddressError::Trailing) }
}

impl FromStr for Mailbox {
    type Err = AddressError;

    /// Reads `local-part@domain` without brackets.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        whole(text, mailbox)
    }
}

impl FromStr for ReversePath {
    type Err = AddressError;

    /// Reads `<local-part@domain>`, the same without brackets, or `<>`.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        whole(text, reverse_path)
    }
}

impl FromStr for ForwardPath {
    type Err = AddressError;

    /// Reads `<local-part@domain>`, the same without brackets, or `Postmaster`.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        whole(text, forward_path)
    }
}

impl FromStr for Domain {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        whole(text, domain)
    }
}

impl FromStr for DomainName {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text.parse()? {
            Domain::Name(name) => Ok(name),
            Domain::Literal(_) => Err(AddressError::Domain),
        }
    }
}

// ---- Printing ------------------------------------------------------------------------------------------------------

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
