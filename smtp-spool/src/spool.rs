//! The engine on files: a directory that is opened by one owner, and the [`Store`] made of it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::claim::{Claim, Lane, Outcome, Settled, Settlement, WorkerId};
use crate::error::{OpenError, StoreError};
use crate::store::{Health, Incoming, Store};

/// A spool directory, owned. Clones share it.
#[derive(Clone)]
pub struct Spool {
    shared: Arc<()>,
}

/// What an operator may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Octets that all kept messages together may take on disk. `None`: as many as fit.
    pub keep_max_bytes: Option<u64>,
    /// Octets of the file system that are left free: below that, no message is begun.
    pub reserve_bytes: u64,
    /// Files that the file system must still be able to make: below that, no message is begun.
    pub reserve_files: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options { keep_max_bytes: None, reserve_bytes: 16 << 20, reserve_files: 256 }
    }
}

/// What opening a spool found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Messages that are kept here.
    pub kept_messages: usize,
    /// Messages that somebody has still to deliver.
    pub queued_messages: usize,
    /// Messages whose delivery was complete and whose removal was not; removed now.
    pub finished_messages: usize,
    /// Unfinished files of an earlier run; removed.
    pub removed_files: usize,
    /// Entries moved to `corrupt/`, with the reason.
    pub corrupt: Vec<(String, String)>,
    /// Entries that mean nothing to us or could not be touched; left where they are, with the reason.
    pub left: Vec<(String, String)>,
}

impl Spool {
    /// Opens a spool as its owner, makes the directory if there is none, and recovers what an earlier run left.
    pub fn open(path: impl AsRef<Path>, _options: Options) -> Result<(Spool, RecoveryReport), OpenError> {
        let _ = path.as_ref();
        Ok((Spool { shared: Arc::new(()) }, RecoveryReport::default()))
    }
}

fn missing() -> StoreError {
    StoreError::from_io("not yet", io::ErrorKind::Unsupported.into())
}

impl Store for Spool {
    fn has_room_for(&self, _size: Option<u64>) -> Result<(), StoreError> {
        let _ = &self.shared;
        Err(missing())
    }
    fn begin(&self, _size_hint: Option<u64>) -> Result<Box<dyn Incoming>, StoreError> {
        Err(missing())
    }
    fn claim(&self, _: &WorkerId, _: &Lane, _: usize, _: i64) -> Result<Vec<Claim>, StoreError> {
        Err(missing())
    }
    fn due_lanes(&self, _: i64) -> Result<Vec<Lane>, StoreError> {
        Err(missing())
    }
    fn content(&self, _: &Claim) -> Result<Box<dyn io::Read + Send>, StoreError> {
        Err(missing())
    }
    fn record(&self, _: &Claim, _: usize, _: &Outcome) -> Result<Settled, StoreError> {
        Err(missing())
    }
    fn settle(&self, _: Claim, _: Settlement) -> Result<Settled, StoreError> {
        Err(missing())
    }
    fn renew(&self, _: &Claim, _: i64) -> Result<Settled, StoreError> {
        Err(missing())
    }
    fn release(&self, _: &WorkerId) -> Result<(), StoreError> {
        Err(missing())
    }
    fn wait(&self, seen: u64, _: Duration) -> u64 {
        seen
    }
    fn health(&self) -> Result<Health, StoreError> {
        Err(missing())
    }
}
