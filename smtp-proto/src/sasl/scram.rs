//! SCRAM-SHA-256 (RFC 5802, RFC 7677): both sides prove that they know the password, and neither says it.
//!
//! ```text
//!   client-first   n,,n=user,r=nonce
//!   server-first   r=nonce+more,s=salt,i=iterations
//!   client-final   c=biws,r=nonce+more,p=proof
//!   server-final   v=signature
//! ```
//!
//! The proof holds for these two nonces only, so nobody can use it again; what the server keeps ([`Keys`]) is enough to
//! check it, and not enough to make it. With a channel binding (`p=tls-exporter`, RFC 9266) it also holds for this one TLS
//! connection only: whoever sits between the two has another one.

mod keys;
mod messages;

pub use keys::{Keys, KeysError, LEAST_ITERATIONS, MOST_ITERATIONS, SALT_OCTETS};
pub(super) use keys::{Password, equal};
pub(super) use messages::{ClientFinal, ClientFirst, ServerFirst, escape};

/// What a client says of channel bindings (RFC 5802, 6).
#[derive(Clone, Debug, Default)]
pub enum Binding {
    /// There is none: the connection is in clear, or its TLS has none to give.
    #[default]
    None,
    /// There is one, of the type `tls-exporter` (RFC 9266).
    Exporter(Vec<u8>),
}

impl Binding {
    /// The type by which it is called on the wire.
    pub(super) const TYPE: &str = "tls-exporter";
}
