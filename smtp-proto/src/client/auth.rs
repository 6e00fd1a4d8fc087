//! AUTH from the client's side (RFC 4954): the dialogue. What is said in it is the driver's, who has the password and may
//! have to work for an answer (see [`crate::sasl::client`]).
//!
//! ```text
//!   Ready --authenticate()--> Dialogue --334--> Challenge --respond()--> Dialogue
//!                                |                  `--cancel_auth(): "*"--'
//!                                |--235------> Succeeded, then Event::Ready
//!                                `--4yz, 5yz-> Failed,    then Event::Ready
//! ```

use std::time::Duration;

use zeroize::Zeroizing;

use super::state::State;
use super::{Cause, ClientSession, Ending, Event, Failure, ReplyError, Stage, StartError};
use crate::command::{Auth, Command};
use crate::extension::Extension;
use crate::limits;
use crate::reply::{Class, Reply};
use crate::sasl::{Mechanism, base64};
use crate::secret::Secret;

/// What comes of a dialogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthEvent {
    /// The server asks for proof of who we are: [`ClientSession::respond`] or [`ClientSession::cancel_auth`].
    Challenge(Vec<u8>),
    /// It believes us, in this reply. [`Event::Ready`] follows.
    Succeeded(Reply),
    /// It does not, or the dialogue was broken off. [`Event::Ready`] follows.
    Failed(Failure),
}

/// What is under way in the dialogue.
#[derive(Debug)]
pub(super) enum Dialogue {
    /// The first message was too long for the command's line. It goes out as soon as the server asks.
    Begun(Secret),
    /// The server has the word.
    Heard,
    /// `*` is sent, because of this if it was not the driver's wish; the server ends it.
    Cancelled(Option<Cause>),
}

impl ClientSession {
    /// The mechanisms that the server offers and that are known here, the strongest first.
    pub fn mechanisms(&self) -> Vec<Mechanism> {
        let offered = |mechanism: &Mechanism| {
            self.extensions.iter().any(|extension| match extension {
                Extension::Auth(names) => names.iter().any(|name| name == mechanism.name()),
                _ => false,
            })
        };
        Mechanism::ALL.into_iter().filter(offered).collect()
    }

    /// Whether the server knows who we are.
    pub fn is_authenticated(&self) -> bool {
        self.is_authenticated
    }

    /// Begins to prove who we are. The first message goes out with the command if its line has room (RFC 4954, 4: else "the
    /// client MUST NOT use the initial response parameter").
    pub fn authenticate(
        &mut self,
        mechanism: Mechanism,
        initial_response: Option<Secret>,
        now: Duration,
    ) -> Result<(), StartError> {
        // RFC 4954, 4: after a success "a client MUST NOT issue any further AUTH command"; in a transaction neither.
        if !matches!(self.state, State::Ready) || self.is_authenticated || self.needs_reset {
            return Err(StartError::NotReady);
        }
        let command = Command::Auth(Auth::new(mechanism, initial_response.as_ref()));
        let is_long = Zeroizing::new(command.to_string()).len() + 2 > limits::INITIAL_RESPONSE_LINE_OCTETS;
        let (command, dialogue) = match initial_response {
            Some(response) if is_long => (Command::Auth(Auth::new(mechanism, None)), Dialogue::Begun(response)),
            response => {
                self.is_output_secret = response.is_some();
                (command, Dialogue::Heard)
            }
        };
        self.state = State::Dialogue(dialogue);
        self.send(&command, self.config.timeouts.auth, now);
        Ok(())
    }

    /// Answers [`AuthEvent::Challenge`]. At any other time it says nothing.
    pub fn respond(&mut self, response: &Secret, now: Duration) {
        if matches!(self.state, State::Challenged) {
            self.send_secret(response, now);
        }
    }

    /// Answers [`AuthEvent::Challenge`] by breaking the dialogue off.
    pub fn cancel_auth(&mut self, now: Duration) {
        if matches!(self.state, State::Challenged) {
            self.cancel(None, now);
        }
    }

    /// Whether [`ClientSession::output`] holds what nobody should see, such as a password.
    pub fn is_output_secret(&self) -> bool {
        self.is_output_secret
    }

    fn send_secret(&mut self, response: &Secret, now: Duration) {
        self.is_output_secret = true;
        self.state = State::Dialogue(Dialogue::Heard);
        let response = base64::encode_secret(response);
        self.send(&response.expose_text().unwrap_or_default(), self.config.timeouts.auth, now);
    }

    fn cancel(&mut self, cause: Option<Cause>, now: Duration) {
        self.state = State::Dialogue(Dialogue::Cancelled(cause));
        self.send(&"*", self.config.timeouts.auth, now);
    }

    pub(super) fn handle_auth_reply(&mut self, dialogue: Dialogue, reply: Reply, now: Duration) {
        let stage = Stage::Auth;
        match (reply.class(), dialogue) {
            _ if reply.is_closing() => self.events.push_back(Event::Closed(Ending::Refused(stage, reply))),
            // It agrees to what was taken back, or asks on: it has lost count.
            (Class::Positive | Class::Intermediate, Dialogue::Cancelled(_)) | (Class::Positive, Dialogue::Begun(_)) => {
                let cause = Cause::Reply(ReplyError::Unexpected);
                self.events.push_back(Event::Closed(Ending::Failed(stage, cause)));
            }
            (Class::Positive, Dialogue::Heard) => {
                self.is_authenticated = true;
                self.events.push_back(Event::Auth(AuthEvent::Succeeded(reply)));
                self.become_ready();
            }
            (Class::Intermediate, dialogue) => {
                let mut lines = reply.lines();
                let challenge = lines.next().and_then(|line| base64::decode(line.as_bytes()));
                match (challenge.filter(|_| lines.next().is_none()), dialogue) {
                    // RFC 4954, 4: "If the client ... cannot decode the challenge, it MUST cancel".
                    (None, _) => self.cancel(Some(Cause::Reply(ReplyError::Unexpected)), now),
                    // It is asked to speak first, which it was about to. What is in the challenge answers nothing.
                    (Some(_), Dialogue::Begun(response)) => self.send_secret(&response, now),
                    (Some(challenge), _) => {
                        self.state = State::Challenged;
                        self.events.push_back(Event::Auth(AuthEvent::Challenge(challenge)));
                    }
                }
            }
            (Class::Transient | Class::Permanent, dialogue) => {
                let cause = match dialogue {
                    Dialogue::Cancelled(Some(cause)) => cause,
                    _ => Cause::Refused(reply),
                };
                self.events.push_back(Event::Auth(AuthEvent::Failed(Failure { stage, cause })));
                self.become_ready();
            }
        }
    }
}
