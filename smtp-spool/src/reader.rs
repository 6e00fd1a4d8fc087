//! Reading a spool without owning it: for listings, for export, for a look at one message.
//!
//! No lock is taken and nothing is changed, so the owner may be at work. What a reader sees was true a moment ago: a
//! message may vanish between a listing and its opening, and a message that is listed may be one whose commit is not
//! complete yet.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::disk::{Access, Disk, Entry, Folder};
use crate::durable;
use crate::engine::lock;
use crate::envelope::Envelope;
use crate::error::{OpenError, ReadError};
use crate::id::MessageId;
use crate::journal::view::{Names, View};
use crate::lifetime;
use crate::maildrop;
use crate::message_file::{Content, Layout, MessageFile};
use crate::os_disk::OsDisk;
use crate::recipient_state::{RecipientState, Status};
use crate::recovery;
use crate::state_record;
use crate::store::Due;

/// A view of a spool.
#[derive(Clone)]
pub struct Reader {
    disk: Arc<dyn Disk>,
    journal: Arc<Mutex<View>>,
}

/// What is known of a message without reading its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The message.
    pub id: MessageId,
    /// When it was to be delivered first.
    pub due: Due,
    /// Octets of the content.
    pub size: u64,
    /// Who it is from and for.
    pub envelope: Envelope,
    /// Where each recipient stands, and behind those of the envelope the targets of aliases; empty for a kept message.
    pub recipients: Vec<RecipientState>,
}

/// The state of a whole message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageState {
    /// It lies where it was to go.
    Kept,
    /// Somebody has still to deliver it.
    Queued,
    /// All that is left of it waits to be released.
    Held,
    /// All is done and it is about to be removed.
    Finished,
}

impl Reader {
    /// Looks at an existing spool.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Ok(Reader::on(Arc::new(OsDisk::open(path.as_ref())?)))
    }

    /// The same on any disk.
    pub fn on(disk: Arc<dyn Disk>) -> Self {
        Reader { disk, journal: Arc::default() }
    }

    /// Every message, those in the maildrop included, the oldest first (as ids of [`IdSource`](crate::IdSource) sort), each as it is when the iterator
    /// comes to it. One that has vanished meanwhile is [`ReadError::Missing`].
    pub fn list(&self) -> io::Result<impl Iterator<Item = (MessageId, Result<Summary, ReadError>)>> {
        // In this order: a message that is being adopted, or moves out of the journal, is seen in one of the two, or in both.
        let mut names = self.disk.list(Folder::Maildrop)?;
        let mut ids: Vec<_> = lock(&self.journal).all(&*self.disk)?.keys().cloned().collect();
        names.extend(self.disk.list(Folder::New)?);
        ids.extend(names.iter().filter_map(|name| recovery::id(name)));
        ids.sort();
        ids.dedup();
        let reader = self.clone();
        Ok(ids.into_iter().map(move |id| {
            let summary = reader.summary(&id);
            (id, summary)
        }))
    }

    /// How long whoever runs the queue of this spool tries a message; five days where nobody has said otherwise, or it cannot
    /// be read.
    pub fn lifetime_seconds(&self) -> i64 {
        lifetime::read(&*self.disk)
    }

    /// Entries that are no messages: unknown names in `new/`, `maildrop/` and `journal/`, what does not begin as a message does in
    /// `maildrop/`, and what was moved to `corrupt/`.
    pub fn strangers(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for folder in [Folder::New, Folder::Maildrop] {
            let names = self.disk.list(folder)?.into_iter().map(|name| folder.entry(name));
            entries.extend(names.filter(|entry| self.is_stranger(entry) && !maildrop::is_on_its_way(entry)));
        }
        entries.extend(Names::read(&*self.disk)?.strangers);
        entries.extend(self.disk.list(Folder::Corrupt)?.into_iter().map(|name| Folder::Corrupt.entry(name)));
        entries.sort();
        Ok(entries)
    }

    fn is_stranger(&self, entry: &Entry) -> bool {
        let Some(id) = recovery::id(&entry.name) else { return true };
        entry.folder == Folder::Maildrop
            && matches!(MessageFile::open_in(&*self.disk, Folder::Maildrop, &id), Err(ReadError::Missing))
            && !durable::is_absent(&*self.disk, entry)
    }

    /// The file in which a message is at this moment, or would be.
    pub fn entry(&self, id: &MessageId) -> Entry {
        let is_in = |folder: Folder| self.disk.open(&folder.entry(id.as_str()), Access::Read).is_ok();
        let place = lock(&self.journal).find(&*self.disk, id);
        match place {
            _ if is_in(Folder::New) => Folder::New.entry(id.as_str()),
            Ok(Some(place)) => place.segment.entry(),
            _ if is_in(Folder::Maildrop) => Folder::Maildrop.entry(id.as_str()),
            _ => Folder::New.entry(id.as_str()),
        }
    }

    /// Parts of the journal that are damaged, each with where it is and what is wrong: what was in them is not listed.
    pub fn damage(&self) -> io::Result<Vec<(Entry, String)>> {
        let damage = lock(&self.journal).damage(&*self.disk)?;
        Ok(damage.iter().map(|part| (part.segment.entry(), part.to_string())).collect())
    }

    /// Opens a message where it is. Between two looks it may be adopted, out of the one folder and into the other, or move out of
    /// the journal.
    fn find(&self, id: &MessageId) -> Result<MessageFile, ReadError> {
        let is_found = |found: &Result<MessageFile, ReadError>| !matches!(found, Err(ReadError::Missing));
        for folder in [Folder::New, Folder::Maildrop] {
            let found = MessageFile::open_in(&*self.disk, folder, id);
            if is_found(&found) {
                return found;
            }
        }
        let place = lock(&self.journal).find(&*self.disk, id)?;
        let found = place.map_or(Err(ReadError::Missing), |place| MessageFile::open_at(&*self.disk, &place, id));
        if is_found(&found) { found } else { MessageFile::open(&*self.disk, id) }
    }

    /// One message without its content.
    pub fn summary(&self, id: &MessageId) -> Result<Summary, ReadError> {
        let message = self.find(id)?.into_layout();
        let recipients = match message.due.at() {
            None => Vec::new(),
            Some(at) => self.recipients(id, vec![RecipientState::new(at); message.envelope.recipients.len()])?,
        };
        let Layout { due, content_octets: size, envelope, .. } = message;
        Ok(Summary { id: id.clone(), due, size, envelope, recipients })
    }

    fn recipients(&self, id: &MessageId, mut states: Vec<RecipientState>) -> Result<Vec<RecipientState>, ReadError> {
        let file = self.disk.open(&Folder::State.entry(id.as_str()), Access::Read);
        match file.and_then(|file| state_record::replay(&*file, &mut states)) {
            // A line that does not verify may be one that is being written.
            Ok(_) => Ok(states),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => Ok(states),
            Err(error) => Err(ReadError::Failed(error)),
        }
    }

    /// Reads a whole message and compares its checksum.
    pub fn verify(&self, id: &MessageId) -> Result<(), ReadError> {
        self.find(id)?.verify()
    }

    /// The content of a message, octet for octet, whose checksum has been compared before the first octet is given out.
    pub fn content(&self, id: &MessageId) -> Result<Content, ReadError> {
        Ok(self.find(id)?.verified()?.into_content())
    }
}

impl Summary {
    /// The state of the whole message.
    pub fn state(&self) -> MessageState {
        let is_any = |wanted: fn(&Status) -> bool| self.recipients.iter().any(|recipient| wanted(&recipient.status));
        let owes_report = self.recipients.iter().any(|recipient| recipient.is_decided() && recipient.report.is_open());
        match self.due {
            Due::Kept => MessageState::Kept,
            _ if owes_report || is_any(|status| matches!(status, Status::Due(_))) => MessageState::Queued,
            _ if is_any(|status| matches!(status, Status::Held)) => MessageState::Held,
            _ => MessageState::Finished,
        }
    }
}
