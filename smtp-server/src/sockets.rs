//! The sockets to listen on: bound by ourselves, or handed over by a service manager that did it for us.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use listenfd::ListenFd;
use smtp_server::listener::{self, Listener};

use crate::exit::{self, Failure};
use crate::options::Options;

/// Where to listen if nobody says anything: for this host only.
const DEFAULT: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, 2525));

/// Where to listen, for what, and which setting says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) setting: &'static str,
    pub(crate) address: SocketAddr,
    is_tls_first: bool,
    is_submission: bool,
}

impl Place {
    /// All that the settings name.
    pub(crate) fn all(options: &Options) -> Vec<Place> {
        let kinds = [
            ("listen", &options.listen, false, false),
            ("listen-tls", &options.listen_tls, true, false),
            ("listen-submission", &options.listen_submission, false, true),
            ("listen-submissions", &options.listen_submissions, true, true),
        ];
        let places = kinds.into_iter().flat_map(|(setting, addresses, is_tls_first, is_submission)| {
            addresses.iter().map(move |address| Place { setting, address: *address, is_tls_first, is_submission })
        });
        places.collect()
    }

    fn bind(&self) -> Result<Listener, Failure> {
        let socket = listener::bind(self.address).map_err(|error| exit::bind(self.address, &error))?;
        Ok(Listener { socket, is_tls_first: self.is_tls_first, is_submission: self.is_submission })
    }
}

/// Sockets from the service manager (`LISTEN_FDS`), else those that the settings name, else the default. Both at once would
/// leave open who decides.
pub(crate) fn listeners(places: &[Place]) -> Result<Vec<Listener>, Failure> {
    let mut inherited = ListenFd::from_env();
    match (inherited.len(), places) {
        (0, []) => Place { setting: "listen", address: DEFAULT, is_tls_first: false, is_submission: false }
            .bind()
            .map(|listener| vec![listener]),
        (0, places) => places.iter().map(Place::bind).collect(),
        // Nothing says which of them were meant for TLS or for submissions; STARTTLS and AUTH work on all.
        (count, []) => (0..count).map(|number| take(&mut inherited, number).map(Listener::from)).collect(),
        (_, [place, ..]) => Err(Failure::new(
            exit::CONFIG,
            format!("the service manager hands sockets over, so --{} has no place", place.setting),
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
