//! The octets of one conversation: over TCP as they are, or under TLS once there was a handshake.
//!
//! TLS changes nothing about time: every wait is one for the socket, under the same deadlines, and whoever is blocked in it is
//! reached by the same shutdown of its reading half (see [`crate::registry`]).

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::sys::socket::{MsgFlags, recv};
use rustls::server::ServerConnection;
use smtp_proto::sasl::scram::Binding;

/// How long one write may block before the deadline is looked at.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Octets that are read and forgotten behind our last reply.
const LINGER_OCTETS: usize = 256 * 1024;

/// One connection, from the accept to the close.
#[derive(Debug)]
pub(crate) struct Stream<'a> {
    socket: &'a TcpStream,
    /// Whether octets in clear have no place here, or none any more.
    is_tls: bool,
    /// There from the first octet of the handshake on. In a box, since it is large and often not there.
    tls: Option<Box<ServerConnection>>,
    /// What the socket's read timeout is set to.
    read_timeout: Duration,
}

impl<'a> Stream<'a> {
    pub(crate) fn new(socket: &'a TcpStream, is_tls: bool) -> Self {
        Stream { socket, is_tls, tls: None, read_timeout: Duration::ZERO }
    }

    /// Sets the socket up. Nothing blocks for longer than `patience` before somebody looks at the time.
    pub(crate) fn prepare(&self, patience: Duration) -> io::Result<()> {
        // A reply that waits for the acknowledgement of the one before it costs 40 ms.
        self.socket.set_nodelay(true)?;
        self.socket.set_write_timeout(Some(WRITE_TIMEOUT.min(patience).max(Duration::from_millis(1))))
    }

    /// Whether octets in clear have no place here, or none any more.
    pub(crate) fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The cipher suite, by its registered name, and the version of TLS.
    pub(crate) fn tls_suite(&self) -> Option<(String, rustls::ProtocolVersion)> {
        let tls = self.tls.as_ref()?;
        // For TLS 1.3 rustls has names of its own.
        let suite = format!("{:?}", tls.negotiated_cipher_suite()?.suite()).replacen("TLS13_", "TLS_", 1);
        Some((suite, tls.protocol_version()?))
    }

    /// What ties a proof to this very connection (RFC 9266). TLS 1.2 has nothing like it unless both sides know the extended
    /// master secret, so it is offered with TLS 1.3 only.
    pub(crate) fn binding(&self) -> Binding {
        let tls = self.tls.as_ref().filter(|tls| tls.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3));
        // RFC 9266, 4: 32 octets under this label and no context.
        let exported = tls.map(|tls| tls.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")));
        match exported {
            Some(Ok(octets)) => Binding::Exporter(octets.to_vec()),
            Some(Err(_)) | None => Binding::None,
        }
    }

    /// Holds the handshake. A failure is told to the peer as far as TLS has a word for it.
    pub(crate) fn shake_hands(&mut self, tls: Box<ServerConnection>, deadline: Instant) -> io::Result<()> {
        self.is_tls = true;
        let tls = self.tls.insert(tls);
        flush_tls(tls, self.socket, deadline)?;
        while tls.is_handshaking() {
            set_read_timeout(self.socket, &mut self.read_timeout, left(deadline)?)?;
            match tls.read_tls(&mut self.socket) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => process(tls, self.socket, deadline)?,
                Err(error) if is_worth_another_try(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What has come already. Does not wait.
    pub(crate) fn read_available(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.receive(&mut Available(self.socket), buffer, Instant::now() + WRITE_TIMEOUT) {
            Err(error) if is_worth_another_try(&error) => Ok(0),
            read => read,
        }
    }

    /// Waits for octets; 0 is the end. `WouldBlock` and the like ask to be called again, if there is still time.
    pub(crate) fn read(&mut self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        set_read_timeout(self.socket, &mut self.read_timeout, left(deadline)?)?;
        self.receive(&mut { self.socket }, buffer, deadline)
    }

    fn receive(&mut self, source: &mut dyn Read, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return source.read(buffer) };
        match tls.reader().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return or_end(read),
        }
        tls.read_tls(source)?;
        process(tls, self.socket, deadline)?;
        or_end(tls.reader().read(buffer))
    }

    /// Writes all of it, however slowly it is taken, until the deadline: the socket's own timeout is for one call only, and a
    /// peer that takes an octet now and then must not hold its thread for ever.
    pub(crate) fn write_all(&mut self, mut octets: &[u8], deadline: Instant) -> io::Result<()> {
        let Some(tls) = &mut self.tls else {
            let mut socket = self.socket;
            while !octets.is_empty() {
                let count = write_some(deadline, || socket.write(octets))?;
                octets = octets.get(count..).unwrap_or_default();
                check_time(deadline, octets.is_empty())?;
            }
            return Ok(());
        };
        while !octets.is_empty() {
            // It takes what fits into its buffer, which is empty behind each flush.
            let count = tls.writer().write(octets)?;
            octets = octets.get(count..).unwrap_or_default();
            flush_tls(tls, self.socket, deadline)?;
        }
        Ok(())
    }

    /// Closes so that the last reply arrives: a close with input unread would reset the connection and could take the
    /// reply with it. Nothing waits for it longer than this time; a session that was drained or evicted does not wait at all,
    /// since its reading half is shut already.
    pub(crate) fn close(&mut self, buffer: &mut [u8], timeout: Duration) -> io::Result<()> {
        let until = Instant::now() + timeout;
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            flush_tls(tls, self.socket, until)?;
        }
        self.socket.shutdown(Shutdown::Write)?;
        let (mut octets, mut socket) = (0, self.socket);
        while octets < LINGER_OCTETS
            && let Ok(left) = left(until)
        {
            self.socket.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            match socket.read(buffer) {
                Ok(0) => break,
                Ok(count) => octets += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        Ok(())
    }
}

/// A socket as far as it has something now.
struct Available<'a>(&'a TcpStream);

impl Read for Available<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        recv(self.0.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT).map_err(io::Error::from)
    }
}

/// Takes what was read apart. What TLS has to say to it goes out, an alert above all.
fn process(tls: &mut ServerConnection, socket: &TcpStream, deadline: Instant) -> io::Result<()> {
    let processed = tls.process_new_packets();
    let flushed = flush_tls(tls, socket, deadline);
    processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    flushed
}

fn flush_tls(tls: &mut ServerConnection, mut socket: &TcpStream, deadline: Instant) -> io::Result<()> {
    while tls.wants_write() {
        write_some(deadline, || tls.write_tls(&mut socket))?;
        check_time(deadline, !tls.wants_write())?;
    }
    Ok(())
}

fn write_some(deadline: Instant, mut write: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match write() {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => return Ok(count),
            Err(error) if is_worth_another_try(&error) => drop(left(deadline)?),
            Err(error) => return Err(error),
        }
    }
}

/// What has gone out may have gone slowly.
fn check_time(deadline: Instant, is_done: bool) -> io::Result<()> {
    if is_done { Ok(()) } else { left(deadline).map(drop) }
}

/// TCP has no end that could be told from a lost connection, and so none that completes a message: neither has an end without
/// `close_notify`, which anybody on the way can make.
fn or_end(read: io::Result<usize>) -> io::Result<usize> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
        read => read,
    }
}

/// The time that is left; an error when there is none.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// A system call for each read would be one too many: a timeout that is a little short only leads to another look.
fn set_read_timeout(socket: &TcpStream, is_set: &mut Duration, left: Duration) -> io::Result<()> {
    let is_near_enough = *is_set <= left && *is_set * 2 >= left;
    if !is_near_enough {
        let timeout = left.max(Duration::from_millis(1));
        socket.set_read_timeout(Some(timeout))?;
        *is_set = timeout;
    }
    Ok(())
}

/// The socket's timeout is over, or a signal came: not the peer's fault, and not the deadline.
pub(crate) fn is_worth_another_try(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
