//! `show`: one message octet for octet, or who it is from and for.

use std::io::{Read as _, Write};
use std::path::Path;

use argh::FromArgs;
use smtp_spool::{Content, MessageId, Reader};

use crate::failure::Failure;
use smtp_proto::printable::Printable;

/// Write one message to standard output, octet for octet.
#[derive(FromArgs)]
#[argh(subcommand, name = "show", help_triggers("-h", "--help", "help"))]
pub(crate) struct Show {
    /// the envelope instead: when it was received, and the commands that brought it
    #[argh(switch)]
    envelope: bool,
    /// the id of the message
    #[argh(positional, arg_name = "id")]
    id: String,
}

impl Show {
    pub(crate) fn run(&self, spool: &Path, output: &mut dyn Write) -> Result<(), Failure> {
        let id = parse_id(&self.id)?;
        if self.envelope {
            let summary = Reader::open(spool)?.summary(&id).map_err(|error| Failure::read(&id, &error))?;
            let lines = summary.envelope.to_string();
            return lines.lines().try_for_each(|line| writeln!(output, "{}", Printable(line))).map_err(Failure::output);
        }
        // The checksum is compared before the first octet is written: half a message would pass for a whole one.
        let content = Reader::open(spool)?.content(&id).map_err(|error| Failure::read(&id, &error))?;
        copy(content, |octets| output.write_all(octets).map_err(Failure::output))
    }
}

/// Reads an id from the command line.
pub(crate) fn parse_id(text: &str) -> Result<MessageId, Failure> {
    text.parse().map_err(|error| Failure::usage(format!("{:?} is not an id: {error}", Printable(text).to_string())))
}

/// Hands on content piece by piece.
pub(crate) fn copy(mut content: Content, mut take: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match content.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => take(&buffer[..count])?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Failure::input_output(format!("reading a message: {error}"))),
        }
    }
}
