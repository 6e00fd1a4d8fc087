//! Exim, which stands on both sides: where its program lies, and a place of its own for one that is to run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::workshop::failure::Failure;
use crate::workshop::process::{self, find, must_run};
use crate::workshop::programs::root;
use crate::workshop::scratch::Scratch;
use crate::workshop::{OrFail, Outcome};

/// Where `.ci/run` unpacks Debian's package, which cannot be installed beside that of Postfix.
const UNPACKED: &str = "target/peers/exim/usr/sbin/exim4";

/// How long it may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(10);

/// The settings of both sides, in front of their own. Nothing is taken from the machine's configuration, nothing is delivered
/// by root, and what arrives waits in the queue until it is run: so a delivery is over when that command is.
const SETTINGS: &str = "
exim_path = @/exim4
spool_directory = @/spool
log_file_path = @/spool/%slog
pid_file_path = @/spool/pid
primary_hostname = exim.example.test
keep_environment =
deliver_drop_privilege
queue_only
";

/// What it lacks here.
pub(super) fn lacks() -> Option<&'static str> {
    let Some(program) = program() else {
        return Some("install exim4-daemon-light, or unpack it into target/peers/exim beside Postfix, as .ci/run does");
    };
    if !nix::unistd::geteuid().is_root() {
        return Some("run as root, which Exim wants to be started by");
    }
    let answer = process::run(Command::new(program).args(["-C", "/dev/null", "-bV"]), PATIENCE);
    let is_fit = answer.is_ok_and(|answer| answer.status.success());
    (!is_fit).then_some("give Exim its user Debian-exim and the libraries that `exim4 -bV` names, as .ci/run does")
}

fn program() -> Option<PathBuf> {
    let unpacked = root().ok()?.join(UNPACKED);
    if unpacked.is_file() { Some(unpacked) } else { find("exim4") }
}

/// One with a program, a configuration, a queue and a log of its own.
pub(super) struct Exim {
    scratch: Scratch,
}

impl Exim {
    /// Makes the place. In the settings, `@` stands for its directory.
    pub(super) fn new(settings: &str) -> Outcome<Self> {
        let scratch = Scratch::new("exim")?;
        // It calls itself anew as its own user, who need not be able to reach the place where it was found. What runs here is
        // no program to become root by.
        let own = scratch.at("exim4");
        fs::copy(program().or_fail("there is no Exim")?, &own).or_fail("copying Exim")?;
        fs::set_permissions(&own, fs::Permissions::from_mode(0o755)).or_fail("copying Exim")?;
        let directory = scratch.path().display().to_string();
        scratch.file("configuration", [SETTINGS, settings].concat().replace('@', &directory))?;
        let exim = Exim { scratch };
        exim.directory("spool")?;
        Ok(exim)
    }

    /// Makes a directory into which it may write.
    pub(super) fn directory(&self, name: &str) -> Outcome<PathBuf> {
        let path = self.scratch.directory(name)?;
        must_run(Command::new("chown").arg("Debian-exim:Debian-exim").arg(&path))?;
        Ok(path)
    }

    /// The beginning of every command line.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(self.scratch.at("exim4"));
        command.arg("-C").arg(self.scratch.at("configuration"));
        command
    }

    /// What it has noted.
    pub(super) fn log(&self) -> Outcome<String> {
        fs::read_to_string(self.scratch.at("spool/mainlog")).or_fail("reading Exim's log")
    }

    /// A failure with the last words of the log, since it says nothing anywhere else.
    pub(super) fn explain(&self, failure: &Failure) -> Failure {
        let log = self.log().unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(6).collect();
        let last: Vec<_> = lines.iter().rev().map(|line| format!("\n    {line}")).collect();
        Failure::new(format!("{failure}; the last words of Exim's log:{}", last.concat()))
    }
}
