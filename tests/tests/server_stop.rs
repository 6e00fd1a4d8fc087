//! Stopping: who is idle is told, who is in the middle may finish, and it takes no longer than it may.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::net::TcpStream;
use std::time::{Duration, Instant};

use smtp_tests::peer::Peer;
use smtp_tests::server::TestServer;

fn in_content(server: &TestServer) -> Peer {
    let mut peer = server.greeted();
    peer.agree_all(&["MAIL FROM:<a@b.example>", "RCPT TO:<x@example.org>", "DATA"]);
    peer.send("half a message\r\n");
    peer
}

/// Row N092. The drain: 421 to the idle at once, to the others behind their transaction; no new connections.
#[test]
fn a_drain_lets_transactions_finish() {
    let mut server = TestServer::start();
    let mut idle = server.greeted();
    let mut silent = server.connect();
    silent.expect_greeting();
    let mut in_transaction = server.greeted();
    in_transaction.agree("MAIL FROM:<a@b.example>");
    let mut in_content = in_content(&server);

    server.stopper().drain();
    for peer in [&mut idle, &mut silent] {
        assert!(peer.reply().starts_with("421 4.3.2 "));
        peer.expect_close();
    }
    in_content.send("the other half\r\n.\r\n");
    let replies = [in_content.reply(), in_content.reply()];
    assert!(replies[0].starts_with("250 2.0.0 queued") && replies[1].starts_with("421 4.3.2 "), "{replies:?}");
    in_content.expect_close();
    in_transaction.agree_all(&["RCPT TO:<y@example.org>", "DATA"]);
    in_transaction.send("text\r\n.\r\n");
    assert!(in_transaction.reply().starts_with("250 "));
    assert!(in_transaction.reply().starts_with("421 4.3.2 "));
    drop((idle, silent, in_transaction, in_content));

    let began = Instant::now();
    server.join();
    assert!(began.elapsed() < Duration::from_secs(4), "nobody is left to wait for: {:?}", began.elapsed());
    assert!(TcpStream::connect(server.address).is_err(), "nobody listens any more");
    assert_eq!(server.stored().len(), 2);
}

/// RSET and a refusal at the end of the content end a transaction, too.
#[test]
fn a_drain_ends_with_the_transaction_however_it_ends() {
    let server = TestServer::start();
    let mut resetting = server.greeted();
    resetting.agree("MAIL FROM:<a@b.example>");
    let mut refused = in_content(&server);
    server.stopper().drain();
    resetting.agree("RSET");
    refused.send("a bare \n line feed\r\n.\r\n");
    assert!(refused.reply().starts_with("550 5.6.11"));
    for peer in [&mut resetting, &mut refused] {
        assert!(peer.reply().starts_with("421 4.3.2 "));
        peer.expect_close();
    }
    assert_eq!(server.stored(), []);
}

/// The second signal: content under way is interrupted with a 421, and nothing of it is stored.
#[test]
fn a_stop_interrupts_content() {
    let mut server = TestServer::start();
    let (mut first, mut second) = (in_content(&server), in_content(&server));
    let long = "a line of the message\r\n".repeat(10_000); // beyond what waits in memory
    second.send(&long);
    server.stopper().drain();
    let stopper = server.stopper();
    let began = Instant::now();
    stopper.stop();
    std::thread::scope(|scope| {
        scope.spawn(|| server.join());
        for peer in [&mut first, &mut second] {
            assert!(peer.reply().starts_with("421 4.3.2 "));
            peer.expect_close();
            peer.finish_sending();
        }
    });
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!((server.stored(), server.temporary_files()), (Vec::new(), 0));
}

/// A drain does not wait for ever for a peer that never finishes.
#[test]
fn a_drain_has_an_end() {
    let drain_timeout = Duration::from_millis(200);
    let mut server = TestServer::builder().config(|config| config.drain_timeout = drain_timeout).start();
    let mut peer = in_content(&server);
    server.stopper().drain();
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| server.join());
        assert!(peer.reply().starts_with("421 4.3.2 "));
        assert!(began.elapsed() >= drain_timeout, "{:?}", began.elapsed());
        peer.expect_close();
    });
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!(server.stored(), []);
}

/// A peer that neither speaks nor reads nor closes holds nothing up for longer than the linger timeout.
#[test]
fn a_stop_does_not_wait_for_those_who_never_close() {
    let mut server = TestServer::builder().config(|config| config.linger_timeout = Duration::from_millis(200)).start();
    let peers: Vec<_> = (0..10).map(|_| server.greeted()).collect();
    server.stopper().stop();
    let began = Instant::now();
    server.join();
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    drop(peers);
}

/// Stopped before anybody came, stopped twice, stopped and dropped.
#[test]
fn stopping_is_always_possible() {
    for times in 0..3 {
        let mut server = TestServer::start();
        for _ in 0..times {
            server.stopper().stop();
        }
        if times > 0 {
            server.join();
            server.stopper().stop();
        }
    }
}
