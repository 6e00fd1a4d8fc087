//! Who decides whether a certificate proves what it should.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use webpki::EndEntityCert;

use super::pin::Pin;

/// Believes those who prove themselves.
#[derive(Debug)]
pub(super) struct Judge {
    pub(super) proof: Proof,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

/// What counts as a proof.
#[derive(Debug)]
pub(super) enum Proof {
    /// A chain that ends at an authority, dates, and the name.
    Chain(Arc<WebPkiServerVerifier>),
    /// The key. Who has signed the certificate, for how long and for which name is nothing to whoever knows the key.
    Key(Pin),
}

/// Nobody but itself has signed the certificate.
#[derive(Debug)]
struct SelfSigned;

/// The key is another one than the one that was noted down.
#[derive(Debug)]
struct OtherKey {
    expected: Pin,
    found: Pin,
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.proof {
            Proof::Chain(verifier) => {
                let verdict = verifier.verify_server_cert(certificate, above, name, ocsp_response, now);
                verdict.map_err(|error| explained(error, certificate))
            }
            Proof::Key(expected) => match Pin::of(certificate) {
                Ok(found) if found == *expected => Ok(ServerCertVerified::assertion()),
                Ok(found) => Err(other(OtherKey { expected: *expected, found })),
                Err(_) => Err(CertificateError::BadEncoding.into()),
            },
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// "Unknown issuer" is true of a certificate that has signed itself, but whoever reads it looks for an authority.
fn explained(error: Error, certificate: &CertificateDer<'_>) -> Error {
    let is_own_issuer =
        || EndEntityCert::try_from(certificate).is_ok_and(|certificate| certificate.issuer() == certificate.subject());
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) if is_own_issuer() => other(SelfSigned),
        error => error,
    }
}

fn other(reason: impl std::error::Error + Send + Sync + 'static) -> Error {
    CertificateError::Other(OtherError(Arc::new(reason))).into()
}

impl fmt::Display for SelfSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its certificate is self-signed, and not one that is trusted")
    }
}

impl std::error::Error for SelfSigned {}

impl fmt::Display for OtherKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key in its certificate is not the pinned one: it is {}, pinned is {}", self.found, self.expected)
    }
}

impl std::error::Error for OtherKey {}
