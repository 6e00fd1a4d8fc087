//! A rename that never replaces, on every system. For the spool, and for whoever else gives files their names by it.

use std::ffi::OsStr;
use std::fs::File;
use std::io;

use nix::errno::Errno;
use nix::fcntl;
use nix::unistd::{self, UnlinkatFlags};

/// Moves a file from one directory to another, or within one. Fails with `AlreadyExists` if the new name is taken; then the file
/// is where it was.
///
/// Where the system or the file system has no such call it is two: the new name is what counts. If the old one cannot be removed,
/// or a crash comes in between, both are there.
pub fn without_replacing(old: &File, from: &OsStr, new: &File, to: &OsStr) -> io::Result<()> {
    match by_rename(old, from, new, to) {
        Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => by_link(old, from, new, to),
        result => result,
    }?;
    Ok(())
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn by_rename(old: &File, from: &OsStr, new: &File, to: &OsStr) -> nix::Result<()> {
    fcntl::renameat2(old, from, new, to, fcntl::RenameFlags::RENAME_NOREPLACE)
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn by_rename(old: &File, from: &OsStr, new: &File, to: &OsStr) -> nix::Result<()> {
    by_link(old, from, new, to)
}

/// The older way to the same end: `link` never replaces.
fn by_link(old: &File, from: &OsStr, new: &File, to: &OsStr) -> nix::Result<()> {
    unistd::linkat(old, from, new, to, fcntl::AtFlags::empty())?;
    let _ = unistd::unlinkat(old, from, UnlinkatFlags::NoRemoveDir);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The two ways to rename, one of which is used on other systems only.
    #[test]
    fn neither_way_of_renaming_replaces() {
        for way in [by_rename, by_link] {
            let directory = tempfile::tempdir().unwrap();
            let folder = File::open(directory.path()).unwrap();
            let rename = |from: &str, to: &str| way(&folder, from.as_ref(), &folder, to.as_ref());
            for name in ["one", "two"] {
                std::fs::write(directory.path().join(name), name).unwrap();
            }
            assert_eq!(rename("one", "two"), Err(Errno::EEXIST));
            assert_eq!(rename("none", "new"), Err(Errno::ENOENT));
            assert_eq!(rename("one", "new"), Ok(()));
            assert_eq!(std::fs::read(directory.path().join("two")).unwrap(), b"two");
            assert_eq!(std::fs::read(directory.path().join("new")).unwrap(), b"one");
            assert!(!directory.path().join("one").exists());
        }
    }
}
