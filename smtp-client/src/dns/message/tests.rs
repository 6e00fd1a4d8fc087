//! What counts as an answer, and what octets without sense come to.

use proptest::prelude::*;
use simple_dns::rdata::{A, CNAME, MX, SOA};

use super::*;

const ID: u16 = 0x4711;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn wire_name(text: &str) -> simple_dns::Name<'_> {
    simple_dns::Name::new(text).unwrap()
}

fn mx_question() -> Question {
    Question { name: name("example.org"), kind: Kind::Mx }
}

fn record<'a>(owner: &'a str, ttl: u32, data: RData<'a>) -> ResourceRecord<'a> {
    ResourceRecord::new(wire_name(owner), CLASS::IN, ttl, data)
}

fn mx(preference: u16, exchange: &str) -> RData<'_> {
    RData::MX(MX { preference, exchange: wire_name(exchange) })
}

fn cname(target: &str) -> RData<'_> {
    RData::CNAME(CNAME(wire_name(target)))
}

fn zone(minimum: u32) -> RData<'static> {
    let names = (wire_name("ns.example.org"), wire_name("root.example.org"));
    RData::SOA(SOA { mname: names.0, rname: names.1, serial: 1, refresh: 1, retry: 1, expire: 1, minimum })
}

/// A reply of a recursive server to [`mx_question`].
fn packet<'a>(answers: Vec<ResourceRecord<'a>>) -> Packet<'a> {
    let mut packet = Packet::new_reply(ID);
    packet.set_flags(PacketFlag::RECURSION_AVAILABLE);
    packet.questions.push(simple_dns::Question::new(
        wire_name("Example.ORG"),
        TYPE::MX.into(),
        CLASS::IN.into(),
        false,
    ));
    packet.answers = answers;
    packet
}

fn read(packet: &Packet<'_>) -> Result<Reply, Unfit> {
    mx_question().decode(ID, &packet.build_bytes_vec_compressed().unwrap())
}

fn read_answers(answers: Vec<ResourceRecord<'_>>) -> Result<Answer, Unfit> {
    read(&packet(answers)).map(|reply| reply.answer)
}

fn seconds(reply: Result<Reply, Unfit>) -> u64 {
    reply.unwrap().lifetime.as_secs()
}

fn host(preference: u16, text: &str) -> Record {
    Record::Mx(Mx { preference, exchange: Exchange::Host(name(text)) })
}

#[test]
fn the_question_as_octets() {
    let octets = mx_question().encode(ID, false).unwrap();
    let expected = b"\x47\x11\x01\x00\0\x01\0\0\0\0\0\0\x07example\x03org\0\0\x0f\0\x01";
    assert_eq!(octets.escape_ascii().to_string(), expected.escape_ascii().to_string());
    let octets = mx_question().encode(ID, true).unwrap();
    assert!(octets.ends_with(b"\0\0\x29\x04\xd0\0\0\0\0\0\0"), "{}", octets.escape_ascii());
}

/// Rows N263, X145.
#[test]
fn records_of_the_name_and_of_what_it_is_an_alias_of() {
    let answers = vec![
        record("EXAMPLE.org", 60, mx(20, "MX2.example.org")),
        record("example.org", 60, mx(10, "_mx.example.org")),
        record("example.net", 60, mx(5, "elsewhere.example.net")),
        record("example.org", 60, RData::A(A { address: 1 })),
    ];
    let records = vec![host(20, "mx2.example.org"), host(10, "_mx.example.org")];
    assert_eq!(read_answers(answers), Ok(Answer::Records(records)));

    let answers = vec![
        record("b.example.net", 60, mx(10, "mx.example.net")),
        record("example.org", 60, cname("a.example.net")),
        record("a.example.net", 60, cname("b.example.net")),
    ];
    let reply = read(&packet(answers)).unwrap();
    assert_eq!((reply.aliases, reply.answer), (2, Answer::Records(vec![host(10, "mx.example.net")])));

    let strange = |exchange: simple_dns::Name<'static>| {
        let data = RData::MX(MX { preference: 0, exchange });
        let Answer::Records(records) = read_answers(vec![record("example.org", 1, data)]).unwrap() else { return None };
        records.into_iter().next()
    };
    let expected = |exchange| Some(Record::Mx(Mx { preference: 0, exchange }));
    assert_eq!(strange(wire_name(".")), expected(Exchange::Null));
    assert_eq!(strange(wire_name("mail\\.host.example.org")), expected(Exchange::Unfit));
    assert_eq!(strange(simple_dns::Name::new_unchecked("m\u{fc}.example.org")), expected(Exchange::Unfit));
}

#[test]
fn nothing_and_nobody() {
    let mut nothing = packet(Vec::new());
    assert_eq!(read(&nothing).map(|reply| reply.answer), Ok(Answer::NoRecord));
    *nothing.rcode_mut() = RCODE::NameError;
    assert_eq!(read(&nothing).map(|reply| reply.answer), Ok(Answer::NoName));
    // A server that knows nothing and asks nobody: it would be a reason to return mail.
    nothing.remove_flags(PacketFlag::RECURSION_AVAILABLE);
    assert_eq!(read(&nothing), Err(Unfit::Refused));
    *nothing.rcode_mut() = RCODE::NoError;
    assert_eq!(read(&nothing), Err(Unfit::Refused));
    nothing.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    assert_eq!(read(&nothing).map(|reply| reply.answer), Ok(Answer::NoRecord));
}

#[test]
fn an_alias_of_which_no_more_is_said_and_a_circle() {
    let open = vec![record("example.org", 60, cname("example.net"))];
    assert_eq!(read_answers(open.clone()), Ok(Answer::Alias(name("example.net"))));
    let mut missing = packet(open);
    *missing.rcode_mut() = RCODE::NameError;
    assert_eq!(read(&missing).map(|reply| reply.answer), Ok(Answer::NoName));
    let circle = vec![record("example.org", 60, cname("example.net")), record("example.net", 60, cname("example.org"))];
    let reply = read(&packet(circle)).unwrap();
    assert_eq!(reply.aliases, CHAIN_LENGTH + 1);
    let nowhere = vec![record("example.org", 60, cname("."))];
    assert_eq!(read_answers(nowhere), Err(Unfit::Malformed));
}

#[test]
fn how_long_an_answer_counts() {
    let answers = vec![
        record("example.org", 300, cname("example.net")),
        record("example.net", 600, mx(10, "a.example.net")),
        record("example.net", 200, mx(20, "b.example.net")),
        record("example.com", 1, mx(20, "b.example.net")),
    ];
    assert_eq!(seconds(read(&packet(answers))), 200);
    for (ttl, expected) in [(0, 0), (86_400, 86_400), (86_401, 86_400), (i32::MAX as u32, 86_400), (1 << 31, 0)] {
        assert_eq!(
            seconds(read(&packet(vec![record("example.org", ttl, mx(10, "a.example.net"))]))),
            expected,
            "{ttl}"
        );
    }
    for (ttl, minimum, expected) in [(60, 30, 30), (30, 60, 30), (100_000, 100_000, 10_800), (u32::MAX, 60, 0)] {
        let mut nothing = packet(Vec::new());
        assert_eq!(seconds(read(&nothing)), 0, "the zone has not said how long");
        nothing.name_servers.push(record("example.org", ttl, zone(minimum)));
        assert_eq!(seconds(read(&nothing)), expected);
    }
}

#[test]
fn answers_of_others_and_to_other_questions() {
    let ours = packet(vec![record("example.org", 60, mx(10, "a.example.org"))]);
    let octets = ours.build_bytes_vec_compressed().unwrap();
    assert!(mx_question().decode(ID, &octets).is_ok());
    assert_eq!(mx_question().decode(ID + 1, &octets), Err(Unfit::NotOurs));
    for (other, kind) in [("example.net", Kind::Mx), ("example.org", Kind::A), ("a.example.org", Kind::Mx)] {
        assert_eq!(Question { name: name(other), kind }.decode(ID, &octets), Err(Unfit::NotOurs), "{other}");
    }
    let changed = |change: fn(&mut Packet<'_>)| {
        let mut packet = ours.clone();
        change(&mut packet);
        read(&packet)
    };
    assert_eq!(changed(|packet| packet.remove_flags(PacketFlag::RESPONSE)), Err(Unfit::NotOurs));
    assert_eq!(changed(|packet| *packet.opcode_mut() = OPCODE::Notify), Err(Unfit::NotOurs));
    assert_eq!(changed(|packet| packet.questions.push(packet.questions[0].clone())), Err(Unfit::NotOurs));
    assert_eq!(changed(|packet| packet.questions.clear()), Err(Unfit::NotOurs));
    assert_eq!(changed(|packet| packet.set_flags(PacketFlag::TRUNCATION)), Err(Unfit::Truncated));
    for (rcode, expected) in [
        (RCODE::ServerFailure, Unfit::ServerFailure),
        (RCODE::Refused, Unfit::Refused),
        (RCODE::FormatError, Unfit::Refused),
        (RCODE::NotImplemented, Unfit::Refused),
        (RCODE::YXDOMAIN, Unfit::Refused),
    ] {
        let mut refused = packet(Vec::new());
        *refused.rcode_mut() = rcode;
        assert_eq!(read(&refused), Err(expected));
        refused.questions.clear();
        assert_eq!(read(&refused), Err(expected), "it need not repeat what it could not read");
    }
}

/// A header of twelve octets that announces 262,140 records makes no room for one.
#[test]
fn counts_that_do_not_fit() {
    let mut octets = ID.to_be_bytes().to_vec();
    octets.extend(b"\x81\x80\0\x01");
    octets.extend([0xff; 6]);
    assert_eq!(mx_question().decode(ID, &octets), Err(Unfit::Malformed));
    assert_eq!(mx_question().decode(ID, &octets[..6]), Err(Unfit::Malformed));
    assert_eq!(mx_question().decode(ID, &octets[..1]), Err(Unfit::NotOurs));
    assert_eq!(mx_question().decode(ID, b""), Err(Unfit::NotOurs));
}

/// The worst that 65,535 octets can hold: four thousand names, each of which leads over eight thousand pointers. The
/// codec follows pointers only backwards, so it comes to an end: after a fifth of a second, optimised.
#[test]
fn pointers_to_pointers() {
    let mut octets = ID.to_be_bytes().to_vec();
    octets.extend(b"\x81\x80\0\x01\0\0\0\0\0\0");
    octets.extend(b"\x07example\x03org\0\0\x0f\0\x01");
    // A record of a type that nobody knows, with the ladder as its data.
    octets.extend(b"\0\xff\xfd\0\x01\0\0\0\0");
    let start = octets.len() + 2;
    let rungs = (0x3fff - start) / 2;
    octets.extend((rungs as u16 * 2).to_be_bytes());
    for rung in 0..rungs {
        let target = if rung == 0 { 12 } else { start + (rung - 1) * 2 };
        octets.extend((0xc000 | target as u16).to_be_bytes());
    }
    let mut count = 1_u16;
    while octets.len() + 12 <= usize::from(u16::MAX) {
        octets.extend((0xc000 | (start + (rungs - 1) * 2) as u16).to_be_bytes());
        octets.extend(b"\0\x01\0\x01\0\0\0\x01\0\0");
        count += 1;
    }
    octets[6..8].copy_from_slice(&count.to_be_bytes());
    assert_eq!(mx_question().decode(ID, &octets).map(|reply| reply.answer), Ok(Answer::NoRecord));
}

fn valid_octets() -> Vec<u8> {
    let mut packet = packet(vec![
        record("example.org", 300, cname("example.net")),
        record("example.net", 600, mx(10, "a.example.net")),
        record("a.example.net", 600, RData::A(A { address: 1 })),
    ]);
    packet.name_servers.push(record("example.org", 1, zone(1)));
    *packet.opt_mut() = Some(OPT { opt_codes: Vec::new(), udp_packet_size: 1_232, version: 0 });
    packet.build_bytes_vec_compressed().unwrap()
}

proptest! {
    /// Whatever comes is an answer or none.
    #[test]
    fn random_octets(mut octets in proptest::collection::vec(any::<u8>(), 0..600), is_header_ours: bool) {
        if is_header_ours {
            let header = valid_octets()[..12].to_vec();
            octets.splice(..octets.len().min(12), header);
        }
        let _ = mx_question().decode(ID, &octets);
    }

    #[test]
    fn an_answer_with_some_octets_changed(
        changes in proptest::collection::vec((2_usize..200, any::<u8>()), 1..8),
        cut: usize,
    ) {
        let mut octets = valid_octets();
        for (place, octet) in changes {
            let place = place % octets.len();
            octets[place] = octet;
        }
        let length = octets.len();
        octets.truncate(length - cut % 4 * (cut % length) / 4);
        let _ = mx_question().decode(ID, &octets);
    }
}
