//! Where a message ends, and that nothing else does it. Rows N016, N043, N044, N081, N116, N117, N118, N119, N120, N223,
//! N231, N232, X003, X126.

use super::*;

fn host_at_content() -> Host {
    Host::after(&["MAIL FROM:<alice@a>", "RCPT TO:<bob@b>", "DATA"])
}

/// One transaction, one reply at the true end, and no octet of the smuggled message is ever a command.
#[test]
fn smuggling() {
    let smuggled = "MAIL FROM:<evil@a>\r\nRCPT TO:<you@b>\r\nDATA\r\nhello";
    for (before, behind) in [
        ("\n", "\n"),
        ("\n", "\r\n"),
        ("\r", "\r"),
        ("\r", "\r\n"),
        ("\r\n", "\n"),
        ("\r\n", "\r"),
        ("\r\r\n", "\n"),
        ("\n\r", "\n\r"),
        ("\r\0\n", "\r\n"),
    ] {
        let wire = format!("text{before}.{behind}{smuggled}\r\n.\r\nNOOP\r\n");
        for cut in 0..=wire.len() {
            let mut host = host_at_content();
            let output = host.feed(&wire.as_bytes()[..cut]) + &host.feed(&wire.as_bytes()[cut..]);
            assert_eq!(host.messages.len(), 0);
            assert_eq!(host.questions, 5, "no question but connect, hello, mail, rcpt, content");
            if output.starts_with("521") {
                // The cut fell behind the dot line: nobody could know that more was to come.
                assert_eq!(output.lines().count(), 1, "{wire:?} cut at {cut}");
                assert!(host.is_closed, "{wire:?} cut at {cut}");
            } else {
                assert!(output.starts_with("550 5.6.11 "), "{wire:?} cut at {cut}: {output:?}");
                assert_eq!(codes(&output), [550, 250], "{wire:?} cut at {cut}");
                assert_eq!(host.drops, 1);
            }
        }
        // Sent at once, it is read to its true end.
        assert_eq!(codes(&host_at_content().feed(wire.as_bytes())), [550, 250]);
    }
}

/// A client that ends its lines in LF waits for an answer for ever. It gets one that says why (521), and no other.
#[test]
fn a_stalled_end_is_answered() {
    for wire in ["text\n.\n", ".\n", "text\r.\r", "text\r\n.\n", "text\n.\r\n"] {
        for cut in 0..wire.len() {
            let mut host = host_at_content();
            let output = host.feed(&wire.as_bytes()[..cut]) + &host.feed(&wire.as_bytes()[cut..]);
            assert_eq!(output.lines().count(), 1);
            assert!(output.starts_with("521 5.5.2 Lines must end in CRLF"), "{wire:?} cut at {cut}: {output:?}");
            assert!(host.is_closed && host.feed(b"NOOP\r\n.\r\n").is_empty());
        }
    }
}

/// Where the administrator says so, the same client is served.
#[test]
fn bare_line_feeds_where_they_are_accepted() {
    let mut config = config();
    config.line_ends = LineEnds::AcceptBareLineFeed;
    let mut host = Host::with(config, accept_all);
    let output = host.feed(b"HELO script\n");
    assert_eq!(codes(&output), [250]);
    let output = host.feed(b"MAIL FROM:<a@a>\nRCPT TO:<b@b>\nDATA\nSubject: x\n\n..\n.\nQUIT\n");
    assert_eq!(codes(&output), [250, 250, 354, 250, 221]);
    assert_eq!(host.messages[0].1, b"Subject: x\r\n\r\n.\r\n");
}

/// Commands end in CRLF too. A bare LF at the end of the input is a client that waits; before more, it is a broken line.
#[test]
fn a_command_with_a_bare_line_feed() {
    let mut host = Host::after(&[]);
    assert!(host.feed(b"NOOP\n").starts_with("521 5.5.2 "));
    assert!(host.is_closed && host.feed(b"NOOP\r\n").is_empty());
    let mut host = Host::after(&[]);
    assert_eq!(codes(&host.feed(b"NOOP\nMAIL FROM:<a@a>\r\nNOOP\r\n")), [501, 250]);
    assert_eq!(host.code("RCPT TO:<b@b>"), 503);
}

/// Rows N223, X126: every octet, cut anywhere, as it was.
#[test]
fn every_octet_arrives() {
    let all: Vec<u8> = (0..=255).filter(|octet| !b"\r\n".contains(octet)).collect();
    let content = [&all[..], b"\r\n", &all, b"\r\n\r\n"].concat();
    for cut in 0..content.len() {
        let mut host = host_at_content();
        assert_eq!(host.feed(&content[..cut]), "");
        assert_eq!(host.feed(&content[cut..]), "");
        assert_eq!(codes(&host.feed(b".\r\n")), [250]);
        assert_eq!(host.messages[0].1, content);
    }
}

/// Rows N043, N044, N081, N231, N232: what the message says about itself is its own affair.
#[test]
fn odd_messages_are_taken() {
    let crowd = format!("To: {}\r\n\r\n", "x@y, ".repeat(5_000));
    for content in [
        "",
        "\r\n",
        "no header\r\n",
        "Resent-To: nobody\r\n\r\n",
        "Received: nonsense\r\n\r\n",
        "From\r\n: :\r\n",
        "Subject: \u{ff}\0\r\n",
        &crowd,
    ] {
        let mut host = host_at_content();
        assert_eq!(codes(&host.feed(format!("{content}.\r\n").as_bytes())), [250], "{content:?}");
        assert_eq!(host.messages[0].1, content.as_bytes());
    }
}

/// Row N120: our disk is full in the middle of it. The rest is read, the driver drops what it has, the client hears why.
#[test]
fn content_that_cannot_be_kept() {
    let mut host = host_at_content();
    assert_eq!(host.feed(b"first\r\nsecond\r\n"), "");
    host.session.refuse_content(Reply::new(Code::new(452).unwrap(), Some(EnhancedCode::new(4, 3, 1)), "No space"));
    // The first reason counts.
    host.session.refuse_content(Reply::new(Code::new(550).unwrap(), None, "Later"));
    assert_eq!(host.feed(b"MAIL FROM:<x@y>\r\nthird\n\r\n"), "");
    assert_eq!(host.content, b"first\r\nsecond\r\n");
    assert_eq!(host.feed(b".\r\n"), "452 4.3.1 No space\r\n");
    assert_eq!((host.drops, host.messages.len(), host.content.len()), (1, 0, 0));
    // The transaction is over, the session is not.
    assert_eq!(host.code("DATA"), 503);
    host.agree_all(&["MAIL FROM:<a@a>", "RCPT TO:<b@b>", "DATA", "."]);
    // Between messages there is nothing to refuse; and "yes" is no refusal.
    host.session.refuse_content(Reply::new(Code::new(452).unwrap(), None, "No space"));
    host.agree_all(&["MAIL FROM:<a@a>", "RCPT TO:<b@b>", "DATA"]);
    host.session.refuse_content(Reply::new(Code::new(250).unwrap(), None, "OK"));
    assert!(host.feed(b".\r\n").starts_with("451 4.3.0 "));
    assert_eq!(host.messages.len(), 1);
}

/// Nobody wants to hear of the drop of a message of which nothing was handed out, but every end is told once.
#[test]
fn the_driver_is_told_to_drop() {
    let mut host = host_at_content();
    assert_eq!(codes(&host.feed(b"a\nb\r\n.\r\n")), [550]);
    assert_eq!((host.drops, host.questions), (1, 5));
    host.agree_all(&["MAIL FROM:<a@a>", "RCPT TO:<b@b>", "DATA"]);
    assert_eq!(codes(&host.feed(b"clean\r\n.\r\n")), [250]);
    assert_eq!((host.drops, &host.messages[0].1[..]), (1, &b"clean\r\n"[..]));
}
