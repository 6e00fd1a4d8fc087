//! A disk of somebody else's, with a fault in its code: what panics is refused and leaves nothing, and everybody else goes on.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

mod support;

use std::ffi::OsString;
use std::io::{self, IoSlice, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use smtp_spool::disk::{Access, Disk, DiskFile, DiskFolder, Entry, Folder, FreeSpace, OwnerLock, Submission};
use smtp_spool::{Due, MemoryDisk, Options, Reader, Spool, Store as _};
use support::*;

/// Which call panics, once.
#[derive(Clone, Default)]
struct Faults {
    write: Arc<AtomicBool>,
    sync: Arc<AtomicBool>,
}

fn panic_if(is_faulty: &AtomicBool) {
    assert!(!is_faulty.swap(false, Ordering::SeqCst), "a fault in the disk");
}

struct Faulty {
    disk: MemoryDisk,
    faults: Faults,
}

impl Disk for Faulty {
    fn lock(&self) -> io::Result<Option<OwnerLock>> {
        self.disk.lock()
    }

    fn begin_submission(&self) -> io::Result<Submission> {
        self.disk.begin_submission()
    }

    fn is_anybody_submitting(&self) -> io::Result<bool> {
        self.disk.is_anybody_submitting()
    }

    fn create(&self, entry: &Entry) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(FaultyFile { file: self.disk.create(entry)?, faults: self.faults.clone() }))
    }

    fn open(&self, entry: &Entry, access: Access) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(entry, access)
    }

    fn open_folder(&self, folder: Folder) -> io::Result<Box<dyn DiskFolder>> {
        self.disk.open_folder(folder)
    }

    fn rename(&self, from: &Entry, to: &Entry) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn link(&self, from: &Entry, to: &Entry) -> io::Result<()> {
        self.disk.link(from, to)
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

struct FaultyFile {
    file: Box<dyn DiskFile>,
    faults: Faults,
}

impl Write for FaultyFile {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.file.write(octets)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        panic_if(&self.faults.write);
        self.file.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl DiskFile for FaultyFile {
    fn sync(&mut self) -> io::Result<()> {
        panic_if(&self.faults.sync);
        self.file.sync()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buffer)
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
}

#[test]
fn a_batch_that_breaks_off_is_refused_for_good_and_the_next_is_taken() {
    for is_written in [false, true] {
        let (disk, faults) = (MemoryDisk::new(), Faults::default());
        let faulty = Faulty { disk: disk.clone(), faults: faults.clone() };
        let (spool, _) = Spool::open_on(Arc::new(faulty), Options::default()).unwrap();
        put(&spool, "before", b"text\r\n", Due::Kept).unwrap();
        let fault = if is_written { &faults.sync } else { &faults.write };
        fault.store(true, Ordering::SeqCst);
        let refused = catch_unwind(AssertUnwindSafe(|| put(&spool, "refused", b"text\r\n", Due::Kept)));
        assert!(refused.is_err() && !fault.load(Ordering::SeqCst));
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
