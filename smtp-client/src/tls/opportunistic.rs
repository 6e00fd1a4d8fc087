//! Opportunistic security (RFC 7435): whoever is at the other end, nobody else is to listen.
//!
//! The only place in which a certificate is accepted that proves nothing. It is used by `try` and by nothing else, where the
//! alternative is to say the same in clear. What is wrong is found out all the same, and said: of the certificate afterwards, of
//! the key here.

use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

/// Believes everybody, in one handshake.
#[derive(Debug)]
pub(super) struct Anybody {
    algorithms: WebPkiSupportedAlgorithms,
    holds_key: AtomicBool,
}

impl Anybody {
    pub(super) fn new(algorithms: WebPkiSupportedAlgorithms) -> Self {
        Anybody { algorithms, holds_key: AtomicBool::new(false) }
    }

    /// Whether the server has proved that it holds the key of its certificate. A certificate is no secret: without the key,
    /// anybody can show that of anybody else.
    pub(super) fn holds_key(&self) -> bool {
        self.holds_key.load(Ordering::Relaxed)
    }

    // There are old servers whose keys or signatures the library cannot read, and they are talked to all the same.
    fn note(&self, proof: Result<HandshakeSignatureValid, Error>) -> Result<HandshakeSignatureValid, Error> {
        self.holds_key.store(proof.is_ok(), Ordering::Relaxed);
        Ok(HandshakeSignatureValid::assertion())
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
        self.note(verify_tls12_signature(message, certificate, signature, &self.algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.note(verify_tls13_signature(message, certificate, signature, &self.algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
