//! What an address means on this host: the one place that knows, for whoever asks.
//!
//! The policy asks before it answers RCPT, the queue asks before it delivers, and `smtp-server explain` asks for a person;
//! so what is accepted is what can be delivered. For an address at a served domain, the first of these that is there:
//!
//! 1. the name in the alias file: the whole address, then the local part
//! 2. the mailbox in the list of recipients; postmaster has one always (RFC 5321, 4.5.1)
//! 3. for `bob+lists`, the same two for `bob`: what stands behind the `+` is its owner's affair
//! 4. without a list, the mailbox: every local part exists then
//! 5. the catch-all of the domain
//!
//! Domains are compared in one spelling, [`a_label`], wherever they come from: RCPT, the settings, a list, an alias. Names are
//! compared without case, and an address is passed on as it came (RFC 5321, 2.4).

mod check;
mod expansion;

use std::fmt;

use smtp_client::dns::a_label;
use smtp_proto::address::{DomainName, ForwardPath, LocalPart};
use smtp_proto::reply::Reply;

use crate::aliases::{Alias, Aliases};
use crate::maildir::can_be_directory;
use crate::recipients::Recipients;
use crate::replies;

pub use check::{AddressingError, AddressingReason};
pub use expansion::{Expansion, MOST_ADDRESSES, MOST_DEPTH, Outcome, Step};

/// Stands between a user and what the user makes of it: `bob+lists`.
pub const SEPARATOR: char = '+';

/// Domains, mailboxes and aliases of a host.
#[derive(Clone, Debug)]
pub struct LocalAddressing {
    /// Where the bare postmaster is: the first domain.
    home: DomainName,
    /// Where postmaster is the same as there.
    hostname: Option<DomainName>,
    domains: Vec<DomainName>,
    recipients: Option<Recipients>,
    aliases: Aliases,
    is_relaying: bool,
    is_in_maildirs: bool,
}

/// What one address is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning<'a> {
    /// Somebody's here.
    Mailbox(LocalMailbox),
    /// A name for others.
    Alias {
        /// Its entry.
        alias: &'a Alias,
        /// The served domain at which it was found, to which targets without a domain belong.
        domain: &'a DomainName,
    },
    /// At a domain that is not served here.
    Elsewhere,
    /// `a%b@here`, `b!a@here`, `"a@b"@here`: ways to make a host pass mail on to b, unless somebody is really called so.
    Odd,
    /// At a served domain, and nobody's.
    Unknown,
    /// The same, and it can be nobody's: mailboxes are directories here, and this name can be none ([`can_be_directory`]).
    NoDirectory,
}

/// Where mail ends that is delivered here. Equal for all forms of an address that mean the same mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LocalMailbox {
    /// In lower case and without what stood behind the `+`. Nothing is promised of its characters: it may be `../x`.
    pub local_part: LocalPart,
    /// As the settings have it.
    pub domain: DomainName,
}

/// Why mail for an address is not taken, or goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such mailbox at a served domain.
    Unknown,
    /// The domain is not served here.
    Elsewhere,
    /// The local part holds a route.
    Odd,
    /// The local part can be no directory.
    NoDirectory,
    /// An alias leads to another domain, and this host relays nothing.
    NotRelayed,
    /// An alias leads to nothing but itself.
    Circle,
    /// An alias of an alias, and so on, more than [`MOST_DEPTH`] times.
    TooDeep,
    /// An alias stands for more than [`MOST_ADDRESSES`].
    TooMany,
}

impl LocalAddressing {
    /// Every local part at these domains. The bare postmaster is the one at the first.
    pub fn new(domains: impl IntoIterator<Item = DomainName>) -> Self {
        let domains: Vec<DomainName> = domains.into_iter().collect();
        let home = domains.first().cloned().unwrap_or_else(DomainName::localhost);
        LocalAddressing {
            home,
            domains,
            recipients: None,
            aliases: Aliases::default(),
            is_relaying: false,
            is_in_maildirs: false,
            hostname: None,
        }
    }

    /// The name of this host, if it is none of the domains: postmaster has a mailbox there too, since our reports and our
    /// greeting name it (RFC 5321, 4.5.1).
    pub fn with_hostname(self, hostname: DomainName) -> Self {
        LocalAddressing { hostname: Some(hostname), ..self }
    }

    /// Only these mailboxes.
    pub fn with_recipients(self, recipients: Recipients) -> Self {
        LocalAddressing { recipients: Some(recipients), ..self }
    }

    /// And these names. [`LocalAddressing::check`] says whether all of them lead somewhere.
    pub fn with_aliases(self, aliases: Aliases) -> Self {
        LocalAddressing { aliases, ..self }
    }

    /// This host can send mail on, so aliases may lead to other domains. Who may send there without an alias is not a
    /// question of addresses; the policy knows.
    pub fn with_relaying(self) -> Self {
        LocalAddressing { is_relaying: true, ..self }
    }

    /// Mailboxes are directories ([`crate::maildir`]), so a local part that can be none has no mailbox. Whoever sends there is
    /// told so at RCPT, and not by a report to a sender that may be forged.
    pub fn with_maildirs(self) -> Self {
        LocalAddressing { is_in_maildirs: true, ..self }
    }

    /// The served domains, in the order in which they were given.
    pub fn domains(&self) -> &[DomainName] {
        &self.domains
    }

    /// The only mailboxes, if they are listed.
    pub fn recipients(&self) -> Option<&Recipients> {
        self.recipients.as_ref()
    }

    /// The names that stand for others.
    pub fn aliases(&self) -> &Aliases {
        &self.aliases
    }

    /// Whether mail can be sent on to other domains.
    pub fn is_relaying(&self) -> bool {
        self.is_relaying
    }

    /// What the address is.
    pub fn look_up(&self, path: &ForwardPath) -> Meaning<'_> {
        let Some((local_part, domain)) = self.at_served_domain(path) else { return Meaning::Elsewhere };
        let names = names(&local_part);
        for name in &names {
            if let Some(alias) = self.aliases.find(name, domain) {
                return Meaning::Alias { alias, domain };
            }
            if self.has_mailbox(name, domain) {
                return self.mailbox_of(name, domain);
            }
        }
        match self.without_entry(&local_part, &names, domain) {
            Meaning::Unknown => match self.aliases.catch_all(domain) {
                Some(alias) => Meaning::Alias { alias, domain },
                None => Meaning::Unknown,
            },
            meaning => meaning,
        }
    }

    /// What the address would be if there were no aliases.
    fn mailbox(&self, path: &ForwardPath) -> Meaning<'_> {
        let Some((local_part, domain)) = self.at_served_domain(path) else { return Meaning::Elsewhere };
        let names = names(&local_part);
        match names.iter().find(|name| self.has_mailbox(name, domain)) {
            Some(name) => self.mailbox_of(name, domain),
            None => self.without_entry(&local_part, &names, domain),
        }
    }

    /// What an address is that stands in no file.
    fn without_entry(&self, local_part: &LocalPart, names: &[LocalPart], domain: &DomainName) -> Meaning<'_> {
        if local_part.as_str().contains(['@', '%', '!']) {
            return Meaning::Odd;
        }
        match (&self.recipients, names.last()) {
            (None, Some(name)) => self.mailbox_of(name, domain),
            _ => Meaning::Unknown,
        }
    }

    /// The mailbox of somebody who has one, if there can be such a one.
    fn mailbox_of(&self, name: &LocalPart, domain: &DomainName) -> Meaning<'_> {
        match self.can_be_mailbox(name) {
            true => Meaning::Mailbox(LocalMailbox::new(name, domain)),
            false => Meaning::NoDirectory,
        }
    }

    /// Whether somebody of this name can have a mailbox here.
    pub fn can_be_mailbox(&self, name: &LocalPart) -> bool {
        !self.is_in_maildirs || can_be_directory(name)
    }

    /// Whether the mailbox is known by name.
    fn has_mailbox(&self, name: &LocalPart, domain: &DomainName) -> bool {
        let is_listed = |recipients: &Recipients| recipients.contains(name.as_str(), domain);
        is_postmaster(name) || self.recipients.as_ref().is_some_and(is_listed)
    }

    /// The parts of an address that is for this host to understand.
    fn at_served_domain(&self, path: &ForwardPath) -> Option<(LocalPart, &DomainName)> {
        match path {
            ForwardPath::Postmaster => Some((LocalPart::postmaster(), &self.home)),
            ForwardPath::Mailbox(mailbox) => {
                let name = mailbox.domain().name()?;
                let is_host = || self.hostname.as_ref().is_some_and(|hostname| a_label(hostname) == a_label(name));
                match self.served(name) {
                    Some(domain) => Some((mailbox.local_part().clone(), domain)),
                    None if is_postmaster(mailbox.local_part()) && is_host() => {
                        Some((LocalPart::postmaster(), &self.home))
                    }
                    None => None,
                }
            }
        }
    }

    /// The served domain of this name, in whichever of its spellings either is written.
    pub fn served(&self, name: &DomainName) -> Option<&DomainName> {
        let wanted = a_label(name);
        self.domains.iter().find(|served| a_label(served) == wanted)
    }

    /// Whether RCPT is answered with 250 by a host that relays for nobody. An alias is accepted if it leads to somebody,
    /// since whoever hears 550 now knows at once what a report would tell later; and postmaster always is.
    pub fn accepts(&self, path: &ForwardPath) -> Result<(), Refusal> {
        match self.look_up(path) {
            Meaning::Mailbox(_) => Ok(()),
            Meaning::Elsewhere => Err(Refusal::Elsewhere),
            Meaning::Odd => Err(Refusal::Odd),
            Meaning::Unknown => Err(Refusal::Unknown),
            Meaning::NoDirectory => Err(Refusal::NoDirectory),
            Meaning::Alias { .. } => self.leads_to_somebody(path),
        }
    }
}

/// The names under which an address is looked for: `bob+lists`, then `bob`. A local part that looks like a route has only
/// itself, so that nothing can be hidden behind a `+`.
fn names(local_part: &LocalPart) -> Vec<LocalPart> {
    let mut names = vec![local_part.clone()];
    names.extend(local_part.before(SEPARATOR).filter(|_| !local_part.as_str().contains(['@', '%', '!'])));
    names
}

pub(crate) fn is_postmaster(name: &LocalPart) -> bool {
    name.as_str().eq_ignore_ascii_case(LocalPart::postmaster().as_str())
}

impl LocalMailbox {
    fn new(local_part: &LocalPart, domain: &DomainName) -> Self {
        LocalMailbox { local_part: local_part.folded(), domain: domain.clone() }
    }
}

impl fmt::Display for LocalMailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local_part, self.domain)
    }
}

impl Refusal {
    /// The reply, with the enhanced code for a report. What is wrong with our own aliases is our fault, hence temporary.
    pub fn reply(self) -> Reply {
        match self {
            Refusal::Unknown => replies::unknown_recipient(),
            Refusal::Elsewhere => replies::relaying_refused(),
            Refusal::Odd => replies::odd_local_part(),
            Refusal::NoDirectory => replies::no_directory(),
            Refusal::NotRelayed => replies::alias_not_relayed(),
            Refusal::Circle | Refusal::TooDeep | Refusal::TooMany => replies::alias_not_expanded(),
        }
    }
}

#[cfg(test)]
mod tests;
