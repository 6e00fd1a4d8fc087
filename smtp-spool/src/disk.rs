//! File operations as the engine needs them: few enough to be modelled in memory, power cuts included.
//!
//! [`OsDisk`](crate::OsDisk) does them in a directory, [`MemoryDisk`](crate::MemoryDisk) in memory. What the engine
//! relies on, and the twin takes away whenever it is not asked for:
//!
//! * octets of a file survive a power cut only after [`DiskFile::sync`];
//! * a name, or the absence of a name, survives only after [`DiskFolder::sync`];
//! * each name changes at once, never half, but two names change independently.

use std::any::Any;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;

/// A folder of a spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Folder {
    /// `tmp`: files that are being written. Nothing in here was ever acknowledged.
    Temporary,
    /// `new`: whole messages.
    New,
    /// `state`: what became of the recipients of messages in `new`.
    State,
    /// `corrupt`: what did not prove itself, for a human to look at.
    Corrupt,
    /// `maildrop`: whole messages of others, for the owner to adopt.
    Maildrop,
    /// `journal`: whole messages too, many in a file.
    Journal,
}

impl Folder {
    /// All of them.
    pub const ALL: [Folder; 6] =
        [Folder::Temporary, Folder::New, Folder::State, Folder::Corrupt, Folder::Maildrop, Folder::Journal];

    /// The name in the spool directory.
    pub fn name(self) -> &'static str {
        match self {
            Folder::Temporary => "tmp",
            Folder::New => "new",
            Folder::State => "state",
            Folder::Corrupt => "corrupt",
            Folder::Maildrop => "maildrop",
            Folder::Journal => "journal",
        }
    }

    /// The entry of this name.
    pub fn entry(self, name: impl AsRef<OsStr>) -> Entry {
        Entry { folder: self, name: name.as_ref().to_owned() }
    }
}

/// One name in one folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// Where.
    pub folder: Folder,
    /// A name without a slash; anything at all if it came from a listing.
    pub name: OsString,
}

impl fmt::Display for Entry {
    /// `new/0abc`, with everything that could steer a terminal or forge a log line escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.folder.name(), self.name.to_string_lossy().escape_debug())
    }
}

/// What is left on a file system for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeSpace {
    /// Octets.
    pub bytes: u64,
    /// Files, or `None` where the file system does not count them.
    pub files: Option<u64>,
}

/// Holds the ownership of a spool until it is dropped.
pub type OwnerLock = Box<dyn Any + Send + Sync>;

/// Says that a message is being put into the maildrop, until it is dropped or its process ends.
pub type Submission = Box<dyn Any + Send + Sync>;

/// The file operations on one spool.
pub trait Disk: Send + Sync {
    /// Becomes the owner of the spool; `None` if there is one already.
    fn lock(&self) -> io::Result<Option<OwnerLock>>;

    /// Says that somebody is at work in the maildrop. Any number may be.
    fn begin_submission(&self) -> io::Result<Submission>;

    /// Whether any [`Submission`] is under way, of whatever process.
    fn is_anybody_submitting(&self) -> io::Result<bool>;

    /// Makes an empty file for writing. Fails with `AlreadyExists` whatever stands under the name, links included.
    fn create(&self, entry: &Entry) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file for reading and for appending. Never follows a link and never blocks; whatever is not a plain file
    /// fails with `InvalidData`.
    fn open(&self, entry: &Entry, access: Access) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a folder in order to sync it.
    ///
    /// To be opened *before* the change that is to be synced: the kernel tells of a failed write-back once to each
    /// handle that was open at the time, so two threads with one handle would share one error, and one of them would
    /// take its own loss for a success.
    fn open_folder(&self, folder: Folder) -> io::Result<Box<dyn DiskFolder>>;

    /// Moves an entry. Fails with `AlreadyExists` if the new name is taken.
    fn rename(&self, from: &Entry, to: &Entry) -> io::Result<()>;

    /// Gives a file a second name. Fails with `AlreadyExists` if that is taken.
    fn link(&self, from: &Entry, to: &Entry) -> io::Result<()>;

    /// Removes a name. Does not remove directories.
    fn remove(&self, entry: &Entry) -> io::Result<()>;

    /// The names in a folder, in no particular order.
    fn list(&self, folder: Folder) -> io::Result<Vec<OsString>>;

    /// How much room there is.
    fn free_space(&self) -> io::Result<FreeSpace>;
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To be read.
    Read,
    /// To be read, and written at its end.
    Append,
}

/// An open file. Written octets go behind those that were written before, and first of all to its end.
pub trait DiskFile: io::Write + Send {
    /// Says that what was written so far may go to the medium now, so that the sync has less to wait for. A hint, which
    /// promises nothing.
    fn begin_write_back(&mut self) {}

    /// Writes so many zeros behind the octets that were written, over which the next ones go: then these change neither the
    /// length of the file nor where it lies, and a sync of them has less to do. Only for a file from [`Disk::create`], when
    /// the last zeros have been written over. After an error it is as it was, or not all of it is filled.
    fn fill_ahead(&mut self, _octets: usize) -> io::Result<()> {
        Ok(())
    }

    /// Says that nobody is going to read these octets soon, which are durable, so that the memory which holds them can be used
    /// for others. A hint, which promises nothing.
    fn release_memory(&mut self, _offset: u64, _octets: u64) {}

    /// Makes the octets durable. After an error their fate is unknown, and a second call proves nothing: it was seen
    /// to succeed over lost data.
    fn sync(&mut self) -> io::Result<()>;

    /// Reads at a place; less than asked for only at the end of the file or by chance, 0 only at the end.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Octets in the file.
    fn length(&self) -> io::Result<u64>;
}

/// An open folder.
pub trait DiskFolder: Send {
    /// Makes its names durable. The same warning as for [`DiskFile::sync`].
    fn sync(&mut self) -> io::Result<()>;
}
