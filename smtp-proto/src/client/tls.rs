//! STARTTLS from the client's side (RFC 3207).

use std::time::Duration;

use super::state::State;
use super::used::Used;
use super::{ClientSession, Event, Protocol, StartError};
use crate::address::ReversePath;
use crate::extension::{Extension, Extensions};
use crate::reply::{Class, Reply};
use crate::reply_parser::ReplyParser;
use crate::transaction::Transaction;

/// Whether a conversation is under TLS, or is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Tls {
    /// It is not, and nobody asks.
    #[default]
    None,
    /// Where the server offers it and does not refuse it; else in clear (RFC 7435, "opportunistic security").
    Try,
    /// Or not at all: a server that does not offer it, or refuses it, hears QUIT and nothing about a message. Whether it
    /// cannot, or somebody on the way has taken the offer out, nobody can tell.
    Require,
    /// It is: since the connection was opened, or since STARTTLS. It is not asked for twice (RFC 3207, 4).
    Established,
}

/// What the offers of the server lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TlsStep {
    /// On to the mail.
    Go,
    /// STARTTLS.
    Ask,
    /// QUIT.
    GiveUp,
}

impl ClientSession {
    /// Whether what is said goes through TLS.
    pub fn is_tls(&self) -> bool {
        self.config.tls == Tls::Established
    }

    /// The handshake that [`Event::StartTls`] asked for is done, and the driver is content with the other end.
    ///
    /// "Upon completion of the TLS handshake, the SMTP protocol is reset to the initial state"; the client "MUST discard any
    /// knowledge obtained from the server" before (RFC 3207, 4.2), and says EHLO first of all.
    pub fn handle_tls_established(&mut self, now: Duration) {
        if matches!(self.state, State::Handshake) {
            self.config.tls = Tls::Established;
            self.extensions = Extensions::default();
            self.is_authenticated = false;
            self.is_server_verified = false;
            self.used = Used::default();
            self.replies = ReplyParser::default();
            self.say_hello(now);
        }
    }

    /// The server has proved under TLS that it is the one who was to be called. The driver says so, which has seen the proof.
    pub fn handle_server_verified(&mut self) {
        self.is_server_verified = self.is_tls();
    }

    /// RFC 8689: a message whose sender requires TLS goes to a server that has proved who it is and promises to require it in
    /// turn, or nowhere. Two kinds go all the same. A report has nobody who could be told (RFC 8689, 5: it is not to be lost
    /// for that); and behind LMTP there are mailboxes, and no way that could be required.
    pub(super) fn check_require_tls(&self, transaction: &mut Transaction) -> Result<(), StartError> {
        let is_offered = self.is_tls() && self.extensions.has(&Extension::RequireTls);
        let is_fit = is_offered && self.is_server_verified;
        if !transaction.parameters.require_tls || is_fit {
            return Ok(());
        }
        if transaction.reverse_path == ReversePath::Null || self.config.protocol == Protocol::Lmtp {
            transaction.parameters.require_tls = is_offered;
            return Ok(());
        }
        Err(if self.is_server_verified { StartError::NeedsRequireTls } else { StartError::NeedsVerifiedTls })
    }

    pub(super) fn tls_step(&self) -> TlsStep {
        let is_offered = self.extensions.has(&Extension::StartTls);
        match self.config.tls {
            Tls::None | Tls::Established => TlsStep::Go,
            Tls::Try | Tls::Require if is_offered => TlsStep::Ask,
            Tls::Try => TlsStep::Go,
            Tls::Require => TlsStep::GiveUp,
        }
    }

    pub(super) fn handle_start_tls_reply(&mut self, reply: Reply, now: Duration) {
        let stage = State::StartTls.stage();
        match reply.class() {
            Class::Positive => {
                self.state = State::Handshake;
                self.deadline = now.saturating_add(self.config.timeouts.tls);
                self.events.push_back(Event::StartTls);
            }
            // 454, "TLS not available due to temporary reason", and its like.
            Class::Transient | Class::Permanent if self.config.tls == Tls::Try && !reply.is_closing() => {
                self.become_ready();
            }
            _ => self.handle_refused_session(stage, reply, now),
        }
    }
}
