//! A whole Postfix with a configuration, a queue and a Maildir of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use smtp_tests::certificates::Files;

use super::{PATIENCE, Receiver, free_address, take_files, wait_until_ready};
use crate::interop::clients::with_system_directories;
use crate::interop::unless_installed;
use crate::workshop::Outcome;
use crate::workshop::letter::without_first_field;
use crate::workshop::process::{Running, must_run, run};
use crate::workshop::scratch::Scratch;

/// One that runs.
pub(crate) struct Postfix {
    running: Running,
    address: SocketAddr,
    /// Where it expects TLS from the first octet on.
    tls_address: SocketAddr,
    configuration: PathBuf,
    maildir: PathBuf,
}

/// The settings. Nothing is taken from the machine's own configuration, nothing is sent anywhere, and no header field is
/// rewritten or added except those of a delivery.
const MAIN: &str = "
compatibility_level = 3.6
queue_directory = @/postfix/queue
data_directory = @/postfix/data
myhostname = postfix.example.test
mydestination =
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
virtual_mailbox_domains = localhost
virtual_mailbox_base = @/postfix/mail
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_mailbox_limit = 0
mailbox_size_limit = 0
message_size_limit = 0
smtpd_relay_restrictions = permit_auth_destination, reject
local_header_rewrite_clients =
local_recipient_maps =
alias_maps =
maillog_file = /dev/stdout
";

/// The services, none of them behind chroot. The first line is for the port.
const MASTER: &str = "
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
tlsmgr unix - - n 1000? 1 tlsmgr
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
smtp unix - - n - - smtp
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
";

/// What it lacks here.
pub(crate) fn lacks() -> Option<&'static str> {
    let is_root = nix::unistd::geteuid().is_root();
    let wants_root = || (!is_root).then_some("run as root, which Postfix wants to be started by");
    unless_installed("postfix", "install postfix").or_else(wants_root)
}

impl Postfix {
    /// Starts one that takes mail for localhost.
    pub(crate) fn start(scratch: &Scratch) -> Outcome<Self> {
        Postfix::start_with(scratch, "")
    }

    /// Starts one with a certificate and one version of TLS, by STARTTLS and at [`Postfix::tls_address`].
    pub(crate) fn start_with_tls(scratch: &Scratch, files: &Files, version: &str) -> Outcome<Self> {
        let (certificate, key) = (files.certificate.display(), files.key.display());
        let files = format!("smtpd_tls_cert_file = {certificate}\nsmtpd_tls_key_file = {key}\n");
        // The first of the two is for STARTTLS, the second for TLS from the first octet on.
        let versions = format!("smtpd_tls_protocols = {version}\nsmtpd_tls_mandatory_protocols = {version}\n");
        let settings = format!("smtpd_tls_security_level = may\n{versions}{files}");
        Postfix::start_with(scratch, &settings)
    }

    /// Where it expects TLS from the first octet on, if it has a certificate.
    pub(crate) fn tls_address(&self) -> SocketAddr {
        self.tls_address
    }

    /// The process from which all of its others come.
    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Where its deliveries lie.
    pub(crate) fn delivered(&self) -> &Path {
        &self.maildir
    }

    /// Starts one with other settings, which go before the usual ones.
    pub(crate) fn start_with(scratch: &Scratch, settings: &str) -> Outcome<Self> {
        let (address, tls_address) = (free_address()?, free_address()?);
        let configuration = scratch.directory("postfix/etc")?;
        scratch.directory("postfix/queue")?;
        let data = scratch.directory("postfix/data")?;
        let mail = scratch.directory("postfix/mail")?;
        let name = |line: &str| line.split_once(" =").map(|(name, _)| name.to_owned());
        let others: Vec<_> = settings.lines().filter_map(name).collect();
        let usual = MAIN.lines().filter(|line| !name(line).is_some_and(|name| others.contains(&name)));
        let usual = usual.collect::<Vec<_>>().join("\n").replace('@', &scratch.path().display().to_string());
        scratch.file("postfix/etc/main.cf", format!("{usual}\n{settings}"))?;
        let first = format!("{address} inet n - n - - smtpd");
        let second = format!("{tls_address} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes");
        scratch.file("postfix/etc/master.cf", format!("{first}\n{second}{MASTER}"))?;
        must_run(Command::new("chown").arg("postfix").arg(&data))?;
        must_run(Command::new("chown").arg("65534:65534").arg(&mail))?;
        let mut command = with_system_directories(Command::new("postfix"));
        let running = Running::start("postfix", command.arg("-c").arg(&configuration).arg("start-fg"))?;
        let postfix = Postfix { running, address, tls_address, configuration, maildir: mail.join("box/new") };
        wait_until_ready(&postfix.running, address)?;
        Ok(postfix)
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // Its many processes end together if they are asked; the first of them is killed behind this in any case.
        let mut command = with_system_directories(Command::new("postfix"));
        command.arg("-c").arg(&self.configuration).arg("stop");
        match run(&mut command, PATIENCE) {
            Ok(_) => drop(self.running.wait(PATIENCE)),
            Err(failure) => eprintln!("note: {failure}"),
        }
    }
}

impl Receiver for Postfix {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn files(&self, recipients: usize) -> usize {
        recipients
    }

    fn take(&mut self, count: usize) -> Outcome<Vec<Vec<u8>>> {
        const FIELDS: [&[u8]; 4] = [b"Return-Path: ", b"X-Original-To: ", b"Delivered-To: ", b"Received: "];
        take_files(&self.maildir, count, |octets| {
            FIELDS.iter().try_fold(octets, |rest, field| {
                rest.starts_with(field).then(|| without_first_field(rest, b"\n")).flatten()
            })
        })
    }
}
