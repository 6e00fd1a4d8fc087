//! The message of PLAIN: `[authzid] NUL authcid NUL passwd` (RFC 4616, 2).

use crate::secret::Secret;

/// What the message holds, not prepared yet.
pub(super) struct Plain<'a> {
    /// Whom the client wants to act as; empty for "myself".
    pub(super) authorisation: &'a str,
    pub(super) name: &'a str,
    pub(super) password: &'a [u8],
}

/// Reads the message. A NUL separates, and may stand nowhere else.
pub(super) fn read(message: &[u8]) -> Option<Plain<'_>> {
    let mut parts = message.split(|octet| *octet == 0);
    let (authorisation, name, password) = (parts.next()?, parts.next()?, parts.next()?);
    let text = |octets| std::str::from_utf8(octets).ok();
    let plain = Plain { authorisation: text(authorisation)?, name: text(name)?, password };
    parts.next().is_none().then_some(plain)
}

/// Writes it, with nobody to act as but the user.
pub(super) fn write(name: &str, password: &Secret) -> Secret {
    let mut message = Vec::with_capacity(name.len() + password.expose().len() + 2);
    message.push(0);
    message.extend_from_slice(name.as_bytes());
    message.push(0);
    message.extend_from_slice(password.expose());
    Secret::new(message)
}
