//! What one thread does while another one is in the middle of a sync, and what is left of a commit that panics there.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

mod support;

use std::ffi::OsString;
use std::io::{self, IoSlice, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use smtp_spool::disk::{Access, Disk, DiskFile, DiskFolder, Entry, Folder, FreeSpace, OwnerLock, Submission};
use smtp_spool::{
    Claim, Due, Lane, MemoryDisk, Options, Outcome, Owes, Reader, Settled, Settlement, Spool, Store as _, StoreError,
    WorkerId,
};
use support::*;

/// What happens once, at some sync.
type Interlude = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// A disk on which one sync of a folder fails, after an interlude, and on which something happens before one sync of a file
/// that says what is gone, before one write at once to another file, or before its sync.
#[derive(Default)]
struct Interrupted {
    disk: MemoryDisk,
    interlude: Interlude,
    before_gone: Interlude,
    before_write: Interlude,
    before_sync: Interlude,
}

struct InterruptedFile {
    file: Box<dyn DiskFile>,
    before_write: Interlude,
    before_sync: Interlude,
}

fn play(interlude: &Interlude) {
    let interlude = interlude.lock().unwrap().take();
    interlude.into_iter().for_each(|interlude| interlude());
}

impl Write for InterruptedFile {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.file.write(octets)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        play(&self.before_write);
        self.file.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl DiskFile for InterruptedFile {
    fn fill_ahead(&mut self, octets: usize) -> io::Result<()> {
        self.file.fill_ahead(octets)
    }

    fn sync(&mut self) -> io::Result<()> {
        play(&self.before_sync);
        self.file.sync()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buffer)
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
}

impl Interrupted {
    fn file(&self, entry: &Entry, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        let (before_write, before_sync) = if entry.name.to_str().unwrap().contains(".gone") {
            (Interlude::default(), Arc::clone(&self.before_gone))
        } else {
            (Arc::clone(&self.before_write), Arc::clone(&self.before_sync))
        };
        Box::new(InterruptedFile { file, before_write, before_sync })
    }
}

struct InterruptedFolder {
    folder: Box<dyn DiskFolder>,
    interlude: Interlude,
}

impl DiskFolder for InterruptedFolder {
    fn sync(&mut self) -> io::Result<()> {
        let interlude = self.interlude.lock().unwrap().take();
        match interlude {
            None => self.folder.sync(),
            Some(interlude) => {
                interlude();
                Err(io::ErrorKind::Other.into())
            }
        }
    }
}

impl Disk for Interrupted {
    fn open_folder(&self, folder: Folder) -> io::Result<Box<dyn DiskFolder>> {
        Ok(Box::new(InterruptedFolder {
            folder: self.disk.open_folder(folder)?,
            interlude: Arc::clone(&self.interlude),
        }))
    }

    fn lock(&self) -> io::Result<Option<OwnerLock>> {
        self.disk.lock()
    }

    fn begin_submission(&self) -> io::Result<Submission> {
        self.disk.begin_submission()
    }

    fn is_anybody_submitting(&self) -> io::Result<bool> {
        self.disk.is_anybody_submitting()
    }

    fn link(&self, from: &Entry, to: &Entry) -> io::Result<()> {
        self.disk.link(from, to)
    }

    fn create(&self, entry: &Entry) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(entry, self.disk.create(entry)?))
    }

    fn open(&self, entry: &Entry, access: Access) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(entry, self.disk.open(entry, access)?))
    }

    fn rename(&self, from: &Entry, to: &Entry) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, entry: &Entry) -> io::Result<()> {
        self.disk.remove(entry)
    }

    fn list(&self, folder: Folder) -> io::Result<Vec<OsString>> {
        self.disk.list(folder)
    }

    fn free_space(&self) -> io::Result<FreeSpace> {
        self.disk.free_space()
    }
}

/// Two threads commit under one id, and the sync of the first fails. The second must not be told "stored" on the strength of a
/// file that is about to be withdrawn.
#[test]
fn nobody_is_told_stored_for_a_file_whose_sync_fails() {
    let (disk, interlude) = (MemoryDisk::new(), Interlude::default());
    let interrupted = Interrupted { disk: disk.clone(), interlude: Arc::clone(&interlude), ..Interrupted::default() };
    let (spool, _) = Spool::open_on(Arc::new(interrupted), Options::default()).unwrap();
    let second = Arc::new(Mutex::new(None));
    let (other, result) = (spool.clone(), Arc::clone(&second));
    let large = octets(200_000);
    let again = large.clone();
    *interlude.lock().unwrap() = Some(Box::new(move || {
        *result.lock().unwrap() = Some(put(&other, "m", &again, Due::Kept));
    }));

    assert!(matches!(put(&spool, "m", &large, Due::Kept), Err(StoreError::Unavailable { .. })));
    assert!(matches!(second.lock().unwrap().take(), Some(Err(StoreError::Unknown { .. }))));
    assert!(ids(&Reader::on(Arc::new(disk.clone()))).is_empty());
    // The id is free again.
    put(&spool, "m", &large, Due::Kept).unwrap();
}

/// It was seen with a server that was killed while it delivered: the last messages of a segment are moved to files of their own
/// by whoever has just ended another one. A message that is being removed at that moment is in no queue any more, and was taken
/// for a kept one and moved: it stayed in its file, and would have been delivered again by the next start.
#[test]
fn a_message_that_is_being_removed_is_not_moved() {
    let disk = MemoryDisk::new();
    let (spool, _) = Spool::open_on(Arc::new(disk.clone()), Options::default()).unwrap();
    (0..104).for_each(|number| put(&spool, &format!("m{number:03}"), b"text\r\n", Due::At(0)).unwrap());
    drop(spool);
    let before_gone = Interlude::default();
    let interrupted =
        Interrupted { disk: disk.clone(), before_gone: Arc::clone(&before_gone), ..Interrupted::default() };
    let (spool, _) = Spool::open_on(Arc::new(interrupted), Options::default()).unwrap();
    let reader = Reader::on(Arc::new(disk.clone()));
    let mut claims = spool.claim(&WorkerId("w".to_owned()), &Lane::unrouted(), 104, 0).unwrap();
    let settle = |claim: Claim| {
        let outcome = |number: &usize| (*number, Outcome::Delivered("250 ok".to_owned(), Owes::Nothing));
        let outcomes: Vec<_> = claim.recipients().iter().map(outcome).collect();
        assert_eq!(spool.settle(claim, &outcomes, Settlement::Done).unwrap(), Settled::Ok);
    };
    // With the seventy-ninth the others become survivors, and are moved, eight at a time, by whoever ends something.
    let end_something = |spool: &Spool| assert!(!spool.remove(&support::id("none")).unwrap());
    claims.drain(..79).for_each(settle);
    (0..2).for_each(|_| end_something(&spool));
    let is_in_journal = |claim: &Claim| reader.entry(claim.id()).folder == Folder::Journal;
    let last: Vec<_> = claims.iter().filter(|claim| is_in_journal(claim)).map(|claim| claim.id().clone()).collect();
    let [id] = &last[..] else { panic!("{last:?}") };
    let claim = claims.remove(claims.iter().position(|claim| claim.id() == id).unwrap());
    let (file, moved, other) = (Folder::New.entry(id.as_str()), disk.clone(), spool.clone());
    *before_gone.lock().unwrap() = Some(Box::new(move || {
        let somebody = std::thread::spawn(move || end_something(&other));
        while !somebody.is_finished() && moved.octets(&file).is_none() {
            std::thread::yield_now();
        }
    }));
    settle(claim);
    assert!(before_gone.lock().unwrap().is_none());
    assert!(disk.octets(&Folder::New.entry(id.as_str())).is_none(), "it was moved");
    assert!(!ids(&reader).contains(&id.to_string()));
}

/// Somebody else's disk may have a fault in its code: what panics is refused and leaves nothing, and the next is taken.
#[test]
fn a_batch_that_breaks_off_is_refused_for_good_and_the_next_is_taken() {
    for is_written in [false, true] {
        let (disk, fault) = (MemoryDisk::new(), Interlude::default());
        let interrupted = Interrupted { disk: disk.clone(), ..Interrupted::default() };
        let interrupted = if is_written {
            Interrupted { before_sync: Arc::clone(&fault), ..interrupted }
        } else {
            Interrupted { before_write: Arc::clone(&fault), ..interrupted }
        };
        let (spool, _) = Spool::open_on(Arc::new(interrupted), Options::default()).unwrap();
        put(&spool, "before", b"text\r\n", Due::Kept).unwrap();
        *fault.lock().unwrap() = Some(Box::new(|| panic!("a fault in the disk")));
        let refused = catch_unwind(AssertUnwindSafe(|| put(&spool, "refused", b"text\r\n", Due::Kept)));
        assert!(refused.is_err() && fault.lock().unwrap().is_none());
        put(&spool, "after", b"text\r\n", Due::Kept).unwrap();
        for survivor in disk.survivors(64) {
            let (_spool, report) = Spool::open_on(Arc::new(survivor.clone()), Options::default()).unwrap();
            assert_eq!(report.kept_messages, 2);
            assert_eq!(ids(&Reader::on(Arc::new(survivor))), ["after", "before"]);
        }
        // Whoever sends it again is heard.
        put(&spool, "refused", b"text\r\n", Due::Kept).unwrap();
        assert_eq!(spool.health().unwrap().kept_bytes, 18);
    }
}
