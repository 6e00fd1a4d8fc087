//! Two threads commit under one id, and the sync of the first fails. The second must not be told "stored" on the
//! strength of a file that is about to be withdrawn.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

mod support;

use std::ffi::OsString;
use std::io;
use std::sync::{Arc, Mutex};

use smtp_spool::disk::{Access, Disk, DiskFile, DiskFolder, Entry, Folder, FreeSpace, OwnerLock, Submission};
use smtp_spool::{Due, MemoryDisk, Options, Reader, Spool, StoreError};
use support::*;

/// What happens instead of the next sync of `new/`.
type Interlude = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// A disk on which one sync of `new/` fails, after an interlude.
struct Interrupted {
    disk: MemoryDisk,
    interlude: Interlude,
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
        self.disk.create(entry)
    }

    fn open(&self, entry: &Entry, access: Access) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(entry, access)
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

#[test]
fn nobody_is_told_stored_for_a_file_whose_sync_fails() {
    let (disk, interlude) = (MemoryDisk::new(), Interlude::default());
    let interrupted = Interrupted { disk: disk.clone(), interlude: Arc::clone(&interlude) };
    let (spool, _) = Spool::open_on(Arc::new(interrupted), Options::default()).unwrap();
    let second = Arc::new(Mutex::new(None));
    let (other, result) = (spool.clone(), Arc::clone(&second));
    *interlude.lock().unwrap() = Some(Box::new(move || {
        *result.lock().unwrap() = Some(put(&other, "m", b"text\r\n", Due::Kept));
    }));

    assert!(matches!(put(&spool, "m", b"text\r\n", Due::Kept), Err(StoreError::Unavailable { .. })));
    assert!(matches!(second.lock().unwrap().take(), Some(Err(StoreError::Unknown { .. }))));
    assert!(ids(&Reader::on(Arc::new(disk.clone()))).is_empty());
    // The id is free again.
    put(&spool, "m", b"text\r\n", Due::Kept).unwrap();
}
