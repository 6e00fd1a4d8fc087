//! The lines a message collects on its way: `Received:` at every hop, `Return-Path:` at the last (RFC 5321, 4.4).

use std::fmt::{self, Write as _};
use std::net::IpAddr;

use crate::address::{AddressLiteral, Domain, ForwardPath, ReversePath};
use crate::command::HelloName;
use crate::date::Timestamp;

/// One `Received:` field. Printed with its CRLF, ready to stand on top of a message.
#[derive(Debug)]
pub struct Received<'a> {
    /// How the client named itself.
    pub hello: &'a HelloName,
    /// Where the connection really came from, if it came over a network.
    pub peer: Option<IpAddr>,
    /// The host that took the message over.
    pub by: &'a Domain,
    /// How it arrived.
    pub with: Protocol,
    /// The cipher suite under which it arrived, by its registered name (RFC 8314, 4.3). Anything in it but letters, digits
    /// and underscores is not printed.
    pub tls: Option<&'a str>,
    /// The name of the message at this host: letters, digits and hyphens. Anything else in it is not printed.
    pub id: &'a str,
    /// The recipient, if there was only one: more would tell each of the others (RFC 5321, 4.4 and 7.2).
    pub recipient: Option<&'a ForwardPath>,
    /// When it arrived.
    pub at: Timestamp,
}

/// The registered names for "how it arrived" (RFC 3848, RFC 6531, 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// After HELO, which has no name of its own for TLS.
    Smtp,
    /// After EHLO.
    Esmtp {
        /// Under TLS: an S behind the name.
        tls: bool,
        /// From a client that has proved who it is: an A behind that.
        auth: bool,
    },
    /// With SMTPUTF8.
    Utf8Smtp {
        /// Under TLS.
        tls: bool,
        /// From a client that has proved who it is.
        auth: bool,
    },
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Smtp => "SMTP",
            Protocol::Esmtp { tls: false, auth: false } => "ESMTP",
            Protocol::Esmtp { tls: false, auth: true } => "ESMTPA",
            Protocol::Esmtp { tls: true, auth: false } => "ESMTPS",
            Protocol::Esmtp { tls: true, auth: true } => "ESMTPSA",
            Protocol::Utf8Smtp { tls: false, auth: false } => "UTF8SMTP",
            Protocol::Utf8Smtp { tls: false, auth: true } => "UTF8SMTPA",
            Protocol::Utf8Smtp { tls: true, auth: false } => "UTF8SMTPS",
            Protocol::Utf8Smtp { tls: true, auth: true } => "UTF8SMTPSA",
        })
    }
}

impl fmt::Display for Received<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let literal = self.peer.map(AddressLiteral::from_ip);
        // RFC 5321, 4.4: the name the client gave, then what the connection says. A name that is no domain would break
        // the field's grammar, so the address stands for it.
        match (self.hello, &literal) {
            (HelloName::Domain(name), Some(literal)) => write!(f, "Received: from {name} ({literal})")?,
            (HelloName::Domain(name), None) => write!(f, "Received: from {name}")?,
            (HelloName::Other(_), Some(literal)) => write!(f, "Received: from {literal} ({literal})")?,
            (HelloName::Other(_), None) => f.write_str("Received: from unknown")?,
        }
        write!(f, "\r\n\tby {} with {} id ", self.by, self.with)?;
        write_only(f, self.id, |octet| octet.is_ascii_alphanumeric() || octet == b'-')?;
        // The bare postmaster is no path in the field's grammar; FOR may be left out.
        if let Some(mailbox) = self.recipient.and_then(ForwardPath::mailbox) {
            write!(f, "\r\n\tfor <{mailbox}>")?;
        }
        if let Some(suite) = self.tls {
            f.write_str("\r\n\ttls ")?;
            write_only(f, suite, |octet| octet.is_ascii_alphanumeric() || octet == b'_')?;
        }
        write!(f, ";\r\n\t{}\r\n", self.at)
    }
}

/// Prints what may stand in a text, which is nearly always all of it. `may_stand` says so of ASCII; nothing else may.
fn write_only(f: &mut fmt::Formatter<'_>, text: &str, may_stand: fn(u8) -> bool) -> fmt::Result {
    if text.bytes().all(may_stand) {
        return f.write_str(text);
    }
    text.bytes().filter(|octet| may_stand(*octet)).try_for_each(|octet| f.write_char(char::from(octet)))
}

/// The field that final delivery puts on top (RFC 5321, 4.4): what came with MAIL, for reports to come back to.
pub fn return_path(reverse_path: &ReversePath) -> String {
    format!("Return-Path: {reverse_path}\r\n")
}

/// Counts the `Received:` fields in a header section that passes by in pieces. A message that has collected very many is
/// going round in circles (RFC 5321, 6.3).
#[derive(Debug)]
pub struct HopCounter {
    hops: usize,
    position: Position,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// In the name of a field, which so far is this many octets of `received:`.
    Name(usize),
    /// In the rest of a line.
    Line,
    /// Behind the empty line.
    Body,
}

const NAME: &[u8] = b"received:";

impl Default for HopCounter {
    fn default() -> Self {
        HopCounter { hops: 0, position: Position::Name(0) }
    }
}

impl HopCounter {
    /// Looks at the next octets of the message, whose lines end in CRLF.
    pub fn handle(&mut self, mut octets: &[u8]) {
        while let (Some((&octet, rest)), false) = (octets.split_first(), self.position == Position::Body) {
            octets = rest;
            self.position = match self.position {
                Position::Name(0) if octet == b'\r' => Position::Body,
                // RFC 5322, 4.5: space before the colon is obsolete, and still a Received field.
                Position::Name(matched) if matched + 1 == NAME.len() && matches!(octet, b' ' | b'\t') => {
                    Position::Name(matched)
                }
                Position::Name(matched) if NAME.get(matched) == Some(&octet.to_ascii_lowercase()) => {
                    if matched + 1 == NAME.len() {
                        self.hops += 1;
                        Position::Line
                    } else {
                        Position::Name(matched + 1)
                    }
                }
                Position::Name(_) | Position::Line if octet == b'\n' => Position::Name(0),
                Position::Name(_) | Position::Line => {
                    let line_end = memchr::memchr(b'\n', octets);
                    octets = line_end.and_then(|end| octets.get(end + 1..)).unwrap_or_default();
                    if line_end.is_some() { Position::Name(0) } else { Position::Line }
                }
                Position::Body => Position::Body,
            };
        }
    }

    /// Fields seen so far.
    pub fn hops(&self) -> usize {
        self.hops
    }
}

#[cfg(test)]
mod tests;
