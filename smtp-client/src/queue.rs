//! What becomes of messages that were taken over: the queue runner, which routes them, hands them on, comes back to those
//! that were put off, and tells the sender what cannot be delivered.
//!
//! ```text
//!   due message -> Router: where to? -> lane -> Transport: a way there -> Carrier: one verdict per recipient
//!        ^                                                                         |
//!        |   retry at (`schedule`)                                     delivered <-+-> failed -> report to the sender,
//!        +---------------------------------------------------------- deferred               a message of its own
//! ```
//!
//! The runner knows neither DNS nor mailboxes nor sockets. What it does know: a message is removed only when each of its
//! recipients has an end; an end of which the sender is to hear is told in one report, which is made once (see
//! [`smtp_spool::recipient_state`]); nobody waits for what is dead (`lanes`); and it asks the clock once for each step, so
//! that a test may live through five days in a moment.

mod lanes;
pub mod schedule;
pub mod verdict;
mod step;
mod notice;
pub mod relay;
pub mod outside;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use smtp_proto::address::{Domain, ForwardPath};
use smtp_spool::clock::unix_seconds;
use smtp_spool::{Claim, IdSource, Lane, MessageId, Recipient, Store, WorkerId};

use lanes::{HELD_UP, Lanes};
pub use schedule::Schedule;
use step::Way;
pub use verdict::{Said, Verdict};

/// Where a recipient's mail goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Into this lane.
    To(Lane),
    /// To others, who stand for it: it is an alias.
    Instead(Vec<Recipient>),
    /// Nowhere, ever or now.
    Nowhere(Verdict),
}

/// Knows where mail goes. Asked once for each recipient; the answer is kept with the message.
pub trait Router: Send + Sync {
    /// Where mail for this recipient goes. `is_target`: it stands for another one, as an earlier [`Route::Instead`] said.
    fn route(&self, recipient: &Recipient, is_target: bool) -> Route;
}

/// Knows what lanes mean, and finds the way.
pub trait Transport: Send + Sync {
    /// Finds a way to where a lane leads. An error is the verdict on everybody who is due in it.
    fn open(&self, lane: &Lane) -> Result<Box<dyn Carrier + '_>, Verdict>;

    /// Whether a lane ends on this host, so that nobody has to be called and nothing has to be waited for.
    fn is_local(&self, lane: &Lane) -> bool;
}

/// A way to the end of a lane, for one message after the other.
pub trait Carrier {
    /// Hands over a message. One verdict for each recipient of the parcel, in their order.
    fn carry(&mut self, parcel: &Parcel<'_>) -> Vec<Verdict>;

    /// Hands over many messages where nobody has to be called ([`Transport::is_local`]): all of them, and what they have in
    /// common may be done once. As many answers, in their order.
    fn carry_all(&mut self, parcels: &[Parcel<'_>]) -> Vec<Vec<Verdict>> {
        parcels.iter().map(|parcel| self.carry(parcel)).collect()
    }

    /// Whether the next message may go the same way.
    fn is_open(&self) -> bool;

    /// No other message follows.
    fn close(self: Box<Self>) {}
}

/// A message on its way to some of its recipients.
pub struct Parcel<'a> {
    claim: &'a Claim,
    store: &'a dyn Store,
    /// The recipients, each with its number in the message.
    pub recipients: Vec<(usize, &'a Recipient)>,
}

impl Parcel<'_> {
    /// The claim, which knows the message's id and envelope.
    pub fn claim(&self) -> &Claim {
        self.claim
    }

    /// The content from its beginning, in lines that end in CRLF, our Received field on top.
    pub fn content(&self) -> io::Result<Box<dyn io::Read + Send>> {
        self.store.content(self.claim).map_err(io::Error::other)
    }
}

/// How a runner works.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of this host, in reports.
    pub hostname: Domain,
    /// Threads that deliver. 32.
    pub threads: usize,
    /// Threads that may be at work in one lane: connections to one destination. 4.
    pub threads_per_lane: usize,
    /// Messages that may go one way before it is closed. 100.
    pub messages_per_carrier: usize,
    /// When to come back, warn and give up.
    pub schedule: Schedule,
}

impl Settings {
    /// The defaults for a host of this name.
    pub fn new(hostname: Domain) -> Self {
        let schedule = Schedule::default();
        Settings { hostname, threads: 32, threads_per_lane: 4, messages_per_carrier: 100, schedule }
    }
}

/// The time in Unix seconds. Tests bring their own.
pub type Clock = dyn Fn() -> i64 + Send + Sync;

/// Hears of the end of each try: the message, one of its recipients, and what became of that.
pub type Observer = dyn Fn(&MessageId, &ForwardPath, &Verdict) + Send + Sync;

/// Runs a queue, one step at a time.
pub struct Queue {
    store: Arc<dyn Store>,
    router: Arc<dyn Router>,
    transport: Arc<dyn Transport>,
    settings: Settings,
    ids: IdSource,
    clock: Box<Clock>,
    observer: Option<Box<Observer>>,
    lanes: Mutex<Lanes>,
    /// Places were offered: whoever found none may look again.
    places_were_offered: Condvar,
    /// When somebody last looked for messages that others have left for us.
    looked_at: Mutex<Option<Instant>>,
    /// The number of the last change of the store that somebody has seen; held by who waits for the next one, or for a place.
    seen: Mutex<u64>,
}

/// What a thread finds that looks for work.
#[derive(Debug, PartialEq, Eq)]
enum Find {
    /// Something is due in this lane, and it has a place there.
    Place(Lane),
    /// New messages are due, and those who are at work on such come to them.
    Attended,
    /// Nothing is due, or only where calls are under way.
    Nothing,
}

/// Threads that run a queue. They are stopped, and waited for, when this is dropped.
pub struct Runner {
    queue: Arc<Queue>,
    is_stopping: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    /// Hears nothing but the end of the last thread.
    alive: Receiver<()>,
}

/// The longest sleep: how long a clock that was set forward may stay unnoticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// How long a message that another process has left for us may lie unnoticed.
const LOOK_PAUSE: Duration = Duration::from_secs(2);

/// How long a thread rests when the store cannot be read.
const REST: Duration = Duration::from_secs(5);

/// How soon it is noticed at the end that somebody is in a hurry.
const HURRY_INTERVAL: Duration = Duration::from_millis(100);

impl Queue {
    /// A queue with the clock of the system.
    pub fn new(
        store: Arc<dyn Store>,
        router: Arc<dyn Router>,
        transport: Arc<dyn Transport>,
        settings: Settings,
    ) -> io::Result<Self> {
        Queue::with_clock(store, router, transport, settings, Box::new(unix_seconds))
    }

    /// The same with another clock.
    pub fn with_clock(
        store: Arc<dyn Store>,
        router: Arc<dyn Router>,
        transport: Arc<dyn Transport>,
        settings: Settings,
        clock: Box<Clock>,
    ) -> io::Result<Self> {
        let lanes = Mutex::new(Lanes::new(settings.threads, settings.threads_per_lane));
        if let Err(error) = store.note_lifetime(settings.schedule.lifetime_seconds) {
            // No reason to leave mail lying.
            log::warn!("{error}; listings may tell another time at which messages are given up");
        }
        Ok(Queue {
            store,
            router,
            transport,
            ids: IdSource::new(0)?,
            clock,
            observer: None,
            lanes,
            places_were_offered: Condvar::new(),
            looked_at: Mutex::new(None),
            seen: Mutex::new(u64::MAX),
            settings,
        })
    }

    /// The same, and somebody hears what becomes of each recipient.
    pub fn with_observer(self, observer: Box<Observer>) -> Self {
        Queue { observer: Some(observer), ..self }
    }

    /// Does what is due in one lane. `false` if nothing is, or all of it is being done.
    pub fn step(&self, worker: &WorkerId) -> io::Result<bool> {
        match self.pick()? {
            Find::Place(lane) => self.work_in(&lane, worker).map(|()| true),
            Find::Attended | Find::Nothing => Ok(false),
        }
    }

    /// Takes a place in a lane in which something is due, or says why there is none.
    fn pick(&self) -> io::Result<Find> {
        self.look_for_others();
        let now = self.now();
        self.store.bring_forward(self.settings.schedule.horizon(now));
        let due = self.store.due_lanes(now).map_err(io::Error::other)?;
        let mut lanes = self.lanes();
        for (lane, _) in due.iter().filter(|(lane, _)| self.transport.is_local(lane)) {
            // Nobody has to be called, so nobody has to be found out about.
            lanes.prove(lane);
        }
        Ok(match lanes.enter(&due, Instant::now()) {
            Some(lane) => Find::Place(lane),
            None if due.iter().any(|(lane, _)| *lane == Lane::unrouted()) => Find::Attended,
            None => Find::Nothing,
        })
    }

    /// Takes in what other processes have left, now and then. By the clock on the wall: a file system knows no other.
    fn look_for_others(&self) {
        let now = Instant::now();
        let mut looked_at = self.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
        if looked_at.is_none_or(|at| now.duration_since(at) >= LOOK_PAUSE) {
            *looked_at = Some(now);
            drop(looked_at);
            if self.store.adopt() > 0 {
                // There may be more, and whoever works next looks for it at once.
                *self.looked_at.lock().unwrap_or_else(PoisonError::into_inner) = None;
            }
        }
    }

    fn work_in(&self, lane: &Lane, worker: &WorkerId) -> io::Result<()> {
        let worked = catch_unwind(AssertUnwindSafe(|| self.work(worker, lane)));
        let mut lanes = self.lanes();
        lanes.leave(
            lane,
            match worked {
                Ok(Ok(way)) => way,
                // That was our own fault, and says nothing about the lane.
                _ => Way::Untried,
            },
        );
        drop(lanes);
        let failure = match worked {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(io::Error::other(error)),
            // It has been told on standard error.
            Err(_) => Some(io::Error::other(format!("a delivery in lane {lane} broke off"))),
        };
        let worked = failure.map_or(Ok(()), |failure| {
            // What is left of the claims is due again.
            self.store.release(worker).map_err(io::Error::other).and(Err(failure))
        });
        self.offer_places();
        worked
    }

    fn now(&self) -> i64 {
        (self.clock)()
    }

    /// Steps until nothing is due. For one thread, such as a test or a tool.
    pub fn run_until_idle(&self) -> io::Result<()> {
        let worker = WorkerId("queue".to_owned());
        while self.step(&worker)? {}
        Ok(())
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something is due, or is to end.
    fn watch(&self, is_stopping: &AtomicBool, held_up: Duration) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // While we waited for our turn things may have changed.
        match self.pick() {
            _ if is_stopping.load(Ordering::SeqCst) => {}
            Ok(Find::Place(lane)) => self.lanes().leave(&lane, Way::Untried),
            Ok(Find::Attended) => self.wait_for_place(is_stopping, held_up),
            Ok(Find::Nothing) | Err(_) => *seen = self.sleep_until_change(*seen, self.sleep()),
        }
    }

    /// Waits until places are offered, or those who have them are held up. What is committed meanwhile is no reason to get up:
    /// they come to it, and to wake somebody for each message would cost more than much of the delivery.
    fn wait_for_place(&self, is_stopping: &AtomicBool, held_up: Duration) {
        let is_to_wait = |lanes: &mut Lanes| lanes.is_place_wanted() && !is_stopping.load(Ordering::SeqCst);
        drop(self.places_were_offered.wait_timeout_while(self.lanes(), held_up, is_to_wait));
    }

    /// Whoever found no place may look again: somebody has left one, or something is due elsewhere.
    fn offer_places(&self) {
        if self.lanes().take_wanted() {
            self.places_were_offered.notify_all();
            self.store.wake();
        }
    }

    /// Waits for a change of the store, for so long at most. No process tells another that it has left something, so
    /// somebody gets up now and then to look; that is no reason to wake the rest.
    fn sleep_until_change(&self, seen: u64, sleep: Duration) -> u64 {
        let began = Instant::now();
        loop {
            let left = sleep.saturating_sub(began.elapsed());
            let number = self.store.wait(seen, left.min(LOOK_PAUSE));
            if number != seen || left <= LOOK_PAUSE {
                return number;
            }
            self.look_for_others();
        }
    }

    /// How long there will be nothing to do, if nothing happens.
    fn sleep(&self) -> Duration {
        let left =
            self.store.next_due().map(|at| at.saturating_sub(self.now())).and_then(|left| u64::try_from(left).ok());
        // What is due and not done is in the hands of others.
        left.map_or(LONGEST_SLEEP, |left| Duration::from_secs(left.max(1)).min(LONGEST_SLEEP))
    }
}

impl Runner {
    /// Starts the threads.
    pub fn start(queue: Queue) -> io::Result<Self> {
        let (living, alive) = channel::<()>();
        let mut runner = Runner { queue: Arc::new(queue), is_stopping: Arc::default(), threads: Vec::new(), alive };
        for number in 0..runner.queue.settings.threads {
            let (queue, is_stopping) = (runner.queue.clone(), runner.is_stopping.clone());
            let thread = std::thread::Builder::new().name(format!("delivery-{number}"));
            let worker = WorkerId(format!("delivery-{number}"));
            let living = living.clone();
            runner.threads.push(thread.spawn(move || {
                run(&queue, &is_stopping, &worker);
                drop(living);
            })?);
        }
        Ok(runner)
    }

    /// Lets the threads end what they are at, so that it does not arrive twice (RFC 1047): for so long at most, since a next
    /// host may say nothing for minutes, and only until somebody is in a hurry. `false`: some are still at it. They are left to
    /// themselves, for a process that ends now: it breaks them off as a crash would, and the next start finds what they had.
    #[must_use]
    pub fn end(mut self, patience: Duration, is_in_a_hurry: impl Fn() -> bool) -> bool {
        let began = Instant::now();
        self.ask_to_stop();
        loop {
            let left = patience.saturating_sub(began.elapsed());
            if self.alive.recv_timeout(left.min(HURRY_INTERVAL)) == Err(RecvTimeoutError::Disconnected) {
                return true;
            }
            if left.is_zero() || is_in_a_hurry() {
                self.threads.clear();
                return false;
            }
        }
    }

    fn ask_to_stop(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        self.queue.offer_places();
        self.queue.store.wake();
    }

    /// Asks the threads to end what they are at, and waits for them.
    pub fn stop(&mut self) {
        self.ask_to_stop();
        for thread in self.threads.drain(..) {
            // A thread that broke off has said so.
            let _ = thread.join();
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One thread at a time waits for the store or for a place, the others wait for their turn to do so: a change wakes one of them,
/// and if there is more to do than it takes, the next one finds that before it waits.
fn run(queue: &Queue, is_stopping: &AtomicBool, worker: &WorkerId) {
    while !is_stopping.load(Ordering::SeqCst) {
        let worked = match queue.pick() {
            Ok(Find::Place(lane)) => queue.work_in(&lane, worker),
            Ok(Find::Attended | Find::Nothing) => {
                queue.watch(is_stopping, HELD_UP);
                Ok(())
            }
            Err(error) => Err(error),
        };
        if let Err(error) = worked {
            log::error!("the queue cannot go on: {error}; next look in {REST:?}");
            let seen = queue.store.wait(u64::MAX, Duration::ZERO);
            queue.store.wait(seen, REST);
        }
    }
}

#[cfg(test)]
mod tests;
