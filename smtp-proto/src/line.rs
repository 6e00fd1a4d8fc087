//! Finds the command lines in what a client sends. Only CRLF ends a line (RFC 5321, 2.3.8).

use crate::content::LineEnds;
use crate::limits;

/// Cuts the input into lines. It holds no octets: an incomplete line stays in the caller's buffer, which must have room
/// for the longest that it asks for.
#[derive(Debug)]
pub struct LineReader {
    line_ends: LineEnds,
    skipped: Option<Skipped>,
}

/// The part of a line that is gone already.
#[derive(Clone, Copy, Debug)]
struct Skipped {
    octets: usize,
    start: Start,
}

/// The first octets of a line that is too long: enough to see which command it would have been.
pub type Start = [u8; 5];

fn start(line: &[u8]) -> Start {
    line.first_chunk().copied().unwrap_or_default()
}

/// What stands next in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line, without its CRLF.
    Complete(&'a [u8]),
    /// No complete line yet.
    NeedInput,
    /// A line beyond the limit has come to its end. This is how it began.
    TooLong(Start),
    /// A line went on and on: [`limits::SKIPPED_LINE_OCTETS`] and no end.
    Endless,
    /// The input ends in an LF without CR: this peer waits for an answer that would never come.
    BareLineFeed,
}

impl LineReader {
    /// A reader at the beginning of a line.
    pub fn new(line_ends: LineEnds) -> Self {
        LineReader { line_ends, skipped: None }
    }

    /// Whether the next octet begins a line, and does not go on with one that is being skipped.
    pub fn is_at_line_start(&self) -> bool {
        self.skipped.is_none()
    }

    /// Reads one line, of at most so many octets with its line end. Returns the octets of `input` that are used up, and what
    /// they were.
    pub fn read<'a>(&mut self, input: &'a [u8], most_octets: usize) -> (usize, Line<'a>) {
        if let Some((line, used)) = self.find_line(input) {
            return match self.skipped.take() {
                Some(skipped) => (used, Line::TooLong(skipped.start)),
                None if used > most_octets => (used, Line::TooLong(start(line))),
                None => (used, Line::Complete(line)),
            };
        }
        if input.ends_with(b"\n") {
            return (input.len(), Line::BareLineFeed);
        }
        if self.skipped.is_none() && input.len() < most_octets {
            return (0, Line::NeedInput);
        }
        // A CR at the end stays, since the LF that makes it a line end may be on its way.
        let used = input.len() - usize::from(input.ends_with(b"\r"));
        let mut skipped = self.skipped.unwrap_or_else(|| Skipped { octets: 0, start: start(input) });
        skipped.octets += used;
        self.skipped = Some(skipped);
        (used, if skipped.octets > limits::SKIPPED_LINE_OCTETS { Line::Endless } else { Line::NeedInput })
    }

    fn find_line<'a>(&self, input: &'a [u8]) -> Option<(&'a [u8], usize)> {
        for line_feed in memchr::memchr_iter(b'\n', input) {
            let (line, _) = input.split_at(line_feed);
            match (line.strip_suffix(b"\r"), self.line_ends) {
                (Some(line), _) => return Some((line, line_feed + 1)),
                (None, LineEnds::AcceptBareLineFeed) => return Some((line, line_feed + 1)),
                (None, LineEnds::Strict) => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8]) -> (usize, Line<'_>) {
        LineReader::new(LineEnds::Strict).read(input, limits::COMMAND_LINE_OCTETS)
    }

    /// Row N016.
    #[test]
    fn only_crlf_ends_a_line() {
        assert_eq!(read(b"NOOP\r\nQUIT\r\n"), (6, Line::Complete(b"NOOP")));
        assert_eq!(read(b"\r\n"), (2, Line::Complete(b"")));
        assert_eq!(read(b"NOOP"), (0, Line::NeedInput));
        assert_eq!(read(b"NOOP\r"), (0, Line::NeedInput));
        assert_eq!(read(b"NOOP\n"), (5, Line::BareLineFeed));
        assert_eq!(read(b"NOOP\rQUIT\r\n"), (11, Line::Complete(b"NOOP\rQUIT")));
        // What a bare LF separates is one line, and a line that holds an LF is no command.
        assert_eq!(read(b"NOOP\nQUIT\r\n"), (11, Line::Complete(b"NOOP\nQUIT")));
    }

    #[test]
    fn a_bare_line_feed_counts_where_the_administrator_says_so() {
        let mut reader = LineReader::new(LineEnds::AcceptBareLineFeed);
        assert_eq!(reader.read(b"NOOP\nQUIT\r\n", limits::COMMAND_LINE_OCTETS), (5, Line::Complete(b"NOOP")));
        assert_eq!(reader.read(b"QUIT\r\n", limits::COMMAND_LINE_OCTETS), (6, Line::Complete(b"QUIT")));
    }

    #[test]
    fn at_the_limit_one_above_and_far_above() {
        let line = |octets: usize| [vec![b'a'; octets - 2], b"\r\n".to_vec()].concat();
        let limit = limits::COMMAND_LINE_OCTETS;
        assert!(matches!(read(&line(limit)), (_, Line::Complete(_))));
        assert_eq!(read(&line(limit + 1)), (limit + 1, Line::TooLong(*b"aaaaa")));
        // In a buffer that cannot hold it: skipped in pieces, answered once, at its end.
        let mut reader = LineReader::new(LineEnds::Strict);
        let long = line(100 * limit);
        for piece in long[..99 * limit].chunks(limit) {
            assert_eq!(reader.read(piece, limits::COMMAND_LINE_OCTETS), (limit, Line::NeedInput));
        }
        assert_eq!(reader.read(&long[99 * limit..], limits::COMMAND_LINE_OCTETS), (limit, Line::TooLong(*b"aaaaa")));
        assert_eq!(reader.read(b"NOOP\r\n", limits::COMMAND_LINE_OCTETS), (6, Line::Complete(b"NOOP")));
    }

    /// go-smtp's first version kept such a line in memory until there was none (its pull request 60).
    #[test]
    fn an_endless_line_has_an_end() {
        let mut reader = LineReader::new(LineEnds::Strict);
        let piece = [b'a'; limits::COMMAND_LINE_OCTETS];
        let pieces = limits::SKIPPED_LINE_OCTETS / piece.len();
        for _ in 0..pieces {
            assert_eq!(reader.read(&piece, limits::COMMAND_LINE_OCTETS).1, Line::NeedInput);
        }
        assert_eq!(reader.read(&piece, limits::COMMAND_LINE_OCTETS).1, Line::Endless);
    }

    #[test]
    fn a_long_line_may_be_cut_between_cr_and_lf() {
        let mut reader = LineReader::new(LineEnds::Strict);
        let start = [vec![b'a'; limits::COMMAND_LINE_OCTETS], b"\r".to_vec()].concat();
        assert_eq!(reader.read(&start, limits::COMMAND_LINE_OCTETS), (start.len() - 1, Line::NeedInput));
        assert_eq!(reader.read(b"\r\n", limits::COMMAND_LINE_OCTETS), (2, Line::TooLong(*b"aaaaa")));
    }
}
