//! Who a stored message is from and for: the SMTP commands that brought it, kept as text.
//!
//! ```text
//! RECEIVED 1763880000
//! MAIL FROM:<alice@example.org> BODY=8BITMIME
//! RCPT TO:<bob@example.net> NOTIFY=NEVER
//! RCPT TO:<carol@example.net>
//! ```
//!
//! Each line ends in CRLF. The protocol crate prints and parses the two commands, so there is one grammar for the wire
//! and for the disk, and whatever it learns to carry is stored without a change here.

use std::fmt;

use smtp_proto::address::ReversePath;
use smtp_proto::command::Command;
use smtp_proto::parameter::MailParameters;
pub use smtp_proto::transaction::Recipient;

/// The envelope of a message (RFC 5321, 2.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Whom to tell of a failure.
    pub reverse_path: ReversePath,
    /// The parameters of MAIL.
    pub mail: MailParameters,
    /// The recipients, at least one. Their places in this list are their numbers everywhere else.
    pub recipients: Vec<Recipient>,
    /// When the message was received.
    pub received_at_unix_seconds: i64,
}

/// Why lines are not an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnvelopeError;

impl Envelope {
    /// Reads what [`Display`](fmt::Display) printed, and nothing else: the time, one MAIL, at least one RCPT.
    pub fn parse(text: &str) -> Result<Self, EnvelopeError> {
        let envelope = Envelope::read(text)?;
        // The protocol's parser tolerates other spellings; a file that holds one was not written by this crate.
        if envelope.to_string() == text { Ok(envelope) } else { Err(EnvelopeError) }
    }

    /// Reads it in any spelling that the protocol has for it.
    fn read(text: &str) -> Result<Self, EnvelopeError> {
        let mut lines = text.strip_suffix("\r\n").ok_or(EnvelopeError)?.split("\r\n");
        let received = lines.next().and_then(|line| line.strip_prefix("RECEIVED ")).ok_or(EnvelopeError)?;
        let received_at_unix_seconds = received.parse().map_err(|_| EnvelopeError)?;
        let Some(Command::Mail { reverse_path, parameters: mail }) = lines.next().and_then(command) else {
            return Err(EnvelopeError);
        };
        let recipients: Vec<_> = lines.map(recipient).collect::<Option<_>>().ok_or(EnvelopeError)?;
        if recipients.is_empty() {
            return Err(EnvelopeError);
        }
        Ok(Envelope { reverse_path, mail, recipients, received_at_unix_seconds })
    }

    /// Whether it would be read back as it is. An envelope put together by hand may hold what no command line can
    /// carry, such as `NOTIFY=` without a case, or no recipient.
    pub fn is_storable(&self) -> bool {
        self.is_read_from(&self.to_string())
    }

    /// The same, for whoever has printed it already.
    pub(crate) fn is_read_from(&self, printed: &str) -> bool {
        Envelope::read(printed).as_ref() == Ok(self)
    }
}

fn command(line: &str) -> Option<Command> {
    Command::parse(line.as_bytes()).ok()
}

fn recipient(line: &str) -> Option<Recipient> {
    match command(line)? {
        Command::Rcpt { forward_path, parameters } => Some(Recipient { forward_path, parameters }),
        _ => None,
    }
}

impl fmt::Display for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RECEIVED {}\r\n", self.received_at_unix_seconds)?;
        // As `Command` prints them, without building one from copies of the parts.
        write!(f, "MAIL FROM:{}{}\r\n", self.reverse_path, self.mail)?;
        for recipient in &self.recipients {
            write!(f, "RCPT TO:{}{}\r\n", recipient.forward_path, recipient.parameters)?;
        }
        Ok(())
    }
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the envelope is not a time, one MAIL and at least one RCPT")
    }
}

impl std::error::Error for EnvelopeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints_and_nothing_else() {
        let good =
            "RECEIVED -5\r\nMAIL FROM:<> SMTPUTF8\r\nRCPT TO:<Postmaster>\r\nRCPT TO:<a@b.example> NOTIFY=NEVER\r\n";
        assert_eq!(Envelope::parse(good).unwrap().to_string(), good);
        for (text, what) in [
            ("", "nothing"),
            ("RECEIVED 1\r\nMAIL FROM:<>\r\n", "no recipient"),
            ("RECEIVED 1\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>", "no end of line"),
            ("RECEIVED 1\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\n\r\n", "an empty line"),
            ("RECEIVED 1\nMAIL FROM:<>\nRCPT TO:<a@b.example>\n", "bare LF"),
            ("RECEIVED x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\n", "no time"),
            ("RECEIVED +1\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\n", "a time spelled otherwise"),
            ("RECEIVED 1\r\nmail from:<>\r\nRCPT TO:<a@b.example>\r\n", "a command spelled otherwise"),
            ("RECEIVED 1\r\nMAIL FROM:<> \r\nRCPT TO:<a@b.example>\r\n", "a space too many"),
            ("RECEIVED 1\r\nMAIL FROM:<>\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\n", "two senders"),
            ("RECEIVED 1\r\nRCPT TO:<a@b.example>\r\nMAIL FROM:<>\r\n", "the wrong order"),
            ("RECEIVED 1\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n", "another command"),
        ] {
            assert_eq!(Envelope::parse(text), Err(EnvelopeError), "{what}");
        }
    }
}
