//! The orders of calls that lose mail, and the one that does not: proof that the test can fail.
//!
//! Each writes one file in its way; then the power is cut right after the last call, at the moment when a server would say
//! 250.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::mount::Mount;
use crate::workshop::failure::ensure;
use crate::workshop::tally::Tally;
use crate::workshop::{OrFail, Outcome};

const LETTER: &[u8] = &[b'x'; 4096];

/// What the power cut leaves under the final name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// Nothing: acknowledged and lost.
    Nothing,
    /// A file without its content: acknowledged and destroyed.
    Destroyed,
    /// All of it.
    Whole,
}

/// Writes `LETTER` to a directory, in steps.
type Order = fn(&Path) -> io::Result<()>;

const ORDERS: [(&str, Order, Found); 4] = [
    ("write, rename", no_sync, Found::Nothing),
    ("write, sync file, rename", file_sync_only, Found::Nothing),
    ("write, rename, sync directory", directory_sync_only, Found::Destroyed),
    ("write, sync file, rename, sync directory", both_syncs, Found::Whole),
];

/// One line per order.
pub(super) fn run(tally: &mut Tally) -> Outcome {
    let disk = Mount::ext4_image()?;
    for (name, order, expected) in ORDERS {
        let result = cut_after(&disk, order).and_then(|found| {
            ensure(found == expected, || format!("{found:?} after the power cut, not {expected:?}"))?;
            Ok(format!("{found:?} after the power cut"))
        });
        tally.check(&format!("order \"{name}\""), result);
    }
    Ok(())
}

fn cut_after(disk: &Mount, order: Order) -> Outcome<Found> {
    let folder = disk.at("order");
    fs::create_dir(&folder).or_fail("making a directory")?;
    disk.settle()?;
    order(&folder).or_fail("writing")?;
    let left = disk.after_power_cut()?;
    let found = match fs::read(left.at("order/final")) {
        Ok(octets) if octets == LETTER => Found::Whole,
        Ok(_) => Found::Destroyed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Nothing,
        Err(error) => return Err(error).or_fail("reading what is left"),
    };
    fs::remove_dir_all(&folder).or_fail("clearing up")?;
    Ok(found)
}

fn no_sync(folder: &Path) -> io::Result<()> {
    write(folder)?;
    fs::rename(folder.join("temporary"), folder.join("final"))
}

fn file_sync_only(folder: &Path) -> io::Result<()> {
    write(folder)?.sync_all()?;
    fs::rename(folder.join("temporary"), folder.join("final"))
}

fn directory_sync_only(folder: &Path) -> io::Result<()> {
    no_sync(folder)?;
    File::open(folder)?.sync_all()
}

fn both_syncs(folder: &Path) -> io::Result<()> {
    file_sync_only(folder)?;
    File::open(folder)?.sync_all()
}

fn write(folder: &Path) -> io::Result<File> {
    let mut file = File::create_new(folder.join("temporary"))?;
    file.write_all(LETTER)?;
    Ok(file)
}
