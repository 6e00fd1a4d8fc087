//! What lies beside a segment: `.end` says how far it counts, `.gone-0` which of its messages do not count any more.
//!
//! Both hold lines that prove themselves, as records do. When a file of the second kind could not be synced, it is not gone on
//! with, since a later sync would prove nothing: `.gone-1` takes its place, and then `.gone-2`. A segment is never changed itself: neither when a message is
//! delivered or removed, nor when a batch could not be synced and was refused.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;

use super::segment::{END, End, GONE, SegmentId};
use crate::disk::{Access, Disk, Entry};
use crate::{durable, state_record};

/// Files that say what is gone, at most.
const GONE_FILES: usize = 3;

/// Which messages of a segment are gone, by where they begin (damage by where that begins), and how far the segment counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sidecar {
    pub(crate) gone: HashSet<u64>,
    pub(crate) end: End,
}

impl Sidecar {
    pub(crate) fn read(disk: &dyn Disk, segment: SegmentId) -> io::Result<Self> {
        let mut sidecar = Sidecar { gone: HashSet::new(), end: End::Open };
        for entry in gone_entries(segment) {
            for_each_number(disk, &entry, GONE_WORD, |offset| {
                sidecar.gone.insert(offset);
            })?;
        }
        for_each_number(disk, &segment.beside(END), END_WORD, |octets| sidecar.end = End::Closed(octets))?;
        Ok(sidecar)
    }
}

const GONE_WORD: &str = "gone ";
const END_WORD: &str = "end ";

/// The files that say what is gone, as far as there are so many.
pub(crate) fn gone_entries(segment: SegmentId) -> impl Iterator<Item = Entry> {
    (0..GONE_FILES).map(move |number| gone_entry(segment, number))
}

/// All files that may lie beside a segment.
pub(crate) fn entries(segment: SegmentId) -> impl Iterator<Item = Entry> {
    gone_entries(segment).chain([segment.beside(END)])
}

fn gone_entry(segment: SegmentId, number: usize) -> Entry {
    segment.beside(&format!("{GONE}{number}"))
}

fn for_each_number(disk: &dyn Disk, entry: &Entry, word: &str, mut take: impl FnMut(u64)) -> io::Result<()> {
    let file = match disk.open(entry, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    state_record::for_each_line(&*file, |line| {
        let number = state_record::unsealed(line).and_then(|text| text.strip_prefix(word)?.parse().ok());
        number.into_iter().for_each(&mut take);
    })
}

fn line(word: &str, number: u64) -> String {
    state_record::sealed(&format!("{word}{number}"))
}

/// Who says what is gone, and which files may not be gone on with.
#[derive(Default)]
pub(crate) struct Marks {
    failed: HashMap<SegmentId, usize>,
}

impl Marks {
    /// Says durably that these messages are gone. After an error some of them may come back with the next start.
    pub(crate) fn add(&mut self, disk: &dyn Disk, gone: &[(SegmentId, u64)]) -> io::Result<()> {
        let mut lines: BTreeMap<SegmentId, String> = BTreeMap::new();
        for (segment, begin) in gone {
            lines.entry(*segment).or_default().push_str(&line(GONE_WORD, *begin));
        }
        let mut result = Ok(());
        for (segment, lines) in lines {
            let number = self.failed.get(&segment).copied().unwrap_or_default();
            let entry = gone_entry(segment, number);
            let added = durable::append(disk, &entry, &lines);
            if added.is_err() && !durable::is_absent(disk, &entry) {
                self.failed.insert(segment, (number + 1).min(GONE_FILES - 1));
            }
            result = result.and(added);
        }
        result
    }
}

/// Says durably that a segment ends here, whatever may stand behind. What an earlier try has left is no ground to build on.
pub(crate) fn close(disk: &dyn Disk, segment: SegmentId, octets: u64) -> io::Result<()> {
    let entry = segment.beside(END);
    match disk.remove(&entry) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    durable::append(disk, &entry, &line(END_WORD, octets))
}

/// Makes durable what is said beside a segment.
pub(crate) fn sync(disk: &dyn Disk, segment: SegmentId) -> io::Result<()> {
    for entry in entries(segment) {
        match disk.open(&entry, Access::Append) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            file => file?.sync()?,
        }
    }
    Ok(())
}

/// Removes a segment of which nothing counts, and then what lies beside it: the other way round its messages could come back.
pub(crate) fn remove(disk: &dyn Disk, segment: SegmentId) -> io::Result<()> {
    durable::remove(disk, &segment.entry())?;
    for entry in entries(segment) {
        match disk.remove(&entry) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
