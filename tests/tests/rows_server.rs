//! Rows of `docs/requirements.md` about the server that no other test answers for.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::io;

use smtp_proto::reply::{Code, EnhancedCode, Reply};
use smtp_proto::server::Decision;
use smtp_proto::transaction::{Recipient, Transaction};
use smtp_server::policy::{Client, Policy};
use smtp_server::recipients::Recipients;
use smtp_spool::{Fault, MemoryDisk, Options};
use smtp_tests::peer::Peer;
use smtp_tests::server::TestServer;

const ENVELOPE: [&str; 3] = ["MAIL FROM:<a@b.example>", "RCPT TO:<x@example.org>", "DATA"];

/// Sends a short message and returns the last reply.
fn last_reply(peer: &mut Peer) -> String {
    peer.agree_all(&ENVELOPE);
    peer.send("Subject: x\r\n\r\n.\r\n");
    peer.reply()
}

/// Rows N080, N199, N205, N288, N289: in front of what came stands one field of ours, and nothing else is changed, added,
/// or put into another order; trace fields and Return-Path of others least of all.
#[test]
fn one_field_on_top_and_nothing_else() {
    let server = TestServer::start();
    let mut peer = server.greeted();
    let content = "Received: from two by three; today\r\nSubject: x\r\nReturn-Path: <other@else.example>\r\n\
                   received: from one by two; yesterday\r\nReceived: odd\r\n\r\nReceived: in the body\r\n";
    peer.send_message("a@b.example", &["x@example.org", "y@example.org"], content);
    let stored = server.only_stored();
    assert_eq!(String::from_utf8(stored.content).unwrap(), content);
    let fields = stored.received.split("\r\n").filter(|line| !line.is_empty() && !line.starts_with('\t'));
    assert_eq!(fields.count(), 1, "{}", stored.received);
}

/// Row N306: where a message goes is what RCPT said; the header says it to people.
#[test]
fn the_header_routes_nothing() {
    let server = TestServer::start();
    let mut peer = server.greeted();
    let content = "To: somebody@else.example\r\nCc: y@example.org\r\nBcc: z@example.org\r\nFrom: c@d.example\r\n\r\n";
    peer.send_message("a@b.example", &["x@example.org"], content);
    let stored = server.only_stored();
    assert_eq!((stored.sender(), stored.recipients()), ("<a@b.example>".into(), vec!["<x@example.org>".into()]));
}

/// Row N257: a name that is only the beginning of ours is another name.
#[test]
fn partial_names_are_not_completed() {
    let server = TestServer::start();
    let mut peer = server.greeted();
    peer.agree("MAIL FROM:<a@b.example>");
    for domain in ["example", "mx", "www.example", "org"] {
        peer.expect(format!("RCPT TO:<x@{domain}>"), "550 5.7.1 ");
    }
}

/// Row N140: no mailbox has a name with control characters. Other alphabets need SMTPUTF8 (RFC 6531), which is offered.
#[test]
fn mailboxes_have_names_that_can_be_sent() {
    for name in ["a\u{1}b", "a\0", "\"a\u{7f}\"@example.org", "a\u{85}b"] {
        assert!(Recipients::parse(name).is_err(), "{name:?}");
    }
    assert!(Recipients::parse("jörg").is_ok());
}

/// Row X005: no room is said at MAIL already, before any data is taken, and passes by itself for what is smaller.
#[test]
fn no_room_is_said_before_data() {
    let server = TestServer::builder().spool_options(Options { keep_max_bytes: Some(10_000), ..Options::default() });
    let server = server.start();
    let mut peer = server.greeted();
    peer.expect("MAIL FROM:<a@b.example> SIZE=10001", "452 4.3.1 ");
    peer.expect("RCPT TO:<x@example.org>", "503 ");
    peer.agree("MAIL FROM:<a@b.example> SIZE=1000");
    peer.agree("RSET");
    assert!(last_reply(&mut peer).starts_with("250 "));
}

/// Rows N120, N180: whichever operation of the disk fails, the client hears 4yz or a promise that holds, and after 4yz
/// nothing is there; the next message is taken.
#[test]
fn what_a_failing_disk_refused_is_not_there() {
    let mut refusals = 0;
    for operation in 0..12 {
        for kind in [io::ErrorKind::Other, io::ErrorKind::StorageFull] {
            let disk = MemoryDisk::new();
            let server = TestServer::builder().disk(&disk).start();
            let mut peer = server.greeted();
            disk.fail_at(disk.operations().len() + operation, Fault::Error(kind));
            peer.agree_all(&ENVELOPE[..2]);
            let reply = match peer.say("DATA") {
                reply if reply.starts_with("354 ") => {
                    peer.send("Subject: x\r\n\r\n.\r\n");
                    peer.reply()
                }
                reply => {
                    peer.agree("RSET");
                    reply
                }
            };
            disk.mend();
            let is_accepted = reply.starts_with("250 ");
            assert!(is_accepted || reply.starts_with("45"), "{operation}: {reply}");
            assert_eq!(server.stored().len(), usize::from(is_accepted), "{operation}: {reply}");
            refusals += usize::from(!is_accepted);
            assert!(last_reply(&mut peer).starts_with("250 "), "{operation}: it recovers by itself");
        }
    }
    assert!(refusals > 4, "{refusals}");
}

/// Refuses every message at its end.
struct NoContent;

impl Policy for NoContent {
    fn rcpt(&self, _: &Client<'_>, _: &Transaction, _: &Recipient) -> Decision {
        Decision::Accept
    }

    fn end_of_content(&self, _: &Client<'_>, _: &Transaction, _: u64) -> Decision {
        Decision::Refuse(Reply::new(Code::new(554).unwrap(), Some(EnhancedCode::new(5, 6, 0)), "No"))
    }
}

/// Row N182: what was refused for good at its end is not there.
#[test]
fn what_was_refused_at_its_end_is_not_there() {
    let server = TestServer::builder().policy(NoContent).start();
    let mut peer = server.greeted();
    assert_eq!(last_reply(&mut peer), "554 5.6.0 No");
    assert!(server.stored().is_empty());
    assert_eq!(server.temporary_files(), 0);
}
