//! Where mail for a domain goes: the hosts and addresses that take it, in the order in which they are to be tried, or the
//! reason why there are none (RFC 5321, 5.1).
//!
//! The rules, in the order in which they are asked:
//!
//! 1. An address in brackets is the place itself.
//! 2. A domain that has no MX record takes its mail itself. One that has some never does.
//! 3. A single MX record of which the host is `.` means that the domain takes no mail (RFC 7505).
//! 4. Lower preference first; equals in random order.
//! 5. Whoever finds itself in the list goes no further: mail would come back to it.
//!
//! What DNS says comes from a [`Resolver`], chance from the caller; so a test decides both.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use smtp_proto::address::{AddressLiteral, Domain, DomainName};
use smtp_proto::reply::{Code, EnhancedCode};

use crate::connection::Target;
use crate::dns::{DnsError, Exchange, Mx, Name, NameError, Resolver, a_label};

/// How many hosts of a domain are tried. RFC 5321, 5.1 permits a limit and asks for two addresses at least.
pub const HOSTS: usize = 10;

/// How many addresses of one host are tried, so that one with very many does not keep us from the next.
pub const ADDRESSES_OF_HOST: usize = 8;

/// How many hosts are looked up: the best of a domain that publishes hundreds, most of which may not exist.
pub const HOSTS_LOOKED_UP: usize = 20;

/// Where mail for a domain goes. There is at least one host, and each has at least one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets {
    /// In the order in which they are to be tried.
    pub hosts: Vec<Host>,
}

/// A host that takes mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// What it is called in its MX record; the domain itself where there is none; else an address in brackets.
    pub name: String,
    /// That of the MX record, else 0.
    pub preference: u16,
    /// In the order in which they are to be tried.
    pub addresses: Vec<IpAddr>,
}

/// The names and addresses under which others find this host.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// In any spelling ([`a_label`]).
    pub names: Vec<DomainName>,
    /// The addresses at which it takes mail.
    pub addresses: Vec<IpAddr>,
}

/// Mail for a domain cannot go anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoTarget {
    /// The domain.
    pub domain: Domain,
    /// Why.
    pub cause: Cause,
}

/// Why mail for a domain cannot go anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The domain does not exist.
    NoSuchDomain,
    /// It says that it takes no mail (RFC 7505).
    NullMx,
    /// This host is the best that the domain names, and does not know what to do with its mail.
    Own,
    /// It names hosts, or itself, and none of them has an address.
    NoAddress,
    /// DNS could not tell, of the domain or of all its hosts.
    Dns(DnsError),
    /// An address of a kind that nobody knows (RFC 5321, 4.1.3).
    UnknownLiteral,
    /// The name is none that can be looked up.
    Name(NameError),
}

impl Own {
    fn has_name(&self, name: &Name) -> bool {
        self.names.iter().any(|own| a_label(own) == name.as_str())
    }

    fn has_one_of(&self, addresses: &[IpAddr]) -> bool {
        addresses.iter().any(|address| self.addresses.iter().any(|own| own.to_canonical() == address.to_canonical()))
    }
}

impl Targets {
    /// Looks up where mail for a domain goes. `random` gives any number: it decides among hosts of equal preference.
    pub fn find(
        domain: &Domain,
        resolver: &dyn Resolver,
        own: &Own,
        random: impl FnMut() -> u64,
        deadline: Instant,
    ) -> Result<Self, NoTarget> {
        let found = match domain {
            Domain::Literal(literal) => host_of_literal(literal, own).map(|host| vec![host]),
            Domain::Name(name) => hosts(name, resolver, own, random, deadline),
        };
        found.map(|hosts| Targets { hosts }).map_err(|cause| NoTarget { domain: domain.clone(), cause })
    }

    /// All addresses in their order, with this port. One that two hosts share stands there once.
    pub fn addresses(&self, port: u16) -> Vec<Target> {
        let pairs = self.hosts.iter().flat_map(|host| host.addresses.iter().map(move |address| (host, *address)));
        let mut targets: Vec<Target> = Vec::new();
        for (host, address) in pairs {
            let target = Target::from(SocketAddr::new(address, port));
            if targets.iter().any(|other| other.address == target.address) {
                continue;
            }
            // An address in brackets is a name to mail only.
            targets.push(if host.name.starts_with('[') {
                target
            } else {
                Target { name: host.name.clone(), ..target }
            });
        }
        targets
    }

    /// The host that has this address: with whom [`crate::Connection::open_any`] has come to talk.
    pub fn host_at(&self, address: IpAddr) -> Option<&Host> {
        self.hosts.iter().find(|host| host.addresses.contains(&address))
    }
}

fn host_of_literal(literal: &AddressLiteral, own: &Own) -> Result<Host, Cause> {
    let address = match literal {
        AddressLiteral::Ipv4(address) => IpAddr::V4(*address),
        AddressLiteral::Ipv6(address) => IpAddr::V6(*address),
        AddressLiteral::General(_) => return Err(Cause::UnknownLiteral),
    };
    let host = Host { name: literal.to_string(), preference: 0, addresses: vec![address] };
    if own.has_one_of(&host.addresses) { Err(Cause::Own) } else { Ok(host) }
}

fn hosts(
    domain: &DomainName,
    resolver: &dyn Resolver,
    own: &Own,
    random: impl FnMut() -> u64,
    deadline: Instant,
) -> Result<Vec<Host>, Cause> {
    let name = Name::try_from(domain).map_err(Cause::Name)?;
    let records = match resolver.mx(&name, deadline) {
        Ok(records) => records,
        // RFC 5321, 5.1: "the address is treated as if it was associated with an implicit MX RR, with a preference of
        // 0, pointing to that host". Only a server that says so counts: one that is silent may have MX records to tell.
        Err(DnsError::NoRecord) => vec![Mx { preference: 0, exchange: Exchange::Host(name) }],
        Err(DnsError::NoName) => return Err(Cause::NoSuchDomain),
        Err(error) => return Err(Cause::Dns(error)),
    };
    let candidates = candidates(records, own, random)?;
    let mut hosts: Vec<Host> = Vec::new();
    let mut doubt = None;
    for (preference, name) in candidates.into_iter().take(HOSTS_LOOKED_UP) {
        if hosts.len() == HOSTS {
            break;
        }
        match resolver.addresses(&name, deadline) {
            // Found by its address: the same rule as for its name.
            Ok(addresses) if own.has_one_of(&addresses) => {
                hosts.retain(|host| host.preference < preference);
                return if hosts.is_empty() { doubt.map_or(Err(Cause::Own), Err) } else { Ok(hosts) };
            }
            Ok(mut addresses) => {
                addresses.truncate(ADDRESSES_OF_HOST);
                hosts.push(Host { name: name.to_string(), preference, addresses });
            }
            Err(error) => {
                log::debug!("{name}, which takes mail for {domain}: {error}");
                doubt = doubt.or(error.is_transient().then_some(Cause::Dns(error)));
            }
        }
    }
    match doubt {
        _ if !hosts.is_empty() => Ok(hosts),
        Some(doubt) => Err(doubt),
        None => Err(Cause::NoAddress),
    }
}

/// What the MX records come to, best first. None of them is looked up here.
fn candidates(records: Vec<Mx>, own: &Own, mut random: impl FnMut() -> u64) -> Result<Vec<(u16, Name)>, Cause> {
    // RFC 7505, 3. Beside other records it says nothing, and is one that cannot be used.
    if let [Mx { exchange: Exchange::Null, .. }] = records.as_slice() {
        return Err(Cause::NullMx);
    }
    let names = records.into_iter().filter_map(|record| match record.exchange {
        Exchange::Host(name) => Some((record.preference, name)),
        Exchange::Null | Exchange::Unfit => None,
    });
    let mut names: Vec<(u16, Name)> = names.collect();
    // RFC 5321, 5.1: "the sender-SMTP MUST randomize them to spread the load".
    names.sort_by_cached_key(|(preference, _)| (*preference, random()));
    // "If a matching record is found, all records at that preference level and higher-numbered ones MUST be discarded".
    let own_preference = names.iter().find(|(_, name)| own.has_name(name)).map(|(preference, _)| *preference);
    if let Some(own_preference) = own_preference {
        names.retain(|(preference, _)| *preference < own_preference);
        if names.is_empty() {
            return Err(Cause::Own);
        }
    }
    // A host that is named twice is tried once, at its best place.
    let mut distinct: Vec<(u16, Name)> = Vec::new();
    for (preference, name) in names {
        if distinct.len() < HOSTS_LOOKED_UP && !distinct.iter().any(|(_, other)| *other == name) {
            distinct.push((preference, name));
        }
    }
    if distinct.is_empty() { Err(Cause::NoAddress) } else { Ok(distinct) }
}

impl NoTarget {
    /// Whether the same may work later.
    ///
    /// A domain whose hosts have no address is permanent: "if MX records are present, but none of them are usable, this
    /// situation MUST be reported as an error" (RFC 5321, 5.1), and so it is with the implicit one. As long as DNS
    /// could not tell of one of them, it is not.
    pub fn is_transient(&self) -> bool {
        matches!(&self.cause, Cause::Dns(error) if error.is_transient())
    }

    /// The reply code for whoever hands such a message in: 556 for a domain that takes none (RFC 7504).
    pub fn code(&self) -> Code {
        match self.cause {
            _ if self.is_transient() => Code::literal::<451>(),
            Cause::NullMx => Code::literal::<556>(),
            _ => Code::literal::<550>(),
        }
    }

    /// The status for replies and reports.
    pub fn enhanced(&self) -> EnhancedCode {
        let (subject, detail) = match self.cause {
            // Bad destination system address.
            Cause::NoSuchDomain | Cause::UnknownLiteral | Cause::Name(_) => (1, 2),
            // Recipient address has null MX.
            Cause::NullMx => (1, 10),
            // Routing loop detected.
            Cause::Own => (4, 6),
            // Unable to route.
            Cause::NoAddress => (4, 4),
            // Directory server failure.
            Cause::Dns(_) => (4, 3),
        };
        EnhancedCode::new(if self.is_transient() { 4 } else { 5 }, subject, detail)
    }
}

impl fmt::Display for NoTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.domain, self.cause)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::NoSuchDomain => f.write_str("there is no such domain"),
            Cause::NullMx => f.write_str("the domain takes no mail (null MX)"),
            Cause::Own => f.write_str("its mail exchanger is this host, which does not take mail for it"),
            Cause::NoAddress => f.write_str("no host that takes its mail has an address"),
            Cause::Dns(error) => error.fmt(f),
            Cause::UnknownLiteral => f.write_str("nobody knows this kind of address"),
            Cause::Name(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for NoTarget {}

#[cfg(test)]
mod tests;
