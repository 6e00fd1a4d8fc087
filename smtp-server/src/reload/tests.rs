//! Tests of the reloader: what changes, what stays, and what is said of it.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::recipients::Recipients;

/// A list of recipients in a directory of its own, and what reads it.
struct Place {
    _directory: TempDir,
    path: PathBuf,
    reloader: Reloader<LocalAddressing>,
}

impl Place {
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("recipients");
        fs::write(&path, text).unwrap();
        let file = path.clone();
        let reloader = Reloader::new(vec![path.clone()], move || {
            let text = fs::read_to_string(&file).map_err(|error| format!("list: {error}"))?;
            let recipients = Recipients::parse(&text).map_err(|error| format!("list: {error}"))?;
            Ok(LocalAddressing::new(["us.example".parse().unwrap()]).with_recipients(recipients))
        });
        Place { _directory: directory, path, reloader: reloader.unwrap() }
    }

    /// A new file under the old name, as most editors leave one.
    fn put(&self, text: &str) {
        let new = self.path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, &self.path).unwrap();
    }

    /// What is said once the file stands still.
    fn news(&mut self) -> Option<News> {
        let first = self.reloader.look();
        assert_eq!(first, None, "the file may not be complete");
        self.reloader.look()
    }

    fn has(&self, name: &str) -> bool {
        let path = format!("<{name}@us.example>").parse().unwrap();
        self.reloader.current().get().accepts(&path).is_ok()
    }
}

fn taken(numbers: &str) -> Option<News> {
    Some(News::Taken(format!("new recipients or aliases are in force: {numbers}")))
}

fn refused(reason: &str) -> Option<News> {
    Some(News::Refused(format!("{reason}; what was read before stays in force")))
}

#[test]
fn a_new_version_is_taken_once_for_all_who_share() {
    let mut place = Place::new("bob\n");
    let shared = place.reloader.current().clone();
    let before = shared.get();
    assert_eq!(place.news(), None);
    place.put("bob\nann\n");
    assert_eq!(place.news(), taken("recipients=2 aliases=0"));
    assert_eq!(place.news(), None);
    let ann = "<ann@us.example>".parse().unwrap();
    assert!(shared.get().accepts(&ann).is_ok());
    assert!(before.accepts(&ann).is_err(), "whoever asked before goes on with what it was");
}

#[test]
fn what_is_being_written_is_left_alone() {
    let mut place = Place::new("bob\n");
    for text in ["b", "bob\na", "bob\nann\nca", "bob\nann\ncarol\n"] {
        fs::write(&place.path, text).unwrap();
        assert_eq!(place.reloader.look(), None, "{text:?}");
        assert!(place.has("bob") && !place.has("ann"));
    }
    assert_eq!(place.reloader.look(), taken("recipients=3 aliases=0"));
}

#[test]
fn a_wrong_version_is_told_once_and_changes_nothing() {
    let mut place = Place::new("bob\n");
    place.put("ann\nno body\n");
    let Some(News::Refused(text)) = place.news() else { panic!("it is wrong") };
    assert!(text.starts_with("list: line 2: ") && text.ends_with("; what was read before stays in force"), "{text}");
    for _ in 0..3 * LOOKS_BEFORE_RETRY {
        assert_eq!(place.reloader.look(), None);
    }
    assert!(place.has("bob") && !place.has("ann"));
    // Another change that is as wrong is another mistake, which somebody makes now.
    place.put("ann\nno body\n");
    assert_eq!(place.news(), Some(News::Refused(text)));
    place.put("ann\n");
    assert_eq!(place.news(), taken("recipients=1 aliases=0"));
    assert!(place.has("ann") && !place.has("bob"));
}

#[test]
fn a_file_that_is_gone_changes_nothing() {
    let mut place = Place::new("bob\n");
    fs::remove_file(&place.path).unwrap();
    assert_eq!(place.news(), refused("list: No such file or directory (os error 2)"));
    assert_eq!(place.news(), None);
    assert!(place.has("bob"));
    place.put("bob\n");
    assert_eq!(place.news(), taken("recipients=1 aliases=0"));
}

/// Nobody opens it: that would take for ever, or what was meant for somebody else.
#[test]
fn a_pipe_is_not_opened() {
    let mut place = Place::new("bob\n");
    fs::remove_file(&place.path).unwrap();
    nix::unistd::mkfifo(&place.path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let said = format!("{}: a pipe is read only once; restart the server", place.path.display());
    assert_eq!(place.news(), refused(&said));
    assert!(place.has("bob"));
}

#[test]
fn the_thread_ends_with_its_watch() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let (held, is_dropped) = crossbeam_channel::bounded::<()>(0);
    let read = move || {
        let _ = &held;
        Ok(LocalAddressing::new([]))
    };
    let watch = Reloader::new(vec![file.path().to_owned()], read).unwrap().watch().unwrap();
    drop(watch);
    let patience = Duration::from_secs(20);
    assert_eq!(is_dropped.recv_timeout(patience), Err(RecvTimeoutError::Disconnected));
}

/// It was for want of descriptors, say: nothing about the file changes when there are some again.
#[test]
fn what_could_not_be_read_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let (path, trouble) = (directory.path().join("list"), directory.path().join("trouble"));
    fs::write(&path, "").unwrap();
    let is_trouble = trouble.clone();
    let mut reloader = Reloader::new(vec![path.clone()], move || match is_trouble.exists() {
        true => Err("trouble".to_owned()),
        false => Ok(LocalAddressing::new([])),
    })
    .unwrap();
    fs::write(&trouble, "").unwrap();
    fs::write(&path, "new").unwrap();
    assert_eq!((reloader.look(), reloader.look()), (None, refused("trouble")));
    fs::remove_file(&trouble).unwrap();
    let looks: Vec<_> = (0..LOOKS_BEFORE_RETRY).filter_map(|_| reloader.look()).collect();
    assert_eq!(looks, [taken("recipients=all aliases=0").unwrap()]);
}
