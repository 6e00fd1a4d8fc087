//! A change to the queue: through the owner of the spool, if there is one, and as its owner otherwise.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use smtp_spool::clock::unix_seconds;
use smtp_spool::control::{Answer, AskError, Request, ask};
use smtp_spool::{Changed, OpenError, Options, Reader, Spool};

use crate::failure::Failure;

/// How long the owner may take: a few syncs, on a disk that is busy with others, behind peers that keep it waiting.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Has it done. An error if there is nothing to do it to.
pub(crate) fn make(spool: &Path, request: &Request) -> Result<Changed, Failure> {
    // Opening as the owner would make a spool where there is none.
    Reader::open(spool)?;
    let answer = match ask(spool, request, PATIENCE) {
        Err(AskError::Nobody) => carry_out(spool, request)?,
        result => result?,
    };
    match (answer, request) {
        (Answer::Done(changed), _) => Ok(changed),
        (Answer::Missing, Request::Remove(id)) => Err(Failure::missing(format!("{id}: there is no such message"))),
        (Answer::Missing, request) => {
            Err(Failure::missing(format!("{request}: no such message waits to be delivered; see smtp-spool list")))
        }
        (Answer::Failed(reason), _) => Err(Failure::input_output(format!("{request}: {reason}"))),
        (answer, _) => Err(Failure::input_output(format!(
            "{request}: the owner of the spool answers {answer:?}; is it of another version?"
        ))),
    }
}

fn carry_out(directory: &Path, request: &Request) -> Result<Answer, Failure> {
    let (spool, _) = Spool::open(directory, Options::default()).map_err(|error| match error {
        // It is about to start or to stop, or it is this tool in other hands.
        OpenError::Owned { .. } => Failure::owner(format!("{error}; it takes no requests at this moment: try again")),
        error => error.into(),
    })?;
    if *request != Request::RetryAllNow {
        return Ok(request.carry_out(&spool, unix_seconds()));
    }
    // With us goes all that is in memory only.
    let mut changed = Changed::default();
    for id in spool.queued() {
        let of_message = spool.retry_now(&id, unix_seconds())?.unwrap_or_default();
        changed.recipients += usize::from(of_message.recipients > 0);
    }
    Ok(Answer::Done(changed))
}

/// Tells what was done. Whoever was not reached, since a delivery is under way, makes it a failure for now.
pub(crate) fn tell(request: &Request, done: &str, changed: Changed, output: &mut dyn Write) -> Result<(), Failure> {
    let Changed { recipients, being_tried } = changed;
    writeln!(output, "{done}: {}", count(recipients, "recipient"))
        .and_then(|()| output.flush())
        .map_err(Failure::output)?;
    match being_tried {
        0 => Ok(()),
        _ => Err(Failure::owner(format!(
            "{request}: {} being tried at this moment and not reached; look with smtp-spool list, and try again",
            count(being_tried, "recipient")
        ))),
    }
}

/// `1 message`, `2 messages`.
pub(crate) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
