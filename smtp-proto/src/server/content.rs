//! Content on its way in: counted, watched, and refused only at its true end.
//!
//! RFC 5321, 4.1.1.4 has one reply for the whole of it. Whatever is wrong with it (too big, bare line ends, a loop, our
//! disk), the rest is read and forgotten, so that not an octet of it is ever taken for a command.

use std::time::Duration;

use super::state::{Asked, Client, State};
use super::{Config, Event, ServerSession, replies};
use crate::content::{ContentDecoder, Piece};
use crate::limits;
use crate::reply::Reply;
use crate::trace::HopCounter;
use crate::transaction::Transaction;

#[derive(Debug)]
pub(super) struct Content {
    pub(super) client: Client,
    pub(super) transaction: Transaction,
    decoder: ContentDecoder,
    hops: HopCounter,
    octets: u64,
    wire_octets: u64,
    started: Duration,
    refusal: Option<Reply>,
}

impl Content {
    pub(super) fn new(client: Client, transaction: Transaction, config: &Config, now: Duration) -> Self {
        Content {
            client,
            transaction,
            decoder: ContentDecoder::new(config.line_ends),
            hops: HopCounter::default(),
            octets: 0,
            wire_octets: 0,
            started: now,
            refusal: None,
        }
    }

    /// The first reason is the one that the client hears.
    pub(super) fn refuse(&mut self, reply: Reply) {
        self.refusal.get_or_insert(replies::refusal(reply));
    }

    /// The content may neither stand still nor dribble.
    fn deadline(&self, config: &Config, now: Duration) -> Duration {
        let rate = config.content_octets_per_second.max(1);
        let by_rate = self.started.saturating_add(Duration::from_secs(self.wire_octets / rate));
        by_rate.min(now).saturating_add(config.content_timeout)
    }
}

impl ServerSession {
    /// `None` asks to be called again with the rest of the input.
    pub(super) fn handle_content<'a>(&mut self, input: &'a [u8], now: Duration) -> (usize, Option<Event<'a>>) {
        let State::Content(content) = &mut self.state else {
            return (0, None);
        };
        let (used, piece) = content.decoder.decode(input);
        content.wire_octets = content.wire_octets.saturating_add(used as u64);
        if used > 0 {
            self.deadline = content.deadline(&self.config, now);
        }
        // What is refused already may go on for twice the limit, and no longer.
        if content.wire_octets > self.config.message_octets.saturating_mul(3) {
            self.close_with(replies::endless_content());
            return (used, Some(Event::Close));
        }
        let event = match piece {
            Piece::NeedInput => Some(Event::NeedInput),
            Piece::End => {
                self.expect_command(now);
                Some(self.end_content())
            }
            Piece::Stalled => {
                self.close_with(replies::bare_line_feed());
                Some(Event::Close)
            }
            Piece::Octets(_) if content.refusal.is_some() => None,
            Piece::Octets(octets) => {
                content.hops.handle(octets);
                content.octets = content.octets.saturating_add(octets.len() as u64);
                if content.octets > self.config.message_octets {
                    content.refuse(replies::message_too_big(self.config.message_octets));
                    Some(Event::Dropped)
                } else {
                    Some(Event::Content(octets))
                }
            }
        };
        (used, event)
    }

    /// The true end. RFC 5321, 4.1.1.4: the transaction is over, whatever is answered.
    fn end_content(&mut self) -> Event<'static> {
        let State::Content(content) = std::mem::replace(&mut self.state, State::Closed) else {
            return Event::NeedInput;
        };
        let refusal = if content.decoder.has_bare_line_end() {
            Some(replies::bare_line_end_in_content())
        } else if content.hops.hops() >= limits::RECEIVED_FIELDS {
            Some(replies::mail_loop())
        } else {
            None
        };
        match content.refusal.or(refusal) {
            Some(reply) => {
                self.state = State::Ready(content.client);
                self.fruitless(reply);
                Event::Dropped
            }
            None => {
                self.state = State::Asked(Asked::EndOfContent(content.client, content.transaction));
                Event::Question
            }
        }
    }
}
