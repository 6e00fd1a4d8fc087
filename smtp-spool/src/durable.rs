//! The one file that syncs: what makes a message, a record and a removal durable, and in which order.
//!
//! A name must not become durable before the octets that it stands for, and nobody may be told of a name that is not
//! durable. So a message comes into being by
//!
//! 1. sync of the file under its temporary name,
//! 2. rename to its final name, without replacing,
//! 3. sync of the folder of the final name. **This call commits.**
//!
//! (A message that comes out of the maildrop goes another way, which [`crate::adoption`] tells.)
//!
//! The folder of the temporary name is not synced: if the old name comes back, recovery removes it.
//!
//! A failed sync is final. Kernels drop the pages that they could not write and say "ok" to the next sync, so nothing is
//! synced for a second time in the hope of a better answer. A record goes on after a failed sync, since all that is at
//! stake there is a repeated delivery; a message does not.

use std::io;

use crate::disk::{Access, Disk, DiskFile, Entry, Folder};

/// How [`publish`] or [`link`] ended.
#[derive(Debug)]
pub(crate) enum Published {
    /// The file is durable under its final name.
    Stored,
    /// The final name was taken. The file is still under its old name, and only there.
    NameTaken,
}

/// Why [`publish`] or [`link`] failed, and whether the file is certain not to stand under its final name.
#[derive(Debug)]
pub(crate) struct PublishError {
    pub(crate) doing: &'static str,
    pub(crate) source: io::Error,
    pub(crate) is_withdrawn: bool,
}

/// Makes a written file durable under its final name. After an error it is under none, as far as that can be done.
pub(crate) fn publish(
    disk: &dyn Disk,
    mut file: Box<dyn DiskFile>,
    temporary: &Entry,
    last: &Entry,
) -> Result<Published, PublishError> {
    let failed = |doing, source, is_withdrawn| PublishError { doing, source, is_withdrawn };
    file.sync().map_err(|error| failed("syncing the file", error, true))?;
    // Before the rename: see `Disk::open_folder`.
    let mut folder = disk.open_folder(last.folder).map_err(|error| failed("opening the folder", error, true))?;
    match disk.rename(temporary, last) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(Published::NameTaken),
        Err(error) => {
            let is_withdrawn = withdraw_after_rename(disk, temporary, last);
            return Err(failed("renaming the file", error, is_withdrawn));
        }
    }
    match folder.sync() {
        Ok(()) => Ok(Published::Stored),
        Err(error) => Err(failed("syncing the folder", error, is_gone(disk.remove(last)))),
    }
}

/// Gives a durable file a second name, durably and without replacing. After an error that name is gone, as far as that can
/// be done; the first one stays in any case.
pub(crate) fn link(disk: &dyn Disk, from: &Entry, to: &Entry) -> Result<Published, PublishError> {
    let failed = |doing, source, is_withdrawn| PublishError { doing, source, is_withdrawn };
    let mut folder = disk.open_folder(to.folder).map_err(|error| failed("opening the folder", error, true))?;
    match disk.link(from, to) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(Published::NameTaken),
        // Nothing is removed here: what stands under the name, if anything, may be somebody else's.
        Err(error) => return Err(failed("linking the file", error, is_absent(disk, to))),
    }
    match folder.sync() {
        Ok(()) => Ok(Published::Stored),
        Err(error) => Err(failed("syncing the folder", error, is_gone(disk.remove(to)))),
    }
}

/// Whether there is certainly nothing under a name.
pub(crate) fn is_absent(disk: &dyn Disk, entry: &Entry) -> bool {
    disk.open(entry, Access::Read).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// After a rename that failed it is not known where the file is. Only if it has left its old name may the final name be
/// removed: otherwise that would be a message of the same id that was acknowledged earlier.
fn withdraw_after_rename(disk: &dyn Disk, temporary: &Entry, last: &Entry) -> bool {
    match disk.open(temporary, Access::Read) {
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => is_gone(disk.remove(last)),
        Err(_) => false,
    }
}

fn is_gone(removed: io::Result<()>) -> bool {
    removed.is_ok() || removed.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Appends lines to a file, which is made if there is none.
pub(crate) fn append(disk: &dyn Disk, entry: &Entry, lines: &str) -> io::Result<()> {
    match disk.open(entry, Access::Append) {
        Ok(mut file) => {
            // A power cut may have left half a line; ours must not become its second half.
            if !ends_in_newline(&*file)? {
                file.write_all(b"\n")?;
            }
            file.write_all(lines.as_bytes())?;
            file.sync()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut folder = disk.open_folder(entry.folder)?;
            let written = disk.create(entry).and_then(|mut file| {
                file.write_all(lines.as_bytes())?;
                file.sync()
            });
            let result = written.and_then(|()| folder.sync());
            if result.is_err() {
                // So that the next line begins anew, name and all. If this fails too, a duplicate is the worst.
                let _ = disk.remove(entry);
            }
            result
        }
        Err(error) => Err(error),
    }
}

fn ends_in_newline(file: &dyn DiskFile) -> io::Result<bool> {
    let Some(last) = file.length()?.checked_sub(1) else {
        return Ok(true);
    };
    let mut octet = [0];
    Ok(file.read_at(last, &mut octet)? == 0 || octet == *b"\n")
}

/// Removes a name durably. A name that is gone already is no error.
pub(crate) fn remove(disk: &dyn Disk, entry: &Entry) -> io::Result<()> {
    let mut folder = disk.open_folder(entry.folder)?;
    match disk.remove(entry) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => folder.sync(),
    }
}

/// Makes the names in these folders durable as they are now seen.
pub(crate) fn sync_folders(disk: &dyn Disk, folders: &[Folder]) -> io::Result<()> {
    folders.iter().try_for_each(|folder| disk.open_folder(*folder)?.sync())
}

/// Writes a small file, syncs it and removes it again: does the medium take anything at all?
pub(crate) fn probe(disk: &dyn Disk, temporary: &Entry) -> io::Result<()> {
    let mut file = disk.create(temporary)?;
    let written = file.write_all(b"probe\n").and_then(|()| file.sync());
    disk.remove(temporary)?;
    written
}
