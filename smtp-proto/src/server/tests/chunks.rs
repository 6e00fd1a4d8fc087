//! BDAT (RFC 3030): so many octets, in every state and whatever they look like. Rows X035, X036, X037, X038, X040, X041,
//! X042, X044, X045; failures.md S6.

use proptest::prelude::*;

use super::*;

const ENVELOPE: [&str; 2] = ["MAIL FROM:<alice@a>", "RCPT TO:<bob@b>"];

fn host_at_chunks() -> Host {
    Host::after(&ENVELOPE)
}

fn small() -> Config {
    let mut config = config();
    config.message_octets = 1_000;
    config
}

fn host_with(config: Config) -> Host {
    let mut host = Host::with(config, accept_all);
    host.agree("EHLO client.example");
    host.agree_all(&ENVELOPE);
    host
}

fn chunk(octets: &[u8]) -> Vec<u8> {
    [format!("BDAT {}\r\n", octets.len()).as_bytes(), octets].concat()
}

fn last_chunk(octets: &[u8]) -> Vec<u8> {
    [format!("BDAT {} LAST\r\n", octets.len()).as_bytes(), octets].concat()
}

/// RFC 3030, 4.1 and 4.2 (rows X037, X042): one chunk, and several with a LAST of no octets.
#[test]
fn the_examples_of_the_rfc() {
    let mut host = host_at_chunks();
    assert_eq!(host.feed(&last_chunk(b"Subject: x\r\n\r\n..\r\n")), "250 2.0.0 Accepted\r\n");
    assert_eq!(host.messages[0].1, b"Subject: x\r\n\r\n..\r\n");
    host.agree_all(&ENVELOPE);
    assert_eq!(host.feed(&chunk(b"Subject: y\r\n")), "250 2.0.0 12 octets are here\r\n");
    assert_eq!(host.feed(&chunk(b"\r\none\r\ntwo")), "250 2.0.0 10 octets are here\r\n");
    assert_eq!(host.feed(b"BDAT 0 LAST\r\n"), "250 2.0.0 Accepted\r\n");
    assert_eq!(host.messages[1].1, b"Subject: y\r\n\r\none\r\ntwo");
    // The transaction is over.
    assert_eq!(host.code("RCPT TO:<carol@c>"), 503);
    assert_eq!((host.drops, host.messages.len(), host.questions), (0, 2, 10));
}

/// Row X035: the two ways on one connection, in either order.
#[test]
fn data_and_chunks_take_turns() {
    let mut host = Host::after(&[]);
    for round in 0..3 {
        host.agree_all(&ENVELOPE);
        host.agree("DATA");
        assert_eq!(codes(&host.feed(b"..data\r\n.\r\n")), [250]);
        host.agree_all(&ENVELOPE);
        assert_eq!(codes(&host.feed(&last_chunk(b"..chunk\r\n"))), [250]);
        let [.., data, chunk] = &host.messages[..] else { panic!("round {round}") };
        assert_eq!((&data.1[..], &chunk.1[..]), (&b".data\r\n"[..], &b"..chunk\r\n"[..]));
    }
}

/// Everything in one segment, the envelope too (RFC 3030, 4.2), and cut at every octet.
#[test]
fn pipelined_and_cut_anywhere() {
    let script = [
        b"MAIL FROM:<alice@a>\r\nRCPT TO:<bob@b>\r\n".as_slice(),
        &chunk(b"QUIT\r\n.\r\n"),
        &chunk(b""),
        &chunk(b"\r\nRSET\r"),
        b"NOOP\r\n",
        &last_chunk(b"\n.\r\n"),
        b"MAIL FROM:<alice@a>\r\nRCPT TO:<bob@b>\r\nDATA\r\n..\r\n.\r\n",
        &chunk(b"MAIL FROM:<x@x>\r\n"),
        b"MAIL FROM:<alice@a>\r\nRCPT TO:<bob@b>\r\n",
        &chunk(b"never\r\n"),
        b"RSET\r\nMAIL FROM:<alice@a>\r\n",
        &last_chunk(b"RCPT TO:<bob@b>\r\n"),
        b"QUIT\r\n",
    ]
    .concat();
    let run = |cuts: &[usize]| {
        let mut host = Host::after(&[]);
        let mut start = 0;
        let mut output = String::new();
        for &cut in cuts.iter().chain([&script.len()]) {
            output += &host.feed(&script[start..cut]);
            start = cut;
        }
        assert_eq!(
            codes(&output),
            [
                250, 250, 250, 250, 250, 250, 250, // the first message
                250, 250, 354, 250, // the second
                503, 250, 250, 250, 250, 250, 554, 221
            ]
        );
        let contents: Vec<_> = host.messages.iter().map(|(_, content)| content.as_slice()).collect();
        assert_eq!(contents, [b"QUIT\r\n.\r\n\r\nRSET\r\n.\r\n".as_slice(), b".\r\n"]);
        assert!(host.is_closed && host.drops == 3);
        output
    };
    let whole = run(&[]);
    for cut in 0..=script.len() {
        assert_eq!(run(&[cut]), whole);
        assert_eq!(run(&[cut / 2, cut]), whole);
    }
    assert_eq!(run(&(0..script.len()).collect::<Vec<_>>()), whole);
}

/// Row X044, failures.md S1: what looks like an end, or like commands, is content.
#[test]
fn nothing_in_a_chunk_is_a_command() {
    let smuggled = b"text\r\n.\r\nMAIL FROM:<evil@a>\r\nRCPT TO:<you@b>\r\nDATA\r\nhello\r\n.\r\nBDAT 5 LAST\r\nhello";
    for cut in 0..=smuggled.len() {
        let mut host = host_at_chunks();
        let (start, end) = smuggled.split_at(cut);
        assert_eq!(codes(&host.feed(&[chunk(start), last_chunk(end)].concat())), [250, 250]);
        assert_eq!((host.messages.len(), host.questions), (1, 6));
        assert_eq!(host.messages[0].1, smuggled);
    }
}

/// Rows X036, X038, X045: wherever it is not wanted it is read to its end, answered once, and never read as commands.
#[test]
fn a_chunk_out_of_place_is_read_and_refused() {
    let inside = b"\x16\x03QUIT\r\nMAIL FROM:<evil@a>\r\n.\r\n\0\xff\n\r";
    type Place = (&'static str, fn() -> Host, u16, &'static str);
    let places: [Place; 6] = [
        ("before EHLO", Host::new, 503, "Say EHLO first"),
        ("without MAIL", || Host::after(&[]), 503, "Send MAIL first"),
        ("without a recipient", || Host::after(&["MAIL FROM:<a@a>"]), 554, "no valid recipient"),
        (
            "behind LAST",
            || {
                let mut host = host_at_chunks();
                assert_eq!(codes(&host.feed(b"BDAT 0 LAST\r\n")), [250]);
                host
            },
            503,
            "Send MAIL first",
        ),
        (
            "behind a refused chunk",
            || {
                let mut host = host_at_chunks();
                assert_eq!(codes(&host.feed(&chunk(b"a\nb"))), [550]);
                host
            },
            503,
            "send RSET first",
        ),
        (
            "behind a 554 greeting",
            || {
                let mut host = Host::connecting(config(), |_| refusal(554, EnhancedCode::new(5, 7, 1)));
                assert_eq!(codes(&host.feed(b"")), [554]);
                host
            },
            503,
            "only QUIT is left",
        ),
    ];
    for (place, host, code, words) in places {
        for wire in [chunk(inside), last_chunk(inside)] {
            for cut in 0..=wire.len() {
                let mut host = host();
                let messages = host.messages.len();
                let (start, end) = wire.split_at(cut);
                let output = host.feed(start);
                assert!(output.is_empty() || cut == wire.len(), "{place}: answered before it was read");
                let output = output + &host.feed(end);
                assert_eq!(codes(&output), [code], "{place} cut at {cut}");
                assert!(output.contains(words), "{place}: {output}");
                assert!(!host.is_closed && host.content.is_empty() && host.buffer.is_empty());
                assert_eq!(host.messages.len(), messages);
                assert!(host.say("QUIT").starts_with("221 "), "{place}");
            }
        }
    }
}

/// A part of a message must never pass for the whole: not even if recipients are found only behind its first chunk.
#[test]
fn a_later_part_is_not_a_message() {
    let mut host = Host::after(&["MAIL FROM:<alice@a>"]);
    assert_eq!(codes(&host.feed(&chunk(b"first half\r\n"))), [554]);
    assert_eq!(host.code("RCPT TO:<bob@b>"), 503);
    assert_eq!(codes(&host.feed(&last_chunk(b"second half\r\n"))), [503]);
    assert_eq!((host.messages.len(), host.questions), (0, 3));
    host.agree("RSET");
    host.agree_all(&ENVELOPE);
    assert_eq!(codes(&host.feed(&last_chunk(b"whole\r\n"))), [250]);
}

/// Rows X040, X041: behind a refused chunk everything is read and refused until RSET or EHLO; behind a refused LAST the
/// transaction is over.
#[test]
fn only_reset_leads_on() {
    for way_out in ["RSET", "EHLO again.example", "HELO again.example"] {
        let mut host = host_at_chunks();
        assert_eq!(codes(&host.feed(&[chunk(b"good\r\n"), chunk(b"a\rb")].concat())), [250, 550]);
        assert_eq!((host.drops, host.content.len()), (1, 0));
        for line in ["MAIL FROM:<a@a>", "RCPT TO:<b@b>", "DATA"] {
            assert!(host.say(line).ends_with("send RSET first"), "{line}");
        }
        let more = [chunk(b"QUIT\r\n"), last_chunk(b"QUIT\r\n"), last_chunk(b"QUIT\r\n"), chunk(b"")].concat();
        assert_eq!(codes(&host.feed(&more)), [503, 503, 503, 503]);
        for (line, code) in [("NOOP", 250), ("VRFY x", 252), ("HELP", 214)] {
            assert_eq!(host.code(line), code);
        }
        host.agree(way_out);
        host.agree_all(&ENVELOPE);
        assert_eq!(codes(&host.feed(&last_chunk(b"again\r\n"))), [250]);
        assert_eq!((host.messages.len(), &host.messages[0].1[..]), (1, &b"again\r\n"[..]));
    }
    let mut host = host_at_chunks();
    assert_eq!(codes(&host.feed(&[chunk(b"good\r\n"), last_chunk(b"a\rb")].concat())), [250, 550]);
    assert_eq!((host.drops, host.messages.len(), host.content.len()), (1, 0, 0));
    host.agree_all(&ENVELOPE);
    assert_eq!(codes(&host.feed(b"BDAT 0 LAST\r\n")), [250]);
}

/// RFC 3030, 2: RSET between two chunks "clears all segments"; a refused EHLO does not; QUIT and a lost connection leave
/// nothing. Row X042: no DATA, and no other sender or recipient.
#[test]
fn between_the_chunks() {
    for way_out in ["RSET", "EHLO again.example"] {
        let mut host = Host::with(config(), |question| match question {
            Question::Hello(name) if name.to_string() == "no.example" => refusal(550, EnhancedCode::new(5, 7, 1)),
            _ => Decision::Accept,
        });
        host.agree("EHLO client.example");
        host.agree_all(&ENVELOPE);
        assert_eq!(codes(&host.feed(&chunk(b"half"))), [250]);
        for (line, code) in [("NOOP", 250), ("VRFY x", 252), ("HELP", 214), ("EHLO no.example", 550), ("XYZZY", 500)] {
            assert_eq!(host.code(line), code, "{line}");
        }
        for line in ["MAIL FROM:<a@a>", "RCPT TO:<b@b>", "DATA"] {
            assert_eq!(host.code(line), 503, "{line}");
        }
        assert!(!host.session.is_between_transactions());
        assert_eq!((host.drops, &host.content[..]), (0, &b"half"[..]));
        host.agree(way_out);
        assert_eq!((host.drops, host.content.len()), (1, 0));
        assert!(host.session.is_between_transactions());
        assert_eq!(codes(&host.feed(b"BDAT 0 LAST\r\n")), [503]);
        host.agree_all(&ENVELOPE);
        assert_eq!(codes(&host.feed(&last_chunk(b"whole"))), [250]);
        assert_eq!(host.messages[0].1, b"whole");
    }
    let mut host = host_at_chunks();
    host.feed(&chunk(b"half"));
    assert_eq!(host.code("QUIT"), 221);
    assert!(host.is_closed && host.messages.is_empty());
    for wire in [&b"BDAT 4\r\nhalf"[..], b"BDAT 10 LAST\r\nhalf", b"BDAT 4 LAS"] {
        let mut host = host_at_chunks();
        host.feed(wire);
        host.session.handle_end_of_input();
        assert_eq!(host.feed(b""), "");
        assert!(host.is_closed && host.messages.is_empty());
    }
}

/// failures.md S6: without a size nobody knows what is a command, so nothing is any more.
#[test]
fn a_size_that_cannot_be_read_ends_it() {
    let long = format!("BDAT 5 {}", " ".repeat(3_000));
    let lines = [
        "BDAT",
        "BDAT ",
        "BDAT -1",
        "BDAT +5",
        "BDAT 5x",
        "BDAT 5 LAS",
        "BDAT 5 LASTX",
        "BDAT 5 LAST 5",
        "BDAT LAST",
        "BDAT 0x10",
        "BDAT 5.0",
        "BDAT 18446744073709551616",
        "BDAT 99999999999999999999999",
        "bdat five",
        "BDAT5",
        "BDAT 5\0",
        "BDAT 5\u{661}",
        "BDAT 5\n",
        "BDAT \r5",
        &long,
    ]; // the last is too long for a command
    for line in lines {
        for host in [Host::new as fn() -> Host, host_at_chunks, || Host::after(&["MAIL FROM:<a@a>"])] {
            for piece in [1, 7, usize::MAX] {
                // An LF at the end of the input is another story.
                if piece <= line.len() && line.contains('\n') {
                    continue;
                }
                let mut host = host();
                let wire = format!("{line}\r\nQUIT\r\nMAIL FROM:<evil@a>\r\n");
                let output: String =
                    wire.as_bytes().chunks(piece.min(wire.len())).map(|octets| host.feed(octets)).collect();
                assert!(output.starts_with("521 5.5.4 ") && output.lines().count() == 1, "{line:?}: {output}");
                assert!(host.is_closed && host.messages.is_empty());
            }
        }
    }
    // Another word is another command.
    assert_eq!(Host::after(&[]).code("BDATA 5"), 500);
}

/// Rows X003, X009, for chunks: the limit counts over all of them, at it, one above and far above.
#[test]
fn the_size_limit_counts_over_all_chunks() {
    for (sizes, expected) in [
        (vec![1_000], vec![250]),
        (vec![1_001], vec![552]),
        (vec![2_999], vec![552]),
        (vec![500, 500], vec![250, 250]),
        (vec![500, 501], vec![250, 552]),
        (vec![500, 500, 0], vec![250, 250, 250]),
        (vec![500, 500, 1], vec![250, 250, 552]),
        (vec![999, 900, 1], vec![250, 552, 503]),
    ] {
        for piece in [1, 7, usize::MAX] {
            let mut host = host_with(small());
            let mut output = String::new();
            for (place, &size) in sizes.iter().enumerate() {
                let octets = vec![b'x'; size];
                let wire = if place + 1 == sizes.len() { last_chunk(&octets) } else { chunk(&octets) };
                for octets in wire.chunks(piece.min(wire.len())) {
                    output += &host.feed(octets);
                }
                assert!(host.content.len() <= 1_000);
            }
            assert_eq!(codes(&output), expected, "{sizes:?}");
            assert_eq!(output.contains("552 5.3.4 "), expected.contains(&552));
            assert_eq!(host.messages.len(), usize::from(expected.iter().all(|code| *code == 250)));
        }
    }
}

/// failures.md S6 and R2: a size of 2^63 or 2^64 - 1, and chunk behind chunk: what is refused is read for as long as any
/// refused message is, and then it is over.
#[test]
fn an_endless_chunk_has_an_end() {
    for size in [3_001, 1 << 63, u64::MAX] {
        for host in [host_with(small()), Host::with(small(), accept_all)] {
            let mut host = host;
            assert_eq!(host.feed(format!("BDAT {size}\r\n").as_bytes()), "");
            assert_eq!(host.feed(&[b'x'; 3_000]), "", "{size}");
            assert!(host.feed(b"x").starts_with("421 4.3.4 "));
            assert!(host.is_closed && host.messages.is_empty() && host.content.is_empty());
        }
    }
    // A chunk is added to what is there already without an overflow.
    let mut host = host_with(small());
    assert_eq!(codes(&host.feed(&chunk(b"x"))), [250]);
    assert_eq!(host.feed(format!("BDAT {} LAST\r\n", u64::MAX).as_bytes()), "");
    assert_eq!(host.feed(&[b'x'; 2_999]), "");
    assert_eq!(codes(&host.feed(b"x")), [421]);
    // All the chunks of a message count together, the refused ones too.
    let mut host = host_with(small());
    let mut said = 0;
    while !host.is_closed {
        host.feed(&chunk(&[b'x'; 400]));
        said += 400;
    }
    assert_eq!(said, 3_200);
    // RSET makes the count start again.
    let mut host = host_with(small());
    for _ in 0..3 {
        assert_eq!(codes(&host.feed(&chunk(&[b'x'; 2_000]))), [552]);
        host.agree("RSET");
        host.agree_all(&ENVELOPE);
    }
}

/// Line ends (RFC 5321, 2.3.8): CR and LF may stand in two chunks; alone they may not stand.
#[test]
fn line_ends_across_chunks() {
    let clean: [&[&[u8]]; 4] =
        [&[b"a\r", b"\nb"], &[b"a\r", b"", b"\n"], &[b"\r", b"\n\r", b"\n"], &[b"a", b"\r\n", b"b\r\n"]];
    for pieces in clean {
        let mut host = host_at_chunks();
        for piece in pieces {
            assert_eq!(codes(&host.feed(&chunk(piece))), [250], "{pieces:?}");
        }
        assert_eq!(codes(&host.feed(b"BDAT 0 LAST\r\n")), [250]);
        assert_eq!(host.messages[0].1, pieces.concat());
    }
    let broken: [(&[&[u8]], &[u16]); 7] = [
        (&[b"a\nb", b""], &[550, 503]),
        (&[b"a\rb", b""], &[550, 503]),
        (&[b"a\r", b"b", b""], &[250, 550, 503]),
        (&[b"a", b"\nb", b""], &[250, 550, 503]),
        (&[b"a\r", b"\r\n", b""], &[250, 550, 503]),
        (&[b"a\r"], &[550]),
        (&[b"a\r", b""], &[250, 550]),
    ];
    for (pieces, expected) in broken {
        let mut host = host_at_chunks();
        let mut output = String::new();
        for (place, piece) in pieces.iter().enumerate() {
            output += &host.feed(&if place + 1 == pieces.len() { last_chunk(piece) } else { chunk(piece) });
        }
        assert_eq!(codes(&output), expected, "{pieces:?}");
        assert!(output.contains("550 5.6.11 "), "{output}");
        assert_eq!((host.drops > 0, host.messages.len(), host.content.len()), (true, 0, 0));
    }
    // Where the administrator accepts a bare LF, it becomes a line end, and may take the message beyond its limit.
    let mut config = small();
    config.line_ends = LineEnds::AcceptBareLineFeed;
    let mut host = host_with(config.clone());
    assert_eq!(codes(&host.feed(&[chunk(b"a\nb\r\n\n"), last_chunk(b"\n.\n")].concat())), [250, 250]);
    assert_eq!(host.messages[0].1, b"a\r\nb\r\n\r\n\r\n.\r\n");
    let mut host = host_with(config);
    assert_eq!(codes(&host.feed(&last_chunk(&b"\n".repeat(501)))), [552]);
    assert_eq!((host.drops, host.messages.len()), (1, 0));
}

/// RFC 5321, 6.3, wherever the fields are cut.
#[test]
fn hops_are_counted_across_chunks() {
    for (hops, code) in [(99, 250), (100, 554)] {
        for size in [1, 13, 10_000] {
            let mut host = host_at_chunks();
            let message = format!("{}\r\nReceived: body\r\n", "received: x\r\n".repeat(hops));
            for piece in message.as_bytes().chunks(size) {
                host.feed(&chunk(piece));
            }
            let found = codes(&host.feed(b"BDAT 0 LAST\r\n"));
            assert_eq!((found[0] == 250, host.messages.len()), (code == 250, usize::from(code == 250)), "{hops}");
        }
    }
    let mut host = host_at_chunks();
    let circle = host.feed(&last_chunk("Received: x\r\n".repeat(100).as_bytes()));
    assert!(circle.starts_with("554 5.4.6 "), "{circle}");
}

/// The policy and the disk may refuse, at the first chunk, in any of them, and at the end; each time the chunk is read
/// first.
#[test]
fn refused_by_the_driver() {
    for (size, is_last) in [(1, false), (1, true), (6, false), (6, true)] {
        let mut host = Host::with(config(), |question| match question {
            Question::Content(_) => refusal(452, EnhancedCode::new(4, 3, 1)),
            _ => Decision::Accept,
        });
        host.agree("EHLO a");
        host.agree_all(&ENVELOPE);
        let content = &b"QUIT\r\n"[..size];
        let wire = if is_last { last_chunk(content) } else { chunk(content) };
        let (line, octets) = wire.split_at(wire.len() - size);
        assert_eq!(host.feed(line), "");
        assert_eq!(host.feed(octets), "452 4.3.1 No\r\n");
        assert_eq!(host.code("MAIL FROM:<a@a>"), if is_last { 250 } else { 503 });
        host.agree("NOOP");
    }
    // In the middle of a chunk, and with its last octet.
    for sent in [3, 6] {
        let mut host = host_at_chunks();
        assert_eq!(host.feed(b"BDAT 6\r\n"), "");
        let before = host.feed(&b"QUIT\r\n"[..sent]);
        if sent == 6 {
            // It was answered at once.
            assert_eq!(codes(&before), [250]);
            continue;
        }
        host.session.refuse_content(Reply::new(Code::new(452).unwrap(), Some(EnhancedCode::new(4, 3, 1)), "No space"));
        host.session.refuse_content(Reply::new(Code::new(550).unwrap(), None, "Later"));
        assert_eq!(host.feed(&b"QUIT\r\n"[sent..]), "452 4.3.1 No space\r\n");
        assert_eq!((host.drops, host.content.len(), host.code("DATA")), (1, 0, 503));
    }
    let mut session = host_at_chunks().session;
    let (used, event) = session.handle(b"BDAT 2 LAST\r\nok", Duration::ZERO);
    assert_eq!((used, event), (13, Event::Question));
    session.decide(Decision::Accept, Duration::ZERO);
    assert_eq!(session.handle(b"ok", Duration::ZERO), (2, Event::Content(b"ok")));
    session.refuse_content(Reply::new(Code::new(250).unwrap(), None, "yes"));
    assert_eq!(session.handle(b"", Duration::ZERO), (0, Event::Dropped));
    assert!(session.output().starts_with(b"451 4.3.0 "));
    // At the end the transaction is over, as with DATA.
    let mut host = Host::with(config(), |question| match question {
        Question::EndOfContent(_) => refusal(554, EnhancedCode::new(5, 6, 0)),
        _ => Decision::Accept,
    });
    host.agree("EHLO a");
    host.agree_all(&ENVELOPE);
    assert_eq!(codes(&host.feed(&[chunk(b"a"), last_chunk(b"b")].concat())), [250, 554]);
    assert_eq!(host.code("MAIL FROM:<a@a>"), 250);
}

/// A refusal that closes closes, once the chunk is read.
#[test]
fn a_closing_refusal() {
    let mut host = Host::with(config(), |question| match question {
        Question::Content(_) => refusal(421, EnhancedCode::new(4, 3, 2)),
        _ => Decision::Accept,
    });
    host.agree("EHLO a");
    host.agree_all(&ENVELOPE);
    assert_eq!(codes(&host.feed(&[chunk(b"QUIT\r\n"), chunk(b"QUIT\r\n")].concat())), [421]);
    assert!(host.is_closed);
    for wire in [&b"BDAT 6\r\nabc"[..], b"BDAT 6\r\nabcdef", b"BDAT 6\r\na\nbcdef", b"BDAT 60\r\na\nb"] {
        let mut host = host_at_chunks();
        host.feed(wire);
        host.session.handle_close(CloseReason::Drain);
        let output = host.feed(b"abc");
        assert!(output.starts_with("421 4.3.2 ") && host.is_closed && host.messages.is_empty());
    }
}

/// Chunks of no octets move no mail, and neither do refused ones.
#[test]
fn empty_and_refused_chunks_are_fruitless() {
    let mut config = config();
    config.fruitless_commands = 50;
    for (first, again, good) in [("", "BDAT 0", 250), ("BDAT 1\r\n\n", "BDAT 0", 503), ("RSET", "BDAT 0", 503)] {
        let mut host = host_with(config.clone());
        if !first.is_empty() {
            host.feed(first.as_bytes());
            host.feed(if first == "RSET" { b"\r\n" } else { b"" });
        }
        let mut count = 0;
        while host.code(again) == good {
            count += 1;
        }
        assert!((45..50).contains(&count) && host.is_closed, "{again}: {count}");
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// The minimum rate holds for the message, not for each of its chunks, and commands between them gain no time.
#[test]
fn chunks_have_a_minimum_rate() {
    let mut config = config();
    config.content_timeout = seconds(60);
    config.content_octets_per_second = 100;
    let mut host = host_with(config.clone());
    host.now = seconds(1_000);
    assert_eq!(host.feed(b"BDAT 5000\r\n"), "");
    assert_eq!(host.session.deadline(), seconds(1_060));
    host.now = seconds(1_030);
    assert_eq!(host.feed(&[b'x'; 1_000]), "");
    assert_eq!(host.session.deadline(), seconds(1_070));
    host.now = seconds(1_040);
    assert_eq!(codes(&host.feed(&[b'x'; 4_000])), [250]);
    assert_eq!(host.session.deadline(), seconds(1_100));
    host.now = seconds(1_090);
    host.agree("NOOP");
    assert_eq!(host.session.deadline(), seconds(1_110), "5,000 octets are worth fifty seconds");
    host.now = seconds(1_100);
    assert_eq!(codes(&host.feed(&last_chunk(b"end"))), [250]);
    assert_eq!(host.session.deadline(), seconds(1_400));
    // One octet a second, each in a chunk of its own: soon over.
    host.agree_all(&ENVELOPE);
    let start = host.now;
    while host.now < host.session.deadline() {
        host.feed(&chunk(b"x"));
        host.now += seconds(1);
    }
    assert!((seconds(60)..seconds(63)).contains(&(host.now - start)), "{:?}", host.now - start);
    // The same for a chunk that is only read, and the time for a command behind it.
    let mut host = Host::with(config, accept_all);
    assert_eq!(host.feed(b"BDAT 100\r\n"), "");
    let mut left = 100;
    while host.now < host.session.deadline() {
        host.feed(b"x");
        host.now += seconds(1);
        left -= 1;
    }
    assert!((seconds(60)..seconds(63)).contains(&host.now));
    assert_eq!(codes(&host.feed(&vec![b'x'; left])), [503]);
    assert_eq!(host.session.deadline(), host.now + seconds(300));
}

/// What a client does, message by message.
#[derive(Clone, Debug)]
enum Act {
    /// A message as DATA.
    Data(Vec<u8>),
    /// A message in chunks that end at these places, with these lines in between.
    Chunks(Vec<u8>, Vec<usize>, Vec<&'static str>),
    /// The same, given up by RSET before the last one.
    Reset(Vec<u8>, Vec<usize>),
    /// A chunk that nobody asked for.
    Stray(Vec<u8>, bool),
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(vec![
        &b".\r\n"[..],
        b"..\r\n",
        b"\r\n",
        b"QUIT\r\n",
        b"RSET\r\n",
        b"BDAT 5 LAST\r\n",
        b"DATA\r\n",
        b"text",
        b"\xff\0\x80",
        b"MAIL FROM:<evil@a>\r\n",
    ]);
    // Both ways carry what ends in a line end.
    prop::collection::vec(line, 0..12).prop_map(|lines| [&lines.concat()[..], b"\r\n"].concat())
}

fn act() -> impl Strategy<Value = Act> {
    let cuts = || prop::collection::vec(any::<usize>(), 0..5);
    let between =
        prop::collection::vec(prop::sample::select(vec!["NOOP", "DATA", "RCPT TO:<x@x>", "HELP", "XYZZY"]), 0..3);
    prop_oneof![
        2 => text().prop_map(Act::Data),
        4 => (text(), cuts(), between).prop_map(|(text, cuts, between)| Act::Chunks(text, cuts, between)),
        1 => (text(), cuts()).prop_map(|(text, cuts)| Act::Reset(text, cuts)),
        1 => (text(), any::<bool>()).prop_map(|(text, is_last)| Act::Stray(text, is_last)),
    ]
}

/// The pieces of a text that is cut at these places.
fn pieces<'a>(text: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
    places.sort_unstable();
    let mut pieces = Vec::new();
    let mut start = 0;
    for place in places.into_iter().chain([text.len()]) {
        pieces.push(&text[start..place]);
        start = place;
    }
    pieces
}

const OPEN: &[u8] = b"MAIL FROM:<alice@a>\r\nRCPT TO:<bob@b>\r\n";

/// What goes over the wire for it, how many replies that makes, and what must be stored.
fn wire(act: &Act) -> (Vec<u8>, usize, Option<&[u8]>) {
    match act {
        Act::Data(text) => {
            let mut wire = [OPEN, b"DATA\r\n"].concat();
            for line in text.split_inclusive(|octet| *octet == b'\n') {
                wire.extend_from_slice(if line.starts_with(b".") { b"." } else { b"" });
                wire.extend_from_slice(line);
            }
            wire.extend_from_slice(b".\r\n");
            (wire, 4, Some(text))
        }
        Act::Chunks(text, cuts, between) => {
            let pieces = pieces(text, cuts);
            let (last, before) = pieces.split_last().unwrap();
            let mut wire = OPEN.to_vec();
            let mut replies = 2 + pieces.len();
            for piece in before {
                wire.extend(chunk(piece));
                for line in between {
                    wire.extend(format!("{line}\r\n").as_bytes());
                    replies += 1;
                }
            }
            wire.extend(last_chunk(last));
            (wire, replies, Some(text))
        }
        Act::Reset(text, cuts) => {
            let pieces = pieces(text, cuts);
            let chunks: Vec<u8> = pieces.iter().flat_map(|piece| chunk(piece)).collect();
            ([OPEN, &chunks, b"RSET\r\n"].concat(), 3 + pieces.len(), None)
        }
        Act::Stray(text, is_last) => (if *is_last { last_chunk(text) } else { chunk(text) }, 1, None),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// The two sides never disagree on what is a command: what is stored is what was sent, message by message, and every
    /// command has its reply.
    #[test]
    fn what_is_stored_is_what_was_sent(acts in prop::collection::vec(act(), 0..10), piece in 1_usize..200) {
        let mut config = config();
        config.errors = usize::MAX;
        let mut host = Host::with(config, accept_all);
        host.agree("EHLO client.example");
        let wires: Vec<_> = acts.iter().map(wire).collect();
        let octets: Vec<u8> = wires.iter().flat_map(|(wire, ..)| wire.clone()).collect();
        let output: String = octets.chunks(piece).map(|octets| host.feed(octets)).collect();
        prop_assert_eq!(codes(&output).len(), wires.iter().map(|(_, replies, _)| replies).sum::<usize>());
        let expected: Vec<&[u8]> = wires.iter().filter_map(|(_, _, stored)| *stored).collect();
        let stored: Vec<&[u8]> = host.messages.iter().map(|(_, content)| content.as_slice()).collect();
        prop_assert_eq!(stored, expected);
        prop_assert!(!host.is_closed && host.buffer.is_empty() && host.content.is_empty());
    }

    /// Sizes that say what they like, among octets that are what they like: an answer and no panic, and never more than
    /// may be.
    #[test]
    fn random_chunks(parts in prop::collection::vec((any::<u64>(), 0_u32..64, any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)), 0..30), piece in 1_usize..60) {
        let mut host = host_with(small());
        for (size, shift, is_last, octets) in parts {
            let line = format!("BDAT {}{}\r\n", size >> shift, if is_last { " LAST" } else { "" });
            for octets in [line.as_bytes(), &octets].concat().chunks(piece) {
                codes(&host.feed(octets));
            }
            prop_assert!(host.content.len() <= 1_000);
        }
        prop_assert!(host.messages.iter().all(|(_, content)| content.len() <= 1_000));
        prop_assert!(host.buffer.len() < crate::limits::COMMAND_LINE_OCTETS);
    }
}
