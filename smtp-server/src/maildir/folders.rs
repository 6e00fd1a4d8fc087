//! The three folders of one mailbox, and the one file of the Maildir that syncs: which step comes before which.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

#[cfg(target_os = "linux")]
use nix::fcntl;

use super::directory::Directory;
use super::error::MaildirError;
use super::name::UniqueName;
use super::shared_sync::{SharedSync, Synced};

/// Nobody writes for so long at one message: what is older in `tmp/` was left by a crash. The age is that of the first
/// Maildir, and other programs that deliver into the same mailbox go by it.
const LEFTOVER_AGE: Duration = Duration::from_secs(36 * 3_600);

/// Entries of `tmp/` that are looked at in one go. More than a few are there only if something is wrong.
const LEFTOVERS_AT_ONCE: usize = 1_000;

/// How long nobody looks again. They have waited for a day and a half already.
const SWEEP_PAUSE: Duration = Duration::from_secs(600);

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
#[derive(Debug)]
pub(super) struct Folders {
    /// The directories that lead to it, the last of which is the mailbox.
    way: Vec<(String, Directory)>,
    tmp: Directory,
    new: Directory,
    cur: Directory,
    /// Who syncs `new`.
    syncs: SharedSync,
    /// When leftovers were last looked for.
    swept: Mutex<Option<Instant>>,
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
        let mut way: Vec<(String, Directory)> = Vec::new();
        for name in names {
            let parent = way.last().map_or(root, |(_, directory)| directory);
            let Some(directory) = parent.open(name)? else { return Ok(None) };
            way.push((name.clone(), directory));
        }
        let mailbox = way.last().map_or(root, |(_, directory)| directory);
        Ok(match (mailbox.open("tmp")?, mailbox.open("new")?, mailbox.open("cur")?) {
            (Some(tmp), Some(new), Some(cur)) => {
                Some(Folders { way, tmp, new, cur, syncs: SharedSync::default(), swept: Mutex::default() })
            }
            _ => None,
        })
    }

    /// Whether these names lead here.
    pub(super) fn are_at(&self, names: &[String]) -> bool {
        self.way.iter().map(|(name, _)| name).eq(names)
    }

    /// Whether what is held open is what would be opened now: nobody has moved a directory away, or put another one or a
    /// link in its place.
    pub(super) fn are_current(&self, root: &Directory) -> bool {
        let mut parent = root;
        for (name, directory) in &self.way {
            if !parent.still_has(name, directory) {
                return false;
            }
            parent = directory;
        }
        [("tmp", &self.tmp), ("new", &self.new), ("cur", &self.cur)]
            .into_iter()
            .all(|(name, folder)| parent.still_has(name, folder))
    }

    /// Whether the message has arrived before. `new` comes first: what a reader moves from there to `cur` between our
    /// two looks is found at the second.
    pub(super) fn has(&self, name: &UniqueName) -> Result<bool, MaildirError> {
        // The try that wrote it may have ended before it came to the sync.
        if self.new.has_file(name.as_str())? {
            self.sync_new_by(File::sync_all).map_err(|error| self.unsynced(error))?;
            return Ok(true);
        }
        let is_taken = self.cur.has_file_among(|file_name| name.is_name_of(file_name))?;
        if is_taken {
            self.cur.sync()?;
        }
        Ok(is_taken)
    }

    /// A new file in `tmp`.
    pub(super) fn create(self: &Arc<Self>, name: &UniqueName) -> Result<Temporary, MaildirError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        for _ in 0..TEMPORARY_NAMES {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let temporary = format!("{}.P{}Q{count}", name.as_str(), std::process::id());
            if let Some(file) = self.tmp.create(&temporary)? {
                let name = TemporaryName { folders: Arc::clone(self), name: temporary, has_left: false };
                return Ok(Temporary { name, file });
            }
        }
        Err(self.tmp.failed("making a file in", "", io::ErrorKind::AlreadyExists.into()))
    }

    /// Makes the names in `new` durable, together with whoever else has made some.
    fn sync_new_by(&self, sync: impl FnOnce(&File) -> io::Result<()>) -> Synced {
        self.syncs.run(|| self.new.sync_by(sync))
    }

    fn unsynced(&self, error: Arc<io::Error>) -> MaildirError {
        // With the kind, by which errors are sorted.
        self.new.failed("syncing", "", io::Error::new(error.kind(), error))
    }

    /// Removes what crashes have left in `tmp`, now and then.
    pub(super) fn remove_leftovers(&self) {
        let now = Instant::now();
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.is_none_or(|swept| now.duration_since(swept) >= SWEEP_PAUSE) {
            *swept = Some(now);
            drop(swept);
            self.tmp.remove_older(LEFTOVER_AGE, SystemTime::now(), LEFTOVERS_AT_ONCE);
        }
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

/// A message that is being written.
pub(super) struct Temporary {
    name: TemporaryName,
    file: File,
}

impl Temporary {
    /// Takes octets of the message.
    pub(super) fn write(&mut self, octets: &[u8]) -> Result<(), MaildirError> {
        self.file.write_all(octets).map_err(|error| self.name.failed("writing", error))
    }

    /// Nothing more is written. The octets are on their way to the medium from here on, so that those of several messages
    /// arrive while the first is waited for.
    pub(super) fn finish(self, name: UniqueName) -> Written {
        begin_write_back(&self.file);
        Written { temporary: self.name, file: self.file, name }
    }
}

/// Only a hint, which promises nothing and may do nothing: the sync behind it does both.
#[cfg(target_os = "linux")]
fn begin_write_back(file: &File) {
    let _ = fcntl::posix_fadvise(file, 0, 0, fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED);
}

#[cfg(not(target_os = "linux"))]
fn begin_write_back(_file: &File) {}

/// A message that is written, and that is still to become durable and to get its name.
pub(super) struct Written {
    temporary: TemporaryName,
    file: File,
    name: UniqueName,
}

impl Written {
    /// Makes the octets durable. A failed sync is final: the kernel has dropped what it could not write, and would say "ok"
    /// the next time.
    fn sync_by(self, sync: impl FnOnce(&File) -> io::Result<()>) -> Result<Self, MaildirError> {
        match sync(&self.file) {
            Ok(()) => Ok(self),
            Err(error) => Err(self.temporary.failed("syncing", error)),
        }
    }

    /// Gives it its name. With `true` if it is there by this, `false` if it was there before.
    fn take_its_place(mut self) -> Result<(Self, bool), MaildirError> {
        let (folders, name) = (&self.temporary.folders, self.name.as_str());
        let is_ours = folders.new.take(name, &folders.tmp, &self.temporary.name)?;
        if !is_ours && !folders.new.has_file(name)? {
            return Err(folders.new.failed("making", name, io::ErrorKind::AlreadyExists.into()));
        }
        self.temporary.has_left = is_ours;
        Ok((self, is_ours))
    }
}

/// Makes written files messages: with one sync for each mailbox, in which others may share. One answer for each, in their order.
pub(super) fn publish(written: Vec<Written>) -> Vec<Result<(), MaildirError>> {
    publish_by(File::sync_all, written)
}

fn publish_by(sync: impl Fn(&File) -> io::Result<()>, written: Vec<Written>) -> Vec<Result<(), MaildirError>> {
    // All are durable before the first has its name: a rename between two syncs would be one more thing for the second to do.
    let durable: Vec<_> = written.into_iter().map(|written| written.sync_by(&sync)).collect();
    let placed: Vec<_> = durable.into_iter().map(|written| written.and_then(Written::take_its_place)).collect();
    let mut synced: Vec<(Arc<Folders>, Synced)> = Vec::new();
    for (written, _) in placed.iter().flatten() {
        let folders = &written.temporary.folders;
        if !synced.iter().any(|(known, _)| Arc::ptr_eq(known, folders)) {
            synced.push((Arc::clone(folders), folders.sync_new_by(&sync)));
        }
    }
    let outcome = |(written, is_ours): (Written, bool)| {
        let folders = &written.temporary.folders;
        let Some((_, Err(error))) = synced.iter().find(|(known, _)| Arc::ptr_eq(known, folders)) else { return Ok(()) };
        if is_ours {
            // So that the next try writes it anew. A reader may have taken it by now: then that is the one copy.
            let _ = folders.new.remove(written.name.as_str());
        }
        Err(folders.unsynced(Arc::clone(error)))
    };
    placed.into_iter().map(|placed| placed.and_then(outcome)).collect()
}

/// The name in `tmp` of what is to become a message. If it does not become one, the name is gone when this is.
struct TemporaryName {
    folders: Arc<Folders>,
    name: String,
    has_left: bool,
}

impl TemporaryName {
    fn failed(&self, doing: &'static str, error: io::Error) -> MaildirError {
        self.folders.tmp.failed(doing, &self.name, error)
    }
}

impl Drop for TemporaryName {
    fn drop(&mut self) {
        if !self.has_left {
            // If this fails, the name is removed when it is old.
            let _ = self.folders.tmp.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn deliver_by(
        sync: impl Fn(&File) -> io::Result<()>,
        folders: &Arc<Folders>,
        name: &UniqueName,
    ) -> Result<(), MaildirError> {
        let written = folders.create(name)?.finish(name.clone());
        publish_by(sync, vec![written]).remove(0)
    }

    /// Two for bob and one for eve, whose folder cannot be synced, and one for bob whose name is taken by no message.
    #[test]
    fn what_is_published_together_is_synced_once_for_each_mailbox_and_fails_apart() {
        let directory = tempfile::tempdir().unwrap();
        let root = open_root(directory.path()).unwrap();
        let [bob, eve] = ["bob", "eve"].map(|user| Arc::new(Folders::open(&root, &[user.to_owned()]).unwrap()));
        let name = |number| UniqueName::new(&"id".parse().unwrap(), 0, number, &"localhost".parse().unwrap());
        std::fs::create_dir(directory.path().join("bob/new").join(name(3).as_str())).unwrap();
        let written = [(&bob, 0), (&eve, 1), (&bob, 2), (&bob, 3)]
            .map(|(folders, number)| folders.create(&name(number)).unwrap().finish(name(number)));
        let calls = Cell::new(0);
        let sync = |file: &File| {
            calls.set(calls.get() + 1);
            // The four files, then the folders of bob and eve.
            if calls.get() == 6 { Err(io::Error::other("the medium failed")) } else { file.sync_all() }
        };
        let results = publish_by(sync, written.into());
        let words = results.into_iter().map(|result| result.err().map(|error| error.to_string()).unwrap_or_default());
        let words: Vec<_> = words.collect();
        assert!(words[0].is_empty() && words[2].is_empty(), "{words:?}");
        assert!(words[1].contains("eve/new") && words[1].contains("the medium failed"), "{words:?}");
        assert!(words[3].contains("something that is no message"), "{words:?}");
        assert_eq!(calls.get(), 6);
        let there = [(&bob, 0), (&eve, 1), (&bob, 2)].map(|(folders, number)| folders.has(&name(number)).unwrap());
        assert_eq!(there, [true, false, true]);
        for user in ["bob", "eve"] {
            assert_eq!(std::fs::read_dir(directory.path().join(user).join("tmp")).unwrap().count(), 0);
        }
    }

    /// The medium fails at the first sync, of the file, or at the second, of its folder. Either way there is no message, and
    /// the next try makes one.
    #[test]
    fn a_sync_that_fails_leaves_nothing() {
        for failing in [1, 2] {
            let directory = tempfile::tempdir().unwrap();
            let root = open_root(directory.path()).unwrap();
            let folders = Arc::new(Folders::open(&root, &["bob".to_owned()]).unwrap());
            let name = UniqueName::new(&"id".parse().unwrap(), 0, 0, &"localhost".parse().unwrap());
            let calls = Cell::new(0);
            let sync = |file: &File| {
                calls.set(calls.get() + 1);
                if calls.get() == failing { Err(io::Error::other("the medium failed")) } else { file.sync_all() }
            };
            let error = deliver_by(sync, &folders, &name).unwrap_err();
            assert!(error.is_transient() && error.to_string().contains("the medium failed"), "{error}");
            assert!(error.to_string().contains(if failing == 1 { "bob/tmp/" } else { "bob/new" }), "{error}");
            assert!(!folders.has(&name).unwrap());
            for folder in ["bob/tmp", "bob/new"] {
                assert_eq!(std::fs::read_dir(directory.path().join(folder)).unwrap().count(), 0, "{folder}");
            }
            deliver_by(File::sync_all, &folders, &name).unwrap();
            assert!(folders.has(&name).unwrap());
        }
    }

    /// One delivery syncs; two come too late for that, share the next sync, and it fails: they are not there, the first is.
    #[test]
    fn a_shared_sync_that_fails_takes_back_all_for_whom_it_stood_and_nobody_else() {
        let directory = tempfile::tempdir().unwrap();
        let folders = Arc::new(Folders::open(&open_root(directory.path()).unwrap(), &["bob".to_owned()]).unwrap());
        let name = |number| UniqueName::new(&"id".parse().unwrap(), 0, number, &"localhost".parse().unwrap());
        let (begins, began) = std::sync::mpsc::channel();
        let deliver = &|number| {
            let sync = |file: &File| {
                if !file.metadata()?.is_dir() {
                    return file.sync_all();
                }
                let (end, ended) = std::sync::mpsc::channel();
                begins.send(end).unwrap();
                ended.recv().unwrap()
            };
            deliver_by(sync, &folders, &name(number))
        };
        std::thread::scope(|scope| {
            let first = scope.spawn(|| deliver(1));
            let first_sync = began.recv().unwrap();
            let others = [2, 3].map(|number| scope.spawn(move || deliver(number)));
            while folders.syncs.waiting() != 2 {
                std::thread::yield_now();
            }
            first_sync.send(Ok(())).unwrap();
            first.join().unwrap().unwrap();
            began.recv().unwrap().send(Err(io::ErrorKind::QuotaExceeded.into())).unwrap();
            for other in others {
                let error = other.join().unwrap().unwrap_err();
                assert!(error.is_full() && error.to_string().contains("bob/new"), "{error}");
            }
        });
        assert_eq!([1, 2, 3].map(|number| folders.has(&name(number)).unwrap()), [true, false, false]);
        deliver_by(File::sync_all, &folders, &name(2)).unwrap();
        assert!(folders.has(&name(2)).unwrap());
        assert_eq!(std::fs::read_dir(directory.path().join("bob/tmp")).unwrap().count(), 0);
    }
}
