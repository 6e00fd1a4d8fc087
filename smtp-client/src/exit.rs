//! What the tool's exit code says: the codes of sysexits, and which one wins when several things happened.

use std::io::ErrorKind;

use smtp_client::batch::Delivery;
use smtp_client::connection::{ConnectError, SendError};
use smtp_client::content::ContentError;
use smtp_client::proto::client::{Cause, Ending};

/// EX_USAGE: the command line is wrong.
pub(crate) const USAGE: u8 = 64;
/// EX_DATAERR: a message cannot be sent as it is.
pub(crate) const DATA: u8 = 65;
/// EX_NOINPUT: a file cannot be opened.
pub(crate) const NO_INPUT: u8 = 66;
/// EX_NOHOST: the server's name cannot be looked up.
pub(crate) const NO_HOST: u8 = 68;
/// EX_UNAVAILABLE: the server refused for good.
pub(crate) const UNAVAILABLE: u8 = 69;
/// EX_IOERR: a file cannot be read.
pub(crate) const IO: u8 = 74;
/// EX_TEMPFAIL: not now.
pub(crate) const TEMPORARY: u8 = 75;
/// EX_PROTOCOL: the server's answer was no SMTP.
pub(crate) const PROTOCOL: u8 = 76;

/// The later in this list, the less it says; the first that happened is the code. "Not now" goes first, since a script
/// that reads it will come back and then hear of the rest.
const PRECEDENCE: [u8; 6] = [TEMPORARY, PROTOCOL, NO_HOST, IO, DATA, UNAVAILABLE];

/// The code for all that happened.
pub(crate) fn code<'a>(deliveries: impl Iterator<Item = &'a Delivery>) -> u8 {
    let codes: Vec<u8> = deliveries.filter_map(of_delivery).collect();
    PRECEDENCE.into_iter().find(|code| codes.contains(code)).unwrap_or(0)
}

fn of_delivery(delivery: &Delivery) -> Option<u8> {
    match delivery {
        Delivery::Accepted(_) => None,
        Delivery::Failed(failure) => Some(of_cause(&failure.cause, failure.is_transient())),
        Delivery::NoConnection(error) => Some(of_connect_error(error)),
        Delivery::NotSent(error) => Some(match error.as_ref() {
            SendError::Start(_) => UNAVAILABLE,
            SendError::Content(_) => IO,
            SendError::BareCarriageReturn(_) => DATA,
        }),
    }
}

fn of_cause(cause: &Cause, is_transient: bool) -> u8 {
    match cause {
        Cause::Reply(_) => PROTOCOL,
        _ if is_transient => TEMPORARY,
        _ => UNAVAILABLE,
    }
}

fn of_connect_error(error: &ConnectError) -> u8 {
    match error {
        ConnectError::Name(_) => USAGE,
        ConnectError::Resolve(..) => NO_HOST,
        ConnectError::Connect(..) | ConnectError::Io(_) => TEMPORARY,
        ConnectError::Session(_, Ending::Failed(_, cause)) => of_cause(cause, true),
        ConnectError::Session(..) if error.is_transient() => TEMPORARY,
        ConnectError::Session(..) => UNAVAILABLE,
    }
}

/// The code for a message that could not even be prepared.
pub(crate) fn of_content_error(error: &ContentError) -> u8 {
    match error {
        ContentError::Io(error) if is_missing(error.kind()) => NO_INPUT,
        ContentError::Io(_) => IO,
        ContentError::BareCarriageReturn(_) | ContentError::HeaderTooLong => DATA,
    }
}

fn is_missing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::IsADirectory)
}
