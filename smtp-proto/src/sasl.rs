//! How somebody proves who they are: the mechanisms behind AUTH (RFC 4954), each a small exchange of octets.
//!
//! The sessions know AUTH as a dialogue only: a mechanism's name, base64 there and back, an end. What the octets mean is
//! said here, and the drivers bring the two together, since what it takes (random octets, the list of users, the work of a
//! hash) is not to be had in a session:
//!
//! ```text
//!   server session --octets--> server::Exchange --"is this Ann's password?"--> list of users
//!   client session --octets--> client::Exchange <--password
//! ```
//!
//! | mechanism | what goes over the wire | needs |
//! | --- | --- | --- |
//! | PLAIN (RFC 4616), LOGIN | the password itself | TLS |
//! | SCRAM-SHA-256 (RFC 7677) | a proof that the password is known, both ways | keys on the server |
//! | SCRAM-SHA-256-PLUS | the same, tied to this TLS connection (RFC 9266) | both ends of one TLS connection |
//! | OAUTHBEARER (RFC 7628), XOAUTH2 | a token that somebody else gave | TLS; client only |
//!
//! Names and passwords are prepared by SASLprep (RFC 4013), as all of these RFCs ask.

pub mod base64;
mod mechanism;

#[cfg(feature = "sasl")]
mod prepare;
#[cfg(feature = "sasl")]
mod plain;
#[cfg(feature = "sasl")]
pub mod scram;
#[cfg(feature = "sasl")]
mod oauth;
#[cfg(feature = "sasl")]
pub mod server;
#[cfg(feature = "sasl")]
pub mod client;

pub use mechanism::Mechanism;
#[cfg(feature = "sasl")]
pub use prepare::{PrepareError, prepare, prepare_name};

#[cfg(feature = "sasl")]
#[cfg(test)]
mod tests;
