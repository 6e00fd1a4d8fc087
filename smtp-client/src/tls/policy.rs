//! How mail is to be protected on its way, destination by destination.
//!
//! What a host knows of a destination may come from its own settings ([`TlsPolicyTable`]). This is also the place for what
//! destinations say themselves, in signed DNS (DANE, RFC 7672) or by a web server (MTA-STS, RFC 8461): whoever asks for that
//! is a [`TlsPolicies`] too.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use smtp_proto::address::{AddressLiteral, Domain, DomainName};
use smtp_proto::printable::Printable;

use super::{TlsMode, TlsOptions};
use crate::dns::a_label;

/// Who knows how mail for a destination is to be protected. Asked before each connection, so an answer may change.
pub trait TlsPolicies: Send + Sync {
    /// For the mail exchangers of a domain, or for the one server that takes all mail, by the name under which we know it.
    fn policy_for(&self, destination: &str) -> TlsOptions;
}

/// The same for everybody.
impl TlsPolicies for TlsOptions {
    fn policy_for(&self, _: &str) -> TlsOptions {
        self.clone()
    }
}

/// A list of destinations with a mode for each.
///
/// ```text
/// # Partners with whom we have agreed on it, and all their subdomains
/// example.org      require
/// .example.org     require
/// old.example.net  none
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsPolicyTable {
    /// By the name in ASCII and lower case; a dot in front stands for all that is below.
    modes: HashMap<String, TlsMode>,
}

/// A line is no policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPolicyError {
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong with it, and what to do.
    pub reason: String,
}

impl fmt::Display for TlsPolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for TlsPolicyError {}

impl TlsPolicyTable {
    /// Reads a list. Empty lines and those that begin with `#` say nothing.
    pub fn parse(text: &str) -> Result<Self, TlsPolicyError> {
        let mut table = TlsPolicyTable::default();
        for (number, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                let added = table.add(line);
                added.map_err(|reason| TlsPolicyError { line: number + 1, reason })?;
            }
        }
        Ok(table)
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [destination, mode] = words.as_slice() else {
            return Err("write a domain and try, require or none".to_owned());
        };
        let mode = match mode.parse() {
            Ok(mode @ (TlsMode::None | TlsMode::Try | TlsMode::Require)) => mode,
            _ => return Err(format!("\"{}\": write try, require or none", Printable(mode))),
        };
        let (dot, name) = match destination.strip_prefix('.') {
            Some(name) => (".", name),
            None => ("", *destination),
        };
        let name = canonical(name).filter(|name| dot.is_empty() || !name.starts_with('['));
        let name = name.ok_or_else(|| format!("\"{}\" is no domain", Printable(destination)))?;
        match self.modes.insert(format!("{dot}{name}"), mode) {
            None => Ok(()),
            Some(_) => Err(format!("{} is named twice", Printable(destination))),
        }
    }

    /// What the list says of a destination: what it says of itself, else of the nearest domain above it.
    pub fn mode_for(&self, destination: &str) -> Option<TlsMode> {
        let name = canonical(destination)?;
        let exact = self.modes.get(&name).copied();
        let places = name.match_indices('.').map(|(place, _)| place);
        exact.or_else(|| places.filter_map(|place| name.get(place..)).find_map(|above| self.modes.get(above).copied()))
    }

    /// How many destinations are in it.
    pub fn count(&self) -> usize {
        self.modes.len()
    }
}

/// In its one spelling. An address is in brackets, whether it was a domain (`[IPv6:2001:db8::1]`) or the name of a server
/// (`2001:db8::1`, and `[2001:db8::1]` where a port may follow).
fn canonical(destination: &str) -> Option<String> {
    let inner = destination.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Ok(address) = inner.unwrap_or(destination).parse::<IpAddr>() {
        return Some(format!("[{}]", address.to_canonical()));
    }
    if destination.starts_with('[') {
        return match destination.parse().ok()? {
            Domain::Literal(AddressLiteral::Ipv6(address)) => Some(format!("[{}]", IpAddr::V6(address).to_canonical())),
            domain => Some(domain.to_string().to_ascii_lowercase()),
        };
    }
    let name: DomainName = destination.strip_suffix('.').unwrap_or(destination).parse().ok()?;
    Some(a_label(&name).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_line_counts() {
        let text =
            "# partners\n\nExample.org  require\n.example.org\ttry\n.mail.example.org none\nbücher.example none\n";
        let table = TlsPolicyTable::parse(text).unwrap();
        assert_eq!(table.count(), 4);
        for (destination, mode) in [
            ("example.ORG", Some(TlsMode::Require)),
            ("example.org.", Some(TlsMode::Require)),
            ("a.example.org", Some(TlsMode::Try)),
            ("mail.example.org", Some(TlsMode::Try)),
            ("a.b.mail.example.org", Some(TlsMode::None)),
            ("badexample.org", None),
            ("org", None),
            ("xn--bcher-kva.example", Some(TlsMode::None)),
            ("BÜCHER.example", Some(TlsMode::None)),
            ("[192.0.2.1]", None),
            ("", None),
        ] {
            assert_eq!(table.mode_for(destination), mode, "{destination}");
        }
    }

    /// As a domain is written in an address, and as a server is written that takes all mail: a line that meets none of them
    /// would leave in clear what it says must not be.
    #[test]
    fn addresses_in_every_spelling() {
        for (line, destinations) in [
            ("[192.0.2.1]", &["[192.0.2.1]", "192.0.2.1"][..]),
            ("192.0.2.1", &["[192.0.2.1]", "192.0.2.1"]),
            ("[2001:DB8::1]", &["[IPv6:2001:db8::1]", "2001:db8::1", "2001:db8:0:0::1"]),
            ("[IPv6:2001:db8:0:0:0:0:0:1]", &["[IPv6:2001:db8::1]", "2001:db8::1"]),
            ("2001:db8::1", &["[IPv6:2001:db8::1]", "2001:db8::1"]),
        ] {
            let table = TlsPolicyTable::parse(&format!("{line} require")).unwrap();
            for destination in destinations {
                assert_eq!(table.mode_for(destination), Some(TlsMode::Require), "{line} {destination}");
            }
            assert_eq!(table.mode_for("[192.0.2.11]").or(table.mode_for("2001:db8::11")), None);
        }
    }

    #[test]
    fn lines_that_are_none() {
        for (line, words) in [
            ("example.org", "write a domain and try, require or none"),
            ("example.org require now", "write a domain and try, require or none"),
            ("example.org must", "\"must\": write try, require or none"),
            ("example.org implicit", "\"implicit\": write try, require or none"),
            ("exam_ple!.org require", "is no domain"),
            ("[192.0.2.1 require", "is no domain"),
            ("[192.0.2.256] require", "is no domain"),
            (".[192.0.2.1] require", "is no domain"),
            ("[192.0.2.1] try\n192.0.2.1 none", "192.0.2.1 is named twice"),
            ("a.example try\nA.example none", "A.example is named twice"),
        ] {
            let error = TlsPolicyTable::parse(&format!("# x\n{line}\n")).unwrap_err();
            assert_eq!(error.line, 1 + line.lines().count());
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
