//! Writes whole conversations, the content octet for octet, in the notation of [`crate::dialogue`].
//!
//! What is written can be read by people, and held again by [`crate::replay`] with any server. So the order is that in
//! which things depend on each other: a reply stands where its last line came, since before that the client cannot have
//! acted on it.

use std::io::{self, BufWriter, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smtp_proto::limits;
use smtp_proto::printable::Printable;

use crate::dialogue::write_line;
use crate::peer::Peer;
use crate::tls::{Secured, TlsError};
use crate::transcript::Observer;

/// Octets of what the client says on one line of the file. Lines of content have 1,000 at most (RFC 5321, 4.5.3.1.6); what
/// is longer is no text, and broken.
const LINE_OCTETS: usize = 4_096;

/// An observer that writes. Its clones write into the same file, one connection behind the other.
#[derive(Clone)]
pub struct Recorder(Arc<Mutex<Recording>>);

struct Recording {
    output: BufWriter<Box<dyn Write + Send>>,
    /// What to call it when it cannot be written.
    name: String,
    /// The beginning of a line that the client says.
    said: Vec<u8>,
    /// The beginning of a reply.
    heard: Vec<u8>,
    is_broken: bool,
}

impl Recorder {
    /// Begins a file with a title. `name` is what a warning calls it.
    pub fn new(output: impl Write + Send + 'static, name: &str, title: &str) -> Self {
        let mut recording = Recording {
            output: BufWriter::new(Box::new(output)),
            name: name.to_owned(),
            said: Vec::new(),
            heard: Vec::new(),
            is_broken: false,
        };
        recording.write(|output| writeln!(output, "# {}", Printable(title)));
        Recorder(Arc::new(Mutex::new(recording)))
    }

    /// Whether all that happened so far has been written.
    pub fn is_complete(&self) -> bool {
        let mut recording = self.lock();
        recording.finish();
        !recording.is_broken
    }

    fn lock(&self) -> MutexGuard<'_, Recording> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Recorder {
    fn connected(&mut self, peer: &Peer) {
        let mut recording = self.lock();
        recording.finish();
        recording.write(|output| writeln!(output, "\n== {peer}"));
    }

    fn commands(&mut self, octets: &[u8]) {
        let mut recording = self.lock();
        recording.break_line();
        recording.say(octets);
    }

    fn content(&mut self, octets: &[u8]) {
        self.lock().say(octets);
    }

    /// In a comment: what follows can be read, and held again only with a server that does without.
    fn handshake(&mut self, result: Result<&Secured, &TlsError>) {
        let mut recording = self.lock();
        recording.break_line();
        recording.write(|output| match result {
            Ok(secured) => writeln!(output, "# {secured}"),
            Err(error) => writeln!(output, "# no TLS: {}", Printable(&error.to_string())),
        });
    }

    fn replies(&mut self, octets: &[u8]) {
        self.lock().hear(octets);
    }

    fn closed(&mut self) {
        self.lock().finish();
    }
}

impl Recording {
    fn say(&mut self, octets: &[u8]) {
        let mut said = std::mem::take(&mut self.said);
        said.extend_from_slice(octets);
        let mut rest = said.as_slice();
        while let Some((line, behind)) = line_octets(rest).and_then(|count| rest.split_at_checked(count)) {
            self.write(|output| write_line(output, "C", line));
            rest = behind;
        }
        self.said = rest.to_vec();
    }

    /// What comes next does not belong to the line that was begun.
    fn break_line(&mut self) {
        let said = std::mem::take(&mut self.said);
        if !said.is_empty() {
            self.write(|output| write_line(output, "C", &said));
        }
    }

    fn hear(&mut self, octets: &[u8]) {
        self.heard.extend_from_slice(octets);
        let end = replies_octets(&self.heard);
        if end > 0 {
            let rest = self.heard.split_off(end);
            let replies = std::mem::replace(&mut self.heard, rest);
            self.write_replies(&replies);
            // Whoever looks at a conversation that hangs sees where.
            self.write(|output| output.flush());
        }
        // No reply: the client does not listen to so much.
        if self.heard.len() > limits::RECEIVED_REPLY_OCTETS {
            let endless = std::mem::take(&mut self.heard);
            self.write_replies(&endless);
        }
    }

    fn write_replies(&mut self, octets: &[u8]) {
        self.break_line();
        for line in octets.split_inclusive(|octet| *octet == b'\n') {
            self.write(|output| write_line(output, "S", line));
        }
    }

    /// Writes what has no end and will get none.
    fn finish(&mut self) {
        self.break_line();
        let heard = std::mem::take(&mut self.heard);
        if !heard.is_empty() {
            self.write_replies(&heard);
        }
        self.write(|output| output.flush());
    }

    /// A file that cannot be written must not stop the mail. It is said once, and then nothing more is written: a file
    /// with a gap in it would be no conversation.
    fn write(&mut self, write: impl FnOnce(&mut BufWriter<Box<dyn Write + Send>>) -> io::Result<()>) {
        if self.is_broken {
            return;
        }
        if let Err(error) = write(&mut self.output) {
            self.is_broken = true;
            log::warn!("{}: the conversation cannot be written any more: {error}", self.name);
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Octets of the first line on the wire, or of as much of it as stands on one line of the file. `None`: not known yet.
fn line_octets(octets: &[u8]) -> Option<usize> {
    let window = octets.get(..LINE_OCTETS).unwrap_or(octets);
    if let Some(end) = memchr::memmem::find(window, b"\r\n") {
        return Some(end + 2);
    }
    // Neither within a letter nor between CR and LF.
    let is_boundary = |place: &usize| octets.get(*place).is_some_and(|octet| octet & 0xc0 != 0x80 && *octet != b'\n');
    let boundary = (LINE_OCTETS - 3..=LINE_OCTETS).rev().find(is_boundary);
    (octets.len() > LINE_OCTETS).then_some(boundary.unwrap_or(LINE_OCTETS))
}

/// Octets up to the end of the last whole reply: of a line with no hyphen behind its code.
fn replies_octets(octets: &[u8]) -> usize {
    let (mut place, mut end) = (0, 0);
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        place += line.len();
        if line.ends_with(b"\n") && line.get(3) != Some(&b'-') {
            end = place;
        }
    }
    end
}

#[cfg(test)]
mod tests;
