//! The TLS side of a client under test: whom it trusts and what it offers.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use crate::certificates::Authority;

/// The two versions that there are.
pub static VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// A client that trusts one authority and expects `localhost`.
#[derive(Clone)]
pub struct Client(ClientConfig);

impl Client {
    /// With all versions and no protocols.
    pub fn trusting(authority: &Authority) -> Self {
        Client::with(authority, &VERSIONS)
    }

    /// With these versions.
    pub fn with(authority: &Authority, versions: &[&'static SupportedProtocolVersion]) -> Self {
        let certificate = CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes());
        let mut roots = RootCertStore::empty();
        roots.add(certificate.expect("a certificate")).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions);
        Client(builder.expect("versions that there are").with_root_certificates(roots).with_no_client_auth())
    }

    /// Offers these protocols (ALPN).
    pub fn offering(mut self, protocols: &[&str]) -> Self {
        self.0.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        self
    }

    /// One that has said nothing yet.
    pub fn connection(&self) -> ClientConnection {
        let name = ServerName::try_from("localhost").expect("a name");
        ClientConnection::new(Arc::new(self.0.clone()), name).expect("a client")
    }
}
