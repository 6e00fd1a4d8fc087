//! What the owner does with the journal before anybody uses it.
//!
//! No segment of an earlier run is written again. One that was not closed is read whole: what proves itself counts from here on,
//! so it is synced and the segment closed behind it; a torn end was never acknowledged.

use std::io::{self, Write as _};

use super::segment::{Damage, End, SegmentId, scan};
use super::sidecar::{self, Marks, Sidecar};
use super::view::Names;
use super::{Index, Place};
use crate::disk::{Access, Disk, Folder};
use crate::durable;
use crate::error::ReadError;
use crate::id::MessageId;
use crate::message_file::Layout;
use crate::store::Due;
use crate::window::{WINDOW_OCTETS, Window};

/// A message in a segment that nobody has said is gone.
pub(crate) struct Alive {
    pub(crate) id: MessageId,
    pub(crate) due: Due,
    pub(crate) recipients: usize,
    pub(crate) content_octets: u64,
    place: Place,
}

/// A segment as it was found.
pub(crate) struct Segment {
    id: SegmentId,
    pub(crate) alive: Vec<Alive>,
    pub(crate) damage: Vec<Damage>,
    end: End,
    understood: u64,
}

/// Clears away what was left beside segments that are gone, and returns what is there.
pub(crate) fn clear(disk: &dyn Disk) -> io::Result<Names> {
    let names = Names::read(disk)?;
    if !names.leftovers.is_empty() {
        // That a segment is not seen does not make it gone for good: should it come back, what is said beside it is needed.
        durable::sync_folders(disk, &[Folder::Journal])?;
        names.leftovers.iter().try_for_each(|entry| disk.remove(entry))?;
    }
    Ok(names)
}

/// Reads a segment. Changes nothing.
pub(crate) fn read(disk: &dyn Disk, id: SegmentId) -> Result<Segment, ReadError> {
    let Sidecar { gone, end } = Sidecar::read(disk, id)?;
    let mut window = Window::new(disk.open(&id.entry(), Access::Read)?)?;
    let (mut alive, mut damage) = (Vec::new(), Vec::new());
    let is_open = end == End::Open;
    let understood = scan(&mut window, id, 0, end, is_open, |found| match found {
        Ok((place, layout)) if !gone.contains(&place.begin) => {
            let Layout { id, due, envelope, content_octets, .. } = layout;
            alive.push(Alive { id, due, recipients: envelope.recipients.len(), content_octets, place });
        }
        Err(part) if !gone.contains(&part.offset) => damage.push(part),
        Ok(_) | Err(_) => {}
    })?;
    if is_open && !window.is_blank_from(understood)? {
        log::info!("{}: what stands from octet {understood} on was not committed, and does not count", id.entry());
    }
    Ok(Segment { id, alive, damage, end, understood })
}

impl Segment {
    /// Says durably what counts in it: `alive` are those of its messages that do, `set_aside` the damaged parts that were
    /// moved to `corrupt/`. If nothing is left, it is removed.
    pub(crate) fn settle(
        self,
        disk: &dyn Disk,
        index: &mut Index,
        is_alive: &dyn Fn(&MessageId) -> bool,
        set_aside: &[Damage],
    ) -> io::Result<()> {
        let (alive, gone): (Vec<_>, Vec<_>) = self.alive.into_iter().partition(|message| is_alive(&message.id));
        if alive.is_empty() && self.damage.len() == set_aside.len() {
            return sidecar::remove(disk, self.id);
        }
        // What was said beside it and not synced has been believed just now.
        sidecar::sync(disk, self.id)?;
        if self.end == End::Open {
            // What a killed process has written and not lived to sync counts from here on.
            disk.open(&self.id.entry(), Access::Append)?.sync()?;
            sidecar::close(disk, self.id, self.understood)?;
        }
        let gone = gone.iter().map(|message| message.place.begin).chain(set_aside.iter().map(|part| part.offset));
        let gone: Vec<_> = gone.map(|begin| (self.id, begin)).collect();
        Marks::default().add(disk, &gone)?;
        index.begin(self.id, self.understood);
        index.insert(alive.into_iter().map(|message| (message.id, message.place)));
        index.close(self.id);
        Ok(())
    }
}

/// Copies a part of a segment to `corrupt/`, once.
pub(crate) fn set_aside(disk: &dyn Disk, segment: SegmentId, offset: u64, octets: u64) -> io::Result<()> {
    let mut file = match disk.create(&Folder::Corrupt.entry(format!("{segment}.{offset}"))) {
        // An earlier start came so far.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        file => file?,
    };
    let mut window = Window::new(disk.open(&segment.entry(), Access::Read)?)?;
    let (mut offset, end) = (offset, offset + octets);
    while offset < end {
        let octets = (end - offset).min(WINDOW_OCTETS as u64) as usize;
        file.write_all(window.read(offset, octets)?)?;
        offset += octets as u64;
    }
    file.sync()
}
