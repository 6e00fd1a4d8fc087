//! The owner's side of claims: what `claim`, `record` and `settle` do to the disk and, after it, to the queue.
//!
//! The records of one message are written one after the other, under the lock of that message; messages do not wait for
//! each other. When a record cannot be written the caller is told, and the queue moves on all the same: this process
//! delivers nothing twice for it, the next one may.

use std::sync::Arc;

use crate::claim::{Claim, Lane, Outcome, Settled, Settlement, WorkerId};
use crate::disk::Folder;
use crate::durable;
use crate::engine::{Engine, lock};
use crate::error::{ReadError, StoreError};
use crate::id::MessageId;
use crate::message_file::{Content, MessageFile};
use crate::queue::Taken;
use crate::recovery;
use crate::state_record::{self, Change};
use crate::store::Due;

impl Engine {
    pub(crate) fn claim(&self, worker: &WorkerId, lane: &Lane, max: usize, now: i64) -> Result<Vec<Claim>, StoreError> {
        let taken = lock(&self.queue).take(worker, lane, max, now);
        let mut claims = Vec::with_capacity(taken.len());
        let mut failure = None;
        for Taken { token, id, recipients } in taken {
            // The checksum is looked at here, so that no recipient ever gets a message that has changed on disk.
            match MessageFile::open(&*self.disk, &id).and_then(|message| message.verify().map(|()| message)) {
                Ok(message) => {
                    claims.push(Claim::new(token, id, lane.clone(), recipients, Arc::new(message.envelope)));
                }
                Err(error @ ReadError::Failed(_)) => {
                    lock(&self.queue).end(token);
                    failure = Some(StoreError::from_read(format!("reading message {id}"), error));
                }
                Err(error) => self.give_up(&id, &error),
            }
        }
        match failure {
            Some(failure) if claims.is_empty() => Err(failure),
            _ => Ok(claims),
        }
    }

    /// Takes a message that is corrupt or has vanished out of the queue.
    fn give_up(&self, id: &MessageId, error: &ReadError) {
        lock(&self.queue).remove(id);
        let record = recovery::set_aside(&*self.disk, &Folder::State.entry(id.as_str()), &format!("{id}.state"));
        let message = recovery::set_aside(&*self.disk, &Folder::New.entry(id.as_str()), id.as_str());
        let is_moved = message.is_ok() || record.is_ok();
        log::error!("message {id}: {error}; {}", if is_moved { "moved to corrupt" } else { "not delivered" });
    }

    pub(crate) fn content(&self, claim: &Claim) -> Result<Content, StoreError> {
        let message = MessageFile::open(&*self.disk, claim.id());
        message
            .map(MessageFile::into_content)
            .map_err(|error| StoreError::from_read(format!("reading message {}", claim.id()), error))
    }

    pub(crate) fn record(&self, claim: &Claim, number: usize, outcome: &Outcome) -> Result<Settled, StoreError> {
        let Some(record) = lock(&self.queue).record(claim.id()) else {
            return Ok(Settled::Lost);
        };
        let _turn = lock(&record);
        if !lock(&self.queue).open_recipients(claim.token()).contains(&number) {
            return Ok(Settled::Lost);
        }
        self.step(claim.id(), &[number], &Change::Outcome(outcome.clone())).map(|()| Settled::Ok)
    }

    pub(crate) fn settle(&self, claim: &Claim, settlement: Settlement) -> Result<Settled, StoreError> {
        let Some(record) = lock(&self.queue).record(claim.id()) else {
            return Ok(Settled::Lost);
        };
        let _turn = lock(&record);
        if !lock(&self.queue).is_open(claim.token()) {
            return Ok(Settled::Lost);
        }
        let open = lock(&self.queue).open_recipients(claim.token());
        let result = match settlement {
            Settlement::Done => Ok(()),
            Settlement::RetryAt(at) => self.step(claim.id(), &open, &Change::RetryAt(at)),
            Settlement::Hold => self.step(claim.id(), &open, &Change::Held),
        };
        lock(&self.queue).end(claim.token());
        if lock(&self.queue).is_finished(claim.id()) {
            self.finish(claim.id());
        }
        self.note_change();
        result.map(|()| Settled::Ok)
    }

    /// The same step of some recipients, on disk and in the queue.
    fn step(&self, id: &MessageId, numbers: &[usize], change: &Change) -> Result<(), StoreError> {
        if numbers.is_empty() {
            return Ok(());
        }
        let lines: String = numbers.iter().map(|number| state_record::print(*number, change)).collect();
        let written = durable::append(&*self.disk, &Folder::State.entry(id.as_str()), &lines);
        let mut queue = lock(&self.queue);
        numbers.iter().for_each(|number| queue.apply(id, *number, change));
        drop(queue);
        if matches!(change, Change::Outcome(Outcome::Routed(_))) {
            self.note_change();
        }
        written.map_err(|error| StoreError::from_io(format!("recording what became of message {id}"), error))
    }

    /// Removes a message whose recipients all have their final outcome. If that fails the next start does it.
    fn finish(&self, id: &MessageId) {
        lock(&self.queue).remove(id);
        if let Err(error) = self.remove_files(id) {
            log::warn!("message {id} is finished and cannot be removed: {error}");
        }
    }

    /// The message durably before its record: a message that came back alone would be delivered to everybody again.
    fn remove_files(&self, id: &MessageId) -> std::io::Result<()> {
        durable::remove(&*self.disk, &Folder::New.entry(id.as_str()))?;
        match self.disk.remove(&Folder::State.entry(id.as_str())) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes a message, whatever its state. `false` if there is none.
    pub(crate) fn remove(&self, id: &MessageId) -> Result<bool, StoreError> {
        let record = lock(&self.queue).record(id);
        let _turn = record.as_deref().map(lock);
        let kept_octets = match MessageFile::open(&*self.disk, id) {
            Err(ReadError::Missing) => return Ok(false),
            Ok(MessageFile { due: Due::Kept, content_octets, .. }) => content_octets,
            _ => 0,
        };
        lock(&self.queue).remove(id);
        self.remove_files(id).map_err(|error| StoreError::from_io(format!("removing message {id}"), error))?;
        self.forget_kept(kept_octets);
        self.note_change();
        Ok(true)
    }
}
