//! A message travels: client, server, disk.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::net::{Ipv4Addr, Ipv6Addr};

use smtp_client::proto::transaction::Transaction;
use smtp_client::{Connection, Content, Options};
use smtp_proto::address::ForwardPath;
use smtp_spool::MemoryDisk;
use smtp_tests::peer::Peer;
use smtp_tests::server::{Stored, TestServer};

/// Rows N001, N071, N119, N193: the same octets, one id, and the envelope as it was given.
#[test]
fn one_message_from_client_to_disk() {
    let server = TestServer::start();
    let content = b"Subject: hello\r\n\r\n.\r\n..\r\nIt is me.\r\n";
    let mut connection = Connection::open(&server.address.to_string(), Options::default()).unwrap();
    let mut transaction = Transaction::new("<Alice@Sender.Example>".parse().unwrap());
    transaction.recipients.push("<bob@example.org>".parse::<ForwardPath>().unwrap().into());
    let delivery = connection.send(transaction, &Content::from_bytes(content.to_vec()).unwrap()).unwrap();
    connection.quit();

    let reply = delivery.recipients[0].result.as_ref().unwrap().to_string();
    let stored = server.only_stored();
    assert!(reply.ends_with(&format!("queued as {}", stored.id)), "{reply} {}", stored.id);
    assert_eq!(stored.content, content);
    assert_eq!(
        (stored.sender().as_str(), stored.recipients()),
        ("<Alice@Sender.Example>", vec!["<bob@example.org>".into()])
    );
    assert!(stored.received.contains(&format!(" id {}\r\n", stored.id)), "{}", stored.received);
}

/// Several messages over one connection, each preceded by its own sender and recipients.
#[test]
fn several_messages_over_one_connection() {
    let server = TestServer::start();
    let mut peer = server.greeted();
    let messages: [(&str, &[&str], &str); 4] = [
        ("a@one.example", &["x@example.org"], "first\r\n"),
        ("", &["y@example.org", "z@example.org"], ""),
        ("b@two.example", &["x@example.org", "y@example.org"], "third\r\n\r\n"),
        ("a@one.example", &["z@example.org"], "first\r\n"),
    ];
    let mut expected = Vec::new();
    for (from, to, content) in messages {
        let id = peer.send_message(from, to, content);
        // 250 means on disk: another reader finds the message before anything else is said.
        let newest = server.stored().pop().unwrap();
        assert_eq!((newest.id.as_str(), newest.content.as_slice()), (id.as_str(), content.as_bytes()));
        let to: Vec<String> = to.iter().map(|to| format!("<{to}>")).collect();
        expected.push((id, format!("<{from}>"), to, content.as_bytes().to_vec()));
    }
    peer.expect("QUIT", "221 2.0.0");
    peer.expect_close();
    let stored = server
        .stored()
        .into_iter()
        .map(|stored: Stored| (stored.id.clone(), stored.sender(), stored.recipients(), stored.content));
    let stored: Vec<_> = stored.collect();
    assert_eq!(stored, expected, "in the order in which they were sent");
}

/// Row N133: what was accepted stays, whatever the connection does next.
#[test]
fn an_accepted_message_outlives_its_connection() {
    let server = TestServer::start();
    let mut peer = server.greeted();
    let id = peer.send_message("a@b.example", &["x@example.org"], "kept\r\n");
    peer.agree_all(&["MAIL FROM:<a@b.example>", "RCPT TO:<x@example.org>", "DATA"]);
    peer.send("lost\r\n");
    peer.reset();
    server.greeted().agree("QUIT");
    assert_eq!(server.only_stored().id, id);
}

/// Rows N193 to N202, N287 and X142, by the grammar of RFC 5321, 4.4.
#[test]
fn the_trace_field() {
    let server = TestServer::start();
    let field = |hello: &str, mail: &str, to: &[&str]| {
        let mut peer = server.connect();
        peer.expect_greeting();
        peer.agree_all(&[hello, mail]);
        to.iter().for_each(|to| drop(peer.agree(&format!("RCPT TO:{to}"))));
        peer.agree("DATA");
        peer.send("Received: from elsewhere\r\n by here; yesterday\r\n\r\n.\r\n");
        let id = peer.reply().replace("250 2.0.0 queued as ", "");
        let stored = server.stored().into_iter().find(|stored| stored.id == id).unwrap();
        assert_eq!(stored.content, b"Received: from elsewhere\r\n by here; yesterday\r\n\r\n", "row N198");
        (id, stored.received)
    };
    for (hello, from, with) in [
        ("EHLO client.example", "client.example ([127.0.0.1])", "ESMTP"),
        ("HELO client.example", "client.example ([127.0.0.1])", "SMTP"),
        ("EHLO [192.0.2.7]", "[192.0.2.7] ([127.0.0.1])", "ESMTP"),
        // A name that is no domain would break the grammar, or worse.
        ("EHLO under_score", "[127.0.0.1] ([127.0.0.1])", "ESMTP"),
        ("EHLO a by evil.example with SMTP; (", "[127.0.0.1] ([127.0.0.1])", "ESMTP"),
    ] {
        let (id, received) = field(hello, "MAIL FROM:<a@b.example>", &["<Bob@example.org>"]);
        let lines: Vec<&str> = received.split("\r\n").collect();
        assert_eq!(lines[0], format!("Received: from {from}"));
        assert_eq!(lines[1], format!("\tby mx.example.org with {with} id {id}"));
        assert_eq!(lines[2], "\tfor <Bob@example.org>;");
        assert_is_date(lines[3].strip_prefix('\t').unwrap());
        assert_eq!(lines[4..], [""]);
    }
    // FOR tells one recipient to that one only, not each to the others.
    let (_, received) = field("EHLO a", "MAIL FROM:<a@b.example>", &["<bob@example.org>", "<carol@example.org>"]);
    assert!(!received.contains("for ") && !received.contains("bob") && !received.contains("carol"), "{received}");
    let (_, received) = field("EHLO a", "MAIL FROM:<a@b.example>", &["<Postmaster>"]);
    assert!(!received.contains("for "), "{received}");
    let (_, received) = field("EHLO a", "MAIL FROM:<ä@b.example> SMTPUTF8", &["<ö@example.org>"]);
    assert!(received.contains(" with UTF8SMTP ") && received.contains("\r\n\tfor <ö@example.org>;"), "{received}");
}

/// `Sun, 23 Nov 2025 07:24:01 +0000`: RFC 5322, 3.3.
fn assert_is_date(date: &str) {
    let words: Vec<&str> = date.split(' ').collect();
    let [day, number, month, year, time, zone] = words[..] else { panic!("{date}") };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    assert!("Mon,Tue,Wed,Thu,Fri,Sat,Sun,".contains(day) && day.len() == 4, "{date}");
    assert!("JanFebMarAprMayJunJulAugSepOctNovDec".contains(month) && month.len() == 3, "{date}");
    assert!(is_number(number) && is_number(year) && year.len() == 4, "{date}");
    assert!(time.split(':').count() == 3 && time.split(':').all(|part| is_number(part) && part.len() == 2), "{date}");
    assert!(zone.starts_with(['+', '-']) && zone.len() == 5 && is_number(&zone[1..]), "{date}");
}

/// Rows N230 and N233: a thousand recipients are one message, on disk once, each of them there.
#[test]
fn a_thousand_recipients() {
    let server = TestServer::start();
    let mut peer = server.greeted();
    let to: Vec<String> = (0..1_000).map(|number| format!("user{number}@example.org")).collect();
    peer.send_message("a@b.example", &to.iter().map(String::as_str).collect::<Vec<_>>(), "to all\r\n");
    let expected: Vec<String> = to.iter().map(|to| format!("<{to}>")).collect();
    assert_eq!(server.only_stored().recipients(), expected);
}

/// Rows N223, X126: every octet but a bare CR or LF, at every place of a line, under 8BITMIME.
#[test]
fn every_octet_comes_back() {
    let server = TestServer::start();
    let mut peer = server.greeted();
    let octets: Vec<u8> = (0..=255).filter(|octet| !b"\r\n".contains(octet)).collect();
    let mut content = octets.clone();
    for octet in octets {
        // At the start of a line, alone in a line, at its end.
        content.extend([b"\r\n", &[octet][..], b"line\r\n", &[octet], b"\r\nline", &[octet]].concat());
    }
    content.extend(b"\r\n");
    peer.agree_all(&["MAIL FROM:<a@b.example> BODY=8BITMIME", "RCPT TO:<x@example.org>", "DATA"]);
    peer.send([stuffed(&content), b".\r\n".to_vec()].concat());
    assert!(peer.reply().starts_with("250 "));
    let stored = server.only_stored();
    assert!(stored.content == content);
    assert_eq!(stored.envelope.mail.to_string(), " BODY=8BITMIME");
}

/// Rows X070, X071, X072, X073, X076: what a sender wants to hear of, said in the words of DSN, is kept with the message as it
/// was said, though nobody announced to do so. It is there for the next process, too.
#[test]
fn wishes_for_reports_are_kept() {
    let disk = MemoryDisk::new();
    let server = TestServer::builder().disk(&disk).start();
    let mut peer = server.greeted();
    for (line, reply) in [
        ("MAIL FROM:<a@b.example> RET=SOME", "501 5.5.4"),
        ("MAIL FROM:<a@b.example> ENVID=+0D+0A", "501 5.5.4"),
        ("MAIL FROM:<a@b.example> AUTH=<>", "555 5.5.4"),
        ("MAIL FROM:<a@b.example> BODY=BINARYMIME", "555 5.5.4"),
        ("MAIL FROM:<a@b.example> RET=FULL ENVID=QQ+2B314159+20x", "250 2.1.0"),
        ("RCPT TO:<x@example.org> NOTIFY=NEVER,DELAY", "501 5.5.4"),
        ("RCPT TO:<x@example.org> ORCPT=x@example.org", "501 5.5.4"),
        ("RCPT TO:<x@example.org> notify=failure,Success ORCPT=rfc822;X+2Bold@Example.Org", "250 2.1.5"),
        ("RCPT TO:<y@example.org> ORCPT=utf-8;\u{ff}@example.org NOTIFY=NEVER", "250 2.1.5"),
        ("RCPT TO:<z@example.org>", "250 2.1.5"),
        // The same wish once more is the same recipient; another wish is another.
        ("RCPT TO:<y@example.org> NOTIFY=NEVER ORCPT=utf-8;\u{ff}@example.org", "250 2.1.5"),
        ("RCPT TO:<z@example.org> NOTIFY=SUCCESS", "250 2.1.5"),
        ("DATA", "354"),
        (".", "250 2.0.0"),
    ] {
        peer.expect(line, reply);
    }
    let expected = [
        "MAIL FROM:<a@b.example> RET=FULL ENVID=QQ+2B314159+20x",
        "RCPT TO:<x@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;X+2Bold@Example.Org",
        "RCPT TO:<y@example.org> NOTIFY=NEVER ORCPT=utf-8;\u{ff}@example.org",
        "RCPT TO:<z@example.org>",
        "RCPT TO:<z@example.org> NOTIFY=SUCCESS",
    ];
    let stored = server.only_stored();
    let text = stored.envelope.to_string();
    assert_eq!(text.lines().skip(1).collect::<Vec<_>>(), expected);
    drop(server);
    // The power fails: what was answered 250 is what the next start finds.
    for survivor in disk.survivors(100) {
        let server = TestServer::builder().disk(&survivor).start();
        assert_eq!(server.only_stored(), stored);
    }
}

/// Row N222: dots, in segments cut at every place.
#[test]
fn dots_in_any_segments() {
    let server = TestServer::start();
    let mut peer = server.greeted();
    let content = b".\r\n..\r\n...\r\n.a\r\n\r\na.\r\n.\r\n";
    let wire = [stuffed(content), b".\r\n".to_vec()].concat();
    for cut in 1..wire.len() {
        peer.agree_all(&["MAIL FROM:<a@b.example>", "RCPT TO:<x@example.org>", "DATA"]);
        peer.send(&wire[..cut]);
        peer.send(&wire[cut..]);
        assert!(peer.reply().starts_with("250 "), "cut at {cut}");
    }
    let stored = server.stored();
    assert_eq!(stored.len(), wire.len() - 1);
    assert!(stored.iter().all(|stored| stored.content == content));
}

fn stuffed(content: &[u8]) -> Vec<u8> {
    let lines = content.split_inclusive(|octet| *octet == b'\n');
    lines.flat_map(|line| [if line.starts_with(b".") { &b"."[..] } else { b"" }, line].concat()).collect()
}

/// Rows N023, N043, N044, N081, N232, N285: what stands in a message is nobody's business here.
#[test]
fn defective_messages_are_taken_as_they_are() {
    let server = TestServer::start();
    let mut peer = server.greeted();
    let many = format!("To: {}\r\n\r\n", vec!["u@example.org"; 5_000].join(",\r\n "));
    for content in [
        "",
        "\r\n",
        "no header at all\r\n",
        "Subject without colon\r\nFrom:\r\n\r\n",
        "Resent-To: only@example.org\r\n\r\n",
        "Received: nonsense\r\nReceived:\r\nreceived : (((\r\n\r\n",
        "Date: yesterday\r\nDate: tomorrow\r\nContent-Type: multipart/mixed\r\n\r\n--\r\n",
        "Return-Path: <somebody@else.example>\r\n\r\n",
        &many,
    ] {
        peer.send_message("a@b.example", &["x@example.org"], content);
        assert_eq!(server.stored().pop().unwrap().content, content.as_bytes());
    }
}

/// Row N284, with the count alone: at a hundred hops a message is going round in circles.
#[test]
fn a_message_that_goes_round_in_circles() {
    let server = TestServer::start();
    let mut peer = server.greeted();
    for (hops, code) in [(99, "250 2.0.0"), (100, "554 5.4.6"), (5_000, "554 5.4.6")] {
        peer.agree_all(&["MAIL FROM:<a@b.example>", "RCPT TO:<x@example.org>", "DATA"]);
        peer.send(["Received: from a by b; now\r\n".repeat(hops), "\r\n.\r\n".to_owned()].concat());
        let reply = peer.reply();
        assert!(reply.starts_with(code), "{hops}: {reply}");
    }
    assert_eq!(server.stored().len(), 1);
}

/// A message far beyond what waits in memory.
#[test]
fn a_large_message() {
    let server = TestServer::start();
    let mut peer = server.greeted();
    let content: Vec<u8> =
        (0..200_000).flat_map(|line: u32| format!("line {line:08} of many\r\n").into_bytes()).collect();
    peer.agree(&format!("MAIL FROM:<a@b.example> SIZE={}", content.len()));
    peer.agree_all(&["RCPT TO:<x@example.org>", "DATA"]);
    peer.send(&content);
    peer.send(".\r\n");
    assert!(peer.reply().starts_with("250 "));
    assert!(server.only_stored().content == content);
}

#[test]
fn over_ipv6() {
    if std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        println!("skipped: this host has no IPv6");
        return;
    }
    let server = TestServer::builder().ip(Ipv6Addr::LOCALHOST.into()).start();
    let mut peer = server.greeted();
    peer.send_message("a@b.example", &["x@example.org"], "six\r\n");
    let received = server.only_stored().received;
    assert!(received.starts_with("Received: from client.example ([IPv6:::1])\r\n"), "{received}");
    // The port is taken for IPv6 only, so that the same one can be bound beside it.
    let beside = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, server.address.port()));
    assert!(beside.is_ok() || Peer::connect(([127, 0, 0, 1], server.address.port()).into()).try_reply().is_err());
}
