//! `smtp-client list`: what is in the queue, as `smtp-spool list` says it.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use argh::FromArgs;
use smtp_client::spool::{Reader, listing};

use super::{default_spool, failed, not_opened};
use crate::complain;
use crate::messages::Stopped;

/// Lists the messages in the queue of a spool, the oldest first. May be used at any time.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "list",
    help_triggers("-h", "--help", "help"),
    error_code(0, "all is said"),
    error_code(64, "the command line is wrong"),
    error_code(66, "there is no such spool"),
    error_code(74, "the spool cannot be read"),
    error_code(77, "the spool belongs to another user")
)]
pub(crate) struct List {
    /// the spool directory (default ./outgoing)
    #[argh(option, arg_name = "dir", default = "default_spool()")]
    spool: PathBuf,
    /// write a JSON array, one object a line
    #[argh(switch)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(list: List) -> ExitCode {
    match list.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, text)) => {
            complain(&text);
            ExitCode::from(code)
        }
    }
}

impl List {
    fn run(&self) -> Result<(), Stopped> {
        let reader = Reader::open(&self.spool).map_err(|error| not_opened(&error))?;
        let messages = reader.list().map_err(|error| failed(&error))?;
        let mut output = io::BufWriter::new(io::stdout().lock());
        match listing::write(messages, reader.lifetime_seconds(), self.json, &mut output).and_then(|()| output.flush())
        {
            // A reader that has seen enough, such as `head`, is no failure.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(failed(&error)),
            _ => Ok(()),
        }
    }
}
