//! `smtp-spool`: look into a spool directory, take messages out of it, check it, look after its queue.
//!
//! Everything may be used while a server is at work on the spool: what only looks reads without a lock, and what changes
//! something asks the server to do it ([`smtp_spool::control`]).

mod list;
mod stats;
mod show;
mod export;
mod check;
mod change;
mod hold;
mod release;
mod retry_now;
mod remove;
mod failure;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use argh::{FromArgs, SubCommands};
use smtp_spool::command_line;

use failure::Failure;
use smtp_proto::printable::Printable;

/// Look into a spool directory, take messages out of it, check it, look after its queue.
#[derive(FromArgs)]
#[argh(
    help_triggers("-h", "--help", "help"),
    note = "All of it may be used while the server runs. `smtp-spool COMMAND --help` explains a command, `smtp-spool --version` prints the version.",
    error_code(0, "all is well"),
    error_code(64, "the command line is wrong"),
    error_code(65, "a stored file is corrupt"),
    error_code(66, "there is no such spool or message, or it does not wait to be delivered"),
    error_code(73, "an exported file cannot be made, or another one has its name"),
    error_code(74, "reading or writing failed"),
    error_code(75, "the server does not answer, or is delivering the message at this moment; try again"),
    error_code(77, "not allowed; the spool belongs to another user")
)]
struct Arguments {
    /// the spool directory (default ./spool); may stand behind the command, too
    #[argh(option, arg_name = "dir", default = "PathBuf::from(\"./spool\")")]
    spool: PathBuf,
    #[argh(subcommand)]
    command: Command,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Command {
    List(list::List),
    Stats(stats::Stats),
    Show(show::Show),
    Export(export::Export),
    Check(check::Check),
    Hold(hold::Hold),
    Release(release::Release),
    RetryNow(retry_now::RetryNow),
    Remove(remove::Remove),
}

fn main() -> ExitCode {
    start_log();
    let read = command_line::read_with_option("smtp-spool", env!("CARGO_PKG_VERSION"), is_command, "--spool");
    let arguments: Arguments = match read {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let mut output = io::BufWriter::new(io::stdout().lock());
    let result = run(&arguments, &mut output).and_then(|()| output.flush().map_err(Failure::output));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody is left to tell if this cannot be written either.
            let _ = io::stderr().write_all(failure.text.as_bytes());
            ExitCode::from(failure.code)
        }
    }
}

fn is_command(word: &str) -> bool {
    Command::COMMANDS.iter().any(|command| command.name == word)
}

fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), Failure> {
    match &arguments.command {
        Command::List(list) => list.run(&arguments.spool, output),
        Command::Stats(stats) => stats.run(&arguments.spool, output),
        Command::Show(show) => show.run(&arguments.spool, output),
        Command::Export(export) => export.run(&arguments.spool, output),
        Command::Hold(hold) => hold.run(&arguments.spool, output),
        Command::Release(release) => release.run(&arguments.spool, output),
        Command::RetryNow(retry_now) => retry_now.run(&arguments.spool, output),
        Command::Remove(remove) => remove.run(&arguments.spool, output),
        Command::Check(check) => check.run(&arguments.spool, output),
    }
}

/// Warnings of the library go to standard error, one line each whatever they hold.
fn start_log() {
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Warn)
        .format(|line, record| writeln!(line, "smtp-spool: {}", Printable(&record.args().to_string())))
        .init();
}
