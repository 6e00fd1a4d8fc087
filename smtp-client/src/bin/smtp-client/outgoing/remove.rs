//! `smtp-client remove`: messages out of the queue, for good.

use std::path::PathBuf;
use std::process::ExitCode;

use argh::FromArgs;
use smtp_client::spool::MessageId;

use super::{default_spool, id, not_stored, own};
use crate::messages::Stopped;
use crate::{complain, exit};

/// Removes messages from the queue of a spool, for good. Nobody is told.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "remove",
    help_triggers("-h", "--help", "help"),
    error_code(0, "they are gone"),
    error_code(64, "the command line is wrong"),
    error_code(66, "there is no such spool or message"),
    error_code(74, "the spool cannot be written"),
    error_code(75, "somebody else owns the spool"),
    error_code(77, "the spool belongs to another user")
)]
pub(crate) struct Remove {
    /// the spool directory (default ./outgoing)
    #[argh(option, arg_name = "dir", default = "default_spool()")]
    spool: PathBuf,
    /// the messages
    #[argh(positional, arg_name = "id", from_str_fn(id))]
    ids: Vec<MessageId>,
}

/// Runs the command.
pub(crate) fn run(remove: Remove) -> ExitCode {
    match remove.run() {
        Ok(code) => ExitCode::from(code),
        Err((code, text)) => {
            complain(&text);
            ExitCode::from(code)
        }
    }
}

impl Remove {
    /// Goes on behind a message that is not there.
    fn run(&self) -> Result<u8, Stopped> {
        if self.ids.is_empty() {
            return Err((exit::USAGE, "needs the ids of messages; see smtp-client list".to_owned()));
        }
        let spool = own(&self.spool, "remove ID")?;
        let mut code = 0;
        for id in &self.ids {
            if !spool.remove(id).map_err(|error| not_stored(&error))? {
                complain(&format!("{id}: there is no such message"));
                code = exit::NO_INPUT;
            }
        }
        Ok(code)
    }
}
