//! Servers that others wrote: started on a free port, asked what arrived, stopped.

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::clients::with_system_directories;
use crate::workshop::letter::{with_crlf, without_first_field};
use crate::workshop::process::{Running, run};
use crate::workshop::scratch::Scratch;
use crate::workshop::{OrFail, Outcome, failure::ensure, failure::fail};

/// How long a server may take to say hello, and a message to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that takes what our client sends.
pub(super) trait Receiver {
    /// Where it listens.
    fn address(&self) -> SocketAddr;

    /// How many files a message makes.
    fn files(&self, recipients: usize) -> usize;

    /// Takes away so many messages, without what the server put on top; waits until they are there. Lines end in CRLF.
    fn take(&mut self, count: usize) -> Outcome<Vec<Vec<u8>>>;
}

/// Postfix's smtp-sink, which writes down what it hears.
pub(super) struct Sink {
    _running: Running,
    address: SocketAddr,
    dump: PathBuf,
}

impl Sink {
    /// Starts one with further options.
    pub(super) fn start(scratch: &Scratch, options: &[&str]) -> Outcome<Self> {
        let address = free_address()?;
        let dump = scratch.open_directory(&format!("sink-{}", address.port()))?;
        let mut command = with_system_directories(Command::new("smtp-sink"));
        // Not asked to write as root; the directory is open to everybody.
        command.args(["-u", "nobody", "-h", "sink.example.test", "-d"]).arg(dump.join("mail.")).args(options);
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

/// A whole Postfix with a configuration, a queue and a Maildir of its own.
pub(super) struct Postfix {
    running: Running,
    address: SocketAddr,
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
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
";

impl Postfix {
    /// Starts one. This needs root.
    pub(super) fn start(scratch: &Scratch) -> Outcome<Self> {
        let address = free_address()?;
        let configuration = scratch.directory("postfix/etc")?;
        scratch.directory("postfix/queue")?;
        let data = scratch.directory("postfix/data")?;
        let mail = scratch.directory("postfix/mail")?;
        scratch.file("postfix/etc/main.cf", MAIN.replace('@', &scratch.path().display().to_string()))?;
        scratch.file("postfix/etc/master.cf", format!("{address} inet n - n - - smtpd{MASTER}"))?;
        run_tool(Command::new("chown").arg("postfix").arg(&data))?;
        run_tool(Command::new("chown").arg("65534:65534").arg(&mail))?;
        let mut command = with_system_directories(Command::new("postfix"));
        let running = Running::start("postfix", command.arg("-c").arg(&configuration).arg("start-fg"))?;
        let postfix = Postfix { running, address, configuration, maildir: mail.join("box/new") };
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

/// Takes files away from a directory once there are so many; their lines end in LF.
fn take_files(directory: &Path, count: usize, strip: impl Fn(&[u8]) -> Option<&[u8]>) -> Outcome<Vec<Vec<u8>>> {
    let deadline = Instant::now() + PATIENCE;
    let paths = loop {
        let paths = files(directory)?;
        if paths.len() >= count {
            break paths;
        }
        ensure(Instant::now() < deadline, || format!("only {} of {count} messages arrived", paths.len()))?;
        std::thread::sleep(Duration::from_millis(10));
    };
    ensure(paths.len() == count, || format!("{} messages arrived, not {count}", paths.len()))?;
    let mut messages = Vec::new();
    for path in paths {
        let octets = fs::read(&path).or_fail("reading what arrived")?;
        let Some(content) = strip(&octets) else {
            let start = octets.get(..300).unwrap_or(&octets).escape_ascii();
            return fail(format!("unexpected fields on top: {start}"));
        };
        messages.push(with_crlf(content));
        fs::remove_file(&path).or_fail("removing what arrived")?;
    }
    Ok(messages)
}

fn files(directory: &Path) -> Outcome<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path()).or_fail("reading a directory")).collect(),
        // It is made with the first message.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).or_fail("reading a directory"),
    }
}

/// An address at which nobody listens. Somebody else may take it before the server does; then the server says so.
fn free_address() -> Outcome<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").or_fail("looking for a free port")?;
    listener.local_addr().or_fail("looking for a free port")
}

/// These servers do not say when they are ready, so they are called until they answer.
fn wait_until_ready(running: &Running, address: SocketAddr) -> Outcome {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Ok(mut stream) = TcpStream::connect_timeout(&address, PATIENCE) {
            stream.set_read_timeout(Some(PATIENCE)).or_fail("a socket")?;
            // Which answer it is does not matter: some of them are told to be unfriendly.
            if stream.read(&mut [0; 512]).is_ok_and(|count| count > 0) {
                return Ok(());
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(running.complain("does not answer"))
}

fn run_tool(command: &mut Command) -> Outcome {
    crate::workshop::process::must_run(command).map(drop)
}
