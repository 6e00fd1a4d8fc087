//! The `smtp-client` tool.

mod arguments;
mod exit;
mod send;

use std::process::ExitCode;

use arguments::Command;

const PROGRAM: &str = "smtp-client";

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

fn complain(text: &str) {
    smtp_client::command_line::complain(PROGRAM, text);
}
