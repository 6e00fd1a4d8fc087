//! A durable queue of messages in a directory.

pub mod claim;
pub mod envelope;
pub mod error;
pub mod id;
pub mod spool;
pub mod store;

pub use claim::{Claim, Lane, Outcome, Settled, Settlement, WorkerId};
pub use envelope::{Envelope, Recipient};
pub use error::{OpenError, StoreError};
pub use id::{IdSource, MessageId};
pub use spool::{Options, RecoveryReport, Spool};
pub use store::{Due, Health, Incoming, Store};
