//! `release`: a message that was held is tried at once.

use std::io::Write;
use std::path::Path;

use argh::FromArgs;
use smtp_spool::control::Request;

use crate::change;
use crate::failure::Failure;
use crate::show::parse_id;

/// Let a message that was held be delivered, at once.
#[derive(FromArgs)]
#[argh(subcommand, name = "release", help_triggers("-h", "--help", "help"))]
pub(crate) struct Release {
    /// the id of the message
    #[argh(positional, arg_name = "id")]
    id: String,
}

impl Release {
    pub(crate) fn run(&self, spool: &Path, output: &mut dyn Write) -> Result<(), Failure> {
        let request = Request::Release(parse_id(&self.id)?);
        let changed = change::make(spool, &request)?;
        change::tell(&request, "released", changed, output)
    }
}
