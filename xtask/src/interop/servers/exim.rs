//! Exim as a server, with a Maildir for everybody.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{Receiver, free_address, take_files, wait_until_ready};
use crate::interop::exim::Exim;
use crate::workshop::Outcome;
use crate::workshop::letter::without_first_field;
use crate::workshop::process::{Running, must_run};

/// One that runs.
pub(super) struct EximServer {
    // Ends before its directory goes.
    _running: Running,
    exim: Exim,
    address: SocketAddr,
    maildir: PathBuf,
}

/// What it needs as a server. Everything is taken, and nothing but the Maildir can be reached. It takes lines of any length
/// unless a rule of the administrator's forbids them.
const SETTINGS: &str = "
tls_advertise_hosts =
acl_smtp_rcpt = accept
begin routers
everybody:
  driver = accept
  transport = maildir
begin transports
maildir:
  driver = appendfile
  directory = @/mail
  maildir_format
  user = Debian-exim
";

impl EximServer {
    /// Starts one.
    pub(super) fn start() -> Outcome<Self> {
        let address = free_address()?;
        let listen = format!("local_interfaces = {}\ndaemon_smtp_ports = {}", address.ip(), address.port());
        let exim = Exim::new(&[&listen, SETTINGS].concat())?;
        let maildir = exim.directory("mail")?.join("new");
        let running = Running::start("Exim", exim.command().arg("-bdf"))?;
        wait_until_ready(&running, address)?;
        Ok(EximServer { _running: running, exim, address, maildir })
    }
}

impl Receiver for EximServer {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn files(&self, recipients: usize) -> usize {
        recipients
    }

    fn take(&mut self, count: usize) -> Outcome<Vec<Vec<u8>>> {
        must_run(self.exim.command().arg("-q"))?;
        let taken = take_files(&self.maildir, count, |octets| {
            octets.starts_with(b"Received: ").then(|| without_first_field(octets, b"\n")).flatten()
        });
        taken.map_err(|failure| self.exim.explain(&failure))
    }
}
