//! One conversation: the blocking driver around [`smtp_proto::server::ServerSession`].
//!
//! It reads octets, hands them in, does what the session says, writes the replies, and waits no longer than the session
//! allows. What it adds of its own is the disk: see [`crate::incoming`].

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustls::server::ServerConnection;
use smtp_proto::content::LineEnds;
use smtp_proto::sasl::Mechanism;
use smtp_proto::secret::Secret;
use smtp_proto::server::{AuthAnswer, CloseReason, Decision, Event, Question, ServerSession};
use smtp_proto::transaction::Transaction;
use smtp_spool::StoreError;

use crate::auth::Dialogue;
use crate::host::Host;
use crate::incoming::{Arrival, IncomingMessage};
use crate::input::Input;
use crate::journal::{self, Journal};
use crate::policy::Client;
use crate::registry::Ticket;
use crate::replies;
use crate::stream::{Stream, is_worth_another_try};

/// Behind so long a wait the time is looked at again, whatever the deadline is.
const LONGEST_READ: Duration = Duration::from_secs(3_600);

struct Connection<'a, 's> {
    host: &'a Host,
    ticket: Ticket<'a>,
    stream: &'a mut Stream<'s>,
    /// What the TLS handshake needs, once one is agreed on. In a box, here and wherever it goes: it is large, and what the
    /// stack of a thread once needed stays in memory while its peer says nothing.
    handshake: Option<Box<ServerConnection>>,
    peer: SocketAddr,
    is_submission: bool,
    session: ServerSession,
    /// What the client proves now.
    dialogue: Option<Dialogue>,
    started: Instant,
    incoming: Option<IncomingMessage>,
    journal: Journal,
}

/// Who has called, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) peer: SocketAddr,
    /// At a port for submissions.
    pub(crate) is_submission: bool,
}

/// Holds one conversation, from the greeting to the close.
///
/// A page of the stack that was touched once stays in memory, also while the peer says nothing. So the steps below are not
/// put into one function by the compiler, whose frame would hold all that any of them needs.
pub(crate) fn serve(host: &Host, ticket: Ticket<'_>, stream: &mut Stream<'_>, caller: Caller) {
    let peer = caller.peer;
    log::debug!("peer={peer} status=connected");
    let mut connection = Connection::new(host, ticket, stream, caller);
    match connection.talk() {
        Ok(()) => log::debug!("peer={peer} status=closed"),
        Err(error) => {
            connection.journal.lost();
            log::debug!("peer={peer} status=lost: {error}");
        }
    }
}

impl<'a, 's> Connection<'a, 's> {
    #[inline(never)]
    fn new(host: &'a Host, ticket: Ticket<'a>, stream: &'a mut Stream<'s>, caller: Caller) -> Box<Self> {
        let Caller { peer, is_submission } = caller;
        let mut config = host.config.session.clone();
        config.starttls = host.config.tls.is_some();
        config.requires_auth = is_submission;
        if host.config.accept_bare_lf.iter().any(|network| network.contains(peer.ip())) {
            config.line_ends = LineEnds::AcceptBareLineFeed;
        }
        Box::new(Connection {
            host,
            ticket,
            stream,
            handshake: None,
            peer,
            is_submission,
            session: ServerSession::new(config),
            dialogue: None,
            started: Instant::now(),
            incoming: None,
            journal: Journal::new(peer),
        })
    }

    #[inline(never)]
    fn talk(&mut self) -> io::Result<()> {
        let mut input = Input::new();
        self.stream.prepare(self.host.config.session.command_timeout)?;
        if self.stream.is_tls() {
            self.handshake = Some(begin_tls(self.host, self.peer).map_err(io::Error::other)?);
            self.shake_hands(&mut input)?;
        }
        self.offer_auth();
        // What has come before the greeting went out. Nothing may have (RFC 5321, 4.3.1).
        let early = self.stream.read_available(input.room())?;
        input.add(early);
        let mut start = 0;
        let mut now = self.started.elapsed();
        loop {
            let (used, event) = self.session.handle(input.behind(start), now);
            start += used;
            match event {
                Event::Question => {
                    self.decide();
                    now = self.started.elapsed();
                }
                Event::Content(octets) => self.store(octets),
                Event::Dropped => self.drop_incoming(),
                Event::StartTls => {
                    self.flush()?;
                    self.shake_hands(&mut input)?;
                    now = self.started.elapsed();
                }
                Event::NeedInput => {
                    self.flush()?;
                    input.forget(start);
                    start = 0;
                    if self.session.is_between_transactions() {
                        input.give_back();
                    }
                    let count = self.read(input.room())?;
                    input.add(count);
                    now = self.started.elapsed();
                }
                Event::Close => {
                    // A message that was not finished is dropped before the peer hears that the conversation is over.
                    self.incoming = None;
                    self.journal.closing(self.session.output());
                    self.flush()?;
                    return self.stream.close(input.clear(), self.host.config.linger_timeout);
                }
            }
        }
    }

    /// Holds the TLS handshake. Until it is over nothing can be said; if it fails, the connection is lost.
    fn shake_hands(&mut self, input: &mut Input) -> io::Result<()> {
        let (peer, timeout) = (self.peer, self.host.config.handshake_timeout);
        let tls = self.handshake.take().ok_or(io::ErrorKind::NotConnected)?;
        if self.ticket.wait(true).is_some() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let shaken = self.stream.shake_hands(tls, Instant::now() + timeout);
        self.ticket.work();
        if let Err(error) = shaken {
            match error.kind() {
                io::ErrorKind::InvalidData => {
                    log::info!("peer={peer} status=refused: TLS handshake: {error}");
                    // The alert should arrive.
                    self.stream.close(input.clear(), self.host.config.linger_timeout)?;
                }
                io::ErrorKind::TimedOut => {
                    log::info!("peer={peer} status=refused: TLS handshake: not over after {timeout:?}");
                }
                // The peer has gone, or a server that is being stopped has let go of it.
                _ => {}
            }
            return Err(error);
        }
        if let Some((suite, version)) = self.stream.tls_suite() {
            log::debug!("peer={peer} status=encrypted version={version:?} suite={suite}");
        }
        self.session.handle_tls_established(self.started.elapsed());
        self.offer_auth();
        Ok(())
    }

    /// What a client may log in by depends on TLS, and on the users there are now.
    fn offer_auth(&mut self) {
        if let Some(auth) = &self.host.config.auth {
            let mechanisms = auth.mechanisms(self.peer.ip(), self.stream.is_tls(), &self.stream.binding());
            self.session.offer_auth(mechanisms);
        }
    }

    /// Goes on with a dialogue, or begins one.
    fn authenticate(&mut self, begins: Option<Mechanism>, said: Option<Secret>) {
        let peer = self.peer;
        let answer = match (&self.host.config.auth, begins) {
            (Some(auth), begins) => {
                let begun = match (begins, self.dialogue.take()) {
                    (Some(mechanism), _) => auth.begin(mechanism, self.stream.binding(), peer.ip()),
                    (None, dialogue) => dialogue.ok_or_else(|| AuthAnswer::Refused(replies::no_auth_now())),
                };
                match begun {
                    Err(answer) => answer,
                    Ok(mut dialogue) => {
                        let answer = auth.go_on(&mut dialogue, said.as_ref(), peer.ip());
                        self.journal.authentication(&dialogue, &answer);
                        self.dialogue = Some(dialogue);
                        answer
                    }
                }
            }
            (None, _) => AuthAnswer::Refused(replies::no_auth_now()),
        };
        self.session.answer_auth(answer, self.started.elapsed());
    }

    /// Asks the policy, and the store where room on the disk is the question.
    #[inline(never)]
    fn decide(&mut self) {
        let Some(question) = self.session.question() else { return };
        match question {
            Question::AuthBegins(mechanism, said) => {
                let said = said.cloned();
                return self.authenticate(Some(mechanism), said);
            }
            Question::AuthGoesOn(said) => {
                let said = said.clone();
                return self.authenticate(None, Some(said));
            }
            _ => {}
        }
        let (host, peer) = (self.host, self.peer);
        let client = Client { peer, user: self.session.user() };
        let decision = match question {
            Question::Connect => host.policy.connect(&client),
            Question::Hello(hello) => host.policy.hello(&client, hello),
            // They have their own answers, above.
            Question::AuthBegins(..) | Question::AuthGoesOn(_) => Decision::Refuse(replies::failure()),
            Question::StartTls => match begin_tls(host, peer) {
                Ok(tls) => {
                    self.handshake = Some(tls);
                    Decision::Accept
                }
                Err(_) => Decision::Refuse(replies::tls_not_available()),
            },
            // Before any data is taken: "not now" costs the client nothing here (RFC 1870, 6.1).
            Question::Mail(transaction) => match host.store.has_room_for(transaction.parameters.size) {
                Ok(()) => host.policy.mail(&client, transaction),
                Err(error) => defer(peer, &error),
            },
            Question::Rcpt(transaction, recipient) => host.policy.rcpt(&client, transaction, recipient),
            Question::Content(transaction) => {
                let (by, with) = (&host.config.session.hostname, self.session.protocol());
                let suite = self.stream.tls_suite().map(|(suite, _)| suite);
                let (tls, is_submission) = (suite.as_deref(), self.is_submission);
                // MAIL is taken only from a client that has named itself, so there is a name.
                let arrival = self.session.hello().map(|hello| Arrival { hello, peer, by, with, tls, is_submission });
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
                    Some(incoming) => end(host, &client, transaction, incoming),
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
            self.stream.write_all(self.session.output(), deadline)?;
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
            let now = Instant::now();
            let elapsed = now.duration_since(self.started);
            if elapsed >= self.session.deadline() {
                self.session.handle_close(CloseReason::Deadline);
                break 0;
            }
            let left = self.session.deadline() - elapsed;
            match self.stream.read(buffer, now + left.min(LONGEST_READ)) {
                Ok(0) => {
                    match self.ticket.reason() {
                        Some(reason) => self.session.handle_close(reason),
                        None => self.session.handle_end_of_input(),
                    }
                    break 0;
                }
                Ok(count) => break count,
                Err(error) if is_worth_another_try(&error) => {}
                Err(error) => return Err(error),
            }
        };
        self.ticket.work();
        Ok(count)
    }
}

/// Gets ready for a handshake, so that it is known before the client begins that there can be one.
#[inline(never)]
fn begin_tls(host: &Host, peer: SocketAddr) -> Result<Box<ServerConnection>, rustls::Error> {
    let no_certificate = || rustls::Error::General("there is no certificate".to_owned());
    let tls = host.config.tls.as_ref().ok_or_else(no_certificate).and_then(|current| current.get().connection());
    tls.map(Box::new).inspect_err(|error| log::error!("peer={peer} status=deferred: TLS: {error}"))
}

/// The last word of the policy, then the disk. The acceptance that follows is a promise (RFC 5321, 6.1).
fn end(host: &Host, client: &Client<'_>, transaction: &Transaction, incoming: IncomingMessage) -> Decision {
    let refusal = host.policy.end_of_content(client, transaction, incoming.octets());
    if let Decision::Refuse(_) = refusal {
        return refusal;
    }
    let (octets, began) = (incoming.octets(), Instant::now());
    match incoming.commit(transaction, host.config.keeps_mail) {
        Err(error) => defer(client.peer, &error),
        Ok(id) => {
            let text = format!("queued as {id}");
            journal::accepted(client, host.config.keeps_mail, transaction, &id, octets, began.elapsed(), &text);
            Decision::AcceptAs(text.into())
        }
    }
}

/// Anything that is our fault is temporary.
fn defer(peer: SocketAddr, error: &StoreError) -> Decision {
    log::error!("peer={peer} status=deferred: {error}");
    Decision::Refuse(replies::store_error(error))
}
