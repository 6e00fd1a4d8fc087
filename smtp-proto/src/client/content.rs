//! Content on its way out: with dots behind DATA, or as one chunk whose size was announced.

use std::fmt;

use crate::content::{BareCarriageReturn, ContentEncoder};

/// Content that is being sent.
#[derive(Clone, Debug)]
pub(super) struct OutgoingContent {
    encoder: ContentEncoder,
    end: End,
}

/// What tells the server where the content ends.
#[derive(Clone, Debug)]
enum End {
    Dot,
    /// The count of octets, so not one more and not one less may be sent. The last of them is held back until the content
    /// is finished, as the dot would be: so no server has all of it, and an answer to it, before we say so.
    Count {
        announced: u64,
        written: u64,
        held: Option<u8>,
    },
}

/// Why content must not go out. It can never be made good again, since a part of it may have been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentError {
    /// It holds a CR that no LF follows.
    BareCarriageReturn(BareCarriageReturn),
    /// It is longer or shorter than the server was told (RFC 3030, 2: "Correct byte counting is essential").
    OtherSize {
        /// What the server was told.
        announced: u64,
    },
}

impl fmt::Display for ContentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ContentError::BareCarriageReturn(error) => error.fmt(f),
            ContentError::OtherSize { announced } => {
                write!(f, "the message has not the {announced} octets that were announced")
            }
        }
    }
}

impl std::error::Error for ContentError {}

impl From<BareCarriageReturn> for ContentError {
    fn from(error: BareCarriageReturn) -> Self {
        ContentError::BareCarriageReturn(error)
    }
}

impl OutgoingContent {
    pub(super) fn until_dot() -> Self {
        OutgoingContent { encoder: ContentEncoder::default(), end: End::Dot }
    }

    /// One chunk, whose BDAT line stands at the end of `output`. Where nothing follows, that line is what is held back.
    pub(super) fn of_size(announced: u64, output: &mut Vec<u8>) -> Self {
        let held = if announced == 0 { output.pop() } else { None };
        OutgoingContent { encoder: ContentEncoder::for_chunk(), end: End::Count { announced, written: 0, held } }
    }

    pub(super) fn write(&mut self, octets: &[u8], output: &mut Vec<u8>) -> Result<(), ContentError> {
        let before = output.len();
        self.encoder.encode(octets, output)?;
        self.end.count(before, output)
    }

    pub(super) fn finish(mut self, output: &mut Vec<u8>) -> Result<(), ContentError> {
        let before = output.len();
        self.encoder.finish(output)?;
        self.end.count(before, output)?;
        match self.end {
            End::Count { announced, written, .. } if written < announced => {
                return Err(ContentError::OtherSize { announced });
            }
            End::Count { held, .. } => output.extend(held),
            End::Dot => {}
        }
        Ok(())
    }
}

impl End {
    /// What would stand behind the chunk would be read as commands: it never gets as far as the output.
    fn count(&mut self, before: usize, output: &mut Vec<u8>) -> Result<(), ContentError> {
        let End::Count { announced, written, held } = self else { return Ok(()) };
        let added = output.len().saturating_sub(before) as u64;
        *written = written.saturating_add(added);
        if *written > *announced {
            output.truncate(before);
            return Err(ContentError::OtherSize { announced: *announced });
        }
        if *written == *announced && added > 0 {
            *held = output.pop();
        }
        Ok(())
    }
}
