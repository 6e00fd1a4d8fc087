//! Many messages over one connection, and another try later for what was not refused for good.
//!
//! "A server that is not ready says so, and the client comes back later": a refused connection, a 421 and any other 4yz
//! leave a recipient waiting for the next try, a 5yz ends the matter (RFC 5321, 4.2.1). Nothing that was accepted is sent
//! again.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smtp_proto::client::{Failure, RecipientOutcome};
use smtp_proto::reply::Reply;
use smtp_proto::transaction::{Recipient, Transaction};

use crate::connection::{ConnectError, Connection, SendError};
use crate::content::Content;

/// How often to come back, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retries {
    /// The pauses before the second try, the third, and so on.
    pub pauses: Vec<Duration>,
}

impl Retries {
    /// So many tries after the first: pauses of 5, 15, 45, ... seconds, at most ten minutes each.
    pub fn times(count: usize) -> Self {
        let longest = Duration::from_secs(600);
        let pauses = std::iter::successors(Some(Duration::from_secs(5)), |pause| Some((*pause * 3).min(longest)));
        Retries { pauses: pauses.take(count).collect() }
    }
}

impl Default for Retries {
    /// Three tries in all, over twenty seconds: enough for a server that is being restarted.
    fn default() -> Self {
        Retries::times(2)
    }
}

/// A message to be sent.
#[derive(Debug)]
pub struct Message {
    /// Its sender and recipients.
    pub transaction: Transaction,
    /// Its content.
    pub content: Content,
}

/// What became of one recipient of one message.
#[derive(Debug)]
pub enum Delivery {
    /// The server took it over, with this reply.
    Accepted(Reply),
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
            Delivery::Accepted(_) => false,
            Delivery::Failed(failure) => failure.is_transient(),
            Delivery::NoConnection(error) => error.is_transient(),
            Delivery::NotSent(_) => false,
        }
    }
}

/// The messages with what became of them so far. Results stand in the order of the messages and of their recipients.
#[derive(Debug)]
pub struct Batch {
    messages: Vec<Message>,
    results: Vec<Vec<Option<Delivery>>>,
}

impl Batch {
    /// A batch of which nothing has been sent.
    pub fn new(messages: Vec<Message>) -> Self {
        let results = messages.iter().map(|message| message.transaction.recipients.iter().map(|_| None).collect());
        Batch { results: results.collect(), messages }
    }

    /// Sends everything, with pauses and further tries where they may help. `connect` opens a connection with the
    /// options that it is given. Stops early if the next try would begin after `give_up_at`.
    pub fn send(
        &mut self,
        retries: &Retries,
        give_up_at: Option<Instant>,
        mut connect: impl FnMut() -> Result<Connection, ConnectError>,
    ) {
        self.try_once(&mut connect);
        for pause in &retries.pauses {
            let Some(reason) = self.transient_reason() else { return };
            let is_too_late = give_up_at.is_some_and(|give_up_at| Instant::now() + *pause >= give_up_at);
            if is_too_late {
                return;
            }
            log::warn!("not yet: {reason}; next try in {} s", pause.as_secs());
            std::thread::sleep(*pause);
            self.try_once(&mut connect);
        }
    }

    /// What became of each recipient: message, recipient and result, in order. Before [`Batch::send`] there is nothing.
    pub fn deliveries(&self) -> impl Iterator<Item = (usize, &Recipient, &Delivery)> {
        let messages = self.messages.iter().zip(&self.results).enumerate();
        messages.flat_map(|(place, (message, results))| {
            let recipients = message.transaction.recipients.iter().zip(results);
            recipients.filter_map(move |(recipient, result)| result.as_ref().map(|result| (place, recipient, result)))
        })
    }

    fn transient_reason(&self) -> Option<String> {
        let waiting = self.results.iter().flatten().flatten().find(|delivery| delivery.is_transient())?;
        Some(waiting.to_string())
    }

    /// One try for everybody who is still waiting. A connection that ends on the way is replaced as long as each one has
    /// brought something forward; one that brings nothing ends the try.
    fn try_once(&mut self, connect: &mut impl FnMut() -> Result<Connection, ConnectError>) {
        let mut connection: Option<(Connection, bool)> = None;
        for place in 0..self.messages.len() {
            if self.waiting(place).is_empty() {
                continue;
            }
            if connection.as_ref().is_some_and(|(connection, was_useful)| !connection.is_open() && *was_useful) {
                connection = None;
            }
            let (open, was_useful) = match &mut connection {
                Some(open) => open,
                None => match connect() {
                    Ok(open) => connection.insert((open, false)),
                    Err(error) => return self.fail_from(place, &Arc::new(error)),
                },
            };
            if !open.is_open() {
                // Whoever waits behind shares the fate of the message at which the connection ended.
                return self.repeat_last_failure(place);
            }
            *was_useful |= self.send_one(place, open);
        }
        if let Some((connection, _)) = connection {
            connection.quit();
        }
    }

    /// Sends one message to those of its recipients who are still waiting. Returns whether anything was decided.
    fn send_one(&mut self, place: usize, connection: &mut Connection) -> bool {
        let waiting = self.waiting(place);
        let Some((message, results)) = self.messages.get(place).zip(self.results.get_mut(place)) else {
            return false;
        };
        let recipients = waiting.iter().filter_map(|who| message.transaction.recipients.get(*who).cloned());
        let transaction = Transaction { recipients: recipients.collect(), ..message.transaction.clone() };
        let deliveries: Vec<Delivery> = match connection.send(transaction, &message.content) {
            Ok(outcome) => outcome.recipients.into_iter().map(Delivery::from).collect(),
            Err(error) => {
                let error = Arc::new(error);
                waiting.iter().map(|_| Delivery::NotSent(error.clone())).collect()
            }
        };
        let was_useful = deliveries.iter().any(|delivery| !delivery.is_transient());
        for (who, delivery) in waiting.into_iter().zip(deliveries) {
            if let Some(slot) = results.get_mut(who) {
                *slot = Some(delivery);
            }
        }
        was_useful
    }

    /// The recipients of a message for whom a try is due.
    fn waiting(&self, place: usize) -> Vec<usize> {
        let results = self.results.get(place).map(Vec::as_slice).unwrap_or_default();
        let is_waiting = |delivery: &Option<Delivery>| delivery.as_ref().is_none_or(Delivery::is_transient);
        (0..results.len()).filter(|who| results.get(*who).is_some_and(is_waiting)).collect()
    }

    fn fail_from(&mut self, place: usize, error: &Arc<ConnectError>) {
        for place in place..self.messages.len() {
            self.fail_waiting(place, || Delivery::NoConnection(error.clone()));
        }
    }

    fn repeat_last_failure(&mut self, place: usize) {
        let before = self.results.iter().take(place).flatten().flatten().rev();
        let failure = before.into_iter().find_map(|delivery| match delivery {
            Delivery::Failed(failure) => Some(failure.clone()),
            _ => None,
        });
        let Some(failure) = failure else { return };
        for place in place..self.messages.len() {
            self.fail_waiting(place, || Delivery::Failed(failure.clone()));
        }
    }

    fn fail_waiting(&mut self, place: usize, delivery: impl Fn() -> Delivery) {
        let waiting = self.waiting(place);
        let Some(results) = self.results.get_mut(place) else { return };
        for who in waiting {
            if let Some(slot) = results.get_mut(who) {
                *slot = Some(delivery());
            }
        }
    }
}

impl From<RecipientOutcome> for Delivery {
    fn from(outcome: RecipientOutcome) -> Self {
        match outcome.result {
            Ok(reply) => Delivery::Accepted(reply),
            Err(failure) => Delivery::Failed(failure),
        }
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Delivery::Accepted(reply) => reply.fmt(f),
            Delivery::Failed(failure) => failure.fmt(f),
            Delivery::NoConnection(error) => error.fmt(f),
            Delivery::NotSent(error) => error.fmt(f),
        }
    }
}
