//! The `smtp-client` tool.

mod arguments;
mod exit;
mod load;
mod login;
mod tls;
mod watch;
mod messages;
mod send;
mod probe;
mod mx;
mod replay;
mod outgoing;

use std::io::Write;
use std::process::ExitCode;

use argh::{FromArgs, SubCommands};
use smtp_client::command_line;

use arguments::STANDARD_INPUT;

const PROGRAM: &str = "smtp-client";

/// Sends mail over SMTP, now or out of a queue; asks servers what they can do and DNS where mail goes; holds recorded
/// conversations again.
#[derive(FromArgs)]
#[argh(
    help_triggers("-h", "--help", "help"),
    note = "`smtp-client COMMAND --help` explains a command. Set RUST_LOG=debug to see more. `smtp-client --version` prints the version."
)]
struct Arguments {
    #[argh(subcommand)]
    command: Command,
}

#[derive(FromArgs)]
#[argh(subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one, which is taken apart at once")]
enum Command {
    Send(send::Send),
    Queue(outgoing::queue::Queue),
    Flush(outgoing::flush::Flush),
    List(outgoing::list::List),
    Retry(outgoing::flush::Retry),
    Remove(outgoing::remove::Remove),
    Probe(probe::Probe),
    Mx(mx::Mx),
    Replay(replay::Replay),
    Load(load::Load),
}

fn main() -> ExitCode {
    if let Some(word) = std::env::args_os().skip(1).find(|word| word.to_str().is_none()) {
        let text = "an argument is not UTF-8; `smtp-client send` takes files of such names with --files0-from";
        complain(&format!("{}: {text}", word.to_string_lossy()));
        return ExitCode::from(exit::USAGE);
    }
    let read = command_line::read_command(PROGRAM, env!("CARGO_PKG_VERSION"), is_command, named);
    let arguments: Arguments = match read {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    smtp_client::logging::start(log::LevelFilter::Warn);
    match arguments.command {
        Command::Send(send) => send::run(send),
        Command::Queue(queue) => outgoing::queue::run(queue),
        Command::Flush(flush) => outgoing::flush::run(flush),
        Command::List(list) => outgoing::list::run(list),
        Command::Retry(retry) => outgoing::flush::run_retry(retry),
        Command::Remove(remove) => outgoing::remove::run(remove),
        Command::Probe(probe) => probe::run(probe),
        Command::Mx(mx) => mx::run(mx),
        Command::Replay(replay) => replay::run(replay),
        Command::Load(load) => load::run(load),
    }
}

fn is_command(word: &str) -> bool {
    Command::COMMANDS.iter().any(|command| command.name == word)
}

/// Options with values that are no files to be read. A lone hyphen behind them is a value like any other.
const OPTIONS_WITH_VALUES: [&str; 27] = [
    "--server",
    "--lmtp",
    "--spool",
    "--dns",
    "--tls",
    "--ca-file",
    "--tls-pin",
    "--user",
    "--password-file",
    "--password-command",
    "--auth",
    "--from",
    "--to",
    "--hello",
    "--parallel",
    "--retries",
    "--timeout",
    "--notify",
    "--ret",
    "--envid",
    "--journal",
    "--stop-after",
    "--transcript-to",
    "--connections",
    "--messages",
    "--size",
    "--per-connection",
];

/// A lone hyphen is a file to us and a broken option to argh.
fn named<'a>(previous: &str, word: &'a str) -> &'a str {
    let is_file = word == "-" && !OPTIONS_WITH_VALUES.contains(&previous);
    if is_file { STANDARD_INPUT } else { word }
}

/// A line on standard output. Whether anybody reads it changes nothing.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn complain(text: &str) {
    command_line::complain(PROGRAM, text);
}
