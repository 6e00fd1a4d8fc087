//! Who stands where, who is due, who is claimed: the queue in memory.
//!
//! Nothing here touches a disk or a clock. The engine changes the disk first and this afterwards, so after a crash the
//! same picture is drawn again from the records, without the claims. Kept messages are not in here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use crate::claim::{Lane, WorkerId};
use crate::id::MessageId;
use crate::recipient_state::{self, Change, RecipientState};

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
    recipients: Vec<RecipientState>,
    /// The token of the claim in which each recipient is, in the same order.
    claims: Vec<Option<u64>>,
    /// Nobody can claim it yet.
    is_withheld: bool,
    /// It was committed by this process, and nobody has claimed it.
    is_fresh: bool,
    /// Held while the record of this message is written, so that claims on it take turns.
    record: Arc<Mutex<()>>,
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
    pub(crate) recipients: Vec<(usize, RecipientState)>,
    /// See [`Claim::is_first`](crate::Claim::is_first).
    pub(crate) is_first: bool,
}

impl Queue {
    /// Puts in a message. Remarks are left on disk, where listings read them.
    pub(crate) fn insert(&mut self, id: MessageId, mut recipients: Vec<RecipientState>) {
        recipients.iter_mut().for_each(|recipient| recipient.remark = String::new());
        let message = Message {
            claims: vec![None; recipients.len()],
            recipients,
            is_withheld: false,
            is_fresh: false,
            record: Arc::default(),
        };
        self.messages.insert(id.clone(), message);
        self.index(&id);
    }

    /// Puts in a message that did not exist before.
    pub(crate) fn insert_fresh(&mut self, id: MessageId, recipients: Vec<RecipientState>) {
        self.insert(id.clone(), recipients);
        if let Some(message) = self.messages.get_mut(&id) {
            message.is_fresh = true;
        }
    }

    /// Lets nobody claim a message until [`Queue::admit`].
    pub(crate) fn withhold(&mut self, id: &MessageId) {
        self.set_withheld(id, true);
    }

    /// Lets a message be claimed.
    pub(crate) fn admit(&mut self, id: &MessageId) {
        self.set_withheld(id, false);
    }

    fn set_withheld(&mut self, id: &MessageId, is_withheld: bool) {
        self.unindex(id);
        if let Some(message) = self.messages.get_mut(id) {
            message.is_withheld = is_withheld;
        }
        self.index(id);
    }

    /// Where the recipients of a message stand. Remarks are not known here.
    pub(crate) fn recipients(&self, id: &MessageId) -> Option<&[RecipientState]> {
        self.messages.get(id).map(|message| message.recipients.as_slice())
    }

    /// Every message.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &MessageId> {
        self.messages.keys()
    }

    /// Whether a recipient of a message is in a claim.
    pub(crate) fn is_claimed(&self, id: &MessageId, number: usize) -> bool {
        self.messages.get(id).is_some_and(|message| message.claims.get(number).is_some_and(Option::is_some))
    }

    /// Takes out a message; its claims are lost.
    pub(crate) fn remove(&mut self, id: &MessageId) {
        self.unindex(id);
        self.messages.remove(id);
        self.claims.retain(|_, claim| claim.id != *id);
    }

    /// The lanes in which somebody is due and unclaimed, and how many wait there, due or not.
    pub(crate) fn due_lanes(&self, now: i64) -> Vec<(Lane, usize)> {
        let due = self.due.iter().filter(|(_, waiting)| waiting.first().is_some_and(|(at, _)| *at <= now));
        due.map(|(lane, waiting)| (lane.clone(), waiting.len())).collect()
    }

    /// Makes whatever is due later than this due at this time. Returns of how many messages something was.
    pub(crate) fn bring_forward(&mut self, latest: i64) -> usize {
        let later = self.due.values().flat_map(|waiting| waiting.iter().rev().take_while(|(at, _)| *at > latest));
        let ids: BTreeSet<MessageId> = later.map(|(_, id)| id.clone()).collect();
        for id in &ids {
            self.unindex(id);
            if let Some(message) = self.messages.get_mut(id) {
                message.recipients.iter_mut().for_each(|state| state.bring_forward(latest));
            }
            self.index(id);
        }
        ids.len()
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
        let is_first = std::mem::take(&mut message.is_fresh);
        let mut taken = Vec::new();
        for (number, (state, claim)) in message.recipients.iter().zip(&mut message.claims).enumerate() {
            let is_due = state.place().is_some_and(|(standing, at)| standing == *lane && at <= now);
            if is_due && claim.is_none() {
                *claim = Some(token);
                taken.push((number, state.clone()));
            }
        }
        self.claims.insert(token, OpenClaim { worker: worker.clone(), id: id.clone() });
        self.index(&id);
        Some(Taken { token, id, recipients: taken, is_first })
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
        let claims = message.claims.iter().enumerate();
        claims.filter(|(_, claim)| **claim == Some(token)).map(|(number, _)| number).collect()
    }

    /// Takes a step of one recipient. If that ends its part in the claim, it leaves the claim.
    pub(crate) fn apply(&mut self, id: &MessageId, number: usize, change: &Change) {
        self.unindex(id);
        if let Some(message) = self.messages.get_mut(id) {
            let before = message.recipients.get(number).and_then(RecipientState::place).map(|(lane, _)| lane);
            recipient_state::apply(&mut message.recipients, number, change);
            message.claims.resize(message.recipients.len(), None);
            if let Some((state, claim)) = message.recipients.get_mut(number).zip(message.claims.get_mut(number)) {
                state.remark = String::new();
                let has_left = state.is_finished() || state.place().map(|(lane, _)| lane) != before;
                if has_left && !matches!(change, Change::Held) {
                    *claim = None;
                }
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
            message.claims.iter_mut().filter(|claim| **claim == Some(token)).for_each(|claim| *claim = None);
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
        self.messages.get(id).is_some_and(|message| message.recipients.iter().all(RecipientState::is_finished))
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
        let Some(message) = self.messages.get(id).filter(|message| !message.is_withheld) else {
            return Vec::new();
        };
        let unclaimed = message.recipients.iter().zip(&message.claims).filter(|(_, claim)| claim.is_none());
        let places = unclaimed.filter_map(|(state, _)| state.place());
        // One report tells of all: it waits until everybody was tried and nobody is being tried.
        let is_at_rest =
            message.claims.iter().all(Option::is_none) && !message.recipients.iter().any(RecipientState::is_untried);
        places.filter(|(lane, _)| is_at_rest || *lane != Lane::reports()).collect()
    }
}

#[cfg(test)]
mod tests;
