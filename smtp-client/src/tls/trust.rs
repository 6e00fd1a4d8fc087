//! Whom we believe, and the library's settings that come of it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, OnceLock};

use rustls::client::{Resumption, WebPkiServerVerifier, danger::ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, pem, pem::PemObject};
use rustls::{ClientConfig, Error, RootCertStore};
use smtp_proto::printable::Printable;

use super::judge::{Judge, Proof};
use super::opportunistic::Anybody;
use super::pin::Pin;

/// Whom we believe that a certificate is what it says. Clones share what was made of it, sessions to be resumed included.
#[derive(Clone)]
pub struct Trust(Arc<Inner>);

struct Inner {
    anchors: Anchors,
    judge: OnceLock<Arc<dyn ServerCertVerifier>>,
    strict: OnceLock<Arc<ClientConfig>>,
}

enum Anchors {
    /// The authorities that this host trusts.
    System,
    /// These and no others.
    These(Arc<RootCertStore>),
    /// Nobody but who holds this key.
    Key(Pin),
}

/// A file of authorities that cannot be used.
#[derive(Debug)]
pub enum TrustError {
    /// It cannot be read, or what is in it is no PEM.
    Read(PathBuf, pem::Error),
    /// There is no certificate in it.
    Empty(PathBuf),
    /// A certificate in it is none.
    Certificate(PathBuf, Error),
}

static SYSTEM: LazyLock<Trust> = LazyLock::new(|| Trust::of(Anchors::System));

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(ring::default_provider()));

impl Trust {
    /// The authorities that this host trusts. They are read when the first certificate is looked at.
    pub fn system() -> Self {
        SYSTEM.clone()
    }

    /// The authorities in a file of PEM, and no others: whoever names some does not mean the hundred that every browser
    /// trusts.
    pub fn only(path: &Path) -> Result<Self, TrustError> {
        let of_file = |error| TrustError::Read(path.to_owned(), error);
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path).map_err(of_file)? {
            let added = roots.add(certificate.map_err(of_file)?);
            added.map_err(|error| TrustError::Certificate(path.to_owned(), error))?;
        }
        if roots.is_empty() {
            return Err(TrustError::Empty(path.to_owned()));
        }
        Ok(Trust::of(Anchors::These(Arc::new(roots))))
    }

    /// Nobody but who holds this key, whatever else is in the certificate.
    pub fn pinned(pin: Pin) -> Self {
        Trust::of(Anchors::Key(pin))
    }

    fn of(anchors: Anchors) -> Self {
        let (judge, strict) = Default::default();
        Trust(Arc::new(Inner { anchors, judge, strict }))
    }

    /// Who decides.
    pub(super) fn judge(&self) -> Result<Arc<dyn ServerCertVerifier>, Error> {
        kept(&self.0.judge, || make_judge(&self.0.anchors))
    }

    /// For handshakes that the judge decides.
    pub(super) fn strict(&self) -> Result<Arc<ClientConfig>, Error> {
        kept(&self.0.strict, || config(self.judge()?).map(Arc::new))
    }
}

/// For one handshake with whomever. No session of it is resumed: in that, nobody shows a certificate or a key.
pub(super) fn opportunistic() -> Result<(Arc<ClientConfig>, Arc<Anybody>), Error> {
    let anybody = Arc::new(Anybody::new(PROVIDER.signature_verification_algorithms));
    let mut config = config(anybody.clone())?;
    config.resumption = Resumption::disabled();
    Ok((Arc::new(config), anybody))
}

/// What was made once. A failure is not kept: the next one who asks may have more luck, a descriptor that was missing, say.
fn kept<T: Clone>(cell: &OnceLock<T>, make: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    match cell.get() {
        Some(made) => Ok(made.clone()),
        None => make().map(|made| cell.get_or_init(|| made).clone()),
    }
}

fn make_judge(anchors: &Anchors) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    let chain = |roots| {
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, PROVIDER.clone()).build();
        verifier.map(Proof::Chain).map_err(|error| Error::General(error.to_string()))
    };
    let proof = match anchors {
        Anchors::System => chain(Arc::new(system_roots()?))?,
        Anchors::These(roots) => chain(roots.clone())?,
        Anchors::Key(pin) => Proof::Key(*pin),
    };
    Ok(Arc::new(Judge { proof, algorithms: PROVIDER.signature_verification_algorithms }))
}

/// The list of this host; where it has none, the one that came with the program, which is as old as the program. A list that is
/// there and cannot be read is no reason to believe others.
fn system_roots() -> Result<RootCertStore, Error> {
    let loaded = rustls_native_certs::load_native_certs();
    for error in &loaded.errors {
        log::debug!("authorities that this host trusts: {error}");
    }
    let mut roots = RootCertStore::empty();
    if let (true, Some(error)) = (loaded.certs.is_empty(), loaded.errors.first()) {
        return Err(Error::General(format!("the authorities that this host trusts cannot be read: {error}")));
    }
    let (used, unfit) = roots.add_parsable_certificates(loaded.certs);
    log::debug!("{used} authorities that this host trusts, {unfit} that nobody can read");
    if roots.is_empty() {
        log::warn!("this host has no list of authorities that it trusts; those that came with the program are used");
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Ok(roots)
}

fn config(verifier: Arc<dyn ServerCertVerifier>) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(PROVIDER.clone()).with_safe_default_protocol_versions()?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    Ok(builder.with_no_client_auth())
}

impl Default for Trust {
    fn default() -> Self {
        Trust::system()
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.anchors {
            Anchors::System => f.write_str("Trust(system)"),
            Anchors::These(roots) => write!(f, "Trust({} authorities)", roots.len()),
            Anchors::Key(pin) => write!(f, "Trust({pin:?})"),
        }
    }
}

impl TrustError {
    /// What is wrong with the file, without its name.
    pub fn reason(&self) -> String {
        match self {
            TrustError::Read(_, pem::Error::Io(error)) => error.to_string(),
            TrustError::Read(_, error) => format!("it is no PEM: {error}"),
            TrustError::Empty(_) => "there is no certificate in it; PEM is wanted (BEGIN CERTIFICATE)".to_owned(),
            TrustError::Certificate(_, error) => format!("a certificate in it cannot be used: {error}"),
        }
    }
}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (TrustError::Read(path, _) | TrustError::Empty(path) | TrustError::Certificate(path, _)) = self;
        write!(f, "{}: {}", Printable(&path.to_string_lossy()), self.reason())
    }
}

impl std::error::Error for TrustError {}
