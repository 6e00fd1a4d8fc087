//! What the tasks share.

pub(crate) mod failure;
pub(crate) mod tally;
pub(crate) mod scratch;
pub(crate) mod process;
pub(crate) mod programs;
pub(crate) mod server;
pub(crate) mod letter;
pub(crate) mod sender;
pub(crate) mod dialogue;
pub(crate) mod stored;
pub(crate) mod machine;
pub(crate) mod sink;
pub(crate) mod filling;

pub(crate) use failure::{OrFail, Outcome};
