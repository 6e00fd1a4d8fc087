//! The resolver against a DNS server that tells the truth, lies, is slow, or says nothing.

#![allow(clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use simple_dns::{PacketFlag, RCODE, TYPE};
use smtp_client::dns::{DnsError, Exchange, Mx, Name, Resolver, Settings, SystemResolver, Trouble};
use smtp_client::mx::{Own, Targets};
use smtp_tests::dns_server::{Answer, Asked, DnsServer, Zone, refusal, reply, settings};
use smtp_tests::{PATIENCE, wait_until};

/// For servers that do not answer: long enough for those that do, in one of several tries.
const SHORT: Duration = Duration::from_millis(300);

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn resolver(server: &DnsServer) -> SystemResolver {
    SystemResolver::new(settings(&[server], PATIENCE))
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

fn mx(resolver: &SystemResolver, domain: &str) -> Result<Vec<String>, DnsError> {
    let records = resolver.mx(&name(domain), soon())?;
    Ok(records.iter().map(Mx::to_string).collect())
}

fn addresses(resolver: &SystemResolver, host: &str) -> Result<Vec<String>, DnsError> {
    let addresses = resolver.addresses(&name(host), soon())?;
    Ok(addresses.iter().map(IpAddr::to_string).collect())
}

/// Rows N256, N258: the name is asked for as it stands, and no other.
#[test]
fn records_of_every_kind() {
    let zone = Zone::new()
        .mx("example.org", 10, "mx.example.org")
        .mx("example.org", 20, "_backup.example.org")
        .mx("null.example", 0, ".")
        .address("mx.example.org", "192.0.2.1")
        .address("mx.example.org", "2001:db8::1")
        .address("mx.example.org", "192.0.2.2")
        .address("_backup.example.org", "192.0.2.3")
        .empty("empty.example");
    let server = DnsServer::start(move |asked| zone.answer(asked));
    let resolver = resolver(&server);
    assert_eq!(mx(&resolver, "Example.ORG").unwrap(), ["10 mx.example.org", "20 _backup.example.org"]);
    assert_eq!(resolver.mx(&name("null.example"), soon()).unwrap()[0].exchange, Exchange::Null);
    assert_eq!(addresses(&resolver, "mx.example.org").unwrap(), ["2001:db8::1", "192.0.2.1", "192.0.2.2"]);
    assert_eq!(addresses(&resolver, "_backup.example.org").unwrap(), ["192.0.2.3"]);
    assert_eq!(mx(&resolver, "mx.example.org"), Err(DnsError::NoRecord));
    assert_eq!(addresses(&resolver, "empty.example"), Err(DnsError::NoRecord));
    assert_eq!(mx(&resolver, "nobody"), Err(DnsError::NoName));
    assert_eq!(addresses(&resolver, "nobody"), Err(DnsError::NoName));
    let questions = server.questions();
    assert_eq!(questions[..2], ["MX example.org", "MX null.example"]);
    assert_eq!(questions[questions.len() - 3..], ["MX nobody", "AAAA nobody", "A nobody"]);
}

#[test]
fn an_answer_that_is_too_long_for_a_datagram_comes_by_tcp() {
    let zone = (0..60).fold(Zone::new(), |zone, number| {
        zone.mx("example.org", number, &format!("host-{number}.a-rather-long-name.example.org"))
    });
    let server = DnsServer::start(move |asked| zone.answer(asked));
    let records = mx(&resolver(&server), "example.org").unwrap();
    assert_eq!(records.len(), 60);
    assert_eq!(records[59], "59 host-59.a-rather-long-name.example.org");
    assert_eq!(server.questions(), ["MX example.org", "MX example.org by TCP"]);
}

#[test]
fn a_server_may_be_told_that_longer_answers_are_welcome() {
    let zone = Zone::new().mx("example.org", 10, "mx.example.org");
    let server = DnsServer::start(move |asked| {
        let query = simple_dns::Packet::parse(&asked.octets).unwrap();
        assert_eq!(query.opt().map(|opt| opt.udp_packet_size), Some(1_232));
        zone.answer(asked)
    });
    let resolver = SystemResolver::new(Settings { edns0: true, ..settings(&[&server], PATIENCE) });
    assert_eq!(mx(&resolver, "example.org").unwrap(), ["10 mx.example.org"]);
}

/// What goes wrong behind the truncated answer, each within the time that was set.
#[test]
fn a_server_that_spoils_tcp() {
    let zone = Zone::new().mx("example.org", 10, "mx.example.org");
    let truncated = |asked: &Asked| {
        let mut reply = reply(asked);
        reply.set_flags(PacketFlag::TRUNCATION);
        vec![Answer::Say(reply.build_bytes_vec().unwrap())]
    };
    type Spoil = fn(&Asked, Vec<u8>) -> Vec<Answer>;
    let table: [(Spoil, DnsError); 7] = [
        (|_, _| Vec::new(), DnsError::Trouble(Trouble::Network(io::ErrorKind::UnexpectedEof))),
        (|_, _| vec![Answer::SayAndHold(Vec::new())], DnsError::Trouble(Trouble::Timeout)),
        (|_, octets| vec![Answer::SayAndHold(octets)], DnsError::Trouble(Trouble::Timeout)),
        (|_, octets| vec![Answer::Say(octets[..octets.len() / 2].to_vec())], DnsError::Trouble(Trouble::Malformed)),
        (|_, _| vec![Answer::Say(Vec::new())], DnsError::Trouble(Trouble::Malformed)),
        (|asked, _| refusal(asked, RCODE::ServerFailure), DnsError::Trouble(Trouble::ServerFailure)),
        (|asked, _| refusal(asked, RCODE::NameError), DnsError::NoName),
    ];
    for (spoil, expected) in table {
        let zone = zone.clone();
        let server = DnsServer::start(
            move |asked| {
                if asked.by_tcp { spoil(asked, zone.octets(asked)) } else { truncated(asked) }
            },
        );
        let is_waiting = expected == DnsError::Trouble(Trouble::Timeout);
        let timeout = if is_waiting { SHORT } else { PATIENCE };
        let resolver = SystemResolver::new(Settings { attempts: 1, ..settings(&[&server], timeout) });
        assert_eq!(mx(&resolver, "example.org"), Err(expected));
    }
}

/// Answers that are none do not stand in the way of the one that is still to come.
#[test]
fn answers_of_others_are_not_heard() {
    let zone = Zone::new().mx("example.org", 10, "mx.example.org").mx("example.net", 10, "evil.example.net");
    let evil = Zone::new().mx("example.org", 10, "evil.example.net");
    let server = DnsServer::start(move |asked| {
        let truth = zone.octets(asked);
        let lie = evil.octets(asked);
        let mut wrong_id = lie.clone();
        wrong_id[1] ^= 1;
        let mut no_reply = lie.clone();
        no_reply[2] &= 0x7f;
        let other = Asked { name: "example.net".into(), ..asked.clone() };
        let mut wrong_question = zone.octets(&other);
        let place = wrong_question.windows(3).position(|label| label == b"org").unwrap();
        wrong_question[place..place + 3].copy_from_slice(b"net");
        let mut answers = vec![Answer::SayFromElsewhere(lie)];
        answers.extend([wrong_id, no_reply, wrong_question, Vec::new(), vec![0xff; 40], truth].map(Answer::Say));
        answers
    });
    assert_eq!(mx(&resolver(&server), "example.org").unwrap(), ["10 mx.example.org"]);
    assert_eq!(server.questions().len(), 1);
}

/// The second server is asked, whatever the first one does, and asked first from then on.
#[test]
fn several_servers() {
    type Behave = fn(&Asked) -> Vec<Answer>;
    let table: [Behave; 6] = [
        |_| Vec::new(),
        |asked| refusal(asked, RCODE::ServerFailure),
        |asked| refusal(asked, RCODE::Refused),
        |asked| refusal(asked, RCODE::NotImplemented),
        |asked| vec![Answer::Say(asked.octets[..2].to_vec())],
        // It knows nothing and asks nobody.
        |asked| {
            let mut reply = reply(asked);
            reply.remove_flags(PacketFlag::RECURSION_AVAILABLE);
            vec![Answer::Say(reply.build_bytes_vec().unwrap())]
        },
    ];
    for behave in table {
        let zone = Zone::new().mx("example.org", 10, "mx.example.org").mx("example.net", 10, "mx.example.net");
        let (bad, good) = (DnsServer::start(behave), DnsServer::start(move |asked| zone.answer(asked)));
        let resolver = SystemResolver::new(Settings { attempts: 5, ..settings(&[&bad, &good], SHORT) });
        assert_eq!(mx(&resolver, "example.org").unwrap(), ["10 mx.example.org"]);
        let asked = bad.questions().len();
        assert!(asked >= 1);
        assert_eq!(mx(&resolver, "example.net").unwrap(), ["10 mx.example.net"]);
        // A busy machine may have let the good one answer late.
        assert!(bad.questions().len() == asked || good.questions().len() > 2);
    }
}

/// Row N260: what may be otherwise later, and after which time it is told.
#[test]
fn nobody_can_tell() {
    let silent = DnsServer::silent();
    let resolver = SystemResolver::new(Settings { attempts: 2, ..settings(&[&silent], SHORT) });
    let began = Instant::now();
    let error = mx(&resolver, "example.org").unwrap_err();
    assert_eq!(error, DnsError::Trouble(Trouble::Timeout));
    assert!(error.is_transient());
    assert!(began.elapsed() >= 2 * SHORT && began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    assert_eq!(silent.questions().len(), 2);

    // The deadline is there before the timeout, also where there is much to ask.
    let resolver = SystemResolver::new(Settings { attempts: 5, ..settings(&[&silent, &silent], PATIENCE) });
    let began = Instant::now();
    let domain = "example.org".parse().unwrap();
    let error = Targets::find(&domain, &resolver, &Own::default(), || 0, began + SHORT).unwrap_err();
    assert!(error.is_transient());
    assert!(began.elapsed() >= SHORT && began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
    assert_eq!(silent.questions().len(), 3);
    let error = resolver.addresses(&name("example.org"), began).unwrap_err();
    assert_eq!((error, silent.questions().len()), (DnsError::Trouble(Trouble::Timeout), 3));

    // Nobody listens there: the system says so at once.
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let resolver = SystemResolver::new(Settings { servers: vec![closed], timeout: PATIENCE, ..Settings::default() });
    let began = Instant::now();
    let refused = DnsError::Trouble(Trouble::Network(io::ErrorKind::ConnectionRefused));
    assert_eq!(mx(&resolver, "example.org"), Err(refused));
    assert!(began.elapsed() < PATIENCE / 2);
}

#[test]
fn a_server_that_fails_is_asked_again() {
    let zone = Zone::new().mx("example.org", 10, "mx.example.org");
    let count = AtomicUsize::new(0);
    let server = DnsServer::start(move |asked| match count.fetch_add(1, Ordering::SeqCst) {
        0 => refusal(asked, RCODE::ServerFailure),
        _ => zone.answer(asked),
    });
    assert_eq!(mx(&resolver(&server), "example.org").unwrap(), ["10 mx.example.org"]);
    let failing = DnsServer::start(|asked| refusal(asked, RCODE::ServerFailure));
    assert_eq!(mx(&resolver(&failing), "example.org"), Err(DnsError::Trouble(Trouble::ServerFailure)));
    assert_eq!(failing.questions().len(), 2);
}

/// Row N256: "If a CNAME record is found, the resulting name is processed as if it were the initial name."
#[test]
fn aliases() {
    let chain = |length: usize| {
        let zone = Zone::new().mx(&format!("a{length}.example"), 10, "mx.example").address("mx.example", "192.0.2.1");
        (0..length)
            .fold(zone, |zone, number| zone.alias(&format!("a{number}.example"), &format!("a{}.example", number + 1)))
    };
    for (length, is_short) in [(1, true), (8, true), (9, false), (50, false)] {
        let zone = chain(length);
        let server = DnsServer::start(move |asked| zone.answer(asked));
        let expected = if is_short { Ok(vec!["10 mx.example".to_owned()]) } else { Err(DnsError::ChainTooLong) };
        assert_eq!(mx(&resolver(&server), "a0.example"), expected, "{length}");
    }
    // A server that tells one step at a time.
    for (length, is_short) in [(8, true), (9, false)] {
        let zone = chain(length);
        let server = DnsServer::start(move |asked| {
            let octets = zone.octets(asked);
            let mut packet = simple_dns::Packet::parse(&octets).unwrap();
            packet.answers.truncate(1);
            vec![Answer::Say(packet.build_bytes_vec_compressed().unwrap())]
        });
        let found = mx(&resolver(&server), "a0.example");
        assert_eq!(found.is_ok(), is_short, "{found:?}");
        assert_eq!(server.questions().len(), 9);
    }
    // A circle, told at once or step by step, and an MX record that leads to an alias.
    let zone = Zone::new()
        .alias("one.example", "two.example")
        .alias("two.example", "one.example")
        .alias("mine.example", "mine.example")
        .alias("lost.example", "nobody.example")
        .alias("poor.example", "empty.example")
        .empty("empty.example")
        .alias("mx.example", "host.example")
        .address("host.example", "192.0.2.1");
    let server = DnsServer::start(move |asked| zone.answer(asked));
    let resolver = resolver(&server);
    assert_eq!(mx(&resolver, "one.example"), Err(DnsError::ChainTooLong));
    assert_eq!(addresses(&resolver, "mine.example"), Err(DnsError::ChainTooLong));
    assert_eq!(mx(&resolver, "lost.example"), Err(DnsError::NoName));
    assert_eq!(mx(&resolver, "poor.example"), Err(DnsError::NoRecord));
    assert_eq!(addresses(&resolver, "mx.example").unwrap(), ["192.0.2.1"]);
}

#[test]
fn answers_are_remembered_for_as_long_as_they_count() {
    let zone = Zone::new().mx("example.org", 10, "mx.example.org").empty("empty.example");
    let server = DnsServer::start(move |asked| zone.answer(asked));
    let (first, again) = (resolver(&server), resolver(&server));
    for _ in 0..3 {
        assert!(mx(&first, "example.org").is_ok());
        assert_eq!(mx(&first, "EMPTY.example"), Err(DnsError::NoRecord));
        assert_eq!(mx(&first, "nobody.example"), Err(DnsError::NoName));
    }
    assert_eq!(server.questions().len(), 3);
    assert!(mx(&again, "example.org").is_ok());
    assert_eq!(server.questions().len(), 4, "each resolver has its own memory");

    let zone = Zone::new().with_ttl(0).mx("example.org", 10, "mx.example.org");
    let server = DnsServer::start(move |asked| zone.answer(asked));
    let resolver = resolver(&server);
    for name in ["example.org", "example.org", "nobody.example", "nobody.example"] {
        let _ = mx(&resolver, name);
    }
    assert_eq!(server.questions().len(), 4);

    // That nobody could tell is not remembered.
    let failing = DnsServer::start(|asked| refusal(asked, RCODE::ServerFailure));
    let resolver = SystemResolver::new(Settings { attempts: 1, ..settings(&[&failing], PATIENCE) });
    let _ = (mx(&resolver, "example.org"), mx(&resolver, "example.org"));
    assert_eq!(failing.questions().len(), 2);
}

/// While one thread waits for an answer, another one gets what is known: the answer to the first comes only when the
/// second has its own.
#[test]
fn no_thread_waits_for_the_question_of_another() {
    let zone = Zone::new().mx("known.example", 10, "mx.example.org");
    let (go_on, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let server = DnsServer::start(move |asked| match asked.name.as_str() {
        "slow.example" => {
            wait.lock().unwrap().recv_timeout(PATIENCE).expect("the other thread has its answer");
            refusal(asked, RCODE::ServerFailure)
        }
        _ => zone.answer(asked),
    });
    let resolver = SystemResolver::new(Settings { attempts: 1, ..settings(&[&server], 2 * PATIENCE) });
    assert!(mx(&resolver, "known.example").is_ok());
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| resolver.mx(&name("slow.example"), Instant::now() + 2 * PATIENCE));
        wait_until("the slow question is asked", || server.questions().len() == 2);
        assert!(mx(&resolver, "known.example").is_ok());
        go_on.send(()).unwrap();
        assert_eq!(slow.join().unwrap(), Err(DnsError::Trouble(Trouble::ServerFailure)));
    });
}

#[test]
fn one_family_will_do() {
    let zone = Zone::new().address("mx.example.org", "192.0.2.1");
    let server = DnsServer::start(move |asked| match asked.kind {
        TYPE::AAAA => refusal(asked, RCODE::ServerFailure),
        _ => zone.answer(asked),
    });
    assert_eq!(addresses(&resolver(&server), "mx.example.org").unwrap(), ["192.0.2.1"]);
}

/// Ids and ports are not those of the question before.
#[test]
fn nobody_can_guess_the_next_question() {
    let ids = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = ids.clone();
    let zone = Zone::new().with_ttl(0).mx("example.org", 10, "mx.example.org");
    let server = DnsServer::start(move |asked| {
        seen.lock().unwrap().insert([asked.octets[0], asked.octets[1]]);
        zone.answer(asked)
    });
    let resolver = resolver(&server);
    for _ in 0..50 {
        mx(&resolver, "example.org").unwrap();
    }
    // Of fifty ids out of 65,536 some two may be equal; not eleven.
    assert!(ids.lock().unwrap().len() > 40, "{ids:?}");
}
