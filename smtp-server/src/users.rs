//! Who may log in: a list in the form of a passwd file, `name:{SCHEME}hash`, the same that Dovecot reads.
//!
//! ```text
//! # name:{scheme}hash:addresses to send from
//! ann@example.org:{SCRAM-SHA-256}100000,5l0...,kX3...,w8d...
//! printer:{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$c2Fs...$8Vd...:printer@example.org,@copy.example.org
//! ```
//!
//! Nothing in it is a password. ARGON2ID is the dearer to guess from, and good for PLAIN and LOGIN; SCRAM-SHA-256 also lets
//! the client prove that it knows the password without saying it. A user may have a line for each. The third field binds a
//! user to addresses; without it, every address may stand as the sender.

mod password;
mod senders;

use std::collections::HashMap;
use std::fmt;

use smtp_proto::address::{AddressError, ReversePath};
use smtp_proto::sasl::scram::{Keys, KeysError, SALT_OCTETS};
use smtp_proto::sasl::{PrepareError, prepare_name};
use smtp_proto::secret::Secret;

use crate::reload::Reload;
pub use password::{Argon2id, Argon2idError, Scheme, hash};
use senders::Senders;

/// All users, as they are in the file.
#[derive(Debug)]
pub struct Users {
    users: HashMap<String, User>,
    /// What checking costs, for those who have no such hash or are not there at all.
    argon2id_decoy: Option<Argon2id>,
    scram_decoy: Option<Keys>,
}

#[derive(Debug, Default)]
struct User {
    argon2id: Option<Argon2id>,
    scram: Option<Keys>,
    senders: Option<Senders>,
}

/// A line is no user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsersError {
    /// The number of the line, from 1. `None`: it is about the whole.
    pub line: Option<usize>,
    /// What is wrong with it.
    pub reason: UsersReason,
}

/// What is wrong with a line. None of it repeats what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsersReason {
    /// Not `name:{SCHEME}hash`.
    Form,
    /// The name cannot be a name.
    Name(PrepareError),
    /// There is no such scheme here.
    Scheme,
    /// The hash is no hash of ARGON2ID.
    Argon2id(Argon2idError),
    /// The hash is none of SCRAM-SHA-256.
    Scram(KeysError),
    /// The third field is no list of addresses and domains.
    Senders(AddressError),
    /// There are more fields than three.
    Fields,
    /// The user has such a hash already, or two lists of addresses.
    Twice,
    /// Nobody could log in.
    Nobody,
}

impl fmt::Display for UsersReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UsersReason::Form => {
                f.write_str("write name:{SCHEME}hash; `smtp-server hash-password NAME` makes such lines")
            }
            UsersReason::Name(error) => write!(f, "this is no name: {error}"),
            UsersReason::Scheme => f.write_str("the scheme must be {ARGON2ID} or {SCRAM-SHA-256}"),
            UsersReason::Argon2id(error) => error.fmt(f),
            UsersReason::Scram(error) => error.fmt(f),
            UsersReason::Senders(error) => {
                write!(f, "the third field is for addresses to send from (ann@example.org,@example.net): {error}")
            }
            UsersReason::Fields => f.write_str("there are more than three fields"),
            UsersReason::Twice => f.write_str("the user has that already, in a line above"),
            UsersReason::Nobody => f.write_str("there is no user in it"),
        }
    }
}

impl fmt::Display for UsersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.reason),
            None => self.reason.fmt(f),
        }
    }
}

impl std::error::Error for UsersError {}

impl Reload for Users {
    fn in_force(&self) -> String {
        format!("new users are in force: users={}", self.count())
    }
}

impl Users {
    /// Reads the text of such a file. Empty lines and lines that begin with `#` say nothing.
    pub fn parse(text: &str) -> Result<Self, UsersError> {
        let mut users = Users { users: HashMap::new(), argon2id_decoy: None, scram_decoy: None };
        for (number, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                users.insert(line).map_err(|reason| UsersError { line: Some(number + 1), reason })?;
            }
        }
        if users.users.is_empty() {
            return Err(UsersError { line: None, reason: UsersReason::Nobody });
        }
        Ok(users)
    }

    fn insert(&mut self, line: &str) -> Result<(), UsersReason> {
        let mut fields = line.split(':');
        let (Some(name), Some(hash)) = (fields.next(), fields.next()) else { return Err(UsersReason::Form) };
        let senders = fields.next().filter(|senders| !senders.is_empty());
        if fields.next().is_some() {
            return Err(UsersReason::Fields);
        }
        let name = prepare_name(name).map_err(UsersReason::Name)?;
        let (scheme, hash) = hash.strip_prefix('{').and_then(|rest| rest.split_once('}')).ok_or(UsersReason::Form)?;
        let user = self.users.entry(name).or_default();
        let is_new = match Scheme::find(scheme).ok_or(UsersReason::Scheme)? {
            Scheme::Argon2id => {
                let hash: Argon2id = hash.parse().map_err(UsersReason::Argon2id)?;
                self.argon2id_decoy.get_or_insert_with(|| hash.clone());
                user.argon2id.replace(hash).is_none()
            }
            Scheme::ScramSha256 => {
                let keys: Keys = hash.parse().map_err(UsersReason::Scram)?;
                self.scram_decoy.get_or_insert_with(|| keys.clone());
                user.scram.replace(keys).is_none()
            }
        };
        let senders = senders.map(str::parse).transpose().map_err(UsersReason::Senders)?;
        let has_two_lists = senders.is_some() && user.senders.is_some();
        if senders.is_some() {
            user.senders = senders;
        }
        if is_new && !has_two_lists { Ok(()) } else { Err(UsersReason::Twice) }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.users.len()
    }

    /// Whether everybody can log in by SCRAM. If one cannot, nobody is offered it: a client tries the strongest mechanism,
    /// and takes a refusal for a wrong password.
    pub fn all_have_scram(&self) -> bool {
        self.users.values().all(|user| user.scram.is_some())
    }

    /// Whether this user has this password; both are prepared. This costs the same for everybody, whichever hashes they
    /// have, and for users that do not exist, so that the time it takes tells nobody who does: as long as all hashes of a
    /// scheme cost the same, as those of `hash-password` do. One of another cost gives its user away.
    pub fn has_password(&self, name: &str, password: &Secret) -> bool {
        let user = self.users.get(name);
        let mut is_right = false;
        if let Some(decoy) = &self.argon2id_decoy {
            let own = user.and_then(|user| user.argon2id.as_ref());
            // Left to itself, the compiler might see that nobody wants the answer.
            let answer = std::hint::black_box(own.unwrap_or(decoy).is_password(password));
            is_right |= own.is_some() && answer;
        }
        if let Some(decoy) = &self.scram_decoy {
            let own = user.and_then(|user| user.scram.as_ref());
            let answer = std::hint::black_box(own.unwrap_or(decoy).is_password(password));
            is_right |= own.is_some() && answer;
        }
        is_right
    }

    /// What is kept of a user's password for SCRAM. Users that do not exist have something too, always the same as long as
    /// `seed` is, which nobody else may know (RFC 5802, 7).
    pub fn keys(&self, name: &str, seed: &Secret) -> Keys {
        match self.users.get(name).and_then(|user| user.scram.as_ref()) {
            Some(keys) => keys.clone(),
            None => {
                let (salt_octets, iterations) =
                    self.scram_decoy.as_ref().map_or((SALT_OCTETS, 4_096), |keys| (keys.salt.len(), keys.iterations));
                Keys::of_nobody(&password::decoy_salt(name, seed, salt_octets), iterations)
            }
        }
    }

    /// Whether this user may send mail from this address. Nobody's address belongs to nobody, so everybody may use that: it
    /// is the one of receipts (RFC 8098, 3).
    pub fn may_send_from(&self, name: &str, sender: &ReversePath) -> bool {
        let Some(user) = self.users.get(name) else { return false };
        match (&user.senders, sender.mailbox()) {
            (None, _) | (_, None) => true,
            (Some(senders), Some(mailbox)) => senders.contain(mailbox),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cheaper than what `hash` makes, so that the tests do not wait.
    fn scram(password: &str) -> String {
        format!("{{SCRAM-SHA-256}}{}", Keys::derive(&Secret::new(password), b"salt", 4_096).unwrap().to_text())
    }

    fn argon2id() -> String {
        format!("{{ARGON2ID}}{}", Argon2id::cheap(&Secret::new("secret")))
    }

    #[test]
    fn one_line_or_two() {
        let text = format!("# users\n\nann:{}\nbob:{}\nbob:{}\n", argon2id(), argon2id(), scram("other"));
        let users = Users::parse(&text).unwrap();
        assert_eq!(users.count(), 2);
        assert!(!users.all_have_scram());
        for (name, password, expected) in [
            ("ann", "secret", true),
            ("ann", "other", false),
            ("bob", "secret", true),
            ("bob", "other", true),
            ("bob", "", false),
            ("carol", "secret", false),
            ("carol", "other", false),
            ("Ann", "secret", false),
        ] {
            assert_eq!(users.has_password(name, &Secret::new(password)), expected, "{name} {password}");
        }
        assert!(Users::parse(&format!("ann:{}", scram("x"))).unwrap().all_have_scram());
    }

    #[test]
    fn what_is_wrong_is_said_and_not_shown() {
        let ann = format!("ann:{}", argon2id());
        for (text, line, reason) in [
            ("# nobody\n".to_owned(), None, UsersReason::Nobody),
            ("ann".to_owned(), Some(1), UsersReason::Form),
            ("\nann:hunter2".to_owned(), Some(2), UsersReason::Form),
            ("ann:{PLAIN}hunter2".to_owned(), Some(1), UsersReason::Scheme),
            (":{ARGON2ID}x".to_owned(), Some(1), UsersReason::Name(PrepareError::Empty)),
            ("ann:{ARGON2ID}hunter2".to_owned(), Some(1), UsersReason::Argon2id(Argon2idError::Form)),
            ("ann:{SCRAM-SHA-256}hunter2".to_owned(), Some(1), UsersReason::Scram(KeysError)),
            (format!("{ann}\n{ann}"), Some(2), UsersReason::Twice),
            (format!("{ann}:ann@x.example\nann:{}:b@x.example", scram("x")), Some(2), UsersReason::Twice),
            (format!("{ann}:a:b"), Some(1), UsersReason::Fields),
        ] {
            let error = Users::parse(&text).unwrap_err();
            assert_eq!((error.line, &error.reason), (line, &reason), "{text}");
            assert!(!error.to_string().contains("hunter2"));
        }
        let error = Users::parse(&format!("{ann}:1000")).unwrap_err();
        assert!(matches!(error.reason, UsersReason::Senders(_)), "{error}");
    }

    #[test]
    fn nobody_looks_like_somebody() {
        let users = Users::parse(&format!("ann:{}", scram("secret"))).unwrap();
        let seed = Secret::new("seed");
        let carol = users.keys("carol", &seed);
        assert_eq!((carol.iterations, carol.salt.len()), (4_096, 4));
        assert_eq!(carol.salt, users.keys("carol", &seed).salt);
        assert_ne!(carol.salt, users.keys("dave", &seed).salt);
        assert_ne!(carol.salt, users.keys("carol", &Secret::new("another")).salt);
        assert!(!carol.is_password(&Secret::new("secret")));
        assert!(users.keys("ann", &seed).is_password(&Secret::new("secret")));
    }

    #[test]
    fn senders_of_a_user() {
        let text = format!("ann:{0}:ann@us.example,@them.example\nbob:{0}", scram("x"));
        let users = Users::parse(&text).unwrap();
        for (name, sender, expected) in [
            ("ann", "<ann@us.example>", true),
            ("ann", "<Ann@US.example>", true),
            ("ann", "<bob@us.example>", false),
            ("ann", "<anybody@them.example>", true),
            ("ann", "<anybody@sub.them.example>", false),
            ("ann", "<>", true),
            ("bob", "<ann@us.example>", true),
            ("carol", "<>", false),
        ] {
            assert_eq!(users.may_send_from(name, &sender.parse().unwrap()), expected, "{name} {sender}");
        }
    }

    #[test]
    fn nothing_shows_a_hash() {
        let text = format!("ann:{}\nbob:{}", argon2id(), scram("x"));
        let shown = format!("{:?}", Users::parse(&text).unwrap());
        assert!(!shown.contains("$argon2id$"), "{shown}");
    }
}
