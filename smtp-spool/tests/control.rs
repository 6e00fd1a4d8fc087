//! The control socket: who may come, what a peer may do to it, and what is there when the owner is not.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

mod support;

use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use smtp_spool::control::{Answer, AskError, Control, Request, ask};
use smtp_spool::{Changed, Due, Options, Spool};
use support::*;

const PATIENCE: Duration = Duration::from_secs(20);

struct Place {
    // Before the directory, so that it ends before that is removed.
    control: Control,
    spool: Spool,
    parent: tempfile::TempDir,
}

impl Place {
    /// An owned spool with a queued message, at whose socket requests are taken.
    fn new() -> Self {
        let parent = tempfile::tempdir().unwrap();
        let (spool, _) = Spool::open(parent.path().join("spool"), Options::default()).unwrap();
        put(&spool, "m", b"text\r\n", Due::At(0)).unwrap();
        let control = Control::serve(spool.clone(), &parent.path().join("spool")).unwrap();
        Place { control, spool, parent }
    }

    fn spool_path(&self) -> PathBuf {
        self.parent.path().join("spool")
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.spool_path().join("control")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// What is answered to these octets. A peer that is refused before it has said all may be cut off.
    fn say(&self, octets: &[u8]) -> String {
        let mut stream = self.connect();
        let _ = stream.write_all(octets);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    }

    fn ask(&self, line: &str) -> Answer {
        ask(&self.spool_path(), &line.parse().unwrap(), PATIENCE).unwrap()
    }
}

fn done(recipients: usize, being_tried: usize) -> Answer {
    Answer::Done(Changed { recipients, being_tried })
}

#[test]
fn every_request_is_answered() {
    let place = Place::new();
    put(&place.spool, "k", b"text\r\n", Due::Kept).unwrap();
    assert_eq!(place.say(b"hold m\n"), "done 2 0\n");
    assert!(matches!(place.ask("health"), Answer::Health(health) if health.queued_messages == 1));
    assert_eq!(place.ask("release m"), done(2, 0));
    assert_eq!(place.ask("retry-now m"), done(0, 0));
    assert_eq!(place.ask("retry-now --all"), done(0, 0));
    assert_eq!(place.ask("hold k"), Answer::Missing);
    assert_eq!(place.ask("remove --report k"), Answer::Missing);
    assert_eq!(place.ask("remove --report m"), done(2, 0));
    assert_eq!(place.ask("remove m"), done(1, 0));
    assert_eq!(place.ask("remove k"), done(1, 0));
    assert_eq!(place.ask("remove k"), Answer::Missing);
}

#[test]
fn what_is_no_request_is_refused() {
    let place = Place::new();
    for line in
        ["", "frobnicate", "hold", "hold ../m", "hold m m", "remove --all", "GET / HTTP/1.1\r", "hold m\r", "\0"]
    {
        assert_eq!(place.say(format!("{line}\n").as_bytes()), "refused this owner knows no such request\n", "{line:?}");
    }
    assert_eq!(place.say(b"\xff\xfe\n"), "refused not in UTF-8\n");
    // The request has 100 octets with its newline, or it is none.
    let mut line = "x".repeat(99);
    assert_eq!(place.say(format!("{line}\n").as_bytes()), "refused this owner knows no such request\n");
    line.push('x');
    assert_eq!(place.say(format!("{line}\n").as_bytes()), "refused longer than a line of 100 octets\n");
    place.say(&vec![b'x'; 1 << 20]);
    place.say(&b"hold m".repeat(100_000));
    // Half a request is none.
    let mut half = place.connect();
    half.write_all(b"remove m").unwrap();
    half.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(half.read_to_end(&mut Vec::new()).unwrap(), 0);
    // One request a connection: the second is not read.
    assert_eq!(place.say(b"retry-now m\nremove m\n"), "done 0 0\n");
    assert_eq!(place.ask("hold m"), done(2, 0), "nothing of all that was done");
}

/// Who says nothing, or says it too slowly, is left after a while; others wait for that and are answered.
#[test]
fn silent_peers_hold_nobody_for_long() {
    let place = Place::new();
    let (silent, mut slow) = (place.connect(), place.connect());
    slow.write_all(b"hold ").unwrap();
    let gone: Vec<_> = (0..100).map(|_| place.connect()).collect();
    drop(gone);
    let began = Instant::now();
    assert_eq!(place.ask("retry-now m"), done(0, 0));
    assert!(began.elapsed() < PATIENCE);
    for mut peer in [silent, slow] {
        assert_eq!(peer.read_to_end(&mut Vec::new()).unwrap(), 0, "closed without an answer");
    }
}

#[test]
fn a_silent_peer_does_not_hold_up_the_end() {
    let place = Place::new();
    let silent = place.connect();
    let began = Instant::now();
    let Place { control, spool, parent } = place;
    drop(control);
    assert!(began.elapsed() < smtp_spool::control::PATIENCE, "{:?}", began.elapsed());
    assert!(!parent.path().join("spool/control").exists());
    let asked = ask(&parent.path().join("spool"), &Request::Health, PATIENCE);
    assert!(matches!(asked, Err(AskError::Nobody)), "{asked:?}");
    drop((silent, spool));
}

/// 0600, at every moment at which it can be found under its name; and it replaces what a killed owner left.
#[test]
fn the_socket_is_for_its_owner_alone_and_replaces_a_stale_one() {
    let place = Place::new();
    let path = place.spool_path().join("control");
    assert_eq!(std::fs::symlink_metadata(&path).unwrap().mode() & 0o7777, 0o600);
    drop(place.control);
    drop(UnixListener::bind(&path).unwrap());
    let stale = ask(&path.with_file_name(""), &Request::Health, PATIENCE);
    assert!(matches!(stale, Err(AskError::Nobody)), "{stale:?}");
    // Cut short before its last step.
    drop(UnixListener::bind(path.with_file_name("tmp/control")).unwrap());
    let spool_path = path.parent().unwrap().to_owned();
    let control = Control::serve(place.spool.clone(), &spool_path).unwrap();
    assert!(matches!(ask(&spool_path, &Request::Health, PATIENCE), Ok(Answer::Health(_))));
    assert!(!spool_path.join("tmp/control").exists());
    drop(control);
    // What is no socket is somebody's.
    std::fs::write(&path, b"mine").unwrap();
    let error = Control::serve(place.spool.clone(), &spool_path).err().unwrap().to_string();
    assert!(error.contains("control\": it is there and no socket; move it away"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
}

/// An owner that stands still: the answer does not come, and that says so. And one that accepts nobody.
#[test]
fn an_owner_who_does_not_answer() {
    let parent = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(parent.path().join("control")).unwrap();
    let patience = Duration::from_millis(50);
    let error = ask(parent.path(), &Request::Health, patience).unwrap_err();
    assert!(matches!(error, AskError::NoAnswer { .. }) && error.to_string().contains("try again"), "{error}");
    // Fill the backlog: from then on even a connection has to wait.
    let address = socket2::SockAddr::unix(parent.path().join("control")).unwrap();
    let mut waiting = Vec::new();
    loop {
        let next = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        next.set_nonblocking(true).unwrap();
        if next.connect(&address).is_err() {
            break;
        }
        waiting.push(next);
    }
    let error = ask(parent.path(), &Request::Health, patience).unwrap_err();
    assert!(matches!(error, AskError::Unreachable { .. }) && !error.is_permission(), "{error}");
    drop(listener);
}
