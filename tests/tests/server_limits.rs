//! Every limit at the limit, one above, and far above, over the wire.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use smtp_proto::limits;
use smtp_tests::server::TestServer;

/// Row N224: a command line may have 2,048 octets with its CRLF. Whatever is longer is answered once, and skipped.
#[test]
fn command_lines() {
    let server = TestServer::start();
    let mut peer = server.greeted();
    let noop = |octets: usize| format!("NOOP {}", "x".repeat(octets - "NOOP \r\n".len()));
    let limit = limits::COMMAND_LINE_OCTETS;
    for (octets, reply) in
        [(512, "250 "), (limit, "250 "), (limit + 1, "500 5.5.2"), (2 * limit, "500 5.5.2"), (300 * limit, "500 5.5.2")]
    {
        peer.expect(noop(octets), reply);
        peer.expect("NOOP", "250 ");
    }
}

/// Rows N224 and X084: local part, domain, path.
#[test]
fn addresses() {
    let server = TestServer::start();
    let mut peer = server.greeted();
    let local_part = |octets: usize| "l".repeat(octets);
    // Labels of 63 octets and a last one that fills up.
    let domain = |octets: usize| {
        let mut domain = format!("{}.", "d".repeat(63)).repeat(octets / 64);
        domain.push_str(&"e".repeat(octets - domain.len()));
        domain
    };
    for (local_octets, domain_octets, code) in [
        (64, 255, "250 "),
        (255, 254, "250 "), // a path of 512 octets
        (255, 255, "501 "),
        (254, 255, "250 "),
        (256, 20, "501 "),
        (1_500, 20, "501 "),
        (20, 256 + 1, "501 "), // 256 octets would end in an empty label
        (20, 1_500, "501 "),
    ] {
        let path = format!("<{}@{}>", local_part(local_octets), domain(domain_octets));
        peer.expect(format!("MAIL FROM:{path}"), code);
        peer.expect("RSET", "250 ");
    }
    peer.agree("MAIL FROM:<>");
    for (octets, code) in [(64, "250 "), (255, "250 "), (256, "501 "), (1_500, "501 ")] {
        peer.expect(format!("RCPT TO:<{}@example.org>", local_part(octets)), code);
    }
    // A source route counts: it is dropped, but it has to be read.
    let route = format!("@{}:", domain(255));
    let rest = limits::PATH_OCTETS - route.len() - "<@example.org>".len();
    peer.expect(format!("RCPT TO:<{route}{}@example.org>", local_part(rest)), "250 ");
    peer.expect(format!("RCPT TO:<{route}{}@example.org>", local_part(rest + 1)), "501 ");
}

/// Rows N230, N233, N236: a thousand recipients; the one more is refused for now, and those before it get the message.
#[test]
fn recipients() {
    let server = TestServer::start();
    let mut peer = server.greeted();
    peer.agree("MAIL FROM:<a@b.example>");
    for number in 0..limits::RECIPIENTS {
        peer.agree(&format!("RCPT TO:<user{number}@example.org>"));
    }
    for number in 0..100 {
        peer.expect(format!("RCPT TO:<more{number}@example.org>"), "452 4.5.3 ");
    }
    peer.agree("DATA");
    peer.send("to a thousand\r\n.\r\n");
    assert!(peer.reply().starts_with("250 "));
    let recipients = server.only_stored().recipients();
    assert_eq!((recipients.len(), recipients.last().unwrap().as_str()), (1_000, "<user999@example.org>"));
}

const SIZE: usize = 65_536;

fn small() -> TestServer {
    TestServer::builder().config(|config| config.session.message_octets = SIZE as u64).start()
}

fn content(octets: usize) -> String {
    let mut content = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n".repeat(octets / 64);
    let left = octets - content.len();
    content.push_str(&"x".repeat(left.saturating_sub(2)));
    content.push_str(&"\r\n"[..left.min(2)]);
    assert!(content.len() == octets && content.ends_with('\n'));
    content
}

/// Rows N227, N228, X002, X003, X009: the size that is announced is taken, and not an octet more.
#[test]
fn sizes() {
    let server = small();
    let mut peer = server.greeted();
    for (octets, code) in [("65536", "250 "), ("65537", "552 5.3.4"), ("99999999999999999999", "552 5.3.4")] {
        peer.expect(format!("MAIL FROM:<a@b.example> SIZE={octets}"), code);
        peer.expect("RSET", "250 ");
    }
    for (octets, code) in [(SIZE, "250 "), (SIZE + 64, "552 5.3.4"), (2 * SIZE, "552 5.3.4"), (SIZE, "250 ")] {
        peer.agree_all(&["MAIL FROM:<a@b.example> SIZE=1", "RCPT TO:<x@example.org>", "DATA"]);
        peer.send(content(octets) + ".\r\n");
        let reply = peer.reply();
        assert!(reply.starts_with(code), "{octets}: {reply}");
    }
    // One above, to the octet. Doubled dots do not count.
    for (octets, code) in [(SIZE, "250 "), (SIZE + 1, "552 5.3.4")] {
        peer.agree_all(&["MAIL FROM:<a@b.example>", "RCPT TO:<x@example.org>", "DATA"]);
        peer.send(format!("..{}\r\n.\r\n", "x".repeat(octets - 3)));
        let reply = peer.reply();
        assert!(reply.starts_with(code), "{octets}: {reply}");
    }
    assert!(server.stored().iter().all(|stored| stored.content.len() == SIZE));
    assert_eq!((server.stored().len(), server.temporary_files()), (3, 0));
}

/// What is far too big is read to its end, but not for ever.
#[test]
fn a_message_without_end() {
    let server = small();
    let mut peer = server.greeted();
    peer.agree_all(&["MAIL FROM:<a@b.example>", "RCPT TO:<x@example.org>", "DATA"]);
    let piece = content(SIZE);
    let mut sent = 0;
    while sent < 1_000 * SIZE && peer.try_send(&piece).is_ok() {
        sent += SIZE;
    }
    assert!(sent < 1_000 * SIZE, "the server has had enough");
    assert!(peer.reply().starts_with("421 4.3.4 "), "and the client can read why");
    assert_eq!((server.stored(), server.temporary_files()), (Vec::new(), 0));
    server.greeted().agree("QUIT");
}

/// Twenty errors are forgiven, a thousand commands that move no mail, too; a message wipes the slate clean.
#[test]
fn patience() {
    let server = TestServer::start();
    let mut peer = server.greeted();
    for _ in 0..2 {
        for _ in 0..20 {
            peer.expect("NONSENSE", "500 5.5.1");
        }
        peer.send_message("a@b.example", &["x@example.org"], "clean\r\n");
    }
    for _ in 0..20 {
        peer.expect("NONSENSE", "500 5.5.1");
    }
    peer.expect("NONSENSE", "421 4.7.0");
    peer.expect_close();

    let mut peer = server.greeted();
    for _ in 1..1_000 {
        peer.expect("NOOP", "250 ");
    }
    peer.expect("NOOP", "421 4.7.0");
    peer.expect_close();
}
