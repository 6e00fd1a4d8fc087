//! The content of a message, ready to be sent as often as it takes.
//!
//! It is looked at once from end to end before anybody is called. What cannot travel is refused there, with a reason, and
//! what the server will want to know (how large, 8-bit or not) is known. A message that is not a file already goes to a
//! nameless temporary file when it is large; none is ever held in memory whole.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use smtp_proto::content::{BareCarriageReturn, ContentEncoder};

use crate::header::{self, Header};
use crate::positioned_reader::PositionedReader;

/// Octets of a message that may wait in memory.
const MEMORY_OCTETS: usize = 1 << 20;

/// Octets of it that are read at once, and at most so many are written at once.
pub(crate) const BLOCK_OCTETS: usize = 64 * 1024;

/// A message whose content is known to be fit for sending.
#[derive(Debug)]
pub struct Content {
    header: Header,
    /// The header section as it will be sent, without Bcc.
    head: Vec<u8>,
    body: Body,
    octets: u64,
    is_eight_bit: bool,
}

/// Where the octets behind the header section are.
#[derive(Debug)]
enum Body {
    Memory(Vec<u8>),
    /// From `start` to the `end` that was there when the file was looked at.
    File {
        file: File,
        start: u64,
        end: u64,
    },
}

/// Why a message is not fit for sending.
#[derive(Debug)]
pub enum ContentError {
    /// It cannot be read, or there is no room for it.
    Io(io::Error),
    /// It holds a CR that no LF follows.
    BareCarriageReturn(BareCarriageReturn),
    /// Its header section is longer than [`header::HEADER_OCTETS`], so its Bcc fields cannot be taken out.
    HeaderTooLong,
    /// Its header section is broken off by a line that is no field, and a Bcc field stands behind it.
    StrayBcc,
    /// The file is not what it was when it was looked at: its recipients may be others now, or it may be another file.
    Changed,
}

impl ContentError {
    /// Whether it was for want of something that others have in use, so that the same may work later.
    pub fn is_transient(&self) -> bool {
        matches!(self, ContentError::Io(error) if is_for_want(error))
    }
}

impl fmt::Display for ContentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ContentError::Io(error) => error.fmt(f),
            ContentError::BareCarriageReturn(error) => error.fmt(f),
            ContentError::Changed => f.write_str("the file has changed since it was looked at"),
            ContentError::StrayBcc => f.write_str(
                "a line that is no header field stands before a Bcc field, so Bcc cannot be told from text and taken out",
            ),
            ContentError::HeaderTooLong => {
                write!(f, "the header section is longer than {} octets", header::HEADER_OCTETS)
            }
        }
    }
}

impl std::error::Error for ContentError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ContentError::Io(error) => Some(error),
            ContentError::BareCarriageReturn(error) => Some(error),
            ContentError::HeaderTooLong | ContentError::StrayBcc | ContentError::Changed => None,
        }
    }
}

impl From<io::Error> for ContentError {
    fn from(error: io::Error) -> Self {
        ContentError::Io(error)
    }
}

impl Content {
    /// A message in memory.
    pub fn from_bytes(octets: Vec<u8>) -> Result<Self, ContentError> {
        let header_end = find_header_end(&octets, true)?;
        let body = octets.get(header_end..).unwrap_or_default().to_vec();
        Content::examine(octets.get(..header_end).unwrap_or_default(), Body::Memory(body))
    }

    /// A message that somebody else has written and that is only passed on: nothing is taken out of it, and nothing in it
    /// says who it is for (RFC 5321, 6.4 and 7.2: its header is none of our business).
    pub fn passed_on(input: impl Read) -> Result<Self, ContentError> {
        let mut octets = Vec::new();
        let mut input = input.take(MEMORY_OCTETS as u64);
        input.read_to_end(&mut octets)?;
        if octets.len() < MEMORY_OCTETS {
            return Content::examine(b"", Body::Memory(octets));
        }
        let mut file = nameless_file().map_err(without_room)?;
        file.write_all(&octets).map_err(without_room)?;
        let copied = io::copy(&mut input.into_inner(), &mut file).map_err(without_room)?;
        Content::examine(b"", Body::File { file, start: 0, end: octets.len() as u64 + copied })
    }

    /// A message in a file. A pipe or device is read to its end first.
    pub fn from_file(path: &Path) -> Result<Self, ContentError> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory).into());
        }
        // Files that the kernel makes up have no length.
        if !metadata.is_file() || metadata.len() == 0 {
            return Content::from_reader(file);
        }
        Content::from_open_file(file, metadata.len())
    }

    /// A message from a stream, which is read to its end.
    pub fn from_reader(mut input: impl Read) -> Result<Self, ContentError> {
        let mut octets = Vec::new();
        input.by_ref().take(MEMORY_OCTETS as u64).read_to_end(&mut octets)?;
        if octets.len() < MEMORY_OCTETS {
            return Content::from_bytes(octets);
        }
        let mut file = nameless_file().map_err(without_room)?;
        file.write_all(&octets).map_err(without_room)?;
        let copied = io::copy(&mut input, &mut file).map_err(without_room)?;
        Content::from_open_file(file, octets.len() as u64 + copied)
    }

    /// A message in a regular file, of which only so much counts.
    pub(crate) fn from_open_file(file: File, end: u64) -> Result<Self, ContentError> {
        let mut head = Vec::new();
        PositionedReader { file: &file, position: 0, end }.take(header::HEADER_OCTETS as u64).read_to_end(&mut head)?;
        let header_end = find_header_end(&head, head.len() as u64 == end)?;
        head.truncate(header_end);
        Content::examine(&head, Body::File { file, start: header_end as u64, end })
    }

    fn examine(section: &[u8], body: Body) -> Result<Self, ContentError> {
        let (header, head) = Header::read(section);
        let mut content = Content { header, head, body, octets: 0, is_eight_bit: false };
        let mut encoder = ContentEncoder::default();
        let mut encoded = Vec::new();
        let mut dots = DotCount::default();
        let mut reader = content.reader();
        let (mut octets, mut is_eight_bit) = (0_u64, false);
        loop {
            let piece = next_piece(&mut reader)?;
            if piece.is_empty() {
                break;
            }
            is_eight_bit |= !piece.is_ascii();
            encoded.clear();
            encoder.encode(piece, &mut encoded).map_err(ContentError::BareCarriageReturn)?;
            octets += encoded.len() as u64 - dots.count(piece);
            let count = piece.len();
            reader.consume(count);
        }
        encoded.clear();
        encoder.finish(&mut encoded).map_err(ContentError::BareCarriageReturn)?;
        octets += encoded.len() as u64 - b".\r\n".len() as u64;
        drop(reader);
        content.octets = octets;
        content.is_eight_bit = is_eight_bit;
        Ok(content)
    }

    /// What the header section says about sender and recipients.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Octets on the wire, as SIZE counts them: with CRLF, without doubled dots (RFC 1870, 3).
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// Whether it needs 8BITMIME (RFC 6152).
    pub fn is_eight_bit(&self) -> bool {
        self.is_eight_bit
    }

    /// Whether a field of the header section holds UTF-8 beyond ASCII, so that the message needs SMTPUTF8 (RFC 6531, 3.4).
    /// Octets that are no UTF-8 are something else, which SMTPUTF8 would not make right.
    pub fn has_utf8_header(&self) -> bool {
        !self.head.is_ascii() && std::str::from_utf8(&self.head).is_ok()
    }

    /// The file that it is read from, if it is still to be read from one.
    pub(crate) fn file(&self) -> Option<&File> {
        match &self.body {
            Body::Memory(_) => None,
            Body::File { file, .. } => Some(file),
        }
    }

    /// The content from its beginning, with the line ends it has.
    pub fn reader(&self) -> impl BufRead {
        let body: Box<dyn BufRead + '_> = match &self.body {
            Body::Memory(octets) => Box::new(octets.as_slice()),
            Body::File { file, start, end } => {
                // Most messages need no large buffer, which has to be made first.
                let octets = usize::try_from(end.saturating_sub(*start)).unwrap_or(BLOCK_OCTETS);
                let reader = PositionedReader { file, position: *start, end: *end };
                Box::new(BufReader::with_capacity(octets.clamp(1, BLOCK_OCTETS), reader))
            }
        };
        self.head.as_slice().chain(body)
    }

    /// The content from its beginning in lines that end in CRLF, as a spool keeps it.
    pub fn canonical_reader(&self) -> impl Read {
        Canonical { reader: self.reader(), encoder: Some(ContentEncoder::for_chunk()), encoded: Vec::new(), taken: 0 }
    }
}

/// What comes next, where it lies and without a copy; nothing at the end. It is to be consumed.
pub(crate) fn next_piece(reader: &mut impl BufRead) -> io::Result<&[u8]> {
    let there = reader.fill_buf()?;
    Ok(there.get(..BLOCK_OCTETS).unwrap_or(there))
}

/// Content in the lines of the wire.
struct Canonical<R> {
    reader: R,
    /// `None` behind the end.
    encoder: Option<ContentEncoder>,
    encoded: Vec<u8>,
    taken: usize,
}

impl<R: BufRead> Read for Canonical<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.encoded.len() {
            let Some(encoder) = &mut self.encoder else { return Ok(0) };
            let piece = next_piece(&mut self.reader)?;
            self.taken = 0;
            self.encoded.clear();
            let count = piece.len();
            let encoded = if piece.is_empty() {
                self.encoder.take().map_or(Ok(()), |encoder| encoder.finish(&mut self.encoded))
            } else {
                encoder.encode(piece, &mut self.encoded)
            };
            self.reader.consume(count);
            encoded.map_err(io::Error::other)?;
        }
        let rest = self.encoded.get(self.taken..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        let (taken, _) = rest.split_at(count);
        buffer.get_mut(..count).unwrap_or_default().copy_from_slice(taken);
        self.taken += count;
        Ok(count)
    }
}

/// Counts the dots that the encoder doubles, which SIZE does not count.
struct DotCount {
    is_at_line_start: bool,
}

impl Default for DotCount {
    fn default() -> Self {
        DotCount { is_at_line_start: true }
    }
}

impl DotCount {
    fn count(&mut self, piece: &[u8]) -> u64 {
        let first = u64::from(self.is_at_line_start && piece.first() == Some(&b'.'));
        self.is_at_line_start = piece.last() == Some(&b'\n');
        let line_feeds = memchr::memchr_iter(b'\n', piece);
        first + line_feeds.filter(|line_feed| piece.get(line_feed + 1) == Some(&b'.')).count() as u64
    }
}

fn find_header_end(octets: &[u8], is_whole: bool) -> Result<usize, ContentError> {
    let end = match header::header_end(octets) {
        Some(end) => end,
        None if is_whole => octets.len(),
        None => return Err(ContentError::HeaderTooLong),
    };
    if header::has_stray_bcc(octets.get(end..).unwrap_or_default()) {
        return Err(ContentError::StrayBcc);
    }
    Ok(end)
}

/// Too many files are open, in this process or on this host, or there is no memory left.
fn is_for_want(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw);
    matches!(code, Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM))
}

/// Says whose fault it is: otherwise a missing temporary directory looks like a missing message.
pub(crate) fn without_room(error: io::Error) -> io::Error {
    if is_for_want(&error) {
        return error;
    }
    let directory = std::env::temp_dir();
    io::Error::other(format!("the message cannot be kept in {} while it is sent: {error}", directory.display()))
}

/// A file that nobody else can open and that is gone when it is closed.
pub(crate) fn nameless_file() -> io::Result<File> {
    let directory = std::env::temp_dir();
    for attempt in 0..100 {
        let path = directory.join(format!("smtp-client-{}-{attempt}", std::process::id()));
        match File::options().read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => {
                std::fs::remove_file(&path)?;
                return Ok(file);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "no free name for a temporary file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(content: &Content) -> Vec<u8> {
        let mut octets = Vec::new();
        content.reader().read_to_end(&mut octets).unwrap();
        octets
    }

    #[test]
    fn size_counts_line_ends_and_no_doubled_dots() {
        for (message, octets) in [
            (&b""[..], 0),
            (b"a", 3),
            (b"a\n", 3),
            (b"a\r\n", 3),
            (b".\n..\n.", 3 + 4 + 3),
            (b"A: b\n\n.x", 6 + 2 + 4),
            (b"A: b\nBcc: c@x\n\nx\n", 6 + 2 + 3),
        ] {
            assert_eq!(Content::from_bytes(message.to_vec()).unwrap().octets(), octets, "{message:?}");
        }
    }

    /// Row N017: the message is refused, not repaired.
    #[test]
    fn a_bare_carriage_return_is_refused() {
        for message in [&b"a\rb\n"[..], b"a\r", b"a\r\r\n", b"A: b\n\nx\ry"] {
            let error = Content::from_bytes(message.to_vec());
            assert!(matches!(error, Err(ContentError::BareCarriageReturn(_))), "{message:?}");
        }
    }

    #[test]
    fn memory_file_and_stream_are_the_same_message() {
        let large = [b"Subject: x\nBcc: hidden@x\n\n".to_vec(), b".dots and \xff\n".repeat(200_000)].concat();
        for message in [b"Subject: x\nBcc: hidden@x\n\nhello\n".to_vec(), large] {
            let path = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(path.path(), &message).unwrap();
            let contents = [
                Content::from_bytes(message.clone()).unwrap(),
                Content::from_file(path.path()).unwrap(),
                Content::from_reader(message.as_slice()).unwrap(),
            ];
            let expected = String::from_utf8_lossy(&message).replace("Bcc: hidden@x\n", "");
            for content in &contents {
                assert_eq!(String::from_utf8_lossy(&sent(content)), expected);
                assert_eq!(sent(content), sent(content), "it can be read again");
                assert_eq!(content.octets(), contents[0].octets());
                assert_eq!(content.is_eight_bit(), !message.is_ascii());
            }
        }
    }

    /// What is passed on keeps its Bcc field, and whatever else a sender should have taken out.
    #[test]
    fn what_is_passed_on_stays_as_it_is() {
        for length in [0, 3, MEMORY_OCTETS] {
            let message = [b"Subject: x\r\nBcc: hidden@x\r\n\r\n".to_vec(), b"x\r\n".repeat(length)].concat();
            let content = Content::passed_on(message.as_slice()).unwrap();
            assert!(sent(&content) == message && content.octets() == message.len() as u64);
        }
    }

    /// What the kernel makes up has no length, and is a message all the same.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_without_a_length_is_read_to_its_end() {
        let content = Content::from_file(Path::new("/proc/version")).unwrap();
        assert!(content.octets() > 10);
    }

    #[test]
    fn a_header_section_without_end_is_refused() {
        let endless = b"X: y\n".repeat(header::HEADER_OCTETS / 5 + 1);
        assert!(matches!(Content::from_reader(endless.as_slice()), Err(ContentError::HeaderTooLong)));
    }

    /// An mbox separator, a byte order mark or a torn line before the header section made all of it text, Bcc included, and
    /// it was sent.
    #[test]
    fn a_bcc_field_that_cannot_be_taken_out_is_refused() {
        for message in [
            &b"From u@x Mon Jan  1 12:00:00 2024\nBcc: hidden@x\n\nhello\n"[..],
            b"\xef\xbb\xbfSubject: s\r\nBcc: hidden@x\r\n\r\nhello\r\n",
            b"To: a@x\ntorn line\nresent-BCC : hidden@x\n\nhello\n",
        ] {
            assert!(matches!(Content::from_bytes(message.to_vec()), Err(ContentError::StrayBcc)), "{message:?}");
        }
        for message in [
            &b"To: a@x\n\nBcc: is text here\n"[..],
            b"no header at all\n\nBcc: is text here\n",
            b"\nBcc: is text here\n",
            b"To: a@x\nBcc: hidden@x\n\nhello\n",
        ] {
            assert!(Content::from_bytes(message.to_vec()).is_ok(), "{message:?}");
        }
    }

    #[test]
    fn a_file_that_becomes_shorter_is_an_error() {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), b"A: b\n\nhello\n").unwrap();
        let content = Content::from_file(path.path()).unwrap();
        File::options().write(true).open(path.path()).unwrap().set_len(8).unwrap();
        assert!(content.reader().read_to_end(&mut Vec::new()).is_err());
    }

    #[test]
    fn lines_of_the_wire() {
        for (message, expected) in [
            ("", ""),
            ("A: b\n\n.dot\nend", "A: b\r\n\r\n.dot\r\nend\r\n"),
            ("A: b\r\nBcc: c\r\n\r\ntext\r\n", "A: b\r\n\r\ntext\r\n"),
        ] {
            let content = Content::from_bytes(message.as_bytes().to_vec()).unwrap();
            assert_eq!(io::read_to_string(content.canonical_reader()).unwrap(), expected);
        }
        let long = format!("A: b\n\n{}", "x\n".repeat(50_000));
        let content = Content::from_bytes(long.clone().into_bytes()).unwrap();
        assert_eq!(io::read_to_string(content.canonical_reader()).unwrap(), long.replace('\n', "\r\n"));
    }
}
