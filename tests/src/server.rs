//! A real server on a free port, and a look at what it has stored.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use smtp_server::addressing::LocalAddressing;
use smtp_server::auth::{Authenticator, CurrentUsers};
use smtp_server::listener::{self, Listener};
use smtp_server::policy::{LocalPolicy, Policy};
use smtp_server::recipients::Recipients;
use smtp_server::tls::{CurrentIdentity, Identity};
use smtp_server::{Config, Server, Stopper};
use smtp_spool::disk::{Disk, Folder};
use smtp_spool::{Envelope, MemoryDisk, Options, OsDisk, Reader, Spool};
use tempfile::TempDir;

use crate::peer::Peer;
use crate::wait_until;

/// The name of the servers under test.
pub const HOSTNAME: &str = "mx.example.org";

/// The domain whose mail they take.
pub const DOMAIN: &str = "example.org";

/// A server that is running. It is stopped, and waited for, when this is dropped.
pub struct TestServer {
    server: Option<Server>,
    stopper: Stopper,
    /// Where it listens.
    pub address: SocketAddr,
    disk: Arc<dyn Disk>,
    /// Removed when this is dropped, after the server has been stopped.
    _directory: Option<TempDir>,
}

/// How a server is to be.
pub struct Builder {
    config: Config,
    policy: Arc<dyn Policy>,
    spool_options: Options,
    disk: Option<MemoryDisk>,
    ip: IpAddr,
    is_tls_first: bool,
    is_submission: bool,
}

/// What was stored of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its name in the spool.
    pub id: String,
    /// Whom it is from and for.
    pub envelope: Envelope,
    /// Our trace field, with its last CRLF.
    pub received: String,
    /// What came over the wire.
    pub content: Vec<u8>,
}

impl Stored {
    /// The recipients as they were given.
    pub fn recipients(&self) -> Vec<String> {
        self.envelope.recipients.iter().map(|recipient| recipient.forward_path.to_string()).collect()
    }

    /// The sender as it was given.
    pub fn sender(&self) -> String {
        self.envelope.reverse_path.to_string()
    }
}

impl TestServer {
    /// With the defaults.
    pub fn start() -> Self {
        TestServer::builder().start()
    }

    /// To be told otherwise.
    pub fn builder() -> Builder {
        let hostname = HOSTNAME.parse().expect("a domain name");
        let domain = DOMAIN.parse().expect("a domain name");
        Builder {
            config: Config::new(hostname),
            policy: Arc::new(LocalPolicy::new([domain])),
            spool_options: Options::default(),
            disk: None,
            ip: Ipv4Addr::LOCALHOST.into(),
            is_tls_first: false,
            is_submission: false,
        }
    }

    /// A peer that has read nothing yet.
    pub fn connect(&self) -> Peer {
        Peer::connect(self.address)
    }

    /// A peer that has been greeted and has said EHLO.
    pub fn greeted(&self) -> Peer {
        let mut peer = self.connect();
        peer.expect_greeting();
        peer.agree("EHLO client.example");
        peer
    }

    /// The same, once the server has a thread for it: those that have just left may hold theirs for a moment.
    pub fn greeted_when_free(&self) -> Peer {
        let mut greeted = None;
        wait_until("a thread is free", || {
            let mut peer = self.connect();
            if peer.reply().starts_with("220 ") {
                peer.agree("EHLO client.example");
                greeted = Some(peer);
            }
            greeted.is_some()
        });
        greeted.expect("set when the wait is over")
    }

    /// Stops it from another thread.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Waits until it has been stopped.
    pub fn join(&mut self) {
        if let Some(server) = self.server.take() {
            server.join();
        }
    }

    /// What lies in the spool, the oldest first. Every message must prove itself.
    pub fn stored(&self) -> Vec<Stored> {
        let reader = Reader::on(self.disk.clone());
        let messages = reader.list().expect("the spool can be listed");
        let stored = messages.map(|(id, summary)| {
            let envelope = summary.expect("the message can be read").envelope;
            let mut octets = Vec::new();
            let read = reader.content(&id).map(|mut content| content.read_to_end(&mut octets));
            read.expect("the message is whole").expect("the message can be read");
            let (received, content) = split_received(&octets);
            Stored { id: id.to_string(), envelope, received, content }
        });
        stored.collect()
    }

    /// Messages that are still on their way in and have a file already.
    pub fn temporary_files(&self) -> usize {
        self.disk.list(Folder::Temporary).expect("the folder can be listed").len()
    }

    /// The only message there is.
    pub fn only_stored(&self) -> Stored {
        let mut stored = self.stored();
        assert_eq!(stored.len(), 1, "one message: {stored:?}");
        stored.remove(0)
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        // Dropping a server stops it at once and waits until it has.
        self.server.take();
    }
}

/// Takes our own trace field off: the first line and those that begin with white space.
fn split_received(octets: &[u8]) -> (String, Vec<u8>) {
    let is_field_end = |place: usize| {
        let behind = &octets[place..];
        behind.starts_with(b"\r\n") && !behind[2..].starts_with(b"\t") && !behind[2..].starts_with(b" ")
    };
    let end = (0..octets.len()).find(|place| is_field_end(*place)).expect("the field ends") + 2;
    let received = String::from_utf8(octets[..end].to_vec()).expect("the field is text");
    assert!(received.starts_with("Received: from "), "{received:?}");
    (received, octets[end..].to_vec())
}

impl Builder {
    /// Changes the settings.
    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// So many threads.
    pub fn threads(self, threads: usize) -> Self {
        self.config(|config| config.threads = threads)
    }

    /// Another policy.
    pub fn policy(mut self, policy: impl Policy + 'static) -> Self {
        self.policy = Arc::new(policy);
        self
    }

    /// Only these mailboxes.
    pub fn recipients(self, list: &str) -> Self {
        let domain = DOMAIN.parse().expect("a domain name");
        let recipients = Recipients::parse(list).expect("recipients");
        self.policy(LocalPolicy::new([domain]).with_recipients(recipients))
    }

    /// Other limits of the spool.
    pub fn spool_options(mut self, options: Options) -> Self {
        self.spool_options = options;
        self
    }

    /// A disk in memory in place of a real one.
    pub fn disk(mut self, disk: &MemoryDisk) -> Self {
        self.disk = Some(disk.clone());
        self
    }

    /// Another address than 127.0.0.1.
    pub fn ip(mut self, ip: IpAddr) -> Self {
        self.ip = ip;
        self
    }

    /// Offers TLS with this certificate.
    pub fn tls(self, identity: &CurrentIdentity) -> Self {
        self.config(|config| config.tls = Some(identity.clone()))
    }

    /// The same, and TLS comes before the greeting.
    pub fn tls_first(mut self, identity: &CurrentIdentity) -> Self {
        self.is_tls_first = true;
        self.tls(identity)
    }

    /// These users may log in, under TLS, or in clear if the test is about something else; they may send wherever the host
    /// relays.
    pub fn users(mut self, users: &CurrentUsers, in_clear: bool) -> Self {
        let authenticator = Authenticator::new(users.clone()).expect("random octets");
        let authenticator = if in_clear { authenticator.allowing_loopback_in_clear() } else { authenticator };
        self.config.auth = Some(Arc::new(authenticator));
        let addressing = LocalAddressing::new([DOMAIN.parse().expect("a domain name")]).with_relaying();
        self.policy(LocalPolicy::from(Arc::new(addressing)).with_users(users.clone()))
    }

    /// A port for submissions.
    pub fn submission(mut self) -> Self {
        self.is_submission = true;
        self
    }

    /// Starts it on a free port, with a spool that nobody has used before.
    pub fn start(self) -> TestServer {
        let (directory, disk): (_, Arc<dyn Disk>) = match self.disk {
            Some(disk) => (None, Arc::new(disk)),
            None => {
                let directory = tempfile::tempdir().expect("a fresh directory");
                let disk = OsDisk::create(directory.path()).expect("a spool in it");
                (Some(directory), Arc::new(disk))
            }
        };
        let (spool, _) = Spool::open_on(disk.clone(), self.spool_options).expect("the spool can be opened");
        let socket = listener::bind(SocketAddr::new(self.ip, 0)).expect("a free port");
        let listener = Listener { socket, is_tls_first: self.is_tls_first, is_submission: self.is_submission };
        let server = Server::start(self.config, vec![listener], Arc::new(spool), self.policy).expect("it starts");
        let (address, stopper) = (server.addresses()[0], server.stopper());
        TestServer { server: Some(server), stopper, address, disk, _directory: directory }
    }
}

/// What a server shows, of a certificate that was made for a test.
pub fn identity(made: &crate::certificates::Identity) -> Identity {
    Identity::from_pem(made.certificate_pem.as_bytes(), made.key_pem.as_bytes()).expect("a certificate and its key")
}
