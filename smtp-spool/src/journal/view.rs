//! The journal as readers see it, who do not own it: what they saw last, brought up to date when they look again.

use std::collections::{BTreeMap, HashMap, btree_map};
use std::ffi::OsString;
use std::io;

use super::Place;
use super::segment::{Damage, End, SegmentId, scan};
use super::sidecar::{self, Sidecar};
use crate::disk::{Access, Disk, Entry, Folder};
use crate::id::MessageId;
use crate::window::Window;

/// What was seen.
#[derive(Default)]
pub(crate) struct View {
    places: HashMap<MessageId, Place>,
    segments: BTreeMap<SegmentId, Seen>,
}

struct Seen {
    sidecar: Sidecar,
    /// Octets of the file that says what is gone.
    gone_octets: u64,
    /// How far the segment was understood.
    scanned: u64,
    damage: Vec<Damage>,
}

/// The names in the folder of the journal.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) segments: Vec<SegmentId>,
    /// Files that lie beside a segment which is not there any more.
    pub(crate) leftovers: Vec<Entry>,
    pub(crate) strangers: Vec<Entry>,
    /// No file of a lower number may be made: a name that comes back would be taken for it.
    pub(crate) next_number: u64,
}

impl Names {
    pub(crate) fn read(disk: &dyn Disk) -> io::Result<Self> {
        let mut names = Names { next_number: 1, ..Names::default() };
        let mut listed = disk.list(Folder::Journal)?;
        listed.sort();
        let mut beside = Vec::new();
        for name in listed {
            match parse(&name) {
                Some((segment, is_beside)) => {
                    names.next_number = names.next_number.max(segment.number.saturating_add(1));
                    if is_beside {
                        beside.push((segment, Folder::Journal.entry(name)));
                    } else {
                        names.segments.push(segment);
                    }
                }
                None => names.strangers.push(Folder::Journal.entry(name)),
            }
        }
        let is_leftover = |(segment, _): &(SegmentId, Entry)| names.segments.binary_search(segment).is_err();
        names.leftovers = beside.into_iter().filter(is_leftover).map(|(_, entry)| entry).collect();
        names.segments.sort();
        Ok(names)
    }
}

/// A segment, and whether the name is that of a file beside it.
fn parse(name: &OsString) -> Option<(SegmentId, bool)> {
    let name = name.to_str()?;
    let (segment, beside) = name.find('.').map_or((name, ""), |at| name.split_at(at));
    let segment = SegmentId::parse(segment)?;
    let is_known = beside.is_empty() || sidecar::entries(segment).any(|entry| entry.name == *name);
    is_known.then_some((segment, !beside.is_empty()))
}

impl View {
    /// Where a message lies, if it does. Of the segment in which it lay the last time only what has changed is read.
    pub(crate) fn find(&mut self, disk: &dyn Disk, id: &MessageId) -> io::Result<Option<Place>> {
        if let Some(place) = self.places.get(id) {
            self.look_beside(disk, place.segment)?;
        }
        if !self.places.contains_key(id) {
            self.refresh(disk)?;
        }
        Ok(self.places.get(id).copied())
    }

    /// Everything that lies there.
    pub(crate) fn all(&mut self, disk: &dyn Disk) -> io::Result<&HashMap<MessageId, Place>> {
        self.refresh(disk)?;
        Ok(&self.places)
    }

    /// The damaged parts.
    pub(crate) fn damage(&mut self, disk: &dyn Disk) -> io::Result<Vec<Damage>> {
        self.refresh(disk)?;
        Ok(self.segments.values().flat_map(|seen| seen.damage.iter().cloned()).collect())
    }

    fn refresh(&mut self, disk: &dyn Disk) -> io::Result<()> {
        let segments = Names::read(disk)?.segments;
        self.segments.retain(|segment, _| segments.contains(segment));
        for segment in segments {
            match self.look(disk, segment) {
                // It has just been removed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.segments.remove(&segment);
                }
                result => result?,
            }
        }
        let segments = &self.segments;
        self.places.retain(|_, place| segments.contains_key(&place.segment));
        Ok(())
    }

    /// Reads what has been added to a segment.
    fn look(&mut self, disk: &dyn Disk, segment: SegmentId) -> io::Result<()> {
        let mut window = Window::new(disk.open(&segment.entry(), Access::Read)?)?;
        if let btree_map::Entry::Vacant(entry) = self.segments.entry(segment) {
            let (gone_octets, sidecar) = (length(disk, segment)?, Sidecar::read(disk, segment)?);
            entry.insert(Seen { sidecar, gone_octets, scanned: 0, damage: Vec::new() });
        } else {
            self.look_beside(disk, segment)?;
        }
        let (Some(seen), places) = (self.segments.get_mut(&segment), &mut self.places) else { return Ok(()) };
        let (gone, end) = (&seen.sidecar.gone, seen.sidecar.end);
        let damage = &mut seen.damage;
        seen.scanned = scan(&mut window, segment, seen.scanned, end, false, |found| match found {
            Ok((place, layout)) if !gone.contains(&place.begin) => {
                places.insert(layout.id, place);
            }
            Err(part) if !gone.contains(&part.offset) => damage.push(part),
            Ok(_) | Err(_) => {}
        })?;
        Ok(())
    }

    /// Reads what is new beside a segment, and forgets what does not count any more.
    fn look_beside(&mut self, disk: &dyn Disk, segment: SegmentId) -> io::Result<()> {
        let Some(seen) = self.segments.get_mut(&segment) else { return Ok(()) };
        let gone_octets = length(disk, segment)?;
        let is_open = seen.sidecar.end == End::Open;
        if gone_octets == seen.gone_octets && !is_open {
            return Ok(());
        }
        seen.gone_octets = gone_octets;
        seen.sidecar = Sidecar::read(disk, segment)?;
        let Sidecar { gone, end } = &seen.sidecar;
        let counts = |place: &Place| {
            !gone.contains(&place.begin) && !matches!(end, End::Closed(octets) if place.end() > *octets)
        };
        self.places.retain(|_, place| place.segment != segment || counts(place));
        Ok(())
    }
}

/// Octets of the file that says what is gone.
fn length(disk: &dyn Disk, segment: SegmentId) -> io::Result<u64> {
    let mut octets = 0;
    for entry in sidecar::gone_entries(segment) {
        octets += match disk.open(&entry, Access::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            file => file?.length()?,
        };
    }
    Ok(octets)
}
