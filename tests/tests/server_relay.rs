//! Never a relay, whatever the trick, also for loopback; and the postmaster is always there.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use smtp_tests::server::TestServer;

/// Rows N036, N073, N111, N294, N295, F.2: what testers of open relays try. All connections here come from loopback.
#[test]
fn relay_tricks() {
    let server = TestServer::start();
    let mut peer = server.greeted();
    peer.agree("MAIL FROM:<a@example.org>"); // a sender of ours opens no door
    for path in [
        "<u@elsewhere.example>",
        "<u@ELSEWHERE.example>",
        "<u@elsewhere.example.>",
        "<@example.org:u@elsewhere.example>",
        "<@mx.example.org,@example.org:u@elsewhere.example>",
        "<u%elsewhere.example@example.org>",
        "<u%elsewhere.example%other.example@example.org>",
        "<u%elsewhere.example@EXAMPLE.org>",
        "<elsewhere.example!u@example.org>",
        "<mx.example.org!elsewhere.example!u@example.org>",
        "<\"u@elsewhere.example\"@example.org>",
        "<\"u%elsewhere.example\"@example.org>",
        "<\"elsewhere.example!u\"@example.org>",
        "<\"u\\@elsewhere.example\"@example.org>",
        "<u@[127.0.0.1]>",
        "<u@[IPv6:::1]>",
        "<u%elsewhere.example@[127.0.0.1]>",
        "<u@sub.example.org>",
        "<u@notexample.org>",
        "<u@example.org.elsewhere.example>",
        "<u@localhost>",
        "<u@mx.example.org>",
        "<postmaster@elsewhere.example>",
        "<postmaster%elsewhere.example@example.org>",
        "u@elsewhere.example",
    ] {
        peer.expect(format!("RCPT TO:{path}"), "550 5.7.1 ");
    }
    // Not even an address.
    for path in
        ["<u>", "<u@>", "<@example.org>", "<u@elsewhere.example@example.org>", "<u@[#123]>", "<>", "<u@example.org"]
    {
        peer.expect(format!("RCPT TO:{path}"), "501 ");
    }
    peer.expect("DATA", "554 5.5.1 ");
    assert_eq!(server.stored(), []);
}

/// Rows N015, N218, N219: bare and at every served domain, in any case, listed or not.
#[test]
fn postmaster() {
    let server = TestServer::builder().recipients("alice\n").start();
    let mut peer = server.greeted();
    let forms = [
        "<Postmaster>",
        "<POSTMASTER>",
        "<pOsTmAsTeR@example.org>",
        "<postmaster@EXAMPLE.ORG>",
        "<@elsewhere.example:postmaster@example.org>",
        "<\"postmaster\"@example.org>",
        "postmaster@example.org",
    ];
    for path in forms {
        peer.agree("MAIL FROM:<>");
        peer.expect(format!("RCPT TO:{path}"), "250 2.1.5 ");
        peer.agree("DATA");
        peer.send("help\r\n.\r\n");
        assert!(peer.reply().starts_with("250 "));
    }
    assert_eq!(server.stored().len(), forms.len());
}

/// Rows N037, N071, N111, N112, N308: a route before an address of ours is dropped, and the sender is not touched.
#[test]
fn a_source_route_is_read_and_dropped() {
    let server = TestServer::start();
    let mut peer = server.greeted();
    peer.agree_all(&["MAIL FROM:<@one.example,@two.example:Sender@three.example>"]);
    peer.agree_all(&["RCPT TO:<@one.example,@two.example:Bob@example.org>", "DATA"]);
    peer.send("text\r\n.\r\n");
    assert!(peer.reply().starts_with("250 "));
    let stored = server.only_stored();
    assert_eq!(
        (stored.sender().as_str(), stored.recipients()),
        ("<Sender@three.example>", vec!["<Bob@example.org>".into()])
    );
}

/// No name on disk is made of what a peer says, so an address may look like a path.
#[test]
fn addresses_that_look_like_paths() {
    let server = TestServer::start();
    let mut peer = server.greeted();
    let paths =
        ["\"../../x\"", "a/b", "-rf", "CON", "/etc/passwd", "~root", "|cat", "\"..\"", "\" \"", "\"a\\\"b\"", "$HOME"];
    for path in paths {
        peer.agree_all(&["MAIL FROM:<>", &format!("RCPT TO:<{path}@example.org>"), "DATA"]);
        peer.send("text\r\n.\r\n");
        assert!(peer.reply().starts_with("250 "), "{path}");
        let newest = server.stored().pop().unwrap();
        assert!(newest.id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') && newest.id.len() <= 32);
    }
    assert_eq!(server.stored().len(), paths.len());
}
