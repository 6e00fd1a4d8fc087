//! The machine on which a task runs.

use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::statvfs::statvfs;

use super::{OrFail, Outcome};

/// Thousands of connections need thousands of descriptors, here and at the server, which inherits the limit.
pub(crate) fn raise_descriptors() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // If it stays too low, opening the connections says so.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, soft.max(hard.min(16_384)), hard);
    }
}

/// How many there are.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// How much room there is on the file system that holds a path.
pub(crate) fn free_bytes(path: &Path) -> Outcome<u64> {
    let found = statvfs(path).or_fail(path.display())?;
    #[allow(clippy::useless_conversion)] // the types differ from system to system
    let (blocks, block) = (u64::from(found.blocks_available()), u64::from(found.fragment_size()));
    Ok(blocks.saturating_mul(block))
}

/// The type of the file system that holds a path: that of the longest mount point in front of it.
pub(crate) fn file_system(path: &Path) -> String {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let fields = mounts.lines().map(|line| line.split(' ').skip(1).take(2).collect::<Vec<_>>());
    let holding = fields.filter(|fields| fields.first().is_some_and(|point| path.starts_with(point)));
    let longest = holding.max_by_key(|fields| fields.first().map_or(0, |point| point.len()));
    longest.and_then(|fields| fields.last().map(|name| (*name).to_owned())).unwrap_or_else(|| "?".to_owned())
}
