//! Passwords at rest: hashed, each with a salt of its own.

use std::fmt;
use std::io;
use std::str::FromStr;

use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Params, Version};
use smtp_proto::sasl::prepare;
use smtp_proto::sasl::scram::{Keys, SALT_OCTETS};
use smtp_proto::secret::Secret;

/// Taken at each login, by the client or by us, and for each guess: many times the least of RFC 7677, 4.
const SCRAM_ITERATIONS: u32 = 100_000;

/// KiB of memory of one check, at most: so many times as may go on at once, and no more memory goes.
const MOST_ARGON2ID_KIB: u32 = 128 * 1024;

/// Passes over that memory, at most: a check that takes seconds helps only who wants to keep the server busy.
const MOST_ARGON2ID_PASSES: u32 = 16;

/// How a password is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// A hash that costs memory (RFC 9106).
    Argon2id,
    /// The keys of SCRAM (RFC 5802, 3).
    ScramSha256,
}

impl Scheme {
    /// Finds a scheme by its name, in any case.
    pub fn find(name: &str) -> Option<Self> {
        [Scheme::Argon2id, Scheme::ScramSha256].into_iter().find(|scheme| scheme.name().eq_ignore_ascii_case(name))
    }

    /// The name that stands in braces in a list of users.
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Argon2id => "ARGON2ID",
            Scheme::ScramSha256 => "SCRAM-SHA-256",
        }
    }
}

/// `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`
#[derive(Clone)]
pub struct Argon2id(PasswordHash);

/// Why a text is no [`Argon2id`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argon2idError {
    /// It has another form.
    Form,
    /// Checking it would take too much memory or time.
    TooDear,
}

impl fmt::Display for Argon2idError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Argon2idError::Form => f.write_str("the form of ARGON2ID is $argon2id$v=19$m=19456,t=2,p=1$salt$hash"),
            Argon2idError::TooDear => {
                write!(f, "the hash is too dear to check; m may be {MOST_ARGON2ID_KIB} and t {MOST_ARGON2ID_PASSES}")
            }
        }
    }
}

impl std::error::Error for Argon2idError {}

impl FromStr for Argon2id {
    type Err = Argon2idError;

    fn from_str(text: &str) -> Result<Self, Argon2idError> {
        let hash = PasswordHash::new(text).map_err(|_| Argon2idError::Form)?;
        let params = Params::try_from(&hash).map_err(|_| Argon2idError::Form)?;
        let is_complete = hash.algorithm.as_str() == "argon2id" && hash.salt.is_some() && hash.hash.is_some();
        if !is_complete || hash.version != Some(Version::V0x13.into()) {
            return Err(Argon2idError::Form);
        }
        if params.m_cost() > MOST_ARGON2ID_KIB || params.t_cost() > MOST_ARGON2ID_PASSES {
            return Err(Argon2idError::TooDear);
        }
        Ok(Argon2id(hash))
    }
}

impl fmt::Display for Argon2id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Argon2id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Argon2id")
    }
}

impl Argon2id {
    fn derive(password: &Secret, salt: &[u8], params: Params) -> Result<Self, argon2::Error> {
        let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        argon2.hash_password_into(password.expose(), salt, &mut output)?;
        Ok(Argon2id(PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: (&params).try_into().map_err(|_| argon2::Error::OutputTooLong)?,
            salt: Salt::new(salt).ok(),
            hash: Output::new(&output).ok(),
        }))
    }

    /// Whether this is the password, which is prepared. This is meant to take its time and its memory.
    pub fn is_password(&self, password: &Secret) -> bool {
        Argon2::default().verify_password(password.expose(), &self.0).is_ok()
    }

    /// For tests, which do not wait.
    #[cfg(test)]
    pub(crate) fn cheap(password: &Secret) -> Self {
        let params = Params::new(Params::MIN_M_COST, 1, 1, None).unwrap();
        Argon2id::derive(password, b"saltsalt", params).unwrap()
    }
}

/// What stands behind the colon in a list of users: `{SCHEME}hash` of this password, with a new salt.
pub fn hash(password: &Secret, scheme: Scheme) -> io::Result<String> {
    let password = prepare(password).map_err(io::Error::other)?;
    let mut salt = [0; SALT_OCTETS];
    getrandom::fill(&mut salt).map_err(io::Error::other)?;
    let hash = match scheme {
        Scheme::Argon2id => {
            Argon2id::derive(&password, &salt, Params::default()).map_err(io::Error::other)?.to_string()
        }
        Scheme::ScramSha256 => Keys::derive(&password, &salt, SCRAM_ITERATIONS).map_err(io::Error::other)?.to_text(),
    };
    Ok(format!("{{{}}}{hash}", scheme.name()))
}

/// A salt for a user who is not there: always the same, and not to be told from one that was drawn.
pub(super) fn decoy_salt(name: &str, seed: &Secret, octets: usize) -> Vec<u8> {
    let mut salt = Keys::decoy_salt(name, seed);
    salt.truncate(octets);
    salt
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::Users;

    #[test]
    fn what_is_made_is_taken() {
        for scheme in [Scheme::Argon2id, Scheme::ScramSha256] {
            let made = hash(&Secret::new("pass\u{e9}"), scheme).unwrap();
            let users = Users::parse(&format!("ann:{made}")).unwrap();
            assert!(users.has_password("ann", &Secret::new("pass\u{e9}")), "{made}");
            assert!(!users.has_password("ann", &Secret::new("pass")));
            assert_ne!(hash(&Secret::new("pass\u{e9}"), scheme).unwrap(), made, "a salt of its own");
        }
        assert!(hash(&Secret::new(""), Scheme::Argon2id).is_err());
    }

    #[test]
    fn hashes_that_are_none_or_too_dear() {
        let cheap = Argon2id::cheap(&Secret::new("x")).to_string();
        assert!(cheap.parse::<Argon2id>().is_ok(), "{cheap}");
        for (from, to, error) in [
            ("argon2id", "argon2i", Argon2idError::Form),
            ("v=19", "v=16", Argon2idError::Form),
            ("$v=19", "", Argon2idError::Form),
            ("m=8", "m=7", Argon2idError::Form),
            ("m=8", "m=131073", Argon2idError::TooDear),
            ("t=1", "t=17", Argon2idError::TooDear),
        ] {
            let wrong = cheap.replacen(from, to, 1);
            assert_ne!(wrong, cheap);
            assert_eq!(wrong.parse::<Argon2id>().map(|_| ()), Err(error), "{wrong}");
        }
        let (without_hash, _) = cheap.rsplit_once('$').unwrap();
        assert!(without_hash.parse::<Argon2id>().is_err());
    }
}
