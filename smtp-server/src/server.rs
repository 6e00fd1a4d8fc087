//! The server as a whole: started, stopped, waited for.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use smtp_spool::{IdSource, Store};

use crate::config::Config;
use crate::host::Host;
use crate::listener::{self, Listener};
use crate::policy::Policy;
use crate::pool::{Pool, Workers, invalid};

/// How long sessions have to say their 421 once they are interrupted, before their connections are cut.
const LAST_WORD_TIMEOUT: Duration = Duration::from_secs(5);

/// A server that is running. Dropping it stops it at once and waits until it has.
pub struct Server {
    addresses: Vec<SocketAddr>,
    stopper: Stopper,
    pool: Arc<Pool>,
    acceptors: Vec<JoinHandle<()>>,
    workers: Workers,
    drain_timeout: Duration,
    /// Gets a word when the sessions are to end at once.
    hurried: Receiver<()>,
}

/// Stops a server from another thread, such as the one that gets the signals.
#[derive(Clone)]
pub struct Stopper {
    shared: Arc<StopperState>,
}

struct StopperState {
    listeners: Vec<TcpListener>,
    pool: Arc<Pool>,
    /// Dropped to tell the accepting threads.
    running: Mutex<Option<Sender<()>>>,
    /// Told when the second signal comes.
    hurry: Sender<()>,
}

impl Server {
    /// Starts a server on listeners that are ready, with a store that is open.
    pub fn start(
        config: Config,
        listeners: Vec<impl Into<Listener>>,
        store: Arc<dyn Store>,
        policy: Arc<dyn Policy>,
    ) -> io::Result<Server> {
        let drain_timeout = config.drain_timeout;
        let listeners: Vec<Listener> = listeners.into_iter().map(Into::into).collect();
        if config.tls.is_none() && listeners.iter().any(|listener| listener.is_tls_first) {
            return Err(invalid("a listener on which TLS comes first needs a certificate"));
        }
        if config.auth.is_none() && listeners.iter().any(|listener| listener.is_submission) {
            return Err(invalid("a listener for submissions needs users who can log in"));
        }
        let sockets = || listeners.iter().map(|listener| &listener.socket);
        let addresses = sockets().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
        // The process id tells servers apart that make ids in the same microsecond.
        let ids = IdSource::new((std::process::id() & 0xffff) as u16)?;
        // Looked up once: reading the time zone's file is nothing for a session thread.
        let time_zone = jiff::tz::TimeZone::system();
        let clones = sockets().map(TcpListener::try_clone).collect::<io::Result<Vec<_>>>()?;
        let (pool, workers) = Pool::start(Host { config, store, policy, ids, time_zone })?;
        let (running, stopped) = crossbeam_channel::bounded(0);
        let (hurry, hurried) = crossbeam_channel::bounded(1);
        let stopper = Stopper {
            shared: Arc::new(StopperState {
                listeners: clones,
                pool: pool.clone(),
                running: Mutex::new(Some(running)),
                hurry,
            }),
        };
        let acceptors = Vec::with_capacity(listeners.len());
        // From here on an error drops the server, which stops what has been started.
        let mut server = Server { addresses, stopper, pool, acceptors, workers, drain_timeout, hurried };
        for listener in listeners {
            let (pool, stopped) = (server.pool.clone(), stopped.clone());
            let builder = std::thread::Builder::new().name("acceptor".to_owned());
            server.acceptors.push(builder.spawn(move || listener::accept_all(&listener, &pool, &stopped))?);
        }
        Ok(server)
    }

    /// The addresses on which it listens, with the ports that port 0 became.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What stops it.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Waits until the server has been stopped and every message that was accepted is on disk.
    pub fn join(mut self) {
        self.wait();
    }

    fn wait(&mut self) {
        join_all(&mut self.acceptors);
        self.pool.close();
        crossbeam_channel::select! {
            recv(self.workers.alive) -> _ => {}
            recv(self.hurried) -> _ => {}
            default(self.drain_timeout) => log::warn!("transactions are still open; they are interrupted"),
        }
        self.pool.registry.interrupt();
        if self.workers.alive.recv_timeout(LAST_WORD_TIMEOUT) == Err(RecvTimeoutError::Timeout) {
            log::warn!("peers do not take their last reply; their connections are cut");
            self.pool.registry.cut();
        }
        join_all(&mut self.workers.threads);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopper.stop();
        self.wait();
    }
}

impl Stopper {
    /// Takes no more connections; sessions between transactions hear 421, the others once their transaction is over.
    pub fn drain(&self) {
        self.shared.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.shared.listeners.iter().for_each(listener::wake);
        self.shared.pool.registry.drain();
    }

    /// The same, and open transactions are interrupted too. What is being written to disk is still finished.
    pub fn stop(&self) {
        self.drain();
        // A word that is there already says the same.
        let _ = self.shared.hurry.try_send(());
    }
}

fn join_all(threads: &mut Vec<JoinHandle<()>>) {
    for thread in threads.drain(..) {
        if thread.join().is_err() {
            log::error!("a thread ended in a panic");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::LocalPolicy;
    use smtp_spool::{Options, Spool};

    #[test]
    fn settings_with_which_nobody_could_talk_are_refused() {
        let place = tempfile::tempdir().unwrap();
        let (spool, _) = Spool::open(place.path().join("spool"), Options::default()).unwrap();
        let start = |change: fn(&mut Config)| {
            let mut config = Config::new("localhost".parse().unwrap());
            config.threads = 1;
            change(&mut config);
            let listener = listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            Server::start(config, vec![listener], Arc::new(spool.clone()), Arc::new(LocalPolicy::new([])))
        };
        let changes: [fn(&mut Config); 4] = [
            |config| config.threads = 0,
            |config| config.threads = crate::config::MOST_THREADS + 1,
            |config| config.connections_per_address = Some(0),
            |config| config.session.mails = Some(0),
        ];
        for change in changes {
            assert_eq!(start(change).map(|_| ()).map_err(|error| error.kind()), Err(io::ErrorKind::InvalidInput));
        }
        drop(start(|_| ()).unwrap());
    }
}
