//! What a disk in memory holds: what programs see, what is durable, and what is still on its way between the two.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Weak};

use super::Fault;
use crate::disk::{Entry, Folder, FreeSpace};

/// The whole state of a disk.
#[derive(Clone, Debug)]
pub(super) struct Medium {
    /// By number, as a file system's inodes. Files without a name stay, since they may have one again after a cut.
    pub(super) files: Vec<MediumFile>,
    pub(super) folders: BTreeMap<Folder, MediumFolder>,
    pub(super) log: Vec<String>,
    pub(super) faults: BTreeMap<usize, Fault>,
    pub(super) broken_from: Option<(usize, io::ErrorKind)>,
    pub(super) power_ends_at: Option<usize>,
    pub(super) free_space: FreeSpace,
    /// Alive as long as the owner's lock.
    pub(super) owner: Weak<()>,
    /// Shared with everybody who is at work in the maildrop.
    pub(super) submissions: Arc<()>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct MediumFile {
    /// As programs see it.
    pub(super) octets: Vec<u8>,
    /// As it is after a power cut, at the least.
    pub(super) durable: Vec<u8>,
    /// Where the two may differ.
    pub(super) unsynced: Range<usize>,
    /// A sync has failed. Later ones say that all is well, and it is not.
    is_lost: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct MediumFolder {
    /// As programs see it.
    names: BTreeMap<OsString, usize>,
    /// As it is after a power cut, apart from pending changes.
    pub(super) durable: BTreeMap<OsString, usize>,
    /// What may or may not be found after a power cut.
    pub(super) pending: Vec<Change>,
}

/// A name that appeared (with its file) or vanished.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) name: OsString,
    pub(super) file: Option<usize>,
    /// A sync has failed over it. Later ones do not make it durable.
    is_lost: bool,
}

/// How much of an operation takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    None,
    Half,
    Whole,
}

impl Default for Medium {
    fn default() -> Self {
        Medium {
            files: Vec::new(),
            folders: Folder::ALL.map(|folder| (folder, MediumFolder::default())).into(),
            log: Vec::new(),
            faults: BTreeMap::new(),
            broken_from: None,
            power_ends_at: None,
            free_space: FreeSpace { bytes: 1 << 40, files: Some(1 << 20) },
            owner: Weak::new(),
            submissions: Arc::default(),
        }
    }
}

impl Medium {
    /// Notes an operation, and tells whether it takes place and what is reported of it.
    pub(super) fn operation(&mut self, line: String) -> (Effect, io::Result<()>) {
        let number = self.log.len();
        self.log.push(line);
        if !self.has_power() {
            return (Effect::None, Err(io::Error::other("the power is off")));
        }
        if let Some((from, kind)) = self.broken_from
            && number >= from
        {
            return (Effect::None, Err(kind.into()));
        }
        match self.faults.get(&number) {
            None => (Effect::Whole, Ok(())),
            Some(Fault::ShortWrite) => (Effect::Half, Ok(())),
            Some(Fault::Error(kind)) => (Effect::None, Err((*kind).into())),
            Some(Fault::ErrorAfterEffect(kind)) => (Effect::Whole, Err((*kind).into())),
        }
    }

    /// Whether the last noted operation still had power.
    pub(super) fn has_power(&self) -> bool {
        self.power_ends_at.is_none_or(|end| self.log.len() <= end)
    }

    pub(super) fn create(&mut self, entry: &Entry) -> io::Result<usize> {
        if self.number(entry).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.files.push(MediumFile::default());
        let number = self.files.len() - 1;
        self.change(entry, Some(number));
        Ok(number)
    }

    pub(super) fn rename(&mut self, from: &Entry, to: &Entry) -> io::Result<()> {
        let number = self.number(from).ok_or(io::ErrorKind::NotFound)?;
        if self.number(to).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        // Two changes that survive or not independently of each other: worse than journals are, and all POSIX says.
        self.change(to, Some(number));
        self.change(from, None);
        Ok(())
    }

    pub(super) fn link(&mut self, from: &Entry, to: &Entry) -> io::Result<()> {
        let number = self.number(from).ok_or(io::ErrorKind::NotFound)?;
        if self.number(to).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.change(to, Some(number));
        Ok(())
    }

    pub(super) fn remove(&mut self, entry: &Entry) -> io::Result<()> {
        self.number(entry).ok_or(io::ErrorKind::NotFound)?;
        self.change(entry, None);
        Ok(())
    }

    fn change(&mut self, entry: &Entry, file: Option<usize>) {
        let folder = self.folders.entry(entry.folder).or_default();
        match file {
            Some(number) => folder.names.insert(entry.name.clone(), number),
            None => folder.names.remove(&entry.name),
        };
        folder.pending.push(Change { name: entry.name.clone(), file, is_lost: false });
    }

    pub(super) fn write(&mut self, number: usize, offset: u64, octets: &[u8]) {
        let file = &mut self.files[number];
        let begin = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = begin.saturating_add(octets.len());
        file.octets.resize(file.octets.len().max(end), 0);
        file.octets[begin..end].copy_from_slice(octets);
        file.unsynced = match file.unsynced.is_empty() {
            true => begin..end,
            false => file.unsynced.start.min(begin)..file.unsynced.end.max(end),
        };
    }

    pub(super) fn read(&self, number: usize, offset: u64, buffer: &mut [u8]) -> usize {
        let octets = &self.files[number].octets;
        let rest = usize::try_from(offset).ok().and_then(|offset| octets.get(offset..)).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        length
    }

    pub(super) fn length(&self, number: usize) -> u64 {
        self.files[number].octets.len() as u64
    }

    pub(super) fn sync_file(&mut self, number: usize, is_successful: bool) {
        let file = &mut self.files[number];
        file.is_lost |= !is_successful;
        if !file.is_lost {
            // Not all of it: the journal is long and synced often. Files do not shrink.
            file.durable.resize(file.octets.len(), 0);
            let unsynced = std::mem::take(&mut file.unsynced);
            file.durable[unsynced.clone()].copy_from_slice(&file.octets[unsynced]);
        }
    }

    pub(super) fn sync_folder(&mut self, folder: Folder, is_successful: bool) {
        let folder = self.folders.entry(folder).or_default();
        if !is_successful {
            folder.pending.iter_mut().for_each(|change| change.is_lost = true);
        }
        let (mut lost, synced): (Vec<_>, Vec<_>) = folder.pending.drain(..).partition(|change| change.is_lost);
        // What was lost is older than what is synced now: the same name as it is now takes its place.
        lost.retain(|change: &Change| synced.iter().all(|newer| newer.name != change.name));
        folder.pending = lost;
        synced.iter().for_each(|change| apply(&mut folder.durable, change));
    }

    pub(super) fn number(&self, entry: &Entry) -> Option<usize> {
        self.folders.get(&entry.folder)?.names.get(&entry.name).copied()
    }

    pub(super) fn file(&self, entry: &Entry) -> Option<&MediumFile> {
        self.number(entry).map(|number| &self.files[number])
    }

    pub(super) fn names(&self, folder: Folder) -> Vec<OsString> {
        self.folders.get(&folder).map(|folder| folder.names.keys().cloned().collect()).unwrap_or_default()
    }

    pub(super) fn duplicate(&self) -> Medium {
        let (files, folders) = (self.files.clone(), self.folders.clone());
        Medium { files, folders, free_space: self.free_space, ..Medium::default() }
    }

    /// Takes over a folder as it was found.
    pub(super) fn adopt(&mut self, folder: Folder, names: BTreeMap<OsString, usize>) {
        self.folders.insert(folder, MediumFolder { durable: names.clone(), names, pending: Vec::new() });
    }

    pub(super) fn plant(&mut self, entry: &Entry, octets: &[u8]) {
        self.files.push(MediumFile::durable(octets.to_owned()));
        let number = self.files.len() - 1;
        let folder = self.folders.entry(entry.folder).or_default();
        folder.names.insert(entry.name.clone(), number);
        folder.durable.insert(entry.name.clone(), number);
    }
}

impl MediumFile {
    pub(super) fn durable(octets: Vec<u8>) -> Self {
        MediumFile { durable: octets.clone(), octets, unsynced: 0..0, is_lost: false }
    }
}

/// Carries out a change of a name.
pub(super) fn apply(names: &mut BTreeMap<OsString, usize>, change: &Change) {
    match change.file {
        Some(number) => names.insert(change.name.clone(), number),
        None => names.remove(&change.name),
    };
}
