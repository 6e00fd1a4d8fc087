//! Where small messages are committed: one file after the other, to which all who commit at the same moment append together.
//!
//! ```text
//!   session A ── octets ──┐
//!   session B ── octets ──┤   one of them leads:   one write, one sync      250 to A, B, C
//!   session C ── octets ──┘   ───────────────────> journal/00000001-...  ──────────────────>
//!   session D ── octets ──┐   meanwhile gathers, and is the next batch
//! ```
//!
//! A file for each message costs the file system a new inode, two names and two commits of its own journal; a hundred messages
//! in one file cost it as much as one. So what fits into memory goes here, and only larger messages have files of their own in
//! `new/`.
//!
//! * [`segment`] is the form of such a file. It is written once, from its beginning to its end.
//! * [`sidecar`] is what lies beside it: which of its messages are gone, and where it ends.
//! * When all messages of a closed segment are gone, it is removed. So that a few do not keep many dead ones on the disk, the
//!   last ones of a segment that is mostly dead move to files of their own ([`Journal::take_survivors`]).

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};

use crate::disk::Disk;
use crate::engine::lock;
use crate::error::StoreError;
use crate::group::{Group, Work};
use crate::id::MessageId;
use crate::store::Due;

mod appender;
mod buffers;
pub(crate) mod order;
pub(crate) mod segment;
pub(crate) mod sidecar;
pub(crate) mod view;

use appender::{Appender, Item};
use buffers::Buffers;
use segment::{LINE_OCTETS, SegmentId};
use sidecar::Marks;

/// Octets of a segment behind which the next one is begun. As much as is read at a start to prove what a crash has left.
pub(crate) const SEGMENT_OCTETS: u64 = 64 << 20;

/// A closed segment of which less than one part in so many is alive is cleared.
const CLEARED_BELOW: u64 = 4;

/// Messages that are moved to files of their own at once.
const SURVIVORS_AT_ONCE: usize = 8;

/// Where a message lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: SegmentId,
    /// Its first octet, behind the line before it.
    pub(crate) begin: u64,
    pub(crate) octets: u64,
}

impl Place {
    pub(crate) fn end(&self) -> u64 {
        self.begin + self.octets
    }
}

/// What lies where.
#[derive(Debug, Default)]
pub(crate) struct Index {
    places: HashMap<MessageId, Place>,
    segments: BTreeMap<SegmentId, Segment>,
    /// Closed segments in which nothing is alive.
    dead: Vec<SegmentId>,
    /// Messages that shall have files of their own.
    survivors: Vec<MessageId>,
}

#[derive(Debug, Default)]
struct Segment {
    octets: u64,
    alive_octets: u64,
    alive_messages: usize,
    is_closed: bool,
    /// What is left of it is among the survivors.
    is_cleared: bool,
}

impl Index {
    pub(crate) fn begin(&mut self, segment: SegmentId, octets: u64) {
        self.segments.insert(segment, Segment { octets, ..Segment::default() });
    }

    /// Takes in messages that are durable.
    pub(crate) fn insert(&mut self, messages: impl Iterator<Item = (MessageId, Place)>) {
        for (id, place) in messages {
            let segment = self.segments.entry(place.segment).or_default();
            segment.octets = segment.octets.max(place.end());
            segment.alive_octets += place.octets + LINE_OCTETS as u64;
            segment.alive_messages += 1;
            self.places.insert(id, place);
        }
    }

    /// Nothing more is written to a segment, which has so many octets.
    pub(crate) fn close(&mut self, segment: SegmentId) {
        if let Some(found) = self.segments.get_mut(&segment) {
            found.is_closed = true;
            self.look_at(segment);
        }
    }

    pub(crate) fn contains(&self, id: &MessageId) -> bool {
        self.places.contains_key(id)
    }

    fn remove(&mut self, id: &MessageId) {
        let Some(place) = self.places.remove(id) else { return };
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            segment.alive_octets = segment.alive_octets.saturating_sub(place.octets + LINE_OCTETS as u64);
            segment.alive_messages = segment.alive_messages.saturating_sub(1);
            self.look_at(place.segment);
        }
    }

    fn look_at(&mut self, id: SegmentId) {
        let Some(segment) = self.segments.get_mut(&id).filter(|segment| segment.is_closed) else { return };
        if segment.alive_messages == 0 {
            self.segments.remove(&id);
            self.dead.push(id);
        } else if !segment.is_cleared && segment.alive_octets.saturating_mul(CLEARED_BELOW) < segment.octets {
            segment.is_cleared = true;
            let left = self.places.iter().filter(|(_, place)| place.segment == id);
            self.survivors.extend(left.map(|(id, _)| id.clone()));
        }
    }
}

/// Why something could not be written: told to everybody whose message was in the batch.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    doing: &'static str,
    kind: io::ErrorKind,
    said: Arc<str>,
}

impl Failure {
    fn new(doing: &'static str, error: &io::Error) -> Self {
        Failure { doing, kind: error.kind(), said: error.to_string().into() }
    }

    fn broken_off(doing: &'static str) -> Self {
        Failure::new(doing, &io::Error::other("it broke off in a panic"))
    }

    /// What the one with this message is told.
    pub(crate) fn about(&self, id: &MessageId) -> StoreError {
        let source = io::Error::new(self.kind, self.said.to_string());
        StoreError::from_io(format!("{} for message {id}", self.doing), source)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.said)
    }
}

/// The owner's journal.
pub(crate) struct Journal {
    disk: Arc<dyn Disk>,
    index: Arc<Mutex<Index>>,
    messages: Group<Appender>,
    gone: Group<Marker>,
    buffers: Arc<Buffers>,
}

impl Journal {
    /// A journal as recovery has found it. The next segment gets this number.
    pub(crate) fn new(disk: Arc<dyn Disk>, index: Index, next_number: u64) -> Self {
        let index = Arc::new(Mutex::new(index));
        let buffers = Arc::default();
        let appender = Appender::new(Arc::clone(&disk), Arc::clone(&index), Arc::clone(&buffers), next_number);
        let messages = Group::new(appender);
        let gone = Group::new(Marker { disk: Arc::clone(&disk), marks: Marks::default() });
        Journal { disk, index, messages, gone, buffers }
    }

    /// An empty buffer for a message of about so many octets.
    pub(crate) fn buffer(&self, octets: usize) -> Vec<u8> {
        let mut buffer = self.buffers.take();
        buffer.reserve(octets);
        buffer
    }

    /// Makes a message durable; `octets` is all of it, as it would stand in a file of its own. Blocks until it is. The caller
    /// sees to it that there is no message of this id.
    pub(crate) fn append(&self, id: &MessageId, octets: Vec<u8>, due: Due) -> Result<(), StoreError> {
        self.messages
            .submit(Item { id: id.clone(), octets, is_kept: due == Due::Kept })
            .map_err(|failure| failure.about(id))
    }

    /// Where a message lies, if it lies here.
    pub(crate) fn place(&self, id: &MessageId) -> Option<Place> {
        lock(&self.index).places.get(id).copied()
    }

    /// Says durably that messages are gone, whatever the reason. After an error they are still here.
    pub(crate) fn mark_gone(&self, ids: &[&MessageId]) -> io::Result<()> {
        let marks: Vec<_> = {
            let index = lock(&self.index);
            let places = ids.iter().filter_map(|id| index.places.get(*id));
            places.map(|place| (place.segment, place.begin)).collect()
        };
        if marks.is_empty() {
            return Ok(());
        }
        self.gone.submit(marks).map_err(|failure| io::Error::new(failure.kind, failure.to_string()))?;
        let mut index = lock(&self.index);
        ids.iter().for_each(|id| index.remove(id));
        drop(index);
        sweep(&*self.disk, &self.index);
        Ok(())
    }

    /// Copies a message that does not prove itself to `corrupt/`, and says that it is gone.
    pub(crate) fn set_aside(&self, id: &MessageId, place: &Place) -> io::Result<()> {
        order::set_aside(&*self.disk, place.segment, place.begin, place.octets)?;
        self.mark_gone(&[id])
    }

    /// Some of the messages that are left of segments which are mostly dead: to be moved to files of their own.
    pub(crate) fn take_survivors(&self) -> Vec<MessageId> {
        let mut index = lock(&self.index);
        let from = index.survivors.len().saturating_sub(SURVIVORS_AT_ONCE);
        index.survivors.split_off(from)
    }

    /// Not now: somebody is at work on it.
    pub(crate) fn put_back(&self, survivor: MessageId) {
        lock(&self.index).survivors.push(survivor);
    }
}

/// Removes the closed segments in which nothing is alive.
fn sweep(disk: &dyn Disk, index: &Mutex<Index>) {
    let dead = std::mem::take(&mut lock(index).dead);
    for segment in dead {
        if let Err(error) = sidecar::remove(disk, segment) {
            log::warn!(
                "segment {segment} of the journal is done with and cannot be removed; the next start does it: {error}"
            );
        }
    }
}

/// Who says what is gone.
struct Marker {
    disk: Arc<dyn Disk>,
    marks: Marks,
}

impl Work for Marker {
    type Item = Vec<(SegmentId, u64)>;
    type Outcome = Result<(), Failure>;

    fn perform(&mut self, items: Vec<Vec<(SegmentId, u64)>>) -> Result<(), Failure> {
        self.marks.add(&*self.disk, &items.concat()).map_err(|error| Failure::new("saying what is gone", &error))
    }

    fn broken_off() -> Result<(), Failure> {
        Err(Failure::broken_off("saying what is gone"))
    }
}
