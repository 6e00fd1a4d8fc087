//! Reads addresses: one function per rule of the grammar (RFC 5321, 4.1.2 and 4.1.3; RFC 6531, 3.3), over a cursor.
//!
//! Tolerated on receipt, never sent: missing angle brackets, and the dot that ends a fully qualified domain name.

use std::net::Ipv4Addr;
use std::str::FromStr;

use super::{
    AddressError, AddressLiteral, Domain, DomainName, ForwardPath, GeneralLiteral, LocalPart, Mailbox, ReversePath,
    is_atext, is_quotable, is_utf8_non_ascii,
};
use crate::cursor::Cursor;
use crate::limits;

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
fn domain(cursor: &mut Cursor<'_>) -> Result<Domain, AddressError> {
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
fn whole<T>(text: &str, rule: impl Fn(&mut Cursor<'_>) -> Result<T, AddressError>) -> Result<T, AddressError> {
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
