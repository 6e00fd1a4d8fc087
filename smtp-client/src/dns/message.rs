//! A question and its answer as octets: written and read by a codec, judged here.
//!
//! What comes from the network is an answer only if it has our id and repeats our question (RFC 5452, 9.1), and it says
//! that something does not exist only if it comes from a server that knows or has asked.

use std::net::IpAddr;
use std::time::Duration;

use simple_dns::rdata::{OPT, RData};
use simple_dns::{CLASS, OPCODE, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, SimpleDnsError, TYPE};

use super::{CHAIN_LENGTH, Exchange, Mx, Name};

/// The size that fits through every network in one piece, by common agreement of those who run DNS servers.
const EDNS0_OCTETS: u16 = 1_232;

/// How long an answer counts at most, whatever it says of itself.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// RFC 2308, 5: that there is nothing counts for three hours at most.
const LONGEST_NOTHING: Duration = Duration::from_secs(3 * 3_600);

/// Octets of the header, of the smallest question and of the smallest record.
const HEADER_OCTETS: usize = 12;
const QUESTION_OCTETS: usize = 5;
const RECORD_OCTETS: usize = 11;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    pub(super) name: Name,
    pub(super) kind: Kind,
}

/// The type of the records that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Mx,
    A,
    Aaaa,
}

/// A record of such a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Mx(Mx),
    Address(IpAddr),
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// How many CNAME records it leads through.
    pub(super) aliases: usize,
    pub(super) answer: Answer,
    /// How long it counts.
    pub(super) lifetime: Duration,
}

/// The answer itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// At least one.
    Records(Vec<Record>),
    /// The CNAME records end here, and what this name has was not said.
    Alias(Name),
    NoRecord,
    NoName,
}

/// Why octets are no answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// Another id, another question, or no answer at all: a late answer, or somebody who guesses.
    NotOurs,
    /// It did not fit into a datagram.
    Truncated,
    Malformed,
    ServerFailure,
    Refused,
}

impl Question {
    /// The question as octets.
    pub(super) fn encode(&self, id: u16, edns0: bool) -> Result<Vec<u8>, SimpleDnsError> {
        let mut packet = Packet::new_query(id);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        let name = simple_dns::Name::new(self.name.as_str())?;
        packet.questions.push(simple_dns::Question::new(name, self.kind.code().into(), CLASS::IN.into(), false));
        if edns0 {
            *packet.opt_mut() = Some(OPT { opt_codes: Vec::new(), udp_packet_size: EDNS0_OCTETS, version: 0 });
        }
        packet.build_bytes_vec()
    }

    /// What these octets answer.
    pub(super) fn decode(&self, id: u16, octets: &[u8]) -> Result<Reply, Unfit> {
        if octets.get(..2) != Some(id.to_be_bytes().as_slice()) {
            return Err(Unfit::NotOurs);
        }
        if !is_room_for_counts(octets) {
            return Err(Unfit::Malformed);
        }
        let packet = Packet::parse(octets).map_err(|_| Unfit::Malformed)?;
        if !packet.has_flags(PacketFlag::RESPONSE) || packet.opcode() != OPCODE::StandardQuery {
            return Err(Unfit::NotOurs);
        }
        let refusal = match packet.rcode() {
            RCODE::NoError | RCODE::NameError => None,
            RCODE::ServerFailure => Some(Unfit::ServerFailure),
            _ => Some(Unfit::Refused),
        };
        match (packet.questions.as_slice(), refusal) {
            ([asked], _) if self.is(asked) => {}
            // A server that could not even read the question has nothing to repeat.
            ([], Some(refusal)) => return Err(refusal),
            _ => return Err(Unfit::NotOurs),
        }
        if packet.has_flags(PacketFlag::TRUNCATION) {
            return Err(Unfit::Truncated);
        }
        refusal.map_or_else(|| self.read(&packet), Err)
    }

    fn is(&self, asked: &simple_dns::Question<'_>) -> bool {
        let is_kind = asked.qtype == QTYPE::TYPE(self.kind.code()) && asked.qclass == CLASS::IN.into();
        is_kind && Name::from_labels(asked.qname.as_bytes()).as_ref() == Ok(&self.name)
    }

    fn read(&self, packet: &Packet<'_>) -> Result<Reply, Unfit> {
        let mut lifetime = LONGEST;
        let mut name = self.name.clone();
        let mut aliases = 0;
        loop {
            let own = || packet.answers.iter().filter(|record| is_of(record, &name));
            let records: Vec<Record> = own().filter_map(|record| self.kind.record(&record.rdata)).collect();
            lifetime = own().map(lifetime_of).fold(lifetime, Duration::min);
            if !records.is_empty() {
                return Ok(Reply { aliases, answer: Answer::Records(records), lifetime });
            }
            let alias = own().find_map(|record| match &record.rdata {
                RData::CNAME(target) => Some(target),
                _ => None,
            });
            match alias {
                // Who asked counts, and goes no further.
                Some(target) if aliases <= CHAIN_LENGTH => {
                    name = Name::from_labels(target.0.as_bytes()).map_err(|_| Unfit::Malformed)?;
                    aliases += 1;
                }
                _ => break,
            }
        }
        // RFC 6604, 3: the code is about the last name of the chain.
        let is_missing = packet.rcode() == RCODE::NameError;
        if aliases > 0 && !is_missing {
            return Ok(Reply { aliases, answer: Answer::Alias(name), lifetime });
        }
        // A server that neither keeps the zone nor asks others has sent us elsewhere, which is no word about the name.
        if !packet.has_flags(PacketFlag::AUTHORITATIVE_ANSWER) && !packet.has_flags(PacketFlag::RECURSION_AVAILABLE) {
            return Err(Unfit::Refused);
        }
        let answer = if is_missing { Answer::NoName } else { Answer::NoRecord };
        Ok(Reply { aliases, answer, lifetime: lifetime.min(lifetime_of_nothing(packet)) })
    }
}

impl Kind {
    fn code(self) -> TYPE {
        match self {
            Kind::Mx => TYPE::MX,
            Kind::A => TYPE::A,
            Kind::Aaaa => TYPE::AAAA,
        }
    }

    fn record(self, data: &RData<'_>) -> Option<Record> {
        match (self, data) {
            (Kind::Mx, RData::MX(mx)) => {
                let is_root = mx.exchange.get_labels().is_empty();
                let exchange = match Name::from_labels(mx.exchange.as_bytes()) {
                    Ok(name) => Exchange::Host(name),
                    Err(_) if is_root => Exchange::Null,
                    Err(_) => Exchange::Unfit,
                };
                Some(Record::Mx(Mx { preference: mx.preference, exchange }))
            }
            (Kind::A, RData::A(a)) => Some(Record::Address(IpAddr::V4(a.address.into()))),
            (Kind::Aaaa, RData::AAAA(aaaa)) => Some(Record::Address(IpAddr::V6(aaaa.address.into()))),
            _ => None,
        }
    }
}

/// The codec makes room for as many records as the header announces, before it looks for the first: so a few octets
/// could ask for many megabytes.
fn is_room_for_counts(octets: &[u8]) -> bool {
    let count = |place: usize| match octets.get(place..place + 2) {
        Some(&[high, low]) => usize::from(u16::from_be_bytes([high, low])),
        _ => 0,
    };
    let least = count(4) * QUESTION_OCTETS + (count(6) + count(8) + count(10)) * RECORD_OCTETS;
    octets.len().checked_sub(HEADER_OCTETS).is_some_and(|room| least <= room)
}

fn is_of(record: &ResourceRecord<'_>, name: &Name) -> bool {
    record.class == CLASS::IN && Name::from_labels(record.name.as_bytes()).as_ref() == Ok(name)
}

/// RFC 2181, 8: a number with its highest bit set is none.
fn lifetime_of(record: &ResourceRecord<'_>) -> Duration {
    Duration::from_secs(if record.ttl > i32::MAX as u32 { 0 } else { record.ttl.into() })
}

/// RFC 2308, 5: what the zone says about itself; if it says nothing, the answer is for once.
fn lifetime_of_nothing(packet: &Packet<'_>) -> Duration {
    let zone = packet.name_servers.iter().find_map(|record| match &record.rdata {
        RData::SOA(zone) => Some(lifetime_of(record).min(Duration::from_secs(zone.minimum.into()))),
        _ => None,
    });
    zone.unwrap_or(Duration::ZERO).min(LONGEST_NOTHING)
}

#[cfg(test)]
mod tests;
