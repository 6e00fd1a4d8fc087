//! From one address to all the places where its mail goes: aliases, their targets, and those targets' targets.
//!
//! The nearest come first. Each alias is opened once and each place is taken once, so circles end by themselves; and there
//! are limits, since an alias of aliases of aliases grows as fast as one can write.

use std::collections::{HashSet, VecDeque};

use smtp_proto::address::{DomainName, ForwardPath};

use super::{LocalAddressing, LocalMailbox, Meaning, Refusal, is_postmaster};
use crate::aliases::Alias;
use crate::domain_key::domain_key;

/// Aliases that may stand between an address and a mailbox. More is a mistake, and nobody could follow it.
pub const MOST_DEPTH: usize = 32;

/// Addresses that one address may stand for, with those in between. Beyond, it is a mailing list.
pub const MOST_ADDRESSES: usize = 10_000;

/// What became of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expansion<'a> {
    /// What was looked at, in order; the address itself is the first. What is there a second time is left out.
    pub steps: Vec<Step<'a>>,
}

/// One address that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// As it came, or as it stands in the alias file: with its case, and with what stands behind the `+`.
    pub address: ForwardPath,
    /// The alias of which it is a target.
    pub named_by: Option<&'a Alias>,
    /// What it is.
    pub outcome: Outcome<'a>,
}

/// What an address turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// An alias; its targets are among the next steps.
    Alias(&'a Alias),
    /// A mailbox here.
    Mailbox(LocalMailbox),
    /// An address at another domain, to which the mail is sent on.
    Relay,
    /// The end of the way, and nobody there.
    Refused(Refusal),
}

impl<'a> Expansion<'a> {
    /// Whether the address stands for others. What that means for the reports that its sender wants is in RFC 3461,
    /// 5.2.7.2 if there is one end, and in 5.2.7.3 if there are several.
    pub fn is_alias(&self) -> bool {
        matches!(self.steps.first(), Some(Step { outcome: Outcome::Alias(_), .. }))
    }

    /// The places where mail goes, and those where it cannot go: each once, and at least one in all.
    pub fn ends(&self) -> impl Iterator<Item = &Step<'a>> {
        self.steps.iter().filter(|step| !matches!(step.outcome, Outcome::Alias(_)))
    }

    fn has_destination(&self) -> bool {
        self.steps.iter().any(Step::is_destination)
    }
}

impl<'a> Step<'a> {
    fn new(address: ForwardPath, named_by: Option<Opened<'a>>, outcome: Outcome<'a>) -> Self {
        Step { address, named_by: named_by.map(|by| by.alias), outcome }
    }

    /// Whether mail goes there.
    pub fn is_destination(&self) -> bool {
        matches!(self.outcome, Outcome::Mailbox(_) | Outcome::Relay)
    }
}

impl LocalAddressing {
    /// All the places where mail for this address goes. Whoever accepted the address knew why: one at another domain is
    /// relayed if this host relays at all.
    pub fn expand(&self, path: &ForwardPath) -> Expansion<'_> {
        let mut expansion = self.walk(path, usize::MAX);
        if let Some(mailbox) = self.postmaster(path).filter(|_| !expansion.has_destination()) {
            expansion.steps.retain(|step| matches!(step.outcome, Outcome::Alias(_)));
            let outcome = Outcome::Mailbox(mailbox);
            expansion.steps.push(Step { address: path.clone(), named_by: None, outcome });
        }
        expansion
    }

    /// Whether mail for an alias goes anywhere at all; if not, why.
    pub(super) fn leads_to_somebody(&self, path: &ForwardPath) -> Result<(), Refusal> {
        let expansion = self.walk(path, 1);
        if expansion.has_destination() || self.postmaster(path).is_some() {
            return Ok(());
        }
        let mut refusals = expansion.steps.iter().filter_map(|step| match step.outcome {
            Outcome::Refused(refusal) => Some(refusal),
            _ => None,
        });
        Err(refusals.next().unwrap_or(Refusal::Circle))
    }

    /// Mail for postmaster is to be accepted, whatever the alias file makes of it (RFC 5321, 4.5.1).
    fn postmaster(&self, path: &ForwardPath) -> Option<LocalMailbox> {
        match self.mailbox(path) {
            Meaning::Mailbox(mailbox) if is_postmaster(&mailbox.local_part) => Some(mailbox),
            _ => None,
        }
    }

    /// Goes on until there are so many destinations.
    fn walk(&self, path: &ForwardPath, enough: usize) -> Expansion<'_> {
        let mut walk = Walk::new(self);
        walk.waiting.push_back(Waiting { address: path.clone(), named_by: None, depth: 0 });
        let steps = walk.run(enough).unwrap_or_else(|refusal| {
            vec![Step { address: path.clone(), named_by: None, outcome: Outcome::Refused(refusal) }]
        });
        Expansion { steps }
    }

    /// The same for an alias that nobody has asked for, as it would be at this domain.
    pub(super) fn walk_alias<'a>(&'a self, alias: &'a Alias, domain: &'a DomainName) -> Result<Vec<Step<'a>>, Refusal> {
        let mut walk = Walk::new(self);
        walk.taken.insert(Place::Alias(alias.line(), domain));
        walk.open(alias, domain, 1)?;
        walk.run(usize::MAX)
    }
}

/// An expansion under way.
struct Walk<'a> {
    addressing: &'a LocalAddressing,
    waiting: VecDeque<Waiting<'a>>,
    /// Addresses that were named so far, looked at or not.
    named: usize,
    taken: HashSet<Place<'a>>,
    steps: Vec<Step<'a>>,
}

/// An address that was named and not looked at.
struct Waiting<'a> {
    address: ForwardPath,
    named_by: Option<Opened<'a>>,
    /// Aliases between it and the first address.
    depth: usize,
}

/// An alias, and the domain to which its targets belong.
#[derive(Clone, Copy)]
struct Opened<'a> {
    alias: &'a Alias,
    domain: &'a DomainName,
}

/// What is taken once.
#[derive(PartialEq, Eq, Hash)]
enum Place<'a> {
    /// By its line, at a domain.
    Alias(usize, &'a DomainName),
    Mailbox(LocalMailbox),
    Address(String),
}

impl<'a> Walk<'a> {
    fn new(addressing: &'a LocalAddressing) -> Self {
        Walk { addressing, waiting: VecDeque::new(), named: 0, taken: HashSet::new(), steps: Vec::new() }
    }

    /// Goes on until there are so many destinations, or no more addresses.
    fn run(mut self, enough: usize) -> Result<Vec<Step<'a>>, Refusal> {
        let mut destinations = 0;
        while destinations < enough
            && let Some(next) = self.waiting.pop_front()
        {
            destinations += usize::from(self.look_at(next)?);
        }
        let is_circle = self.steps.iter().all(|step| matches!(step.outcome, Outcome::Alias(_)));
        if is_circle { Err(Refusal::Circle) } else { Ok(self.steps) }
    }

    /// Whether one more destination was found.
    fn look_at(&mut self, next: Waiting<'a>) -> Result<bool, Refusal> {
        let Waiting { address, named_by, depth } = next;
        let (place, outcome) = match self.meaning(&address, named_by) {
            Meaning::Alias { .. } if depth == MOST_DEPTH => (here(&address), Outcome::Refused(Refusal::TooDeep)),
            Meaning::Alias { alias, domain } => {
                if self.taken.insert(Place::Alias(alias.line(), domain)) {
                    self.steps.push(Step::new(address, named_by, Outcome::Alias(alias)));
                    self.open(alias, domain, depth + 1)?;
                }
                return Ok(false);
            }
            Meaning::Mailbox(mailbox) => (Place::Mailbox(mailbox.clone()), Outcome::Mailbox(mailbox)),
            Meaning::Elsewhere if self.addressing.is_relaying => (elsewhere(&address), Outcome::Relay),
            Meaning::Elsewhere if named_by.is_some() => (elsewhere(&address), Outcome::Refused(Refusal::NotRelayed)),
            Meaning::Elsewhere => (elsewhere(&address), Outcome::Refused(Refusal::Elsewhere)),
            Meaning::Odd => (here(&address), Outcome::Refused(Refusal::Odd)),
            Meaning::NoDirectory => (here(&address), Outcome::Refused(Refusal::NoDirectory)),
            Meaning::Unknown => (here(&address), Outcome::Refused(Refusal::Unknown)),
        };
        if !self.taken.insert(place) {
            return Ok(false);
        }
        let step = Step::new(address, named_by, outcome);
        let is_destination = step.is_destination();
        self.steps.push(step);
        Ok(is_destination)
    }

    /// `bob: bob, bob@elsewhere`: a target that leads back to its own name is the mailbox of that name.
    fn meaning(&self, address: &ForwardPath, named_by: Option<Opened<'a>>) -> Meaning<'a> {
        let meaning = self.addressing.look_up(address);
        let is_own_name = match (&meaning, named_by) {
            (Meaning::Alias { alias, domain }, Some(by)) => alias.line() == by.alias.line() && *domain == by.domain,
            _ => false,
        };
        if is_own_name { self.addressing.mailbox(address) } else { meaning }
    }

    /// Lets the targets of an alias wait for their turn.
    fn open(&mut self, alias: &'a Alias, domain: &'a DomainName, depth: usize) -> Result<(), Refusal> {
        self.named += alias.targets().len();
        if self.named > MOST_ADDRESSES {
            return Err(Refusal::TooMany);
        }
        for target in alias.targets() {
            // A local part that fits behind no domain of this length is nobody's.
            let address = target.at(domain).map_err(|_| Refusal::Unknown)?;
            self.waiting.push_back(Waiting { address, named_by: Some(Opened { alias, domain }), depth });
        }
        Ok(())
    }
}

/// An address here, of which no more is known.
fn here(address: &ForwardPath) -> Place<'static> {
    Place::Address(address.to_string().to_ascii_lowercase())
}

/// An address elsewhere: its domain is the same in any case, its local part is not (RFC 5321, 2.4).
fn elsewhere(address: &ForwardPath) -> Place<'static> {
    Place::Address(match address {
        ForwardPath::Postmaster => address.to_string(),
        ForwardPath::Mailbox(mailbox) => {
            format!("<{}@{}>", mailbox.local_part(), domain_key(mailbox.domain()))
        }
    })
}
