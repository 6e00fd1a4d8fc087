//! The operator's side: one request, one answer, or why there is none.

use std::fmt;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use super::{ANSWER_OCTETS, Answer, NAME, Request, line};

/// Why there is no answer.
#[derive(Debug)]
pub enum AskError {
    /// Nobody takes requests. Perhaps nobody owns the spool: then whoever asks may become its owner.
    Nobody,
    /// The owner cannot be reached, or not by this user. Nothing was asked.
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The owner was asked and has not answered in time, or in words that mean nothing. It may have done what it was asked.
    NoAnswer {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Asks the owner of the spool in a directory, and waits for the answer for that long at most.
pub fn ask(directory: &Path, request: &Request, patience: Duration) -> Result<Answer, AskError> {
    let socket = directory.join(NAME);
    let until = Instant::now() + patience;
    let mut stream = match connect(&socket, patience) {
        Ok(stream) => stream,
        Err(error) if is_nobody(&error) => return Err(AskError::Nobody),
        Err(source) => return Err(AskError::Unreachable { socket, source }),
    };
    exchange(&mut stream, request, until).map_err(|source| AskError::NoAnswer { socket, source })
}

/// No socket, one that a killed owner left, or a path that is too long for an owner to listen at.
fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::InvalidInput)
}

fn exchange(stream: &mut UnixStream, request: &Request, until: Instant) -> io::Result<Answer> {
    stream.set_nonblocking(true)?;
    // It fits into the buffer of a fresh connection.
    stream.write_all(format!("{request}\n").as_bytes())?;
    let line = line::read(stream, ANSWER_OCTETS, until, None)?;
    line.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// An owner that accepts nobody fills its backlog, and from then on `connect` waits: on Linux for as long as a write may
/// take, which has to be said before there is a stream.
fn connect(socket: &Path, patience: Duration) -> io::Result<UnixStream> {
    let stream = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    stream.set_write_timeout(Some(patience))?;
    match stream.connect(&SockAddr::unix(socket)?) {
        Ok(()) => Ok(OwnedFd::from(stream).into()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::ErrorKind::TimedOut.into()),
        Err(error) => Err(error),
    }
}

impl AskError {
    /// Whether this user may not ask.
    pub fn is_permission(&self) -> bool {
        matches!(self, AskError::Unreachable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AskError::Nobody => f.write_str("nobody takes requests for the spool"),
            AskError::Unreachable { socket, source } if self.is_permission() => {
                write!(f, "{socket:?}: {source}; ask as the user who runs the server, or as root")
            }
            AskError::Unreachable { socket, source } => {
                write!(f, "{socket:?}: the owner of the spool cannot be reached: {source}; try again")
            }
            AskError::NoAnswer { socket, source } => {
                write!(f, "{socket:?}: the owner of the spool gave no answer: {source}; ")?;
                f.write_str("look with smtp-spool list whether it has done it, and try again")
            }
        }
    }
}

impl std::error::Error for AskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            AskError::Nobody => None,
            AskError::Unreachable { source, .. } | AskError::NoAnswer { source, .. } => Some(source),
        }
    }
}
