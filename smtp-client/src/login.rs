//! Proving to a server who we are: which mechanism is used with whom, and what is told to nobody.
//!
//! The strongest mechanism that the server offers goes first. PLAIN and LOGIN say the password itself, so they are for servers
//! that have proved who they are, and for others only where [`Login::in_clear`] says so: whoever answers in a server's place
//! offers nothing but PLAIN. If a server that has proved itself refuses SCRAM, PLAIN is tried once, since some have no keys for
//! some users. A token is used by OAUTHBEARER and XOAUTH2, and these use nothing else.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use smtp_proto::client::Failure;
use smtp_proto::sasl::Mechanism;
use smtp_proto::sasl::client::{Credentials, ExchangeError};
use smtp_proto::secret::Secret;

/// Random octets of a nonce, which are more as base64.
pub(crate) const NONCE_OCTETS: usize = 18;

/// Tokens have a few thousand; with more, no line of the dialogue could carry it.
const MOST_PASSWORD_OCTETS: u64 = 8 * 1024;

/// Who we are, and how far we go to prove it.
#[derive(Clone, Debug)]
pub struct Login {
    /// Name and password, or name and token.
    pub credentials: Credentials,
    /// This mechanism and no other.
    pub mechanism: Option<Mechanism>,
    /// Whether the password may also be said in clear, and to servers that have not proved who they are.
    pub in_clear: bool,
}

/// Why the server does not know who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginError {
    /// It does not ask: it offers no AUTH, at least not on this connection.
    NotOffered {
        /// Whether this was asked without TLS, under which it may well be offered.
        in_clear: bool,
    },
    /// It does not offer the mechanism that was wished for, but these.
    NotThis(Mechanism, Vec<Mechanism>),
    /// It offers none that is known here.
    Unknown,
    /// All that it offers would tell it the password, and it has not proved who it is. The reason, if there was TLS.
    Unsafe(Option<String>),
    /// It refuses, or said something that is no SMTP.
    Refused(Mechanism, Failure),
    /// We refuse: the name or the password cannot be used, or the server is not who it says it is.
    Exchange(Mechanism, ExchangeError),
    /// There is nothing that nobody can guess.
    Random(String),
}

impl LoginError {
    /// Whether the same may work later. RFC 4954, 6: a 454 is no reason to ask for another password.
    pub fn is_transient(&self) -> bool {
        match self {
            LoginError::Refused(_, failure) => failure.is_transient(),
            LoginError::Random(_) => true,
            _ => false,
        }
    }
}

fn names(mechanisms: &[Mechanism]) -> String {
    mechanisms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoginError::NotOffered { in_clear: false } => f.write_str("the server does not let anybody log in here"),
            LoginError::NotOffered { in_clear: true } => {
                f.write_str("the server does not let anybody log in without TLS, and this connection is in clear")
            }
            LoginError::NotThis(wanted, offered) if offered.is_empty() => {
                write!(f, "the server does not offer {wanted}, and nothing else that is known here")
            }
            LoginError::NotThis(wanted, offered) => {
                write!(f, "the server does not offer {wanted}; it offers {}", names(offered))
            }
            LoginError::Unknown => f.write_str("the server offers no way to log in that is known here"),
            LoginError::Unsafe(None) => {
                f.write_str("the server wants the password itself, and the connection is in clear; it has not heard it")
            }
            LoginError::Unsafe(Some(reason)) => {
                write!(
                    f,
                    "the server wants the password itself and has not proved who it is ({reason}); it has not heard it"
                )
            }
            LoginError::Refused(mechanism, failure) => write!(f, "{mechanism}: {}", failure.cause),
            LoginError::Exchange(mechanism, error) => write!(f, "{mechanism}: {error}"),
            LoginError::Random(error) => write!(f, "no random octets: {error}"),
        }
    }
}

impl std::error::Error for LoginError {}

/// Why there is no password.
#[derive(Debug)]
pub enum PasswordError {
    /// The file cannot be read.
    Io(io::Error),
    /// There is nothing in it.
    Empty,
    /// There is more in it than a password.
    SeveralLines,
}

impl fmt::Display for PasswordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PasswordError::Io(error) => error.fmt(f),
            PasswordError::Empty => f.write_str("there is no password in it"),
            PasswordError::SeveralLines => {
                f.write_str("a password is one line, and there are more, or it is very long")
            }
        }
    }
}

impl std::error::Error for PasswordError {}

/// Reads a file with a password: one line.
pub fn read_password(path: &Path) -> Result<Secret, PasswordError> {
    let file = File::open(path).map_err(PasswordError::Io)?;
    let mode = file.metadata().map_err(PasswordError::Io)?.permissions().mode();
    if mode & 0o077 != 0 {
        log::warn!("{}: others than its owner may read the password; chmod 600 it", path.display());
    }
    let mut octets = Vec::new();
    file.take(MOST_PASSWORD_OCTETS + 1).read_to_end(&mut octets).map_err(PasswordError::Io)?;
    password_in(Secret::new(octets))
}

/// The password in what a file holds or a program says.
pub fn password_in(text: Secret) -> Result<Secret, PasswordError> {
    let password = text.without_line_end();
    match password.expose() {
        [] => Err(PasswordError::Empty),
        octets if octets.contains(&b'\n') || octets.len() as u64 > MOST_PASSWORD_OCTETS => {
            Err(PasswordError::SeveralLines)
        }
        _ => Ok(password),
    }
}

/// What is known of the connection.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    /// What the server offers and is known here, the strongest first; `None` if it offers no AUTH at all.
    pub(crate) offered: Option<Vec<Mechanism>>,
    /// `Err` if the server has not proved who it is; the reason, if there is TLS at all.
    pub(crate) verified: Result<(), Option<String>>,
    /// Whether a proof can be tied to the connection.
    pub(crate) has_binding: bool,
}

/// What is tried, in this order; the second only if the first is refused for good.
pub(crate) fn plan(login: &Login, surroundings: &Surroundings) -> Result<Vec<Mechanism>, LoginError> {
    let offered =
        surroundings.offered.as_ref().ok_or(LoginError::NotOffered { in_clear: surroundings.verified == Err(None) })?;
    let has_binding = surroundings.has_binding;
    let usable = |mechanism: &Mechanism| *mechanism != Mechanism::ScramSha256Plus || has_binding;
    let mut wanted: Vec<Mechanism> = match login.mechanism {
        Some(wanted) if !offered.contains(&wanted) => return Err(LoginError::NotThis(wanted, offered.clone())),
        Some(wanted) => vec![wanted],
        None => offered.iter().copied().filter(|mechanism| !mechanism.wants_token() && usable(mechanism)).collect(),
    };
    if wanted.is_empty() {
        return Err(LoginError::Unknown);
    }
    let is_safe = surroundings.verified.is_ok();
    if !is_safe && !login.in_clear {
        wanted.retain(|mechanism| !mechanism.gives_the_secret_away());
    }
    let Some(first) = wanted.first().copied() else {
        return Err(LoginError::Unsafe(surroundings.verified.clone().err().flatten()));
    };
    let weaker = wanted.into_iter().find(|mechanism| mechanism.gives_the_secret_away());
    let second = weaker.filter(|_| is_safe && !first.gives_the_secret_away());
    Ok([first].into_iter().chain(second).collect())
}

#[cfg(test)]
mod tests {
    use super::Mechanism::{Login as LoginMechanism, OAuthBearer, Plain, ScramSha256, ScramSha256Plus, XOAuth2};
    use super::*;

    fn login(mechanism: Option<Mechanism>, in_clear: bool) -> Login {
        Login { credentials: Credentials { name: "ann".into(), secret: Secret::new("x") }, mechanism, in_clear }
    }

    /// Rows X113, X121.
    #[test]
    fn who_hears_what() {
        let all = [ScramSha256Plus, ScramSha256, OAuthBearer, XOAuth2, Plain, LoginMechanism].as_slice();
        let verified = || Ok(());
        let unverified = || Err(Some("it has expired".to_owned()));
        let in_clear = || Err(None);
        let unsafe_tls = || Err(LoginError::Unsafe(Some("it has expired".to_owned())));
        for (wanted, tells, offered, verified, has_binding, expected) in [
            (None, false, all, verified(), true, Ok(vec![ScramSha256Plus, Plain])),
            (None, false, all, verified(), false, Ok(vec![ScramSha256, Plain])),
            (None, false, &[Plain, LoginMechanism], verified(), true, Ok(vec![Plain])),
            (None, false, &[LoginMechanism], verified(), true, Ok(vec![LoginMechanism])),
            (Some(ScramSha256), false, all, verified(), true, Ok(vec![ScramSha256])),
            (Some(XOAuth2), false, all, verified(), true, Ok(vec![XOAuth2])),
            // Without proof: no password, no token, and no second try.
            (None, false, all, unverified(), true, Ok(vec![ScramSha256Plus])),
            (None, false, all, in_clear(), false, Ok(vec![ScramSha256])),
            (None, false, &[Plain, LoginMechanism], unverified(), true, unsafe_tls()),
            (None, false, &[Plain, LoginMechanism], in_clear(), false, Err(LoginError::Unsafe(None))),
            (Some(Plain), false, all, in_clear(), false, Err(LoginError::Unsafe(None))),
            (Some(OAuthBearer), false, all, unverified(), true, unsafe_tls()),
            // Unless told so.
            (None, true, &[Plain, LoginMechanism], in_clear(), false, Ok(vec![Plain])),
            (None, true, all, unverified(), true, Ok(vec![ScramSha256Plus])),
            (Some(LoginMechanism), true, all, in_clear(), false, Ok(vec![LoginMechanism])),
            // Nothing to use.
            (None, false, &[], verified(), true, Err(LoginError::Unknown)),
            (None, false, &[XOAuth2], verified(), true, Err(LoginError::Unknown)),
            (None, false, &[ScramSha256Plus], verified(), false, Err(LoginError::Unknown)),
            (
                Some(Plain),
                false,
                &[LoginMechanism],
                verified(),
                true,
                Err(LoginError::NotThis(Plain, vec![LoginMechanism])),
            ),
        ] {
            let surroundings = Surroundings { offered: Some(offered.to_vec()), verified, has_binding };
            assert_eq!(plan(&login(wanted, tells), &surroundings), expected, "{wanted:?} {tells} {surroundings:?}");
        }
        let silent = Surroundings { offered: None, verified: Ok(()), has_binding: true };
        assert_eq!(plan(&login(None, true), &silent), Err(LoginError::NotOffered { in_clear: false }));
        let in_clear = Surroundings { verified: Err(None), ..silent };
        assert_eq!(plan(&login(None, true), &in_clear), Err(LoginError::NotOffered { in_clear: true }));
    }
}
