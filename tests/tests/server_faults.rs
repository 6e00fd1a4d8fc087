//! A disk that fails, or is full, at each single operation: a temporary refusal, the conversation goes on, nothing refused
//! is stored, and the next message is accepted. Rows N120, N180, N274, X011.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::io::ErrorKind;

use smtp_spool::disk::FreeSpace;
use smtp_spool::{Fault, MemoryDisk, Options};
use smtp_tests::peer::Peer;
use smtp_tests::server::TestServer;

/// One that waits in memory and is committed to the journal, and one that goes to a file piece by piece.
fn contents() -> [String; 2] {
    ["small\r\n".to_owned(), "a line of a larger message\r\n".repeat(6_000)]
}

/// Two threads: these are many servers, one after the other.
fn start(disk: &MemoryDisk) -> TestServer {
    TestServer::builder().disk(disk).threads(2).start()
}

fn send(peer: &mut Peer, content: &str) -> String {
    peer.agree_all(&["MAIL FROM:<a@b.example>", "RCPT TO:<x@example.org>", "DATA"]);
    peer.send(content);
    peer.send(".\r\n");
    peer.reply()
}

/// The operations of taking over one message, numbered as the disk counts them.
fn operations(content: &str) -> std::ops::Range<usize> {
    let disk = MemoryDisk::new();
    let server = start(&disk);
    let mut peer = server.greeted();
    let before = disk.operations().len();
    assert!(send(&mut peer, content).starts_with("250 "));
    let operations = before..disk.operations().len();
    let log = disk.operations()[operations.clone()].join("\n");
    let steps = if content.len() > 128 << 10 {
        &["create tmp/", "write tmp/", "sync tmp/", "rename tmp/", "sync new"][..]
    } else {
        &["create journal/", "sync journal\n", "write journal/", "sync journal/"]
    };
    for step in steps {
        assert!(log.contains(step), "{step} is missing in\n{log}");
    }
    operations
}

#[test]
fn every_operation_fails_once() {
    for content in contents() {
        for operation in operations(&content) {
            for (kind, code) in [
                (ErrorKind::StorageFull, "452 4.3.1 "),
                (ErrorKind::QuotaExceeded, "452 4.3.1 "),
                (ErrorKind::Other, "451 4.3.0 "),
                (ErrorKind::PermissionDenied, "451 4.3.0 "),
            ] {
                for fault in [Fault::Error(kind), Fault::ErrorAfterEffect(kind)] {
                    let disk = MemoryDisk::new();
                    let server = start(&disk);
                    let mut peer = server.greeted();
                    disk.fail_at(operation, fault);
                    let reply = send(&mut peer, &content);
                    let name = disk.operations()[operation].clone();
                    if name.starts_with("fill ") {
                        // Nothing of the message was at stake, and its sync has succeeded.
                        assert!(reply.starts_with("250 "), "{fault:?} at {operation} ({name}): {reply}");
                        assert!(server.only_stored().content == content.as_bytes());
                        continue;
                    }
                    assert!(reply.starts_with(code), "{fault:?} at {operation} ({name}): {reply}");
                    assert_eq!(server.stored(), [], "{fault:?} at {operation} ({name})");
                    assert!(send(&mut peer, "next\r\n").starts_with("250 "), "{fault:?} at {operation} ({name})");
                    assert_eq!(server.only_stored().content, b"next\r\n");
                    // A file that was made although the disk said no is removed at the next start.
                    let leftovers = usize::from(name.starts_with("create tmp") && fault != Fault::Error(kind));
                    assert_eq!(server.temporary_files(), leftovers, "{fault:?} at {operation} ({name})");
                    peer.expect("QUIT", "221 ");
                }
            }
        }
    }
}

/// A short write is no fault: the rest is written.
#[test]
fn short_writes_are_not_seen() {
    for content in contents() {
        for operation in operations(&content) {
            let disk = MemoryDisk::new();
            let server = start(&disk);
            let mut peer = server.greeted();
            disk.fail_at(operation, Fault::ShortWrite);
            assert!(send(&mut peer, &content).starts_with("250 "));
            assert!(server.only_stored().content == content.as_bytes());
        }
    }
}

/// A disk that fails from some operation on, for several messages, and is then mended without a restart.
#[test]
fn a_disk_that_is_mended() {
    for content in contents() {
        for operation in operations(&content) {
            let disk = MemoryDisk::new();
            let server = start(&disk);
            let mut peer = server.greeted();
            disk.fail_from(operation, ErrorKind::Other);
            for _ in 0..3 {
                let reply = send(&mut peer, &content);
                assert!(reply.starts_with("451 4.3.0 "), "from {operation} on: {reply}");
            }
            disk.mend();
            let before: Vec<_> = server.stored().into_iter().map(|stored| stored.id).collect();
            // What could not even be taken back is known to the spool, and nobody else has been told of it.
            assert!(before.len() <= 1, "from {operation} on: {before:?}");
            assert!(send(&mut peer, "mended\r\n").starts_with("250 "), "from {operation} on");
            assert_eq!(server.stored().pop().unwrap().content, b"mended\r\n");
            // What lay in the journal was declared void before anything else was accepted; a file stays for the next start.
            let is_file = content.len() > 128 << 10;
            assert_eq!(server.stored().len(), 1 + if is_file { before.len() } else { 0 });
        }
    }
}

/// The power goes at each operation: what is found the next morning holds every message that was acknowledged.
#[test]
fn power_cuts() {
    let content = "small\r\n";
    for operation in operations(content) {
        let disk = MemoryDisk::new();
        let server = start(&disk);
        let mut peer = server.greeted();
        disk.cut_power_at(operation);
        assert!(send(&mut peer, content).starts_with("451 4.3.0 "), "nothing is promised without power");
        drop((peer, server));
        for survivor in disk.survivors(64) {
            let server = start(&survivor);
            let mut peer = server.greeted();
            let id = peer.send_message("a@b.example", &["x@example.org"], "the next morning\r\n");
            drop((peer, server));
            for survivor in survivor.survivors(64) {
                let server = start(&survivor);
                let found = server.stored().into_iter().find(|stored| stored.id == id);
                assert_eq!(found.unwrap().content, b"the next morning\r\n", "cut at {operation}");
            }
        }
    }
}

/// Row X011: a foreseeable shortage is told before any data is taken, and goes away by itself.
#[test]
fn no_room_left() {
    let disk = MemoryDisk::new();
    let server = start(&disk);
    let mut peer = server.greeted();
    let reserve = Options::default().reserve_bytes;
    for (bytes, files) in [(0, None), (reserve, None), (reserve * 2, Some(0)), (reserve * 2, Some(255))] {
        disk.set_free_space(FreeSpace { bytes, files });
        peer.expect("MAIL FROM:<a@b.example>", "452 4.3.1 ");
        peer.expect("NOOP", "250 ");
    }
    disk.set_free_space(FreeSpace { bytes: reserve + 1_000, files: Some(256) });
    peer.expect("MAIL FROM:<a@b.example> SIZE=1001", "452 4.3.1 ");
    peer.expect("MAIL FROM:<a@b.example> SIZE=1000", "250 ");
    // It became less in the meantime.
    peer.agree("RCPT TO:<x@example.org>");
    disk.set_free_space(FreeSpace { bytes: 0, files: None });
    peer.expect("DATA", "452 4.3.1 ");
    disk.set_free_space(FreeSpace { bytes: reserve * 2, files: None });
    peer.agree("DATA");
    peer.send("there is room again\r\n.\r\n");
    assert!(peer.reply().starts_with("250 "));
    assert_eq!(server.stored().len(), 1);
}

/// `--keep-max-bytes`: what is kept is bounded, and mail beyond it waits at its sender.
#[test]
fn the_bound_of_what_is_kept() {
    let options = Options { keep_max_bytes: Some(2_000), ..Options::default() };
    let server = TestServer::builder().spool_options(options).start();
    let mut peer = server.greeted();
    peer.expect("MAIL FROM:<a@b.example> SIZE=2001", "452 4.3.1 ");
    let content = format!("{}\r\n", "x".repeat(1_000));
    assert!(send(&mut peer, &content).starts_with("250 "));
    // Not announced, so only found out at the end.
    assert!(send(&mut peer, &content).starts_with("452 4.3.1 "));
    peer.expect("MAIL FROM:<a@b.example> SIZE=1500", "452 4.3.1 ");
    assert!(send(&mut peer, "a small one still fits\r\n").starts_with("250 "));
    assert_eq!((server.stored().len(), server.temporary_files()), (2, 0));
}
