//! The content of a message on its way through DATA or BDAT: dots, line ends and the end (RFC 5321, 4.5.2 and 2.3.8; RFC
//! 3030).
//!
//! The rules are few. A line that is a lone dot ends the content. The sender doubles the dot at the beginning of any other
//! line, the receiver takes it away again. And **only CRLF ends a line**: servers that also took a bare LF disagreed with
//! their neighbours about where a message ends, and whatever followed the first end was a second message that nobody had
//! checked ("SMTP smuggling", CVE-2023-51764, -51765, -51766). So the decoder knows one end, CRLF dot CRLF, and content
//! that holds a bare CR or LF is read up to that end and refused as a whole.

mod chunk_decoder;
mod decoder;
mod encoder;

pub use chunk_decoder::ChunkDecoder;
pub use decoder::{ContentDecoder, Piece};
pub use encoder::{BareCarriageReturn, ContentEncoder};

/// What counts as the end of a line that comes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LineEnds {
    /// CRLF and nothing else (RFC 5321, 2.3.8).
    #[default]
    Strict,
    /// A bare LF counts as CRLF. Only for peers that the administrator names: scripts that cannot do better.
    AcceptBareLineFeed,
}

#[cfg(test)]
mod tests;
