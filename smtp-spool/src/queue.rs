//! Who stands where, who is due, who is claimed: the queue in memory.
//!
//! Nothing here touches a disk or a clock. The engine changes the disk first and this afterwards, so after a crash the
//! same picture is drawn again from the records, without the claims. Kept messages are not in here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use crate::claim::{Lane, WorkerId};
use crate::id::MessageId;
use crate::state_record::{Change, RecipientState, Status};

/// All messages that somebody has still to deliver.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    messages: BTreeMap<MessageId, Message>,
    /// For each lane, the times and messages of the recipients that stand there unclaimed. No lane is empty.
    due: BTreeMap<Lane, BTreeSet<(i64, MessageId)>>,
    claims: HashMap<u64, OpenClaim>,
    last_token: u64,
}

#[derive(Debug)]
struct Message {
    recipients: Vec<QueuedRecipient>,
    /// Held while the record of this message is written, so that claims on it take turns.
    record: Arc<Mutex<()>>,
}

#[derive(Debug)]
struct QueuedRecipient {
    state: RecipientState,
    /// The token of the claim it is in.
    claim: Option<u64>,
}

#[derive(Debug)]
struct OpenClaim {
    worker: WorkerId,
    id: MessageId,
}

/// A claim as the queue gives it out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) token: u64,
    pub(crate) id: MessageId,
    pub(crate) recipients: Vec<usize>,
}

impl Queue {
    /// Puts in a message. Remarks are left on disk, where listings read them.
    pub(crate) fn insert(&mut self, id: MessageId, mut recipients: Vec<RecipientState>) {
        recipients.iter_mut().for_each(|recipient| recipient.remark = String::new());
        let recipients = recipients.into_iter().map(|state| QueuedRecipient { state, claim: None }).collect();
        self.messages.insert(id.clone(), Message { recipients, record: Arc::default() });
        self.index(&id);
    }

    /// Takes out a message; its claims are lost.
    pub(crate) fn remove(&mut self, id: &MessageId) {
        self.unindex(id);
        self.messages.remove(id);
        self.claims.retain(|_, claim| claim.id != *id);
    }

    /// The lanes in which somebody is due and unclaimed.
    pub(crate) fn due_lanes(&self, now: i64) -> Vec<Lane> {
        let due = self.due.iter().filter(|(_, waiting)| waiting.first().is_some_and(|(at, _)| *at <= now));
        due.map(|(lane, _)| lane.clone()).collect()
    }

    /// When the next recipient is due that is in no claim.
    pub(crate) fn next_due(&self) -> Option<i64> {
        self.due.values().filter_map(|waiting| waiting.first()).map(|(at, _)| *at).min()
    }

    /// Messages in the queue.
    pub(crate) fn message_count(&self) -> usize {
        self.messages.len()
    }

    /// Claims that are open.
    pub(crate) fn claim_count(&self) -> usize {
        self.claims.len()
    }

    /// Gives out up to `max` claims in one lane, the longest due first.
    pub(crate) fn take(&mut self, worker: &WorkerId, lane: &Lane, max: usize, now: i64) -> Vec<Taken> {
        let mut ids: Vec<MessageId> = Vec::new();
        let waiting = self.due.get(lane).into_iter().flatten();
        for (_, id) in waiting.take_while(|(at, _)| *at <= now) {
            if ids.len() == max {
                break;
            }
            // A message may stand here under several times, and is one claim.
            if !ids.contains(id) {
                ids.push(id.clone());
            }
        }
        ids.into_iter().filter_map(|id| self.take_message(worker, lane, id, now)).collect()
    }

    fn take_message(&mut self, worker: &WorkerId, lane: &Lane, id: MessageId, now: i64) -> Option<Taken> {
        self.unindex(&id);
        self.last_token += 1;
        let token = self.last_token;
        let message = self.messages.get_mut(&id)?;
        let mut taken = Vec::new();
        for (number, recipient) in message.recipients.iter_mut().enumerate() {
            let is_due = matches!(recipient.state.status, Status::Due(at) if at <= now);
            if is_due && recipient.claim.is_none() && recipient.state.lane == *lane {
                recipient.claim = Some(token);
                taken.push(number);
            }
        }
        self.claims.insert(token, OpenClaim { worker: worker.clone(), id: id.clone() });
        self.index(&id);
        Some(Taken { token, id, recipients: taken })
    }

    /// Whether a claim is open.
    pub(crate) fn is_open(&self, token: u64) -> bool {
        self.claims.contains_key(&token)
    }

    /// What to hold while the record of a message is written.
    pub(crate) fn record(&self, id: &MessageId) -> Option<Arc<Mutex<()>>> {
        self.messages.get(id).map(|message| Arc::clone(&message.record))
    }

    /// The recipients of a claim for which nothing final is known.
    pub(crate) fn open_recipients(&self, token: u64) -> Vec<usize> {
        let Some(message) = self.claims.get(&token).and_then(|claim| self.messages.get(&claim.id)) else {
            return Vec::new();
        };
        let recipients = message.recipients.iter().enumerate();
        recipients.filter(|(_, recipient)| recipient.claim == Some(token)).map(|(number, _)| number).collect()
    }

    /// Takes a step of one recipient. If that ends its part in the claim, it leaves the claim.
    pub(crate) fn apply(&mut self, id: &MessageId, number: usize, change: &Change) {
        self.unindex(id);
        if let Some(recipient) = self.messages.get_mut(id).and_then(|message| message.recipients.get_mut(number)) {
            let lane = recipient.state.lane.clone();
            recipient.state.apply(change);
            recipient.state.remark = String::new();
            if recipient.state.is_finished() || recipient.state.lane != lane {
                recipient.claim = None;
            }
        }
        self.index(id);
    }

    /// Ends a claim. Whoever is still in it can be claimed again as its state says.
    pub(crate) fn end(&mut self, token: u64) {
        let Some(claim) = self.claims.remove(&token) else {
            return;
        };
        self.unindex(&claim.id);
        if let Some(message) = self.messages.get_mut(&claim.id) {
            let recipients = message.recipients.iter_mut().filter(|recipient| recipient.claim == Some(token));
            recipients.for_each(|recipient| recipient.claim = None);
        }
        self.index(&claim.id);
    }

    /// Ends all claims of a worker.
    pub(crate) fn release(&mut self, worker: &WorkerId) {
        let held = self.claims.iter().filter(|(_, claim)| claim.worker == *worker);
        let tokens: Vec<_> = held.map(|(token, _)| *token).collect();
        tokens.into_iter().for_each(|token| self.end(token));
    }

    /// Whether nothing is left to be done for a message.
    pub(crate) fn is_finished(&self, id: &MessageId) -> bool {
        self.messages.get(id).is_some_and(|message| message.recipients.iter().all(|one| one.state.is_finished()))
    }

    fn index(&mut self, id: &MessageId) {
        for (lane, at) in self.places(id) {
            self.due.entry(lane).or_default().insert((at, id.clone()));
        }
    }

    fn unindex(&mut self, id: &MessageId) {
        for (lane, at) in self.places(id) {
            if let Some(waiting) = self.due.get_mut(&lane) {
                waiting.remove(&(at, id.clone()));
                if waiting.is_empty() {
                    self.due.remove(&lane);
                }
            }
        }
    }

    /// The lanes and times at which a message stands in `due`.
    fn places(&self, id: &MessageId) -> Vec<(Lane, i64)> {
        let recipients = self.messages.get(id).map(|message| &message.recipients[..]).unwrap_or_default();
        let unclaimed = recipients.iter().filter(|recipient| recipient.claim.is_none());
        let places = unclaimed.filter_map(|recipient| match recipient.state.status {
            Status::Due(at) => Some((recipient.state.lane.clone(), at)),
            _ => None,
        });
        places.collect()
    }
}

#[cfg(test)]
mod tests;
