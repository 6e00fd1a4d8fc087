//! Who may log in, and what it takes to find out: between the dialogue, which is the session's
//! ([`smtp_proto::server::AuthAnswer`]), and the list of users ([`crate::users`]).
//!
//! Checking a password is meant to be dear (50 ms and 19 MiB with ARGON2ID), so whoever may ask for it may keep the host busy.
//! Only so many checks go on at once; others wait a while and then hear 454. Who fails often waits longer and longer
//! (`backoff.rs`).

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use smtp_proto::sasl::scram::Binding;
use smtp_proto::sasl::server::{Exchange, Refusal, Step};
use smtp_proto::sasl::{Mechanism, base64};
use smtp_proto::secret::Secret;
use smtp_proto::server::AuthAnswer;

use crate::backoff::Backoff;
use crate::reload::Current;
use crate::replies;
use crate::users::Users;

/// Who may log in, now. A clone shares it.
pub type CurrentUsers = Current<Users>;

/// Checks of a password at a time: with what `hash-password` makes, 76 MiB.
const CHECKS: usize = 4;

/// How long one waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// Random octets of a nonce, which are more as base64.
const NONCE_OCTETS: usize = 18;

/// Answers all dialogues of a server.
pub struct Authenticator {
    users: CurrentUsers,
    /// Whether peers on this very host may log in without TLS.
    allows_loopback_in_clear: bool,
    /// As many words fit in as checks may go on.
    turns: (Sender<()>, Receiver<()>),
    patience: Duration,
    backoff: Backoff,
    /// Makes the salts of those who are not there, so that they stay the same while this process lives.
    seed: Secret,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("users", &self.users.get().count()).finish_non_exhaustive()
    }
}

/// One dialogue.
pub(crate) struct Dialogue {
    pub(crate) mechanism: Mechanism,
    exchange: Exchange,
    /// Who it says it is, once it has said so.
    pub(crate) user: Option<String>,
}

impl Authenticator {
    /// For these users.
    pub fn new(users: CurrentUsers) -> io::Result<Self> {
        let mut seed = vec![0; 32];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        Ok(Authenticator {
            users,
            allows_loopback_in_clear: false,
            turns: crossbeam_channel::bounded(CHECKS),
            patience: PATIENCE,
            backoff: Backoff::default(),
            seed: Secret::new(seed),
        })
    }

    /// Lets peers on this very host log in without TLS, to try things out. Nobody else may, whatever is set.
    pub fn allowing_loopback_in_clear(self) -> Self {
        Authenticator { allows_loopback_in_clear: true, ..self }
    }

    /// What is offered to a peer.
    pub(crate) fn mechanisms(&self, peer: IpAddr, is_tls: bool, binding: &Binding) -> Vec<Mechanism> {
        let is_trial = self.allows_loopback_in_clear && peer.is_loopback();
        if !is_tls && !is_trial {
            return Vec::new();
        }
        let mut mechanisms = vec![Mechanism::Plain, Mechanism::Login];
        if self.users.get().all_have_scram() {
            mechanisms.insert(0, Mechanism::ScramSha256);
            if let Binding::Exporter(_) = binding {
                mechanisms.insert(0, Mechanism::ScramSha256Plus);
            }
        }
        mechanisms
    }

    /// Begins a dialogue. `Err` is the answer if there can be none.
    pub(crate) fn begin(&self, mechanism: Mechanism, binding: Binding, peer: IpAddr) -> Result<Dialogue, AuthAnswer> {
        let wait = self.backoff.wait(peer, Instant::now());
        if !wait.is_zero() {
            return Err(AuthAnswer::Refused(replies::too_many_guesses(wait)));
        }
        let mut nonce = [0; NONCE_OCTETS];
        getrandom::fill(&mut nonce).map_err(|error| {
            log::error!("no random octets: {error}");
            AuthAnswer::Refused(replies::no_auth_now())
        })?;
        let exchange = Exchange::new(mechanism, base64::encode(&nonce), binding);
        let exchange = exchange.ok_or_else(|| AuthAnswer::Refused(replies::no_auth_now()))?;
        Ok(Dialogue { mechanism, exchange, user: None })
    }

    /// Goes on with what the client said; nothing is what it says by AUTH alone.
    pub(crate) fn go_on(&self, dialogue: &mut Dialogue, said: Option<&Secret>, peer: IpAddr) -> AuthAnswer {
        let users = self.users.get();
        let mut step = match said {
            None => dialogue.exchange.start(),
            Some(said) => dialogue.exchange.handle(said.expose()),
        };
        loop {
            step = match step {
                Step::Challenge(octets) => return AuthAnswer::Challenge(octets),
                Step::FindKeys(name) => {
                    let keys = users.keys(&name, &self.seed);
                    dialogue.user = Some(name);
                    dialogue.exchange.keys(keys)
                }
                Step::CheckPassword(name, password) => {
                    dialogue.user = Some(name.clone());
                    match self.in_turn(|| users.has_password(&name, &password)) {
                        None => return AuthAnswer::Refused(replies::no_auth_now()),
                        Some(true) => Step::Authenticated(name),
                        Some(false) => Step::Refused(Refusal::Denied),
                    }
                }
                Step::Authenticated(name) => return AuthAnswer::Authenticated(name),
                Step::Refused(Refusal::Malformed) => return AuthAnswer::Refused(replies::malformed_auth()),
                Step::Refused(Refusal::Denied) => {
                    let wait = self.backoff.fail(peer, Instant::now());
                    if !wait.is_zero() {
                        let seconds = wait.as_secs();
                        log::warn!(
                            "peer={peer} status=held: too many failures; nobody logs in from there for {seconds} s"
                        );
                    }
                    return AuthAnswer::Refused(replies::wrong_credentials());
                }
            }
        }
    }

    /// Does the work once there is room for it. `None`: there was none for too long.
    fn in_turn<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        struct Turn<'a>(&'a Receiver<()>);
        impl Drop for Turn<'_> {
            fn drop(&mut self) {
                // The word that was put in is there.
                let _ = self.0.try_recv();
            }
        }
        let (sender, receiver) = &self.turns;
        if sender.send_timeout((), self.patience).is_err() {
            log::warn!("{CHECKS} passwords are being checked; somebody has waited for too long");
            return None;
        }
        let _turn = Turn(receiver);
        Some(work())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use smtp_proto::sasl::scram::Keys;

    use super::*;

    fn authenticator(lines: &str) -> Authenticator {
        Authenticator::new(Users::parse(lines).unwrap().into()).unwrap()
    }

    fn ann() -> String {
        format!("ann:{{SCRAM-SHA-256}}{}\n", Keys::derive(&Secret::new("good"), b"salt", 4_096).unwrap().to_text())
    }

    fn peer() -> IpAddr {
        "192.0.2.1".parse().unwrap()
    }

    fn plain(authenticator: &Authenticator, message: &str) -> Result<String, u16> {
        let answer = authenticator.begin(Mechanism::Plain, Binding::None, peer()).map_or_else(
            |answer| answer,
            |mut dialogue| authenticator.go_on(&mut dialogue, Some(&Secret::new(message)), peer()),
        );
        match answer {
            AuthAnswer::Authenticated(name) => Ok(name),
            AuthAnswer::Refused(reply) => Err(reply.code().number()),
            AuthAnswer::Challenge(_) => panic!("nothing more is to be said"),
        }
    }

    /// Row X113.
    #[test]
    fn what_is_offered_to_whom() {
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        let bound = Binding::Exporter(vec![1]);
        let all = [Mechanism::ScramSha256Plus, Mechanism::ScramSha256, Mechanism::Plain, Mechanism::Login];
        let scram = authenticator(&ann());
        assert_eq!(scram.mechanisms(peer(), true, &bound), all);
        assert_eq!(scram.mechanisms(peer(), true, &Binding::None), all[1..]);
        assert_eq!(scram.mechanisms(peer(), false, &Binding::None), []);
        assert_eq!(scram.mechanisms(loopback, false, &Binding::None), []);
        let trial = scram.allowing_loopback_in_clear();
        assert_eq!(trial.mechanisms(peer(), false, &Binding::None), []);
        assert_eq!(trial.mechanisms(loopback, false, &Binding::None), all[1..]);
        let bob = crate::users::Argon2id::cheap(&Secret::new("good"));
        let mixed = authenticator(&format!("{}bob:{{ARGON2ID}}{bob}", ann()));
        assert_eq!(mixed.mechanisms(peer(), true, &bound), all[2..]);
    }

    #[test]
    fn guesses_are_slowed_down_and_others_are_not() {
        let authenticator = authenticator(&ann());
        assert_eq!(plain(&authenticator, "\0ann\0good"), Ok("ann".to_owned()));
        for _ in 0..10 {
            assert_eq!(plain(&authenticator, "nonsense"), Err(501));
            assert_eq!(plain(&authenticator, "\0ann\0bad"), Err(535));
        }
        assert_eq!(plain(&authenticator, "\0ann\0good"), Err(454));
        let elsewhere = authenticator.begin(Mechanism::Plain, Binding::None, "192.0.2.2".parse().unwrap());
        assert!(elsewhere.is_ok());
    }

    #[test]
    fn only_so_many_at_once() {
        let mut authenticator = authenticator(&ann());
        authenticator.patience = Duration::from_millis(50);
        let (working, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (begun, end) = (Barrier::new(CHECKS + 1), Barrier::new(CHECKS + 1));
        std::thread::scope(|scope| {
            for _ in 0..CHECKS {
                scope.spawn(|| {
                    authenticator.in_turn(|| {
                        most.fetch_max(working.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        begun.wait();
                        end.wait();
                    })
                });
            }
            begun.wait();
            assert_eq!(plain(&authenticator, "\0ann\0good"), Err(454), "row X111: there was no room for long");
            end.wait();
        });
        assert_eq!(most.load(Ordering::SeqCst), CHECKS);
        assert_eq!(plain(&authenticator, "\0ann\0good"), Ok("ann".to_owned()));
        // A panic gives its turn back too.
        for _ in 0..=CHECKS {
            let work = std::panic::AssertUnwindSafe(|| authenticator.in_turn(|| panic!("on purpose")));
            assert!(std::panic::catch_unwind(work).is_err());
        }
        assert_eq!(plain(&authenticator, "\0ann\0good"), Ok("ann".to_owned()));
    }
}
