//! What else there is to say about a result: who it was with, how long we waited, and what had come by then.

use std::fmt;
use std::time::Duration;

use crate::peer::Peer;
use crate::tls::Secured;

/// Octets of an unfinished reply that are shown.
const SHOWN_OCTETS: usize = 160;

/// How a conversation stood when something was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circumstances {
    /// The server.
    pub peer: Peer,
    /// How the conversation is protected, if it is.
    pub secured: Option<Secured>,
    /// How long it was since we had last said something, or opened the connection.
    pub waited: Duration,
    /// What had come of a reply that was not complete, or was none. Escaped, and cut where it is long.
    pub received: String,
}

impl Circumstances {
    /// Nothing was waited for yet.
    pub fn new(peer: Peer) -> Self {
        Circumstances { peer, secured: None, waited: Duration::ZERO, received: String::new() }
    }

    /// `lines` are whole lines of a reply, `input` what stands behind them.
    pub(super) fn note(&mut self, waited: Duration, lines: &str, input: &[u8]) {
        let is_long = lines.len() + input.len() > SHOWN_OCTETS;
        let input = input.get(..SHOWN_OCTETS).unwrap_or(input).trim_ascii_end();
        let separator = if lines.is_empty() || input.is_empty() { "" } else { "; " };
        let received = lines.chars().chain(separator.chars()).chain(input.escape_ascii().map(char::from));
        self.received = received.take(SHOWN_OCTETS).collect();
        if is_long {
            self.received.push_str("...");
        }
        self.waited = waited;
    }
}

impl fmt::Display for Circumstances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {:.1} s", self.waited.as_secs_f64())?;
        if self.received.is_empty() { Ok(()) } else { write!(f, ", received so far: \"{}\"", self.received) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reply_is_cut_and_nothing_steers_the_terminal() {
        let mut circumstances = Circumstances::new(Peer::Tcp(([192, 0, 2, 1], 25).into()));
        circumstances.note(Duration::from_millis(1_234), "", b"");
        assert_eq!(circumstances.to_string(), "after 1.2 s");
        circumstances.note(Duration::from_secs(300), "250-first", b"250\x1b[2J\r\n");
        assert_eq!(circumstances.to_string(), "after 300.0 s, received so far: \"250-first; 250\\x1b[2J\"");
        circumstances.note(Duration::ZERO, "", &[b'x'; 1 << 20]);
        assert_eq!(circumstances.received, format!("{}...", "x".repeat(SHOWN_OCTETS)));
    }
}
