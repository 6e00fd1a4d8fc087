//! The engine on files: a spool directory that is opened by one owner, and the [`Store`] made of it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::claim::{Claim, Lane, Outcome, Settled, Settlement, WorkerId};
use crate::disk::Disk;
use crate::durable;
use crate::engine::{Engine, lock};
use crate::error::{OpenError, StoreError};
use crate::id::MessageId;
use crate::incoming::SpoolIncoming;
use crate::lifetime;
use crate::os_disk::OsDisk;
use crate::recovery::{self, RecoveryReport};
use crate::store::{Ended, Health, Incoming, Store};

/// A spool, owned. Clones share it; it has an owner until the last clone and the last incoming message are gone.
#[derive(Clone)]
pub struct Spool {
    pub(crate) engine: Arc<Engine>,
}

/// What an operator may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Octets of content that all kept messages together may have. `None`: as many as the file system takes.
    pub keep_max_bytes: Option<u64>,
    /// Octets of the file system that are left free: below that, no message is begun. 16 MiB: the records and the log
    /// of those that are under way.
    pub reserve_bytes: u64,
    /// Files that the file system must still be able to make: below that, no message is begun. 256: one for each
    /// message that as many sessions may have under way.
    pub reserve_files: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options { keep_max_bytes: None, reserve_bytes: 16 << 20, reserve_files: 256 }
    }
}

impl Spool {
    /// Opens a spool as its owner, makes the directory if there is none (in an existing one, with mode 0700), and puts
    /// in order what an earlier run left.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<(Spool, RecoveryReport), OpenError> {
        let path = path.as_ref();
        Spool::open_at(Arc::new(OsDisk::create(path)?), path, options)
    }

    /// Whether the user with this number could open the spool, or make it, as far as one can tell by looking. Changes
    /// nothing, and asks nobody who owns the spool now.
    pub fn check(path: impl AsRef<Path>, user_id: u32) -> Result<(), OpenError> {
        OsDisk::check(path.as_ref(), user_id)
    }

    /// [`Spool::open`] on any disk.
    pub fn open_on(disk: Arc<dyn Disk>, options: Options) -> Result<(Spool, RecoveryReport), OpenError> {
        Spool::open_at(disk, Path::new("(a disk of the caller)"), options)
    }

    fn open_at(disk: Arc<dyn Disk>, path: &Path, options: Options) -> Result<(Spool, RecoveryReport), OpenError> {
        let failed = |doing: String, source| OpenError::Failed { spool: path.to_owned(), doing, source };
        let owner = match disk.lock() {
            Ok(Some(owner)) => owner,
            Ok(None) => return Err(OpenError::Owned { spool: path.to_owned() }),
            Err(error) => return Err(failed("locking owner.lock".to_owned(), error)),
        };
        let recovered = recovery::recover(&*disk).map_err(|error| failed(error.doing, error.source))?;
        let mut report = recovered.report.clone();
        let spool = Spool { engine: Arc::new(Engine::new(disk, options, owner, recovered)) };
        loop {
            match spool.adopt() {
                0 => break,
                adopted => report.adopted_messages += adopted,
            }
        }
        Ok((spool, report))
    }

    /// Makes messages of this spool of those that others have left in its maildrop ([`Maildrop`](crate::Maildrop)), a hundred
    /// at most, and returns how many; 0 if there are no more. Opening does so too; afterwards it is for the owner to look now
    /// and then. An empty maildrop costs one listing.
    pub fn adopt(&self) -> usize {
        self.engine.adopt()
    }
}

impl Store for Spool {
    fn has_room_for(&self, size: Option<u64>) -> Result<(), StoreError> {
        self.engine.has_room_for(size)
    }

    fn begin(&self, size_hint: Option<u64>) -> Result<Box<dyn Incoming>, StoreError> {
        self.engine.has_room_for(size_hint)?;
        Ok(Box::new(SpoolIncoming::new(Arc::clone(&self.engine), size_hint)))
    }

    fn adopt(&self) -> usize {
        self.engine.adopt()
    }

    fn claim(&self, worker: &WorkerId, lane: &Lane, max: usize, now: i64) -> Result<Vec<Claim>, StoreError> {
        self.engine.claim(worker, lane, max, now)
    }

    fn due_lanes(&self, now: i64) -> Result<Vec<(Lane, usize)>, StoreError> {
        Ok(lock(&self.engine.queue).due_lanes(now))
    }

    fn content(&self, claim: &Claim) -> Result<Box<dyn io::Read + Send>, StoreError> {
        Ok(Box::new(self.engine.content(claim)?))
    }

    fn record(&self, claim: &Claim, outcomes: &[(usize, Outcome)]) -> Result<Settled, StoreError> {
        self.engine.record(claim, outcomes)
    }

    fn settle(
        &self,
        claim: Claim,
        outcomes: &[(usize, Outcome)],
        settlement: Settlement,
    ) -> Result<Settled, StoreError> {
        self.engine.settle(&claim, outcomes, settlement)
    }

    fn settle_all(&self, ended: Vec<Ended>) -> Vec<Result<Settled, StoreError>> {
        self.engine.settle_all(&ended)
    }

    fn admit(&self, id: &MessageId) -> Result<(), StoreError> {
        lock(&self.engine.queue).admit(id);
        self.engine.note_change();
        Ok(())
    }

    fn renew(&self, claim: &Claim, _now: i64) -> Result<Settled, StoreError> {
        // With one owner, claims end with the process and do not run out.
        let is_open = lock(&self.engine.queue).is_open(claim.token());
        Ok(if is_open { Settled::Ok } else { Settled::Lost })
    }

    fn release(&self, worker: &WorkerId) -> Result<(), StoreError> {
        lock(&self.engine.queue).release(worker);
        self.engine.note_change();
        Ok(())
    }

    fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        self.engine.wait(seen, timeout)
    }

    fn wake(&self) {
        self.engine.note_change();
    }

    fn bring_forward(&self, latest: i64) {
        lock(&self.engine.queue).bring_forward(latest);
    }

    fn note_lifetime(&self, seconds: i64) -> Result<(), StoreError> {
        lifetime::write(&*self.engine.disk, seconds)
            .map_err(|error| StoreError::from_io("noting how long a message is tried", error))
    }

    fn next_due(&self) -> Option<i64> {
        lock(&self.engine.queue).next_due()
    }

    fn health(&self) -> Result<Health, StoreError> {
        durable::probe(&*self.engine.disk, &self.engine.temporary_name())
            .map_err(|error| StoreError::from_io("writing a probe", error))?;
        let queue = lock(&self.engine.queue);
        Ok(Health {
            kept_bytes: self.engine.kept_octets(),
            queued_messages: queue.message_count(),
            open_claims: queue.claim_count(),
            next_due: queue.next_due(),
        })
    }
}
