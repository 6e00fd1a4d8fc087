//! Why there is no conversation, or no transaction in it.

use std::fmt;
use std::io;
use std::time::Duration;

use smtp_proto::address::Domain;
use smtp_proto::client::{Cause, ContentError, Ending, Stage, StartError};
use smtp_proto::content::BareCarriageReturn;

use super::Circumstances;
use crate::login::LoginError;
use crate::peer::Peer;
use crate::server_name::{ServerName, ServerNameError};
use crate::tls::TlsError;

/// Why there is no conversation.
#[derive(Debug)]
pub enum ConnectError {
    /// The name of the server is no name.
    Name(ServerNameError),
    /// The name to be given with EHLO is not ASCII (RFC 6531, 3.7.1).
    HelloName(Domain),
    /// The name has no address.
    Resolve(ServerName, io::Error),
    /// No address accepted the connection; the last one tried, how long it took, and why it did not.
    Connect(Peer, Duration, io::Error),
    /// The server did not want to talk, or what it said was no SMTP.
    Session(Box<Circumstances>, Ending),
    /// There is no TLS, or not with whom it should be.
    Tls(Box<Circumstances>, TlsError),
    /// The server does not know who we are.
    Login(Box<Circumstances>, LoginError),
    /// The connection broke in a way that has nothing to do with the server.
    Io(io::Error),
}

/// Why a transaction did not take place.
#[derive(Debug)]
pub enum SendError {
    /// The server cannot take such a message; nothing was sent of it.
    Start(StartError),
    /// The content could not be read to its end. The connection was closed without ending the message, so the server has
    /// dropped it (RFC 5321, 4.1.1.10).
    Content(io::Error),
    /// The content is not fit for sending.
    BareCarriageReturn(BareCarriageReturn),
    /// The message cannot be read any more, or has become unfit for sending since it was looked at. Nothing was sent of it.
    Open(crate::content::ContentError),
    /// The journal of the batch cannot be written, so nothing more was sent: it would be sent again after an interruption.
    Journal(io::Error),
    /// The time for the whole batch was over before it was this message's turn.
    TimeIsOver,
}

impl SendError {
    /// Whether the same may work later, or over another connection.
    pub fn is_transient(&self) -> bool {
        match self {
            SendError::Start(error) => error.is_transient(),
            SendError::Open(error) => error.is_transient(),
            SendError::TimeIsOver => true,
            SendError::Content(_) | SendError::BareCarriageReturn(_) | SendError::Journal(_) => false,
        }
    }
}

impl ConnectError {
    /// Whether the server offers TLS and is not up to it, so that whoever only tried may call again in clear. What is not SMTP
    /// at that moment is no such thing.
    pub(super) fn is_failed_handshake(&self) -> bool {
        match self {
            ConnectError::Tls(..) => true,
            ConnectError::Session(_, Ending::Failed(stage, cause)) => {
                *stage == Stage::StartTls && !matches!(cause, Cause::Reply(_))
            }
            _ => false,
        }
    }

    /// Whether the server does not offer or give the TLS that is required, or cannot prove who it is.
    pub fn is_about_tls(&self) -> bool {
        match self {
            ConnectError::Tls(..) => true,
            ConnectError::Session(_, Ending::TlsNotOffered | Ending::Refused(Stage::StartTls, _)) => true,
            ConnectError::Session(_, Ending::Failed(stage, _)) => *stage == Stage::StartTls,
            _ => false,
        }
    }

    /// Whether the same may work later.
    pub fn is_transient(&self) -> bool {
        match self {
            ConnectError::Name(_) | ConnectError::HelloName(_) => false,
            ConnectError::Resolve(_, error) => error.kind() != io::ErrorKind::NotFound,
            ConnectError::Connect(..) | ConnectError::Io(_) => true,
            ConnectError::Tls(_, error) => error.is_transient(),
            ConnectError::Login(_, error) => error.is_transient(),
            ConnectError::Session(_, ending) => match ending {
                Ending::Refused(_, reply) | Ending::Goodbye(reply) => reply.is_transient(),
                Ending::Quit | Ending::Failed(..) => true,
                // Until the server is another one, or whoever takes the offer out is gone.
                Ending::TlsNotOffered => false,
            },
        }
    }
}

impl ConnectError {
    /// With whom, if anybody was called.
    pub fn peer(&self) -> Option<&Peer> {
        match self {
            ConnectError::Connect(peer, ..) => Some(peer),
            ConnectError::Session(circumstances, _)
            | ConnectError::Tls(circumstances, _)
            | ConnectError::Login(circumstances, _) => Some(&circumstances.peer),
            ConnectError::Name(_) | ConnectError::HelloName(_) | ConnectError::Resolve(..) | ConnectError::Io(_) => {
                None
            }
        }
    }

    /// What went wrong, for whoever knows with whom, strangers included: a report may go to them, and the path of a socket
    /// concerns nobody outside this host.
    pub fn reason(&self) -> String {
        match self {
            ConnectError::Name(error) => error.to_string(),
            ConnectError::HelloName(name) => format!("{name}: the name given with EHLO must be ASCII"),
            ConnectError::Resolve(_, error) => format!("the name cannot be looked up: {error}"),
            ConnectError::Connect(_, waited, error) => {
                format!("no connection: {error}; after {:.1} s", waited.as_secs_f64())
            }
            ConnectError::Session(circumstances, ending) => match ending {
                Ending::Refused(stage, reply) => format!("{stage}: {reply}; {circumstances}"),
                Ending::Goodbye(reply) => format!("{reply}; {circumstances}"),
                Ending::Failed(stage, cause) => format!("{stage}: {cause}; {circumstances}"),
                Ending::TlsNotOffered => format!(
                    "TLS is required, and the server does not offer STARTTLS; nothing was sent; {circumstances}"
                ),
                Ending::Quit => format!("the conversation is over; {circumstances}"),
            },
            ConnectError::Tls(circumstances, error) => {
                format!("no TLS: {error}; nothing was sent; {circumstances}")
            }
            ConnectError::Login(circumstances, error) => {
                format!("log in: {error}; nothing was sent; {circumstances}")
            }
            ConnectError::Io(error) => error.to_string(),
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Resolve(name, _) => write!(f, "{name}: {}", self.reason()),
            _ => match self.peer() {
                Some(peer) => write!(f, "{peer}: {}", self.reason()),
                None => f.write_str(&self.reason()),
            },
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ConnectError::Name(error) => Some(error),
            ConnectError::Resolve(_, error) | ConnectError::Connect(_, _, error) | ConnectError::Io(error) => {
                Some(error)
            }
            ConnectError::Tls(_, error) => Some(error),
            ConnectError::Login(_, error) => Some(error),
            ConnectError::HelloName(_) | ConnectError::Session(..) => None,
        }
    }
}

impl From<ContentError> for SendError {
    fn from(error: ContentError) -> Self {
        match error {
            ContentError::BareCarriageReturn(error) => SendError::BareCarriageReturn(error),
            // It was counted before anybody was called, so the file has changed since.
            ContentError::OtherSize { .. } => SendError::Content(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Start(error) => error.fmt(f),
            SendError::Content(error) => write!(f, "the message cannot be read: {error}"),
            SendError::BareCarriageReturn(error) => error.fmt(f),
            SendError::Open(error) if error.is_transient() => write!(f, "the message cannot be opened now: {error}"),
            SendError::Open(error) => write!(f, "the message cannot be sent any more: {error}"),
            SendError::Journal(error) => write!(f, "the journal cannot be written: {error}"),
            SendError::TimeIsOver => f.write_str("the time given with --timeout is over"),
        }
    }
}

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SendError::Start(error) => Some(error),
            SendError::Content(error) | SendError::Journal(error) => Some(error),
            SendError::BareCarriageReturn(error) => Some(error),
            SendError::Open(error) => Some(error),
            SendError::TimeIsOver => None,
        }
    }
}
