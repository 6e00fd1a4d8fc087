//! Which server to call: `HOST`, `HOST:PORT`, `192.0.2.1:25`, `[2001:db8::1]:25`.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::sync::mpsc;
use std::time::Instant;

use smtp_proto::printable::Printable;

/// The port of SMTP (RFC 5321, 4.5.4.2).
pub(crate) const SMTP_PORT: u16 = 25;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerName {
    host: String,
    port: u16,
}

/// The text is not a host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerNameError {
    text: String,
}

impl fmt::Display for ServerNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" is not a server; {}", Printable(&self.text), ServerName::FORMS)
    }
}

impl std::error::Error for ServerNameError {}

impl Default for ServerName {
    /// Where our own server listens if it is told nothing else.
    fn default() -> Self {
        ServerName { host: "127.0.0.1".to_owned(), port: 2525 }
    }
}

impl ServerName {
    /// How a server is written, for whoever wrote something else.
    pub const FORMS: &'static str = "write HOST:PORT, 192.0.2.1:25 or [2001:db8::1]:25";

    /// The name or the address of the host, as it was given.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The addresses of the host, in the order in which the system's resolver gives them.
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let addresses: Vec<_> = (self.host.as_str(), self.port).to_socket_addrs()?.collect();
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        Ok(addresses)
    }
}

impl ServerName {
    /// The same, but no longer than until then. The system's resolver knows no deadline, so it is asked by a thread that
    /// is left to itself if it takes too long.
    pub(crate) fn resolve_until(&self, deadline: Option<Instant>) -> io::Result<Vec<SocketAddr>> {
        let is_address = self.host.parse::<IpAddr>().is_ok();
        let Some(deadline) = deadline.filter(|_| !is_address) else {
            return self.resolve();
        };
        let (sender, resolved) = mpsc::channel();
        let name = self.clone();
        // Whoever gave up waiting does not want the answer any more.
        std::thread::Builder::new().spawn(move || drop(sender.send(name.resolve())))?;
        let patience = deadline.saturating_duration_since(Instant::now());
        resolved.recv_timeout(patience).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl FromStr for ServerName {
    type Err = ServerNameError;

    fn from_str(text: &str) -> Result<Self, ServerNameError> {
        let error = || ServerNameError { text: text.to_owned() };
        let (host, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
            Some(Some((host, port))) => {
                host.parse::<IpAddr>().map_err(|_| error())?;
                (host, port.strip_prefix(':').or(port.is_empty().then_some("")).ok_or_else(error)?)
            }
            Some(None) => return Err(error()),
            None => match text.split_once(':') {
                Some((host, port)) if !port.contains(':') && !port.is_empty() => (host, port),
                Some(_) => return Err(error()),
                None => (text, ""),
            },
        };
        let port = if port.is_empty() { Ok(SMTP_PORT) } else { port.parse() };
        let is_address = host.parse::<IpAddr>().is_ok();
        match port {
            Ok(port) if port > 0 && (is_address || is_host_name(host)) => {
                Ok(ServerName { host: host.to_owned(), port })
            }
            _ => Err(error()),
        }
    }
}

/// What can stand in a host's name, and `_`, which some have in spite of all RFCs. Numbers alone are an address with a
/// mistake in it (RFC 1123, 2.1), and `user@host` is somebody's mailbox.
fn is_host_name(text: &str) -> bool {
    let is_part_of_name = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_');
    let is_number = text.bytes().all(|octet| octet.is_ascii_digit() || octet == b'.');
    text.bytes().all(is_part_of_name) && !is_number
}

impl From<SocketAddr> for ServerName {
    fn from(address: SocketAddr) -> Self {
        ServerName { host: address.ip().to_string(), port: address.port() }
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_servers() {
        for (text, printed) in [
            ("mx.example.org", Some("mx.example.org:25")),
            ("mx.example.org:587", Some("mx.example.org:587")),
            ("127.0.0.1:2525", Some("127.0.0.1:2525")),
            ("[::1]:2525", Some("[::1]:2525")),
            ("[::1]", Some("[::1]:25")),
            ("::1", None),
            ("[::1", None),
            ("[::1]x", None),
            ("host:", None),
            ("host:0", None),
            ("host:65536", None),
            ("host:http", None),
            (":25", None),
            ("", None),
            ("a b:25", None),
            // Mistakes that were looked up as names, and taken for ones that are not known today.
            ("user@mx.example.org", None),
            ("256.1.1.1:25", None),
            ("192.0.2", None),
            ("192.0.2.1.", None),
            ("mx.example.org,", None),
            ("mail_out.example.org.", Some("mail_out.example.org.:25")),
            ("1.mx.example.org", Some("1.mx.example.org:25")),
            ("a\r\nb", None),
        ] {
            assert_eq!(text.parse::<ServerName>().ok().map(|name| name.to_string()).as_deref(), printed, "{text:?}");
        }
    }
}
