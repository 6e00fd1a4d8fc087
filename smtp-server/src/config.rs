//! What a server is told, with the default and the reason of each value.

use std::sync::Arc;
use std::time::Duration;

use smtp_proto::address::{Domain, DomainName};
use smtp_proto::server::Config as SessionConfig;

use crate::auth::Authenticator;
use crate::network::Network;
use crate::tls::CurrentIdentity;

/// Threads beyond this are refused: each takes four memory maps, and at the system's default of 65,530 maps a process
/// that starts too many is ended without a word.
pub const MOST_THREADS: usize = 8_192;

/// The settings of a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// Conversations at a time: one thread each. 256; `cargo xtask load` prints what an idle one costs.
    pub threads: usize,
    /// Conversations at a time with one address (an IPv6 /64 counts as one), so that one peer cannot take all threads.
    /// `None`: half of the threads, and at least 1. Loopback is exempt.
    pub connections_per_address: Option<usize>,
    /// Names, sizes and timeouts of each session.
    pub session: SessionConfig,
    /// The certificate, if there is one: with it STARTTLS is offered.
    pub tls: Option<CurrentIdentity>,
    /// Who may log in, if anybody: AUTH is offered under TLS.
    pub auth: Option<Arc<Authenticator>>,
    /// How long a TLS handshake may take, whatever the peer sends meanwhile. 30 s.
    pub handshake_timeout: Duration,
    /// Whether an accepted message stays in the spool for good. Otherwise it is queued, and somebody must run the queue
    /// ([`smtp_client::queue`]).
    pub keeps_mail: bool,
    /// Peers whose bare LF counts as a line end.
    pub accept_bare_lf: Vec<Network>,
    /// How long a session between transactions must have been quiet before it may be ended because others wait. 30 s.
    pub evict_after: Duration,
    /// How long transactions may go on once the server is being stopped. 30 s.
    pub drain_timeout: Duration,
    /// How long a peer may take to close its side behind our last reply. 2 s.
    pub linger_timeout: Duration,
}

impl Config {
    /// The defaults for a host of this name.
    pub fn new(hostname: DomainName) -> Self {
        Config {
            threads: 256,
            connections_per_address: None,
            session: SessionConfig::new(Domain::Name(hostname)),
            tls: None,
            auth: None,
            handshake_timeout: Duration::from_secs(30),
            keeps_mail: true,
            accept_bare_lf: Vec::new(),
            evict_after: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(30),
            linger_timeout: Duration::from_secs(2),
        }
    }
}
