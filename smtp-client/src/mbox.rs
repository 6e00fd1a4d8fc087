//! Many messages in one file: mbox, the oldest way to keep mail.
//!
//! ```text
//! From alice@example.org Mon Jan  1 12:00:00 2024      the separator, which is no part of the message
//! Subject: one
//!
//! >From here on it is text.                            a line of the message, "From here on it is text."
//!                                                      an empty line, which is no part of it either
//! From bob@example.org Mon Jan  1 12:01:00 2024
//! ...
//! ```
//!
//! A separator is a line that begins with `From ` and stands at the beginning of the file or behind an empty line (RFC
//! 4155). Of the dialects of quoting this reads the one that can be undone, mboxrd: a line that begins with any number of
//! `>` and then `From ` has lost nothing and gained one `>`, which is taken away again. Lengths in `Content-Length` are not
//! believed.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use crate::positioned_reader::PositionedReader;

/// How every mbox begins, and every message in it.
const SEPARATOR: &[u8] = b"From ";

/// Where each message of an mbox lies. The file may be closed in between.
#[derive(Debug)]
pub struct Mbox {
    messages: Vec<Extent>,
}

/// Octets of a file, from `start` up to `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extent {
    start: u64,
    end: u64,
}

/// Whether a file that begins like this is an mbox. No header section does: its first line would be no field.
pub fn is_mbox(beginning: &[u8]) -> bool {
    beginning.starts_with(SEPARATOR)
}

impl Mbox {
    /// Looks through a file once, from its beginning, and remembers 16 octets a message.
    pub fn scan(file: &File) -> io::Result<Self> {
        let mut scanner = Scanner::default();
        let mut buffer = vec![0; 64 * 1024];
        let mut position = 0;
        loop {
            let count = match file.read_at(&mut buffer, position) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            scanner.take(buffer.get(..count).unwrap_or_default());
            position += count as u64;
        }
        Ok(Mbox { messages: scanner.finish() })
    }

    /// How many messages it holds.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The message at this place, from 0, of the file that was scanned: as it was before it was put into the mbox. `None`
    /// behind the last one.
    pub fn message<'f>(&self, place: usize, file: &'f File) -> Option<impl Read + use<'f>> {
        let Extent { start, end } = *self.messages.get(place)?;
        Some(Unquoted::new(PositionedReader { file, position: start, end }))
    }
}

/// Finds separators, in pieces of any size.
#[derive(Debug, Default)]
struct Scanner {
    messages: Vec<Extent>,
    position: u64,
    line_start: u64,
    /// The first octets of the current line, as many as tell what it is.
    head: Vec<u8>,
    /// Where the empty line before the current line begins, if there is one.
    empty_line: Option<u64>,
    /// The current line is a separator, so the message begins behind it.
    is_separator: bool,
}

impl Scanner {
    fn take(&mut self, mut octets: &[u8]) {
        while !octets.is_empty() {
            let line_feed = memchr::memchr(b'\n', octets);
            let (line, rest) = octets.split_at(line_feed.map_or(octets.len(), |line_feed| line_feed + 1));
            let wanted = SEPARATOR.len().saturating_sub(self.head.len());
            self.head.extend_from_slice(line.get(..wanted).unwrap_or(line));
            self.position += line.len() as u64;
            if self.head == SEPARATOR && (self.line_start == 0 || self.empty_line.is_some()) && !self.is_separator {
                self.is_separator = true;
                self.end_message(self.empty_line.unwrap_or(self.line_start));
            }
            if line_feed.is_some() {
                self.end_line();
            }
            octets = rest;
        }
    }

    fn end_line(&mut self) {
        let is_empty = matches!(self.head.as_slice(), b"\n" | b"\r\n");
        if std::mem::take(&mut self.is_separator) {
            self.messages.push(Extent { start: self.position, end: self.position });
        }
        // The last of several is the one that belongs to the separator.
        self.empty_line = is_empty.then_some(self.line_start);
        self.line_start = self.position;
        self.head.clear();
    }

    fn end_message(&mut self, end: u64) {
        if let Some(last) = self.messages.last_mut() {
            // The empty line behind a separator may be the header section's end and the message's at once.
            last.end = end.max(last.start);
        }
    }

    fn finish(mut self) -> Vec<Extent> {
        if !self.is_separator {
            let is_behind_empty_line = self.line_start == self.position;
            let end = self.empty_line.filter(|_| is_behind_empty_line).unwrap_or(self.position);
            self.end_message(end);
        }
        self.messages
    }
}

/// Takes one `>` away from each line of the form `>>>From `. Of a run of equal octets it does not matter which one goes,
/// so only the last `>` is held back, and what may still be `From `: never more than six octets, however long the run.
struct Unquoted<R> {
    input: R,
    buffer: Box<[u8; 16 * 1024]>,
    output: Vec<u8>,
    /// Octets of `output` that are read already.
    used: usize,
    state: LineStart,
}

/// What of the current line may still be a quoted `From `.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineStart {
    /// Nothing of it has come.
    Nothing,
    /// `>` is held back, and so many octets of `From ` behind it.
    Quote(usize),
    /// It is another line, or was one.
    Other,
}

impl<R: Read> Unquoted<R> {
    fn new(input: R) -> Self {
        let (buffer, output) = (Box::new([0; 16 * 1024]), Vec::new());
        Unquoted { input, buffer, output, used: 0, state: LineStart::Nothing }
    }

    fn take(&mut self, octets: usize) {
        let (input, output) = (self.buffer.get(..octets).unwrap_or_default(), &mut self.output);
        for &octet in input {
            self.state = match (self.state, octet) {
                (LineStart::Nothing, b'>') => LineStart::Quote(0),
                (LineStart::Quote(0), b'>') => {
                    output.push(b'>');
                    LineStart::Quote(0)
                }
                (LineStart::Quote(matched), octet) if SEPARATOR.get(matched) == Some(&octet) => {
                    if matched + 1 == SEPARATOR.len() {
                        output.extend_from_slice(SEPARATOR);
                        LineStart::Other
                    } else {
                        LineStart::Quote(matched + 1)
                    }
                }
                (state, octet) => {
                    output.extend(state.held());
                    output.push(octet);
                    if octet == b'\n' { LineStart::Nothing } else { LineStart::Other }
                }
            };
        }
    }
}

impl LineStart {
    /// What was held back for nothing.
    fn held(self) -> impl Iterator<Item = u8> {
        let count = match self {
            LineStart::Quote(matched) => Some(matched),
            LineStart::Nothing | LineStart::Other => None,
        };
        let separator = SEPARATOR.iter().copied().take(count.unwrap_or(0));
        count.map(|_| b'>').into_iter().chain(separator)
    }
}

impl<R: Read> Read for Unquoted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.used == self.output.len() {
            self.output.clear();
            self.used = 0;
            let count = self.input.read(self.buffer.as_mut_slice())?;
            if count == 0 {
                self.output.extend(self.state.held());
                self.state = LineStart::Other;
                if self.output.is_empty() {
                    return Ok(0);
                }
            }
            self.take(count);
        }
        let ready = self.output.get(self.used..).unwrap_or_default();
        let count = ready.len().min(buffer.len());
        buffer.iter_mut().zip(ready).for_each(|(to, from)| *to = *from);
        self.used += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn mbox(octets: &[u8]) -> (Mbox, File) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(octets).unwrap();
        (Mbox::scan(&file).unwrap(), file)
    }

    fn messages(octets: &[u8]) -> Vec<String> {
        let (mbox, file) = mbox(octets);
        let read = |place| {
            let mut octets = Vec::new();
            mbox.message(place, &file).unwrap().read_to_end(&mut octets).unwrap();
            String::from_utf8(octets).unwrap()
        };
        assert!(mbox.message(mbox.len(), &file).is_none());
        (0..mbox.len()).map(read).collect()
    }

    #[test]
    fn messages_as_they_were() {
        for (text, expected) in [
            ("", vec![]),
            ("From a\n", vec![""]),
            ("From a", vec![]),
            ("From a\n\n", vec![""]),
            ("From a\nA: b\n\nx\n\nFrom b\nC: d\n\ny\n\n", vec!["A: b\n\nx\n", "C: d\n\ny\n"]),
            ("From a\r\nA: b\r\n\r\nx\r\n\r\nFrom b\r\nC: d\r\n", vec!["A: b\r\n\r\nx\r\n", "C: d\r\n"]),
            // No empty line in front: text.
            ("From a\nA: b\n\nx\nFrom here\n\n", vec!["A: b\n\nx\nFrom here\n"]),
            // Empty lines of the message's own stay.
            ("From a\nx\n\n\n\nFrom b\ny\n\n\n", vec!["x\n\n\n", "y\n\n"]),
            ("From a\n\nFrom b\n\nFrom c\nz", vec!["", "", "z"]),
            ("From a\nno line end", vec!["no line end"]),
            ("From a\n\nFrom b", vec![""]),
        ] {
            assert_eq!(messages(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn quoted_lines_lose_one_mark() {
        for (quoted, unquoted) in [
            (">From x\n", "From x\n"),
            (">>>From x\n", ">>From x\n"),
            (">Fro\n>From\n>>\n> From \n", ">Fro\n>From\n>>\n> From \n"),
            ("x>From \n", "x>From \n"),
            (">From ", "From "),
            (">>Fro", ">>Fro"),
            (">", ">"),
            ("\n\n>>From a\n>>Fxom\n", "\n\n>From a\n>>Fxom\n"),
        ] {
            assert_eq!(messages(format!("From a\n{quoted}").as_bytes()), [unquoted], "{quoted:?}");
        }
    }

    #[test]
    fn what_an_mbox_begins_with() {
        assert!(is_mbox(b"From a@x Mon Jan  1 12:00:00 2024\n"));
        assert!(!is_mbox(b"From: a@x\n") && !is_mbox(b"Fro") && !is_mbox(b"\nFrom a\n"));
    }

    /// As a program does that puts messages into an mbox.
    fn packed(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut mbox = Vec::new();
        for message in messages {
            mbox.extend_from_slice(b"From somebody\n");
            for line in message.split_inclusive(|octet| *octet == b'\n') {
                let behind = line.iter().position(|octet| *octet != b'>').unwrap_or(line.len());
                if line[behind..].starts_with(SEPARATOR) {
                    mbox.push(b'>');
                }
                mbox.extend_from_slice(line);
            }
            mbox.push(b'\n');
        }
        mbox
    }

    /// Lines in which everything happens that matters here.
    fn message() -> impl Strategy<Value = Vec<u8>> {
        let word = proptest::sample::select(vec![">", ">>", "From ", "From", "F", "\n", "\n\n", "x", "\r\n"]);
        proptest::collection::vec(word, 0..12).prop_map(|words| (words.concat() + "\n").into_bytes())
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_out(messages in proptest::collection::vec(message(), 0..6), cut in 1_usize..40) {
            let octets = packed(&messages);
            let (found, file) = mbox(&octets);
            prop_assert_eq!(found.len(), messages.len());
            for (place, message) in messages.iter().enumerate() {
                let mut read = Vec::new();
                found.message(place, &file).unwrap().read_to_end(&mut read).unwrap();
                prop_assert_eq!(&read, message);
            }
            // However it comes in pieces.
            let mut scanner = Scanner::default();
            octets.chunks(cut).for_each(|piece| scanner.take(piece));
            prop_assert_eq!(scanner.finish(), found.messages);
        }
    }
}
