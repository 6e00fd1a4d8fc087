//! Conversations in files, in the notation of RFC 5321, D: `C:` what the client says, `S:` what the server answers.
//!
//! ```text
//! # The title. Other comments say what there is to learn from the conversation.
//!
//! S: 220 mx.example.org ESMTP ready
//! C: QUIT
//! S: 221 2.0.0 Goodbye
//! ```
//!
//! One notation for three uses: a person writes it and a document prints it, the [recorder](crate::recorder) writes what
//! went over the wire, and a [replay](crate::replay) holds the conversation again. So any octets can be said in it:
//!
//! * A line of the file is a line on the wire and has CRLF behind it there. One space behind `C:` or `S:` belongs to the
//!   notation, the others to what is said.
//! * Letters of all languages stand as they are (UTF-8). Every other octet, control characters among them, is written
//!   `\xNN`, and a backslash `\\`.
//! * A lone backslash at the end says that no CRLF follows: what is said next goes on in the same line. So long lines can
//!   be broken, and a chunk (RFC 3030) may end where it likes.
//! * `C:` lines that stand together are sent in one piece.
//! * A line that begins with `==` ends the connection and begins another; what is behind it is for people. The first one
//!   may do without.
//! * Lines that begin with `#` are comments, the first of them is the title. They change nothing, nor do empty lines.
//!
//! The lines of the server must be whole replies. `...` at the end of one stands for whatever comes there, where texts are
//! compared at all.
//!
//! A file may be of any size: it is looked at once from end to end, so that a mistake is found before anybody is called,
//! and then read again step by step. No more of it is in memory than one line ([`LINE_OCTETS`]) or one reply.

mod notation;

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::Path;

use smtp_proto::reply::Reply;
use smtp_proto::reply_parser::{ReplyError, ReplyParser};

use crate::content::nameless_file;

pub use notation::write_line;

/// Octets of one line of a file. What is longer on the wire can be broken with a backslash.
pub const LINE_OCTETS: usize = 1 << 20;

/// A conversation that is known to be in the notation.
#[derive(Debug)]
pub struct Dialogue<R> {
    input: R,
    title: Option<String>,
}

/// What happens next in a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Another connection.
    Connect,
    /// The client says these octets: one line, with CRLF if it has one.
    Say(Vec<u8>),
    /// The server answers.
    Hear(Expected),
}

/// A reply as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Its lines without CRLF.
    pub lines: Vec<Vec<u8>>,
    /// The same as a reply.
    pub reply: Reply,
}

/// Why a file is not in the notation.
#[derive(Debug)]
pub struct DialogueError {
    /// Where: the first line is 1.
    pub line: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a line.
#[derive(Debug)]
pub enum Problem {
    /// It cannot be read.
    Io(io::Error),
    /// It is longer than [`LINE_OCTETS`].
    TooLong,
    /// Nobody says it.
    NobodySpeaks,
    /// It holds octets that are no UTF-8.
    NotUtf8,
    /// It holds a control character.
    Control(char),
    /// It holds a backslash that means nothing.
    Backslash,
    /// It is no part of a reply.
    NoReply(ReplyError),
    /// Something else comes before the last line of a reply, or before its CRLF.
    HalfAReply,
}

impl Dialogue<File> {
    /// A conversation in a file. A pipe or device is read to its end first, into a nameless file.
    pub fn open(path: &Path) -> Result<Self, DialogueError> {
        Dialogue::read(readable_twice(path).map_err(|error| Problem::Io(error).at(1))?)
    }
}

impl<R: Read + Seek> Dialogue<R> {
    /// Looks at a conversation from end to end.
    pub fn read(input: R) -> Result<Self, DialogueError> {
        let mut dialogue = Dialogue { input, title: None };
        let mut steps = dialogue.steps()?;
        for step in &mut steps {
            step?;
        }
        dialogue.title = steps.title;
        Ok(dialogue)
    }

    /// The first comment, if there is one.
    pub fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    /// The conversation step by step, each with the line in which it begins.
    pub fn steps(&mut self) -> Result<Steps<&mut R>, DialogueError> {
        self.input.rewind().map_err(|error| Problem::Io(error).at(1))?;
        Ok(Steps { input: BufReader::new(&mut self.input), line: 0, title: None, reply: None })
    }
}

/// A file that can be read again from its beginning.
fn readable_twice(path: &Path) -> io::Result<File> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    // Files that the kernel makes up have no length, and are made anew each time.
    if metadata.is_file() && metadata.len() > 0 {
        return Ok(file);
    }
    let mut copy = nameless_file()?;
    io::copy(&mut file, &mut copy)?;
    Ok(copy)
}

/// Reads a conversation step by step.
#[derive(Debug)]
pub struct Steps<R> {
    input: BufReader<R>,
    /// The number of the line that was read last.
    line: usize,
    title: Option<String>,
    /// A reply of which the last line has not been read yet.
    reply: Option<HalfReply>,
}

#[derive(Debug, Default)]
struct HalfReply {
    first_line: usize,
    lines: Vec<Vec<u8>>,
    parser: ReplyParser,
}

impl<R: Read> Iterator for Steps<R> {
    type Item = Result<(usize, Step), DialogueError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().map_err(|problem| problem.at(self.line)).transpose()
    }
}

impl<R: Read> Steps<R> {
    fn step(&mut self) -> Result<Option<(usize, Step)>, Problem> {
        while let Some(line) = self.read_line()? {
            if line.is_empty() {
                continue;
            }
            if let Some(comment) = line.strip_prefix('#') {
                self.title.get_or_insert_with(|| comment.trim().to_owned());
                continue;
            }
            if let Some(text) = line.strip_prefix("S:") {
                let octets = notation::read(text)?;
                match self.handle_reply_line(&octets)? {
                    Some(step) => return Ok(Some(step)),
                    None => continue,
                }
            }
            if self.reply.is_some() {
                return Err(Problem::HalfAReply);
            }
            if let Some(text) = line.strip_prefix("C:") {
                return Ok(Some((self.line, Step::Say(notation::read(text)?))));
            }
            return if line.starts_with("==") {
                Ok(Some((self.line, Step::Connect)))
            } else {
                Err(Problem::NobodySpeaks)
            };
        }
        if self.reply.is_some() { Err(Problem::HalfAReply) } else { Ok(None) }
    }

    /// The next line without its end, which is LF or CRLF.
    fn read_line(&mut self) -> Result<Option<String>, Problem> {
        let mut octets = Vec::new();
        let limit = LINE_OCTETS as u64 + 1;
        if self.input.by_ref().take(limit).read_until(b'\n', &mut octets).map_err(Problem::Io)? == 0 {
            return Ok(None);
        }
        self.line += 1;
        if octets.len() > LINE_OCTETS {
            return Err(Problem::TooLong);
        }
        let line = octets.strip_suffix(b"\n").unwrap_or(&octets);
        let length = line.strip_suffix(b"\r").unwrap_or(line).len();
        octets.truncate(length);
        String::from_utf8(octets).map(Some).map_err(|_| Problem::NotUtf8)
    }

    /// Returns the reply once it is whole. Its bounds are those of the parser that reads what a server says.
    fn handle_reply_line(&mut self, octets: &[u8]) -> Result<Option<(usize, Step)>, Problem> {
        let text = octets.strip_suffix(b"\r\n").ok_or(Problem::HalfAReply)?;
        let first_line = self.line;
        let half = self.reply.get_or_insert_with(|| HalfReply { first_line, ..HalfReply::default() });
        half.lines.push(text.to_vec());
        let (used, reply) = half.parser.handle(octets).map_err(Problem::NoReply)?;
        if used < octets.len() {
            return Err(Problem::NoReply(ReplyError::BareLineFeed));
        }
        Ok(reply.and_then(|reply| {
            let half = self.reply.take()?;
            Some((half.first_line, Step::Hear(Expected { lines: half.lines, reply })))
        }))
    }
}

impl Problem {
    fn at(self, line: usize) -> DialogueError {
        DialogueError { line, problem: self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Io(error) => error.fmt(f),
            Problem::TooLong => write!(f, "the line is longer than {LINE_OCTETS} octets; break it with \\ at its end"),
            Problem::NobodySpeaks => f.write_str("the line begins neither with C: nor with S:, ==, or #"),
            Problem::NotUtf8 => f.write_str("the line is not UTF-8; write other octets as \\xNN"),
            Problem::Control(character) => {
                write!(f, "a control character; write \\x{:02x}", u32::from(*character))
            }
            Problem::Backslash => f.write_str("a backslash begins \\xNN or is written \\\\"),
            Problem::NoReply(error) => write!(f, "not a reply: {error}"),
            Problem::HalfAReply => f.write_str("the reply is not complete"),
        }
    }
}

impl fmt::Display for DialogueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

impl std::error::Error for DialogueError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            Problem::Io(error) => Some(error),
            Problem::NoReply(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
