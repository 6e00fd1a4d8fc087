//! Tokens that somebody else gave: OAUTHBEARER (RFC 7628, 3.1) and XOAUTH2, which came before it.

use crate::secret::Secret;

/// What ends each part, and stands alone where the client has nothing more to say (RFC 7628, 3.2.3).
pub(super) const SEPARATOR: &str = "\u{1}";

/// `n,a=user,^Ahost=...^Aport=...^Aauth=Bearer token^A^A`; the name is written as in SCRAM (RFC 5801, 4).
pub(super) fn bearer(name: &str, token: &str, host: &str, port: u16) -> Secret {
    let name = super::scram::escape(name);
    Secret::new(format!("n,a={name},\u{1}host={host}\u{1}port={port}\u{1}auth=Bearer {token}\u{1}\u{1}"))
}

/// `user=user^Aauth=Bearer token^A^A`
pub(super) fn xoauth2(name: &str, token: &str) -> Secret {
    Secret::new(format!("user={name}\u{1}auth=Bearer {token}\u{1}\u{1}"))
}
