//! The values of options, read into types that hold nothing unfit for the wire.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use smtp_client::dns::settings;
use smtp_client::lmtp_server::{LmtpServer, LmtpServerError};
use smtp_client::proto::address::{AddressError, Domain, ForwardPath, ReversePath};
use smtp_client::proto::limits;
use smtp_client::proto::parameter::{Notify, Ret};
use smtp_client::proto::xtext::Xtext;
use smtp_client::server_name::ServerName;

/// What the file `-` means.
pub(crate) const STANDARD_INPUT: &str = "/dev/stdin";

pub(crate) fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == STANDARD_INPUT
}

/// A path as people gave it.
pub(crate) fn shown(path: &Path) -> String {
    if is_standard_input(path) { "-".to_owned() } else { path.display().to_string() }
}

/// A file that is to be made, and so cannot be standard input.
pub(crate) fn written_file(text: &str) -> Result<PathBuf, String> {
    match text {
        "-" => Err("it is written into a file; write ./- for one of this name".to_owned()),
        path => Ok(path.into()),
    }
}

/// The command behind which `--stop-after` stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopAfter {
    Ehlo,
    Mail,
    Rcpt,
}

pub(crate) fn stop_after(text: &str) -> Result<StopAfter, String> {
    match text.to_ascii_lowercase().as_str() {
        "ehlo" => Ok(StopAfter::Ehlo),
        "mail" => Ok(StopAfter::Mail),
        "rcpt" => Ok(StopAfter::Rcpt),
        _ => Err("not ehlo, mail or rcpt".to_owned()),
    }
}

pub(crate) fn default_server() -> ServerName {
    ServerName::default()
}

pub(crate) fn server(text: &str) -> Result<ServerName, String> {
    text.parse().map_err(|_| format!("not a server; {}", ServerName::FORMS))
}

pub(crate) fn dns_server(text: &str) -> Result<SocketAddr, String> {
    settings::parse_server(text).ok_or_else(|| "not an address, or not one with a port".to_owned())
}

pub(crate) fn domain(text: &str) -> Result<Domain, String> {
    text.parse().map_err(|error: AddressError| error.to_string())
}

pub(crate) fn lmtp_server(text: &str) -> Result<LmtpServer, String> {
    text.parse().map_err(|error: LmtpServerError| error.to_string())
}

pub(crate) fn reverse_path(text: &str) -> Result<ReversePath, String> {
    if text.is_empty() {
        return Ok(ReversePath::Null);
    }
    text.parse().map_err(|error| no_address(text, error))
}

pub(crate) fn forward_path(text: &str) -> Result<ForwardPath, String> {
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

pub(crate) fn notify(text: &str) -> Result<Notify, String> {
    Notify::parse(text).ok_or_else(|| "write never, or any of success,failure,delay".to_owned())
}

pub(crate) fn ret(text: &str) -> Result<Ret, String> {
    Ret::parse(text).ok_or_else(|| "write full or hdrs".to_owned())
}

pub(crate) fn envid(text: &str) -> Result<Xtext, String> {
    let xtext = Xtext::encode(text).filter(|xtext| (1..=limits::ENVID_OCTETS).contains(&xtext.as_str().len()));
    xtext.ok_or_else(|| format!("not printable ASCII, or not of 1 to {} characters", limits::ENVID_OCTETS))
}

pub(crate) fn hello_name(text: &str) -> Result<Domain, String> {
    let domain: Domain = text.parse().map_err(|error: AddressError| error.to_string())?;
    // RFC 6531, 3.7.1.
    if text.is_ascii() { Ok(domain) } else { Err("the name given with EHLO must be ASCII".to_owned()) }
}

pub(crate) fn retries(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("not a number from 0 to {}", u16::MAX))
}

pub(crate) fn count(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "not a number".to_owned())
}

pub(crate) fn connections(text: &str) -> Result<usize, String> {
    // More is no way to be faster, and most servers take fewer from one client.
    match text.parse() {
        Ok(count @ 1..=1_000) => Ok(count),
        _ => Err("not a number from 1 to 1000".to_owned()),
    }
}

pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(0) => Err("0 seconds are over before anything can be sent".to_owned()),
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => Err("not a number of seconds".to_owned()),
    }
}
