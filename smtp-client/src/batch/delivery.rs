//! What became of one recipient of one message, and what is remembered of it between the tries.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use smtp_proto::client::{Failure, RecipientOutcome};
use smtp_proto::reply::Reply;
use smtp_proto::transaction::Recipient;

use super::Message;
use crate::connection::{Circumstances, ConnectError, SendError};

/// What became of one recipient of one message.
#[derive(Debug)]
pub enum Delivery {
    /// The server took it over, with this reply.
    Accepted(Reply),
    /// In a rehearsal: the server would take it, and this was its reply to the last command.
    Agreed(Reply),
    /// The server refused, or the conversation broke.
    Failed(Failure),
    /// There was no conversation. Shared by all who waited for it.
    NoConnection(Arc<ConnectError>),
    /// The server cannot take such a message, or the message cannot be read.
    NotSent(Arc<SendError>),
}

impl Delivery {
    /// Whether another try may change it.
    pub fn is_transient(&self) -> bool {
        match self {
            Delivery::Accepted(_) | Delivery::Agreed(_) => false,
            Delivery::Failed(failure) => failure.is_transient(),
            Delivery::NoConnection(error) => error.is_transient(),
            Delivery::NotSent(error) => error.is_transient(),
        }
    }
}

impl Delivery {
    /// From what a transaction led to, or the rehearsal of one.
    pub(super) fn new(outcome: RecipientOutcome, is_rehearsal: bool) -> Self {
        match outcome.result {
            Ok(reply) if is_rehearsal => Delivery::Agreed(reply),
            Ok(reply) => Delivery::Accepted(reply),
            Err(failure) => Delivery::Failed(failure),
        }
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Delivery::Accepted(reply) => reply.fmt(f),
            Delivery::Agreed(reply) => write!(f, "nothing was sent; it would be taken: {reply}"),
            Delivery::Failed(failure) => failure.fmt(f),
            Delivery::NoConnection(error) => error.fmt(f),
            Delivery::NotSent(error) => error.fmt(f),
        }
    }
}

/// One line of the report on a batch.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// The place of the message in the batch.
    pub place: usize,
    /// The message.
    pub message: &'a Message,
    /// The recipient.
    pub recipient: &'a Recipient,
    /// What became of them in the last try that was theirs.
    pub delivery: &'a Delivery,
    /// Whether one copy more may have arrived than the delivery says: in some try the server had the whole message, and
    /// its answer did not come (RFC 1047).
    pub is_uncertain: bool,
    /// Who was called and how the conversation stood, where there was one.
    pub circumstances: Option<&'a Circumstances>,
    /// How long the last transaction took, from MAIL to its last reply.
    pub took: Duration,
    /// In how many tries it was this recipient's turn.
    pub tries: u32,
}

/// How far one recipient of one message has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) delivery: Option<Delivery>,
    /// In some try the server had the whole message and its answer was lost.
    pub(super) is_uncertain: bool,
    /// An earlier run has sent it.
    pub(super) was_accepted_before: bool,
    circumstances: Option<Arc<Circumstances>>,
    took: Duration,
    tries: u32,
    /// The last try that was theirs.
    last_try: u32,
}

impl Progress {
    pub(super) fn is_waiting(&self) -> bool {
        !self.was_accepted_before && self.delivery.as_ref().is_none_or(Delivery::is_transient)
    }

    /// Whether it is waiting and was not its turn yet in this try.
    pub(super) fn is_due_in(&self, number: u32) -> bool {
        self.is_waiting() && self.last_try != number
    }

    /// It is its turn once more in the same try.
    pub(super) fn again(&mut self) {
        self.last_try = 0;
    }

    pub(super) fn note(&mut self, number: u32, delivery: Delivery) {
        self.is_uncertain |= matches!(&delivery, Delivery::Failed(failure) if failure.is_uncertain());
        self.delivery = Some(delivery);
        self.tries += 1;
        self.last_try = number;
        self.circumstances = None;
        self.took = Duration::ZERO;
    }

    pub(super) fn note_circumstances(&mut self, circumstances: Arc<Circumstances>, took: Duration) {
        self.circumstances = Some(circumstances);
        self.took = took;
    }

    pub(super) fn report<'a>(
        &'a self,
        place: usize,
        message: &'a Message,
        recipient: &'a Recipient,
    ) -> Option<Report<'a>> {
        Some(Report {
            place,
            message,
            recipient,
            delivery: self.delivery.as_ref()?,
            is_uncertain: self.is_uncertain,
            circumstances: self.circumstances.as_deref(),
            took: self.took,
            tries: self.tries,
        })
    }
}
