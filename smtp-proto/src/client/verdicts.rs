//! The end of the content in LMTP (RFC 2033, 4.2): one reply for each recipient that was accepted, in the order of the RCPT
//! commands, and each decides about that recipient and no other.
//!
//! So a transaction can break in the middle of its verdicts. What was said stands; whoever has no verdict yet may have the
//! message or not, and is told so ([`Failure::is_uncertain`](super::Failure::is_uncertain)).

use std::collections::VecDeque;
use std::time::Duration;

use super::envelope::{Carriage, Envelope, refused};
use super::state::State;
use super::{Cause, ClientSession, Failure, ReplyError, Stage};
use crate::reply::{Class, Reply};

/// A transaction whose verdicts come in.
#[derive(Debug)]
pub(super) struct Verdicts {
    envelope: Box<Envelope>,
    /// The places of those who have none yet.
    awaited: VecDeque<usize>,
}

impl Verdicts {
    pub(super) fn new(envelope: Box<Envelope>) -> Self {
        Verdicts { awaited: envelope.accepted(), envelope }
    }

    fn give(&mut self, result: Result<Reply, Failure>) {
        if let Some(place) = self.awaited.pop_front() {
            self.envelope.decide(place, result);
        }
    }

    /// Nothing more will be said.
    pub(super) fn fail(mut self, failure: &Failure) -> Box<Envelope> {
        while !self.awaited.is_empty() {
            self.give(Err(failure.clone()));
        }
        self.envelope
    }
}

impl ClientSession {
    pub(super) fn handle_verdict(&mut self, mut verdicts: Verdicts, reply: Reply, now: Duration) {
        let stage = Stage::EndOfContent;
        match reply.class() {
            // The farewell stands in the place of this recipient's verdict. About the others it says nothing.
            _ if reply.code().number() == 421 => return self.break_off(verdicts, stage, reply),
            Class::Positive => verdicts.give(Ok(reply)),
            Class::Transient | Class::Permanent => {
                verdicts.give(Err(refused(stage, reply)));
                // RFC 3030, 2: "The resulting state from a failed BDAT command is indeterminate."
                self.needs_reset |= matches!(verdicts.envelope.carriage, Carriage::Bdat(_));
            }
            Class::Intermediate => {
                let failure = Failure { stage, cause: Cause::Reply(ReplyError::Unexpected) };
                return self.end(verdicts.fail(&failure), failure);
            }
        }
        if verdicts.awaited.is_empty() {
            return self.finish(verdicts.envelope, stage);
        }
        // Delivering to the next one may take as long again.
        self.deadline = now.saturating_add(self.config.timeouts.end_of_content);
        self.state = State::Verdicts(verdicts);
    }

    /// The server ends the conversation with a reply that is the first recipient's. Also where it comes before the end of
    /// the content: what it refuses to one must not be taken for a refusal to all.
    pub(super) fn break_off(&mut self, mut verdicts: Verdicts, stage: Stage, reply: Reply) {
        let failure = refused(stage, reply);
        verdicts.give(Err(failure.clone()));
        let envelope = verdicts.fail(&Failure { stage, cause: Cause::ConnectionLost });
        self.end(envelope, failure);
    }
}
