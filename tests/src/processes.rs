//! The programs as processes: built if need be, started, listened to, ended.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::peer::Peer;
use crate::{PATIENCE, wait_until};

/// The path of one of our programs. They are built first, as cargo builds them for nobody but their own package; when
/// nothing has changed, that takes a moment.
pub fn program(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let own = std::env::current_exe().expect("a test knows its own path");
        // TARGET/debug/deps/test: the programs lie beside `deps`.
        let folder = own.parent().and_then(Path::parent).expect("it lies in deps").to_owned();
        build(&folder);
        folder
    });
    folder.join(name)
}

fn build(folder: &Path) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--workspace", "--bins"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.arg("--target-dir").arg(folder.parent().expect("the target folder"));
    if folder.ends_with("release") {
        command.arg("--release");
    }
    assert!(command.status().expect("cargo can be started").success(), "the programs do not build");
}

/// Runs one of our programs to its end, without input.
pub fn run(name: &str, arguments: &[impl AsRef<OsStr>]) -> Output {
    let mut command = Command::new(program(name));
    command.args(arguments).stdin(Stdio::null()).env_remove("RUST_LOG");
    command.output().expect("the program can be started")
}

/// A process of the server program. It is killed, and waited for, when this is dropped.
pub struct ServerProcess {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// Reads standard error to its end.
    reader: Option<JoinHandle<()>>,
    lines: Mutex<Lines>,
}

/// What the process writes to standard error, line by line.
struct Lines {
    coming: Receiver<String>,
    seen: Vec<String>,
}

impl ServerProcess {
    /// Starts it on a free port and waits until it listens.
    pub fn start(arguments: &[impl AsRef<OsStr>]) -> Self {
        ServerProcess::spawn(Command::new(program("smtp-server")).args(["--listen", "127.0.0.1:0"]).args(arguments))
    }

    /// Starts it with these arguments and no others, and waits until it listens.
    pub fn start_as(arguments: &[impl AsRef<OsStr>]) -> Self {
        ServerProcess::spawn(Command::new(program("smtp-server")).args(arguments).env_remove("RUST_LOG"))
    }

    /// Starts a command that becomes a server, and waits until it listens.
    pub fn spawn(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program can be started");
        let errors = child.stderr.take().expect("it was asked for");
        let (sender, coming) = channel();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(errors).split(b'\n') {
                let Ok(line) = line else { return };
                // A test that is over reads no more.
                let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
            }
        });
        let lines = Mutex::new(Lines { coming, seen: Vec::new() });
        let mut process = ServerProcess { child, address: ([0, 0, 0, 0], 0).into(), reader: Some(reader), lines };
        let line = process.wait_for_line(|line| line.starts_with("listening on "));
        process.address = line["listening on ".len()..].parse().expect("an address");
        process
    }

    /// The next line on standard error that is like this.
    pub fn wait_for_line(&self, is_wanted: impl Fn(&str) -> bool) -> String {
        let mut lines = self.lines();
        loop {
            let line = lines.coming.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("the line does not come; so far: {:#?}", lines.seen));
            lines.seen.push(line.clone());
            if is_wanted(&line) {
                return line;
            }
        }
    }

    /// All lines of standard error so far.
    pub fn seen(&self) -> Vec<String> {
        let mut lines = self.lines();
        let new: Vec<String> = lines.coming.try_iter().collect();
        lines.seen.extend(new);
        lines.seen.clone()
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// The reply to EHLO.
    pub fn connect_and_hello(&self) -> String {
        let mut peer = self.connect();
        peer.expect_greeting();
        peer.agree("EHLO client.example")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("it is running");
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("process ids are small"))
    }

    /// Waits until it has ended. Returns how, and all that it wrote to standard error.
    pub fn wait(&mut self) -> (ExitStatus, Vec<String>) {
        let mut status = None;
        wait_until("the server ends", || {
            status = self.child.try_wait().expect("it is ours");
            status.is_some()
        });
        if let Some(reader) = self.reader.take() {
            reader.join().expect("reading does not panic");
        }
        (status.expect("set when the wait is over"), self.seen())
    }

    /// Its memory that is in use, in octets.
    #[cfg(target_os = "linux")]
    pub fn resident_octets(&self) -> u64 {
        let status = self.status();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel tells");
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kibibytes * 1_024
    }

    /// What the kernel says about it.
    #[cfg(target_os = "linux")]
    pub fn status(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it is running")
    }

    /// Stops it, as a very busy machine does, until [`ServerProcess::thaw`]. Connections are taken by the kernel meanwhile.
    #[cfg(target_os = "linux")]
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
        let is_stopped = |task: std::io::Result<std::fs::DirEntry>| {
            let status = task.and_then(|task| std::fs::read_to_string(task.path().join("status")));
            status.is_ok_and(|status| status.contains("\nState:\tT"))
        };
        wait_until("every thread has stopped", || {
            let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
            tasks.expect("it is running").all(is_stopped)
        });
    }

    /// Lets it go on.
    #[cfg(target_os = "linux")]
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
