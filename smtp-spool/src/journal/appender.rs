//! The end of the journal: batches of messages, each written with one call and synced with one.
//!
//! A batch is begun only when the one before it is synced. When one cannot be, the segment is closed before it
//! ([`sidecar::close`]), and nothing is accepted until that is durable: so whatever was refused does not come back, unless the
//! machine crashes at that very moment. A batch that breaks off in a panic is such a one.

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};

use super::buffers::Buffers;
use super::segment::{LINE_OCTETS, SegmentId};
use super::{Failure, Index, Place, SEGMENT_OCTETS, sidecar, sweep};
use crate::disk::{Disk, DiskFile, Folder};
use crate::engine::lock;
use crate::group::Work;
use crate::id::MessageId;

/// Octets that are filled ahead at once.
const LEAST_FILLED_OCTETS: u64 = 4 << 10;
const MOST_FILLED_OCTETS: u64 = 256 << 10;

/// Octets of kept messages whose memory is given back at once.
const RELEASED_OCTETS: u64 = 1 << 20;

/// Octets of a batch behind which something is filled ahead, at most.
const SMALL_BATCH_OCTETS: u64 = 64 << 10;

/// Who writes the journal.
pub(crate) struct Appender {
    disk: Arc<dyn Disk>,
    index: Arc<Mutex<Index>>,
    buffers: Arc<Buffers>,
    /// The number of the next segment.
    next_number: u64,
    open: Option<Open>,
    /// A segment that must be closed before anything more is accepted, and at how many octets: what stands behind them was
    /// refused, or is being written.
    unclosed: Option<(SegmentId, u64)>,
}

/// The segment that is being written.
struct Open {
    id: SegmentId,
    file: Box<dyn DiskFile>,
    octets: u64,
    /// Up to where it has been filled ahead.
    filled: u64,
    /// Up to where its memory was given back, or is left to those who are about to read it.
    released: u64,
}

/// A message on its way into the journal.
pub(crate) struct Item {
    pub(crate) id: MessageId,
    pub(crate) octets: Vec<u8>,
    /// It is not to be delivered, so nobody reads it soon.
    pub(crate) is_kept: bool,
}

impl Work for Appender {
    type Item = Item;
    type Outcome = Result<(), Failure>;

    fn perform(&mut self, items: Vec<Item>) -> Result<(), Failure> {
        self.close_unclosed()?;
        let mut open = self.open()?;
        self.unclosed = Some((open.id, open.octets));
        match write(&mut open, &items) {
            Ok(places) => {
                open.octets = places.last().map_or(open.octets, Place::end);
                let (ids, buffers): (Vec<_>, Vec<_>) = items.into_iter().map(|item| (item.id, item.octets)).unzip();
                lock(&self.index).insert(ids.into_iter().zip(places));
                self.buffers.give_back(buffers.into_iter());
                self.open = Some(open);
                self.unclosed = None;
                Ok(())
            }
            Err(failure) => {
                drop(open);
                if let Err(second) = self.close_unclosed() {
                    log::error!(
                        "refused messages may come back at the next start, and until they cannot, nothing is taken: {second}"
                    );
                }
                Err(failure)
            }
        }
    }

    fn broken_off() -> Result<(), Failure> {
        Err(Failure::broken_off("writing the journal"))
    }
}

/// Whoever stops in good order says where the journal ends, so that the next start need not find out, and tries once more to
/// say so of what was refused.
impl Drop for Appender {
    fn drop(&mut self) {
        if let Err(failure) = self.close_unclosed() {
            log::error!("refused messages may come back at the next start: {failure}");
        }
        if let Some(open) = self.open.take() {
            self.close(open);
        }
    }
}

impl Appender {
    pub(crate) fn new(disk: Arc<dyn Disk>, index: Arc<Mutex<Index>>, buffers: Arc<Buffers>, next_number: u64) -> Self {
        Appender { disk, index, buffers, next_number, open: None, unclosed: None }
    }

    fn close_unclosed(&mut self) -> Result<(), Failure> {
        if let Some((segment, octets)) = self.unclosed {
            sidecar::close(&*self.disk, segment, octets)
                .map_err(|error| Failure::new("closing a segment with refused messages", &error))?;
            self.unclosed = None;
            self.closed(segment);
        }
        Ok(())
    }

    /// The segment to go on with: the one at hand, as long as it is not full.
    fn open(&mut self) -> Result<Open, Failure> {
        match self.open.take() {
            Some(open) if open.octets < SEGMENT_OCTETS => return Ok(open),
            Some(full) => self.close(full),
            None => {}
        }
        self.begin().map_err(|error| Failure::new("beginning a segment of the journal", &error))
    }

    fn close(&self, open: Open) {
        // Without it the next start has to compare the checksums of this segment, and that is all.
        if let Err(error) = sidecar::close(&*self.disk, open.id, open.octets) {
            log::debug!("segment {} of the journal is not marked as closed: {error}", open.id);
        }
        self.closed(open.id);
    }

    fn begin(&mut self) -> io::Result<Open> {
        let nonce = getrandom::u64().map_err(io::Error::other)?;
        let id = SegmentId { number: self.next_number, nonce };
        let mut folder = self.disk.open_folder(Folder::Journal)?;
        let file = self.disk.create(&id.entry())?;
        // Whatever comes of it, nobody gets this number again.
        self.next_number += 1;
        if let Err(error) = folder.sync() {
            // Nothing was written to it, so it does not matter if it stays.
            let _ = self.disk.remove(&id.entry());
            return Err(error);
        }
        lock(&self.index).begin(id, 0);
        Ok(Open { id, file, octets: 0, filled: 0, released: 0 })
    }

    fn closed(&self, segment: SegmentId) {
        lock(&self.index).close(segment);
        sweep(&*self.disk, &self.index);
    }
}

/// Writes messages at the end of a segment and syncs it. Returns where they lie.
fn write(open: &mut Open, items: &[Item]) -> Result<Vec<Place>, Failure> {
    let (mut lines, mut places, mut offset) = (Vec::new(), Vec::new(), open.octets);
    for item in items {
        let too_long = || Failure::new("writing the journal", &io::ErrorKind::FileTooLarge.into());
        lines.push(open.id.line(item.octets.len()).ok_or_else(too_long)?);
        let place = Place { segment: open.id, begin: offset + LINE_OCTETS as u64, octets: item.octets.len() as u64 };
        offset = place.end();
        places.push(place);
    }
    let slices = lines.iter().zip(items).flat_map(|(line, item)| [line.as_bytes(), &item.octets]);
    write_all(&mut *open.file, slices.map(IoSlice::new).collect())
        .map_err(|error| Failure::new("writing the journal", &error))?;
    fill_ahead(open, offset);
    open.file.sync().map_err(|error| Failure::new("syncing the journal", &error))?;
    release_memory(open, items, offset);
    Ok(places)
}

/// Gives the memory of kept messages back: a spool that fills does not push out of it what others are reading, and the next
/// messages get the same pages again, which are quicker to write to than those that nobody had before. Those of the batch that was
/// written just now wait for the next time: the last of them goes on being written to.
fn release_memory(open: &mut Open, items: &[Item], end: u64) {
    if !items.iter().all(|item| item.is_kept) {
        open.released = end;
    } else if open.octets - open.released >= RELEASED_OCTETS {
        open.file.release_memory(open.released, open.octets - open.released);
        open.released = open.octets;
    }
}

/// Sees to it that the next small batches are written over zeros: a sync that has only octets to write, and no length, has
/// less to do. As much again as there is, so that little is wasted on a journal that stays short.
fn fill_ahead(open: &mut Open, end: u64) {
    // Who writes much at once would wait longer for the zeros than for the lengths.
    if end <= open.filled || end - open.octets > SMALL_BATCH_OCTETS {
        return;
    }
    let octets = end.clamp(LEAST_FILLED_OCTETS, MOST_FILLED_OCTETS);
    match open.file.fill_ahead(octets as usize) {
        Ok(()) => open.filled = end + octets,
        Err(error) => {
            // The batch is written, and whether it is durable is for its sync to say.
            log::debug!("segment {} of the journal is not filled ahead: {error}", open.id);
            open.filled = SEGMENT_OCTETS;
        }
    }
}

fn write_all(file: &mut dyn DiskFile, mut slices: Vec<IoSlice<'_>>) -> io::Result<()> {
    let mut left = slices.as_mut_slice();
    while !left.is_empty() {
        match file.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => IoSlice::advance_slices(&mut left, count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// A file that tells what is done with it.
    struct Telling(Sender<String>);

    impl Write for Telling {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl DiskFile for Telling {
        fn sync(&mut self) -> io::Result<()> {
            self.0.send("sync".to_owned()).map_err(io::Error::other)
        }

        fn release_memory(&mut self, offset: u64, octets: u64) {
            self.0.send(format!("release {offset} {octets}")).unwrap();
        }

        fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<usize> {
            Ok(0)
        }

        fn length(&self) -> io::Result<u64> {
            Ok(0)
        }
    }

    #[test]
    fn the_memory_of_what_is_kept_is_given_back_once_it_is_durable_and_of_nothing_that_is_to_be_delivered() {
        let (tell, told) = channel();
        let id = SegmentId { number: 1, nonce: 1 };
        let mut open = Open { id, file: Box::new(Telling(tell)), octets: 0, filled: 0, released: 0 };
        let half = (RELEASED_OCTETS / 2) as usize;
        let mut batch = |kept: &[bool]| {
            let item = |is_kept: &bool| Item { id: "a".parse().unwrap(), octets: vec![0; half], is_kept: *is_kept };
            let items: Vec<_> = kept.iter().map(item).collect();
            open.octets = write(&mut open, &items).unwrap().last().unwrap().end();
            (open.octets, told.try_iter().collect::<Vec<_>>())
        };
        assert_eq!(batch(&[true]).1, ["sync"]);
        let (end, calls) = batch(&[true]);
        assert_eq!(calls, ["sync"], "it goes on being written to");
        assert_eq!(batch(&[true]).1, ["sync".to_owned(), format!("release 0 {end}")]);
        assert_eq!(batch(&[true, false]).1, ["sync"]);
        let (begin, calls) = batch(&[false]);
        assert_eq!(calls, ["sync"]);
        let (end, calls) = batch(&[true, true]);
        assert_eq!(calls, ["sync"]);
        assert_eq!(batch(&[true]).1, ["sync".to_owned(), format!("release {begin} {}", end - begin)]);
    }
}
