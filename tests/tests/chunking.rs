//! BDAT beside DATA (RFC 3030), over real connections: our server with a peer that sends what it likes, our client with
//! servers that say what they like, and both together.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::sync::{Arc, Mutex};

use smtp_client::connection::SendError;
use smtp_client::proto::client::Outcome;
use smtp_client::transcript::Transcript;
use smtp_client::{Connection, Content, Options};
use smtp_tests::scripted_server::{Script, ScriptedServer, content, in_haste, in_lock_step, transaction};
use smtp_tests::server::TestServer;

const ENVELOPE: [&str; 2] = ["MAIL FROM:<a@client.example>", "RCPT TO:<bob@example.org>"];

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

fn chunk(octets: &[u8], end: &str) -> Vec<u8> {
    [format!("BDAT {}{end}\r\n", octets.len()).as_bytes(), octets].concat()
}

/// Rows X035, X037, X040: both ways over one connection, in groups and in pieces; what is stored is what was sent, and
/// what was refused or given up leaves nothing behind.
#[test]
fn chunks_and_data_over_one_connection() {
    let server = TestServer::start();
    let smuggled = b"Subject: one\r\n\r\ntext\r\n.\r\nMAIL FROM:<evil@client.example>\r\nDATA\r\n";
    let large = "0123456789abcdef\r\n".repeat(20_000);
    let mut peer = server.greeted();

    peer.agree_all(&ENVELOPE);
    for octets in [chunk(&smuggled[..7], ""), chunk(&smuggled[7..], " LAST")].concat().chunks(5) {
        peer.send(octets);
    }
    assert_eq!(peer.reply(), "250 2.0.0 7 octets are here");
    assert!(peer.reply().starts_with("250 2.0.0 queued as "));

    peer.agree_all(&ENVELOPE);
    assert!(peer.say("DATA").starts_with("354 "));
    peer.send("Subject: two\r\n\r\n..\r\n.\r\n");
    assert!(peer.reply().starts_with("250 2.0.0 queued as "));

    // Given up between two chunks, refused in one, out of place: all of it in one segment, and the next message with it.
    let wire = [
        b"MAIL FROM:<a@client.example>\r\nRCPT TO:<bob@example.org>\r\n".as_slice(),
        &chunk(b"given up", ""),
        b"RSET\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<bob@example.org>\r\n",
        &chunk(b"good\r\n", ""),
        &chunk(b"bad\nQUIT\r\n", ""),
        &chunk(b"QUIT\r\n", " LAST"),
        b"RSET\r\n",
        &chunk(b"QUIT\r\n", " LAST"),
        b"MAIL FROM:<a@client.example>\r\nRCPT TO:<bob@example.org>\r\n",
        &chunk(b"Subject: three\r\n", ""),
        &chunk(b"\r\n", ""),
    ]
    .concat();
    peer.send(wire);
    for code in ["250", "250", "250", "250", "250", "250", "250", "550 5.6.11", "503", "250", "503", "250", "250"] {
        let reply = peer.reply();
        assert!(reply.starts_with(code), "{reply}, not {code}");
    }
    assert!(peer.reply().ends_with("16 octets are here") && peer.reply().ends_with("2 octets are here"));
    peer.send(chunk(large.as_bytes(), " LAST"));
    assert!(peer.reply().starts_with("250 2.0.0 queued as "));
    assert!(peer.say("QUIT").starts_with("221 "));

    let contents: Vec<_> = server.stored().iter().map(|stored| text(&stored.content)).collect();
    let expected = [text(smuggled), "Subject: two\r\n\r\n.\r\n".to_owned(), format!("Subject: three\r\n\r\n{large}")];
    assert_eq!(contents, expected);
    assert_eq!(server.temporary_files(), 0);
}

/// A connection that breaks between two chunks, or in one, leaves nothing.
#[test]
fn half_a_message_is_no_message() {
    let server = TestServer::start();
    for wire in [chunk(b"half", ""), b"BDAT 100 LAST\r\nhalf".to_vec(), b"BDAT 4 LAST\r\nhal".to_vec()] {
        let mut peer = server.greeted();
        peer.agree_all(&ENVELOPE);
        peer.send(wire);
        peer.finish_sending();
        peer.rest();
        assert_eq!((server.stored().len(), server.temporary_files()), (0, 0));
    }
}

fn in_chunks() -> Options {
    Options { chunking: true, ..in_haste() }
}

fn send(server: &str, options: Options, messages: &[&[u8]]) -> Vec<Outcome> {
    let mut connection = Connection::open(server, options).unwrap();
    let mut send = |message: &&[u8]| {
        connection.send(transaction("a@client.example", &["bob@example.org"]), &content(message)).unwrap()
    };
    let outcomes = messages.iter().map(&mut send).collect();
    connection.quit();
    outcomes
}

/// Rows X037, X043: our client to our server: everything arrives as it would with DATA, also what is large, empty, or ends
/// just where a block ends.
#[test]
fn our_client_to_our_server() {
    let server = TestServer::start();
    let block = "x".repeat(64 * 1024 - 13) + "\r\n";
    let block = format!("Subject: x\n{block}").into_bytes();
    let large = "0123456789abcdef0123456789abcde\n".repeat(50_000);
    let messages: Vec<&[u8]> =
        vec![b"Subject: x\n\n.\n..\nQUIT\n", b"Subject: y\n\nno line end", b"\n", &block, large.as_bytes(), b""];
    for options in [in_chunks(), Options { chunking: true, ..in_lock_step() }] {
        let before = server.stored().len();
        assert!(send(&server.address.to_string(), options, &messages).iter().all(Outcome::is_success));
        let stored = server.stored();
        let stored: Vec<_> = stored[before..].iter().map(|stored| text(&stored.content)).collect();
        for (message, stored) in messages.iter().zip(stored) {
            let mut lines = text(message).replace("\r\n", "\n");
            if !lines.is_empty() && !lines.ends_with('\n') {
                lines.push('\n');
            }
            assert!(stored == lines.replace('\n', "\r\n"), "{} octets", message.len());
        }
    }
}

/// Rows X039, X041: one chunk behind all the replies, and RSET behind a refused one.
#[test]
fn what_goes_over_the_wire() {
    let script = Script::greeted(&["PIPELINING", "CHUNKING"])
        .expect("MAIL FROM:<a@client.example>")
        .expect("RCPT TO:<bob@example.org>")
        .say("250 OK\r\n250 OK\r\n")
        .expect("BDAT 17 LAST")
        .take(17)
        .say("452 full")
        .expect("RSET")
        .expect("MAIL")
        .expect("RCPT")
        .say("250 OK\r\n250 OK\r\n250 OK\r\n")
        .expect("BDAT 7 LAST")
        .take(7)
        .say("250 OK")
        .expect("MAIL")
        .expect("RCPT")
        .say("250 OK\r\n550 no\r\n")
        .expect("QUIT")
        .say("221 bye");
    let server = ScriptedServer::start([script]);
    let outcomes = send(&server.name(), in_chunks(), &[b"Subject: x\n\n.\n", b"hello\n", b"not wanted\n"]);
    let results: Vec<_> = outcomes.iter().map(|outcome| outcome.recipients[0].result.as_ref().is_ok()).collect();
    assert_eq!(results, [false, true, false]);
    let octets = String::from_utf8(server.finish_one().octets).unwrap();
    assert!(octets.contains("BDAT 17 LAST\r\nSubject: x\r\n\r\n.\r\nRSET\r\n"), "{octets}");
    assert!(octets.contains("BDAT 7 LAST\r\nhello\r\nMAIL FROM"), "{octets}");
    assert!(!octets.contains("DATA") && !octets.contains("not wanted"));
}

/// A file that grows, shrinks or gets other line ends while it is sent: the connection is closed inside the chunk.
#[test]
fn a_file_that_changes_is_not_sent() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("message.eml");
    for changed in ["Subject: x\n\n1\n2\n", "Subject: x\n\n\n\n\n\n"] {
        std::fs::write(&file, "Subject: x\n\n1\r\n2").unwrap();
        let message = Content::from_file(&file).unwrap();
        std::fs::write(&file, changed).unwrap();
        let server = TestServer::start();
        let mut connection = Connection::open(&server.address.to_string(), in_chunks()).unwrap();
        let result = connection.send(transaction("a@client.example", &["bob@example.org"]), &message);
        if message.octets() == changed.replace('\n', "\r\n").len() as u64 {
            assert!(result.unwrap().is_success());
            continue;
        }
        assert!(matches!(result, Err(SendError::Content(_))), "{result:?}");
        assert!(!connection.is_open());
        assert_eq!(server.stored().len(), 0);
    }
}

/// Somebody who writes down what is shown.
#[derive(Clone, Default)]
struct Shown(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Shown {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(octets)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The transcript shows the BDAT line, and the chunk as content.
#[test]
fn the_transcript_shows_it() {
    let server = TestServer::start();
    let shown = Shown::default();
    let options = Options { observer: Box::new(Transcript::new(shown.clone())), ..in_chunks() };
    send(&server.address.to_string(), options, &[b"Subject: x\n\nQUIT\n.\n", b""]);
    let text = String::from_utf8(shown.0.lock().unwrap().clone()).unwrap();
    assert!(
        text.contains("\nC: BDAT 23 LAST\nC: <23 octets of content, as announced>\nS: 250 2.0.0 queued as "),
        "{text}"
    );
    assert!(text.contains("\nC: BDAT 0 LAST\nS: 250 2.0.0 queued as "), "{text}");
}
