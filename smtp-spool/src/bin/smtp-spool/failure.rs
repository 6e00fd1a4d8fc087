//! How the program ends when it does not end well: a line for the reader and a code of sysexits for scripts.

use std::fmt;
use std::io;

use smtp_spool::control::AskError;
use smtp_spool::{OpenError, ReadError, StoreError};

use smtp_proto::printable::Printable;

const USAGE: u8 = 64;
const DATA: u8 = 65;
const NO_INPUT: u8 = 66;
const CANNOT_CREATE: u8 = 73;
const INPUT_OUTPUT: u8 = 74;
const TRY_AGAIN: u8 = 75;
const PERMISSION: u8 = 77;

/// The end of the program.
pub(crate) struct Failure {
    pub(crate) code: u8,
    /// With its newline, or empty.
    pub(crate) text: String,
}

impl Failure {
    fn new(code: u8, text: impl fmt::Display) -> Self {
        Failure { code, text: format!("smtp-spool: {}\n", Printable(&text.to_string())) }
    }

    /// Ends without a word.
    pub(crate) fn silent(code: u8) -> Self {
        Failure { code, text: String::new() }
    }

    /// The command line is wrong.
    pub(crate) fn usage(text: impl fmt::Display) -> Self {
        Failure::new(USAGE, text)
    }

    /// Something stored is corrupt.
    pub(crate) fn corrupt(text: impl fmt::Display) -> Self {
        Failure::new(DATA, text)
    }

    /// There is nothing to work on.
    pub(crate) fn missing(text: impl fmt::Display) -> Self {
        Failure::new(NO_INPUT, text)
    }

    /// A file cannot be made.
    pub(crate) fn cannot_create(text: impl fmt::Display) -> Self {
        Failure::new(CANNOT_CREATE, text)
    }

    /// Reading or writing failed.
    pub(crate) fn input_output(text: impl fmt::Display) -> Self {
        Failure::new(INPUT_OUTPUT, text)
    }

    /// The owner of the spool is needed, and does not answer or is busy with the message.
    pub(crate) fn owner(text: impl fmt::Display) -> Self {
        Failure::new(TRY_AGAIN, text)
    }

    /// Standard output cannot be written. A reader that has seen enough, such as `head`, is no failure.
    pub(crate) fn output(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::silent(0),
            _ => Failure::input_output(format!("writing standard output: {error}")),
        }
    }

    /// A message cannot be read.
    pub(crate) fn read(what: impl fmt::Display, error: &ReadError) -> Self {
        match error {
            ReadError::Missing => Failure::missing(format!("{what}: {error}")),
            ReadError::Corrupt(_) => Failure::corrupt(format!("{what}: {error}")),
            ReadError::Failed(_) => Failure::input_output(format!("{what}: {error}")),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            _ if error.is_permission() => Failure::new(PERMISSION, error),
            OpenError::Owned { .. } => Failure::new(TRY_AGAIN, error),
            OpenError::Missing { .. } => Failure::missing(error),
            OpenError::NotOurs { .. } | OpenError::Failed { .. } => Failure::input_output(error),
        }
    }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        if error.is_permission() { Failure::new(PERMISSION, error) } else { Failure::owner(error) }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::input_output(error)
    }
}
