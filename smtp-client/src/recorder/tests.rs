//! Conversations and how they are written, and that nothing of them is lost.

use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::dialogue::{Dialogue, Step};

/// A file in memory that can be read while it is being written.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn octets(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    fn text(&self) -> String {
        String::from_utf8(self.octets()).unwrap()
    }
}

impl Write for Page {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn recorded(watch: impl Fn(&mut Recorder)) -> String {
    let page = Page::default();
    let mut recorder = Recorder::new(page.clone(), "x", "T");
    watch(&mut recorder);
    drop(recorder);
    page.text().strip_prefix("# T\n").unwrap().to_owned()
}

fn peer() -> Peer {
    Peer::Tcp(([192, 0, 2, 1], 25).into())
}

#[test]
fn a_whole_conversation() {
    let text = recorded(|recorder| {
        recorder.connected(&peer());
        recorder.replies(b"220-mx");
        recorder.replies(b".example.org\r\n220 ready\r\n");
        recorder.commands(b"MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n");
        recorder.replies(b"250 OK\r\n250 OK\r\n354 go on\r\n");
        recorder.content(b"Subject: \xc3");
        recorder.content(b"\xa9\r\n\r\n..\xff\r\n");
        recorder.content(b".\r\n");
        recorder.replies(b"250 OK\r\n");
        recorder.closed();
        recorder.connected(&peer());
        recorder.replies(b"421 later\r\n");
        recorder.closed();
    });
    let expected = "
== 192.0.2.1:25
S: 220-mx.example.org
S: 220 ready
C: MAIL FROM:<a@x>
C: RCPT TO:<b@x>
C: DATA
S: 250 OK
S: 250 OK
S: 354 go on
C: Subject: é
C:
C: ..\\xff
C: .
S: 250 OK

== 192.0.2.1:25
S: 421 later
";
    assert_eq!(text, expected);
}

#[test]
fn a_chunk_that_ends_within_a_line() {
    let text = recorded(|recorder| {
        recorder.commands(b"BDAT 5 LAST\r\n");
        recorder.content(b"a\r\nbc");
        recorder.replies(b"250 OK\r\n");
        recorder.commands(b"BDAT 1\r\n");
        recorder.content(b"d");
        recorder.commands(b"QUIT\r\n");
    });
    assert_eq!(text, "C: BDAT 5 LAST\nC: a\nC: bc\\\nS: 250 OK\nC: BDAT 1\nC: d\\\nC: QUIT\n");
}

/// The client goes on before a reply is complete: it cannot have been waiting for this one.
#[test]
fn a_reply_stands_where_it_ends() {
    let text = recorded(|recorder| {
        recorder.replies(b"250 one\r\n250-tw");
        recorder.commands(b"NOOP\r\n");
        recorder.replies(b"o\r\n250 two\r\n");
    });
    assert_eq!(text, "S: 250 one\nC: NOOP\nS: 250-two\nS: 250 two\n");
}

#[test]
fn what_was_cut_off_is_written_as_cut_off() {
    let text = recorded(|recorder| {
        recorder.content(b"half a li");
        recorder.replies(b"552-no\r\n552 eno");
        recorder.closed();
    });
    assert_eq!(text, "C: half a li\\\nS: 552-no\nS: 552 eno\\\n");
}

#[test]
fn an_endless_reply_takes_no_endless_memory() {
    let mut recorder = Recorder::new(io::sink(), "x", "T");
    for _ in 0..1_000 {
        recorder.replies(&[b'x'; 1_000]);
        assert!(recorder.lock().heard.len() <= limits::RECEIVED_REPLY_OCTETS);
    }
}

#[test]
fn long_lines_are_broken_between_letters() {
    let line = |count: usize| [&b"x".repeat(count)[..], "é\r\n".as_bytes()].concat();
    for count in LINE_OCTETS - 6..LINE_OCTETS + 6 {
        let text = recorded(|recorder| recorder.content(&line(count)));
        assert!(!text.contains("\\x"), "{count}");
        assert_eq!(said(&text), line(count), "{count}");
    }
    // What is no letter has no boundary.
    let noise = [vec![b'x'; LINE_OCTETS - 4], vec![0x80; 9]].concat();
    assert_eq!(said(&recorded(|recorder| recorder.content(&noise))), noise);
}

/// All that the client says in a recording.
fn said(text: &str) -> Vec<u8> {
    let mut dialogue = Dialogue::read(Cursor::new(text.as_bytes())).unwrap();
    let say = |step| match step {
        Ok((_, Step::Say(octets))) => octets,
        step => panic!("{step:?}"),
    };
    dialogue.steps().unwrap().flat_map(say).collect()
}

proptest! {
    /// However content comes in pieces, it is read back as it was.
    #[test]
    fn any_content_comes_back(pieces in proptest::collection::vec("[ab.\\\\ é\r\n\u{0}]{0,6}|x{4093}[aé\r]é", 0..20)) {
        let text = recorded(|recorder| pieces.iter().for_each(|piece| recorder.content(piece.as_bytes())));
        prop_assert_eq!(said(&text), pieces.concat().into_bytes());
    }

    #[test]
    fn any_octets_come_back(pieces: Vec<Vec<u8>>) {
        let text = recorded(|recorder| pieces.iter().for_each(|piece| recorder.content(piece)));
        prop_assert_eq!(said(&text), pieces.concat());
    }
}

/// A disk that is full.
struct Full(Arc<Mutex<usize>>);

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        *self.0.lock().unwrap() += 1;
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_file_that_cannot_be_written_is_tried_once() {
    let tries = Arc::new(Mutex::new(0));
    let mut recorder = Recorder::new(Full(tries.clone()), "x", "T");
    for _ in 0..3 {
        recorder.connected(&peer());
        recorder.replies(b"220 mx\r\n");
        recorder.closed();
    }
    assert_eq!(*tries.lock().unwrap(), 1);
}
