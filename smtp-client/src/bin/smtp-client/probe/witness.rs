//! Sees a conversation begin: when the connection was there, what each reply was, how long it took.
//!
//! It watches rather than asks, so that something is known also of a server that never becomes ready.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use smtp_client::peer::Peer;
use smtp_client::proto::reply::Reply;
use smtp_client::proto::reply_parser::ReplyParser;
use smtp_client::tls::{Secured, TlsError};
use smtp_client::transcript::Observer;

/// An observer whose clones see the same.
#[derive(Clone)]
pub(crate) struct Witness(Arc<Mutex<Watched>>);

struct Watched {
    since: Instant,
    /// What waits for its reply.
    asked: Option<Question>,
    input: Vec<u8>,
    parser: ReplyParser,
    seen: Seen,
}

/// What a client asks before it sends mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// By opening the connection.
    Greeting,
    Ehlo,
    Helo,
    StartTls,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) address: Option<SocketAddr>,
    /// Until the connection was there, looking up the name included.
    pub(crate) connecting: Duration,
    pub(crate) answers: Vec<Answer>,
    /// What came of the handshake of TLS, if there was one.
    pub(crate) handshake: Option<HandshakeSeen>,
}

/// A handshake, and how long it took.
#[derive(Clone, Debug)]
pub(crate) struct HandshakeSeen {
    pub(crate) result: Result<Secured, String>,
    pub(crate) duration: Duration,
}

/// A reply, and how long it took.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) question: Question,
    pub(crate) reply: Reply,
    pub(crate) duration: Duration,
}

impl Seen {
    /// Whether the handshake came before the greeting.
    pub(crate) fn is_tls_first(&self) -> bool {
        self.handshake.is_some() && !self.answers.iter().any(|answer| answer.question == Question::StartTls)
    }
}

impl Witness {
    /// The clock starts.
    pub(crate) fn new() -> Self {
        let watched = Watched {
            since: Instant::now(),
            asked: None,
            input: Vec::new(),
            parser: ReplyParser::default(),
            seen: Seen::default(),
        };
        Witness(Arc::new(Mutex::new(watched)))
    }

    pub(crate) fn seen(&self) -> Seen {
        self.lock().seen.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Witness {
    fn connected(&mut self, peer: &Peer) {
        let mut watched = self.lock();
        watched.seen.connecting = watched.since.elapsed();
        if let Peer::Tcp(address) = peer {
            watched.seen.address = Some(*address);
        }
        watched.ask(Some(Question::Greeting));
    }

    fn commands(&mut self, octets: &[u8]) {
        let question = match octets.get(..4) {
            Some(b"EHLO") => Some(Question::Ehlo),
            Some(b"HELO") => Some(Question::Helo),
            Some(b"STAR") => Some(Question::StartTls),
            _ => None,
        };
        self.lock().ask(question);
    }

    fn handshake(&mut self, result: Result<&Secured, &TlsError>) {
        let mut watched = self.lock();
        let result = result.cloned().map_err(ToString::to_string);
        watched.seen.handshake = Some(HandshakeSeen { result, duration: watched.since.elapsed() });
        watched.since = Instant::now();
    }

    fn replies(&mut self, octets: &[u8]) {
        self.lock().hear(octets);
    }
}

impl Watched {
    fn ask(&mut self, question: Option<Question>) {
        self.since = Instant::now();
        self.asked = question;
    }

    fn hear(&mut self, octets: &[u8]) {
        let Some(question) = self.asked else { return };
        // The session, which reads the same with the same parser, listens to no more than a reply may have.
        self.input.extend_from_slice(octets);
        let Ok((used, reply)) = self.parser.handle(&self.input) else {
            self.asked = None;
            return;
        };
        self.input.drain(..used);
        if let Some(reply) = reply {
            self.seen.answers.push(Answer { question, reply, duration: self.since.elapsed() });
            self.asked = None;
            // A handshake begins where the reply to STARTTLS ends.
            self.since = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_and_their_questions() {
        let mut witness = Witness::new();
        witness.connected(&Peer::Tcp(([192, 0, 2, 1], 25).into()));
        witness.replies(b"220-mx\r\n22");
        witness.replies(b"0 ready\r\n");
        witness.commands(b"EHLO a\r\n");
        witness.replies(b"500 what\r\n");
        witness.commands(b"HELO a\r\n");
        witness.replies(b"250 mx\r\n");
        witness.commands(b"QUIT\r\n");
        witness.replies(b"221 bye\r\n");
        let seen = witness.seen();
        let answers: Vec<_> = seen.answers.iter().map(|answer| (answer.question, answer.reply.to_string())).collect();
        let expected =
            [(Question::Greeting, "220 mx / ready"), (Question::Ehlo, "500 what"), (Question::Helo, "250 mx")];
        assert_eq!(answers, expected.map(|(question, text)| (question, text.to_owned())));
        assert_eq!(seen.address, Some(([192, 0, 2, 1], 25).into()));
    }
}
