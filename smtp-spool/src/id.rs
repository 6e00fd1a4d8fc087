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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(String);

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdError;

impl MessageId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MessageId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let is_alphabet = text.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
        // A hyphen in front would make an option of the id on a command line.
        let is_id = (1..=ID_CHARACTERS).contains(&text.len()) && is_alphabet && !text.starts_with('-');
        if is_id { Ok(MessageId(text.to_owned())) } else { Err(IdError) }
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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
        let mut text = String::with_capacity(ID_CHARACTERS);
        push_digits(&mut text, unix_time_micros, TIME_DIGITS);
        text.push('-');
        push_digits(&mut text, u64::from(self.instance), INSTANCE_DIGITS);
        text.push('-');
        push_digits(&mut text, self.run, RUN_DIGITS);
        push_digits(&mut text, self.counter.fetch_add(1, Ordering::Relaxed), COUNTER_DIGITS);
        MessageId(text)
    }
}

/// The lowest `digits` digits of a number in base 32.
fn push_digits(text: &mut String, number: u64, digits: usize) {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    for place in (0..digits).rev() {
        let digit = (number >> (5 * place)) & 31;
        text.push(char::from(ALPHABET[digit as usize]));
    }
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
