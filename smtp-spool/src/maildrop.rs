//! The submitter's side of the maildrop: whoever does not own a spool leaves whole messages in it.
//!
//! A message in `maildrop/` is the same file as one in `new/`, and it comes about in the same order: a name that is no
//! message id, sync, rename, sync of the folder. From then on it is the owner's affair: [`Spool::adopt`](crate::Spool::adopt)
//! moves it into `new/` and lets it be delivered. There need not be an owner at the time.
//!
//! A submitter that is killed leaves a part of a file. The owner must not take it for one that is still growing, nor the
//! other way round; so every submitter holds a lock that ends with its process ([`Disk::begin_submission`]).

use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use crc32fast::Hasher;

use crate::disk::{Disk, Entry, Folder};
use crate::durable::{self, Published};
use crate::engine::check_room;
use crate::envelope::Envelope;
use crate::error::{OpenError, ReadError, StoreError};
use crate::id::MessageId;
use crate::message_file::{self, HEADER, MessageFile};
use crate::os_disk::OsDisk;
use crate::spool::Options;
use crate::store::Due;

/// The maildrop of a spool, for whoever does not own the spool.
#[derive(Clone)]
pub struct Maildrop {
    disk: Arc<dyn Disk>,
}

/// Octets of content that are copied at once.
const CHUNK_OCTETS: usize = 64 << 10;

/// How the names of unfinished files begin. No message id has a dot in it.
const UNFINISHED: &[u8] = b".";

impl Maildrop {
    /// Opens the maildrop of a spool, which is made if there is none (in an existing directory, with mode 0700). For the
    /// user to whom the spool belongs: nobody else may so much as look into it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Ok(Maildrop::on(Arc::new(OsDisk::create(path.as_ref())?)))
    }

    /// The same on any disk.
    pub fn on(disk: Arc<dyn Disk>) -> Self {
        Maildrop { disk }
    }

    /// Leaves a message that is due from when it was received on; blocks until it is on disk. Only after `Ok` may anybody
    /// be told that it was accepted. The same id twice counts once, as long as the message is there.
    pub fn put(&self, id: &MessageId, envelope: &Envelope, content: impl Read) -> Result<(), StoreError> {
        check_room(&*self.disk, &Options::default(), 1)?;
        // Held to the end: without it the owner would take the file for one that nobody finishes.
        let _submission =
            self.disk.begin_submission().map_err(|error| StoreError::from_io("locking the maildrop", error))?;
        let unfinished = unfinished_name(id).map_err(|error| StoreError::from_io("naming a file", error))?;
        let result = self.write(&unfinished, id, envelope, content);
        if !matches!(result, Ok(Published::Stored)) {
            // What stays behind is removed by the owner.
            let _ = self.disk.remove(&unfinished);
        }
        match result? {
            Published::Stored => Ok(()),
            Published::NameTaken => self.confirm(id),
        }
    }

    fn write(
        &self,
        unfinished: &Entry,
        id: &MessageId,
        envelope: &Envelope,
        mut content: impl Read,
    ) -> Result<Published, StoreError> {
        let writing = |error| StoreError::from_io(format!("writing message {id}"), error);
        let mut file = self.disk.create(unfinished).map_err(writing)?;
        let mut hasher = Hasher::new();
        hasher.update(HEADER);
        file.write_all(HEADER).map_err(writing)?;
        let (mut octets, mut buffer) = (0, vec![0; CHUNK_OCTETS]);
        loop {
            let count = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(StoreError::from_io(format!("reading message {id}"), error)),
            };
            let piece = buffer.get(..count).unwrap_or_default();
            hasher.update(piece);
            file.write_all(piece).map_err(writing)?;
            octets += count as u64;
        }
        let due = Due::At(envelope.received_at_unix_seconds);
        let closing =
            message_file::closing(hasher, octets, id, due, envelope).ok_or_else(|| message_file::unstorable(id))?;
        file.write_all(&closing).map_err(writing)?;
        durable::publish(&*self.disk, file, unfinished, &Folder::Maildrop.entry(id.as_str())).map_err(|error| {
            let doing = format!("{} of message {id}", error.doing);
            if error.is_withdrawn { StoreError::from_io(doing, error.source) } else { StoreError::Unknown { doing } }
        })
    }

    /// The name was taken: the same message was put here before, and that counts, if it is whole and its name durable.
    fn confirm(&self, id: &MessageId) -> Result<(), StoreError> {
        let doing = || format!("putting message {id} here for the second time");
        match MessageFile::open_in(&*self.disk, Folder::Maildrop, id).and_then(|mut message| message.verify()) {
            // The owner took it away at this very moment.
            Err(ReadError::Missing) => return Err(StoreError::Unknown { doing: doing() }),
            confirmed => confirmed.map_err(|error| StoreError::from_read(doing(), error))?,
        }
        durable::sync_folders(&*self.disk, &[Folder::Maildrop]).map_err(|error| StoreError::from_io(doing(), error))
    }
}

/// A name that nobody has used before, so that what a killed submitter left is in nobody's way.
fn unfinished_name(id: &MessageId) -> io::Result<Entry> {
    let random = getrandom::u64().map_err(io::Error::other)?;
    Ok(Folder::Maildrop.entry(format!(".{id}.{random:016x}")))
}

/// Whether a file is one that a submitter is writing, or has left behind.
pub(crate) fn is_on_its_way(entry: &Entry) -> bool {
    entry.folder == Folder::Maildrop && is_unfinished(&entry.name)
}

/// Whether a name in the maildrop is that of a file that is not whole yet.
pub(crate) fn is_unfinished(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(UNFINISHED)
}
