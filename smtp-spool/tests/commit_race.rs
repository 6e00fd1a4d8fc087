//! What one thread does while another one is in the middle of a sync.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

mod support;

use std::ffi::OsString;
use std::io::{self, Write};
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
/// that says what is gone.
struct Interrupted {
    disk: MemoryDisk,
    interlude: Interlude,
    before_gone: Interlude,
}

struct InterruptedFile {
    file: Box<dyn DiskFile>,
    before: Interlude,
}

impl Write for InterruptedFile {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.file.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl DiskFile for InterruptedFile {
    fn sync(&mut self) -> io::Result<()> {
        let before = self.before.lock().unwrap().take();
        before.into_iter().for_each(|before| before());
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
        if entry.name.to_str().unwrap().contains(".gone") {
            Box::new(InterruptedFile { file, before: Arc::clone(&self.before_gone) })
        } else {
            file
        }
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
    let interrupted =
        Interrupted { disk: disk.clone(), interlude: Arc::clone(&interlude), before_gone: Interlude::default() };
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
        Interrupted { disk: disk.clone(), interlude: Interlude::default(), before_gone: Arc::clone(&before_gone) };
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
