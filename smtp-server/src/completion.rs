//! What a submission server adds to a message that lacks it: Date and Message-ID (RFC 6409, 8.2 and 8.3).
//!
//! The fields are put at the end of the header section, where it is known that they are missing: the message streams through,
//! and of it no more is held than the name of the field that is coming in. A message without a header section gets one.

/// Octets of a name that are held; a longer one is none.
const NAME_OCTETS: usize = 128;

/// Looks for the two fields in a message that passes by, and adds what is missing.
#[derive(Debug)]
pub(crate) struct Completion {
    position: Position,
    /// The line so far, while it may still turn out to be no field.
    held: Vec<u8>,
    missing: Missing,
}

/// The fields that have not come, with their line ends.
#[derive(Debug)]
pub(crate) struct Missing {
    pub(crate) date: Option<String>,
    pub(crate) message_id: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// At the beginning of a line; whether there was a field before it, which it may continue.
    Line { is_first: bool },
    /// In what should be the name of a field.
    Name,
    /// Behind the colon, or in a continuation line.
    Value,
    /// Behind the header section.
    Body,
}

impl Completion {
    pub(crate) fn new(missing: Missing) -> Self {
        Completion { position: Position::Line { is_first: true }, held: Vec::new(), missing }
    }

    /// Takes the next octets, whose lines end in CRLF; puts them behind `output`, with what they lack.
    pub(crate) fn handle(&mut self, octets: &[u8], output: &mut Vec<u8>) {
        for (place, &octet) in octets.iter().enumerate() {
            if self.position == Position::Body {
                return output.extend_from_slice(octets.get(place..).unwrap_or_default());
            }
            self.step(octet, output);
        }
    }

    /// The message is over. If its header section is not, it is all there was.
    pub(crate) fn finish(&mut self, output: &mut Vec<u8>) {
        match self.position {
            Position::Body => {}
            Position::Line { .. } if self.held.is_empty() => self.add_missing(output),
            // The last line came in a chunk and has no end, so nothing can stand behind it.
            Position::Value => output.append(&mut self.held),
            Position::Line { .. } | Position::Name => self.end_without_empty_line(output),
        }
    }

    fn step(&mut self, octet: u8, output: &mut Vec<u8>) {
        self.held.push(octet);
        self.position = match (self.position, octet) {
            // The empty line.
            (Position::Line { .. }, b'\r') => Position::Line { is_first: false },
            (Position::Line { .. }, b'\n') => {
                self.add_missing(output);
                Position::Body
            }
            (Position::Line { is_first: false }, b' ' | b'\t') => Position::Value,
            (Position::Line { .. } | Position::Name, b':') if self.held.len() > 1 => {
                self.find();
                Position::Value
            }
            // RFC 5322, 4.5: space between a name and its colon is obsolete, and still a field.
            (Position::Name, b' ' | b'\t') if self.held.len() <= NAME_OCTETS => Position::Name,
            (Position::Line { .. } | Position::Name, b'!'..=b'~')
                if self.held.len() <= NAME_OCTETS && octet != b':' =>
            {
                Position::Name
            }
            (Position::Line { .. } | Position::Name, _) => {
                self.end_without_empty_line(output);
                return;
            }
            (Position::Value, b'\n') => Position::Line { is_first: false },
            (position, _) => position,
        };
        if matches!(self.position, Position::Value | Position::Body) || octet == b'\n' {
            output.append(&mut self.held);
        }
    }

    /// A name is complete.
    fn find(&mut self) {
        let name = self.held.strip_suffix(b":").unwrap_or_default().trim_ascii_end();
        if name.eq_ignore_ascii_case(b"date") {
            self.missing.date = None;
        } else if name.eq_ignore_ascii_case(b"message-id") {
            self.missing.message_id = None;
        }
    }

    fn add_missing(&mut self, output: &mut Vec<u8>) {
        for field in [self.missing.date.take(), self.missing.message_id.take()].into_iter().flatten() {
            output.extend_from_slice(field.as_bytes());
        }
    }

    /// A line is no field, so the text begins here. With nothing to add, the message stays as it is.
    fn end_without_empty_line(&mut self, output: &mut Vec<u8>) {
        if self.missing.date.is_some() || self.missing.message_id.is_some() {
            self.add_missing(output);
            output.extend_from_slice(b"\r\n");
        }
        output.append(&mut self.held);
        self.position = Position::Body;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DATE: &str = "Date: now\r\n";
    const ID: &str = "Message-ID: <1@x>\r\n";

    fn completed_in(message: &[u8], piece: usize) -> Vec<u8> {
        let missing = Missing { date: Some(DATE.to_owned()), message_id: Some(ID.to_owned()) };
        let (mut completion, mut output) = (Completion::new(missing), Vec::new());
        for octets in message.chunks(piece) {
            completion.handle(octets, &mut output);
        }
        completion.finish(&mut output);
        output
    }

    fn completed(message: &str) -> String {
        String::from_utf8(completed_in(message.as_bytes(), 4_096)).unwrap()
    }

    /// RFC 6409, 8.2 and 8.3.
    #[test]
    fn what_is_missing_is_added_and_nothing_else_is_touched() {
        let both = format!("{DATE}{ID}");
        for (message, expected) in [
            ("Subject: x\r\n\r\ntext\r\n", format!("Subject: x\r\n{both}\r\ntext\r\n")),
            ("Date: then\r\n\r\ntext\r\n", format!("Date: then\r\n{ID}\r\ntext\r\n")),
            ("DATE : then\r\nmessage-id:<2@y>\r\n\r\n", "DATE : then\r\nmessage-id:<2@y>\r\n\r\n".to_owned()),
            // Not fields: a continuation, another name, what stands in the text.
            ("Subject: x\r\n Date: then\r\n\r\n", format!("Subject: x\r\n Date: then\r\n{both}\r\n")),
            ("Resent-Date: then\r\n\r\n", format!("Resent-Date: then\r\n{both}\r\n")),
            ("Subject: x\r\n\r\nDate: then\r\n", format!("Subject: x\r\n{both}\r\nDate: then\r\n")),
            // Without a text, without a header section, without anything.
            ("Subject: x\r\n", format!("Subject: x\r\n{both}")),
            ("hello, it is me\r\n", format!("{both}\r\nhello, it is me\r\n")),
            ("Subject: x\r\nhello\r\nDate: x\r\n", format!("Subject: x\r\n{both}\r\nhello\r\nDate: x\r\n")),
            (" text\r\n", format!("{both}\r\n text\r\n")),
            (": text\r\n", format!("{both}\r\n: text\r\n")),
            ("\r\ntext\r\n", format!("{both}\r\ntext\r\n")),
            ("", both.clone()),
            // A last line without an end came in a chunk.
            ("Subject: x", "Subject: x".to_owned()),
            ("Sub", format!("{both}\r\nSub")),
        ] {
            assert_eq!(completed(message), expected, "{message:?}");
        }
        let long = format!("{}: x\r\n\r\n", "x".repeat(1_000));
        assert_eq!(completed(&long), format!("{both}\r\n{long}"));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(lines in prop::collection::vec(
            prop::sample::select(vec!["Date: x\r\n", "message-id : y\r\n", "Subject: x\r\n", " more\r\n", "\r\n", "text\r\n", "last"]), 0..6,
        ), piece in 1_usize..12) {
            let message = lines.concat();
            let whole = completed(&message);
            prop_assert_eq!(completed_in(message.as_bytes(), piece), whole.as_bytes());
            prop_assert!(whole.len() >= message.len() && whole.len() <= message.len() + DATE.len() + ID.len() + 2);
        }
    }
}
