//! Why a message was not delivered, sorted by whether it is worth trying again and who can mend it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use smtp_proto::address::Mailbox;

/// Why a message was not delivered into a mailbox.
#[derive(Debug)]
pub enum MaildirError {
    /// The local part is empty or makes a name of more than 255 octets. The only permanent one: the same address will
    /// never do. All local parts of up to 85 octets have a name; servers must take 64 (RFC 5321, 4.5.3.1.1).
    Name(Mailbox),
    /// There is no room on the disk, or within the quota. The operator, or the owner of the mailbox, makes room.
    Full {
        /// What was being done.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A step failed otherwise: permissions, the medium, a link where a directory should be.
    Failed {
        /// What was being done.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The message could not be read to its end. Nothing is wrong with the mailbox.
    Content(io::Error),
}

impl MaildirError {
    /// Sorts an error of the system.
    pub(super) fn from_io(doing: &'static str, path: PathBuf, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                MaildirError::Full { doing, path, source }
            }
            _ => MaildirError::Failed { doing, path, source },
        }
    }

    /// Whether the same may work later. What is our fault is, and what an operator can mend.
    pub fn is_transient(&self) -> bool {
        !matches!(self, MaildirError::Name(_))
    }

    /// Whether there is no room (RFC 3463: 4.2.2 where it is the mailbox's, 4.3.1 where it is the system's).
    pub fn is_full(&self) -> bool {
        matches!(self, MaildirError::Full { .. })
    }
}

impl fmt::Display for MaildirError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MaildirError::Name(mailbox) => {
                write!(f, "<{mailbox}> can have no mailbox here: its local part is empty or too long for a file name")
            }
            MaildirError::Full { doing, path, source } => {
                write!(f, "the disk or the quota is full: {doing} {path:?}: {source}; make room or raise the quota")
            }
            MaildirError::Failed { doing, path, source } => {
                write!(f, "{doing} {path:?}: {source}; {}", advice(source.kind()))
            }
            MaildirError::Content(source) => write!(f, "the message cannot be read: {source}"),
        }
    }
}

fn advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::PermissionDenied => "it must belong to the user as whom the server runs",
        io::ErrorKind::NotADirectory => "it must be a directory; links are not followed",
        io::ErrorKind::AlreadyExists => "something that is no message has its name",
        io::ErrorKind::NotFound => "the directory in which it should be must exist",
        _ => "look at the disk and at the permissions",
    }
}

impl std::error::Error for MaildirError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            MaildirError::Full { source, .. } | MaildirError::Failed { source, .. } | MaildirError::Content(source) => {
                Some(source)
            }
            MaildirError::Name(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;

    #[test]
    fn errors_of_the_system_say_what_to_do() {
        for (errno, is_full, advice) in [
            (Errno::ENOSPC, true, "make room or raise the quota"),
            (Errno::EDQUOT, true, "make room or raise the quota"),
            (Errno::EFBIG, true, "make room or raise the quota"),
            (Errno::EACCES, false, "it must belong to the user as whom the server runs"),
            (Errno::EPERM, false, "it must belong to the user as whom the server runs"),
            (Errno::ENOTDIR, false, "links are not followed"),
            (Errno::ENOENT, false, "must exist"),
            (Errno::EIO, false, "look at the disk"),
        ] {
            let error = MaildirError::from_io("writing", PathBuf::from("mail/bob"), errno.into());
            assert!(error.is_transient() && error.is_full() == is_full, "{error}");
            let text = error.to_string();
            assert!(text.contains("writing \"mail/bob\"") && text.contains(advice), "{text}");
        }
    }
}
