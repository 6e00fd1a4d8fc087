//! The alias file of a host, in the form of aliases(5): names, and the addresses that take their place (RFC 5321, 3.9.1).
//!
//! ```text
//! # who reads what
//! postmaster: alice
//! sales: alice, bob@example.net,
//!     "John Smith"
//! info@example.org: sales
//! @example.org: alice
//! ```
//!
//! A name without a domain is one at every served domain, and a target without a domain belongs to the domain at which the
//! name was found. `@example.org` catches what has no mailbox and no other name there. Names are compared without case, as
//! mailboxes are. Targets are addresses and nothing else: a file of this host that could name programs or files would let
//! whoever may write it act as the server.

mod error;
mod reader;

use std::collections::HashMap;
use std::fmt;

use smtp_client::dns::a_label;
use smtp_proto::address::{AddressError, Domain, DomainName, ForwardPath, LocalPart, Mailbox};

use crate::domain_key::domain_key;
pub use error::{AliasesError, AliasesReason};

/// Octets of an alias file. Some 400,000 names, which is more than a host of this kind has.
pub const MOST_OCTETS: usize = 16 << 20;

/// Targets of one name: as many as one message may have recipients. Who needs more makes several names and one of those.
pub const MOST_TARGETS: usize = 1_000;

/// All names of an alias file.
#[derive(Clone, Debug, Default)]
pub struct Aliases {
    addresses: HashMap<(String, String), Alias>,
    local_parts: HashMap<String, Alias>,
    catch_alls: HashMap<String, Alias>,
}

/// A name and what takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    name: Name,
    line: usize,
    targets: Vec<Target>,
}

/// What an entry is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// `sales`, at every served domain.
    LocalPart(LocalPart),
    /// `sales@example.org`
    Mailbox(Mailbox),
    /// `@example.org`: whatever else there is none for at this domain.
    CatchAll(DomainName),
}

/// Where an entry leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `bob`, at the domain at which the name was found.
    LocalPart(LocalPart),
    /// `bob@example.net`
    Mailbox(Mailbox),
}

impl Aliases {
    /// Reads the text of such a file.
    pub fn parse(text: &str) -> Result<Self, AliasesError> {
        Aliases::read(text, |_| true)
    }

    /// The same for a host that takes mail for these domains: a name elsewhere would do nothing and is an error.
    pub fn parse_for(text: &str, domains: &[DomainName]) -> Result<Self, AliasesError> {
        Aliases::read(text, |domain| {
            domain.name().is_some_and(|name| domains.iter().any(|served| a_label(served) == a_label(name)))
        })
    }

    fn read(text: &str, is_served: impl Fn(&Domain) -> bool) -> Result<Self, AliasesError> {
        let mut aliases = Aliases::default();
        for alias in reader::read(text)? {
            let line = alias.line;
            let domain = match &alias.name {
                Name::LocalPart(_) => None,
                Name::Mailbox(mailbox) => Some(mailbox.domain().clone()),
                Name::CatchAll(domain) => Some(Domain::Name(domain.clone())),
            };
            if let Some(domain) = domain.filter(|domain| !is_served(domain)) {
                return Err(AliasesError { line, reason: AliasesReason::NotServed(domain.to_string()) });
            }
            if let Some(first) = aliases.insert(alias) {
                return Err(AliasesError { line, reason: AliasesReason::Duplicate { first_line: first.line } });
            }
        }
        Ok(aliases)
    }

    /// What had the name before, if anything had.
    fn insert(&mut self, alias: Alias) -> Option<Alias> {
        match &alias.name {
            Name::LocalPart(local_part) => self.local_parts.insert(fold(local_part.as_str()), alias),
            Name::Mailbox(mailbox) => {
                let key = (fold(mailbox.local_part().as_str()), domain_key(mailbox.domain()));
                self.addresses.insert(key, alias)
            }
            Name::CatchAll(domain) => self.catch_alls.insert(a_label(domain).into_owned(), alias),
        }
    }

    /// The entry of this name: the one for the whole address goes before the one for the local part.
    pub fn find(&self, local_part: &LocalPart, domain: &DomainName) -> Option<&Alias> {
        let key = (fold(local_part.as_str()), a_label(domain).into_owned());
        self.addresses.get(&key).or_else(|| self.local_parts.get(&key.0))
    }

    /// The entry for what has no other at this domain.
    pub fn catch_all(&self, domain: &DomainName) -> Option<&Alias> {
        self.catch_alls.get(a_label(domain).as_ref())
    }

    /// How many entries there are.
    pub fn count(&self) -> usize {
        self.addresses.len() + self.local_parts.len() + self.catch_alls.len()
    }

    /// All entries, in the order of the file.
    pub fn entries(&self) -> Vec<&Alias> {
        let mut entries: Vec<_> =
            self.addresses.values().chain(self.local_parts.values()).chain(self.catch_alls.values()).collect();
        entries.sort_by_key(|alias| alias.line);
        entries
    }
}

impl Alias {
    /// What the entry is for, as it is written.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The line on which the entry begins, from 1. No other entry has it.
    pub fn line(&self) -> usize {
        self.line
    }

    /// Where it leads; at least one, at most [`MOST_TARGETS`].
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }
}

impl Target {
    /// The address, for a name that was found at this domain. Fails only if it would be longer than a path may be.
    pub fn at(&self, domain: &DomainName) -> Result<ForwardPath, AddressError> {
        match self {
            Target::LocalPart(local_part) => {
                Mailbox::new(local_part.clone(), Domain::Name(domain.clone())).map(ForwardPath::Mailbox)
            }
            Target::Mailbox(mailbox) => Ok(ForwardPath::Mailbox(mailbox.clone())),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::LocalPart(local_part) => local_part.fmt(f),
            Name::Mailbox(mailbox) => mailbox.fmt(f),
            Name::CatchAll(domain) => write!(f, "@{domain}"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::LocalPart(local_part) => local_part.fmt(f),
            Target::Mailbox(mailbox) => mailbox.fmt(f),
        }
    }
}

fn fold(text: &str) -> String {
    text.to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
