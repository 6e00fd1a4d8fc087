//! The key by which a server is known: the SHA-256 of the public key in its certificate.
//!
//! ```text
//! openssl x509 -in server.pem -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum
//! ```
//!
//! The key and not the certificate, since a certificate that is renewed may keep its key, and then the pin stays.

use std::fmt;
use std::str::FromStr;

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use smtp_proto::printable::Printable;
use webpki::EndEntityCert;

/// The SHA-256 of a SubjectPublicKeyInfo (RFC 5280, 4.1.2.7).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pin([u8; 32]);

impl Pin {
    /// That of the key in a certificate.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Result<Self, webpki::Error> {
        let certificate = EndEntityCert::try_from(certificate)?;
        Ok(Pin(Sha256::digest(certificate.subject_public_key_info()).into()))
    }
}

/// The text is no SHA-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinError {
    text: String,
}

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = Printable(&self.text);
        write!(f, "\"{text}\" is no SHA-256 of a public key; write its 64 hexadecimal digits, with or without colons")
    }
}

impl std::error::Error for PinError {}

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let digits: String = text.chars().filter(|character| *character != ':').collect();
        let error = || PinError { text: text.to_owned() };
        if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(error());
        }
        let mut pin = [0; 32];
        for (octet, digits) in pin.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| error())?;
            *octet = u8::from_str_radix(digits, 16).map_err(|_| error())?;
        }
        Ok(Pin(pin))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({self})")
    }
}
