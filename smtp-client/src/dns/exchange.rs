//! One question to one server: a datagram there and a datagram back, and the same over TCP when the answer is too long.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Instant;

use super::Trouble;
use super::message::{Question, Reply, Unfit};
use crate::wire::{is_timeout, until};

/// Octets of a datagram; servers send 512, or 1,232 if they are told that they may.
const DATAGRAM_OCTETS: usize = 4_096;

/// Asks, and waits for the answer until the deadline.
pub(super) fn ask(server: SocketAddr, question: &Question, edns0: bool, deadline: Instant) -> Result<Reply, Trouble> {
    // RFC 5452, 9.2: an id that nobody can guess, from a port that nobody can guess. The system chooses the port.
    let id = getrandom::u32().map_err(|_| Trouble::Network(io::ErrorKind::Other))?.to_be_bytes();
    let id = u16::from_be_bytes([id[0], id[1]]);
    let query = question.encode(id, edns0).map_err(|_| Trouble::Malformed)?;
    let judge = |octets: &[u8]| question.decode(id, octets);
    match over_udp(server, &query, judge, deadline)? {
        // RFC 7766, 5.
        Err(Unfit::Truncated) => over_tcp(server, &query, judge, deadline)?.map_err(trouble),
        answered => answered.map_err(trouble),
    }
}

fn trouble(unfit: Unfit) -> Trouble {
    match unfit {
        Unfit::ServerFailure => Trouble::ServerFailure,
        Unfit::Refused => Trouble::Refused,
        Unfit::NotOurs | Unfit::Truncated | Unfit::Malformed => Trouble::Malformed,
    }
}

type Judged = Result<Reply, Unfit>;

/// The socket is connected, so the system drops what comes from other addresses, and tells when nobody listens there.
fn over_udp(
    server: SocketAddr,
    query: &[u8],
    judge: impl Fn(&[u8]) -> Judged,
    deadline: Instant,
) -> Result<Judged, Trouble> {
    let unspecified: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((unspecified, 0))?;
    socket.connect(server)?;
    socket.send(query)?;
    let mut buffer = [0; DATAGRAM_OCTETS];
    while Instant::now() < deadline {
        socket.set_read_timeout(Some(until(deadline)))?;
        match socket.recv(&mut buffer) {
            // Whoever guesses wrong must not keep us from the answer that is still to come.
            Ok(count) => match judge(buffer.get(..count).unwrap_or_default()) {
                Err(Unfit::NotOurs) => log::debug!("{server}: an answer to another question"),
                judged => return Ok(judged),
            },
            Err(error) if error.kind() == io::ErrorKind::Interrupted || is_timeout(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Trouble::Timeout)
}

/// RFC 1035, 4.2.2: the same message, behind two octets with its length.
fn over_tcp(
    server: SocketAddr,
    query: &[u8],
    judge: impl Fn(&[u8]) -> Judged,
    deadline: Instant,
) -> Result<Judged, Trouble> {
    let mut stream = TcpStream::connect_timeout(&server, until(deadline))?;
    stream.set_write_timeout(Some(until(deadline)))?;
    let length = u16::try_from(query.len()).map_err(|_| Trouble::Malformed)?;
    stream.write_all(&[length.to_be_bytes().as_slice(), query].concat())?;
    let mut length = [0; 2];
    read(&mut stream, &mut length, deadline)?;
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    read(&mut stream, &mut message, deadline)?;
    Ok(judge(&message))
}

/// Fills the buffer, however slowly the octets come, until the deadline: a timeout of the socket is for one call only.
fn read(stream: &mut TcpStream, mut buffer: &mut [u8], deadline: Instant) -> Result<(), Trouble> {
    while !buffer.is_empty() {
        if Instant::now() >= deadline {
            return Err(Trouble::Timeout);
        }
        stream.set_read_timeout(Some(until(deadline)))?;
        match stream.read(buffer) {
            Ok(0) => return Err(Trouble::Network(io::ErrorKind::UnexpectedEof)),
            Ok(count) => buffer = buffer.get_mut(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted || is_timeout(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        if is_timeout(&error) { Trouble::Timeout } else { Trouble::Network(error.kind()) }
    }
}
