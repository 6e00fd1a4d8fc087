//! The settings as they are written, on the command line or in a file: every one may be absent.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use argh::FromArgs;
use smtp_server::network::Network;
use smtp_server::proto::address::DomainName;

use crate::exit;

/// Receives mail over SMTP and keeps it. With no option at all it listens on 127.0.0.1:2525, takes mail for any local
/// part at localhost and at its own hostname, and keeps it in ./spool (look at it with smtp-spool).
#[derive(FromArgs, Clone, Debug, Default)]
#[argh(
    example = "smtp-server --listen 0.0.0.0:25 --hostname mx.example.org --domain example.org --spool /var/spool/smtp --user smtp",
    note = "Prints `listening on ADDR:PORT` for each listener when it is ready. SIGTERM: open transactions may finish; a second one ends them. RUST_LOG chooses what is logged. `smtp-server --version` prints the version.",
    error_code(0, "stopped in order"),
    error_code(64, "the command line is wrong"),
    error_code(67, "no such user or group"),
    error_code(69, "an address to listen on is taken or not ours"),
    error_code(71, "the system refused something"),
    error_code(73, "the spool cannot be opened"),
    error_code(75, "another server owns the spool"),
    error_code(77, "not allowed, such as a port below 1024"),
    error_code(78, "a setting is wrong")
)]
pub(crate) struct Options {
    /// where to listen (default 127.0.0.1:2525, or the sockets that a service manager hands over; port 0 is any free port; may be given several times)
    #[argh(option, arg_name = "addr:port", from_str_fn(listen))]
    pub(crate) listen: Vec<SocketAddr>,
    /// the server's own name (default: the host's, or localhost)
    #[argh(option, arg_name = "name", from_str_fn(domain_name))]
    pub(crate) hostname: Option<DomainName>,
    /// a domain whose mail is taken (default: the hostname and localhost; may be given several times)
    #[argh(option, arg_name = "name", from_str_fn(domain_name))]
    pub(crate) domain: Vec<DomainName>,
    /// where messages are kept (default ./spool)
    #[argh(option, arg_name = "dir")]
    pub(crate) spool: Option<PathBuf>,
    /// the mailboxes there are, one address or local part a line (default: every local part)
    #[argh(option, arg_name = "file")]
    pub(crate) recipients: Option<PathBuf>,
    /// what becomes of mail: keep, it stays in the spool (the default, and all there is so far)
    #[argh(option, arg_name = "how", from_str_fn(deliver))]
    pub(crate) deliver: Option<Deliver>,
    /// octets of content that may be kept; beyond, mail waits at the sender (default: until the disk is nearly full)
    #[argh(option, arg_name = "bytes")]
    pub(crate) keep_max_bytes: Option<u64>,
    /// conversations at a time (default 256)
    #[argh(option, arg_name = "n")]
    pub(crate) threads: Option<usize>,
    /// conversations at a time with one address (default: half of --threads; loopback is exempt)
    #[argh(option, arg_name = "n")]
    pub(crate) max_connections_per_ip: Option<usize>,
    /// the largest message (default 67108864)
    #[argh(option, arg_name = "bytes")]
    pub(crate) max_message_size: Option<u64>,
    /// recipients of one message (default 1000; RFC 5321 asks for at least 100)
    #[argh(option, arg_name = "n")]
    pub(crate) max_recipients: Option<usize>,
    /// peers whose bare LF counts as a line end (may be given several times)
    #[argh(option, arg_name = "cidr")]
    pub(crate) accept_bare_lf: Vec<Network>,
    /// the user to become once the ports are bound
    #[argh(option, arg_name = "name")]
    pub(crate) user: Option<String>,
    /// the group to become (default: the user's)
    #[argh(option, arg_name = "name")]
    pub(crate) group: Option<String>,
    /// a file with the same settings, one a line without the dashes; the command line goes before it
    #[argh(option, arg_name = "file")]
    pub(crate) config: Option<PathBuf>,
    /// read all settings and the files they name, say whether they are valid, and end
    #[argh(switch)]
    pub(crate) check: bool,
}

/// What becomes of an accepted message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deliver {
    /// It stays in the spool.
    Keep,
}

/// Reads the command line. What argh has to say is printed here: help to standard output, errors to standard error.
pub(crate) fn read() -> Result<Options, ExitCode> {
    let words: Vec<String> = match std::env::args_os().map(|word| word.into_string()).collect() {
        Ok(words) => words,
        Err(word) => {
            crate::say(&format!("smtp-server: an argument is not UTF-8: {:?}", word.to_string_lossy()));
            return Err(ExitCode::from(exit::USAGE));
        }
    };
    let words: Vec<&str> = words.iter().map(String::as_str).skip(1).collect();
    if words == ["--version"] {
        // Whoever closed standard output does not want to know.
        let _ = writeln!(std::io::stdout(), "smtp-server {}", env!("CARGO_PKG_VERSION"));
        return Err(ExitCode::SUCCESS);
    }
    Options::from_args(&["smtp-server"], &words).map_err(|early| match early.status {
        Ok(()) => {
            let _ = writeln!(std::io::stdout(), "{}", early.output.trim_end());
            ExitCode::SUCCESS
        }
        Err(()) => {
            let text = early.output.trim_end().replace('\n', "; ");
            crate::say(&format!("smtp-server: {}", smtp_client::logging::escape(&text)));
            ExitCode::from(exit::USAGE)
        }
    })
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("\"{}\" is no address; write 0.0.0.0:25 or [::]:25", text.escape_default()))
}

fn domain_name(text: &str) -> Result<DomainName, String> {
    let name: DomainName = text.parse().map_err(|error| format!("\"{}\": {error}", text.escape_default()))?;
    // What stands in the greeting and in EHLO replies is ASCII (RFC 6531, 3.7.1).
    if text.is_ascii() { Ok(name) } else { Err(format!("\"{}\": write it as xn--...", text.escape_default())) }
}

fn deliver(text: &str) -> Result<Deliver, String> {
    match text {
        "keep" => Ok(Deliver::Keep),
        _ => Err(format!("\"{}\" is no way to deliver; there is keep", text.escape_default())),
    }
}
