//! The outgoing spool of a host: `queue` puts messages there, `flush` and `retry` send them, `list` and `remove` look after
//! them.
//!
//! It is a spool like that of a server. `queue` needs nobody's leave: it leaves messages in the maildrop, also while a server
//! owns the spool, which then takes them from there. The others that change anything own the spool as long as they run.

pub(crate) mod queue;
pub(crate) mod flush;
pub(crate) mod list;
pub(crate) mod remove;

use std::fmt::Display;
use std::path::{Path, PathBuf};

use smtp_client::spool::{MessageId, OpenError, Options, Reader, Spool, StoreError};

use crate::exit;
use crate::messages::Stopped;

/// Where a spool lies if nobody says otherwise.
fn default_spool() -> PathBuf {
    PathBuf::from("./outgoing")
}

fn id(text: &str) -> Result<MessageId, String> {
    text.parse().map_err(|error: smtp_client::spool::id::IdError| error.to_string())
}

/// Opens an existing spool as its owner. `instead` are the words for `smtp-spool`, which asks a server that owns it.
fn own(path: &Path, instead: &str) -> Result<Spool, Stopped> {
    // Opening as the owner would make a spool where there is none.
    Reader::open(path).map_err(|error| not_opened(&error))?;
    Spool::open(path, Options::default()).map(|(spool, _)| spool).map_err(|error| match &error {
        OpenError::Owned { .. } => {
            let spool = path.display();
            (exit::TEMPORARY, format!("{error}; if that is a server, ask it: smtp-spool --spool {spool} {instead}"))
        }
        error => not_opened(error),
    })
}

fn not_opened(error: &OpenError) -> Stopped {
    let code = match error {
        error if error.is_permission() => exit::NO_PERMISSION,
        OpenError::Owned { .. } => exit::TEMPORARY,
        OpenError::Missing { .. } => exit::NO_INPUT,
        OpenError::NotOurs { .. } | OpenError::Failed { .. } => exit::CANNOT_CREATE,
    };
    (code, error.to_string())
}

/// No room is what may be better later; so is not to know.
fn not_stored(error: &StoreError) -> Stopped {
    let code = match error {
        StoreError::Full { .. } | StoreError::Unknown { .. } => exit::TEMPORARY,
        StoreError::Unavailable { .. } => exit::IO,
    };
    (code, error.to_string())
}

fn failed(error: &impl Display) -> Stopped {
    (exit::IO, error.to_string())
}
