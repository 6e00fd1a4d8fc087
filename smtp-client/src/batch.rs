//! Many messages over one connection or several, and another try later for what was not refused for good.
//!
//! "A server that is not ready says so, and the client comes back later": a refused connection, a 421 and any other 4yz
//! leave a recipient waiting for the next try, a 5yz ends the matter (RFC 5321, 4.2.1). Nothing that was accepted is sent
//! again. An answer that was lost leaves the recipient waiting too, since a second copy is better than none (RFC 1047);
//! such recipients are named in the report, whatever comes of the next try.
//!
//! A *try* is one walk through all that waits. Each of its connections is a thread which takes the next message from a
//! common queue ([`line`](self), in `batch/line.rs`), so a slow answer holds up one message and not the rest. Between two
//! tries there is a pause.

mod delivery;
mod line;

use std::io;
use std::time::{Duration, Instant};

use smtp_proto::client::Until;
use smtp_proto::transaction::Transaction;

use crate::connection::{ConnectError, Connection};
use crate::journal::{Journal, Key};
use crate::source::Source;
use crate::wire::later;
use delivery::Progress;
pub use delivery::{Delivery, Report};
use line::{Job, Try};

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

/// How a batch is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How often to come back.
    pub retries: Retries,
    /// No try and no message begins after this.
    pub give_up_at: Option<Instant>,
    /// Connections at a time, at least one. Messages go out in no certain order over several.
    pub connections: usize,
    /// Only the envelopes are said, up to here, and nothing is sent: each delivery is then [`Delivery::Agreed`] at best.
    pub rehearsal: Option<Until>,
}

impl Default for Plan {
    /// One connection, the usual retries, no end but theirs.
    fn default() -> Self {
        Plan { retries: Retries::default(), give_up_at: None, connections: 1, rehearsal: None }
    }
}

/// A message to be sent.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its sender and recipients.
    pub transaction: Transaction,
    /// Where its content lies.
    pub source: Source,
}

/// Who is told, from any thread, as things happen.
pub trait Watch: Sync {
    /// What becomes of a recipient is decided: accepted, refused, or given up behind the last try.
    fn decided(&self, _report: &Report<'_>) {}
    /// That was the last recipient of this message.
    fn finished(&self, _message: usize) {}
    /// A try is over, somebody still waits for the next one.
    fn pausing(&self, reason: &Delivery, pause: Duration) {
        log::warn!("not yet: {reason}; next try in {pause:?}");
    }
}

/// Nobody is told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Watch for Unwatched {}

/// The messages with what became of them so far.
#[derive(Debug, Default)]
pub struct Batch {
    messages: Vec<Message>,
    results: Vec<Vec<Progress>>,
    /// How often a connection broke over each message before it had been good for anything.
    breaks: Vec<u32>,
    /// The journal, and the key of each message in it.
    journal: Option<(Journal, Vec<Key>)>,
    tries: u32,
}

impl Batch {
    /// A batch of which nothing has been sent. A message without recipients stays without results.
    pub fn new(messages: Vec<Message>) -> Self {
        let untried = |message: &Message| message.transaction.recipients.iter().map(|_| Progress::default()).collect();
        let results = messages.iter().map(untried).collect();
        Batch { results, breaks: vec![0; messages.len()], messages, journal: None, tries: 0 }
    }

    /// A batch that goes on where the journal says that an earlier run was interrupted, and writes on in it. `keys` has
    /// one for each message.
    pub fn resumed(messages: Vec<Message>, journal: Journal, keys: Vec<Key>) -> Self {
        let mut batch = Batch::new(messages);
        for ((message, results), key) in batch.messages.iter().zip(&mut batch.results).zip(&keys) {
            let past = journal.past(key);
            for (recipient, progress) in message.transaction.recipients.iter().zip(results) {
                progress.was_accepted_before = past.has_accepted(&recipient.forward_path);
                progress.is_uncertain = past.is_in_doubt(&recipient.forward_path);
            }
        }
        batch.journal = Some((journal, keys));
        batch
    }

    /// Whether it writes down what becomes of it.
    pub fn has_journal(&self) -> bool {
        self.journal.is_some()
    }

    /// Messages that earlier runs have sent to every recipient.
    pub fn sent_before(&self) -> usize {
        let is_sent = |results: &&Vec<Progress>| results.iter().all(|progress| progress.was_accepted_before);
        if self.journal.is_some() { self.results.iter().filter(is_sent).count() } else { 0 }
    }

    /// The places of the messages of which one copy more may have arrived than was accepted: in some try, also of an
    /// earlier run, the server had the whole message and its answer was not heard (RFC 1047).
    pub fn in_doubt(&self) -> impl Iterator<Item = usize> {
        let results = self.results.iter().enumerate();
        results.filter(|(_, results)| results.iter().any(|progress| progress.is_uncertain)).map(|(place, _)| place)
    }

    /// Why the journal is not complete, if it is not. What was accepted and is not in it would be sent again by another run.
    pub fn journal_failure(&self) -> Option<io::Error> {
        let (journal, _) = self.journal.as_ref()?;
        let error = journal.failure()?;
        Some(io::Error::new(error.kind(), format!("{}: {error}", journal.path().display())))
    }

    /// Sends everything, with pauses and further tries where they may help. `connect` opens a connection.
    pub fn send(
        &mut self,
        plan: &Plan,
        watch: &dyn Watch,
        connect: &(impl Fn() -> Result<Connection, ConnectError> + Sync),
    ) {
        self.try_once(plan, watch, connect);
        for pause in &plan.retries.pauses {
            let Some(reason) = self.reason_to_wait() else { break };
            let is_too_late = plan.give_up_at.is_some_and(|give_up_at| later(Instant::now(), *pause) >= give_up_at);
            if is_too_late || self.journal_failure().is_some() {
                break;
            }
            watch.pausing(reason, *pause);
            std::thread::sleep(*pause);
            self.try_once(plan, watch, connect);
        }
        self.give_up(watch);
        if let Some((journal, _)) = &self.journal {
            // If it fails, the journal knows.
            let _ = journal.sync();
        }
    }

    /// What became of each recipient, in the order of the messages and of their recipients. Before [`Batch::send`] there
    /// is nothing, and nothing of those for whom an earlier run has sent the message.
    pub fn reports(&self) -> impl Iterator<Item = Report<'_>> {
        let messages = self.messages.iter().zip(&self.results).enumerate();
        messages.flat_map(|(place, (message, results))| {
            let recipients = message.transaction.recipients.iter().zip(results);
            recipients.filter_map(move |(recipient, progress)| progress.report(place, message, recipient))
        })
    }

    fn reason_to_wait(&self) -> Option<&Delivery> {
        self.reports().find(|report| report.delivery.is_transient()).map(|report| report.delivery)
    }

    /// One try for everybody who is still waiting.
    fn try_once(
        &mut self,
        plan: &Plan,
        watch: &dyn Watch,
        connect: &(impl Fn() -> Result<Connection, ConnectError> + Sync),
    ) {
        self.tries += 1;
        let journal = self.journal.as_ref();
        let messages = self.messages.iter().zip(&mut self.results).zip(&mut self.breaks).enumerate();
        let jobs = messages.map(|(place, ((message, results), breaks))| {
            let entry = journal.and_then(|(journal, keys)| Some((journal, keys.get(place)?)));
            Job { place, message, results, breaks, entry }
        });
        let mut jobs: Vec<Job<'_>> = jobs.filter(Job::is_waiting).collect();
        // Those over which connections break come last, or a few of them would keep all the others waiting in every try.
        jobs.sort_by_key(|job| *job.breaks);
        let this_try = Try::new(self.tries, plan, watch, jobs);
        let connections = plan.connections.min(this_try.len());
        std::thread::scope(|scope| {
            // The last of them is this thread.
            for _ in 1..connections {
                let worker = std::thread::Builder::new().spawn_scoped(scope, || this_try.work(connect));
                if let Err(error) = worker {
                    log::warn!("fewer connections than asked for: {error}");
                }
            }
            this_try.work(connect);
        });
        this_try.end();
    }

    /// There will be no other try.
    fn give_up(&mut self, watch: &dyn Watch) {
        for (place, (message, results)) in self.messages.iter().zip(&self.results).enumerate() {
            let recipients = message.transaction.recipients.iter().zip(results);
            let waiting: Vec<_> = recipients.filter(|(_, progress)| progress.is_waiting()).collect();
            for (recipient, progress) in &waiting {
                progress.report(place, message, recipient).iter().for_each(|report| watch.decided(report));
            }
            if !waiting.is_empty() {
                watch.finished(place);
            }
        }
    }
}

#[cfg(test)]
mod tests;
