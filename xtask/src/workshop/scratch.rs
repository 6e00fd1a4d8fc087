//! A directory for one task, which is gone when the task is.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::failure::{OrFail, Outcome};

/// A directory that is removed with all that is in it when this is dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    /// It lies in another one, which removes it.
    is_inner: bool,
}

impl Scratch {
    /// A new directory among the temporary files. Others may pass through it to what they own in it.
    pub(crate) fn new(purpose: &str) -> Outcome<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("smtp-xtask-{purpose}-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::DirBuilder::new().mode(0o711).create(&path).or_fail(format_args!("making {}", path.display()))?;
        Ok(Scratch { path, is_inner: false })
    }

    /// A new directory in this one, which is removed with it and not before.
    pub(crate) fn inner(&self, name: &str) -> Outcome<Self> {
        Ok(Scratch { path: self.directory(name)?, is_inner: true })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of something in it.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes a directory in it.
    pub(crate) fn directory(&self, name: &str) -> Outcome<PathBuf> {
        let path = self.at(name);
        fs::create_dir_all(&path).or_fail(format_args!("making {}", path.display()))?;
        Ok(path)
    }

    /// Makes a directory in it into which programs that run as other users may write.
    pub(crate) fn open_directory(&self, name: &str) -> Outcome<PathBuf> {
        let path = self.directory(name)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).or_fail("opening a directory to others")?;
        Ok(path)
    }

    /// Writes a file in it.
    pub(crate) fn file(&self, name: &str, octets: impl AsRef<[u8]>) -> Outcome<PathBuf> {
        let path = self.at(name);
        fs::write(&path, octets).or_fail(format_args!("writing {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.is_inner {
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("note: {} could not be removed: {error}", self.path.display());
        }
    }
}
