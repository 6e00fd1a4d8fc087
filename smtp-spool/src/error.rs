//! What can go wrong, sorted by what the peer hears and what the operator does.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a store did not do what it was asked.
#[derive(Debug)]
pub enum StoreError {
    /// There is no room, and nothing was taken. The peer hears 452 4.3.1 and comes back; the operator makes room.
    Full {
        /// What is full, or what was being done when it turned out.
        doing: String,
        /// What the system said, if it was the system.
        source: Option<io::Error>,
    },
    /// The medium failed. Nothing of the message will be delivered by this process; after a crash a duplicate may
    /// appear. The peer hears 451 4.3.0.
    Unavailable {
        /// What was being done.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
    /// Whether the message is stored is not known. The peer hears 451 4.3.0; committing again under the same id is
    /// safe, since that counts once.
    Unknown {
        /// What was being done.
        doing: String,
    },
}

impl StoreError {
    /// Sorts an error of the system: no space and no quota are [`StoreError::Full`], everything else
    /// [`StoreError::Unavailable`].
    pub fn from_io(doing: impl Into<String>, source: io::Error) -> Self {
        let doing = doing.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                StoreError::Full { doing, source: Some(source) }
            }
            _ => StoreError::Unavailable { doing, source },
        }
    }

    /// Sorts an error of reading: what cannot be read is not available.
    pub(crate) fn from_read(doing: impl Into<String>, error: ReadError) -> Self {
        match error {
            ReadError::Failed(source) => StoreError::from_io(doing, source),
            error => StoreError::from_io(doing, io::Error::other(error)),
        }
    }

    /// Whether the shortage is one of room (452 4.3.1), not a failure (451 4.3.0).
    pub fn is_full(&self) -> bool {
        matches!(self, StoreError::Full { .. })
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Full { doing, source: None } => write!(f, "the spool is full: {doing}; make room"),
            StoreError::Full { doing, source: Some(source) } => {
                write!(f, "the spool is full: {doing}: {source}; make room on its file system or raise the quota")
            }
            StoreError::Unavailable { doing, source } => {
                write!(f, "the spool failed: {doing}: {source}; look at its medium and its permissions")
            }
            StoreError::Unknown { doing } => {
                write!(f, "not known whether it is stored: {doing}; try the same id again")
            }
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StoreError::Full { source: Some(source), .. } | StoreError::Unavailable { source, .. } => Some(source),
            StoreError::Full { source: None, .. } | StoreError::Unknown { .. } => None,
        }
    }
}

/// Why a spool could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// Another process owns the spool.
    Owned {
        /// The spool.
        spool: PathBuf,
    },
    /// The directory belongs to another user, who could not work with files that we make in it, or who keeps us out.
    NotOurs {
        /// The spool.
        spool: PathBuf,
        /// Whose it is.
        user_id: u32,
        /// Who wants to open it.
        process_user_id: u32,
    },
    /// There is no such directory, or it is no directory.
    Missing {
        /// The spool.
        spool: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file operation failed.
    Failed {
        /// The spool.
        spool: PathBuf,
        /// What was being done.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Owned { spool } => {
                write!(f, "the spool {spool:?} is in use by another process; stop that one or name another directory")
            }
            OpenError::NotOurs { spool, user_id, process_user_id } => {
                write!(f, "the spool {spool:?} belongs to the user with number {user_id}, ")?;
                write!(f, "this process is the user with number {process_user_id}; ")?;
                f.write_str("change its owner, or run as that user (smtp-server --user)")
            }
            OpenError::Missing { spool, source } if source.kind() == io::ErrorKind::NotADirectory => {
                write!(f, "{spool:?} is not a directory; name a directory")
            }
            OpenError::Missing { spool, source } => {
                write!(f, "there is no spool {spool:?}: {source}; name an existing directory")
            }
            OpenError::Failed { spool, doing, source } => {
                write!(f, "the spool {spool:?} cannot be opened: {doing}: {source}")
            }
        }
    }
}

impl OpenError {
    /// Whether it is a matter of permissions: the owner, or what the system allows.
    pub fn is_permission(&self) -> bool {
        match self {
            OpenError::NotOurs { .. } => true,
            OpenError::Missing { source, .. } | OpenError::Failed { source, .. } => {
                source.kind() == io::ErrorKind::PermissionDenied
            }
            OpenError::Owned { .. } => false,
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OpenError::Missing { source, .. } | OpenError::Failed { source, .. } => Some(source),
            OpenError::Owned { .. } | OpenError::NotOurs { .. } => None,
        }
    }
}

/// Why a stored message could not be read.
#[derive(Debug)]
pub enum ReadError {
    /// There is no such message, or not any more.
    Missing,
    /// The file does not prove itself; in what.
    Corrupt(&'static str),
    /// The medium failed.
    Failed(io::Error),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => ReadError::Missing,
            io::ErrorKind::InvalidData => ReadError::Corrupt("it is not a plain file"),
            _ => ReadError::Failed(error),
        }
    }
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Failed(error) => error,
            ReadError::Missing => io::Error::new(io::ErrorKind::NotFound, error),
            ReadError::Corrupt(_) => io::Error::other(error),
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Missing => f.write_str("there is no such message"),
            ReadError::Corrupt(what) => write!(f, "it is corrupt: {what}"),
            ReadError::Failed(error) => write!(f, "it cannot be read: {error}"),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReadError::Failed(error) => Some(error),
            ReadError::Missing | ReadError::Corrupt(_) => None,
        }
    }
}
