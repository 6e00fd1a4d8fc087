//! The sockets to listen on: bound by ourselves, or handed over by a service manager that did it for us.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use listenfd::ListenFd;
use smtp_server::listener;

use crate::exit::{self, Failure};

/// Where to listen if nobody says anything: for this host only.
const DEFAULT: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, 2525));

/// Sockets from the service manager (`LISTEN_FDS`), else those that `--listen` names, else the default. Both at once
/// would leave open who decides.
pub(crate) fn listeners(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, Failure> {
    let mut inherited = ListenFd::from_env();
    match (inherited.len(), addresses) {
        (0, []) => bind(DEFAULT).map(|listener| vec![listener]),
        (0, addresses) => addresses.iter().copied().map(bind).collect(),
        (count, []) => (0..count).map(|number| take(&mut inherited, number)).collect(),
        (_, _) => Err(Failure::new(exit::CONFIG, "the service manager hands sockets over, so --listen has no place")),
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    listener::bind(address).map_err(|error| exit::bind(address, &error))
}

fn take(inherited: &mut ListenFd, number: usize) -> Result<TcpListener, Failure> {
    let failed = |reason: &str| {
        Failure::new(exit::CONFIG, format!("socket {number} of the service manager is no TCP listener: {reason}"))
    };
    let listener = inherited.take_tcp_listener(number).map_err(|error| failed(&error.to_string()))?;
    let listener = listener.ok_or_else(|| failed("it is gone"))?;
    // The accepting thread blocks; a socket that does not would make it spin.
    listener.set_nonblocking(false).map_err(|error| failed(&error.to_string()))?;
    Ok(listener)
}
