//! Dovecot as the one who knows the users, for a Postfix that asks it. It has no mailboxes, and is called over TCP.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use super::{PATIENCE, free_address, wait_until_ready};
use crate::interop::unless_installed;
use crate::workshop::Outcome;
use crate::workshop::process::{Running, find};
use crate::workshop::scratch::Scratch;

/// One that runs.
pub(crate) struct Sasl {
    running: Running,
    address: SocketAddr,
}

/// Nothing is taken from the machine's own configuration. Postfix is the one with TLS.
const SETTINGS: &str = "
base_dir = @/sasl/run
state_dir = @/sasl/state
log_path = /dev/stderr
protocols =
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login scram-sha-256
service auth {
  inet_listener {
    address = 127.0.0.1
    port = PORT
  }
}
passdb {
  driver = passwd-file
  args = username_format=%u USERS
}
userdb {
  driver = static
  args = uid=65534 gid=65534 home=/nonexistent
}
";

/// What it lacks here.
pub(crate) fn lacks() -> Option<&'static str> {
    unless_installed("dovecot", "install dovecot-core")
        .or_else(|| (!nix::unistd::geteuid().is_root()).then_some("run as root, which Dovecot wants to be started by"))
}

impl Sasl {
    /// Starts one with this list of users.
    pub(crate) fn start(scratch: &Scratch, users: &Path) -> Outcome<Self> {
        let address = free_address()?;
        scratch.directory("sasl")?;
        // Its processes are other users.
        let list = scratch.open_directory("sasl users")?.join("users");
        std::fs::copy(users, &list).map_err(|error| crate::workshop::failure::Failure::new(error.to_string()))?;
        let settings = SETTINGS
            .replace('@', &scratch.path().display().to_string())
            .replace("PORT", &address.port().to_string())
            .replace("USERS", &list.display().to_string());
        let file = scratch.file("sasl/dovecot.conf", settings)?;
        let mut command = Command::new(find("dovecot").unwrap_or_else(|| PathBuf::from("dovecot")));
        let running = Running::start("dovecot", command.arg("-F").arg("-c").arg(file))?;
        wait_until_ready(&running, address)?;
        Ok(Sasl { running, address })
    }

    /// Where it is asked.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Sasl {
    fn drop(&mut self) {
        // It ends its many processes itself if it is asked.
        let ended = self.running.signal(Signal::SIGTERM).and_then(|()| self.running.wait(PATIENCE));
        if let Err(failure) = ended {
            eprintln!("note: {failure}");
        }
    }
}
