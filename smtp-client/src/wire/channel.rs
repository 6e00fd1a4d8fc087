//! The socket, in clear or under TLS: what is written goes through the library and comes out as records, and the other way
//! round.
//!
//! Under TLS, whoever asks whether the server has said something must ask the library. Octets that wait in the socket may be
//! no more than a ticket for the next session, and what the server has said may wait in the library with none left in the
//! socket.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use nix::sys::socket::{MsgFlags, recv};
use rustls::ClientConnection;
use smtp_proto::sasl::scram::Binding;

use super::stream::Stream;
use super::{is_timeout, until};
use crate::tls::TlsError;

/// How often what waits in the socket is taken without any of it being said. A server that sends tickets and new keys without
/// end is one that says nothing.
const MOST_LOOKS: usize = 256;

pub(super) struct Channel {
    socket: Stream,
    tls: Option<Box<ClientConnection>>,
    /// How long the socket waits. It is told only what it does not know.
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

impl Channel {
    /// In clear.
    pub(super) fn new(socket: Stream) -> Self {
        Channel { socket, tls: None, read_timeout: None, write_timeout: None }
    }

    /// Makes the handshake. A timeout of the socket is for one call only, so a server that says an octet a minute is held
    /// against the deadline here.
    pub(super) fn shake_hands(&mut self, connection: &mut ClientConnection, deadline: Instant) -> Result<(), TlsError> {
        while connection.is_handshaking() || connection.wants_write() {
            if Instant::now() >= deadline {
                return Err(TlsError::Timeout);
            }
            match self.step_of_handshake(connection, deadline) {
                Err(TlsError::Io(error)) if error.kind() == io::ErrorKind::Interrupted || is_timeout(&error) => {}
                Err(TlsError::Io(error)) if is_cut_off(&error) => return Err(TlsError::Closed),
                stepped => stepped?,
            }
        }
        Ok(())
    }

    fn step_of_handshake(&mut self, connection: &mut ClientConnection, deadline: Instant) -> Result<(), TlsError> {
        if connection.wants_write() {
            self.set_write_timeout(until(deadline)).map_err(TlsError::Io)?;
            return connection.write_tls(&mut &self.socket).map(|_| ()).map_err(TlsError::Io);
        }
        self.set_read_timeout(until(deadline)).map_err(TlsError::Io)?;
        let mut socket = &self.socket;
        if connection.read_tls(&mut socket).map_err(TlsError::Io)? == 0 {
            return Err(TlsError::Closed);
        }
        connection.process_new_packets().map(|_| ()).map_err(|error| {
            // Why, the server is told as far as it listens.
            let _ = connection.write_tls(&mut socket);
            TlsError::Tls(error)
        })
    }

    /// From here on, nothing is in clear any more.
    pub(super) fn secure(&mut self, connection: ClientConnection) {
        self.tls = Some(Box::new(connection));
    }

    /// Reads what comes, and waits for it as long as [`Channel::set_read_timeout`] says. 0: the server has closed. Under TLS
    /// what comes may be no more than a part of a record; it then says `WouldBlock`, so that whoever waits looks at the time.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => (&self.socket).read(buffer),
            Some(tls) => read(tls, &mut &self.socket, buffer, 1),
        }
    }

    /// The same without waiting.
    pub(super) fn read_waiting(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut waiting = Waiting(self.socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        match &mut self.tls {
            None => waiting.read(buffer),
            Some(tls) => read(tls, &mut waiting, buffer, MOST_LOOKS),
        }
    }

    /// Whether a read would give octets, the end of the stream or an error.
    pub(super) fn has_something_to_read(&mut self) -> bool {
        let dont_wait = MsgFlags::MSG_DONTWAIT;
        let looked = match &mut self.tls {
            None => Waiting(self.socket.as_raw_fd(), dont_wait | MsgFlags::MSG_PEEK).read(&mut [0]).map(|_| ()),
            Some(tls) => look(tls, &mut Waiting(self.socket.as_raw_fd(), dont_wait)),
        };
        !looked.is_err_and(|error| matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted))
    }

    /// Takes some of these octets. Under TLS they may wait in the library until the next call, or until
    /// [`Channel::flush`]; how many do is bounded there.
    pub(super) fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.flush()?;
        match &mut self.tls {
            None => (&self.socket).write(octets),
            Some(tls) => tls.writer().write(octets),
        }
    }

    /// Writes what was taken.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while let Some(tls) = self.tls.as_mut().filter(|tls| tls.wants_write()) {
            if tls.write_tls(&mut &self.socket)? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    /// Says that nothing more will be written: under TLS with a `close_notify` (RFC 8446, 6.1), by which the other end knows
    /// that nobody has cut anything off.
    pub(super) fn finish_writing(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            self.flush()?;
        }
        Ok(())
    }

    /// RFC 9266, 4: 32 octets under this label and no context. TLS 1.2 has nothing like it unless both sides know the extended
    /// master secret.
    pub(super) fn binding(&self) -> Binding {
        let tls = self.tls.as_ref().filter(|tls| tls.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3));
        match tls.map(|tls| tls.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""))) {
            Some(Ok(octets)) => Binding::Exporter(octets.to_vec()),
            Some(Err(_)) | None => Binding::None,
        }
    }

    /// Our end of the connection, where that has an address.
    pub(super) fn local_address(&self) -> io::Result<Option<SocketAddr>> {
        self.socket.local_address()
    }

    pub(super) fn set_read_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        if self.read_timeout != Some(timeout) {
            self.socket.set_read_timeout(timeout)?;
            self.read_timeout = Some(timeout);
        }
        Ok(())
    }

    pub(super) fn set_write_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        if self.write_timeout != Some(timeout) {
            self.socket.set_write_timeout(timeout)?;
            self.write_timeout = Some(timeout);
        }
        Ok(())
    }

    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }
}

/// What the library makes of what `source` gives, which is asked so often at most. 0 stands behind a `close_notify`; an end
/// without one is an error, since anybody can have made it.
fn read(tls: &mut ClientConnection, source: &mut impl Read, buffer: &mut [u8], most_looks: usize) -> io::Result<usize> {
    for _ in 0..most_looks {
        match tls.reader().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
        take(tls, source)?;
    }
    tls.reader().read(buffer)
}

/// `Ok`: there is something to read.
fn look(tls: &mut ClientConnection, source: &mut impl Read) -> io::Result<()> {
    for _ in 0..MOST_LOOKS {
        let state = tls.process_new_packets().map_err(invalid)?;
        if state.plaintext_bytes_to_read() > 0 || state.peer_has_closed() || take(tls, source)? == 0 {
            return Ok(());
        }
    }
    Err(io::ErrorKind::WouldBlock.into())
}

fn take(tls: &mut ClientConnection, source: &mut impl Read) -> io::Result<usize> {
    let count = tls.read_tls(source)?;
    tls.process_new_packets().map_err(invalid)?;
    Ok(count)
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// What waits in a socket.
struct Waiting(RawFd, MsgFlags);

impl Read for Waiting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        recv(self.0, buffer, self.1).map_err(io::Error::from)
    }
}

fn is_cut_off(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}
