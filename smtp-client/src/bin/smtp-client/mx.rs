//! `smtp-client mx`: where mail for a domain goes, or why nowhere.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use argh::FromArgs;
use smtp_client::dns::{Settings, SystemResolver};
use smtp_client::mx::{Cause, Host, NoTarget, Own, Targets};
use smtp_client::proto::address::Domain;
use smtp_client::proto::json::{Array, Text};

use crate::{arguments, complain, exit};

/// How long all questions may take together, if nobody says otherwise.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Looks up the hosts that take mail for a domain, and their addresses, in the order in which they would be tried: a
/// line each, with the preference in front. No mail is sent, and no mail server is called.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "mx",
    help_triggers("-h", "--help", "help"),
    example = "smtp-client mx example.org\nsmtp-client mx --json --dns 192.0.2.53 example.org",
    error_code(0, "the domain takes mail"),
    error_code(64, "the command line is wrong"),
    error_code(66, "the file with the settings cannot be opened"),
    error_code(68, "there is no such domain"),
    error_code(69, "the domain takes no mail, or none of its hosts has an address"),
    error_code(75, "not now: DNS could not tell, or the time is over")
)]
pub(crate) struct Mx {
    /// write one JSON object, also when there is no host
    #[argh(switch)]
    json: bool,
    /// ask this DNS server, ADDRESS or ADDRESS:PORT, and not those of the file; may be given several times
    #[argh(option, arg_name = "server", from_str_fn(arguments::dns_server))]
    dns: Vec<SocketAddr>,
    /// the file that says which DNS servers to ask (default /etc/resolv.conf)
    #[argh(option, arg_name = "file")]
    resolv_conf: Option<PathBuf>,
    /// give up after so many seconds (default 60)
    #[argh(option, arg_name = "seconds", default = "TIMEOUT", from_str_fn(arguments::timeout))]
    timeout: Duration,
    /// the domain, or an address in brackets
    #[argh(positional, from_str_fn(arguments::domain))]
    domain: Domain,
}

/// Runs the command.
pub(crate) fn run(arguments: Mx) -> ExitCode {
    let settings = match settings(&arguments) {
        Ok(settings) => settings,
        Err((path, error)) => {
            complain(&format!("{}: {error}", path.display()));
            return ExitCode::from(exit::of_io_error(&error));
        }
    };
    let resolver = SystemResolver::new(settings);
    let now = Instant::now();
    let deadline = now.checked_add(arguments.timeout).unwrap_or(now + TIMEOUT);
    // Without chance from the kernel, equals stay in the order of the answer.
    let random = || getrandom::u64().unwrap_or(0);
    let found = Targets::find(&arguments.domain, &resolver, &Own::default(), random, deadline);
    let text = if arguments.json { json(&arguments.domain, &found) } else { lines(&found) };
    // Whether anybody reads it changes nothing.
    drop(io::stdout().write_all(text.as_bytes()));
    match found {
        Ok(_) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&format!("{failure} ({})", failure.enhanced()));
            ExitCode::from(code(&failure))
        }
    }
}

/// A server on the command line goes before those of the file; everything else comes from the file, if there is one to
/// read.
fn settings(arguments: &Mx) -> Result<Settings, (&Path, io::Error)> {
    let Some(path) = &arguments.resolv_conf else {
        return Settings::of_system(&arguments.dns).map_err(|error| (Path::new(Settings::FILE), error));
    };
    let mut settings = Settings::read(path).map_err(|error| (path.as_path(), error))?;
    if !arguments.dns.is_empty() {
        settings.servers.clone_from(&arguments.dns);
    }
    Ok(settings)
}

fn code(failure: &NoTarget) -> u8 {
    match failure.cause {
        _ if failure.is_transient() => exit::TEMPORARY,
        Cause::NoSuchDomain => exit::NO_HOST,
        _ => exit::UNAVAILABLE,
    }
}

fn lines(found: &Result<Targets, NoTarget>) -> String {
    let hosts = found.iter().flat_map(|targets| &targets.hosts);
    let lines = hosts.flat_map(|Host { name, preference, addresses }| {
        addresses.iter().map(move |address| format!("{preference} {name} {address}\n"))
    });
    lines.collect()
}

fn json(domain: &Domain, found: &Result<Targets, NoTarget>) -> String {
    let hosts = found.iter().flat_map(|targets| &targets.hosts).map(|Host { name, preference, addresses }| {
        let addresses: Vec<String> = addresses.iter().map(|address| Text(&address.to_string()).to_string()).collect();
        let (name, addresses) = (Text(name), Array(addresses));
        format!(r#"{{"name":{name},"preference":{preference},"addresses":{addresses}}}"#)
    });
    let failure = found.as_ref().err().map_or_else(
        || "null".to_owned(),
        |failure| {
            let (code, enhanced, is_transient) = (failure.code(), failure.enhanced(), failure.is_transient());
            let text = failure.to_string();
            let text = Text(&text);
            format!(r#"{{"code":{code},"enhanced":"{enhanced}","is_transient":{is_transient},"text":{text}}}"#)
        },
    );
    let domain = domain.to_string();
    let (domain, hosts) = (Text(&domain), Array(hosts.collect()));
    format!("{{\"domain\":{domain},\"hosts\":{hosts},\"failure\":{failure}}}\n")
}
