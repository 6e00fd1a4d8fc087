//! What an operator does with messages in the queue: holds them, lets them go, removes them.

use crate::engine::lock;
use crate::error::StoreError;
use crate::id::MessageId;
use crate::recipient_state::{Change, Status};
use crate::spool::Spool;

impl Spool {
    /// Removes a message, whatever its state, for good. `false` if there is none. Claims on it are lost.
    pub fn remove(&self, id: &MessageId) -> Result<bool, StoreError> {
        self.engine.remove(id)
    }

    /// Lets nobody deliver a message until it is released. Returns how many recipients it holds; one that is being tried at
    /// this moment is not among them.
    pub fn hold(&self, id: &MessageId) -> Result<usize, StoreError> {
        self.engine.change_unclaimed(id, &Change::Held, |state| matches!(state.status, Status::Due(_)))
    }

    /// Lets a message that was held be delivered, from this time on. Returns how many recipients it releases.
    pub fn release_held(&self, id: &MessageId, now: i64) -> Result<usize, StoreError> {
        self.engine.change_unclaimed(id, &Change::RetryAt(now), |state| state.status == Status::Held)
    }

    /// Makes the recipients of a message due that wait for their next try. Returns how many.
    pub fn retry_now(&self, id: &MessageId, now: i64) -> Result<usize, StoreError> {
        self.engine.change_unclaimed(
            id,
            &Change::RetryAt(now),
            |state| matches!(state.place(), Some((_, at)) if at > now),
        )
    }

    /// Every message that somebody has still to deliver.
    pub fn queued(&self) -> Vec<MessageId> {
        lock(&self.engine.queue).ids().cloned().collect()
    }
}
