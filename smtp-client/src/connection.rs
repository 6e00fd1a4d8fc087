//! One connection: the blocking driver around [`smtp_proto::client::ClientSession`].
//!
//! It is dull on purpose: write what the session wants said, read what the server answers, hand it in, wait no longer
//! than the session allows. Three moments are not so dull, and each has its function. What a server says between two
//! messages is no answer to the next one (`hear_unasked`). A server that answers before the content is complete is heard,
//! and nothing more is written (`early_answer`). What was not written to its end was not accepted, whatever the answer
//! (`conclude`).

mod authentication;
mod calling;
mod circumstances;
mod error;

use std::fmt;
use std::io::{self, BufRead};
use std::time::{Duration, Instant};

use smtp_proto::address::{Domain, ForwardPath};
use smtp_proto::client::{
    Cause, ClientSession, Config, Ending, Event, Failure, Outcome, Protocol, RecipientOutcome, Stage, StartError,
    Timeouts, Until,
};
use smtp_proto::extension::Extensions;
use smtp_proto::parameter::Body;
use smtp_proto::reply::Reply;
use smtp_proto::reply_parser::ReplyError;
use smtp_proto::transaction::Transaction;

use crate::content::{BLOCK_OCTETS, Content, next_piece};
use crate::lmtp_server::LmtpServer;
use crate::login::Login;
use crate::peer::Peer;
use crate::server_name::ServerName;
use crate::tls::{Secured, TlsMode, TlsOptions};
use crate::transcript::{Observer, Unobserved};
use crate::wire::{Kind, Stream, Wire, WriteError, later};
pub(crate) use calling::call;
pub use calling::{Target, host_name};
use calling::{call_peer, check_hello_name, no_address};
pub use circumstances::Circumstances;
pub use error::{ConnectError, SendError};

/// How long to look for a reply that explains why the server stopped reading.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(5);

/// How to call a server.
pub struct Options {
    /// How the client names itself. `None`: the host's own name if it is a full domain name, else the address of the
    /// connection in brackets (RFC 5321, 4.1.4).
    pub hello_name: Option<Domain>,
    /// Whether commands may go out in groups.
    pub pipelining: bool,
    /// Whether content goes out with BDAT where the server offers CHUNKING (RFC 3030).
    pub chunking: bool,
    /// How the connection is to be protected. LMTP is spoken in clear: who delivers into mailboxes is this host, or next to it.
    pub tls: TlsOptions,
    /// Who we are, where the server is to know.
    pub login: Option<Login>,
    /// How long each address of the server may take to accept the connection.
    pub connect_timeout: Duration,
    /// How long each reply may take.
    pub timeouts: Timeouts,
    /// When everything must be over, looking up the server's name included.
    pub give_up_at: Option<Instant>,
    /// Who watches.
    pub observer: Box<dyn Observer>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            hello_name: None,
            pipelining: true,
            chunking: false,
            tls: TlsOptions::default(),
            login: None,
            connect_timeout: Duration::from_secs(30),
            timeouts: Timeouts::default(),
            give_up_at: None,
            observer: Box::new(Unobserved),
        }
    }
}

/// An open conversation with a server that is ready for mail.
///
/// End it with [`Connection::quit`]; one that is just dropped is cut off without a goodbye.
pub struct Connection {
    wire: Wire,
    session: ClientSession,
    /// Who it is with, and how it stood when something was last decided.
    circumstances: Circumstances,
    /// Why there was one, and is none any more.
    tls_failure: Option<String>,
    /// When we last said something.
    said_at: Instant,
    started: Instant,
    /// How long a handshake may take.
    handshake_timeout: Duration,
    give_up_at: Option<Instant>,
    input: Vec<u8>,
    ending: Option<Ending>,
    /// What the octets are that wait to be written.
    kind: Kind,
    /// Something could not be written to its end, so nothing more is written; until then we look for the reply that says
    /// why.
    last_words_until: Option<Instant>,
}

impl Connection {
    /// Calls a server (`HOST:PORT`) and says hello.
    pub fn open(server: &str, options: Options) -> Result<Self, ConnectError> {
        Connection::open_to(&server.parse().map_err(ConnectError::Name)?, options)
    }

    /// Calls a server and says hello. Its addresses are tried in turn.
    pub fn open_to(server: &ServerName, mut options: Options) -> Result<Self, ConnectError> {
        check_hello_name(&mut options)?;
        let called = call(server, options.connect_timeout, options.give_up_at)?;
        Connection::talk(called, server.host(), &mut options)
    }

    /// Calls a server of LMTP (RFC 2033), which delivers into mailboxes: the outcome holds an answer of its own for each
    /// recipient, and what may be in doubt after a connection that broke is in doubt for those who had none yet.
    pub fn open_lmtp(server: &LmtpServer, mut options: Options) -> Result<Self, ConnectError> {
        check_hello_name(&mut options)?;
        let (timeout, give_up_at) = (options.connect_timeout, options.give_up_at);
        let called = match server {
            LmtpServer::Tcp(server) => call(server, timeout, give_up_at),
            LmtpServer::Unix(path) => call_peer(Peer::Unix(path.clone()), timeout, give_up_at),
        };
        Connection::over(Protocol::Lmtp, called?, "", TlsMode::None, &mut options)
    }

    /// Calls these addresses in turn until one is ready for mail: those of the hosts that take mail for a domain. A host that
    /// accepts the connection and has no time, or does not want to talk, is as good as one that is not there (RFC 5321, 5.1:
    /// "until a delivery attempt succeeds"). [`Connection::peer`] says which one it was.
    ///
    /// If none is ready, the error is that of the last one, but a refusal for good counts only if there is nothing else: as
    /// long as one of them may take the message later, it is not refused.
    pub fn open_any(
        targets: impl IntoIterator<Item = impl Into<Target>>,
        mut options: Options,
    ) -> Result<Self, ConnectError> {
        check_hello_name(&mut options)?;
        let mut last: Option<ConnectError> = None;
        for Target { address, name } in targets.into_iter().map(Into::into) {
            if last.is_some() && options.give_up_at.is_some_and(|give_up_at| Instant::now() >= give_up_at) {
                break;
            }
            let called = call_peer(address.into(), options.connect_timeout, options.give_up_at);
            match called.and_then(|called| Connection::talk(called, &name, &mut options)) {
                Ok(connection) => return Ok(connection),
                Err(error) => {
                    log::debug!("{error}");
                    let is_better = error.is_transient() || !last.as_ref().is_some_and(ConnectError::is_transient);
                    last = if is_better { Some(error) } else { last };
                }
            }
        }
        Err(last.unwrap_or_else(no_address))
    }

    /// Over a connection that is open to a host of this name. Where TLS was only tried and the handshake failed, the same
    /// address is called once more, in clear: whoever cannot do what it offers is to get its mail all the same (RFC 7435, 4).
    fn talk(called: (Stream, Peer), host: &str, options: &mut Options) -> Result<Self, ConnectError> {
        let (mode, peer) = (options.tls.mode, called.1.clone());
        match Connection::over(Protocol::Smtp, called, host, mode, options) {
            Err(error) if mode == TlsMode::Try && error.is_failed_handshake() => {
                log::info!("{error}; once more, in clear");
                let called = call_peer(peer, options.connect_timeout, options.give_up_at)?;
                let mut connection = Connection::over(Protocol::Smtp, called, host, TlsMode::None, options)?;
                connection.tls_failure = Some(error.to_string());
                Ok(connection)
            }
            result => result,
        }
    }

    /// Who watches is given back if it does not become a conversation.
    fn over(
        protocol: Protocol,
        (stream, peer): (Stream, Peer),
        host: &str,
        mode: TlsMode,
        options: &mut Options,
    ) -> Result<Self, ConnectError> {
        let mut wire = Wire::new(stream, Box::new(Unobserved)).map_err(ConnectError::Io)?;
        let local = wire.local_address().map_err(ConnectError::Io)?;
        std::mem::swap(&mut wire.observer, &mut options.observer);
        wire.observer.connected(&peer);
        let hello_name = options.hello_name.clone().unwrap_or_else(|| host_name(local));
        let &mut Options { pipelining, chunking, timeouts, .. } = options;
        let tls = mode.of_session();
        let config = Config { hello_name, protocol, tls, pipelining, chunking, timeouts };
        let mut connection = Connection {
            wire,
            session: ClientSession::new(config),
            circumstances: Circumstances::new(peer),
            tls_failure: None,
            said_at: Instant::now(),
            started: Instant::now(),
            handshake_timeout: timeouts.tls,
            give_up_at: options.give_up_at,
            input: Vec::new(),
            ending: None,
            kind: Kind::Commands,
            last_words_until: None,
        };
        let began = match mode {
            TlsMode::Implicit => connection.secure(&options.tls, host).map(|()| connection.note_verified()),
            _ => Ok(()),
        };
        let ready = began.and_then(|()| connection.become_ready(&options.tls, host));
        let ready = ready.and_then(|()| match &options.login {
            Some(login) if protocol == Protocol::Smtp => connection.log_in(login, host, mode),
            _ => Ok(()),
        });
        if let Err(error) = ready {
            options.observer = connection.wire.observer;
            return Err(error);
        }
        Ok(connection)
    }

    fn become_ready(&mut self, tls: &TlsOptions, host: &str) -> Result<(), ConnectError> {
        loop {
            match self.next_event() {
                Event::Ready => return Ok(()),
                Event::StartTls => {
                    self.secure(tls, host)?;
                    self.session.handle_tls_established(self.now());
                    self.note_verified();
                }
                Event::Closed(ending) => {
                    return Err(ConnectError::Session(Box::new(self.circumstances.clone()), ending));
                }
                Event::NeedInput | Event::Auth(_) | Event::WantContent | Event::Finished(_) => {}
            }
        }
    }

    /// Makes the handshake. If that fails, the connection is of no use any more.
    fn secure(&mut self, tls: &TlsOptions, host: &str) -> Result<(), ConnectError> {
        let began = Instant::now();
        let deadline = later(began, self.handshake_timeout);
        let deadline = self.give_up_at.map_or(deadline, |give_up_at| give_up_at.min(deadline));
        match tls.begin(host).and_then(|handshake| self.wire.secure(handshake, deadline)) {
            Ok(secured) => {
                self.circumstances.secured = Some(secured);
                Ok(())
            }
            Err(error) => {
                self.circumstances.note(began.elapsed(), "", &[]);
                self.wire.observer.closed();
                Err(ConnectError::Tls(Box::new(self.circumstances.clone()), error))
            }
        }
    }

    fn note_verified(&mut self) {
        if self.tls().is_some_and(|secured| secured.verified.is_ok()) {
            self.session.handle_server_verified();
        }
    }

    /// Sends one message. The outcome says what became of each recipient, also when the connection broke on the way, and
    /// also when it was over before: then each of them was not tried for the reason for which it ended.
    ///
    /// SIZE and BODY are those of the content, whatever the transaction says, and SMTPUTF8 is said where its header needs it.
    pub fn send(&mut self, transaction: Transaction, content: &Content) -> Result<Outcome, SendError> {
        self.transact(transaction, content, |session, transaction, now| session.start(transaction, now))
    }

    /// Says the envelope of a message and does not send it: `Ok` in the outcome means that the server would take it, as far
    /// as it can tell by then, and never that it has.
    pub fn rehearse(
        &mut self,
        transaction: Transaction,
        content: &Content,
        until: Until,
    ) -> Result<Outcome, SendError> {
        self.transact(transaction, content, |session, transaction, now| session.rehearse(transaction, until, now))
    }

    fn transact(
        &mut self,
        mut transaction: Transaction,
        content: &Content,
        begin: impl FnOnce(&mut ClientSession, Transaction, Duration) -> Result<(), StartError>,
    ) -> Result<Outcome, SendError> {
        self.hear_unasked();
        if let Some(failure) = self.failure_of_next() {
            return Ok(not_tried(transaction, &failure));
        }
        transaction.parameters.size = Some(content.octets());
        transaction.parameters.smtputf8 |= content.has_utf8_header();
        if content.is_eight_bit() && transaction.parameters.body != Some(Body::BinaryMime) {
            transaction.parameters.body = Some(Body::EightBitMime);
        }
        let now = self.now();
        begin(&mut self.session, transaction, now).map_err(SendError::Start)?;
        loop {
            let event = match self.next_event() {
                Event::WantContent => self.send_content(content)?,
                event => event,
            };
            if let Event::Finished(outcome) = event {
                return Ok(self.conclude(outcome));
            }
        }
    }

    /// Says goodbye and waits for the answer, briefly.
    pub fn quit(mut self) {
        self.session.quit(self.now());
        while self.ending.is_none() {
            self.next_event();
        }
    }

    /// Whether another message may be sent over this connection, as far as is known without asking.
    pub fn is_open(&self) -> bool {
        self.ending.is_none()
    }

    /// How the conversation ended, if it did.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// What a message that is to be sent over this connection meets with, if the connection is over.
    pub fn failure_of_next(&self) -> Option<Failure> {
        let cause = match self.ending.as_ref()? {
            Ending::Refused(_, reply) | Ending::Goodbye(reply) => Cause::Refused(reply.clone()),
            Ending::Failed(_, cause) => cause.clone(),
            Ending::Quit | Ending::TlsNotOffered => Cause::ConnectionLost,
        };
        Some(Failure { stage: Stage::Ready, cause })
    }

    /// What the server offers.
    pub fn extensions(&self) -> &Extensions {
        self.session.extensions()
    }

    /// The server.
    pub fn peer(&self) -> &Peer {
        &self.circumstances.peer
    }

    /// How the conversation is protected. `None`: it is in clear.
    pub fn tls(&self) -> Option<&Secured> {
        self.circumstances.secured.as_ref()
    }

    /// Why it is in clear although the server offers TLS and it was tried.
    pub fn tls_failure(&self) -> Option<&str> {
        self.tls_failure.as_deref()
    }

    /// How things stood when the last transaction, or the conversation, ended.
    pub fn circumstances(&self) -> &Circumstances {
        &self.circumstances
    }

    /// Which of these recipients may go in the next transaction, by their places: as many as the server lets go together,
    /// none if it takes no other message over this connection. Over one that has ended, all: [`Connection::send`] tells
    /// them why.
    pub fn room_for<'a>(&self, recipients: impl IntoIterator<Item = &'a ForwardPath>) -> Vec<usize> {
        match self.ending {
            None => self.session.room_for(recipients),
            Some(_) => recipients.into_iter().enumerate().map(|(place, _)| place).collect(),
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Talks until something happens.
    fn next_event(&mut self) -> Event {
        loop {
            match self.handle_input() {
                Event::NeedInput => {
                    self.flush();
                    self.read();
                }
                Event::Closed(ending) => {
                    self.flush();
                    self.end(ending.clone());
                    return Event::Closed(ending);
                }
                event => return event,
            }
        }
    }

    fn handle_input(&mut self) -> Event {
        let (used, event) = self.session.handle(&self.input, self.now());
        let is_broken = match &event {
            Event::Finished(outcome) => Some(outcome.recipients.iter().any(|recipient| is_broken(&recipient.result))),
            Event::Closed(ending) => Some(matches!(ending, Ending::Failed(..))),
            Event::NeedInput | Event::StartTls | Event::Auth(_) | Event::Ready | Event::WantContent => None,
        };
        if let Some(is_broken) = is_broken {
            let input = if is_broken { self.input.as_slice() } else { &[] };
            let lines = if is_broken { self.session.unfinished_reply() } else { String::new() };
            self.circumstances.note(self.said_at.elapsed(), &lines, input);
        }
        self.input.drain(..used);
        event
    }

    fn end(&mut self, ending: Ending) {
        if self.ending.is_none() {
            // Not where something was cut off.
            if self.last_words_until.is_none() {
                self.wire.say_end();
            }
            self.wire.observer.closed();
            self.ending = Some(ending);
        }
    }

    /// What has come since the last reply, without waiting: a 421, a close, or something that must not be taken for the
    /// answer to the next command.
    fn hear_unasked(&mut self) {
        if self.ending.is_some() {
            return;
        }
        self.read_waiting();
        let has_spoken = !self.input.is_empty();
        match self.handle_input() {
            Event::Closed(ending) => self.end(ending),
            // The beginning of a reply, of which the session may have taken whole lines already.
            _ if has_spoken => {
                self.end(Ending::Failed(Stage::Ready, Cause::Reply(ReplyError::Unexpected)));
            }
            _ => {}
        }
    }

    /// Sends the content. Returns what happened if the server did not wait for the end of it, else [`Event::NeedInput`].
    fn send_content(&mut self, content: &Content) -> Result<Event, SendError> {
        self.kind = if self.session.output().is_empty() { Kind::Content } else { Kind::Chunk };
        let mut reader = content.reader();
        while self.last_words_until.is_none() {
            let piece = match next_piece(&mut reader) {
                Ok(piece) => piece,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.abandon(SendError::Content(error))),
            };
            let count = piece.len();
            let written = self.session.write_content(piece, self.now());
            written.map_err(|error| self.abandon(error.into()))?;
            reader.consume(count);
            // The last block and the dot, or the last octet of a chunk, go out in one write, with the reply to wait for right behind.
            let is_end = count == 0;
            if !is_end && self.session.output().len() < BLOCK_OCTETS {
                continue;
            }
            if let Some(event) = self.early_answer() {
                return Ok(event);
            }
            if is_end {
                let finished = self.session.finish_content(self.now());
                finished.map_err(|error| self.abandon(error.into()))?;
            }
            self.flush();
            if is_end {
                break;
            }
        }
        Ok(Event::NeedInput)
    }

    /// What the server says before the end has gone out is no verdict on the message: a refusal or nonsense, and the end
    /// of the conversation, since the rest of the content would be read as commands.
    fn early_answer(&mut self) -> Option<Event> {
        let mut event = self.handle_input();
        if matches!(event, Event::NeedInput) {
            // Only now: what came together with the 354 goes before the end of the stream, which may stand behind it.
            self.read_waiting();
            event = self.handle_input();
        }
        match event {
            Event::NeedInput => None,
            event => {
                self.stop_writing(Instant::now());
                Some(event)
            }
        }
    }

    /// Closes in the middle of the content, so that the server drops what it has.
    fn abandon(&mut self, error: SendError) -> SendError {
        self.stop_writing(Instant::now());
        self.wire.shut_down();
        self.session.handle_connection_lost();
        while self.ending.is_none() {
            self.next_event();
        }
        error
    }

    /// The transaction is over. Learns whether the connection can be used again.
    fn conclude(&mut self, mut outcome: Outcome) -> Outcome {
        if self.last_words_until.is_some() {
            outcome.recipients.iter_mut().for_each(|recipient| without_end(&mut recipient.result));
            self.session.handle_connection_lost();
        }
        loop {
            match self.learn_ending() {
                Event::Closed(ending) => {
                    self.end(ending);
                    return outcome;
                }
                Event::Ready if self.last_words_until.is_some() => {}
                _ => return outcome,
            }
        }
    }

    /// What comes behind the end of a transaction, whose circumstances stay as they are.
    fn learn_ending(&mut self) -> Event {
        let (used, event) = self.session.handle(&self.input, self.now());
        self.input.drain(..used);
        event
    }

    /// Writes what waits. A server that does not read any more may have said why, and what it said is the result, not our
    /// broken pipe: so a failed write leads to one more look for a reply.
    fn flush(&mut self) {
        if self.last_words_until.is_some() || self.session.output().is_empty() {
            return self.session.clear_output();
        }
        let kind = match self.session.stage() {
            Stage::Content | Stage::EndOfContent => std::mem::replace(&mut self.kind, Kind::Content),
            _ if self.session.is_output_secret() => Kind::Secret,
            _ => Kind::Commands,
        };
        let deadline = self.deadline();
        match self.wire.write(self.session.output(), kind, deadline) {
            Ok(()) => {
                self.said_at = Instant::now();
                self.session.clear_output();
            }
            Err(error) => {
                log::debug!("{}: write: {error}", self.peer());
                let patience = if matches!(error, WriteError::Timeout) { Duration::ZERO } else { LAST_WORDS_TIMEOUT };
                self.stop_writing(later(Instant::now(), patience));
            }
        }
    }

    fn stop_writing(&mut self, last_words_until: Instant) {
        self.session.clear_output();
        self.last_words_until = Some(last_words_until);
    }

    fn read(&mut self) {
        let deadline = self.deadline();
        match self.wire.read(&mut self.input, deadline) {
            Ok(0) => self.session.handle_connection_lost(),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => self.session.handle_timeout(),
            Err(error) => {
                log::debug!("{}: read: {error}", self.peer());
                self.session.handle_connection_lost();
            }
        }
    }

    fn read_waiting(&mut self) {
        match self.wire.read_waiting(&mut self.input) {
            Ok(Some(0)) | Err(_) => self.session.handle_connection_lost(),
            Ok(_) => {}
        }
    }

    fn deadline(&self) -> Instant {
        let deadline = later(self.started, self.session.deadline());
        [self.give_up_at, self.last_words_until].into_iter().flatten().fold(deadline, Instant::min)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("peer", &self.peer()).field("ending", &self.ending).finish_non_exhaustive()
    }
}

/// What a result is worth when the dot was not written: there was no end of the content. A server that says 250 all the
/// same has taken over something else.
fn without_end(result: &mut Result<Reply, Failure>) {
    match result {
        Ok(_) => *result = Err(Failure { stage: Stage::EndOfContent, cause: Cause::Reply(ReplyError::Unexpected) }),
        Err(failure) if failure.is_uncertain() => failure.stage = Stage::Content,
        Err(_) => {}
    }
}

/// Whether there is no reply that says why.
fn is_broken(result: &Result<Reply, Failure>) -> bool {
    matches!(result, Err(failure) if !matches!(failure.cause, Cause::Refused(_)))
}

fn not_tried(transaction: Transaction, failure: &Failure) -> Outcome {
    let recipients = transaction.recipients.into_iter();
    let result = |forward_path| RecipientOutcome { forward_path, result: Err(failure.clone()) };
    Outcome { recipients: recipients.map(|recipient| result(recipient.forward_path)).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smtp_proto::reply::Code;

    fn failure(stage: Stage, cause: Cause) -> Failure {
        Failure { stage, cause }
    }

    /// A dot that was not written ends nothing: no acceptance, and no doubt about what was lost on the way.
    #[test]
    fn results_without_an_end_of_the_content() {
        let reply = |code| Reply::new(Code::new(code).unwrap(), None, "text");
        let refused = failure(Stage::EndOfContent, Cause::Refused(reply(552)));
        for (mut result, expected) in [
            (Ok(reply(250)), failure(Stage::EndOfContent, Cause::Reply(ReplyError::Unexpected))),
            (Err(refused.clone()), refused),
            (Err(failure(Stage::EndOfContent, Cause::Timeout)), failure(Stage::Content, Cause::Timeout)),
            (Err(failure(Stage::Rcpt, Cause::ConnectionLost)), failure(Stage::Rcpt, Cause::ConnectionLost)),
        ] {
            without_end(&mut result);
            assert_eq!(result, Err(expected));
        }
    }
}
