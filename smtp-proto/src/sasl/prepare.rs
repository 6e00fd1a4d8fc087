//! One form for all spellings of a name or a password: SASLprep (RFC 4013), as RFC 4616, 2 and RFC 5802, 2.2 ask.
//!
//! ASCII stays as it is. Beyond it, what one keyboard makes of "é" must be equal to what another one makes of it, or people
//! cannot log in from their second computer.

use std::fmt;

use crate::secret::Secret;

/// Why a name or a password cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrepareError {
    /// Nothing is left of it (RFC 4616, 2: "the verification of the message MUST fail").
    Empty,
    /// It is no UTF-8, or holds a character that nobody can type with certainty, such as a control character.
    Forbidden,
}

impl fmt::Display for PrepareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PrepareError::Empty => "it is empty",
            PrepareError::Forbidden => "it holds a character that names and passwords must not have (RFC 4013)",
        })
    }
}

impl std::error::Error for PrepareError {}

/// Prepares a password.
pub fn prepare(secret: &Secret) -> Result<Secret, PrepareError> {
    let text = secret.expose_text().ok_or(PrepareError::Forbidden)?;
    prepare_name(text).map(Secret::new)
}

/// Prepares a name.
pub fn prepare_name(name: &str) -> Result<String, PrepareError> {
    let prepared = stringprep::saslprep(name).map_err(|_| PrepareError::Forbidden)?;
    if prepared.is_empty() { Err(PrepareError::Empty) } else { Ok(prepared.into_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4013, 3.
    #[test]
    fn vectors_of_the_rfc() {
        for (name, prepared) in [
            ("I\u{ad}X", Ok("IX")),
            ("user", Ok("user")),
            ("USER", Ok("USER")),
            ("\u{aa}", Ok("a")),
            ("\u{2168}", Ok("IX")),
            ("\u{7}", Err(PrepareError::Forbidden)),
            ("\u{627}1", Err(PrepareError::Forbidden)),
        ] {
            assert_eq!(prepare_name(name), prepared.map(str::to_owned), "{name:?}");
        }
    }

    /// Rows X109, X125.
    #[test]
    fn nothing_is_no_name() {
        assert_eq!(prepare_name(""), Err(PrepareError::Empty));
        assert_eq!(prepare_name("\u{ad}"), Err(PrepareError::Empty));
        assert!(prepare(&Secret::new("\u{ad}")).is_err() && prepare(&Secret::new(b"\xff".to_vec())).is_err());
    }
}
