//! The original on its way into the third part of a report: all of it, or its header section and no more.

use super::Part;
use super::quoted_printable::QuotedPrintable;
use crate::limits;

/// Stands for the rest of a header section that is too long. It has the form of a field, where only fields may stand.
const CUT: &[u8] = b"X-Truncated: the header section is longer than this report gives back\r\n";

/// Takes the original, and gives out what the report shows of it.
#[must_use = "a report without its end is none"]
#[derive(Debug)]
pub struct Returned {
    position: Position,
    encoder: Option<QuotedPrintable>,
    boundary: String,
}

#[derive(Debug)]
enum Position {
    /// Everything goes through.
    Full,
    /// In the header section: the octets of it that went through, and the line that has not ended yet.
    Header { octets: usize, line: Vec<u8> },
    /// Behind what is given back.
    Over,
}

impl Returned {
    pub(super) fn new(part: Part, is_encoded: bool, boundary: &str) -> Self {
        let position = match part {
            Part::Full => Position::Full,
            Part::Headers => Position::Header { octets: 0, line: Vec::new() },
        };
        Returned { position, encoder: is_encoded.then(QuotedPrintable::default), boundary: boundary.to_owned() }
    }

    /// Takes the next octets of the original, whose lines end in CRLF, and appends what is given back of them.
    pub fn handle(&mut self, octets: &[u8], output: &mut Vec<u8>) {
        match self.position {
            Position::Full => self.write(octets, output),
            Position::Header { .. } => self.handle_header(octets, output),
            Position::Over => {}
        }
    }

    /// Whether nothing more of the original is given back, so that the rest need not be read.
    pub fn is_complete(&self) -> bool {
        matches!(self.position, Position::Over)
    }

    /// Ends the third part and the report.
    pub fn finish(mut self, output: &mut Vec<u8>) {
        // A message may be nothing but a header section, without the empty line (RFC 5322, 3.5).
        if let Position::Header { line, .. } = &mut self.position {
            let line = std::mem::take(line);
            self.write(&line, output);
        }
        if let Some(encoder) = &mut self.encoder {
            encoder.finish(output);
        }
        // This line end is the boundary's (RFC 2046, 5.1.1), so an original without one at its end gets none.
        output.extend_from_slice(format!("\r\n--{}--\r\n", self.boundary).as_bytes());
    }

    fn handle_header(&mut self, mut octets: &[u8], output: &mut Vec<u8>) {
        while let (Position::Header { octets: passed, line }, false) = (&mut self.position, octets.is_empty()) {
            let end = memchr::memchr(b'\n', octets).map(|place| place + 1);
            let (piece, rest) = octets.split_at(end.unwrap_or(octets.len()));
            octets = rest;
            if *passed + line.len() + piece.len() > limits::RETURNED_HEADER_OCTETS {
                self.position = Position::Over;
                self.write(CUT, output);
                return;
            }
            line.extend_from_slice(piece);
            if end.is_some() {
                *passed += line.len();
                let line = std::mem::take(line);
                // RFC 6522, 4: all fields prior to the first blank line.
                if line == b"\r\n" || line == b"\n" {
                    self.position = Position::Over;
                    return;
                }
                self.write(&line, output);
            }
        }
    }

    fn write(&mut self, octets: &[u8], output: &mut Vec<u8>) {
        match &mut self.encoder {
            Some(encoder) => encoder.handle(octets, output),
            None => output.extend_from_slice(octets),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given_back(part: Part, original: &[u8], piece: usize) -> Vec<u8> {
        let (mut returned, mut output) = (Returned::new(part, false, "b"), Vec::new());
        for octets in original.chunks(piece) {
            returned.handle(octets, &mut output);
        }
        returned.finish(&mut output);
        output.strip_suffix(b"\r\n--b--\r\n").unwrap().to_vec()
    }

    #[test]
    fn cuts_the_header_section_out() {
        for (original, header) in [
            ("A: 1\r\nB: 2\r\n 3\r\n\r\nbody\r\n\r\n", "A: 1\r\nB: 2\r\n 3\r\n"),
            ("A: 1\r\n", "A: 1\r\n"),
            ("A: 1", "A: 1"),
            ("\r\nbody", ""),
            ("", ""),
            ("A: \r\r\n\r\nbody", "A: \r\r\n"),
        ] {
            for piece in 1..8 {
                assert_eq!(given_back(Part::Headers, original.as_bytes(), piece), header.as_bytes(), "{original:?}");
                assert_eq!(given_back(Part::Full, original.as_bytes(), piece), original.as_bytes());
            }
        }
    }

    #[test]
    fn stops_at_the_limit() {
        let line = format!("X: {}\r\n", "x".repeat(59));
        let full = line.repeat(limits::RETURNED_HEADER_OCTETS / line.len());
        assert_eq!(full.len(), limits::RETURNED_HEADER_OCTETS);
        let cut = [full.as_bytes(), CUT].concat();
        for (original, header) in [
            (full.clone(), full.as_bytes()),
            (format!("{full}Y"), &cut),
            (full.repeat(10), &cut),
            // One line without an end is not waited for.
            ("x".repeat(limits::RETURNED_HEADER_OCTETS * 2), CUT),
        ] {
            for piece in [1, 1_000, original.len()] {
                assert_eq!(given_back(Part::Headers, original.as_bytes(), piece), header);
            }
        }
    }

    #[test]
    fn says_when_it_has_enough() {
        let (mut returned, mut output) = (Returned::new(Part::Headers, false, "b"), Vec::new());
        returned.handle(b"A: 1\r\n\r", &mut output);
        assert!(!returned.is_complete());
        returned.handle(b"\nbody", &mut output);
        assert!(returned.is_complete());
        returned.handle(b"more", &mut output);
        assert_eq!(output, b"A: 1\r\n");
    }
}
