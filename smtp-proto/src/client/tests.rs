//! The client's side against servers that are scripts. `hello` is how a conversation begins and ends, `tls` what comes
//! before everything else where it is wished for, `auth` how the client proves who it is, `envelope` what goes out and in which groups, `limits` how much the server
//! takes, `rehearsal` an envelope without a message, `outcomes` who is told what, `failures` what breaks and when, `random`
//! whether anything can make it say that a message was taken over which was not; `lmtp` what is otherwise where every
//! recipient has an answer of its own.

mod auth;
mod chunking;
mod envelope;
mod failures;
mod hello;
mod limits;
mod lmtp;
mod outcomes;
mod random;
mod rehearsal;
mod tls;

use super::*;
use crate::transaction::Recipient;

/// A session with its octets.
struct Talk {
    session: ClientSession,
    now: Duration,
    /// What went out and was not looked at yet.
    sent: Vec<u8>,
}

const ALL: &str = "220 mx\r\n250-mx\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-AUTH PLAIN\r\n250 SIZE 1000\r\n";

fn config() -> Config {
    Config::new("laptop.example.com".parse().unwrap())
}

impl Talk {
    fn new() -> Self {
        Talk::with(config())
    }

    fn with(config: Config) -> Self {
        Talk { session: ClientSession::new(config), now: Duration::ZERO, sent: Vec::new() }
    }

    /// With a server that answered EHLO so.
    fn ready(server: &str) -> Self {
        let mut talk = Talk::new();
        assert_eq!(talk.hear(server), [Event::Ready]);
        talk.said();
        talk
    }

    /// Without any extension.
    fn plain() -> Self {
        Talk::ready("220 mx\r\n250 mx\r\n")
    }

    /// What the server says, line by line, each when it has read what went before. Returns all events but
    /// [`Event::NeedInput`].
    fn hear(&mut self, text: &str) -> Vec<Event> {
        let lines = if text.is_empty() { vec![""] } else { text.split_inclusive('\n').collect() };
        let mut events = Vec::new();
        let mut held = String::new();
        for line in lines {
            self.write();
            held.push_str(line);
            let (left, more) = self.hear_at_once(&held);
            held = left;
            events.extend(more);
            if matches!(events.last(), Some(Event::Closed(_))) {
                return events;
            }
        }
        assert!(held.is_empty(), "left over: {held:?}");
        events
    }

    /// What the server says in one piece. Returns what is left of it, and the events.
    fn hear_at_once(&mut self, text: &str) -> (String, Vec<Event>) {
        let mut rest = text;
        let mut events = Vec::new();
        loop {
            let (used, event) = self.session.handle(rest.as_bytes(), self.now);
            rest = &rest[used..];
            match event {
                Event::NeedInput => return (rest.to_owned(), events),
                event => events.push(event),
            }
            if matches!(events.last(), Some(Event::Closed(_))) {
                return (rest.to_owned(), events);
            }
        }
    }

    /// What waits goes out.
    fn write(&mut self) {
        self.sent.extend_from_slice(self.session.output());
        self.session.clear_output();
    }

    /// What was sent since the last time.
    fn said(&mut self) -> String {
        self.write();
        String::from_utf8(std::mem::take(&mut self.sent)).unwrap()
    }

    fn start(&mut self, transaction: Transaction) {
        self.session.start(transaction, self.now).unwrap();
    }

    fn send_content(&mut self, content: &str) {
        self.session.write_content(content.as_bytes(), self.now).unwrap();
        self.session.finish_content(self.now).unwrap();
    }
}

fn recipient(path: &str) -> Recipient {
    path.parse::<crate::address::ForwardPath>().unwrap().into()
}

fn transaction(recipients: &[&str]) -> Transaction {
    let mut transaction = Transaction::new("<alice@a>".parse().unwrap());
    transaction.recipients = recipients.iter().map(|path| recipient(path)).collect();
    transaction
}

/// The outcome among the events, which must hold one.
#[track_caller]
fn outcome(events: &[Event]) -> &Outcome {
    match events {
        [Event::Finished(outcome), ..] => outcome,
        events => panic!("no outcome in {events:?}"),
    }
}

/// Each recipient's result in a word or two: `250`, or `RCPT 550`, or `content lost`.
fn results(outcome: &Outcome) -> Vec<String> {
    let word = |failure: &Failure| match &failure.cause {
        Cause::Refused(reply) => reply.code().to_string(),
        Cause::Reply(error) => format!("{error:?}"),
        Cause::ConnectionLost => "lost".to_owned(),
        Cause::Timeout => "timeout".to_owned(),
    };
    let results = outcome.recipients.iter().map(|recipient| match &recipient.result {
        Ok(reply) => reply.code().to_string(),
        Err(failure) => format!("{} {}", failure.stage, word(failure)),
    });
    results.collect()
}
