//! A message on its way in: content to a buffer, and from there to the journal, or to a file and the file to its name.
//!
//! Up to [`BUFFER_OCTETS`] wait in memory, or [`LOAN_OCTETS`] as long as not too many messages do, so a small message touches
//! the disk only when it is committed, and then it goes to the journal. Content that is longer goes to `tmp/` piece by piece,
//! and is committed in a file of its own. Nothing is locked while a peer is sending.

use std::io::{self, Write};
use std::sync::Arc;

use crc32fast::Hasher;

use crate::disk::{Access, DiskFile, Entry, Folder};
use crate::durable::Published;
use crate::engine::{Engine, Loan};
use crate::envelope::Envelope;
use crate::error::StoreError;
use crate::id::MessageId;
use crate::message_file::{self, HEADER};
use crate::store::{Due, Incoming};

/// Octets of one message that wait in memory.
pub(crate) const BUFFER_OCTETS: usize = 64 << 10;

/// Octets of one message that wait in memory on loan.
pub(crate) const LOAN_OCTETS: usize = 128 << 10;

/// What usually stands around the content of a message: our trace field, and what is said of it for the disk.
const ROUND_ABOUT_OCTETS: usize = 512;

/// Octets after which the medium is told that it may begin.
const WRITE_BACK_OCTETS: usize = 1 << 20;

/// Names in `tmp/` that are tried until a free one is found. They are given out once each, so only entries that
/// recovery could not remove stand in the way.
const NAME_TRIES: usize = 16;

/// What [`Store::begin`](crate::Store::begin) returns.
pub(crate) struct SpoolIncoming {
    engine: Arc<Engine>,
    /// What is not yet in the file, the header included.
    buffer: Vec<u8>,
    hasher: Hasher,
    content_octets: u64,
    file: Option<Box<dyn DiskFile>>,
    /// Octets in the file of which the medium has not been told.
    unsent_octets: usize,
    /// Removed when this is dropped.
    temporary: Option<Entry>,
    loan: Option<Loan>,
    /// The first error of writing, for `commit`.
    failure: Option<StoreError>,
}

impl SpoolIncoming {
    pub(crate) fn new(engine: Arc<Engine>, size_hint: Option<u64>) -> Self {
        let size = size_hint.and_then(|size| usize::try_from(size).ok()).unwrap_or(0).min(BUFFER_OCTETS);
        let mut buffer = engine.journal.buffer(size + ROUND_ABOUT_OCTETS);
        buffer.extend_from_slice(HEADER);
        let mut hasher = Hasher::new();
        hasher.update(HEADER);
        SpoolIncoming {
            engine,
            buffer,
            hasher,
            content_octets: 0,
            file: None,
            unsent_octets: 0,
            temporary: None,
            loan: None,
            failure: None,
        }
    }

    /// How much may wait in memory now.
    fn limit(&mut self) -> usize {
        if self.buffer.len() >= BUFFER_OCTETS && self.file.is_none() && self.loan.is_none() {
            self.loan = self.engine.lend();
        }
        if self.loan.is_some() { LOAN_OCTETS } else { BUFFER_OCTETS }
    }

    /// Moves the buffer to the file, which is made if there is none.
    fn spill(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            let (file, temporary) = self.create()?;
            self.file = Some(file);
            self.temporary = Some(temporary);
        }
        if let Some(file) = &mut self.file {
            file.write_all(&self.buffer)?;
            self.unsent_octets += self.buffer.len();
            if self.unsent_octets >= WRITE_BACK_OCTETS {
                file.begin_write_back();
                self.unsent_octets = 0;
            }
        }
        self.buffer.clear();
        self.loan = None;
        Ok(())
    }

    fn create(&self) -> io::Result<(Box<dyn DiskFile>, Entry)> {
        let mut result = Err(io::ErrorKind::AlreadyExists.into());
        for _ in 0..NAME_TRIES {
            let temporary = self.engine.temporary_name();
            match self.engine.disk.create(&temporary) {
                Ok(file) => return Ok((file, temporary)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => result = Err(error),
                Err(error) => return Err(error),
            }
        }
        result
    }

    /// Writes the end of the message and makes it durable, unless there is one of this id.
    fn store(&mut self, id: &MessageId, envelope: &Envelope, due: Due) -> Result<Published, StoreError> {
        if self.engine.journal.place(id).is_some() {
            return Ok(Published::NameTaken);
        }
        let closing = message_file::closing(self.hasher.clone(), self.content_octets, id, due, envelope)
            .ok_or_else(|| message_file::unstorable(id))?;
        self.buffer.extend_from_slice(&closing);
        if self.file.is_some() {
            return self.publish(id);
        }
        if self.engine.may_have_file(id) {
            match self.engine.disk.open(&Folder::New.entry(id.as_str()), Access::Read) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if error.kind() != io::ErrorKind::InvalidData => {
                    return Err(StoreError::from_io(format!("looking for message {id}"), error));
                }
                _ => return Ok(Published::NameTaken),
            }
        }
        self.engine.journal.append(id, std::mem::take(&mut self.buffer), due).map(|()| Published::Stored)
    }

    /// Writes the rest of the file and gives it its name.
    fn publish(&mut self, id: &MessageId) -> Result<Published, StoreError> {
        self.spill().map_err(|error| StoreError::from_io(format!("writing message {id}"), error))?;
        let (Some(file), Some(temporary)) = (self.file.take(), &self.temporary) else {
            return Err(message_file::unstorable(id));
        };
        let published = self.engine.publish(file, temporary, id).map_err(|error| {
            if !error.is_withdrawn {
                self.engine.withhold(id, "was refused and could not be removed; it may come back at the next start");
            }
            StoreError::from_io(format!("{} of message {id}", error.doing), error.source)
        })?;
        if matches!(published, Published::Stored) {
            self.temporary = None;
        }
        Ok(published)
    }

    /// The name was taken: the same message was committed before, and that counts, if it is whole.
    fn confirm(&self, id: &MessageId) -> Result<(), StoreError> {
        let confirmed = self.engine.message(id).and_then(|mut message| message.verify());
        confirmed.map_err(|error| StoreError::from_read(format!("committing message {id} for the second time"), error))
    }
}

impl Write for SpoolIncoming {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if let Some(failure) = &self.failure {
            return Err(io::Error::other(failure.to_string()));
        }
        let limit = self.limit();
        let room = limit.saturating_sub(self.buffer.len());
        let taken = &octets[..octets.len().min(room.max(1))];
        self.buffer.extend_from_slice(taken);
        self.hasher.update(taken);
        self.content_octets += taken.len() as u64;
        if self.buffer.len() >= self.limit()
            && let Err(error) = self.spill()
        {
            let kind = error.kind();
            self.failure = Some(StoreError::from_io("writing a message", error));
            return Err(kind.into());
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Incoming for SpoolIncoming {
    fn commit(mut self: Box<Self>, id: &MessageId, envelope: &Envelope, due: Due) -> Result<(), StoreError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let engine = Arc::clone(&self.engine);
        let _turn = engine.begin_commit(id)?;
        let kept = engine.reserve_kept(due, self.content_octets)?;
        match self.store(id, envelope, due)? {
            Published::Stored => {
                kept.keep();
                // A report is made anew when it is not known what became of the first.
                engine.enqueue(id, envelope, due, matches!(due, Due::At(_)));
                Ok(())
            }
            Published::NameTaken => self.confirm(id),
        }
    }

    fn len(&self) -> u64 {
        self.content_octets
    }
}

impl Drop for SpoolIncoming {
    fn drop(&mut self) {
        // Whatever does not go now goes at the next start.
        if let Some(temporary) = self.temporary.take() {
            let _ = self.engine.disk.remove(&temporary);
        }
    }
}
