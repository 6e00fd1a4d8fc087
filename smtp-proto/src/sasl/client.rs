//! The client's side of an exchange.
//!
//! ```text
//!   initial_response()            what may go out with AUTH, if it fits on the line
//!   handle(challenge) -> octets   the answer to each 334
//!   finish()                      235 was said: did the server prove itself too, where it must?
//! ```

use std::fmt;

use super::scram::{Binding, LEAST_ITERATIONS, MOST_ITERATIONS, Password, ServerFirst, equal, escape};
use super::{Mechanism, PrepareError, base64, oauth, plain, prepare_name};
use crate::secret::Secret;

/// Who the client is.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The user.
    pub name: String,
    /// The password, or the token for the mechanisms that want one.
    pub secret: Secret,
}

/// What an exchange is told about the world.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// For SCRAM: printable ASCII without commas, that nobody can guess and that never comes again.
    pub nonce: String,
    /// The channel binding, if the connection has one.
    pub binding: Binding,
    /// Whether the server has announced the mechanism that needs it.
    pub is_binding_offered: bool,
    /// The server's name and port, for OAUTHBEARER.
    pub host: String,
    /// See [`Circumstances::host`].
    pub port: u16,
}

/// One exchange with one server.
#[derive(Debug)]
pub struct Exchange {
    state: State,
}

#[derive(Debug)]
enum State {
    /// The first message, for mechanisms in which the client speaks first, and what comes then.
    First(Secret, Box<State>),
    LoginName(Credentials),
    LoginPassword(Secret),
    ScramFirst {
        password: Secret,
        nonce: String,
        header: String,
        binding: Vec<u8>,
        bare: String,
    },
    /// The signature that the server owes.
    ScramFinal(Secret),
    /// The token was refused with an explanation; this is said, and then the server refuses in SMTP's words.
    TokenRefused(&'static str),
    /// Nothing more is to be said.
    Done,
    Failed,
}

/// Why the client goes no further. It says `*` and waits for the server to end the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeError {
    /// The name, the password or the token cannot be used.
    Credentials(PrepareError),
    /// What the server said is no message of this mechanism, or came when nothing was left to say.
    Unexpected,
    /// The server asks for so many iterations.
    Iterations(u32),
    /// The server does not know the password: it is not who it says it is.
    ServerNotProved,
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExchangeError::Credentials(error) => write!(f, "the user name or the password cannot be used: {error}"),
            ExchangeError::Unexpected => f.write_str("what the server said does not belong to the mechanism"),
            ExchangeError::Iterations(count) => {
                write!(f, "the server asks for {count} iterations; {LEAST_ITERATIONS} to {MOST_ITERATIONS} are taken")
            }
            ExchangeError::ServerNotProved => {
                f.write_str("the server has not proved that it knows the password, so it may be another one")
            }
        }
    }
}

impl std::error::Error for ExchangeError {}

impl Exchange {
    /// Begins.
    pub fn new(
        mechanism: Mechanism,
        credentials: &Credentials,
        circumstances: &Circumstances,
    ) -> Result<Self, ExchangeError> {
        let Credentials { name, secret } = credentials;
        let prepared = || prepare_name(name).map_err(ExchangeError::Credentials);
        // No mechanism can carry it, and most would take it for an end.
        if secret.expose().is_empty() {
            return Err(ExchangeError::Credentials(PrepareError::Empty));
        }
        if secret.expose().contains(&0) || name.contains('\0') {
            return Err(ExchangeError::Credentials(PrepareError::Forbidden));
        }
        let state = match mechanism {
            Mechanism::Plain => State::First(plain::write(&prepared()?, secret), Box::new(State::Done)),
            Mechanism::Login => State::LoginName(credentials.clone()),
            Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => {
                scram(mechanism, &prepared()?, secret, circumstances)
            }
            Mechanism::OAuthBearer => {
                let Circumstances { host, port, .. } = circumstances;
                let next = State::TokenRefused(oauth::SEPARATOR);
                State::First(oauth::bearer(name, token(secret)?, host, *port), Box::new(next))
            }
            Mechanism::XOAuth2 => State::First(oauth::xoauth2(name, token(secret)?), Box::new(State::TokenRefused(""))),
        };
        Ok(Exchange { state })
    }

    /// What may go out with AUTH itself. Once it is taken, it has been said. `None`: the server speaks first.
    pub fn initial_response(&mut self) -> Option<Secret> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::First(message, next) => {
                self.state = *next;
                Some(message)
            }
            state => {
                self.state = state;
                None
            }
        }
    }

    /// The server has said this. Returns the answer.
    pub fn handle(&mut self, challenge: &[u8]) -> Result<Secret, ExchangeError> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::First(message, next) if challenge.is_empty() => {
                self.state = *next;
                Ok(message)
            }
            // Whatever the server asks, it asks for these two, in this order.
            State::LoginName(Credentials { name, secret }) => {
                self.state = State::LoginPassword(secret);
                Ok(Secret::new(name))
            }
            State::LoginPassword(password) => {
                self.state = State::Done;
                Ok(password)
            }
            State::ScramFirst { password, nonce, header, binding, bare } => {
                let text = std::str::from_utf8(challenge).map_err(|_| ExchangeError::Unexpected)?;
                let first = ServerFirst::read(text).ok_or(ExchangeError::Unexpected)?;
                // Ours, and something of its own behind it.
                if !first.nonce.starts_with(&nonce) || first.nonce.len() == nonce.len() {
                    return Err(ExchangeError::Unexpected);
                }
                if !(LEAST_ITERATIONS..=MOST_ITERATIONS).contains(&first.iterations) {
                    return Err(ExchangeError::Iterations(first.iterations));
                }
                let binding = base64::encode(&[header.as_bytes(), &binding].concat());
                let without_proof = format!("c={binding},r={}", first.nonce);
                let exchange = format!("{bare},{text},{without_proof}");
                let password = Password::new(&password, &first.salt, first.iterations);
                let proof = password.map_err(ExchangeError::Credentials)?.prove(exchange.as_bytes());
                self.state = State::ScramFinal(proof.server);
                Ok(Secret::new(format!("{without_proof},p={}", base64::encode(proof.client.expose()))))
            }
            State::ScramFinal(expected) => {
                let value = challenge.strip_prefix(b"v=").ok_or(ExchangeError::ServerNotProved)?;
                // Extensions may stand behind it (RFC 5802, 7).
                let signature = value.split(|octet| *octet == b',').next().and_then(base64::decode).unwrap_or_default();
                if !equal(&signature, expected.expose()) {
                    return Err(ExchangeError::ServerNotProved);
                }
                self.state = State::Done;
                Ok(Secret::default())
            }
            State::TokenRefused(answer) => {
                // Once. A server that asked on and on would hold us for ever.
                self.state = State::Done;
                Ok(Secret::new(answer))
            }
            State::First(..) | State::Done | State::Failed => Err(ExchangeError::Unexpected),
        }
    }

    /// The server has said that all is well. Is it?
    pub fn finish(&self) -> Result<(), ExchangeError> {
        match &self.state {
            State::Done | State::TokenRefused(_) => Ok(()),
            State::ScramFirst { .. } | State::ScramFinal(_) => Err(ExchangeError::ServerNotProved),
            State::First(..) | State::LoginName(_) | State::LoginPassword(_) | State::Failed => {
                Err(ExchangeError::Unexpected)
            }
        }
    }
}

/// RFC 6750, 2.1: visible ASCII. A space, or what ends a part of the message, would make something else of it.
fn token(secret: &Secret) -> Result<&str, ExchangeError> {
    let is_token = |token: &&str| token.bytes().all(|octet| octet.is_ascii_graphic());
    secret.expose_text().filter(is_token).ok_or(ExchangeError::Credentials(PrepareError::Forbidden))
}

fn scram(mechanism: Mechanism, name: &str, password: &Secret, circumstances: &Circumstances) -> State {
    let Circumstances { nonce, binding, is_binding_offered, .. } = circumstances;
    let (header, binding) = match (mechanism, binding) {
        (Mechanism::ScramSha256Plus, Binding::Exporter(octets)) => (format!("p={},,", Binding::TYPE), octets.clone()),
        // RFC 5802, 6: we could, and believe that the server cannot. If it can, somebody else made us believe it.
        (_, Binding::Exporter(_)) if !is_binding_offered => ("y,,".to_owned(), Vec::new()),
        _ => ("n,,".to_owned(), Vec::new()),
    };
    let bare = format!("n={},r={nonce}", escape(name));
    let message = Secret::new(format!("{header}{bare}"));
    let next = State::ScramFirst { password: password.clone(), nonce: nonce.clone(), header, binding, bare };
    State::First(message, Box::new(next))
}
