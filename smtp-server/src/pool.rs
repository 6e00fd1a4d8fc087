//! The fixed pool: so many threads, so many conversations, and a clear answer to whoever comes too many.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::Receiver;
use smtp_proto::reply::Reply;

use crate::admission::{Admission, Admitted};
use crate::config::MOST_THREADS;
use crate::connection::{self, Caller};
use crate::hand_over::HandOver;
use crate::host::Host;
use crate::listener::Listener;
use crate::registry::Registry;
use crate::replies;
use crate::stream::Stream;

/// Stack of a session thread. An overflow would end the whole process, and pages that are not touched cost nothing but
/// address space, so it is generous; nothing in a session recurses.
const STACK_OCTETS: usize = 1 << 20;

/// What the accepting threads and the session threads share.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) registry: Registry,
    host: Host,
    admission: Arc<Admission>,
    /// Threads that nobody is reserved for. A connection is handed over only against one of these, so there is always room
    /// for it and nobody waits there behind a conversation.
    free_threads: AtomicUsize,
    /// From the accepting threads to the session threads.
    accepted: HandOver<Accepted>,
}

/// The session threads.
#[derive(Debug)]
pub(crate) struct Workers {
    pub(crate) threads: Vec<JoinHandle<()>>,
    /// Disconnected once the last of them has ended.
    pub(crate) alive: Receiver<()>,
}

/// A connection for which a thread is reserved.
#[derive(Debug)]
struct Accepted {
    stream: TcpStream,
    address: SocketAddr,
    is_tls_first: bool,
    is_submission: bool,
    _admitted: Admitted,
}

/// Gives a thread back to those who wait, also when the conversation ended in a panic.
struct FreeOnDrop<'a>(&'a AtomicUsize);

impl Drop for FreeOnDrop<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

impl Pool {
    /// Starts the threads. They end when [`Pool::close`] has been called and the last conversation is over.
    pub(crate) fn start(host: Host) -> io::Result<(Arc<Self>, Workers)> {
        let threads = host.config.threads;
        if !(1..=MOST_THREADS).contains(&threads) {
            return Err(invalid(format!("{threads} threads are not from 1 to {MOST_THREADS}")));
        }
        let per_address = host.config.connections_per_address.unwrap_or((threads / 2).max(1));
        if per_address == 0 {
            return Err(invalid("0 connections per address let nobody in"));
        }
        if host.config.session.mails == Some(0) {
            return Err(invalid("0 messages per connection let no mail in"));
        }
        let pool = Arc::new(Pool {
            registry: Registry::default(),
            admission: Admission::new(per_address),
            free_threads: AtomicUsize::new(threads),
            host,
            accepted: HandOver::new(threads),
        });
        let (living, alive) = crossbeam_channel::bounded::<()>(0);
        let spawn = |number| {
            let (pool, living) = (pool.clone(), living.clone());
            let builder = std::thread::Builder::new().name(format!("session {number}")).stack_size(STACK_OCTETS);
            builder.spawn(move || {
                pool.work();
                drop(living);
            })
        };
        let mut workers = Workers { threads: Vec::with_capacity(threads), alive };
        for number in 0..threads {
            match spawn(number) {
                Ok(thread) => workers.threads.push(thread),
                Err(error) => {
                    // The threads that are there hold the store; whoever tries again must find it free.
                    pool.close();
                    workers.threads.into_iter().for_each(|thread| drop(thread.join()));
                    return Err(error);
                }
            }
        }
        Ok((pool, workers))
    }

    /// Hands a connection to a free thread, or turns it away: without a word where only TLS would be understood.
    pub(crate) fn admit(&self, stream: TcpStream, address: SocketAddr, listener: &Listener) {
        let &Listener { is_tls_first, is_submission, .. } = listener;
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let Some(admitted) = self.admission.admit(address.ip()) else {
            log::warn!("peer={address} status=refused: too many connections from this address");
            return turn_away(&stream, (!is_tls_first).then(replies::too_many_connections));
        };
        let config = &self.host.config;
        let reserved = self.free_threads.fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| free.checked_sub(1));
        // When the last threads go, whoever has been quiet for long makes room for the next.
        if reserved.unwrap_or(0) <= config.threads / 16 + 1 {
            self.registry.evict(config.evict_after);
        }
        if reserved.is_err() {
            log::warn!("peer={address} status=refused: all {} threads are busy", config.threads);
            return turn_away(&stream, (!is_tls_first).then(replies::busy));
        }
        let accepted = Accepted { stream, address, is_tls_first, is_submission, _admitted: admitted };
        if !self.accepted.give(accepted) {
            // Only a pool that is closed has no room for a connection with a thread reserved; nobody waits for it now.
            self.free_threads.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Takes no more connections. The threads end after the conversations that they have.
    pub(crate) fn close(&self) {
        self.accepted.close();
    }

    /// The life of a session thread: one conversation after the other.
    fn work(&self) {
        while let Some(accepted) = self.accepted.take() {
            let free = FreeOnDrop(&self.free_threads);
            let (socket, peer) = (Arc::new(accepted.stream), accepted.address);
            let mut stream = Stream::new(&socket, accepted.is_tls_first);
            let caller = Caller { peer, is_submission: accepted.is_submission };
            let conversation = AssertUnwindSafe(|| {
                let ticket = self.registry.enter(socket.clone());
                connection::serve(&self.host, ticket, &mut stream, caller);
            });
            if std::panic::catch_unwind(conversation).is_err() {
                // A fault of ours costs one connection; its peer hears that it is temporary, and the mail waits there.
                log::error!("peer={peer} status=failed: the session ended in a panic");
                turn_away(&socket, (!stream.is_tls()).then(replies::failure));
            }
            drop(free);
        }
    }
}

pub(crate) fn invalid(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text.into())
}

/// Writes a last reply without ever blocking, and closes. The reply is short and the peer's window empty, so it goes out
/// whole; a peer for which that is not so was not going to read it.
fn turn_away(stream: &TcpStream, reply: Option<Reply>) {
    let mut octets = Vec::new();
    if let Some(reply) = reply {
        reply.write_to(&mut octets);
    }
    let mut stream = stream;
    let written = stream.set_nonblocking(true).and_then(|()| stream.write_all(&octets));
    if let Err(error) = written.and_then(|()| stream.shutdown(std::net::Shutdown::Write)) {
        log::debug!("turning a connection away: {error}");
    }
}
