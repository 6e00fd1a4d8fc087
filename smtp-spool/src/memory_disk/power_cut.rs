//! What may be found after a power cut: every combination of what was not synced.
//!
//! Each pending change of a name happened or did not. Each file with octets that were not synced holds the durable ones
//! only, or all of them, or one half of the others or the other half (a disk writes sectors in any order), or has all of the
//! length and zeros where it has grown (a file system that writes lengths before contents). The choices are independent: real
//! file systems allow fewer, POSIX allows them all.

use std::collections::BTreeSet;

use super::medium::{Medium, MediumFile, apply};

/// The disks that may be found, at most `limit`.
pub(super) fn survivors(medium: &Medium, limit: usize) -> Vec<Medium> {
    let choices = choices(medium);
    let total = choices.iter().try_fold(1_u128, |total, choice| total.checked_mul(u128::from(*choice)));
    let total = total.unwrap_or(u128::MAX);
    let wanted = total.min(limit as u128);
    (0..wanted).map(|turn| survivor(medium, &choices, spread(turn, total, wanted))).collect()
}

/// The first, the last, and others all over the range: steps of a prime number leave no choice untried for long.
fn spread(turn: u128, total: u128, wanted: u128) -> u128 {
    match turn {
        _ if wanted == total => turn,
        _ if turn + 1 == wanted => total - 1,
        _ => turn * 1_000_000_007 % total,
    }
}

/// How many ways each unsynced thing can go: first all names, then all files.
fn choices(medium: &Medium) -> Vec<u8> {
    let names = medium.folders.values().flat_map(|folder| folder.pending.iter().map(|_| 2));
    let files = medium.files.iter().map(|file| variants(file).len() as u8);
    names.chain(files).collect()
}

/// The disk on which each choice went as the digits of `number` say, in the mixed base of `choices`.
fn survivor(medium: &Medium, choices: &[u8], mut number: u128) -> Medium {
    let mut digits = choices.iter().map(|choice| {
        let digit = number % u128::from(*choice);
        number /= u128::from(*choice);
        digit as usize
    });
    let mut survivor = Medium::default();
    for (name, folder) in &medium.folders {
        let mut names = folder.durable.clone();
        for change in &folder.pending {
            if digits.next() == Some(1) {
                apply(&mut names, change);
            }
        }
        survivor.adopt(*name, names);
    }
    for file in &medium.files {
        let octets = variants(file).swap_remove(digits.next().unwrap_or_default());
        survivor.files.push(MediumFile::durable(octets));
    }
    survivor
}

/// The contents a file may be found with.
fn variants(file: &MediumFile) -> Vec<Vec<u8>> {
    let (all, unsynced) = (&file.octets, &file.unsynced);
    let middle = unsynced.start + unsynced.len() / 2;
    let mut first_half = file.durable.clone();
    first_half.resize(first_half.len().max(middle), 0);
    first_half[unsynced.start..middle].copy_from_slice(&all[unsynced.start..middle]);
    let mut grown = file.durable.clone();
    grown.resize(all.len(), 0);
    let mut second_half = grown.clone();
    second_half[middle..unsynced.end].copy_from_slice(&all[middle..unsynced.end]);
    BTreeSet::from([file.durable.clone(), first_half, second_half, grown, all.clone()]).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::ErrorKind;

    use super::super::{Fault, MemoryDisk};
    use crate::disk::{Disk as _, DiskFile, Entry, Folder};

    fn temporary() -> Entry {
        Folder::Temporary.entry("t")
    }

    fn last() -> Entry {
        Folder::New.entry("m")
    }

    /// A file of four octets under its temporary name.
    fn written(disk: &MemoryDisk) -> Box<dyn DiskFile> {
        let mut file = disk.create(&temporary()).unwrap();
        file.write_all(b"mail").unwrap();
        file
    }

    /// What may be found under the last name: `None` for no file.
    fn found(disk: &MemoryDisk) -> BTreeSet<Option<Vec<u8>>> {
        disk.survivors(1_000).iter().map(|survivor| survivor.octets(&last())).collect()
    }

    /// The orders that were measured on real file systems, and some of the ways in which they go wrong.
    #[test]
    fn only_the_safe_order_is_safe() {
        let whole = Some(b"mail".to_vec());

        let disk = MemoryDisk::new();
        written(&disk).sync().unwrap();
        disk.rename(&temporary(), &last()).unwrap();
        assert_eq!(found(&disk), BTreeSet::from([None, whole.clone()]), "without a sync of the folder");
        disk.open_folder(Folder::New).unwrap().sync().unwrap();
        assert_eq!(found(&disk), BTreeSet::from([whole.clone()]), "the safe order");

        let disk = MemoryDisk::new();
        drop(written(&disk));
        disk.rename(&temporary(), &last()).unwrap();
        disk.open_folder(Folder::New).unwrap().sync().unwrap();
        let partial = [&b""[..], b"ma", b"\0\0il", b"\0\0\0\0"].map(|octets| Some(octets.to_vec()));
        let partial = BTreeSet::from_iter(partial.into_iter().chain([whole]));
        assert_eq!(found(&disk), partial, "without a sync of the file");
    }

    /// What is written over zeros arrives in any order.
    #[test]
    fn a_file_that_was_filled_has_its_length() {
        let disk = MemoryDisk::new();
        let mut file = disk.create(&last()).unwrap();
        disk.open_folder(Folder::New).unwrap().sync().unwrap();
        file.write_all(b"one ").unwrap();
        file.fill_ahead(6).unwrap();
        file.sync().unwrap();
        file.write_all(b"mail").unwrap();
        assert_eq!(disk.octets(&last()).unwrap(), b"one mail\0\0");
        let expected = ["one \0\0\0\0\0\0", "one ma\0\0\0\0", "one \0\0il\0\0", "one mail\0\0"];
        assert_eq!(found(&disk), expected.map(|octets| Some(octets.into())).into());
        file.sync().unwrap();
        file.write_all(b" end").unwrap();
        assert!(found(&disk).contains(&Some(b"one mail\0\0".to_vec())));
        assert_eq!(disk.octets(&last()).unwrap(), b"one mail end");
    }

    /// As it was seen on ext4: the sync after a failed one says that all is well, and the data is lost.
    #[test]
    fn a_second_sync_proves_nothing() {
        let disk = MemoryDisk::new();
        let mut file = written(&disk);
        disk.fail_at(disk.operations().len(), Fault::Error(ErrorKind::Other));
        assert!(file.sync().is_err());
        assert!(file.sync().is_ok());
        disk.rename(&temporary(), &last()).unwrap();
        disk.open_folder(Folder::New).unwrap().sync().unwrap();
        assert!(found(&disk).contains(&Some(Vec::new())));
    }

    #[test]
    fn survivors_are_bounded_and_hold_both_ends() {
        let disk = MemoryDisk::new();
        for number in 0..100 {
            disk.create(&Folder::New.entry(number.to_string())).unwrap();
        }
        let survivors = disk.survivors(10);
        assert_eq!(survivors.len(), 10);
        let counts: Vec<_> = survivors.iter().map(|survivor| survivor.list(Folder::New).unwrap().len()).collect();
        assert!(counts.contains(&0) && counts.contains(&100), "{counts:?}");
    }
}
