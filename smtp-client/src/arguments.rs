//! The command line, read into types that hold nothing unfit for the wire.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use argh::FromArgs;
use smtp_client::command_line;
use smtp_client::proto::address::{AddressError, Domain, ForwardPath, ReversePath};
use smtp_client::server_name::ServerName;

use crate::PROGRAM;

/// What the file `-` means.
pub(crate) const STANDARD_INPUT: &str = "/dev/stdin";

/// Sends mail over SMTP.
#[derive(FromArgs, Debug)]
#[argh(
    help_triggers("-h", "--help", "help"),
    note = "Set RUST_LOG=debug to see more. `smtp-client --version` prints the version.",
    error_code(0, "every recipient of every message was accepted"),
    error_code(64, "the command line is wrong"),
    error_code(65, "a message cannot be sent as it is"),
    error_code(66, "a file cannot be opened"),
    error_code(68, "the server's name cannot be looked up"),
    error_code(69, "the server refused for good"),
    error_code(74, "a file cannot be read"),
    error_code(75, "not now: the same may work later"),
    error_code(76, "the server's answer was no SMTP")
)]
pub(crate) struct Arguments {
    #[argh(subcommand)]
    pub(crate) command: Command,
}

#[derive(FromArgs, Debug)]
#[argh(subcommand)]
pub(crate) enum Command {
    Send(Send),
}

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
    error_code(74, "a file cannot be read"),
    error_code(75, "not now: the same may work later; goes before 69 when both happened"),
    error_code(76, "the server's answer was no SMTP")
)]
pub(crate) struct Send {
    /// the server to call, HOST:PORT (default 127.0.0.1:2525; without a port, 25)
    #[argh(option, arg_name = "host:port", default = "default_server()", from_str_fn(server))]
    pub(crate) server: ServerName,
    /// the sender; an empty text or <> is the null reverse-path
    #[argh(option, arg_name = "address", from_str_fn(reverse_path))]
    pub(crate) from: Option<ReversePath>,
    /// a recipient; may be given several times
    #[argh(option, arg_name = "address", from_str_fn(forward_path))]
    pub(crate) to: Vec<ForwardPath>,
    /// how this host names itself (default: its full name, else its address in brackets)
    #[argh(option, arg_name = "name", from_str_fn(hello_name))]
    pub(crate) hello: Option<Domain>,
    /// further tries after the first, for what may work later (default 2: 3 tries over about 20 s)
    #[argh(option, arg_name = "n", default = "2", from_str_fn(retries))]
    pub(crate) retries: u16,
    /// give up everything so many seconds after the messages are read, pauses between tries included (default: only each
    /// step has its time, as RFC 5321, 4.5.3.2 asks)
    #[argh(option, arg_name = "seconds", from_str_fn(timeout))]
    pub(crate) timeout: Option<Duration>,
    /// send with BDAT instead of DATA where the server offers CHUNKING (RFC 3030)
    #[argh(switch)]
    pub(crate) chunking: bool,
    /// show the conversation on standard error
    #[argh(switch)]
    pub(crate) transcript: bool,
    /// the messages (default: one from standard input, which may also be named -)
    #[argh(positional, arg_name = "file")]
    pub(crate) files: Vec<PathBuf>,
}

/// Reads the command line; see [`command_line::read`].
pub(crate) fn read() -> Result<Arguments, ExitCode> {
    // A lone hyphen is a file to us and a broken option to argh.
    command_line::read(PROGRAM, env!("CARGO_PKG_VERSION"), |word| if word == "-" { STANDARD_INPUT } else { word })
}

fn default_server() -> ServerName {
    ServerName::default()
}

fn server(text: &str) -> Result<ServerName, String> {
    text.parse().map_err(|_| format!("not a server; {}", ServerName::FORMS))
}

fn reverse_path(text: &str) -> Result<ReversePath, String> {
    if text.is_empty() {
        return Ok(ReversePath::Null);
    }
    text.parse().map_err(|error| no_address(text, error))
}

fn forward_path(text: &str) -> Result<ForwardPath, String> {
    text.parse().map_err(|error| no_address(text, error))
}

/// Why not; for `Bob <bob@example.org>` the reason is the name.
fn no_address(text: &str, error: AddressError) -> String {
    let alone = text.find('<').filter(|start| *start > 0).and_then(|start| text.get(start..));
    match alone.map(str::parse::<ForwardPath>) {
        Some(Ok(_)) => "write the address alone, without a name".to_owned(),
        _ => error.to_string(),
    }
}

fn hello_name(text: &str) -> Result<Domain, String> {
    let domain: Domain = text.parse().map_err(|error: AddressError| error.to_string())?;
    // RFC 6531, 3.7.1.
    if text.is_ascii() { Ok(domain) } else { Err("the name given with EHLO must be ASCII".to_owned()) }
}

fn retries(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("not a number from 0 to {}", u16::MAX))
}

fn timeout(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(0) => Err("0 seconds are over before anything can be sent".to_owned()),
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => Err("not a number of seconds".to_owned()),
    }
}
