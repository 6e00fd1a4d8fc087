//! Before the conversation: whom to call, and under which name.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use smtp_proto::address::{AddressLiteral, Domain, DomainName};

use super::{ConnectError, Options};
use crate::peer::Peer;
use crate::server_name::ServerName;
use crate::wire::{Stream, Wire, later};

/// An address to be called, and whose it is: the name that a certificate must be for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The address.
    pub address: SocketAddr,
    /// The name of the host, or its address once more.
    pub name: String,
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Target { address, name: address.ip().to_string() }
    }
}

impl From<&SocketAddr> for Target {
    fn from(address: &SocketAddr) -> Self {
        (*address).into()
    }
}

/// Opens a connection to the first address of the server that accepts one.
pub(crate) fn call(
    server: &ServerName,
    connect_timeout: Duration,
    give_up_at: Option<Instant>,
) -> Result<(Stream, Peer), ConnectError> {
    let resolved = server.resolve_until(give_up_at);
    let addresses = resolved.map_err(|error| ConnectError::Resolve(server.clone(), error))?;
    let mut last = no_address();
    for address in addresses {
        match call_peer(address.into(), connect_timeout, give_up_at) {
            Ok(called) => return Ok(called),
            Err(error) => last = error,
        }
    }
    Err(last)
}

pub(super) fn call_peer(
    peer: Peer,
    connect_timeout: Duration,
    give_up_at: Option<Instant>,
) -> Result<(Stream, Peer), ConnectError> {
    let began = Instant::now();
    let patience = later(began, connect_timeout);
    let deadline = give_up_at.map_or(patience, |give_up_at| give_up_at.min(patience));
    match Wire::connect(&peer, deadline) {
        Ok(stream) => Ok((stream, peer)),
        Err(error) => Err(ConnectError::Connect(peer, began.elapsed(), error)),
    }
}

pub(super) fn no_address() -> ConnectError {
    ConnectError::Io(io::ErrorKind::NotFound.into())
}

pub(super) fn check_hello_name(options: &mut Options) -> Result<(), ConnectError> {
    let name = options.hello_name.take_if(|name| !name.to_string().is_ascii());
    name.map_or(Ok(()), |name| Err(ConnectError::HelloName(name)))
}

/// RFC 5321, 4.1.4: the name of the host where it has one that others can look up, else its address in brackets. Over a socket
/// of this host, which has no address, it is whom we both call localhost.
pub fn host_name(local: Option<SocketAddr>) -> Domain {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    // `localhost.localdomain` is what a host is called that nobody has named.
    let is_full = |name: &String| name.is_ascii() && name.contains('.') && !name.ends_with(".localdomain");
    let name = name.filter(is_full).and_then(|name| name.parse::<DomainName>().ok());
    match (name, local) {
        (Some(name), _) => Domain::Name(name),
        (None, Some(local)) => Domain::Literal(AddressLiteral::from_ip(local.ip())),
        (None, None) => Domain::Name(DomainName::localhost()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_or_an_address_for_ehlo() {
        match host_name(Some(([192, 0, 2, 1], 1234).into())) {
            Domain::Name(name) => assert!(name.as_str().contains('.')),
            literal => assert_eq!(literal.to_string(), "[192.0.2.1]"),
        }
    }
}
