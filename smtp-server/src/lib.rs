//! An SMTP server in blocking Rust: it listens, asks a policy, and says 250 only when the message is on disk.
//!
//! A whole server, in memory and on a free port, with a policy of its own:
//!
//! ```
//! use std::sync::Arc;
//!
//! use smtp_server::policy::{Client, Policy};
//! use smtp_server::proto::server::Decision;
//! use smtp_server::proto::transaction::{Recipient, Transaction};
//! use smtp_server::spool::{MemoryDisk, Options, Reader, Spool};
//! use smtp_server::{Config, Server, listener};
//!
//! /// Bob has a mailbox here, and nobody else.
//! struct OnlyBob;
//!
//! impl Policy for OnlyBob {
//!     fn rcpt(&self, _client: &Client<'_>, _transaction: &Transaction, recipient: &Recipient) -> Decision {
//!         match recipient.forward_path.to_string().as_str() {
//!             "<bob@localhost>" => Decision::Accept,
//!             _ => Decision::refuse::<550>(1, 1, "Only Bob has a mailbox here"),
//!         }
//!     }
//! }
//!
//! let disk = Arc::new(MemoryDisk::new());
//! let (spool, _) = Spool::open_on(disk.clone(), Options::default())?; // or Spool::open("spool", ...)
//! let listener = listener::bind("127.0.0.1:0".parse()?)?;
//! let server = Server::start(Config::new("localhost".parse()?), vec![listener], Arc::new(spool), Arc::new(OnlyBob))?;
//!
//! let mut connection = smtp_client::Connection::open(&server.addresses()[0].to_string(), Default::default())?;
//! let mut transaction = Transaction::new("<alice@example.org>".parse()?);
//! for recipient in ["<bob@localhost>", "<carol@localhost>"] {
//!     transaction.recipients.push(Recipient::from(recipient.parse::<smtp_server::proto::address::ForwardPath>()?));
//! }
//! let content = smtp_client::Content::from_bytes(b"Subject: hello\n\nIt is me.\n".to_vec())?;
//! let outcome = connection.send(transaction, &content)?;
//! assert!(outcome.recipients[0].result.is_ok() && outcome.recipients[1].result.is_err());
//! connection.quit();
//!
//! server.stopper().drain();
//! server.join();
//! assert_eq!(Reader::on(disk).list()?.count(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! One thread accepts per listener; a fixed number of threads each hold one conversation. A connection is handed over only
//! when a thread is reserved for it, through a bounded queue; when there is none, the accepting thread says 421 at once
//! and goes on. The modules stand in the order in which a connection passes through them:
//!
//! ```text
//!   listener -> admission -> pool -> connection -> policy -> incoming -> spool, then 250
//!                 |           registry: how a blocked thread is reached
//!                 `-> 421, when there is no thread or too many from one address
//! ```
//!
//! What was accepted goes on through [`delivery`]: into a mailbox of this host ([`maildir`]), or out to another one. The queue
//! of [`smtp_client::queue`] drives that.
//!
//! The rules of the protocol are not here; they are in [`smtp_proto::server`].

#![forbid(unsafe_code)]

pub mod config;
pub mod network;
pub mod listener;
mod admission;
pub mod auth;
mod backoff;
mod hand_over;
mod pool;
mod registry;
mod host;
mod stream;
mod input;
pub mod tls;
mod connection;
pub mod policy;
mod domain_key;
pub mod recipients;
pub mod aliases;
pub mod addressing;
pub mod relay_tls;
pub mod reload;
pub mod users;
pub use smtp_client::relay_route;
mod incoming;
mod completion;
mod replies;
mod journal;
pub mod server;
pub mod maildir;
pub mod delivery;

pub use config::Config;
pub use server::{Server, Stopper};
pub use smtp_proto as proto;
pub use smtp_spool as spool;
