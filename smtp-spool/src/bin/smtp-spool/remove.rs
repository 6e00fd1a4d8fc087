//! `remove`: one message less, for good, with or without a word to its sender.

use std::io::Write;
use std::path::Path;

use argh::FromArgs;
use smtp_spool::control::Request;

use crate::change;
use crate::failure::Failure;
use crate::show::parse_id;

/// Remove one message for good. Nobody is told, unless --report says so; a delivery that is under way may still succeed.
#[derive(FromArgs)]
#[argh(subcommand, name = "remove", help_triggers("-h", "--help", "help"))]
pub(crate) struct Remove {
    /// give up the recipients who have not got the message yet, and have the server tell its sender, as of any failure
    #[argh(switch)]
    report: bool,
    /// the id of the message
    #[argh(positional, arg_name = "id")]
    id: String,
}

impl Remove {
    pub(crate) fn run(&self, spool: &Path, output: &mut dyn Write) -> Result<(), Failure> {
        let id = parse_id(&self.id)?;
        if self.report {
            let request = Request::RemoveWithReport(id);
            let changed = change::make(spool, &request)?;
            return change::tell(&request, "given up", changed, output);
        }
        change::make(spool, &Request::Remove(id)).map(drop)
    }
}
