//! What DNS says about a domain: its mail exchangers, and the addresses of a host.
//!
//! [`Resolver`] is the question; who asks it does not know whether a [`SystemResolver`] or a [`Table`] answers. The
//! rules of mail (which exchanger first, what it means that there is none) are not here but in [`crate::mx`].
//!
//! The files, in the order in which a question passes through them: a [`name`] that is fit for DNS, the [`settings`]
//! that say whom to ask, the `system` resolver with its cache, the `exchange` of octets with one server, and the
//! `message` that they are.

pub mod name;
pub mod settings;
mod system;
mod cache;
mod exchange;
mod message;
mod table;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::Instant;

pub use name::{Name, NameError, a_label};
pub use settings::Settings;
pub use system::SystemResolver;
pub use table::Table;

/// How many CNAME records one name may lead through. RFC 1034, 3.6.2 has no number; honest zones need two or three.
pub const CHAIN_LENGTH: usize = 8;

/// Who answers questions about domains.
///
/// Names are complete: no answer may come from a search list, or from any other way to complete a partial name
/// (RFC 5321, 5.1). CNAME records are followed. Answers come until the deadline or not at all.
pub trait Resolver: Send + Sync {
    /// The MX records of a domain, in any order, at least one.
    fn mx(&self, name: &Name, deadline: Instant) -> Result<Vec<Mx>, DnsError>;

    /// The addresses of a host, of both families, in the order in which they are to be tried, at least one.
    fn addresses(&self, name: &Name, deadline: Instant) -> Result<Vec<IpAddr>, DnsError>;
}

/// An MX record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mx {
    /// The lower, the better.
    pub preference: u16,
    /// Who takes the mail.
    pub exchange: Exchange,
}

/// What an MX record names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// A host.
    Host(Name),
    /// The root, `.`: nobody (RFC 7505).
    Null,
    /// Octets that are no host's name. The record counts as one that cannot be used.
    Unfit,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsError {
    /// NXDOMAIN: the name does not exist, with any type of record.
    NoName,
    /// The name exists, and has no record of this type.
    NoRecord,
    /// CNAME records lead through too many names, or in a circle.
    ChainTooLong,
    /// Nobody could tell.
    Trouble(Trouble),
}

/// Why nobody could tell. The last of several servers and tries decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No answer within time.
    Timeout,
    /// SERVFAIL: the server could not find out.
    ServerFailure,
    /// The server does not answer such a question, or not for us.
    Refused,
    /// The answer cannot be read.
    Malformed,
    /// The server cannot be reached.
    Network(io::ErrorKind),
}

impl DnsError {
    /// Whether the same question may have an answer later. A circle of CNAME records may not, but most servers call it
    /// SERVFAIL, and what becomes of a message should not depend on which server was asked.
    pub fn is_transient(&self) -> bool {
        matches!(self, DnsError::Trouble(_) | DnsError::ChainTooLong)
    }
}

impl fmt::Display for DnsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DnsError::NoName => f.write_str("there is no such name"),
            DnsError::NoRecord => f.write_str("the name has no such record"),
            DnsError::ChainTooLong => write!(f, "more than {CHAIN_LENGTH} CNAME records, or a circle of them"),
            DnsError::Trouble(trouble) => trouble.fmt(f),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Timeout => f.write_str("no DNS server answered in time"),
            Trouble::ServerFailure => f.write_str("the DNS server could not find out (SERVFAIL)"),
            Trouble::Refused => f.write_str("the DNS server does not answer this question"),
            Trouble::Malformed => f.write_str("the DNS server's answer cannot be read"),
            Trouble::Network(kind) => write!(f, "the DNS server cannot be reached: {kind}"),
        }
    }
}

impl std::error::Error for DnsError {}

impl fmt::Display for Mx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.exchange {
            Exchange::Host(name) => write!(f, "{} {name}", self.preference),
            Exchange::Null => write!(f, "{} .", self.preference),
            Exchange::Unfit => write!(f, "{} (no name)", self.preference),
        }
    }
}
