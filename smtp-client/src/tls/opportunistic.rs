//! Opportunistic security (RFC 7435): whoever is at the other end, nobody else is to listen.
//!
//! The only place in which a certificate is accepted that proves nothing. It is used by `try` and by nothing else, where the
//! alternative is to say the same in clear. What is wrong with the certificate is found out afterwards, and whether the server
//! has the key to it is noted on the way: a certificate is public, so that whoever stands in between can show the right one.

use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

/// Believes everybody, in one handshake.
#[derive(Debug)]
pub(super) struct Anybody {
    algorithms: WebPkiSupportedAlgorithms,
    has_key: AtomicBool,
}

impl Anybody {
    pub(super) fn new(algorithms: WebPkiSupportedAlgorithms) -> Self {
        Anybody { algorithms, has_key: AtomicBool::new(false) }
    }

    /// Whether the server has the key to the certificate that it has shown.
    pub(super) fn has_key(&self) -> bool {
        self.has_key.load(Ordering::Relaxed)
    }

    // There are old certificates whose keys or forms the library cannot read.
    fn note(&self, verified: &Result<HandshakeSignatureValid, Error>) -> HandshakeSignatureValid {
        self.has_key.store(verified.is_ok(), Ordering::Relaxed);
        HandshakeSignatureValid::assertion()
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(self.note(&verify_tls12_signature(message, certificate, signature, &self.algorithms)))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(self.note(&verify_tls13_signature(message, certificate, signature, &self.algorithms)))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
