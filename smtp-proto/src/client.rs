//! The client's side of a conversation, as a machine without a socket (RFC 5321, 3 and 4).
//!
//! The client starts everything: it waits for the greeting, names itself, and then sends as many messages as it likes,
//! each with its own sender and recipients, before it says goodbye.
//!
//! ```text
//!   Greeting -> Ehlo (-> Helo) -> Ready -> Envelope -> Content -> Verdict -> Ready -> ... -> Quit -> Closed
//! ```
//!
//! Three rules. *Every reply belongs to one command*, in the order in which the commands went out: replies are matched by
//! counting (RFC 2920, 3.1), and one that belongs to none ends the connection. *Every recipient gets one result*, with the
//! whole reply that decided it; a refused recipient does not stop the others. *Nothing counts as sent before the server
//! has said 250 to the end of the content*; a connection that is lost before is a "not now" (RFC 5321, 3.8).
//!
//! The driver's loop: write [`ClientSession::output`], read, [`ClientSession::handle`], act on the event:
//!
//! ```text
//!   StartTls     -> the handshake, then handle_tls_established(); or close the connection
//!   Ready        -> start(transaction), rehearse(transaction), authenticate() or quit()
//!   Auth         -> behind authenticate(): respond() or cancel_auth(), until it is over
//!   WantContent  -> write_content(octets)... finish_content()
//!   Finished     -> the outcome of a transaction, recipient by recipient
//!   Closed       -> close the connection; why is said
//!   NeedInput    -> write output(), read again, until deadline()
//! ```
//!
//! With [`Tls::Try`] or [`Tls::Require`] the client asks for TLS (RFC 3207) before it says anything else. The handshake is the
//! driver's, the rules are here: what the server said before is forgotten, EHLO is said again, and not an octet that was sent
//! in clear is read as if it had come under TLS.
//!
//! ```text
//!   Ehlo -> StartTls -> Handshake -> Ehlo -> Ready -> ...
//! ```
//!
//! With CHUNKING (RFC 3030), where the configuration asks for it and the server offers it, the content goes out as one
//! chunk, `BDAT size LAST`, instead of DATA: no 354, no dots, and not one octet more or less than announced.
//!
//! With LIMITS (RFC 9422) the server has said how much it takes over one connection. [`ClientSession::start`] keeps to it, and
//! [`ClientSession::room_for`] tells who may go in the next transaction, so that a long list is divided before anybody has
//! to be refused.
//!
//! With [`Protocol::Lmtp`] the client speaks LMTP (RFC 2033), in which a host hands messages to its mailboxes: LHLO instead of
//! EHLO, and behind the content one reply for each accepted recipient instead of one for all:
//!
//! ```text
//!   Greeting -> Lhlo -> Ready -> Envelope -> Content -> Verdicts -> Ready -> ... -> Quit -> Closed
//! ```
//!
//! With PIPELINING (RFC 2920) the envelope goes out in groups: at most [`crate::limits::OUTSTANDING_COMMANDS`] commands and
//! [`crate::limits::OUTSTANDING_OCTETS`] octets without a reply, so that neither side can block on a full window.

mod auth;
mod content;
mod envelope;
mod outcome;
mod state;
mod tls;
mod used;
mod verdicts;

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use zeroize::{Zeroize as _, Zeroizing};

use crate::address::{Domain, ForwardPath};
use crate::command::{Command, HelloName};
use crate::extension::{Extension, Extensions};
use crate::reply::Reply;
use crate::reply_parser::{ReplyError, ReplyParser};
use crate::transaction::Transaction;
pub use auth::AuthEvent;
pub use content::ContentError;
use envelope::{Carriage, Envelope};
pub use outcome::{Cause, Failure, Outcome, RecipientOutcome, Stage};
use state::State;
pub use tls::Tls;
use used::Used;
use verdicts::Verdicts;

/// What a session is told about the host it runs on.
#[derive(Clone, Debug)]
pub struct Config {
    /// How the client names itself: the host's name, or its address literal if it has none (RFC 5321, 4.1.4).
    pub hello_name: Domain,
    /// What is spoken.
    pub protocol: Protocol,
    /// Whether the connection is under TLS, or is to be.
    pub tls: Tls,
    /// Whether commands may go out in groups where the server allows it.
    pub pipelining: bool,
    /// Whether content of known size goes out with BDAT where the server allows it.
    pub chunking: bool,
    /// How long each reply may take.
    pub timeouts: Timeouts,
}

/// The two protocols, which share their commands and differ in who answers for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Protocol {
    /// The server takes over the message or does not, for all accepted recipients.
    #[default]
    Smtp,
    /// The server has no queue: it delivers while the client waits, and says for each accepted recipient what came of it
    /// (RFC 2033).
    Lmtp,
}

/// How long the client waits, phase by phase. The defaults are the least of RFC 5321, 4.5.3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the greeting: five minutes. A loaded server accepts the connection and greets later (4.5.3.2.1).
    pub greeting: Duration,
    /// For the replies to EHLO, HELO and RSET: five minutes.
    pub hello: Duration,
    /// For the reply to STARTTLS, and again for all of the handshake behind it: two minutes. No RFC says how long.
    pub tls: Duration,
    /// For each reply in the dialogue of AUTH: two minutes. No RFC says how long; checking a password may take seconds.
    pub auth: Duration,
    /// For the reply to MAIL: five minutes (4.5.3.2.2).
    pub mail: Duration,
    /// For the reply to RCPT: five minutes (4.5.3.2.3).
    pub rcpt: Duration,
    /// For the 354 behind DATA: two minutes (4.5.3.2.4).
    pub data: Duration,
    /// For each block of content to be taken: three minutes (4.5.3.2.5).
    pub block: Duration,
    /// For the reply to the end of the content: ten minutes, since giving up too early makes two copies of the message
    /// (4.5.3.2.6; RFC 1047).
    pub end_of_content: Duration,
    /// For the reply to QUIT, which changes nothing any more.
    pub quit: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        Timeouts {
            greeting: minutes(5),
            hello: minutes(5),
            tls: minutes(2),
            auth: minutes(2),
            mail: minutes(5),
            rcpt: minutes(5),
            data: minutes(2),
            block: minutes(3),
            end_of_content: minutes(10),
            quit: Duration::from_secs(5),
        }
    }
}

impl Config {
    /// The defaults for a host of this name.
    pub fn new(hello_name: Domain) -> Self {
        Config {
            hello_name,
            protocol: Protocol::Smtp,
            tls: Tls::None,
            pipelining: true,
            chunking: false,
            timeouts: Timeouts::default(),
        }
    }
}

/// Where a rehearsal ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Behind MAIL: would the sender be taken?
    Mail,
    /// Behind the last RCPT: would each recipient?
    Rcpt,
}

/// What the driver is to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Write [`ClientSession::output`], then read more.
    NeedInput,
    /// The server awaits the handshake: no octet of the input is left, and none that comes is SMTP before
    /// [`ClientSession::handle_tls_established`]. If the handshake fails, close the connection.
    StartTls,
    /// No transaction is open: start one, or quit.
    Ready,
    /// Something has come of [`ClientSession::authenticate`].
    Auth(AuthEvent),
    /// Somebody wants the message, and 354 was said or BDAT will do without it: hand in its content.
    WantContent,
    /// The transaction is over. [`Event::Ready`] or [`Event::Closed`] follows.
    Finished(Outcome),
    /// The conversation is over: write what is left in [`ClientSession::output`] and close the connection.
    Closed(Ending),
}

/// How a conversation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// After QUIT, in order.
    Quit,
    /// The server would not talk to us: its reply to the connection, to EHLO or to HELO.
    Refused(Stage, Reply),
    /// The server does not offer STARTTLS, and without TLS nothing may be said ([`Tls::Require`]).
    TlsNotOffered,
    /// The server ended it, with 421 or its like, at a moment when nothing was under way.
    Goodbye(Reply),
    /// It broke.
    Failed(Stage, Cause),
}

/// Why a transaction cannot even be started on this connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// The session is not ready for one.
    NotReady,
    /// There is no recipient.
    NoRecipients,
    /// An address needs SMTPUTF8, or a header field does and the caller has said so, and the server has none (RFC 6531, 3.2
    /// and 3.4). Permanent: 5.6.7.
    NeedsSmtpUtf8,
    /// The content needs 8BITMIME and the server has none (RFC 6152, 3), or it needs BINARYMIME, for which there is no
    /// support (RFC 3030, 3). Permanent: 5.6.3.
    NeedsEightBitMime,
    /// The message is larger than the server takes (RFC 1870, 6.1). Permanent: 5.3.4.
    TooBig {
        /// The server's limit.
        limit_octets: u64,
    },
    /// The message must go under TLS to a server that has proved who it is, and this one has not, or there is no TLS (RFC
    /// 8689, 4.2.1). Permanent: 5.7.10.
    NeedsVerifiedTls,
    /// The message must go to a server that offers REQUIRETLS, and this one does not (RFC 8689, 4.2.1). Permanent: 5.7.30.
    NeedsRequireTls,
    /// A command would be longer than a command line may be.
    LineTooLong,
    /// There are more recipients than the server takes in one transaction (RFC 9422, 4.2): divide them.
    TooManyRecipients {
        /// The server's limit.
        limit: usize,
    },
    /// The server has had as many MAIL commands as it takes over one connection (RFC 9422, 4.1): open another.
    TooManyMails {
        /// The server's limit.
        limit: usize,
    },
    /// The recipients are at more domains than the server takes over one connection, those before them included (RFC 9422,
    /// 4.3): send to some of them over another.
    TooManyDomains {
        /// The server's limit.
        limit: usize,
    },
}

impl StartError {
    /// Whether the same message may be sent at another time, in more transactions or over another connection.
    pub fn is_transient(&self) -> bool {
        match self {
            StartError::NotReady
            | StartError::TooManyRecipients { .. }
            | StartError::TooManyMails { .. }
            | StartError::TooManyDomains { .. } => true,
            StartError::NoRecipients
            | StartError::NeedsSmtpUtf8
            | StartError::NeedsEightBitMime
            | StartError::NeedsVerifiedTls
            | StartError::NeedsRequireTls
            | StartError::TooBig { .. }
            | StartError::LineTooLong => false,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::NotReady => f.write_str("the session is not ready for a transaction"),
            StartError::NoRecipients => f.write_str("the message has no recipient"),
            StartError::NeedsSmtpUtf8 => {
                f.write_str("an address or a header field is not ASCII and the server does not offer SMTPUTF8")
            }
            StartError::NeedsEightBitMime => {
                f.write_str("the message holds 8-bit or binary octets and the server does not offer to carry them")
            }
            StartError::TooBig { limit_octets } => {
                write!(f, "the message is larger than the {limit_octets} octets that the server takes")
            }
            StartError::NeedsVerifiedTls => f.write_str(
                "the sender requires TLS (REQUIRETLS) with a server that has proved who it is, and this one has not",
            ),
            StartError::NeedsRequireTls => {
                f.write_str("the sender requires TLS on the whole way (REQUIRETLS), and the server does not offer that")
            }
            StartError::LineTooLong => f.write_str("an address and its parameters are too long for one command"),
            StartError::TooManyRecipients { limit } => {
                write!(f, "the server takes at most {limit} recipients in one transaction")
            }
            StartError::TooManyMails { limit } => {
                write!(f, "the server takes at most {limit} messages over one connection")
            }
            StartError::TooManyDomains { limit } => {
                write!(f, "the server takes recipients at no more than {limit} domains over one connection")
            }
        }
    }
}

impl std::error::Error for StartError {}

/// One conversation with one server.
pub struct ClientSession {
    config: Config,
    state: State,
    extensions: Extensions,
    used: Used,
    replies: ReplyParser,
    events: VecDeque<Event>,
    output: Vec<u8>,
    deadline: Duration,
    /// The server still holds a transaction that was given up; RSET must come first.
    needs_reset: bool,
    /// Commands in `output` that the server cannot have read yet.
    unwritten_commands: usize,
    is_output_secret: bool,
    is_authenticated: bool,
    /// It has proved under TLS that it is the one who was to be called.
    is_server_verified: bool,
}

impl ClientSession {
    /// A session whose connection was opened just now.
    pub fn new(config: Config) -> Self {
        ClientSession {
            deadline: config.timeouts.greeting,
            config,
            state: State::Greeting,
            extensions: Extensions::default(),
            used: Used::default(),
            replies: ReplyParser::default(),
            events: VecDeque::new(),
            output: Vec::new(),
            needs_reset: false,
            unwritten_commands: 0,
            is_output_secret: false,
            is_authenticated: false,
            is_server_verified: false,
        }
    }

    /// Takes input. Returns the octets used up, and what to do before handing in the rest.
    pub fn handle(&mut self, input: &[u8], now: Duration) -> (usize, Event) {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            // Nobody has asked anything yet that this could be the answer to; the next command must not take it for its own.
            // Behind the reply to STARTTLS it was put in by somebody who wants it to be read as if it came under TLS.
            if matches!(
                self.events.front(),
                Some(Event::Ready | Event::StartTls | Event::Auth(AuthEvent::Challenge(_)))
            ) && !rest.is_empty()
            {
                self.events.pop_front();
                self.handle_unasked(rest, now);
                used = input.len();
                continue;
            }
            if let Some(event) = self.events.pop_front() {
                return (used, event);
            }
            if !rest.is_empty() && self.is_before_its_command() {
                self.handle_unasked(rest, now);
                used = input.len();
                continue;
            }
            match self.replies.handle(rest) {
                Ok((step, None)) => return (used + step, Event::NeedInput),
                Ok((step, Some(reply))) => {
                    used += step;
                    self.handle_reply(reply, now);
                }
                Err(error) => {
                    used = input.len();
                    self.fail(Cause::Reply(error));
                }
            }
        }
    }

    /// Whether what comes now comes before the server can have read the command that it would be the answer to. Whoever
    /// answers before the question is no server that anybody should believe, or the answer was put in by somebody else.
    fn is_before_its_command(&self) -> bool {
        match &self.state {
            State::Ehlo
            | State::Helo
            | State::Lhlo
            | State::StartTls
            | State::Dialogue(_)
            | State::EmptyContent(_)
            | State::Quit(_) => self.unwritten_commands > 0,
            State::Envelope(envelope) => envelope.outstanding_commands() <= self.unwritten_commands,
            State::Challenged => true,
            State::Greeting | State::Handshake | State::Ready | State::Closed => false,
            // There is nothing but content, and the driver looks up before it says the end of it.
            State::Content(..) | State::Verdict(_) | State::Verdicts(_) => false,
        }
    }

    /// A 421 is heard; anything else that nobody asked for ends the conversation too.
    fn handle_unasked(&mut self, input: &[u8], now: Duration) {
        match self.replies.handle(input) {
            Ok((_, Some(reply))) if reply.is_closing() || matches!(self.state, State::Ready) => {
                self.handle_reply(reply, now);
            }
            _ => self.fail(Cause::Reply(ReplyError::Unexpected)),
        }
    }

    /// The server has closed its side, or the connection broke.
    pub fn handle_connection_lost(&mut self) {
        self.fail(Cause::ConnectionLost);
    }

    /// [`ClientSession::deadline`] has passed.
    pub fn handle_timeout(&mut self) {
        self.fail(Cause::Timeout);
    }

    /// When [`ClientSession::handle_timeout`] must be called, as time since the start.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// What the server offers, once it has answered EHLO.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// What waits for the server's reply.
    pub fn stage(&self) -> Stage {
        self.state.stage()
    }

    /// What has come of a reply whose last line has not, for people: `250-first; 250-second`. Complete lines only, escaped
    /// as in a [`Reply`]. Empty if there are none; when the conversation broke, it tells how far the server had got.
    pub fn unfinished_reply(&self) -> String {
        self.replies.unfinished()
    }

    /// Commands and content that wait to be written.
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    /// They are written.
    pub fn clear_output(&mut self) {
        self.unwritten_commands = 0;
        if std::mem::take(&mut self.is_output_secret) {
            self.output.zeroize();
        }
        self.output.clear();
    }

    /// Starts a transaction. SIZE, BODY and SMTPUTF8 are sent where the server offers them and left out where it does not
    /// (RFC 5321, 4.1.1: only what was offered); what cannot do without is refused here. A size in the parameters must be
    /// the exact one if [`Config::chunking`] is on: it is what BDAT announces.
    pub fn start(&mut self, transaction: Transaction, now: Duration) -> Result<(), StartError> {
        let has_chunking = self.config.chunking && self.extensions.has(&Extension::Chunking);
        let carriage = match transaction.parameters.size {
            Some(size) if has_chunking => Carriage::Bdat(size),
            _ => Carriage::Data,
        };
        self.begin(transaction, carriage, now)
    }

    /// Says the envelope and sends nothing: to find out what the server would say to it. **No message is taken over**,
    /// whatever the outcome says: in it, `Ok` means that the server would take the message for this recipient, and holds its
    /// reply to RCPT (or to MAIL, if that is where the rehearsal ends), never one to a content.
    ///
    /// [`Event::Ready`] or [`Event::Closed`] follows, as behind [`ClientSession::start`]; there is never an
    /// [`Event::WantContent`]. The server is left with an open transaction, which the next one clears away with RSET, and
    /// which QUIT leaves behind (RFC 5321, 4.1.1.10). A rehearsal counts as a MAIL command like any other (RFC 9422, 4.1).
    pub fn rehearse(&mut self, transaction: Transaction, until: Until, now: Duration) -> Result<(), StartError> {
        self.begin(transaction, Carriage::Nothing(until), now)
    }

    /// The places of those recipients who may go in the next transaction, so that [`ClientSession::start`] would refuse it
    /// for no limit of the server's. The others go in the one after, or over another connection: nobody, if this one may
    /// carry no more. A connection that has carried nothing yet has room for one at least.
    pub fn room_for<'a>(&self, recipients: impl IntoIterator<Item = &'a ForwardPath>) -> Vec<usize> {
        match self.state {
            State::Ready => self.used.room_for(recipients.into_iter(), self.extensions.limits()),
            _ => Vec::new(),
        }
    }

    fn begin(&mut self, mut transaction: Transaction, carriage: Carriage, now: Duration) -> Result<(), StartError> {
        if !matches!(self.state, State::Ready) {
            return Err(StartError::NotReady);
        }
        // RFC 4954, 5: AUTH= is for servers to which we have authenticated; others may not want to know the parameter.
        transaction.parameters.auth = transaction.parameters.auth.filter(|_| self.is_authenticated);
        self.check_require_tls(&mut transaction)?;
        let has_pipelining = self.config.pipelining && self.extensions.has(&Extension::Pipelining);
        let envelope = Envelope::new(transaction, &self.extensions, carriage, has_pipelining, self.needs_reset)?;
        self.used.begin(envelope.named(), self.extensions.limits())?;
        self.needs_reset = false;
        self.state = State::Envelope(Box::new(envelope));
        self.send_envelope(now);
        Ok(())
    }

    /// Hands in octets of the message, in pieces of any size and with LF or CRLF as line ends. Write
    /// [`ClientSession::output`] often: it grows by what is handed in.
    ///
    /// An error is final for this message. There is no way to take back what was sent but to close the connection without
    /// the end: [`ClientSession::handle_connection_lost`] then gives the outcome.
    pub fn write_content(&mut self, octets: &[u8], now: Duration) -> Result<(), ContentError> {
        if let State::Content(_, content) = &mut self.state {
            self.deadline = now.saturating_add(self.config.timeouts.block);
            content.write(octets, &mut self.output)?;
        }
        Ok(())
    }

    /// The message is complete. The same errors as from [`ClientSession::write_content`], to the same end.
    pub fn finish_content(&mut self, now: Duration) -> Result<(), ContentError> {
        if let State::Content(_, content) = &self.state {
            content.clone().finish(&mut self.output)?;
        }
        self.state = match std::mem::replace(&mut self.state, State::Closed) {
            State::Content(envelope, _) => {
                self.deadline = now.saturating_add(self.config.timeouts.end_of_content);
                match self.config.protocol {
                    Protocol::Smtp => State::Verdict(envelope),
                    Protocol::Lmtp => State::Verdicts(Verdicts::new(envelope)),
                }
            }
            state => state,
        };
        Ok(())
    }

    /// Says goodbye. A client "MUST NOT intentionally close the transmission channel until it sends a QUIT command"
    /// (RFC 5321, 4.1.1.10); inside an open transaction there is nothing to do but to close.
    pub fn quit(&mut self, now: Duration) {
        if matches!(self.state, State::Ready) {
            self.state = State::Quit(Ending::Quit);
            self.send(&Command::Quit, self.config.timeouts.quit, now);
        }
    }

    fn send(&mut self, command: &dyn fmt::Display, timeout: Duration, now: Duration) {
        // It may hold a password.
        let line = Zeroizing::new(command.to_string());
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
        self.unwritten_commands += 1;
        self.deadline = now.saturating_add(timeout);
    }

    fn hello(&self) -> HelloName {
        HelloName::Domain(self.config.hello_name.clone())
    }
}

/// Not [`ClientSession::output`], in which a password may stand.
impl fmt::Debug for ClientSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSession")
            .field("state", &self.state)
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

/// `LHLO client.example` (RFC 2033, 4.1). It is no [`Command`], since those are what a server of SMTP understands, and no such
/// server may take this one for a hello.
struct Lhlo(HelloName);

impl fmt::Display for Lhlo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LHLO {}", self.0)
    }
}

#[cfg(test)]
mod tests;
