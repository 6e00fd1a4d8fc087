//! TLS, seen from the side that calls: how much of it is wished for, whom we believe, and what came of it.
//!
//! | mode | before the greeting | STARTTLS | a certificate that proves nothing |
//! | --- | --- | --- | --- |
//! | `none` | | never | |
//! | `try` | | where it is offered | is accepted, and what is wrong with it is remembered |
//! | `require` | | or no mail | ends the connection |
//! | `implicit` | the handshake (RFC 8314, 3) | | ends the connection |
//!
//! `try` is what RFC 7435 calls opportunistic security: whoever only listens learns nothing, and whoever can change what is
//! said can take the offer out or answer in the server's place. If the handshake fails, the same server is called once more,
//! in clear: worse than that it was without TLS is not. `require` and `implicit` never say anything in clear.
//!
//! A certificate proves itself by its chain, its dates and the name by which the server was called ([`Trust`]), or by the key
//! in it that somebody has noted down before ([`Pin`]).

mod error;
mod judge;
mod opportunistic;
mod pin;
mod policy;
mod trust;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, DnsName, ServerName, UnixTime};
use rustls::{CipherSuite, ClientConnection, ProtocolVersion};
use smtp_proto::client;
use smtp_proto::printable::Printable;

pub use error::TlsError;
use opportunistic::Anybody;
pub use pin::{Pin, PinError};
pub use policy::{TlsPolicies, TlsPolicyError, TlsPolicyTable};
pub use trust::{Trust, TrustError};

/// How much TLS is wished for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TlsMode {
    /// All goes in clear.
    None,
    /// TLS where the server offers it, and with whomever. Does not protect from whoever can change what is said.
    #[default]
    Try,
    /// STARTTLS, and a certificate that proves itself; else nothing is said of a message.
    Require,
    /// TLS from the first octet on, with such a certificate: the ports of submissions and the like (RFC 8314).
    Implicit,
}

impl TlsMode {
    /// What there is to choose from.
    pub const FORMS: &'static str = "none, try, require or implicit";

    /// Whether a server that cannot prove who it is hears nothing.
    pub fn is_strict(self) -> bool {
        matches!(self, TlsMode::Require | TlsMode::Implicit)
    }

    pub(crate) fn of_session(self) -> client::Tls {
        match self {
            TlsMode::None => client::Tls::None,
            TlsMode::Try => client::Tls::Try,
            TlsMode::Require => client::Tls::Require,
            TlsMode::Implicit => client::Tls::Established,
        }
    }
}

impl fmt::Display for TlsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TlsMode::None => "none",
            TlsMode::Try => "try",
            TlsMode::Require => "require",
            TlsMode::Implicit => "implicit",
        })
    }
}

/// The text is no mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsModeError {
    text: String,
}

impl fmt::Display for TlsModeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" is no use of TLS; write {}", Printable(&self.text), TlsMode::FORMS)
    }
}

impl std::error::Error for TlsModeError {}

impl FromStr for TlsMode {
    type Err = TlsModeError;

    fn from_str(text: &str) -> Result<Self, TlsModeError> {
        let modes = [TlsMode::None, TlsMode::Try, TlsMode::Require, TlsMode::Implicit];
        let found = modes.into_iter().find(|mode| mode.to_string() == text);
        found.ok_or_else(|| TlsModeError { text: text.to_owned() })
    }
}

/// How connections are to be protected.
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    /// How much TLS is wished for.
    pub mode: TlsMode,
    /// Whom we believe.
    pub trust: Trust,
}

impl TlsOptions {
    /// What a handshake with a host needs. `host` is the name by which it was called, or its address.
    pub(crate) fn begin(&self, host: &str) -> Result<Handshake, TlsError> {
        let host = host.strip_suffix('.').unwrap_or(host);
        let name = match host.parse() {
            Ok(address) => ServerName::IpAddress(std::net::IpAddr::into(address)),
            Err(_) => DnsName::try_from(host.to_owned()).map(ServerName::DnsName).map_err(|_| TlsError::Name)?,
        };
        let (config, anybody) = match self.mode.is_strict() {
            true => (self.trust.strict().map_err(TlsError::Tls)?, None),
            false => trust::opportunistic().map(|(config, anybody)| (config, Some(anybody))).map_err(TlsError::Tls)?,
        };
        let connection = ClientConnection::new(config, name.clone()).map_err(TlsError::Tls)?;
        Ok(Handshake { connection, name, anybody, trust: self.trust.clone() })
    }
}

/// A handshake that is to be made, and what is said of it afterwards.
pub(crate) struct Handshake {
    pub(crate) connection: ClientConnection,
    name: ServerName<'static>,
    /// Where everybody is believed: what is known of the key.
    anybody: Option<Arc<Anybody>>,
    trust: Trust,
}

impl Handshake {
    /// It is done.
    pub(crate) fn finish(self) -> (ClientConnection, Secured) {
        let connection = self.connection;
        let version = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
            _ => "TLS",
        };
        let cipher =
            connection.negotiated_cipher_suite().map(|suite| registered_name(suite.suite())).unwrap_or_default();
        let verified = match &self.anybody {
            // Strictly, it would not have come to this.
            None => Ok(()),
            Some(anybody) => judge_afterwards(connection.peer_certificates(), &self.name, &self.trust).and_then(|()| {
                let without_key = || Err("it has not proved that it has the key to its certificate".to_owned());
                if anybody.has_key() { Ok(()) } else { without_key() }
            }),
        };
        (connection, Secured { version, cipher, verified })
    }
}

/// For TLS 1.3 the library has names of its own.
fn registered_name(suite: CipherSuite) -> String {
    format!("{suite:?}").replacen("TLS13_", "TLS_", 1)
}

/// Whether a connection that was accepted whoever it is with happens to be with whom it should.
fn judge_afterwards(
    certificates: Option<&[CertificateDer<'static>]>,
    name: &ServerName<'static>,
    trust: &Trust,
) -> Result<(), String> {
    let verdict = match certificates {
        Some([own, above @ ..]) => trust
            .judge()
            .and_then(|judge| judge.verify_server_cert(own, above, name, &[], UnixTime::now()))
            .map_err(TlsError::Tls),
        _ => Err(TlsError::Tls(rustls::Error::NoCertificatesPresented)),
    };
    verdict.map(|_| ()).map_err(|error| error.to_string())
}

/// A connection that is under TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secured {
    /// `TLS 1.3`.
    pub version: &'static str,
    /// The cipher suite, by the name that the registry gives it.
    pub cipher: String,
    /// Whether the server has proved who it is, or why not.
    pub verified: Result<(), String>,
}

impl fmt::Display for Secured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, ", self.version, self.cipher)?;
        match &self.verified {
            Ok(()) => f.write_str("verified"),
            Err(reason) => write!(f, "not verified: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests;
