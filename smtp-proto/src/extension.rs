//! What a server can do beyond the basics: the keywords of the EHLO reply (RFC 5321, 4.1.1.1).

mod limits;

use std::fmt;

use crate::reply::Reply;
pub use limits::Limits;

/// One keyword with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extension {
    /// `SIZE [octets]`: the largest message; no number or 0 means that no limit is fixed (RFC 1870).
    Size(Option<u64>),
    /// `PIPELINING` (RFC 2920).
    Pipelining,
    /// `8BITMIME` (RFC 6152).
    EightBitMime,
    /// `SMTPUTF8` (RFC 6531).
    SmtpUtf8,
    /// `ENHANCEDSTATUSCODES` (RFC 2034).
    EnhancedStatusCodes,
    /// `HELP` (RFC 5321).
    Help,
    /// `CHUNKING` (RFC 3030).
    Chunking,
    /// `LIMITS name=number...` (RFC 9422).
    Limits(Limits),
    /// `DSN` (RFC 3461).
    Dsn,
    /// `STARTTLS` (RFC 3207).
    StartTls,
    /// `AUTH mechanism...` (RFC 4954).
    Auth(Vec<String>),
    /// `REQUIRETLS` (RFC 8689).
    RequireTls,
    /// A keyword we have no use for, as it came.
    Other(String),
}

/// What one server announced, or what ours is about to announce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions(Vec<Extension>);

impl Extension {
    /// Reads one line of an EHLO reply. Keywords are compared without case (RFC 5321, 4.1.1.1).
    fn parse(line: &str) -> Self {
        let mut words = line.split_ascii_whitespace();
        let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
        match keyword.as_str() {
            // RFC 1870, 5; a number that is none cannot bind anybody.
            "SIZE" => Extension::Size(words.next().and_then(|size| size.parse().ok()).filter(|size| *size > 0)),
            "PIPELINING" => Extension::Pipelining,
            "8BITMIME" => Extension::EightBitMime,
            // RFC 6531, 3.1: arguments are ignored.
            "SMTPUTF8" => Extension::SmtpUtf8,
            "ENHANCEDSTATUSCODES" => Extension::EnhancedStatusCodes,
            "HELP" => Extension::Help,
            "CHUNKING" => Extension::Chunking,
            "LIMITS" => Extension::Limits(Limits::parse(words)),
            "DSN" => Extension::Dsn,
            "STARTTLS" => Extension::StartTls,
            "REQUIRETLS" => Extension::RequireTls,
            "AUTH" => Extension::Auth(words.map(str::to_ascii_uppercase).collect()),
            _ => Extension::Other(line.to_owned()),
        }
    }
}

impl Extensions {
    /// A list to announce.
    pub fn new(list: Vec<Extension>) -> Self {
        Extensions(list)
    }

    /// Reads the reply to EHLO: the first line greets, each other line is a keyword.
    pub fn from_reply(reply: &Reply) -> Self {
        Extensions(reply.lines().skip(1).map(Extension::parse).collect())
    }

    /// Whether a keyword without arguments is in the list.
    pub fn has(&self, extension: &Extension) -> bool {
        self.0.contains(extension)
    }

    /// Whether SIZE is offered, so that the parameter may be sent.
    pub fn has_size(&self) -> bool {
        self.0.iter().any(|extension| matches!(extension, Extension::Size(_)))
    }

    /// The largest message in octets, if the server fixed one.
    pub fn size_limit_octets(&self) -> Option<u64> {
        self.0.iter().find_map(|extension| match extension {
            Extension::Size(limit) => *limit,
            _ => None,
        })
    }

    /// How much one session may ask, as far as the server said.
    pub fn limits(&self) -> Limits {
        let limits = self.0.iter().find_map(|extension| match extension {
            Extension::Limits(limits) => Some(*limits),
            _ => None,
        });
        limits.unwrap_or_default()
    }

    /// The keywords in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = &Extension> {
        self.0.iter()
    }
}

impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Extension::Size(None) => f.write_str("SIZE"),
            Extension::Size(Some(limit)) => write!(f, "SIZE {limit}"),
            Extension::Pipelining => f.write_str("PIPELINING"),
            Extension::EightBitMime => f.write_str("8BITMIME"),
            Extension::SmtpUtf8 => f.write_str("SMTPUTF8"),
            Extension::EnhancedStatusCodes => f.write_str("ENHANCEDSTATUSCODES"),
            Extension::Help => f.write_str("HELP"),
            Extension::Chunking => f.write_str("CHUNKING"),
            Extension::Limits(limits) => limits.fmt(f),
            Extension::Dsn => f.write_str("DSN"),
            Extension::StartTls => f.write_str("STARTTLS"),
            Extension::Auth(mechanisms) => write!(f, "AUTH {}", mechanisms.join(" ")),
            Extension::RequireTls => f.write_str("REQUIRETLS"),
            Extension::Other(line) => f.write_str(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply_parser::ReplyParser;

    fn announced(lines: &[&str]) -> Extensions {
        let mut wire = String::from("250-mx.example greets you\r\n");
        for (number, line) in lines.iter().enumerate() {
            wire += &format!("250{}{line}\r\n", if number + 1 == lines.len() { ' ' } else { '-' });
        }
        let (_, reply) = ReplyParser::default().handle(wire.as_bytes()).unwrap();
        Extensions::from_reply(&reply.unwrap())
    }

    /// Row N107: keywords are matched without case; X132: arguments of SMTPUTF8 are ignored.
    #[test]
    fn keywords_without_case() {
        let extensions =
            announced(&["sIzE 1000", "pipelining", "SMTPUTF8 nonsense", "X-odd thing", "auth plain login"]);
        assert_eq!(extensions.size_limit_octets(), Some(1000));
        assert!(extensions.has(&Extension::Pipelining) && extensions.has(&Extension::SmtpUtf8));
        assert!(extensions.has(&Extension::Auth(vec!["PLAIN".into(), "LOGIN".into()])));
        assert!(!extensions.has(&Extension::EightBitMime));
        assert!(extensions.has(&Extension::Other("X-odd thing".into())));
    }

    /// Row X001.
    #[test]
    fn size_without_a_limit() {
        for line in ["SIZE", "SIZE 0", "SIZE lots"] {
            assert_eq!(announced(&[line]).size_limit_octets(), None, "{line}");
            assert!(announced(&[line]).has_size());
        }
    }

    /// Row X155.
    #[test]
    fn limits_that_nobody_announced_bind_nobody() {
        for line in ["HELP", "LIMITS", "LIMITS FUTURE=7"] {
            assert_eq!(announced(&[line]).limits(), Limits::default(), "{line}");
        }
        assert_eq!(announced(&["HELP", "limits RCPTMAX=7"]).limits().recipients, Some(7));
    }

    #[test]
    fn print_then_parse() {
        for line in ["SIZE 5", "SIZE", "PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "AUTH PLAIN", "LIMITS RCPTMAX=3"] {
            assert_eq!(Extension::parse(line).to_string(), line);
        }
    }
}
