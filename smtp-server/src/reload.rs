//! What changes while the server runs: the files behind it are read again when they have changed.
//!
//! [`Current`] is what is true now: what addresses mean here ([`CurrentAddressing`]), or which certificate is shown
//! ([`crate::tls::CurrentIdentity`]). All who need it share one, and each of their answers comes from one version of it. A
//! [`Reloader`] knows how it is read and from which files, and [`Reloader::watch`] looks at them every second, in a thread of
//! its own:
//!
//! ```
//! use smtp_server::addressing::LocalAddressing;
//! use smtp_server::policy::LocalPolicy;
//! use smtp_server::recipients::Recipients;
//! use smtp_server::reload::Reloader;
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("recipients");
//! # std::fs::write(&path, "bob\n")?;
//! let file = path.clone();
//! let read = move || {
//!     let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
//!     let recipients = Recipients::parse(&text).map_err(|error| format!("{}: {error}", file.display()))?;
//!     Ok(LocalAddressing::new(["example.org".parse().expect("a domain")]).with_recipients(recipients))
//! };
//! let reloader = Reloader::new(vec![path], read)?;
//! let policy = LocalPolicy::from(reloader.current().clone()); // and Delivery::new(reloader.current().clone(), ..)
//! let watch = reloader.watch()?; // until this is dropped
//! assert!(policy.addressing().accepts(&"<bob@example.org>".parse()?).is_ok());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender};

use crate::addressing::LocalAddressing;

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// After how many looks a file that could not be read is tried again, though it has not changed: it may have been for want of
/// descriptors. Not at each look, since a wrong file may be a large one.
const LOOKS_BEFORE_RETRY: u32 = 30;

/// What can be read again.
pub trait Reload: Send + Sync + 'static {
    /// What the log says once this version is the one of now.
    fn in_force(&self) -> String;
}

/// What it is now. A clone shares it.
#[derive(Debug)]
pub struct Current<T> {
    cell: Arc<RwLock<Arc<T>>>,
}

/// What addresses mean here, now.
pub type CurrentAddressing = Current<LocalAddressing>;

impl<T> Clone for Current<T> {
    fn clone(&self) -> Self {
        Current { cell: self.cell.clone() }
    }
}

impl<T> Current<T> {
    /// What it is now. It stays what it is for whoever holds it, so a question that takes several look-ups asks once.
    pub fn get(&self) -> Arc<T> {
        self.cell.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it is from now on, for all who share it, in one step.
    pub fn replace(&self, new: impl Into<Arc<T>>) {
        let mut new = new.into();
        std::mem::swap(&mut *self.cell.write().unwrap_or_else(PoisonError::into_inner), &mut new);
        // The old one may have many names; it is dropped here, where nobody waits for the lock any more.
        drop(new);
    }
}

impl<T, A: Into<Arc<T>>> From<A> for Current<T> {
    fn from(first: A) -> Self {
        Current { cell: Arc::new(RwLock::new(first.into())) }
    }
}

impl Reload for LocalAddressing {
    fn in_force(&self) -> String {
        let recipients = self.recipients().map_or("all".to_owned(), |recipients| recipients.count().to_string());
        let aliases = self.aliases().count();
        format!("new recipients or aliases are in force: recipients={recipients} aliases={aliases}")
    }
}

/// Reads something, at first and whenever one of its files has changed.
pub struct Reloader<T> {
    current: Current<T>,
    files: Vec<PathBuf>,
    read: Box<dyn Fn() -> Result<T, String> + Send>,
    /// How the files were at the last look.
    seen: Vec<FileState>,
    /// How they were when they were last read, well or not.
    tried: Vec<FileState>,
    /// Why that came to nothing.
    failure: Option<Failure>,
}

/// Why the files could not be taken.
struct Failure {
    reason: String,
    /// Since the last try.
    looks: u32,
}

/// What tells one version of a file from another.
#[derive(Clone, Debug, PartialEq, Eq)]
enum FileState {
    There {
        device: u64,
        inode: u64,
        octets: u64,
        modified: (i64, i64),
        /// By this it shows that the file may be read now, after a `chmod`.
        changed: (i64, i64),
    },
    /// A pipe gives what it has once, and whoever opens one may wait for ever.
    Pipe,
    /// Gone, or out of reach.
    NotThere(io::ErrorKind),
}

/// What a look at the files has led to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum News {
    /// There is a new version.
    Taken(String),
    /// There is none, and that was not said yet.
    Refused(String),
}

/// A thread that looks at the files. It ends when this is dropped.
#[derive(Debug)]
pub struct Watch {
    _running: Option<Sender<()>>,
}

impl<T: Reload> Reloader<T> {
    /// Reads for the first time. What `read` says of an error names the file and the line, and what to do.
    pub fn new(files: Vec<PathBuf>, read: impl Fn() -> Result<T, String> + Send + 'static) -> Result<Self, String> {
        // Looked at first, so that a change in between is one that is found.
        let seen = states(&files);
        let current = Current::from(Arc::new(read()?));
        Ok(Reloader { current, files, read: Box::new(read), tried: seen.clone(), seen, failure: None })
    }

    /// What is kept up to date, to be shared.
    pub fn current(&self) -> &Current<T> {
        &self.current
    }

    /// Reads once more and says what is wrong, if anything is: this process may have become somebody else meanwhile.
    pub fn check(&self) -> Result<(), String> {
        (self.read)().map(drop)
    }

    /// Looks at the files every second until the `Watch` is dropped, and logs what comes of it. With no file there is no
    /// thread.
    pub fn watch(mut self) -> io::Result<Watch> {
        if self.files.is_empty() {
            return Ok(Watch { _running: None });
        }
        let (running, stopped) = crossbeam_channel::bounded::<()>(0);
        // Nobody waits for the thread: it may be reading from a file server that does not answer, and leaves nothing undone.
        std::thread::Builder::new().name("reload".to_owned()).spawn(move || {
            while stopped.recv_timeout(LOOK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                match self.look() {
                    Some(News::Taken(text)) => log::info!("{text}"),
                    Some(News::Refused(text)) => log::error!("{text}"),
                    None => {}
                }
            }
        })?;
        Ok(Watch { _running: Some(running) })
    }

    fn look(&mut self) -> Option<News> {
        let states = states(&self.files);
        // An editor may be half way through: what is read has stood still from one look to the next. That asks no clock, which
        // a file server may have of its own.
        let stands_still = states == self.seen;
        self.seen = states;
        let has_changed = self.seen != self.tried;
        let is_retry = self.failure.as_mut().is_some_and(|failure| {
            failure.looks += 1;
            failure.looks >= LOOKS_BEFORE_RETRY
        });
        if !stands_still || !(has_changed || is_retry) {
            return None;
        }
        self.tried.clone_from(&self.seen);
        match self.read_again() {
            Ok(new) => {
                let text = new.in_force();
                self.current.replace(new);
                self.failure = None;
                Some(News::Taken(text))
            }
            Err(reason) => {
                let text = format!("{reason}; what was read before stays in force");
                let old = self.failure.replace(Failure { reason: reason.clone(), looks: 0 });
                let is_new = has_changed || old.is_none_or(|old| old.reason != reason);
                is_new.then_some(News::Refused(text))
            }
        }
    }

    fn read_again(&self) -> Result<T, String> {
        match self.files.iter().zip(&self.seen).find(|(_, state)| **state == FileState::Pipe) {
            Some((pipe, _)) => Err(format!("{}: a pipe is read only once; restart the server", pipe.display())),
            None => (self.read)(),
        }
    }
}

impl<T> fmt::Debug for Reloader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader").field("files", &self.files).finish_non_exhaustive()
    }
}

fn states(files: &[PathBuf]) -> Vec<FileState> {
    files.iter().map(|file| FileState::of(file)).collect()
}

impl FileState {
    fn of(path: &Path) -> Self {
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.file_type().is_fifo() => FileState::Pipe,
            Ok(metadata) => FileState::There {
                device: metadata.dev(),
                inode: metadata.ino(),
                octets: metadata.len(),
                modified: (metadata.mtime(), metadata.mtime_nsec()),
                changed: (metadata.ctime(), metadata.ctime_nsec()),
            },
            Err(error) => FileState::NotThere(error.kind()),
        }
    }
}

#[cfg(test)]
mod tests;
