//! What may follow a path: the parameters of MAIL and RCPT (RFC 5321, 4.1.1.11 and the extensions that define them).
//!
//! Reading accepts every parameter we know of; whether it was offered is the session's question, since it depends on what
//! the server announced.

use std::fmt;

use crate::address::{Mailbox, ReversePath, is_utf8_non_ascii};
use crate::cursor::Cursor;
use crate::limits;
use crate::xtext::Xtext;

/// The parameters of one MAIL command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailParameters {
    /// `SIZE=`: the octets that the client is about to send (RFC 1870). A number beyond `u64` counts as the largest.
    pub size: Option<u64>,
    /// `BODY=`: what kind of octets the content holds (RFC 6152, RFC 3030).
    pub body: Option<Body>,
    /// `SMTPUTF8`: addresses or header hold UTF-8 (RFC 6531).
    pub smtputf8: bool,
    /// `RET=`: what a failure report gives back (RFC 3461, 4.3).
    pub ret: Option<Ret>,
    /// `ENVID=`: the sender's own name for this transaction (RFC 3461, 4.4).
    pub envid: Option<Xtext>,
    /// `AUTH=`: who submitted the message in the first place, or `<>` for "not known" (RFC 4954, 5).
    pub auth: Option<ReversePath>,
    /// `REQUIRETLS`: no host on the way passes the message on but under TLS, to another host that promises the same
    /// (RFC 8689).
    pub require_tls: bool,
}

/// The parameters of one RCPT command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RcptParameters {
    /// `NOTIFY=`: in which cases the sender wants a report (RFC 3461, 4.1).
    pub notify: Option<Notify>,
    /// `ORCPT=`: the recipient as the sender first wrote it (RFC 3461, 4.2).
    pub orcpt: Option<OriginalRecipient>,
}

/// The value of `BODY=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// `7BIT`
    SevenBit,
    /// `8BITMIME`
    EightBitMime,
    /// `BINARYMIME`
    BinaryMime,
}

/// The value of `RET=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ret {
    /// `FULL`: the whole message.
    Full,
    /// `HDRS`: the header section.
    Headers,
}

/// The value of `NOTIFY=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notify {
    /// `NEVER`, which stands alone (RFC 3461, 4.1).
    Never,
    /// Any of the three cases, at least one.
    On {
        /// `SUCCESS`
        success: bool,
        /// `FAILURE`
        failure: bool,
        /// `DELAY`
        delay: bool,
    },
}

/// The value of `ORCPT=`: an address and the kind of address it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginalRecipient {
    address_type: String,
    encoded: String,
}

/// Why parameters were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterError {
    /// Not `keyword` or `keyword=value`.
    Malformed,
    /// A keyword nobody defined for this command. RFC 5321, 4.1.1.11: 555.
    Unknown,
    /// A keyword given twice.
    Twice,
    /// A known keyword with a value it may not have; the keyword.
    Value(&'static str),
}

impl fmt::Display for ParameterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParameterError::Malformed => f.write_str("a parameter is neither KEYWORD nor KEYWORD=VALUE"),
            ParameterError::Unknown => f.write_str("a parameter is not known here"),
            ParameterError::Twice => f.write_str("a parameter is given twice"),
            ParameterError::Value(keyword) => write!(f, "the value of {keyword} is not valid"),
        }
    }
}

impl std::error::Error for ParameterError {}

impl OriginalRecipient {
    /// A recipient as whoever submits the message writes it: the very address of the RCPT command (RFC 3461, 4.2), as
    /// `rfc822;` or, beyond ASCII, as `utf-8;`. `None` if it is longer than the RFC allows.
    pub fn of(mailbox: &Mailbox) -> Option<Self> {
        if mailbox.is_ascii() { OriginalRecipient::rfc822(mailbox) } else { OriginalRecipient::utf8(mailbox) }
    }

    /// An Internet address as `rfc822;` (RFC 3461, 4.2). `None` if it is longer than the RFC allows or not ASCII.
    pub fn rfc822(mailbox: &Mailbox) -> Option<Self> {
        let encoded = Xtext::encode(&mailbox.to_string())?;
        OriginalRecipient::of_type("rfc822", encoded.as_str().to_owned())
    }

    /// RFC 6533, 3: `utf-8-addr-unitext`, in which `\x{5C}` stands for what a parameter cannot hold.
    fn utf8(mailbox: &Mailbox) -> Option<Self> {
        let is_plain = |character: char| is_value(character) && !matches!(character, '\\' | '+');
        OriginalRecipient::of_type("utf-8", embed(&mailbox.to_string(), is_plain))
    }

    fn of_type(address_type: &str, encoded: String) -> Option<Self> {
        let recipient = OriginalRecipient { address_type: address_type.to_owned(), encoded };
        (recipient.to_string().len() <= limits::ORCPT_OCTETS).then_some(recipient)
    }

    /// The kind of address: `rfc822`, `utf-8`, ...
    pub fn address_type(&self) -> &str {
        &self.address_type
    }

    /// The address. For `utf-8` this is the form that came over the wire (RFC 6533, 3), for others it is decoded.
    pub fn address(&self) -> String {
        Xtext::from_encoded(&self.encoded).map_or_else(|| self.encoded.clone(), |xtext| xtext.decode())
    }

    /// The address as a mailbox, if it is one of the Internet: `rfc822`, or `utf-8` in any of its forms (RFC 6533, 3).
    pub fn mailbox(&self) -> Option<Mailbox> {
        match self.address_type.to_ascii_lowercase().as_str() {
            "rfc822" => self.address().parse().ok(),
            "utf-8" => extract(&self.address())?.parse().ok(),
            _ => None,
        }
    }

    /// The form for a server that does not know SMTPUTF8: `\x{E9}` for a non-ASCII character (RFC 6533, 3). `None` if it
    /// is too long then.
    pub(crate) fn to_ascii(&self) -> Option<Self> {
        OriginalRecipient::of_type(&self.address_type, embed(&self.encoded, |character| character.is_ascii()))
    }

    fn parse(value: &str) -> Option<Self> {
        let (address_type, encoded) = value.split_once(';')?;
        let is_atom = |octet: u8| octet.is_ascii_alphanumeric() || b"-._".contains(&octet);
        if value.len() > limits::ORCPT_OCTETS || address_type.is_empty() || !address_type.bytes().all(is_atom) {
            return None;
        }
        // RFC 6533, 3: utf-8-addr-xtext and utf-8-addr-unitext stay within what a parameter value may hold.
        let is_valid = Xtext::from_encoded(encoded).is_some()
            || address_type.eq_ignore_ascii_case("utf-8") && encoded.chars().all(|c| c != '+' && is_value(c));
        (is_valid && !encoded.is_empty())
            .then(|| OriginalRecipient { address_type: address_type.to_owned(), encoded: encoded.to_owned() })
    }
}

/// RFC 6533, 3: `EmbeddedUnicodeChar` for every character that may not stand as it is.
pub(crate) fn embed(text: &str, may_stand: impl Fn(char) -> bool) -> String {
    let mut embedded = String::with_capacity(text.len());
    for character in text.chars() {
        if may_stand(character) {
            embedded.push(character);
        } else {
            embedded.push_str(&format!("\\x{{{:02X}}}", u32::from(character)));
        }
    }
    embedded
}

/// Undoes [`embed`]. `None` if something that begins like an `EmbeddedUnicodeChar` is none.
fn extract(embedded: &str) -> Option<String> {
    let mut pieces = embedded.split("\\x{");
    let mut text = pieces.next()?.to_owned();
    for piece in pieces {
        let (digits, rest) = piece.split_once('}')?;
        let is_number = (2..=6).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let character = u32::from_str_radix(digits, 16).ok().filter(|_| is_number).and_then(char::from_u32)?;
        text.push(character);
        text.push_str(rest);
    }
    Some(text)
}

impl Notify {
    fn is_on(self) -> bool {
        matches!(self, Notify::On { success, failure, delay } if success || failure || delay)
    }

    /// Reads the value: `NEVER`, or cases with commas between them.
    pub fn parse(value: &str) -> Option<Self> {
        if value.eq_ignore_ascii_case("NEVER") {
            return Some(Notify::Never);
        }
        let (mut success, mut failure, mut delay) = (false, false, false);
        for case in value.split(',') {
            let named = match case.to_ascii_uppercase().as_str() {
                "SUCCESS" => &mut success,
                "FAILURE" => &mut failure,
                "DELAY" => &mut delay,
                _ => return None,
            };
            *named = true;
        }
        Some(Notify::On { success, failure, delay })
    }
}

/// RFC 5321, 4.1.2 `esmtp-value`, with RFC 6531's non-ASCII characters.
fn is_value(character: char) -> bool {
    matches!(character, '!'..='<' | '>'..='~') || is_utf8_non_ascii(character)
}

/// Reads ` KEYWORD[=VALUE]` until the end of the line, and hands each one out.
fn each_parameter<'a>(
    cursor: &mut Cursor<'a>,
    mut take: impl FnMut(&str, Option<&'a str>) -> Result<(), ParameterError>,
) -> Result<(), ParameterError> {
    loop {
        let before = cursor.rest().len();
        cursor.skip_spaces();
        if cursor.is_at_end() {
            return Ok(());
        }
        let keyword = cursor.take_while(|character| character.is_ascii_alphanumeric() || character == '-');
        if cursor.rest().len() + keyword.len() == before || keyword.is_empty() || keyword.starts_with('-') {
            return Err(ParameterError::Malformed);
        }
        let value = if cursor.take_char('=') {
            let value = cursor.take_while(is_value);
            if value.is_empty() {
                return Err(ParameterError::Malformed);
            }
            Some(value)
        } else {
            None
        };
        take(&keyword.to_ascii_uppercase(), value)?;
    }
}

/// Sets a field once.
fn set<T>(field: &mut Option<T>, value: Option<T>, keyword: &'static str) -> Result<(), ParameterError> {
    if field.is_some() {
        return Err(ParameterError::Twice);
    }
    *field = Some(value.ok_or(ParameterError::Value(keyword))?);
    Ok(())
}

impl MailParameters {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, ParameterError> {
        let mut parameters = MailParameters::default();
        let (mut smtputf8, mut require_tls) = (None, None);
        each_parameter(cursor, |keyword, value| match keyword {
            "SIZE" => set(&mut parameters.size, value.and_then(parse_size), "SIZE"),
            "BODY" => set(&mut parameters.body, value.and_then(Body::parse), "BODY"),
            "SMTPUTF8" => set(&mut smtputf8, value.is_none().then_some(()), "SMTPUTF8"),
            "RET" => set(&mut parameters.ret, value.and_then(Ret::parse), "RET"),
            "ENVID" => {
                let envid = value.filter(|v| v.len() <= limits::ENVID_OCTETS).and_then(Xtext::from_encoded);
                set(&mut parameters.envid, envid, "ENVID")
            }
            "AUTH" => set(&mut parameters.auth, value.and_then(parse_auth), "AUTH"),
            "REQUIRETLS" => set(&mut require_tls, value.is_none().then_some(()), "REQUIRETLS"),
            _ => Err(ParameterError::Unknown),
        })?;
        parameters.smtputf8 = smtputf8.is_some();
        parameters.require_tls = require_tls.is_some();
        Ok(parameters)
    }
}

impl RcptParameters {
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, ParameterError> {
        let mut parameters = RcptParameters::default();
        each_parameter(cursor, |keyword, value| match keyword {
            "NOTIFY" => set(&mut parameters.notify, value.and_then(Notify::parse), "NOTIFY"),
            "ORCPT" => set(&mut parameters.orcpt, value.and_then(OriginalRecipient::parse), "ORCPT"),
            _ => Err(ParameterError::Unknown),
        })?;
        Ok(parameters)
    }
}

/// RFC 1870, 3: one to twenty digits.
fn parse_size(value: &str) -> Option<u64> {
    let is_number = (1..=20).contains(&value.len()) && value.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| value.parse().unwrap_or(u64::MAX))
}

/// RFC 4954, 5: `<>` or a mailbox in xtext.
fn parse_auth(value: &str) -> Option<ReversePath> {
    match Xtext::from_encoded(value)?.decode().as_str() {
        "<>" => Some(ReversePath::Null),
        mailbox => mailbox.parse().ok().map(ReversePath::Mailbox),
    }
}

impl Body {
    fn parse(value: &str) -> Option<Self> {
        match value.to_ascii_uppercase().as_str() {
            "7BIT" => Some(Body::SevenBit),
            "8BITMIME" => Some(Body::EightBitMime),
            "BINARYMIME" => Some(Body::BinaryMime),
            _ => None,
        }
    }
}

impl Ret {
    /// Reads the value: `FULL` or `HDRS`.
    pub fn parse(value: &str) -> Option<Self> {
        match value.to_ascii_uppercase().as_str() {
            "FULL" => Some(Ret::Full),
            "HDRS" => Some(Ret::Headers),
            _ => None,
        }
    }
}

impl fmt::Display for MailParameters {
    /// Each parameter with a space before it, ready to follow a path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(size) = self.size {
            write!(f, " SIZE={size}")?;
        }
        if let Some(body) = self.body {
            write!(f, " BODY={body}")?;
        }
        if self.smtputf8 {
            f.write_str(" SMTPUTF8")?;
        }
        if let Some(ret) = self.ret {
            write!(f, " RET={ret}")?;
        }
        // xtext may be empty, a parameter's value may not (RFC 5321, 4.1.2): an empty name is none.
        if let Some(envid) = self.envid.as_ref().filter(|envid| !envid.as_str().is_empty()) {
            write!(f, " ENVID={envid}")?;
        }
        match &self.auth {
            None => {}
            Some(ReversePath::Null) => f.write_str(" AUTH=<>")?,
            // A mailbox that xtext cannot carry is as good as unknown (RFC 4954, 5).
            Some(ReversePath::Mailbox(mailbox)) => match Xtext::encode(&mailbox.to_string()) {
                Some(mailbox) => write!(f, " AUTH={mailbox}")?,
                None => f.write_str(" AUTH=<>")?,
            },
        }
        if self.require_tls {
            f.write_str(" REQUIRETLS")?;
        }
        Ok(())
    }
}

impl fmt::Display for RcptParameters {
    /// Each parameter with a space before it, ready to follow a path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(notify) = self.notify {
            write!(f, " NOTIFY={notify}")?;
        }
        if let Some(orcpt) = &self.orcpt {
            write!(f, " ORCPT={orcpt}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Body::SevenBit => "7BIT",
            Body::EightBitMime => "8BITMIME",
            Body::BinaryMime => "BINARYMIME",
        })
    }
}

impl fmt::Display for Ret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ret::Full => "FULL",
            Ret::Headers => "HDRS",
        })
    }
}

impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A report in none of the cases is none at all.
        let (Notify::On { success, failure, delay }, true) = (*self, self.is_on()) else {
            return f.write_str("NEVER");
        };
        let cases = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")];
        let named: Vec<_> = cases.iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, name)| *name).collect();
        f.write_str(&named.join(","))
    }
}

impl fmt::Display for OriginalRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};{}", self.address_type, self.encoded)
    }
}
