//! Our client, their servers: what arrived is what the client was given.

use std::process::Command;
use std::time::Duration;

use super::clients::recipients;
use super::servers::{Dovecot, Receiver, SERVERS, Sink};
use super::shapes::{self, Shape};
use super::{Content, SENDER};
use crate::workshop::letter::{difference, with_lf};
use crate::workshop::process::{self, Finished, is_installed};
use crate::workshop::programs::Programs;
use crate::workshop::scratch::Scratch;
use crate::workshop::tally::Tally;
use crate::workshop::{OrFail, Outcome, failure::ensure};

/// How long the client may take for one message.
const PATIENCE: Duration = Duration::from_secs(60);

/// Every server with every shape, and what only one of them can do.
pub(super) fn run(programs: &Programs, scratch: &Scratch, tally: &mut Tally) -> Outcome {
    for server in &SERVERS {
        if let Some(remedy) = (server.lacks)() {
            tally.skip(server.name, remedy);
            continue;
        }
        let mut receiver = (server.start)(scratch)?;
        every_shape(server.name, receiver.as_mut(), Content::Data, programs, scratch, tally);
        if server.takes_chunks {
            every_shape(server.name, receiver.as_mut(), Content::Bdat, programs, scratch, tally);
        }
    }
    if super::servers::lacks_dovecot().is_none() {
        tally.check("our client to Dovecot by LMTP: an answer for each recipient", mixed_answers(programs, scratch));
    }
    if is_installed("smtp-sink") {
        answers(programs, scratch, tally);
    }
    Ok(())
}

/// One line per shape.
pub(super) fn every_shape(
    name: &str,
    server: &mut dyn Receiver,
    content: Content,
    programs: &Programs,
    scratch: &Scratch,
    tally: &mut Tally,
) {
    let by = if content == Content::Bdat { " by BDAT" } else { "" };
    for shape in shapes::all() {
        let result = send_and_compare(server, &shape, content, programs, scratch);
        tally.check(&format!("our client to {name}{by}: {}", shape.name), result.map(|()| String::new()));
    }
}

fn send_and_compare(
    server: &mut dyn Receiver,
    shape: &Shape,
    content: Content,
    programs: &Programs,
    scratch: &Scratch,
) -> Outcome {
    let finished = send(server, shape, content, programs, scratch)?;
    ensure(finished.status.success(), || format!("{}: {}", finished.status, finished.text()))?;
    let is_chunk = finished.text().contains("C: BDAT ");
    ensure(is_chunk == (content == Content::Bdat), || format!("sent otherwise than asked: {}", finished.text()))?;
    let expected = shape.expected();
    for found in server.take(server.files(shape.recipients) * shape.copies)? {
        ensure(found == expected, || difference(&expected, &found))?;
    }
    Ok(())
}

/// The message lies in a file with the line ends of Unix, as files do.
fn send(
    server: &dyn Receiver,
    shape: &Shape,
    content: Content,
    programs: &Programs,
    scratch: &Scratch,
) -> Outcome<Finished> {
    let file = scratch.file("client.eml", with_lf(&shape.octets))?;
    let mut command: Command = programs.client();
    command.args(["send", "--retries", "0", "--from", SENDER]).args(server.option());
    if content == Content::Bdat {
        command.args(["--chunking", "--transcript"]);
    }
    for recipient in recipients(shape) {
        command.args(["--to", &recipient]);
    }
    for _ in 0..shape.copies {
        command.arg(&file);
    }
    process::run(&mut command, PATIENCE)
}

/// RFC 2033, 4.2: one has a mailbox, one has none and is refused at once, one has a mailbox that cannot be written to, which
/// shows when the content is there.
fn mixed_answers(programs: &Programs, scratch: &Scratch) -> Outcome<String> {
    let mut server = Dovecot::start()?;
    let file = scratch.file("client.eml", "Subject: to three\n\nHello.\n")?;
    let mut command = programs.client();
    command.args(["send", "--retries", "0", "--json", "--from", SENDER]).args(server.option());
    for recipient in ["bob@localhost", "nobody@localhost", "broken@localhost", "2bob@localhost"] {
        command.args(["--to", recipient]);
    }
    let finished = process::run(command.arg(&file), PATIENCE)?;
    let text = finished.text();
    let lines: Vec<_> = text.lines().collect();
    let expected = [
        ("bob@localhost", &["\"accepted\"", "\"code\":250"][..]),
        ("nobody@localhost", &["\"RCPT\"", "\"code\":550"]),
        ("broken@localhost", &["\"end of content\"", "\"code\":451"]),
        ("2bob@localhost", &["\"accepted\"", "\"code\":250"]),
    ];
    for (recipient, words) in expected {
        let line = lines.iter().find(|line| line.contains(&format!("<{recipient}>")));
        ensure(line.is_some_and(|line| words.iter().all(|word| line.contains(word))), || {
            format!("{recipient} should have {words:?}: {}: {text}", finished.status)
        })?;
    }
    ensure(finished.status.code() == Some(75), || format!("{}: {text}", finished.status))?;
    server.take(2)?;
    Ok("250, 550 to RCPT, 451 to the content, 250".to_owned())
}

/// What the client makes of a server that is old, poor or in a bad mood: options of smtp-sink, how many messages it has
/// heard to the end (it notes them also if it refuses them then), and the client's exit code.
const MOODS: [(&str, &[&str], usize, i32); 11] = [
    ("knows HELO only", &["-e"], 1, 0),
    ("has no PIPELINING", &["-p"], 1, 0),
    ("has no enhanced codes", &["-E"], 1, 0),
    ("refuses DATA for now", &["-r", "DATA"], 0, 75),
    ("refuses the content for now", &["-r", "."], 1, 75),
    ("refuses RCPT for good", &["-f", "RCPT"], 0, 69),
    ("refuses the content for good", &["-f", "."], 1, 69),
    ("refuses in the greeting", &["-f", "CONNECT"], 0, 69),
    ("says 421 to MAIL", &["-Q", "MAIL"], 0, 75),
    ("hangs up at DATA", &["-q", "DATA"], 0, 75),
    ("hangs up in the content", &["-A", "0"], 0, 69),
];

fn answers(programs: &Programs, scratch: &Scratch, tally: &mut Tally) {
    for (name, options, arrivals, code) in MOODS {
        let result = mood(programs, scratch, options, arrivals, code);
        tally.check(&format!("our client to smtp-sink, which {name}"), result.map(|()| format!("exit code {code}")));
    }
    tally.check("our client to smtp-sink without 8BITMIME", seven_bit(programs, scratch));
}

fn mood(programs: &Programs, scratch: &Scratch, options: &[&str], arrivals: usize, code: i32) -> Outcome {
    let mut sink = Sink::start(scratch, options)?;
    let shape = shapes::all().into_iter().next().or_fail("there is no shape")?;
    let finished = send(&sink, &shape, Content::Data, programs, scratch)?;
    ensure(finished.status.code() == Some(code), || format!("{}: {}", finished.status, finished.text()))?;
    for found in sink.take(arrivals)? {
        ensure(found == shape.expected(), || difference(&shape.expected(), &found))?;
    }
    Ok(())
}

/// RFC 6152, 3: octets above 127 must not go to a server that does not offer 8BITMIME.
fn seven_bit(programs: &Programs, scratch: &Scratch) -> Outcome<String> {
    let mut sink = Sink::start(scratch, &["-8"])?;
    for shape in shapes::all().iter().filter(|shape| shape.is_eight_bit()) {
        let finished = send(&sink, shape, Content::Data, programs, scratch)?;
        ensure(finished.status.code() == Some(69), || format!("{}: {}", finished.status, finished.text()))?;
        sink.take(0)?;
    }
    Ok("refused before anything was sent".to_owned())
}
