//! Servers that others wrote: started on a free port, asked what arrived, stopped.

mod sink;
mod aiosmtpd;
mod postfix;
mod exim;
mod dovecot;
mod sasl;

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use self::aiosmtpd::Aiosmtpd;
pub(super) use self::dovecot::{Dovecot, lacks as lacks_dovecot};
use self::exim::EximServer;
pub(crate) use self::postfix::{Postfix, lacks as lacks_postfix};
pub(super) use self::sasl::{Sasl, lacks as lacks_sasl};
pub(super) use self::sink::Sink;
use super::unless_installed;
use crate::workshop::letter::with_crlf;
use crate::workshop::process::Running;
use crate::workshop::scratch::Scratch;
pub(super) use crate::workshop::server::free_address;
use crate::workshop::{OrFail, Outcome, failure::ensure};

/// How long a server may take to say hello, and a message to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server.
pub(super) struct Server {
    /// What it is called.
    pub(super) name: &'static str,
    /// How to get what it lacks here.
    pub(super) lacks: fn() -> Option<&'static str>,
    /// Whether it offers CHUNKING (RFC 3030).
    pub(super) takes_chunks: bool,
    /// Starts it.
    pub(super) start: fn(&Scratch) -> Outcome<Box<dyn Receiver>>,
}

/// All of them.
pub(super) const SERVERS: [Server; 6] = [
    Server {
        name: "smtp-sink",
        lacks: || unless_installed("smtp-sink", "install postfix"),
        takes_chunks: false,
        start: |scratch| Ok(Box::new(Sink::start(scratch, &[])?)),
    },
    Server {
        name: "aiosmtpd",
        lacks: aiosmtpd::lacks,
        takes_chunks: false,
        start: |scratch| Ok(Box::new(Aiosmtpd::start(scratch)?)),
    },
    Server {
        name: "Postfix",
        lacks: postfix::lacks,
        takes_chunks: true,
        start: |scratch| Ok(Box::new(Postfix::start(scratch)?)),
    },
    Server {
        name: "Exim",
        lacks: super::exim::lacks,
        takes_chunks: true,
        start: |_scratch| Ok(Box::new(EximServer::start()?)),
    },
    Server {
        name: "Dovecot by LMTP",
        lacks: dovecot::lacks,
        takes_chunks: true,
        start: |_scratch| Ok(Box::new(Dovecot::start()?)),
    },
    Server {
        name: "Dovecot by LMTP over a Unix socket",
        lacks: dovecot::lacks,
        takes_chunks: true,
        start: |_scratch| Ok(Box::new(Dovecot::start()?.over_unix_socket())),
    },
];

/// One that runs, and takes what our client sends.
pub(crate) trait Receiver {
    /// Where it listens.
    fn address(&self) -> SocketAddr;

    /// The option of our client that leads to it.
    fn option(&self) -> [String; 2] {
        ["--server".to_owned(), self.address().to_string()]
    }

    /// How many files a message makes.
    fn files(&self, recipients: usize) -> usize;

    /// Takes away so many messages, without what the server put on top; waits until they are there. Lines end in CRLF.
    fn take(&mut self, count: usize) -> Outcome<Vec<Vec<u8>>>;
}

/// Takes files away from a directory once there are so many; their lines end in LF.
fn take_files(directory: &Path, count: usize, strip: impl Fn(&[u8]) -> Option<&[u8]>) -> Outcome<Vec<Vec<u8>>> {
    let strip = |octets: &Vec<u8>| {
        let start = || octets.get(..300).unwrap_or(octets).escape_ascii();
        strip(octets).map(with_crlf).or_fail(format_args!("unexpected fields on top: {}", start()))
    };
    take_raw_files(directory, count)?.iter().map(strip).collect()
}

/// The same with the files as they are.
fn take_raw_files(directory: &Path, count: usize) -> Outcome<Vec<Vec<u8>>> {
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
        messages.push(fs::read(&path).or_fail("reading what arrived")?);
        fs::remove_file(&path).or_fail("removing what arrived")?;
    }
    Ok(messages)
}

/// What a directory holds, if there is one.
pub(crate) fn files(directory: &Path) -> Outcome<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path()).or_fail("reading a directory")).collect(),
        // It is made with the first message.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).or_fail("reading a directory"),
    }
}

/// These servers do not say when they are ready, so they are called until they answer.
pub(crate) fn wait_until_ready(running: &Running, address: SocketAddr) -> Outcome {
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
