//! Takes the Return-Path fields out of a header section that passes by in pieces.
//!
//! "A message-originating SMTP system SHOULD NOT send a message that already contains a Return-path header field", and
//! the host of final delivery "MAY remove" what came all the same "before adding their own" (RFC 5321, 4.4). It does: a
//! reader that takes the wrong one of two would send reports to whomever a stranger has named.
//!
//! Nothing but fields is touched. The header section ends at the empty line, or at a line that is no field: what a
//! sender has put there is text, whatever it looks like.

const NAME: &[u8] = b"return-path";

/// Octets of a name and the space behind it that are held back until the colon shows what they are.
const HELD_OCTETS: usize = 64;

#[derive(Debug)]
pub(super) struct HeaderFilter {
    position: Position,
    /// What may be the beginning of such a field.
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// At the beginning of a line, behind a field that was kept or dropped; its continuation lines share its fate.
    Line { is_dropped: bool },
    /// In the name of a field, which so far is this many octets of [`NAME`] and is held back.
    Wanted(usize),
    /// In another name.
    Name,
    /// Between a name and its colon (RFC 5322, 4.5: space there is obsolete, and still a field).
    Space,
    /// Behind the colon, or in a continuation line.
    Value { is_dropped: bool },
    /// Behind the header section.
    Body,
}

impl Default for HeaderFilter {
    fn default() -> Self {
        HeaderFilter { position: Position::Line { is_dropped: false }, held: Vec::new() }
    }
}

impl HeaderFilter {
    /// Takes the next octets, whose lines end in LF; puts those that stay behind `output`.
    pub(super) fn handle(&mut self, octets: &[u8], output: &mut Vec<u8>) {
        for (place, &octet) in octets.iter().enumerate() {
            if self.position == Position::Body {
                return output.extend_from_slice(octets.get(place..).unwrap_or_default());
            }
            self.step(octet, output);
        }
    }

    /// The message is over.
    pub(super) fn finish(&mut self, output: &mut Vec<u8>) {
        output.append(&mut self.held);
    }

    fn step(&mut self, octet: u8, output: &mut Vec<u8>) {
        self.position = match (self.position, octet) {
            (Position::Line { is_dropped }, b' ' | b'\t') => Position::Value { is_dropped },
            (Position::Line { .. }, b'\n') => Position::Body,
            (Position::Line { .. }, _) if NAME.first() == Some(&octet.to_ascii_lowercase()) => Position::Wanted(1),
            (Position::Line { .. }, _) => in_name(octet),
            (Position::Wanted(matched), b':') if matched == NAME.len() => Position::Value { is_dropped: true },
            (Position::Wanted(matched), b' ' | b'\t') if matched == NAME.len() && self.held.len() < HELD_OCTETS => {
                Position::Wanted(matched)
            }
            (Position::Wanted(matched), _) if NAME.get(matched) == Some(&octet.to_ascii_lowercase()) => {
                Position::Wanted(matched + 1)
            }
            (Position::Wanted(_) | Position::Name, _) => in_name(octet),
            (Position::Space, b' ' | b'\t' | b':') => in_name(octet),
            (Position::Space, _) => Position::Body,
            (Position::Value { is_dropped }, b'\n') => Position::Line { is_dropped },
            (position @ (Position::Value { .. } | Position::Body), _) => position,
        };
        match self.position {
            Position::Wanted(_) => self.held.push(octet),
            Position::Value { is_dropped: true } => self.held.clear(),
            // The end of the last line of a field that was dropped.
            Position::Line { is_dropped: true } => {}
            _ => {
                output.append(&mut self.held);
                output.push(octet);
            }
        }
    }
}

/// Where one is behind this octet of a name, or of the space behind one.
fn in_name(octet: u8) -> Position {
    match octet {
        b':' => Position::Value { is_dropped: false },
        b' ' | b'\t' => Position::Space,
        b'!'..=b'~' => Position::Name,
        _ => Position::Body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row N206.
    #[test]
    fn takes_out_return_path_fields_and_nothing_else() {
        let long = format!("Return-Path{}: <a>\nB: c\n\n", " ".repeat(100));
        for (before, after) in [
            ("Return-Path: <a>\nB: c\n\nd\n", "B: c\n\nd\n"),
            ("return-PATH:<a>\nB: c\n\nd\n", "B: c\n\nd\n"),
            ("Return-Path \t: <a>\nB: c\n\nd\n", "B: c\n\nd\n"),
            ("B: c\nReturn-Path:\n <a>\n\t<b>\nC: d\n e\nReturn-Path: <b>\n\n", "B: c\nC: d\n e\n\n"),
            ("Return-Path: <a>", ""),
            ("B: c\nReturn-Pa", "B: c\nReturn-Pa"),
            ("B: c\nReturn-Path", "B: c\nReturn-Path"),
            ("Return-Path-2: x\nX-Return-Path: y\nReturn: z\nReturn-Patho: w\n\n", "="),
            ("B: c\n\nReturn-Path: <a>\n", "="),
            // No field, so the header section is over.
            ("B: c\nsome text\nReturn-Path: <a>\n", "="),
            ("B: c\ntext\nReturn-Path: <a>\n", "="),
            ("B: c\nReturn-Path\nReturn-Path: <a>\n", "="),
            ("B: c\n\u{e9}: x\nReturn-Path: <a>\n", "="),
            (" begins with space\n\nReturn-Path: <a>\n", "="),
            ("\nReturn-Path: <a>\n", "="),
            ("", "="),
            (&long, "="),
        ] {
            let expected = if after == "=" { before } else { after };
            let (mut output, mut pieces) = (Vec::new(), Vec::new());
            let mut filter = HeaderFilter::default();
            filter.handle(before.as_bytes(), &mut output);
            filter.finish(&mut output);
            let mut filter = HeaderFilter::default();
            before.as_bytes().chunks(1).for_each(|octet| filter.handle(octet, &mut pieces));
            filter.finish(&mut pieces);
            assert_eq!(String::from_utf8_lossy(&output), expected, "{before:?}");
            assert_eq!(pieces, output, "{before:?}");
        }
    }
}
