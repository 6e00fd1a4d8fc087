//! One event, one line, and no peer can write one of its own.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use nix::sys::signal::Signal;
use smtp_tests::processes::{ServerProcess, program};

#[test]
fn a_peer_cannot_forge_a_line() {
    let directory = tempfile::tempdir().unwrap();
    let spool = directory.path().join("spool");
    let mut server = ServerProcess::start(&["--spool", spool.to_str().unwrap(), "--domain", "example.org"]);
    let mut peer = server.greeted();
    // What cannot be said leaves no line at all; what can leaves exactly those that are counted here.
    let mut events = 0;

    for line in [
        &b"EHLO a\x1b[2Jb"[..],
        b"NOOP\n2026-01-01T00:00:00.000Z INFO  id=forged status=kept",
        b"MAIL FROM:<a\x1b]0;title\x07@b.example>",
        b"MAIL FROM:<\"a\r\"@b.example>",
        b"MAIL FROM:<\"a\x00\"@b.example>",
        b"MAIL FROM:<a\xc2\x85b@b.example> SMTPUTF8",
        b"MAIL FROM:<line\xe2\x80\xa8end@b.example> SMTPUTF8",
        b"\x1b[31mid=forged status=kept",
        b"EHLO \xe2\x80\xa8status=kept",
    ] {
        let reply = peer.say(line);
        assert!(reply.starts_with("50"), "{line:?}: {reply}");
    }

    let senders = [
        "\"a\\\" to=\\\"<x@example.org>\\\" status=kept reply=\\\"250\"@b.example",
        "\"a status=kept\"@b.example",
        "a=b{}$`'^*#&@b.example",
        "zero\u{200b}width@b.example",
        "right\u{202e}tfel@b.example",
        "\"\\\\u{a}\"@b.example",
        "käse@b.example",
        "",
    ];
    for sender in senders {
        peer.agree(&format!("MAIL FROM:<{sender}> SMTPUTF8"));
        peer.expect("RCPT TO:<x\u{202e}y@elsewhere.example>", "550 5.7.1");
        events += 1; // a refused recipient
        peer.agree("RCPT TO:<\"b status=refused\"@example.org>");
        peer.agree("RCPT TO:<c\u{feff}@example.org>");
        peer.agree("DATA");
        peer.send("Subject: \x1b[2J\r\nid=forged status=kept\r\n.\r\n");
        assert!(peer.reply().starts_with("250 "));
        events += 3; // the message, and each of its recipients
    }
    peer.agree_all(&["MAIL FROM:<a@b.example>", "RCPT TO:<x@example.org>", "DATA"]);
    peer.send("a bare \n2026-01-01T00:00:00.000Z INFO  id=forged status=kept\r\n.\r\n");
    assert!(peer.reply().starts_with("550 5.6.11"));
    events += 1; // the refused content
    peer.expect("QUIT", "221 ");
    drop(peer);

    server.signal(Signal::SIGTERM);
    let (status, lines) = server.wait();
    assert!(status.success());
    let about_peers: Vec<_> = lines.iter().filter(|line| line.contains(" peer=") || line.contains(" to=")).collect();
    assert_eq!(about_peers.len(), events, "{lines:#?}");
    assert_eq!(
        lines.iter().filter(|line| line.contains(" status=kept reply=\"250 2.0.0 queued as ")).count(),
        senders.len() * 2
    );
    for line in &lines {
        assert!(line.bytes().all(|octet| (b' '..=b'~').contains(&octet)), "{line:?}");
        assert!(!line.starts_with("id=forged"), "{line:?}");
        // Each line is ours from its first word on: a time, a level; or the two that are not logged but said.
        let is_ours = line.contains("Z INFO  ") || line.contains("Z WARN  ") || line.starts_with("listening on ");
        assert!(is_ours, "{line:?}");
    }
    // No value looks like a key of its own: a quote inside quotes is written twice.
    let forged: Vec<_> =
        about_peers.iter().filter(|line| keys(line).iter().filter(|key| **key == "status").count() > 1).collect();
    assert!(forged.is_empty(), "{forged:#?}");
}

/// How sessions end and what is lost, each with one line: closes that the peer did not ask for, refused content, content
/// that is lost with its connection, and the stop.
#[test]
fn what_ends_badly_has_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let spool = directory.path().join("spool");
    let mut server = ServerProcess::start(&[
        "--spool",
        spool.to_str().unwrap(),
        "--domain",
        "example.org",
        "--max-message-size",
        "65536",
    ]);
    let begin = || {
        let mut peer = server.greeted();
        peer.agree_all(&["MAIL FROM:<a@b.example>", "RCPT TO:<x@example.org>", "DATA"]);
        peer
    };
    let mut expected = Vec::new();

    let mut early = server.connect();
    early.send([0x16, 3, 1, 0, 0, 0, 0, 0]); // TLS, which is not spoken here
    early.rest();
    expected.push((early.address(), "status=closed reply=\"554 5.5.".to_owned()));

    let mut wrong = server.greeted();
    let reply = (0..21).map(|_| wrong.say("NONSENSE")).last().unwrap();
    assert!(reply.starts_with("421 "));
    expected.push((wrong.address(), format!("status=closed reply=\"{reply}\"")));

    let mut large = begin();
    large.send("large\r\n".repeat(10_000));
    large.send(".\r\n");
    let reply = large.reply();
    assert!(reply.starts_with("552 "), "{reply}");
    expected.push((large.address(), format!("status=refused reply=\"{reply}\"")));
    large.expect("QUIT", "221 ");

    let mut looping = begin();
    looping.send("Received: from a\r\n".repeat(101) + "\r\n.\r\n");
    let reply = looping.reply();
    assert!(reply.starts_with("554 "), "{reply}");
    let octets = "Received: from a\r\n".len() * 101 + 2;
    let line = format!("from=\"<a@b.example>\" octets={octets} status=refused reply=\"{reply}\"");
    expected.push((looping.address(), line));
    looping.expect("QUIT", "221 ");

    let mut gone = begin();
    gone.send("half a message\r\n");
    expected.push((gone.address(), "from=\"<a@b.example>\" octets=16 status=lost".to_owned()));
    gone.finish_sending();
    gone.expect_close();

    let mut quiet = server.greeted();
    server.signal(Signal::SIGTERM);
    let reply = quiet.reply();
    expected.push((quiet.address(), format!("status=closed reply=\"{reply}\"")));
    drop((early, wrong, large, looping, gone, quiet));

    let (status, lines) = server.wait();
    assert!(status.success());
    for (peer, text) in expected {
        let about: Vec<_> = lines.iter().filter(|line| line.contains(&format!(" peer={peer} "))).collect();
        assert!(about.len() == 1 && about[0].contains(" INFO  ") && about[0].contains(&text), "{text}: {lines:#?}");
    }
    assert!(lines.last().unwrap().ends_with(" INFO  stopped"), "{lines:#?}");
}

/// At `debug` every negative reply has a line.
#[test]
fn negative_replies_at_debug() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(program("smtp-server"));
    command.env("RUST_LOG", "debug").args(["--listen", "127.0.0.1:0", "--spool"]).arg(directory.path().join("spool"));
    let server = ServerProcess::spawn(&mut command);
    let mut peer = server.greeted();
    peer.send("NONSENSE\r\nRCPT TO:<x@localhost>\r\nNOOP\r\n");
    for _ in 0..2 {
        let (reply, address) = (peer.reply(), peer.address());
        server.wait_for_line(|line| line.ends_with(&format!(" DEBUG peer={address} reply=\"{reply}\"")));
    }
}

/// The keys of a line, as a reader of `key=value` and `key="value"` finds them.
fn keys(line: &str) -> Vec<&str> {
    let mut keys = Vec::new();
    let mut rest = line;
    while let Some(equals) = rest.find('=') {
        keys.push(rest[..equals].rsplit(' ').next().unwrap());
        rest = &rest[equals + 1..];
        if let Some(quoted) = rest.strip_prefix('"') {
            rest = &quoted[end_of_quotes(quoted)..];
        }
    }
    keys
}

/// A quote inside is written twice.
fn end_of_quotes(quoted: &str) -> usize {
    let mut end = 0;
    loop {
        end += quoted[end..].find('"').expect("the quotes end") + 1;
        if !quoted[end..].starts_with('"') {
            return end;
        }
        end += 1;
    }
}
