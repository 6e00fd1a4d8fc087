//! One line from a peer of whom nothing good is expected: no longer than it may be, no later than it may come.

use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// What a wait ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    /// Something can be read, if only the end.
    Input,
    /// Whoever waits is to stop.
    Stop,
    /// The time is over.
    Nothing,
}

/// Waits until something can be read from `input`, or `stop` has ended.
pub(super) fn wait(input: BorrowedFd<'_>, stop: Option<BorrowedFd<'_>>, until: Option<Instant>) -> io::Result<Ready> {
    loop {
        let mut watched = vec![PollFd::new(input, PollFlags::POLLIN)];
        watched.extend(stop.map(|stop| PollFd::new(stop, PollFlags::POLLIN)));
        match poll(&mut watched, timeout(until)) {
            Ok(0) if until.is_some_and(|until| until <= Instant::now()) => return Ok(Ready::Nothing),
            Ok(0) | Err(Errno::EINTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let is_ready = |place: usize| watched.get(place).and_then(PollFd::any).unwrap_or(false);
        match (is_ready(1), is_ready(0)) {
            (true, _) => return Ok(Ready::Stop),
            (_, true) => return Ok(Ready::Input),
            _ => {}
        }
    }
}

/// Rounded up, so that nobody wakes a moment too early again and again.
fn timeout(until: Option<Instant>) -> PollTimeout {
    let Some(until) = until else { return PollTimeout::NONE };
    let milliseconds = until.saturating_duration_since(Instant::now()).as_millis().saturating_add(1);
    u16::try_from(milliseconds).map_or(PollTimeout::from(u16::MAX), PollTimeout::from)
}

/// Reads a line from a socket that does not block. Without its newline. `InvalidData` if the peer sends what is no line of at
/// most so many octets.
pub(super) fn read(
    mut stream: &UnixStream,
    limit: usize,
    until: Instant,
    stop: Option<BorrowedFd<'_>>,
) -> io::Result<String> {
    let no_line = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut line = Vec::with_capacity(limit);
    loop {
        match wait(stream.as_fd(), stop, Some(until))? {
            Ready::Input => {}
            Ready::Stop => return Err(io::ErrorKind::ConnectionAborted.into()),
            Ready::Nothing => return Err(io::ErrorKind::TimedOut.into()),
        }
        let mut piece = [0; 256];
        let count = match stream.read(&mut piece) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => continue,
            Err(error) => return Err(error),
        };
        let piece = piece.get(..count).unwrap_or_default();
        // What stands behind the line is not read: there is one line to a connection.
        let end = piece.iter().position(|octet| *octet == b'\n');
        line.extend_from_slice(piece.get(..end.unwrap_or(count)).unwrap_or_default());
        if line.len() >= limit {
            return Err(no_line(format!("longer than a line of {limit} octets")));
        }
        if end.is_some() {
            return String::from_utf8(line).map_err(|_| no_line("not in UTF-8".to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::Duration;

    use super::*;

    /// A pair, the second of which does not block.
    fn pair() -> (UnixStream, UnixStream) {
        let (one, other) = UnixStream::pair().unwrap();
        other.set_nonblocking(true).unwrap();
        (one, other)
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn a_line_at_its_limit_and_one_above() {
        for (sent, expected) in [
            ("123456789\n", Ok("123456789")),
            ("\n", Ok("")),
            ("a\nb", Ok("a")),
            ("1234567890\n", Err(io::ErrorKind::InvalidData)),
            ("1234567890", Err(io::ErrorKind::InvalidData)),
            ("123456789", Err(io::ErrorKind::UnexpectedEof)),
            ("", Err(io::ErrorKind::UnexpectedEof)),
        ] {
            let (mut peer, stream) = pair();
            peer.write_all(sent.as_bytes()).unwrap();
            drop(peer);
            let read = read(&stream, 10, later(), None);
            assert_eq!(read.as_deref().map_err(io::Error::kind), expected, "{sent:?}");
        }
        let (mut peer, stream) = pair();
        peer.write_all(b"\xff\n").unwrap();
        assert_eq!(read(&stream, 10, later(), None).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_wait_ends() {
        let (mut peer, stream) = pair();
        peer.write_all(b"half").unwrap();
        let now = Instant::now();
        assert_eq!(read(&stream, 10, now, None).unwrap_err().kind(), io::ErrorKind::TimedOut);
        let (stop, stopped) = pair();
        drop(stop);
        let stopped = read(&stream, 10, later(), Some(stopped.as_fd()));
        assert_eq!(stopped.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    }
}
