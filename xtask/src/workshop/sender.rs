//! Our client library as the tasks use it: a letter goes out, and its fate is one of three.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use smtp_client::proto::address::{ForwardPath, ReversePath};
use smtp_client::proto::transaction::Transaction;
use smtp_client::{Connection, Content, Options};

use super::failure::{OrFail, Outcome};

/// What became of a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// 250: the server has it, under this id.
    Acknowledged(String),
    /// The server said no: it must not have it.
    Refused(String),
    /// The conversation broke before the answer: nobody knows (RFC 1047).
    Unknown(String),
}

/// A connection over which letters go to `bob@localhost`.
pub(crate) struct Sender {
    connection: Connection,
}

impl Sender {
    /// Calls the server. Everything over this connection has two minutes.
    pub(crate) fn open(address: SocketAddr) -> Outcome<Self> {
        let give_up_at = Some(Instant::now() + Duration::from_secs(120));
        let options = Options { give_up_at, ..Options::default() };
        let connection = Connection::open(&address.to_string(), options).or_fail("connecting")?;
        Ok(Sender { connection })
    }

    /// Sends one letter.
    pub(crate) fn send(&mut self, letter: &[u8]) -> Outcome<Fate> {
        let reverse_path: ReversePath = "<alice@example.org>".parse().or_fail("an address")?;
        let forward_path: ForwardPath = "<bob@localhost>".parse().or_fail("an address")?;
        let mut transaction = Transaction::new(reverse_path);
        transaction.recipients.push(forward_path.into());
        let content = Content::from_bytes(letter.to_vec()).or_fail("a letter")?;
        let outcome = self.connection.send(transaction, &content).or_fail("sending a letter")?;
        let result = outcome.recipients.into_iter().next().or_fail("there is no outcome")?.result;
        Ok(match result {
            Ok(reply) => Fate::Acknowledged(queue_id(&reply.to_string())),
            Err(failure) if failure.is_uncertain() => Fate::Unknown(failure.to_string()),
            Err(failure) => Fate::Refused(failure.to_string()),
        })
    }

    /// Sends one letter that has to be taken over. Returns its id.
    pub(crate) fn must_send(&mut self, letter: &[u8]) -> Outcome<String> {
        match self.send(letter)? {
            Fate::Acknowledged(id) => Ok(id),
            fate => super::failure::fail(format!("a letter was not taken over: {fate:?}")),
        }
    }

    /// Says goodbye.
    pub(crate) fn quit(self) {
        self.connection.quit();
    }
}

/// The id in `250 2.0.0 queued as ID`.
pub(crate) fn queue_id(reply: &str) -> String {
    let behind = reply.split("queued as ").nth(1).unwrap_or_default();
    behind.chars().take_while(|character| character.is_ascii_alphanumeric() || *character == '-').collect()
}
