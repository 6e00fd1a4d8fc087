//! What an operator does with messages in the queue: holds them, lets them go, has them tried, gives them back, removes them.
//!
//! Nobody speaks for a recipient that is in a claim but the worker who holds the claim. So what is asked for here concerns
//! the others, and the answer says how many it did not reach.

use smtp_proto::report::{Case, wants_report};

use crate::claim::{Outcome, Owes};
use crate::engine::{Engine, lock};
use crate::envelope::Envelope;
use crate::error::{ReadError, StoreError};
use crate::id::MessageId;
use crate::recipient_state::{Change, RecipientState, Status};
use crate::spool::Spool;

/// How many recipients of a message a change reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// So many were changed.
    pub recipients: usize,
    /// So many would have been, had nobody been at work on them at this moment.
    pub being_tried: usize,
}

impl Spool {
    /// Removes a message, whatever its state, for good, and tells nobody. `false` if there is none. Claims on it are lost.
    pub fn remove(&self, id: &MessageId) -> Result<bool, StoreError> {
        self.engine.remove(id)
    }

    /// Gives up all recipients of a message for whom nothing final is known, for this reason, which has the form of a
    /// reply. Those of whom the sender is to hear stay until a report is made; if there are none, the message is removed.
    /// `None` if no such message is in the queue.
    pub fn fail(&self, id: &MessageId, reason: &str) -> Result<Option<Changed>, StoreError> {
        if !self.is_queued(id) {
            return Ok(None);
        }
        let envelope = match self.engine.message(id) {
            Ok(message) => message.into_layout().envelope,
            Err(ReadError::Missing) => return Ok(None),
            Err(error) => return Err(StoreError::from_read(format!("reading message {id}"), error)),
        };
        self.engine.change_unclaimed(id, |number, state| {
            let owes = owes(&envelope, number, state);
            (!state.is_decided()).then(|| Change::Outcome(Outcome::Failed(reason.to_owned(), owes)))
        })
    }

    /// Lets nobody deliver a message until it is released. `None` if no such message is in the queue.
    pub fn hold(&self, id: &MessageId) -> Result<Option<Changed>, StoreError> {
        let is_due = |state: &RecipientState| matches!(state.status, Status::Due(_));
        self.engine.change_unclaimed(id, |_, state| is_due(state).then_some(Change::Held))
    }

    /// Lets a message that was held be delivered, from this time on. `None` if no such message is in the queue.
    pub fn release_held(&self, id: &MessageId, now: i64) -> Result<Option<Changed>, StoreError> {
        self.engine.change_unclaimed(id, |_, state| (state.status == Status::Held).then_some(Change::RetryAt(now)))
    }

    /// Makes the recipients of a message due that wait for their next try, and its report, if that could not be made. `None`
    /// if no such message is in the queue.
    pub fn retry_now(&self, id: &MessageId, now: i64) -> Result<Option<Changed>, StoreError> {
        let waits = |state: &RecipientState| matches!(state.place(), Some((_, at)) if at > now);
        self.engine.change_unclaimed(id, |_, state| waits(state).then_some(Change::RetryAt(now)))
    }

    /// The same for all messages at once. Returns how many have waited. In memory only, since to sync a record for each
    /// takes minutes where a queue is long: who is not tried before the spool is opened anew waits for the old time again.
    pub fn retry_all_now(&self, now: i64) -> usize {
        let count = lock(&self.engine.queue).bring_forward(now);
        self.engine.note_change();
        count
    }

    /// Every message that somebody has still to deliver.
    pub fn queued(&self) -> Vec<MessageId> {
        lock(&self.engine.queue).ids().cloned().collect()
    }

    fn is_queued(&self, id: &MessageId) -> bool {
        lock(&self.engine.queue).recipients(id).is_some()
    }
}

impl Engine {
    /// A step for each recipient of a message that is in no claim and for which `step` has one. `None` if the message is
    /// not in the queue.
    fn change_unclaimed(
        &self,
        id: &MessageId,
        step: impl Fn(usize, &RecipientState) -> Option<Change>,
    ) -> Result<Option<Changed>, StoreError> {
        let Some(record) = lock(&self.queue).record(id) else {
            return Ok(None);
        };
        let _turn = lock(&record);
        let (mut changes, mut being_tried) = (Vec::new(), 0);
        {
            let queue = lock(&self.queue);
            // While we waited for our turn the message may have gone.
            let Some(states) = queue.recipients(id) else {
                return Ok(None);
            };
            for (number, state) in states.iter().enumerate() {
                match step(number, state) {
                    Some(_) if queue.is_claimed(id, number) => being_tried += 1,
                    Some(change) => changes.push((number, change)),
                    None => {}
                }
            }
        }
        let written = self.write(id, &changes);
        if written.is_ok() && lock(&self.queue).is_finished(id) {
            self.remove_finished(vec![self.take_out(id)]);
        }
        self.note_change();
        written?;
        Ok(Some(Changed { recipients: changes.len(), being_tried }))
    }
}

/// Whether the sender of a message is to hear that this recipient was given up.
fn owes(envelope: &Envelope, number: usize, state: &RecipientState) -> Owes {
    let target = state.target_of.as_ref().map(|(recipient, _)| recipient);
    let notify = target.or_else(|| envelope.recipients.get(number)).and_then(|recipient| recipient.parameters.notify);
    if wants_report(notify, &envelope.reverse_path, Case::Failure) { Owes::Report } else { Owes::Nothing }
}
