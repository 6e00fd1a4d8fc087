//! `smtp-client probe`: says hello to a server and tells what it answered, what it can do, and how long it took.

mod meaning;
mod report;
mod witness;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use argh::FromArgs;
use smtp_client::connection::{Connection, Options};
use smtp_client::proto::address::Domain;
use smtp_client::server_name::ServerName;
use smtp_client::tls::{Pin, TlsMode};
use smtp_client::transcript::Both;

use crate::tls::TlsWishes;
use crate::watch::on_screen;
use crate::{arguments, complain, exit, tls};
use report::Report;
use witness::Witness;

/// How long all of it may take, if nobody says otherwise. A server may take five minutes to greet; who asks by hand would
/// rather hear that it does.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Says hello to a server and shows what it answers: the greeting, what came of TLS, each extension with a word of what it means, the limits,
/// and how long each step took. No mail is sent.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "probe",
    help_triggers("-h", "--help", "help"),
    example = "smtp-client probe mx.example.org\nsmtp-client probe --json 127.0.0.1:2525",
    error_code(0, "the server is ready for mail"),
    error_code(64, "the command line is wrong"),
    error_code(66, "a file cannot be read"),
    error_code(68, "the server's name cannot be looked up"),
    error_code(69, "the server refused for good"),
    error_code(75, "not now: no connection, 4yz, or the time is over"),
    error_code(76, "the server's answer was no SMTP, or there is no TLS with it"),
    error_code(77, "the server does not allow it")
)]
pub(crate) struct Probe {
    /// write one JSON object, also when the server is not ready
    #[argh(switch)]
    json: bool,
    /// give up after so many seconds (default 60)
    #[argh(option, arg_name = "seconds", default = "TIMEOUT", from_str_fn(arguments::timeout))]
    timeout: Duration,
    /// TLS: none; try, with whoever offers it, which does not protect from whoever can change what is said; require, by
    /// STARTTLS and with a certificate that proves itself; implicit, the same from the first octet on (default try; with
    /// --ca-file or --tls-pin require)
    #[argh(option, arg_name = "mode", from_str_fn(tls::mode))]
    tls: Option<TlsMode>,
    /// a file of PEM with the authorities to trust, and no others (default: those that this host trusts)
    #[argh(option, arg_name = "pem")]
    ca_file: Option<PathBuf>,
    /// the SHA-256 of the public key of the server, which then need not prove itself in any other way
    #[argh(option, arg_name = "sha256", from_str_fn(tls::pin))]
    tls_pin: Option<Pin>,
    /// how this host names itself (default: its full name, else its address in brackets)
    #[argh(option, arg_name = "name", from_str_fn(arguments::hello_name))]
    hello: Option<Domain>,
    /// show the conversation on standard error
    #[argh(switch)]
    transcript: bool,
    /// the server, HOST or HOST:PORT (without a port, 25)
    #[argh(positional, arg_name = "host[:port]", from_str_fn(arguments::server))]
    server: ServerName,
}

/// Runs the command. What is known is shown, however it ended.
pub(crate) fn run(arguments: Probe) -> ExitCode {
    let wishes = TlsWishes { mode: arguments.tls, ca_file: arguments.ca_file, pin: arguments.tls_pin };
    let tls = match wishes.options(TlsMode::default()) {
        Ok(tls) => tls,
        Err((code, text)) => {
            complain(&text);
            return ExitCode::from(code);
        }
    };
    let witness = Witness::new();
    let seeing = Box::new(witness.clone());
    let options = Options {
        hello_name: arguments.hello,
        tls,
        give_up_at: Instant::now().checked_add(arguments.timeout),
        observer: if arguments.transcript { Box::new(Both(on_screen(), seeing)) } else { seeing },
        ..Options::default()
    };
    let connection = Connection::open_to(&arguments.server, options);
    let seen = witness.seen();
    let failure = connection.as_ref().err().map(ToString::to_string);
    let extensions = connection.as_ref().ok().map(|connection| connection.extensions());
    let report = Report { server: &arguments.server, seen: &seen, extensions, failure: failure.as_deref() };
    let text = if arguments.json { report.json() } else { report.text() };
    // Whether anybody reads it changes nothing.
    drop(io::stdout().write_all(text.as_bytes()));
    if let Some(failure) = failure {
        complain(&failure);
    }
    match connection {
        Ok(connection) => {
            connection.quit();
            ExitCode::SUCCESS
        }
        Err(error) => ExitCode::from(exit::of_connect_error(&error)),
    }
}
