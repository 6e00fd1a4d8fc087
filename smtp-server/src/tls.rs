//! What this host shows to those who ask for TLS: a certificate with its key, and the rules of the handshake.
//!
//! An [`Identity`] is made of two PEM files. [`CurrentIdentity`] is the one of now, which [`Config::tls`](crate::Config::tls)
//! takes; a [`Reloader`](crate::reload::Reloader) keeps it up to date, since certificates live for weeks and servers for years:
//!
//! ```no_run
//! use smtp_server::reload::Reloader;
//! use smtp_server::tls::Identity;
//!
//! let files = vec!["server.pem".into(), "server.key".into()];
//! let read = || Identity::from_pem(
//!     &std::fs::read("server.pem").map_err(|error| error.to_string())?,
//!     &std::fs::read("server.key").map_err(|error| error.to_string())?,
//! ).map_err(|error| error.to_string());
//! let reloader = Reloader::new(files, read)?;
//! let mut config = smtp_server::Config::new("mx.example.org".parse()?);
//! config.tls = Some(reloader.current().clone());
//! let watch = reloader.watch()?; // until this is dropped
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The rules: TLS 1.2 and 1.3 only; no early data, which could be sent twice; and whoever names protocols (ALPN) must name
//! `smtp` among them. A browser that was sent here from a page (the ALPACA attack) names others, and is refused; mail clients
//! name none. Both sides agree on this before anything is said.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ServerConnection;
use rustls::{InconsistentKeys, ServerConfig};

use crate::reload::{Current, Reload};

/// The protocol that we speak, as ALPN names it.
const PROTOCOL: &[u8] = b"smtp";

/// What this host shows now. A clone shares it.
pub type CurrentIdentity = Current<Identity>;

/// A certificate, with those above it, and its key.
#[derive(Clone)]
pub struct Identity {
    config: Arc<ServerConfig>,
    certificates: usize,
}

/// Why two PEM texts are no identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityError {
    /// It is about the text with the certificates.
    Certificate(String),
    /// It is about the text with the key.
    Key(String),
}

impl Identity {
    /// Reads a chain of certificates, the host's own first, and its private key.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<_, _>>()
            .map_err(|error| IdentityError::Certificate(format!("it cannot be read as PEM: {error}")))?;
        if chain.is_empty() {
            return Err(IdentityError::Certificate("it holds no certificate in PEM form".to_owned()));
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
            IdentityError::Key(match error {
                pem::Error::NoItemsFound if holds_encrypted_key(key) => {
                    "the key is encrypted; the server needs one without a passphrase".to_owned()
                }
                pem::Error::NoItemsFound => "it holds no private key in PEM form".to_owned(),
                error => format!("it cannot be read as PEM: {error}"),
            })
        })?;
        let (certificates, provider) = (chain.len(), Arc::new(rustls::crypto::ring::default_provider()));
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = builder.map(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
        let mut config = config.and_then(|config| config).map_err(IdentityError::from)?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Identity { config: Arc::new(config), certificates })
    }

    /// What a handshake needs.
    pub(crate) fn connection(&self) -> Result<ServerConnection, rustls::Error> {
        ServerConnection::new(self.config.clone())
    }
}

/// PKCS #8 with a passphrase, or the older form of OpenSSL.
fn holds_encrypted_key(pem: &[u8]) -> bool {
    [&b"BEGIN ENCRYPTED PRIVATE KEY"[..], b"Proc-Type: 4,ENCRYPTED"]
        .iter()
        .any(|mark| pem.windows(mark.len()).any(|window| window == *mark))
}

impl From<rustls::Error> for IdentityError {
    fn from(error: rustls::Error) -> Self {
        match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                IdentityError::Key("it is not the key of the certificate".to_owned())
            }
            rustls::Error::InvalidCertificate(error) => {
                IdentityError::Certificate(format!("the first certificate cannot be used: {error}"))
            }
            error => IdentityError::Key(format!("the key cannot be used: {error}")),
        }
    }
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IdentityError::Certificate(what) => write!(f, "certificate: {what}"),
            IdentityError::Key(what) => write!(f, "key: {what}"),
        }
    }
}

impl std::error::Error for IdentityError {}

/// The key is nobody's business.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificates", &self.certificates).finish_non_exhaustive()
    }
}

impl Reload for Identity {
    fn in_force(&self) -> String {
        format!("a new certificate is in force: certificates={}", self.certificates)
    }
}
