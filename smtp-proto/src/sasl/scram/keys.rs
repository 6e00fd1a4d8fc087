//! From a password to what each side keeps of it and proves with it (RFC 5802, 3).

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::super::base64;
use super::super::prepare::{PrepareError, prepare};
use crate::secret::Secret;

/// The least of RFC 7677, 4. A server that asks for less wants a proof that is cheap to guess from.
pub const LEAST_ITERATIONS: u32 = 4_096;

/// A server that asks for more wants our time: it would be seconds.
pub const MOST_ITERATIONS: u32 = 2_000_000;

/// Octets of a salt that we make.
pub const SALT_OCTETS: usize = 16;

const KEY_OCTETS: usize = 32;

/// What a server keeps of a password: `iterations,salt,StoredKey,ServerKey`, the last three in base64.
#[derive(Clone, Debug)]
pub struct Keys {
    /// How often the hash was taken.
    pub iterations: u32,
    /// What makes two equal passwords differ.
    pub salt: Vec<u8>,
    stored_key: Secret,
    server_key: Secret,
}

/// Why a text is no [`Keys`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeysError;

impl fmt::Display for KeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the form is iterations,salt,StoredKey,ServerKey with {LEAST_ITERATIONS} to {MOST_ITERATIONS} iterations and the rest in base64"
        )
    }
}

impl std::error::Error for KeysError {}

/// A password with the salt and the iterations that a server named. Making it is the work that guessing costs.
pub(in super::super) struct Password {
    salted: Secret,
}

/// The two halves of an exchange that are signed.
pub(in super::super) struct Proof {
    /// `p=`
    pub(in super::super) client: Secret,
    /// `v=`
    pub(in super::super) server: Secret,
}

fn hmac(key: &[u8], text: &[u8]) -> [u8; KEY_OCTETS] {
    // HMAC takes keys of any length, so there is no error to come.
    Hmac::<Sha256>::new_from_slice(key)
        .map(|mac| mac.chain_update(text).finalize().into_bytes().into())
        .unwrap_or_default()
}

fn xor(left: &[u8], right: &[u8]) -> Vec<u8> {
    left.iter().zip(right).map(|(left, right)| left ^ right).collect()
}

/// Whether two secrets are equal, in a time that does not say where they differ.
pub(in super::super) fn equal(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

impl Password {
    pub(in super::super) fn new(password: &Secret, salt: &[u8], iterations: u32) -> Result<Self, PrepareError> {
        let prepared = prepare(password)?;
        let mut salted = vec![0; KEY_OCTETS];
        pbkdf2::pbkdf2_hmac::<Sha256>(prepared.expose(), salt, iterations, &mut salted);
        Ok(Password { salted: Secret::new(salted) })
    }

    fn client_key(&self) -> Secret {
        Secret::new(hmac(self.salted.expose(), b"Client Key"))
    }

    fn server_key(&self) -> Secret {
        Secret::new(hmac(self.salted.expose(), b"Server Key"))
    }

    pub(in super::super) fn prove(&self, exchange: &[u8]) -> Proof {
        let client_key = self.client_key();
        let stored_key = Secret::new(Sha256::digest(client_key.expose()).to_vec());
        let signature = hmac(stored_key.expose(), exchange);
        Proof {
            client: Secret::new(xor(client_key.expose(), &signature)),
            server: Secret::new(hmac(self.server_key().expose(), exchange)),
        }
    }
}

impl Keys {
    /// Makes the keys of a password. This is meant to take its time.
    pub fn derive(password: &Secret, salt: &[u8], iterations: u32) -> Result<Self, PrepareError> {
        let password = Password::new(password, salt, iterations)?;
        let stored_key = Secret::new(Sha256::digest(password.client_key().expose()).to_vec());
        Ok(Keys { iterations, salt: salt.to_vec(), stored_key, server_key: password.server_key() })
    }

    /// Whether this is the password. It takes as long as [`Keys::derive`].
    pub fn is_password(&self, password: &Secret) -> bool {
        Keys::derive(password, &self.salt, self.iterations)
            .is_ok_and(|derived| equal(derived.stored_key.expose(), self.stored_key.expose()))
    }

    /// Keys that no password has: for who does not exist, so that asking does not tell (RFC 5802, 7).
    pub fn of_nobody(salt: &[u8], iterations: u32) -> Self {
        // A proof would need a key whose hash is all zeros.
        let none = Secret::new(vec![0; KEY_OCTETS]);
        Keys { iterations, salt: salt.to_vec(), stored_key: none.clone(), server_key: none }
    }

    /// A salt for those keys: always the same for one name and seed, and without the seed not to be told from a real one.
    pub fn decoy_salt(name: &str, seed: &Secret) -> Vec<u8> {
        hmac(seed.expose(), name.as_bytes()).to_vec()
    }

    /// Checks a client's proof over an exchange. `Some` is our own.
    pub(in super::super) fn check(&self, proof: &[u8], exchange: &[u8]) -> Option<Secret> {
        let signature = hmac(self.stored_key.expose(), exchange);
        let client_key = Secret::new(xor(proof, &signature));
        let is_right =
            proof.len() == KEY_OCTETS && equal(&Sha256::digest(client_key.expose()), self.stored_key.expose());
        is_right.then(|| Secret::new(hmac(self.server_key.expose(), exchange)))
    }
}

impl FromStr for Keys {
    type Err = KeysError;

    fn from_str(text: &str) -> Result<Self, KeysError> {
        let mut parts = text.split(',');
        let iterations: u32 = parts.next().and_then(|number| number.parse().ok()).ok_or(KeysError)?;
        let mut octets = || parts.next().and_then(|part| base64::decode(part.as_bytes())).ok_or(KeysError);
        let (salt, stored_key, server_key) = (octets()?, Secret::new(octets()?), Secret::new(octets()?));
        let is_key = |key: &Secret| key.expose().len() == KEY_OCTETS;
        let is_right = (LEAST_ITERATIONS..=MOST_ITERATIONS).contains(&iterations)
            && !salt.is_empty()
            && is_key(&stored_key)
            && is_key(&server_key)
            && parts.next().is_none();
        is_right.then_some(Keys { iterations, salt, stored_key, server_key }).ok_or(KeysError)
    }
}

impl Keys {
    /// The text that [`Keys::from_str`] reads. Whoever has it can guess at the password, and pass for the server.
    pub fn to_text(&self) -> String {
        let [salt, stored_key, server_key] =
            [&self.salt[..], self.stored_key.expose(), self.server_key.expose()].map(base64::encode);
        format!("{},{salt},{stored_key},{server_key}", self.iterations)
    }
}
