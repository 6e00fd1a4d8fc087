//! More peers than threads, peers that are slow on purpose, and faults of our own.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use smtp_proto::server::Decision;
use smtp_proto::transaction::{Recipient, Transaction};
use smtp_server::policy::{Client, Policy};
use smtp_tests::peer::Peer;
use smtp_tests::server::TestServer;
use smtp_tests::wait_until;

/// A server that is not ready says so, the others are served on, and later there is room again.
/// Row N253.
#[test]
fn a_full_pool_says_so() {
    let server = TestServer::builder().threads(2).start();
    let (mut first, mut second) = (server.greeted(), server.greeted());
    for peer in [&mut first, &mut second] {
        peer.agree_all(&["MAIL FROM:<a@b.example>", "RCPT TO:<x@example.org>", "DATA"]);
    }
    for _ in 0..20 {
        let mut newcomer = server.connect();
        assert!(newcomer.reply().starts_with("421 4.3.2 "));
        newcomer.expect_close();
    }
    first.send("first\r\n.\r\n");
    assert!(first.reply().starts_with("250 "));
    first.expect("QUIT", "221 ");
    server.greeted_when_free().expect("QUIT", "221 ");
    second.send("second\r\n.\r\n");
    assert!(second.reply().starts_with("250 "));
    assert_eq!(server.stored().len(), 2);
}

/// When the last threads go, the session that has been quiet for longest makes room, and never one in a transaction.
#[test]
fn the_longest_idle_is_evicted() {
    let evict_after = Duration::from_millis(600);
    let server = TestServer::builder().threads(3).config(|config| config.evict_after = evict_after).start();
    let mut oldest_but_busy = server.greeted();
    oldest_but_busy.agree("MAIL FROM:<a@b.example>");
    let mut first_to_come = server.greeted();
    first_to_come.agree("MAIL FROM:<a@b.example>");
    let mut longest_idle = server.greeted();
    // How long somebody has been quiet is what is compared, so there must be a difference.
    std::thread::sleep(Duration::from_millis(400));
    first_to_come.agree("RSET"); // idle from now on, so for a shorter time than the one that came after it
    // Everybody is asked for room, but nobody has been quiet for long enough. Then one has, and is told.
    let began = Instant::now();
    let evicted = std::thread::spawn(move || {
        let reply = longest_idle.reply();
        longest_idle.expect_close();
        (reply, Instant::now())
    });
    while !evicted.is_finished() {
        let mut newcomer = server.connect();
        let reply = newcomer.reply();
        assert!(reply.starts_with("421 4.3.2 ") || reply.starts_with("220 "), "{reply}");
        if reply.starts_with("220 ") {
            break; // the room that was made
        }
        std::thread::yield_now();
    }
    let (reply, at) = evicted.join().unwrap();
    assert!(reply.starts_with("421 4.3.2 ") && reply.contains("idle"), "{reply}");
    assert!(at - began >= evict_after / 8, "not before it was quiet for long enough");
    first_to_come.expect("NOOP", "250 "); // its turn has not come
    oldest_but_busy.agree_all(&["RCPT TO:<x@example.org>", "DATA"]);
    oldest_but_busy.send("in a transaction\r\n.\r\n");
    assert!(oldest_but_busy.reply().starts_with("250 "));
}

/// Whoever is in the middle of a message keeps the thread, however long the others have waited.
#[test]
fn nobody_is_evicted_in_a_transaction() {
    let server = TestServer::builder().threads(2).config(|config| config.evict_after = Duration::ZERO).start();
    let mut first = server.greeted();
    first.agree("MAIL FROM:<a@b.example>");
    let mut second = server.greeted();
    second.agree_all(&["MAIL FROM:<a@b.example>", "RCPT TO:<x@example.org>", "DATA"]);
    for _ in 0..20 {
        assert!(server.connect().reply().starts_with("421 4.3.2 "));
    }
    first.agree("RCPT TO:<x@example.org>");
    second.send("text\r\n.\r\n");
    assert!(second.reply().starts_with("250 "));
}

/// 64 clients at once over 16 threads, five messages each: all that was acknowledged is stored, once.
#[test]
fn many_clients_at_once() {
    let server = TestServer::builder().threads(16).start();
    let acknowledged = std::thread::scope(|scope| {
        let server = &server;
        let clients: Vec<_> = (0..64).map(|client| scope.spawn(move || five_messages(server, client))).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<BTreeMap<_, _>>()
    });
    let stored: BTreeMap<_, _> = server.stored().into_iter().map(|stored| (stored.id, stored.content)).collect();
    assert_eq!((acknowledged.len(), server.stored().len()), (320, 320));
    assert!(acknowledged == stored, "each under its id, octet for octet");
}

fn five_messages(server: &TestServer, client: usize) -> Vec<(String, Vec<u8>)> {
    let mut peer = server.greeted_when_free();
    let message = |number: usize| {
        let content = format!("client {client} message {number}\r\n").repeat(number * 50 + 1).into_bytes();
        (peer.send_message("a@b.example", &["x@example.org"], &content), content)
    };
    let messages = (0..5).map(message).collect();
    peer.expect("QUIT", "221 ");
    messages
}

/// One who dribbles has its thread for a bounded time, in a command as in the content, and hears why.
#[test]
fn a_peer_that_dribbles() {
    let timeout = Duration::from_millis(300);
    let server = TestServer::builder().threads(1).config(|config| {
        config.session.command_timeout = timeout;
        config.session.content_timeout = timeout;
    });
    let server = server.start();
    for lines in
        [&[][..], &["MAIL FROM:<a@b.example>"], &["MAIL FROM:<a@b.example>", "RCPT TO:<x@example.org>", "DATA"]]
    {
        let mut peer = server.greeted_when_free();
        peer.agree_all(lines);
        let began = Instant::now();
        let reply = dribble(&mut peer);
        let took = began.elapsed();
        assert!(reply.starts_with("421 4.4.2 "), "{lines:?}: {reply}");
        assert!(took >= timeout && took < timeout * 20, "{lines:?}: {took:?}");
        peer.leave();
    }
    server.greeted_when_free().expect("QUIT", "221 ");
    assert_eq!((server.stored(), server.temporary_files()), (Vec::new(), 0));
}

/// An octet every 20 ms, until the server says something. The pause is what is tested here.
fn dribble(peer: &mut Peer) -> String {
    loop {
        if peer.try_send("N").is_err() || peer.has_input() {
            return peer.reply();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A peer that says nothing, in every state.
#[test]
fn a_silent_peer() {
    let server = TestServer::builder().threads(1).config(|config| {
        config.session.command_timeout = Duration::from_millis(200);
        config.session.content_timeout = Duration::from_millis(200);
    });
    let server = server.start();
    let content = ["MAIL FROM:<a@b.example>", "RCPT TO:<x@example.org>", "DATA", "half a message"];
    for said in 0..=content.len() {
        let mut peer = server.greeted_when_free();
        for line in &content[..said] {
            if *line == "half a message" { peer.send(*line) } else { drop(peer.agree(line)) }
        }
        assert!(peer.reply().starts_with("421 4.4.2 "), "after {said} lines");
        peer.expect_close();
    }
    assert_eq!((server.stored(), server.temporary_files()), (Vec::new(), 0));
}

/// A peer that never reads its replies: once it cannot be written to, its time runs too.
#[test]
fn a_peer_that_does_not_read() {
    let server = TestServer::builder().threads(1).config(|config| {
        config.session.fruitless_commands = usize::MAX;
        config.session.command_timeout = Duration::from_millis(300);
    });
    let server = server.start();
    let mut peer = Peer::connect_with_small_buffer(server.address);
    peer.expect_greeting();
    peer.agree("EHLO a");
    peer.set_write_timeout(Duration::from_millis(100));
    let group = "HELP\r\n".repeat(1_000);
    let began = Instant::now();
    // As long as the server takes commands; then nothing goes in either direction any more, and then it is cut.
    while peer.try_send(&group).is_ok() {
        assert!(began.elapsed() < Duration::from_secs(20), "it takes commands and never writes a reply");
    }
    let blocked = Instant::now();
    server.greeted_when_free().expect("QUIT", "221 ");
    assert!(blocked.elapsed() < Duration::from_secs(4), "{:?}", blocked.elapsed());
    drop(peer);
}

/// Breaks when it is asked about one recipient.
struct Fragile;

impl Policy for Fragile {
    fn rcpt(&self, _: &Client<'_>, _: &Transaction, recipient: &Recipient) -> Decision {
        if recipient.forward_path.to_string() == "<break@example.org>" {
            // As a panic does, but without a word on standard error.
            std::panic::resume_unwind(Box::new("a fault of ours"));
        }
        Decision::Accept
    }
}

/// A fault of ours costs one connection, whose peer hears that it is temporary, and never a thread.
#[test]
fn a_panic_costs_one_connection() {
    let server = TestServer::builder().threads(3).policy(Fragile).start();
    let mut witness = server.greeted();
    for _ in 0..10 {
        let mut peer = server.greeted_when_free();
        peer.agree("MAIL FROM:<a@b.example>");
        peer.expect("RCPT TO:<break@example.org>", "421 4.3.0 ");
        peer.expect_close();
    }
    wait_until("all three threads are there", || {
        let mut peers: Vec<_> = (0..2).map(|_| server.connect()).collect();
        peers.iter_mut().all(|peer| peer.reply().starts_with("220 "))
    });
    witness.send_message("a@b.example", &["x@example.org"], "unharmed\r\n");
    assert_eq!((server.stored().len(), server.temporary_files()), (1, 0));
}
