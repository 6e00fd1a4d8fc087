//! The two machines in one room: what the client sends is what the server reads, and time is a number.
//!
//! The network between them cuts the octets anywhere and may fall silent, break, or deliver late; neither side may ever
//! believe that a message was taken over when it was not, nor lose one that was.

// A helper of a test is a test: what it did not expect fails it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;
use smtp_proto::address::ForwardPath;
use smtp_proto::client::{self, ClientSession, Ending, Outcome};
use smtp_proto::reply::{Code, EnhancedCode, Reply};
use smtp_proto::server::{self, CloseReason, Decision, Question, ServerSession};
use smtp_proto::transaction::Transaction;

/// A message to send: who it is for, and what is in it.
type Message = (Vec<&'static str>, Vec<u8>);

/// Both ends, the octets between them, and what each end believes.
struct Room {
    client: ClientSession,
    server: ServerSession,
    now: Duration,
    to_server: VecDeque<u8>,
    to_client: VecDeque<u8>,
    /// What each side has read and not used.
    server_holds: Vec<u8>,
    client_holds: Vec<u8>,
    /// Still to be sent.
    messages: VecDeque<Message>,
    content: Vec<u8>,
    arriving: Vec<u8>,
    delivered: Vec<(Vec<String>, Vec<u8>)>,
    outcomes: Vec<Outcome>,
    ending: Option<Ending>,
    is_server_closed: bool,
}

/// Mailboxes named `no…` do not exist, `later…` not now; a message that holds "bad" is refused at its end.
fn decide(question: Question<'_>, content: &[u8]) -> Decision {
    let refuse = |code, enhanced| Decision::Refuse(Reply::new(Code::new(code).unwrap(), Some(enhanced), "No"));
    match question {
        Question::Rcpt(_, recipient) if recipient.forward_path.to_string().starts_with("<no") => {
            refuse(550, EnhancedCode::new(5, 1, 1))
        }
        Question::Rcpt(_, recipient) if recipient.forward_path.to_string().starts_with("<later") => {
            refuse(451, EnhancedCode::new(4, 3, 0))
        }
        Question::EndOfContent(_) if content.windows(3).any(|window| window == b"bad") => {
            refuse(554, EnhancedCode::new(5, 6, 0))
        }
        _ => Decision::Accept,
    }
}

impl Room {
    fn new(messages: Vec<Message>, has_pipelining: bool) -> Self {
        Room::with(messages, has_pipelining, false)
    }

    fn with(messages: Vec<Message>, has_pipelining: bool, has_chunking: bool) -> Self {
        let mut config = client::Config::new("laptop.example.com".parse().unwrap());
        config.pipelining = has_pipelining;
        config.chunking = has_chunking;
        Room {
            client: ClientSession::new(config),
            server: ServerSession::new(server::Config::new("mx.example.org".parse().unwrap())),
            now: Duration::ZERO,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            server_holds: Vec::new(),
            client_holds: Vec::new(),
            messages: messages.into(),
            content: Vec::new(),
            arriving: Vec::new(),
            delivered: Vec::new(),
            outcomes: Vec::new(),
            ending: None,
            is_server_closed: false,
        }
    }

    /// The server reads at most `octets`, and answers.
    fn run_server(&mut self, octets: usize) {
        let count = octets.min(self.to_server.len());
        self.server_holds.extend(self.to_server.drain(..count));
        let held = std::mem::take(&mut self.server_holds);
        let mut rest = &held[..];
        while !self.is_server_closed {
            let (used, event) = self.server.handle(rest, self.now);
            rest = &rest[used..];
            match event {
                server::Event::NeedInput => break,
                server::Event::Close => self.is_server_closed = true,
                server::Event::Content(octets) => self.arriving.extend_from_slice(octets),
                server::Event::Dropped => self.arriving.clear(),
                server::Event::StartTls => panic!("it is not offered"),
                server::Event::Question => {
                    let question = self.server.question().unwrap();
                    let decision = decide(question, &self.arriving);
                    if let Question::EndOfContent(transaction) = question {
                        let content = std::mem::take(&mut self.arriving);
                        if !matches!(decision, Decision::Refuse(_)) {
                            self.delivered.push((paths(transaction), content));
                        }
                    }
                    self.server.decide(decision, self.now);
                }
            }
        }
        self.server_holds = rest.to_vec();
        self.to_client.extend(self.server.output());
        self.server.clear_output();
    }

    /// The client reads at most `octets`, and goes on.
    fn run_client(&mut self, octets: usize) {
        let count = octets.min(self.to_client.len());
        self.client_holds.extend(self.to_client.drain(..count));
        let held = std::mem::take(&mut self.client_holds);
        let mut rest = &held[..];
        while self.ending.is_none() {
            let (used, event) = self.client.handle(rest, self.now);
            rest = &rest[used..];
            match event {
                client::Event::NeedInput => break,
                client::Event::StartTls | client::Event::Auth(_) => unreachable!("nobody asked for it"),
                client::Event::Closed(ending) => self.ending = Some(ending),
                client::Event::Finished(outcome) => self.outcomes.push(outcome),
                client::Event::Ready => match self.messages.pop_front() {
                    Some((recipients, content)) => {
                        self.content = content;
                        let mut transaction = transaction(&recipients);
                        transaction.parameters.size = Some(canonical(&self.content).len() as u64);
                        self.client.start(transaction, self.now).unwrap();
                    }
                    None => self.client.quit(self.now),
                },
                client::Event::WantContent => {
                    for piece in self.content.chunks(7) {
                        self.client.write_content(piece, self.now).unwrap();
                    }
                    self.client.finish_content(self.now).unwrap();
                }
            }
        }
        self.client_holds = rest.to_vec();
        self.to_server.extend(self.client.output());
        self.client.clear_output();
    }

    /// The network falls silent, and each side waits as long as it waits. Returns which gave up first.
    fn wait_for_a_deadline(&mut self) -> &'static str {
        let (client, server) = (self.client.deadline(), self.server.deadline());
        self.now = client.min(server);
        if server <= client {
            self.server.handle_close(CloseReason::Deadline);
            self.run_server(0);
            return "server";
        }
        self.client.handle_timeout();
        self.run_client(0);
        "client"
    }

    /// Runs until nothing moves, in steps of `pieces` octets.
    fn run(&mut self, pieces: &[usize]) {
        let mut pieces = pieces.iter().copied().cycle();
        let mut next = || pieces.next().unwrap_or(usize::MAX);
        self.run_server(0);
        for _ in 0..1_000_000 {
            if self.to_server.is_empty() && self.to_client.is_empty() {
                return;
            }
            self.now += Duration::from_millis(1);
            self.run_client(next());
            self.run_server(next());
        }
        panic!("they talk for ever");
    }
}

fn transaction(recipients: &[&str]) -> Transaction {
    let mut transaction = Transaction::new("<alice@example.com>".parse().unwrap());
    let paths = recipients.iter().map(|path| path.parse::<ForwardPath>().unwrap());
    transaction.recipients = paths.map(Into::into).collect();
    transaction
}

fn paths(transaction: &Transaction) -> Vec<String> {
    transaction.recipients.iter().map(|recipient| recipient.forward_path.to_string()).collect()
}

/// Those who were told that the message was taken over for them, message by message; empty ones are left out.
fn successes(outcomes: &[Outcome]) -> Vec<Vec<String>> {
    let taken = |outcome: &Outcome| -> Vec<String> {
        let recipients = outcome.recipients.iter().filter(|recipient| recipient.result.is_ok());
        recipients.map(|recipient| recipient.forward_path.to_string()).collect()
    };
    outcomes.iter().map(taken).filter(|recipients| !recipients.is_empty()).collect()
}

fn canonical(content: &[u8]) -> Vec<u8> {
    let mut lines = content.to_vec();
    if !lines.is_empty() && !lines.ends_with(b"\n") {
        lines.push(b'\n');
    }
    lines.iter().flat_map(|octet| if *octet == b'\n' { b"\r\n".to_vec() } else { vec![*octet] }).collect()
}

/// The textbook, sentence by sentence: one connection, several messages, each with its own sender and recipients, and an
/// end in order.
#[test]
fn several_messages_and_a_goodbye() {
    for has_pipelining in [true, false] {
        let mut room = Room::new(
            vec![
                (vec!["<bob@b>", "<no@b>", "<carol@c>"], b"one\n".to_vec()),
                (vec!["<no@b>", "<later@b>"], b"nobody wants it\n".to_vec()),
                (vec!["<bob@b>"], b"bad\n".to_vec()),
                (vec!["<dave@d>"], b".\n..\nlast".to_vec()),
            ],
            has_pipelining,
        );
        room.run(&[usize::MAX]);
        assert_eq!(room.ending, Some(Ending::Quit));
        assert!(room.is_server_closed && room.server_holds.is_empty());
        assert_eq!(
            room.delivered,
            [
                (vec!["<bob@b>".to_owned(), "<carol@c>".to_owned()], b"one\r\n".to_vec()),
                (vec!["<dave@d>".to_owned()], b".\r\n..\r\nlast\r\n".to_vec()),
            ]
        );
        let results: Vec<Vec<_>> = room
            .outcomes
            .iter()
            .map(|outcome| {
                let results = outcome.recipients.iter().map(|recipient| match &recipient.result {
                    Ok(reply) => reply.code().to_string(),
                    Err(failure) => failure.to_string(),
                });
                results.collect()
            })
            .collect();
        assert_eq!(results[0], ["250", "RCPT: 550 5.1.1 No", "250"]);
        assert_eq!(results[1], ["RCPT: 550 5.1.1 No", "RCPT: 451 4.3.0 No"]);
        assert_eq!(results[2], ["end of content: 554 5.6.0 No"]);
        assert_eq!(results[3], ["250"]);
    }
}

/// A thousand recipients pass, group by group.
#[test]
fn many_recipients() {
    let paths: Vec<&'static str> = (0..1_000).map(|number| &*format!("<u{number}@b>").leak()).collect();
    let mut room = Room::new(vec![(paths.clone(), b"hello\n".to_vec())], true);
    room.run(&[100, 3]);
    assert_eq!(room.ending, Some(Ending::Quit));
    assert_eq!(room.delivered[0].0, paths);
    assert!(room.outcomes[0].is_success());
}

/// Silence at any moment: somebody's deadline ends it within the hour, and nothing is taken over by one side alone, but
/// for a last 250 that was said and not heard.
#[test]
fn silence_at_every_octet() {
    for (has_pipelining, has_chunking) in [(true, false), (false, false), (true, true), (false, true)] {
        for stop_after in 0.. {
            let messages = vec![(vec!["<bob@b>", "<no@b>"], b"text\n".to_vec())];
            let mut room = Room::with(messages, has_pipelining, has_chunking);
            room.run_server(0);
            for _ in 0..stop_after {
                room.run_client(1);
                room.run_server(1);
            }
            // Whatever is under way is lost.
            room.to_client.clear();
            room.to_server.clear();
            if room.ending.is_some() {
                assert_eq!(room.delivered.len(), 1, "it was long enough to come to its end");
                break;
            }
            room.wait_for_a_deadline();
            room.to_client.clear();
            room.client.handle_connection_lost();
            room.run_client(0);
            room.server.handle_end_of_input();
            room.run_server(0);
            assert!(room.now <= Duration::from_secs(3_600));
            assert!(room.ending.is_some() && room.is_server_closed);
            let told = successes(&room.outcomes);
            assert!(told.is_empty() || room.delivered.len() == 1, "stopped after {stop_after}");
            for outcome in &room.outcomes {
                for recipient in &outcome.recipients {
                    if let (Err(failure), false) = (&recipient.result, room.delivered.is_empty()) {
                        // What was delivered and is not known to be is uncertain, and may be sent twice; never lost.
                        assert!(failure.is_uncertain() || failure.to_string().contains("550"), "{failure}");
                    }
                }
            }
        }
    }
}

/// Time-outs by numbers: who waits how long, when the other side says nothing at all.
#[test]
fn who_gives_up_first() {
    // The server waits for EHLO as long as the client waits for the greeting: the greeting is lost, the server is first.
    let mut room = Room::new(vec![], true);
    room.run_server(0);
    room.to_client.clear();
    assert_eq!((room.wait_for_a_deadline(), room.now), ("server", Duration::from_secs(300)));
    assert_eq!(room.to_client.iter().take(3).copied().collect::<Vec<_>>(), b"421");

    // The final 250 is lost: the client waits ten minutes, the server five for the next command, and its 421 is heard.
    let mut room = Room::new(vec![(vec!["<bob@b>"], b"text\n".to_vec())], false);
    room.run_server(0);
    while room.delivered.is_empty() {
        room.run_client(usize::MAX);
        room.run_server(usize::MAX);
    }
    room.to_client.clear();
    assert_eq!((room.wait_for_a_deadline(), room.now), ("server", Duration::from_secs(300)));
    room.run_client(usize::MAX);
    let failure = room.outcomes[0].recipients[0].result.as_ref().unwrap_err();
    assert!(failure.is_transient() && matches!(room.ending, Some(Ending::Goodbye(_))), "{failure}");

    // In the middle of the content the server is the one that waits, and the client's deadline for the block is three
    // minutes.
    let mut room = Room::new(vec![(vec!["<bob@b>"], b"text\n".to_vec())], false);
    room.run_server(0);
    while room.client.stage() != client::Stage::Data {
        room.run_client(usize::MAX);
        room.run_server(usize::MAX);
    }
    room.to_client.clear();
    assert_eq!((room.wait_for_a_deadline(), room.now), ("client", Duration::from_secs(120)));
    assert!(room.outcomes[0].recipients[0].result.is_err() && room.delivered.is_empty());
}

fn messages() -> impl Strategy<Value = Vec<Message>> {
    let path = prop::sample::select(vec!["<bob@b>", "<carol@c>", "<no@b>", "<later@b>", "<Postmaster>", "<\"a b\"@b>"]);
    let octet = prop_oneof![4 => prop::sample::select(b"\n.ab\0".to_vec()), 1 => any::<u8>()];
    let content = prop::collection::vec(octet, 0..60)
        .prop_map(|content| content.into_iter().filter(|octet| *octet != b'\r').collect());
    prop::collection::vec((prop::collection::vec(path, 1..5), content), 0..5)
}

proptest! {
    /// However the octets are cut on either way, what the client believes is what the server did, with DATA and with BDAT
    /// (rows X037, X043).
    #[test]
    fn both_sides_agree(messages in messages(), has_pipelining in any::<bool>(), has_chunking in any::<bool>(), pieces in prop::collection::vec(1_usize..60, 1..12)) {
        let mut room = Room::with(messages.clone(), has_pipelining, has_chunking);
        room.run(&pieces);
        prop_assert_eq!(&room.ending, &Some(Ending::Quit));
        prop_assert!(room.is_server_closed);
        prop_assert_eq!(room.outcomes.len(), messages.len());
        // A recipient named twice gets two results and one copy.
        let mut told = successes(&room.outcomes);
        for recipients in &mut told {
            let mut seen = Vec::new();
            recipients.retain(|path| !seen.contains(path) && { seen.push(path.clone()); true });
        }
        let delivered: Vec<_> = room.delivered.iter().map(|(paths, _)| paths.clone()).collect();
        prop_assert_eq!(told, delivered);
        let contents: Vec<_> = messages.iter().zip(&room.outcomes).filter(|(_, outcome)| outcome.recipients.iter().any(|r| r.result.is_ok())).map(|((_, content), _)| canonical(content)).collect();
        prop_assert_eq!(contents, room.delivered.into_iter().map(|(_, content)| content).collect::<Vec<_>>());
    }
}
