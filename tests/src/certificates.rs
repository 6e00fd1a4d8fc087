//! Certificates for trying TLS out: an authority of our own, and what it signs. Good ones, and each kind of bad one.
//!
//! Nothing of this is for mail that matters: the keys lie around unprotected.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

/// The name of the host that the certificates of [`Authority::issue`] are for, beside localhost and the loopback addresses.
pub const HOST: &str = "mx.example.test";

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Who signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
}

/// A certificate and its key, both as PEM.
pub struct Identity {
    /// The certificate. That of its authority is not in it.
    pub certificate_pem: String,
    /// The private key (PKCS #8).
    pub key_pem: String,
}

/// The files of an [`Authority`] and of a server's [`Identity`], as `cargo xtask certs` writes them.
pub struct Files {
    /// The authority's certificate: what a client is to trust.
    pub authority: PathBuf,
    /// The server's certificate.
    pub certificate: PathBuf,
    /// The server's key.
    pub key: PathBuf,
}

impl Authority {
    /// A new one of this name.
    pub fn new(name: &str) -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        valid_around_now(&mut params);
        let key = KeyPair::generate()?;
        let certificate_pem = params.self_signed(&key)?.pem();
        Ok(Authority { issuer: Issuer::new(params, key), certificate_pem })
    }

    /// Its own certificate, which is what a client trusts.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// A server's certificate for [`HOST`], localhost and the loopback addresses.
    pub fn issue(&self) -> Result<Identity, rcgen::Error> {
        self.sign(server(&[HOST, "localhost"], &[Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])?)
    }

    /// One for these names only.
    pub fn issue_for(&self, names: &[&str]) -> Result<Identity, rcgen::Error> {
        self.sign(server(names, &[])?)
    }

    /// Like [`Authority::issue`], but its time is over since yesterday.
    pub fn issue_expired(&self) -> Result<Identity, rcgen::Error> {
        let mut params = server(&[HOST, "localhost"], &[Ipv4Addr::LOCALHOST.into()])?;
        let now = SystemTime::now();
        params.not_before = (now - 10 * DAY).into();
        params.not_after = (now - DAY).into();
        self.sign(params)
    }

    /// Like [`Authority::issue`], but its time begins tomorrow.
    pub fn issue_not_yet_valid(&self) -> Result<Identity, rcgen::Error> {
        let mut params = server(&[HOST, "localhost"], &[Ipv4Addr::LOCALHOST.into()])?;
        params.not_before = (SystemTime::now() + DAY).into();
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Result<Identity, rcgen::Error> {
        let key = KeyPair::generate()?;
        let certificate_pem = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Identity { certificate_pem, key_pem: key.serialize_pem() })
    }
}

impl Identity {
    /// Like [`Authority::issue`], but nobody has signed it except its own key.
    pub fn self_signed() -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let params = server(&[HOST, "localhost"], &[Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])?;
        let certificate_pem = params.self_signed(&key)?.pem();
        Ok(Identity { certificate_pem, key_pem: key.serialize_pem() })
    }
}

impl Files {
    /// Writes `ca.pem`, `server.pem` and `server.key` into a directory, which is made if it is not there. The key is for its
    /// owner only.
    pub fn write(directory: &Path, authority: &Authority, server: &Identity) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let files = Files {
            authority: directory.join("ca.pem"),
            certificate: directory.join("server.pem"),
            key: directory.join("server.key"),
        };
        std::fs::write(&files.authority, authority.certificate_pem())?;
        std::fs::write(&files.certificate, &server.certificate_pem)?;
        write_key(&files.key, &server.key_pem)?;
        Ok(files)
    }
}

/// A key that others can read, even for a moment, is no secret any more. Written beside the old one and put in its place, so
/// that no server reads half of it.
fn write_key(path: &Path, pem: &str) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    let beside = path.with_extension("key.new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(pem.as_bytes())?;
    std::fs::rename(beside, path)
}

fn server(names: &[&str], addresses: &[IpAddr]) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())?;
    params.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
    params.distinguished_name = named(names.first().copied().unwrap_or("nobody"));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    valid_around_now(&mut params);
    Ok(params)
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished_name = DistinguishedName::new();
    distinguished_name.push(DnType::CommonName, name);
    distinguished_name
}

/// From yesterday, since clocks differ, for a year.
fn valid_around_now(params: &mut CertificateParams) {
    let now = SystemTime::now();
    params.not_before = (now - DAY).into();
    params.not_after = (now + 365 * DAY).into();
}
