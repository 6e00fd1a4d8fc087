//! One connection of a try, and the queue from which all of them take the next message.
//!
//! Nobody holds a message without a connection, so one that cannot be opened holds up nothing: its thread leaves, the
//! others go on. Only what is left in the queue when all have left was not tried, for the reason for which the last one
//! left.
//!
//! A message may be the reason why its connection breaks. Behind such a one the next is taken from the other end of the
//! queue, and in the next try it comes last: what stands beside it is perhaps no better.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use smtp_proto::client::{Cause, Failure, Stage, Until};
use smtp_proto::reply::Reply;
use smtp_proto::transaction::Transaction;

use super::delivery::Progress;
use super::{Delivery, Message, Plan, Watch};
use crate::connection::{ConnectError, Connection, SendError};
use crate::journal::{Journal, Key};

/// One message and what became of it, in the hands of one thread at a time.
pub(super) struct Job<'a> {
    pub(super) place: usize,
    pub(super) message: &'a Message,
    pub(super) results: &'a mut Vec<Progress>,
    pub(super) breaks: &'a mut u32,
    pub(super) entry: Option<(&'a Journal, &'a Key)>,
}

/// One walk through all that waits.
pub(super) struct Try<'a> {
    number: u32,
    rehearsal: Option<Until>,
    give_up_at: Option<Instant>,
    watch: &'a dyn Watch,
    queue: Mutex<VecDeque<Job<'a>>>,
    /// Why the last thread left before the queue was empty.
    end: Mutex<Option<End>>,
}

/// Why a thread goes on no longer.
enum End {
    NoConnection(Arc<ConnectError>),
    /// Two connections in a row broke before they had brought anything forward.
    Broken(Failure),
    /// Something is missing on this side: a journal that can be written, without which what is sent now would be sent again
    /// after an interruption; a file that may be opened; time.
    NotSent(Arc<SendError>),
}

/// A connection, and what it was good for so far.
struct Line {
    connection: Connection,
    /// Nothing was sent over it yet.
    is_fresh: bool,
    /// Something was decided over it, for good or ill.
    was_useful: bool,
}

/// What sending one message once led to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sending {
    /// Somebody's fate is decided.
    pub(super) has_decided: bool,
    /// Somebody was accepted.
    pub(super) has_accepted: bool,
    /// Somebody was one recipient too many for one transaction.
    pub(super) has_too_many: bool,
    /// The conversation ended before the server had taken so much as the sender's address.
    pub(super) was_cut_off: bool,
}

impl Job<'_> {
    pub(super) fn is_waiting(&self) -> bool {
        self.results.iter().any(Progress::is_waiting)
    }

    /// The recipients whose turn it is, by their places.
    fn due(&self, number: u32) -> Vec<usize> {
        let due = self.results.iter().enumerate().filter(|(_, progress)| progress.is_due_in(number));
        due.map(|(who, _)| who).collect()
    }

    fn note(&mut self, number: u32, who: &[usize], deliveries: impl IntoIterator<Item = Delivery>) {
        for (who, delivery) in who.iter().zip(deliveries) {
            if let Some(progress) = self.results.get_mut(*who) {
                progress.note(number, delivery);
            }
        }
    }

    fn not_sent(&mut self, number: u32, who: &[usize], error: &Arc<SendError>) {
        self.note(number, who, who.iter().map(|_| Delivery::NotSent(error.clone())));
    }
}

impl<'a> Try<'a> {
    pub(super) fn new(number: u32, plan: &Plan, watch: &'a dyn Watch, jobs: Vec<Job<'a>>) -> Self {
        let &Plan { rehearsal, give_up_at, .. } = plan;
        Try { number, rehearsal, give_up_at, watch, queue: Mutex::new(jobs.into()), end: Mutex::new(None) }
    }

    /// How many messages wait.
    pub(super) fn len(&self) -> usize {
        self.queue().len()
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Job<'a>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what is in the queue, one message after the other, over one connection and those that replace it.
    pub(super) fn work(&self, connect: &(impl Fn() -> Result<Connection, ConnectError> + Sync)) {
        let mut line: Option<Line> = None;
        let mut broken_in_a_row = 0;
        // Nobody is called for nothing.
        while self.len() > 0 {
            if self.is_over() {
                self.leave(End::NotSent(Arc::new(SendError::TimeIsOver)));
                break;
            }
            let mut current = match line.take().map_or_else(|| connect().map(Line::new), Ok) {
                Ok(current) => current,
                Err(error) => return self.leave(End::NoConnection(Arc::new(error))),
            };
            let Some(mut job) = self.take(broken_in_a_row > 0) else {
                line = Some(current);
                break;
            };
            let before = job.due(self.number);
            let sent = self.send(&mut job, &before, &mut current);
            if let Ok(Some(sending)) = &sent {
                current.is_fresh = false;
                current.was_useful |= sending.has_decided;
            }
            let ending = current.connection.failure_of_next();
            let has_broken = ending.is_some() && !current.was_useful;
            *job.breaks += u32::from(has_broken);
            self.tell(&job, &before);
            if !job.due(self.number).is_empty() {
                self.queue().push_front(job);
            }
            match sent {
                // A server that takes so many messages over one connection takes the next over another (RFC 9422).
                Ok(None) => {
                    current.connection.quit();
                    continue;
                }
                Ok(Some(_)) => {}
                Err(end) => {
                    current.connection.quit();
                    return self.leave(end);
                }
            }
            broken_in_a_row = if has_broken { broken_in_a_row + 1 } else { 0 };
            match ending {
                None => line = Some(current),
                Some(failure) if broken_in_a_row == 2 => return self.leave(End::Broken(failure)),
                Some(_) => {}
            }
        }
        if let Some(line) = line {
            line.connection.quit();
        }
    }

    fn is_over(&self) -> bool {
        self.give_up_at.is_some_and(|give_up_at| Instant::now() >= give_up_at)
    }

    fn take(&self, from_the_other_end: bool) -> Option<Job<'a>> {
        let mut queue = self.queue();
        if from_the_other_end { queue.pop_back() } else { queue.pop_front() }
    }

    fn leave(&self, end: End) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
    }

    /// Everybody has left. What is still in the queue was not tried.
    pub(super) fn end(self) {
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(end) = end else { return };
        while let Some(mut job) = self.take(false) {
            let who = job.due(self.number);
            job.note(self.number, &who, who.iter().map(|_| end.delivery()));
            self.tell(&job, &who);
        }
    }

    /// Sends one message to those of its recipients whose turn it is, as far as the server lets them go together. `None`:
    /// it takes no other message over this connection.
    fn send(&self, job: &mut Job<'_>, due: &[usize], line: &mut Line) -> Result<Option<Sending>, End> {
        let recipients: Vec<_> = due.iter().filter_map(|who| job.message.transaction.recipients.get(*who)).collect();
        let room = line.connection.room_for(recipients.iter().map(|recipient| &recipient.forward_path));
        let who: Vec<usize> = room.iter().filter_map(|place| due.get(*place).copied()).collect();
        if who.is_empty() {
            return Ok(None);
        }
        let recipients = room.iter().filter_map(|place| recipients.get(*place).copied().cloned()).collect();
        let transaction = Transaction { recipients, ..job.message.transaction.clone() };
        let content = match job.message.source.open() {
            Ok(content) => content,
            // The other threads have what this one lacks; it must not take their messages, only to put them back.
            Err(error) if error.is_transient() => return Err(End::NotSent(Arc::new(SendError::Open(error)))),
            Err(error) => {
                job.not_sent(self.number, due, &Arc::new(SendError::Open(error)));
                return Ok(Some(Sending::default()));
            }
        };
        if let Some((journal, key)) = job.entry {
            journal.begin(key).map_err(|error| no_journal(journal, error))?;
        }
        let began = Instant::now();
        let outcome = match self.rehearsal {
            None => line.connection.send(transaction, &content),
            Some(until) => line.connection.rehearse(transaction, &content, until),
        };
        match outcome {
            Ok(outcome) => {
                let outcomes = outcome.recipients.into_iter();
                let deliveries = outcomes.map(|outcome| Delivery::new(outcome, self.rehearsal.is_some()));
                job.note(self.number, &who, deliveries);
            }
            Err(error) => job.not_sent(self.number, &who, &Arc::new(error)),
        }
        let (circumstances, took) = (Arc::new(line.connection.circumstances().clone()), began.elapsed());
        for who in &who {
            if let Some(progress) = job.results.get_mut(*who) {
                progress.note_circumstances(circumstances.clone(), took);
            }
        }
        self.write_down(job, &who)?;
        let sending = Sending::new(who.iter().filter_map(|who| job.results.get(*who)?.delivery.as_ref()));
        self.repeat_at_once(job, &who, line, sending);
        Ok(Some(sending))
    }

    fn write_down(&self, job: &Job<'_>, who: &[usize]) -> Result<(), End> {
        let Some((journal, key)) = job.entry else { return Ok(()) };
        let failed = |error| no_journal(journal, error);
        let mut is_known = true;
        for who in who {
            let Some((progress, recipient)) = job.results.get(*who).zip(job.message.transaction.recipients.get(*who))
            else {
                continue;
            };
            match &progress.delivery {
                Some(Delivery::Accepted(reply)) => {
                    journal.accepted(key, &recipient.forward_path, reply).map_err(failed)?;
                }
                Some(Delivery::Failed(failure)) => is_known &= !failure.is_uncertain(),
                _ => {}
            }
        }
        if is_known { journal.end(key).map_err(failed) } else { Ok(()) }
    }

    /// Who goes out again in the same try. A connection that served before may have ended while nobody looked: that says
    /// nothing about this message, which gets another. And a server that takes only so many recipients at a time gets the
    /// rest in further transactions (RFC 5321, 4.5.3.1.10), as long as each takes some.
    fn repeat_at_once(&self, job: &mut Job<'_>, who: &[usize], line: &Line, sending: Sending) {
        let was_stale = !line.is_fresh && !line.connection.is_open() && sending.was_cut_off;
        let may_split = sending.has_accepted && sending.has_too_many;
        for who in who {
            let Some(progress) = job.results.get_mut(*who) else { continue };
            let is_one_too_many =
                matches!(&progress.delivery, Some(Delivery::Failed(failure)) if is_one_too_many(failure));
            if was_stale || may_split && is_one_too_many {
                progress.again();
            }
        }
    }

    /// Says what is decided of those whose turn it was.
    fn tell(&self, job: &Job<'_>, who: &[usize]) {
        for who in who {
            let Some((progress, recipient)) = job.results.get(*who).zip(job.message.transaction.recipients.get(*who))
            else {
                continue;
            };
            if !progress.is_waiting() {
                progress.report(job.place, job.message, recipient).iter().for_each(|report| self.watch.decided(report));
            }
        }
        if !job.is_waiting() {
            self.watch.finished(job.place);
        }
    }
}

fn no_journal(journal: &Journal, error: std::io::Error) -> End {
    let path = journal.path().display();
    let error = std::io::Error::new(error.kind(), format!("{path}: {error}"));
    End::NotSent(Arc::new(SendError::Journal(error)))
}

impl End {
    fn delivery(&self) -> Delivery {
        match self {
            End::NoConnection(error) => Delivery::NoConnection(error.clone()),
            End::Broken(failure) => Delivery::Failed(failure.clone()),
            End::NotSent(error) => Delivery::NotSent(error.clone()),
        }
    }
}

impl Line {
    fn new(connection: Connection) -> Self {
        Line { connection, is_fresh: true, was_useful: false }
    }
}

impl Sending {
    pub(super) fn new<'d>(deliveries: impl Iterator<Item = &'d Delivery> + Clone) -> Self {
        let failure = |delivery: &Delivery, is_so: fn(&Failure) -> bool| match delivery {
            Delivery::Failed(failure) => is_so(failure),
            _ => false,
        };
        Sending {
            has_decided: deliveries.clone().any(|delivery| !delivery.is_transient()),
            has_accepted: deliveries
                .clone()
                .any(|delivery| matches!(delivery, Delivery::Accepted(_) | Delivery::Agreed(_))),
            has_too_many: deliveries.clone().any(|delivery| failure(delivery, is_one_too_many)),
            was_cut_off: deliveries.clone().all(|delivery| failure(delivery, is_before_the_sender)),
        }
    }
}

/// 452, and 552 from servers of old (RFC 5321, 4.5.3.1.10); unless the enhanced code says that it is about something else,
/// such as a full mailbox.
fn is_one_too_many(failure: &Failure) -> bool {
    let is_such = |reply: &Reply| {
        let enhanced = reply.enhanced().map(|enhanced| (enhanced.subject, enhanced.detail));
        matches!((reply.code().number(), enhanced), (452 | 552, None | Some((5, 3) | (0, 0))))
    };
    failure.stage == Stage::Rcpt && matches!(&failure.cause, Cause::Refused(reply) if is_such(reply))
}

fn is_before_the_sender(failure: &Failure) -> bool {
    matches!(failure.stage, Stage::Ready | Stage::Reset | Stage::Mail)
}
