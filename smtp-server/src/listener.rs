//! The accepting side: a listening socket, and the thread that takes connections from it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::pool::Pool;

/// Connections that the kernel holds until they are accepted. A burst of clients beyond a short queue waits for a second
/// or more before it tries again.
const BACKLOG: i32 = 1_024;

/// The pauses after an accept that failed for want of something: doubled each time between these.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A socket to accept from, and how the conversations over it begin.
#[derive(Debug)]
pub struct Listener {
    /// Where connections come in.
    pub socket: TcpListener,
    /// Whether TLS comes first, and the greeting under it (RFC 8314, 3). Otherwise STARTTLS is offered, if there is a
    /// certificate.
    pub is_tls_first: bool,
    /// Whether it is for submissions (RFC 6409): nothing is taken from clients that have not logged in, and messages get the
    /// fields that they lack.
    pub is_submission: bool,
}

impl From<TcpListener> for Listener {
    fn from(socket: TcpListener) -> Self {
        Listener { socket, is_tls_first: false, is_submission: false }
    }
}

/// Binds an address and listens on it. `[::]` takes IPv6 only, so that `0.0.0.0` can be bound beside it.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Takes connections until `stopped` is closed. No error of `accept` ends it: a peer that went away again is nothing, and
/// a shortage of descriptors or memory is waited out, without a spin.
pub(crate) fn accept_all(listener: &Listener, pool: &Arc<Pool>, stopped: &Receiver<()>) {
    let mut pause = SHORTEST_PAUSE;
    loop {
        let accepted = listener.socket.accept();
        if is_closed(stopped, Duration::ZERO) {
            return;
        }
        match accepted {
            Ok((stream, address)) => {
                pause = SHORTEST_PAUSE;
                pool.admit(stream, address, listener);
            }
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                log::error!("accepting connections: {error}; next try in {} ms", pause.as_millis());
                if is_closed(stopped, pause) {
                    return;
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

fn is_closed(stopped: &Receiver<()>, patience: Duration) -> bool {
    stopped.recv_timeout(patience) == Err(crossbeam_channel::RecvTimeoutError::Disconnected)
}

fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
}

/// Ends a blocked `accept`. Shutting a listening socket down does it on Linux; elsewhere a connection of our own does.
pub(crate) fn wake(listener: &TcpListener) {
    let is_woken = cfg!(target_os = "linux") && SockRef::from(listener).shutdown(std::net::Shutdown::Both).is_ok();
    if !is_woken && let Ok(address) = listener.local_addr() {
        // If even this fails, nothing is listening any more and nothing is blocked.
        drop(std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)));
    }
}
