//! Which server of LMTP to call: `HOST:PORT` or `unix:PATH`.

use std::fmt;
use std::os::unix::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use smtp_proto::printable::Printable;

use crate::server_name::{SMTP_PORT, ServerName};

/// A host and a port, or a socket of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LmtpServer {
    /// Over TCP. Never at port 25 (RFC 2033, 5).
    Tcp(ServerName),
    /// Over a Unix socket.
    Unix(PathBuf),
}

/// The text names no server of LMTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LmtpServerError {
    text: String,
    why: &'static str,
}

impl fmt::Display for LmtpServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\": {}; {}", Printable(&self.text), self.why, LmtpServer::FORMS)
    }
}

impl std::error::Error for LmtpServerError {}

impl LmtpServer {
    /// How a server is written, for whoever wrote something else.
    pub const FORMS: &'static str = "write HOST:PORT or unix:PATH";
}

impl FromStr for LmtpServer {
    type Err = LmtpServerError;

    fn from_str(text: &str) -> Result<Self, LmtpServerError> {
        let error = |why| LmtpServerError { text: text.to_owned(), why };
        if let Some(path) = text.strip_prefix("unix:") {
            // The system has room for about a hundred octets.
            return match SocketAddr::from_pathname(path) {
                Ok(_) if !path.is_empty() => Ok(LmtpServer::Unix(PathBuf::from(path))),
                _ => Err(error("the path is missing, too long for a socket, or holds a NUL")),
            };
        }
        let server: ServerName = text.parse().map_err(|_| error("not a server"))?;
        // RFC 2033, 5: "The LMTP protocol MUST NOT be used over the TCP port 25." It has no other port of its own, so one
        // has to be named.
        if server.port() == SMTP_PORT {
            return Err(error("LMTP needs a port of its own, and 25 is the port of SMTP"));
        }
        Ok(LmtpServer::Tcp(server))
    }
}

impl fmt::Display for LmtpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LmtpServer::Tcp(server) => server.fmt(f),
            LmtpServer::Unix(path) => write!(f, "unix:{}", Printable(&path.to_string_lossy())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row X151.
    #[test]
    fn reads_servers() {
        let long = format!("unix:/{}", "x".repeat(200));
        for (text, printed) in [
            ("127.0.0.1:24", Some("127.0.0.1:24")),
            ("[::1]:2003", Some("[::1]:2003")),
            ("mail.example.org:24", Some("mail.example.org:24")),
            ("unix:/run/dovecot/lmtp", Some("unix:/run/dovecot/lmtp")),
            ("unix:lmtp", Some("unix:lmtp")),
            ("unix:/a\nb", Some("unix:/a\\u{a}b")),
            // RFC 2033, 5.
            ("mail.example.org:25", None),
            ("mail.example.org", None),
            ("[::1]", None),
            ("unix:", None),
            ("unix:/a\0b", None),
            (&long, None),
            ("", None),
            ("a b:24", None),
        ] {
            let server = text.parse::<LmtpServer>();
            assert_eq!(server.as_ref().ok().map(|server| server.to_string()).as_deref(), printed, "{text:?}");
            if let Err(error) = server {
                assert!(error.to_string().ends_with(LmtpServer::FORMS), "{error}");
            }
        }
    }
}
