//! A file as it was when it was looked at, so that nothing else goes out in its name when it is its turn.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::content::ContentError;

/// Which file it was, how long, and when it was last written to. A writer who keeps the length and sets the time back is
/// not found out; nobody does that by accident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenFile {
    path: PathBuf,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    device: u64,
    inode: u64,
    octets: u64,
    modified: (i64, i64),
}

impl SeenFile {
    /// What is open now. To be called before anything is read: what is written from here on is a change.
    pub(crate) fn new(path: &Path, file: &File) -> io::Result<Self> {
        Ok(SeenFile { path: path.to_owned(), state: State::of(&file.metadata()?) })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length.
    pub(crate) fn octets(&self) -> u64 {
        self.state.octets
    }

    /// Whether this is the same file, whatever has become of what is in it.
    pub fn is(&self, other: &Metadata) -> bool {
        (self.state.device, self.state.inode) == (other.dev(), other.ino())
    }

    /// Opens it again, if it is still what it was.
    pub(crate) fn open(&self) -> Result<File, ContentError> {
        let file = File::open(&self.path)?;
        self.check(&file)?;
        Ok(file)
    }

    /// To be called once more when the file has been read: until then it may have been written to.
    pub(crate) fn check(&self, file: &File) -> Result<(), ContentError> {
        if State::of(&file.metadata()?) == self.state { Ok(()) } else { Err(ContentError::Changed) }
    }
}

impl State {
    fn of(metadata: &Metadata) -> Self {
        State {
            device: metadata.dev(),
            inode: metadata.ino(),
            octets: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}
