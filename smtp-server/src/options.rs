//! The settings as they are written, on the command line or in a file: every one may be absent.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use argh::{EarlyExit, FromArgs};
use smtp_client::command_line;
use smtp_client::dns::settings::parse_server;
use smtp_client::lmtp_server::LmtpServer;
use smtp_client::tls::TlsMode;
use smtp_server::network::Network;
use smtp_server::proto::address::{AddressError, DomainName, ForwardPath};
use smtp_server::relay_route::RelayRoute;
use smtp_server::users::Scheme;

use crate::schedule::{self, Pauses};
use crate::{PROGRAM, far_side};

/// Receives mail over SMTP and keeps it, delivers it or passes it on. With no option at all it listens on 127.0.0.1:2525,
/// takes mail for any local part at localhost and at its own hostname, and keeps it in ./spool (look at it with smtp-spool).
#[derive(FromArgs, Clone, Debug, Default)]
#[argh(
    help_triggers("-h", "--help", "help"),
    example = "smtp-server --listen 0.0.0.0:25 --hostname mx.example.org --domain example.org --spool /var/spool/smtp --user smtp",
    note = "Prints `listening on ADDR:PORT` for each listener when it is ready. SIGTERM: open transactions may finish; a second one ends them. RUST_LOG chooses what is logged. `smtp-server explain ADDRESS` says what becomes of mail for an address, `smtp-server schedule` when it is tried again; `smtp-server hash-password USER` makes a line for --users. `smtp-server --version` prints the version.",
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
    #[argh(option, arg_name = "addr:port", from_str_fn(address))]
    pub(crate) listen: Vec<SocketAddr>,
    /// where to listen for clients that begin with TLS, as on port 465 (may be given several times; needs --tls-cert)
    #[argh(option, arg_name = "addr:port", from_str_fn(address))]
    pub(crate) listen_tls: Vec<SocketAddr>,
    /// where to listen for submissions, as on port 587: clients must log in, and missing Date and Message-ID fields are added
    /// (may be given several times; needs --users)
    #[argh(option, arg_name = "addr:port", from_str_fn(address))]
    pub(crate) listen_submission: Vec<SocketAddr>,
    /// the same for clients that begin with TLS, as on port 465 (may be given several times)
    #[argh(option, arg_name = "addr:port", from_str_fn(address))]
    pub(crate) listen_submissions: Vec<SocketAddr>,
    /// the server's certificate and those above it, as PEM: with it the server offers STARTTLS; read again when it changes
    #[argh(option, arg_name = "pem")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// the private key of the certificate, as PEM, without a passphrase; read again when it changes
    #[argh(option, arg_name = "pem")]
    pub(crate) tls_key: Option<PathBuf>,
    /// who may log in, and so send to other domains: `name:{SCHEME}hash` a line, as `smtp-server hash-password` makes them;
    /// read again when it changes
    #[argh(option, arg_name = "file")]
    pub(crate) users: Option<PathBuf>,
    /// let clients on this very host log in without TLS, to try things out
    #[argh(switch)]
    pub(crate) allow_plaintext_auth: bool,
    /// the server's own name (default: the host's, or localhost)
    #[argh(option, arg_name = "name", from_str_fn(domain_name))]
    pub(crate) hostname: Option<DomainName>,
    /// a domain whose mail is taken (default: the hostname and localhost; may be given several times)
    #[argh(option, arg_name = "name", from_str_fn(domain_name))]
    pub(crate) domain: Vec<DomainName>,
    /// where messages are kept (default ./spool)
    #[argh(option, arg_name = "dir")]
    pub(crate) spool: Option<PathBuf>,
    /// the mailboxes there are, one address or local part a line (default: every local part); read again when it changes
    #[argh(option, arg_name = "file")]
    pub(crate) recipients: Option<PathBuf>,
    /// names that stand for others, as in aliases(5): `sales: alice, bob@example.net`; read again when it changes
    #[argh(option, arg_name = "file")]
    pub(crate) aliases: Option<PathBuf>,
    /// how mail for other domains leaves: none (the default), smart:HOST:PORT or mx
    #[argh(option, arg_name = "how", from_str_fn(relay))]
    pub(crate) relay: Option<RelayRoute>,
    /// peers that may send to other domains (may be given several times; without it, nobody)
    #[argh(option, arg_name = "cidr", from_str_fn(network))]
    pub(crate) relay_from: Vec<Network>,
    /// TLS for mail that leaves: none; try, with whoever offers it; require, by STARTTLS and with a certificate that proves
    /// itself, else the mail waits; implicit, from the first octet on, for a smart host (default try)
    #[argh(option, arg_name = "mode", from_str_fn(relay_tls))]
    pub(crate) relay_tls: Option<TlsMode>,
    /// a file of PEM with the authorities to trust for --relay-tls, and no others (default: those that this host trusts)
    #[argh(option, arg_name = "pem")]
    pub(crate) relay_ca_file: Option<PathBuf>,
    /// destinations for which --relay-tls does not hold, one a line: a domain, or .domain for all below it, and try, require
    /// or none; read again when it changes
    #[argh(option, arg_name = "file")]
    pub(crate) tls_policy: Option<PathBuf>,
    /// who to log in as at the server of --relay smart; with it, --relay-tls is require unless something else is said
    #[argh(option, arg_name = "name")]
    pub(crate) relay_user: Option<String>,
    /// a file with the password of --relay-user, one line; read at the start
    #[argh(option, arg_name = "file")]
    pub(crate) relay_password_file: Option<PathBuf>,
    /// what becomes of mail for this host: keep, it stays in the spool (the default); maildir:DIR; lmtp:HOST:PORT or
    /// lmtp:unix:PATH
    #[argh(option, arg_name = "how", from_str_fn(far_side::deliver))]
    pub(crate) deliver: Option<Deliver>,
    /// a name server to ask for --relay mx, ADDR or ADDR:PORT (default: those of /etc/resolv.conf; may be given several times)
    #[argh(option, arg_name = "addr", from_str_fn(dns))]
    pub(crate) dns: Vec<SocketAddr>,
    /// the pauses between tries to deliver, the last one for all that follow (default 1m,5m,15m,30m,1h)
    #[argh(option, arg_name = "times", from_str_fn(schedule::pauses))]
    pub(crate) retry_after: Option<Pauses>,
    /// when the sender hears that it takes long (default 4h)
    #[argh(option, arg_name = "time", from_str_fn(schedule::time))]
    pub(crate) warn_after: Option<i64>,
    /// when a message is given up (default 5d)
    #[argh(option, arg_name = "time", from_str_fn(schedule::time))]
    pub(crate) give_up_after: Option<i64>,
    /// octets of content that may be kept; beyond, mail waits at the sender (default: until the disk is nearly full)
    #[argh(option, arg_name = "bytes", from_str_fn(octets))]
    pub(crate) keep_max_bytes: Option<u64>,
    /// conversations at a time (default 256)
    #[argh(option, arg_name = "n", from_str_fn(count))]
    pub(crate) threads: Option<usize>,
    /// conversations at a time with one address (default: half of --threads; loopback is exempt)
    #[argh(option, arg_name = "n", from_str_fn(count))]
    pub(crate) max_connections_per_ip: Option<usize>,
    /// the largest message (default 67108864)
    #[argh(option, arg_name = "bytes", from_str_fn(octets))]
    pub(crate) max_message_size: Option<u64>,
    /// recipients of one message (default 1000; RFC 5321 asks for at least 100)
    #[argh(option, arg_name = "n", from_str_fn(count))]
    pub(crate) max_recipients: Option<usize>,
    /// messages over one connection, counted by MAIL commands (default: no limit)
    #[argh(option, arg_name = "n", from_str_fn(count))]
    pub(crate) max_messages_per_connection: Option<usize>,
    /// peers whose bare LF counts as a line end (may be given several times)
    #[argh(option, arg_name = "cidr", from_str_fn(network))]
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

/// Says what the server would answer to RCPT for an address, and where its mail would go. The settings are those of the
/// server; nothing is sent and nothing is changed.
#[derive(FromArgs, Clone, Debug)]
#[argh(
    help_triggers("-h", "--help", "help"),
    example = "smtp-server explain --config /etc/smtp-server.conf sales@example.org",
    error_code(0, "mail for the address would be taken"),
    error_code(64, "the command line is wrong, or the address is none"),
    error_code(67, "there is no such mailbox"),
    error_code(77, "the server does not relay there"),
    error_code(78, "a setting is wrong")
)]
pub(crate) struct Explain {
    /// the address, with or without angle brackets
    #[argh(positional, from_str_fn(forward_path))]
    pub(crate) address: ForwardPath,
    /// the server's own name
    #[argh(option, arg_name = "name", from_str_fn(domain_name))]
    hostname: Option<DomainName>,
    /// a domain whose mail is taken (may be given several times)
    #[argh(option, arg_name = "name", from_str_fn(domain_name))]
    domain: Vec<DomainName>,
    /// the mailboxes there are
    #[argh(option, arg_name = "file")]
    recipients: Option<PathBuf>,
    /// names that stand for others
    #[argh(option, arg_name = "file")]
    aliases: Option<PathBuf>,
    /// what becomes of a message: keep, maildir:DIR, lmtp:HOST:PORT or lmtp:unix:PATH
    #[argh(option, arg_name = "how", from_str_fn(far_side::deliver))]
    deliver: Option<Deliver>,
    /// how mail for other domains leaves: none, smart:HOST:PORT or mx
    #[argh(option, arg_name = "how", from_str_fn(relay))]
    relay: Option<RelayRoute>,
    /// the server's configuration file
    #[argh(option, arg_name = "file")]
    config: Option<PathBuf>,
}

impl Explain {
    /// The options of a server that was told the same.
    pub(crate) fn options(&self) -> Options {
        Options {
            hostname: self.hostname.clone(),
            domain: self.domain.clone(),
            recipients: self.recipients.clone(),
            aliases: self.aliases.clone(),
            deliver: self.deliver.clone(),
            relay: self.relay.clone(),
            config: self.config.clone(),
            ..Options::default()
        }
    }
}

/// Says when a message that cannot be delivered at once is tried again, when its sender hears of that, and when it is given
/// up. The settings are those of the server.
#[derive(FromArgs, Clone, Debug)]
#[argh(
    help_triggers("-h", "--help", "help"),
    example = "smtp-server schedule --retry-after 1m,10m,1h --give-up-after 2d",
    error_code(0, "it was printed"),
    error_code(64, "the command line is wrong"),
    error_code(78, "a setting is wrong")
)]
pub(crate) struct ScheduleCommand {
    /// the pauses between tries to deliver, the last one for all that follow (default 1m,5m,15m,30m,1h)
    #[argh(option, arg_name = "times", from_str_fn(schedule::pauses))]
    retry_after: Option<Pauses>,
    /// when the sender hears that it takes long (default 4h)
    #[argh(option, arg_name = "time", from_str_fn(schedule::time))]
    warn_after: Option<i64>,
    /// when a message is given up (default 5d)
    #[argh(option, arg_name = "time", from_str_fn(schedule::time))]
    give_up_after: Option<i64>,
    /// the server's configuration file
    #[argh(option, arg_name = "file")]
    config: Option<PathBuf>,
}

impl ScheduleCommand {
    /// The options of a server that was told the same.
    pub(crate) fn options(&self) -> Options {
        Options {
            retry_after: self.retry_after.clone(),
            warn_after: self.warn_after,
            give_up_after: self.give_up_after,
            config: self.config.clone(),
            ..Options::default()
        }
    }
}

/// Makes a line for the list of users (--users) of a password on standard input.
#[derive(FromArgs, Clone, Debug)]
#[argh(
    help_triggers("-h", "--help", "help"),
    example = "smtp-server hash-password ann@example.org < password >> users",
    note = "ARGON2ID is the dearest to guess from if the list is stolen. With SCRAM-SHA-256 for every user, clients need not say their passwords.",
    error_code(0, "it was printed"),
    error_code(64, "the command line is wrong"),
    error_code(65, "the password cannot be used"),
    error_code(74, "it cannot be read, or the line not written")
)]
pub(crate) struct HashPassword {
    /// the user's name
    #[argh(positional)]
    pub(crate) user: String,
    /// argon2id (the default) or scram-sha-256
    #[argh(option, arg_name = "scheme", from_str_fn(scheme))]
    pub(crate) scheme: Option<Scheme>,
}

/// What the command line asks for. The server itself has no word of its own: it is what the program is for.
#[derive(Clone, Debug)]
pub(crate) enum CommandLine {
    Serve(Box<Options>),
    Explain(Box<Explain>),
    Schedule(Box<ScheduleCommand>),
    HashPassword(Box<HashPassword>),
}

impl FromArgs for CommandLine {
    fn from_args(program: &[&str], words: &[&str]) -> Result<Self, EarlyExit> {
        match words.split_first() {
            Some((&"explain", words)) => Explain::from_args(&[program, &["explain"]].concat(), words)
                .map(|explain| CommandLine::Explain(Box::new(explain))),
            Some((&"schedule", words)) => ScheduleCommand::from_args(&[program, &["schedule"]].concat(), words)
                .map(|command| CommandLine::Schedule(Box::new(command))),
            Some((&"hash-password", words)) => HashPassword::from_args(&[program, &["hash-password"]].concat(), words)
                .map(|command| CommandLine::HashPassword(Box::new(command))),
            _ => Options::from_args(program, words).map(|options| CommandLine::Serve(Box::new(options))),
        }
    }
}

/// What becomes of an accepted message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deliver {
    /// It stays in the spool.
    Keep,
    /// Into Maildirs below this directory.
    Maildir(PathBuf),
    /// To a server that has the mailboxes.
    Lmtp(LmtpServer),
}

/// Reads the command line; see [`command_line::read_command`].
pub(crate) fn read() -> Result<CommandLine, ExitCode> {
    command_line::read_command(PROGRAM, env!("CARGO_PKG_VERSION"), is_command, |_, word| word)
}

fn is_command(word: &str) -> bool {
    matches!(word, "explain" | "hash-password" | "schedule")
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write an address like 0.0.0.0:25 or [::]:25".to_owned())
}

fn domain_name(text: &str) -> Result<DomainName, String> {
    let name: DomainName = text.parse().map_err(|error: AddressError| error.to_string())?;
    // What stands in the greeting and in EHLO replies is ASCII (RFC 6531, 3.7.1).
    if text.is_ascii() { Ok(name) } else { Err("write it as xn--...".to_owned()) }
}

fn forward_path(text: &str) -> Result<ForwardPath, String> {
    text.parse().map_err(|error: AddressError| error.to_string())
}

fn scheme(text: &str) -> Result<Scheme, String> {
    Scheme::find(text).ok_or_else(|| "write argon2id or scram-sha-256".to_owned())
}

fn relay(text: &str) -> Result<RelayRoute, String> {
    text.parse().map_err(|_| RelayRoute::FORMS.to_owned())
}

fn relay_tls(text: &str) -> Result<TlsMode, String> {
    text.parse().map_err(|_| format!("write {}", TlsMode::FORMS))
}

fn network(text: &str) -> Result<Network, String> {
    text.parse().map_err(|_| "write a network like 192.0.2.0/24 or 2001:db8::/32".to_owned())
}

fn dns(text: &str) -> Result<SocketAddr, String> {
    parse_server(text).ok_or_else(|| "write an address like 192.0.2.53 or 127.0.0.1:5353".to_owned())
}

fn octets(text: &str) -> Result<u64, String> {
    number(text, "write a number of octets")
}

fn count(text: &str) -> Result<usize, String> {
    number(text, "write a number")
}

fn number<T: FromStr>(text: &str, advice: &str) -> Result<T, String> {
    let is_number = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    // What is a number and still not taken is too large for any machine.
    text.parse().map_err(|_| if is_number { "the number is too large".to_owned() } else { advice.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_value_is_told_with_its_option() {
        for (words, expected) in [
            (["--max-message-size", "10MB"], "--max-message-size \"10MB\": write a number of octets"),
            (["--keep-max-bytes", "-1"], "--keep-max-bytes \"-1\": write a number of octets"),
            (
                ["--threads", "99999999999999999999999"],
                "--threads \"99999999999999999999999\": the number is too large",
            ),
            (["--threads", ""], "--threads \"\": write a number"),
            (["--listen", "a': \\\""], "--listen \"a': \\\"\": write an address like 0.0.0.0:25 or [::]:25"),
            (["--accept-bare-lf", "x"], "--accept-bare-lf \"x\": write a network like 192.0.2.0/24 or 2001:db8::/32"),
        ] {
            let early = Options::from_args(&["smtp-server"], &words).map(|_| ()).unwrap_err();
            assert_eq!(command_line::explain(PROGRAM, &early.output), expected);
        }
        let twice = Options::from_args(&["smtp-server"], &["--spool", "a", "--spool", "b"]).map(|_| ()).unwrap_err();
        assert_eq!(command_line::explain(PROGRAM, &twice.output), "--spool \"b\": given twice");
    }
}
