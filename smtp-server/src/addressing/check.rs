//! Whether all aliases lead somewhere: what is said at the start need not be said to every sender.

use std::fmt;

use smtp_client::dns::a_label;
use smtp_proto::address::DomainName;

use super::{LocalAddressing, Outcome, Refusal};
use crate::aliases::{Alias, Name};

/// An alias with which a server should not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressingError {
    /// The line in the alias file on which the entry begins, from 1.
    pub line: usize,
    /// The name on the line.
    pub name: String,
    /// What is wrong with it.
    pub reason: AddressingReason,
}

/// What is wrong with an alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressingReason {
    /// A catch-all without a list of recipients: every local part has a mailbox then, and nothing is left to catch.
    NothingToCatch,
    /// Mail for this target ends there without having arrived.
    Target(String, Refusal),
    /// The whole cannot be expanded.
    Whole(Refusal),
}

impl LocalAddressing {
    /// Whether every alias leads to a destination with each of its targets. A name without a domain is right if it is so at
    /// one served domain at least.
    pub fn check(&self) -> Result<(), AddressingError> {
        self.aliases.entries().into_iter().try_for_each(|alias| self.check_alias(alias))
    }

    fn check_alias(&self, alias: &Alias) -> Result<(), AddressingError> {
        let is_at = |domain: &&DomainName| match alias.name() {
            Name::LocalPart(_) => true,
            Name::Mailbox(mailbox) => mailbox.domain().name().is_some_and(|name| a_label(domain) == a_label(name)),
            Name::CatchAll(name) => a_label(domain) == a_label(name),
        };
        if matches!(alias.name(), Name::CatchAll(_)) && self.recipients.is_none() {
            return Err(wrong(alias, AddressingReason::NothingToCatch));
        }
        let mut checked = self.domains.iter().filter(is_at).map(|domain| self.check_alias_at(alias, domain));
        let first = checked.next().unwrap_or(Ok(()));
        if first.is_err() && checked.any(|other| other.is_ok()) { Ok(()) } else { first }
    }

    fn check_alias_at(&self, alias: &Alias, domain: &DomainName) -> Result<(), AddressingError> {
        let steps = self.walk_alias(alias, domain).map_err(|refusal| wrong(alias, AddressingReason::Whole(refusal)))?;
        let refused = steps.into_iter().find_map(|step| match step.outcome {
            // The alias that names the target is at fault, and not the one that leads to it.
            Outcome::Refused(refusal) => {
                Some(wrong(step.named_by.unwrap_or(alias), AddressingReason::Target(step.address.to_string(), refusal)))
            }
            _ => None,
        });
        refused.map_or(Ok(()), Err)
    }
}

fn wrong(alias: &Alias, reason: AddressingReason) -> AddressingError {
    AddressingError { line: alias.line(), name: alias.name().to_string(), reason }
}

impl fmt::Display for AddressingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.name)?;
        match &self.reason {
            AddressingReason::NothingToCatch => {
                f.write_str(" catches nothing, since every local part has a mailbox; add --recipients")
            }
            AddressingReason::Target(target, refusal) => write!(f, " leads to {target}, {}", advice(*refusal)),
            AddressingReason::Whole(refusal) => write!(f, " leads {}", advice(*refusal)),
        }
    }
}

fn advice(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Unknown => "which is nobody here; add it to the recipients or mend the line",
        Refusal::Elsewhere | Refusal::NotRelayed => {
            "which is at a domain not served here, and nothing is relayed; see --relay"
        }
        Refusal::NoDirectory => {
            "which can be no directory below --deliver maildir, being empty or too long; name another mailbox"
        }
        Refusal::Odd => "which holds a route; name the mailbox itself",
        Refusal::Circle => "to itself and to nobody else; name a mailbox",
        Refusal::TooDeep => "which is an alias behind too many others; name its targets",
        Refusal::TooMany => "to more addresses than one may stand for; that is for a mailing list program",
    }
}

impl std::error::Error for AddressingError {}
