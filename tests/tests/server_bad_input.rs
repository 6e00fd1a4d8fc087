//! Peers that are no mail clients, and peers that go away: a clear reply or a close, nothing stored that was not
//! acknowledged, and the next client is served.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use smtp_proto::command::HelloName;
use smtp_proto::reply::{Code, Reply};
use smtp_proto::server::Decision;
use smtp_proto::transaction::{Recipient, Transaction};
use smtp_server::policy::{Client, Policy};
use smtp_tests::server::TestServer;
use smtp_tests::wait_until;

/// A web page can make a browser send this to any port. What stands in the body are not commands.
#[test]
fn other_protocols() {
    let server = TestServer::start();
    let body = "EHLO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<x@example.org>\r\nDATA\r\nforged\r\n.\r\n";
    for verb in ["GET / HTTP/1.1", "POST / HTTP/1.1", "PUT /x HTTP/1.1", "CONNECT a:25 HTTP/1.1", "PRI * HTTP/2.0"] {
        let mut peer = server.connect();
        peer.expect_greeting();
        peer.send(format!("{verb}\r\nHost: mx.example.org:25\r\nContent-Length: 90\r\n\r\n{body}"));
        let (said, _) = peer.rest();
        assert!(said.starts_with("554 5.5.1 ") && said.lines().count() == 1, "{verb}: {said}");
    }
    assert_eq!(server.stored(), []);
}

/// A TLS client on the plain port waits for an answer; it gets one at once, and its thread is free again.
#[test]
fn a_tls_client_hello() {
    let server = TestServer::builder().threads(1).start();
    let mut hello = b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03".to_vec();
    hello.extend((0..194).map(|number: u8| number.wrapping_mul(37)));
    let mut peer = server.connect();
    peer.expect_greeting();
    peer.send(&hello);
    let (said, _) = peer.rest();
    assert!(said.starts_with("554 5.5.1 "), "{said}");
    drop(peer);
    server.greeted_when_free().agree("QUIT");
}

/// Octets by chance, with line ends and verbs among them so that they come in everywhere. Every answer is a reply, none is
/// an acceptance of a message, and the server is as well as before.
#[test]
fn noise() {
    let server = TestServer::builder().threads(4).start();
    let words: [&[u8]; 8] =
        [b"\r\n", b"\n", b"\r", b"EHLO a\r\n", b"MAIL FROM:<", b"RCPT TO:<x@example.org>\r\n", b"DATA\r\n", b".\r\n"];
    for seed in 1..=40_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut random = || {
            // xorshift64: the same octets in every run.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut octets = Vec::new();
        while octets.len() < 20_000 {
            match random() % 4 {
                0 => octets.extend(words[(random() % 8) as usize]),
                _ => octets.extend(random().to_le_bytes()),
            }
        }
        let mut peer = server.connect();
        peer.expect_greeting();
        // The server may close before the last of it.
        let _ = peer.try_send(&octets);
        peer.finish_sending();
        let (said, _) = peer.rest();
        for line in said.lines() {
            let is_reply = line.len() >= 4 && line.is_ascii() && line[..3].parse::<u16>().is_ok();
            assert!(is_reply && line.len() <= 510, "seed {seed}: {line:?}");
            assert!(!line.contains("queued as"), "seed {seed}: {line:?}");
        }
    }
    assert_eq!(server.stored(), []);
    server.greeted_when_free().send_message("a@b.example", &["x@example.org"], "well\r\n");
}

/// Rows N024, N026, N143: control characters and broken UTF-8 in commands. The state stays as it is.
#[test]
fn octets_that_no_command_holds() {
    let server = TestServer::start();
    let mut peer = server.greeted();
    peer.agree("MAIL FROM:<a@b.example>");
    for line in [
        &b"RCPT TO:<x\0@example.org>"[..],
        b"RCPT TO:<\"x\0y\"@example.org>",
        b"RCPT TO:<x@example.org>\0",
        b"RCPT TO:<x\x1b[2J@example.org>",
        b"RCPT TO:<x\x7f@example.org>",
        b"RCPT TO:<\xe9@example.org>",
        b"RCPT TO:<x@ex\xffample.org>",
        b"NOOP \xc3\x28",
        b"EHLO a\0b",
        b"EHLO caf\xe9",
        b"\0\0\0\0",
    ] {
        peer.expect(line, "501 5.5.2 ");
    }
    // Well-formed UTF-8 needs SMTPUTF8, which was not said; and in a name it has no place at all.
    peer.expect("RCPT TO:<é@example.org>", "553 5.6.7 ");
    peer.expect("EHLO café", "501 ");
    peer.expect("RCPT TO:<x@example.org>", "250 ");
    peer.agree("DATA");
    peer.send("NUL \0 is content like any other\r\n.\r\n");
    assert!(peer.reply().starts_with("250 "));
    assert_eq!(server.only_stored().recipients(), ["<x@example.org>"]);
}

/// RFC 2920, 3.1: nothing may stand behind EHLO, and whoever does not wait does not listen.
#[test]
fn a_client_that_does_not_wait() {
    let server = TestServer::start();
    for hello in ["EHLO", "HELO"] {
        let mut peer = server.connect();
        peer.expect_greeting();
        peer.send(format!("{hello} a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<x@example.org>\r\nDATA\r\n"));
        let (said, _) = peer.rest();
        assert!(said.starts_with("554 5.5.0 ") && said.lines().count() == 1, "{said}");
    }
}

/// Row N161: as many replies as commands, in order, however they are cut; row X033: none is thrown away.
#[test]
fn a_group_of_commands_in_any_segments() {
    let server = TestServer::start();
    let group = "MAIL FROM:<a@b.example>\r\nRCPT TO:<x@example.org>\r\nNONSENSE\r\nRCPT TO:<y@elsewhere.example>\r\n\
                 NOOP\r\nRSET\r\nDATA\r\nQUIT\r\n";
    for cut in 0..group.len() {
        let mut peer = server.greeted();
        peer.send(&group[..cut]);
        peer.send(&group[cut..]);
        let codes: Vec<String> = peer.rest().0.lines().map(|line| line[..3].to_owned()).collect();
        assert_eq!(codes, ["250", "250", "500", "550", "250", "250", "503", "221"], "cut at {cut}");
    }
}

/// Rows N125, N132, N134: the peer goes away in every state, in order and with a reset. The only thread is free again,
/// and nothing is stored.
#[test]
fn a_peer_that_goes_away() {
    let long = "a line of the message\r\n".repeat(20_000);
    let in_content = "MAIL FROM:<a@b.example>\r\nRCPT TO:<x@example.org>\r\nDATA\r\n";
    let states = [
        ("before the greeting", String::new(), 0),
        ("after the greeting", String::new(), 1),
        ("in a command", "MAI".into(), 1),
        ("after a command's CR", "MAIL FROM:<a@b.example>\r".into(), 1),
        ("with its reply unread", "MAIL FROM:<a@b.example>\r\n".into(), 1),
        ("after MAIL", "MAIL FROM:<a@b.example>\r\n".into(), 2),
        ("after RCPT", "MAIL FROM:<a@b.example>\r\nRCPT TO:<x@example.org>\r\n".into(), 3),
        ("after RSET", "MAIL FROM:<a@b.example>\r\nRSET\r\n".into(), 3),
        ("after DATA", in_content.into(), 4),
        ("with 354 unread", in_content.into(), 3),
        ("in the content", format!("{in_content}Subject: half"), 4),
        ("in a long content", format!("{in_content}{long}"), 4),
        ("before the dot", format!("{in_content}text\r\n"), 4),
        ("behind the dot", format!("{in_content}text\r\n."), 4),
        ("behind the dot's CR", format!("{in_content}text\r\n.\r"), 4),
        ("in a refused content", format!("{in_content}text\nmore\r\n"), 4),
        ("in a line that is too long", "x".repeat(10_000), 1),
    ];
    let server = TestServer::builder().threads(1).start();
    for (state, octets, replies) in &states {
        for is_reset in [false, true] {
            let mut peer = if *replies == 0 { server.connect() } else { server.greeted_when_free() };
            peer.send(octets);
            (1..*replies).for_each(|_| drop(peer.reply()));
            if is_reset {
                peer.reset()
            } else {
                peer.leave()
            }
            let mut next = server.greeted_when_free();
            next.expect("QUIT", "221 ");
            next.expect_close();
            assert_eq!((server.stored(), server.temporary_files()), (Vec::new(), 0), "{state}, reset: {is_reset}");
        }
    }
}

/// A half-closed connection: the peer sends all it has, says that there is no more, and still reads its replies.
#[test]
fn a_peer_that_closes_its_side_first() {
    let server = TestServer::start();
    let mut peer = server.greeted();
    peer.send("MAIL FROM:<a@b.example>\r\nRCPT TO:<x@example.org>\r\nDATA\r\n");
    (0..3).for_each(|_| drop(peer.reply()));
    peer.send("text\r\n.\r\nMAIL FROM:<a@b.example>\r\n");
    peer.finish_sending();
    let (said, is_in_order) = peer.rest();
    let lines: Vec<&str> = said.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].starts_with("250 2.0.0 queued") && lines[1].starts_with("250 2.1.0"),
        "{said}"
    );
    assert!(is_in_order);
    assert_eq!(server.stored().len(), 1);
}

/// A close with octets unread is a reset, and a reset can take the last reply with it: so the server reads on for a while
/// behind its last word, and answers nothing any more.
#[test]
fn octets_behind_the_last_reply() {
    let server = TestServer::builder().config(|config| config.linger_timeout = smtp_tests::PATIENCE).start();
    for (last, reply) in [("QUIT", "221 "), ("GET / HTTP/1.1", "554 ")] {
        let mut peer = server.greeted();
        peer.expect(last, reply);
        peer.expect_close();
        for _ in 0..100 {
            peer.try_send("NOOP\r\n").expect("it is still read");
        }
        peer.finish_sending();
        peer.expect_close();
    }
}

/// Refuses everybody at the door.
struct Closed;

impl Policy for Closed {
    fn connect(&self, _: &Client<'_>) -> Decision {
        Decision::Refuse(Reply::new(Code::new(554).unwrap(), None, "No mail is taken here"))
    }

    fn hello(&self, _: &Client<'_>, _: &HelloName) -> Decision {
        panic!("nobody comes so far")
    }

    fn rcpt(&self, _: &Client<'_>, _: &Transaction, _: &Recipient) -> Decision {
        panic!("nobody comes so far")
    }
}

/// Rows N028 and N029: a greeting of 554 does not close; the client hears 503 until it says QUIT.
#[test]
fn a_host_that_takes_no_mail() {
    let server = TestServer::builder().policy(Closed).start();
    let mut peer = server.connect();
    assert_eq!(peer.reply(), "554 No mail is taken here");
    peer.expect("EHLO a", "503 5.5.1");
    peer.expect("MAIL FROM:<a@b.example>", "503 5.5.1");
    peer.expect("QUIT", "221 2.0.0");
    peer.expect_close();
}

/// Many peers that connect and say nothing at all cost threads, not the server: they leave, and it goes on.
#[test]
fn port_scanners() {
    let server = TestServer::builder().threads(4).start();
    for round in 0..200 {
        let peer = server.connect();
        if round % 2 == 0 { peer.reset() } else { peer.leave() }
    }
    wait_until("all threads are free", || {
        (0..4).map(|_| server.connect()).all(|mut peer| peer.reply().starts_with("220 "))
    });
}
