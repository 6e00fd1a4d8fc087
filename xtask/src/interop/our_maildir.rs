//! Our Maildir, their readers: Python's mailbox module, and Dovecot by POP3. What they find is what was delivered; and what
//! a reader has taken over is known again by us.

use std::fs;
use std::path::Path;
use std::process::Command;

use smtp_server::maildir::{Layout, Maildir, UniqueName};
use smtp_server::proto::address::{Domain, DomainName};

use super::SENDER;
use super::servers::{Dovecot, lacks_dovecot};
use super::shapes::{self, Shape};
use super::unless_installed;
use crate::workshop::letter::{difference, with_crlf, with_lf};
use crate::workshop::process::must_run;
use crate::workshop::scratch::Scratch;
use crate::workshop::tally::Tally;
use crate::workshop::{OrFail, Outcome, failure::ensure};

/// When the messages came in. What matters is that it is the same at every try.
const RECEIVED_AT: i64 = 1_763_880_000;

/// Whoever reads, reads all shapes.
pub(super) fn run(scratch: &Scratch, tally: &mut Tally) -> Outcome {
    match unless_installed("python3", "install python3") {
        Some(remedy) => tally.skip("Python's mailbox", remedy),
        None => tally.check("Python's mailbox reads our Maildir", python(scratch)),
    }
    match lacks_dovecot().or_else(|| unless_installed("curl", "install curl")) {
        Some(remedy) => tally.skip("Dovecot by POP3", remedy),
        None => tally.check("Dovecot reads our Maildir by POP3", dovecot()),
    }
    Ok(())
}

/// Delivers every shape to `reader`, in order. Returns how many had been delivered before.
fn deliver(root: &Path) -> Outcome<usize> {
    let maildir = Maildir::open(root, Layout::LocalPart).or_fail("opening our Maildir")?;
    let host = Domain::Name(DomainName::localhost());
    let mailbox = "reader+tag@localhost".parse().or_fail("an address")?;
    let sender = format!("<{SENDER}>").parse().or_fail("an address")?;
    let mut delivered_before = 0;
    for (number, shape) in shapes::all().iter().enumerate() {
        let id = format!("id-{number}").parse().or_fail("an id")?;
        let seconds = RECEIVED_AT + i64::try_from(number).or_fail("a number")?;
        let name = UniqueName::new(&id, seconds, 0, &host);
        let delivered = maildir.deliver(&mailbox, &sender, &mut shape.octets.as_slice(), &name);
        delivered_before += usize::from(delivered.or_fail(shape.name)?.was_there);
    }
    Ok(delivered_before)
}

/// What a reader must find, with LF.
fn expected(shape: &Shape) -> Vec<u8> {
    let fields = format!("Return-Path: <{SENDER}>\nDelivered-To: reader+tag@localhost\n");
    [fields.as_bytes(), &with_lf(&shape.octets)].concat()
}

/// A Maildir and a directory, into which each message is put under its number, in the order of the names.
const MAILBOX: &str = "
import mailbox, os, sys
box = mailbox.Maildir(sys.argv[1], create=False)
for number, key in enumerate(sorted(box.keys())):
    message = box[key]
    assert message['Return-Path'] == '<alice@example.org>', message['Return-Path']
    assert message.get_subdir() == 'new', message.get_subdir()
    open(os.path.join(sys.argv[2], str(number)), 'wb').write(box.get_bytes(key))
";

fn python(scratch: &Scratch) -> Outcome<String> {
    let root = scratch.at("maildir");
    deliver(&root)?;
    let found = scratch.directory("found")?;
    must_run(Command::new("python3").args(["-c", MAILBOX]).arg(root.join("reader")).arg(&found))?;
    let shapes = shapes::all();
    for (number, shape) in shapes.iter().enumerate() {
        let message = fs::read(found.join(number.to_string())).or_fail(format_args!("no message: {}", shape.name))?;
        compare(shape, &expected(shape), &message)?;
    }
    Ok(format!("{} messages", shapes.len()))
}

/// Reads everything twice, with a second delivery of everything in between, which must change nothing: by then Dovecot has
/// moved the files to `cur` and put marks behind their names.
fn dovecot() -> Outcome<String> {
    let server = Dovecot::start()?;
    let root = server.maildirs_of_reader();
    deliver(&root)?;
    let shapes = shapes::all();
    for try_number in 1..=2 {
        server.hand_over()?;
        for (number, shape) in shapes.iter().enumerate() {
            let found = server.retrieve(number + 1)?.stdout;
            let mut expected = with_crlf(&expected(shape));
            if !expected.ends_with(b"\r\n") {
                expected.extend_from_slice(b"\r\n");
            }
            compare(shape, &expected, &found)?;
        }
        ensure(server.retrieve(shapes.len() + 1).is_err(), || {
            "there are more messages than were delivered".to_owned()
        })?;
        if try_number == 1 {
            let is_empty = fs::read_dir(root.join("reader/new")).or_fail("reading new/")?.next().is_none();
            ensure(is_empty, || "Dovecot has left messages in new/".to_owned())?;
            let known = deliver(&root)?;
            ensure(known == shapes.len(), || format!("of {} messages, {known} were known again", shapes.len()))?;
        }
    }
    Ok(format!("{} messages, each known again in cur/", shapes.len()))
}

fn compare(shape: &Shape, expected: &[u8], found: &[u8]) -> Outcome {
    ensure(found == expected, || format!("{}: {}", shape.name, difference(expected, found)))
}
