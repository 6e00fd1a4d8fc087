//! File systems for an hour: mounted in a directory of their own, unmounted in any case.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::workshop::process::must_run;
use crate::workshop::scratch::Scratch;
use crate::workshop::{OrFail, Outcome};

/// Octets of an ext4 image: what the server keeps free, and room for the letters. The file is sparse.
const IMAGE_OCTETS: u64 = 96 << 20;

/// A mounted file system. It is unmounted and thrown away when this is dropped.
pub(super) struct Mount {
    scratch: Scratch,
}

impl Mount {
    /// A file system in memory with these options.
    pub(super) fn tmpfs(options: &str) -> Outcome<Self> {
        let mount = Mount { scratch: Scratch::new("mount")? };
        let place = mount.scratch.directory("mounted")?;
        must_run(Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(place))?;
        Ok(mount)
    }

    /// An ext4 file system in a file. It writes its journal only when it is asked to (or after five minutes), so that
    /// nothing becomes durable by luck.
    pub(super) fn ext4_image() -> Outcome<Self> {
        let scratch = Scratch::new("mount")?;
        let image = std::fs::File::create(scratch.at("image")).or_fail("making an image")?;
        image.set_len(IMAGE_OCTETS).or_fail("making an image")?;
        must_run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(scratch.at("image")))?;
        Mount::image(scratch)
    }

    fn image(scratch: Scratch) -> Outcome<Self> {
        let mount = Mount { scratch };
        let place = mount.scratch.directory("mounted")?;
        let image = mount.scratch.at("image");
        must_run(Command::new("mount").args(["-o", "loop,commit=300"]).arg(image).arg(place))?;
        Ok(mount)
    }

    /// What would be there if the power failed now: a copy of the image as it is, which the file system puts in order by
    /// its journal when it is mounted. Nobody may be writing meanwhile.
    pub(super) fn after_power_cut(&self) -> Outcome<Self> {
        let scratch = Scratch::new("mount")?;
        must_run(Command::new("cp").arg("--sparse=always").arg(self.scratch.at("image")).arg(scratch.at("image")))?;
        Mount::image(scratch)
    }

    /// Makes everything durable that is there.
    pub(super) fn settle(&self) -> Outcome {
        must_run(Command::new("sync").arg("-f").arg(self.path())).map(drop)
    }

    /// Where it is mounted.
    pub(super) fn path(&self) -> PathBuf {
        self.scratch.at("mounted")
    }

    /// The path of something in it.
    pub(super) fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let path = self.path();
        // If it never was mounted there is nothing to do; what else goes wrong shows when the directory cannot go.
        let unmounted = must_run(Command::new("umount").arg(&path));
        if unmounted.is_err() && is_mounted(&path) {
            let _ = must_run(Command::new("umount").arg("-l").arg(&path));
        }
    }
}

fn is_mounted(path: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(1).is_some_and(|mounted| Path::new(mounted) == path))
}
