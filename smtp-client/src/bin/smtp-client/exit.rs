//! What the tool's exit code says: the codes of sysexits, and which one wins when several things happened.

use std::io::{self, ErrorKind};

use smtp_client::batch::Delivery;
use smtp_client::connection::{ConnectError, SendError};
use smtp_client::content::ContentError;
use smtp_client::journal::JournalError;
use smtp_client::proto::client::{Cause, Ending, Failure, Stage};
use smtp_client::proto::reply::{EnhancedCode, Reply};
use smtp_client::queue::Verdict;

pub(crate) use smtp_client::command_line::USAGE;
/// EX_DATAERR: a message cannot be sent as it is, or a file is no conversation.
pub(crate) const DATA: u8 = 65;
/// EX_NOINPUT: a file cannot be opened.
pub(crate) const NO_INPUT: u8 = 66;
/// EX_NOUSER: the server does not know the recipient.
pub(crate) const NO_USER: u8 = 67;
/// EX_NOHOST: the server's name cannot be looked up.
pub(crate) const NO_HOST: u8 = 68;
/// EX_UNAVAILABLE: the server refused for good.
pub(crate) const UNAVAILABLE: u8 = 69;
/// EX_CANTCREAT: a journal or transcript cannot be made.
pub(crate) const CANNOT_CREATE: u8 = 73;
/// EX_IOERR: a file cannot be read or written.
pub(crate) const IO: u8 = 74;
/// EX_TEMPFAIL: not now.
pub(crate) const TEMPORARY: u8 = 75;
/// EX_PROTOCOL: the server's answer was no SMTP, or not the one that was expected, or there is no TLS with it.
pub(crate) const PROTOCOL: u8 = 76;
/// EX_NOPERM: the server does not allow it.
pub(crate) const NO_PERMISSION: u8 = 77;
/// EX_CONFIG: the journal is no journal.
pub(crate) const CONFIGURATION: u8 = 78;

/// The later in this list, the less it says; the first that happened is the code. "Not now" goes first, since a script
/// that reads it will come back and then hear of the rest. "Refused for good" goes before the two that say why: they are
/// true of all that was refused, or of nothing.
const PRECEDENCE: [u8; 10] =
    [TEMPORARY, PROTOCOL, NO_HOST, IO, NO_INPUT, DATA, UNAVAILABLE, NO_PERMISSION, NO_USER, USAGE];

/// The code for all that happened.
pub(crate) fn code<'a>(deliveries: impl Iterator<Item = &'a Delivery>) -> u8 {
    first(deliveries.filter_map(of_delivery))
}

/// The first of these codes in the order of precedence; 0 where nothing went wrong.
pub(crate) fn first(codes: impl IntoIterator<Item = u8>) -> u8 {
    let codes: Vec<u8> = codes.into_iter().collect();
    let known = PRECEDENCE.into_iter().find(|code| codes.contains(code));
    known.or(codes.first().copied()).unwrap_or(0)
}

fn of_delivery(delivery: &Delivery) -> Option<u8> {
    match delivery {
        Delivery::Accepted(_) | Delivery::Agreed(_) => None,
        Delivery::Failed(failure) => Some(of_failure(failure)),
        Delivery::NoConnection(error) => Some(of_connect_error(error)),
        Delivery::NotSent(error) => Some(of_send_error(error)),
    }
}

/// The code for a message of which nothing, or not the end, was sent.
pub(crate) fn of_send_error(error: &SendError) -> u8 {
    match error {
        _ if error.is_transient() => TEMPORARY,
        SendError::Start(_) => UNAVAILABLE,
        SendError::TimeIsOver => TEMPORARY,
        SendError::Content(_) | SendError::Journal(_) => IO,
        SendError::BareCarriageReturn(_) => DATA,
        SendError::Open(error) => of_content_error(error),
    }
}

/// The code for a recipient whom the server did not take, or a conversation that broke.
pub(crate) fn of_failure(failure: &Failure) -> u8 {
    match &failure.cause {
        Cause::Reply(_) => PROTOCOL,
        _ if failure.is_transient() => TEMPORARY,
        Cause::Refused(reply) => of_refusal(failure.stage, reply),
        Cause::ConnectionLost | Cause::Timeout => UNAVAILABLE,
    }
}

/// RFC 3463: X.1.1, X.1.2, X.1.3 and X.1.6 are about the recipient's address, X.7 is about what is allowed. Without an
/// enhanced code nobody can tell: 550 is the reply to both.
fn of_refusal(stage: Stage, reply: &Reply) -> u8 {
    match of_meaning(reply.enhanced()) {
        NO_USER if stage != Stage::Rcpt => UNAVAILABLE,
        code => code,
    }
}

fn of_meaning(enhanced: Option<EnhancedCode>) -> u8 {
    match enhanced.map(|enhanced| (enhanced.subject, enhanced.detail)) {
        Some((1, 1 | 2 | 3 | 6)) => NO_USER,
        Some((7, _)) => NO_PERMISSION,
        _ => UNAVAILABLE,
    }
}

/// The code for what became of a recipient in a queue, whose reply is text by now.
pub(crate) fn of_verdict(verdict: &Verdict) -> Option<u8> {
    match verdict {
        Verdict::Delivered(_) | Verdict::PassedOn(_) => None,
        Verdict::Deferred(_) => Some(TEMPORARY),
        Verdict::Failed(said) => {
            let enhanced = said.text.split(' ').nth(1).and_then(EnhancedCode::parse);
            Some(of_meaning(enhanced))
        }
    }
}

/// The code for a server with whom no conversation came about.
pub(crate) fn of_connect_error(error: &ConnectError) -> u8 {
    match error {
        ConnectError::Name(_) | ConnectError::HelloName(_) => USAGE,
        ConnectError::Resolve(_, error) if error.kind() == ErrorKind::TimedOut => TEMPORARY,
        ConnectError::Resolve(..) => NO_HOST,
        ConnectError::Connect(..) | ConnectError::Io(_) => TEMPORARY,
        ConnectError::Login(_, error) if error.is_transient() => TEMPORARY,
        ConnectError::Login(..) => NO_PERMISSION,
        ConnectError::Session(_, Ending::Failed(_, Cause::Reply(_))) => PROTOCOL,
        // A certificate stays as it is, however often somebody looks at it.
        ConnectError::Tls(_, error) if !error.is_transient() => PROTOCOL,
        ConnectError::Session(_, Ending::TlsNotOffered) => PROTOCOL,
        ConnectError::Tls(..) => TEMPORARY,
        ConnectError::Session(..) if error.is_transient() => TEMPORARY,
        ConnectError::Session(_, Ending::Refused(stage, reply)) => of_refusal(*stage, reply),
        ConnectError::Session(..) => UNAVAILABLE,
    }
}

/// The code for a message that could not even be prepared.
pub(crate) fn of_content_error(error: &ContentError) -> u8 {
    match error {
        _ if error.is_transient() => TEMPORARY,
        ContentError::Io(error) => of_io_error(error),
        ContentError::Changed => IO,
        ContentError::BareCarriageReturn(_) | ContentError::HeaderTooLong | ContentError::StrayBcc => DATA,
    }
}

/// The code for a file that was to be read.
pub(crate) fn of_io_error(error: &io::Error) -> u8 {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::PermissionDenied => NO_INPUT,
        ErrorKind::IsADirectory | ErrorKind::NotADirectory => NO_INPUT,
        _ => IO,
    }
}

/// The code for a journal that cannot be used.
pub(crate) fn of_journal_error(error: &JournalError) -> u8 {
    match error {
        JournalError::Create(..) => CANNOT_CREATE,
        JournalError::Io(..) => IO,
        JournalError::InUse(_) => TEMPORARY,
        JournalError::NotAJournal(..) | JournalError::NotAFile(_) | JournalError::Empty(_) => CONFIGURATION,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use smtp_client::connection::Circumstances;
    use smtp_client::peer::Peer;
    use smtp_client::proto::client::StartError;
    use smtp_client::proto::content::BareCarriageReturn;
    use smtp_client::proto::reply::Code;
    use smtp_client::proto::reply_parser::ReplyError;
    use smtp_client::tls::TlsError;

    use super::*;

    fn peer() -> Peer {
        Peer::Tcp(([192, 0, 2, 1], 25).into())
    }

    /// Too many open files.
    const EMFILE: i32 = 24;

    fn reply(code: u16) -> Reply {
        Reply::new(Code::new(code).unwrap(), None, "text")
    }

    fn failed(stage: Stage, cause: Cause) -> Delivery {
        Delivery::Failed(Failure { stage, cause })
    }

    fn refused(stage: Stage, code: u16) -> Delivery {
        failed(stage, Cause::Refused(reply(code)))
    }

    fn explained(stage: Stage, code: u16, (subject, detail): (u16, u16)) -> Delivery {
        let enhanced = EnhancedCode::new((code / 100) as u8, subject, detail);
        failed(stage, Cause::Refused(Reply::new(Code::new(code).unwrap(), Some(enhanced), "text")))
    }

    fn not_sent(error: SendError) -> Delivery {
        Delivery::NotSent(Arc::new(error))
    }

    fn no_connection(error: ConnectError) -> Delivery {
        Delivery::NoConnection(Arc::new(error))
    }

    fn session(ending: Ending) -> Delivery {
        no_connection(ConnectError::Session(Box::new(Circumstances::new(peer())), ending))
    }

    fn no_tls(error: TlsError) -> Delivery {
        no_connection(ConnectError::Tls(Box::new(Circumstances::new(peer())), error))
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
            (explained(Stage::Rcpt, 550, (1, 1)), NO_USER),
            (explained(Stage::Rcpt, 553, (1, 3)), NO_USER),
            // The sender's domain, say.
            (explained(Stage::Rcpt, 550, (1, 8)), UNAVAILABLE),
            (explained(Stage::Mail, 550, (1, 1)), UNAVAILABLE),
            (explained(Stage::Rcpt, 550, (7, 1)), NO_PERMISSION),
            (explained(Stage::EndOfContent, 554, (7, 0)), NO_PERMISSION),
            (explained(Stage::Rcpt, 450, (7, 1)), TEMPORARY),
            // RFC 5321, 4.5.3.1.10.
            (refused(Stage::Rcpt, 552), TEMPORARY),
            (refused(Stage::EndOfContent, 552), UNAVAILABLE),
            (failed(Stage::Mail, Cause::Timeout), TEMPORARY),
            (failed(Stage::EndOfContent, Cause::ConnectionLost), TEMPORARY),
            (failed(Stage::Data, Cause::Reply(ReplyError::Unexpected)), PROTOCOL),
            (not_sent(SendError::Start(StartError::NeedsEightBitMime)), UNAVAILABLE),
            (not_sent(SendError::Content(io::ErrorKind::UnexpectedEof.into())), IO),
            (not_sent(SendError::BareCarriageReturn(BareCarriageReturn)), DATA),
            (not_sent(SendError::Open(ContentError::Io(ErrorKind::NotFound.into()))), NO_INPUT),
            (not_sent(SendError::Open(ContentError::Changed)), IO),
            (not_sent(SendError::Open(ContentError::Io(io::Error::from_raw_os_error(EMFILE)))), TEMPORARY),
            (not_sent(SendError::TimeIsOver), TEMPORARY),
            (not_sent(SendError::Journal(ErrorKind::StorageFull.into())), IO),
            (unresolved(ErrorKind::Other), NO_HOST),
            (unresolved(ErrorKind::TimedOut), TEMPORARY),
            (no_connection(ConnectError::Connect(peer(), Duration::ZERO, ErrorKind::TimedOut.into())), TEMPORARY),
            (session(Ending::TlsNotOffered), PROTOCOL),
            (session(Ending::Refused(Stage::StartTls, reply(454))), TEMPORARY),
            (no_tls(TlsError::Timeout), TEMPORARY),
            (no_tls(TlsError::Name), PROTOCOL),
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
            not_sent(SendError::Open(ContentError::Io(ErrorKind::NotFound.into()))),
            not_sent(SendError::BareCarriageReturn(BareCarriageReturn)),
            refused(Stage::Rcpt, 550),
            explained(Stage::Rcpt, 550, (7, 1)),
            explained(Stage::Rcpt, 550, (1, 1)),
            Delivery::Accepted(reply(250)),
        ];
        let expected = [TEMPORARY, PROTOCOL, NO_HOST, IO, NO_INPUT, DATA, UNAVAILABLE, NO_PERMISSION, NO_USER, 0];
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
            (ErrorKind::NotADirectory, NO_INPUT),
            (ErrorKind::Other, IO),
        ] {
            assert_eq!(of_content_error(&ContentError::Io(kind.into())), expected, "{kind:?}");
        }
    }
}
