//! Reading here and there in a file, with few calls: what lies close together is fetched at once.

use std::io;

use crate::disk::DiskFile;
use crate::error::ReadError;

/// Octets that are fetched at once: a small message as a whole.
pub(crate) const WINDOW_OCTETS: usize = 64 << 10;

/// A file, and the part of it that was fetched last.
pub(crate) struct Window {
    file: Box<dyn DiskFile>,
    /// Nobody will ask for what stands behind this octet.
    end: u64,
    /// Where in the file `fetched` begins.
    start: u64,
    fetched: Vec<u8>,
}

impl Window {
    /// A window on all of a file.
    pub(crate) fn new(file: Box<dyn DiskFile>) -> io::Result<Self> {
        let end = file.length()?;
        Ok(Window::up_to(file, end))
    }

    /// A window on a file up to some octet.
    pub(crate) fn up_to(file: Box<dyn DiskFile>, end: u64) -> Self {
        Window { file, end, start: 0, fetched: Vec::new() }
    }

    /// Where it ends.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Exactly so many octets from a place, before the end: they are there, as what was written whole does not shrink.
    pub(crate) fn read(&mut self, offset: u64, octets: usize) -> Result<&[u8], ReadError> {
        let begin = match self.place_of(offset, octets) {
            Some(begin) => begin,
            None => {
                self.fetch(offset, octets)?;
                0
            }
        };
        self.fetched.get(begin..begin + octets).ok_or(ReadError::Corrupt("it is shorter than it was"))
    }

    /// Some octets from a place, none only at the end of the file.
    pub(crate) fn read_some(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(begin) = self.place_of(offset, 1) else {
            return self.file.read_at(offset, buffer);
        };
        let there = self.fetched.get(begin..).unwrap_or_default();
        let count = there.len().min(buffer.len());
        buffer[..count].copy_from_slice(&there[..count]);
        Ok(count)
    }

    /// Fetches anew what is asked for next.
    pub(crate) fn forget(&mut self) {
        self.fetched.clear();
    }

    /// Whether nothing but zeros stands from a place on to the end.
    pub(crate) fn is_blank_from(&mut self, mut offset: u64) -> Result<bool, ReadError> {
        while offset < self.end {
            let octets = (self.end - offset).min(WINDOW_OCTETS as u64);
            if self.read(offset, octets as usize)?.iter().any(|octet| *octet != 0) {
                return Ok(false);
            }
            offset += octets;
        }
        Ok(true)
    }

    /// Where in `fetched` these octets lie, if they do.
    fn place_of(&self, offset: u64, octets: usize) -> Option<usize> {
        let begin = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        (begin.checked_add(octets)? <= self.fetched.len()).then_some(begin)
    }

    fn fetch(&mut self, offset: u64, at_least: usize) -> Result<(), ReadError> {
        self.start = offset;
        let wanted = usize::try_from(self.end.saturating_sub(offset)).unwrap_or(usize::MAX).min(WINDOW_OCTETS);
        self.fetched.resize(at_least.max(wanted), 0);
        let mut filled = 0;
        while filled < at_least {
            match self.file.read_at(offset + filled as u64, &mut self.fetched[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.fetched.clear();
                    return Err(ReadError::Failed(error));
                }
            }
        }
        self.fetched.truncate(filled);
        Ok(())
    }
}
