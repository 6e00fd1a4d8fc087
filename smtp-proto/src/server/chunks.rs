//! Content in chunks (RFC 3030): so many octets, counted, whatever they look like.
//!
//! Behind `BDAT size` stand that many octets that are no commands, in every state and whatever is wrong with them. A
//! server that answers before it has read them, or counts wrong, reads a stranger's octets as commands (Exim,
//! CVE-2017-16943 and -16944). So there are two states and no third: a [`Chunk`] is on its way to the driver, and a
//! [`Discard`] is read to its end, forgotten and then answered.

use std::time::Duration;

use super::pace::Pace;
use super::state::{Asked, Client, State};
use super::{Config, Event, ServerSession, replies};
use crate::content::ChunkDecoder;
use crate::limits;
use crate::reply::Reply;
use crate::trace::HopCounter;
use crate::transaction::Transaction;

/// What BDAT said of a chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announced {
    pub(super) size: u64,
    pub(super) is_last: bool,
}

/// A message of which chunks are coming in.
#[derive(Debug)]
pub(super) struct ChunkedMessage {
    pub(super) client: Client,
    pub(super) transaction: Transaction,
    pub(super) pace: Pace,
    decoder: ChunkDecoder,
    hops: HopCounter,
    octets: u64,
}

/// A chunk on its way in, whose octets are handed out.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) message: ChunkedMessage,
    announced: Announced,
    left: u64,
}

/// A chunk on its way in, whose octets are forgotten, and what is answered then.
#[derive(Debug)]
pub(super) struct Discard {
    pub(super) pace: Pace,
    left: u64,
    reply: Reply,
    next: Next,
}

/// The state behind a refused chunk.
#[derive(Debug)]
enum Next {
    /// There was no message, so there is still none.
    Unchanged(Box<State>),
    /// Nothing of the message is to come any more, as far as the client has said.
    Ready(Client),
    /// The client may have sent more of the message already (RFC 3030, 2: "in the pipeline after the failed BDAT").
    Spoilt(Client),
}

impl ChunkedMessage {
    pub(super) fn new(client: Client, transaction: Transaction, config: &Config, now: Duration) -> Self {
        ChunkedMessage {
            client,
            transaction,
            pace: Pace::new(now),
            decoder: ChunkDecoder::new(config.line_ends),
            hops: HopCounter::default(),
            octets: 0,
        }
    }

    /// Octets of the message once this chunk is here, too.
    pub(super) fn octets_with(&self, announced: Announced) -> u64 {
        self.octets.saturating_add(announced.size)
    }
}

impl Chunk {
    pub(super) fn new(message: ChunkedMessage, announced: Announced) -> Self {
        Chunk { message, announced, left: announced.size }
    }

    /// The last word on a chunk that is here.
    fn refusal(&self) -> Option<Reply> {
        // A chunk may end between CR and LF; the message may not.
        if self.announced.is_last && self.message.decoder.is_inside_line_end() {
            return Some(replies::bare_line_end_in_content());
        }
        (self.message.hops.hops() >= limits::RECEIVED_FIELDS).then(replies::mail_loop)
    }

    fn refused(self, reply: Reply) -> Discard {
        let Chunk { message, announced, left } = self;
        Discard { left, ..Discard::of_message(message.client, announced, reply, message.pace) }
    }
}

impl Discard {
    /// A chunk of a message, which is lost with it: a later part must not pass for the whole.
    pub(super) fn of_message(client: Client, announced: Announced, reply: Reply, pace: Pace) -> Self {
        let next = if announced.is_last { Next::Ready(client) } else { Next::Spoilt(client) };
        Discard { pace, left: announced.size, reply, next }
    }

    /// A chunk of a message that is lost already.
    pub(super) fn behind_refused(client: Client, announced: Announced, pace: Pace) -> Self {
        Discard { pace, left: announced.size, reply: replies::reset_first(), next: Next::Spoilt(client) }
    }

    /// A chunk without a message.
    pub(super) fn out_of_place(state: State, announced: Announced, reply: Reply, now: Duration) -> Self {
        Discard { pace: Pace::new(now), left: announced.size, reply, next: Next::Unchanged(Box::new(state)) }
    }
}

impl From<Chunk> for State {
    fn from(chunk: Chunk) -> Self {
        State::Chunk(Box::new(chunk))
    }
}

impl From<Discard> for State {
    fn from(discard: Discard) -> Self {
        State::Discard(Box::new(discard))
    }
}

/// The octets of the input that belong to the chunk.
fn within(input: &[u8], left: u64) -> &[u8] {
    let count = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
    input.get(..count).unwrap_or_default()
}

impl ServerSession {
    /// `None` asks to be called again with the rest of the input.
    pub(super) fn handle_chunk<'a>(&mut self, input: &'a [u8], now: Duration) -> (usize, Option<Event<'a>>) {
        let State::Chunk(chunk) = &mut self.state else {
            return (0, None);
        };
        if chunk.left == 0 {
            return (0, self.end_chunk(now));
        }
        let input = within(input, chunk.left);
        if input.is_empty() {
            return (0, Some(Event::NeedInput));
        }
        let message = &mut chunk.message;
        let (used, octets) = message.decoder.decode(input);
        chunk.left = chunk.left.saturating_sub(used as u64);
        message.pace.count(used);
        message.hops.handle(octets);
        message.octets = message.octets.saturating_add(octets.len() as u64);
        let refusal = if message.decoder.has_bare_line_end() {
            Some(replies::bare_line_end_in_content())
        } else if message.octets > self.config.message_octets {
            // More than was announced: line ends were made whole.
            Some(replies::message_too_big(self.config.message_octets))
        } else {
            None
        };
        self.deadline = message.pace.deadline(&self.config, now);
        match refusal {
            Some(reply) => self.refuse_chunk(reply),
            None if octets.is_empty() => {}
            None => return (used, Some(Event::Content(octets))),
        }
        (used, None)
    }

    /// What is left of the chunk is read and forgotten, and so is the message.
    pub(super) fn refuse_chunk(&mut self, reply: Reply) {
        self.state = match std::mem::replace(&mut self.state, State::Closed) {
            State::Chunk(chunk) => chunk.refused(reply).into(),
            state => state,
        };
    }

    fn end_chunk(&mut self, now: Duration) -> Option<Event<'static>> {
        let State::Chunk(chunk) = std::mem::replace(&mut self.state, State::Closed) else {
            return None;
        };
        let refusal = chunk.refusal();
        let Chunk { message, announced, .. } = *chunk;
        let event = match refusal {
            Some(reply) => {
                self.state = Chunk { message, announced, left: 0 }.refused(reply).into();
                None
            }
            None if announced.is_last => {
                self.state = State::Asked(Asked::EndOfContent(message.client, message.transaction));
                Some(Event::Question)
            }
            None => {
                self.state = State::Chunks(Box::new(message));
                match announced.size {
                    // It moves no mail, and there could be no end of them.
                    0 => self.fruitless(replies::chunk_ok(0)),
                    octets => self.reply(&replies::chunk_ok(octets)),
                }
                None
            }
        };
        self.expect_input(now);
        event
    }

    /// `None` asks to be called again with the rest of the input.
    pub(super) fn handle_discard<'a>(&mut self, input: &'a [u8], now: Duration) -> (usize, Option<Event<'a>>) {
        let State::Discard(discard) = &mut self.state else {
            return (0, None);
        };
        if discard.left == 0 {
            let event = self.end_discard();
            self.expect_input(now);
            return (0, Some(event));
        }
        let used = within(input, discard.left).len();
        if used == 0 {
            return (0, Some(Event::NeedInput));
        }
        discard.left = discard.left.saturating_sub(used as u64);
        discard.pace.count(used);
        self.deadline = discard.pace.deadline(&self.config, now);
        if discard.pace.is_endless(&self.config) {
            self.close_with(replies::endless_content());
            return (used, Some(Event::Close));
        }
        (used, None)
    }

    /// The answer to a refused chunk. It may have stood in one group with what was refused before it, so it is no error of
    /// the client's.
    fn end_discard(&mut self) -> Event<'static> {
        if let State::Discard(discard) = std::mem::replace(&mut self.state, State::Closed) {
            let next = match discard.next {
                Next::Unchanged(state) => *state,
                Next::Ready(client) => State::Ready(client),
                Next::Spoilt(client) => State::Spoilt(client, discard.pace.wire_octets()),
            };
            self.idle(next, discard.reply);
        }
        Event::Dropped
    }

    /// RSET or EHLO stood between two chunks.
    pub(super) fn drop_message(&mut self) -> Event<'static> {
        self.state = match std::mem::replace(&mut self.state, State::Closed) {
            State::Dropping(client) => State::Ready(client),
            state => state,
        };
        Event::Dropped
    }
}
