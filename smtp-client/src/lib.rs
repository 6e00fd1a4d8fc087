//! The sending side of SMTP: it opens the connection, talks, and knows what became of each recipient.
//!
//! One message in ten lines:
//!
//! ```no_run
//! use smtp_client::{Connection, Content, Options};
//! use smtp_client::proto::{address::ForwardPath, transaction::Transaction};
//!
//! let mut connection = Connection::open("127.0.0.1:2525", Options::default())?;
//! let mut transaction = Transaction::new("<alice@example.org>".parse()?);
//! transaction.recipients.push("<bob@example.org>".parse::<ForwardPath>()?.into());
//! let content = Content::from_bytes(b"Subject: hello\n\nIt is me.\n".to_vec())?;
//! for recipient in connection.send(transaction, &content)?.recipients {
//!     println!("{}: {:?}", recipient.forward_path, recipient.result);
//! }
//! connection.quit();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What happens to a message, in the order of the modules: its addresses are read from its own [`header`], if nobody gave
//! others; its [`content`] is looked at once, so that what cannot be sent is refused before anybody is called; [`mx`]
//! finds out from [`dns`] which servers take mail for a domain, unless one is given; a [`connection`] is opened, which
//! drives the conversation of [`smtp_proto::client`]; a [`batch`] sends many messages over one connection and tries
//! again later what was not refused for good. Whoever wants to see the conversation watches it with a [`transcript`],
//! keeps it with a [`recorder`] in the notation of a [`dialogue`], and holds it again with a [`replay`].
//! [`Connection::open_lmtp`] speaks LMTP with a server that has mailboxes ([`lmtp_server`]), over TCP or a Unix socket.
//! The [`queue`] brings what a spool keeps to where it belongs. Blocking code throughout: one thread, one conversation.

#![forbid(unsafe_code)]

pub mod header;
pub mod content;
mod positioned_reader;
pub mod mbox;
pub mod seen_file;
pub mod source;
pub mod server_name;
pub mod relay_route;
pub mod dns;
pub mod mx;
pub mod lmtp_server;
pub mod tls;
pub mod peer;
pub mod transcript;
pub mod dialogue;
pub mod recorder;
mod wire;
pub mod login;
pub mod connection;
pub mod replay;
pub mod journal;
pub mod batch;
pub mod queue_id;
pub mod quoted;
pub mod queue;
pub mod logging;

pub use batch::{Batch, Message, Plan, Retries};
pub use connection::{Connection, Options};
pub use content::Content;
pub use smtp_proto as proto;
pub use smtp_spool as spool;
pub use smtp_spool::command_line;
pub use source::Source;
