//! A disk that fails or loses power at every single operation, and what must hold afterwards.
//!
//! One scenario is run over and over: once undisturbed, to count its operations; then with a power cut before each of
//! them, and for each cut on every disk that may be found afterwards; then with each of them going wrong. The history
//! notes what the caller was told. What must hold:
//!
//! * acknowledged: present, whole;
//! * refused: absent; after a crash at most a duplicate, whole;
//! * nothing else is there, nothing partial, nothing in `tmp/` after recovery, and nothing in `corrupt/`: cuts and
//!   failures never make a file that does not prove itself.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

mod support;

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, LazyLock};

use smtp_spool::disk::{Disk as _, Folder};
use smtp_spool::{
    Due, Fault, Lane, MemoryDisk, Options, Outcome, Owes, Reader, Settled, Settlement, Spool, Status, Store as _,
    StoreError, WorkerId,
};
use support::*;

/// Disks that are looked at after a power cut during healthy work: usually all there can be.
const SURVIVORS: usize = 64;

/// Disks that are looked at after a failure, when much more is uncertain and each failure is tried in several ways.
const SURVIVORS_OF_FAILURE: usize = 8;

/// What the caller of the scenario was told.
#[derive(Default)]
struct History {
    stored: BTreeSet<&'static str>,
    refused: BTreeSet<&'static str>,
    errors: Vec<StoreError>,
    /// Removal was asked for, so the message may be absent or present.
    removing: BTreeSet<&'static str>,
    /// Delivery of these recipients of `queued` is on disk.
    delivered: BTreeSet<usize>,
}

/// What each message of the scenario holds. `large` is just longer than what waits in memory, and has a file of its own.
fn body(name: &str) -> &'static [u8] {
    static LARGE: LazyLock<Vec<u8>> = LazyLock::new(|| octets(132_000));
    match name {
        "small" => b"Subject: small\r\n\r\nfew words\r\n",
        "large" => &LARGE,
        _ => b"Subject: queued\r\n\r\nto be delivered\r\n",
    }
}

fn worker() -> WorkerId {
    WorkerId("worker".to_owned())
}

fn open(disk: &MemoryDisk) -> Option<Spool> {
    Spool::open_on(Arc::new(disk.clone()), Options::default()).ok().map(|(spool, _)| spool)
}

/// Three messages come in, one comes twice, one is removed, one is delivered in two attempts.
fn scenario(spool: &Spool) -> History {
    let mut history = History::default();
    for (name, due) in [("small", Due::Kept), ("large", Due::Kept), ("queued", Due::At(0)), ("large", Due::Kept)] {
        match put(spool, name, body(name), due) {
            Ok(()) => {
                history.refused.remove(name);
                history.stored.insert(name);
            }
            Err(error) => {
                // A repetition that fails takes nothing back.
                if !history.stored.contains(name) {
                    history.refused.insert(name);
                }
                history.errors.push(error);
            }
        }
    }
    history.removing.insert("small");
    let _ = spool.remove(&id("small"));
    deliver(spool, 0, Settlement::RetryAt(10), 0, &mut history);
    deliver(spool, 1, Settlement::Done, 10, &mut history);
    history
}

/// One recipient is delivered to, then the claim is settled.
fn deliver(spool: &Spool, recipient: usize, settlement: Settlement, now: i64, history: &mut History) {
    for claim in spool.claim(&worker(), &Lane::unrouted(), 9, now).unwrap_or_default() {
        let outcome = Outcome::Delivered("250 2.0.0 taken".to_owned(), Owes::Nothing);
        if matches!(spool.record(&claim, &[(recipient, outcome.clone())]), Ok(Settled::Ok)) {
            history.delivered.insert(recipient);
        }
        if recipient == 1 {
            history.removing.insert("queued");
        }
        let _ = spool.settle(claim, &[], settlement);
    }
}

/// Opens what is found on a disk and checks that it is what history allows.
fn check(disk: &MemoryDisk, history: &History, is_after_crash: bool, context: &str) {
    let (spool, report) = Spool::open_on(Arc::new(disk.clone()), Options::default()).unwrap();
    assert!(report.corrupt.is_empty() && report.left.is_empty(), "{context}: {report:?}");
    assert!(disk.list(Folder::Temporary).unwrap().is_empty(), "{context}");
    let reader = Reader::on(Arc::new(disk.clone()));
    let mut found = BTreeSet::new();
    for (id, summary) in reader.list().unwrap() {
        let summary = summary.unwrap_or_else(|error| panic!("{context}: {id}: {error}"));
        assert!(content(&reader, id.as_str()) == body(id.as_str()), "{context}: {id} is not whole");
        assert_eq!(summary.envelope, usual_envelope(), "{context}");
        let delivered = summary.recipients.iter().map(|recipient| recipient.status == Status::Delivered);
        for (number, is_delivered) in delivered.enumerate() {
            assert!(is_delivered || !history.delivered.contains(&number), "{context}: {number} would get it again");
        }
        found.insert(id.to_string());
    }
    for name in ["small", "large", "queued"] {
        let is_found = found.remove(name);
        let must_be = history.stored.contains(name) && !history.removing.contains(name);
        let may_not_be = history.refused.contains(name) && !is_after_crash;
        assert!(is_found || !must_be, "{context}: {name} is lost");
        assert!(!is_found || !may_not_be, "{context}: {name} was refused and is there");
    }
    assert!(found.is_empty(), "{context}: invented {found:?}");
    drop(spool);
}

/// Runs the scenario on a disk that was prepared.
fn run(disk: &MemoryDisk) -> History {
    open(disk).map(|spool| scenario(&spool)).unwrap_or_default()
}

fn count_operations() -> usize {
    let disk = MemoryDisk::new();
    let history = run(&disk);
    let count = disk.operations().len();
    assert_eq!((history.stored.len(), history.delivered.len()), (3, 2));
    check(&disk, &history, false, "undisturbed");
    count
}

/// The operations of a commit; what is random in the name of a segment is left out.
fn operations_of(disk: &MemoryDisk, spool: &Spool, name: &str, length: usize) -> Vec<String> {
    let before = disk.operations().len();
    put(spool, name, &octets(length), Due::Kept).unwrap();
    let mut operations = disk.operations().split_off(before);
    for operation in &mut operations {
        if let Some(at) = operation.find("journal/") {
            operation.truncate(at + "journal/00000001".len());
        }
    }
    operations.dedup();
    operations
}

#[test]
fn a_large_message_is_synced_then_renamed_then_its_folder_is_synced() {
    let disk = MemoryDisk::new();
    let spool = open(&disk).unwrap();
    let file = "tmp/0";
    let expected = [
        format!("create {file}"),
        format!("write {file}"),
        format!("sync {file}"),
        "open new".to_owned(),
        format!("rename {file} new/m"),
        "sync new".to_owned(),
    ];
    assert_eq!(operations_of(&disk, &spool, "m", 200_000), expected);
}

#[test]
fn a_small_message_is_written_to_the_journal_and_synced() {
    let disk = MemoryDisk::new();
    let spool = open(&disk).unwrap();
    let batch = ["write journal/00000001", "sync journal/00000001"];
    let first = ["open journal", "create journal/00000001", "sync journal"];
    let filled = [batch[0], "fill journal/00000001", batch[1]];
    assert_eq!(operations_of(&disk, &spool, "a", 10), [&first[..], &filled[..]].concat());
    assert_eq!(operations_of(&disk, &spool, "c", 10), batch);
    assert_eq!(operations_of(&disk, &spool, "b", 100_000), batch);
}

/// Rows N001, N274: what was acknowledged is there after a crash at any moment.
#[test]
fn power_cut_before_every_operation() {
    for cut in 0..=count_operations() {
        let disk = MemoryDisk::new();
        disk.cut_power_at(cut);
        let history = run(&disk);
        for (number, survivor) in disk.survivors(SURVIVORS).iter().enumerate() {
            check(survivor, &history, true, &format!("cut at {cut}, survivor {number}"));
        }
    }
}

/// A kill of the process, not of the machine: everything that was done is seen, synced or not.
#[test]
fn process_killed_before_every_operation() {
    for cut in 0..=count_operations() {
        let disk = MemoryDisk::new();
        disk.cut_power_at(cut);
        let history = run(&disk);
        disk.restore_power();
        check(&disk, &history, true, &format!("kill at {cut}"));
        // What recovery has looked at must be durable from then on, or two starts would tell two stories.
        let found = ids(&Reader::on(Arc::new(disk.clone())));
        for survivor in disk.survivors(SURVIVORS) {
            assert_eq!(ids(&Reader::on(Arc::new(survivor))), found, "kill at {cut}, then a power cut");
        }
    }
}

#[test]
fn power_cut_before_every_operation_of_recovery() {
    for cut in 0..=count_operations() {
        let disk = MemoryDisk::new();
        disk.cut_power_at(cut);
        let history = run(&disk);
        for (number, survivor) in disk.survivors(4).into_iter().enumerate() {
            let operations = {
                let trial = survivor.duplicate();
                open(&trial).unwrap();
                trial.operations().len()
            };
            for second_cut in 0..=operations {
                let again = survivor.duplicate();
                again.cut_power_at(second_cut);
                let _ = open(&again);
                for found in again.survivors(4) {
                    check(&found, &history, true, &format!("cut at {cut}, survivor {number}, cut at {second_cut}"));
                }
            }
        }
    }
}

/// Which operations belong to the scenario, and neither to the opening, where an error ends the program, nor to the closing,
/// where it is no matter.
fn operations_of_scenario() -> std::ops::Range<usize> {
    let disk = MemoryDisk::new();
    let spool = open(&disk).unwrap();
    let begin = disk.operations().len();
    scenario(&spool);
    begin..disk.operations().len()
}

/// Row N180: what was refused is not delivered by this process, whichever operation was in its way.
#[test]
fn every_operation_fails_once() {
    let faults = [
        Fault::Error(io::ErrorKind::StorageFull),
        Fault::Error(io::ErrorKind::QuotaExceeded),
        Fault::Error(io::ErrorKind::Other),
        Fault::ErrorAfterEffect(io::ErrorKind::StorageFull),
        Fault::ErrorAfterEffect(io::ErrorKind::Other),
    ];
    for number in operations_of_scenario() {
        for fault in faults {
            let disk = MemoryDisk::new();
            let spool = open(&disk).unwrap();
            disk.fail_at(number, fault);
            let history = scenario(&spool);
            let context = format!("{fault:?} at {number}: {}", disk.operations()[number]);
            assert!(history.errors.len() <= 1, "{context}");
            for error in &history.errors {
                let is_space = !matches!(
                    fault,
                    Fault::Error(io::ErrorKind::Other) | Fault::ErrorAfterEffect(io::ErrorKind::Other)
                );
                assert_eq!(error.is_full(), is_space, "{context}: {error}");
            }
            // It recovers by itself.
            put(&spool, "afterwards", b"", Due::Kept).unwrap_or_else(|error| panic!("{context}: {error}"));
            spool.remove(&id("afterwards")).unwrap();
            for survivor in disk.survivors(SURVIVORS_OF_FAILURE) {
                check(&survivor, &history, true, &format!("{context}, then a power cut"));
            }
            drop(spool);
            check(&disk, &history, false, &context);
        }
    }
}

#[test]
fn short_writes_change_nothing() {
    let disk = MemoryDisk::new();
    let spool = open(&disk).unwrap();
    (0..10_000).for_each(|number| disk.fail_at(number, Fault::ShortWrite));
    let history = scenario(&spool);
    assert_eq!((history.stored.len(), history.delivered.len()), (3, 2));
    drop(spool);
    check(&disk, &history, false, "short writes");
}

/// From some operation on nothing works any more, not even removal: what was refused may lie there, but this process
/// neither delivers it nor takes it for stored.
#[test]
fn every_operation_fails_from_some_point_on() {
    for number in operations_of_scenario() {
        let disk = MemoryDisk::new();
        let spool = open(&disk).unwrap();
        disk.fail_from(number, io::ErrorKind::Other);
        let mut history = scenario(&spool);
        disk.mend();
        let claims = spool.claim(&worker(), &Lane::unrouted(), 9, 1_000).unwrap();
        for claim in claims {
            assert!(history.stored.contains(claim.id().as_str()), "broken from {number}: {}", claim.id());
        }
        for name in std::mem::take(&mut history.refused) {
            // What lies there of the first try is not taken for stored: whoever is told "stored" now can rely on it.
            if put(&spool, name, body(name), Due::Kept).is_ok() {
                history.stored.insert(name);
            }
        }
        for survivor in disk.survivors(SURVIVORS_OF_FAILURE) {
            check(&survivor, &history, true, &format!("broken from {number}"));
        }
    }
}

/// An error of reading during recovery is not corruption: nothing is moved, and the next start finds everything.
#[test]
fn every_operation_of_recovery_fails_once() {
    let disk = MemoryDisk::new();
    let spool = open(&disk).unwrap();
    for (name, due) in [("small", Due::Kept), ("large", Due::Kept), ("queued", Due::At(0))] {
        put(&spool, name, body(name), due).unwrap();
    }
    let mut history = History { stored: BTreeSet::from(["small", "large", "queued"]), ..History::default() };
    deliver(&spool, 0, Settlement::RetryAt(10), 0, &mut history);
    drop(spool);
    let operations = {
        let trial = disk.duplicate();
        open(&trial).unwrap();
        trial.operations().len()
    };
    for number in 0..operations {
        let again = disk.duplicate();
        again.fail_at(number, Fault::Error(io::ErrorKind::Other));
        if let Some(spool) = open(&again) {
            let claims = spool.claim(&worker(), &Lane::unrouted(), 9, 1_000).unwrap();
            assert!(claims.iter().all(|claim| claim.recipients() == [1]), "{}", again.operations()[number]);
        }
        again.mend();
        check(&again, &history, false, &format!("recovery fails at {number}"));
    }
}

/// The first outcome of a message makes its record. However that fails, the next outcome is durable when it says so.
#[test]
fn a_record_that_could_not_be_made_is_made_anew() {
    let faults = [Fault::Error(io::ErrorKind::Other), Fault::ErrorAfterEffect(io::ErrorKind::Other)];
    for (step, fault) in (0..6).flat_map(|step| faults.map(|fault| (step, fault))) {
        let disk = MemoryDisk::new();
        let spool = open(&disk).unwrap();
        put(&spool, "queued", body("queued"), Due::At(0)).unwrap();
        let claim = spool.claim(&worker(), &Lane::unrouted(), 1, 0).unwrap().remove(0);
        disk.fail_at(disk.operations().len() + step, fault);
        let outcome = Outcome::Delivered("250 2.0.0 taken".to_owned(), Owes::Nothing);
        let _ = spool.record(&claim, &[(0, outcome.clone())]);
        assert_eq!(spool.record(&claim, &[(1, outcome.clone())]).unwrap(), Settled::Ok, "{fault:?} at {step}");
        for survivor in disk.survivors(SURVIVORS) {
            let recipients = Reader::on(Arc::new(survivor)).summary(&id("queued")).unwrap().recipients;
            assert_eq!(recipients[1].status, Status::Delivered, "{fault:?} at {step}");
        }
    }
}

/// A power cut in the middle of a line; the lines after it must not be swallowed by it.
#[test]
fn a_record_goes_on_behind_a_torn_line() {
    let disk = MemoryDisk::new();
    put(&open(&disk).unwrap(), "queued", body("queued"), Due::At(0)).unwrap();
    disk.plant(&Folder::State.entry("queued"), b"5f1d23a0 1 deli");
    let mut history = History { stored: BTreeSet::from(["queued"]), ..History::default() };
    deliver(&open(&disk).unwrap(), 0, Settlement::RetryAt(10), 0, &mut history);
    assert_eq!(history.delivered, BTreeSet::from([0]));
    check(&disk, &history, false, "torn line");
    let summary = Reader::on(Arc::new(disk.clone())).summary(&id("queued")).unwrap();
    assert_eq!(summary.recipients[1].status, Status::Due(10));
}

/// A second commit of a large message that fails, wherever it does, does not make the first one be forgotten.
#[test]
fn a_failed_second_commit_leaves_the_id_taken() {
    let (large, small) = (vec![b'x'; 200_000], b"another\r\n");
    for step in 0..6 {
        let disk = MemoryDisk::new();
        let spool = open(&disk).unwrap();
        put(&spool, "m", &large, Due::At(0)).unwrap();
        disk.fail_at(disk.operations().len() + step, Fault::Error(io::ErrorKind::Other));
        let _ = put(&spool, "m", &large, Due::At(0));
        disk.mend();
        put(&spool, "m", small, Due::At(0)).unwrap();
        let reader = Reader::on(Arc::new(disk.clone()));
        assert_eq!(content(&reader, "m"), large, "step {step}");
        assert!(disk.list(Folder::Journal).unwrap().is_empty(), "step {step}: it is there twice");
    }
}
