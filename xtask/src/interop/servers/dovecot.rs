//! Dovecot, which has mailboxes: messages go in by LMTP (RFC 2033), over TCP or a Unix socket, and come out by POP3.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use super::{PATIENCE, Receiver, free_address, take_files, wait_until_ready};
use crate::interop::unless_installed;
use crate::workshop::Outcome;
use crate::workshop::letter::without_first_field;
use crate::workshop::process::{Finished, Running, find, must_run, run};
use crate::workshop::scratch::Scratch;

/// One that runs.
pub(crate) struct Dovecot {
    running: Running,
    lmtp: SocketAddr,
    pop3: SocketAddr,
    is_called_over_unix_socket: bool,
    scratch: Scratch,
}

/// The settings. Nothing is taken from the machine's own configuration, and there is no TLS.
const SETTINGS: &str = "
base_dir = @/run
state_dir = @/state
log_path = /dev/stderr
protocols = lmtp pop3
ssl = no
disable_plaintext_auth = no
listen = 127.0.0.1
mail_location = maildir:@/mail/box
service lmtp {
  inet_listener lmtp {
    address = 127.0.0.1
    port = LMTP
  }
  unix_listener @/lmtp {
    mode = 0666
  }
}
service pop3-login {
  inet_listener pop3 {
    port = POP3
  }
  inet_listener pop3s {
    port = 0
  }
}
passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%Ln @/users
}
userdb {
  driver = passwd-file
  args = username_format=%Ln @/users
}
";

/// Whose mail it is: nobody's.
const OWNER: &str = "65534:65534";

/// The password of every user.
const PASSWORD: &str = "secret";

/// What it lacks here.
pub(crate) fn lacks() -> Option<&'static str> {
    if let Some(remedy) = unless_installed("dovecot", "install dovecot-core, dovecot-lmtpd and dovecot-pop3d") {
        return Some(remedy);
    }
    let is_there = |name: &str| Path::new("/usr/lib/dovecot").join(name).is_file();
    if !is_there("lmtp") || !is_there("pop3") {
        return Some("install dovecot-lmtpd and dovecot-pop3d");
    }
    let version = find("dovecot").and_then(|program| run(Command::new(program).arg("--version"), PATIENCE).ok());
    if !version.is_some_and(|version| version.text().starts_with("2.3.")) {
        return Some("install Dovecot 2.3; later ones have another language for their settings");
    }
    (!nix::unistd::geteuid().is_root()).then_some("run as root, which Dovecot wants to be started by")
}

impl Dovecot {
    /// Starts one. Its users are those of `clients::recipients`, who share a Maildir; `broken`, whose Maildir cannot be
    /// written to; and `reader`, whose Maildir lies in [`Dovecot::maildirs_of_reader`].
    pub(crate) fn start() -> Outcome<Self> {
        let scratch = Scratch::new("dovecot")?;
        let (lmtp, pop3) = (free_address()?, free_address()?);
        let directory = scratch.path().display().to_string();
        let mail = scratch.directory("mail")?;
        scratch.directory("locked")?;
        must_run(Command::new("chown").arg(OWNER).arg(&mail))?;
        let users = std::iter::once("bob".to_owned()).chain((2..=100).map(|number| format!("{number}bob")));
        let user = |name: &str, more: &str| format!("{name}:{{PLAIN}}{PASSWORD}:{OWNER}::{directory}/mail::{more}\n");
        let mut lines: String = users.map(|name| user(&name, "")).collect();
        lines += &user("broken", &format!("userdb_mail=maildir:{directory}/locked/box"));
        lines += &user("reader", &format!("userdb_mail=maildir:{directory}/ours/reader"));
        scratch.file("users", lines)?;
        let settings = SETTINGS.replace("LMTP", &lmtp.port().to_string()).replace("POP3", &pop3.port().to_string());
        let file = scratch.file("dovecot.conf", settings.replace('@', &directory))?;
        let mut command = Command::new(find("dovecot").unwrap_or_else(|| PathBuf::from("dovecot")));
        let running = Running::start("dovecot", command.arg("-F").arg("-c").arg(file))?;
        let dovecot = Dovecot { running, lmtp, pop3, is_called_over_unix_socket: false, scratch };
        wait_until_ready(&dovecot.running, lmtp)?;
        wait_until_ready(&dovecot.running, pop3)?;
        Ok(dovecot)
    }

    /// The same, called by another way.
    pub(crate) fn over_unix_socket(mut self) -> Self {
        self.is_called_over_unix_socket = true;
        self
    }

    /// The directory in which the Maildir of `reader` lies.
    pub(crate) fn maildirs_of_reader(&self) -> PathBuf {
        self.scratch.at("ours")
    }

    /// Gives that Maildir to its reader.
    pub(crate) fn hand_over(&self) -> Outcome {
        must_run(Command::new("chown").args(["-R", OWNER]).arg(self.maildirs_of_reader())).map(drop)
    }

    /// A message of `reader`, by its number from 1, as POP3 gives it.
    pub(crate) fn retrieve(&self, number: usize) -> Outcome<Finished> {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--user", &format!("reader:{PASSWORD}")]);
        must_run(command.arg(format!("pop3://{}/{number}", self.pop3)))
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        // It ends its many processes itself if it is asked; the first of them is killed behind this in any case.
        let ended = self.running.signal(Signal::SIGTERM).and_then(|()| self.running.wait(PATIENCE));
        if let Err(failure) = ended {
            eprintln!("note: {failure}");
        }
    }
}

impl Receiver for Dovecot {
    fn address(&self) -> SocketAddr {
        self.lmtp
    }

    fn option(&self) -> [String; 2] {
        let server = match self.is_called_over_unix_socket {
            true => format!("unix:{}", self.scratch.at("lmtp").display()),
            false => self.lmtp.to_string(),
        };
        ["--lmtp".to_owned(), server]
    }

    fn files(&self, recipients: usize) -> usize {
        recipients
    }

    fn take(&mut self, count: usize) -> Outcome<Vec<Vec<u8>>> {
        take_files(&self.scratch.at("mail/box/new"), count, |octets| {
            let behind_path = without_field(octets, b"Return-Path: ")?;
            // It says whose mailbox it is only if the others need not be hidden.
            without_field(without_field(behind_path, b"Delivered-To: ").unwrap_or(behind_path), b"Received: ")
        })
    }
}

fn without_field<'a>(octets: &'a [u8], start: &[u8]) -> Option<&'a [u8]> {
    octets.starts_with(start).then(|| without_first_field(octets, b"\n")).flatten()
}
