//! Reads a part of a file without moving the file's own position, so that one open file serves every try and every thread.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

/// The octets from `position` up to the `end` that was there when the file was looked at.
pub(crate) struct PositionedReader<'a> {
    pub(crate) file: &'a File,
    pub(crate) position: u64,
    pub(crate) end: u64,
}

impl Read for PositionedReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let count = self.file.read_at(buffer.get_mut(..wanted).unwrap_or_default(), self.position)?;
        if count == 0 {
            let text = "the file became shorter while it was being sent";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        self.position += count as u64;
        Ok(count)
    }
}
