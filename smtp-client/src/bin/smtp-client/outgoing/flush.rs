//! `smtp-client flush` and `retry`: owns a spool for a while, and sends what is due in it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use argh::FromArgs;
use smtp_client::connection;
use smtp_client::dns::{self, SystemResolver};
use smtp_client::mx::Own;
use smtp_client::proto::address::Domain;
use smtp_client::proto::printable::Printable;
use smtp_client::proto::sasl::Mechanism;
use smtp_client::queue::outside::Outside;
use smtp_client::queue::{Queue, Settings, Verdict};
use smtp_client::relay_route::RelayRoute;
use smtp_client::server_name::ServerName;
use smtp_client::spool::clock::unix_seconds;
use smtp_client::spool::{MessageId, Spool, Store};
use smtp_client::tls::{Pin, TlsMode};

use super::{default_spool, failed, id, not_stored, own};
use crate::login::LoginWishes;
use crate::messages::Stopped;
use crate::tls::TlsWishes;
use crate::{arguments, complain, exit, login, say, tls};

/// Sends what is due in the queue of a spool, until nothing is, and says what became of each recipient. What was put off stays
/// and is due again after 1, 5, 15, 30 minutes and then every hour, for five days; what cannot be delivered makes a report to
/// the sender, which goes out by the same server. Meant to be run now and then, such as every minute.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "flush",
    help_triggers("-h", "--help", "help"),
    example = "smtp-client flush --spool /var/spool/outgoing --server mx.example.org:25",
    note = "A message may arrive twice if this is interrupted; none is lost.",
    note = "When several things went wrong, the exit code is the first of 75 74 69 77 67 that happened.",
    error_code(0, "all is delivered"),
    error_code(64, "the command line is wrong"),
    error_code(66, "there is no such spool"),
    error_code(67, "a server does not know the recipient"),
    error_code(69, "a server refused for good, or a message was given up"),
    error_code(74, "a file cannot be read or written"),
    error_code(75, "something waits for its next try, or somebody else owns the spool"),
    error_code(77, "a server does not allow it, or the spool belongs to another user")
)]
pub(crate) struct Flush {
    /// the spool directory (default ./outgoing)
    #[argh(option, arg_name = "dir", default = "default_spool()")]
    spool: PathBuf,
    /// the server that takes all mail, HOST:PORT (default 127.0.0.1:2525; without a port, 25)
    #[argh(option, arg_name = "host:port", from_str_fn(arguments::server))]
    server: Option<ServerName>,
    /// send to the mail exchangers of each recipient's domain instead
    #[argh(switch)]
    mx: bool,
    /// a name server to ask for --mx, ADDRESS or ADDRESS:PORT (default: those of /etc/resolv.conf); may be given several times
    #[argh(option, arg_name = "server", from_str_fn(arguments::dns_server))]
    dns: Vec<SocketAddr>,
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
    /// how this host names itself, in reports too (default: its full name, else its address in brackets)
    #[argh(option, arg_name = "name", from_str_fn(arguments::hello_name))]
    hello: Option<Domain>,
}

/// Makes messages due that wait for their next try, or are held, and flushes the queue. Its exit codes are those of flush.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "retry",
    help_triggers("-h", "--help", "help"),
    example = "smtp-client retry --all --server mx.example.org:25"
)]
pub(crate) struct Retry {
    /// all that wait; what is held stays held
    #[argh(switch)]
    all: bool,
    /// the spool directory (default ./outgoing)
    #[argh(option, arg_name = "dir", default = "default_spool()")]
    spool: PathBuf,
    /// the server that takes all mail, HOST:PORT (default 127.0.0.1:2525; without a port, 25)
    #[argh(option, arg_name = "host:port", from_str_fn(arguments::server))]
    server: Option<ServerName>,
    /// send to the mail exchangers of each recipient's domain instead
    #[argh(switch)]
    mx: bool,
    /// a name server to ask for --mx, ADDRESS or ADDRESS:PORT (default: those of /etc/resolv.conf); may be given several times
    #[argh(option, arg_name = "server", from_str_fn(arguments::dns_server))]
    dns: Vec<SocketAddr>,
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
    /// how this host names itself, in reports too (default: its full name, else its address in brackets)
    #[argh(option, arg_name = "name", from_str_fn(arguments::hello_name))]
    hello: Option<Domain>,
    /// the messages
    #[argh(positional, arg_name = "id", from_str_fn(id))]
    ids: Vec<MessageId>,
}

/// Runs `flush`.
pub(crate) fn run(flush: Flush) -> ExitCode {
    ended(flush.run("retry-now --all", |_| Ok(())))
}

/// Runs `retry`.
pub(crate) fn run_retry(retry: Retry) -> ExitCode {
    let Retry { all, spool, server, mx, dns, tls, ca_file, tls_pin, hello, ids, .. } = retry;
    let Retry { user, password_file, password_command, auth, insecure_auth, .. } = retry;
    if all == ids.is_empty() {
        let flush = Flush {
            spool,
            server,
            mx,
            dns,
            tls,
            ca_file,
            tls_pin,
            user,
            password_file,
            password_command,
            auth,
            insecure_auth,
            hello,
        };
        let instead = if all { "retry-now --all" } else { "retry-now ID" };
        return ended(flush.run(instead, |spool| {
            if all { retry_all(spool) } else { ids.iter().try_for_each(|id| retry_one(spool, id)) }
        }));
    }
    ended(Err((exit::USAGE, "needs the ids of messages, or --all for all of them".to_owned())))
}

fn ended(result: Result<u8, Stopped>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err((code, text)) => {
            complain(&text);
            ExitCode::from(code)
        }
    }
}

fn retry_all(spool: &Spool) -> Result<(), Stopped> {
    let now = unix_seconds();
    let mut messages = spool.queued().into_iter();
    messages.try_for_each(|id| spool.retry_now(&id, now).map(drop).map_err(|error| not_stored(&error)))
}

fn retry_one(spool: &Spool, id: &MessageId) -> Result<(), Stopped> {
    if !spool.queued().contains(id) {
        return Err((exit::NO_INPUT, format!("{id}: there is no such message in the queue")));
    }
    let changed = spool.retry_now(id, unix_seconds()).and_then(|_| spool.release_held(id, unix_seconds()));
    changed.map(drop).map_err(|error| not_stored(&error))
}

impl Flush {
    /// Owns the spool, does something with it first, and sends. `instead` is what `smtp-spool` does, if a server owns it.
    fn run(self, instead: &str, before: impl FnOnce(&Spool) -> Result<(), Stopped>) -> Result<u8, Stopped> {
        let outside = Arc::new(self.outside()?);
        let spool = own(&self.spool, instead)?;
        before(&spool)?;
        let codes = Arc::new(Mutex::new(BTreeSet::new()));
        let hostname = self.hello.clone().unwrap_or_else(|| connection::host_name(None));
        let queue = Queue::new(Arc::new(spool.clone()), outside.clone(), outside, Settings::new(hostname));
        let queue = queue.map_err(|error| failed(&error))?.with_observer(Box::new({
            let codes = codes.clone();
            move |id, forward_path, verdict| {
                let line = format!("{id}: {forward_path}: {}", verdict.said());
                if matches!(verdict, Verdict::Delivered(_) | Verdict::PassedOn(_)) {
                    say(&Printable(&line).to_string());
                } else {
                    complain(&line);
                }
                codes.lock().unwrap_or_else(PoisonError::into_inner).extend(exit::of_verdict(verdict));
            }
        }));
        let stopped = queue.run_until_idle();
        let mut codes = codes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Err(error) = stopped {
            complain(&error.to_string());
            codes.insert(exit::IO);
        }
        let health = spool.health().map_err(|error| not_stored(&error))?;
        // A try that was put off is not the end: what counts is whether anything waits now.
        codes.remove(&exit::TEMPORARY);
        codes.extend(health.next_due.map(|_| exit::TEMPORARY));
        if health.queued_messages > 0 {
            let (count, spool) = (health.queued_messages, self.spool.display());
            complain(&format!("messages that are still in the queue: {count}; see smtp-client list --spool {spool}"));
        }
        Ok(exit::first(codes))
    }

    fn outside(&self) -> Result<Outside, Stopped> {
        let usage = |text: &str| Err((exit::USAGE, text.to_owned()));
        let route = match (self.mx, &self.server) {
            (true, Some(_)) => return usage("--server and --mx say two different things; leave out one of them"),
            (false, _) if !self.dns.is_empty() => return usage("--dns is of no use without --mx"),
            (true, None) => RelayRoute::Mx,
            (false, server) => RelayRoute::Smart(server.clone().unwrap_or_default()),
        };
        let resolver = Box::new(SystemResolver::new(self.dns_settings()?));
        let wishes = TlsWishes { mode: self.tls, ca_file: self.ca_file.clone(), pin: self.tls_pin };
        let login = LoginWishes {
            user: self.user.clone(),
            password_file: self.password_file.clone(),
            password_command: self.password_command.clone(),
            auth: self.auth,
            insecure_auth: self.insecure_auth,
        };
        if self.mx && self.user.is_some() {
            return usage("mail exchangers are strangers, to whom nobody logs in; leave out --mx or --user");
        }
        if self.mx && self.tls == Some(TlsMode::Implicit) {
            return usage("--tls implicit is for --server: mail exchangers know TLS by STARTTLS only");
        }
        let tls = wishes.options(login.default_mode())?;
        let outside = Outside::new(route, self.hello.clone(), Own::default(), resolver);
        Ok(outside.with_tls(tls).with_login(login.login()?))
    }

    fn dns_settings(&self) -> Result<dns::Settings, Stopped> {
        if !self.mx {
            return Ok(dns::Settings::default());
        }
        dns::Settings::of_system(&self.dns)
            .map_err(|error| (exit::of_io_error(&error), format!("{}: {error}", dns::Settings::FILE)))
    }
}
