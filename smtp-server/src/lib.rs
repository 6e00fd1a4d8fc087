//! An SMTP server in blocking Rust: it listens, asks a policy, and says 250 only when the message is on disk.
//!
//! ```no_run
//! use std::sync::Arc;
//! use smtp_server::policy::LocalPolicy;
//! use smtp_server::spool::{Options, Spool};
//! use smtp_server::{Config, Server, listener};
//!
//! let (spool, _) = Spool::open("spool", Options::default())?;
//! let listener = listener::bind("127.0.0.1:0".parse()?)?;
//! let policy = LocalPolicy::new(["localhost".parse()?]);
//! let server = Server::start(Config::new("localhost".parse()?), vec![listener], Arc::new(spool), Arc::new(policy))?;
//! println!("listening on {}", server.addresses()[0]);
//! server.stopper().drain();
//! server.join();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! One thread accepts per listener; a fixed number of threads each hold one conversation. A connection is handed over only
//! when a thread is reserved for it, through a bounded channel; when there is none, the accepting thread says 421 at once
//! and goes on. The modules stand in the order in which a connection passes through them:
//!
//! ```text
//!   listener -> admission -> pool -> connection -> policy -> incoming -> spool, then 250
//!                 |           registry: how a blocked thread is reached
//!                 `-> 421, when there is no thread or too many from one address
//! ```
//!
//! The rules of the protocol are not here; they are in [`smtp_proto::server`].

#![forbid(unsafe_code)]

pub mod config;
pub mod network;
pub mod listener;
mod admission;
mod pool;
mod registry;
mod host;
mod connection;
pub mod policy;
pub mod recipients;
mod incoming;
mod replies;
mod quoted;
pub mod server;

pub use config::Config;
pub use server::{Server, Stopper};
pub use smtp_proto as proto;
pub use smtp_spool as spool;
