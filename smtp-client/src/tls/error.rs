//! Why there is no TLS, in words that say what to do about it.

use std::fmt;
use std::io;
use std::net::IpAddr;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};
use smtp_proto::date::Timestamp;
use smtp_proto::printable::Printable;

/// Why there is no TLS.
#[derive(Debug)]
pub enum TlsError {
    /// No certificate can be for such a name.
    Name,
    /// The handshake was not over in time.
    Timeout,
    /// The server closed the connection in the midst of the handshake.
    Closed,
    /// The connection broke.
    Io(io::Error),
    /// What the library says: of the certificate, of what came, of what was agreed.
    Tls(Error),
}

impl TlsError {
    /// Whether another handshake may succeed although the server is the same. A certificate stays as it is, and so does what a
    /// server can do. What is wrong with this host is for now.
    pub fn is_transient(&self) -> bool {
        matches!(self, TlsError::Timeout | TlsError::Closed | TlsError::Io(_) | TlsError::Tls(Error::General(_)))
    }

    /// Whether it is about the certificate.
    pub fn is_about_certificate(&self) -> bool {
        matches!(self, TlsError::Tls(Error::InvalidCertificate(_) | Error::NoCertificatesPresented))
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::Name => f.write_str("no certificate can be for such a name"),
            TlsError::Timeout => f.write_str("the handshake was not over in time"),
            TlsError::Closed => f.write_str("the server closed the connection in the midst of the handshake"),
            TlsError::Io(error) => error.fmt(f),
            TlsError::Tls(error) => write_error(f, error),
        }
    }
}

impl std::error::Error for TlsError {}

fn write_error(f: &mut fmt::Formatter<'_>, error: &Error) -> fmt::Result {
    match error {
        Error::InvalidCertificate(fault) => write_fault(f, fault),
        Error::General(text) => f.write_str(text),
        Error::NoCertificatesPresented => f.write_str("it showed no certificate"),
        Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            f.write_str("the server wants another version of TLS than 1.2 and 1.3")
        }
        Error::AlertReceived(alert) => write!(f, "the server broke off the handshake: {alert:?}"),
        Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
            f.write_str("what the server says is no TLS")
        }
        error => write!(f, "{error}"),
    }
}

fn write_fault(f: &mut fmt::Formatter<'_>, fault: &CertificateError) -> fmt::Result {
    match fault {
        CertificateError::ExpiredContext { not_after, .. } => {
            write!(f, "its certificate has expired: it was valid until {}", date(*not_after))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            write!(f, "its certificate is not valid yet: it will be from {}", date(*not_before))
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            write!(f, "its certificate is not for {}", expected.to_str())?;
            match presented.as_slice() {
                [] => f.write_str(", nor for any other name"),
                names => write!(
                    f,
                    ", but for {}",
                    Printable(&names.iter().map(|name| bare(name)).collect::<Vec<_>>().join(", "))
                ),
            }
        }
        CertificateError::UnknownIssuer => f.write_str("nobody who is trusted has issued its certificate"),
        CertificateError::Revoked => f.write_str("its certificate has been revoked"),
        CertificateError::BadEncoding => f.write_str("its certificate cannot be read"),
        CertificateError::BadSignature => f.write_str("its certificate, or its answer, is not signed by whom it says"),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            f.write_str("its certificate is not one of a server")
        }
        CertificateError::Other(reason) => write!(f, "{}", reason.0),
        fault => write!(f, "its certificate: {fault}"),
    }
}

/// `DnsName("mx.example.org")` and `IpAddress(192.0.2.1)`, as the library says, without what only programmers read.
fn bare(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    let inner = inner.map_or(name, |inner| inner.trim_matches('"'));
    // The library writes `0::1`.
    inner.parse().map_or_else(|_| inner.to_owned(), |address: IpAddr| address.to_string())
}

fn date(time: UnixTime) -> Timestamp {
    Timestamp { unix_seconds: i64::try_from(time.as_secs()).unwrap_or(i64::MAX), offset_minutes: 0 }
}
