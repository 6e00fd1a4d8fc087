//! `smtp-client load`: how much can a server take? Many messages over many connections, and how long each took.
//!
//! Nothing here tries again or goes easy on the server, so it calls only servers on this host unless it is told otherwise.

mod figures;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use argh::FromArgs;
use smtp_client::connection::{ConnectError, Connection, Options, Target};
use smtp_client::content::Content;
use smtp_client::proto::address::{ForwardPath, ReversePath};
use smtp_client::proto::transaction::Transaction;
use smtp_client::server_name::ServerName;
use smtp_client::tls::{Pin, TlsMode, TlsOptions};

use crate::tls::TlsWishes;
use crate::{arguments, complain, exit, tls};
use figures::Figures;

/// Sends many messages over many connections at once and says how fast they were taken. Nothing is tried again.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "load",
    help_triggers("-h", "--help", "help"),
    example = "smtp-client load --connections 8 --messages 10000 --size 1024 --pipeline",
    error_code(0, "every message was accepted"),
    error_code(64, "the command line is wrong"),
    error_code(66, "a file cannot be read"),
    error_code(67, "the server does not know the recipient"),
    error_code(68, "the server's name cannot be looked up"),
    error_code(69, "messages were refused for good"),
    error_code(75, "messages were not taken now, or the time was over before all were sent"),
    error_code(76, "the server's answer was no SMTP, or there is no TLS with it"),
    error_code(77, "the server does not allow it")
)]
pub(crate) struct Load {
    /// the server to call, HOST:PORT (default 127.0.0.1:2525; without a port, 25)
    #[argh(option, arg_name = "host:port", default = "arguments::default_server()", from_str_fn(arguments::server))]
    server: ServerName,
    /// connections at a time (default 1)
    #[argh(option, arg_name = "n", default = "1", from_str_fn(arguments::connections))]
    connections: usize,
    /// messages in all (default 1000)
    #[argh(option, arg_name = "n", default = "1_000", from_str_fn(arguments::count))]
    messages: u64,
    /// octets of a message (default 1024; at most 1073741824)
    #[argh(option, arg_name = "octets", default = "1_024", from_str_fn(size))]
    size: usize,
    /// messages after which a connection is closed and another opened (default: none is closed before the end)
    #[argh(option, arg_name = "n", default = "u64::MAX", from_str_fn(per_connection))]
    per_connection: u64,
    /// send commands in groups where the server offers PIPELINING
    #[argh(switch)]
    pipeline: bool,
    /// send with BDAT where the server offers CHUNKING
    #[argh(switch)]
    chunking: bool,
    /// TLS: none; try, with whoever offers it, which does not protect from whoever can change what is said; require, by
    /// STARTTLS and with a certificate that proves itself; implicit, the same from the first octet on (default none; with
    /// --ca-file or --tls-pin require)
    #[argh(option, arg_name = "mode", from_str_fn(tls::mode))]
    tls: Option<TlsMode>,
    /// a file of PEM with the authorities to trust, and no others (default: those that this host trusts)
    #[argh(option, arg_name = "pem")]
    ca_file: Option<PathBuf>,
    /// the SHA-256 of the public key of the server, which then need not prove itself in any other way
    #[argh(option, arg_name = "sha256", from_str_fn(tls::pin))]
    tls_pin: Option<Pin>,
    /// the sender (default load@localhost)
    #[argh(option, arg_name = "address", from_str_fn(arguments::reverse_path))]
    from: Option<ReversePath>,
    /// the recipient (default load@localhost)
    #[argh(option, arg_name = "address", from_str_fn(arguments::forward_path))]
    to: Option<ForwardPath>,
    /// stop after so many seconds (default 600)
    #[argh(option, arg_name = "seconds", default = "Duration::from_secs(600)", from_str_fn(arguments::timeout))]
    timeout: Duration,
    /// call a server on another host, too: only one that is yours
    #[argh(switch)]
    anywhere: bool,
    /// write one object of JSON
    #[argh(switch)]
    json: bool,
}

fn per_connection(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("not a number from 1".to_owned()),
        Ok(count) => Ok(count),
    }
}

/// Octets of the largest message, which is made in memory.
const LARGEST_OCTETS: usize = 1 << 30;

fn size(text: &str) -> Result<usize, String> {
    let size = text.parse().ok().filter(|octets| *octets <= LARGEST_OCTETS);
    size.ok_or_else(|| format!("not a number up to {LARGEST_OCTETS}"))
}

/// What all connections share.
struct Work {
    transaction: Transaction,
    content: Content,
    /// The addresses of the server, which are known to be on this host if they have to be. A name that is looked up once
    /// more might have others.
    addresses: Vec<Target>,
    tls: TlsOptions,
    /// A time beyond the clock is no bound.
    give_up_at: Option<Instant>,
    next: AtomicU64,
}

pub(crate) fn run(load: Load) -> ExitCode {
    let work = match prepare(&load) {
        Ok(work) => work,
        Err((code, text)) => {
            complain(&format!("{text}; nothing was sent"));
            return ExitCode::from(code);
        }
    };
    let began = Instant::now();
    let all = Mutex::new(Figures::default());
    std::thread::scope(|scope| {
        let one = || {
            let figures = send(&load, &work);
            all.lock().unwrap_or_else(PoisonError::into_inner).add(figures);
        };
        for _ in 1..load.connections {
            if let Err(error) = std::thread::Builder::new().spawn_scoped(scope, one) {
                complain(&format!("fewer connections than asked for: {error}"));
                break;
            }
        }
        one();
    });
    let mut figures = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    figures.not_begun(load.messages);
    let text = figures.report(load.size, load.connections, began.elapsed(), load.json);
    // Whether anybody reads it does not change it.
    drop(writeln!(io::stdout(), "{text}"));
    ExitCode::from(exit::first(figures.codes()))
}

fn prepare(load: &Load) -> Result<Work, (u8, String)> {
    let addresses = load.server.resolve().map_err(|error| (exit::NO_HOST, format!("{}: {error}", load.server)))?;
    if !load.anywhere && !addresses.iter().all(|address| address.ip().is_loopback()) {
        let text = "that server is not on this host; --anywhere if it is yours and knows what is coming";
        return Err((exit::USAGE, format!("{}: {text}", load.server)));
    }
    let mailbox = "<load@localhost>";
    let no_address = |error: &dyn std::fmt::Display| (exit::USAGE, format!("{mailbox}: {error}"));
    let reverse_path = load.from.clone().map_or_else(|| mailbox.parse().map_err(|error| no_address(&error)), Ok)?;
    let forward_path = load.to.clone().map_or_else(|| mailbox.parse().map_err(|error| no_address(&error)), Ok)?;
    let octets = message(&reverse_path, &forward_path, load.size)?;
    let content = Content::from_bytes(octets).map_err(|error| (exit::DATA, error.to_string()))?;
    let mut transaction = Transaction::new(reverse_path);
    transaction.recipients.push(forward_path.into());
    let target = |address| Target { address, name: load.server.host().to_owned() };
    let addresses = addresses.into_iter().map(target).collect();
    let wishes = TlsWishes { mode: load.tls, ca_file: load.ca_file.clone(), pin: load.tls_pin };
    let tls = wishes.options(TlsMode::None)?;
    let give_up_at = Instant::now().checked_add(load.timeout);
    Ok(Work { transaction, content, addresses, tls, give_up_at, next: AtomicU64::new(0) })
}

/// A message of exactly so many octets, line ends included.
fn message(from: &ReversePath, to: &ForwardPath, octets: usize) -> Result<Vec<u8>, (u8, String)> {
    let mut message = format!("From: {from}\r\nTo: {to}\r\nSubject: load\r\n\r\n").into_bytes();
    let least = message.len() + 2;
    if octets < least {
        return Err((
            exit::USAGE,
            format!("--size {octets}: a message with a header section has at least {least} octets"),
        ));
    }
    const LINE: &[u8] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef012345\r\n";
    // The last line takes what is left, so that it is never a line end cut in two.
    while octets - message.len() >= 2 * LINE.len() {
        message.extend_from_slice(LINE);
    }
    message.resize(octets - 2, b'x');
    message.extend_from_slice(b"\r\n");
    Ok(message)
}

/// One connection and those that replace it.
fn send(load: &Load, work: &Work) -> Figures {
    let mut figures = Figures::default();
    let mut open: Option<(Connection, u64)> = None;
    let is_over = || work.give_up_at.is_some_and(|give_up_at| Instant::now() >= give_up_at);
    while !is_over() && work.next.fetch_add(1, Ordering::Relaxed) < load.messages {
        let began = Instant::now();
        let (mut connection, sent) = match open.take().map_or_else(|| connect(load, work).map(|line| (line, 0)), Ok) {
            Ok(line) => line,
            Err(error) => {
                figures.failed(exit::of_connect_error(&error), "no connection", &error);
                continue;
            }
        };
        match connection.send(work.transaction.clone(), &work.content) {
            Ok(outcome) => figures.note(&outcome, began.elapsed()),
            Err(error) => figures.failed(exit::of_send_error(&error), "not sent", &error),
        }
        if !connection.is_open() {
            continue;
        }
        let has_room = !connection.room_for(work.transaction.recipients.iter().map(|who| &who.forward_path)).is_empty();
        if sent + 1 < load.per_connection && has_room {
            open = Some((connection, sent + 1));
        } else {
            connection.quit();
        }
    }
    if let Some((connection, _)) = open {
        connection.quit();
    }
    figures
}

/// The addresses are tried in turn.
fn connect(load: &Load, work: &Work) -> Result<Connection, ConnectError> {
    let mut last = ConnectError::Io(io::ErrorKind::NotFound.into());
    for address in &work.addresses {
        let (pipelining, chunking, give_up_at) = (load.pipeline, load.chunking, work.give_up_at);
        let tls = work.tls.clone();
        let options = Options { pipelining, chunking, tls, give_up_at, ..Options::default() };
        match Connection::open_any([address.clone()], options) {
            Ok(connection) => return Ok(connection),
            Err(error @ ConnectError::Connect(..)) => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_exactly_so_many_octets() {
        let (from, to) = ("<a@x>".parse().unwrap(), "<b@x>".parse().unwrap());
        let least = message(&from, &to, 0).unwrap_err().1.split_whitespace().rev().nth(1).unwrap().parse().unwrap();
        for octets in (least..least + 300).chain([1_024, 65_536]) {
            let message = message(&from, &to, octets).unwrap();
            let content = Content::from_bytes(message).unwrap();
            assert_eq!(content.octets(), octets as u64);
        }
        assert!(message(&from, &to, least - 1).is_err());
    }
}
