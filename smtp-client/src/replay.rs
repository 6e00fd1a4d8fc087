//! Holds a conversation from a file again, and finds where it goes otherwise.
//!
//! The client's part is said word for word, whatever the server answers, for as long as it answers as it did: each reply
//! is compared with the one in the file, and the first that differs ends the replay. Behind the last line the client says
//! that it is done, and the server must have nothing more to say and close.
//!
//! Nothing is understood on the way, with one exception: which line a reply belongs to, for the sake of whoever reads what
//! differs (`asked`).

mod asked;
mod deviation;

use std::io::{self, Read, Seek};
use std::time::{Duration, Instant};

use smtp_proto::client::Cause;
use smtp_proto::reply::Reply;
use smtp_proto::reply_parser::{ReplyError, ReplyParser};

use crate::connection::{ConnectError, call};
use crate::dialogue::{Dialogue, DialogueError, Expected, Step};
use crate::server_name::ServerName;
use crate::transcript::Observer;
use crate::wire::{Kind, Wire, WriteError, later};
use asked::Asked;
pub use deviation::{Deviation, Difference};

/// Octets that are written at once.
const BLOCK_OCTETS: usize = 64 * 1024;

/// How much of a reply must be as it stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Every line, up to a `...` at its end.
    Texts,
    /// The code. Texts and the number of lines may differ.
    Codes,
}

/// How a conversation is held again.
pub struct Options {
    /// How much of a reply is compared.
    pub comparison: Comparison,
    /// How long each address of the server may take to accept a connection.
    pub connect_timeout: Duration,
    /// When everything must be over. `None`: when the server likes.
    pub give_up_at: Option<Instant>,
    /// Who watches, asked for each connection.
    pub observer: Box<dyn Fn() -> Box<dyn Observer>>,
}

/// Holds a conversation with a server. Returns the number of replies, which were all as they stand in the file; otherwise
/// the first thing that was not.
pub fn play<R: Read + Seek>(
    dialogue: &mut Dialogue<R>,
    server: &ServerName,
    options: &Options,
) -> Result<usize, Deviation> {
    let mut replies = 0;
    let mut last_line = 1;
    let mut open: Option<Conversation<'_>> = None;
    for step in dialogue.steps().map_err(Deviation::in_file)? {
        let (line, step) = step.map_err(Deviation::in_file)?;
        if step == Step::Connect {
            if let Some(conversation) = open.take() {
                conversation.finish().map_err(|(stage, what)| Deviation { line: last_line, stage, what })?;
            }
            continue;
        }
        let deviation = |(stage, what)| Deviation { line, stage, what };
        let conversation = match &mut open {
            Some(conversation) => conversation,
            None => open.insert(Conversation::open(server, options).map_err(deviation)?),
        };
        match step {
            Step::Connect => {}
            Step::Say(octets) => conversation.say(&octets).map_err(deviation)?,
            Step::Hear(expected) => {
                conversation.hear(&expected).map_err(deviation)?;
                replies += 1;
            }
        }
        last_line = line;
    }
    if let Some(conversation) = open {
        conversation.finish().map_err(|(stage, what)| Deviation { line: last_line, stage, what })?;
    }
    Ok(replies)
}

/// What differs, and at which stage.
type At = (&'static str, Difference);

/// One connection.
struct Conversation<'a> {
    options: &'a Options,
    deadline: Instant,
    wire: Wire,
    /// What the client says and has not been written yet.
    piece: Vec<u8>,
    /// What the next block is.
    kind: Kind,
    /// Whether the piece began with an earlier block.
    is_under_way: bool,
    writing: Writing,
    input: Vec<u8>,
    /// Lines of a reply that is not complete yet.
    lines: Vec<u8>,
    parser: ReplyParser,
    asked: Asked,
}

/// Whether the server takes what the client says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writing {
    /// As far as is known.
    Open,
    /// Not the rest of this piece, and it has been asked why.
    CutOff,
    /// It has said why. Nothing can follow.
    Over,
}

impl<'a> Conversation<'a> {
    fn open(server: &ServerName, options: &'a Options) -> Result<Self, At> {
        let without = |error| ("connect", Difference::NoConnection(error));
        let (stream, address) = call(server, options.connect_timeout, options.give_up_at).map_err(without)?;
        let mut wire = Wire::new(stream, (options.observer)()).map_err(|error| without(ConnectError::Io(error)))?;
        wire.observer.connected(address);
        Ok(Conversation {
            options,
            deadline: options.give_up_at.unwrap_or_else(|| later(Instant::now(), Duration::MAX)),
            wire,
            piece: Vec::new(),
            kind: Kind::Commands,
            is_under_way: false,
            writing: Writing::Open,
            input: Vec::new(),
            lines: Vec::new(),
            parser: ReplyParser::default(),
            asked: Asked::default(),
        })
    }

    /// Takes a line into the piece that is sent before the next reply is heard.
    fn say(&mut self, octets: &[u8]) -> Result<(), At> {
        if self.writing == Writing::Over {
            return Err((self.asked.stage(), Difference::NotTaken));
        }
        if self.piece.is_empty() && !self.is_under_way {
            self.kind = self.asked.kind_of_piece(octets);
        }
        self.asked.handle_said(octets);
        self.piece.extend_from_slice(octets);
        if self.piece.len() >= BLOCK_OCTETS {
            self.write_block();
            self.is_under_way = true;
        }
        Ok(())
    }

    /// A server that reads no more may have said why, and what it said is the result, not our broken pipe.
    fn write_block(&mut self) {
        let is_content = self.kind != Kind::Commands;
        if is_content && self.is_under_way && self.is_answered() {
            self.writing = Writing::CutOff;
        }
        let block = std::mem::take(&mut self.piece);
        if block.is_empty() || self.writing != Writing::Open {
            return;
        }
        match self.wire.write(&block, self.kind, self.deadline) {
            Ok(()) if is_content => self.kind = Kind::Content,
            Ok(()) => {}
            Err(WriteError::Broken(error)) => {
                log::debug!("write: {error}");
                self.writing = Writing::CutOff;
            }
            Err(WriteError::Answered | WriteError::Timeout) => self.writing = Writing::CutOff,
        }
    }

    /// Whether the server answers, or leaves, before the end of the content.
    fn is_answered(&mut self) -> bool {
        !matches!(self.wire.read_waiting(&mut self.input), Ok(None))
    }

    fn hear(&mut self, expected: &Expected) -> Result<(), At> {
        self.write_block();
        self.is_under_way = false;
        let heard = self.listen();
        let stage = self.asked.stage();
        let (lines, reply) = heard.map_err(|cause| {
            let expected = self.options.comparison.shown(&expected.reply);
            (stage, Difference::Silence { expected, cause: cause.into() })
        })?;
        self.asked.handle_reply(reply.code());
        if !self.options.comparison.is_same(expected, &lines, &reply) {
            let expected = self.options.comparison.shown(&expected.reply);
            return Err((stage, Difference::Reply { expected, heard: reply }));
        }
        if self.writing == Writing::CutOff {
            self.writing = Writing::Over;
        }
        Ok(())
    }

    /// The next reply, and its lines as they came.
    fn listen(&mut self) -> Result<(Vec<u8>, Reply), Silence> {
        loop {
            let (used, reply) = self.parser.handle(&self.input).map_err(Silence::NoReply)?;
            self.lines.extend(self.input.drain(..used));
            if let Some(reply) = reply {
                return Ok((std::mem::take(&mut self.lines), reply));
            }
            match self.wire.read(&mut self.input, self.deadline) {
                Ok(0) if self.input.is_empty() && self.lines.is_empty() => return Err(Silence::Closed),
                Ok(0) => return Err(Silence::Lost),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(Silence::Timeout),
                Err(error) => {
                    log::debug!("read: {error}");
                    return Err(Silence::Lost);
                }
            }
        }
    }

    /// The client is done; so must the server be.
    fn finish(mut self) -> Result<(), At> {
        self.write_block();
        self.wire.finish_writing();
        match self.listen() {
            Err(Silence::Closed) => Ok(()),
            Err(silence) => Err(("end", Difference::NotClosed(silence.into()))),
            Ok((_, reply)) => Err((self.asked.stage(), Difference::OneMore(reply))),
        }
    }
}

impl Drop for Conversation<'_> {
    fn drop(&mut self) {
        self.wire.observer.closed();
    }
}

/// Why there is no reply.
enum Silence {
    /// The server closed in order, between two replies.
    Closed,
    /// The connection broke, or the server closed in the middle of a reply.
    Lost,
    Timeout,
    NoReply(ReplyError),
}

impl From<Silence> for Cause {
    fn from(silence: Silence) -> Self {
        match silence {
            Silence::Closed | Silence::Lost => Cause::ConnectionLost,
            Silence::Timeout => Cause::Timeout,
            Silence::NoReply(error) => Cause::Reply(error),
        }
    }
}

impl Deviation {
    /// It was whole when it was looked at, so it has changed since.
    fn in_file(error: DialogueError) -> Self {
        Deviation { line: error.line, stage: "file", what: Difference::File(error) }
    }
}

impl Comparison {
    fn is_same(self, expected: &Expected, lines: &[u8], reply: &Reply) -> bool {
        match self {
            Comparison::Codes => expected.reply.code() == reply.code(),
            Comparison::Texts => {
                let lines: Vec<&[u8]> = lines.split_inclusive(|octet| *octet == b'\n').collect();
                let is_like = |(line, expected): (&&[u8], &Vec<u8>)| {
                    let line = line.strip_suffix(b"\r\n").unwrap_or(line);
                    expected.strip_suffix(b"...").map_or(line == expected, |start| line.starts_with(start))
                };
                lines.len() == expected.lines.len() && lines.iter().zip(&expected.lines).all(is_like)
            }
        }
    }

    /// As much of a reply as is compared.
    fn shown(self, reply: &Reply) -> String {
        match self {
            Comparison::Codes => reply.code().to_string(),
            Comparison::Texts => reply.to_string(),
        }
    }
}
