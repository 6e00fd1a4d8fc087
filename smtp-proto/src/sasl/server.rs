//! The server's side of an exchange.
//!
//! ```text
//!   handle(what came) -> Challenge(octets)              say them, hand in the answer
//!                        CheckPassword(name, password)  somebody with the list of users says yes or no: the end
//!                        FindKeys(name)                 keys() goes on with what is kept of that user's password
//!                        Authenticated(name)            proved: the end
//!                        Refused(why)                   the end
//! ```

use super::scram::{Binding, ClientFinal, ClientFirst, Keys};
use super::{Mechanism, plain, prepare, prepare_name};
use crate::secret::Secret;

/// One exchange with one client.
#[derive(Debug)]
pub struct Exchange {
    state: State,
}

#[derive(Debug)]
enum State {
    Plain,
    LoginName,
    LoginPassword(String),
    ScramFirst { nonce: String, binding: Binding, is_bound: bool },
    ScramKeys(Box<Scram>),
    ScramFinal(Box<Scram>, Keys),
    ScramEnd(String),
    Over,
}

/// A SCRAM exchange between its first and its last message.
#[derive(Debug)]
struct Scram {
    name: String,
    /// The client's part and ours.
    nonce: String,
    /// What `c=` must say.
    binding: Vec<u8>,
    client_first_bare: String,
    server_first: String,
}

/// What comes next.
#[derive(Debug)]
pub enum Step {
    /// Say this to the client, and hand in what it answers.
    Challenge(Vec<u8>),
    /// Is it this user, with this password? Both are prepared. The exchange is over with the answer.
    CheckPassword(String, Secret),
    /// [`Exchange::keys`] wants what is kept of this user's password.
    FindKeys(String),
    /// It is this user.
    Authenticated(String),
    /// It is not.
    Refused(Refusal),
}

/// Why an exchange has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// What came is no message of this mechanism.
    Malformed,
    /// It is not who it says it is, wants to be somebody else, or is being deceived about what we offer.
    Denied,
}

impl Exchange {
    /// Begins. `nonce` is for SCRAM: printable ASCII without commas, that nobody can guess and that never comes again.
    /// `None` for a mechanism that servers do not have here.
    pub fn new(mechanism: Mechanism, nonce: String, binding: Binding) -> Option<Self> {
        let state = match mechanism {
            Mechanism::Plain => State::Plain,
            Mechanism::Login => State::LoginName,
            Mechanism::ScramSha256 => State::ScramFirst { nonce, binding, is_bound: false },
            Mechanism::ScramSha256Plus => State::ScramFirst { nonce, binding, is_bound: true },
            Mechanism::OAuthBearer | Mechanism::XOAuth2 => return None,
        };
        Some(Exchange { state })
    }

    /// The client has named the mechanism and said nothing more, so it wants to be asked. LOGIN asks with words; their text
    /// is known to many programs and means nothing to any.
    pub fn start(&mut self) -> Step {
        match &self.state {
            State::LoginName => Step::Challenge(b"Username:".to_vec()),
            State::Over => Step::Refused(Refusal::Malformed),
            _ => Step::Challenge(Vec::new()),
        }
    }

    /// The client has said this.
    pub fn handle(&mut self, response: &[u8]) -> Step {
        self.next(response).unwrap_or_else(Step::Refused)
    }

    fn next(&mut self, response: &[u8]) -> Result<Step, Refusal> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Plain => {
                let message = plain::read(response).ok_or(Refusal::Malformed)?;
                let name = prepare_name(message.name).map_err(|_| Refusal::Denied)?;
                let password = prepare(&Secret::new(message.password)).map_err(|_| Refusal::Denied)?;
                check_authorisation(message.authorisation, &name)?;
                Ok(Step::CheckPassword(name, password))
            }
            State::LoginName => {
                let name = std::str::from_utf8(response).map_err(|_| Refusal::Denied)?;
                self.state = State::LoginPassword(prepare_name(name).map_err(|_| Refusal::Denied)?);
                Ok(Step::Challenge(b"Password:".to_vec()))
            }
            State::LoginPassword(name) => {
                let password = prepare(&Secret::new(response)).map_err(|_| Refusal::Denied)?;
                Ok(Step::CheckPassword(name, password))
            }
            State::ScramFirst { nonce, binding, is_bound } => {
                let scram = Scram::new(response, &nonce, &binding, is_bound)?;
                let name = scram.name.clone();
                self.state = State::ScramKeys(Box::new(scram));
                Ok(Step::FindKeys(name))
            }
            State::ScramFinal(scram, keys) => {
                let signature = scram.check(response, &keys)?;
                self.state = State::ScramEnd(scram.name);
                Ok(Step::Challenge(signature))
            }
            // RFC 4954, 4: what the server says last goes out as a challenge, to which the client answers nothing.
            State::ScramEnd(name) if response.is_empty() => Ok(Step::Authenticated(name)),
            State::ScramEnd(_) | State::ScramKeys(_) | State::Over => Err(Refusal::Malformed),
        }
    }

    /// Goes on from [`Step::FindKeys`].
    pub fn keys(&mut self, keys: Keys) -> Step {
        match std::mem::replace(&mut self.state, State::Over) {
            State::ScramKeys(mut scram) => {
                let salt = super::base64::encode(&keys.salt);
                scram.server_first = format!("r={},s={salt},i={}", scram.nonce, keys.iterations);
                let challenge = scram.server_first.clone().into_bytes();
                self.state = State::ScramFinal(scram, keys);
                Step::Challenge(challenge)
            }
            _ => Step::Refused(Refusal::Malformed),
        }
    }
}

/// Nobody here may act as somebody else, so the only other name that is right is one's own.
fn check_authorisation(authorisation: &str, name: &str) -> Result<(), Refusal> {
    let is_own = authorisation.is_empty() || prepare_name(authorisation).as_deref() == Ok(name);
    if is_own { Ok(()) } else { Err(Refusal::Denied) }
}

impl Scram {
    fn new(response: &[u8], nonce: &str, binding: &Binding, is_bound: bool) -> Result<Self, Refusal> {
        let first = ClientFirst::read(response).ok_or(Refusal::Malformed)?;
        let name = prepare_name(&first.name).map_err(|_| Refusal::Denied)?;
        check_authorisation(&first.authorisation, &name)?;
        let mut expected = first.header.as_bytes().to_vec();
        match (first.flag.strip_prefix("p="), binding) {
            (Some(Binding::TYPE), Binding::Exporter(octets)) if is_bound => expected.extend_from_slice(octets),
            (Some(_), _) => return Err(Refusal::Denied),
            (None, _) if is_bound => return Err(Refusal::Malformed),
            // RFC 5802, 6: it knows channel bindings and believes that we do not, though we have announced it. So somebody
            // has taken it out of our announcement.
            (None, Binding::Exporter(_)) if first.flag == "y" => return Err(Refusal::Denied),
            (None, _) if !matches!(first.flag, "n" | "y") => return Err(Refusal::Malformed),
            (None, _) => {}
        }
        Ok(Scram {
            name,
            nonce: format!("{}{nonce}", first.nonce),
            binding: expected,
            client_first_bare: first.bare.to_owned(),
            server_first: String::new(),
        })
    }

    /// Checks the last message. Returns ours.
    fn check(&self, response: &[u8], keys: &Keys) -> Result<Vec<u8>, Refusal> {
        let last = ClientFinal::read(response).ok_or(Refusal::Malformed)?;
        if last.nonce != self.nonce || last.binding != self.binding {
            return Err(Refusal::Denied);
        }
        let exchange = format!("{},{},{}", self.client_first_bare, self.server_first, last.without_proof);
        let signature = keys.check(&last.proof, exchange.as_bytes()).ok_or(Refusal::Denied)?;
        Ok(format!("v={}", super::base64::encode(signature.expose())).into_bytes())
    }
}
