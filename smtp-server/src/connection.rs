//! One conversation: the blocking driver around [`smtp_proto::server::ServerSession`].
//!
//! It reads octets, hands them in, does what the session says, writes the replies, and waits no longer than the session
//! allows. What it adds of its own is the disk: see [`crate::incoming`].

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::socket::{MsgFlags, recv};
use smtp_proto::content::LineEnds;
use smtp_proto::server::{CloseReason, Decision, Event, Question, ServerSession};
use smtp_proto::transaction::Transaction;
use smtp_spool::StoreError;

use crate::host::Host;
use crate::incoming::{Arrival, IncomingMessage};
use crate::journal::{self, Journal};
use crate::registry::{Registry, Ticket};
use crate::replies;

/// Octets of the input buffer, one for each thread: what one read takes from the kernel.
pub(crate) const BUFFER_OCTETS: usize = 32 * 1024;

/// How long one write may block before the deadline is looked at.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Octets that are read and forgotten behind our last reply.
const LINGER_OCTETS: usize = 256 * 1024;

struct Connection<'a> {
    host: &'a Host,
    ticket: Ticket<'a>,
    stream: &'a TcpStream,
    peer: SocketAddr,
    session: ServerSession,
    started: Instant,
    incoming: Option<IncomingMessage>,
    journal: Journal,
    /// What the socket's read timeout is set to.
    read_timeout: Duration,
}

/// Holds one conversation, from the greeting to the close. `buffer` is the thread's own.
pub(crate) fn serve(host: &Host, registry: &Registry, stream: &Arc<TcpStream>, peer: SocketAddr, buffer: &mut [u8]) {
    log::debug!("peer={peer} status=connected");
    let mut config = host.config.session.clone();
    if host.config.accept_bare_lf.iter().any(|network| network.contains(peer.ip())) {
        config.line_ends = LineEnds::AcceptBareLineFeed;
    }
    let mut connection = Connection {
        host,
        ticket: registry.enter(stream.clone()),
        stream,
        peer,
        session: ServerSession::new(config),
        started: Instant::now(),
        incoming: None,
        journal: Journal::new(peer),
        read_timeout: Duration::ZERO,
    };
    match connection.talk(buffer) {
        Ok(()) => log::debug!("peer={peer} status=closed"),
        Err(error) => {
            connection.journal.lost();
            log::debug!("peer={peer} status=lost: {error}");
        }
    }
}

impl Connection<'_> {
    fn talk(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        // A reply that waits for the acknowledgement of the one before it costs 40 ms.
        self.stream.set_nodelay(true)?;
        let write_timeout = WRITE_TIMEOUT.min(self.host.config.session.command_timeout);
        self.stream.set_write_timeout(Some(write_timeout.max(Duration::from_millis(1))))?;
        let early = self.early_octets(buffer)?;
        let (mut start, mut end) = (0, early);
        loop {
            let input = buffer.get(start..end).unwrap_or_default();
            let (used, event) = self.session.handle(input, self.started.elapsed());
            start += used;
            match event {
                Event::Question => self.decide(),
                Event::Content(octets) => self.store(octets),
                Event::Dropped => self.drop_incoming(),
                // It is not offered, and so never agreed to.
                Event::StartTls => return Err(io::ErrorKind::Unsupported.into()),
                Event::NeedInput => {
                    self.flush()?;
                    buffer.copy_within(start..end, 0);
                    end -= start;
                    start = 0;
                    end += self.read(buffer.get_mut(end..).unwrap_or_default())?;
                }
                Event::Close => {
                    // A message that was not finished is dropped before the peer hears that the conversation is over.
                    self.incoming = None;
                    self.journal.closing(self.session.output());
                    self.flush()?;
                    return self.linger(buffer);
                }
            }
        }
    }

    /// What has come before the greeting went out. Nothing may have (RFC 5321, 4.3.1).
    fn early_octets(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match recv(self.stream.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(count) => Ok(count),
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Asks the policy, and the store where room on the disk is the question.
    fn decide(&mut self) {
        let Some(question) = self.session.question() else { return };
        let (host, peer) = (self.host, self.peer);
        let decision = match question {
            Question::Connect => host.policy.connect(peer),
            Question::Hello(hello) => host.policy.hello(peer, hello),
            // Neither is offered, and so neither is asked.
            Question::AuthBegins(..) | Question::AuthGoesOn(_) => Decision::Refuse(replies::failure()),
            Question::StartTls => Decision::Refuse(replies::failure()),
            // Before any data is taken: "not now" costs the client nothing here (RFC 1870, 6.1).
            Question::Mail(transaction) => match host.store.has_room_for(transaction.parameters.size) {
                Ok(()) => host.policy.mail(peer, transaction),
                Err(error) => defer(peer, &error),
            },
            Question::Rcpt(transaction, recipient) => host.policy.rcpt(peer, transaction, recipient),
            Question::Content(transaction) => {
                let (by, with) = (&host.config.session.hostname, self.session.protocol());
                // MAIL is taken only from a client that has named itself, so there is a name.
                let arrival = self.session.hello().map(|hello| Arrival { hello, peer, by, with });
                match arrival.map(|arrival| IncomingMessage::begin(host, &arrival, transaction)) {
                    Some(Ok(incoming)) => {
                        self.incoming = Some(incoming);
                        self.journal.content_begins(transaction);
                        Decision::Accept
                    }
                    Some(Err(error)) => defer(peer, &error),
                    None => Decision::Refuse(replies::failure()),
                }
            }
            Question::EndOfContent(transaction) => {
                self.journal.content_ends();
                match self.incoming.take() {
                    Some(incoming) => end(host, peer, transaction, incoming),
                    None => Decision::Refuse(replies::failure()),
                }
            }
        };
        if let Decision::Refuse(reply) = &decision {
            self.journal.refused(question, reply);
        }
        self.session.decide(decision, self.started.elapsed());
    }

    /// A message that cannot be written any further is refused at its end; until then the peer is listened to.
    fn store(&mut self, octets: &[u8]) {
        self.journal.content_goes_on(octets.len());
        let written = self.incoming.as_mut().map_or(Ok(()), |incoming| incoming.write(octets));
        if let Err(error) = written {
            log::error!("peer={} status=deferred: {error}", self.peer);
            self.incoming = None;
            self.journal.content_ends();
            self.session.refuse_content(replies::store_error(&error));
        }
    }

    /// The session refuses the content (its size, its line ends, a loop), and the peer hears why at its end: that is when
    /// it comes into the log. Or the peer gave it up itself, with RSET between two chunks.
    fn drop_incoming(&mut self) {
        self.incoming = None;
        if self.session.is_between_transactions() {
            self.journal.content_dropped(self.session.output());
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.session.output().is_empty() {
            self.journal.replies(self.session.output());
            // A peer that does not read its replies has as long as one that does not speak.
            let deadline = Instant::now() + self.host.config.session.command_timeout;
            write_all_until(self.stream, self.session.output(), deadline)?;
            self.session.clear_output();
        }
        Ok(())
    }

    /// Waits for octets. Returns 0 when there are none and the session has been told why.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(reason) = self.ticket.wait(self.session.is_between_transactions()) {
            self.session.handle_close(reason);
            return Ok(0);
        }
        let count = loop {
            let left = self.session.deadline().saturating_sub(self.started.elapsed());
            if left.is_zero() {
                self.session.handle_close(CloseReason::Deadline);
                break 0;
            }
            self.set_read_timeout(left)?;
            match self.stream.read(buffer) {
                Ok(0) => {
                    match self.ticket.reason() {
                        Some(reason) => self.session.handle_close(reason),
                        None => self.session.handle_end_of_input(),
                    }
                    break 0;
                }
                Ok(count) => break count,
                Err(error) if is_timeout(&error) || error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        self.ticket.work();
        Ok(count)
    }

    /// A system call for each read would be one too many: a timeout that is a little short only leads to another look.
    fn set_read_timeout(&mut self, left: Duration) -> io::Result<()> {
        let is_near_enough = self.read_timeout <= left && self.read_timeout * 2 >= left;
        if !is_near_enough {
            let timeout = left.max(Duration::from_millis(1));
            self.stream.set_read_timeout(Some(timeout))?;
            self.read_timeout = timeout;
        }
        Ok(())
    }

    /// Closes so that the last reply arrives: a close with input unread would reset the connection and could take the
    /// reply with it. Nothing waits for it longer than the configured time; a session that was drained or evicted does not
    /// wait at all, since its reading half is shut already.
    fn linger(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)?;
        let until = Instant::now() + self.host.config.linger_timeout;
        let mut octets = 0;
        while octets < LINGER_OCTETS {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            match self.stream.read(buffer) {
                Ok(0) => break,
                Ok(count) => octets += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        Ok(())
    }
}

/// The last word of the policy, then the disk. The acceptance that follows is a promise (RFC 5321, 6.1).
fn end(host: &Host, peer: SocketAddr, transaction: &Transaction, incoming: IncomingMessage) -> Decision {
    let refusal = host.policy.end_of_content(peer, transaction, incoming.octets());
    if let Decision::Refuse(_) = refusal {
        return refusal;
    }
    let (octets, began) = (incoming.octets(), Instant::now());
    match incoming.commit(transaction, host.config.keeps_mail) {
        Err(error) => defer(peer, &error),
        Ok(id) => {
            let text = format!("queued as {id}");
            journal::accepted(peer, host.config.keeps_mail, transaction, &id, octets, began.elapsed(), &text);
            Decision::AcceptAs(text.into())
        }
    }
}

/// Anything that is our fault is temporary.
fn defer(peer: SocketAddr, error: &StoreError) -> Decision {
    log::error!("peer={peer} status=deferred: {error}");
    Decision::Refuse(replies::store_error(error))
}

/// Writes all of it, however slowly it is taken, until the deadline: the socket's own timeout is for one call only, and a
/// peer that takes an octet now and then must not hold its thread for ever.
fn write_all_until(mut stream: &TcpStream, mut octets: &[u8], deadline: Instant) -> io::Result<()> {
    loop {
        match stream.write(octets) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => octets = octets.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted || is_timeout(&error) => {}
            Err(error) => return Err(error),
        }
        if octets.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
