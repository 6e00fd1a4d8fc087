//! The owner's side of claims: what `claim`, `record` and `settle` do to the disk and, after it, to the queue.
//!
//! The records of one message are written one after the other, under the lock of that message; messages do not wait for
//! each other. When a record cannot be written the caller is told, and the queue moves on all the same: this process
//! delivers nothing twice for it, the next one may.

use std::sync::{Arc, Mutex, TryLockError};

use crate::claim::{Claim, Lane, Outcome, Settled, Settlement, WorkerId};
use crate::disk::{Access, Folder};
use crate::durable::{self, Published};
use crate::engine::{Engine, Turn, lock};
use crate::envelope::Envelope;
use crate::error::{ReadError, StoreError};
use crate::id::MessageId;
use crate::journal::Place;
use crate::message_file::{Content, Layout, MessageFile};
use crate::queue::Taken;
use crate::recipient_state::{self, Change, RecipientState};
use crate::recovery;
use crate::state_record;
use crate::store::{Due, Ended};

/// So long a content stays in memory with its claim: that of most messages, and not much for the claims that are open at a time.
const HELD_OCTETS: usize = 16 << 10;

impl Engine {
    pub(crate) fn claim(&self, worker: &WorkerId, lane: &Lane, max: usize, now: i64) -> Result<Vec<Claim>, StoreError> {
        let taken = lock(&self.queue).take(worker, lane, max, now);
        let mut claims = Vec::with_capacity(taken.len());
        let mut failure = None;
        for Taken { token, id, mut recipients, is_first } in taken {
            // The checksum is looked at here, so that no recipient ever gets a message that has changed on disk.
            match self.message(&id).and_then(MessageFile::verified) {
                Ok(mut message) => {
                    let content = message.short_content(HELD_OCTETS);
                    let envelope = message.into_layout().envelope;
                    // A report repeats what was said last; the queue does not remember that.
                    if *lane == Lane::reports() {
                        self.recall_remarks(&id, &envelope, &mut recipients);
                    }
                    let claim = Claim::new(token, id, lane.clone(), recipients, Arc::new(envelope)).holding(content);
                    claims.push(if is_first { claim.first() } else { claim });
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

    fn recall_remarks(&self, id: &MessageId, envelope: &Envelope, recipients: &mut [(usize, RecipientState)]) {
        let mut states = vec![RecipientState::new(0); envelope.recipients.len()];
        let record = self.disk.open(&Folder::State.entry(id.as_str()), Access::Read);
        if let Err(error) = record.and_then(|file| state_record::replay(&*file, &mut states)) {
            log::warn!("message {id}: what was said last cannot be read: {error}");
        }
        for (number, state) in recipients {
            if let Some(told) = states.get(*number) {
                state.remark.clone_from(&told.remark);
            }
        }
    }

    /// Reports that waited for a message need not wait any more: it will not make them again.
    fn forget(&self, id: &MessageId) {
        let mut queue = lock(&self.queue);
        let states = queue.recipients(id).unwrap_or_default().to_vec();
        let reports: Vec<&MessageId> = states.iter().flat_map(RecipientState::reports_begun).collect();
        reports.iter().for_each(|report| queue.admit(report));
        queue.remove(id);
        drop(queue);
        if !reports.is_empty() {
            self.note_change();
        }
    }

    /// Takes a message out of the queue whose files are to be removed. Who has no turn would see a message that is in no queue, and
    /// might move it as a kept one.
    pub(crate) fn take_out(&self, id: &MessageId) -> Turn<'_> {
        let turn = self.turn(id);
        self.forget(id);
        turn
    }

    /// Takes a message that is corrupt or has vanished out of the queue.
    fn give_up(&self, id: &MessageId, error: &ReadError) {
        self.forget(id);
        let record = recovery::set_aside(&*self.disk, &Folder::State.entry(id.as_str()), &format!("{id}.state"));
        let message = match self.journal.place(id) {
            Some(place) => self.journal.set_aside(id, &place),
            None => recovery::set_aside(&*self.disk, &Folder::New.entry(id.as_str()), id.as_str()),
        };
        let is_moved = message.is_ok() || record.is_ok();
        log::error!("message {id}: {error}; {}", if is_moved { "moved to corrupt" } else { "not delivered" });
    }

    pub(crate) fn content(&self, claim: &Claim) -> Result<Content, StoreError> {
        if let Some(octets) = claim.content() {
            return Ok(Content::held(octets));
        }
        let message = self.message(claim.id());
        message
            .map(MessageFile::into_content)
            .map_err(|error| StoreError::from_read(format!("reading message {}", claim.id()), error))
    }

    pub(crate) fn record(&self, claim: &Claim, outcomes: &[(usize, Outcome)]) -> Result<Settled, StoreError> {
        let Some(record) = lock(&self.queue).record(claim.id()) else {
            return Ok(Settled::Lost);
        };
        let _turn = lock(&record);
        if !self.holds(claim, outcomes) {
            return Ok(Settled::Lost);
        }
        let written = self.write(claim.id(), &changes(outcomes));
        self.note_change();
        written.map(|()| Settled::Ok)
    }

    pub(crate) fn settle(
        &self,
        claim: &Claim,
        outcomes: &[(usize, Outcome)],
        settlement: Settlement,
    ) -> Result<Settled, StoreError> {
        let mut finished = Vec::new();
        let settled = self.settle_message(claim, outcomes, settlement, &mut finished);
        self.remove_finished(finished);
        settled
    }

    pub(crate) fn settle_all(&self, ended: &[Ended]) -> Vec<Result<Settled, StoreError>> {
        let mut finished = Vec::new();
        let settled = ended
            .iter()
            .map(|Ended { claim, outcomes, settlement }| {
                self.settle_message(claim, outcomes, *settlement, &mut finished)
            })
            .collect();
        self.remove_finished(finished);
        settled
    }

    /// `finished` gets the message if nothing is left to be done for it.
    fn settle_message<'a>(
        &'a self,
        claim: &Claim,
        outcomes: &[(usize, Outcome)],
        settlement: Settlement,
        finished: &mut Vec<Turn<'a>>,
    ) -> Result<Settled, StoreError> {
        let id = claim.id();
        let Some(record) = lock(&self.queue).record(id) else {
            return Ok(Settled::Lost);
        };
        let _turn = lock(&record);
        if !lock(&self.queue).is_open(claim.token()) || !self.holds(claim, outcomes) {
            return Ok(Settled::Lost);
        }
        let mut changes = changes(outcomes);
        let rest = match settlement {
            Settlement::Done => None,
            Settlement::RetryAt(at) => Some(Change::RetryAt(at)),
            Settlement::Hold => Some(Change::Held),
        };
        let open = lock(&self.queue).open_recipients(claim.token());
        if let Some(rest) = rest {
            let is_final =
                |number: &usize| outcomes.iter().any(|(decided, outcome)| decided == number && outcome.is_final());
            changes.extend(open.into_iter().filter(|number| !is_final(number)).map(|number| (number, rest.clone())));
        }
        let result = if self.would_finish(id, &changes) {
            // The removal says it all, and takes the place of a record that would be removed with the message.
            self.apply(id, &changes);
            Ok(())
        } else {
            self.write(id, &changes)
        };
        lock(&self.queue).end(claim.token());
        if lock(&self.queue).is_finished(id) {
            // Nothing is due that was not due before, so nobody is woken.
            finished.push(self.take_out(id));
        } else {
            self.note_change();
        }
        result.map(|()| Settled::Ok)
    }

    /// Whether a claim may still speak for these recipients.
    fn holds(&self, claim: &Claim, outcomes: &[(usize, Outcome)]) -> bool {
        let open = lock(&self.queue).open_recipients(claim.token());
        outcomes.iter().all(|(number, _)| open.contains(number))
    }

    fn would_finish(&self, id: &MessageId, changes: &[(usize, Change)]) -> bool {
        let mut states = lock(&self.queue).recipients(id).unwrap_or_default().to_vec();
        for (number, change) in changes {
            recipient_state::apply(&mut states, *number, change);
        }
        !states.is_empty() && states.iter().all(RecipientState::is_finished)
    }

    /// Steps of recipients, on disk and then in the queue.
    ///
    /// Where a recipient's mail goes is worth no write of its own, since a router that is asked again says it again: it comes
    /// to disk with the first try that was put off.
    ///
    /// It wakes nobody: whoever still holds a claim on them does so when it has ended, and once.
    pub(crate) fn write(&self, id: &MessageId, changes: &[(usize, Change)]) -> Result<(), StoreError> {
        let mut written = Ok(());
        if !changes.iter().all(|(_, change)| matches!(change, Change::Outcome(Outcome::Routed(_)))) {
            let lines = self.lines(id, changes);
            self.note_record(id);
            written = durable::append(&*self.disk, &Folder::State.entry(id.as_str()), &lines);
        }
        self.apply(id, changes);
        written.map_err(|error| StoreError::from_io(format!("recording what became of message {id}"), error))
    }

    fn lines(&self, id: &MessageId, changes: &[(usize, Change)]) -> String {
        let queue = lock(&self.queue);
        let states = queue.recipients(id).unwrap_or_default();
        let mut lines = String::new();
        for (number, change) in changes {
            let is_put_off = matches!(change, Change::Outcome(Outcome::Deferred(_)));
            match states.get(*number) {
                Some(state) if is_put_off && state.attempts == 0 && state.lane != Lane::unrouted() => {
                    let route = Change::Outcome(Outcome::Routed(state.lane.clone()));
                    lines.push_str(&state_record::print(*number, &route));
                }
                _ => {}
            }
            lines.push_str(&state_record::print(*number, change));
        }
        lines
    }

    fn apply(&self, id: &MessageId, changes: &[(usize, Change)]) {
        let mut queue = lock(&self.queue);
        changes.iter().for_each(|(number, change)| queue.apply(id, *number, change));
    }

    /// Removes messages whose recipients all have their final outcome, and which are out of the queue. If that fails the next
    /// start does it.
    pub(crate) fn remove_finished(&self, finished: Vec<Turn<'_>>) {
        if let Err(error) = self.remove_files(&finished) {
            let ids: Vec<&str> = finished.iter().map(|turn| turn.id().as_str()).collect();
            log::warn!("finished and cannot be removed: {}: {error}", ids.join(", "));
        }
        drop(finished);
        self.clear_journal();
    }

    /// The messages durably before their records: a message that came back alone would be delivered to everybody again.
    fn remove_files(&self, turns: &[Turn<'_>]) -> std::io::Result<()> {
        let ids: Vec<&MessageId> = turns.iter().map(Turn::id).collect();
        let is_in_journal = |id: &&MessageId| self.journal.place(id).is_some();
        let (in_journal, in_files): (Vec<_>, Vec<_>) = ids.iter().copied().partition(is_in_journal);
        let mut result = self.journal.mark_gone(&in_journal);
        for id in in_files {
            let removed = durable::remove(&*self.disk, &Folder::New.entry(id.as_str()));
            if removed.is_ok() {
                self.forget_file(id);
            }
            result = result.and(removed);
        }
        result?;
        ids.into_iter().try_for_each(|id| self.remove_record(id))
    }

    /// Gives a message of the journal a file of its own, so that it does not keep a whole segment on the disk. If that fails it
    /// stays where it is. `false` if somebody else is at work on it. The caller holds the record of a message that is in the
    /// queue.
    fn move_out(&self, id: &MessageId) -> bool {
        let Some(_turn) = self.try_turn(id) else { return false };
        let Some(place) = self.journal.place(id) else { return true };
        if let Err(error) = self.copy_out(id, &place).and_then(|()| self.journal.mark_gone(&[id])) {
            log::warn!("message {id} stays in the journal: {error}");
        }
        true
    }

    fn copy_out(&self, id: &MessageId, place: &Place) -> std::io::Result<()> {
        let message = MessageFile::open_at(&*self.disk, place, id).and_then(MessageFile::verified)?;
        let temporary = self.temporary_name();
        let mut file = self.disk.create(&temporary)?;
        let written = std::io::copy(&mut message.into_octets(), &mut file)
            .and_then(|_| self.publish(file, &temporary, id).map_err(|error| error.source));
        match written {
            Ok(Published::Stored) => Ok(()),
            written => {
                // What cannot be removed now goes at the next start.
                let _ = self.disk.remove(&temporary);
                // The name is taken if an earlier try came so far and the journal could not be told.
                written.map(|_| ())
            }
        }
    }

    /// Gives the last messages of mostly dead segments files of their own, a few at a time: whoever ends a message does so, and
    /// nobody shall wait for long.
    fn clear_journal(&self) {
        for id in self.journal.take_survivors() {
            let record = lock(&self.queue).record(&id);
            let is_done = match record.as_deref().map(Mutex::try_lock) {
                Some(Err(TryLockError::WouldBlock)) => false,
                _record => self.move_out(&id),
            };
            if !is_done {
                self.journal.put_back(id);
            }
        }
    }

    /// Removes a message, whatever its state. `false` if there is none.
    pub(crate) fn remove(&self, id: &MessageId) -> Result<bool, StoreError> {
        let removed = self.remove_message(id);
        self.clear_journal();
        removed
    }

    fn remove_message(&self, id: &MessageId) -> Result<bool, StoreError> {
        let record = lock(&self.queue).record(id);
        let _record = record.as_deref().map(lock);
        let turn = self.turn(id);
        let kept_octets = match self.message(id).map(MessageFile::into_layout) {
            Err(ReadError::Missing) => return Ok(false),
            Ok(Layout { due: Due::Kept, content_octets, .. }) => content_octets,
            _ => 0,
        };
        self.forget(id);
        self.remove_files(&[turn]).map_err(|error| StoreError::from_io(format!("removing message {id}"), error))?;
        self.forget_kept(kept_octets);
        self.note_change();
        Ok(true)
    }
}

fn changes(outcomes: &[(usize, Outcome)]) -> Vec<(usize, Change)> {
    outcomes.iter().map(|(number, outcome)| (*number, Change::Outcome(outcome.clone()))).collect()
}
