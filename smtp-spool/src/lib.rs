//! A durable queue of messages in a directory.

pub mod claim;
mod delivery;
pub mod disk;
mod durable;
mod engine;
pub mod envelope;
pub mod error;
pub mod id;
mod incoming;
pub mod memory_disk;
mod message_file;
pub mod os_disk;
mod queue;
pub mod reader;
mod recovery;
pub mod spool;
mod state_record;
pub mod store;

pub use claim::{Claim, Lane, Outcome, Settled, Settlement, WorkerId};
pub use envelope::{Envelope, Recipient};
pub use error::{OpenError, ReadError, StoreError};
pub use id::{IdSource, MessageId};
pub use memory_disk::{Fault, MemoryDisk};
pub use message_file::Content;
pub use os_disk::OsDisk;
pub use reader::{MessageState, Reader, Summary};
pub use recovery::{Finding, RecoveryReport};
pub use spool::{Options, Spool};
pub use state_record::{RecipientState, Status};
pub use store::{Due, Health, Incoming, Store};
