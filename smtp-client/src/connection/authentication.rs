//! Proving to the server who we are, before anything is said about mail.

use smtp_proto::client::{AuthEvent, Event};
use smtp_proto::extension::Extension;
use smtp_proto::sasl::client::{Circumstances, Exchange};
use smtp_proto::sasl::scram::Binding;
use smtp_proto::sasl::{Mechanism, base64};

use super::{ConnectError, Connection};
use crate::login::{self, Login, LoginError, Surroundings};
use crate::peer::Peer;
use crate::tls::TlsMode;

impl Connection {
    /// Logs in to a host of this name, with the mechanisms that [`login::plan`] chooses. If that fails, the server hears QUIT.
    pub(super) fn log_in(&mut self, login: &Login, host: &str, mode: TlsMode) -> Result<(), ConnectError> {
        let binding = self.wire.binding();
        let is_offered = self.extensions().iter().any(|extension| matches!(extension, Extension::Auth(_)));
        let surroundings = Surroundings {
            offered: is_offered.then(|| self.session.mechanisms()),
            verified: match self.tls() {
                None => Err(None),
                // Where TLS is only tried, whoever can change what is said can take it away just as well.
                Some(_) if !mode.is_strict() => Err(Some("TLS was only tried, see --tls".to_owned())),
                Some(secured) => secured.verified.clone().map_err(Some),
            },
            has_binding: matches!(binding, Binding::Exporter(_)),
        };
        let mut result = Err(LoginError::NotOffered { in_clear: self.tls().is_none() });
        match login::plan(login, &surroundings) {
            Err(error) => result = Err(error),
            Ok(mechanisms) => {
                for mechanism in mechanisms {
                    result = self.authenticate(mechanism, login, host, &binding)?;
                    // Only a refusal for good is a reason to try another way: the server may have no keys for this user.
                    let is_refused = matches!(&result, Err(LoginError::Refused(_, failure)) if !failure.is_transient());
                    if !is_refused {
                        break;
                    }
                }
            }
        }
        result.map_err(|error| self.leave(error))
    }

    /// One dialogue. The outer error is a connection that ended in it.
    fn authenticate(
        &mut self,
        mechanism: Mechanism,
        login: &Login,
        host: &str,
        binding: &Binding,
    ) -> Result<Result<(), LoginError>, ConnectError> {
        let mut octets = [0; login::NONCE_OCTETS];
        if let Err(error) = getrandom::fill(&mut octets) {
            return Ok(Err(LoginError::Random(error.to_string())));
        }
        let circumstances = Circumstances {
            nonce: base64::encode(&octets),
            binding: binding.clone(),
            is_binding_offered: self.session.mechanisms().contains(&Mechanism::ScramSha256Plus),
            host: host.to_owned(),
            port: match self.peer() {
                Peer::Tcp(address) => address.port(),
                Peer::Unix(_) => 0,
            },
        };
        let mut exchange = match Exchange::new(mechanism, &login.credentials, &circumstances) {
            Ok(exchange) => exchange,
            Err(error) => return Ok(Err(LoginError::Exchange(mechanism, error))),
        };
        let now = self.now();
        if self.session.authenticate(mechanism, exchange.initial_response(), now).is_err() {
            return Ok(Err(LoginError::NotOffered { in_clear: self.tls().is_none() }));
        }
        // What made us break the dialogue off; the server's words to that say less.
        let mut ours = None;
        loop {
            match self.next_event() {
                Event::Auth(AuthEvent::Challenge(challenge)) => match exchange.handle(&challenge) {
                    Ok(response) => self.session.respond(&response, self.now()),
                    Err(error) => {
                        ours = Some(error);
                        self.session.cancel_auth(self.now());
                    }
                },
                Event::Auth(AuthEvent::Succeeded(reply)) => {
                    log::debug!("{}: {mechanism}: {reply}", self.peer());
                    self.until_ready()?;
                    return Ok(exchange.finish().map_err(|error| LoginError::Exchange(mechanism, error)));
                }
                Event::Auth(AuthEvent::Failed(failure)) => {
                    log::debug!("{}: {mechanism}: {failure}", self.peer());
                    self.until_ready()?;
                    let error = ours.map(|error| LoginError::Exchange(mechanism, error));
                    return Ok(Err(error.unwrap_or(LoginError::Refused(mechanism, failure))));
                }
                Event::Closed(ending) => return Err(self.session_error(ending)),
                Event::NeedInput | Event::StartTls | Event::Ready | Event::WantContent | Event::Finished(_) => {}
            }
        }
    }

    /// The event behind the end of a dialogue.
    fn until_ready(&mut self) -> Result<(), ConnectError> {
        loop {
            match self.next_event() {
                Event::Ready => return Ok(()),
                Event::Closed(ending) => return Err(self.session_error(ending)),
                _ => {}
            }
        }
    }

    fn session_error(&self, ending: smtp_proto::client::Ending) -> ConnectError {
        ConnectError::Session(Box::new(self.circumstances.clone()), ending)
    }

    fn leave(&mut self, error: LoginError) -> ConnectError {
        self.circumstances.note(self.said_at.elapsed(), "", &[]);
        self.session.quit(self.now());
        while self.ending.is_none() {
            self.next_event();
        }
        ConnectError::Login(Box::new(self.circumstances.clone()), error)
    }
}
