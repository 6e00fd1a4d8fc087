//! The maildrop: what others leave in it, who takes it, and what is left after a crash at any moment of either.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

mod support;

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::Arc;

use smtp_spool::disk::{Disk as _, Folder};
use smtp_spool::{
    Due, Fault, Lane, Maildrop, MemoryDisk, Options, Outcome, Owes, ReadError, Reader, Settlement, Spool, Store as _,
    StoreError, WorkerId,
};
use support::*;

const SURVIVORS: usize = 64;

/// Just longer than what is copied at once.
fn body(name: &str) -> Vec<u8> {
    octets(if name == "large" { 66_000 } else { 30 })
}

fn open(disk: &MemoryDisk) -> Option<Spool> {
    Spool::open_on(Arc::new(disk.clone()), Options::default()).ok().map(|(spool, _)| spool)
}

fn submit(disk: &MemoryDisk, name: &str) -> Result<(), StoreError> {
    Maildrop::on(Arc::new(disk.clone())).put(&id(name), &usual_envelope(), &body(name)[..])
}

/// Delivers all that can be claimed, and returns of which it is certain that it will not come again.
fn deliver_all(spool: &Spool) -> Vec<String> {
    let worker = WorkerId("worker".to_owned());
    let mut delivered = Vec::new();
    for claim in spool.claim(&worker, &Lane::unrouted(), 99, i64::MAX).unwrap_or_default() {
        let name = claim.id().to_string();
        let outcome = Outcome::Delivered("250 2.0.0 taken".to_owned(), Owes::Nothing);
        let outcomes: Vec<_> = claim.recipients().into_iter().map(|number| (number, outcome.clone())).collect();
        let _ = spool.settle(claim, &outcomes, Settlement::Done);
        delivered.push(name);
    }
    delivered
}

/// What submitters were told, and how often each message was handed over.
#[derive(Default)]
struct History {
    put: BTreeSet<&'static str>,
    delivered: Vec<String>,
}

/// Two come before the owner, one while it is there; one of them is delivered at once, one is put twice.
fn scenario(disk: &MemoryDisk) -> History {
    let mut history = History::default();
    let put = |name: &'static str, history: &mut History| {
        if submit(disk, name).is_ok() {
            history.put.insert(name);
        }
    };
    put("early", &mut history);
    put("large", &mut history);
    put("large", &mut history);
    let Some(spool) = open(disk) else { return history };
    history.delivered.extend(deliver_all(&spool));
    put("late", &mut history);
    spool.adopt();
    history.delivered.extend(deliver_all(&spool));
    put("last", &mut history);
    history
}

/// Opens what is found, delivers it all, and looks whether everything that was put was handed over. `most`: how often.
fn check(disk: &MemoryDisk, history: &History, most: usize, context: &str) {
    let (spool, report) = Spool::open_on(Arc::new(disk.clone()), Options::default()).unwrap();
    assert!(report.corrupt.is_empty() && report.left.is_empty(), "{context}: {report:?}");
    for folder in [Folder::Temporary, Folder::Maildrop, Folder::Corrupt] {
        assert_eq!(disk.list(folder).unwrap(), Vec::<std::ffi::OsString>::new(), "{context}: {}", folder.name());
    }
    let reader = Reader::on(Arc::new(disk.clone()));
    for name in ids(&reader) {
        assert_eq!(content(&reader, &name), body(&name), "{context}: {name}");
    }
    let delivered = [history.delivered.clone(), deliver_all(&spool)].concat();
    for name in &history.put {
        let times = delivered.iter().filter(|other| other == name).count();
        assert!((1..=most).contains(&times), "{context}: {name} was handed over {times} times");
    }
}

fn operations(scenario: impl Fn(&MemoryDisk) -> History) -> Vec<String> {
    let disk = MemoryDisk::new();
    let history = scenario(&disk);
    assert_eq!(history.put.len(), 4);
    assert_eq!(history.delivered, ["early", "large", "late"]);
    let operations = disk.operations();
    check(&disk, &history, 1, "undisturbed");
    operations
}

#[test]
fn the_order_is_link_then_sync_then_unlink_then_sync() {
    let disk = MemoryDisk::new();
    let spool = open(&disk).unwrap();
    let before = disk.operations().len();
    submit(&disk, "m").unwrap();
    let put = disk.operations().split_off(before);
    let file = put[0].strip_prefix("create ").unwrap().to_owned();
    assert!(file.starts_with("maildrop/.m."), "{file}");
    let end = [
        format!("sync {file}"),
        "open maildrop".to_owned(),
        format!("rename {file} maildrop/m"),
        "sync maildrop".to_owned(),
    ];
    assert!(put.ends_with(&end), "{put:?}");
    assert_eq!(spool.adopt(), 1);
    let adoption = disk.operations().split_off(before + put.len());
    let changes =
        adoption.iter().filter(|operation| !operation.starts_with("read ") && !operation.starts_with("open "));
    let expected = ["list maildrop", "link maildrop/m new/m", "sync new", "remove maildrop/m", "sync maildrop"];
    assert_eq!(changes.collect::<Vec<_>>(), expected);
    // An empty one costs a listing.
    let before = disk.operations().len();
    assert_eq!(spool.adopt(), 0);
    assert_eq!(disk.operations().split_off(before), ["list maildrop"]);
}

/// Nothing that was acknowledged is lost, and nothing whose delivery is on disk comes again.
#[test]
fn power_cut_before_every_operation() {
    let operations = operations(scenario);
    for cut in 0..=operations.len() {
        let disk = MemoryDisk::new();
        disk.cut_power_at(cut);
        let history = scenario(&disk);
        // Only a cut between a delivery and the end of its removal may deliver again.
        let is_removing = operations[..cut].iter().any(|operation| operation.starts_with("link "));
        for (number, survivor) in disk.survivors(SURVIVORS).iter().enumerate() {
            check(survivor, &history, if is_removing { 2 } else { 1 }, &format!("cut at {cut}, survivor {number}"));
        }
    }
}

/// Once a delivery is on disk, no cut brings the message back by way of the maildrop.
#[test]
fn what_is_delivered_does_not_come_back_out_of_the_maildrop() {
    for cut in 0..=operations(scenario).len() {
        let disk = MemoryDisk::new();
        disk.cut_power_at(cut);
        let history = scenario(&disk);
        for survivor in disk.survivors(SURVIVORS) {
            let left: Vec<_> = survivor.list(Folder::Maildrop).unwrap();
            for name in &history.delivered {
                assert!(!left.iter().any(|other| other.to_str() == Some(name)), "cut at {cut}: {name}");
            }
        }
    }
}

#[test]
fn process_killed_before_every_operation() {
    for cut in 0..=operations(scenario).len() {
        let disk = MemoryDisk::new();
        disk.cut_power_at(cut);
        let history = scenario(&disk);
        disk.restore_power();
        check(&disk, &history, 2, &format!("kill at {cut}"));
    }
}

#[test]
fn power_cut_before_every_operation_of_the_next_start() {
    for cut in 0..=operations(scenario).len() {
        let disk = MemoryDisk::new();
        disk.cut_power_at(cut);
        let history = scenario(&disk);
        for (number, survivor) in disk.survivors(2).into_iter().enumerate() {
            let count = {
                let trial = survivor.duplicate();
                drop(open(&trial).unwrap());
                trial.operations().len()
            };
            for second_cut in 0..=count {
                let again = survivor.duplicate();
                again.cut_power_at(second_cut);
                drop(open(&again));
                for found in again.survivors(4) {
                    check(&found, &history, 2, &format!("cut at {cut}, survivor {number}, cut at {second_cut}"));
                }
            }
        }
    }
}

/// Whichever operation fails: nothing is lost, not even with a power cut on top, and this process delivers nothing twice.
#[test]
fn every_operation_fails_once() {
    let count = operations(scenario).len();
    let faults = [Fault::Error(io::ErrorKind::Other), Fault::ErrorAfterEffect(io::ErrorKind::Other)];
    for (number, fault) in (0..count).flat_map(|number| faults.map(|fault| (number, fault))) {
        let disk = MemoryDisk::new();
        disk.fail_at(number, fault);
        let history = scenario(&disk);
        let context = format!("{fault:?} at {number}: {}", disk.operations()[number]);
        for name in &history.delivered {
            let times = history.delivered.iter().filter(|other| *other == name).count();
            assert_eq!(times, 1, "{context}: {name}");
        }
        for (number, survivor) in disk.survivors(8).iter().enumerate() {
            check(survivor, &history, 2, &format!("{context}, survivor {number}"));
        }
        disk.mend();
        check(&disk, &history, 2, &context);
    }
}

#[test]
fn every_operation_fails_from_some_point_on() {
    for number in 0..operations(scenario).len() {
        let disk = MemoryDisk::new();
        disk.fail_from(number, io::ErrorKind::Other);
        let history = scenario(&disk);
        for survivor in disk.survivors(8) {
            check(&survivor, &history, 2, &format!("broken from {number}"));
        }
        disk.mend();
        check(&disk, &history, 2, &format!("broken from {number} and mended"));
    }
}

#[test]
fn what_does_not_prove_itself_is_set_aside_once() {
    let disk = MemoryDisk::new();
    submit(&disk, "good").unwrap();
    let mut octets = disk.octets(&Folder::Maildrop.entry("good")).unwrap();
    // Another name, a flipped bit of the content, a torn end.
    disk.plant(&Folder::Maildrop.entry("renamed"), &octets);
    octets[20] ^= 1;
    disk.plant(&Folder::Maildrop.entry("flipped"), &octets);
    disk.plant(&Folder::Maildrop.entry("torn"), &octets[..octets.len() - 1]);
    // What nobody has put there as a message.
    disk.plant(&Folder::Maildrop.entry("empty"), b"");
    disk.plant(&Folder::Maildrop.entry("junk"), b"Subject: a message, but not one of a spool\r\n\r\n");
    disk.plant(&Folder::Maildrop.entry("no_id"), b"");
    let reader = Reader::on(Arc::new(disk.clone()));
    let strangers = ["empty", "junk", "no_id"];
    assert_eq!(reader.strangers().unwrap(), strangers.map(|name| Folder::Maildrop.entry(name)));
    assert!(matches!(reader.summary(&id("junk")), Err(ReadError::Missing)));
    let spool = open(&disk).unwrap();
    assert_eq!(spool.queued(), [id("good")]);
    assert_eq!(disk.list(Folder::Corrupt).unwrap(), ["flipped", "renamed", "torn"]);
    assert_eq!(disk.list(Folder::Maildrop).unwrap(), strangers);
    assert_eq!(spool.adopt(), 0);
    assert_eq!(disk.list(Folder::Corrupt).unwrap().len(), 3);
    assert_eq!(disk.list(Folder::Maildrop).unwrap(), strangers);
}

/// A content that shows the disk while the submitter is at work.
struct Slow<'a>(&'a dyn Fn(), usize);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (self.0)();
        self.1 = self.1.saturating_sub(1);
        buffer[0] = b'x';
        Ok(usize::from(self.1 > 0))
    }
}

/// The owner removes what killed submitters have left, and nothing that is still growing.
#[test]
fn unfinished_files() {
    on_every_engine(|fixture| {
        let maildrop = Maildrop::on(fixture.disk());
        let look = fixture.disk();
        drop(look.create(&Folder::Maildrop.entry(".left.0123456789abcdef")).unwrap());
        let adopt = || assert_eq!(fixture.spool.adopt(), 0);
        maildrop.put(&id("m"), &usual_envelope(), Slow(&adopt, 3)).unwrap();
        let names = look.list(Folder::Maildrop).unwrap();
        assert_eq!(names.len(), 2, "{}: the dead one stays as long as a living one is there: {names:?}", fixture.name);
        assert_eq!(fixture.spool.adopt(), 1);
        assert!(look.list(Folder::Maildrop).unwrap().is_empty(), "{}", fixture.name);
        assert_eq!(content(&fixture.reader, "m"), b"xx");
    });
}

#[test]
fn readers_see_it_before_and_after() {
    on_every_engine(|fixture| {
        let maildrop = Maildrop::on(fixture.disk());
        maildrop.put(&id("m"), &usual_envelope(), &b"text"[..]).unwrap();
        let summary = || fixture.reader.summary(&id("m")).unwrap();
        let before = summary();
        assert_eq!((ids(&fixture.reader), before.due), (vec!["m".to_owned()], Due::At(1_763_880_000)));
        assert_eq!(fixture.reader.entry(&id("m")), Folder::Maildrop.entry("m"));
        assert_eq!(content(&fixture.reader, "m"), b"text");
        assert_eq!((fixture.spool.adopt(), fixture.spool.queued()), (1, vec![id("m")]));
        assert_eq!((summary(), ids(&fixture.reader)), (before, vec!["m".to_owned()]));
        assert_eq!(fixture.reader.entry(&id("m")), Folder::New.entry("m"));
        assert!(fixture.reader.strangers().unwrap().is_empty());
    });
}

/// Many at once do not keep the first from being delivered, and a start takes them all.
#[test]
fn a_hundred_at_a_time() {
    let disk = MemoryDisk::new();
    let spool = open(&disk).unwrap();
    let put =
        |numbers: std::ops::Range<u32>| numbers.for_each(|number| submit(&disk, &format!("m{number:03}")).unwrap());
    put(0..150);
    disk.plant(&Folder::Maildrop.entry("no_id"), b"");
    assert_eq!([spool.adopt(), spool.adopt(), spool.adopt()], [100, 50, 0]);
    put(150..300);
    drop(spool);
    assert_eq!(open(&disk).unwrap().queued().len(), 300);
}

/// Should a power cut bring back the name of a message that was adopted and delivered, it is adopted again, so who delivers must
/// look.
#[test]
fn the_first_claim_of_an_adopted_message_may_not_be_the_first() {
    on_every_engine(|fixture| {
        Maildrop::on(fixture.disk()).put(&id("m"), &usual_envelope(), &b"text"[..]).unwrap();
        assert_eq!(fixture.spool.adopt(), 1);
        let worker = WorkerId("worker".to_owned());
        let claims = fixture.spool.claim(&worker, &Lane::unrouted(), 1, i64::MAX).unwrap();
        assert!(!claims[0].is_first());
    });
}

/// The same id twice, before and after it was adopted, is one message.
#[test]
fn an_id_counts_once() {
    on_every_engine(|fixture| {
        let maildrop = Maildrop::on(fixture.disk());
        let put = || maildrop.put(&id("m"), &usual_envelope(), &b"text"[..]).unwrap();
        put();
        put();
        assert_eq!(fixture.spool.adopt(), 1);
        put();
        assert_eq!(fixture.spool.adopt(), 0);
        assert_eq!((ids(&fixture.reader), fixture.spool.queued().len()), (vec!["m".to_owned()], 1));
        assert!(fixture.disk().list(Folder::Maildrop).unwrap().is_empty());
    });
}

#[test]
fn content_that_breaks_off_leaves_nothing() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    on_every_engine(|fixture| {
        let error = Maildrop::on(fixture.disk()).put(&id("m"), &usual_envelope(), Broken).unwrap_err();
        assert!(error.to_string().contains("reading message m"), "{error}");
        assert!(fixture.disk().list(Folder::Maildrop).unwrap().is_empty());
    });
}

/// Many submitters, and an owner that looks all the time: each message once.
#[test]
fn submitters_side_by_side() {
    on_every_engine(|fixture| {
        let adopted = std::thread::scope(|scope| {
            let submitters: Vec<_> = (0..4)
                .map(|submitter| {
                    let maildrop = Maildrop::on(fixture.disk());
                    scope.spawn(move || {
                        for number in 0..10 {
                            let name = format!("m-{submitter}-{number}");
                            maildrop.put(&id(&name), &usual_envelope(), name.as_bytes()).unwrap();
                        }
                    })
                })
                .collect();
            let mut adopted = 0;
            while submitters.iter().any(|submitter| !submitter.is_finished()) {
                adopted += fixture.spool.adopt();
            }
            adopted + fixture.spool.adopt()
        });
        assert_eq!((adopted, fixture.spool.queued().len()), (40, 40), "{}", fixture.name);
    });
}
