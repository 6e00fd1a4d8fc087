//! The conversation as people read it: `C:` what the client said, `S:` what the server answered (the notation of RFC
//! 5321, D).

use std::io::Write;

/// Who watches a conversation.
pub trait Observer: Send {
    /// The client opened a connection to this address.
    fn connected(&mut self, _address: std::net::SocketAddr) {}
    /// The client sent commands, in whole lines.
    fn commands(&mut self, _octets: &[u8]) {}
    /// The client sent octets of content.
    fn content(&mut self, _octets: &[u8]) {}
    /// The server answered, in pieces of any size.
    fn replies(&mut self, _octets: &[u8]) {}
}

/// Nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {}

/// Writes the conversation line by line. Control characters are escaped, so that no server writes to the terminal.
#[derive(Debug)]
pub struct Transcript<W> {
    output: W,
    reply: Vec<u8>,
    content_octets: u64,
}

impl<W: Write + Send> Transcript<W> {
    /// A transcript that goes to `output`.
    pub fn new(output: W) -> Self {
        Transcript { output, reply: Vec::new(), content_octets: 0 }
    }

    fn line(&mut self, who: &str, line: &[u8]) {
        let text: String = line.strip_suffix(b"\r").unwrap_or(line).escape_ascii().map(char::from).collect();
        // A transcript that nobody can read any more must not stop the mail.
        if let Err(error) = writeln!(self.output, "{who}: {}", unescape_quotes(&text)) {
            log::debug!("the transcript cannot be written: {error}");
        }
    }

    fn end_content(&mut self) {
        let octets = std::mem::take(&mut self.content_octets);
        if octets > 0 {
            self.line("C", format!("<{octets} octets of content, ending in a line with a lone dot>").as_bytes());
        }
    }
}

/// `escape_ascii` escapes quotes and backslashes too, which need none here.
fn unescape_quotes(text: &str) -> String {
    text.replace("\\\"", "\"").replace("\\'", "'")
}

impl<W: Write + Send> Observer for Transcript<W> {
    fn connected(&mut self, address: std::net::SocketAddr) {
        self.line("C", format!("<opens a TCP connection to {address}>").as_bytes());
    }

    fn commands(&mut self, octets: &[u8]) {
        self.end_content();
        for line in octets.split(|octet| *octet == b'\n').filter(|line| !line.is_empty()) {
            self.line("C", line);
        }
    }

    fn content(&mut self, octets: &[u8]) {
        self.content_octets += octets.len() as u64;
    }

    fn replies(&mut self, octets: &[u8]) {
        self.end_content();
        self.reply.extend_from_slice(octets);
        while let Some(line_feed) = memchr::memchr(b'\n', &self.reply) {
            let line: Vec<u8> = self.reply.drain(..=line_feed).collect();
            self.line("S", line.strip_suffix(b"\n").unwrap_or(&line));
        }
        // The parser gives up on lines that are far shorter than this.
        self.reply.truncate(smtp_proto::limits::RECEIVED_REPLY_OCTETS);
    }
}
