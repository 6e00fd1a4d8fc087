//! The name of a message: the same in the 250 reply, the `Received:` field, the log, every listing and on disk.
//!
//! An id is also a file name, so its alphabet holds nothing that a file system or a shell could read as anything else.
//! Whoever commits a message brings the id along; committing the same id twice counts once. To everybody but
//! [`IdSource`] it is opaque.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

/// Characters of an id: room for all parts of [`IdSource`], and short enough to be read out over the telephone.
pub const ID_CHARACTERS: usize = 32;

/// The name of one message: 1 to [`ID_CHARACTERS`] letters, digits and hyphens, no hyphen first.
///
/// It lies where it is used and not on the heap: each message is named in several tables, at the same time and by many
/// threads.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// Zeros behind the characters, which sort before all of them, so that ids sort as their texts do.
    padded: [u8; ID_CHARACTERS],
    length: u8,
}

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdError;

impl MessageId {
    /// The text.
    pub fn as_str(&self) -> &str {
        let characters = self.padded.get(..usize::from(self.length)).unwrap_or_default();
        // ASCII, as `new` has seen.
        std::str::from_utf8(characters).unwrap_or_default()
    }

    /// `None` for what is no id.
    fn new(characters: &[u8]) -> Option<Self> {
        let is_alphabet = characters.iter().all(|octet| octet.is_ascii_alphanumeric() || *octet == b'-');
        // A hyphen in front would make an option of the id on a command line.
        if characters.is_empty() || !is_alphabet || characters.starts_with(b"-") {
            return None;
        }
        let mut padded = [0; ID_CHARACTERS];
        padded.get_mut(..characters.len())?.copy_from_slice(characters);
        Some(MessageId { padded, length: u8::try_from(characters.len()).ok()? })
    }
}

impl FromStr for MessageId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        MessageId::new(text.as_bytes()).ok_or(IdError)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MessageId").field(&self.as_str()).finish()
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a message id is made of 1 to {ID_CHARACTERS} letters, digits and hyphens, with no hyphen first")
    }
}

impl std::error::Error for IdError {}

/// Gives out ids: `time-instance-run counter`, each part of fixed width in digits 0-9a-v, so that they sort by time.
///
/// The run is random, so that two processes that start in the same microsecond under the same instance number do not
/// meet; the counter tells ids of one process apart without asking the kernel for randomness again. There are only
/// lower-case letters, since some file systems do not tell cases apart.
#[derive(Debug)]
pub struct IdSource {
    instance: u16,
    run: u64,
    counter: AtomicU64,
}

/// Digits of each part, five bits each: 55 bits of microseconds last until the year 3111.
const TIME_DIGITS: usize = 11;
const INSTANCE_DIGITS: usize = 4;
const RUN_DIGITS: usize = 8;
const COUNTER_DIGITS: usize = 7;

impl IdSource {
    /// A source for one process. `instance` tells hosts apart that feed one store; 0 will do for a single one. Fails
    /// when the kernel has no random numbers.
    pub fn new(instance: u16) -> io::Result<Self> {
        let run = getrandom::u64().map_err(io::Error::other)?;
        Ok(IdSource { instance, run, counter: AtomicU64::new(0) })
    }

    /// A new id for a message that came in at this time.
    pub fn next(&self, unix_time_micros: u64) -> MessageId {
        let counter = self.counter.fetch_add(1, Ordering::Relaxed);
        let time = digits(unix_time_micros, TIME_DIGITS);
        let instance = digits(u64::from(self.instance), INSTANCE_DIGITS);
        let process = digits(self.run, RUN_DIGITS).chain(digits(counter, COUNTER_DIGITS));
        let characters = time.chain([b'-']).chain(instance).chain([b'-']).chain(process);
        let mut padded = [0; ID_CHARACTERS];
        padded.iter_mut().zip(characters).for_each(|(place, character)| *place = character);
        MessageId { padded, length: ID_CHARACTERS as u8 }
    }
}

/// The lowest `count` digits of a number in base 32, the highest first.
fn digits(number: u64, count: usize) -> impl Iterator<Item = u8> {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    (0..count).rev().map(move |place| ALPHABET[((number >> (5 * place)) & 31) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_only_what_is_safe_as_a_file_name() {
        for text in ["a", "0", "A-b-9", "a-", &"x".repeat(32)] {
            assert_eq!(text.parse::<MessageId>().unwrap().as_str(), text);
        }
        let refused = ["", "-", "-a", ".", "..", "a.b", "a/b", "a b", "a\0", "a\n", "\u{e9}", "a_b", &"x".repeat(33)];
        for text in refused {
            assert_eq!(text.parse::<MessageId>(), Err(IdError), "{text:?}");
        }
    }

    #[test]
    fn sorts_and_prints_as_its_text_does() {
        let mut texts = vec!["a", "a-", "a-0", "a0", "aa", "A", "0", "00", "z", "b"];
        let mut ids: Vec<MessageId> = texts.iter().map(|text| text.parse().unwrap()).collect();
        texts.sort_unstable();
        ids.sort();
        assert_eq!(ids.iter().map(MessageId::to_string).collect::<Vec<_>>(), texts);
        assert_eq!(format!("{:?}", ids[0]), "MessageId(\"0\")");
    }

    #[test]
    fn sorts_by_time_and_then_by_turn() {
        let source = IdSource::new(u16::MAX).unwrap();
        let times = [0, 1, 31, 32, 1_700_000_000_000_000, 1_700_000_000_000_000, 1_800_000_000_000_000];
        let ids: Vec<_> = times.map(|time| source.next(time)).into();
        assert!(ids.is_sorted());
        for id in &ids {
            assert_eq!(id.as_str().len(), ID_CHARACTERS);
            assert_eq!(id.as_str().parse::<MessageId>().as_ref(), Ok(id));
        }
    }

    #[test]
    fn differs_between_threads_and_between_runs() {
        let sources = [IdSource::new(7).unwrap(), IdSource::new(7).unwrap()];
        let ids = std::sync::Mutex::new(std::collections::HashSet::new());
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (source, ids) = (&sources[thread % 2], &ids);
                scope.spawn(move || {
                    for _ in 0..1_000 {
                        assert!(ids.lock().unwrap().insert(source.next(5)), "given out twice");
                    }
                });
            }
        });
        assert_eq!(ids.into_inner().unwrap().len(), 8_000);
    }
}
