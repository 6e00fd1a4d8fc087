//! The servers, ours among them, each with a spool of its own and settings of which nothing is secret.

use std::any::Any;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::interop::clients::with_system_directories;
use crate::interop::servers::{Postfix, Receiver, lacks_postfix, wait_until_ready};
use crate::workshop::process::{Running, is_installed};
use crate::workshop::programs::{Programs, cargo, root};
use crate::workshop::scratch::Scratch;
use crate::workshop::server::{Server, free_address};
use crate::workshop::{OrFail, Outcome};

/// How long a server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(30);

/// Settings of Postfix beside those with which our tests run it: every message is put on hold, so that it is queued and
/// synced and nothing else; as many clients at a time as come; no rate of intake that depends on the rate of delivery.
const HOLD: &str = "smtpd_client_restrictions = check_client_access static:HOLD\n";
const NO_LIMITS: &str = "smtpd_client_event_limit_exceptions = 127.0.0.0/8\nin_flow_delay = 0\n";

pub(super) const OURS: &str = "ours";
pub(super) const MAILIN_FILE: &str = "mailin, file + fsync";
pub(super) const MAILIN_NULL: &str = "mailin, null";
pub(super) const SINK: &str = "smtp-sink";
pub(super) const POSTFIX: &str = "Postfix, hold";
pub(super) const POSTFIX_VIRTUAL: &str = "Postfix, virtual(8)";
pub(super) const SOURCE: &str = "smtp-source";
pub(super) const CURL: &str = "curl";
pub(super) const LETTRE: &str = "lettre";
/// As little as a client can be.
pub(super) const BARE: &str = "bare generator";

/// As little as a server can be that syncs: everything into one log, or each message into a file.
pub(super) const LIMIT: &str = "limit, log";
pub(super) const LIMIT_FILES: &str = "limit, file";

/// A server that listens. It goes when this is dropped.
pub(super) struct Standing {
    pub(super) address: SocketAddr,
    pub(super) pid: u32,
    _owner: Box<dyn Any>,
}

/// Who can take part.
pub(super) struct Peers {
    pub(super) programs: Programs,
    /// The program of the peers that are libraries. `None`: it could not be built.
    pub(super) libraries: Option<PathBuf>,
}

impl Peers {
    /// Builds ours and the libraries, both optimised in the same way.
    pub(super) fn build() -> Outcome<Self> {
        let programs = Programs::build_release()?;
        let target = root()?.join("target/bench-peers");
        println!("building the peers that are libraries (the first time takes a while)");
        let manifest = root()?.join("bench/peers/Cargo.toml");
        let words = ["build", "--quiet", "--release", "--locked", "--manifest-path"].map(Into::into);
        let words = words.into_iter().chain([manifest.into(), "--target-dir".into(), target.clone().into_os_string()]);
        let status = cargo(&words.collect::<Vec<std::ffi::OsString>>(), &[])?;
        Ok(Peers { programs, libraries: status.success().then(|| target.join("release/bench-peers")) })
    }

    /// How to get what a peer, server or client, lacks here.
    pub(super) fn lacks(&self, peer: &str) -> Option<&'static str> {
        let unless = |is_there: bool, remedy| (!is_there).then_some(remedy);
        match peer {
            MAILIN_FILE | MAILIN_NULL | LETTRE => {
                unless(self.libraries.is_some(), "bench/peers does not build; cargo has said why")
            }
            SINK | SOURCE => unless(is_installed(peer), "install postfix"),
            CURL => unless(is_installed(peer), "install curl"),
            POSTFIX | POSTFIX_VIRTUAL => lacks_postfix(),
            _ => None,
        }
    }

    /// Starts a server that has a place for so many connections at a time.
    pub(super) fn start(&self, peer: &str, place: &Scratch, threads: usize) -> Outcome<Standing> {
        match peer {
            OURS => self.start_ours(place, &["--threads", &threads.to_string()]),
            MAILIN_FILE => self.start_mailin(threads, &place.directory("mail")?),
            MAILIN_NULL => self.start_mailin(threads, Path::new("null")),
            SINK => start_sink(),
            LIMIT => start_limit("log", &place.directory("mail")?),
            LIMIT_FILES => start_limit("files", &place.directory("mail")?),
            _ => start_postfix(place, &format!("{HOLD}{NO_LIMITS}")).map(|(standing, _)| standing),
        }
    }

    /// Ours, with its log in a file, as in production.
    pub(super) fn start_ours(&self, place: &Scratch, options: &[&str]) -> Outcome<Standing> {
        let mut command = Server::command(&self.programs, &place.at("spool"), options);
        let running = Running::start_logging_to(OURS, &mut command, place.at("log"))?;
        standing(running)
    }

    fn start_mailin(&self, threads: usize, place: &Path) -> Outcome<Standing> {
        let program = self.libraries.as_ref().or_fail("bench/peers is not built")?;
        let mut command = Command::new(program);
        command.args(["mailin", &threads.to_string()]).arg(place);
        start_and_wait(MAILIN_FILE, command)
    }
}

fn start_limit(kind: &str, place: &Path) -> Outcome<Standing> {
    let mut command = Command::new(std::env::current_exe().or_fail("finding this program")?);
    command.args(["bench", "answer", kind]).arg(place);
    start_and_wait(LIMIT, command)
}

/// A program that says where it listens.
fn start_and_wait(name: &str, mut command: Command) -> Outcome<Standing> {
    standing(Running::start(name, &mut command)?)
}

fn standing(running: Running) -> Outcome<Standing> {
    let address = running.wait_for_line(PATIENCE, |line| line.strip_prefix("listening on ")?.parse().ok())?;
    Ok(Standing { address, pid: running.pid(), _owner: Box::new(running) })
}

/// A Postfix that delivers, and where.
pub(super) fn start_postfix_virtual(place: &Scratch) -> Outcome<(Standing, PathBuf)> {
    start_postfix(place, NO_LIMITS)
}

fn start_postfix(place: &Scratch, settings: &str) -> Outcome<(Standing, PathBuf)> {
    let postfix = Postfix::start_with(place, settings)?;
    let delivered = postfix.delivered().to_owned();
    Ok((Standing { address: postfix.address(), pid: postfix.pid(), _owner: Box::new(postfix) }, delivered))
}

fn start_sink() -> Outcome<Standing> {
    let address = free_address()?;
    let mut command = with_system_directories(Command::new(SINK));
    if nix::unistd::geteuid().is_root() {
        command.args(["-u", "nobody"]);
    }
    // By default it lets 256 clients in at a time. The backlog is ours.
    command.args(["-h", "sink.example.test", "-m", "8192", &address.to_string(), "1024"]);
    let running = Running::start(SINK, &mut command)?;
    wait_until_ready(&running, address)?;
    Ok(Standing { address, pid: running.pid(), _owner: Box::new(running) })
}
