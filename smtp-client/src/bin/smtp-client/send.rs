//! `smtp-client send`: finds the messages, looks at every one, sends them, says what became of each.

mod progress;
mod report;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use argh::FromArgs;
use smtp_client::batch::{Batch, Plan, Retries};
use smtp_client::connection::{ConnectError, Connection, Options};
use smtp_client::journal::{self, Journal};
use smtp_client::lmtp_server::LmtpServer;
use smtp_client::login::Login;
use smtp_client::proto::address::{Domain, ForwardPath, ReversePath};
use smtp_client::proto::client::Until;
use smtp_client::proto::extension::Extension;
use smtp_client::proto::parameter::{Notify, Ret};
use smtp_client::proto::sasl::Mechanism;
use smtp_client::proto::xtext::Xtext;
use smtp_client::server_name::ServerName;
use smtp_client::tls::{Pin, TlsMode, TlsOptions};

use crate::arguments::{self, StopAfter};
use crate::login::LoginWishes;
use crate::messages::{self, Prepared, Stopped, Wishes};
use crate::tls::TlsWishes;
use crate::watch::Watch;
use crate::{complain, exit, login, tls};
use progress::Interruption;
use report::Reporter;

/// Sends messages: files, the messages of an mbox (a file that begins with "From ") or a Maildir, and what is below any
/// other directory. Sender and recipients are those of each message's own header fields (From or Sender; To, Cc and Bcc)
/// unless --from or --to say otherwise. Bcc fields are never sent. Lines may end in LF or CRLF.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "send",
    help_triggers("-h", "--help"),
    example = "smtp-client send --server mx.example.org:25 message.eml",
    example = "printf 'Subject: hi\\n\\nHello\\n' | smtp-client send --from me@example.com --to you@localhost",
    example = "smtp-client send --tls require --server mx.example.org:587 message.eml",
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
    error_code(76, "the server's answer was no SMTP, or not the one that was expected, or there is no TLS with it"),
    error_code(77, "the server does not allow it"),
    error_code(78, "the journal is no journal")
)]
pub(crate) struct Send {
    /// the server to call, HOST:PORT (default 127.0.0.1:2525; without a port, 25)
    #[argh(option, arg_name = "host:port", from_str_fn(arguments::server))]
    server: Option<ServerName>,
    /// a server of LMTP (RFC 2033) to call instead, HOST:PORT or unix:PATH: one that has the mailboxes
    #[argh(option, arg_name = "server", from_str_fn(arguments::lmtp_server))]
    lmtp: Option<LmtpServer>,
    /// TLS: none; try, with whoever offers it, which does not protect from whoever can change what is said; require, by
    /// STARTTLS and with a certificate that proves itself; implicit, the same from the first octet on (default try; with
    /// --ca-file, --tls-pin or --user require)
    #[argh(option, arg_name = "mode", from_str_fn(tls::mode))]
    tls: Option<TlsMode>,
    /// a file of PEM with the authorities to trust, and no others (default: those that this host trusts)
    #[argh(option, arg_name = "pem")]
    ca_file: Option<PathBuf>,
    /// the SHA-256 of the public key of the server, which then need not prove itself in any other way
    #[argh(option, arg_name = "sha256", from_str_fn(tls::pin))]
    tls_pin: Option<Pin>,
    /// who to log in as; the password is in --password-file, said by --password-command, or in the environment as
    /// SMTP_PASSWORD. With it, --tls is require unless something else is said
    #[argh(option, arg_name = "name")]
    user: Option<String>,
    /// a file with the password, one line
    #[argh(option, arg_name = "file")]
    password_file: Option<PathBuf>,
    /// a command of the shell that prints the password
    #[argh(option, arg_name = "command")]
    password_command: Option<String>,
    /// log in by this mechanism and no other (default: the strongest that the server offers); the password is a token for
    /// oauthbearer and xoauth2
    #[argh(option, arg_name = "mechanism", from_str_fn(login::mechanism))]
    auth: Option<Mechanism>,
    /// tell the password in clear too, and to servers that cannot prove who they are
    #[argh(switch)]
    insecure_auth: bool,
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
    /// the message goes on under TLS only, on the whole way, or comes back (REQUIRETLS, RFC 8689); means --tls require
    #[argh(switch)]
    requiretls: bool,
    /// keep a journal of what was sent, and leave out what it says an earlier run has sent: after an interruption, give
    /// the same command again. It lies beside the one file or directory that is named, as FILE.smtp-journal; for several,
    /// for a list and for standard input, name it with --journal
    #[argh(switch)]
    resume: bool,
    /// the same, with the journal in this file
    #[argh(option, arg_name = "file", from_str_fn(arguments::written_file))]
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
    #[argh(option, arg_name = "file", from_str_fn(arguments::written_file))]
    transcript_to: Option<PathBuf>,
    /// write an object of JSON on standard output for each recipient of each message, instead of a text
    #[argh(switch)]
    json: bool,
    /// the messages (default: one from standard input, which may also be named -)
    #[argh(positional, arg_name = "file")]
    files: Vec<PathBuf>,
}

impl Send {
    fn default_tls_mode(&self) -> TlsMode {
        if self.requiretls { TlsMode::Require } else { self.login_wishes().default_mode() }
    }

    fn tls_wishes(&self) -> TlsWishes {
        TlsWishes { mode: self.tls, ca_file: self.ca_file.clone(), pin: self.tls_pin }
    }

    fn login_wishes(&self) -> LoginWishes {
        LoginWishes {
            user: self.user.clone(),
            password_file: self.password_file.clone(),
            password_command: self.password_command.clone(),
            auth: self.auth,
            insecure_auth: self.insecure_auth,
        }
    }

    /// Whom the messages go to, by the name that was given.
    fn called(&self) -> Box<dyn fmt::Display + Sync> {
        match &self.lmtp {
            Some(server) => Box::new(server.clone()),
            None => Box::new(self.server.clone().unwrap_or_default()),
        }
    }
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
    check_together(send)?;
    let access =
        Access { tls: send.tls_wishes().options(send.default_tls_mode())?, login: send.login_wishes().login()? };
    let watch = || {
        let watch = Watch::new(send.transcript, send.transcript_to.as_deref(), &send.called());
        watch.map_err(|error| (exit::CANNOT_CREATE, error))
    };
    let (watch, code) = if send.stop_after == Some(StopAfter::Ehlo) {
        let watch = watch()?;
        let code = say_hello(send, &access, &watch);
        (watch, code)
    } else {
        let batch = prepare(send)?;
        let watch = watch()?;
        let code = deliver(send, &access, batch, &watch);
        (watch, code)
    };
    // Why, it has said itself.
    let recording = (!watch.is_complete()).then_some(exit::IO);
    Ok(ExitCode::from(exit::first([code].into_iter().filter(|code| *code != 0).chain(recording))))
}

/// How the server is reached: under which TLS, and as whom.
#[derive(Clone, Debug)]
struct Access {
    tls: TlsOptions,
    login: Option<Login>,
}

/// A batch, and the names of its messages.
struct Named {
    batch: Batch,
    names: Vec<String>,
}

/// Options that cannot stand together, or mean nothing together.
fn check_together(send: &Send) -> Result<(), Stopped> {
    let text = if send.parallel > 1 && (send.transcript || send.transcript_to.is_some()) {
        "a transcript shows one conversation after the other; leave out --parallel"
    } else if send.lmtp.is_some() && send.server.is_some() {
        "--server and --lmtp say two different things; leave out one of them"
    } else if send.lmtp.is_some() && (send.requiretls || send.tls_wishes().is_given()) {
        "LMTP is spoken in clear, on this host or next to it; leave out --tls, --ca-file, --tls-pin and --requiretls"
    } else if send.lmtp.is_some() && send.user.is_some() {
        "nobody logs in over LMTP; leave out --user"
    } else if send.stop_after.is_some() && (send.resume || send.journal.is_some()) {
        "there is nothing to write into a journal with --stop-after"
    } else if send.stop_after == Some(StopAfter::Ehlo) && (!send.files.is_empty() || send.files0_from.is_some()) {
        "no message is looked at with --stop-after ehlo; leave out the files"
    } else if send.stop_after == Some(StopAfter::Ehlo) && send.json {
        "there is no recipient to write of with --stop-after ehlo; `smtp-client probe --json` describes a server"
    } else {
        return Ok(());
    };
    Err((exit::USAGE, text.to_owned()))
}

fn prepare(send: &Send) -> Result<Named, Stopped> {
    let files = messages::files(&send.files, send.files0_from.as_deref())?;
    let path = journal_path(send, &files)?;
    let Prepared { names, messages, keys } = messages::prepare(&files, &wishes(send), path.as_deref())?;
    // Only now, so that a mistyped name leaves none behind.
    let batch = match path {
        Some(path) => {
            let journal = Journal::open(&path);
            let journal = journal.map_err(|error| (exit::of_journal_error(&error), error.to_string()))?;
            Batch::resumed(messages, journal, keys)
        }
        None => Batch::new(messages),
    };
    Ok(Named { batch, names })
}

fn wishes(send: &Send) -> Wishes {
    let Send { from, to, notify, ret, envid, requiretls, .. } = send;
    Wishes {
        from: from.clone(),
        to: to.clone(),
        notify: *notify,
        ret: *ret,
        envid: envid.clone(),
        requiretls: *requiretls,
    }
}

/// Where the journal lies: where the command line says, else beside the one file or directory that it names. Of several,
/// the first may be another in the next run, which would find no journal there and send everything again.
fn journal_path(send: &Send, files: &[PathBuf]) -> Result<Option<PathBuf>, Stopped> {
    match (&send.journal, files) {
        (Some(path), _) => Ok(Some(path.clone())),
        (None, _) if !send.resume => Ok(None),
        (None, [only])
            if send.files0_from.is_none() && !arguments::is_standard_input(only) && only.file_name().is_some() =>
        {
            Ok(Some(beside(only)))
        }
        (None, _) => {
            let text = "--resume keeps its journal beside the one file or directory that is named; \
                        here, say where it is to lie with --journal";
            Err((exit::USAGE, text.to_owned()))
        }
    }
}

fn beside(only: &Path) -> PathBuf {
    // Without the slash that may stand behind a directory.
    let mut path: OsString = only.components().collect::<PathBuf>().into();
    path.push(journal::SUFFIX);
    path.into()
}

/// Without a message: is somebody there?
fn say_hello(send: &Send, access: &Access, watch: &Watch) -> u8 {
    let give_up_at = send.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    match connect(send, access, watch, give_up_at) {
        Ok(connection) => {
            // Whether anybody reads it changes nothing.
            drop(writeln!(io::stdout(), "{}: ready for mail; nothing was sent", connection.peer()));
            connection.quit();
            0
        }
        Err(error) => {
            complain(&error.to_string());
            exit::of_connect_error(&error)
        }
    }
}

fn deliver(send: &Send, access: &Access, Named { mut batch, names }: Named, watch: &Watch) -> u8 {
    // A time beyond the clock is no bound.
    let give_up_at = send.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let rehearsal = match send.stop_after {
        Some(StopAfter::Mail) => Some(Until::Mail),
        Some(StopAfter::Rcpt) => Some(Until::Rcpt),
        Some(StopAfter::Ehlo) | None => None,
    };
    let retries = Retries::times(send.retries.into());
    let plan = Plan { retries, give_up_at, connections: send.parallel, rehearsal };
    let interruption = match (batch.has_journal(), rehearsal) {
        (true, _) => Interruption::KeepsPlace,
        (false, None) => Interruption::LosesPlace,
        (false, Some(_)) => Interruption::Harmless,
    };
    // A transcript goes where the bar would be.
    let interruption = (!send.transcript).then_some(interruption);
    let called = send.called();
    let reporter = Reporter::new(&names, &called, send.json, batch.sent_before(), interruption);
    batch.send(&plan, &reporter, &|| connect(send, access, watch, give_up_at));
    reporter.summarise(&batch);
    let codes = exit::code(batch.reports().map(|report| report.delivery));
    let journal = batch.journal_failure().map(|_| exit::IO);
    exit::first([codes].into_iter().filter(|code| *code != 0).chain(journal))
}

fn connect(
    send: &Send,
    access: &Access,
    watch: &Watch,
    give_up_at: Option<Instant>,
) -> Result<Connection, ConnectError> {
    let Access { tls, login } = access.clone();
    let (hello_name, chunking) = (send.hello.clone(), send.chunking);
    let options =
        Options { hello_name, chunking, tls, login, give_up_at, observer: watch.observer(), ..Options::default() };
    let connection = match &send.lmtp {
        Some(server) => Connection::open_lmtp(server, options)?,
        None => Connection::open_to(&send.server.clone().unwrap_or_default(), options)?,
    };
    let wants_reports = send.notify.is_some() || send.ret.is_some() || send.envid.is_some();
    if wants_reports && !connection.extensions().has(&Extension::Dsn) {
        log::warn!("{}: the server does not offer DSN, so reports may not be as you asked", connection.peer());
    }
    Ok(connection)
}
