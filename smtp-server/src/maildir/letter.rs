//! What a message looks like in its file: two fields on top, LF at the end of its lines, and the rest as it came.

use std::io::{self, Read};

use smtp_proto::address::{Mailbox, ReversePath};
use smtp_proto::trace::return_path;

use super::error::MaildirError;
use super::folders::Temporary;
use super::header_filter::HeaderFilter;

/// Octets that are read at once: of most messages, all.
const FIRST_CHUNK_OCTETS: usize = 8 << 10;

/// And of those that are larger.
const CHUNK_OCTETS: usize = 64 << 10;

/// Writes a message to its file.
pub(super) fn write(
    mailbox: &Mailbox,
    reverse_path: &ReversePath,
    content: &mut dyn Read,
    file: &mut Temporary,
) -> Result<(), MaildirError> {
    let mut letter = Letter { output: fields(mailbox, reverse_path).into_bytes(), ..Letter::default() };
    let mut chunk = vec![0; FIRST_CHUNK_OCTETS];
    loop {
        let count = match content.read(&mut chunk) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(MaildirError::Content(error)),
        };
        match chunk.get(..count) {
            Some(octets) if count > 0 => letter.handle(octets),
            _ => {
                letter.finish();
                return file.write(&letter.output);
            }
        }
        if letter.output.len() >= FIRST_CHUNK_OCTETS {
            file.write(&letter.output)?;
            letter.output.clear();
            chunk.resize(CHUNK_OCTETS, 0);
        }
    }
}

/// What stands on top. The address is the whole one, as it was when the message arrived: whoever sorts by the detail
/// behind a `+` finds it here.
fn fields(mailbox: &Mailbox, reverse_path: &ReversePath) -> String {
    format!("{}Delivered-To: {mailbox}\r\n", return_path(reverse_path)).replace("\r\n", "\n")
}

/// A message on its way from the line ends of the wire to those of files.
#[derive(Default)]
struct Letter {
    /// The last octet was a CR, and whether it is half a line end is not known yet.
    has_carriage_return: bool,
    header: HeaderFilter,
    lines: Vec<u8>,
    /// What is to be written next.
    output: Vec<u8>,
}

impl Letter {
    /// Takes the next octets.
    fn handle(&mut self, octets: &[u8]) {
        self.lines.clear();
        for &octet in octets {
            // Only CRLF is a line end, so a CR without LF stays; the wire knows none, and a spool may hold any octets.
            if std::mem::replace(&mut self.has_carriage_return, octet == b'\r') && octet != b'\n' {
                self.lines.push(b'\r');
            }
            if octet != b'\r' {
                self.lines.push(octet);
            }
        }
        self.header.handle(&self.lines, &mut self.output);
    }

    /// The message is over.
    fn finish(&mut self) {
        if std::mem::take(&mut self.has_carriage_return) {
            self.header.handle(b"\r", &mut self.output);
        }
        self.header.finish(&mut self.output);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(pieces: &[&[u8]]) -> String {
        let mut letter = Letter::default();
        pieces.iter().for_each(|piece| letter.handle(piece));
        letter.finish();
        String::from_utf8(letter.output).unwrap()
    }

    /// Whole, and cut at every octet.
    #[test]
    fn line_ends_become_those_of_files() {
        for (wire, file) in [
            ("", ""),
            ("A: b\r\n\r\nc\r\n", "A: b\n\nc\n"),
            ("A: b\r\n\r\nno end", "A: b\n\nno end"),
            ("A: b\r\n\r\n\r\n\r\n", "A: b\n\n\n\n"),
            ("A: b\r\n\r\nbare \r here\r\r\n\r", "A: b\n\nbare \r here\r\n\r"),
            ("A: b\r\nReturn-Path: <x>\r\nC: d\r\n\r\nReturn-Path: y\r\n", "A: b\nC: d\n\nReturn-Path: y\n"),
        ] {
            assert_eq!(converted(&[wire.as_bytes()]), file);
            for cut in 0..wire.len() {
                let (one, other) = wire.as_bytes().split_at(cut);
                assert_eq!(converted(&[one, other]), file, "cut at {cut}");
            }
        }
    }

    /// Rows N203, N206.
    #[test]
    fn the_last_host_says_where_reports_go() {
        for (mailbox, reverse_path, expected) in [
            ("bob+x@example.org", "<alice@a>", "Return-Path: <alice@a>\nDelivered-To: bob+x@example.org\n"),
            ("bob@[192.0.2.1]", "<>", "Return-Path: <>\nDelivered-To: bob@[192.0.2.1]\n"),
            ("\"b b\"@x", "<\"a b\"@c>", "Return-Path: <\"a b\"@c>\nDelivered-To: \"b b\"@x\n"),
        ] {
            assert_eq!(fields(&mailbox.parse().unwrap(), &reverse_path.parse().unwrap()), expected);
        }
    }
}
