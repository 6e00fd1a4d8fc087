//! One bad file must not stop the others, whatever is wrong with it.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

mod support;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use smtp_spool::disk::{Disk as _, Folder};
use smtp_spool::{
    Due, Envelope, Fault, Lane, MemoryDisk, Options, ReadError, Reader, RecoveryReport, Spool, Store as _, StoreError,
    WorkerId,
};
use support::*;

/// A whole message file.
fn file(due: Due) -> Vec<u8> {
    let disk = MemoryDisk::new();
    let (spool, _) = Spool::open_on(Arc::new(disk.clone()), Options::default()).unwrap();
    put(&spool, "m", b"Subject: x\r\n\r\ntext\r\n", due).unwrap();
    // In the journal it is the same octets behind a line.
    let segment = disk.list(Folder::Journal).unwrap().remove(0);
    let octets = disk.octets(&Folder::Journal.entry(segment)).unwrap();
    let line = octets.iter().position(|octet| *octet == b'\n').unwrap();
    without_zeros(&octets[line + 1..]).to_vec()
}

/// A disk on which a good message lies beside this file.
fn disk_with(octets: &[u8]) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let (spool, _) = Spool::open_on(Arc::new(disk.clone()), Options::default()).unwrap();
    put(&spool, "good", b"good\r\n", Due::At(0)).unwrap();
    drop(spool);
    disk.plant(&Folder::New.entry("m"), octets);
    disk
}

fn open(disk: &MemoryDisk) -> (Spool, RecoveryReport) {
    Spool::open_on(Arc::new(disk.clone()), Options::default()).unwrap()
}

/// Neither delivered nor shown: the file is found out at the start, at the claim, and by every reader.
fn assert_found_out(octets: &[u8], context: &str) {
    let disk = disk_with(octets);
    let reader = Reader::on(Arc::new(disk.clone()));
    assert!(matches!(reader.verify(&id("m")), Err(ReadError::Corrupt(_))), "{context}");
    assert!(matches!(reader.content(&id("m")), Err(ReadError::Corrupt(_))), "{context}");
    let (spool, _) = open(&disk);
    let claims = spool.claim(&WorkerId("w".to_owned()), &Lane::unrouted(), 9, i64::MAX).unwrap();
    let claimed: Vec<_> = claims.iter().map(|claim| claim.id().as_str()).collect();
    assert_eq!(claimed, ["good"], "{context}");
    // A second look finds nothing new.
    drop((claims, spool));
    assert!(open(&disk).1.corrupt.is_empty(), "{context}");
    let is_set_aside = disk.octets(&Folder::Corrupt.entry("m")).as_deref() == Some(octets);
    let is_kept = disk.octets(&Folder::New.entry("m")).is_some();
    // A kept message whose content alone is damaged is left to `check`: nobody reads it before.
    assert!(is_set_aside != is_kept, "{context}");
}

#[test]
fn every_flipped_octet_is_found_out() {
    for due in [Due::At(0), Due::Kept] {
        let whole = file(due);
        for place in 0..whole.len() {
            for mask in [0x01, 0x20, 0x80, 0xff] {
                let mut octets = whole.clone();
                octets[place] ^= mask;
                assert_found_out(&octets, &format!("octet {place} ^ {mask:#x} of {due:?}"));
            }
        }
    }
}

#[test]
fn every_truncated_length_is_found_out() {
    let whole = file(Due::At(0));
    for length in 0..whole.len() {
        assert_found_out(&whole[..length], &format!("length {length}"));
    }
    assert_found_out(&[&whole[..], b"\n"].concat(), "one octet more");
    assert_found_out(&[&whole[..], &whole[..]].concat(), "twice");
}

#[test]
fn a_file_under_another_name_is_found_out() {
    let disk = MemoryDisk::new();
    disk.plant(&Folder::New.entry("other"), &file(Due::Kept));
    assert_eq!(open(&disk).1.corrupt.len(), 1);
}

#[test]
fn lengths_that_ask_for_too_much_are_refused_without_reading() {
    for (content, envelope) in [("ffffffffffffffff", "00000001"), ("0000000000000000", "ffffffff")] {
        let octets = format!("smtp-spool 1\r\nLENGTHS {content} {envelope} CRC32 00000000 END\r\n");
        assert_found_out(octets.as_bytes(), &octets);
    }
}

#[test]
fn a_damaged_second_commit_is_not_confirmed() {
    let disk = MemoryDisk::new();
    let (spool, _) = open(&disk);
    put(&spool, "m", &vec![b'x'; 200_000], Due::Kept).unwrap();
    disk.plant(&Folder::New.entry("m"), b"not ours");
    assert!(matches!(put(&spool, "m", b"x", Due::Kept), Err(StoreError::Unavailable { .. })));
}

#[test]
fn corrupt_entries_of_the_same_name_are_all_kept() {
    let disk = MemoryDisk::new();
    for octets in [b"one", b"two", b"six"] {
        disk.plant(&Folder::New.entry("m"), octets);
        assert_eq!(open(&disk).1.corrupt.len(), 1);
    }
    let mut names = disk.list(Folder::Corrupt).unwrap();
    names.sort();
    assert_eq!(names, ["m", "m.1", "m.2"]);
}

#[test]
fn an_error_of_reading_at_the_claim_loses_nothing() {
    let disk = disk_with(b"");
    let (spool, _) = open(&disk);
    let worker = WorkerId("w".to_owned());
    disk.fail_at(disk.operations().len(), Fault::Error(std::io::ErrorKind::Other));
    assert!(spool.claim(&worker, &Lane::unrouted(), 9, 0).is_err());
    assert_eq!(spool.claim(&worker, &Lane::unrouted(), 9, 0).unwrap().len(), 1);
}

/// Whoever can write in the spool directory can plant things; none of them is followed, served or waited for.
#[test]
fn planted_links_pipes_and_directories_are_moved_away_unread() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("spool");
    let secret = parent.path().join("secret");
    std::fs::write(&secret, file(Due::Kept)).unwrap();
    drop(Spool::open(&path, Options::default()).unwrap());
    for folder in ["new", "tmp", "state"] {
        plant(&path.join(folder), &secret);
    }
    std::fs::write(path.join("new/not an id"), b"somebody's").unwrap();
    std::fs::write(path.join("state/not an id"), b"somebody's").unwrap();

    let reader = Reader::open(&path).unwrap();
    for (id, summary) in reader.list().unwrap() {
        assert!(matches!(summary, Err(ReadError::Corrupt(_))), "{id}");
    }
    let (spool, report) = Spool::open(&path, Options::default()).unwrap();
    let corrupt: Vec<_> = report.corrupt.iter().map(|finding| finding.entry.as_str()).collect();
    assert_eq!(corrupt, ["state/dir", "new/dir", "state/m", "new/m", "state/pipe", "new/pipe"]);
    let left: Vec<_> = report.left.iter().map(|finding| finding.entry.as_str()).collect();
    assert_eq!(left, ["tmp/dir", "new/not an id", "state/not an id"]);
    assert!(secret.exists());
    // The directory in tmp/ has the first temporary name; the next one is taken.
    std::fs::create_dir(path.join("tmp/0")).unwrap();
    put(&spool, "after", b"still working\r\n", Due::Kept).unwrap();
    assert_eq!(content(&reader, "after"), b"still working\r\n");
}

fn plant(folder: &Path, secret: &Path) {
    symlink(secret, folder.join("m")).unwrap();
    std::fs::create_dir(folder.join("dir")).unwrap();
    nix::unistd::mkfifo(&folder.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
}

#[test]
fn a_planted_lock_or_folder_is_refused_at_once() {
    let parent = tempfile::tempdir().unwrap();
    let lock = parent.path().join("one/owner.lock");
    std::fs::create_dir(parent.path().join("one")).unwrap();
    nix::unistd::mkfifo(&lock, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(Spool::open(parent.path().join("one"), Options::default()).is_err());
    std::fs::create_dir(parent.path().join("two")).unwrap();
    symlink(parent.path(), parent.path().join("two/new")).unwrap();
    assert!(Spool::open(parent.path().join("two"), Options::default()).is_err());
    std::fs::write(parent.path().join("three"), b"a file").unwrap();
    assert!(Spool::open(parent.path().join("three"), Options::default()).is_err());
    assert!(Spool::open(parent.path().join("no/such"), Options::default()).is_err());
    assert!(Reader::open(parent.path().join("none")).is_err());
}

fn line() -> impl Strategy<Value = String> {
    let local_part = prop_oneof!["[a-z0-9]{1,20}", "\"[ -!#-\\[\\]-~]{0,20}\"", "[a-zäöü]{1,5}"];
    (local_part, "[a-z]{1,10}\\.[a-z]{2,5}").prop_map(|(local_part, domain)| format!("<{local_part}@{domain}>"))
}

fn envelopes() -> impl Strategy<Value = Envelope> {
    let mail = prop::sample::select(vec!["", " SIZE=5", " BODY=8BITMIME SMTPUTF8", " RET=HDRS ENVID=a+20b AUTH=<>"]);
    let rcpt = prop::sample::select(vec!["", " NOTIFY=NEVER", " NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@example.org"]);
    let from = prop_oneof![line(), Just("<>".to_owned())];
    let to = prop_oneof![line(), Just("<Postmaster>".to_owned())];
    let recipients = prop::collection::vec((to, rcpt).prop_map(|(to, parameters)| format!("{to}{parameters}")), 1..20);
    (from, mail, recipients, any::<i64>()).prop_map(|(from, mail, recipients, received_at_unix_seconds)| {
        let recipients: Vec<_> = recipients.iter().map(String::as_str).collect();
        Envelope { received_at_unix_seconds, ..envelope(&format!("{from}{mail}"), &recipients) }
    })
}

proptest! {
    #[test]
    fn an_envelope_is_read_as_it_was_printed(envelope in envelopes()) {
        prop_assert_eq!(Envelope::parse(&envelope.to_string()), Ok(envelope.clone()));
        prop_assert!(envelope.is_storable());
    }

    #[test]
    fn any_text_is_an_envelope_or_an_error(text in "(RECEIVED [0-9]{1,3}\r\n)?(MAIL FROM:<.{0,5}>\r\n)?(RCPT TO:.{0,9}\r\n){0,3}") {
        if let Ok(envelope) = Envelope::parse(&text) {
            prop_assert_eq!(envelope.to_string(), text);
        }
    }

    #[test]
    fn a_file_is_read_as_it_was_written(
        envelope in envelopes(),
        body in prop::collection::vec(any::<u8>(), 0..2_000),
        due in prop_oneof![Just(Due::Kept), any::<i64>().prop_map(Due::At)],
    ) {
        let disk = MemoryDisk::new();
        let (spool, _) = open(&disk);
        let mut incoming = spool.begin(None).unwrap();
        std::io::Write::write_all(&mut incoming, &body).unwrap();
        incoming.commit(&id("m"), &envelope, due).unwrap();
        let reader = Reader::on(Arc::new(disk.clone()));
        let summary = reader.summary(&id("m")).unwrap();
        prop_assert_eq!((summary.envelope, summary.due), (envelope, due));
        prop_assert!(content(&reader, "m") == body);
    }

    #[test]
    fn any_octets_are_a_message_or_corrupt(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        let disk = MemoryDisk::new();
        disk.plant(&Folder::New.entry("m"), &[b"smtp-spool 1\r\n", &octets[..]].concat());
        disk.plant(&Folder::State.entry("m"), &octets);
        prop_assert_eq!(open(&disk).1.corrupt.len(), 2);
    }
}
