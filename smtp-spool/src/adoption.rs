//! The owner's side of the maildrop: messages that others left there become messages of the spool.
//!
//! What was put there has been acknowledged, so at no moment may a power cut find it in neither place; and once it can be
//! delivered, none may find it in both, or it would be delivered again. So a message is adopted by
//!
//! 1. a second name in `new/`, which replaces nothing (a rename would be two changes that may survive one without the
//!    other),
//! 2. sync of `new/`,
//! 3. removal of the name in `maildrop/`,
//! 4. sync of `maildrop/`. **Only now can it be claimed.**
//!
//! Cut short between 2 and 4 it is found in both places: recovery queues the one in `new/`, and the name in `maildrop/` is
//! removed before anybody claims anything. The two names are one file, so whoever had it open could go on writing to it:
//! one more reason why submitters are the same user. (Should others be let in one day, it must be copied.)

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};

use crate::disk::{Entry, Folder};
use crate::durable::{self, Published};
use crate::engine::{Engine, lock};
use crate::error::{ReadError, StoreError};
use crate::id::MessageId;
use crate::maildrop;
use crate::message_file::{Layout, MessageFile};
use crate::recovery;

/// Messages that are adopted at once: those that come behind them may wait until these are on their way.
const AT_ONCE: usize = 100;

/// What became of an entry that is no longer in the maildrop.
#[derive(Debug, PartialEq, Eq)]
enum Adoption {
    /// It is a message of the spool now.
    Made,
    /// There was nothing to do: it is one already, was corrupt, or has vanished.
    Needless,
    /// It is no message, and stays.
    Stranger(&'static str),
}

impl Engine {
    /// Adopts what lies in the maildrop, [`AT_ONCE`] messages at most. Returns how many. What has to stay there is told once
    /// and looked at again the next time.
    pub(crate) fn adopt(&self) -> usize {
        let mut names = match self.disk.list(Folder::Maildrop) {
            Ok(names) => names,
            Err(error) => {
                log::error!("the maildrop cannot be listed: {error}");
                return 0;
            }
        };
        // Ids sort by time: whoever came first is adopted first.
        names.sort();
        let (unfinished, whole): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| maildrop::is_unfinished(name));
        self.clear_up(unfinished);
        let (mut adopted, mut left) = (0, HashSet::new());
        for name in whole {
            if adopted == AT_ONCE {
                // The rest has not been looked at, so what has been told of it stays told.
                left.extend(lock(&self.left_in_maildrop).drain());
                break;
            }
            let (level, reason) = match self.adopt_entry(&name) {
                Ok(Adoption::Made) => {
                    adopted += 1;
                    continue;
                }
                Ok(Adoption::Needless) => continue,
                Ok(Adoption::Stranger(reason)) => (log::Level::Warn, reason.to_owned()),
                Err(reason) => (log::Level::Error, reason),
            };
            if !lock(&self.left_in_maildrop).contains(&name) {
                log::log!(level, "{}: {reason}; left alone", Folder::Maildrop.entry(&name));
            }
            left.insert(name);
        }
        *lock(&self.left_in_maildrop) = left;
        adopted
    }

    /// Removes unfinished files if there is no submitter who could finish them. The names were read before that is asked, so
    /// a submitter who begins afterwards has another one.
    fn clear_up(&self, unfinished: Vec<OsString>) {
        if unfinished.is_empty() || !matches!(self.disk.is_anybody_submitting(), Ok(false)) {
            return;
        }
        for name in unfinished {
            // What cannot be removed now is found again.
            let _ = self.disk.remove(&Folder::Maildrop.entry(name));
        }
    }

    fn adopt_entry(&self, name: &OsStr) -> Result<Adoption, String> {
        let Some(id) = recovery::id(name) else {
            return Ok(Adoption::Stranger("the name is not a message id"));
        };
        let _turn = match self.begin_commit(&id) {
            Ok(turn) => turn,
            // Another thread is at it.
            Err(StoreError::Unknown { .. }) => return Ok(Adoption::Needless),
            Err(error) => return Err(error.to_string()),
        };
        let opened = MessageFile::open_in(&*self.disk, Folder::Maildrop, &id);
        match opened.and_then(MessageFile::verified) {
            Ok(message) => self.take_over(&id, &message.into_layout()),
            Err(ReadError::Missing) if durable::is_absent(&*self.disk, &Folder::Maildrop.entry(name)) => {
                Ok(Adoption::Needless)
            }
            Err(ReadError::Missing) => Ok(Adoption::Stranger("it does not begin as a message does")),
            Err(ReadError::Corrupt(reason)) => {
                let entry = Folder::Maildrop.entry(name);
                recovery::set_aside(&*self.disk, &entry, id.as_str())
                    .map_err(|error| format!("{reason}; it cannot be moved to corrupt: {error}"))?;
                log::error!("{entry}: {reason}; moved to corrupt");
                Ok(Adoption::Needless)
            }
            Err(error @ ReadError::Failed(_)) => Err(error.to_string()),
        }
    }

    fn take_over(&self, id: &MessageId, message: &Layout) -> Result<Adoption, String> {
        let old = Folder::Maildrop.entry(id.as_str());
        if self.journal.place(id).is_some() {
            return self.drop_second(id, &old);
        }
        let kept = self.reserve_kept(message.due, message.content_octets).map_err(|error| error.to_string())?;
        match self.noting_file(id, |new| durable::link(&*self.disk, &old, new)) {
            Ok(Published::Stored) => {}
            Ok(Published::NameTaken) => return self.drop_second(id, &old),
            Err(error) => {
                if !error.is_withdrawn {
                    self.withhold(id, "could not be adopted, and may be in new; the next start decides");
                }
                return Err(format!("{}: {}", error.doing, error.source));
            }
        }
        if let Err(error) = durable::remove(&*self.disk, &old) {
            if !durable::is_absent(&*self.disk, &old) {
                // Delivered now, it would be adopted and delivered again.
                self.withhold(id, "is adopted and cannot be removed from the maildrop; the next start goes on with it");
                return Err(format!("removing the name: {error}"));
            }
            log::warn!("{old}: adopted; its removal may not be durable: {error}");
        }
        kept.keep();
        self.enqueue(id, &message.envelope, message.due, false);
        log::info!("id={id} adopted from the maildrop");
        Ok(Adoption::Made)
    }

    /// The id is that of a message of the spool, which counts, if it is whole.
    fn drop_second(&self, id: &MessageId, old: &Entry) -> Result<Adoption, String> {
        let counts = self.message(id).and_then(|mut message| message.verify());
        counts.map_err(|error| format!("there is a message of this id: {error}"))?;
        durable::remove(&*self.disk, old).map_err(|error| format!("removing the name: {error}"))?;
        Ok(Adoption::Needless)
    }
}
