//! The `smtp-client` tool.

mod arguments;
mod exit;
mod load;
mod watch;
mod messages;
mod send;
mod probe;
mod mx;
mod replay;
mod outgoing;

use std::io::Write;
use std::process::ExitCode;

use argh::FromArgs;
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
    let arguments: Arguments = match command_line::read(PROGRAM, env!("CARGO_PKG_VERSION"), named) {
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

/// A lone hyphen is a file to us and a broken option to argh.
fn named(word: &str) -> &str {
    if word == "-" { STANDARD_INPUT } else { word }
}

/// A line on standard output. Whether anybody reads it changes nothing.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn complain(text: &str) {
    command_line::complain(PROGRAM, text);
}
