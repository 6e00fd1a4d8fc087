//! The receiver's side of chunks: no dots and no end, but line ends all the same.

use super::LineEnds;

/// Watches the line ends of content whose length is known (RFC 3030). The octets come out as slices of the input.
#[derive(Debug)]
pub struct ChunkDecoder {
    line_ends: LineEnds,
    position: Position,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    Text,
    /// A CR is held back: what follows it, perhaps in the next chunk, shows whether it is a line end.
    Cr,
    /// There was a bare CR or LF.
    Broken,
}

impl ChunkDecoder {
    /// A decoder at the beginning of the content.
    pub fn new(line_ends: LineEnds) -> Self {
        ChunkDecoder { line_ends, position: Position::Text }
    }

    /// Whether a CR or LF stood alone, so that the content must be refused.
    pub fn has_bare_line_end(&self) -> bool {
        self.position == Position::Broken
    }

    /// Whether the content stops behind a CR, which is a bare one if nothing more comes.
    pub fn is_inside_line_end(&self) -> bool {
        self.position == Position::Cr
    }

    /// Reads on. Returns the octets of `input` that are used up, and what they are in the message, which may be nothing.
    /// After a bare line end there is nothing any more.
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> (usize, &'a [u8]) {
        match (self.position, input.first()) {
            (_, None) => (0, b""),
            (Position::Text, _) => self.span(input),
            (Position::Cr, Some(b'\n')) => {
                self.position = Position::Text;
                (1, b"\r\n")
            }
            (Position::Cr | Position::Broken, _) => self.break_off(input),
        }
    }

    /// The longest run of octets that go out as they are.
    fn span<'a>(&mut self, input: &'a [u8]) -> (usize, &'a [u8]) {
        let mut end = 0;
        loop {
            let behind = input.get(end..).unwrap_or_default();
            let Some(hit) = memchr::memchr2(b'\r', b'\n', behind) else {
                return (input.len(), input);
            };
            match (behind.get(hit), behind.get(hit + 1)) {
                (Some(b'\r'), Some(b'\n')) => end += hit + 2,
                (Some(b'\r'), None) => {
                    self.position = Position::Cr;
                    return (input.len(), input.split_at(end + hit).0);
                }
                (Some(b'\n'), _) if self.line_ends == LineEnds::AcceptBareLineFeed => {
                    return if end + hit == 0 { (1, b"\r\n") } else { (end + hit, input.split_at(end + hit).0) };
                }
                _ => return self.break_off(input),
            }
        }
    }

    fn break_off<'a>(&mut self, input: &'a [u8]) -> (usize, &'a [u8]) {
        self.position = Position::Broken;
        (input.len(), b"")
    }
}
