//! The journal: what is damaged in it, what becomes of its segments, and what it has in common with files.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

mod support;

use std::sync::Arc;

use smtp_spool::disk::{Disk as _, Entry, Folder};
use smtp_spool::{
    Due, Fault, Lane, MemoryDisk, MessageState, Options, Outcome, Owes, Reader, RecoveryReport, Settled, Settlement,
    Spool, Store as _, WorkerId,
};
use support::*;

/// Octets of the line before a message.
const LINE_OCTETS: usize = 44;

/// Octets of a segment behind which the next one is begun.
const SEGMENT_OCTETS: usize = 64 << 20;

fn open(disk: &MemoryDisk) -> (Spool, RecoveryReport) {
    Spool::open_on(Arc::new(disk.clone()), Options::default()).unwrap()
}

fn reader(disk: &MemoryDisk) -> Reader {
    Reader::on(Arc::new(disk.clone()))
}

/// The files in a folder, in order.
fn entries(disk: &MemoryDisk, folder: Folder) -> Vec<Entry> {
    let mut names = disk.list(folder).unwrap();
    names.sort();
    names.into_iter().map(|name| folder.entry(name)).collect()
}

fn is_segment(entry: &Entry) -> bool {
    !entry.name.to_str().unwrap().contains('.')
}

fn segments(disk: &MemoryDisk) -> Vec<Entry> {
    entries(disk, Folder::Journal).into_iter().filter(is_segment).collect()
}

/// A disk with three messages of the same length in one segment.
fn three() -> MemoryDisk {
    let disk = MemoryDisk::new();
    let (spool, _) = open(&disk);
    for name in ["one", "two", "six"] {
        put(&spool, name, b"Subject: x\r\n\r\ntext\r\n", Due::At(0)).unwrap();
    }
    disk
}

/// The same disk as it is when the process was killed: nothing says where the segment ends.
fn three_killed() -> MemoryDisk {
    let disk = three();
    for entry in entries(&disk, Folder::Journal).iter().filter(|entry| !is_segment(entry)) {
        disk.remove(entry).unwrap();
    }
    disk
}

/// Delivers everything that is due, and says what it was.
fn deliver(spool: &Spool) -> Vec<String> {
    let worker = WorkerId("w".to_owned());
    let mut delivered = Vec::new();
    for claim in spool.claim(&worker, &Lane::unrouted(), 100_000, i64::MAX).unwrap() {
        delivered.push(claim.id().to_string());
        let outcome = |number: &usize| (*number, Outcome::Delivered("250 ok".to_owned(), Owes::Nothing));
        let outcomes: Vec<_> = claim.recipients().iter().map(outcome).collect();
        assert_eq!(spool.settle(claim, &outcomes, Settlement::Done).unwrap(), Settled::Ok);
    }
    delivered.sort();
    delivered
}

/// One flipped octet costs one message at most, which is found out, and no other; a damaged line costs none.
#[test]
fn every_flipped_octet_of_a_segment() {
    for whole in [three(), three_killed()] {
        let is_closed = entries(&whole, Folder::Journal).len() == 2;
        let segment = segments(&whole).remove(0);
        let octets = whole.octets(&segment).unwrap();
        let written = without_zeros(&octets).len();
        let length = written / 3;
        for place in 0..written {
            let mut damaged = octets.clone();
            damaged[place] ^= if place % 2 == 0 { 0x01 } else { 0x80 };
            let disk = whole.duplicate();
            disk.plant(&segment, &damaged);
            let context = format!("octet {place}, closed {is_closed}");
            let (spool, report) = open(&disk);
            let delivered = deliver(&spool);
            let names = ["one", "two", "six"];
            let hit = names[(place / length).min(2)];
            for name in names.iter().filter(|name| **name != hit) {
                assert!(delivered.iter().any(|other| other == name), "{context}: {name} is lost");
            }
            let is_in_line = place % length < LINE_OCTETS;
            let is_delivered = delivered.iter().any(|name| name == hit);
            let is_at_open_end = !is_closed && hit == "six";
            if is_in_line && !is_at_open_end {
                assert!(is_delivered, "{context}: a damaged line has cost a message");
            } else if !is_in_line {
                assert!(!is_delivered, "{context}: a damaged message was delivered");
                let is_kept = !entries(&disk, Folder::Corrupt).is_empty();
                assert!(is_kept || is_at_open_end, "{context}: nothing was kept for a human: {report:?}");
            }
            drop(spool);
            // A second look finds nothing new.
            let (spool, report) = open(&disk);
            assert!(report.corrupt.is_empty() && report.left.is_empty(), "{context}: {report:?}");
            assert!(deliver(&spool).is_empty(), "{context}: delivered again");
        }
    }
}

/// A segment that was cut short, or whose end was not written over the zeros that were there, loses that and nothing else.
#[test]
fn every_truncated_length_of_a_segment() {
    let whole = three_killed();
    let segment = segments(&whole).remove(0);
    let filled = whole.octets(&segment).unwrap();
    let octets = without_zeros(&filled);
    let ends: Vec<_> =
        octets.windows(6).enumerate().filter(|(_, window)| *window == b" END\r\n").map(|(at, _)| at + 6).collect();
    for (length, is_filled) in (0..=octets.len()).flat_map(|length| [(length, false), (length, true)]) {
        let disk = whole.duplicate();
        let mut torn = octets[..length].to_vec();
        torn.resize(if is_filled { filled.len() } else { length }, 0);
        disk.plant(&segment, &torn);
        let expected = ends.iter().filter(|end| **end <= length).count();
        let (spool, report) = open(&disk);
        assert_eq!(report.queued_messages, expected, "length {length}");
        // And the next message is not hurt by what was torn.
        put(&spool, "next", b"text\r\n", Due::At(0)).unwrap();
        drop(spool);
        assert_eq!(deliver(&open(&disk).0).len(), expected + 1, "length {length}");
    }
}

/// A start that comes behind damage says so once, keeps it for a human, and `check` has announced it.
#[test]
fn damage_is_announced_and_moved_to_corrupt() {
    let disk = three();
    let segment = segments(&disk).remove(0);
    let mut octets = disk.octets(&segment).unwrap();
    let length = without_zeros(&octets).len() / 3;
    // The end mark of the first message.
    octets[length - 4] ^= 1;
    disk.plant(&segment, &octets);
    let announced = reader(&disk).damage().unwrap();
    assert_eq!(announced.len(), 1);
    let (_, report) = open(&disk);
    assert_eq!(report.corrupt.len(), 1);
    assert_eq!(
        (report.corrupt[0].entry.clone(), report.corrupt[0].reason.clone()),
        (announced[0].0.to_string(), announced[0].1.clone())
    );
    let moved = entries(&disk, Folder::Corrupt).remove(0);
    assert_eq!(disk.octets(&moved).unwrap(), octets[..length]);
    assert!(reader(&disk).damage().unwrap().is_empty());
}

/// A message that holds the beginning of a message must not become one, whatever happens around it.
#[test]
fn a_message_within_a_message_stays_text() {
    let disk = three_killed();
    let segment = segments(&disk).remove(0);
    // With a nonce that is not that of the next segment, since nobody can know that.
    let forged = without_zeros(&disk.octets(&segment).unwrap()).to_vec();
    let disk = MemoryDisk::new();
    let (spool, _) = open(&disk);
    put(&spool, "carrier", &forged, Due::At(0)).unwrap();
    put(&spool, "next", b"text\r\n", Due::At(0)).unwrap();
    drop(spool);
    let segment = segments(&disk).remove(0);
    let mut octets = disk.octets(&segment).unwrap();
    octets[3] ^= 1;
    octets[LINE_OCTETS + 3] ^= 1;
    disk.plant(&segment, &octets);
    assert_eq!(deliver(&open(&disk).0), ["next"]);
}

/// What was begun before the power went is not taken for a message later, and nothing is ever written behind it.
#[test]
fn each_run_writes_a_segment_of_its_own() {
    let disk = MemoryDisk::new();
    for (run, name) in ["a", "b", "c"].into_iter().enumerate() {
        let (spool, _) = open(&disk);
        assert_eq!(segments(&disk).len(), run, "none before the first message");
        put(&spool, name, b"text\r\n", Due::Kept).unwrap();
        drop(spool);
    }
    assert_eq!(segments(&disk).len(), 3);
    assert_eq!(ids(&reader(&disk)), ["a", "b", "c"]);
}

#[test]
fn a_segment_goes_when_all_its_messages_are_gone() {
    let disk = three();
    let (spool, report) = open(&disk);
    assert_eq!(report.queued_messages, 3);
    assert_eq!(deliver(&spool).len(), 3);
    assert!(entries(&disk, Folder::Journal).is_empty(), "{:?}", entries(&disk, Folder::Journal));
    // In this order, or the messages could come back after a power cut.
    let operations = disk.operations();
    let place = |wanted: &str| operations.iter().rposition(|line| line.ends_with(wanted)).unwrap();
    let removal =
        operations.iter().rposition(|line| line.starts_with("remove journal/") && !line.contains('.')).unwrap();
    assert!(removal < place("sync journal") && place("sync journal") < place(".gone-0"), "{operations:?}");
}

/// Kept messages may stay for years; those that are left of a mostly dead segment get files of their own and it goes.
#[test]
fn the_last_messages_of_a_segment_move_to_files() {
    let disk = MemoryDisk::new();
    let (spool, _) = open(&disk);
    let names: Vec<String> = (0..50).map(|number| format!("m{number:02}")).collect();
    for name in &names {
        put(&spool, name, b"Subject: x\r\n\r\ntext\r\n", Due::Kept).unwrap();
    }
    drop(spool);
    let (spool, _) = open(&disk);
    let segment = segments(&disk).remove(0);
    for name in names.iter().skip(5) {
        assert!(spool.remove(&id(name)).unwrap());
        assert!(!spool.remove(&id(name)).unwrap());
    }
    assert_eq!(ids(&reader(&disk)), names[..5]);
    assert_eq!(disk.list(Folder::New).unwrap().len(), 5);
    assert!(!segments(&disk).contains(&segment), "the segment is still there");
    for survivor in disk.survivors(64) {
        let (_, report) = open(&survivor);
        assert_eq!(report.kept_messages, 5);
        assert_eq!(ids(&reader(&survivor)), names[..5]);
    }
    // The same id still counts once.
    put(&spool, "m00", b"something else\r\n", Due::Kept).unwrap();
    assert_eq!(content(&reader(&disk), "m00"), b"Subject: x\r\n\r\ntext\r\n");
}

/// A move that is cut short leaves the message in both places: it is one message, and is delivered once.
#[test]
fn a_message_that_is_in_a_file_as_well_counts_once() {
    let disk = three_killed();
    let segment = segments(&disk).remove(0);
    let octets = disk.octets(&segment).unwrap();
    let length = without_zeros(&octets).len() / 3;
    disk.plant(&Folder::New.entry("one"), &octets[LINE_OCTETS..length]);
    let (spool, report) = open(&disk);
    assert_eq!((report.queued_messages, report.corrupt.len()), (3, 0));
    assert_eq!(deliver(&spool), ["one", "six", "two"]);
    drop(spool);
    for survivor in disk.survivors(64) {
        assert!(deliver(&open(&survivor).0).is_empty(), "delivered again");
    }
}

/// The end of a full segment and the beginning of the next.
#[test]
fn a_full_segment_is_followed_by_another() {
    let fixture = Fixture::in_directory(Options::default());
    let large = octets(120_000);
    let count = SEGMENT_OCTETS / large.len() + 2;
    for number in 0..count {
        put(&fixture.spool, &format!("m{number:03}"), &large, Due::Kept).unwrap();
    }
    let names = fixture.disk().list(Folder::Journal).unwrap();
    assert_eq!(names.iter().filter(|name| !name.to_str().unwrap().contains('.')).count(), 2, "{names:?}");
    let last = format!("m{:03}", count - 1);
    let fixture = fixture.reopened();
    assert_eq!(fixture.reader.list().unwrap().count(), count);
    assert!(content(&fixture.reader, "m000") == large && content(&fixture.reader, &last) == large);
}

/// Zeros ahead make syncs cheaper and are nothing else: a disk that has no room for them takes messages all the same.
#[test]
fn zeros_that_find_no_room_cost_no_message() {
    let disk = MemoryDisk::new();
    let (spool, _) = open(&disk);
    let fills = || disk.operations().iter().filter(|operation| operation.starts_with("fill ")).count();
    // Behind the making of the segment and the message.
    disk.fail_at(disk.operations().len() + 4, Fault::Error(std::io::ErrorKind::StorageFull));
    for number in 0..100 {
        put(&spool, &format!("m{number:03}"), b"text\r\n", Due::Kept).unwrap();
    }
    assert_eq!(fills(), 1, "{:?}", disk.operations());
    assert_eq!(open(&disk.survivors(2).remove(0)).1.kept_messages, 100);
}

/// Not more zeros than messages, so that a journal that stays short wastes little; and none for messages that are large.
#[test]
fn as_many_octets_are_filled_ahead_as_there_are() {
    let disk = MemoryDisk::new();
    let (spool, _) = open(&disk);
    for number in 0..300 {
        put(&spool, &format!("m{number:03}"), &[b'x'; 1_000], Due::Kept).unwrap();
        let octets = disk.octets(&segments(&disk).remove(0)).unwrap();
        let written = without_zeros(&octets).len();
        assert!(octets.len() >= written && octets.len() <= 2 * written + 4_096, "{} of {written}", octets.len());
    }
    let fills = disk.operations().iter().filter(|operation| operation.starts_with("fill ")).count();
    assert!((5..=10).contains(&fills), "{fills}");

    let disk = MemoryDisk::new();
    let (spool, _) = open(&disk);
    put(&spool, "large", &[b'x'; 100_000], Due::Kept).unwrap();
    assert!(!disk.operations().iter().any(|operation| operation.starts_with("fill ")));
}

/// Everybody whose message was in a batch that could not be synced is told, nobody else, and no start finds a trace.
#[test]
fn a_batch_that_fails_is_refused_for_good() {
    let disk = MemoryDisk::new();
    let (spool, _) = open(&disk);
    put(&spool, "before", b"text\r\n", Due::Kept).unwrap();
    let operation = disk.operations().len() + 1;
    disk.fail_at(operation, Fault::Error(std::io::ErrorKind::Other));
    assert!(put(&spool, "refused", b"text\r\n", Due::Kept).is_err());
    assert!(disk.operations()[operation].starts_with("sync journal/"), "{:?}", disk.operations()[operation]);
    assert_eq!(ids(&reader(&disk)), ["before"]);
    put(&spool, "after", b"text\r\n", Due::Kept).unwrap();
    for survivor in disk.survivors(64) {
        assert_eq!(open(&survivor).1.kept_messages, 2);
        assert_eq!(ids(&reader(&survivor)), ["after", "before"]);
    }
}

/// A disk on which the refusal cannot be written down either: nothing is accepted until it can, and whoever stops before tries
/// once more.
#[test]
fn what_cannot_be_refused_for_good_keeps_everything_out() {
    for is_mended_before_the_stop in [true, false] {
        let disk = MemoryDisk::new();
        let (spool, _) = open(&disk);
        put(&spool, "before", b"text\r\n", Due::Kept).unwrap();
        // The sync of the batch, and all that comes after it.
        disk.fail_from(disk.operations().len() + 1, std::io::ErrorKind::Other);
        for name in ["one", "two"] {
            assert!(put(&spool, name, b"text\r\n", Due::Kept).is_err());
        }
        disk.mend();
        let mut expected = vec!["before"];
        if is_mended_before_the_stop {
            put(&spool, "after", b"text\r\n", Due::Kept).unwrap();
            expected.insert(0, "after");
        }
        drop(spool);
        assert_eq!(ids(&reader(&disk)), expected);
        assert_eq!(open(&disk).1.kept_messages, expected.len());
    }
}

/// A reader that has seen a message sees when it is gone, moved, or followed by others.
#[test]
fn a_reader_follows_the_journal() {
    on_every_engine(|fixture| {
        let reader = &fixture.reader;
        for name in ["a", "b"] {
            put(&fixture.spool, name, b"text\r\n", Due::Kept).unwrap();
        }
        assert_eq!(ids(reader), ["a", "b"]);
        put(&fixture.spool, "c", b"text\r\n", Due::Kept).unwrap();
        assert_eq!(content(reader, "c"), b"text\r\n");
        assert!(fixture.spool.remove(&id("b")).unwrap());
        assert!(reader.summary(&id("b")).is_err());
        assert_eq!(ids(reader), ["a", "c"]);
        assert_eq!(reader.entry(&id("a")).folder, Folder::Journal);
        assert_eq!(reader.summary(&id("a")).unwrap().state(), MessageState::Kept);
    });
}

/// Somebody's file in the folder of the journal stays, and is told.
#[test]
fn a_strange_name_is_left_alone() {
    let disk = three();
    for name in ["notes.txt", "1-2", "00000009-0123456789abcdef.bak"] {
        disk.plant(&Folder::Journal.entry(name), b"mine");
    }
    // What lies beside a segment that is gone is cleared away.
    disk.plant(&Folder::Journal.entry("00000007-0123456789abcdef.end"), b"");
    let (spool, report) = open(&disk);
    assert_eq!((report.queued_messages, report.left.len()), (3, 3), "{report:?}");
    assert_eq!(reader(&disk).strangers().unwrap().len(), 3);
    put(&spool, "next", b"text\r\n", Due::At(0)).unwrap();
    assert!(segments(&disk).iter().any(|entry| entry.name.to_str().unwrap().starts_with("00000008-")));
}
