//! Messages as the rest of the system sees them: what comes in, who delivers it, what became of it.
//!
//! No path, descriptor or row appears here, so that another engine can stand behind the same trait. The rules for the
//! caller:
//!
//! 1. `begin`, write the content, `commit`. Only when `commit` says `Ok` is the message stored, and then it is on disk.
//! 2. An id is committed once, however often `commit` is called with it.
//! 3. `claim`, deliver, `record` each recipient's outcome as soon as it is known, `settle`. A crash in between delivers
//!    again: the promise is *at least once*.
//! 4. Time is always an argument, in Unix seconds.

use std::io;
use std::time::Duration;

use crate::claim::{Claim, Lane, Outcome, Settled, Settlement, WorkerId};
use crate::envelope::Envelope;
use crate::error::StoreError;
use crate::id::MessageId;

/// A durable queue of messages.
pub trait Store: Send + Sync {
    /// Whether a message of this many octets would find room now, with the reserve kept free. For MAIL, before any
    /// data is taken (452 4.3.1 instead of a transfer in vain).
    fn has_room_for(&self, size: Option<u64>) -> Result<(), StoreError>;

    /// Begins a message. `size_hint` is what the client announced with SIZE.
    fn begin(&self, size_hint: Option<u64>) -> Result<Box<dyn Incoming>, StoreError>;

    /// Takes in some of the messages that came another way than by [`Store::begin`], where there is one, and returns how
    /// many; 0 if there are no more. To be called now and then; cheap when there are none.
    fn adopt(&self) -> usize {
        0
    }

    /// Takes up to `max` claims on recipients that stand in `lane` and are due.
    fn claim(&self, worker: &WorkerId, lane: &Lane, max: usize, now: i64) -> Result<Vec<Claim>, StoreError>;

    /// The lanes in which somebody is due and unclaimed, and how many wait there, due or not: that costs nothing to know.
    fn due_lanes(&self, now: i64) -> Result<Vec<(Lane, usize)>, StoreError>;

    /// The content of a claimed message, octet for octet.
    fn content(&self, claim: &Claim) -> Result<Box<dyn io::Read + Send>, StoreError>;

    /// Puts on disk what became of recipients of a claim.
    fn record(&self, claim: &Claim, outcomes: &[(usize, Outcome)]) -> Result<Settled, StoreError>;

    /// Puts on disk what became of recipients of a claim, and ends it. When no recipient of the message is left, the
    /// message is removed: then that is all that is put on disk, so it costs less than to record first.
    fn settle(
        &self,
        claim: Claim,
        outcomes: &[(usize, Outcome)],
        settlement: Settlement,
    ) -> Result<Settled, StoreError>;

    /// Settles many claims, for whoever ends many at once: an engine may put them on disk together, with one wait for the
    /// medium. One answer for each, in their order; what becomes of one of them says nothing about the others.
    fn settle_all(&self, ended: Vec<Ended>) -> Vec<Result<Settled, StoreError>> {
        ended
            .into_iter()
            .map(|Ended { claim, outcomes, settlement }| self.settle(claim, &outcomes, settlement))
            .collect()
    }

    /// Lets a message be claimed that was committed as [`Due::Withheld`]. One that can be claimed already, or is gone,
    /// stays as it is.
    fn admit(&self, id: &MessageId) -> Result<(), StoreError>;

    /// Says that a claim is still being worked on, to engines whose claims run out.
    fn renew(&self, claim: &Claim, now: i64) -> Result<Settled, StoreError>;

    /// Gives back everything that a worker holds; its claims are lost.
    fn release(&self, worker: &WorkerId) -> Result<(), StoreError>;

    /// Waits until something changed that a claim could see, at most for `timeout`; returns the number of the change.
    /// `seen` is the number from last time, so that a change between a claim and the wait is not slept through.
    fn wait(&self, seen: u64, timeout: Duration) -> u64;

    /// Ends every [`Store::wait`] that is under way, as a change would.
    fn wake(&self);

    /// Nothing is due later than this, in Unix seconds: what a clock put off that has been set back since must not stand
    /// still until its time comes again. In memory only; the record says what was meant.
    fn bring_forward(&self, latest: i64);

    /// Says how long a message is tried before it is given up, so that listings can tell. Whoever runs the queue says so at its
    /// start; it costs nothing if it is what was said last.
    fn note_lifetime(&self, seconds: i64) -> Result<(), StoreError>;

    /// When the next message is due of which nobody has hold, in Unix seconds. Costs nothing: the medium is left alone.
    fn next_due(&self) -> Option<i64>;

    /// Proves that the medium can be written, and tells how full the store is.
    fn health(&self) -> Result<Health, StoreError>;
}

/// A claim that has come to its end, and what [`Store::settle`] is to be told of it.
#[derive(Debug)]
pub struct Ended {
    /// The claim.
    pub claim: Claim,
    /// What became of its recipients.
    pub outcomes: Vec<(usize, Outcome)>,
    /// What shall become of the rest.
    pub settlement: Settlement,
}

/// A message on its way in: a [`Write`](io::Write) for the content. Dropping it aborts it and nothing stays.
///
/// An error of `write` is remembered and returned by `commit`, so a caller may go on reading its peer to the end and
/// only then ask how things stand.
pub trait Incoming: io::Write + Send {
    /// Makes the message durable under this id; blocks until it is. Only after `Ok` may anybody be told that it was
    /// accepted. After an error nothing of it is delivered by this process.
    fn commit(self: Box<Self>, id: &MessageId, envelope: &Envelope, due: Due) -> Result<(), StoreError>;

    /// Octets of content so far.
    fn len(&self) -> u64;

    /// Whether there is no content yet.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// When a message is to be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Never: it lies where it was to go. It does not expire and nobody can claim it.
    Kept,
    /// From this time on, in Unix seconds.
    At(i64),
    /// The same, but nobody can claim it before [`Store::admit`]. On disk it is like the other: what withholds it after a
    /// restart is the recipient on whom it reports, as long as that says that the report has begun.
    Withheld(i64),
}

impl Due {
    /// From when on it can be claimed; `None` for ever.
    pub fn at(self) -> Option<i64> {
        match self {
            Due::Kept => None,
            Due::At(at) | Due::Withheld(at) => Some(at),
        }
    }
}

/// How a store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Octets of the content of all kept messages.
    pub kept_bytes: u64,
    /// Messages that somebody has still to deliver.
    pub queued_messages: usize,
    /// Claims that are open.
    pub open_claims: usize,
    /// When the next recipient is due that nobody has claimed, in Unix seconds.
    pub next_due: Option<i64>,
}
