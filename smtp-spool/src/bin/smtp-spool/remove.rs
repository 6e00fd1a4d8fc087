//! `remove`: one message less, for good.

use std::io::Write;
use std::path::Path;

use argh::FromArgs;
use smtp_spool::{Options, Reader, Spool};

use crate::failure::Failure;
use crate::show::parse_id;

/// Remove one message for good. Needs the spool for itself: stop the server first.
#[derive(FromArgs)]
#[argh(subcommand, name = "remove", help_triggers("-h", "--help", "help"))]
pub(crate) struct Remove {
    /// the id of the message
    #[argh(positional, arg_name = "ID")]
    id: String,
}

impl Remove {
    pub(crate) fn run(&self, spool: &Path, _output: &mut dyn Write) -> Result<(), Failure> {
        let id = parse_id(&self.id)?;
        // Opening as the owner would make a spool where there is none.
        Reader::open(spool)?;
        let (spool, _) = Spool::open(spool, Options::default())?;
        if spool.remove(&id)? { Ok(()) } else { Err(Failure::missing(format!("{id}: there is no such message"))) }
    }
}
