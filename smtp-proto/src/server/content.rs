//! Content on its way in: counted, watched, and refused only at its true end.
//!
//! RFC 5321, 4.1.1.4 has one reply for the whole of it. Whatever is wrong with it (too big, bare line ends, a loop, our
//! disk), the rest is read and forgotten, so that not an octet of it is ever taken for a command.

use std::time::Duration;

use super::pace::Pace;
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
    pub(super) pace: Pace,
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
            pace: Pace::new(now),
            refusal: None,
        }
    }

    /// The first reason is the one that the client hears.
    pub(super) fn refuse(&mut self, reply: Reply) {
        self.refusal.get_or_insert(replies::refusal(reply));
    }
}

impl ServerSession {
    /// `None` asks to be called again with the rest of the input.
    pub(super) fn handle_content<'a>(&mut self, input: &'a [u8], now: Duration) -> (usize, Option<Event<'a>>) {
        let State::Content(content) = &mut self.state else {
            return (0, None);
        };
        let (used, piece) = content.decoder.decode(input);
        content.pace.count(used);
        if used > 0 {
            self.deadline = content.pace.deadline(&self.config, now);
        }
        if content.pace.is_endless(&self.config) {
            self.close_with(replies::endless_content());
            return (used, Some(Event::Close));
        }
        let event = match piece {
            Piece::NeedInput => Some(Event::NeedInput),
            Piece::End => {
                let event = self.end_content();
                self.expect_input(now);
                Some(event)
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
