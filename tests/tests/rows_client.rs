//! Rows of `docs/requirements.md` about the client that no other test answers for.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::sync::{Arc, Mutex};
use std::time::Duration;

use smtp_client::batch::Unwatched;
use smtp_client::{Batch, Connection, Content, Message, Options, Plan, Retries};
use smtp_proto::address::ForwardPath;
use smtp_proto::command::HelloName;
use smtp_proto::reply::{Code, Reply};
use smtp_proto::server::Decision;
use smtp_proto::transaction::{Recipient, Transaction};
use smtp_server::policy::{Client, Policy};
use smtp_tests::server::TestServer;

/// Notes what it is asked, and refuses senders and contents by the first letter of the sender.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn note(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }

    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn no(code: u16) -> Decision {
    Decision::Refuse(Reply::new(Code::new(code).unwrap(), None, "No"))
}

impl Policy for Notes {
    fn hello(&self, _: &Client<'_>, hello: &HelloName) -> Decision {
        self.note(format!("hello {hello}"));
        Decision::Accept
    }

    fn mail(&self, _: &Client<'_>, transaction: &Transaction) -> Decision {
        let sender = transaction.reverse_path.to_string();
        self.note(format!("mail {sender}"));
        if sender.starts_with("<never") { no(550) } else { Decision::Accept }
    }

    fn rcpt(&self, _: &Client<'_>, _: &Transaction, _: &Recipient) -> Decision {
        Decision::Accept
    }

    fn end_of_content(&self, _: &Client<'_>, transaction: &Transaction, _: u64) -> Decision {
        let sender = transaction.reverse_path.to_string();
        self.note(format!("content {sender}"));
        if sender.starts_with("<spam") { no(554) } else { Decision::Accept }
    }
}

/// Sends messages with these senders, with another try at once for what may work then.
fn send(server: &TestServer, senders: &[&str]) {
    let message = |sender: &&str| {
        let mut transaction = Transaction::new(sender.parse().unwrap());
        transaction.recipients.push("<x@example.org>".parse::<ForwardPath>().unwrap().into());
        Message { transaction, source: Content::from_bytes(b"Subject: x\n\n".to_vec()).unwrap().into() }
    };
    let address = server.address.to_string();
    let mut batch = Batch::new(senders.iter().map(message).collect());
    let plan = Plan { retries: Retries { pauses: vec![Duration::ZERO] }, ..Plan::default() };
    batch.send(&plan, &Unwatched, &|| Connection::open(&address, Options::default()));
}

/// Rows N172, N183: what was refused for good, at MAIL or at the end of the content, is not sent again. Row N250: a sender
/// that was refused once is refused once only: the next message of the same sender is tried.
#[test]
fn refused_for_good_is_tried_once_each() {
    let notes = Notes::default();
    let server = TestServer::builder().policy(notes.clone()).start();
    send(&server, &["<never@a.example>", "<spam@a.example>", "<never@a.example>", "<good@a.example>"]);
    let mut notes = notes.taken();
    assert!(notes.remove(0).starts_with("hello "));
    assert_eq!(
        notes,
        [
            "mail <never@a.example>",
            "mail <spam@a.example>",
            "content <spam@a.example>",
            "mail <never@a.example>",
            "mail <good@a.example>",
            "content <good@a.example>",
        ]
    );
    assert_eq!(server.only_stored().sender(), "<good@a.example>");
}

/// Row N014: the client names itself by a name with a domain, or by its address where the host has none.
#[test]
fn the_hello_name_is_full_or_an_address() {
    let notes = Notes::default();
    let server = TestServer::builder().policy(notes.clone()).start();
    Connection::open(&server.address.to_string(), Options::default()).unwrap().quit();
    let notes = notes.taken();
    let name = notes[0].strip_prefix("hello ").unwrap();
    assert!(name == "[127.0.0.1]" || name.contains('.') && !name.starts_with('['), "{name}");
}
