//! AUTH (RFC 4954): the dialogue. Who somebody is and what proves it, the driver finds out: it may take a list of users and a
//! hash that is meant to be slow (see [`crate::sasl`]).
//!
//! ```text
//!              AuthBegins?                 AuthGoesOn?
//!   Ready -------------------.   .-------------------------.
//!     ^                      v   v                         |
//!     |               Challenge: 334, then -----> Dialogue-'  one line of base64
//!     |                                              |
//!     `----- Authenticated: 235 / Refused: 535 ------'  "*": 501
//! ```
//!
//! Whatever goes wrong, the dialogue is over and the next line is a command again. Who has failed three times is answered 421
//! when it tries again (RFC 4954, 9: "not before three").

use std::time::Duration;

use super::state::{Asked, Client, State};
use super::{ServerSession, replies};
use crate::command::{Auth, NotBase64};
use crate::limits;
use crate::reply::{Class, Reply};
use crate::sasl::{Mechanism, base64};
use crate::secret::Secret;

/// Failures in one session, behind which there is no other try.
const FAILURES: usize = 3;

/// What the driver answers to [`super::Question::AuthBegins`] and [`super::Question::AuthGoesOn`].
#[derive(Clone, Debug)]
pub enum AuthAnswer {
    /// Say this, and hand in what comes back.
    Challenge(Vec<u8>),
    /// It is this user.
    Authenticated(String),
    /// It is not, or cannot be found out now: a 5yz or 4yz reply.
    Refused(Reply),
}

/// What the client said in the dialogue.
#[derive(Debug)]
pub(super) enum Said {
    /// The command, perhaps with the first message.
    Begins(Mechanism, Option<Secret>),
    GoesOn(Secret),
}

impl ServerSession {
    /// Offers these mechanisms from the next EHLO on, which is how a client hears of them: none at first, and none behind
    /// STARTTLS until this is called again.
    pub fn offer_auth(&mut self, mechanisms: Vec<Mechanism>) {
        self.mechanisms = mechanisms;
    }

    /// Who the client has proved to be.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Whether the client must prove who it is before it may say anything about mail.
    pub(super) fn lacks_auth(&self) -> bool {
        self.config.requires_auth && self.user.is_none()
    }

    /// What tells it so: in clear, where nothing is offered, the way is longer.
    pub(super) fn auth_first(&self) -> Reply {
        if self.mechanisms.is_empty() && self.offers_starttls() {
            replies::starttls_first()
        } else {
            replies::auth_first()
        }
    }

    pub(super) fn handle_auth(&mut self, state: State, auth: &Auth) {
        let refusal = match &state {
            _ if self.user.is_some() => replies::is_authenticated(),
            _ if self.mechanisms.is_empty() && self.offers_starttls() => replies::starttls_first(),
            _ if self.mechanisms.is_empty() => replies::not_offered(),
            State::Ready(client) if client.is_extended => match self.begins(auth) {
                Ok(_) if self.auth_failures >= FAILURES => return self.close_with(replies::too_many_auth_failures()),
                Ok(said) => return self.ask_auth(state, said),
                Err(reply) => reply,
            },
            State::Greeted | State::Ready(_) => replies::hello_first(),
            // RFC 4954, 4: "An AUTH command received while a mail transaction is in progress MUST be rejected".
            _ => replies::auth_in_transaction(),
        };
        self.stay(state, refusal);
    }

    fn begins(&self, auth: &Auth) -> Result<Said, Reply> {
        let mechanism = auth.mechanism().filter(|mechanism| self.mechanisms.contains(mechanism));
        let mechanism = mechanism.ok_or_else(replies::unknown_mechanism)?;
        let response = auth.initial_response().map_err(|NotBase64| replies::not_base64())?;
        Ok(Said::Begins(mechanism, response))
    }

    fn ask_auth(&mut self, state: State, said: Said) {
        self.state = match state {
            State::Ready(client) | State::Dialogue(client) => State::Asked(Asked::Auth(client, said)),
            state => state,
        };
    }

    /// Octets of the line that comes now.
    pub(super) fn most_line_octets(&self, input: &[u8]) -> usize {
        let is_long = match self.state {
            State::Dialogue(_) => true,
            _ => !self.mechanisms.is_empty() && crate::command::is_auth(input),
        };
        if is_long { limits::AUTH_LINE_OCTETS } else { limits::COMMAND_LINE_OCTETS }
    }

    /// One line of the dialogue.
    pub(super) fn handle_auth_line(&mut self, line: &[u8]) {
        if line == b"*" {
            return self.end_dialogue(replies::auth_cancelled());
        }
        match base64::decode(line) {
            Some(octets) => {
                let state = std::mem::replace(&mut self.state, State::Closed);
                self.ask_auth(state, Said::GoesOn(Secret::new(octets)));
            }
            None => self.end_dialogue(replies::not_base64()),
        }
    }

    /// The client has broken the dialogue off, or broken its rules.
    pub(super) fn end_dialogue(&mut self, reply: Reply) {
        self.state = match std::mem::replace(&mut self.state, State::Closed) {
            State::Dialogue(client) => State::Ready(client),
            state => state,
        };
        self.error(reply);
    }

    /// Answers [`super::Question::AuthBegins`] or [`super::Question::AuthGoesOn`]; without such a question it changes nothing.
    pub fn answer_auth(&mut self, answer: AuthAnswer, now: Duration) {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Asked(Asked::Auth(client, _)) => self.go_on(client, answer),
            state => return self.state = state,
        }
        self.expect_input(now);
    }

    fn go_on(&mut self, client: Client, answer: AuthAnswer) {
        match answer {
            AuthAnswer::Challenge(octets) => {
                // Not a `Reply`, whose lines have 512 octets: "clients and servers MUST be able to handle the maximum encoded
                // size of challenges and responses" (RFC 4954, 4). Base64 needs no escaping.
                self.output.extend_from_slice(format!("334 {}\r\n", base64::encode(&octets)).as_bytes());
                self.state = State::Dialogue(client);
            }
            AuthAnswer::Authenticated(user) => {
                self.user = Some(user);
                self.state = State::Ready(client);
                self.reply(&replies::authenticated());
            }
            AuthAnswer::Refused(reply) => self.refuse_auth(client, replies::refusal(reply)),
        }
    }

    pub(super) fn refuse_auth(&mut self, client: Client, reply: Reply) {
        if reply.class() == Class::Permanent {
            self.auth_failures += 1;
        }
        self.idle(State::Ready(client), reply);
    }
}
