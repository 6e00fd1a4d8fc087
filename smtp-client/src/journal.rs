//! What became of a batch so far, in a file, so that one that was interrupted can go on without sending twice.
//!
//! ```text
//! smtp-client journal 1
//! begin <TAB> 6f5902ac237024bdd0c176cb93063dc4-0
//! accepted <TAB> 6f5902ac237024bdd0c176cb93063dc4-0 <TAB> <bob@example.org> <TAB> 250 2.0.0 queued as 1j0
//! end <TAB> 6f5902ac237024bdd0c176cb93063dc4-0
//! ```
//!
//! A message is known by what it is, not by where it lies: its sender and content as SHA-256, and a number, since a batch
//! may hold the same message twice. So files may be moved, and an mbox may grow, between two runs. `begin` is written
//! before the message goes out, `accepted` for each recipient when the server has agreed, `end` when every answer is known:
//! a message that began and did not end is in doubt (RFC 1047). It goes out again, since a second copy is better than none,
//! and is named at the end of every run.
//!
//! Every line is handed to the system before the next step, so a killed process loses none. The disk is made sure of once a
//! second: a power cut may take the lines of the last second with it, and what they say may then be sent again.

use std::collections::HashMap;
use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use smtp_proto::address::{ForwardPath, ReversePath};
use smtp_proto::reply::Reply;

use crate::content::Content;

/// What the name of a journal ends in, beside the batch that it belongs to.
pub const SUFFIX: &str = ".smtp-journal";

const FIRST_LINE: &str = "smtp-client journal 1";

/// How long what was written may stay in the system's memory.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// By what a message is known: the digest of its sender and content, and how many of the same came before it in the batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    digest: String,
    occurrence: u64,
}

/// The journal of a batch. Nobody else may have it open.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Mutex<Written>,
    /// What earlier runs wrote.
    earlier: HashMap<String, Past>,
}

#[derive(Debug)]
struct Written {
    file: File,
    synced_at: Instant,
}

/// What earlier runs know of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// The recipients for whom the server took it over.
    pub accepted: Vec<ForwardPath>,
    /// In some try it went out and its answer was not heard, so one copy more may have arrived than was accepted.
    pub is_in_doubt: bool,
    /// The last try began and did not end.
    is_open: bool,
}

/// Gives each message of a batch its key.
#[derive(Debug, Default)]
pub struct Keys {
    counts: HashMap<String, u64>,
}

/// Why a journal cannot be used.
#[derive(Debug)]
pub enum JournalError {
    /// It cannot be made.
    Create(PathBuf, io::Error),
    /// It cannot be read or written.
    Io(PathBuf, io::Error),
    /// Another process is at work with it.
    InUse(PathBuf),
    /// The line is not one of a journal.
    NotAJournal(PathBuf, usize),
}

impl Keys {
    /// The key of the next message of the batch. Reads it from end to end.
    pub fn next(&mut self, sender: &ReversePath, content: &Content) -> io::Result<Key> {
        let mut hasher = Sha256::new();
        hasher.update(format!("{sender}\n"));
        let mut reader = content.reader();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => hasher.update(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // Half of the digest names a message without doubt.
        let digest: String = hasher.finalize().iter().take(16).map(|octet| format!("{octet:02x}")).collect();
        let count = self.counts.entry(digest.clone()).or_default();
        let occurrence = *count;
        *count += 1;
        Ok(Key { digest, occurrence })
    }
}

impl Journal {
    /// Opens a journal, or makes one. A last line that was cut off is taken away.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let failed = |error| JournalError::Io(path.to_owned(), error);
        let mut options = File::options();
        let opened = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let mut file = opened.map_err(|error| JournalError::Create(path.to_owned(), error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let mut octets = Vec::new();
        file.read_to_end(&mut octets).map_err(failed)?;
        let whole = memchr::memrchr(b'\n', &octets).map_or(0, |line_feed| line_feed + 1);
        if whole == 0 && !FIRST_LINE.as_bytes().starts_with(&octets) {
            return Err(JournalError::NotAJournal(path.to_owned(), 1));
        }
        octets.truncate(whole);
        let earlier = read(&octets).map_err(|line| JournalError::NotAJournal(path.to_owned(), line))?;
        file.set_len(whole as u64).and_then(|()| file.seek(io::SeekFrom::End(0))).map_err(failed)?;
        let journal =
            Journal { path: path.to_owned(), file: Mutex::new(Written { file, synced_at: Instant::now() }), earlier };
        if whole == 0 {
            journal.write(FIRST_LINE).and_then(|()| journal.sync()).map_err(failed)?;
            sync_directory(path).map_err(failed)?;
        }
        Ok(journal)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What earlier runs know of a message.
    pub fn past(&self, key: &Key) -> Past {
        self.earlier.get(&key.to_string()).cloned().unwrap_or_default()
    }

    /// From here on, until [`Journal::end`], nobody knows what the server has of this message.
    pub fn begin(&self, key: &Key) -> io::Result<()> {
        self.write(&format!("begin\t{key}"))
    }

    /// The server took the message over for this recipient.
    pub fn accepted(&self, key: &Key, recipient: &ForwardPath, reply: &Reply) -> io::Result<()> {
        self.write(&format!("accepted\t{key}\t{recipient}\t{reply}"))
    }

    /// Every answer to this try is known.
    pub fn end(&self, key: &Key) -> io::Result<()> {
        self.write(&format!("end\t{key}"))
    }

    /// Makes sure of the disk.
    pub fn sync(&self) -> io::Result<()> {
        let mut written = self.written();
        written.file.sync_data()?;
        written.synced_at = Instant::now();
        Ok(())
    }

    fn write(&self, line: &str) -> io::Result<()> {
        let mut written = self.written();
        // In one call, so that no line is torn by a kill.
        written.file.write_all(format!("{line}\n").as_bytes())?;
        if written.synced_at.elapsed() < SYNC_INTERVAL {
            return Ok(());
        }
        written.file.sync_data()?;
        written.synced_at = Instant::now();
        Ok(())
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the lines of a journal. An error is the number of the line that is none.
fn read(octets: &[u8]) -> Result<HashMap<String, Past>, usize> {
    let mut messages: HashMap<String, Past> = HashMap::new();
    for (place, line) in octets.split_inclusive(|octet| *octet == b'\n').enumerate() {
        let line = std::str::from_utf8(line).ok().and_then(|line| line.strip_suffix('\n')).ok_or(place + 1)?;
        if place == 0 {
            if line != FIRST_LINE {
                return Err(1);
            }
            continue;
        }
        let fields: Vec<&str> = line.splitn(4, '\t').collect();
        match fields.as_slice() {
            ["begin", key] => {
                let past = messages.entry((*key).to_owned()).or_default();
                past.is_in_doubt |= std::mem::replace(&mut past.is_open, true);
            }
            ["end", key] => messages.entry((*key).to_owned()).or_default().is_open = false,
            ["accepted", key, recipient, _] => {
                let recipient = recipient.parse().map_err(|_| place + 1)?;
                messages.entry((*key).to_owned()).or_default().accepted.push(recipient);
            }
            _ => return Err(place + 1),
        }
    }
    messages.values_mut().for_each(|past| past.is_in_doubt |= past.is_open);
    Ok(messages)
}

/// So that the name of a new file survives a power cut, too.
fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new("."))).and_then(|directory| directory.sync_all())
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.digest, self.occurrence)
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JournalError::Create(path, error) => write!(f, "{}: the journal cannot be opened: {error}", path.display()),
            JournalError::Io(path, error) => write!(f, "{}: the journal: {error}", path.display()),
            JournalError::InUse(path) => write!(f, "{}: another run is at work with this journal", path.display()),
            JournalError::NotAJournal(path, line) => write!(
                f,
                "{}:{line}: this is no line of a journal; name another file with --journal, or move this one away to send \
                 everything",
                path.display()
            ),
        }
    }
}

impl std::error::Error for JournalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            JournalError::Create(_, error) | JournalError::Io(_, error) => Some(error),
            JournalError::InUse(_) | JournalError::NotAJournal(..) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use smtp_proto::reply::Code;

    use super::*;

    fn key(keys: &mut Keys, sender: &str, text: &str) -> Key {
        keys.next(&sender.parse().unwrap(), &Content::from_bytes(text.into()).unwrap()).unwrap()
    }

    fn reply() -> Reply {
        Reply::new(Code::new(250).unwrap(), None, "queued\tas\n1")
    }

    #[test]
    fn a_message_is_known_by_what_it_is() {
        let mut keys = Keys::default();
        let [one, again, other, third] = [("a@x", "A: b\n"), ("a@x", "A: b\n"), ("b@x", "A: b\n"), ("a@x", "A: c\n")]
            .map(|(sender, text)| key(&mut keys, sender, text));
        assert_eq!((one.digest.as_str(), one.occurrence, again.occurrence), (again.digest.as_str(), 0, 1));
        assert!(one.digest != other.digest && one.digest != third.digest && other.digest != third.digest);
    }

    #[test]
    fn what_was_written_is_read_by_the_next_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("batch.smtp-journal");
        let mut keys = Keys::default();
        let [sent, lost, refused] = ["1", "2", "3"].map(|text| key(&mut keys, "a@x", text));
        let (bob, odd): (ForwardPath, ForwardPath) = ("<b@x>".parse().unwrap(), "<\"a b\"@x>".parse().unwrap());
        let journal = Journal::open(&path).unwrap();
        assert!(matches!(Journal::open(&path), Err(JournalError::InUse(_))));
        assert_eq!(journal.past(&sent), Past::default());
        journal.begin(&sent).unwrap();
        journal.accepted(&sent, &bob, &reply()).unwrap();
        journal.accepted(&sent, &odd, &reply()).unwrap();
        journal.end(&sent).unwrap();
        journal.begin(&lost).unwrap();
        journal.begin(&refused).unwrap();
        journal.end(&refused).unwrap();
        drop(journal);
        let journal = Journal::open(&path).unwrap();
        assert_eq!(journal.past(&sent), Past { accepted: vec![bob, odd], ..Past::default() });
        assert!(journal.past(&lost).is_in_doubt && journal.past(&lost).accepted.is_empty());
        assert_eq!(journal.past(&refused), Past::default());
        // A doubt is not forgotten, whatever comes of the next try.
        journal.begin(&lost).unwrap();
        journal.end(&lost).unwrap();
        drop(journal);
        assert!(Journal::open(&path).unwrap().past(&lost).is_in_doubt);
    }

    /// A power cut may leave half a line, and no more than that is lost.
    #[test]
    fn cut_off_at_every_octet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let key = key(&mut Keys::default(), "a@x", "1");
        let journal = Journal::open(&path).unwrap();
        journal.begin(&key).unwrap();
        journal.accepted(&key, &"<b@x>".parse().unwrap(), &reply()).unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        for length in 0..=whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let journal = Journal::open(&path).unwrap();
            let lines = whole[..length].iter().filter(|octet| **octet == b'\n').count();
            assert_eq!(
                (journal.past(&key).is_in_doubt, journal.past(&key).accepted.len()),
                (lines > 1, usize::from(lines > 2))
            );
            journal.end(&key).unwrap();
            drop(journal);
            assert!(!Journal::open(&path).unwrap().past(&key).is_in_doubt, "what was written behind the cut is read");
        }
    }

    /// A message that has the name of a journal by mistake is not written over.
    #[test]
    fn what_is_no_journal_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        for (text, line) in [
            ("Subject: x", 1),
            ("Subject: x\n", 1),
            ("smtp-client journal 1\nbegin\n", 2),
            ("smtp-client journal 1\nbegin\tx-0\naccepted\tx-0\tnobody\t250\n", 3),
            ("smtp-client journal 2\n", 1),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Journal::open(&path).unwrap_err();
            assert!(matches!(error, JournalError::NotAJournal(_, number) if number == line), "{text:?}: {error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn a_journal_that_cannot_be_made() {
        assert!(matches!(Journal::open(Path::new("/nonexistent/x")), Err(JournalError::Create(..))));
    }
}
