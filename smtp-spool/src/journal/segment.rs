//! One file of the journal: a row of messages, each behind a line that says how long it is.
//!
//! ```text
//! MESSAGE 9f3c5a7be2d10468 0000052a 1c2d3e4f      the nonce of the segment, octets of the message, CRC-32 of the line so far
//! smtp-spool 1                                    the message, as it would stand in a file of its own
//! ...
//! LENGTHS 00000000000003e8 0000009c CRC32 0a1b2c3d END
//! MESSAGE 9f3c5a7be2d10468 ...
//! ```
//!
//! The nonce is random and stands in the name of the segment, too, so that nobody can write the beginning of a message into a
//! message: where a segment is damaged, the next line with the nonce is where messages go on.
//!
//! Behind the last message of a segment that is being written there may be zeros, over which the next ones go.

use std::fmt;

use memchr::memmem::Finder;

use super::Place;
use crate::disk::{Entry, Folder};
use crate::error::ReadError;
use crate::hex;
use crate::message_file::Layout;
use crate::window::{WINDOW_OCTETS, Window};

/// What the names of the files beside a segment end in: see [`super::beside`].
pub(crate) const GONE: &str = ".gone-";
pub(crate) const END: &str = ".end";

/// Octets of the line before a message.
pub(crate) const LINE_OCTETS: usize = "MESSAGE 0000000000000000 00000000 00000000\r\n".len();

/// Which segment, in the order in which they were begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SegmentId {
    pub(crate) number: u64,
    pub(crate) nonce: u64,
}

impl fmt::Display for SegmentId {
    /// As its file is named.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08}-{:016x}", self.number, self.nonce)
    }
}

impl SegmentId {
    /// Reads the name of a segment.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (number, nonce) = name.split_once('-')?;
        let id = SegmentId { number: number.parse().ok()?, nonce: u64::from_str_radix(nonce, 16).ok()? };
        (id.to_string() == name).then_some(id)
    }

    /// Its file.
    pub(crate) fn entry(self) -> Entry {
        Folder::Journal.entry(self.to_string())
    }

    /// A file beside it.
    pub(crate) fn beside(self, suffix: &str) -> Entry {
        Folder::Journal.entry(format!("{self}{suffix}"))
    }

    /// The line before a message of so many octets. `None` for one that no line can announce.
    pub(crate) fn line(self, octets: usize) -> Option<String> {
        let octets = u32::try_from(octets).ok()?;
        let mut line = self.mark();
        hex::push(&mut line, octets.into(), 8);
        line.push(' ');
        let checksum = crc32fast::hash(line.as_bytes());
        hex::push(&mut line, checksum.into(), 8);
        line.push_str("\r\n");
        Some(line)
    }

    /// How each line begins.
    fn mark(self) -> String {
        let mut mark = String::with_capacity(LINE_OCTETS);
        mark.push_str("MESSAGE ");
        hex::push(&mut mark, self.nonce, 16);
        mark.push(' ');
        mark
    }

    /// The octets that a line announces.
    fn announced(self, line: &[u8]) -> Option<usize> {
        let text = std::str::from_utf8(line).ok()?.strip_prefix(&self.mark())?;
        let octets = usize::from_str_radix(text.get(..8)?, 16).ok()?;
        (self.line(octets)?.as_bytes() == line).then_some(octets)
    }
}

/// What stands in a segment: a message, or octets that are none and may have been one or more.
pub(crate) type Found = Result<(Place, Layout), Damage>;

/// A damaged part of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) segment: SegmentId,
    pub(crate) offset: u64,
    pub(crate) octets: u64,
    pub(crate) reason: &'static str,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} octets from octet {} on", self.reason, self.octets, self.offset)
    }
}

/// How far a segment counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// So many octets: it was closed, and everything before has been synced.
    Closed(u64),
    /// It was not closed. Whatever is torn at its end was never acknowledged, and whatever seems whole may not be.
    Open,
}

/// Looks at a segment from some place on, at both ends of each message, or at all of it. Returns where what was understood ends: a
/// torn end is passed over in silence, since a batch is only begun when the one before it is synced.
pub(crate) fn scan(
    window: &mut Window,
    segment: SegmentId,
    from: u64,
    end: End,
    is_thorough: bool,
    mut take: impl FnMut(Found),
) -> Result<u64, ReadError> {
    let length = window.end();
    let last = match end {
        End::Closed(octets) => octets.min(length),
        End::Open => length,
    };
    let scan = Scan { segment, last, is_thorough };
    let mut offset = from;
    while offset < last {
        let reason = match scan.message(window, offset) {
            Ok((place, layout)) => {
                offset = place.end();
                take(Ok((place, layout)));
                continue;
            }
            Err(ReadError::Corrupt(reason)) => reason,
            Err(error) => return Err(error),
        };
        let next = scan.next_message(window, offset + 1)?;
        if end == End::Open {
            if next.is_none() {
                break;
            }
            // It may have been written over zeros after we looked at it and before we found the next one.
            window.forget();
            if scan.message(window, offset).is_ok() {
                continue;
            }
        }
        let next = next.unwrap_or(last);
        match scan.behind_damaged_line(window, offset, next) {
            Ok((place, layout)) => take(Ok((place, layout))),
            Err(ReadError::Corrupt(_)) => {
                take(Err(Damage { segment, offset, octets: next - offset, reason }));
            }
            Err(error) => return Err(error),
        }
        offset = next;
    }
    // The file is shorter than it was when it was closed.
    if let End::Closed(octets) = end
        && octets > last.max(from)
    {
        take(Err(Damage { segment, offset: last, octets: 0, reason: "the file is shorter than it was" }));
    }
    Ok(offset)
}

struct Scan {
    segment: SegmentId,
    last: u64,
    /// Whether to compare checksums.
    is_thorough: bool,
}

impl Scan {
    /// The message whose line stands at a place.
    fn message(&self, window: &mut Window, offset: u64) -> Result<(Place, Layout), ReadError> {
        let octets =
            self.announced(window, offset)?.ok_or(ReadError::Corrupt("the line before a message is damaged"))?;
        self.message_at(window, offset + LINE_OCTETS as u64, octets as u64, self.is_thorough)
    }

    fn announced(&self, window: &mut Window, offset: u64) -> Result<Option<usize>, ReadError> {
        if self.last - offset < LINE_OCTETS as u64 {
            return Ok(None);
        }
        Ok(self.segment.announced(window.read(offset, LINE_OCTETS)?))
    }

    fn message_at(
        &self,
        window: &mut Window,
        begin: u64,
        octets: u64,
        is_thorough: bool,
    ) -> Result<(Place, Layout), ReadError> {
        if octets > self.last.saturating_sub(begin) {
            return Err(ReadError::Corrupt("it is too short"));
        }
        let layout = Layout::read(window, begin, octets)?;
        if is_thorough {
            layout.verify(window, begin)?;
        }
        Ok((Place { segment: self.segment, begin, octets }, layout))
    }

    /// Where the next whole message begins with its line.
    fn next_message(&self, window: &mut Window, from: u64) -> Result<Option<u64>, ReadError> {
        let mark = self.segment.mark();
        let finder = Finder::new(&mark);
        let mut offset = from;
        while offset < self.last {
            let octets = (self.last - offset).min(WINDOW_OCTETS as u64);
            match finder.find(window.read(offset, octets as usize)?) {
                Some(found) => {
                    offset += found as u64;
                    match self.message(window, offset) {
                        Ok(_) => return Ok(Some(offset)),
                        Err(ReadError::Corrupt(_)) => offset += 1,
                        Err(error) => return Err(error),
                    }
                }
                // The mark may lie across the end of what was looked at.
                None if octets == WINDOW_OCTETS as u64 => offset += octets - mark.len() as u64,
                None => break,
            }
        }
        Ok(None)
    }

    /// A line that is damaged, before a message that is not: it reaches to the next one.
    fn behind_damaged_line(&self, window: &mut Window, offset: u64, next: u64) -> Result<(Place, Layout), ReadError> {
        let begin = offset + LINE_OCTETS as u64;
        let octets = next.checked_sub(begin).ok_or(ReadError::Corrupt("it is too short"))?;
        self.message_at(window, begin, octets, true)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::disk::{Disk as _, DiskFile};
    use crate::{Due, Envelope, MemoryDisk, Options, Spool, Store as _};

    /// A segment into which messages are written behind the back of a reader: its first two looks find zeros.
    struct Late {
        octets: Vec<u8>,
        looks: AtomicUsize,
    }

    impl io::Write for Late {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl DiskFile for Late {
        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
            let there = self.octets.get(offset as usize..).unwrap_or_default();
            let count = there.len().min(buffer.len());
            match self.looks.fetch_add(1, Ordering::Relaxed) {
                0 | 1 => buffer[..count].fill(0),
                _ => buffer[..count].copy_from_slice(&there[..count]),
            }
            Ok(count)
        }

        fn length(&self) -> io::Result<u64> {
            Ok(self.octets.len() as u64)
        }
    }

    #[test]
    fn what_is_written_while_a_reader_looks_is_not_taken_for_damage() {
        let disk = MemoryDisk::new();
        let (spool, _) = Spool::open_on(Arc::new(disk.clone()), Options::default()).unwrap();
        let envelope = "RECEIVED 1\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\n";
        // Together more than the reader fetches at once, so that all it finds at first is the last of them.
        for (id, octets) in [("first", 10), ("second", WINDOW_OCTETS + 1_000), ("third", 10)] {
            let mut incoming = spool.begin(None).unwrap();
            incoming.write_all(&vec![b'x'; octets]).unwrap();
            incoming.commit(&id.parse().unwrap(), &Envelope::parse(envelope).unwrap(), Due::Kept).unwrap();
        }
        let name = disk.list(Folder::Journal).unwrap().remove(0).into_string().unwrap();
        let segment = SegmentId::parse(&name).unwrap();
        let octets = disk.octets(&segment.entry()).unwrap();
        let file = Late { octets, looks: AtomicUsize::new(0) };
        let mut found = Vec::new();
        let mut window = Window::new(Box::new(file)).unwrap();
        scan(&mut window, segment, 0, End::Open, false, |part| {
            found.push(part.map(|(_, layout)| layout.id.to_string()));
        })
        .unwrap();
        assert_eq!(found, ["first", "second", "third"].map(|id| Ok(id.to_owned())));
    }
}
