//! Final delivery into Maildirs: one directory per mailbox, one file per message, no locks.
//!
//! ```text
//! DIR/bob/                or DIR/example.org/bob/ where several domains are served ([`Layout`])
//!     tmp/                a message that is being written; its reader looks away
//!     new/                whole messages that no reader has seen
//!     cur/                messages that a reader has taken over, with its marks behind `:2,` in their names
//! ```
//!
//! **The promise.** When [`Maildir::deliver`] says `Ok`, the message is on disk, whole, under a name in `new/`, and a
//! power cut does not take it away. The steps, each of which the next one needs:
//!
//! | step | call | a crash behind it leaves |
//! | --- | --- | --- |
//! | 1 | directories made and synced where they are missing, `tmp` last | a mailbox that is finished by the next delivery |
//! | 2 | `openat(O_CREAT\|O_EXCL\|O_NOFOLLOW)` in `tmp/`, mode 0600; write | a file in `tmp/`, which is removed 36 hours later |
//! | 3 | sync of the file, of all that are delivered together | the same |
//! | 4 | `renameat2(RENAME_NOREPLACE)` to `new/`, or `linkat` and `unlinkat` where there is no such rename: neither replaces | perhaps the message; perhaps both names |
//! | 5 | sync of `new/`, one for all who have come so far (`shared_sync`). **This call delivers** | the message |
//!
//! A name that a crash leaves in `tmp/` beside that in `new/` is removed 36 hours later.
//!
//! **Delivered twice is there once.** A message is delivered at least once: after a crash the queue delivers again what
//! may have arrived. So its name is not made up on arrival but from its id and its recipient ([`UniqueName`]), and a
//! message whose name stands in `new/`, or in `cur/` with any marks behind it, is not written again. Only who knows that there
//! was no earlier try ([`Earlier`]) need not look. Three windows
//! remain in which a second copy appears, all of them only in the moment after a crash: the reader has moved the
//! message to another folder, or removed it, or changes its marks at the very moment in which `cur/` is read.
//!
//! **What the file holds.** `Return-Path:` (RFC 5321, 4.4), `Delivered-To:` with the whole address, then the message
//! with LF for CRLF, as Unix readers want it, and otherwise as it came: a last line without an end stays without. A
//! Return-Path field that came with the message is taken out, since ours would otherwise be one of two.
//!
//! **Nothing leaves DIR.** An address becomes names through one encoder, whose results hold neither slash nor leading
//! dot, and directories are opened one by one from that above, never through a link. Those of the mailboxes that were used
//! last stay open, and each delivery looks whether they are still the ones to which the names lead. DIR itself may be reached through
//! links: it is the operator's word. Everything belongs to the user as whom the server runs.

mod error;
mod name;
mod directory;
mod shared_sync;
mod folders;
mod open_mailboxes;
mod header_filter;
mod letter;
mod other_layout;

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use smtp_proto::address::{LocalPart, Mailbox, ReversePath};

use directory::Directory;
pub use error::MaildirError;
use folders::Written;
pub use name::UniqueName;
use name::directory_name;
use open_mailboxes::OpenMailboxes;

use crate::addressing::SEPARATOR;
use crate::domain_key::domain_key;

/// Which directory is whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `DIR/<local part>`: one domain is served, or all of them mean the same mailboxes.
    LocalPart,
    /// `DIR/<domain>/<local part>`.
    DomainAndLocalPart,
}

/// Mailboxes below one directory.
#[derive(Debug)]
pub struct Maildir {
    root: Directory,
    layout: Layout,
    separator: Option<char>,
    open: OpenMailboxes,
}

/// A message that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Its name in `new/`.
    pub file_name: String,
    /// It was there already, from an earlier try whose end nobody heard of.
    pub was_there: bool,
}

/// Whether an earlier try may have brought a message into the mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// It may: the mailbox is looked through, which takes the longer the more there is in it.
    Possible,
    /// This is the first.
    Excluded,
}

/// A message that is written and not in the mailbox yet, unless it was there. Dropping it takes it back.
pub struct Prepared {
    file_name: String,
    written: Option<Written>,
}

/// The second half of many deliveries, which wait for the medium together. Each of them holds a file open until then. What went wrong before is
/// passed on; one answer for each, in their order.
pub fn publish_all(prepared: Vec<Result<Prepared, MaildirError>>) -> Vec<Result<Delivered, MaildirError>> {
    let mut written = Vec::new();
    let mut delivered = Vec::with_capacity(prepared.len());
    for prepared in prepared {
        delivered.push(prepared.map(|Prepared { file_name, written: file }| {
            let was_there = file.is_none();
            written.extend(file);
            Delivered { file_name, was_there }
        }));
    }
    let new = delivered.iter_mut().filter(|delivered| delivered.as_ref().is_ok_and(|delivered| !delivered.was_there));
    for (delivered, published) in new.zip(folders::publish(written)) {
        if let Err(error) = published {
            *delivered = Err(error);
        }
    }
    delivered
}

impl Maildir {
    /// Opens the directory of the mailboxes; makes it (mode 0700, in an existing one) if there is none.
    pub fn open(root: &Path, layout: Layout) -> Result<Self, MaildirError> {
        Ok(Maildir {
            root: folders::open_root(root)?,
            layout,
            separator: Some(SEPARATOR),
            open: OpenMailboxes::default(),
        })
    }

    /// What separates the name of a mailbox from a detail behind it (RFC 5233): `bob+lists` is delivered to `bob`. `+`
    /// unless something else is said here; `None`: no address has a detail.
    pub fn with_separator(self, separator: Option<char>) -> Self {
        Maildir { separator, ..self }
    }

    /// Where the messages of an address go, whether it is there or not. Fails for addresses that can have no mailbox
    /// here, so that they can be refused before anything is taken over.
    pub fn directory_of(&self, mailbox: &Mailbox) -> Result<PathBuf, MaildirError> {
        Ok(self.names(mailbox)?.iter().fold(self.root.path().to_owned(), |path, name| path.join(name)))
    }

    /// Delivers a message, or finds that it was delivered before under the same name. `content` begins with the
    /// Received field of this host; its lines end in CRLF. Blocks until the message is on disk.
    ///
    /// After an error there is nothing in the mailbox, or what is there is counted by the next try.
    pub fn deliver(
        &self,
        mailbox: &Mailbox,
        reverse_path: &ReversePath,
        content: &mut dyn Read,
        name: &UniqueName,
    ) -> Result<Delivered, MaildirError> {
        let prepared = self.prepare(mailbox, reverse_path, content, name, Earlier::Possible);
        publish_all(vec![prepared]).pop().unwrap_or_else(|| Err(MaildirError::Content(io::ErrorKind::Other.into())))
    }

    /// The first half of [`Maildir::deliver`]: writes a message where no reader looks. [`publish_all`] is the second.
    pub fn prepare(
        &self,
        mailbox: &Mailbox,
        reverse_path: &ReversePath,
        content: &mut dyn Read,
        name: &UniqueName,
        earlier: Earlier,
    ) -> Result<Prepared, MaildirError> {
        let folders = self.open.get(&self.root, &self.names(mailbox)?)?;
        let mut written = None;
        if earlier == Earlier::Excluded || !folders.has(name)? {
            let mut temporary = folders.create(name)?;
            letter::write(mailbox, reverse_path, content, &mut temporary)?;
            written = Some(temporary.finish(name.clone()));
            folders.remove_leftovers();
        }
        Ok(Prepared { file_name: name.as_str().to_owned(), written })
    }

    /// The names of the directories that lead to a mailbox, from the top.
    fn names(&self, mailbox: &Mailbox) -> Result<Vec<String>, MaildirError> {
        let local_part = without_detail(mailbox.local_part().as_str(), self.separator);
        // One directory, in whichever spelling the domain came.
        let domain = domain_key(mailbox.domain());
        let parts = match self.layout {
            Layout::LocalPart => vec![local_part],
            Layout::DomainAndLocalPart => vec![domain.as_str(), local_part],
        };
        let names = parts.into_iter().map(directory_name).collect::<Option<_>>();
        names.ok_or_else(|| MaildirError::Name(mailbox.clone()))
    }
}

/// Whether a mailbox of this name can be a directory: it is not empty, and what it is encoded to is no longer than a name of a
/// file may be. Asks no disk, so that whoever cannot have mail is told so before it is taken over.
pub fn can_be_directory(local_part: &LocalPart) -> bool {
    directory_name(without_detail(local_part.as_str(), Some(SEPARATOR))).is_some()
}

/// `+tag` alone is no detail of nobody's, but the name of a mailbox.
fn without_detail(local_part: &str, separator: Option<char>) -> &str {
    match separator.and_then(|separator| local_part.split_once(separator)) {
        Some((user, _)) if !user.is_empty() => user,
        _ => local_part,
    }
}

#[cfg(test)]
mod tests;
