//! What the owner of a spool answers, as a line.

use std::fmt;
use std::str::FromStr;

use smtp_proto::printable::Printable;

use super::ANSWER_OCTETS;
use crate::store::Health;
use crate::upkeep::Changed;

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done. To how many, in the unit that the request has.
    Done(Changed),
    /// How the owner is.
    Health(Health),
    /// There is no such message, or not in the queue.
    Missing,
    /// The medium failed.
    Failed(String),
    /// That was no request.
    Refused(String),
}

/// A line that is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerError;

impl Answer {
    /// The answer with its newline, no longer than an answer may be.
    pub(super) fn line(&self) -> String {
        let mut line = self.to_string();
        let fits = |(place, character): &(usize, char)| place + character.len_utf8() < ANSWER_OCTETS;
        let octets = line.char_indices().take_while(fits).map(|(_, character)| character.len_utf8()).sum();
        line.truncate(octets);
        line.push('\n');
        line
    }
}

impl fmt::Display for Answer {
    /// One line, whatever the system said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Done(Changed { recipients, being_tried }) => write!(f, "done {recipients} {being_tried}"),
            Answer::Health(Health { kept_bytes, queued_messages, open_claims, next_due }) => {
                let next_due = next_due.map_or_else(|| "-".to_owned(), |at| at.to_string());
                write!(f, "health {kept_bytes} {queued_messages} {open_claims} {next_due}")
            }
            Answer::Missing => f.write_str("missing"),
            Answer::Failed(reason) => write!(f, "failed {}", Printable(reason)),
            Answer::Refused(reason) => write!(f, "refused {}", Printable(reason)),
        }
    }
}

impl FromStr for Answer {
    type Err = AnswerError;

    fn from_str(line: &str) -> Result<Self, AnswerError> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (word, rest) {
            ("missing", "") => return Ok(Answer::Missing),
            ("failed", reason) => return Ok(Answer::Failed(reason.to_owned())),
            ("refused", reason) => return Ok(Answer::Refused(reason.to_owned())),
            _ => {}
        }
        let values: Vec<&str> = rest.split(' ').collect();
        match (word, values.as_slice()) {
            ("done", [recipients, being_tried]) => {
                Ok(Answer::Done(Changed { recipients: number(recipients)?, being_tried: number(being_tried)? }))
            }
            ("health", [kept_bytes, queued_messages, open_claims, next_due]) => Ok(Answer::Health(Health {
                kept_bytes: number(kept_bytes)?,
                queued_messages: number(queued_messages)?,
                open_claims: number(open_claims)?,
                next_due: if *next_due == "-" { None } else { Some(number(next_due)?) },
            })),
            _ => Err(AnswerError),
        }
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, AnswerError> {
    text.parse().map_err(|_| AnswerError)
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("that is no answer")
    }
}

impl std::error::Error for AnswerError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_read() {
        for line in ["done 2 0", "health 7 6 5 -", "health 7 6 5 -4", "missing", "failed no\u{e9} such", "refused "] {
            assert_eq!(line.parse::<Answer>().unwrap().to_string(), line);
        }
        for line in ["", "done", "done 1", "done 1 x", "done -1 0", "done 1 2 3", "missing m", "health 1 2 3", "well"] {
            assert_eq!(line.parse::<Answer>(), Err(AnswerError), "{line:?}");
        }
    }

    #[test]
    fn it_is_one_line_of_bounded_length() {
        let line = Answer::Failed("\u{e9}".repeat(ANSWER_OCTETS) + "\n").line();
        assert!((ANSWER_OCTETS - 1..=ANSWER_OCTETS).contains(&line.len()) && line.ends_with("\u{e9}\n"));
        assert_eq!(Answer::Failed("a\nb\u{1b}".to_owned()).line(), "failed a\\u{a}b\\u{1b}\n");
    }
}
