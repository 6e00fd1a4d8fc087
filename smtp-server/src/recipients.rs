//! The mailboxes of a small host, from a file: one address or local part a line.

use std::collections::HashSet;
use std::fmt;

use smtp_proto::address::{AddressError, DomainName, LocalPart, Mailbox};

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
    pub reason: AddressError,
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
        let mut recipients = Recipients::default();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            recipients.insert(line).map_err(|reason| RecipientsError { line: number + 1, reason })?;
        }
        Ok(recipients)
    }

    fn insert(&mut self, line: &str) -> Result<(), AddressError> {
        if line.contains('@') {
            let mailbox: Mailbox = line.parse()?;
            let domain = mailbox.domain().to_string();
            self.addresses.insert((fold(mailbox.local_part().as_str()), fold(&domain)));
        } else {
            // A local part reads like the one of an address, quotes included.
            let mailbox: Mailbox = format!("{line}@localhost").parse()?;
            let local_part: &LocalPart = mailbox.local_part();
            self.local_parts.insert(fold(local_part.as_str()));
        }
        Ok(())
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
}
