//! The server's side of a conversation, as a machine without a socket (RFC 5321, 3 and 4).
//!
//! Two rules. *Every transition is decided here* (in `state`), and *a refused command leaves the state as it was*: the
//! client may try something else (RFC 5321, 4.1.4). Two exceptions: the end of the content always ends the transaction,
//! whatever the answer (RFC 5321, 4.1.1.4), and a refused chunk of a message ends it too (RFC 3030, 2).
//!
//! ```text
//!              Connect?             Hello?             Mail?              Rcpt?
//!   Connecting ------> Greeted ------------> Ready ------------> Mail <---------.
//!        |                 ^                  ^ ^                 |  \__________|
//!        v                 |                  | |  RSET, EHLO     |
//!     Refused              |                  | `-----------------+
//!   (554 was the greeting; |                  |                   | Content?
//!    QUIT is all there is) |                  |  EndOfContent?    v
//!                          |                  `---------------- Content
//!                        Start                   250 or refusal
//! ```
//!
//! Content may also come in chunks, by BDAT (RFC 3030). Then commands stand between its parts, and a chunk is read to its
//! last octet in whatever state, since what it holds must never be taken for commands:
//!
//! ```text
//!              Content?           its octets        BDAT
//!        Mail ---------> Chunk ---------------> Chunks ----> Chunk ...     LAST: EndOfContent?, then Ready
//!                          |                       |
//!                          | refused               | RSET, EHLO
//!                          v                       v
//!   any state ------->  Discard ---> Spoilt ---> Ready      a refused LAST leads to Ready at once; outside of a
//!              BDAT      its octets,     RSET, EHLO         message the state stays as it was
//!                        then the reply
//! ```
//!
//! Each `?` is a [`Question`]: the machine checks first whether a command may come now and is well formed, then the driver
//! asks its policy, and [`ServerSession::decide`] brings the answer. The driver's loop is dull:
//!
//! ```text
//!   read octets -> handle(octets) -> Question   -> ask, decide(answer) -> handle the rest
//!                                    Content    -> write the slice to disk -> handle the rest
//!                                    Dropped    -> drop what was written   -> handle the rest
//!                                    StartTls   -> write output(), shake hands, handle_tls_established()
//!                                    NeedInput  -> write output(), read again
//!                                    Close      -> write output(), close
//! ```
//!
//! Not here: sockets, clocks (`now` is time since the connection came in, as a number), and who may send what to whom.
//! STARTTLS, where it is offered, leads back to `Greeted` (`tls`); AUTH, where it is, from `Ready` to `Ready` (`auth`). Nothing
//! is announced that is not honoured.

mod auth;
mod chunks;
mod content;
mod pace;
mod replies;
mod state;
mod tls;

use std::borrow::Cow;
use std::time::Duration;

use crate::address::Domain;
use crate::command::{self, HelloName};
use crate::content::LineEnds;
use crate::extension::{Extension, Extensions, Limits};
use crate::limits;
use crate::line::{Line, LineReader};
use crate::reply::Reply;
use crate::sasl::Mechanism;
use crate::secret::Secret;
use crate::trace::Protocol;
use crate::transaction::{Recipient, Transaction};
pub use auth::AuthAnswer;
use state::{Asked, State};

/// What a session is told about the host and its limits.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name in the greeting and the EHLO reply.
    pub hostname: Domain,
    /// What counts as a line end.
    pub line_ends: LineEnds,
    /// The largest message in octets, announced with SIZE.
    pub message_octets: u64,
    /// Whether STARTTLS is offered to clients that talk in clear.
    pub starttls: bool,
    /// Whether a client must prove who it is before it says anything about mail, as on a port for submissions (RFC 6409, 4.3).
    pub requires_auth: bool,
    /// Whether reports to senders are made as RFC 3461 asks, so that DSN may be announced.
    pub dsn: bool,
    /// Whether messages go on as RFC 8689 asks, so that REQUIRETLS may be announced, to clients under TLS.
    pub require_tls: bool,
    /// Recipients of one transaction, announced with LIMITS.
    pub recipients: usize,
    /// MAIL commands of one session, whatever becomes of them, announced with LIMITS: beyond, 421 (RFC 9422, 4.1). At
    /// least 1. `None`, the default: as many as come, since a session that moves mail is what we are here for, and one
    /// that moves none has its end by [`Config::fruitless_commands`].
    pub mails: Option<usize>,
    /// Commands that are wrong in themselves, since the last message: beyond, 421 (RFC 5321, 7.8; Postfix: 20).
    pub errors: usize,
    /// Commands that move no mail (refused ones, NOOP, RSET, VRFY, HELP, EHLO), since the last message: beyond, 421.
    pub fruitless_commands: usize,
    /// How long the next command may take. RFC 5321, 4.5.3.2.7: at least five minutes.
    pub command_timeout: Duration,
    /// How long the content may stand still.
    pub content_timeout: Duration,
    /// Octets a second that the content must reach on average, once [`Config::content_timeout`] is over. A peer that
    /// dribbles does not hold its thread for ever: with the defaults, the largest message has 37 hours.
    pub content_octets_per_second: u64,
}

impl Config {
    /// The defaults for a host of this name.
    pub fn new(hostname: Domain) -> Self {
        Config {
            hostname,
            line_ends: LineEnds::Strict,
            message_octets: limits::MESSAGE_OCTETS,
            starttls: false,
            requires_auth: false,
            dsn: false,
            require_tls: false,
            recipients: limits::RECIPIENTS,
            mails: None,
            errors: 20,
            fruitless_commands: 1_000,
            command_timeout: Duration::from_secs(300),
            content_timeout: Duration::from_secs(300),
            content_octets_per_second: 500,
        }
    }
}

/// What the driver is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Write [`ServerSession::output`], then read more.
    NeedInput,
    /// Ask [`ServerSession::question`] and call [`ServerSession::decide`].
    Question,
    /// Octets of the message, dots removed, lines ending in CRLF (but a last line that came in a chunk, perhaps).
    Content(&'a [u8]),
    /// The content that was handed out, if any was, is refused or taken back: drop it.
    Dropped,
    /// Write [`ServerSession::output`], which is 220, and hold the TLS handshake. Then call
    /// [`ServerSession::handle_tls_established`]; if it fails, close without a word (RFC 3207, 4.1).
    StartTls,
    /// Write [`ServerSession::output`] and close the connection.
    Close,
}

/// What the policy is asked.
#[derive(Clone, Copy, Debug)]
pub enum Question<'a> {
    /// May this peer talk to us at all?
    Connect,
    /// May a client of this name go on?
    Hello(&'a HelloName),
    /// Can a handshake begin now? A refusal should be a 454, and the client may go on in clear (RFC 3207, 4).
    StartTls,
    /// A client wants to prove who it is, by this mechanism, which was offered. Its first message, if it came along; without
    /// it, the client wants to be asked. Answered by [`ServerSession::answer_auth`].
    AuthBegins(Mechanism, Option<&'a Secret>),
    /// The client's answer to the challenge. Answered in the same way.
    AuthGoesOn(&'a Secret),
    /// May this sender open a transaction?
    Mail(&'a Transaction),
    /// Is this recipient taken, in this transaction?
    Rcpt(&'a Transaction, &'a Recipient),
    /// May the content come? The place to open a file; the last one where "not now" costs the client nothing.
    Content(&'a Transaction),
    /// The content is complete. An acceptance is a promise: the message must be on disk before it is given.
    EndOfContent(&'a Transaction),
}

/// What the policy answers.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Yes, in the usual words.
    Accept,
    /// Yes, in these words. Only the end of the content has room for them.
    AcceptAs(Cow<'static, str>),
    /// No. A 4yz or 5yz reply; 421 and 521 close the connection.
    Refuse(Reply),
}

impl Decision {
    /// A refusal: `Decision::refuse::<550>(7, 1, "Only Bob has a mailbox here")` is `550 5.7.1 Only Bob ...`. A code that
    /// refuses nothing does not compile.
    pub fn refuse<const CODE: u16>(subject: u16, detail: u16, text: impl Into<Cow<'static, str>>) -> Self {
        const { assert!(CODE >= 400 && CODE <= 599) };
        Decision::Refuse(Reply::literal::<CODE>(subject, detail, text))
    }
}

/// Why the driver ends a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The server is stopping.
    Drain,
    /// Others wait and this session has been quiet for longest.
    Evict,
    /// [`ServerSession::deadline`] has passed.
    Deadline,
    /// Something broke on our side.
    Failure,
}

/// How TLS begins: a handshake record of version 3 (RFC 8446, 5.1). No SMTP command begins with a control character.
const TLS_HANDSHAKE: &[u8] = &[0x16, 0x03];

/// One conversation with one client.
#[derive(Debug)]
pub struct ServerSession {
    config: Config,
    state: State,
    lines: LineReader,
    output: Vec<u8>,
    deadline: Duration,
    mails: usize,
    errors: usize,
    fruitless_commands: usize,
    is_tls: bool,
    /// What AUTH may name.
    mechanisms: Vec<Mechanism>,
    user: Option<String>,
    auth_failures: usize,
}

impl ServerSession {
    /// A session whose connection came in just now. The first event is [`Question::Connect`].
    pub fn new(config: Config) -> Self {
        ServerSession {
            state: State::Asked(Asked::Connect),
            lines: LineReader::new(config.line_ends),
            output: Vec::new(),
            deadline: config.command_timeout,
            mails: 0,
            errors: 0,
            fruitless_commands: 0,
            is_tls: false,
            mechanisms: Vec::new(),
            user: None,
            auth_failures: 0,
            config,
        }
    }

    /// Takes input. Returns the octets used up, and what to do before handing in the rest.
    ///
    /// An octet before the greeting was written is a client that does not wait, and a client that does not wait does not
    /// listen either: it is turned away (RFC 5321, 4.3.1). The driver finds out by handing in what has come so far.
    pub fn handle<'a>(&mut self, input: &'a [u8], now: Duration) -> (usize, Event<'a>) {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            let (step, event) = match &self.state {
                State::Asked(Asked::Connect) if !rest.is_empty() => {
                    self.close_with(replies::early_talker());
                    (rest.len(), Some(Event::Close))
                }
                State::Asked(_) => (0, Some(Event::Question)),
                State::Closed => (rest.len(), Some(Event::Close)),
                State::Content(_) => self.handle_content(rest, now),
                State::Chunk(_) => self.handle_chunk(rest, now),
                State::Discard(_) => self.handle_discard(rest, now),
                State::Dropping(_) => (0, Some(self.drop_message())),
                State::Handshake => (0, Some(Event::StartTls)),
                State::Refused
                | State::Greeted
                | State::Dialogue(_)
                | State::Ready(_)
                | State::Mail(..)
                | State::Chunks(_)
                | State::Spoilt(..) => self.handle_line(rest, now),
            };
            used += step;
            if let Some(event) = event {
                return (used, event);
            }
        }
    }

    /// `None` asks to be called again with the rest of the input.
    fn handle_line<'a>(&mut self, input: &'a [u8], now: Duration) -> (usize, Option<Event<'a>>) {
        if self.lines.is_at_line_start() && input.starts_with(TLS_HANDSHAKE) {
            // It waits for an answer in TLS before it sends another octet; five minutes later it would still wait.
            self.close_with(replies::foreign_protocol());
            return (input.len(), None);
        }
        let (used, line) = self.lines.read(input, self.most_line_octets(input));
        match line {
            Line::NeedInput => return (used, Some(Event::NeedInput)),
            Line::Complete(line) if matches!(self.state, State::Dialogue(_)) => self.handle_auth_line(line),
            Line::TooLong(_) if matches!(self.state, State::Dialogue(_)) => {
                self.end_dialogue(replies::auth_line_too_long());
            }
            Line::TooLong(start) if command::is_auth(&start) => self.error(replies::auth_line_too_long()),
            Line::Complete(line) => self.handle_command(line, used < input.len(), now),
            Line::TooLong(start) if command::is_bdat(&start) => self.close_with(replies::unreadable_chunk()),
            Line::TooLong(_) => self.error(replies::line_too_long()),
            Line::Endless => self.close_with(replies::endless_line()),
            Line::BareLineFeed => self.close_with(replies::bare_line_feed()),
        }
        self.expect_input(now);
        (used, None)
    }

    /// What [`Event::Question`] asks. `None` if nothing is asked.
    pub fn question(&self) -> Option<Question<'_>> {
        match &self.state {
            State::Asked(asked) => Some(asked.question()),
            _ => None,
        }
    }

    /// Answers the question. An answer to which there is no question changes nothing.
    pub fn decide(&mut self, decision: Decision, now: Duration) {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Asked(asked) => self.answer(asked, decision, now),
            state => return self.state = state,
        }
        self.expect_input(now);
    }

    /// The content cannot be stored any more (the disk is full, say): what still comes is read and forgotten, and at its
    /// end the client hears this reply.
    pub fn refuse_content(&mut self, reply: Reply) {
        match &mut self.state {
            State::Content(content) => content.refuse(reply),
            State::Chunk(_) => self.refuse_chunk(replies::refusal(reply)),
            _ => {}
        }
    }

    /// Ends the session in the words that the reason asks for. The next event is [`Event::Close`].
    pub fn handle_close(&mut self, reason: CloseReason) {
        match self.state {
            State::Closed => {}
            // Words in clear would be taken for TLS.
            State::Handshake => self.state = State::Closed,
            _ => self.close_with(replies::closing(reason)),
        }
    }

    /// The peer has closed its side. An open transaction is forgotten (RFC 5321, 4.1.1.10).
    pub fn handle_end_of_input(&mut self) {
        self.state = State::Closed;
    }

    /// When the driver must call [`ServerSession::handle_close`] with [`CloseReason::Deadline`], as time since the start.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Replies that wait to be written.
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    /// The replies are written.
    pub fn clear_output(&mut self) {
        self.output.clear();
    }

    /// Whether the client is in no transaction, so that ending the session now loses no work.
    pub fn is_between_transactions(&self) -> bool {
        matches!(
            self.state,
            State::Refused
                | State::Greeted
                | State::Handshake
                | State::Dialogue(_)
                | State::Ready(_)
                | State::Spoilt(..)
                | State::Closed
        )
    }

    /// How the client named itself, if it did.
    pub fn hello(&self) -> Option<&HelloName> {
        self.state.client().map(|client| &client.hello)
    }

    /// How a message of this session counts as received.
    pub fn protocol(&self) -> Protocol {
        let has_smtputf8 = self.state.transaction().is_some_and(|transaction| transaction.parameters.smtputf8);
        let (tls, auth) = (self.is_tls, self.user.is_some());
        match self.state.client() {
            Some(client) if client.is_extended && has_smtputf8 => Protocol::Utf8Smtp { tls, auth },
            Some(client) if client.is_extended => Protocol::Esmtp { tls, auth },
            _ => Protocol::Smtp,
        }
    }

    /// What the EHLO reply announces: all that is honoured now, and nothing else (RFC 5321, 4.1.1.1 and 4.2.4).
    pub fn extensions(&self) -> Extensions {
        let config = &self.config;
        let limits = Limits {
            mails: config.mails.and_then(Limits::announced),
            recipients: Limits::announced(config.recipients),
            recipient_domains: None,
        };
        let mut extensions = vec![
            Extension::Size(Some(config.message_octets)),
            Extension::Pipelining,
            Extension::EightBitMime,
            Extension::SmtpUtf8,
            Extension::EnhancedStatusCodes,
            Extension::Chunking,
        ];
        extensions.extend(self.offers_starttls().then_some(Extension::StartTls));
        let names = self.mechanisms.iter().map(|mechanism| mechanism.name().to_owned());
        extensions.extend((!self.mechanisms.is_empty()).then(|| Extension::Auth(names.collect())));
        extensions.extend(config.dsn.then_some(Extension::Dsn));
        extensions.extend(self.offers_require_tls().then_some(Extension::RequireTls));
        extensions.extend([Extension::Limits(limits), Extension::Help]);
        Extensions::new(extensions)
    }

    /// From now on the client has its time for what must come next.
    fn expect_input(&mut self, now: Duration) {
        let config = &self.config;
        let command = now.saturating_add(config.command_timeout);
        self.deadline = match &self.state {
            State::Content(content) => content.pace.deadline(config, now),
            State::Chunk(chunk) => chunk.message.pace.deadline(config, now),
            State::Discard(discard) => discard.pace.deadline(config, now),
            // Commands between the chunks must not be a way to dribble.
            State::Chunks(message) => command.min(message.pace.deadline(config, now)),
            _ => command,
        };
    }

    fn reply(&mut self, reply: &Reply) {
        reply.write_to(&mut self.output);
        if reply.is_closing() {
            self.state = State::Closed;
        }
    }

    fn close_with(&mut self, reply: Reply) {
        self.reply(&reply);
        self.state = State::Closed;
    }

    /// Answers a command that is wrong in itself.
    fn error(&mut self, reply: Reply) {
        self.errors += 1;
        if self.errors > self.config.errors {
            return self.close_with(replies::too_many_errors());
        }
        self.fruitless(reply);
    }

    /// Answers a command that moves no mail.
    fn fruitless(&mut self, reply: Reply) {
        self.fruitless_commands += 1;
        if self.fruitless_commands > self.config.fruitless_commands {
            return self.close_with(replies::too_many_commands());
        }
        self.reply(&reply);
    }
}

#[cfg(test)]
mod tests;
