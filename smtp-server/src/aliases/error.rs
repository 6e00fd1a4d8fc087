//! What may be wrong with an alias file, with its line and what to do about it.

use std::fmt;

use smtp_proto::address::AddressError;

use super::{MOST_OCTETS, MOST_TARGETS};

/// A line is no alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliasesError {
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: AliasesReason,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AliasesReason {
    /// The file is larger than [`MOST_OCTETS`], from this line on.
    TooLarge,
    /// The line is indented, so it goes on with a name, and there is none before it.
    NothingToContinue,
    /// No name stands before the colon.
    NoName,
    /// No colon stands behind the name.
    NoColon,
    /// A quote is opened and not closed on the line.
    Unbalanced,
    /// No target stands behind the colon.
    NoTargets,
    /// Nothing stands before or behind a comma.
    EmptyTarget,
    /// Something stands behind a target, and no comma between.
    NoComma,
    /// A comment stands behind something.
    Comment,
    /// More targets than [`MOST_TARGETS`].
    TooManyTargets,
    /// The name was given before.
    Duplicate {
        /// On this line.
        first_line: usize,
    },
    /// The domain of the name, of which this server takes no mail: the line would do nothing.
    NotServed(String),
    /// A name or target is no address.
    Address(AddressError),
    /// It is an address as it stands in a command or a header field, not as it stands in a list.
    AngleBrackets,
    /// `:include:/file`, another file of targets.
    Include,
    /// `|command`, a program that would be started.
    Command,
    /// `/file`, to which would be written.
    File,
    /// `\bob`, which elsewhere means a mailbox whatever aliases there are.
    Backslash,
}

impl From<AddressError> for AliasesReason {
    fn from(error: AddressError) -> Self {
        AliasesReason::Address(error)
    }
}

impl fmt::Display for AliasesReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AliasesReason::TooLarge => return write!(f, "the file is larger than {MOST_OCTETS} octets"),
            AliasesReason::NothingToContinue => "it is indented, and there is no name before it to go on with",
            AliasesReason::NoName => "no name stands before the colon",
            AliasesReason::NoColon => "a colon is missing; write name: target, target",
            AliasesReason::Unbalanced => "a quote is not closed",
            AliasesReason::NoTargets => "no target stands behind the colon; name one, or leave the line out",
            AliasesReason::EmptyTarget => "a comma has no target on one side",
            AliasesReason::NoComma => "a comma is missing between two targets; what holds a space is quoted",
            AliasesReason::Comment => "comments stand on lines of their own; a name that begins with # is quoted",
            AliasesReason::TooManyTargets => {
                return write!(f, "a name has at most {MOST_TARGETS} targets; make several names, and one of those");
            }
            AliasesReason::Duplicate { first_line } => {
                return write!(f, "the name was given on line {first_line} already; put all targets there");
            }
            AliasesReason::NotServed(domain) => return write!(f, "{domain} is not served here; add --domain"),
            AliasesReason::Address(error) => return write!(f, "{error}"),
            AliasesReason::AngleBrackets => "write the address alone, without angle brackets",
            AliasesReason::Include => ":include: is not supported; write the targets into this file",
            AliasesReason::Command => "|command is not supported; let the program fetch the mail from a mailbox",
            AliasesReason::File => "/file is not supported; name a mailbox",
            AliasesReason::Backslash => {
                "leave out the backslash; a target that is the name itself means the mailbox of that name"
            }
        })
    }
}

impl fmt::Display for AliasesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for AliasesError {}
