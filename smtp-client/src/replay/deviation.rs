//! Where a conversation went otherwise than it stands in the file.

use std::fmt;

use smtp_proto::client::Cause;
use smtp_proto::reply::Reply;

use crate::connection::ConnectError;
use crate::dialogue::DialogueError;

/// The first difference.
#[derive(Debug)]
pub struct Deviation {
    /// The line of the file: the first one of the reply that should have come, or the last one of the connection.
    pub line: usize,
    /// What the server was asked: `greeting`, a verb, `end of content`.
    pub stage: &'static str,
    /// What differs.
    pub what: Difference,
}

/// What differs.
#[derive(Debug)]
pub enum Difference {
    /// Another reply.
    Reply {
        /// What stands in the file, as far as it is compared.
        expected: String,
        /// What came.
        heard: Reply,
    },
    /// No reply.
    Silence {
        /// What stands in the file, as far as it is compared.
        expected: String,
        /// Why there is none.
        cause: Cause,
    },
    /// The server says more than stands in the file.
    OneMore(Reply),
    /// The server has said all, and does not close.
    NotClosed(Cause),
    /// The server did not take what came before, said why, as it does in the file, and cannot be asked anything more.
    NotTaken,
    /// There is no connection.
    NoConnection(ConnectError),
    /// The file has changed since it was looked at, or cannot be read any more.
    File(DialogueError),
}

impl fmt::Display for Deviation {
    /// Without the line, which goes to the name of the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            // They say themselves where they belong.
            Difference::NoConnection(error) => error.fmt(f),
            Difference::File(error) => error.problem.fmt(f),
            what => write!(f, "{}: {what}", self.stage),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Reply { expected, heard } => write!(f, "expected {expected}, got {heard}"),
            Difference::Silence { expected, cause } => write!(f, "expected {expected}, got nothing: {cause}"),
            Difference::OneMore(reply) => write!(f, "expected nothing more, got {reply}"),
            Difference::NotClosed(cause) => write!(f, "expected the end of the connection: {cause}"),
            Difference::NotTaken => {
                f.write_str("the server answered before it had taken everything, and reads no more")
            }
            Difference::NoConnection(error) => error.fmt(f),
            Difference::File(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Deviation {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.what {
            Difference::NoConnection(error) => Some(error),
            Difference::File(error) => Some(error),
            _ => None,
        }
    }
}
