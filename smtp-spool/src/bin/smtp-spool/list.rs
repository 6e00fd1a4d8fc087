//! `list`: what lies in the spool, a line for each message, or JSON.

use std::io::Write;
use std::path::Path;

use argh::FromArgs;
use smtp_spool::{Reader, listing};

use crate::failure::Failure;

/// List the messages, the oldest first.
#[derive(FromArgs)]
#[argh(subcommand, name = "list", help_triggers("-h", "--help", "help"))]
pub(crate) struct List {
    /// write a JSON array, one object a line
    #[argh(switch)]
    json: bool,
}

impl List {
    pub(crate) fn run(&self, spool: &Path, output: &mut dyn Write) -> Result<(), Failure> {
        let reader = Reader::open(spool)?;
        let messages = reader.list().map_err(|error| Failure::input_output(format!("listing the spool: {error}")))?;
        listing::write(messages, reader.lifetime_seconds(), self.json, output).map_err(Failure::output)
    }
}
