//! The far side of the server program: from settings to a queue that runs, unless mail is kept.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use smtp_client::dns::{Settings as DnsSettings, SystemResolver};
use smtp_client::lmtp_server::LmtpServer;
use smtp_client::login::Login;
use smtp_client::mx::Own;
use smtp_client::queue::{Queue, Runner, Schedule, Settings};
use smtp_server::delivery::{Delivery, Mailboxes, Outside};
use smtp_server::maildir::{Layout, Maildir};
use smtp_server::proto::address::{Domain, DomainName, LocalPart, Mailbox};
use smtp_server::relay_route::RelayRoute;
use smtp_server::relay_tls::RelayTls;
use smtp_server::reload::CurrentAddressing;
use smtp_server::spool::Store;

use crate::exit::{self, Failure};
use crate::options::Deliver;
use crate::own_addresses::own_addresses;

/// What becomes of accepted mail.
#[derive(Debug)]
pub(crate) struct FarSide {
    pub(crate) deliver: Deliver,
    pub(crate) relay: RelayRoute,
    pub(crate) relay_tls: RelayTls,
    /// Who we are at the server of `--relay smart`, if it is to know.
    pub(crate) relay_login: Option<Login>,
    /// Name servers to ask in place of the system's.
    pub(crate) dns: Vec<SocketAddr>,
    pub(crate) schedule: Schedule,
    pub(crate) hostname: DomainName,
    /// Whether more than one domain is served, each with mailboxes of its own.
    pub(crate) has_several_domains: bool,
    pub(crate) addressing: CurrentAddressing,
}

impl FarSide {
    /// Starts the queue. `None`: mail stays where it is. The server listens at `addresses`, whoever said so: a mail exchanger
    /// that is found to be at one of them is this host.
    pub(crate) fn start(self, store: Arc<dyn Store>, addresses: &[SocketAddr]) -> Result<Option<Runner>, Failure> {
        let hostname = Domain::Name(self.hostname.clone());
        let mailboxes = match &self.deliver {
            Deliver::Keep => return Ok(None),
            Deliver::Maildir(path) => self.maildir(path)?,
            Deliver::Lmtp(server) => Mailboxes::Lmtp { server: server.clone(), hello_name: hostname.clone() },
        };
        let own = Own {
            names: self.addressing.get().domains().iter().cloned().chain([self.hostname.clone()]).collect(),
            addresses: own_addresses(addresses),
        };
        let resolver = Box::new(SystemResolver::new(self.dns_settings()));
        let outside = Outside::new(self.relay, hostname.clone(), own, resolver)
            .with_tls(self.relay_tls)
            .with_login(self.relay_login);
        let delivery = Arc::new(Delivery::new(self.addressing, mailboxes, outside));
        let settings = Settings { schedule: self.schedule, ..Settings::new(hostname) };
        let queue = Queue::new(store, delivery.clone(), delivery, settings);
        let runner = queue.and_then(Runner::start);
        runner.map(Some).map_err(|error| Failure::new(exit::SYSTEM, format!("the queue cannot be started: {error}")))
    }

    fn layout(&self) -> Layout {
        if self.has_several_domains { Layout::DomainAndLocalPart } else { Layout::LocalPart }
    }

    /// Whoever adds a second domain, or takes it away, moves the mailboxes. A server that started beside the old ones would
    /// deliver where no reader looks, and nobody would see the mail that is there.
    pub(crate) fn check_layout(&self) -> Result<(), Failure> {
        let Deliver::Maildir(root) = &self.deliver else { return Ok(()) };
        let parent = root.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent.filter(|parent| !root.exists() && !parent.is_dir()) {
            let place = format!("--deliver maildir:{}", root.display());
            return Err(Failure::new(exit::SPOOL, format!("{place}: there is no directory {parent:?} to make it in")));
        }
        let addressing = self.addressing.get();
        let Some(found) = self.layout().find_other(root, addressing.domains()) else { return Ok(()) };
        let (number, place) = match self.layout() {
            Layout::LocalPart => ("one domain is", "LOCAL-PART"),
            Layout::DomainAndLocalPart => ("several domains are", "DOMAIN/LOCAL-PART"),
        };
        let root = root.display();
        Err(Failure::new(
            exit::CONFIG,
            format!(
                "--deliver maildir:{root}: {found:?} is a mailbox of another layout: {number} served, so mail goes to {root}/{place}, and \
                 nobody would see what is there; with the server stopped, move such mailboxes there or out of {root}"
            ),
        ))
    }

    fn maildir(&self, path: &Path) -> Result<Mailboxes, Failure> {
        let maildir = Maildir::open(path, self.layout())
            .map_err(|error| Failure::new(exit::SPOOL, format!("--deliver maildir:{}: {error}", path.display())))?;
        let addressing = self.addressing.get();
        let home = addressing.domains().first().unwrap_or(&self.hostname);
        let postmaster = Mailbox::new(LocalPart::postmaster(), Domain::Name(home.clone()))
            .map_err(|error| Failure::new(exit::CONFIG, format!("postmaster at {home}: {error}")))?;
        Ok(Mailboxes::Maildir { maildir, postmaster, host: Domain::Name(self.hostname.clone()) })
    }

    /// As the system has them; a file that cannot be read leaves the name server of this host.
    fn dns_settings(&self) -> DnsSettings {
        DnsSettings::of_system(&self.dns).unwrap_or_else(|error| {
            if self.relay == RelayRoute::Mx {
                log::warn!("{}: {error}; the name server of this host is asked", DnsSettings::FILE);
            }
            DnsSettings::default()
        })
    }
}

/// Reads `keep`, `maildir:DIR`, `lmtp:HOST:PORT` or `lmtp:unix:PATH`.
pub(crate) fn deliver(text: &str) -> Result<Deliver, String> {
    if text == "keep" {
        return Ok(Deliver::Keep);
    }
    if let Some(path) = text.strip_prefix("maildir:").filter(|path| !path.is_empty()) {
        return Ok(Deliver::Maildir(PathBuf::from(path)));
    }
    match text.strip_prefix("lmtp:").map(str::parse::<LmtpServer>) {
        Some(Ok(server)) => Ok(Deliver::Lmtp(server)),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("write keep, maildir:DIR, lmtp:HOST:PORT or lmtp:unix:PATH".to_owned()),
    }
}
