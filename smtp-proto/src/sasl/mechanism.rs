//! The mechanisms by name.

use std::fmt;

/// A way to prove who one is. The later in this list, the less it gives away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mechanism {
    /// Name and password, one after the other; never an RFC, and what many programs know best.
    Login,
    /// Name and password in one message (RFC 4616).
    Plain,
    /// A token in the form of its inventor.
    XOAuth2,
    /// A token (RFC 7628).
    OAuthBearer,
    /// A proof that the password is known (RFC 7677).
    ScramSha256,
    /// The same, tied to the TLS connection.
    ScramSha256Plus,
}

impl Mechanism {
    /// All of them, the strongest first.
    pub const ALL: [Mechanism; 6] = [
        Mechanism::ScramSha256Plus,
        Mechanism::ScramSha256,
        Mechanism::OAuthBearer,
        Mechanism::XOAuth2,
        Mechanism::Plain,
        Mechanism::Login,
    ];

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Login => "LOGIN",
            Mechanism::Plain => "PLAIN",
            Mechanism::XOAuth2 => "XOAUTH2",
            Mechanism::OAuthBearer => "OAUTHBEARER",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
        }
    }

    /// Finds a mechanism by its name, in any case (RFC 4422, 3.1: names are upper case; some peers are not).
    pub fn find(name: &str) -> Option<Self> {
        Mechanism::ALL.into_iter().find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }

    /// Whether whoever sees the exchange, or is taken for the server by mistake, can use what it has seen.
    pub fn gives_the_secret_away(self) -> bool {
        !matches!(self, Mechanism::ScramSha256 | Mechanism::ScramSha256Plus)
    }

    /// Whether the secret is a token and not a password.
    pub fn wants_token(self) -> bool {
        matches!(self, Mechanism::OAuthBearer | Mechanism::XOAuth2)
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
