//! Our server as a process of its own: started, known to be ready, stopped in order or killed.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use smtp_tests::certificates::Files;

use super::failure::{OrFail, Outcome, ensure};
use super::process::Running;
use super::programs::Programs;

/// How long a server may take until it listens, and until it has stopped.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that listens. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    running: Running,
    pub(crate) address: SocketAddr,
}

/// Memory of a process in KiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// What it has now.
    pub(crate) resident_kib: u64,
    /// The most it ever had.
    pub(crate) peak_kib: u64,
}

impl Server {
    /// Starts a server on a free port.
    pub(crate) fn start(programs: &Programs, spool: &Path, options: &[&str]) -> Outcome<Self> {
        Server::start_by(Server::command(programs, spool, options))
    }

    /// The same with a second port, on which TLS comes first.
    pub(crate) fn start_tls(
        programs: &Programs,
        spool: &Path,
        files: &Files,
        options: &[&str],
    ) -> Outcome<(Self, SocketAddr)> {
        let (certificate, key) = (files.certificate.display().to_string(), files.key.display().to_string());
        let tls = ["--listen-tls", "127.0.0.1:0", "--tls-cert", &certificate, "--tls-key", &key];
        let server = Server::start(programs, spool, &[&tls, options].concat())?;
        let second = server.wait_for_line(PATIENCE, |line| line.strip_prefix("listening on ")?.parse().ok())?;
        Ok((server, second))
    }

    /// The command line for it.
    pub(crate) fn command(programs: &Programs, spool: &Path, options: &[&str]) -> Command {
        let mut command = programs.server();
        if !options.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.arg("--spool").arg(spool).args(options);
        command
    }

    /// Starts a server by a command of one's own.
    pub(crate) fn start_by(mut command: Command) -> Outcome<Self> {
        let running = Running::start("smtp-server", &mut command)?;
        let address = running.wait_for_line(PATIENCE, |line| line.strip_prefix("listening on ")?.parse().ok())?;
        Ok(Server { running, address })
    }

    /// Waits for a line of its log that `read` understands. Lines before it are passed over.
    pub(crate) fn wait_for_line<T>(&self, timeout: Duration, read: impl Fn(&str) -> Option<T>) -> Outcome<T> {
        self.running.wait_for_line(timeout, read)
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Outcome {
        self.running.signal(signal)
    }

    /// Asks it to stop and waits until it has.
    pub(crate) fn stop(mut self) -> Outcome {
        self.signal(Signal::SIGTERM)?;
        let status = self.running.wait(PATIENCE)?;
        let words = || self.running.complain(&format!("ended with {status} after SIGTERM")).to_string();
        ensure(status.success(), words)
    }

    /// Ends it at once, as a power cut would end it.
    pub(crate) fn kill(mut self) {
        self.running.kill();
    }

    /// Waits until something else has killed it.
    pub(crate) fn wait_until_killed(&mut self, timeout: Duration) -> Outcome {
        use std::os::unix::process::ExitStatusExt;
        let status = self.running.wait(timeout)?;
        let words = || self.running.complain(&format!("ended with {status}, not by the kill")).to_string();
        ensure(status.signal() == Some(Signal::SIGKILL as i32), words)
    }

    /// Its memory. The sum over its mappings is exact; the peak is known to some pages per processor.
    pub(crate) fn memory(&self) -> Outcome<Memory> {
        Ok(Memory {
            resident_kib: self.memory_field("smaps_rollup", "Rss:")?,
            peak_kib: self.memory_field("status", "VmHWM:")?,
        })
    }

    fn memory_field(&self, file: &str, name: &str) -> Outcome<u64> {
        let path = format!("/proc/{}/{file}", self.pid());
        let text = std::fs::read_to_string(&path).or_fail(&path)?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
        value.or_fail(format_args!("no {name} in {path}"))?.parse().or_fail(&path)
    }

    /// Processor time that it has used, in the hundredths of a second of the kernel.
    pub(crate) fn processor_ticks(&self) -> Outcome<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).or_fail("its processor time")?;
        // The name in brackets may hold anything; user and system time are the 12th and 13th field behind it.
        let behind_name = stat.rsplit_once(") ").map(|(_, rest)| rest).unwrap_or_default();
        let ticks = behind_name.split(' ').skip(11).take(2).map(|field| field.parse::<u64>());
        ticks.sum::<Result<u64, _>>().or_fail("reading its processor time")
    }
}

/// An address at which nobody listens. Somebody else may take it before the server does; then the server says so.
pub(crate) fn free_address() -> Outcome<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").or_fail("looking for a free port")?;
    listener.local_addr().or_fail("looking for a free port")
}
