//! One message in one file that proves itself: header, content, envelope, trailer.
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

use std::fmt;
use std::io;

use crc32fast::Hasher;

use crate::disk::{Access, Disk, DiskFile, Folder};
use crate::envelope::Envelope;
use crate::error::{ReadError, StoreError};
use crate::id::MessageId;
use crate::store::Due;

/// The first octets of every message file. A new version gets a new number.
pub(crate) const HEADER: &[u8; 14] = b"smtp-spool 1\r\n";

/// Octets of the trailer.
const TRAILER_OCTETS: usize = "LENGTHS 0000000000000000 00000000 CRC32 00000000 END\r\n".len();

/// Octets of the envelope. One thousand recipients with lines of the greatest length need 2 MiB.
const ENVELOPE_OCTETS: usize = 16 << 20;

/// Octets that are read at once.
const CHUNK_OCTETS: usize = 64 << 10;

/// Everything behind the content. `hasher` has seen header and content. `None` if the envelope could not be read back
/// from it: what nobody can read must not be acknowledged.
pub(crate) fn closing(
    mut hasher: Hasher,
    content_octets: u64,
    id: &MessageId,
    due: Due,
    envelope: &Envelope,
) -> Option<Vec<u8>> {
    let mut text = format!("ID {id}\r\nDUE {due}\r\n{envelope}");
    if text.len() > ENVELOPE_OCTETS || !envelope.is_storable() {
        return None;
    }
    let envelope_octets = text.len();
    text.push_str(&lengths(content_octets, envelope_octets));
    hasher.update(text.as_bytes());
    text.push_str(&checksum_and_end(hasher.finalize()));
    Some(text.into_bytes())
}

/// The envelope does not fit [`closing`].
pub(crate) fn unstorable(id: &MessageId) -> StoreError {
    let source = io::Error::new(io::ErrorKind::InvalidInput, "the envelope cannot be written so that it can be read");
    StoreError::from_io(format!("storing message {id}"), source)
}

fn lengths(content_octets: u64, envelope_octets: usize) -> String {
    format!("LENGTHS {content_octets:016x} {envelope_octets:08x} CRC32 ")
}

fn checksum_and_end(checksum: u32) -> String {
    format!("{checksum:08x} END\r\n")
}

/// An open message file whose two ends have been looked at.
pub(crate) struct MessageFile {
    file: Box<dyn DiskFile>,
    /// When it is to be delivered.
    pub(crate) due: Due,
    /// Who it is from and for.
    pub(crate) envelope: Envelope,
    /// Octets of the content.
    pub(crate) content_octets: u64,
    /// Octets of the whole file.
    pub(crate) file_octets: u64,
    checksum: u32,
}

impl MessageFile {
    /// Opens the message with this id.
    pub(crate) fn open(disk: &dyn Disk, id: &MessageId) -> Result<Self, ReadError> {
        MessageFile::open_in(disk, Folder::New, id)
    }

    /// The same in another folder. In the maildrop others may have put anything: what is no plain file, or does not begin as
    /// a message does, is none.
    pub(crate) fn open_in(disk: &dyn Disk, folder: Folder, id: &MessageId) -> Result<Self, ReadError> {
        let opened = disk.open(&folder.entry(id.as_str()), Access::Read);
        if folder == Folder::Maildrop {
            let is_other = match &opened {
                Ok(file) => !begins_as_message(&**file)?,
                Err(error) => error.kind() == io::ErrorKind::InvalidData,
            };
            if is_other {
                return Err(ReadError::Missing);
            }
        }
        MessageFile::of(opened?, id)
    }

    /// Reads everything but the content, and checks that it fits together.
    fn of(file: Box<dyn DiskFile>, id: &MessageId) -> Result<Self, ReadError> {
        let file_octets = file.length()?;
        let frame_octets = (HEADER.len() + TRAILER_OCTETS) as u64;
        if file_octets < frame_octets {
            return Err(ReadError::Corrupt("it is too short"));
        }
        if read_exactly(&*file, 0, HEADER.len())? != HEADER {
            return Err(ReadError::Corrupt("the header is missing or of another version"));
        }
        let trailer = read_exactly(&*file, file_octets - TRAILER_OCTETS as u64, TRAILER_OCTETS)?;
        let Some((content_octets, envelope_octets, checksum)) = parse_trailer(&trailer) else {
            return Err(ReadError::Corrupt("the end mark is missing"));
        };
        let body_octets = content_octets.checked_add(envelope_octets as u64);
        if envelope_octets > ENVELOPE_OCTETS || body_octets != Some(file_octets - frame_octets) {
            return Err(ReadError::Corrupt("the lengths do not add up"));
        }
        let block = read_exactly(&*file, HEADER.len() as u64 + content_octets, envelope_octets)?;
        let (due, envelope) = parse_block(&block, id).ok_or(ReadError::Corrupt("the envelope cannot be read"))?;
        Ok(MessageFile { file, due, envelope, content_octets, file_octets, checksum })
    }

    /// Reads the whole file and compares the checksum.
    pub(crate) fn verify(&self) -> Result<(), ReadError> {
        let end = self.file_octets - checksum_and_end(0).len() as u64;
        let mut hasher = Hasher::new();
        let mut offset = 0;
        while offset < end {
            let length = (end - offset).min(CHUNK_OCTETS as u64) as usize;
            hasher.update(&read_exactly(&*self.file, offset, length)?);
            offset += length as u64;
        }
        if hasher.finalize() == self.checksum { Ok(()) } else { Err(ReadError::Corrupt("the checksum differs")) }
    }

    /// The content, to be read from its start.
    pub(crate) fn into_content(self) -> Content {
        Content { file: self.file, offset: HEADER.len() as u64, left: self.content_octets }
    }
}

/// Content octets, the checksum, from a trailer that is exactly as it would be printed.
fn parse_trailer(trailer: &[u8]) -> Option<(u64, usize, u32)> {
    let text = std::str::from_utf8(trailer).ok()?;
    let number = |from: usize, digits: usize| u64::from_str_radix(text.get(from..from + digits)?, 16).ok();
    let (content_octets, envelope_octets) = (number(8, 16)?, usize::try_from(number(25, 8)?).ok()?);
    let checksum = u32::try_from(number(40, 8)?).ok()?;
    let mut printed = lengths(content_octets, envelope_octets);
    printed.push_str(&checksum_and_end(checksum));
    (printed == text).then_some((content_octets, envelope_octets, checksum))
}

/// The envelope block of the message with this id.
fn parse_block(block: &[u8], id: &MessageId) -> Option<(Due, Envelope)> {
    let text = std::str::from_utf8(block).ok()?;
    let text = text.strip_prefix("ID ")?.strip_prefix(id.as_str())?.strip_prefix("\r\nDUE ")?;
    let (due, envelope) = text.split_once("\r\n")?;
    Some((parse_due(due)?, Envelope::parse(envelope).ok()?))
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

/// Reads `length` octets, which are there: the file is that long and message files do not shrink.
fn begins_as_message(file: &dyn DiskFile) -> Result<bool, ReadError> {
    let length = HEADER.len();
    Ok(file.length()? >= length as u64 && read_exactly(file, 0, length)? == HEADER)
}

fn read_exactly(file: &dyn DiskFile, offset: u64, length: usize) -> Result<Vec<u8>, ReadError> {
    let mut octets = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(offset + filled as u64, &mut octets[filled..]) {
            Ok(0) => return Err(ReadError::Corrupt("it is shorter than it was")),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ReadError::Failed(error)),
        }
    }
    Ok(octets)
}

/// The content of a message, octet for octet.
pub struct Content {
    file: Box<dyn DiskFile>,
    offset: u64,
    left: u64,
}

impl io::Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(self.offset, &mut buffer[..wanted])?;
        if count == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
