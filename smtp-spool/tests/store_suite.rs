//! What every engine behind `Store` promises, tested on each of them.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

mod support;

use std::io::{Read as _, Write as _};
use std::time::Duration;

use smtp_spool::disk::Folder;
use smtp_spool::{
    Claim, Due, Ended, IdSource, Lane, MessageState, OpenError, Options, Outcome, Owes, ReadError, Settled, Settlement,
    Spool, Status, Store as _, StoreError, WorkerId,
};
use support::*;

const LENGTHS: [usize; 8] = [0, 1, 1_000, 65_521, 65_522, 65_523, 65_536, 300_000];

fn worker() -> WorkerId {
    WorkerId("worker".to_owned())
}

fn claim_one(spool: &Spool, lane: &Lane, now: i64) -> Claim {
    let mut claims = spool.claim(&worker(), lane, 10, now).unwrap();
    assert_eq!(claims.len(), 1);
    claims.remove(0)
}

fn delivered() -> Outcome {
    Outcome::Delivered("250 2.0.0 taken".to_owned(), Owes::Nothing)
}

#[test]
fn what_was_committed_is_there_octet_for_octet_also_after_reopening() {
    on_every_engine(|fixture| {
        for length in LENGTHS {
            put(&fixture.spool, &format!("m{length}"), &octets(length), Due::Kept).unwrap();
        }
        let fixture = fixture.reopened();
        for length in LENGTHS {
            assert_eq!(content(&fixture.reader, &format!("m{length}")), octets(length), "{} {length}", fixture.name);
        }
        let listed: Vec<_> = fixture.reader.list().unwrap().map(|(_, summary)| summary.unwrap()).collect();
        assert_eq!(listed.len(), LENGTHS.len());
        for summary in listed {
            assert_eq!(summary.envelope, usual_envelope());
            assert_eq!(summary.state(), MessageState::Kept);
            assert_eq!(format!("m{}", summary.size), summary.id.as_str());
        }
    });
}

#[test]
fn content_may_hold_anything_even_what_looks_like_our_own_marks() {
    let mark = b"RECEIVED 1\r\nMAIL FROM:<>\r\nLENGTHS 0000000000000000 00000000 CRC32 00000000 END\r\n";
    on_every_engine(|fixture| {
        put(&fixture.spool, "m", &mark.repeat(3), Due::Kept).unwrap();
        assert_eq!(content(&fixture.reader, "m"), mark.repeat(3));
    });
}

#[test]
fn writing_in_pieces_is_writing_at_once() {
    let whole = octets(200_000);
    for piece in [1, 7, 4_096, 65_535, 65_537] {
        on_every_engine(|fixture| {
            let mut incoming = fixture.spool.begin(None).unwrap();
            whole.chunks(piece).for_each(|octets| incoming.write_all(octets).unwrap());
            assert_eq!(incoming.len(), whole.len() as u64);
            incoming.commit(&id("m"), &usual_envelope(), Due::Kept).unwrap();
            assert!(content(&fixture.reader, "m") == whole, "{} {piece}", fixture.name);
        });
    }
}

#[test]
fn a_dropped_message_leaves_nothing() {
    on_every_engine(|fixture| {
        for length in LENGTHS {
            let mut incoming = fixture.spool.begin(None).unwrap();
            incoming.write_all(&octets(length)).unwrap();
            drop(incoming);
        }
        for folder in Folder::ALL {
            assert!(fixture.disk().list(folder).unwrap().is_empty(), "{} {folder:?}", fixture.name);
        }
    });
}

/// Whichever of the two ways to the disk the first one went, and the others go.
#[test]
fn the_same_id_counts_once() {
    let (small, large) = (b"small\r\n".to_vec(), b"large\r\n".repeat(40_000));
    for (first, second) in [(&small, &large), (&large, &small), (&small, &small), (&large, &large)] {
        on_every_engine(|fixture| {
            put(&fixture.spool, "m", first, Due::At(0)).unwrap();
            put(&fixture.spool, "m", second, Due::At(0)).unwrap();
            assert_eq!(content(&fixture.reader, "m"), *first);
            let fixture = fixture.reopened();
            put(&fixture.spool, "m", second, Due::At(0)).unwrap();
            assert_eq!(content(&fixture.reader, "m"), *first);
            assert_eq!(fixture.spool.health().unwrap().queued_messages, 1);
            assert!(fixture.disk().list(Folder::Temporary).unwrap().is_empty());
        });
    }
}

#[test]
fn an_envelope_that_could_not_be_read_again_is_refused() {
    on_every_engine(|fixture| {
        let mut nobody = usual_envelope();
        nobody.recipients.clear();
        let mut no_case = usual_envelope();
        no_case.recipients[0].parameters.notify =
            Some(smtp_proto::parameter::Notify::On { success: false, failure: false, delay: false });
        for envelope in [nobody, no_case] {
            let incoming = fixture.spool.begin(None).unwrap();
            let error = incoming.commit(&id("m"), &envelope, Due::Kept).unwrap_err();
            assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
        }
        assert!(ids(&fixture.reader).is_empty());
    });
}

#[test]
fn kept_messages_are_bounded_and_room_comes_back() {
    let options = Options { keep_max_bytes: Some(1_000), ..Options::default() };
    with_options(options, |fixture| {
        put(&fixture.spool, "a", &octets(600), Due::Kept).unwrap();
        assert!(fixture.spool.has_room_for(Some(400)).is_ok());
        assert!(fixture.spool.has_room_for(Some(401)).unwrap_err().is_full());
        assert!(fixture.spool.begin(Some(401)).err().unwrap().is_full());
        // Announced or not, the bound holds.
        let mut incoming = fixture.spool.begin(None).unwrap();
        incoming.write_all(&octets(401)).unwrap();
        assert!(incoming.commit(&id("b"), &usual_envelope(), Due::Kept).unwrap_err().is_full());
        put(&fixture.spool, "c", &octets(400), Due::Kept).unwrap();
        let fixture = fixture.reopened();
        assert_eq!(fixture.spool.health().unwrap().kept_bytes, 1_000);
        assert!(fixture.spool.has_room_for(None).unwrap_err().is_full());
        assert!(fixture.spool.remove(&id("a")).unwrap());
        assert!(!fixture.spool.remove(&id("a")).unwrap());
        put(&fixture.spool, "d", &octets(600), Due::Kept).unwrap();
        assert_eq!(ids(&fixture.reader), ["c", "d"]);
    });
}

#[test]
fn a_second_owner_is_told_which_directory_is_in_use() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("the-spool");
    let (first, _) = Spool::open(&path, Options::default()).unwrap();
    let incoming = first.begin(None).unwrap();
    drop(first);
    // A message on its way in still owns it.
    let error = Spool::open(&path, Options::default()).err().unwrap();
    assert!(matches!(error, OpenError::Owned { .. }) && error.to_string().contains("the-spool"), "{error}");
    drop(incoming);
    Spool::open(&path, Options::default()).unwrap();
}

#[test]
fn kept_messages_cannot_be_claimed() {
    on_every_engine(|fixture| {
        put(&fixture.spool, "m", b"kept\r\n", Due::Kept).unwrap();
        let fixture = fixture.reopened();
        assert!(fixture.spool.due_lanes(i64::MAX).unwrap().is_empty());
        assert!(fixture.spool.claim(&worker(), &Lane::unrouted(), 10, i64::MAX).unwrap().is_empty());
    });
}

/// The whole life of a queued message: routed to two lanes, one delivered, one deferred and delivered later.
#[test]
fn a_message_is_claimed_routed_delivered_and_removed() {
    let lanes = [Lane::new("example.net").unwrap(), Lane::new("example.com").unwrap()];
    on_every_engine(|fixture| {
        put(&fixture.spool, "m", b"hello\r\n", Due::At(100)).unwrap();
        assert!(fixture.spool.claim(&worker(), &Lane::unrouted(), 10, 99).unwrap().is_empty());
        assert_eq!(fixture.spool.due_lanes(100).unwrap(), [(Lane::unrouted(), 1)]);

        let claim = claim_one(&fixture.spool, &Lane::unrouted(), 100);
        assert_eq!((claim.id(), claim.recipients(), claim.envelope()), (&id("m"), vec![0, 1], &usual_envelope()));
        let mut octets = Vec::new();
        fixture.spool.content(&claim).unwrap().read_to_end(&mut octets).unwrap();
        assert_eq!(octets, b"hello\r\n");
        for (number, lane) in lanes.iter().enumerate() {
            let outcome = Outcome::Routed(lane.clone());
            assert_eq!(fixture.spool.record(&claim, &[(number, outcome.clone())]).unwrap(), Settled::Ok);
        }
        assert_eq!(fixture.spool.settle(claim, &[], Settlement::Done).unwrap(), Settled::Ok);

        // Two claims on one message, in two lanes, open at once.
        let first = claim_one(&fixture.spool, &lanes[0], 100);
        let second = claim_one(&fixture.spool, &lanes[1], 100);
        assert_eq!((first.recipients(), second.recipients()), (vec![0], vec![1]));
        assert!(fixture.spool.due_lanes(i64::MAX).unwrap().is_empty());
        assert_eq!(fixture.spool.record(&first, &[(0, delivered())]).unwrap(), Settled::Ok);
        let deferred = Outcome::Deferred("451 4.3.0 later".to_owned());
        assert_eq!(fixture.spool.record(&second, &[(1, deferred.clone())]).unwrap(), Settled::Ok);
        assert_eq!(fixture.spool.settle(second, &[], Settlement::RetryAt(500)).unwrap(), Settled::Ok);
        assert_eq!(fixture.spool.settle(first, &[], Settlement::Done).unwrap(), Settled::Ok);

        let fixture = fixture.reopened();
        let summary = fixture.reader.summary(&id("m")).unwrap();
        assert_eq!(summary.state(), MessageState::Queued);
        assert_eq!(summary.recipients[0].status, Status::Delivered);
        assert_eq!(summary.recipients[1].status, Status::Due(500));
        assert_eq!(summary.recipients[1].remark, "451 4.3.0 later");
        assert_eq!(fixture.spool.health().unwrap().next_due, Some(500));
        assert!(fixture.spool.claim(&worker(), &lanes[1], 10, 499).unwrap().is_empty());

        let last = claim_one(&fixture.spool, &lanes[1], 500);
        assert_eq!(last.recipients(), [1]);
        assert_eq!(fixture.spool.record(&last, &[(1, delivered())]).unwrap(), Settled::Ok);
        assert_eq!(fixture.spool.settle(last, &[], Settlement::Done).unwrap(), Settled::Ok);
        for folder in Folder::ALL {
            assert!(fixture.disk().list(folder).unwrap().is_empty(), "{} {folder:?}", fixture.name);
        }
        assert_eq!(fixture.spool.health().unwrap(), smtp_spool::Health::default());
    });
}

#[test]
fn a_claim_is_exclusive_and_can_be_lost() {
    on_every_engine(|fixture| {
        put(&fixture.spool, "m", b"hello\r\n", Due::At(0)).unwrap();
        let lost = claim_one(&fixture.spool, &Lane::unrouted(), 0);
        assert!(fixture.spool.claim(&worker(), &Lane::unrouted(), 10, 0).unwrap().is_empty());
        assert_eq!(fixture.spool.renew(&lost, 0).unwrap(), Settled::Ok);
        fixture.spool.release(&WorkerId("somebody else".to_owned())).unwrap();
        assert_eq!(fixture.spool.renew(&lost, 0).unwrap(), Settled::Ok);
        fixture.spool.release(&worker()).unwrap();

        let good = claim_one(&fixture.spool, &Lane::unrouted(), 0);
        assert_eq!(fixture.spool.renew(&lost, 0).unwrap(), Settled::Lost);
        assert_eq!(fixture.spool.record(&lost, &[(0, delivered())]).unwrap(), Settled::Lost);
        assert_eq!(fixture.spool.settle(lost, &[], Settlement::RetryAt(99)).unwrap(), Settled::Lost);
        assert_eq!(fixture.spool.record(&good, &[(7, delivered())]).unwrap(), Settled::Lost);
        assert_eq!(fixture.spool.record(&good, &[(0, delivered())]).unwrap(), Settled::Ok);
        assert!(fixture.spool.remove(&id("m")).unwrap());
        assert_eq!(fixture.spool.record(&good, &[(1, delivered())]).unwrap(), Settled::Lost);
        assert_eq!(fixture.spool.settle(good, &[], Settlement::Done).unwrap(), Settled::Lost);
    });
}

/// Who delivers looks for what an earlier try may have left, and need not if there was none: of that the spool must be certain.
#[test]
fn only_the_first_claim_of_a_new_message_is_the_first() {
    on_every_engine(|fixture| {
        let claims_of = |fixture: &Fixture, name: &str| {
            let claims = fixture.spool.claim(&worker(), &Lane::unrouted(), 10, 0).unwrap();
            claims.into_iter().find(|claim| claim.id().as_str() == name).unwrap()
        };
        put(&fixture.spool, "m", b"hello\r\n", Due::At(0)).unwrap();
        assert!(claims_of(&fixture, "m").is_first());
        fixture.spool.release(&worker()).unwrap();
        assert!(!claims_of(&fixture, "m").is_first(), "that worker may have come far");
        put(&fixture.spool, "report", b"sorry\r\n", Due::Withheld(0)).unwrap();
        fixture.spool.admit(&id("report")).unwrap();
        assert!(!claims_of(&fixture, "report").is_first(), "it may have been made before");
        put(&fixture.spool, "unclaimed", b"hello\r\n", Due::At(0)).unwrap();
        let fixture = fixture.reopened();
        assert!(!claims_of(&fixture, "unclaimed").is_first(), "an earlier process may have delivered it");
    });
}

/// Each has an answer of its own, and what is finished stays finished.
#[test]
fn many_claims_are_settled_as_one_by_one() {
    on_every_engine(|fixture| {
        let names = ["done", "lost", "later"];
        names.iter().for_each(|name| put(&fixture.spool, name, b"hello\r\n", Due::At(0)).unwrap());
        let claims = fixture.spool.claim(&worker(), &Lane::unrouted(), 10, 0).unwrap();
        assert!(fixture.spool.remove(&id("lost")).unwrap());
        let ended = claims.into_iter().map(|claim| {
            let (outcomes, settlement) = match claim.id().as_str() {
                "later" => (vec![(0, delivered())], Settlement::RetryAt(500)),
                _ => (vec![(0, delivered()), (1, delivered())], Settlement::Done),
            };
            (claim.id().clone(), Ended { claim, outcomes, settlement })
        });
        let (ids, ended): (Vec<_>, Vec<_>) = ended.unzip();
        let settled = fixture.spool.settle_all(ended);
        let settled: Vec<_> = ids.iter().zip(settled.into_iter().map(Result::unwrap)).collect();
        for name in names {
            let expected = if name == "lost" { Settled::Lost } else { Settled::Ok };
            assert!(settled.contains(&(&id(name), expected)), "{settled:?}");
        }
        let fixture = fixture.reopened();
        assert!(fixture.spool.claim(&worker(), &Lane::unrouted(), 10, 499).unwrap().is_empty());
        let last = claim_one(&fixture.spool, &Lane::unrouted(), 500);
        assert_eq!((last.id().as_str(), last.recipients()), ("later", vec![1]));
    });
}

/// What a careless or a crashed worker leaves open is claimed again: at least once, never not at all.
#[test]
fn recipients_without_an_outcome_are_claimed_again() {
    on_every_engine(|fixture| {
        put(&fixture.spool, "m", b"hello\r\n", Due::At(0)).unwrap();
        let careless = claim_one(&fixture.spool, &Lane::unrouted(), 0);
        let _ = fixture.spool.record(&careless, &[(0, delivered())]).unwrap();
        let _ = fixture.spool.settle(careless, &[], Settlement::Done).unwrap();
        let crashed = claim_one(&fixture.spool, &Lane::unrouted(), 0);
        assert_eq!(crashed.recipients(), [1]);
        drop(crashed);
        let fixture = fixture.reopened();
        assert_eq!(claim_one(&fixture.spool, &Lane::unrouted(), 0).recipients(), [1]);
    });
}

#[test]
fn a_held_message_waits() {
    on_every_engine(|fixture| {
        put(&fixture.spool, "m", b"hello\r\n", Due::At(0)).unwrap();
        let claim = claim_one(&fixture.spool, &Lane::unrouted(), 0);
        let _ = fixture.spool.settle(claim, &[], Settlement::Hold).unwrap();
        let fixture = fixture.reopened();
        assert!(fixture.spool.claim(&worker(), &Lane::unrouted(), 10, i64::MAX).unwrap().is_empty());
        assert_eq!(fixture.reader.summary(&id("m")).unwrap().state(), MessageState::Held);
    });
}

#[test]
fn a_claim_takes_at_most_so_many_and_the_longest_due_first() {
    on_every_engine(|fixture| {
        for (name, due) in [("a", 30), ("b", 10), ("c", 20), ("d", 40)] {
            put(&fixture.spool, name, b"", Due::At(due)).unwrap();
        }
        let claims = fixture.spool.claim(&worker(), &Lane::unrouted(), 2, 35).unwrap();
        let names: Vec<_> = claims.iter().map(|claim| claim.id().as_str()).collect();
        assert_eq!(names, ["b", "c"]);
        assert_eq!(fixture.spool.claim(&worker(), &Lane::unrouted(), 9, 35).unwrap().len(), 1);
    });
}

/// One that was left would speak for the next message of that id, if a sender gives it again.
#[test]
fn the_record_of_a_message_goes_with_it() {
    for is_restarted in [false, true] {
        on_every_engine(|fixture| {
            put(&fixture.spool, "m", b"", Due::At(0)).unwrap();
            let claim = claim_one(&fixture.spool, &Lane::unrouted(), 0);
            let put_off = [0, 1].map(|number| (number, Outcome::Deferred("450 4.2.0 not now".to_owned())));
            assert_eq!(fixture.spool.settle(claim, &put_off, Settlement::RetryAt(10)).unwrap(), Settled::Ok);
            assert_eq!(fixture.disk().list(Folder::State).unwrap(), ["m"]);
            let fixture = if is_restarted { fixture.reopened() } else { fixture };
            let claim = claim_one(&fixture.spool, &Lane::unrouted(), 10);
            let taken = [0, 1].map(|number| (number, delivered()));
            assert_eq!(fixture.spool.settle(claim, &taken, Settlement::Done).unwrap(), Settled::Ok);
            assert!(fixture.disk().list(Folder::State).unwrap().is_empty(), "{} {is_restarted}", fixture.name);
        });
    }
}

#[test]
fn waiting_ends_with_a_change_and_sleeps_through_none() {
    on_every_engine(|fixture| {
        let seen = fixture.spool.wait(u64::MAX, Duration::from_secs(600));
        assert_eq!(fixture.spool.wait(seen, Duration::ZERO), seen);
        put(&fixture.spool, "m", b"", Due::At(0)).unwrap();
        // The change came before the wait, and the wait ends all the same.
        let seen = fixture.spool.wait(seen, Duration::from_secs(600));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| fixture.spool.wait(seen, Duration::from_secs(600)));
            put(&fixture.spool, "n", b"", Due::At(0)).unwrap();
            assert_ne!(waiting.join().unwrap(), seen);
        });
    });
}

#[test]
fn many_threads_commit_at_once() {
    on_every_engine(|fixture| {
        let source = IdSource::new(1).unwrap();
        let (threads, each) = (16, 12);
        let committed = std::sync::Mutex::new(std::collections::BTreeMap::new());
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let (spool, source, committed) = (fixture.spool.clone(), &source, &committed);
                scope.spawn(move || {
                    for turn in 0..each {
                        let (name, body) = (source.next(7).to_string(), octets(thread * 9_000 + turn));
                        put(&spool, &name, &body, Due::Kept).unwrap();
                        committed.lock().unwrap().insert(name, body);
                    }
                });
            }
        });
        let fixture = fixture.reopened();
        let committed = committed.into_inner().unwrap();
        assert_eq!(ids(&fixture.reader), committed.keys().cloned().collect::<Vec<_>>());
        for (name, body) in &committed {
            assert!(content(&fixture.reader, name) == *body, "{name}");
        }
    });
}

/// One message, committed by many at once: each is told that it is stored or that it is not known; it is there once.
#[test]
fn many_threads_commit_the_same_id() {
    on_every_engine(|fixture| {
        let stored = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| match put(&fixture.spool, "m", b"once\r\n", Due::At(0)) {
                    Ok(()) => drop(stored.fetch_add(1, std::sync::atomic::Ordering::Relaxed)),
                    Err(StoreError::Unknown { .. }) => {}
                    Err(error) => panic!("{error}"),
                });
            }
        });
        assert!(stored.into_inner() >= 1);
        assert_eq!(content(&fixture.reader, "m"), b"once\r\n");
        assert_eq!(fixture.spool.claim(&worker(), &Lane::unrouted(), 9, 0).unwrap().len(), 1);
    });
}

#[test]
fn a_reader_bears_messages_that_vanish() {
    on_every_engine(|fixture| {
        put(&fixture.spool, "a", b"", Due::Kept).unwrap();
        put(&fixture.spool, "b", b"", Due::Kept).unwrap();
        let mut list = fixture.reader.list().unwrap();
        assert!(list.next().unwrap().1.is_ok());
        fixture.spool.remove(&id("b")).unwrap();
        assert!(matches!(list.next().unwrap().1, Err(ReadError::Missing)));
        assert!(matches!(fixture.reader.verify(&id("b")), Err(ReadError::Missing)));
    });
}
