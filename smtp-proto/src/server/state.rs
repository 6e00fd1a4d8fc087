//! The states of the server's side, and the one place that decides how a command leads from one to the next.

use std::borrow::Cow;
use std::time::Duration;

use super::auth::Said;
use super::chunks::{Announced, Chunk, ChunkedMessage, Discard};
use super::content::Content;
use super::pace::Pace;
use super::{Decision, Question, ServerSession, replies};
use crate::address::{AddressError, ForwardPath, Mailbox, ReversePath};
use crate::command::{self, Command, CommandError, HelloName};
use crate::parameter::{Body, MailParameters, RcptParameters};
use crate::reply::Reply;
use crate::transaction::{Recipient, Transaction};

/// What is known, and so what may come next.
#[derive(Debug)]
pub(super) enum State {
    /// A question is open; the driver owes the answer.
    Asked(Asked),
    /// The greeting was a refusal. RFC 5321, 3.1: wait for QUIT, answer 503 to everything else.
    Refused,
    /// The greeting was 220.
    Greeted,
    /// The client may shake hands; nothing is said or read until that is over.
    Handshake,
    /// The client has named itself.
    Ready(Client),
    /// The client proves who it is, and owes the answer to a challenge.
    Dialogue(Client),
    /// A transaction is open, with recipients or still without.
    Mail(Client, Transaction),
    /// Content is coming in, up to a line that holds a dot alone.
    Content(Box<Content>),
    /// A chunk of a message is coming in.
    Chunk(Box<Chunk>),
    /// A part of a message is here, and the next chunk is awaited.
    Chunks(Box<ChunkedMessage>),
    /// A refused chunk is coming in, to be forgotten and answered.
    Discard(Box<Discard>),
    /// A chunk of a message was refused, so the message is lost, and only RSET or EHLO lead on (RFC 3030, 2). So many
    /// octets of it have come.
    Spoilt(Client, u64),
    /// The client gave up a message of which a part is here; the driver must hear of it.
    Dropping(Client),
    /// All is said.
    Closed,
}

/// The open question, with all that is needed to go on from its answer.
#[derive(Debug)]
pub(super) enum Asked {
    Connect,
    Hello { hello: Client, before: Box<State> },
    StartTls { before: Box<State> },
    Auth(Client, Said),
    Mail(Client, Transaction),
    Rcpt(Client, Transaction, Recipient),
    Content(Client, Transaction),
    FirstChunk(Client, Transaction, Announced),
    EndOfContent(Client, Transaction),
}

/// The client, as it named itself.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) hello: HelloName,
    /// Whether it said EHLO.
    pub(super) is_extended: bool,
}

impl Asked {
    pub(super) fn question(&self) -> Question<'_> {
        match self {
            Asked::Connect => Question::Connect,
            Asked::Hello { hello, .. } => Question::Hello(&hello.hello),
            Asked::StartTls { .. } => Question::StartTls,
            Asked::Auth(_, Said::Begins(mechanism, response)) => Question::AuthBegins(*mechanism, response.as_ref()),
            Asked::Auth(_, Said::GoesOn(response)) => Question::AuthGoesOn(response),
            Asked::Mail(_, transaction) => Question::Mail(transaction),
            Asked::Rcpt(_, transaction, recipient) => Question::Rcpt(transaction, recipient),
            Asked::Content(_, transaction) | Asked::FirstChunk(_, transaction, _) => Question::Content(transaction),
            Asked::EndOfContent(_, transaction) => Question::EndOfContent(transaction),
        }
    }
}

impl State {
    pub(super) fn client(&self) -> Option<&Client> {
        match self {
            State::Ready(client) | State::Dialogue(client) | State::Mail(client, _) => Some(client),
            State::Spoilt(client, _) | State::Dropping(client) => Some(client),
            State::Asked(Asked::Auth(client, _) | Asked::Mail(client, _) | Asked::Rcpt(client, ..)) => Some(client),
            State::Asked(Asked::Content(client, _) | Asked::FirstChunk(client, ..)) => Some(client),
            State::Asked(Asked::EndOfContent(client, _)) => Some(client),
            State::Content(content) => Some(&content.client),
            State::Chunk(chunk) => Some(&chunk.message.client),
            State::Chunks(message) => Some(&message.client),
            State::Asked(Asked::Connect | Asked::Hello { .. } | Asked::StartTls { .. }) => None,
            State::Refused | State::Greeted | State::Handshake | State::Discard(_) | State::Closed => None,
        }
    }

    pub(super) fn transaction(&self) -> Option<&Transaction> {
        match self {
            State::Mail(_, transaction) => Some(transaction),
            State::Asked(Asked::Mail(_, transaction) | Asked::Rcpt(_, transaction, _)) => Some(transaction),
            State::Asked(Asked::Content(_, transaction) | Asked::FirstChunk(_, transaction, _)) => Some(transaction),
            State::Asked(Asked::EndOfContent(_, transaction)) => Some(transaction),
            State::Content(content) => Some(&content.transaction),
            State::Chunk(chunk) => Some(&chunk.message.transaction),
            State::Chunks(message) => Some(&message.transaction),
            _ => None,
        }
    }
}

impl ServerSession {
    /// Takes one command line. `has_more` says whether octets stand behind it already.
    pub(super) fn handle_command(&mut self, line: &[u8], has_more: bool, now: Duration) {
        // RFC 9422, 4.1: every MAIL counts, whether it succeeds or fails. 421 and not 452: so the client learns that another
        // connection will do, and all that was accepted over this one is safe (RFC 5321, 3.8).
        if command::is_mail(line) {
            self.mails += 1;
            if self.config.mails.is_some_and(|most| self.mails > most) {
                return self.close_with(replies::too_many_mails());
            }
        }
        let command = match Command::parse(line) {
            Ok(command) => command,
            // Where the chunk ends and the next command begins cannot be known any more.
            Err(CommandError::Chunk) => return self.close_with(replies::unreadable_chunk()),
            Err(CommandError::ForeignProtocol) => return self.close_with(replies::foreign_protocol()),
            Err(_) if matches!(self.state, State::Refused) => return self.error(replies::refused_session()),
            Err(error) => return self.error(replies::command_error(error)),
        };
        // RFC 2920, 3.1: EHLO can only be the last command of a group, and so STARTTLS (RFC 3207, 4). Behind HELO there are
        // no groups at all.
        let must_be_last = match command {
            Command::Ehlo(_) | Command::Helo(_) => true,
            Command::StartTls => self.offers_starttls(),
            _ => false,
        };
        if has_more && must_be_last {
            return self.close_with(replies::early_talker());
        }
        match (std::mem::replace(&mut self.state, State::Closed), command) {
            (_, Command::Quit) => self.close_with(replies::goodbye()),
            (state, Command::Bdat { size, is_last }) => self.handle_bdat(state, Announced { size, is_last }, now),
            (State::Refused, _) => self.stay(State::Refused, replies::refused_session()),

            (state, Command::Ehlo(hello)) => self.ask_hello(Client { hello, is_extended: true }, state),
            (state, Command::Helo(hello)) => self.ask_hello(Client { hello, is_extended: false }, state),
            (state, Command::StartTls) => self.handle_starttls(state),
            (state, Command::Auth(auth)) => self.handle_auth(state, &auth),
            // RFC 4954, 6: "to any command other than AUTH, EHLO, HELO, NOOP, RSET, or QUIT".
            (state, command) if self.lacks_auth() && !matches!(command, Command::Noop(_) | Command::Rset) => {
                self.stay(state, self.auth_first());
            }

            (State::Ready(client), Command::Mail { reverse_path, parameters }) => {
                self.handle_mail(client, reverse_path, parameters);
            }
            (State::Greeted, Command::Mail { .. }) => self.stay(State::Greeted, replies::hello_first()),
            (state @ State::Spoilt(..), Command::Mail { .. } | Command::Rcpt { .. } | Command::Data) => {
                self.stay(state, replies::reset_first());
            }
            (state, Command::Mail { .. }) => self.stay(state, replies::nested_mail()),
            // RFC 3030, 2: "DATA and BDAT commands cannot be used in the same transaction."
            (state @ State::Chunks(_), Command::Rcpt { .. } | Command::Data) => {
                self.stay(state, replies::chunks_under_way());
            }

            (State::Mail(client, transaction), Command::Rcpt { forward_path, parameters }) => {
                self.handle_rcpt(client, transaction, forward_path, parameters);
            }
            (state, Command::Rcpt { .. }) => self.stay(state, replies::mail_first()),

            (State::Mail(client, transaction), Command::Data) if transaction.recipients.is_empty() => {
                // RFC 2920, 3.2: 354 only if a recipient was valid; else a lone dot would be an empty message. No error of the
                // client's, who sent DATA in the same group as the recipients and could not know.
                self.idle(State::Mail(client, transaction), replies::no_recipients());
            }
            (State::Mail(client, transaction), Command::Data) => {
                self.state = State::Asked(Asked::Content(client, transaction));
            }
            (state, Command::Data) => self.stay(state, replies::mail_first()),

            (State::Mail(client, _) | State::Spoilt(client, _), Command::Rset) => {
                self.idle(State::Ready(client), replies::reset());
            }
            (State::Chunks(message), Command::Rset) => self.idle(State::Dropping(message.client), replies::reset()),
            (state, Command::Rset) => self.idle(state, replies::reset()),
            (state, Command::Noop(_)) => self.idle(state, replies::noop()),
            (state, Command::Vrfy(_)) => self.idle(state, replies::cannot_verify()),
            (state, Command::Help(_)) => self.idle(state, replies::help()),
            (state, Command::Unoffered) => self.stay(state, replies::not_offered()),
        }
    }

    /// Refuses a command that is wrong here, and stays in `state`.
    pub(super) fn stay(&mut self, state: State, reply: Reply) {
        self.state = state;
        self.error(reply);
    }

    /// Answers a command that is right and moves no mail, and goes to `state`.
    pub(super) fn idle(&mut self, state: State, reply: Reply) {
        self.state = state;
        self.fruitless(reply);
    }

    fn ask_hello(&mut self, hello: Client, before: State) {
        self.state = State::Asked(Asked::Hello { hello, before: Box::new(before) });
    }

    fn handle_mail(&mut self, client: Client, reverse_path: ReversePath, mut parameters: MailParameters) {
        // RET and ENVID are kept with the message although DSN is not announced: whoever sends them has said what is wanted,
        // and a valid one never changes the reply (RFC 3461, 5).
        let is_offered = !matches!(parameters.body, Some(Body::BinaryMime))
            && (parameters.auth.is_none() || !self.mechanisms.is_empty())
            && (!parameters.require_tls || self.offers_require_tls());
        let refusal = if !is_offered {
            Some(replies::parameter_not_offered())
        } else if reverse_path.mailbox().is_some_and(Mailbox::is_at_unknown_literal) {
            Some(replies::command_error(CommandError::ReversePath(AddressError::Literal)))
        } else if !reverse_path.is_ascii() && !parameters.smtputf8 {
            Some(replies::smtputf8_missing())
        } else if parameters.size.is_some_and(|size| size > self.config.message_octets) {
            Some(replies::message_too_big(self.config.message_octets))
        } else {
            None
        };
        match refusal {
            Some(reply) => self.stay(State::Ready(client), reply),
            None => {
                // RFC 4954, 5: "the server MUST behave as if the AUTH=<> parameter was supplied", since no client is trusted to
                // say who somebody else is.
                parameters.auth = parameters.auth.map(|_| ReversePath::Null);
                let transaction = Transaction { reverse_path, parameters, recipients: Vec::new() };
                self.state = State::Asked(Asked::Mail(client, transaction));
            }
        }
    }

    fn handle_rcpt(
        &mut self,
        client: Client,
        transaction: Transaction,
        forward_path: ForwardPath,
        parameters: RcptParameters,
    ) {
        let refusal = if forward_path.mailbox().is_some_and(Mailbox::is_at_unknown_literal) {
            Some(replies::command_error(CommandError::ForwardPath(AddressError::Literal)))
        } else if !forward_path.is_ascii() && !transaction.parameters.smtputf8 {
            Some(replies::smtputf8_missing())
        } else {
            None
        };
        if let Some(reply) = refusal {
            return self.stay(State::Mail(client, transaction), reply);
        }
        // RFC 5321, 4.5.3.1.10: 452, and those that were accepted stay accepted.
        if transaction.recipients.len() >= self.config.recipients {
            return self.idle(State::Mail(client, transaction), replies::too_many_recipients());
        }
        let recipient = Recipient { forward_path, parameters };
        self.state = State::Asked(Asked::Rcpt(client, transaction, recipient));
    }

    /// Decides what becomes of a chunk before its first octet.
    fn handle_bdat(&mut self, state: State, announced: Announced, now: Duration) {
        let limit_octets = self.config.message_octets;
        self.state = match state {
            State::Mail(client, transaction) if transaction.recipients.is_empty() => {
                Discard::of_message(client, announced, replies::no_recipients(), Pace::new(now)).into()
            }
            State::Mail(client, _) if announced.size > limit_octets => {
                Discard::of_message(client, announced, replies::message_too_big(limit_octets), Pace::new(now)).into()
            }
            State::Mail(client, transaction) => State::Asked(Asked::FirstChunk(client, transaction, announced)),
            State::Chunks(message) if message.octets_with(announced) > limit_octets => {
                let reply = replies::message_too_big(limit_octets);
                Discard::of_message(message.client, announced, reply, message.pace).into()
            }
            State::Chunks(message) => Chunk::new(*message, announced).into(),
            State::Spoilt(client, wire_octets) => {
                Discard::behind_refused(client, announced, Pace::behind(wire_octets, now)).into()
            }
            State::Refused => Discard::out_of_place(state, announced, replies::refused_session(), now).into(),
            state if self.lacks_auth() => Discard::out_of_place(state, announced, self.auth_first(), now).into(),
            State::Greeted => Discard::out_of_place(state, announced, replies::hello_first(), now).into(),
            state => Discard::out_of_place(state, announced, replies::mail_first(), now).into(),
        };
    }

    /// Goes on from an open question with its answer.
    pub(super) fn answer(&mut self, asked: Asked, decision: Decision, now: Duration) {
        match decision {
            Decision::Refuse(reply) => self.refuse(asked, replies::refusal(reply), now),
            Decision::Accept => self.accept(asked, None, now),
            Decision::AcceptAs(text) => self.accept(asked, Some(text), now),
        }
    }

    /// A refusal leads back to the state before the command; only the end of the content, or a chunk of it, ends the
    /// transaction.
    fn refuse(&mut self, asked: Asked, reply: Reply, now: Duration) {
        let before = match asked {
            Asked::Connect => {
                self.state = State::Refused;
                return self.reply(&replies::refused_greeting(reply));
            }
            Asked::Hello { before, .. } => return self.idle(*before, replies::refused_hello(reply)),
            Asked::StartTls { before } => *before,
            Asked::Auth(client, _) => return self.refuse_auth(client, reply),
            Asked::Mail(client, _) | Asked::EndOfContent(client, _) => State::Ready(client),
            Asked::Rcpt(client, transaction, _) | Asked::Content(client, transaction) => {
                State::Mail(client, transaction)
            }
            Asked::FirstChunk(client, _, announced) => {
                return self.state = Discard::of_message(client, announced, reply, Pace::new(now)).into();
            }
        };
        self.idle(before, reply);
    }

    fn accept(&mut self, asked: Asked, text: Option<Cow<'static, str>>, now: Duration) {
        match asked {
            Asked::Connect => {
                self.state = State::Greeted;
                self.reply(&replies::greeting(&self.config.hostname));
            }
            Asked::Hello { hello, before } => {
                let reply = match hello.is_extended {
                    true => replies::ehlo(&self.config.hostname, &self.extensions()),
                    false => replies::helo(&self.config.hostname),
                };
                let next = match *before {
                    State::Chunks(_) => State::Dropping(hello),
                    _ => State::Ready(hello),
                };
                self.idle(next, reply);
            }
            // `before` is forgotten, the client's name and its transaction with it.
            Asked::StartTls { .. } => self.idle(State::Handshake, replies::start_tls()),
            // Nobody has said who it is.
            Asked::Auth(client, _) => self.refuse_auth(client, replies::no_auth_now()),
            Asked::Mail(client, transaction) => {
                self.state = State::Mail(client, transaction);
                self.reply(&replies::sender_ok());
            }
            Asked::Rcpt(client, mut transaction, recipient) => {
                // The same recipient twice is one copy all the same; with another NOTIFY or ORCPT it is another wish, and kept.
                // It is agreed to again and moves no mail: said every few minutes it would hold a thread for ever.
                if transaction.recipients.contains(&recipient) {
                    return self.idle(State::Mail(client, transaction), replies::recipient_ok());
                }
                transaction.recipients.push(recipient);
                self.state = State::Mail(client, transaction);
                self.reply(&replies::recipient_ok());
            }
            Asked::Content(client, transaction) => {
                self.state = State::Content(Box::new(Content::new(client, transaction, &self.config, now)));
                self.reply(&replies::start_content());
            }
            Asked::FirstChunk(client, transaction, announced) => {
                let message = ChunkedMessage::new(client, transaction, &self.config, now);
                self.state = Chunk::new(message, announced).into();
            }
            Asked::EndOfContent(client, _) => {
                self.errors = 0;
                self.fruitless_commands = 0;
                self.state = State::Ready(client);
                self.reply(&replies::accepted(text));
            }
        }
    }
}
