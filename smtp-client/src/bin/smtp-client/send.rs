//! `smtp-client send`: prepares every message, sends them over one connection, says what became of each.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use argh::FromArgs;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use smtp_client::batch::{Batch, Delivery, Message, Retries};
use smtp_client::connection::{Connection, Options};
use smtp_client::content::Content;
use smtp_client::header;
use smtp_client::proto::address::{Domain, ForwardPath, ReversePath};
use smtp_client::proto::printable::Printable;
use smtp_client::proto::transaction::Transaction;
use smtp_client::server_name::ServerName;

use crate::arguments::{self, STANDARD_INPUT};
use crate::watch::Watch;
use crate::{complain, exit};

/// Sends messages over one connection. Sender and recipients are those of each message's own header fields (From or
/// Sender; To, Cc and Bcc) unless --from or --to say otherwise. Bcc fields are never sent. Lines may end in LF or CRLF.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "send",
    help_triggers("-h", "--help", "help"),
    example = "smtp-client send --server mx.example.org:25 message.eml",
    example = "printf 'Subject: hi\\n\\nHello\\n' | smtp-client send --from me@example.com --to you@localhost",
    note = "By default a refused connection, a name that cannot be looked up, 421 or any other 4yz is tried again after 5 and after 15 seconds: 3 tries over about 20 s.",
    error_code(0, "every recipient of every message was accepted"),
    error_code(64, "the command line is wrong"),
    error_code(65, "a message cannot be sent as it is"),
    error_code(66, "a file cannot be opened"),
    error_code(68, "the server's name cannot be looked up"),
    error_code(69, "the server refused for good"),
    error_code(73, "the file for --transcript-to cannot be made"),
    error_code(74, "a file cannot be read"),
    error_code(75, "not now: the same may work later; goes before 69 when both happened"),
    error_code(76, "the server's answer was no SMTP")
)]
pub(crate) struct Send {
    /// the server to call, HOST:PORT (default 127.0.0.1:2525; without a port, 25)
    #[argh(option, arg_name = "host:port", default = "arguments::default_server()", from_str_fn(arguments::server))]
    pub(crate) server: ServerName,
    /// the sender; an empty text or <> is the null reverse-path
    #[argh(option, arg_name = "address", from_str_fn(arguments::reverse_path))]
    pub(crate) from: Option<ReversePath>,
    /// a recipient; may be given several times
    #[argh(option, arg_name = "address", from_str_fn(arguments::forward_path))]
    pub(crate) to: Vec<ForwardPath>,
    /// how this host names itself (default: its full name, else its address in brackets)
    #[argh(option, arg_name = "name", from_str_fn(arguments::hello_name))]
    pub(crate) hello: Option<Domain>,
    /// further tries after the first, for what may work later (default 2: 3 tries over about 20 s)
    #[argh(option, arg_name = "n", default = "2", from_str_fn(arguments::retries))]
    pub(crate) retries: u16,
    /// give up everything so many seconds after the messages are read, pauses between tries included (default: only each
    /// step has its time, as RFC 5321, 4.5.3.2 asks)
    #[argh(option, arg_name = "seconds", from_str_fn(arguments::timeout))]
    pub(crate) timeout: Option<Duration>,
    /// send with BDAT instead of DATA where the server offers CHUNKING (RFC 3030)
    #[argh(switch)]
    pub(crate) chunking: bool,
    /// show the conversation on standard error
    #[argh(switch)]
    pub(crate) transcript: bool,
    /// write the whole conversation, mail included, to a new file that only its owner can read; `smtp-client replay` can
    /// hold it again
    #[argh(option, arg_name = "file")]
    pub(crate) transcript_to: Option<PathBuf>,
    /// the messages (default: one from standard input, which may also be named -)
    #[argh(positional, arg_name = "file")]
    pub(crate) files: Vec<PathBuf>,
}

/// Runs the command. A message that cannot be sent is found before anything is sent.
pub(crate) fn run(arguments: Send) -> ExitCode {
    let names = match arguments.files.as_slice() {
        [] => vec![PathBuf::from(STANDARD_INPUT)],
        files => files.to_vec(),
    };
    if names.iter().filter(|name| is_standard_input(name)).count() > 1 {
        complain("standard input can be one message only; nothing was sent");
        return ExitCode::from(exit::USAGE);
    }
    allow_many_files();
    let mut messages = Vec::new();
    for name in &names {
        match prepare(name, &arguments) {
            Ok(message) => messages.push(message),
            Err((code, error)) => {
                complain(&format!("{}: {error}; nothing was sent", shown(name)));
                return ExitCode::from(code);
            }
        }
    }
    let watch = match Watch::new(arguments.transcript, arguments.transcript_to.as_deref(), &arguments.server) {
        Ok(watch) => watch,
        Err(error) => {
            complain(&format!("{error}; nothing was sent"));
            return ExitCode::from(exit::CANNOT_CREATE);
        }
    };
    // A time beyond the clock is no bound.
    let give_up_at = arguments.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut batch = Batch::new(messages);
    batch.send(&Retries::times(arguments.retries.into()), give_up_at, || {
        let (hello_name, chunking) = (arguments.hello.clone(), arguments.chunking);
        let options = Options { hello_name, chunking, give_up_at, observer: watch.observer(), ..Options::default() };
        Connection::open_to(&arguments.server, options)
    });
    report(&names, &arguments.server, &batch)
}

fn is_standard_input(name: &Path) -> bool {
    name.as_os_str() == STANDARD_INPUT
}

/// The name of a message as people gave it.
pub(crate) fn shown(name: &Path) -> String {
    if is_standard_input(name) { "-".to_owned() } else { name.display().to_string() }
}

/// Each message stays open until it is sent. Where that may take more files than are allowed to begin with, more are
/// allowed if the system agrees; if not, the first file too many says so.
pub(crate) fn allow_many_files() {
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    if let Err(error) = raised {
        log::debug!("the number of open files stays as it is: {error}");
    }
}

fn prepare(name: &Path, arguments: &Send) -> Result<Message, (u8, String)> {
    let content =
        if is_standard_input(name) { Content::from_reader(io::stdin().lock()) } else { Content::from_file(name) };
    let content = content.map_err(|error| (exit::of_content_error(&error), error.to_string()))?;
    let header = content.header();
    let data_error = |error: smtp_client::header::HeaderError| (exit::DATA, error.to_string());
    let reverse_path = match &arguments.from {
        Some(path) => path.clone(),
        None => header.reverse_path().map_err(data_error)?,
    };
    let recipients = match arguments.to.as_slice() {
        [] => header.forward_paths().map_err(data_error)?,
        given => header::each_once(given.iter().cloned()),
    };
    let mut transaction = Transaction::new(reverse_path);
    transaction.recipients = recipients.into_iter().map(Into::into).collect();
    Ok(Message { transaction, content })
}

/// A line for each recipient: acceptances to standard output, the rest to standard error.
fn report(names: &[PathBuf], server: &ServerName, batch: &Batch) -> ExitCode {
    for report in batch.reports() {
        let name = names.get(report.message).map_or_else(String::new, |name| shown(name));
        let who = format!("{name}: {}", report.recipient.forward_path);
        let delivery = report.delivery;
        let doubt = match delivery {
            _ if !report.is_uncertain => "",
            Delivery::Accepted(_) => "; the answer to an earlier try was lost, so it may have arrived twice",
            _ => "; an answer was lost, so it may have arrived all the same",
        };
        match delivery {
            // Whether anybody reads the good news does not change it.
            Delivery::Accepted(_) => {
                drop(writeln!(io::stdout(), "{}", Printable(&format!("{who}: {delivery}{doubt}"))));
            }
            // It names the address itself.
            Delivery::NoConnection(_) => complain(&format!("{who}: {delivery}{doubt}")),
            _ => complain(&format!("{who}: {server}: {delivery}{doubt}")),
        }
    }
    ExitCode::from(exit::code(batch.reports().map(|report| report.delivery)))
}
