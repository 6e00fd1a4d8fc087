//! One connection of a replay: says what it is told to say, hears what it is told to expect, and ends.

use std::io;
use std::time::{Duration, Instant};

use smtp_proto::client::Cause;
use smtp_proto::reply::Reply;
use smtp_proto::reply_parser::{ReplyError, ReplyParser};

use super::asked::Asked;
use super::{At, Difference, Options};
use crate::connection::{ConnectError, call};
use crate::dialogue::Expected;
use crate::server_name::ServerName;
use crate::wire::{Kind, Wire, WriteError, later};

/// Octets that are written at once.
const BLOCK_OCTETS: usize = 64 * 1024;

/// It is over when this is dropped, in whatever way.
pub(super) struct Conversation<'a> {
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
    pub(super) fn open(server: &ServerName, options: &'a Options) -> Result<Self, At> {
        let without = |error| ("connect", Difference::NoConnection(error));
        let (stream, peer) = call(server, options.connect_timeout, options.give_up_at).map_err(without)?;
        let mut wire = Wire::new(stream, (options.observer)()).map_err(|error| without(ConnectError::Io(error)))?;
        wire.observer.connected(&peer);
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
    pub(super) fn say(&mut self, octets: &[u8]) -> Result<(), At> {
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
        // Where more has been asked than the end of this, replies may come before it.
        let kind = if self.asked.outstanding() > 1 { Kind::Commands } else { self.kind };
        if kind != Kind::Commands && self.is_under_way && self.is_answered() {
            self.writing = Writing::CutOff;
        }
        let block = std::mem::take(&mut self.piece);
        if block.is_empty() || self.writing != Writing::Open {
            return;
        }
        match self.wire.write(&block, kind, self.deadline) {
            Ok(()) if self.kind == Kind::Chunk => self.kind = Kind::Content,
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

    pub(super) fn hear(&mut self, expected: &Expected) -> Result<(), At> {
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
    pub(super) fn finish(mut self) -> Result<(), At> {
        self.write_block();
        if self.writing == Writing::Open && self.asked.is_in_content() {
            log::warn!("the conversation ends in the middle of a message; perhaps it was not recorded to its end");
        }
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
