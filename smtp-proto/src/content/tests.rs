//! Rows N016, N115, N116, N117, N118, N221, N222, N223, X126, X127.

use proptest::prelude::*;

use super::*;

/// What a peer's octets were taken for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Decoded {
    octets: Vec<u8>,
    /// How many octets of the input stood before the content's end, its dot included; `None` if it did not come.
    used: Option<usize>,
    has_bare_line_end: bool,
    /// Whether the decoder said at some boundary between pieces that this peer waits for ever.
    has_stalled: bool,
    calls: usize,
}

/// Feeds `wire` in pieces that end at `cuts`, up to the end of the content.
fn decode_cut(line_ends: LineEnds, wire: &[u8], cuts: &[usize]) -> Decoded {
    let mut decoder = ContentDecoder::new(line_ends);
    let mut decoded =
        Decoded { octets: Vec::new(), used: None, has_bare_line_end: false, has_stalled: false, calls: 0 };
    let mut start = 0;
    for &cut in cuts.iter().chain([&wire.len()]) {
        let mut piece = &wire[start..cut];
        loop {
            decoded.calls += 1;
            let (used, found) = decoder.decode(piece);
            start += used;
            piece = &piece[used..];
            match found {
                Piece::Octets(octets) => decoded.octets.extend_from_slice(octets),
                Piece::End => {
                    decoded.used = Some(start);
                    decoded.has_bare_line_end = decoder.has_bare_line_end();
                    return decoded;
                }
                Piece::NeedInput => break,
                Piece::Stalled => {
                    decoded.has_stalled = true;
                    break;
                }
            }
            assert!(decoded.calls <= 3 * wire.len() + 3 * cuts.len() + 3, "the decoder turns in circles");
        }
        assert!(piece.is_empty(), "input was left over without an end");
    }
    decoded.has_bare_line_end = decoder.has_bare_line_end();
    decoded
}

fn decode(wire: &[u8]) -> Decoded {
    decode_cut(LineEnds::Strict, wire, &[])
}

/// The rule said once more, as slowly and plainly as possible: where the content ends, what it is, whether it is clean.
fn specification(wire: &[u8]) -> (Option<usize>, Vec<u8>, bool) {
    let with_start = [b"\r\n", wire].concat();
    let end = with_start.windows(5).position(|window| window == b"\r\n.\r\n");
    let content = &with_start[2..end.map_or(with_start.len(), |end| end + 2).max(2)];
    let is_bare = |place: usize| match content[place] {
        b'\r' => content.get(place + 1) != Some(&b'\n'),
        b'\n' => place == 0 || content[place - 1] != b'\r',
        _ => false,
    };
    let has_bare = (0..content.len()).any(is_bare);
    let mut octets = Vec::new();
    let mut is_line_start = true;
    for (place, &octet) in content.iter().enumerate() {
        if !(is_line_start && octet == b'.') {
            octets.push(octet);
        }
        is_line_start = octet == b'\n' && place > 0 && content[place - 1] == b'\r';
    }
    (end.map(|end| end + 3), octets, has_bare)
}

/// Whole, and cut once at every octet: the same end, the same octets, the same verdict.
#[track_caller]
fn check_every_cut(wire: &[u8]) -> Decoded {
    let (used, octets, has_bare) = specification(wire);
    let whole = decode(wire);
    for cut in 0..=wire.len() {
        let decoded = decode_cut(LineEnds::Strict, wire, &[cut]);
        assert_eq!(decoded.used, used, "end of {} cut at {cut}", wire.escape_ascii());
        assert_eq!(decoded.has_bare_line_end, has_bare, "{} cut at {cut}", wire.escape_ascii());
        if !has_bare {
            assert_eq!(decoded.octets, octets, "{} cut at {cut}", wire.escape_ascii());
        }
    }
    let every_octet: Vec<_> = (0..wire.len()).collect();
    assert_eq!(decode_cut(LineEnds::Strict, wire, &every_octet).used, used);
    whole
}

/// RFC 5321, 4.5.2 (row N222).
#[test]
fn takes_dots_away() {
    for (wire, content) in [
        (&b".\r\n"[..], &b""[..]),
        (b"a\r\n.\r\n", b"a\r\n"),
        (b"\r\n.\r\n", b"\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"...\r\n.\r\n", b"..\r\n"),
        (b".a\r\n.\r\n", b"a\r\n"),
        (b"a\r\n..b\r\n.\r\n", b"a\r\n.b\r\n"),
        (b"a.\r\n.\r\n", b"a.\r\n"),
        (b". \r\n.\r\n", b" \r\n"),
        (b"\0\r\n\x80\xff\r\n.\r\n", b"\0\r\n\x80\xff\r\n"),
    ] {
        let decoded = check_every_cut(wire);
        assert_eq!((&decoded.octets[..], decoded.used), (content, Some(wire.len())), "{}", wire.escape_ascii());
        // What follows the end is not touched.
        assert_eq!(decode(&[wire, b"QUIT\r\n"].concat()), decoded);
    }
}

/// CVE-2023-51764, -51765, -51766, CVE-2024-27305: servers that ended a message at LF.LF, LF.CRLF, CR.CR and their like
/// took what followed for a second message, one that the relay before them had never looked at. The matrix of
/// Every kind of line end before the dot and behind it, and one end only.
#[test]
fn smuggling() {
    let ends: [&[u8]; 12] = [
        b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r", b"\0\r\n", b"\r\n\0", b"\r\0\n", b"\0\n", b"\n\0", b"\r\0", b"\0\r",
    ];
    let smuggled = b"MAIL FROM:<evil@a>\r\nRCPT TO:<you@b>\r\nDATA\r\nhello\r\n.\r\n";
    for before in ends {
        for behind in ends {
            let wire = [b"text", before, b".", behind, smuggled].concat();
            let is_end = before.ends_with(b"\r\n") && behind.starts_with(b"\r\n");
            let decoded = check_every_cut(&wire);
            let end = if is_end { b"text".len() + before.len() + 3 } else { wire.len() };
            assert_eq!(decoded.used, Some(end), "{}", wire.escape_ascii());
        }
    }
}

/// A peer that ends its lines in its own way, and waits. It is told, at whatever octet its message is cut.
#[test]
fn a_tail_with_wrong_line_ends_is_noticed() {
    for tail in ["\n.\n", "\r.\r", "\n.\r", "\r\n.\n", "\n.\r\n", "\r.\n", "\r.\r\n", "\r\r\n.\n", "\n\r.\r"] {
        let wire = ["Subject: x\r\n\r\nbody", tail].concat();
        for cut in 0..=wire.len() {
            let decoded = decode_cut(LineEnds::Strict, wire.as_bytes(), &[cut]);
            assert!(decoded.has_stalled && decoded.used.is_none(), "{wire:?} cut at {cut}");
        }
    }
    // The empty message of such a peer.
    assert!(decode(b".\n").has_stalled);
    // More than the dot on the line, or nothing at all behind it: it may go on.
    for tail in ["\n..\n", "\n.x\n", "\nx.\n", "\n.", "\n", "\n.\0\n"] {
        assert!(!decode(["body", tail].concat().as_bytes()).has_stalled, "{tail:?}");
    }
}

/// With a bare LF far above, the true end is the true end, wherever the network cut it.
#[test]
fn a_true_end_is_never_taken_for_a_stalled_one() {
    for content in ["a\nb\r\n", "a\rb\r\n", "a\n", "\n\r\n", "a\r\r\n", "a\n..\r\n", "\n.x\r\n", "a\nb\r\n..\r\n"] {
        let end = if content.ends_with("\r\n") { ".\r\n" } else { "\r\n.\r\n" };
        let wire = [content, end].concat();
        let every_octet: Vec<_> = (0..wire.len()).collect();
        for cuts in (0..=wire.len()).map(|cut| vec![cut]).chain([every_octet]) {
            let decoded = decode_cut(LineEnds::Strict, wire.as_bytes(), &cuts);
            assert_eq!(decoded.used, Some(wire.len()), "{wire:?}");
            assert!(!decoded.has_stalled && decoded.has_bare_line_end, "{wire:?} cut at {cuts:?}");
        }
    }
}

/// The administrator's choice for named networks; a bare CR is no line end there either.
#[test]
fn bare_line_feeds_where_they_are_accepted() {
    for (wire, content, has_bare) in [
        ("a\nb\n.\n", "a\r\nb\r\n", false),
        ("a\r\nb\n.\r\n", "a\r\nb\r\n", false),
        ("a\n..b\n..\n.\n", "a\r\n.b\r\n.\r\n", false),
        ("\n\n.\n", "\r\n\r\n", false),
        (".\n", "", false),
        ("a\n.\r\n", "a\r\n", false),
        ("a\rb\n.\n", "", true),
        ("a\n.\rb\n.\n", "a\r\n", true),
    ] {
        for cut in 0..=wire.len() {
            let decoded = decode_cut(LineEnds::AcceptBareLineFeed, wire.as_bytes(), &[cut]);
            assert_eq!(decoded.used, Some(wire.len()), "{wire:?} cut at {cut}");
            assert_eq!(decoded.has_bare_line_end, has_bare, "{wire:?} cut at {cut}");
            if !has_bare {
                assert_eq!(decoded.octets, content.as_bytes(), "{wire:?} cut at {cut}");
            }
        }
    }
}

/// Twice the content takes twice the steps, not four times, whatever it is made of.
#[test]
fn steps_grow_with_the_content_and_no_faster() {
    for unit in [&b"a line of text\r\n"[..], b"..\r\n", b"\r\n", b"\n", b"\r", b".\n", b"\n.\r", b"\0"] {
        for line_ends in [LineEnds::Strict, LineEnds::AcceptBareLineFeed] {
            let steps =
                |count: usize| decode_cut(line_ends, &[&unit.repeat(count), &b"\r\n.\r\n"[..]].concat(), &[]).calls;
            let (once, twice) = (steps(2_000), steps(4_000));
            assert!(twice <= 2 * once + 4, "{}: {once} calls, then {twice}", unit.escape_ascii());
        }
    }
    // Text without dots comes out in one slice, however long it is.
    assert!(decode(&[&b"text\r\n".repeat(100_000), &b".\r\n"[..]].concat()).calls <= 3);
}

fn encode(pieces: &[&[u8]]) -> Result<Vec<u8>, BareCarriageReturn> {
    let mut encoder = ContentEncoder::default();
    let mut wire = Vec::new();
    for piece in pieces {
        encoder.encode(piece, &mut wire)?;
    }
    encoder.finish(&mut wire)?;
    Ok(wire)
}

/// RFC 5321, 4.1.1.4 and 4.5.2 (rows N115, N116, N221); a bare LF is the line end of a file.
#[test]
fn doubles_dots_and_ends_lines() {
    for (content, wire) in [
        ("", ".\r\n"),
        ("a", "a\r\n.\r\n"),
        ("a\n", "a\r\n.\r\n"),
        ("a\r\n", "a\r\n.\r\n"),
        ("a\r\n\r\n", "a\r\n\r\n.\r\n"),
        ("\n", "\r\n.\r\n"),
        (".", "..\r\n.\r\n"),
        (".\n.", "..\r\n..\r\n.\r\n"),
        ("..a\n b.", "...a\r\n b.\r\n.\r\n"),
        ("a\n.\nMAIL FROM:<evil@a>\n", "a\r\n..\r\nMAIL FROM:<evil@a>\r\n.\r\n"),
        ("a\r\n.\n.\r\n", "a\r\n..\r\n..\r\n.\r\n"),
        ("\0\n", "\0\r\n.\r\n"),
    ] {
        for cut in 0..=content.len() {
            let (first, second) = content.as_bytes().split_at(cut);
            assert_eq!(encode(&[first, second]).unwrap(), wire.as_bytes(), "{content:?} cut at {cut}");
        }
    }
}

/// Row N017: a CR alone never goes out; and what was begun cannot be ended as if it were whole.
#[test]
fn a_bare_carriage_return_breaks_the_content_for_good() {
    for content in ["a\rb", "\r", "a\r", "a\r\r\n", "\r\r", "a\n\r.\r\n"] {
        for cut in 0..=content.len() {
            let (first, second) = content.as_bytes().split_at(cut);
            assert_eq!(encode(&[first, second]), Err(BareCarriageReturn), "{content:?} cut at {cut}");
        }
    }
    let mut encoder = ContentEncoder::default();
    let mut wire = Vec::new();
    assert!(encoder.encode(b"a\rb", &mut wire).is_err());
    for octets in [&b"\n"[..], b"more\r\n"] {
        assert!(encoder.encode(octets, &mut wire).is_err());
    }
    assert!(encoder.finish(&mut wire).is_err() && !wire.ends_with(b".\r\n"));
}

/// Octets in which everything that matters is frequent.
fn octets() -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![5 => prop::sample::select(b"\r\n.\0a".to_vec()), 1 => any::<u8>()];
    prop::collection::vec(octet, 0..60)
}

fn cuts(count: usize) -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..count)
}

fn places(cuts: &[prop::sample::Index], length: usize) -> Vec<usize> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(length + 1)).collect();
    places.sort_unstable();
    places
}

proptest! {
    /// Rows N222, N118: the decoder does what the plain rule says, at any cuts.
    #[test]
    fn decodes_by_the_rule(octets in octets(), cuts in cuts(8)) {
        let wire = [&octets[..], b"\r\n.\r\nQUIT\r\n"].concat();
        let (used, content, has_bare) = specification(&wire);
        let decoded = decode_cut(LineEnds::Strict, &wire, &places(&cuts, wire.len()));
        prop_assert!(used.is_some());
        prop_assert_eq!(decoded.used, used);
        prop_assert_eq!(decoded.has_bare_line_end, has_bare);
        if !has_bare {
            prop_assert_eq!(decoded.octets, content);
            prop_assert!(!decoded.has_stalled);
        }
    }

    /// Rows N223, X126: every octet comes back, whatever the pieces on either side.
    #[test]
    fn what_is_encoded_is_decoded(octets in octets(), sent in cuts(6), received in cuts(6)) {
        let content: Vec<u8> = octets.into_iter().filter(|octet| *octet != b'\r').collect();
        let mut encoder = ContentEncoder::default();
        let mut wire = Vec::new();
        let mut start = 0;
        for place in places(&sent, content.len()).into_iter().chain([content.len()]) {
            encoder.encode(&content[start..place], &mut wire).unwrap();
            start = place;
        }
        encoder.finish(&mut wire).unwrap();
        let decoded = decode_cut(LineEnds::Strict, &wire, &places(&received, wire.len()));
        let mut expected: Vec<u8> = content.iter().flat_map(|octet| if *octet == b'\n' { &b"\r\n"[..] } else { std::slice::from_ref(octet) }).copied().collect();
        if !expected.is_empty() && !expected.ends_with(b"\r\n") {
            expected.extend_from_slice(b"\r\n");
        }
        prop_assert_eq!(decoded.used, Some(wire.len()));
        prop_assert!(!decoded.has_bare_line_end && !decoded.has_stalled);
        prop_assert_eq!(decoded.octets, expected);
    }

    /// Row N017: whatever goes in, on the wire every CR has its LF and every LF its CR.
    #[test]
    fn no_bare_line_end_goes_out(octets in octets()) {
        let mut wire = Vec::new();
        let mut encoder = ContentEncoder::default();
        let result = encoder.encode(&octets, &mut wire).and_then(|()| encoder.finish(&mut wire));
        let text = String::from_utf8_lossy(&wire).replace("\r\n", "");
        prop_assert!(!text.contains(['\r', '\n']));
        prop_assert_eq!(wire.ends_with(b".\r\n") && decode(&wire).used == Some(wire.len()), result.is_ok());
    }
}

/// What a [`ChunkDecoder`] makes of chunks, and whether it is content: no bare line end, none left open.
fn of_chunks<'a>(line_ends: LineEnds, chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, bool) {
    let mut decoder = ChunkDecoder::new(line_ends);
    let mut content = Vec::new();
    for mut rest in chunks {
        while !rest.is_empty() {
            let (used, octets) = decoder.decode(rest);
            assert!(used > 0, "it goes on");
            content.extend_from_slice(octets);
            rest = &rest[used..];
        }
    }
    (content, !decoder.has_bare_line_end() && !decoder.is_inside_line_end())
}

/// RFC 3030: dots are dots. Row N016: line ends are CRLF, in chunks too.
#[test]
fn chunks() {
    for (content, is_sound) in [
        ("", true),
        (".\r\n..\r\n.\r\n", true),
        ("no line end", true),
        ("a\r\n\r\nb\r\n", true),
        ("a\nb", false),
        ("\n", false),
        ("a\rb", false),
        ("a\r\r\n", false),
        ("a\r", false),
    ] {
        for size in 1..=content.len().max(1) {
            let (found, is_found_sound) = of_chunks(LineEnds::Strict, content.as_bytes().chunks(size));
            assert_eq!(is_found_sound, is_sound, "{content:?} in pieces of {size}");
            assert!(!is_sound || found == content.as_bytes());
        }
    }
    for size in 1..=9 {
        let (found, is_sound) = of_chunks(LineEnds::AcceptBareLineFeed, b"a\n\n.\r\nb\n".chunks(size));
        assert_eq!((found, is_sound), (b"a\r\n\r\n.\r\nb\r\n".to_vec(), true));
    }
}

/// Row X043: the line ends of DATA, and nothing else of it.
#[test]
fn content_for_a_chunk() {
    for (content, wire) in [("", ""), (".", ".\r\n"), (".\n..\r\n", ".\r\n..\r\n"), ("a\n\nb", "a\r\n\r\nb\r\n")] {
        for size in 1..=content.len().max(1) {
            let mut encoder = ContentEncoder::for_chunk();
            let mut output = Vec::new();
            for piece in content.as_bytes().chunks(size) {
                encoder.encode(piece, &mut output).unwrap();
            }
            encoder.finish(&mut output).unwrap();
            assert_eq!(output, wire.as_bytes());
        }
    }
    assert_eq!(ContentEncoder::for_chunk().encode(b"a\rb", &mut Vec::new()), Err(BareCarriageReturn));
}
