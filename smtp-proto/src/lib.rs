//! SMTP as bytes and rules: everything about the protocol, nothing about the world.
//!
//! This crate opens no socket, reads no file, asks no clock, starts no thread and logs nothing. Octets and the time go in
//! as arguments, events and octets come out. So the same code runs over TCP, in memory, and in tests where an hour takes a
//! microsecond; and what a peer sends can do nothing here but be accepted or refused.
//!
//! ```text
//!   octets -> line -> command -> (state, event) -> question to the policy -> decision = reply -> octets
//!            `line`   `command`        `server`                               `reply`
//!
//!   transaction -> command -> octets -> reply -> one outcome per recipient
//!   `transaction`            `client`  `reply_parser`
//! ```
//!
//! Read the modules in the order in which they stand below, and you follow a message: the addresses and commands it needs,
//! the replies it gets, its content on the way through DATA or BDAT, the trace it collects, and the two machines that hold the
//! conversation, [`server`] and [`client`]. What the sender hears if it does not arrive is [`report`].
//!
//! How somebody proves who they are is [`sasl`]: the sessions hold the dialogue of AUTH and know nothing of what is in it. The
//! mechanisms need hashes, and are there with the feature `sasl`.
//!
//! # Two machines in a room
//!
//! ```
//! use std::time::Duration;
//! use smtp_proto::client::{self, ClientSession};
//! use smtp_proto::server::{self, Decision, ServerSession};
//! use smtp_proto::transaction::Transaction;
//!
//! let mut server = ServerSession::new(server::Config::new("mx.example.org".parse()?));
//! let mut client = ClientSession::new(client::Config::new("laptop.example.com".parse()?));
//! let mut transaction = Transaction::new("<alice@example.com>".parse()?);
//! transaction.recipients.push("<bob@example.org>".parse::<smtp_proto::address::ForwardPath>()?.into());
//! let (mut transaction, mut arrived, now) = (Some(transaction), Vec::new(), Duration::ZERO);
//!
//! 'conversation: loop {
//!     let said = client.output().to_vec();
//!     client.clear_output();
//!     let mut rest = &said[..];
//!     loop {
//!         let (used, event) = server.handle(rest, now);
//!         rest = &rest[used..];
//!         match event {
//!             server::Event::Question => server.decide(Decision::Accept, now),
//!             server::Event::Content(octets) => arrived.extend_from_slice(octets),
//!             server::Event::NeedInput | server::Event::Dropped | server::Event::Close => break,
//!             server::Event::StartTls => unreachable!("it is not offered"),
//!         }
//!     }
//!     let answered = server.output().to_vec();
//!     server.clear_output();
//!     let mut rest = &answered[..];
//!     loop {
//!         let (used, event) = client.handle(rest, now);
//!         rest = &rest[used..];
//!         match event {
//!             client::Event::NeedInput => break,
//!             client::Event::StartTls | client::Event::Auth(_) => unreachable!("nobody asked for it"),
//!             client::Event::Ready => match transaction.take() {
//!                 Some(transaction) => client.start(transaction, now)?,
//!                 None => client.quit(now),
//!             },
//!             client::Event::WantContent => {
//!                 client.write_content(b"Subject: hello\n\nIt is me.\n", now)?;
//!                 client.finish_content(now)?;
//!             }
//!             client::Event::Finished(outcome) => assert!(outcome.is_success()),
//!             client::Event::Closed(_) => break 'conversation,
//!         }
//!     }
//! }
//! assert_eq!(arrived, b"Subject: hello\r\n\r\nIt is me.\r\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

pub mod limits;

mod cursor;
pub mod address;
pub mod xtext;
pub mod parameter;
pub mod command;
pub mod transaction;

pub mod reply;
pub mod reply_parser;
pub mod extension;

pub mod content;
pub mod date;
pub mod trace;
pub mod report;

pub mod printable;
pub mod json;
pub mod secret;

pub mod sasl;

pub mod line;
pub mod server;

pub mod client;

#[cfg(test)]
mod strategies;
