//! What can be asked of the owner of a spool, as a line and as an act.

use std::fmt;
use std::str::FromStr;

use super::Answer;
use crate::error::StoreError;
use crate::id::MessageId;
use crate::spool::Spool;
use crate::store::Store as _;
use crate::upkeep::Changed;

/// What the sender of a removed message reads in the report. X.7.1: "the sender is not authorized to send to the
/// destination" as a matter of policy (RFC 3463, 3.8); no other code says that somebody has decided so.
const REMOVED: &str = "550 5.7.1 removed from the queue by the administrator";

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Nobody tries this message until it is released.
    Hold(MessageId),
    /// A message that was held is tried now.
    Release(MessageId),
    /// A message that waits for its next try is tried now.
    RetryNow(MessageId),
    /// All of them.
    RetryAllNow,
    /// A message is removed, and nobody is told.
    Remove(MessageId),
    /// Whoever has not got a message yet does not get it, and its sender is told.
    RemoveWithReport(MessageId),
    /// How is the owner?
    Health,
}

/// A line that is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestError;

impl Request {
    /// Does it. For the owner of the spool, whether the request came from a peer or not.
    pub fn carry_out(&self, spool: &Spool, now: i64) -> Answer {
        match self {
            Request::Hold(id) => changed(spool.hold(id)),
            Request::Release(id) => changed(spool.release_held(id, now)),
            Request::RetryNow(id) => changed(spool.retry_now(id, now)),
            Request::RetryAllNow => {
                Answer::Done(Changed { recipients: spool.retry_all_now(now), ..Changed::default() })
            }
            Request::Remove(id) => changed(
                spool.remove(id).map(|is_removed| is_removed.then_some(Changed { recipients: 1, being_tried: 0 })),
            ),
            Request::RemoveWithReport(id) => changed(spool.fail(id, REMOVED)),
            Request::Health => spool.health().map_or_else(|error| failed(&error), Answer::Health),
        }
    }
}

fn changed(result: Result<Option<Changed>, StoreError>) -> Answer {
    match result {
        Ok(Some(changed)) => Answer::Done(changed),
        Ok(None) => Answer::Missing,
        Err(error) => failed(&error),
    }
}

fn failed(error: &StoreError) -> Answer {
    Answer::Failed(error.to_string())
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Request::Hold(id) => write!(f, "hold {id}"),
            Request::Release(id) => write!(f, "release {id}"),
            Request::RetryNow(id) => write!(f, "retry-now {id}"),
            Request::RetryAllNow => f.write_str("retry-now --all"),
            Request::Remove(id) => write!(f, "remove {id}"),
            Request::RemoveWithReport(id) => write!(f, "remove --report {id}"),
            Request::Health => f.write_str("health"),
        }
    }
}

impl FromStr for Request {
    type Err = RequestError;

    fn from_str(line: &str) -> Result<Self, RequestError> {
        let words: Vec<&str> = line.split(' ').collect();
        let id = |text: &str| text.parse().map_err(|_| RequestError);
        match *words.as_slice() {
            ["hold", text] => Ok(Request::Hold(id(text)?)),
            ["release", text] => Ok(Request::Release(id(text)?)),
            ["retry-now", "--all"] => Ok(Request::RetryAllNow),
            ["retry-now", text] => Ok(Request::RetryNow(id(text)?)),
            ["remove", "--report", text] => Ok(Request::RemoveWithReport(id(text)?)),
            ["remove", text] => Ok(Request::Remove(id(text)?)),
            ["health"] => Ok(Request::Health),
            _ => Err(RequestError),
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this owner knows no such request")
    }
}

impl std::error::Error for RequestError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_read_and_nothing_else() {
        for line in ["hold m", "release m", "retry-now m", "retry-now --all", "remove m", "remove --report m", "health"]
        {
            assert_eq!(line.parse::<Request>().unwrap().to_string(), line);
        }
        let refused = [
            "",
            "hold",
            "hold ",
            "hold m m",
            "hold  m",
            " hold m",
            "HOLD m",
            "hold ../m",
            "hold --all",
            "remove --all",
            "remove --report",
            "remove m --report",
            "health m",
            "hold m\r",
            "stats",
            "\0",
        ];
        for line in refused {
            assert_eq!(line.parse::<Request>(), Err(RequestError), "{line:?}");
        }
    }
}
