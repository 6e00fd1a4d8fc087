//! What the owner of a spool holds while it is open, and the gates that every commit passes.
//!
//! No lock in here is held during a disk operation.

use std::collections::HashSet;
use std::ffi::OsString;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::disk::{Disk, DiskFile, Entry, Folder, OwnerLock};
use crate::durable::{self, PublishError, Published};
use crate::envelope::Envelope;
use crate::error::{ReadError, StoreError};
use crate::id::MessageId;
use crate::journal::Journal;
use crate::message_file::MessageFile;
use crate::queue::Queue;
use crate::recipient_state::RecipientState;
use crate::recovery::Recovered;
use crate::spool::Options;
use crate::store::Due;

/// Messages whose removal failed, before the spool takes nothing more: such a medium needs a human.
const WITHHELD_MESSAGES: usize = 1_000;

pub(crate) struct Engine {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: Options,
    pub(crate) queue: Mutex<Queue>,
    pub(crate) journal: Journal,
    ids: Mutex<Ids>,
    turn_is_over: Condvar,
    kept_octets: Mutex<u64>,
    next_temporary: AtomicU64,
    /// Messages that wait in memory and are larger than most: see [`Loan`].
    loans: AtomicUsize,
    /// What stayed in the maildrop the last time and has been told.
    pub(crate) left_in_maildrop: Mutex<HashSet<OsString>>,
    changes: Mutex<u64>,
    changed: Condvar,
    /// Ends the ownership when dropped, with the last clone of the spool and the last message on its way in.
    _owner: OwnerLock,
}

/// Ids that are not free to be committed.
#[derive(Default)]
struct Ids {
    /// Some thread is at it: commits it, moves or removes its files.
    in_commit: HashSet<MessageId>,
    /// Threads that wait for a turn.
    waiting: usize,
    /// Refused or half adopted, and still there since the removal failed. Never delivered and never confirmed by this process.
    withheld: HashSet<MessageId>,
    /// All that may have files of their own in `new/`, so that the disk need not be asked for each message.
    in_files: HashSet<MessageId>,
    /// All that may have records in `state/`, for the same reason.
    in_records: HashSet<MessageId>,
}

impl Engine {
    pub(crate) fn new(disk: Arc<dyn Disk>, options: Options, owner: OwnerLock, recovered: Recovered) -> Self {
        Engine {
            journal: Journal::new(Arc::clone(&disk), recovered.journal, recovered.next_segment),
            disk,
            options,
            queue: Mutex::new(recovered.queue),
            ids: Mutex::new(Ids { in_files: recovered.files, in_records: recovered.records, ..Ids::default() }),
            turn_is_over: Condvar::new(),
            kept_octets: Mutex::new(recovered.kept_octets),
            next_temporary: AtomicU64::new(0),
            loans: AtomicUsize::new(0),
            left_in_maildrop: Mutex::default(),
            changes: Mutex::new(0),
            changed: Condvar::new(),
            _owner: owner,
        }
    }

    /// A name in `tmp/` that was not given out before.
    pub(crate) fn temporary_name(&self) -> Entry {
        Folder::Temporary.entry(self.next_temporary.fetch_add(1, Ordering::Relaxed).to_string())
    }

    pub(crate) fn has_room_for(&self, size: Option<u64>) -> Result<(), StoreError> {
        if lock(&self.ids).withheld.len() >= WITHHELD_MESSAGES {
            let source =
                std::io::Error::other("too many refused messages could not be removed; restart when it is mended");
            return Err(StoreError::from_io("beginning a message", source));
        }
        let size = size.unwrap_or(1);
        self.check_kept(*lock(&self.kept_octets), size)?;
        check_room(&*self.disk, &self.options, size)
    }

    fn check_kept(&self, kept_octets: u64, more: u64) -> Result<(), StoreError> {
        match self.options.keep_max_bytes {
            Some(limit) if kept_octets.saturating_add(more) > limit => {
                Err(full(format!("the kept messages have {kept_octets} octets and may have {limit}")))
            }
            _ => Ok(()),
        }
    }

    /// Lets one thread at a time commit under an id: two would have to agree on whose sync failed.
    pub(crate) fn begin_commit(&self, id: &MessageId) -> Result<Turn<'_>, StoreError> {
        let mut ids = lock(&self.ids);
        if ids.withheld.contains(id) {
            let source = std::io::Error::other("a name of it could not be removed before; the next start decides");
            return Err(StoreError::from_io(format!("committing message {id}"), source));
        }
        if !ids.in_commit.insert(id.clone()) {
            return Err(StoreError::Unknown { doing: format!("message {id} is being committed at this moment") });
        }
        Ok(Turn { engine: self, id: id.clone() })
    }

    /// The right to do something with the files of a message, if no other thread has it.
    pub(crate) fn try_turn(&self, id: &MessageId) -> Option<Turn<'_>> {
        let is_free = lock(&self.ids).in_commit.insert(id.clone());
        is_free.then(|| Turn { engine: self, id: id.clone() })
    }

    /// The same, after whoever has it. Whoever asks for it may hold the record of the message, and nobody who has it asks for that.
    pub(crate) fn turn(&self, id: &MessageId) -> Turn<'_> {
        let mut ids = lock(&self.ids);
        while ids.in_commit.contains(id) {
            ids.waiting += 1;
            ids = self.turn_is_over.wait(ids).unwrap_or_else(PoisonError::into_inner);
            ids.waiting -= 1;
        }
        ids.in_commit.insert(id.clone());
        Turn { engine: self, id: id.clone() }
    }

    /// Opens a message wherever it is. It may move while we look, out of the journal and into a file of its own.
    pub(crate) fn message(&self, id: &MessageId) -> Result<MessageFile, ReadError> {
        loop {
            let place = self.journal.place(id);
            let opened = match &place {
                Some(place) => MessageFile::open_at(&*self.disk, place, id),
                None => MessageFile::open(&*self.disk, id),
            };
            match opened {
                Err(ReadError::Missing) if self.journal.place(id) != place => {}
                opened => return opened,
            }
        }
    }

    /// Lends memory for a larger message, as long as there is some.
    pub(crate) fn lend(self: &Arc<Self>) -> Option<Loan> {
        let lent = self.loans.fetch_add(1, Ordering::Relaxed);
        let loan = Loan { engine: Arc::clone(self) };
        (lent < LOANS).then_some(loan)
    }

    /// Remembers a message that lies in `new/`, or may do so, and must not be delivered by this process; `why` says so.
    pub(crate) fn withhold(&self, id: &MessageId, why: &str) {
        log::error!("message {id} {why}");
        lock(&self.ids).withheld.insert(id.clone());
    }

    /// Makes a written file the file of a message: [`durable::publish`].
    pub(crate) fn publish(
        &self,
        file: Box<dyn DiskFile>,
        temporary: &Entry,
        id: &MessageId,
    ) -> Result<Published, PublishError> {
        self.noting_file(id, |last| durable::publish(&*self.disk, file, temporary, last))
    }

    /// Does what brings the file of a message into being, and remembers that there may be one from before that on.
    pub(crate) fn noting_file(
        &self,
        id: &MessageId,
        make: impl FnOnce(&Entry) -> Result<Published, PublishError>,
    ) -> Result<Published, PublishError> {
        let is_new = lock(&self.ids).in_files.insert(id.clone());
        let made = make(&Folder::New.entry(id.as_str()));
        // An earlier one is not touched by what becomes of this.
        if is_new && made.as_ref().is_err_and(|error| error.is_withdrawn) {
            self.forget_file(id);
        }
        made
    }

    /// There is no file of a message, for certain.
    pub(crate) fn forget_file(&self, id: &MessageId) {
        lock(&self.ids).in_files.remove(id);
    }

    /// Whether a message may have a file of its own.
    pub(crate) fn may_have_file(&self, id: &MessageId) -> bool {
        lock(&self.ids).in_files.contains(id)
    }

    /// A message may have a record from here on.
    pub(crate) fn note_record(&self, id: &MessageId) {
        lock(&self.ids).in_records.insert(id.clone());
    }

    /// Removes the record of a message, if it may have one.
    pub(crate) fn remove_record(&self, id: &MessageId) -> std::io::Result<()> {
        if lock(&self.ids).in_records.contains(id) {
            match self.disk.remove(&Folder::State.entry(id.as_str())) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => drop(lock(&self.ids).in_records.remove(id)),
            }
        }
        Ok(())
    }

    /// Counts a message among the kept ones, for good if [`Reservation::keep`] is called.
    pub(crate) fn reserve_kept(&self, due: Due, octets: u64) -> Result<Reservation<'_>, StoreError> {
        let octets = if due == Due::Kept { octets } else { 0 };
        let mut kept_octets = lock(&self.kept_octets);
        if due == Due::Kept {
            self.check_kept(*kept_octets, octets)?;
        }
        *kept_octets += octets;
        Ok(Reservation { engine: self, octets })
    }

    /// Takes a removed message out of the count.
    pub(crate) fn forget_kept(&self, octets: u64) {
        let mut kept_octets = lock(&self.kept_octets);
        *kept_octets = kept_octets.saturating_sub(octets);
    }

    pub(crate) fn kept_octets(&self) -> u64 {
        *lock(&self.kept_octets)
    }

    /// Lets a message that is on disk be claimed. It is fresh if it has come into being just now: one that is adopted may have
    /// been adopted, and delivered, before a power cut brought its old name back.
    pub(crate) fn enqueue(&self, id: &MessageId, envelope: &Envelope, due: Due, is_fresh: bool) {
        let Some(at) = due.at() else { return };
        let recipients = envelope.recipients.iter().map(|_| RecipientState::new(at)).collect();
        let mut queue = lock(&self.queue);
        if is_fresh {
            queue.insert_fresh(id.clone(), recipients);
        } else {
            queue.insert(id.clone(), recipients);
        }
        if matches!(due, Due::Withheld(_)) {
            queue.withhold(id);
        }
        drop(queue);
        self.note_change();
    }

    /// Wakes everybody who waits.
    pub(crate) fn note_change(&self) {
        *lock(&self.changes) += 1;
        self.changed.notify_all();
    }

    pub(crate) fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        let unchanged = |changes: &mut u64| *changes == seen;
        let waited = self.changed.wait_timeout_while(lock(&self.changes), timeout, unchanged);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Whether a message of so many octets leaves the reserve free.
pub(crate) fn check_room(disk: &dyn Disk, options: &Options, size: u64) -> Result<(), StoreError> {
    let free = disk.free_space().map_err(|error| StoreError::from_io("asking for free space", error))?;
    if free.bytes < options.reserve_bytes.saturating_add(size) {
        return Err(full(format!("its file system has only {} octets left", free.bytes)));
    }
    match free.files {
        Some(files) if files < options.reserve_files => {
            Err(full(format!("its file system can take only {files} more files")))
        }
        _ => Ok(()),
    }
}

fn full(doing: String) -> StoreError {
    StoreError::Full { doing, source: None }
}

/// What these locks guard is whole between any two statements, so a panic elsewhere does not spoil it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// So many larger messages may wait in memory at the same time; the others have files of their own.
const LOANS: usize = 512;

/// The right to keep a larger message in memory, until it is dropped.
pub(crate) struct Loan {
    engine: Arc<Engine>,
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.engine.loans.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The right to do something with the files of a message, until it is dropped.
pub(crate) struct Turn<'a> {
    engine: &'a Engine,
    id: MessageId,
}

impl Turn<'_> {
    /// Whose.
    pub(crate) fn id(&self) -> &MessageId {
        &self.id
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut ids = lock(&self.engine.ids);
        ids.in_commit.remove(&self.id);
        if ids.waiting > 0 {
            self.engine.turn_is_over.notify_all();
        }
    }
}

/// Octets that are counted as kept. Dropping it takes them out again.
pub(crate) struct Reservation<'a> {
    engine: &'a Engine,
    octets: u64,
}

impl Reservation<'_> {
    /// The message is stored.
    pub(crate) fn keep(mut self) {
        self.octets = 0;
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.engine.forget_kept(self.octets);
    }
}
