//! The twin of [`OsDisk`](crate::OsDisk): a disk in memory that can fail and lose power at any operation.
//!
//! It keeps apart what programs see and what is durable. Each operation has a number, counted from 0, and leaves a line
//! in a log; a test first runs undisturbed to learn how many there are, then once per number with a fault at that
//! number. After a power cut [`MemoryDisk::survivors`] gives every disk that could be found on the next morning.

mod medium;
mod power_cut;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Access, Disk, DiskFile, DiskFolder, Entry, Folder, FreeSpace, OwnerLock, Submission};
use medium::{Effect, Medium};

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct MemoryDisk {
    medium: Arc<Mutex<Medium>>,
}

/// How an operation goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails and has no effect. A failed sync also loses for good what it should have made durable.
    Error(io::ErrorKind),
    /// It takes effect and is reported as failed. A failed sync makes nothing durable all the same.
    ErrorAfterEffect(io::ErrorKind),
    /// A write takes only half of what it was given, as it may. For other operations the same as no fault.
    ShortWrite,
}

impl Default for MemoryDisk {
    fn default() -> Self {
        MemoryDisk::new()
    }
}

impl MemoryDisk {
    /// An empty disk with a lot of room.
    pub fn new() -> Self {
        MemoryDisk::of(Medium::default())
    }

    fn of(medium: Medium) -> Self {
        MemoryDisk { medium: Arc::new(Mutex::new(medium)) }
    }

    /// Makes the operation with this number go wrong.
    pub fn fail_at(&self, operation: usize, fault: Fault) {
        self.medium().faults.insert(operation, fault);
    }

    /// Makes every operation from this number on fail.
    pub fn fail_from(&self, operation: usize, kind: io::ErrorKind) {
        self.medium().broken_from = Some((operation, kind));
    }

    /// Mends the disk: no more faults. What was lost stays lost.
    pub fn mend(&self) {
        let mut medium = self.medium();
        medium.faults = BTreeMap::new();
        medium.broken_from = None;
    }

    /// Cuts the power before the operation with this number: it and all later ones fail and do nothing.
    pub fn cut_power_at(&self, operation: usize) {
        self.medium().power_ends_at = Some(operation);
    }

    /// Gives the power back without a loss, as if only the process had been killed.
    pub fn restore_power(&self) {
        self.medium().power_ends_at = None;
    }

    /// Another disk that holds the same, with a log of its own and without faults.
    pub fn duplicate(&self) -> MemoryDisk {
        MemoryDisk::of(self.medium().duplicate())
    }

    /// Every disk that may be found when the power is back, at most `limit` of them: all, if there
    /// are not more.
    pub fn survivors(&self, limit: usize) -> Vec<MemoryDisk> {
        power_cut::survivors(&self.medium(), limit).into_iter().map(MemoryDisk::of).collect()
    }

    /// The operations so far, such as `create tmp/0` and `sync new`.
    pub fn operations(&self) -> Vec<String> {
        self.medium().log.clone()
    }

    /// Sets how much room there is.
    pub fn set_free_space(&self, free_space: FreeSpace) {
        self.medium().free_space = free_space;
    }

    /// The octets under a name, as programs see them.
    pub fn octets(&self, entry: &Entry) -> Option<Vec<u8>> {
        self.medium().file(entry).map(|file| file.octets.clone())
    }

    /// Puts a durable file under a name, whatever was there.
    pub fn plant(&self, entry: &Entry, octets: &[u8]) {
        self.medium().plant(entry, octets);
    }

    fn medium(&self) -> MutexGuard<'_, Medium> {
        // A test that panics in another thread leaves a medium that is as whole as any.
        self.medium.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for MemoryDisk {
    fn lock(&self) -> io::Result<Option<OwnerLock>> {
        let mut medium = self.medium();
        if medium.owner.upgrade().is_some() {
            return Ok(None);
        }
        let owner = Arc::new(());
        medium.owner = Arc::downgrade(&owner);
        Ok(Some(Box::new(owner)))
    }

    fn begin_submission(&self) -> io::Result<Submission> {
        Ok(Box::new(self.medium().submissions.clone()))
    }

    fn is_anybody_submitting(&self) -> io::Result<bool> {
        Ok(Arc::strong_count(&self.medium().submissions) > 1)
    }

    fn create(&self, entry: &Entry) -> io::Result<Box<dyn DiskFile>> {
        let mut medium = self.medium();
        let (effect, result) = medium.operation(format!("create {entry}"));
        let number = if effect == Effect::None { 0 } else { medium.create(entry)? };
        result?;
        Ok(Box::new(MemoryFile { disk: self.clone(), entry: entry.clone(), number, position: 0 }))
    }

    fn open(&self, entry: &Entry, _access: Access) -> io::Result<Box<dyn DiskFile>> {
        let mut medium = self.medium();
        medium.operation(format!("open {entry}")).1?;
        let number = medium.number(entry).ok_or(io::ErrorKind::NotFound)?;
        let position = medium.length(number);
        Ok(Box::new(MemoryFile { disk: self.clone(), entry: entry.clone(), number, position }))
    }

    fn open_folder(&self, folder: Folder) -> io::Result<Box<dyn DiskFolder>> {
        self.medium().operation(format!("open {}", folder.name())).1?;
        Ok(Box::new(MemoryFolder { disk: self.clone(), folder }))
    }

    fn rename(&self, from: &Entry, to: &Entry) -> io::Result<()> {
        let mut medium = self.medium();
        let (effect, result) = medium.operation(format!("rename {from} {to}"));
        if effect != Effect::None {
            medium.rename(from, to)?;
        }
        result
    }

    fn link(&self, from: &Entry, to: &Entry) -> io::Result<()> {
        let mut medium = self.medium();
        let (effect, result) = medium.operation(format!("link {from} {to}"));
        if effect != Effect::None {
            medium.link(from, to)?;
        }
        result
    }

    fn remove(&self, entry: &Entry) -> io::Result<()> {
        let mut medium = self.medium();
        let (effect, result) = medium.operation(format!("remove {entry}"));
        if effect != Effect::None {
            medium.remove(entry)?;
        }
        result
    }

    fn list(&self, folder: Folder) -> io::Result<Vec<OsString>> {
        let mut medium = self.medium();
        medium.operation(format!("list {}", folder.name())).1?;
        Ok(medium.names(folder))
    }

    fn free_space(&self) -> io::Result<FreeSpace> {
        Ok(self.medium().free_space)
    }
}

struct MemoryFile {
    disk: MemoryDisk,
    entry: Entry,
    number: usize,
    /// Where the next octets go.
    position: u64,
}

impl MemoryFile {
    /// One operation that puts octets at the position. How many it took.
    fn put(&self, doing: &str, octets: &[u8]) -> io::Result<usize> {
        let mut medium = self.disk.medium();
        let (effect, result) = medium.operation(format!("{doing} {}", self.entry));
        let taken = match effect {
            Effect::None => 0,
            Effect::Half => octets.len().div_ceil(2),
            Effect::Whole => octets.len(),
        };
        medium.write(self.number, self.position, &octets[..taken]);
        result.map(|()| taken)
    }
}

impl io::Write for MemoryFile {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let taken = self.put("write", octets)?;
        self.position += taken as u64;
        Ok(taken)
    }

    /// One operation, as it is on a real disk.
    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let octets: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        io::Write::write(self, &octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for MemoryFile {
    fn fill_ahead(&mut self, octets: usize) -> io::Result<()> {
        self.put("fill", &vec![0; octets]).map(|_| ())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut medium = self.disk.medium();
        let (_, result) = medium.operation(format!("sync {}", self.entry));
        if medium.has_power() {
            medium.sync_file(self.number, result.is_ok());
        }
        result
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut medium = self.disk.medium();
        medium.operation(format!("read {}", self.entry)).1?;
        Ok(medium.read(self.number, offset, buffer))
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.medium().length(self.number))
    }
}

struct MemoryFolder {
    disk: MemoryDisk,
    folder: Folder,
}

impl DiskFolder for MemoryFolder {
    fn sync(&mut self) -> io::Result<()> {
        let mut medium = self.disk.medium();
        let (_, result) = medium.operation(format!("sync {}", self.folder.name()));
        if medium.has_power() {
            medium.sync_folder(self.folder, result.is_ok());
        }
        result
    }
}
