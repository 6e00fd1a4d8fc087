//! File operations in a real directory.
//!
//! Everything is done relative to handles that are held open, so that a directory that is moved or replaced under way
//! does not split the spool. Names are never followed through links, and what is opened is looked at before it is
//! read: whoever plants a link, a pipe or a device in the spool gets it reported and not served.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, Metadata, TryLockError};
use std::io::{self, Seek as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{self, OFlag};
use nix::sys::stat::{self, Mode};
use nix::sys::statvfs;
use nix::unistd::{self, UnlinkatFlags};

use crate::disk::{Access, Disk, DiskFile, DiskFolder, Entry, Folder, FreeSpace, OwnerLock, Submission};
use crate::error::OpenError;
use crate::rename;

/// A spool directory and its folders, held open.
#[derive(Debug)]
pub struct OsDisk {
    root: File,
    /// In the order of [`Folder::ALL`].
    folders: [File; Folder::ALL.len()],
}

/// The file that the owner of a spool has locked. It stays when the owner goes: what counts is the lock.
const LOCK_NAME: &str = "owner.lock";

impl OsDisk {
    /// Opens a spool for its owner; makes the directory (mode 0700, in an existing one) and its folders where missing.
    pub fn create(path: &Path) -> Result<Self, OpenError> {
        let failed =
            |doing: &str, source| OpenError::Failed { spool: path.to_owned(), doing: doing.to_owned(), source };
        make_root(path).map_err(|error| failed("making the directory", without_parent(error)))?;
        let root = open_root(path)?;
        let user_id = root.metadata().map_err(|error| failed("looking at the directory", error))?.uid();
        let process_user_id = unistd::geteuid().as_raw();
        if user_id != process_user_id {
            return Err(OpenError::NotOurs { spool: path.to_owned(), user_id, process_user_id });
        }
        for folder in Folder::ALL {
            match stat::mkdirat(&root, folder.name(), Mode::S_IRWXU) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => return Err(failed("making a folder", error.into())),
            }
        }
        root.sync_all().map_err(|error| failed("syncing the directory", error))?;
        OsDisk::with_folders(root).map_err(|error| failed("opening a folder", error))
    }

    /// Whether [`OsDisk::create`] could succeed for a user, as far as one can tell by looking.
    pub(crate) fn check(path: &Path, process_user_id: u32) -> Result<(), OpenError> {
        let spool = || path.to_owned();
        let failed = |source| OpenError::Failed { spool: spool(), doing: "making the directory".to_owned(), source };
        // What we may not look at says nothing about somebody else.
        let is_hidden = |error: &io::Error| {
            error.kind() == io::ErrorKind::PermissionDenied && process_user_id != unistd::geteuid().as_raw()
        };
        match std::fs::metadata(path) {
            Ok(found) if !found.is_dir() => Err(OpenError::Missing { spool: spool(), source: not_a_directory() }),
            Ok(found) if found.uid() != process_user_id => {
                Err(OpenError::NotOurs { spool: spool(), user_id: found.uid(), process_user_id })
            }
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => match std::fs::metadata(parent(path)) {
                Ok(found) if !found.is_dir() => Err(failed(without_parent(not_a_directory()))),
                Ok(found) if !may_make_entries(&found, process_user_id) => {
                    Err(failed(io::ErrorKind::PermissionDenied.into()))
                }
                Ok(_) => Ok(()),
                Err(error) if is_hidden(&error) => Ok(()),
                Err(error) => Err(failed(without_parent(error))),
            },
            Err(error) if is_hidden(&error) => Ok(()),
            Err(error) => Err(failed(without_parent(error))),
        }
    }

    /// Opens an existing spool in order to read in it. Changes nothing.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        OsDisk::with_folders(open_root(path)?).map_err(|source| OpenError::Missing { spool: path.to_owned(), source })
    }

    fn with_folders(root: File) -> io::Result<Self> {
        let [temporary, new, state, corrupt, maildrop, journal] =
            Folder::ALL.map(|folder| open_directory(&root, folder.name()));
        Ok(OsDisk { folders: [temporary?, new?, state?, corrupt?, maildrop?, journal?], root })
    }

    fn folder(&self, folder: Folder) -> &File {
        &self.folders[folder as usize]
    }
}

fn make_root(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => File::open(parent(path))?.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// What the system says about a path whose parent is missing reads as if the path itself should have been there.
fn without_parent(error: io::Error) -> io::Error {
    let kind = error.kind();
    match kind {
        io::ErrorKind::NotFound => io::Error::new(kind, "its parent directory does not exist"),
        io::ErrorKind::NotADirectory => io::Error::new(kind, "its parent is not a directory"),
        _ => error,
    }
}

fn not_a_directory() -> io::Error {
    io::ErrorKind::NotADirectory.into()
}

/// Whether the permissions of a directory let a user make something in it. Of the user's groups we know nothing, so what
/// the group may counts as allowed; where there is an access list, these bits tell the most that it gives.
fn may_make_entries(directory: &Metadata, user_id: u32) -> bool {
    let may = |shift: u32| (directory.mode() >> shift) & 0o3 == 0o3;
    match user_id {
        0 => true,
        _ if user_id == directory.uid() => may(6),
        _ => may(3) || may(0),
    }
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The root may be a link, such as from /var/spool to another disk; what lies in it may not.
fn open_root(path: &Path) -> Result<File, OpenError> {
    fcntl::open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).map(File::from).map_err(
        |error| match (error, std::fs::metadata(path).map(|found| found.uid())) {
            // The owner of the directory keeps us out.
            (Errno::EACCES, Ok(user_id)) if user_id != unistd::geteuid().as_raw() => {
                OpenError::NotOurs { spool: path.to_owned(), user_id, process_user_id: unistd::geteuid().as_raw() }
            }
            (error, _) => OpenError::Missing { spool: path.to_owned(), source: error.into() },
        },
    )
}

fn open_directory(root: &File, name: &str) -> io::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(fcntl::openat(root, name, flags, Mode::empty())?.into())
}

/// Opens a plain file or fails, at once. `O_NONBLOCK` keeps a planted pipe from stopping us; a socket and a link answer
/// with errors of their own.
fn open_plain_file(folder: &File, name: &[u8], flags: OFlag, mode: Mode) -> io::Result<File> {
    let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let not_plain = || io::Error::new(io::ErrorKind::InvalidData, "not a plain file");
    let file = match fcntl::openat(folder, name, flags, mode) {
        Ok(descriptor) => File::from(descriptor),
        Err(Errno::ELOOP | Errno::ENXIO | Errno::EISDIR) => return Err(not_plain()),
        Err(error) => return Err(error.into()),
    };
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_plain()) }
}

impl Disk for OsDisk {
    fn lock(&self) -> io::Result<Option<OwnerLock>> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT;
        let file = open_plain_file(&self.root, LOCK_NAME.as_bytes(), flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// A shared lock on the folder itself: the kernel gives it back when the process ends, however it ends.
    fn begin_submission(&self) -> io::Result<Submission> {
        let folder = open_directory(self.folder(Folder::Maildrop), ".")?;
        folder.lock_shared()?;
        Ok(Box::new(folder))
    }

    fn is_anybody_submitting(&self) -> io::Result<bool> {
        // Given back at once: a submitter waits for it for a moment at most.
        match open_directory(self.folder(Folder::Maildrop), ".")?.try_lock() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn create(&self, entry: &Entry) -> io::Result<Box<dyn DiskFile>> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        Ok(Box::new(open_plain_file(self.folder(entry.folder), entry.name.as_bytes(), flags, mode)?))
    }

    fn open(&self, entry: &Entry, access: Access) -> io::Result<Box<dyn DiskFile>> {
        let flags = match access {
            Access::Read => OFlag::O_RDONLY,
            Access::Append => OFlag::O_RDWR | OFlag::O_APPEND,
        };
        Ok(Box::new(open_plain_file(self.folder(entry.folder), entry.name.as_bytes(), flags, Mode::empty())?))
    }

    fn open_folder(&self, folder: Folder) -> io::Result<Box<dyn DiskFolder>> {
        Ok(Box::new(open_directory(self.folder(folder), ".")?))
    }

    fn rename(&self, from: &Entry, to: &Entry) -> io::Result<()> {
        let (old, new) = (self.folder(from.folder), self.folder(to.folder));
        rename::without_replacing(old, &from.name, new, &to.name)
    }

    fn link(&self, from: &Entry, to: &Entry) -> io::Result<()> {
        let (old, new) = (self.folder(from.folder), self.folder(to.folder));
        let (from, to) = (from.name.as_bytes(), to.name.as_bytes());
        Ok(unistd::linkat(old, from, new, to, fcntl::AtFlags::empty())?)
    }

    fn remove(&self, entry: &Entry) -> io::Result<()> {
        let folder = self.folder(entry.folder);
        Ok(unistd::unlinkat(folder, entry.name.as_bytes(), UnlinkatFlags::NoRemoveDir)?)
    }

    fn list(&self, folder: Folder) -> io::Result<Vec<OsString>> {
        let mut directory = Dir::from_fd(OwnedFd::from(open_directory(self.folder(folder), ".")?))?;
        let mut names = Vec::new();
        for entry in directory.iter() {
            let name = entry?.file_name().to_bytes().to_owned();
            if name != b"." && name != b".." {
                names.push(std::os::unix::ffi::OsStringExt::from_vec(name));
            }
        }
        Ok(names)
    }

    fn free_space(&self) -> io::Result<FreeSpace> {
        let status = statvfs::fstatvfs(&self.root)?;
        #[allow(clippy::useless_conversion)] // the types differ from system to system
        let (blocks, block, files) =
            (u64::from(status.blocks_available()), u64::from(status.fragment_size()), u64::from(status.files()));
        #[allow(clippy::useless_conversion)]
        let files_available = u64::from(status.files_available());
        Ok(FreeSpace { bytes: blocks.saturating_mul(block), files: (files > 0).then_some(files_available) })
    }
}

/// What a file is filled with, some at a time.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

impl DiskFile for File {
    #[cfg(target_os = "linux")]
    fn begin_write_back(&mut self) {
        // It also gives up what is on the medium already; that is little, and read again if it is needed.
        let _ = fcntl::posix_fadvise(&*self, 0, 0, fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    }

    #[cfg(target_os = "linux")]
    fn release_memory(&mut self, offset: u64, octets: u64) {
        if let (Ok(offset), Ok(octets)) = (offset.try_into(), octets.try_into()) {
            let _ = fcntl::posix_fadvise(&*self, offset, octets, fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        }
    }

    fn fill_ahead(&mut self, octets: usize) -> io::Result<()> {
        let (mut offset, mut left) = (self.stream_position()?, octets);
        while left > 0 {
            let some = left.min(ZEROS.len());
            self.write_all_at(&ZEROS[..some], offset)?;
            offset += some as u64;
            left -= some;
        }
        Ok(())
    }

    /// Without the times of the file, which nobody asks for.
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

impl DiskFolder for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_for_the_owner_alone() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("spool");
        let disk = OsDisk::create(&path).unwrap();
        drop(disk.create(&Folder::New.entry("m")).unwrap());
        drop(disk.lock().unwrap().unwrap());
        for (name, mode) in [("", 0o700), ("new", 0o700), ("new/m", 0o600), ("owner.lock", 0o600)] {
            assert_eq!(std::fs::metadata(path.join(name)).unwrap().mode() & 0o777, mode, "{name}");
        }
    }

    /// What a look says is what opening says.
    #[test]
    fn checking_says_what_opening_would() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("file"), "").unwrap();
        let me = unistd::geteuid().as_raw();
        for (name, expected) in [
            ("file", "file\" is not a directory"),
            ("none/spool", "its parent directory does not exist"),
            ("file/spool", "its parent is not a directory"),
        ] {
            let path = place.path().join(name);
            let (checked, made) = (OsDisk::check(&path, me).unwrap_err(), OsDisk::create(&path).unwrap_err());
            assert_eq!(checked.to_string(), made.to_string());
            assert!(checked.to_string().contains(expected), "{checked}");
        }
        let path = place.path().join("spool");
        OsDisk::check(&path, me).unwrap();
        assert!(!path.exists());
        OsDisk::create(&path).unwrap();
        OsDisk::check(&path, me).unwrap();
        // Somebody else: neither this directory, nor one in a place of ours that is closed to others.
        let said = OsDisk::check(&path, me + 1).unwrap_err();
        let expected = format!("belongs to the user with number {me}, this process is the user with number {}", me + 1);
        assert!(said.is_permission() && said.to_string().contains(&expected), "{said}");
        assert!(OsDisk::check(&path.join("inner"), me + 1).unwrap_err().is_permission());
    }

    #[test]
    fn what_is_filled_ahead_is_written_over() {
        let parent = tempfile::tempdir().unwrap();
        let disk = OsDisk::create(&parent.path().join("spool")).unwrap();
        let entry = Folder::Journal.entry("1");
        let mut file = disk.create(&entry).unwrap();
        file.write_all(b"one").unwrap();
        file.fill_ahead(ZEROS.len() + 2).unwrap();
        file.write_all(b"two").unwrap();
        file.sync().unwrap();
        let length = file.length().unwrap() as usize;
        assert_eq!(length, 3 + ZEROS.len() + 2);
        let mut read = vec![1; length];
        disk.open(&entry, Access::Read).unwrap().read_at(0, &mut read).unwrap();
        assert_eq!((&read[..6], read[6..].iter().all(|octet| *octet == 0)), (&b"onetwo"[..], true));
    }

    #[test]
    fn an_open_disk_follows_its_directory() {
        let parent = tempfile::tempdir().unwrap();
        let (before, after) = (parent.path().join("before"), parent.path().join("after"));
        let disk = OsDisk::create(&before).unwrap();
        std::fs::rename(&before, &after).unwrap();
        drop(disk.create(&Folder::New.entry("m")).unwrap());
        assert!(after.join("new/m").exists() && !before.exists());
    }
}
