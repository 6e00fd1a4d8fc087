//! Where messages lie: files, directories, Maildirs and mboxes, standard input.
//!
//! A batch may hold a million messages, so none of them is kept open or in memory before its turn: a [`Source`] remembers
//! where one lies, and [`Source::open`] brings it, as often as it takes, if it is still what it was. What comes from a pipe
//! comes only once. It is kept in memory or, where it is large, in a nameless file, which stays open.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::content::{Content, ContentError, nameless_file, without_room};
use crate::journal;
use crate::mbox::{self, Mbox};
use crate::seen_file::SeenFile;

/// Where one message lies.
#[derive(Clone, Debug)]
pub enum Source {
    /// It is here already.
    Held(Arc<Content>),
    /// In a file of its own.
    File(SeenFile),
    /// In an mbox, at this place.
    Mbox(Arc<FoundMbox>, usize),
}

/// An mbox, and the file that it is.
#[derive(Debug)]
pub struct FoundMbox {
    mbox: Mbox,
    file: MboxFile,
}

#[derive(Debug)]
enum MboxFile {
    /// Opened anew for each message, so that any number of them can be sent.
    Seen(SeenFile),
    /// What a pipe held. It has no name by which it could be opened again.
    Nameless(File),
}

/// A message that was found, and what to call it.
#[derive(Clone, Debug)]
pub struct Found {
    /// The path as it was given, `-` for standard input; behind an mbox its number from 1: `box.mbox#17`.
    pub name: String,
    /// Where it lies.
    pub source: Source,
}

/// Why messages cannot be found.
#[derive(Debug)]
pub struct FindError {
    /// What cannot be read: the path that was given, or one below it.
    pub name: String,
    /// Why not.
    pub error: ContentError,
}

impl Source {
    /// Brings the message, read and examined anew. What lies in a file must be what it was when it was found, or others
    /// might get what was meant for the recipients that it had then.
    pub fn open(&self) -> Result<Arc<Content>, ContentError> {
        match self {
            Source::Held(content) => Ok(content.clone()),
            Source::File(seen) => {
                let content = Content::from_open_file(seen.open()?, seen.octets())?;
                content.file().map_or(Ok(()), |file| seen.check(file))?;
                Ok(Arc::new(content))
            }
            Source::Mbox(found, place) => found.open(*place).map(Arc::new),
        }
    }

    /// The file in which it lies, alone or among others. What came from a pipe has none.
    pub fn file(&self) -> Option<&SeenFile> {
        match self {
            Source::File(seen) => Some(seen),
            Source::Mbox(found, _) => match &found.file {
                MboxFile::Seen(seen) => Some(seen),
                MboxFile::Nameless(_) => None,
            },
            Source::Held(_) => None,
        }
    }
}

impl FoundMbox {
    fn open(&self, place: usize) -> Result<Content, ContentError> {
        match &self.file {
            MboxFile::Seen(seen) => {
                let file = seen.open()?;
                let content = self.read(place, &file)?;
                seen.check(&file)?;
                Ok(content)
            }
            MboxFile::Nameless(file) => self.read(place, file),
        }
    }

    fn read(&self, place: usize, file: &File) -> Result<Content, ContentError> {
        let message = self.mbox.message(place, file);
        message.map_or_else(|| Err(io::Error::from(io::ErrorKind::NotFound).into()), Content::from_reader)
    }
}

impl From<Content> for Source {
    fn from(content: Content) -> Self {
        Source::Held(Arc::new(content))
    }
}

/// Finds what lies at a path: a message, the messages of an mbox (a file that begins with `From `), those of a Maildir (a
/// directory with `new` and `cur`), or everything below another directory. There, hidden files and what is no regular file
/// are passed over, links to directories are not followed, and the order is that of the names.
pub fn find(path: &Path) -> Result<Vec<Found>, FindError> {
    let fail = |error: io::Error| FindError { name: path.display().to_string(), error: error.into() };
    if fs::metadata(path).map_err(fail)?.is_dir() {
        let files = if is_maildir(path) { files_of_maildir(path) } else { files_below(path) };
        let found: Result<Vec<_>, _> = files?.iter().map(|file| find_in_file(file)).collect();
        return Ok(found?.into_iter().flatten().collect());
    }
    find_in_file(path)
}

/// Finds what comes over standard input, or another stream: a message, or the messages of an mbox.
pub fn find_in_stream(name: &str, mut input: impl Read) -> Result<Vec<Found>, FindError> {
    let fail = |error: ContentError| FindError { name: name.to_owned(), error };
    let mut beginning = Vec::new();
    input.by_ref().take(64).read_to_end(&mut beginning).map_err(|error| fail(error.into()))?;
    let is_mbox = mbox::is_mbox(&beginning);
    let mut input = io::Cursor::new(beginning).chain(input);
    if is_mbox {
        let mut file = nameless_file().map_err(|error| fail(without_room(error).into()))?;
        io::copy(&mut input, &mut file).map_err(|error| fail(without_room(error).into()))?;
        let mbox = Mbox::scan(&file).map_err(|error| fail(error.into()))?;
        return Ok(messages_of(name, FoundMbox { mbox, file: MboxFile::Nameless(file) }));
    }
    let content = Content::from_reader(input).map_err(fail)?;
    Ok(vec![Found { name: name.to_owned(), source: content.into() }])
}

fn find_in_file(path: &Path) -> Result<Vec<Found>, FindError> {
    let name = path.display().to_string();
    let fail = |error: io::Error| FindError { name: name.clone(), error: error.into() };
    let mut file = File::open(path).map_err(fail)?;
    // A pipe gives what it holds only once, and files that the kernel makes up have no length.
    let metadata = file.metadata().map_err(fail)?;
    if !metadata.is_file() || metadata.len() == 0 {
        return find_in_stream(&name, file);
    }
    let seen = SeenFile::new(path, &file).map_err(fail)?;
    let mut beginning = Vec::new();
    file.by_ref().take(64).read_to_end(&mut beginning).map_err(fail)?;
    if mbox::is_mbox(&beginning) {
        let mbox = Mbox::scan(&file).map_err(fail)?;
        return Ok(messages_of(&name, FoundMbox { mbox, file: MboxFile::Seen(seen) }));
    }
    Ok(vec![Found { name, source: Source::File(seen) }])
}

fn messages_of(name: &str, found: FoundMbox) -> Vec<Found> {
    let found = Arc::new(found);
    let message =
        |place: usize| Found { name: format!("{name}#{}", place + 1), source: Source::Mbox(found.clone(), place) };
    (0..found.mbox.len()).map(message).collect()
}

fn is_maildir(path: &Path) -> bool {
    path.join("new").is_dir() && path.join("cur").is_dir()
}

/// The files in `new` and `cur`, the oldest first, as their names tell. What is in `tmp` is not delivered yet.
fn files_of_maildir(path: &Path) -> Result<Vec<PathBuf>, FindError> {
    let mut files = Vec::new();
    for folder in ["new", "cur"] {
        files.extend(entries(&path.join(folder))?.into_iter().filter(|entry| entry.is_file()));
    }
    files.sort_by(|one, other| one.file_name().cmp(&other.file_name()));
    Ok(files)
}

fn files_below(path: &Path) -> Result<Vec<PathBuf>, FindError> {
    let mut files = Vec::new();
    for entry in entries(path)? {
        if entry.is_dir() && !entry.is_symlink() {
            files.extend(if is_maildir(&entry) { files_of_maildir(&entry) } else { files_below(&entry) }?);
        } else if entry.is_file() {
            files.push(entry);
        }
    }
    Ok(files)
}

/// What is in a directory, in the order of the names, without what is hidden and without journals of ours.
fn entries(path: &Path) -> Result<Vec<PathBuf>, FindError> {
    let fail = |error: io::Error| FindError { name: path.display().to_string(), error: error.into() };
    let read: io::Result<Vec<_>> = fs::read_dir(path).map_err(fail)?.map(|entry| Ok(entry?.path())).collect();
    let mut entries = read.map_err(fail)?;
    let is_message = |path: &PathBuf| {
        let name = path.file_name().map(OsStr::as_encoded_bytes).unwrap_or_default();
        !name.starts_with(b".") && !journal::is_named_like_one(path)
    };
    entries.retain(is_message);
    entries.sort();
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &Path) -> Vec<String> {
        let root = format!("{}/", path.display());
        find(path).unwrap().into_iter().map(|found| found.name.replace(&root, "")).collect()
    }

    fn write(path: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = path.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    const MBOX: &str = "From a\nA: 1\n\none\n\nFrom b\nA: 2\n\n>From two\n";

    #[test]
    fn a_directory_stands_for_what_is_below_it() {
        let folder = tempfile::tempdir().unwrap();
        write(
            folder.path(),
            &[
                ("b.eml", "A: b\n"),
                ("a/z.eml", "A: z\n"),
                ("a/box", MBOX),
                (".hidden", "A: h\n"),
                (".hidden-folder/x", "A: h\n"),
                (&format!("b.eml{}", journal::SUFFIX), "no message\n"),
                ("mail/new/2.x", "A: 2\n"),
                ("mail/cur/1.x:2,S", "A: 1\n"),
                ("mail/cur/3.x:2,", "A: 3\n"),
                ("mail/tmp/0.x", "A: not delivered\n"),
                ("mail/new/.hidden", "A: h\n"),
            ],
        );
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/loop")).unwrap();
        let expected =
            ["a/box#1", "a/box#2", "a/z.eml", "b.eml", "mail/cur/1.x:2,S", "mail/new/2.x", "mail/cur/3.x:2,"];
        assert_eq!(names(folder.path()), expected);
        assert_eq!(names(&folder.path().join("mail")), ["cur/1.x:2,S", "new/2.x", "cur/3.x:2,"]);
    }

    #[test]
    fn an_mbox_as_a_file_and_as_a_stream() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[("box", MBOX)]);
        let from_file = find(&folder.path().join("box")).unwrap();
        let from_stream = find_in_stream("-", MBOX.as_bytes()).unwrap();
        assert_eq!(from_stream.iter().map(|found| found.name.as_str()).collect::<Vec<_>>(), ["-#1", "-#2"]);
        for found in [from_file, from_stream] {
            let texts = found.iter().map(|found| {
                let mut text = String::new();
                found.source.open().unwrap().reader().read_to_string(&mut text).unwrap();
                text
            });
            assert_eq!(texts.collect::<Vec<_>>(), ["A: 1\n\none\n", "A: 2\n\nFrom two\n"]);
        }
    }

    /// A file that changed between the first look and its turn was sent to the recipients that it had had before, and an
    /// mbox that was written anew was cut up at the old places.
    #[test]
    fn what_has_changed_is_not_brought() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("letter", "A: 1\n\none\n"), ("box", MBOX)] {
            write(folder.path(), &[(name, text)]);
            let path = folder.path().join(name);
            let found = find(&path).unwrap();
            assert!(found.iter().all(|found| found.source.open().is_ok()));
            // In place, by one octet more; then another file of the same length.
            fs::File::options().append(true).open(&path).unwrap().set_len(text.len() as u64 + 1).unwrap();
            assert!(found.iter().all(|found| matches!(found.source.open(), Err(ContentError::Changed))), "{name}");
            write(folder.path(), &[("new", text)]);
            fs::rename(folder.path().join("new"), &path).unwrap();
            assert!(found.iter().all(|found| matches!(found.source.open(), Err(ContentError::Changed))), "{name}");
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        let error = find(Path::new("/nonexistent/x")).unwrap_err();
        assert_eq!(error.name, "/nonexistent/x");
        assert!(matches!(error.error, ContentError::Io(error) if error.kind() == io::ErrorKind::NotFound));
    }
}
