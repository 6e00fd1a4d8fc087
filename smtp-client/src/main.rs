//! The `smtp-client` tool.

mod arguments;
mod exit;
mod send;

use std::io::Write;
use std::process::ExitCode;

use smtp_client::printable::Printable;

use arguments::Command;

fn main() -> ExitCode {
    let arguments = match arguments::read() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    smtp_client::logging::start(log::LevelFilter::Warn);
    match arguments.command {
        Command::Send(arguments) => send::run(arguments),
    }
}

/// Writes a line to standard error. There is nobody left to tell if that fails.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "smtp-client: {}", Printable(text));
}
