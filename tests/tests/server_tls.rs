//! The server under TLS: both versions, both ways in, and what peers do that mean no good.
//! Rows X058, X059, X062, X064.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::time::{Duration, Instant};

use rustls::ProtocolVersion;
use smtp_proto::server::Decision;
use smtp_proto::transaction::{Recipient, Transaction};
use smtp_server::policy::Policy;
use smtp_server::tls::CurrentIdentity;
use smtp_tests::certificates::Authority;
use smtp_tests::peer::Peer;
use smtp_tests::server::{Builder, TestServer, identity};
use smtp_tests::tls::{Client, VERSIONS};
use smtp_tests::{PATIENCE, wait_until};

/// An authority, and what it vouches for.
struct Site {
    authority: Authority,
    identity: CurrentIdentity,
}

impl Site {
    fn new() -> Self {
        let authority = Authority::new("tests").unwrap();
        let identity = identity(&authority.issue().unwrap()).into();
        Site { authority, identity }
    }

    fn server(&self) -> Builder {
        TestServer::builder().tls(&self.identity)
    }

    fn server_with_tls_first(&self) -> Builder {
        TestServer::builder().tls_first(&self.identity)
    }

    fn client(&self) -> Client {
        Client::trusting(&self.authority)
    }
}

/// A peer that has said EHLO in clear and under TLS.
fn encrypted(server: &TestServer, client: &Client) -> Peer {
    let mut peer = server.greeted_when_free();
    peer.start_tls(client);
    peer
}

/// A handshake begins and comes to nothing. Returns what stands in the way.
fn failed_handshake(peer: &mut Peer, client: &Client) -> String {
    peer.shake_hands(client).map(|()| "it succeeds").unwrap_err().to_string()
}

#[test]
fn both_versions_and_both_ways() {
    let site = Site::new();
    for (version, expected) in VERSIONS.into_iter().zip([ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3]) {
        for is_tls_first in [false, true] {
            let server = if is_tls_first { site.server_with_tls_first() } else { site.server() }.start();
            let client = Client::with(&site.authority, &[version]);
            let mut peer = server.connect();
            if is_tls_first {
                peer.shake_hands(&client).unwrap();
                peer.expect_greeting();
            } else {
                peer.expect_greeting();
                assert!(peer.agree("EHLO client.example").contains("250-STARTTLS"));
                peer.expect("STARTTLS", "220 2.0.0 ");
                peer.shake_hands(&client).unwrap();
                peer.expect("MAIL FROM:<a@b.example>", "503 5.5.1 ");
            }
            assert_eq!(peer.tls().protocol_version(), Some(expected));
            assert!(!peer.agree("EHLO client.example").contains("STARTTLS"));
            peer.expect("STARTTLS", "503 5.5.1 ");
            let content = format!("{}\r\n", "a line of the message\r\n".repeat(5_000));
            peer.send_message("a@b.example", &["x@example.org"], &content);
            peer.expect("QUIT", "221 ");
            peer.expect_close();
            let stored = server.only_stored();
            assert!(stored.content == content.as_bytes());
            let suite = peer.tls().negotiated_cipher_suite().unwrap().suite();
            let suite = format!("{suite:?}").replace("TLS13_", "TLS_");
            assert!(stored.received.contains("\r\n\tby mx.example.org with ESMTPS id "), "{}", stored.received);
            assert!(stored.received.contains(&format!("\r\n\ttls {suite};\r\n")), "{}", stored.received);
        }
    }
}

/// Row X153: a client that can do nothing younger than TLS 1.1 is refused, and the only thread is free again.
#[test]
fn old_versions_are_refused() {
    let site = Site::new();
    // One suite, no compression; in it the random octets, which may be any. Old clients do not name signatures, and rustls
    // misses those first: handshake_failure in place of protocol_version (RFC 5246, 7.2).
    let signatures = [0, 8, 0, 13, 0, 4, 0, 2, 4, 1];
    for (minor, extensions, alert) in
        [(0, &[][..], 40), (1, &[], 40), (2, &[], 40), (1, &signatures, 70), (2, &signatures, 70)]
    {
        let body = [&[3, minor][..], &[0xa5; 32], &[0], &[0, 2, 0xc0, 0x13], &[1, 0], extensions].concat();
        let record = [&[0x16, 3, 1, 0, body.len() as u8 + 4, 1, 0, 0, body.len() as u8][..], &body].concat();
        let server = site.server_with_tls_first().threads(1).start();
        let mut peer = server.connect();
        peer.send(&record);
        let (said, _) = peer.rest_of_octets();
        assert!(said.first() == Some(&0x15) && said.ends_with(&[0, 2, 2, alert]), "{said:?}");
        drop(peer);
        served_when_free(&server, &site.client());
    }
}

/// A conversation where TLS comes first, once the server has a thread for it: a server that is busy closes at once.
fn served_when_free(server: &TestServer, client: &Client) {
    wait_until("a thread is free", || {
        let mut peer = server.connect();
        peer.shake_hands(client).map(|()| peer.expect_greeting()).is_ok()
    });
}

/// Row X059: octets behind STARTTLS, as somebody on the way could put them there: in one segment with it, in one that comes
/// before the client's handshake, or one that comes behind the 220. None is ever run.
#[test]
fn injected_commands() {
    let site = Site::new();
    let server = site.server().threads(1).start();
    let injected =
        "EHLO evil.example\r\nMAIL FROM:<evil@b.example>\r\nRCPT TO:<x@example.org>\r\nDATA\r\nforged\r\n.\r\n";
    let mut peer = server.greeted();
    peer.send(format!("STARTTLS\r\n{injected}"));
    let (said, _) = peer.rest();
    assert!(said.starts_with("554 5.5.0 ") && said.lines().count() == 1, "{said}");
    drop(peer);

    for is_behind_reply in [false, true] {
        let mut peer = server.greeted_when_free();
        peer.send("STARTTLS\r\n");
        if is_behind_reply {
            assert!(peer.reply().starts_with("220 "));
        }
        peer.send(injected);
        let (said, _) = peer.rest_of_octets();
        let replies = said.split(|octet| *octet == b'\n').filter(|line| line.first().is_some_and(u8::is_ascii_digit));
        let expected = if is_behind_reply { 0 } else { 1 };
        assert_eq!(replies.count(), expected, "{}", String::from_utf8_lossy(&said));
        assert!(!said.windows(3).any(|code| code == b"250" || code == b"354"), "{}", String::from_utf8_lossy(&said));
    }

    // In front of the client's own handshake, which so comes to nothing.
    let mut peer = server.greeted_when_free();
    peer.expect("STARTTLS", "220 ");
    peer.send("NOOP\r\n");
    failed_handshake(&mut peer, &site.client());
    drop(peer);
    // A command cut in two by the upgrade: its first half is no part of the second.
    let mut peer = server.greeted_when_free();
    peer.send("STAR");
    peer.expect("TTLS", "220 ");
    peer.shake_hands(&site.client()).unwrap();
    peer.expect("NOOP", "250 ");
    assert_eq!(server.stored(), []);
}

/// Octets in clear amid TLS end the connection, and what was coming in is lost.
#[test]
fn clear_text_amid_tls() {
    let site = Site::new();
    let server = site.server().threads(1).start();
    let mut peer = encrypted(&server, &site.client());
    peer.agree_all(&["MAIL FROM:<a@b.example>", "RCPT TO:<x@example.org>", "DATA"]);
    peer.send("half a message\r\n");
    peer.send_in_clear(".\r\nQUIT\r\n.\r\n");
    assert!(peer.try_reply().is_err());
    drop(peer);
    server.greeted_when_free().expect("QUIT", "221 ");
    assert_eq!((server.stored(), server.temporary_files()), (Vec::new(), 0));
}

/// Nothing may be said before the greeting (RFC 5321, 4.3.1), under TLS either.
#[test]
fn a_client_that_does_not_wait_for_the_greeting() {
    let site = Site::new();
    let server = site.server_with_tls_first().start();
    let mut peer = server.connect();
    peer.shake_hands_and_say(&site.client(), b"EHLO client.example\r\n").unwrap();
    assert!(peer.reply().starts_with("554 5.5.0 "));
    peer.expect_close();
}

/// ALPACA: a browser that is sent here offers other protocols, and is refused before anything is said.
#[test]
fn other_protocols_are_refused() {
    let site = Site::new();
    let server = site.server_with_tls_first().start();
    for version in VERSIONS {
        let client = Client::with(&site.authority, &[version]);
        for protocols in [&["h2", "http/1.1"][..], &["imap"], &["SMTP"]] {
            let mut peer = server.connect();
            let error = failed_handshake(&mut peer, &client.clone().offering(protocols));
            assert!(error.contains("NoApplicationProtocol"), "{protocols:?}: {error}");
        }
        for protocols in [&["smtp"][..], &["h2", "smtp"]] {
            let mut peer = server.connect();
            peer.shake_hands(&client.clone().offering(protocols)).unwrap();
            assert_eq!(peer.tls().alpn_protocol(), Some(&b"smtp"[..]));
            peer.expect_greeting();
        }
    }
}

/// Octets that are no handshake: an alert, a close, and the only thread is free again.
#[test]
fn garbage_at_the_handshake() {
    let site = Site::new();
    let noise: Vec<u8> = (0..5_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let endless_hello = [&[0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff][..], &[0; 0x4000 - 4]].concat();
    let alert = [0x15, 3, 3, 0, 2, 2, 40];
    for octets in [&b"EHLO a\r\n"[..], b"GET / HTTP/1.1\r\n\r\n", &noise, &endless_hello, &alert, &[0; 100]] {
        let server = site.server_with_tls_first().threads(1).start();
        let mut peer = server.connect();
        // The server may have closed before the last of it.
        let _ = peer.try_send(octets);
        peer.finish_sending();
        let (said, _) = peer.rest_of_octets();
        assert!(said.is_empty() || said[0] == 0x15, "{said:?}");
        drop(peer);
        served_when_free(&server, &site.client());
    }
    let server = site.server().threads(1).start();
    for octets in [&noise, &endless_hello] {
        let mut peer = server.greeted_when_free();
        peer.expect("STARTTLS", "220 ");
        let _ = peer.try_send(octets);
        peer.finish_sending();
        peer.rest_of_octets();
    }
    server.greeted_when_free().agree("QUIT");
}

/// A client hello without end is not read without end.
#[test]
fn a_client_hello_that_does_not_end() {
    let site = Site::new();
    let server = site.server_with_tls_first().threads(1).start();
    let mut peer = server.connect();
    let first = [&[0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff][..], &[0; 0x4000 - 4]].concat();
    let next = [&[0x16, 3, 1, 0x40, 0][..], &[0; 0x4000]].concat();
    peer.try_send(&first).unwrap();
    // As many as a hello of the announced size would need.
    let taken = (0..1_024).take_while(|_| peer.try_send(&next).is_ok()).count();
    assert!(taken < 1_000, "it takes all of it");
    drop(peer);
    served_when_free(&server, &site.client());
}

/// A peer that says nothing, or an octet now and then, at the handshake: its time is over after a while, and others are
/// served meanwhile.
#[test]
fn a_slow_handshake() {
    let site = Site::new();
    let timeout = Duration::from_millis(400);
    let builder = || site.server().threads(2).config(|config| config.handshake_timeout = timeout);
    for is_dribbling in [false, true] {
        let server = builder().start();
        let mut slow = server.greeted();
        slow.expect("STARTTLS", "220 ");
        let began = Instant::now();
        let mut other = encrypted(&server, &site.client());
        other.send_message("a@b.example", &["x@example.org"], "meanwhile\r\n");
        // A record that is announced and comes an octet at a time; the pause is what is tested here.
        let mut hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc][..], &[3; 0x1fc]].concat().into_iter();
        while is_dribbling && !slow.has_input() && began.elapsed() < PATIENCE {
            let _ = slow.try_send([hello.next().unwrap()]);
            std::thread::sleep(Duration::from_millis(10));
        }
        let (said, _) = slow.rest_of_octets();
        let took = began.elapsed();
        assert!(said.is_empty(), "{said:?}");
        assert!(took >= timeout && took < timeout * 15, "dribbling: {is_dribbling}, {took:?}");
        drop((slow, other));
        let mut both = [encrypted(&server, &site.client()), encrypted(&server, &site.client())];
        both.iter_mut().for_each(|peer| drop(peer.agree("QUIT")));
    }
}

/// Under TLS the deadlines are those of clear text: silence, and octets that never make a line.
#[test]
fn a_slow_peer_under_tls() {
    let site = Site::new();
    let timeout = Duration::from_millis(300);
    let server = site.server().threads(1).config(|config| config.session.command_timeout = timeout).start();
    let mut silent = encrypted(&server, &site.client());
    assert!(silent.reply().starts_with("421 4.4.2 "));
    silent.expect_close();
    drop(silent);
    let mut dribbling = encrypted(&server, &site.client());
    let began = Instant::now();
    while dribbling.try_send("N").is_ok() && !dribbling.has_input() && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(dribbling.reply().starts_with("421 4.4.2 "));
    assert!(began.elapsed() < timeout * 15, "{:?}", began.elapsed());
}

/// How a connection may end in the middle of a message.
#[derive(Clone, Copy, Debug)]
enum Ending {
    CloseNotify,
    WithoutCloseNotify,
    Reset,
}

/// An end inside DATA or BDAT is an abort, in order or not: nothing is stored. Rows N132, N134 under TLS.
#[test]
fn a_close_is_no_end_of_a_message() {
    let site = Site::new();
    let server = site.server().threads(1).start();
    let long = "a line of the message\r\n".repeat(10_000); // beyond what waits in memory
    for content in [
        "DATA\r\n",
        "DATA\r\nhalf a message\r\n",
        "DATA\r\nhalf a message\r\n.",
        "BDAT 10 LAST\r\n123456789",
        "BDAT 10\r\n1234567\r\n\r\n",
        &format!("BDAT {} LAST\r\n{long}", long.len() + 1),
    ] {
        for ending in [Ending::CloseNotify, Ending::WithoutCloseNotify, Ending::Reset] {
            let mut peer = encrypted(&server, &site.client());
            peer.agree_all(&["MAIL FROM:<a@b.example>", "RCPT TO:<x@example.org>"]);
            peer.send(content);
            match ending {
                Ending::CloseNotify => {
                    peer.send_close_notify();
                    peer.leave();
                }
                Ending::WithoutCloseNotify => peer.leave(),
                Ending::Reset => peer.reset(),
            }
            let mut next = encrypted(&server, &site.client());
            next.expect("QUIT", "221 ");
            next.expect_close();
            let what = format!("{ending:?} behind {:?}", &content[..content.len().min(30)]);
            assert_eq!((server.stored(), server.temporary_files()), (Vec::new(), 0), "{what}");
        }
    }
}

/// A peer that has nothing more to say, and says so in TLS, still reads its replies.
#[test]
fn a_peer_that_closes_its_side_first() {
    let site = Site::new();
    let server = site.server().start();
    let mut peer = encrypted(&server, &site.client());
    peer.agree_all(&["MAIL FROM:<a@b.example>", "RCPT TO:<x@example.org>", "DATA"]);
    peer.send("text\r\n.\r\n");
    peer.send_close_notify();
    let (said, is_in_order) = peer.rest();
    assert!(said.starts_with("250 2.0.0 queued as ") && said.lines().count() == 1 && is_in_order, "{said}");
    assert_eq!(server.stored().len(), 1);
}

/// More replies than a TLS buffer holds, to a group of commands.
#[test]
fn many_replies() {
    let site = Site::new();
    let server = site.server().start();
    let mut peer = encrypted(&server, &site.client());
    for _ in 0..2 {
        peer.send("HELP\r\n".repeat(400));
        (0..400).for_each(|_| assert!(peer.reply().starts_with("214-2.0.0 ")));
    }
    peer.expect("QUIT", "221 ");
}

/// A peer that never reads its replies, under TLS: once it cannot be written to, its time runs too.
#[test]
fn a_peer_that_does_not_read() {
    let site = Site::new();
    let server = site.server().threads(1).config(|config| {
        config.session.fruitless_commands = usize::MAX;
        config.session.command_timeout = Duration::from_millis(300);
    });
    let server = server.start();
    let mut peer = Peer::connect_with_small_buffer(server.address);
    peer.expect_greeting();
    peer.agree("EHLO client.example");
    peer.start_tls(&site.client());
    peer.set_write_timeout(Duration::from_millis(100));
    let group = "HELP\r\n".repeat(1_000);
    let began = Instant::now();
    while peer.try_send(&group).is_ok() {
        assert!(began.elapsed() < PATIENCE, "it takes commands and never writes a reply");
    }
    let blocked = Instant::now();
    encrypted(&server, &site.client()).expect("QUIT", "221 ");
    assert!(blocked.elapsed() < Duration::from_secs(8), "{:?}", blocked.elapsed());
    drop(peer);
}

/// Row N253 with TLS first: clear text would not be understood, so there is none.
#[test]
fn a_full_pool() {
    let site = Site::new();
    let server = site.server_with_tls_first().threads(1).start();
    let mut only = server.connect();
    only.shake_hands(&site.client()).unwrap();
    only.expect_greeting();
    for _ in 0..5 {
        let mut newcomer = server.connect();
        newcomer.expect_close();
    }
    only.agree("EHLO client.example");
    only.send_message("a@b.example", &["x@example.org"], "unharmed\r\n");
}

/// Row N092 under TLS: who is idle hears 421, who is in a message may finish, who is shaking hands is let go of.
#[test]
fn a_drain() {
    let site = Site::new();
    let mut server = site.server().start();
    let mut idle = encrypted(&server, &site.client());
    let mut in_content = encrypted(&server, &site.client());
    in_content.agree_all(&["MAIL FROM:<a@b.example>", "RCPT TO:<x@example.org>", "DATA"]);
    in_content.send("half a message\r\n");
    let mut shaking = server.greeted();
    shaking.expect("STARTTLS", "220 ");
    let began = Instant::now();
    server.stopper().drain();
    assert!(idle.reply().starts_with("421 4.3.2 "));
    idle.expect_close();
    assert!(shaking.rest_of_octets().0.is_empty());
    in_content.send("the other half\r\n.\r\n");
    let replies = [in_content.reply(), in_content.reply()];
    assert!(replies[0].starts_with("250 2.0.0 queued") && replies[1].starts_with("421 4.3.2 "), "{replies:?}");
    in_content.expect_close();
    drop((idle, shaking, in_content));
    server.join();
    assert!(began.elapsed() < Duration::from_secs(5), "nobody is left to wait for: {:?}", began.elapsed());
    assert_eq!(server.stored().len(), 1);
}

/// Who has been quiet for longest makes room, and hears it under TLS.
#[test]
fn an_eviction() {
    let site = Site::new();
    let evict_after = Duration::from_millis(100);
    let server = site.server().threads(1).config(|config| config.evict_after = evict_after).start();
    let mut idle = encrypted(&server, &site.client());
    let evicted = std::thread::spawn(move || {
        let reply = idle.reply();
        idle.expect_close();
        reply
    });
    encrypted(&server, &site.client()).agree("QUIT");
    let reply = evicted.join().unwrap();
    assert!(reply.starts_with("421 4.3.2 ") && reply.contains("idle"), "{reply}");
}

/// Whoever comes behind a change sees the new certificate; who is there goes on.
#[test]
fn a_new_certificate() {
    let site = Site::new();
    let server = site.server().start();
    let mut before = encrypted(&server, &site.client());
    let other = Authority::new("another").unwrap();
    site.identity.replace(identity(&other.issue().unwrap()));
    let mut peer = server.greeted();
    peer.expect("STARTTLS", "220 ");
    let error = failed_handshake(&mut peer, &site.client());
    assert!(error.contains("UnknownIssuer"), "{error}");
    encrypted(&server, &Client::trusting(&other)).send_message("a@b.example", &["x@example.org"], "new\r\n");
    before.send_message("a@b.example", &["x@example.org"], "old\r\n");
    assert_eq!(server.stored().len(), 2);
}

/// Breaks when it is asked about a recipient.
struct Fragile;

impl Policy for Fragile {
    fn rcpt(&self, _: &smtp_server::policy::Client<'_>, _: &Transaction, _: &Recipient) -> Decision {
        // As a panic does, but without a word on standard error.
        std::panic::resume_unwind(Box::new("a fault of ours"));
    }
}

/// A fault of ours under TLS: nothing is said in clear, and the thread goes on.
#[test]
fn a_panic_says_nothing_in_clear() {
    let site = Site::new();
    let server = site.server().threads(1).policy(Fragile).start();
    for _ in 0..3 {
        let mut peer = encrypted(&server, &site.client());
        peer.agree("MAIL FROM:<a@b.example>");
        peer.send("RCPT TO:<x@example.org>\r\n");
        assert_eq!(peer.rest(), (String::new(), false));
    }
}
