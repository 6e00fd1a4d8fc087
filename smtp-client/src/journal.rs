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
//! before the message goes out, `accepted` for each recipient when the server has agreed, `end` when every answer is known.
//! Where a message began and did not end, the recipients without an `accepted` are in doubt (RFC 1047). It goes out to them
//! again, since a second copy is better than none, and is named at the end of every run.
//!
//! Every line is handed to the system before the next step, so a killed process loses none. The disk is made sure of once a
//! second: a power cut may take the lines of the last second with it, and what they say may then be sent again. A line that
//! could not be written whole is the last one: what came behind it would be read together with it.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use smtp_proto::address::{ForwardPath, ReversePath};
use smtp_proto::reply::Reply;

use crate::content::{Content, next_piece};

/// What the name of a journal ends in, beside the batch that it belongs to.
pub const SUFFIX: &str = ".smtp-journal";

const FIRST_LINE: &str = "smtp-client journal 1";

/// Octets of a line. The longest holds an address and a reply, which have bounds of their own and are far shorter.
const LINE_OCTETS: u64 = 1 << 20;

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
    /// Octets of the lines that are whole.
    octets: u64,
    synced_at: Instant,
    /// Why nothing more is written.
    failure: Option<(io::ErrorKind, String)>,
}

/// What earlier runs know of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// The recipients for whom the server took it over, and in which place of all these.
    accepted: HashMap<ForwardPath, usize>,
    /// How many those were when a try was first seen to have begun and not ended.
    accepted_at_first_doubt: Option<usize>,
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
    /// It is a directory, a pipe or a device.
    NotAFile(PathBuf),
    /// It is there and empty: somebody else's file, which is not for us to fill.
    Empty(PathBuf),
    /// Another process is at work with it.
    InUse(PathBuf),
    /// The line is not one of a journal.
    NotAJournal(PathBuf, usize),
}

impl Keys {
    /// The key of the next message of the batch. Reads it from end to end. What is left out of it, Bcc, counts too: messages
    /// that differ in nothing else have other recipients, and must not be taken for each other when their files change
    /// places.
    pub fn next(&mut self, sender: &ReversePath, content: &Content) -> io::Result<Key> {
        let mut hasher = Sha256::new();
        match content.header().blind_fields() {
            b"" => hasher.update(format!("{sender}\n")),
            fields => hasher.update(format!("{sender} {}\n", hexadecimal(&Sha256::digest(fields)))),
        }
        let mut reader = content.reader();
        loop {
            match next_piece(&mut reader) {
                Ok([]) => break,
                Ok(piece) => {
                    hasher.update(piece);
                    let count = piece.len();
                    reader.consume(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // Half of the digest names a message without doubt.
        let digest = hexadecimal(hasher.finalize().get(..16).unwrap_or_default());
        let count = self.counts.entry(digest.clone()).or_default();
        let occurrence = *count;
        *count += 1;
        Ok(Key { digest, occurrence })
    }
}

impl Past {
    /// Whether the server took the message over for this recipient.
    pub fn has_accepted(&self, recipient: &ForwardPath) -> bool {
        self.accepted.contains_key(recipient)
    }

    /// Whether in some try the message went out and no answer for this recipient was heard, so that one copy more may have
    /// arrived than was accepted. Who had been accepted by then was not part of the try, or was heard of.
    pub fn is_in_doubt(&self, recipient: &ForwardPath) -> bool {
        let is_later = |count| self.accepted.get(recipient).is_none_or(|place| *place >= count);
        self.accepted_at_first_doubt.is_some_and(is_later)
    }

    fn doubt(&mut self) {
        self.accepted_at_first_doubt.get_or_insert(self.accepted.len());
    }
}

impl Journal {
    /// Opens a journal, or makes one. A last line that was cut off is taken away. An empty file is taken for a journal only
    /// if its name is that of one, since the first line of ours may have been lost.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let failed = |error| JournalError::Io(path.to_owned(), error);
        // Opening alone may set a device in motion.
        if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(JournalError::NotAFile(path.to_owned()));
        }
        let mut options = File::options();
        options.read(true).write(true).truncate(false).mode(0o600);
        let (opened, is_new) = match options.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => (options.create(true).open(path), true),
            opened => (opened, false),
        };
        let mut file = opened.map_err(|error| JournalError::Create(path.to_owned(), error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let (earlier, octets) = read(BufReader::new(&file)).map_err(|unread| match unread {
            Unread::Io(error) => failed(error),
            Unread::Line(line) => JournalError::NotAJournal(path.to_owned(), line),
        })?;
        let is_empty = file.metadata().map_err(failed)?.len() == 0;
        if is_empty && !is_new && !is_named_like_one(path) {
            return Err(JournalError::Empty(path.to_owned()));
        }
        file.set_len(octets).and_then(|()| file.seek(io::SeekFrom::End(0))).map_err(failed)?;
        let written = Written { file, octets, synced_at: Instant::now(), failure: None };
        let journal = Journal { path: path.to_owned(), file: Mutex::new(written), earlier };
        if octets == 0 {
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
        self.written().attempt(Written::sync)
    }

    /// Why nothing more is written: some line could not be, or may not be on disk.
    pub fn failure(&self) -> Option<io::Error> {
        self.written().failure()
    }

    fn write(&self, line: &str) -> io::Result<()> {
        self.written().attempt(|written| written.append(line))
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Written {
    /// Does something with the file, unless something went wrong before. That is remembered for good.
    fn attempt(&mut self, work: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        if let Some(error) = self.failure() {
            return Err(error);
        }
        work(self).inspect_err(|error| self.failure = Some((error.kind(), error.to_string())))
    }

    fn failure(&self) -> Option<io::Error> {
        self.failure.as_ref().map(|(kind, text)| io::Error::new(*kind, text.clone()))
    }

    fn append(&mut self, line: &str) -> io::Result<()> {
        let line = format!("{line}\n");
        // In one call, so that no line is torn by a kill.
        self.file.write_all(line.as_bytes()).inspect_err(|_| {
            // Half a line, where the disk is full. The next run would take it away, too.
            let _ = self.file.set_len(self.octets);
        })?;
        self.octets += line.len() as u64;
        if self.synced_at.elapsed() < SYNC_INTERVAL { Ok(()) } else { self.sync() }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.synced_at = Instant::now();
        Ok(())
    }
}

/// Why a journal cannot be read.
enum Unread {
    Io(io::Error),
    /// The line with this number is none of a journal.
    Line(usize),
}

/// Reads the lines of a journal, and tells how many octets the whole ones have.
fn read(mut input: impl BufRead) -> Result<(HashMap<String, Past>, u64), Unread> {
    let mut messages: HashMap<String, Past> = HashMap::new();
    let (mut octets, mut number) = (0, 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        let count = input.by_ref().take(LINE_OCTETS).read_until(b'\n', &mut line).map_err(Unread::Io)? as u64;
        number += 1;
        let Some(whole) = line.strip_suffix(b"\n") else {
            // Cut off by the end of the file, if nothing else is wrong with it.
            let is_cut_off = count < LINE_OCTETS && (number > 1 || FIRST_LINE.as_bytes().starts_with(&line));
            break if is_cut_off { Ok(()) } else { Err(Unread::Line(number)) };
        };
        let is_known = match number {
            1 => whole == FIRST_LINE.as_bytes(),
            _ => std::str::from_utf8(whole).is_ok_and(|line| handle_line(line, &mut messages).is_some()),
        };
        if !is_known {
            break Err(Unread::Line(number));
        }
        octets += count;
    }?;
    messages.values_mut().filter(|past| past.is_open).for_each(Past::doubt);
    Ok((messages, octets))
}

/// `None`: it is no line of a journal.
fn handle_line(line: &str, messages: &mut HashMap<String, Past>) -> Option<()> {
    let fields: Vec<&str> = line.splitn(4, '\t').collect();
    let past = messages.entry((*fields.get(1)?).to_owned()).or_default();
    match fields.as_slice() {
        ["begin", _] => {
            if std::mem::replace(&mut past.is_open, true) {
                past.doubt();
            }
        }
        ["end", _] => past.is_open = false,
        ["accepted", _, recipient, _] => {
            let place = past.accepted.len();
            past.accepted.entry(recipient.parse().ok()?).or_insert(place);
        }
        _ => return None,
    }
    Some(())
}

/// Whether a name says that a journal is there.
pub fn is_named_like_one(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().ends_with(SUFFIX.as_bytes()))
}

/// Whether a message is a journal, which was taken for one by mistake.
pub fn is_journal(content: &Content) -> io::Result<bool> {
    let mut line = Vec::new();
    content.reader().take(FIRST_LINE.len() as u64 + 1).read_to_end(&mut line)?;
    Ok(line.strip_suffix(b"\n") == Some(FIRST_LINE.as_bytes()))
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
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
            JournalError::NotAFile(path) => {
                write!(f, "{}: a journal is a regular file; name another one with --journal", path.display())
            }
            JournalError::Empty(path) => write!(
                f,
                "{}: the file is empty, and no journal; remove it, or name another one with --journal",
                path.display()
            ),
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
            JournalError::NotAFile(_) | JournalError::Empty(_) => None,
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
        let past = journal.past(&sent);
        assert!(past.has_accepted(&bob) && past.has_accepted(&odd) && !past.is_in_doubt(&bob));
        assert!(journal.past(&lost).is_in_doubt(&bob) && !journal.past(&lost).has_accepted(&bob));
        assert_eq!(journal.past(&refused), Past::default());
        // A doubt is not forgotten, whatever comes of the next try.
        journal.begin(&lost).unwrap();
        journal.end(&lost).unwrap();
        drop(journal);
        assert!(Journal::open(&path).unwrap().past(&lost).is_in_doubt(&bob));
    }

    /// A power cut may leave half a line, and no more than that is lost.
    #[test]
    fn cut_off_at_every_octet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.smtp-journal");
        let key = key(&mut Keys::default(), "a@x", "1");
        let [bob, other] = ["<b@x>", "<c@x>"].map(|path| path.parse::<ForwardPath>().unwrap());
        let journal = Journal::open(&path).unwrap();
        journal.begin(&key).unwrap();
        journal.accepted(&key, &bob, &reply()).unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        for length in 0..=whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let journal = Journal::open(&path).unwrap();
            let lines = whole[..length].iter().filter(|octet| **octet == b'\n').count();
            let past = journal.past(&key);
            // Who was heard of is in no doubt, though the try did not end.
            assert_eq!((past.is_in_doubt(&bob), past.is_in_doubt(&other)), (lines == 2, lines > 1));
            assert_eq!(past.has_accepted(&bob), lines > 2);
            journal.end(&key).unwrap();
            drop(journal);
            let past = Journal::open(&path).unwrap().past(&key);
            assert!(!past.is_in_doubt(&other), "what was written behind the cut is read");
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

    /// `--journal FILE` filled any empty file; one of ours whose first line was lost is told by its name.
    #[test]
    fn an_empty_file_is_no_journal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, "").unwrap();
        assert!(matches!(Journal::open(&path), Err(JournalError::Empty(_))));
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
        let path = folder.path().join("x.smtp-journal");
        fs::write(&path, "").unwrap();
        assert!(Journal::open(&path).is_ok());
    }

    /// `--journal /dev/zero` read until the memory was full, and a pipe was waited for.
    #[test]
    fn what_is_no_regular_file_is_no_journal() {
        for path in ["/dev/zero", "/dev/full", "/"] {
            assert!(matches!(Journal::open(Path::new(path)), Err(JournalError::NotAFile(_))), "{path}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, [FIRST_LINE.as_bytes(), b"\n", &vec![b'x'; 2 * LINE_OCTETS as usize]].concat()).unwrap();
        assert!(matches!(Journal::open(&path), Err(JournalError::NotAJournal(_, 2))));
    }

    /// Bcc was no part of the key: two mails that differed in nothing else were told by their order alone, and when their
    /// files changed places each was sent to the other's recipients once more.
    #[test]
    fn blind_copies_tell_messages_apart() {
        let keys = |texts: [&str; 2]| {
            let mut keys = Keys::default();
            texts.map(|text| key(&mut keys, "a@x", text))
        };
        let [one, other] = keys(["Bcc: b@x\nA: b\n\nx\n", "Bcc: c@x\nA: b\n\nx\n"]);
        let [other_first, one_last] = keys(["Bcc: c@x\nA: b\n\nx\n", "Bcc: b@x\nA: b\n\nx\n"]);
        assert!(one.digest != other.digest);
        assert_eq!((one, other), (one_last, other_first));
    }

    /// Behind a line that could not be written nothing is written: it would be read together with half of that line.
    #[test]
    fn nothing_follows_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let key = key(&mut Keys::default(), "a@x", "1");
        let journal = Journal::open(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        journal.written().file = File::open(&path).unwrap();
        let error = journal.begin(&key).unwrap_err();
        journal.written().file = File::options().append(true).open(&path).unwrap();
        assert_eq!(journal.end(&key).unwrap_err().to_string(), error.to_string());
        assert_eq!(journal.sync().unwrap_err().kind(), error.kind());
        assert_eq!(journal.failure().unwrap().to_string(), error.to_string());
        assert_eq!(fs::read(&path).unwrap(), whole);
    }

    #[test]
    fn a_journal_that_cannot_be_made() {
        assert!(matches!(Journal::open(Path::new("/nonexistent/x")), Err(JournalError::Create(..))));
    }
}
