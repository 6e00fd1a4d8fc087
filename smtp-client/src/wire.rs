//! Octets with deadlines: what a blocking socket needs so that no peer holds it longer than was agreed.

mod channel;
mod stream;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use smtp_proto::sasl::scram::Binding;

use crate::peer::Peer;
use crate::tls::{Handshake, Secured, TlsError};
use crate::transcript::Observer;
use channel::Channel;
pub(crate) use stream::Stream;

/// The longest single wait. Longer ones are made of several, since not every system takes any number of seconds.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// What is read at once. Replies are short.
const READ_OCTETS: usize = 4 * 1024;

/// The longest wait for a reply in one go, after which the clock is looked at. Nearly every reply may take longer, so the
/// socket keeps this one timeout and need not be told another before each read.
const ONE_WAIT: Duration = Duration::from_secs(30);

/// How long a write that does not get on goes without a look at what the server may be saying.
const LOOK_UP: Duration = Duration::from_millis(100);

/// A connection, and who watches it.
pub(crate) struct Wire {
    channel: Channel,
    pub(crate) observer: Box<dyn Observer>,
    /// What came with the last read.
    buffer: Box<[u8]>,
}

/// What is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Commands. Replies to earlier ones may come while they are written.
    Commands,
    /// A command, or a line in the dialogue of AUTH, that nobody should see.
    Secret,
    /// Content. No reply belongs here: one that comes is a reason to stop.
    Content,
    /// The same, with its BDAT line in front.
    Chunk,
}

/// Why something could not be written to its end.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// The server takes no more of the content and has something to say.
    Answered,
    /// The server took nothing until the deadline.
    Timeout,
    /// The connection broke.
    Broken(io::Error),
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::Answered => f.write_str("the server answers before the end of the content"),
            WriteError::Timeout => f.write_str("the server takes no more"),
            WriteError::Broken(error) => error.fmt(f),
        }
    }
}

impl Wire {
    /// Opens a connection.
    pub(crate) fn connect(peer: &Peer, deadline: Instant) -> io::Result<Stream> {
        Stream::connect(peer, until(deadline))
    }

    /// Takes over a connection.
    pub(crate) fn new(stream: Stream, observer: Box<dyn Observer>) -> io::Result<Self> {
        // Each flight is one write; nothing is gained by holding its last segment back for an acknowledgement.
        stream.set_no_delay()?;
        Ok(Wire { channel: Channel::new(stream), observer, buffer: vec![0; READ_OCTETS].into() })
    }

    /// Our end of the connection, where that has an address.
    pub(crate) fn local_address(&self) -> io::Result<Option<SocketAddr>> {
        self.channel.local_address()
    }

    /// Writes all of it, however slowly it is taken, until the deadline. A timeout of the socket is for one call only, so
    /// it alone would let a server that takes an octet a minute hold us for ever.
    pub(crate) fn write(&mut self, mut octets: &[u8], kind: Kind, deadline: Instant) -> Result<(), WriteError> {
        match kind {
            Kind::Commands => self.observer.commands(octets),
            Kind::Secret => self.observer.commands(&without_secret(octets)),
            Kind::Content => self.observer.content(octets),
            Kind::Chunk => {
                let line_end = memchr::memchr(b'\n', octets).map_or(octets.len(), |line_feed| line_feed + 1);
                let (line, content) = octets.split_at(line_end);
                self.observer.commands(line);
                self.observer.content(content);
            }
        }
        loop {
            self.channel.set_write_timeout(until(deadline).min(LOOK_UP)).map_err(WriteError::Broken)?;
            let is_end = octets.is_empty();
            let written = if is_end { self.channel.flush().map(|()| 0) } else { self.channel.write(octets) };
            match written {
                Ok(_) if is_end => return Ok(()),
                Ok(0) => return Err(WriteError::Broken(io::ErrorKind::WriteZero.into())),
                Ok(count) => octets = octets.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if !is_timeout(&error) => return Err(WriteError::Broken(error)),
                // RFC 5321 knows no reply here; the servers that have seen enough know one all the same.
                Err(_) if !matches!(kind, Kind::Commands | Kind::Secret) && self.channel.has_something_to_read() => {
                    return Err(WriteError::Answered);
                }
                Err(_) if Instant::now() >= deadline => return Err(WriteError::Timeout),
                Err(_) => {}
            }
        }
    }

    /// Reads what comes, at the end of `input`. Once the deadline has passed, what is there already is still taken, so
    /// that a host which was busy elsewhere does not blame the server. 0 means that the server has closed.
    pub(crate) fn read(&mut self, input: &mut Vec<u8>, deadline: Instant) -> io::Result<usize> {
        loop {
            if Instant::now() >= deadline {
                return self.read_waiting(input)?.ok_or_else(|| io::ErrorKind::TimedOut.into());
            }
            self.channel.set_read_timeout(until(deadline).min(ONE_WAIT))?;
            match self.channel.read(&mut self.buffer) {
                Ok(count) => return Ok(self.take(count, input)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted || is_timeout(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads without waiting. `None`: there is nothing.
    pub(crate) fn read_waiting(&mut self, input: &mut Vec<u8>) -> io::Result<Option<usize>> {
        match self.channel.read_waiting(&mut self.buffer) {
            Ok(count) => Ok(Some(self.take(count, input))),
            Err(error) if error.kind() == io::ErrorKind::Interrupted || is_timeout(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What ties a proof to this very connection (RFC 9266): TLS 1.3 has it.
    pub(crate) fn binding(&self) -> Binding {
        self.channel.binding()
    }

    fn take(&mut self, count: usize, input: &mut Vec<u8>) -> usize {
        let octets = self.buffer.get(..count).unwrap_or_default();
        self.observer.replies(octets);
        input.extend_from_slice(octets);
        octets.len()
    }

    /// Puts the connection under TLS. Nothing may be left to be written, and nothing may have come that was not taken.
    pub(crate) fn secure(&mut self, mut handshake: Handshake, deadline: Instant) -> Result<Secured, TlsError> {
        let made = self.channel.shake_hands(&mut handshake.connection, deadline);
        let secured = made.map(|()| handshake.finish()).map(|(connection, secured)| {
            self.channel.secure(connection);
            secured
        });
        self.observer.handshake(secured.as_ref());
        secured
    }

    /// Says that nothing more will be written.
    pub(crate) fn finish_writing(&mut self) {
        self.say_end();
        // The server may have gone first.
        let _ = self.channel.shutdown(std::net::Shutdown::Write);
    }

    /// Says under TLS that this is the end, which in clear the end of the connection says. Whoever does not take it at once
    /// is not waited for.
    pub(crate) fn say_end(&mut self) {
        // The server may have gone first.
        let said = self.channel.set_write_timeout(LOOK_UP).and_then(|()| self.channel.finish_writing());
        said.unwrap_or_else(|error| log::debug!("close_notify: {error}"));
    }

    /// Ends both directions at once.
    pub(crate) fn shut_down(&self) {
        // It may be gone already.
        let _ = self.channel.shutdown(std::net::Shutdown::Both);
    }
}

/// `AUTH PLAIN ***`, or `***` in the dialogue: what watches a conversation may be kept, and shown to others.
fn without_secret(octets: &[u8]) -> Vec<u8> {
    let line = octets.trim_ascii_end();
    let named = line.strip_prefix(b"AUTH ").and_then(|rest| rest.split(|octet| *octet == b' ').next());
    match named {
        Some(mechanism) => [b"AUTH ", mechanism, b" ***\r\n"].concat(),
        None => b"***\r\n".to_vec(),
    }
}

/// `patience` after `start`; a century for what is beyond the clock.
pub(crate) fn later(start: Instant, patience: Duration) -> Instant {
    let century = Duration::from_secs(100 * 365 * 24 * 3_600);
    start.checked_add(patience).or_else(|| start.checked_add(century)).unwrap_or(start)
}

/// What is left until then; never zero, which the socket would take for "for ever".
pub(crate) fn until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).clamp(Duration::from_millis(1), LONGEST_WAIT)
}

pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
