//! The three folders of one mailbox, and the one file of the Maildir that syncs: which step comes before which.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::directory::Directory;
use super::error::MaildirError;
use super::name::UniqueName;

/// Nobody writes for so long at one message: what is older in `tmp/` was left by a crash. The age is that of the first
/// Maildir, and other programs that deliver into the same mailbox go by it.
const LEFTOVER_AGE: Duration = Duration::from_secs(36 * 3_600);

/// Entries of `tmp/` that one delivery looks at. More than a few are there only if something is wrong.
const LEFTOVERS_AT_ONCE: usize = 1_000;

/// Names that are tried for one temporary file. Only a leftover of the same message can stand in the way, from a
/// process of the same number, of which there is one for each crash.
const TEMPORARY_NAMES: usize = 1_000;

/// Opens the directory of all mailboxes, and makes it if need be.
pub(super) fn open_root(path: &Path) -> Result<Directory, MaildirError> {
    let failed = |error| MaildirError::from_io("making", path.to_owned(), error);
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let sync_parent = || File::open(parent)?.sync_all();
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_parent().map_err(failed)?,
        // Perhaps made by a process that came no further; its parent may be closed to us, if it was not.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => drop(sync_parent()),
        Err(error) => return Err(failed(error)),
    }
    Directory::open_path(path)
}

/// The folders of one mailbox, held open.
pub(super) struct Folders {
    tmp: Directory,
    new: Directory,
    cur: Directory,
}

impl Folders {
    /// Opens a mailbox by the names of the directories that lead to it; makes what is missing.
    pub(super) fn open(root: &Directory, names: &[String]) -> Result<Self, MaildirError> {
        match Folders::find(root, names)? {
            Some(folders) => Ok(folders),
            None => {
                make(root, names)?;
                let gone = || root.failed("opening", &names.join("/"), io::ErrorKind::NotFound.into());
                Folders::find(root, names)?.ok_or_else(gone)
            }
        }
    }

    fn find(root: &Directory, names: &[String]) -> Result<Option<Self>, MaildirError> {
        let mut found: Option<Directory> = None;
        for name in names {
            found = found.as_ref().unwrap_or(root).open(name)?;
            if found.is_none() {
                return Ok(None);
            }
        }
        let mailbox = found.as_ref().unwrap_or(root);
        Ok(match (mailbox.open("tmp")?, mailbox.open("new")?, mailbox.open("cur")?) {
            (Some(tmp), Some(new), Some(cur)) => Some(Folders { tmp, new, cur }),
            _ => None,
        })
    }

    /// Whether the message has arrived before. `new` comes first: what a reader moves from there to `cur` between our
    /// two looks is found at the second.
    pub(super) fn has(&self, name: &UniqueName) -> Result<bool, MaildirError> {
        // The try that wrote it may have ended before it came to the sync.
        if self.new.has_file(name.as_str())? {
            self.new.sync()?;
            return Ok(true);
        }
        let is_taken = self.cur.has_file_among(|file_name| name.is_name_of(file_name))?;
        if is_taken {
            self.cur.sync()?;
        }
        Ok(is_taken)
    }

    /// A new file in `tmp`.
    pub(super) fn create(&self, name: &UniqueName) -> Result<Temporary<'_>, MaildirError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        for _ in 0..TEMPORARY_NAMES {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}.P{}Q{count}", name.as_str(), std::process::id());
            if let Some(file) = self.tmp.create(&name)? {
                return Ok(Temporary { folder: &self.tmp, name, file });
            }
        }
        Err(self.tmp.failed("making a file in", "", io::ErrorKind::AlreadyExists.into()))
    }

    /// Makes a written file a message. A failed sync is final: the kernel has dropped what it could not write, and
    /// would say "ok" the next time.
    pub(super) fn publish(&self, temporary: Temporary<'_>, name: &UniqueName) -> Result<(), MaildirError> {
        self.publish_by(File::sync_all, temporary, name)
    }

    fn publish_by(
        &self,
        sync: impl Fn(&File) -> io::Result<()>,
        temporary: Temporary<'_>,
        name: &UniqueName,
    ) -> Result<(), MaildirError> {
        let written = sync(&temporary.file);
        written.map_err(|error| temporary.folder.failed("syncing", &temporary.name, error))?;
        let is_ours = self.new.link(name.as_str(), temporary.folder, &temporary.name)?;
        if !is_ours && !self.new.has_file(name.as_str())? {
            return Err(self.new.failed("making", name.as_str(), io::ErrorKind::AlreadyExists.into()));
        }
        let synced = self.new.sync_by(sync);
        if synced.is_err() && is_ours {
            // So that the next try writes it anew. A reader may have taken it by now: then that is the one copy.
            let _ = self.new.remove(name.as_str());
        }
        synced
    }

    /// Removes what crashes have left in `tmp`.
    pub(super) fn remove_leftovers(&self, now: SystemTime) {
        self.tmp.remove_older(LEFTOVER_AGE, now, LEFTOVERS_AT_ONCE);
    }
}

/// Makes a mailbox. `tmp` comes last and needs no sync: whoever finds it knows that everything else is durable, and
/// whoever does not does all of this again, a crash in the middle included.
fn make(root: &Directory, names: &[String]) -> Result<(), MaildirError> {
    let mut made: Option<Directory> = None;
    for name in names {
        let parent = made.as_ref().unwrap_or(root);
        parent.make(name)?;
        parent.sync()?;
        let gone = || parent.failed("opening", name, io::ErrorKind::NotFound.into());
        made = Some(parent.open(name)?.ok_or_else(gone)?);
    }
    let mailbox = made.as_ref().unwrap_or(root);
    mailbox.make("new")?;
    mailbox.make("cur")?;
    mailbox.sync()?;
    mailbox.make("tmp")
}

/// A message that is being written. Its name in `tmp` is gone when this is, whether it has got another one or not.
pub(super) struct Temporary<'a> {
    folder: &'a Directory,
    name: String,
    file: File,
}

impl Temporary<'_> {
    /// Takes octets of the message.
    pub(super) fn write(&mut self, octets: &[u8]) -> Result<(), MaildirError> {
        self.file.write_all(octets).map_err(|error| self.folder.failed("writing", &self.name, error))
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        // If this fails, the name is removed when it is old.
        let _ = self.folder.remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// The medium fails at the first sync, of the file, or at the second, of its folder. Either way there is no message, and
    /// the next try makes one.
    #[test]
    fn a_sync_that_fails_leaves_nothing() {
        for failing in [1, 2] {
            let directory = tempfile::tempdir().unwrap();
            let root = open_root(directory.path()).unwrap();
            let folders = Folders::open(&root, &["bob".to_owned()]).unwrap();
            let name = UniqueName::new(&"id".parse().unwrap(), 0, 0, &"localhost".parse().unwrap());
            let calls = Cell::new(0);
            let sync = |file: &File| {
                calls.set(calls.get() + 1);
                if calls.get() == failing { Err(io::Error::other("the medium failed")) } else { file.sync_all() }
            };
            let error = folders.publish_by(sync, folders.create(&name).unwrap(), &name).unwrap_err();
            assert!(error.is_transient() && error.to_string().contains("the medium failed"), "{error}");
            assert!(error.to_string().contains(if failing == 1 { "bob/tmp/" } else { "bob/new" }), "{error}");
            assert!(!folders.has(&name).unwrap());
            for folder in ["bob/tmp", "bob/new"] {
                assert_eq!(std::fs::read_dir(directory.path().join(folder)).unwrap().count(), 0, "{folder}");
            }
            folders.publish(folders.create(&name).unwrap(), &name).unwrap();
            assert!(folders.has(&name).unwrap());
        }
    }
}
