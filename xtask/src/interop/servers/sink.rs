//! Postfix's smtp-sink, which writes down what it hears, and can be told to be unfriendly.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use super::{Receiver, free_address, take_files, wait_until_ready};
use crate::interop::clients::with_system_directories;
use crate::workshop::Outcome;
use crate::workshop::letter::without_first_field;
use crate::workshop::process::Running;
use crate::workshop::scratch::Scratch;

/// One that runs.
pub(crate) struct Sink {
    _running: Running,
    address: SocketAddr,
    dump: PathBuf,
}

impl Sink {
    /// Starts one with further options.
    pub(crate) fn start(scratch: &Scratch, options: &[&str]) -> Outcome<Self> {
        Sink::start_at(scratch, free_address()?, options)
    }

    /// The same at an address that others know already.
    pub(crate) fn start_at(scratch: &Scratch, address: SocketAddr, options: &[&str]) -> Outcome<Self> {
        let dump = scratch.open_directory(&format!("sink-{}", address.port()))?;
        let mut command = with_system_directories(Command::new("smtp-sink"));
        // It does not write as root, and only root can become somebody else; the directory is open to everybody.
        if nix::unistd::geteuid().is_root() {
            command.args(["-u", "nobody"]);
        }
        command.args(["-h", "sink.example.test", "-d"]).arg(dump.join("mail.")).args(options);
        command.args([&address.to_string(), "100"]);
        let running = Running::start("smtp-sink", &mut command)?;
        wait_until_ready(&running, address)?;
        Ok(Sink { _running: running, address, dump })
    }
}

impl Receiver for Sink {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn files(&self, _recipients: usize) -> usize {
        1
    }

    fn take(&mut self, count: usize) -> Outcome<Vec<Vec<u8>>> {
        // Lines of its own, up to the Received field, which is the last of them.
        take_files(&self.dump, count, |octets| {
            const OWN: [&[u8]; 4] = [b"X-Client-", b"X-Helo-Args: ", b"X-Mail-Args: ", b"X-Rcpt-Args: "];
            let mut rest = octets;
            while OWN.iter().any(|name| rest.starts_with(name)) {
                rest = without_first_field(rest, b"\n")?;
            }
            let content = rest.starts_with(b"Received: ").then(|| without_first_field(rest, b"\n")).flatten();
            // It ends each dump with an empty line.
            content.and_then(|content| content.strip_suffix(b"\n"))
        })
    }
}
