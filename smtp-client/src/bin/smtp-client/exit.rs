//! What the tool's exit code says: the codes of sysexits, and which one wins when several things happened.

use std::io::ErrorKind;

use smtp_client::batch::Delivery;
use smtp_client::connection::{ConnectError, SendError};
use smtp_client::content::ContentError;
use smtp_client::proto::client::{Cause, Ending};

pub(crate) use smtp_client::command_line::USAGE;
/// EX_DATAERR: a message cannot be sent as it is, or a file is no conversation.
pub(crate) const DATA: u8 = 65;
/// EX_NOINPUT: a file cannot be opened.
pub(crate) const NO_INPUT: u8 = 66;
/// EX_NOHOST: the server's name cannot be looked up.
pub(crate) const NO_HOST: u8 = 68;
/// EX_UNAVAILABLE: the server refused for good.
pub(crate) const UNAVAILABLE: u8 = 69;
/// EX_CANTCREAT: a file cannot be made.
pub(crate) const CANNOT_CREATE: u8 = 73;
/// EX_IOERR: a file cannot be read.
pub(crate) const IO: u8 = 74;
/// EX_TEMPFAIL: not now.
pub(crate) const TEMPORARY: u8 = 75;
/// EX_PROTOCOL: the server's answer was no SMTP, or not the recorded one.
pub(crate) const PROTOCOL: u8 = 76;

/// The later in this list, the less it says; the first that happened is the code. "Not now" goes first, since a script
/// that reads it will come back and then hear of the rest.
const PRECEDENCE: [u8; 6] = [TEMPORARY, PROTOCOL, NO_HOST, IO, DATA, UNAVAILABLE];

/// The code for all that happened.
pub(crate) fn code<'a>(deliveries: impl Iterator<Item = &'a Delivery>) -> u8 {
    first(&deliveries.filter_map(of_delivery).collect::<Vec<_>>())
}

/// The one of these codes that goes first; 0 if there is none.
pub(crate) fn first(codes: &[u8]) -> u8 {
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

pub(crate) fn of_connect_error(error: &ConnectError) -> u8 {
    match error {
        ConnectError::Name(_) | ConnectError::HelloName(_) => USAGE,
        ConnectError::Resolve(_, error) if error.kind() == ErrorKind::TimedOut => TEMPORARY,
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
        ContentError::BareCarriageReturn(_) | ContentError::HeaderTooLong | ContentError::StrayBcc => DATA,
    }
}

pub(crate) fn is_missing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::IsADirectory)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use smtp_client::proto::client::{Failure, Stage, StartError};
    use smtp_client::proto::content::BareCarriageReturn;
    use smtp_client::proto::reply::{Code, Reply};
    use smtp_client::proto::reply_parser::ReplyError;

    use super::*;

    fn reply(code: u16) -> Reply {
        Reply::new(Code::new(code).unwrap(), None, "text")
    }

    fn failed(stage: Stage, cause: Cause) -> Delivery {
        Delivery::Failed(Failure { stage, cause })
    }

    fn refused(stage: Stage, code: u16) -> Delivery {
        failed(stage, Cause::Refused(reply(code)))
    }

    fn not_sent(error: SendError) -> Delivery {
        Delivery::NotSent(Arc::new(error))
    }

    fn no_connection(error: ConnectError) -> Delivery {
        Delivery::NoConnection(Arc::new(error))
    }

    fn session(ending: Ending) -> Delivery {
        no_connection(ConnectError::Session(([192, 0, 2, 1], 25).into(), ending))
    }

    fn unresolved(kind: ErrorKind) -> Delivery {
        no_connection(ConnectError::Resolve("mx.example.org".parse().unwrap(), kind.into()))
    }

    #[test]
    fn a_code_for_every_cause() {
        for (delivery, expected) in [
            (Delivery::Accepted(reply(250)), 0),
            (refused(Stage::Rcpt, 550), UNAVAILABLE),
            (refused(Stage::Rcpt, 450), TEMPORARY),
            // RFC 5321, 4.5.3.1.10.
            (refused(Stage::Rcpt, 552), TEMPORARY),
            (refused(Stage::EndOfContent, 552), UNAVAILABLE),
            (failed(Stage::Mail, Cause::Timeout), TEMPORARY),
            (failed(Stage::EndOfContent, Cause::ConnectionLost), TEMPORARY),
            (failed(Stage::Data, Cause::Reply(ReplyError::Unexpected)), PROTOCOL),
            (not_sent(SendError::Start(StartError::NeedsEightBitMime)), UNAVAILABLE),
            (not_sent(SendError::Content(io::ErrorKind::UnexpectedEof.into())), IO),
            (not_sent(SendError::BareCarriageReturn(BareCarriageReturn)), DATA),
            (unresolved(ErrorKind::Other), NO_HOST),
            (unresolved(ErrorKind::TimedOut), TEMPORARY),
            (no_connection(ConnectError::Connect(([192, 0, 2, 1], 25).into(), ErrorKind::TimedOut.into())), TEMPORARY),
            (session(Ending::Refused(Stage::Greeting, reply(554))), UNAVAILABLE),
            (session(Ending::Refused(Stage::Greeting, reply(421))), TEMPORARY),
            (session(Ending::Failed(Stage::Greeting, Cause::Timeout)), TEMPORARY),
            (session(Ending::Failed(Stage::Hello, Cause::Reply(ReplyError::TooLong))), PROTOCOL),
        ] {
            assert_eq!(code([&delivery].into_iter()), expected, "{delivery:?}");
        }
    }

    #[test]
    fn the_first_of_the_list_wins_whatever_the_order() {
        let all = [
            refused(Stage::Rcpt, 450),
            session(Ending::Failed(Stage::Greeting, Cause::Reply(ReplyError::Malformed))),
            unresolved(ErrorKind::Other),
            not_sent(SendError::Content(io::ErrorKind::Other.into())),
            not_sent(SendError::BareCarriageReturn(BareCarriageReturn)),
            refused(Stage::Rcpt, 550),
            Delivery::Accepted(reply(250)),
        ];
        let expected = [TEMPORARY, PROTOCOL, NO_HOST, IO, DATA, UNAVAILABLE, 0];
        for (start, expected) in expected.into_iter().enumerate() {
            assert_eq!(code(all[start..].iter()), expected);
            assert_eq!(code(all[start..].iter().rev()), expected);
        }
        assert_eq!(code(std::iter::empty()), 0);
    }

    #[test]
    fn a_file_that_is_not_there_and_one_that_cannot_be_read() {
        for (kind, expected) in [
            (ErrorKind::NotFound, NO_INPUT),
            (ErrorKind::PermissionDenied, NO_INPUT),
            (ErrorKind::IsADirectory, NO_INPUT),
            (ErrorKind::Other, IO),
        ] {
            assert_eq!(of_content_error(&ContentError::Io(kind.into())), expected, "{kind:?}");
        }
    }
}
