//! How long a message is tried before it is given up: said by whoever runs the queue, read by listings.
//!
//! It is a file of lines like those of a record ([`crate::state_record`]), to which one is added whenever something new is
//! said. So nothing is ever replaced: whoever reads without a lock, or after a power cut, finds the old line or the new one.

use std::io;

use crate::disk::{Access, Disk, Entry, Folder};
use crate::{durable, state_record};

/// How long a message is tried, unless whoever runs the queue says otherwise: "the give-up time generally needs to be at
/// least 4-5 days" (RFC 5321, 4.5.4.1).
pub const LIFETIME_SECONDS: i64 = 5 * 24 * 3_600;

/// Octets of the file beyond which it begins anew: two owners that take turns and disagree must not fill the disk.
const FILE_OCTETS: u64 = 4_096;

/// No message id has a dot in it.
const NAME: &str = ".lifetime";
const WORD: &str = "lifetime ";

/// The file.
pub(crate) fn entry() -> Entry {
    Folder::State.entry(NAME)
}

/// What was said last, as far as that can be read. It decides nothing, so whatever is wrong with the file is no error.
pub(crate) fn read(disk: &dyn Disk) -> i64 {
    let mut last = LIFETIME_SECONDS;
    let file = disk.open(&entry(), Access::Read);
    let read = file.and_then(|file| {
        state_record::for_each_line(&*file, |line| {
            let said = state_record::unsealed(line).and_then(|rest| rest.strip_prefix(WORD)?.parse().ok());
            last = said.unwrap_or(last);
        })
    });
    if let Err(error) = read.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
    {
        log::debug!("{}: {error}", entry());
    }
    last
}

/// Says it, unless it is what was said last.
pub(crate) fn write(disk: &dyn Disk, seconds: i64) -> io::Result<()> {
    if read(disk) == seconds {
        return Ok(());
    }
    let is_long =
        disk.open(&entry(), Access::Read).and_then(|file| file.length()).is_ok_and(|octets| octets > FILE_OCTETS);
    if is_long {
        durable::remove(disk, &entry())?;
    }
    durable::append(disk, &entry(), &state_record::sealed(&format!("{WORD}{seconds}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryDisk;

    #[test]
    fn what_was_said_last_counts() {
        let disk = MemoryDisk::new();
        assert_eq!(read(&disk), LIFETIME_SECONDS);
        write(&disk, LIFETIME_SECONDS).unwrap();
        assert_eq!(disk.octets(&entry()), None, "what everybody believes need not be said");
        for seconds in [3_600, 90, LIFETIME_SECONDS] {
            write(&disk, seconds).unwrap();
            assert_eq!(read(&disk), seconds);
        }
        let octets = disk.octets(&entry()).unwrap();
        write(&disk, LIFETIME_SECONDS).unwrap();
        assert_eq!(disk.octets(&entry()).unwrap(), octets);
    }

    #[test]
    fn torn_and_strange_lines_say_nothing() {
        let whole = state_record::sealed("lifetime 90");
        for (octets, expected) in [
            (String::new(), LIFETIME_SECONDS),
            (whole.clone(), 90),
            (format!("{whole}{}", &whole[..whole.len() - 2]), 90),
            (format!("{whole}{}", state_record::sealed("lifetime long")), 90),
            (format!("{whole}{}", state_record::sealed("birthday 7")), 90),
            (whole.replace("90", "91"), LIFETIME_SECONDS),
            ("\0".repeat(10_000), LIFETIME_SECONDS),
        ] {
            let disk = MemoryDisk::new();
            disk.plant(&entry(), octets.as_bytes());
            assert_eq!(read(&disk), expected, "{octets:?}");
            write(&disk, 7).unwrap();
            assert_eq!(read(&disk), 7, "{octets:?}");
        }
    }

    #[test]
    fn owners_that_disagree_do_not_fill_the_disk() {
        let disk = MemoryDisk::new();
        for seconds in 1..1_000 {
            write(&disk, seconds).unwrap();
            assert_eq!(read(&disk), seconds);
            assert!(disk.octets(&entry()).unwrap().len() < 5_000);
        }
    }

    /// Whatever goes wrong, and whenever the power is cut: what is read was said, and the last word that was taken stays.
    #[test]
    fn a_power_cut_leaves_the_old_word_or_the_new() {
        for end in 0.. {
            let disk = MemoryDisk::new();
            write(&disk, 90).unwrap();
            disk.cut_power_at(disk.operations().len() + end);
            let result = write(&disk, 60);
            for survivor in disk.survivors(100) {
                let found = read(&survivor);
                assert!(found == 60 || (found == 90 && result.is_err()), "{found} after {end} operations: {result:?}");
            }
            if result.is_ok() {
                return;
            }
        }
    }
}
