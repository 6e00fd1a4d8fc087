//! Many messages over one connection, and another try later for what was not refused for good.
//!
//! "A server that is not ready says so, and the client comes back later": a refused connection, a 421 and any other 4yz
//! leave a recipient waiting for the next try, a 5yz ends the matter (RFC 5321, 4.2.1). Nothing that was accepted is sent
//! again. An answer that was lost leaves the recipient waiting too, since a second copy is better than none (RFC 1047);
//! such recipients are named in the report, whatever comes of the next try.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smtp_proto::client::{Cause, Failure, RecipientOutcome, Stage};
use smtp_proto::reply::Reply;
use smtp_proto::transaction::{Recipient, Transaction};

use crate::connection::{ConnectError, Connection, SendError};
use crate::content::Content;
use crate::wire::later;

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

/// The messages with what became of them so far.
#[derive(Debug)]
pub struct Batch {
    messages: Vec<Message>,
    results: Vec<Vec<Progress>>,
}

/// How far one recipient of one message has come.
#[derive(Debug, Default)]
struct Progress {
    delivery: Option<Delivery>,
    /// In some try the server had the whole message and its answer was lost.
    is_uncertain: bool,
}

/// One line of the report on a batch.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// The place of the message in the batch.
    pub message: usize,
    /// The recipient.
    pub recipient: &'a Recipient,
    /// What became of them in the last try that was theirs.
    pub delivery: &'a Delivery,
    /// Whether one copy more may have arrived than the delivery says: in some try the server had the whole message, and
    /// its answer did not come (RFC 1047).
    pub is_uncertain: bool,
}

impl Batch {
    /// A batch of which nothing has been sent. A message without recipients stays without results.
    pub fn new(messages: Vec<Message>) -> Self {
        let untried = |message: &Message| message.transaction.recipients.iter().map(|_| Progress::default()).collect();
        Batch { results: messages.iter().map(untried).collect(), messages }
    }

    /// Sends everything, with pauses and further tries where they may help. `connect` opens a connection. Stops early if
    /// the next try would begin after `give_up_at`.
    pub fn send(
        &mut self,
        retries: &Retries,
        give_up_at: Option<Instant>,
        mut connect: impl FnMut() -> Result<Connection, ConnectError>,
    ) {
        self.try_once(&mut connect);
        for pause in &retries.pauses {
            let Some(reason) = self.transient_reason() else { return };
            let is_too_late = give_up_at.is_some_and(|give_up_at| later(Instant::now(), *pause) >= give_up_at);
            if is_too_late {
                return;
            }
            log::warn!("not yet: {reason}; next try in {pause:?}");
            std::thread::sleep(*pause);
            self.try_once(&mut connect);
        }
    }

    /// What became of each recipient, in the order of the messages and of their recipients. Before [`Batch::send`] there
    /// is nothing.
    pub fn reports(&self) -> impl Iterator<Item = Report<'_>> {
        let messages = self.messages.iter().zip(&self.results).enumerate();
        messages.flat_map(|(place, (message, results))| {
            let recipients = message.transaction.recipients.iter().zip(results);
            recipients.filter_map(move |(recipient, progress)| {
                let delivery = progress.delivery.as_ref()?;
                Some(Report { message: place, recipient, delivery, is_uncertain: progress.is_uncertain })
            })
        })
    }

    fn transient_reason(&self) -> Option<String> {
        let waiting = self.reports().find(|report| report.delivery.is_transient())?;
        Some(waiting.delivery.to_string())
    }

    /// One try for everybody who is still waiting. A connection that ends on the way is replaced; two in a row that broke
    /// before they had brought anything forward end the try.
    fn try_once(&mut self, connect: &mut impl FnMut() -> Result<Connection, ConnectError>) {
        let mut line: Option<Line> = None;
        let mut broken_in_a_row = 0;
        for place in 0..self.messages.len() {
            while !self.waiting(place).is_empty() {
                let mut current = match line.take().map_or_else(|| connect().map(Line::new), Ok) {
                    Ok(current) => current,
                    Err(error) => return self.fail_from(place, &Arc::new(error)),
                };
                let sending = self.send_one(place, &mut current.connection);
                let wants_repetition = current.wants_repetition(&sending);
                current.is_fresh = false;
                current.was_useful |= sending.has_decided;
                let ending = current.connection.failure_of_next();
                broken_in_a_row = if ending.is_some() && !current.was_useful { broken_in_a_row + 1 } else { 0 };
                match ending {
                    None => line = Some(current),
                    Some(failure) if broken_in_a_row == 2 => return self.fail_untried(place + 1, &failure),
                    Some(_) => {}
                }
                if !wants_repetition {
                    break;
                }
            }
        }
        if let Some(line) = line {
            line.connection.quit();
        }
    }

    /// Sends one message to those of its recipients who are still waiting.
    fn send_one(&mut self, place: usize, connection: &mut Connection) -> Sending {
        let waiting = self.waiting(place);
        let Some((message, results)) = self.messages.get(place).zip(self.results.get_mut(place)) else {
            return Sending::default();
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
        let sending = Sending::new(&deliveries);
        for (who, delivery) in waiting.into_iter().zip(deliveries) {
            if let Some(progress) = results.get_mut(who) {
                progress.note(delivery);
            }
        }
        sending
    }

    /// The recipients of a message for whom a try is due.
    fn waiting(&self, place: usize) -> Vec<usize> {
        let results = self.results.get(place).map(Vec::as_slice).unwrap_or_default();
        let waiting = results.iter().enumerate().filter(|(_, progress)| progress.is_waiting());
        waiting.map(|(who, _)| who).collect()
    }

    fn fail_from(&mut self, place: usize, error: &Arc<ConnectError>) {
        self.note_waiting(place, || Delivery::NoConnection(error.clone()));
    }

    /// Whoever waits behind a broken connection was not tried, for the reason for which it broke.
    fn fail_untried(&mut self, place: usize, failure: &Failure) {
        self.note_waiting(place, || Delivery::Failed(failure.clone()));
    }

    fn note_waiting(&mut self, place: usize, delivery: impl Fn() -> Delivery) {
        let behind = self.results.iter_mut().skip(place).flatten();
        behind.filter(|progress| progress.is_waiting()).for_each(|progress| progress.note(delivery()));
    }
}

impl Progress {
    fn is_waiting(&self) -> bool {
        self.delivery.as_ref().is_none_or(Delivery::is_transient)
    }

    fn note(&mut self, delivery: Delivery) {
        self.is_uncertain |= matches!(&delivery, Delivery::Failed(failure) if failure.is_uncertain());
        self.delivery = Some(delivery);
    }
}

/// The connection of a try.
struct Line {
    connection: Connection,
    /// Nothing was sent over it yet.
    is_fresh: bool,
    /// Something was decided over it, for good or ill.
    was_useful: bool,
}

/// What sending one message once led to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sending {
    /// Somebody's fate is decided.
    has_decided: bool,
    /// Somebody was accepted.
    has_accepted: bool,
    /// Somebody was one recipient too many for one transaction.
    has_too_many: bool,
    /// The conversation ended before the server had taken so much as the sender's address.
    was_cut_off: bool,
}

impl Line {
    fn new(connection: Connection) -> Self {
        Line { connection, is_fresh: true, was_useful: false }
    }

    /// Whether the message goes out again at once. A connection that served before may have ended while nobody looked:
    /// that says nothing about this message, which gets another. And a server that takes only so many recipients at a
    /// time gets the rest in further transactions (RFC 5321, 4.5.3.1.10), as long as each takes some.
    fn wants_repetition(&self, sending: &Sending) -> bool {
        let was_stale = !self.is_fresh && !self.connection.is_open() && sending.was_cut_off;
        was_stale || sending.has_accepted && sending.has_too_many
    }
}

impl Sending {
    fn new(deliveries: &[Delivery]) -> Self {
        let failure = |delivery: &Delivery, is_so: fn(&Failure) -> bool| match delivery {
            Delivery::Failed(failure) => is_so(failure),
            _ => false,
        };
        Sending {
            has_decided: deliveries.iter().any(|delivery| !delivery.is_transient()),
            has_accepted: deliveries.iter().any(|delivery| matches!(delivery, Delivery::Accepted(_))),
            has_too_many: deliveries.iter().any(|delivery| failure(delivery, is_one_too_many)),
            was_cut_off: deliveries.iter().all(|delivery| failure(delivery, is_before_the_sender)),
        }
    }
}

/// 452, and 552 from servers of old (RFC 5321, 4.5.3.1.10).
fn is_one_too_many(failure: &Failure) -> bool {
    let is_such = |reply: &Reply| matches!(reply.code().number(), 452 | 552);
    failure.stage == Stage::Rcpt && matches!(&failure.cause, Cause::Refused(reply) if is_such(reply))
}

fn is_before_the_sender(failure: &Failure) -> bool {
    matches!(failure.stage, Stage::Ready | Stage::Reset | Stage::Mail)
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

#[cfg(test)]
mod tests {
    use smtp_proto::reply::Code;

    use super::*;

    fn failed(stage: Stage, cause: Cause) -> Delivery {
        Delivery::Failed(Failure { stage, cause })
    }

    fn reply(code: u16) -> Reply {
        Reply::new(Code::new(code).unwrap(), None, "text")
    }

    fn refused(stage: Stage, code: u16) -> Delivery {
        failed(stage, Cause::Refused(reply(code)))
    }

    #[test]
    fn pauses_grow_to_ten_minutes() {
        let seconds = |count| Retries::times(count).pauses.iter().map(Duration::as_secs).collect::<Vec<_>>();
        assert_eq!(seconds(0), []);
        assert_eq!(seconds(7), [5, 15, 45, 135, 405, 600, 600]);
        assert_eq!(Retries::default().pauses.iter().sum::<Duration>(), Duration::from_secs(20));
    }

    /// Rows N171, N172, N093, N235.
    #[test]
    fn what_may_work_later() {
        for (delivery, is_transient) in [
            (Delivery::Accepted(reply(250)), false),
            (refused(Stage::Rcpt, 450), true),
            (refused(Stage::Rcpt, 499), true),
            (refused(Stage::Rcpt, 550), false),
            (refused(Stage::Rcpt, 552), true),
            (refused(Stage::EndOfContent, 552), false),
            (refused(Stage::Mail, 421), true),
            (failed(Stage::Content, Cause::ConnectionLost), true),
            (failed(Stage::EndOfContent, Cause::Timeout), true),
        ] {
            assert_eq!(delivery.is_transient(), is_transient, "{delivery:?}");
        }
    }

    #[test]
    fn what_one_sending_led_to() {
        let too_many = [Delivery::Accepted(reply(250)), refused(Stage::Rcpt, 452)];
        let sending = Sending::new(&too_many);
        assert!(sending.has_accepted && sending.has_too_many && sending.has_decided && !sending.was_cut_off);
        // No room for the message at all is another matter.
        assert!(!Sending::new(&[refused(Stage::EndOfContent, 452)]).has_too_many);
        for (stage, was_cut_off) in [
            (Stage::Ready, true),
            (Stage::Reset, true),
            (Stage::Mail, true),
            (Stage::Rcpt, false),
            (Stage::Data, false),
            (Stage::EndOfContent, false),
        ] {
            let sending = Sending::new(&[failed(stage, Cause::ConnectionLost)]);
            assert_eq!((sending.was_cut_off, sending.has_decided), (was_cut_off, false), "{stage:?}");
        }
    }

    #[test]
    fn a_doubt_is_not_forgotten() {
        let mut progress = Progress::default();
        assert!(progress.is_waiting());
        for (delivery, is_waiting, is_uncertain) in [
            (failed(Stage::Content, Cause::ConnectionLost), true, false),
            (failed(Stage::EndOfContent, Cause::ConnectionLost), true, true),
            (refused(Stage::Mail, 421), true, true),
            (Delivery::Accepted(reply(250)), false, true),
        ] {
            progress.note(delivery);
            assert_eq!((progress.is_waiting(), progress.is_uncertain), (is_waiting, is_uncertain));
        }
    }
}
