//! How a thread that waits for its peer is reached: by shutting down the reading half of its socket.
//!
//! The thread then reads the end of the input, finds a reason here, and words the 421 itself: the writing half still
//! works, and whatever had arrived before is still read. No thread is ever killed, and none that is busy with a commit is
//! touched: it looks for a reason before it waits again.

use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use smtp_proto::server::CloseReason;

/// All conversations that are going on.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    sessions: Mutex<HashMap<u64, Arc<Session>>>,
    next: AtomicU64,
    is_draining: AtomicBool,
}

/// One conversation, as others see it.
#[derive(Debug)]
struct Session {
    stream: Arc<TcpStream>,
    status: Mutex<Status>,
}

#[derive(Debug)]
struct Status {
    /// Since when the session has been waiting between transactions.
    idle_since: Option<Instant>,
    /// What it is to be told once it looks.
    reason: Option<CloseReason>,
}

/// The entry of one conversation. Dropping it takes it out of the registry.
#[derive(Debug)]
pub(crate) struct Ticket<'a> {
    registry: &'a Registry,
    number: u64,
    session: Arc<Session>,
}

impl Registry {
    /// Notes a conversation.
    pub(crate) fn enter(&self, stream: Arc<TcpStream>) -> Ticket<'_> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut sessions = self.sessions();
        // Who comes in while the server is being stopped is told so; the lock keeps anybody from being missed.
        let reason = self.is_draining.load(Ordering::Relaxed).then_some(CloseReason::Drain);
        let session = Arc::new(Session { stream, status: Mutex::new(Status { idle_since: None, reason }) });
        sessions.insert(number, session.clone());
        drop(sessions);
        Ticket { registry: self, number, session }
    }

    /// Asks everybody to finish: who is between transactions at once, the others as soon as they are.
    pub(crate) fn drain(&self) {
        let sessions = self.sessions();
        self.is_draining.store(true, Ordering::Relaxed);
        for session in sessions.values() {
            let mut status = session.status();
            status.reason = Some(CloseReason::Drain);
            if status.idle_since.is_some() {
                shut_down(&session.stream, Shutdown::Read);
            }
        }
    }

    /// Asks everybody to finish now, in the middle of whatever they read.
    pub(crate) fn interrupt(&self) {
        for session in self.sessions().values() {
            session.status().reason = Some(CloseReason::Drain);
            shut_down(&session.stream, Shutdown::Read);
        }
    }

    /// Ends every connection, also for those who are blocked in writing.
    pub(crate) fn cut(&self) {
        for session in self.sessions().values() {
            shut_down(&session.stream, Shutdown::Both);
        }
    }

    /// Ends the session that has been quiet between transactions for longest, if that is long enough.
    pub(crate) fn evict(&self, quiet_for: Duration) {
        let sessions = self.sessions();
        let idle = sessions.values().filter_map(|session| {
            let status = session.status();
            status.idle_since.filter(|_| status.reason.is_none()).map(|since| (since, session))
        });
        if let Some((since, session)) = idle.min_by_key(|(since, _)| *since)
            && since.elapsed() >= quiet_for
        {
            let mut status = session.status();
            // It may have got something to do since we looked.
            if status.idle_since == Some(since) {
                status.reason = Some(CloseReason::Evict);
                shut_down(&session.stream, Shutdown::Read);
            }
        }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<u64, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket<'_> {
    /// The session is about to wait for input. Returns the reason not to, if there is one.
    pub(crate) fn wait(&self, is_between_transactions: bool) -> Option<CloseReason> {
        let mut status = self.session.status();
        status.idle_since = is_between_transactions.then(Instant::now);
        status.reason.filter(|_| is_between_transactions)
    }

    /// Input has come, or its end.
    pub(crate) fn work(&self) {
        self.session.status().idle_since = None;
    }

    /// Why the input ended, if it was not the peer who ended it.
    pub(crate) fn reason(&self) -> Option<CloseReason> {
        self.session.status().reason
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.registry.sessions().remove(&self.number);
    }
}

fn shut_down(stream: &TcpStream, half: Shutdown) {
    // A peer that has gone already needs no shutting down.
    if let Err(error) = stream.shutdown(half) {
        log::debug!("shutdown: {error}");
    }
}
