//! What the owner does with a spool before anybody uses it: the other half of the table on the crate's first page.
//!
//! Every step may be cut short and done again at the next start. What is not understood is left alone: a file that
//! cannot be read today may be readable tomorrow, and a file with a strange name is somebody's.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;

use crate::disk::{Access, Disk, Entry, Folder};
use crate::durable;
use crate::error::ReadError;
use crate::id::MessageId;
use crate::journal::{Index, order};
use crate::lifetime;
use crate::message_file::MessageFile;
use crate::queue::Queue;
use crate::recipient_state::RecipientState;
use crate::state_record;

/// What opening a spool found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Messages that are kept here.
    pub kept_messages: usize,
    /// Messages that somebody has still to deliver.
    pub queued_messages: usize,
    /// Messages that others had left in the maildrop; adopted now.
    pub adopted_messages: usize,
    /// Messages whose delivery was complete and whose removal was not; removed now.
    pub finished_messages: usize,
    /// Files that an earlier run had not finished or not cleared away; removed now.
    pub removed_files: usize,
    /// Entries that did not prove themselves: moved to `corrupt/`.
    pub corrupt: Vec<Finding>,
    /// Entries that mean nothing to us or could not be touched: left where they are.
    pub left: Vec<Finding>,
}

/// An entry that needs a human.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which: `new/0abc`, escaped for a terminal.
    pub entry: String,
    /// Why.
    pub reason: String,
}

/// A spool put in order.
#[derive(Default)]
pub(crate) struct Recovered {
    pub(crate) queue: Queue,
    pub(crate) kept_octets: u64,
    pub(crate) report: RecoveryReport,
    /// What lies in the journal.
    pub(crate) journal: Index,
    /// The number of the next segment.
    pub(crate) next_segment: u64,
    /// Messages in files of their own, and whatever else has the name of one there.
    pub(crate) files: HashSet<MessageId>,
    /// Messages that may have records.
    pub(crate) records: HashSet<MessageId>,
    /// A part of the journal could not be read: which messages lie there is not known.
    is_journal_partial: bool,
    /// Reports that are to be made sure of before anybody claims them.
    reports_begun: Vec<MessageId>,
}

/// Where the recipients of a message stand.
#[derive(PartialEq, Eq)]
enum Standing {
    /// Somebody has still to deliver it.
    Queued,
    /// Nothing is left to be done.
    Finished,
    /// That cannot be read.
    Unknown,
}

/// Why recovery could not go on.
pub(crate) struct RecoveryError {
    pub(crate) doing: String,
    pub(crate) source: io::Error,
}

/// Names in `corrupt/` that are tried for one entry: its own, then numbered ones.
const CORRUPT_NAMES: usize = 100;

/// Puts a spool in order.
pub(crate) fn recover(disk: &dyn Disk) -> Result<Recovered, RecoveryError> {
    let mut recovered = Recovered::default();
    for name in list(disk, Folder::Temporary)? {
        recovered.remove(disk, &Folder::Temporary.entry(name));
    }
    for name in list(disk, Folder::New)? {
        recovered.message(disk, &name);
    }
    recovered.journal(disk)?;
    for report in std::mem::take(&mut recovered.reports_begun) {
        recovered.queue.withhold(&report);
    }
    recovered.files = list(disk, Folder::New)?.iter().filter_map(|name| id(name)).collect();
    for name in list(disk, Folder::State)? {
        recovered.record(disk, &name);
    }
    // Also what a killed process renamed and did not live to sync: from here on it counts.
    durable::sync_folders(disk, &Folder::ALL)
        .map_err(|source| RecoveryError { doing: "syncing the folders".to_owned(), source })?;
    recovered.report.log();
    Ok(recovered)
}

/// The names in a folder, sorted, so that two runs over the same spool do the same.
fn list(disk: &dyn Disk, folder: Folder) -> Result<Vec<OsString>, RecoveryError> {
    let mut names =
        disk.list(folder).map_err(|source| RecoveryError { doing: format!("listing {}", folder.name()), source })?;
    names.sort();
    Ok(names)
}

impl Recovered {
    /// Looks at one entry of `new/`.
    fn message(&mut self, disk: &dyn Disk, name: &OsStr) {
        let entry = Folder::New.entry(name);
        let Some(id) = id(name) else {
            return self.leave(&entry, "the name is not a message id");
        };
        match MessageFile::open(disk, &id) {
            Ok(message) => {
                let layout = message.into_layout();
                self.files.insert(id.clone());
                match layout.due.at() {
                    None => self.kept(layout.content_octets),
                    Some(at) => {
                        let recipients = vec![RecipientState::new(at); layout.envelope.recipients.len()];
                        if self.queued(disk, &id, recipients) == Standing::Finished {
                            self.finish(disk, &id);
                        }
                    }
                }
            }
            Err(ReadError::Corrupt(reason)) => {
                // The record first: should we be cut short here, the message is found again and the record is not lost.
                self.set_aside_record(disk, &id, "it belongs to a corrupt message");
                self.set_aside(disk, &entry, &id.to_string(), reason);
            }
            Err(error) => {
                // Should the journal hold it too, it is the same message, and counts once.
                self.files.insert(id);
                self.leave(&entry, &error.to_string());
            }
        }
    }

    /// Looks at the journal. What has a file of its own by now does not count there any more.
    fn journal(&mut self, disk: &dyn Disk) -> Result<(), RecoveryError> {
        let failed = |doing: &str, source| RecoveryError { doing: format!("{doing} the journal"), source };
        let names = order::clear(disk).map_err(|error| failed("clearing up", error))?;
        names.strangers.iter().for_each(|entry| self.leave(entry, "the name is not that of a segment"));
        self.next_segment = names.next_number;
        for segment in names.segments {
            let found = match order::read(disk, segment) {
                Ok(found) => found,
                Err(error) => {
                    self.is_journal_partial = true;
                    self.leave(&segment.entry(), &error.to_string());
                    continue;
                }
            };
            let mut alive = HashSet::new();
            for message in &found.alive {
                if !self.files.contains(&message.id) && self.counts(disk, message) {
                    alive.insert(message.id.clone());
                }
            }
            let mut set_aside = Vec::new();
            for damage in &found.damage {
                match order::set_aside(disk, segment, damage.offset, damage.octets) {
                    Ok(()) => {
                        let entry = segment.entry().to_string();
                        self.report.corrupt.push(Finding { entry, reason: damage.to_string() });
                        set_aside.push(damage.clone());
                    }
                    Err(error) => self.leave(&segment.entry(), &format!("{damage}; they cannot be moved: {error}")),
                }
            }
            found
                .settle(disk, &mut self.journal, &|id| alive.contains(id), &set_aside)
                .map_err(|error| failed("putting in order", error))?;
        }
        Ok(())
    }

    /// Whether there is still something to be done about a message in the journal.
    fn counts(&mut self, disk: &dyn Disk, message: &order::Alive) -> bool {
        let Some(at) = message.due.at() else {
            self.kept(message.content_octets);
            return true;
        };
        let is_finished =
            self.queued(disk, &message.id, vec![RecipientState::new(at); message.recipients]) == Standing::Finished;
        self.report.finished_messages += usize::from(is_finished);
        !is_finished
    }

    fn kept(&mut self, content_octets: u64) {
        self.kept_octets += content_octets;
        self.report.kept_messages += 1;
    }

    /// Brings the recipients of a message to where its record says they stand.
    fn queued(&mut self, disk: &dyn Disk, id: &MessageId, mut recipients: Vec<RecipientState>) -> Standing {
        let entry = Folder::State.entry(id.as_str());
        match disk.open(&entry, Access::Read).and_then(|file| state_record::replay(&*file, &mut recipients)) {
            Ok(0) => {}
            Ok(lines) => log::warn!("{entry}: {lines} lines do not verify and count as never written"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                self.set_aside_record(disk, id, "it is not a plain file");
            }
            // Delivering to everybody once more is worse than waiting until the record can be read.
            Err(error) => {
                self.leave(&entry, &error.to_string());
                return Standing::Unknown;
            }
        }
        if recipients.iter().all(RecipientState::is_finished) {
            return Standing::Finished;
        }
        self.reports_begun.extend(recipients.iter().flat_map(RecipientState::reports_begun).cloned());
        self.queue.insert(id.clone(), recipients);
        self.report.queued_messages += 1;
        Standing::Queued
    }

    /// Completes the removal of a message. Its record follows as an orphan.
    fn finish(&mut self, disk: &dyn Disk, id: &MessageId) {
        let entry = Folder::New.entry(id.as_str());
        match durable::remove(disk, &entry) {
            Ok(()) => self.report.finished_messages += 1,
            Err(error) => self.leave(&entry, &error.to_string()),
        }
    }

    /// Looks at one entry of `state/`.
    fn record(&mut self, disk: &dyn Disk, name: &OsStr) {
        let entry = Folder::State.entry(name);
        match id(name) {
            None if entry == lifetime::entry() => {}
            None => self.leave(&entry, "the name is not a message id"),
            Some(id) => {
                if !self.is_journal_partial && !self.files.contains(&id) && !self.journal.contains(&id) {
                    self.remove(disk, &entry);
                }
                // Also one that could not be removed just now.
                self.records.insert(id);
            }
        }
    }

    fn remove(&mut self, disk: &dyn Disk, entry: &Entry) {
        match disk.remove(entry) {
            Ok(()) => self.report.removed_files += 1,
            Err(error) => self.leave(entry, &error.to_string()),
        }
    }

    fn set_aside_record(&mut self, disk: &dyn Disk, id: &MessageId, reason: &str) {
        self.set_aside(disk, &Folder::State.entry(id.as_str()), &format!("{id}.state"), reason);
    }

    fn set_aside(&mut self, disk: &dyn Disk, entry: &Entry, name: &str, reason: &str) {
        match set_aside(disk, entry, name) {
            Ok(()) => self.report.corrupt.push(Finding { entry: entry.to_string(), reason: reason.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.leave(entry, &format!("{reason}; it cannot be moved to corrupt: {error}")),
        }
    }

    fn leave(&mut self, entry: &Entry, reason: &str) {
        self.report.left.push(Finding { entry: entry.to_string(), reason: reason.to_owned() });
    }
}

/// Moves an entry to `corrupt/`, under this name or a numbered one.
pub(crate) fn set_aside(disk: &dyn Disk, entry: &Entry, name: &str) -> io::Result<()> {
    let mut result = disk.rename(entry, &Folder::Corrupt.entry(name));
    for number in 1..CORRUPT_NAMES {
        match &result {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            _ => return result,
        }
        result = disk.rename(entry, &Folder::Corrupt.entry(format!("{name}.{number}")));
    }
    result
}

/// The id that a file name is, if it is one.
pub(crate) fn id(name: &OsStr) -> Option<MessageId> {
    name.to_str()?.parse().ok()
}

impl RecoveryReport {
    fn log(&self) {
        for Finding { entry, reason } in &self.corrupt {
            log::error!("{entry}: {reason}; moved to corrupt");
        }
        for Finding { entry, reason } in &self.left {
            log::warn!("{entry}: {reason}; left alone");
        }
    }
}
