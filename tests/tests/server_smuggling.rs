//! Where a message ends, and how one must not be made into two.
//!
//! December 2023: a message that one server took for a single one and the next for two could be sent in anybody's name,
//! past every check (CVE-2023-51764 Postfix, -51765 Sendmail, -51766 Exim; later aiosmtpd and chasquid). The dot line was
//! written with line ends on which the two did not agree. Rows N016, N117, N118.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use smtp_tests::server::TestServer;

const ENDS: [&str; 9] = ["\r\n", "\n", "\r", "\r\r\n", "\n\r", "\n\n", "\0\r\n", "\r\0\n", "\r\n\0"];

const SECOND: &str =
    "MAIL FROM:<forged@example.org>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nSubject: forged\r\n\r\n";

const ENVELOPE: &str = "MAIL FROM:<true@client.example>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n";

/// Content whose lines end in CRLF only, without the dots that were added. `None`: a CR or LF stands alone.
fn decoded(wire: &str) -> Option<String> {
    let lines = wire.split("\r\n").map(|line| line.strip_prefix('.').unwrap_or(line));
    let is_sound = !wire.replace("\r\n", "").contains(['\r', '\n']);
    is_sound.then(|| lines.collect::<Vec<_>>().join("\r\n"))
}

/// Sends the pieces as the content of a message, with QUIT behind them, and returns what the server says.
fn replies(server: &TestServer, pieces: &[&str]) -> Vec<String> {
    let mut peer = server.greeted();
    peer.send(ENVELOPE);
    for code in ["250 2.1.0", "250 2.1.5", "354 "] {
        assert!(peer.reply().starts_with(code));
    }
    for piece in pieces {
        // The server may have had enough of it before the last piece.
        if peer.try_send(piece).is_err() {
            break;
        }
    }
    let _ = peer.try_send("QUIT\r\n");
    peer.rest().0.lines().map(str::to_owned).collect()
}

/// Every line end before and behind the dot, in one segment and cut at every place: one transaction or a refusal, and the
/// words behind the dot are never commands.
#[test]
fn every_line_end_around_the_dot() {
    let server = TestServer::start();
    let mut accepted = 0;
    for before in ENDS {
        for after in ENDS {
            if before.ends_with("\r\n") && after.starts_with("\r\n") {
                continue; // CRLF dot CRLF is the true end, whatever else is there: what stands behind it are commands
            }
            let content = format!("Subject: true\r\n\r\ntext{before}.{after}{SECOND}");
            let wire = format!("{content}.\r\n");
            let dot = "Subject: true\r\n\r\ntext".len();
            for cut in dot..=dot + before.len() + after.len() + 2 {
                let what = format!("{before:?} . {after:?} cut at {}", cut - dot);
                let pieces: [&str; 2] = if cut == dot { [&wire, ""] } else { [&wire[..cut], &wire[cut..]] };
                let replies = replies(&server, &pieces);
                match decoded(&content) {
                    Some(octets) => {
                        assert!(
                            replies.len() == 2 && replies[0].starts_with("250 2.0.0 queued"),
                            "{what}: {replies:?}"
                        );
                        accepted += 1;
                        let newest = server.stored().pop().unwrap();
                        assert_eq!(newest.content, octets.as_bytes(), "{what}");
                    }
                    // The true end is reached, or the peer seems to wait for an answer to a dot that is none.
                    None if replies[0].starts_with("550 5.6.11 ") => {
                        assert!(replies.len() == 2 && replies[1].starts_with("221 "), "{what}: {replies:?}");
                    }
                    None => assert!(replies.len() == 1 && replies[0].starts_with("521 5.5.2 "), "{what}: {replies:?}"),
                }
                if cut == dot && decoded(&content).is_none() {
                    assert!(replies[0].starts_with("550 5.6.11 "), "in one segment the true end is seen: {what}");
                }
            }
        }
    }
    let stored = server.stored();
    assert!(accepted > 0 && stored.len() == accepted, "{} stored, {accepted} acknowledged", stored.len());
    for stored in stored {
        assert_eq!(
            (stored.sender().as_str(), stored.recipients()),
            ("<true@client.example>", vec!["<bob@example.org>".into()])
        );
    }
}

/// A peer that ends its message with a wrong dot line waits for an answer. It gets one, not silence for five minutes.
#[test]
fn a_wrong_end_is_explained() {
    let server = TestServer::start();
    for wire in ["text\n.\n", "text\r\n.\n", "text\n.\r\n", "text\r.\r\n", "text\n.\r"] {
        let mut peer = server.greeted();
        peer.send(ENVELOPE);
        (0..3).for_each(|_| drop(peer.reply()));
        peer.send(wire);
        let reply = peer.reply();
        assert!(reply.starts_with("521 5.5.2 "), "{wire:?}: {reply}");
        peer.expect_close();
    }
    assert_eq!(server.stored(), []);
}

/// The same in commands: what a bare LF separates is one line, and no command.
#[test]
fn commands_end_in_crlf() {
    let server = TestServer::start();
    let mut peer = server.greeted();
    peer.expect("NOOP\nMAIL FROM:<a@b.example>", "501 5.5.2 ");
    peer.expect("NOOP\rMAIL FROM:<a@b.example>", "501 5.5.2 ");
    peer.expect("RCPT TO:<bob@example.org>", "503 5.5.1 ");
    peer.send("NOOP\nQUIT\n");
    assert!(peer.reply().starts_with("521 5.5.2 "));
    peer.expect_close();
}

/// Where the administrator says so, LF counts as a line end, and the message is stored with CRLF all the same.
#[test]
fn a_bare_line_feed_is_accepted_from_named_networks() {
    let network = "127.0.0.0/8".parse().unwrap();
    let server = TestServer::builder().config(|config| config.accept_bare_lf = vec![network]).start();
    let mut peer = server.connect();
    peer.expect_greeting();
    peer.send("EHLO old.example\n");
    assert!(peer.reply().starts_with("250-"));
    peer.send("MAIL FROM:<a@b.example>\nRCPT TO:<bob@example.org>\nDATA\n");
    (0..3).for_each(|_| drop(peer.reply()));
    peer.send("Subject: old\n\n..\nends\n.\nQUIT\n");
    assert!(peer.reply().starts_with("250 2.0.0 queued"));
    assert!(peer.reply().starts_with("221 "));
    assert_eq!(server.only_stored().content, b"Subject: old\r\n\r\n.\r\nends\r\n");

    let network = "192.0.2.0/24".parse().unwrap();
    let server = TestServer::builder().config(|config| config.accept_bare_lf = vec![network]).start();
    let mut peer = server.connect();
    peer.expect_greeting();
    peer.send("EHLO old.example\n");
    assert!(peer.reply().starts_with("521 5.5.2 "), "others stay what they are");
}
