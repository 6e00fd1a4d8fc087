//! How a transaction ended, recipient by recipient.

use std::fmt;

use crate::address::ForwardPath;
use crate::reply::Reply;
use crate::reply_parser::ReplyError;

/// One result per recipient, in the order of the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The results.
    pub recipients: Vec<RecipientOutcome>,
}

/// What became of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientOutcome {
    /// The recipient.
    pub forward_path: ForwardPath,
    /// The reply that took the message over (in a rehearsal: that would), or why there is none.
    pub result: Result<Reply, Failure>,
}

/// Why a recipient's message was not taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the client was doing.
    pub stage: Stage,
    /// What stopped it.
    pub cause: Cause,
}

/// What stopped a transaction or a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The server refused.
    Refused(Reply),
    /// The server sent something that is no reply, or no reply to what was asked.
    Reply(ReplyError),
    /// The connection ended.
    ConnectionLost,
    /// The server was silent for too long.
    Timeout,
}

/// A step of the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Waiting for the greeting.
    Greeting,
    /// EHLO or HELO.
    Hello,
    /// LHLO, in LMTP.
    Lhlo,
    /// STARTTLS, and the handshake behind it.
    StartTls,
    /// AUTH, and the dialogue behind it.
    Auth,
    /// Between transactions.
    Ready,
    /// RSET, after a transaction that was given up.
    Reset,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// Sending the content.
    Content,
    /// The end of the content: the server has the message and has not said yet what it thinks of it.
    EndOfContent,
    /// QUIT.
    Quit,
}

impl Outcome {
    /// Whether every recipient's message was taken over; behind [`ClientSession::rehearse`], whether it would be.
    ///
    /// [`ClientSession::rehearse`]: super::ClientSession::rehearse
    pub fn is_success(&self) -> bool {
        self.recipients.iter().all(|recipient| recipient.result.is_ok())
    }
}

impl Cause {
    /// Whether the same may work later. A lost connection counts as 451 (RFC 5321, 3.8); so does nonsense, since nothing
    /// in it says that the message is at fault.
    pub fn is_transient(&self) -> bool {
        match self {
            Cause::Refused(reply) => reply.is_transient(),
            Cause::Reply(_) | Cause::ConnectionLost | Cause::Timeout => true,
        }
    }
}

impl Failure {
    /// Whether the same may work later. 552 to RCPT means "too many recipients" at old servers (RFC 5321, 4.5.3.1.10).
    pub fn is_transient(&self) -> bool {
        let is_old_limit = matches!(&self.cause, Cause::Refused(reply) if reply.code().number() == 552);
        self.cause.is_transient() || self.stage == Stage::Rcpt && is_old_limit
    }

    /// Whether the server may have taken the message over all the same, so that sending again may make a second copy
    /// (RFC 1047).
    pub fn is_uncertain(&self) -> bool {
        self.stage == Stage::EndOfContent && !matches!(self.cause, Cause::Refused(_))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage, self.cause)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Refused(reply) => reply.fmt(f),
            Cause::Reply(error) => error.fmt(f),
            Cause::ConnectionLost => f.write_str("the connection was lost"),
            Cause::Timeout => f.write_str("the server was silent for too long"),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Greeting => "greeting",
            Stage::Hello => "EHLO",
            Stage::Lhlo => "LHLO",
            Stage::StartTls => "STARTTLS",
            Stage::Auth => "AUTH",
            Stage::Ready => "idle",
            Stage::Reset => "RSET",
            Stage::Mail => "MAIL",
            Stage::Rcpt => "RCPT",
            Stage::Data => "DATA",
            Stage::Content => "content",
            Stage::EndOfContent => "end of content",
            Stage::Quit => "QUIT",
        })
    }
}
