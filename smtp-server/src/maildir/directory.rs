//! A directory that is held open, and what is made, found and removed in it: by name, never by path, never through a
//! link.
//!
//! Whoever may write below the Maildir can put a link where a directory was. With paths, the server would follow it to
//! wherever it leads, between any two calls. A directory that is held open stays the one it was.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{self, AtFlags, OFlag};
use nix::sys::stat::{self, Mode, SFlag};
use nix::unistd::{self, UnlinkatFlags};

use smtp_spool::rename;

use super::error::MaildirError;

/// A directory, held open. The path is for messages only.
#[derive(Debug)]
pub(super) struct Directory {
    file: File,
    path: PathBuf,
    identity: Identity,
}

/// Device and inode: no other directory has them as long as this one is held open.
type Identity = (u64, u64);

impl Directory {
    /// The one that an operator has named, links and all.
    pub(super) fn open_path(path: &Path) -> Result<Self, MaildirError> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
        match fcntl::open(path, flags, Mode::empty()) {
            Ok(directory) => Directory::held(directory, path.to_owned()),
            Err(error) => Err(MaildirError::from_io("opening", path.to_owned(), error.into())),
        }
    }

    fn held(directory: OwnedFd, path: PathBuf) -> Result<Self, MaildirError> {
        match stat::fstat(&directory) {
            Ok(status) => Ok(Directory { file: directory.into(), path, identity: identity(&status) }),
            Err(error) => Err(MaildirError::from_io("looking at", path, error.into())),
        }
    }

    /// One that is in this. `None`: there is none.
    pub(super) fn open(&self, name: &str) -> Result<Option<Self>, MaildirError> {
        match open_directory(&self.file, name) {
            Ok(directory) => Directory::held(directory, self.path.join(name)).map(Some),
            Err(Errno::ENOENT) => Ok(None),
            // What some systems say of a link, others say of whatever is no directory.
            Err(Errno::ELOOP) => Err(self.failed("opening", name, Errno::ENOTDIR.into())),
            Err(error) => Err(self.failed("opening", name, error.into())),
        }
    }

    /// Whether the one that is in this under a name is still the one that was opened there.
    pub(super) fn still_has(&self, name: &str, opened: &Directory) -> bool {
        let found = stat::fstatat(&self.file, name, AtFlags::AT_SYMLINK_NOFOLLOW);
        found.is_ok_and(|status| identity(&status) == opened.identity)
    }

    /// Makes one in this, unless it is there.
    pub(super) fn make(&self, name: &str) -> Result<(), MaildirError> {
        match stat::mkdirat(&self.file, name, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(error) => Err(self.failed("making", name, error.into())),
        }
    }

    /// A new file for its owner alone. `None`: the name is taken.
    pub(super) fn create(&self, name: &str) -> Result<Option<File>, MaildirError> {
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_WRONLY;
        match fcntl::openat(&self.file, name, flags, Mode::S_IRUSR | Mode::S_IWUSR) {
            Ok(file) => Ok(Some(file.into())),
            Err(Errno::EEXIST) => Ok(None),
            Err(error) => Err(self.failed("making", name, error.into())),
        }
    }

    /// Takes over a file of another directory. Never replaces: `false`, the name is taken, and the file is where it was.
    pub(super) fn take(&self, name: &str, from: &Directory, old_name: &str) -> Result<bool, MaildirError> {
        match rename::without_replacing(&from.file, old_name.as_ref(), &self.file, name.as_ref()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(self.failed("making", name, error)),
        }
    }

    /// Whether there is a file of this name: a file, no link and no directory.
    pub(super) fn has_file(&self, name: &str) -> Result<bool, MaildirError> {
        match modified(&self.file, name) {
            Ok(found) => Ok(found.is_some()),
            Err(Errno::ENOENT) => Ok(false),
            Err(error) => Err(self.failed("looking at", name, error.into())),
        }
    }

    /// Whether there is a file whose name is one of these.
    pub(super) fn has_file_among(&self, is_wanted: impl Fn(&[u8]) -> bool) -> Result<bool, MaildirError> {
        let failed = |error: Errno| self.failed("reading", "", error.into());
        for entry in self.entries().map_err(failed)?.iter() {
            let entry = entry.map_err(failed)?;
            if is_wanted(entry.file_name().to_bytes()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes files that were not written to for so long, looking at so many entries. What cannot be removed is left
    /// for another time.
    pub(super) fn remove_older(&self, age: Duration, now: SystemTime, entries: usize) {
        let Ok(mut directory) = self.entries() else { return };
        for entry in directory.iter().flatten().take(entries) {
            let Ok(Some(modified)) = modified(&self.file, entry.file_name()) else { continue };
            if now.duration_since(modified).is_ok_and(|passed| passed > age) {
                let _ = unistd::unlinkat(&self.file, entry.file_name(), UnlinkatFlags::NoRemoveDir);
            }
        }
    }

    /// Removes a name.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unistd::unlinkat(&self.file, name, UnlinkatFlags::NoRemoveDir)?)
    }

    /// Makes the names in it durable. To be called by `folders` alone.
    pub(super) fn sync(&self) -> Result<(), MaildirError> {
        self.sync_by(File::sync_all).map_err(|error| self.failed("syncing", "", error))
    }

    /// The same by a call that may be another one, in tests.
    pub(super) fn sync_by(&self, sync: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
        sync(&self.file)
    }

    /// Where it was when it was opened.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// An error with something in this directory, or with the directory itself.
    pub(super) fn failed(&self, doing: &'static str, name: &str, error: io::Error) -> MaildirError {
        let path = if name.is_empty() { self.path.clone() } else { self.path.join(name) };
        MaildirError::from_io(doing, path, error)
    }

    /// Opened anew, since a directory that is being read remembers how far.
    fn entries(&self) -> nix::Result<Dir> {
        Dir::from_fd(open_directory(&self.file, ".")?)
    }
}

fn open_directory(parent: &File, name: &str) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
    fcntl::openat(parent, name, flags, Mode::empty())
}

fn identity(status: &stat::FileStat) -> Identity {
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast)] // the types differ from system to system
    (status.st_dev as u64, status.st_ino as u64)
}

/// When a file was last written to. `None`: it is none.
fn modified<P: nix::NixPath + ?Sized>(directory: &File, name: &P) -> nix::Result<Option<SystemTime>> {
    let status = stat::fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    let is_file = SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
    let seconds = u64::try_from(status.st_mtime).unwrap_or(0);
    Ok(is_file.then(|| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)))
}
