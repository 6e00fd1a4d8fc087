//! Our own programs: built by cargo, found beside this one.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use super::failure::{OrFail, Outcome, fail};

/// Where the three programs lie.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    directory: PathBuf,
}

impl Programs {
    /// Builds them as they are being worked on.
    pub(crate) fn build() -> Outcome<Self> {
        build(&[])?;
        Ok(Programs { directory: own_directory()? })
    }

    /// Builds them as they are installed: optimised.
    pub(crate) fn build_release() -> Outcome<Self> {
        build(&["--release"])?;
        let debug = own_directory()?;
        let directory = debug.parent().map(|parent| parent.join("release")).or_fail("this program lies nowhere")?;
        Ok(Programs { directory })
    }

    /// The server.
    pub(crate) fn server(&self) -> Command {
        self.command("smtp-server")
    }

    /// The client.
    pub(crate) fn client(&self) -> Command {
        self.command("smtp-client")
    }

    /// The spool tool, for one spool.
    pub(crate) fn spool(&self, spool: &Path) -> Command {
        let mut command = self.command("smtp-spool");
        command.arg("--spool").arg(spool);
        command
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.directory.join(name));
        // What is logged must not depend on the shell that one happens to sit in.
        command.env_remove("RUST_LOG");
        command
    }
}

/// Runs cargo in the workspace. Its output goes where ours goes.
pub(crate) fn cargo<I: AsRef<OsStr>>(words: &[I], variables: &[(&str, &str)]) -> Outcome<ExitStatus> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    // What cargo has told this program about itself would have build scripts run again that ask for it, and everything be
    // built anew that stands on them.
    let is_of_ours = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_of_ours)) {
        command.env_remove(name);
    }
    command.args(words).envs(variables.iter().copied()).current_dir(root()?).stdin(Stdio::null());
    command.status().or_fail("starting cargo")
}

/// Runs a task once more as an optimised program, because it measures what it does itself, unless it is one. `true`: that was
/// done, and went well.
pub(crate) fn has_run_optimised(task: &str, words: &[String]) -> Outcome<bool> {
    if !cfg!(debug_assertions) {
        return Ok(false);
    }
    println!("building this side, optimised");
    let words = words.iter().map(String::as_str);
    let command = ["run", "--quiet", "--release", "--package", "xtask", "--", task];
    let status = cargo(&command.into_iter().chain(words).collect::<Vec<_>>(), &[])?;
    if status.success() { Ok(true) } else { fail("not everything passed") }
}

/// The directory of the workspace.
pub(crate) fn root() -> Outcome<PathBuf> {
    // Set by `cargo run`; the other is where this program was built.
    let crate_directory = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let crate_directory = crate_directory.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    crate_directory.parent().map(Path::to_owned).or_fail("the workspace is nowhere")
}

fn build(options: &[&str]) -> Outcome {
    println!("building the programs (the first time takes a while)");
    let packages = ["build", "--quiet", "-p", "smtp-server", "-p", "smtp-client", "-p", "smtp-spool"];
    let status = cargo(&[&packages, options].concat(), &[])?;
    if status.success() { Ok(()) } else { fail("the programs do not build") }
}

fn own_directory() -> Outcome<PathBuf> {
    let own = std::env::current_exe().or_fail("finding this program")?;
    own.parent().map(Path::to_owned).or_fail("this program lies nowhere")
}
