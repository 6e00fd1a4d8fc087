//! `retry-now`: what waits for its next try is tried at once, such as when the host it is for has come back.

use std::io::Write;
use std::path::Path;

use argh::FromArgs;
use smtp_spool::Changed;
use smtp_spool::control::Request;

use crate::change;
use crate::failure::Failure;
use crate::show::parse_id;

/// Try a message at once that waits for its next try, or all of them.
#[derive(FromArgs)]
#[argh(subcommand, name = "retry-now", help_triggers("-h", "--help", "help"))]
pub(crate) struct RetryNow {
    /// all messages; those that are held stay so
    #[argh(switch)]
    all: bool,
    /// the id of the message
    #[argh(positional, arg_name = "id")]
    id: Option<String>,
}

impl RetryNow {
    pub(crate) fn run(&self, spool: &Path, output: &mut dyn Write) -> Result<(), Failure> {
        match (&self.id, self.all) {
            (Some(id), false) => {
                let request = Request::RetryNow(parse_id(id)?);
                // Who is being tried at this moment has what was asked for.
                let changed = Changed { being_tried: 0, ..change::make(spool, &request)? };
                change::tell(&request, "due now", changed, output)
            }
            (None, true) => {
                let changed = change::make(spool, &Request::RetryAllNow)?;
                writeln!(output, "due now: {}", change::count(changed.recipients, "message")).map_err(Failure::output)
            }
            _ => Err(Failure::usage("retry-now: name one message, or say --all")),
        }
    }
}
