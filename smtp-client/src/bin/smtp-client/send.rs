//! `smtp-client send`: finds the messages, looks at every one, sends them, says what became of each.

mod progress;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use argh::FromArgs;
use smtp_client::batch::{Batch, Plan, Retries};
use smtp_client::connection::{ConnectError, Connection, Options};
use smtp_client::journal::Journal;
use smtp_client::proto::address::{Domain, ForwardPath, ReversePath};
use smtp_client::proto::client::Until;
use smtp_client::proto::extension::Extension;
use smtp_client::proto::parameter::{Notify, Ret};
use smtp_client::proto::xtext::Xtext;
use smtp_client::server_name::ServerName;

use crate::arguments::{self, StopAfter};
use crate::messages::{self, Prepared, Stopped, Wishes};
use crate::watch::Watch;
use crate::{complain, exit};
use report::Reporter;

/// Sends messages: files, the messages of an mbox (a file that begins with "From ") or a Maildir, and what is below any
/// other directory. Sender and recipients are those of each message's own header fields (From or Sender; To, Cc and Bcc)
/// unless --from or --to say otherwise. Bcc fields are never sent. Lines may end in LF or CRLF.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "send",
    help_triggers("-h", "--help", "help"),
    example = "smtp-client send --server mx.example.org:25 message.eml",
    example = "printf 'Subject: hi\\n\\nHello\\n' | smtp-client send --from me@example.com --to you@localhost",
    example = "smtp-client send --resume --parallel 4 newsletter.mbox",
    example = "find . -name '*.eml' -print0 | smtp-client send --files0-from -",
    note = "By default a refused connection, a name that cannot be looked up, 421 or any other 4yz is tried again after 5 and after 15 seconds: 3 tries over about 20 s.",
    note = "When several things went wrong, the exit code is the first of 75 76 68 74 66 65 69 77 67 that happened.",
    error_code(0, "every recipient of every message was accepted"),
    error_code(64, "the command line is wrong"),
    error_code(65, "a message cannot be sent as it is"),
    error_code(66, "a file cannot be opened"),
    error_code(67, "the server does not know the recipient"),
    error_code(68, "the server's name cannot be looked up"),
    error_code(69, "the server refused for good"),
    error_code(73, "a journal or transcript cannot be made"),
    error_code(74, "a file cannot be read or written"),
    error_code(75, "not now: the same may work later"),
    error_code(76, "the server's answer was no SMTP, or not the one that was expected"),
    error_code(77, "the server does not allow it"),
    error_code(78, "the journal is no journal")
)]
pub(crate) struct Send {
    /// the server to call, HOST:PORT (default 127.0.0.1:2525; without a port, 25)
    #[argh(option, arg_name = "host:port", default = "arguments::default_server()", from_str_fn(arguments::server))]
    server: ServerName,
    /// the sender; an empty text or <> is the null reverse-path
    #[argh(option, arg_name = "address", from_str_fn(arguments::reverse_path))]
    from: Option<ReversePath>,
    /// a recipient; may be given several times
    #[argh(option, arg_name = "address", from_str_fn(arguments::forward_path))]
    to: Vec<ForwardPath>,
    /// take further files from this one (or - for standard input), each name ended by a NUL
    #[argh(option, arg_name = "file")]
    files0_from: Option<PathBuf>,
    /// how this host names itself (default: its full name, else its address in brackets)
    #[argh(option, arg_name = "name", from_str_fn(arguments::hello_name))]
    hello: Option<Domain>,
    /// connections at a time (default 1)
    #[argh(option, arg_name = "n", default = "1", from_str_fn(arguments::connections))]
    parallel: usize,
    /// further tries after the first, for what may work later (default 2: 3 tries over about 20 s)
    #[argh(option, arg_name = "n", default = "2", from_str_fn(arguments::retries))]
    retries: u16,
    /// give up everything so many seconds after the messages are read, pauses between tries included (default: only each
    /// step has its time, as RFC 5321, 4.5.3.2 asks)
    #[argh(option, arg_name = "seconds", from_str_fn(arguments::timeout))]
    timeout: Option<Duration>,
    /// in which cases the server is to report: never, or any of success,failure,delay (DSN, RFC 3461)
    #[argh(option, arg_name = "cases", from_str_fn(arguments::notify))]
    notify: Option<Notify>,
    /// what a report gives back: full or hdrs (DSN)
    #[argh(option, arg_name = "part", from_str_fn(arguments::ret))]
    ret: Option<Ret>,
    /// a name of yours for the messages, which reports repeat (DSN)
    #[argh(option, arg_name = "name", from_str_fn(arguments::envid))]
    envid: Option<Xtext>,
    /// keep a journal of what was sent, and leave out what it says an earlier run has sent: after an interruption, give
    /// the same command again. It lies beside the first file, as FILE.smtp-journal
    #[argh(switch)]
    resume: bool,
    /// the same, with the journal in this file
    #[argh(option, arg_name = "file")]
    journal: Option<PathBuf>,
    /// send with BDAT instead of DATA where the server offers CHUNKING (RFC 3030)
    #[argh(switch)]
    chunking: bool,
    /// send nothing, and stop behind this command: ehlo, mail or rcpt
    #[argh(option, arg_name = "command", from_str_fn(arguments::stop_after))]
    stop_after: Option<StopAfter>,
    /// show the conversation on standard error
    #[argh(switch)]
    transcript: bool,
    /// write the whole conversation, mail included, to a new file that only its owner can read; `smtp-client replay` can
    /// hold it again
    #[argh(option, arg_name = "file")]
    transcript_to: Option<PathBuf>,
    /// write an object of JSON on standard output for each recipient of each message, instead of a text
    #[argh(switch)]
    json: bool,
    /// the messages (default: one from standard input, which may also be named -)
    #[argh(positional, arg_name = "file")]
    files: Vec<PathBuf>,
}

/// Runs the command. A message that cannot be sent is found before anything is sent.
pub(crate) fn run(send: Send) -> ExitCode {
    match start(&send) {
        Ok(code) => code,
        Err((code, text)) => {
            complain(&format!("{text}; nothing was sent"));
            ExitCode::from(code)
        }
    }
}

fn start(send: &Send) -> Result<ExitCode, Stopped> {
    let watch = || {
        let watch = Watch::new(send.transcript, send.transcript_to.as_deref(), &send.server);
        watch.map_err(|error| (exit::CANNOT_CREATE, error))
    };
    if send.stop_after == Some(StopAfter::Ehlo) {
        return Ok(say_hello(send, &watch()?));
    }
    let batch = prepare(send)?;
    Ok(deliver(send, batch, &watch()?))
}

/// A batch, and the names of its messages.
struct Named {
    batch: Batch,
    names: Vec<String>,
}

fn prepare(send: &Send) -> Result<Named, Stopped> {
    if send.parallel > 1 && (send.transcript || send.transcript_to.is_some()) {
        let text = "a transcript shows one conversation after the other; leave out --parallel";
        return Err((exit::USAGE, text.to_owned()));
    }
    if send.stop_after.is_some() && (send.resume || send.journal.is_some()) {
        return Err((exit::USAGE, "there is nothing to write into a journal with --stop-after".to_owned()));
    }
    let files = messages::files(&send.files, send.files0_from.as_deref())?;
    let journal = open_journal(send, &files)?;
    let Prepared { names, messages, keys } = messages::prepare(&files, &wishes(send), journal.is_some())?;
    let batch = match journal {
        Some(journal) => Batch::resumed(messages, journal, keys),
        None => Batch::new(messages),
    };
    Ok(Named { batch, names })
}

fn wishes(send: &Send) -> Wishes {
    let Send { from, to, notify, ret, envid, .. } = send;
    Wishes { from: from.clone(), to: to.clone(), notify: *notify, ret: *ret, envid: envid.clone() }
}

fn open_journal(send: &Send, files: &[PathBuf]) -> Result<Option<Journal>, Stopped> {
    let path = match (&send.journal, files.first()) {
        (Some(path), _) => path.clone(),
        (None, _) if !send.resume => return Ok(None),
        (None, Some(first)) if !arguments::is_standard_input(first) => messages::beside(first),
        (None, _) => {
            let text = "--resume needs a file beside which the journal may lie; name one with --journal";
            return Err((exit::USAGE, text.to_owned()));
        }
    };
    let journal = Journal::open(&path);
    journal.map(Some).map_err(|error| (exit::of_journal_error(&error), error.to_string()))
}

/// Without a message: is somebody there?
fn say_hello(send: &Send, watch: &Watch) -> ExitCode {
    let give_up_at = send.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    match connect(send, watch, give_up_at) {
        Ok(connection) => {
            connection.quit();
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(exit::of_connect_error(&error))
        }
    }
}

fn deliver(send: &Send, Named { mut batch, names }: Named, watch: &Watch) -> ExitCode {
    // A time beyond the clock is no bound.
    let give_up_at = send.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let rehearsal = match send.stop_after {
        Some(StopAfter::Mail) => Some(Until::Mail),
        Some(StopAfter::Rcpt) => Some(Until::Rcpt),
        Some(StopAfter::Ehlo) | None => None,
    };
    let retries = Retries::times(send.retries.into());
    let plan = Plan { retries, give_up_at, connections: send.parallel, rehearsal };
    let reporter = Reporter::new(&names, &send.server, send.json, batch.sent_before(), !send.transcript);
    batch.send(&plan, &reporter, &|| connect(send, watch, give_up_at));
    reporter.summarise(batch.in_doubt());
    ExitCode::from(exit::code(batch.reports().map(|report| report.delivery)))
}

fn connect(send: &Send, watch: &Watch, give_up_at: Option<Instant>) -> Result<Connection, ConnectError> {
    let (hello_name, chunking) = (send.hello.clone(), send.chunking);
    let options = Options { hello_name, chunking, give_up_at, observer: watch.observer(), ..Options::default() };
    let connection = Connection::open_to(&send.server, options)?;
    let wants_reports = send.notify.is_some() || send.ret.is_some() || send.envid.is_some();
    if wants_reports && !connection.extensions().has(&Extension::Dsn) {
        log::warn!("{}: the server does not offer DSN, so reports may not be as you asked", connection.peer());
    }
    Ok(connection)
}
