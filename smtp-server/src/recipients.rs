//! The mailboxes of a small host, from a file: one address or local part a line.

use std::collections::HashSet;
use std::fmt;

use smtp_client::dns::a_label;
use smtp_proto::address::{AddressError, Domain, DomainName, LocalPart, Mailbox};

use crate::addressing::LocalAddressing;
use crate::domain_key::domain_key;

/// Local parts that exist at every served domain, and whole addresses. Compared without case: to tell `Bob` from `bob`
/// helps nobody (RFC 5321, 2.4 leaves it to the host of the mailbox; on the way, case is kept).
#[derive(Clone, Debug, Default)]
pub struct Recipients {
    local_parts: HashSet<String>,
    addresses: HashSet<(String, String)>,
}

/// What a line says.
struct Entry {
    local_part: LocalPart,
    /// `None`: every served one.
    domain: Option<Domain>,
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
    /// It can be no mailbox of this server.
    NoMailbox,
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
            RecipientsReason::NoMailbox => f.write_str(
                "the local part can be no directory below --deliver maildir, being empty or too long; take the line out",
            ),
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
        Recipients::read(text, |_| true, |_| true)
    }

    /// The same for a host that has only the domains and the mailboxes which `addressing` permits: what is elsewhere, or can
    /// be no mailbox, is an error.
    pub fn parse_for(text: &str, addressing: &LocalAddressing) -> Result<Self, RecipientsError> {
        let is_served = |domain: &Domain| domain.name().is_some_and(|name| addressing.served(name).is_some());
        Recipients::read(text, is_served, |name| addressing.can_be_mailbox(name))
    }

    fn read(
        text: &str,
        is_served: impl Fn(&Domain) -> bool,
        can_be_mailbox: impl Fn(&LocalPart) -> bool,
    ) -> Result<Self, RecipientsError> {
        let mut recipients = Recipients::default();
        for (number, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let entry = Entry::read(line).and_then(|entry| match &entry.domain {
                Some(domain) if !is_served(domain) => Err(RecipientsReason::NotServed(domain.to_string())),
                _ if !can_be_mailbox(&entry.local_part) => Err(RecipientsReason::NoMailbox),
                _ => Ok(entry),
            });
            recipients.insert(&entry.map_err(|reason| RecipientsError { line: number + 1, reason })?);
        }
        Ok(recipients)
    }

    fn insert(&mut self, entry: &Entry) {
        let local_part = fold(entry.local_part.as_str());
        match &entry.domain {
            Some(domain) => self.addresses.insert((local_part, domain_key(domain))),
            None => self.local_parts.insert(local_part),
        };
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.local_parts.len() + self.addresses.len()
    }

    /// Whether somebody of this name has a mailbox.
    pub fn contains(&self, local_part: &str, domain: &DomainName) -> bool {
        let local_part = fold(local_part);
        self.local_parts.contains(&local_part) || self.addresses.contains(&(local_part, a_label(domain).into_owned()))
    }
}

impl Entry {
    fn read(line: &str) -> Result<Self, RecipientsReason> {
        if line.starts_with('<') && line.ends_with('>') {
            return Err(RecipientsReason::AngleBrackets);
        }
        if line.contains('@') {
            let mailbox: Mailbox = line.parse()?;
            return Ok(Entry { local_part: mailbox.local_part().clone(), domain: Some(mailbox.domain().clone()) });
        }
        // A local part reads like the one of an address, quotes included.
        let mailbox: Mailbox = format!("{line}@localhost").parse()?;
        Ok(Entry { local_part: mailbox.local_part().clone(), domain: None })
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
        let addressing = LocalAddressing::new(["example.org".parse().unwrap(), "localhost".parse().unwrap()]);
        let said = |text: &str| Recipients::parse_for(text, &addressing).map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(said("bob\nbob@EXAMPLE.org\nbob@localhost\n\"\"\n"), Ok(()));
        for (text, expected) in [
            ("bob\nbob@other.example\n", "line 2: other.example is not served here; add --domain"),
            ("bob@sub.example.org\n", "line 1: sub.example.org is not served here; add --domain"),
            ("<bob@localhost>\n", "line 1: leave out the angle brackets"),
            ("<bob>\n", "line 1: leave out the angle brackets"),
        ] {
            assert_eq!(said(text), Err(expected.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn who_can_be_no_directory_is_no_recipient_of_a_host_with_maildirs() {
        let addressing = LocalAddressing::new(["example.org".parse().unwrap()]).with_maildirs();
        let long = "\u{4e2d}".repeat(29);
        assert!(Recipients::parse_for("bob\nbob+x@example.org\n", &addressing).is_ok());
        for line in ["\"\"", "\"\"@example.org", &long, &format!("{long}+x")] {
            let error = Recipients::parse_for(&format!("bob\n{line}\n"), &addressing).unwrap_err();
            assert_eq!((error.line, error.reason), (2, RecipientsReason::NoMailbox), "{line}");
        }
    }
}
