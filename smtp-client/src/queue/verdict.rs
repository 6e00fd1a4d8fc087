//! What became of one recipient in one try, in words that a record, a log line and a report can hold.

use std::fmt;

use smtp_proto::client::{Cause, Failure, RecipientOutcome};

/// What became of one recipient in one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It lies in its mailbox, or a host has taken it over that will tell nobody what becomes of it.
    Delivered(Said),
    /// A host has taken it over that knows DSN: from here on, to report success is its duty (RFC 3461, 5.2.2).
    PassedOn(Said),
    /// It will never be delivered.
    Failed(Said),
    /// Not this time.
    Deferred(Said),
}

/// What was said, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The next host, if it was one: as name or address.
    pub relay: Option<String>,
    /// A reply, or what stands in its place, which begins with an enhanced code alone: nobody has said it, and a report must
    /// not put it into the mouth of the next host.
    pub text: String,
}

impl Said {
    /// Something that no other host has said.
    pub fn here(text: impl Into<String>) -> Self {
        Said { relay: None, text: text.into() }
    }

    /// Something that another host has said, or that was said about it.
    pub fn by(relay: impl Into<String>, text: impl Into<String>) -> Self {
        Said { relay: Some(relay.into()), text: text.into() }
    }

    /// Reads what [`Display`](fmt::Display) printed, as far as it was kept.
    pub fn parse(text: &str) -> Self {
        match text.strip_prefix('<').and_then(|rest| rest.split_once("> ")) {
            Some((relay, text)) if !relay.is_empty() => Said::by(relay, text),
            _ => Said::here(text),
        }
    }
}

impl fmt::Display for Said {
    /// `<mx.example.org[192.0.2.1]> 550 5.1.1 no such mailbox`, or the text alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.relay {
            Some(relay) => write!(f, "<{relay}> {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

impl Verdict {
    /// What was said.
    pub fn said(&self) -> &Said {
        match self {
            Verdict::Delivered(said) | Verdict::PassedOn(said) => said,
            Verdict::Failed(said) | Verdict::Deferred(said) => said,
        }
    }

    /// The verdict of a next host on one recipient. `knows_dsn`: it was told what reports are wanted.
    pub fn of(outcome: &RecipientOutcome, relay: &str, knows_dsn: bool) -> Self {
        match &outcome.result {
            Ok(reply) if knows_dsn => Verdict::PassedOn(Said::by(relay, reply.to_string())),
            Ok(reply) => Verdict::Delivered(Said::by(relay, reply.to_string())),
            Err(failure) => Verdict::of_failure(failure, relay),
        }
    }

    /// The verdict when there is no acceptance.
    pub fn of_failure(failure: &Failure, relay: &str) -> Self {
        let said = Said::by(relay, text_of(failure));
        if failure.is_transient() { Verdict::Deferred(said) } else { Verdict::Failed(said) }
    }
}

/// The reply, or the code that RFC 3463 has for what came instead of one.
fn text_of(failure: &Failure) -> String {
    match &failure.cause {
        Cause::Refused(reply) => reply.to_string(),
        Cause::Timeout | Cause::ConnectionLost => format!("4.4.2 {failure}"),
        Cause::Reply(_) => format!("4.5.0 {failure}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_can_be_read_again() {
        for said in [
            Said::here("250 2.0.0 in the mailbox"),
            Said::by("mx.example.org[192.0.2.1]", "550 5.1.1 <bob> is not here"),
            Said::by("[2001:db8::1]:25", "4.4.2 RCPT: the connection was lost"),
            Said::here(""),
        ] {
            assert_eq!(Said::parse(&said.to_string()), said);
        }
        assert_eq!(Said::parse("<> x"), Said::here("<> x"));
    }
}
