//! One message that proves itself, in a file of its own or in the journal: header, content, envelope, trailer.
//!
//! ```text
//! smtp-spool 1                                            header: the kind of file and its version
//! Received: from ...                                      content: octet for octet as accepted
//! ...
//! ID 1jd0q3v8k2c-0000-7f3k9q2m0000001                     envelope: the name of the message,
//! DUE KEPT                                                  when it is to be delivered,
//! RECEIVED 1763880000                                       and what `Envelope` prints
//! MAIL FROM:<alice@example.org>
//! RCPT TO:<bob@example.net>
//! LENGTHS 00000000000003e8 0000009c CRC32 0a1b2c3d END    trailer: lengths of content and envelope, checksum, end mark
//! ```
//!
//! Each line ends in CRLF. Header and trailer have fixed lengths, so the content starts at a fixed place and can be
//! written before the envelope is known, and a reader finds everything from the two ends of the file. The checksum
//! covers all octets before it. Content may hold anything: nobody looks for the envelope by reading through it.

use std::fmt::{self, Write as _};
use std::io;
use std::sync::Arc;

use crc32fast::Hasher;

use crate::disk::{Access, Disk, Folder};
use crate::envelope::Envelope;
use crate::error::{ReadError, StoreError};
use crate::hex;
use crate::id::MessageId;
use crate::journal::Place;
use crate::store::Due;
use crate::window::{WINDOW_OCTETS, Window};

/// The first octets of every message file. A new version gets a new number.
pub(crate) const HEADER: &[u8; 14] = b"smtp-spool 1\r\n";

/// Octets of the trailer.
const TRAILER_OCTETS: usize = "LENGTHS 0000000000000000 00000000 CRC32 00000000 END\r\n".len();

/// What stands behind the content of a message for one or two recipients has some 200.
const USUAL_CLOSING_OCTETS: usize = 256;

/// What stands behind the checksum.
const END: &str = " END\r\n";

/// Octets of the checksum and of what stands behind it.
const CHECKSUM_AND_END_OCTETS: usize = "00000000".len() + END.len();

/// Octets of the envelope. One thousand recipients with lines of the greatest length need 2 MiB.
const ENVELOPE_OCTETS: usize = 16 << 20;

/// Everything behind the content. `hasher` has seen header and content. `None` if the envelope could not be read back
/// from it: what nobody can read must not be acknowledged.
pub(crate) fn closing(
    mut hasher: Hasher,
    content_octets: u64,
    id: &MessageId,
    due: Due,
    envelope: &Envelope,
) -> Option<Vec<u8>> {
    let mut text = String::with_capacity(USUAL_CLOSING_OCTETS);
    // A String takes whatever is written to it.
    let _ = write!(text, "ID {id}\r\nDUE {due}\r\n");
    let printed_from = text.len();
    let _ = write!(text, "{envelope}");
    if text.len() > ENVELOPE_OCTETS || !envelope.is_read_from(text.get(printed_from..)?) {
        return None;
    }
    let envelope_octets = text.len();
    push_lengths(&mut text, content_octets, envelope_octets);
    hasher.update(text.as_bytes());
    push_checksum_and_end(&mut text, hasher.finalize());
    Some(text.into_bytes())
}

/// The envelope does not fit [`closing`].
pub(crate) fn unstorable(id: &MessageId) -> StoreError {
    let source = io::Error::new(io::ErrorKind::InvalidInput, "the envelope cannot be written so that it can be read");
    StoreError::from_io(format!("storing message {id}"), source)
}

fn push_lengths(text: &mut String, content_octets: u64, envelope_octets: usize) {
    text.push_str("LENGTHS ");
    hex::push(text, content_octets, 16);
    text.push(' ');
    hex::push(text, envelope_octets as u64, 8);
    text.push_str(" CRC32 ");
}

fn push_checksum_and_end(text: &mut String, checksum: u32) {
    hex::push(text, checksum.into(), 8);
    text.push_str(END);
}

/// An open message whose two ends have been looked at.
pub(crate) struct MessageFile {
    window: Window,
    /// Where in the file it begins: at 0 in a file of its own.
    begin: u64,
    layout: Layout,
}

/// What a message says of itself.
pub(crate) struct Layout {
    pub(crate) id: MessageId,
    /// When it is to be delivered.
    pub(crate) due: Due,
    /// Who it is from and for.
    pub(crate) envelope: Envelope,
    /// Octets of the content.
    pub(crate) content_octets: u64,
    /// Octets of all of it.
    pub(crate) octets: u64,
    checksum: u32,
}

impl MessageFile {
    /// Opens the message with this id that has a file of its own.
    pub(crate) fn open(disk: &dyn Disk, id: &MessageId) -> Result<Self, ReadError> {
        MessageFile::open_in(disk, Folder::New, id)
    }

    /// The same in another folder. In the maildrop others may have put anything: what is no plain file, or does not begin as
    /// a message does, is none.
    pub(crate) fn open_in(disk: &dyn Disk, folder: Folder, id: &MessageId) -> Result<Self, ReadError> {
        let opened = disk.open(&folder.entry(id.as_str()), Access::Read);
        if folder == Folder::Maildrop && opened.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::InvalidData)
        {
            return Err(ReadError::Missing);
        }
        let mut window = Window::new(opened?)?;
        if folder == Folder::Maildrop && !begins_as_message(&mut window)? {
            return Err(ReadError::Missing);
        }
        let octets = window.end();
        MessageFile::of(window, 0, octets, id)
    }

    /// Opens the message with this id that lies in the journal.
    pub(crate) fn open_at(disk: &dyn Disk, place: &Place, id: &MessageId) -> Result<Self, ReadError> {
        let window = Window::up_to(disk.open(&place.segment.entry(), Access::Read)?, place.end());
        MessageFile::of(window, place.begin, place.octets, id)
    }

    fn of(mut window: Window, begin: u64, octets: u64, id: &MessageId) -> Result<Self, ReadError> {
        let layout = Layout::read(&mut window, begin, octets)?;
        if layout.id != *id {
            return Err(ReadError::Corrupt("it is another message"));
        }
        Ok(MessageFile { window, begin, layout })
    }

    /// What it says of itself.
    pub(crate) fn into_layout(self) -> Layout {
        self.layout
    }

    /// Reads the whole message and compares the checksum.
    pub(crate) fn verify(&mut self) -> Result<(), ReadError> {
        self.layout.verify(&mut self.window, self.begin)
    }

    /// The message, and that it is whole.
    pub(crate) fn verified(mut self) -> Result<Self, ReadError> {
        self.verify()?;
        Ok(self)
    }

    /// The content, if it has no more octets than this and can be read.
    pub(crate) fn short_content(&mut self, most_octets: usize) -> Option<Arc<[u8]>> {
        let octets = usize::try_from(self.layout.content_octets).ok().filter(|octets| *octets <= most_octets)?;
        self.window.read(self.begin + HEADER.len() as u64, octets).ok().map(Arc::from)
    }

    /// The content, to be read from its start.
    pub(crate) fn into_content(self) -> Content {
        let left = self.layout.content_octets;
        Content(Source::File { window: self.window, offset: self.begin + HEADER.len() as u64, left })
    }

    /// All of it, as it would stand in a file of its own.
    pub(crate) fn into_octets(self) -> Content {
        let left = self.layout.octets;
        Content(Source::File { window: self.window, offset: self.begin, left })
    }
}

impl Layout {
    /// Reads everything but the content of a message that has so many octets, and checks that it fits together.
    pub(crate) fn read(window: &mut Window, begin: u64, octets: u64) -> Result<Self, ReadError> {
        let frame_octets = (HEADER.len() + TRAILER_OCTETS) as u64;
        if octets < frame_octets {
            return Err(ReadError::Corrupt("it is too short"));
        }
        if window.read(begin, HEADER.len())? != HEADER {
            return Err(ReadError::Corrupt("the header is missing or of another version"));
        }
        let trailer = window.read(begin + octets - TRAILER_OCTETS as u64, TRAILER_OCTETS)?;
        let Some((content_octets, envelope_octets, checksum)) = parse_trailer(trailer) else {
            return Err(ReadError::Corrupt("the end mark is missing"));
        };
        let body_octets = content_octets.checked_add(envelope_octets as u64);
        if envelope_octets > ENVELOPE_OCTETS || body_octets != Some(octets - frame_octets) {
            return Err(ReadError::Corrupt("the lengths do not add up"));
        }
        let block = window.read(begin + HEADER.len() as u64 + content_octets, envelope_octets)?;
        let (id, due, envelope) = parse_block(block).ok_or(ReadError::Corrupt("the envelope cannot be read"))?;
        Ok(Layout { id, due, envelope, content_octets, octets, checksum })
    }

    /// Reads the whole message and compares the checksum.
    pub(crate) fn verify(&self, window: &mut Window, begin: u64) -> Result<(), ReadError> {
        let mut left = self.octets - CHECKSUM_AND_END_OCTETS as u64;
        let (mut hasher, mut offset) = (Hasher::new(), begin);
        while left > 0 {
            let octets = left.min(WINDOW_OCTETS as u64);
            hasher.update(window.read(offset, octets as usize)?);
            offset += octets;
            left -= octets;
        }
        if hasher.finalize() == self.checksum { Ok(()) } else { Err(ReadError::Corrupt("the checksum differs")) }
    }
}

/// Content octets, the checksum, from a trailer that is exactly as it would be printed.
fn parse_trailer(trailer: &[u8]) -> Option<(u64, usize, u32)> {
    let text = std::str::from_utf8(trailer).ok()?;
    let number = |from: usize, digits: usize| u64::from_str_radix(text.get(from..from + digits)?, 16).ok();
    let (content_octets, envelope_octets) = (number(8, 16)?, usize::try_from(number(25, 8)?).ok()?);
    let checksum = u32::try_from(number(40, 8)?).ok()?;
    let mut printed = String::with_capacity(TRAILER_OCTETS);
    push_lengths(&mut printed, content_octets, envelope_octets);
    push_checksum_and_end(&mut printed, checksum);
    (printed == text).then_some((content_octets, envelope_octets, checksum))
}

/// The envelope block of a message.
fn parse_block(block: &[u8]) -> Option<(MessageId, Due, Envelope)> {
    let text = std::str::from_utf8(block).ok()?;
    let (id, text) = text.strip_prefix("ID ")?.split_once("\r\nDUE ")?;
    let (due, envelope) = text.split_once("\r\n")?;
    Some((id.parse().ok()?, parse_due(due)?, Envelope::parse(envelope).ok()?))
}

fn parse_due(text: &str) -> Option<Due> {
    let due = match text {
        "KEPT" => Due::Kept,
        seconds => Due::At(seconds.parse().ok()?),
    };
    (due.to_string() == text).then_some(due)
}

impl fmt::Display for Due {
    /// As it stands in a message file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at() {
            None => f.write_str("KEPT"),
            Some(seconds) => write!(f, "{seconds}"),
        }
    }
}

fn begins_as_message(window: &mut Window) -> Result<bool, ReadError> {
    let length = HEADER.len();
    Ok(window.end() >= length as u64 && window.read(0, length)? == HEADER)
}

/// The content of a message, octet for octet.
pub struct Content(Source);

enum Source {
    File { window: Window, offset: u64, left: u64 },
    Memory(io::Cursor<Arc<[u8]>>),
}

impl Content {
    /// Of a message that was read already.
    pub(crate) fn held(octets: Arc<[u8]>) -> Self {
        Content(Source::Memory(io::Cursor::new(octets)))
    }
}

impl io::Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (window, offset, left) = match &mut self.0 {
            Source::File { window, offset, left } => (window, offset, left),
            Source::Memory(octets) => return octets.read(buffer),
        };
        let wanted = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
        let count = window.read_some(*offset, &mut buffer[..wanted])?;
        if count == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        *offset += count as u64;
        *left -= count as u64;
        Ok(count)
    }
}
