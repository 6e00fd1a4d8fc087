//! The resolver of a host: asks the recursive servers of its settings, follows CNAME records, remembers.
//!
//! A stub: it leaves the way from the root to the domain to the servers, and believes them. Who cannot trust the
//! network between itself and its server runs one on its own host.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::cache::Cache;
use super::exchange::ask;
use super::message::{Answer, Kind, Question, Record, Reply};
use super::{CHAIN_LENGTH, DnsError, Mx, Name, Resolver, Settings, Trouble};
use crate::wire::later;

/// Asks DNS servers. One for all threads.
#[derive(Debug)]
pub struct SystemResolver {
    settings: Settings,
    cache: Cache,
    /// The place of the server that answered last: a dead one costs its timeout once, and not with every question.
    first: AtomicUsize,
}

impl SystemResolver {
    /// A resolver that has not asked anything yet.
    pub fn new(settings: Settings) -> Self {
        SystemResolver { settings, cache: Cache::default(), first: AtomicUsize::new(0) }
    }

    /// The records of a name, or of the name that it is an alias of.
    fn records(&self, name: &Name, kind: Kind, deadline: Instant) -> Result<Vec<Record>, DnsError> {
        let mut question = Question { name: name.clone(), kind };
        let mut aliases = 0;
        loop {
            let reply = self.reply(&question, deadline)?;
            aliases += reply.aliases;
            if aliases > CHAIN_LENGTH {
                return Err(DnsError::ChainTooLong);
            }
            match reply.answer {
                Answer::Records(records) => return Ok(records),
                // RFC 5321, 5.1: "the resulting name is processed as if it were the initial name".
                Answer::Alias(name) => question.name = name,
                Answer::NoRecord => return Err(DnsError::NoRecord),
                Answer::NoName => return Err(DnsError::NoName),
            }
        }
    }

    fn reply(&self, question: &Question, deadline: Instant) -> Result<Reply, DnsError> {
        if let Some(reply) = self.cache.get(question, Instant::now()) {
            return Ok(reply);
        }
        let reply = self.ask_servers(question, deadline).map_err(DnsError::Trouble)?;
        self.cache.put(question.clone(), &reply, Instant::now());
        Ok(reply)
    }

    /// Round after round, each server in turn, until one answers.
    fn ask_servers(&self, question: &Question, deadline: Instant) -> Result<Reply, Trouble> {
        let mut last = Trouble::Timeout;
        for _ in 0..self.settings.attempts {
            let first = self.first.load(Ordering::Relaxed);
            let places = 0..self.settings.servers.len();
            for place in places.clone().cycle().skip(first).take(places.len()) {
                let Some(&server) = self.settings.servers.get(place) else { continue };
                let now = Instant::now();
                if now >= deadline {
                    return Err(last);
                }
                match ask(server, question, self.settings.edns0, later(now, self.settings.timeout).min(deadline)) {
                    Ok(reply) => {
                        self.first.store(place, Ordering::Relaxed);
                        return Ok(reply);
                    }
                    Err(trouble) => last = complain(server, question, trouble),
                }
            }
        }
        Err(last)
    }
}

fn complain(server: SocketAddr, question: &Question, trouble: Trouble) -> Trouble {
    log::debug!("{server}: {:?} {}: {trouble}", question.kind, question.name);
    trouble
}

impl Resolver for SystemResolver {
    fn mx(&self, name: &Name, deadline: Instant) -> Result<Vec<Mx>, DnsError> {
        let records = self.records(name, Kind::Mx, deadline)?.into_iter();
        let records = records.filter_map(|record| match record {
            Record::Mx(mx) => Some(mx),
            Record::Address(_) => None,
        });
        Ok(records.collect())
    }

    fn addresses(&self, name: &Name, deadline: Instant) -> Result<Vec<IpAddr>, DnsError> {
        let of_kind = |kind| -> Result<Vec<IpAddr>, DnsError> {
            let records = self.records(name, kind, deadline)?.into_iter();
            let addresses = records.filter_map(|record| match record {
                Record::Address(address) => Some(address),
                Record::Mx(_) => None,
            });
            Ok(addresses.collect())
        };
        both_families(of_kind(Kind::Aaaa), of_kind(Kind::A))
    }
}

type Addresses = Result<Vec<IpAddr>, DnsError>;

/// The addresses of both families by turns, in each in the order of the answer, IPv6 first: so a network that has one
/// family only does not keep us from the second address for long (RFC 8305, 4). One family will do; if there is none,
/// it matters most that somebody may know later, and then that the name exists.
fn both_families(ipv6: Addresses, ipv4: Addresses) -> Addresses {
    match (ipv6, ipv4) {
        (Ok(ipv6), Ok(ipv4)) => {
            let (mut ipv6, mut ipv4) = (ipv6.into_iter(), ipv4.into_iter());
            let mut addresses = Vec::new();
            loop {
                let count = addresses.len();
                addresses.extend([ipv6.next(), ipv4.next()].into_iter().flatten());
                if addresses.len() == count {
                    return Ok(addresses);
                }
            }
        }
        (Ok(addresses), Err(_)) | (Err(_), Ok(addresses)) => Ok(addresses),
        (Err(error), Err(other)) => Err(match (&error, &other) {
            _ if error.is_transient() => error,
            _ if other.is_transient() => other,
            (DnsError::NoRecord, _) => error,
            _ => other,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_families_come_to() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let six = ["2001:db8::1", "2001:db8::2", "2001:db8::3"].map(address).to_vec();
        let four = ["192.0.2.1", "192.0.2.2"].map(address).to_vec();
        let mixed = ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "2001:db8::3"].map(address).to_vec();
        let late = || DnsError::Trouble(Trouble::Timeout);
        for (ipv6, ipv4, expected) in [
            (Ok(six.clone()), Ok(four.clone()), Ok(mixed)),
            (Ok(six.clone()), Err(DnsError::NoRecord), Ok(six.clone())),
            (Err(DnsError::NoRecord), Ok(four.clone()), Ok(four.clone())),
            // A server that knows of no IPv6 may say so in the wrong words.
            (Err(DnsError::NoName), Ok(four.clone()), Ok(four.clone())),
            (Err(late()), Ok(four.clone()), Ok(four.clone())),
            (Err(DnsError::NoName), Err(DnsError::NoName), Err(DnsError::NoName)),
            (Err(DnsError::NoName), Err(DnsError::NoRecord), Err(DnsError::NoRecord)),
            (Err(DnsError::NoRecord), Err(DnsError::NoName), Err(DnsError::NoRecord)),
            (Err(DnsError::NoRecord), Err(late()), Err(late())),
            (Err(DnsError::ChainTooLong), Err(DnsError::NoRecord), Err(DnsError::ChainTooLong)),
        ] {
            assert_eq!(both_families(ipv6, ipv4), expected);
        }
    }
}
