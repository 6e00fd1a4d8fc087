//! `AUTH mechanism [initial-response]` (RFC 4954, 4).

use std::fmt;

use crate::cursor::Cursor;
use crate::sasl::{Mechanism, base64};
use crate::secret::Secret;

/// Octets of a mechanism's name (RFC 4422, 3.1).
const NAME_OCTETS: usize = 20;

/// A mechanism, and perhaps the client's first message. Printing it gives what goes over the wire, secrets included; its
/// `Debug` text does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    mechanism: String,
    /// As it stands on the line: base64, or `=` for a message of no octets.
    response: Option<Secret>,
}

/// The initial response is not base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotBase64;

impl Auth {
    /// A command to send.
    pub fn new(mechanism: Mechanism, initial_response: Option<&Secret>) -> Self {
        let response = initial_response.map(|response| match response.expose() {
            // RFC 4954, 4: "If the client is transmitting an initial response of zero length, it MUST instead transmit the
            // response as a single equals sign".
            [] => Secret::new("="),
            _ => base64::encode_secret(response),
        });
        Auth { mechanism: mechanism.name().to_owned(), response }
    }

    pub(super) fn parse(mut cursor: Cursor<'_>) -> Option<Self> {
        let is_name = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
        let mechanism = cursor.take_while(is_name).to_owned();
        let before = cursor.rest().len();
        cursor.skip_spaces();
        let has_space = cursor.rest().len() < before;
        let response = Some(cursor.rest()).filter(|rest| !rest.is_empty());
        let is_right = (1..=NAME_OCTETS).contains(&mechanism.len())
            && response.is_none_or(|response| has_space && response.bytes().all(|octet| octet.is_ascii_graphic()));
        is_right.then(|| Auth { mechanism, response: response.map(Secret::new) })
    }

    /// The mechanism, if it is one that is known here.
    pub fn mechanism(&self) -> Option<Mechanism> {
        Mechanism::find(&self.mechanism)
    }

    /// The client's first message, if it came with the command.
    pub fn initial_response(&self) -> Result<Option<Secret>, NotBase64> {
        match self.response.as_ref().map(Secret::expose) {
            None => Ok(None),
            Some(b"=") => Ok(Some(Secret::default())),
            Some(text) => base64::decode(text).map(|octets| Some(Secret::new(octets))).ok_or(NotBase64),
        }
    }
}

impl fmt::Display for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AUTH {}", self.mechanism)?;
        // It came from text or from base64, so it is text.
        self.response.as_ref().and_then(Secret::expose_text).map_or(Ok(()), |response| write!(f, " {response}"))
    }
}

#[cfg(test)]
mod tests {
    use crate::command::{Command, CommandError};

    use super::*;

    fn parsed(line: &str) -> Auth {
        match Command::parse(line.as_bytes()) {
            Ok(Command::Auth(auth)) => auth,
            other => panic!("{line}: {other:?}"),
        }
    }

    /// Rows X104, X106.
    #[test]
    fn with_and_without_a_first_message() {
        let response =
            |line: &str| parsed(line).initial_response().map(|secret| secret.map(|secret| secret.expose().to_vec()));
        assert_eq!(response("AUTH PLAIN"), Ok(None));
        assert_eq!(response("AUTH PLAIN ="), Ok(Some(vec![])));
        assert_eq!(response("auth plain AGEAYg=="), Ok(Some(b"\0a\0b".to_vec())));
        for wrong in ["==", "AGEAYg", "AGEA*g==", "AGEAYg==="] {
            assert_eq!(response(&format!("AUTH PLAIN {wrong}")), Err(NotBase64), "{wrong}");
        }
        assert_eq!(parsed("AUTH scram-sha-256 x").mechanism(), Some(Mechanism::ScramSha256));
        assert_eq!(parsed("AUTH X-NEW_1").mechanism(), None);
        for line in
            ["AUTH", "AUTH =", "AUTH PLAIN a b", "AUTH PLAIN=", "AUTH 123456789012345678901", "AUTH PLAIN \u{e9}"]
        {
            let usage = CommandError::Arguments("AUTH mechanism [initial-response]");
            assert_eq!(Command::parse(line.as_bytes()), Err(usage), "{line}");
        }
        assert_eq!(Auth::new(Mechanism::Plain, Some(&Secret::default())).to_string(), "AUTH PLAIN =");
        assert_eq!(Auth::new(Mechanism::Plain, Some(&Secret::new("\0a\0b"))).to_string(), "AUTH PLAIN AGEAYg==");
        assert_eq!(Auth::new(Mechanism::Login, None).to_string(), "AUTH LOGIN");
    }

    #[test]
    fn its_debug_text_shows_nothing() {
        let shown = format!("{:?}", Command::parse(b"AUTH PLAIN AGEAYg==").unwrap());
        assert!(!shown.contains("AGEAYg"), "{shown}");
    }
}
