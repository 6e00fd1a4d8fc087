//! `hold`: nobody tries a message until it is released.

use std::io::Write;
use std::path::Path;

use argh::FromArgs;
use smtp_spool::control::Request;

use crate::change;
use crate::failure::Failure;
use crate::show::parse_id;

/// Let nobody deliver a message until it is released.
#[derive(FromArgs)]
#[argh(subcommand, name = "hold", help_triggers("-h", "--help", "help"))]
pub(crate) struct Hold {
    /// the id of the message
    #[argh(positional, arg_name = "id")]
    id: String,
}

impl Hold {
    pub(crate) fn run(&self, spool: &Path, output: &mut dyn Write) -> Result<(), Failure> {
        let request = Request::Hold(parse_id(&self.id)?);
        let changed = change::make(spool, &request)?;
        change::tell(&request, "held", changed, output)
    }
}
