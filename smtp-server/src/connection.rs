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
use smtp_proto::reply::Reply;
use smtp_proto::server::{CloseReason, Decision, Event, Question, ServerSession};
use smtp_proto::transaction::Transaction;
use smtp_spool::{MessageId, StoreError};

use crate::host::Host;
use crate::incoming::{Arrival, IncomingMessage};
use crate::quoted::Quoted;
use crate::registry::{Registry, Ticket};
use crate::replies;

/// Octets of the input buffer, one for each thread: what one read takes from the kernel.
pub(crate) const BUFFER_OCTETS: usize = 32 * 1024;

/// How long one write may block before the deadline is looked at.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Octets that are read and forgotten behind our last reply.
const LINGER_OCTETS: usize = 256 * 1024;

/// Content that is coming in, or the rest of it after it was refused.
struct Content {
    from: String,
    octets: u64,
}

struct Connection<'a> {
    host: &'a Host,
    ticket: Ticket<'a>,
    stream: &'a TcpStream,
    peer: SocketAddr,
    session: ServerSession,
    started: Instant,
    incoming: Option<IncomingMessage>,
    /// The content that is coming in, as the log tells it should nothing become of it.
    content: Option<Content>,
    /// The last refusal that has its line in the log.
    logged_refusal: String,
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
        content: None,
        logged_refusal: String::new(),
        read_timeout: Duration::ZERO,
    };
    match connection.talk(buffer) {
        Ok(()) => log::debug!("peer={peer} status=closed"),
        Err(error) => {
            connection.log_lost_content();
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
                    self.log_close();
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
                        self.content = Some(Content { from: transaction.reverse_path.to_string(), octets: 0 });
                        Decision::Accept
                    }
                    Some(Err(error)) => defer(peer, &error),
                    None => Decision::Refuse(replies::failure()),
                }
            }
            Question::EndOfContent(transaction) => {
                self.content = None;
                match self.incoming.take() {
                    Some(incoming) => end(host, peer, transaction, incoming),
                    None => Decision::Refuse(replies::failure()),
                }
            }
        };
        let is_greeting = matches!(question, Question::Connect);
        if let Decision::Refuse(reply) = &decision {
            log_refusal(peer, question, reply);
            let mut octets = Vec::new();
            reply.write_to(&mut octets);
            self.logged_refusal = last_reply(&octets);
        }
        self.session.decide(decision, self.started.elapsed());
        if is_greeting {
            // A refusal becomes a greeting, with another code and no enhanced one.
            self.logged_refusal = last_reply(self.session.output());
        }
    }

    /// A message that cannot be written any further is refused at its end; until then the peer is listened to.
    fn store(&mut self, octets: &[u8]) {
        if let Some(content) = &mut self.content {
            content.octets += octets.len() as u64;
        }
        let written = self.incoming.as_mut().map_or(Ok(()), |incoming| incoming.write(octets));
        if let Err(error) = written {
            log::error!("peer={} status=deferred: {error}", self.peer);
            self.incoming = None;
            self.content = None;
            self.session.refuse_content(replies::store_error(&error));
        }
    }

    /// The session refuses the content (its size, its line ends, a loop), and the peer hears why at its end: that is when
    /// it comes into the log. Or the peer gave it up itself, with RSET between two chunks.
    fn drop_incoming(&mut self) {
        self.incoming = None;
        if self.session.is_between_transactions()
            && let Some(Content { from, octets }) = self.content.take()
        {
            let reply = last_reply(self.session.output());
            let (peer, from) = (self.peer, Quoted(from));
            let status = if reply.starts_with(['4', '5']) { "refused" } else { "dropped" };
            log::info!("peer={peer} from={from} octets={octets} status={status} reply={}", Quoted(&reply));
            self.logged_refusal = reply;
        }
    }

    /// A close that the peer did not ask for, unless the refusal that brought it is in the log already; and content that
    /// is lost with the connection.
    fn log_close(&mut self) {
        let reply = last_reply(self.session.output());
        let is_ours = ["421", "521", "554"].iter().any(|code| reply.starts_with(code));
        if !is_ours || reply == self.logged_refusal {
            return self.log_lost_content();
        }
        let (peer, reply) = (self.peer, Quoted(reply));
        match self.content.take() {
            Some(Content { from, octets }) => {
                log::info!("peer={peer} from={} octets={octets} status=lost reply={reply}", Quoted(from));
            }
            None => log::info!("peer={peer} status=closed reply={reply}"),
        }
    }

    fn log_lost_content(&mut self) {
        if let Some(Content { from, octets }) = self.content.take() {
            log::info!("peer={} from={} octets={octets} status=lost", self.peer, Quoted(from));
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.session.output().is_empty() {
            log_negative_replies(self.peer, self.session.output());
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
    /// reply with it. Nothing waits for it longer than the configured time.
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
    match incoming.commit(transaction) {
        Err(error) => defer(peer, &error),
        Ok(id) => {
            let text = format!("queued as {id}");
            log_acceptance(peer, transaction, &id, octets, began.elapsed(), &text);
            Decision::AcceptAs(text.into())
        }
    }
}

/// One line for the message and one for each recipient. What comes from the peer is [`Quoted`]; what is not printable is
/// escaped where all lines are written.
fn log_acceptance(
    peer: SocketAddr,
    transaction: &Transaction,
    id: &MessageId,
    octets: u64,
    delay: Duration,
    reply: &str,
) {
    let (from, recipients) = (Quoted(&transaction.reverse_path), transaction.recipients.len());
    log::info!("id={id} from={from} peer={peer} octets={octets} recipients={recipients}");
    for recipient in &transaction.recipients {
        let (to, delay) = (Quoted(&recipient.forward_path), delay.as_secs_f64());
        log::info!("id={id} to={to} relay=local delay={delay:.4} status=kept reply=\"250 2.0.0 {reply}\"");
    }
}

/// Anything that is our fault is temporary.
fn defer(peer: SocketAddr, error: &StoreError) -> Decision {
    log::error!("peer={peer} status=deferred: {error}");
    Decision::Refuse(replies::store_error(error))
}

fn log_refusal(peer: SocketAddr, question: Question<'_>, reply: &Reply) {
    let reply = Quoted(reply);
    match question {
        Question::Rcpt(transaction, recipient) => {
            let (from, to) = (Quoted(&transaction.reverse_path), Quoted(&recipient.forward_path));
            log::info!("peer={peer} from={from} to={to} status=refused reply={reply}");
        }
        Question::Mail(transaction) | Question::Content(transaction) | Question::EndOfContent(transaction) => {
            let from = Quoted(&transaction.reverse_path);
            log::info!("peer={peer} from={from} status=refused reply={reply}");
        }
        Question::Connect | Question::Hello(_) => log::info!("peer={peer} status=refused reply={reply}"),
    }
}

/// Every reply that is a refusal, for whoever looks for a peer's trouble.
fn log_negative_replies(peer: SocketAddr, output: &[u8]) {
    if log::log_enabled!(log::Level::Debug) {
        for reply in replies_in(output).filter(|reply| reply.starts_with(['4', '5'])) {
            log::debug!("peer={peer} reply={}", Quoted(reply));
        }
    }
}

/// The last line of each reply: the one with no hyphen behind its code.
fn replies_in(output: &[u8]) -> impl Iterator<Item = String> {
    let lines = output.split(|octet| *octet == b'\n').filter(|line| !line.is_empty() && line.get(3) != Some(&b'-'));
    lines.map(|line| String::from_utf8_lossy(line).trim_end().to_owned())
}

fn last_reply(output: &[u8]) -> String {
    replies_in(output).last().unwrap_or_default()
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
