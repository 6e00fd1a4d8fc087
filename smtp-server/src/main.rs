//! The `smtp-server` binary: parse, look, bind, drop privileges, open the spool, recover, start, and only then say so.

mod options;
mod config_file;
mod setup;
mod far_side;
mod own_addresses;
mod explain;
mod hash_password;
mod schedule;
mod sockets;
mod privileges;
mod exit;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use smtp_client::command_line;
use smtp_server::spool::Spool;
use smtp_server::spool::control::Control;
use smtp_server::{Server, Stopper};

use exit::Failure;
use options::{CommandLine, Options};
use setup::Setup;

const PROGRAM: &str = "smtp-server";

/// How long deliveries may go on behind the last conversation.
const LAST_DELIVERIES_TIMEOUT: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let command_line = match options::read() {
        Ok(command_line) => command_line,
        Err(code) => return code,
    };
    smtp_client::logging::start(log::LevelFilter::Info);
    let result = match command_line {
        CommandLine::Serve(options) => run(*options).map(|()| ExitCode::SUCCESS),
        CommandLine::Explain(explain) => explain::run(&explain).map(ExitCode::from),
        CommandLine::HashPassword(command) => hash_password::run(&command).map(ExitCode::from),
        CommandLine::Schedule(command) => schedule::run(&command).map(ExitCode::from),
    };
    match result {
        Ok(code) => code,
        Err(failure) => {
            command_line::complain(PROGRAM, &failure.text);
            ExitCode::from(failure.code)
        }
    }
}

fn run(options: Options) -> Result<(), Failure> {
    let is_check = options.check;
    let setup = Setup::new(&config_file::complete(options)?)?;
    setup.check_places()?;
    if is_check {
        privileges::drop_for_check(setup.account.as_ref())?;
        setup.check_files()?;
        say("the configuration is valid");
        return Ok(());
    }
    let listeners = sockets::listeners(&setup.places)?;
    privileges::raise_descriptor_limit();
    privileges::drop_to(setup.account.as_ref())?;
    setup.check_files()?;
    let (spool, report) = Spool::open(&setup.spool, setup.spool_options).map_err(|error| exit::open(&error))?;
    log::info!("spool={:?} kept={} queued={}", setup.spool, report.kept_messages, report.queued_messages);
    // Mail goes on without it: a server that stood still for the sake of its upkeep would be the wrong way round.
    let control = Control::serve(spool.clone(), &setup.spool)
        .inspect_err(|error| log::warn!("smtp-spool cannot change the queue while the server runs: {error}"));
    let spool = Arc::new(spool);
    let kinds: Vec<_> = listeners.iter().map(|listener| (listener.is_tls_first, listener.is_submission)).collect();
    let server = Server::start(setup.config, listeners, spool.clone(), Arc::new(setup.policy))
        .map_err(|error| Failure::new(exit::SYSTEM, format!("the server cannot be started: {error}")))?;
    let runner = setup.far_side.start(spool, server.addresses())?;
    let unwatched = |error| Failure::new(exit::SYSTEM, format!("the files cannot be watched: {error}"));
    let watch = setup.reloader.watch().map_err(unwatched)?;
    let identity_watch = setup.identity.map(|reloader| reloader.watch().map_err(unwatched)).transpose()?;
    let users_watch = setup.users.map(|reloader| reloader.watch().map_err(unwatched)).transpose()?;
    let policies_watch = setup.tls_policies.watch().map_err(unwatched)?;
    let signals = stop_on_signal(server.stopper())?;
    // These lines go first: whoever waits for the others has seen them.
    for (address, (is_tls_first, is_submission)) in server.addresses().iter().zip(kinds) {
        if is_tls_first {
            say(&format!("TLS comes first on {address}"));
        }
        if is_submission {
            say(&format!("submissions are taken on {address}"));
        }
    }
    for address in server.addresses() {
        say(&format!("listening on {address}"));
    }
    server.join();
    let is_in_a_hurry = || signals.load(Ordering::Relaxed) > 1;
    if runner.is_some_and(|runner| !runner.end(LAST_DELIVERIES_TIMEOUT, is_in_a_hurry)) {
        log::warn!("deliveries are still under way; they are broken off and tried again at the next start");
    }
    drop((watch, identity_watch, users_watch, policies_watch));
    drop(control);
    log::info!("stopped");
    Ok(())
}

/// SIGINT, SIGTERM and SIGHUP: the first lets transactions finish, the second does not. Returns how many have come.
fn stop_on_signal(stopper: Stopper) -> Result<Arc<AtomicUsize>, Failure> {
    let signals = Arc::new(AtomicUsize::new(0));
    let counted = signals.clone();
    let handler = move || match counted.fetch_add(1, Ordering::Relaxed) {
        0 => {
            log::info!("stopping; open transactions may finish");
            stopper.drain();
        }
        _ => {
            log::info!("stopping now");
            stopper.stop();
        }
    };
    ctrlc::set_handler(handler)
        .map_err(|error| Failure::new(exit::SYSTEM, format!("signals cannot be handled: {error}")))?;
    Ok(signals)
}

/// A line on standard error. There is nobody left to tell if that fails.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
