//! The mailboxes of a small host, from a file: one address or local part a line.

use std::collections::HashSet;
use std::fmt;

use smtp_proto::address::{AddressError, Domain, DomainName, LocalPart, Mailbox};

/// Local parts that exist at every served domain, and whole addresses. Compared without case: to tell `Bob` from `bob`
/// helps nobody (RFC 5321, 2.4 leaves it to the host of the mailbox; on the way, case is kept).
#[derive(Clone, Debug, Default)]
pub struct Recipients {
    local_parts: HashSet<String>,
    addresses: HashSet<(String, String)>,
}

/// A line is no recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientsError {
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: RecipientsReason,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecipientsReason {
    /// It is no address.
    Address(AddressError),
    /// It is an address as it stands in a command, not as it stands in a list.
    AngleBrackets,
    /// The domain, of which this server takes no mail: the line would do nothing.
    NotServed(String),
}

impl From<AddressError> for RecipientsReason {
    fn from(error: AddressError) -> Self {
        RecipientsReason::Address(error)
    }
}

impl fmt::Display for RecipientsReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecipientsReason::Address(error) => write!(f, "{error}"),
            RecipientsReason::AngleBrackets => f.write_str("leave out the angle brackets"),
            RecipientsReason::NotServed(domain) => write!(f, "{domain} is not served here; add --domain"),
        }
    }
}

impl fmt::Display for RecipientsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for RecipientsError {}

impl Recipients {
    /// Reads the text of such a file. Empty lines and lines that begin with `#` say nothing.
    pub fn parse(text: &str) -> Result<Self, RecipientsError> {
        Recipients::read(text, |_| true)
    }

    /// The same for a host that takes mail for these domains: an address elsewhere is an error.
    pub fn parse_for(text: &str, domains: &[DomainName]) -> Result<Self, RecipientsError> {
        Recipients::read(text, |domain| {
            domain.name().is_some_and(|name| domains.iter().any(|served| served.is(name.as_str())))
        })
    }

    fn read(text: &str, is_served: impl Fn(&Domain) -> bool) -> Result<Self, RecipientsError> {
        let mut recipients = Recipients::default();
        for (number, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            recipients.insert(line, &is_served).map_err(|reason| RecipientsError { line: number + 1, reason })?;
        }
        Ok(recipients)
    }

    fn insert(&mut self, line: &str, is_served: impl Fn(&Domain) -> bool) -> Result<(), RecipientsReason> {
        if line.starts_with('<') && line.ends_with('>') {
            return Err(RecipientsReason::AngleBrackets);
        }
        if line.contains('@') {
            let mailbox: Mailbox = line.parse()?;
            let domain = mailbox.domain().to_string();
            if !is_served(mailbox.domain()) {
                return Err(RecipientsReason::NotServed(domain));
            }
            self.addresses.insert((fold(mailbox.local_part().as_str()), fold(&domain)));
        } else {
            // A local part reads like the one of an address, quotes included.
            let mailbox: Mailbox = format!("{line}@localhost").parse()?;
            let local_part: &LocalPart = mailbox.local_part();
            self.local_parts.insert(fold(local_part.as_str()));
        }
        Ok(())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.local_parts.len() + self.addresses.len()
    }

    /// Whether somebody of this name has a mailbox.
    pub fn contains(&self, local_part: &str, domain: &DomainName) -> bool {
        let local_part = fold(local_part);
        self.local_parts.contains(&local_part) || self.addresses.contains(&(local_part, fold(domain.as_str())))
    }
}

fn fold(text: &str) -> String {
    text.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lines() {
        let recipients = Recipients::parse("# who is here\n\n alice \r\n\"John Smith\"\nBob@Example.ORG\n").unwrap();
        let domain: DomainName = "example.org".parse().unwrap();
        for local_part in ["alice", "Alice", "john smith", "bob"] {
            assert!(recipients.contains(local_part, &domain), "{local_part}");
        }
        assert!(!recipients.contains("# who is here", &domain));
        assert!(!recipients.contains("bob", &"example.com".parse().unwrap()));
    }

    #[test]
    fn names_the_line_that_is_wrong() {
        for (text, line) in [("a\nb c\n", 2), ("@x\n", 1), ("a\n\nb@\n", 3), ("a@b@c\n", 1)] {
            assert_eq!(Recipients::parse(text).map(|_| ()).map_err(|error| error.line), Err(line), "{text:?}");
        }
    }

    #[test]
    fn an_address_that_would_do_nothing_is_refused() {
        let domains = ["example.org".parse().unwrap(), "localhost".parse().unwrap()];
        let said = |text: &str| Recipients::parse_for(text, &domains).map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(said("bob\nbob@EXAMPLE.org\nbob@localhost\n"), Ok(()));
        for (text, expected) in [
            ("bob\nbob@other.example\n", "line 2: other.example is not served here; add --domain"),
            ("bob@sub.example.org\n", "line 1: sub.example.org is not served here; add --domain"),
            ("<bob@localhost>\n", "line 1: leave out the angle brackets"),
            ("<bob>\n", "line 1: leave out the angle brackets"),
        ] {
            assert_eq!(said(text), Err(expected.to_owned()), "{text:?}");
        }
    }
}
