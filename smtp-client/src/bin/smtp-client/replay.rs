//! `smtp-client replay`: holds conversations from files again, and says where they go otherwise.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use argh::FromArgs;
use smtp_client::dialogue::{Dialogue, DialogueError, Problem};
use smtp_client::proto::client::Cause;
use smtp_client::proto::printable::Printable;
use smtp_client::replay::{self, Comparison, Deviation, Difference, Options};
use smtp_client::server_name::ServerName;
use smtp_client::transcript::{Observer, Unobserved};

use crate::arguments::shown;
use crate::watch::on_screen;
use crate::{arguments, complain, exit};

/// How long all of it may take, if nobody says otherwise.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Says what the client says in each FILE, and compares the codes of the server's replies with those in the FILE; texts may
/// differ. Files come from `smtp-client send --transcript-to`, or are written by hand: `C:` what the client says, `S:` what
/// the server answers.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "replay",
    help_triggers("-h", "--help"),
    example = "smtp-client send --transcript-to talk.txt message.eml\nsmtp-client replay --server mx.example.org:25 talk.txt",
    note = "The mail in the files is sent again: replay them with servers that may have it.",
    error_code(0, "everything went as recorded"),
    error_code(64, "the command line is wrong"),
    error_code(65, "a file is not in the notation"),
    error_code(66, "a file cannot be opened"),
    error_code(68, "the server's name cannot be looked up"),
    error_code(74, "a file cannot be read"),
    error_code(75, "no connection, or it was lost, or the time is over; goes before 76 when both happened"),
    error_code(76, "the server answered otherwise")
)]
pub(crate) struct Replay {
    /// the server to call, HOST:PORT (default 127.0.0.1:2525; without a port, 25)
    #[argh(option, arg_name = "host:port", default = "arguments::default_server()", from_str_fn(arguments::server))]
    server: ServerName,
    /// give up everything after so many seconds (default 300)
    #[argh(option, arg_name = "seconds", default = "TIMEOUT", from_str_fn(arguments::timeout))]
    timeout: Duration,
    /// show the conversations on standard error
    #[argh(switch)]
    transcript: bool,
    /// the conversations, each over connections of its own
    #[argh(positional, arg_name = "file")]
    files: Vec<PathBuf>,
}

/// Runs the command. A file that is not in the notation is found before anybody is called.
pub(crate) fn run(arguments: Replay) -> ExitCode {
    if arguments.files.is_empty() {
        complain("needs a file: smtp-client replay FILE; see smtp-client replay --help");
        return ExitCode::from(exit::USAGE);
    }
    let mut dialogues = Vec::new();
    for path in &arguments.files {
        match Dialogue::open(path) {
            Ok(dialogue) => dialogues.push((shown(path), dialogue)),
            Err(error) => {
                complain(&format!("{}; nothing was sent", unreadable(&shown(path), &error)));
                return ExitCode::from(of_dialogue_error(&error));
            }
        }
    }
    let transcript = arguments.transcript;
    let observer = move || -> Box<dyn Observer> { if transcript { on_screen() } else { Box::new(Unobserved) } };
    let options = Options {
        comparison: Comparison::Codes,
        connect_timeout: smtp_client::Options::default().connect_timeout,
        give_up_at: Instant::now().checked_add(arguments.timeout),
        observer: Box::new(observer),
    };
    let mut codes = Vec::new();
    for (name, dialogue) in &mut dialogues {
        match replay::play(dialogue, &arguments.server, &options) {
            // Whether anybody reads the good news does not change it.
            Ok(replies) => {
                let text = format!("{name}: as recorded ({replies} replies)");
                drop(writeln!(io::stdout(), "{}", Printable(&text)));
            }
            Err(deviation) => {
                complain(&format!("{name}:{}: {deviation}", deviation.line));
                codes.push(of_deviation(&deviation));
            }
        }
    }
    ExitCode::from(exit::first(codes))
}

/// What cannot be opened has no line.
fn unreadable(name: &str, error: &DialogueError) -> String {
    match &error.problem {
        Problem::Io(error) => format!("{name}: {error}"),
        problem => format!("{name}:{}: {problem}", error.line),
    }
}

fn of_dialogue_error(error: &DialogueError) -> u8 {
    match &error.problem {
        Problem::Io(error) => exit::of_io_error(error),
        _ => exit::DATA,
    }
}

fn of_deviation(deviation: &Deviation) -> u8 {
    match &deviation.what {
        Difference::Reply { .. } | Difference::OneMore(_) | Difference::NotTaken => exit::PROTOCOL,
        Difference::Silence { cause: Cause::Reply(_), .. } | Difference::NotClosed(Cause::Reply(_)) => exit::PROTOCOL,
        Difference::Silence { .. } | Difference::NotClosed(_) => exit::TEMPORARY,
        Difference::NoConnection(error) => exit::of_connect_error(error),
        // It was there a moment ago.
        Difference::File(error) if matches!(error.problem, Problem::Io(_)) => exit::IO,
        Difference::File(_) => exit::DATA,
    }
}
