//! STARTTLS (RFC 3207): when it may come, and what is forgotten behind it.
//!
//! No TLS is spoken here. The driver holds the handshake between [`Event::StartTls`] and
//! [`ServerSession::handle_tls_established`]; until then nothing can be said or read, since octets in clear would be taken
//! for TLS. A port on which TLS comes first (RFC 8314, 3) has its handshake before the greeting, and the same call behind it.
//!
//! What was said in clear may have been said by anybody. So octets behind the command in the same group end the session
//! before it changes (they would be run as if they had come under TLS), and nothing that the client told survives: "The
//! server MUST discard any knowledge obtained from the client" (RFC 3207, 4.2). The counters of wrong and fruitless commands
//! stay: they are about the connection.

use std::time::Duration;

#[cfg(doc)]
use super::Event;
use super::state::{Asked, State};
use super::{ServerSession, replies};

impl ServerSession {
    /// Whether the client may say STARTTLS now, as far as TLS is concerned. "A server MUST NOT return the STARTTLS extension
    /// in response to an EHLO command received after a TLS handshake" (RFC 3207, 4.2).
    pub(super) fn offers_starttls(&self) -> bool {
        self.config.starttls && !self.is_tls
    }

    /// Whether MAIL may say REQUIRETLS: "the session itself MUST employ TLS transmission" (RFC 8689, 2). In clear the message
    /// would be known to others before it was asked that it be not.
    pub(super) fn offers_require_tls(&self) -> bool {
        self.config.require_tls && self.is_tls
    }

    /// STARTTLS in `state`, with nothing behind it. In a transaction it is fine, and the transaction is forgotten; but of a
    /// message that comes in chunks the driver holds a part already, and RSET is how that is given up.
    pub(super) fn handle_starttls(&mut self, state: State) {
        let refusal = match &state {
            _ if self.is_tls => replies::tls_active(),
            _ if !self.config.starttls => replies::not_offered(),
            State::Chunks(_) => replies::chunks_under_way(),
            State::Spoilt(..) => replies::reset_first(),
            _ => return self.state = State::Asked(Asked::StartTls { before: Box::new(state) }),
        };
        self.stay(state, refusal);
    }

    /// The handshake has succeeded: behind [`Event::StartTls`], or before anything was said on a port on which TLS comes
    /// first. At any other time this changes nothing.
    pub fn handle_tls_established(&mut self, now: Duration) {
        match self.state {
            State::Asked(Asked::Connect) => {}
            State::Handshake => self.state = State::Greeted,
            _ => return,
        }
        self.is_tls = true;
        self.user = None;
        self.mechanisms = Vec::new();
        self.expect_input(now);
    }

    /// Whether what is said now is said under TLS.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }
}
