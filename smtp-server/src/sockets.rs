//! The sockets to listen on: bound by ourselves, or handed over by a service manager that did it for us.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use listenfd::ListenFd;
use smtp_server::listener::{self, Listener};

use crate::exit::{self, Failure};

/// Where to listen if nobody says anything: for this host only.
const DEFAULT: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, 2525));

/// Sockets from the service manager (`LISTEN_FDS`), else those that `--listen`, `--listen-tls` and `--listen-submission` name,
/// else the default. Both at once would leave open who decides.
pub(crate) fn listeners(
    plain: &[SocketAddr],
    tls_first: &[SocketAddr],
    submission: &[SocketAddr],
) -> Result<Vec<Listener>, Failure> {
    let mut inherited = ListenFd::from_env();
    let bind = |address: SocketAddr, is_tls_first, is_submission| {
        let socket = listener::bind(address).map_err(|error| exit::bind(address, &error))?;
        Ok(Listener { socket, is_tls_first, is_submission })
    };
    let is_default = plain.is_empty() && tls_first.is_empty() && submission.is_empty();
    match (inherited.len(), is_default) {
        (0, true) => Ok(vec![bind(DEFAULT, false, false)?]),
        (0, false) => {
            let plain = plain.iter().map(|address| bind(*address, false, false));
            let tls_first = tls_first.iter().map(|address| bind(*address, true, false));
            plain.chain(tls_first).chain(submission.iter().map(|address| bind(*address, false, true))).collect()
        }
        // Nothing says which of them were meant for TLS or for submissions; STARTTLS and AUTH work on all.
        (count, true) => (0..count).map(|number| take(&mut inherited, number).map(Listener::from)).collect(),
        (_, false) => Err(Failure::new(
            exit::CONFIG,
            "the service manager hands sockets over, so --listen, --listen-tls and --listen-submission have no place",
        )),
    }
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
