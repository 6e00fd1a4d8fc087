//! The files under `tests/vectors`: what arrives, and what it must be taken for. Each file says on top how it is to be read.
//! They are plain text so that another implementation can be held against them.

// A helper of a test is a test: what it did not expect fails it.
#![allow(clippy::unwrap_used, clippy::panic)]

use smtp_proto::address::{ForwardPath, ReversePath};
use smtp_proto::command::Command;
use smtp_proto::content::{ContentDecoder, LineEnds, Piece};
use smtp_proto::line::{Line, LineReader};
use smtp_proto::reply_parser::ReplyParser;

/// The vectors of a file with their line numbers: what stands on either side of the arrow.
fn vectors(file: &str) -> Vec<(usize, &str, &str)> {
    let lines = file.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let vectors: Vec<_> = lines
        .map(|(number, line)| {
            let (arrives, expected) = line.split_once("->").unwrap_or_else(|| panic!("line {}: no arrow", number + 1));
            (number + 1, arrives.trim(), expected.trim())
        })
        .collect();
    assert!(vectors.len() > 20, "the file is nearly empty");
    vectors
}

/// Undoes the escapes.
fn octets(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match (octet, octet == b'\\') {
            (octet, false) => octet,
            (_, true) => match rest.next() {
                Some(b'r') => b'\r',
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(b'0') => 0,
                Some(b'\\') => b'\\',
                Some(b'x') => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => panic!("{text:?}: escape {other:?}"),
            },
        });
    }
    octets
}

/// Hands octets to a reader as a driver does: what is not used is kept, and comes again with more behind it.
fn drive(wire: &[u8], piece: usize, mut read: impl FnMut(&[u8]) -> (usize, bool)) -> Vec<u8> {
    let mut held = Vec::new();
    let mut pieces = wire.chunks(piece);
    while let Some(octets) = pieces.next() {
        held.extend_from_slice(octets);
        loop {
            let (used, is_over) = read(&held);
            held.drain(..used);
            if is_over {
                held.extend(pieces.flatten());
                return held;
            }
            if used == 0 || held.is_empty() {
                break;
            }
        }
    }
    held
}

fn lines(line_ends: LineEnds, wire: &[u8], piece: usize) -> Vec<String> {
    let mut reader = LineReader::new(line_ends);
    let mut found = Vec::new();
    let held = drive(wire, piece, |held| {
        let (used, line) = reader.read(held, smtp_proto::limits::COMMAND_LINE_OCTETS);
        match line {
            Line::Complete(line) => found.push(format!("<{}>", line.escape_ascii())),
            Line::BareLineFeed => found.push("bare".to_owned()),
            Line::NeedInput => {}
            Line::TooLong(_) | Line::Endless => panic!("{line:?}"),
        }
        (used, line == Line::BareLineFeed)
    });
    if !held.is_empty() {
        found.push("more".to_owned());
    }
    found
}

/// What is found, and the octets behind it.
fn content(line_ends: LineEnds, wire: &[u8], piece: usize) -> (Vec<String>, Vec<u8>) {
    let mut decoder = ContentDecoder::new(line_ends);
    let mut octets = Vec::new();
    let mut last = "more";
    let rest = drive(wire, piece, |held| {
        let (used, found) = decoder.decode(held);
        last = match found {
            Piece::Octets(piece) => {
                octets.extend_from_slice(piece);
                "more"
            }
            Piece::End if decoder.has_bare_line_end() => "refused",
            Piece::End => "end",
            Piece::Stalled => "stalled",
            Piece::NeedInput => "more",
        };
        (used, last != "more")
    });
    let found = match last {
        "refused" | "stalled" => vec![last.to_owned()],
        _ => vec![format!("<{}>", octets.escape_ascii()), last.to_owned()],
    };
    (found, rest)
}

#[test]
fn framing() {
    for (number, arrives, expected) in vectors(include_str!("vectors/framing.txt")) {
        let (kind, text) = arrives.split_once(' ').unwrap_or((arrives, ""));
        let (wire, expected): (_, Vec<_>) = (octets(text.trim()), expected.split(" | ").map(canonical).collect());
        let is_whole_only = kind.starts_with('>');
        let pieces = if is_whole_only { vec![wire.len()] } else { vec![wire.len(), 1] };
        for piece in pieces {
            let line_ends = if kind.contains("lf-") { LineEnds::AcceptBareLineFeed } else { LineEnds::Strict };
            if kind.ends_with("line") {
                assert_eq!(lines(line_ends, &wire, piece), expected, "line {number} in pieces of {piece}");
                continue;
            }
            assert_eq!(content(line_ends, &wire, piece).0, expected, "line {number} in pieces of {piece}");
            if expected.last().is_some_and(|last| last == "end" || last == "refused") {
                let trailing = [&wire[..], b"QUIT\r\n"].concat();
                let piece = if piece == 1 { 1 } else { trailing.len() };
                assert_eq!(
                    content(line_ends, &trailing, piece),
                    (expected.clone(), b"QUIT\r\n".to_vec()),
                    "line {number}"
                );
            }
        }
    }
}

/// The one way in which octets are written here.
fn canonical(text: &str) -> String {
    match text.strip_prefix('<').and_then(|text| text.strip_suffix('>')) {
        Some(inside) => format!("<{}>", octets(inside).escape_ascii()),
        None => text.to_owned(),
    }
}

/// Puts a line on the wire, whole, octet by octet and before another, and takes it off again.
fn through_the_wire(line: &[u8]) -> Vec<u8> {
    let wire = [line, b"\r\n"].concat();
    for piece in [wire.len(), 1] {
        assert_eq!(lines(LineEnds::Strict, &wire, piece), [format!("<{}>", line.escape_ascii())]);
    }
    let trailing = [&wire[..], b"NOOP\r\n"].concat();
    let (used, found) = LineReader::new(LineEnds::Strict).read(&trailing, smtp_proto::limits::COMMAND_LINE_OCTETS);
    assert_eq!((used, found), (wire.len(), Line::Complete(line)));
    line.to_vec()
}

#[test]
fn addresses() {
    for (number, arrives, expected) in vectors(include_str!("vectors/addresses.txt")) {
        let (kind, path) = arrives.split_once(' ').unwrap();
        let path = path.trim();
        let (start, read) = match kind {
            "from" => ("MAIL FROM:", path.parse::<ReversePath>().map(|path| path.to_string())),
            "to" => ("RCPT TO:", path.parse::<ForwardPath>().map(|path| path.to_string())),
            kind => panic!("line {number}: {kind}"),
        };
        let line = through_the_wire(format!("{start}{path}").as_bytes());
        let command = Command::parse(&line);
        match expected.strip_prefix("! ") {
            Some(error) => {
                assert_eq!(read.map_err(|error| format!("{error:?}")), Err(error.to_owned()), "line {number}");
                let wrapped =
                    if kind == "from" { format!("ReversePath({error})") } else { format!("ForwardPath({error})") };
                assert_eq!(command.map_err(|error| format!("{error:?}")), Err(wrapped), "line {number}");
            }
            None => {
                assert_eq!(read.as_deref(), Ok(expected), "line {number}");
                let printed = command.unwrap().to_string();
                assert_eq!(printed, format!("{start}{expected}"), "line {number}");
                assert_eq!(Command::parse(printed.as_bytes()).unwrap().to_string(), printed, "line {number}");
            }
        }
    }
}

#[test]
fn commands() {
    for (number, arrives, expected) in vectors(include_str!("vectors/commands.txt")) {
        let line = through_the_wire(&octets(arrives));
        match (Command::parse(&line), expected.strip_prefix("! ")) {
            (Ok(command), None) => {
                assert_eq!(command.to_string(), expected, "line {number}");
                assert_eq!(Command::parse(expected.as_bytes()), Ok(command), "line {number}");
            }
            (Err(error), Some(expected)) => assert_eq!(format!("{error:?}"), expected, "line {number}"),
            (result, _) => panic!("line {number}: {result:?}"),
        }
    }
}

/// What the parser makes of octets in pieces, and the octets behind it.
fn reply(wire: &[u8], piece: usize) -> (String, Vec<u8>) {
    let mut parser = ReplyParser::default();
    let mut found = "more".to_owned();
    let rest = drive(wire, piece, |held| match parser.handle(held) {
        Ok((used, None)) => (used, false),
        Ok((used, Some(reply))) => {
            found = reply.to_string();
            (used, true)
        }
        Err(error) => {
            found = format!("! {error:?}");
            (held.len(), true)
        }
    });
    (found, rest)
}

#[test]
fn replies() {
    for (number, arrives, expected) in vectors(include_str!("vectors/replies.txt")) {
        let (wire, expected) = (octets(arrives), String::from_utf8(octets(expected)).unwrap());
        for piece in [wire.len(), 1] {
            assert_eq!(reply(&wire, piece).0, expected, "line {number} in pieces of {piece}");
            if expected.starts_with(|first: char| first.is_ascii_digit()) {
                let trailing = [&wire[..], b"250 next\r\n"].concat();
                let piece = if piece == 1 { 1 } else { trailing.len() };
                assert_eq!(reply(&trailing, piece), (expected.clone(), b"250 next\r\n".to_vec()), "line {number}");
            }
        }
    }
}
