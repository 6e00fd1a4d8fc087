//! The receiver's side: takes dots away, finds the end, watches line ends.

use super::LineEnds;

/// Reads content from the wire. The octets come out as slices of the input, so a message of any size passes without
/// being held.
#[derive(Debug)]
pub struct ContentDecoder {
    line_ends: LineEnds,
    position: Position,
    has_bare_line_end: bool,
    tail: Tail,
}

/// What the decoder found next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Octets of the message. After a bare line end there are none: such content is only read to its end.
    Octets(&'a [u8]),
    /// CRLF dot CRLF.
    End,
    /// All of the input is used.
    NeedInput,
    /// All of the input is used, and its last line is a dot with wrong line ends: this peer believes it is done and will
    /// wait for ever. Answer and close.
    Stalled,
}

/// Where in a line the next octet stands; each name ends with the octets just seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    LineStart,
    Text,
    TextCr,
    Dot,
    DotCr,
}

/// The last octets seen, enough to recognise any kind of dot line.
type Tail = [u8; 5];

impl ContentDecoder {
    /// A decoder at the beginning of the content.
    pub fn new(line_ends: LineEnds) -> Self {
        // The CRLF of the DATA command counts as the line end before the content: an empty message is a lone dot.
        ContentDecoder { line_ends, position: Position::LineStart, has_bare_line_end: false, tail: *b"\0\0\0\r\n" }
    }

    /// Whether a CR or LF stood alone, so that the message must be refused once its end is reached.
    pub fn has_bare_line_end(&self) -> bool {
        self.has_bare_line_end
    }

    /// Reads on. Returns the octets of `input` that are used up, and what they were.
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> (usize, Piece<'a>) {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            if rest.is_empty() {
                self.remember(input);
                let is_stalled = self.has_bare_line_end && self.position != Position::DotCr && is_dot_line(&self.tail);
                return (used, if is_stalled { Piece::Stalled } else { Piece::NeedInput });
            }
            let (step, piece) = self.step(rest);
            used += step;
            match piece {
                Some(Piece::Octets(octets)) if octets.is_empty() || self.has_bare_line_end => {}
                Some(piece) => {
                    self.remember(input.get(..used).unwrap_or_default());
                    return (used, piece);
                }
                None => {}
            }
        }
    }

    fn step<'a>(&mut self, rest: &'a [u8]) -> (usize, Option<Piece<'a>>) {
        let accepts_bare_line_feed = self.line_ends == LineEnds::AcceptBareLineFeed;
        match (self.position, rest.first()) {
            (Position::LineStart | Position::Text, _) => self.span(rest),
            (Position::TextCr, Some(b'\n')) => self.go(Position::LineStart, 1, Some(Piece::Octets(b"\r\n"))),
            (Position::Dot, Some(b'\r')) => self.go(Position::DotCr, 1, None),
            (Position::DotCr, Some(b'\n')) => self.go(Position::LineStart, 1, Some(Piece::End)),
            (Position::Dot, Some(b'\n')) if accepts_bare_line_feed => self.go(Position::LineStart, 1, Some(Piece::End)),
            // A CR that no LF follows; the octet behind it is looked at again as text.
            (Position::TextCr | Position::DotCr, _) => self.bare(0),
            (Position::Dot, Some(b'\n')) => self.bare(1),
            // RFC 5321, 4.5.2: "If the first character is a period and there are other characters on the line, the first
            // character is deleted."
            (Position::Dot, _) => self.go(Position::Text, 0, None),
        }
    }

    /// The longest run of octets that go out as they are: whole lines, and the part of a line that is there.
    fn span<'a>(&mut self, rest: &'a [u8]) -> (usize, Option<Piece<'a>>) {
        let mut end = 0;
        let mut position = self.position;
        loop {
            let behind = rest.get(end..).unwrap_or_default();
            if position == Position::LineStart && behind.first() == Some(&b'.') {
                return self.lend(Position::Dot, rest, end, 1);
            }
            let Some(hit) = memchr::memchr2(b'\r', b'\n', behind) else {
                let position = if behind.is_empty() { position } else { Position::Text };
                return self.lend(position, rest, rest.len(), 0);
            };
            match (behind.get(hit), behind.get(hit + 1)) {
                (Some(b'\r'), Some(b'\n')) => {
                    end += hit + 2;
                    position = Position::LineStart;
                }
                (Some(b'\r'), None) => return self.lend(Position::TextCr, rest, end + hit, 1),
                (Some(b'\r'), Some(_)) => return self.bare(end + hit + 1),
                _ if self.line_ends == LineEnds::AcceptBareLineFeed && end + hit == 0 => {
                    return self.go(Position::LineStart, 1, Some(Piece::Octets(b"\r\n")));
                }
                _ if self.line_ends == LineEnds::AcceptBareLineFeed => {
                    return self.lend(Position::Text, rest, end + hit, 0);
                }
                _ => return self.bare(end + hit + 1),
            }
        }
    }

    fn lend<'a>(&mut self, position: Position, rest: &'a [u8], end: usize, held: usize) -> (usize, Option<Piece<'a>>) {
        self.go(position, end + held, rest.get(..end).map(Piece::Octets))
    }

    /// A bare CR or LF, just behind `used`. What follows is not at the start of a line, whatever it looks like.
    fn bare<'a>(&mut self, used: usize) -> (usize, Option<Piece<'a>>) {
        self.has_bare_line_end = true;
        self.go(Position::Text, used, None)
    }

    fn go<'a>(&mut self, position: Position, used: usize, piece: Option<Piece<'a>>) -> (usize, Option<Piece<'a>>) {
        self.position = position;
        (used, piece)
    }

    fn remember(&mut self, seen: &[u8]) {
        let recent = seen.get(seen.len().saturating_sub(self.tail.len())..).unwrap_or_default();
        self.tail.rotate_left(recent.len());
        let start = self.tail.len() - recent.len();
        if let Some(end_of_tail) = self.tail.get_mut(start..) {
            end_of_tail.copy_from_slice(recent);
        }
    }
}

/// Whether the octets end in a line that holds a dot alone, if any mixture of CR and LF counted as a line end.
fn is_dot_line(tail: &Tail) -> bool {
    let without_end: &[u8] = match tail {
        [rest @ .., b'\r', b'\n'] => rest,
        [rest @ .., b'\r' | b'\n'] => rest,
        _ => return false,
    };
    matches!(without_end, [.., b'\r' | b'\n', b'.'])
}
