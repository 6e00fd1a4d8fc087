//! The conversation as people read it: `C:` what the client said, `S:` what the server answered (the notation of RFC
//! 5321, D).

use std::io::Write;

use smtp_proto::command::Command;

use crate::peer::Peer;
use crate::tls::{Secured, TlsError};

/// Who watches a conversation.
pub trait Observer: Send {
    /// The client opened a connection.
    fn connected(&mut self, _peer: &Peer) {}
    /// The client sent commands, in whole lines.
    fn commands(&mut self, _octets: &[u8]) {}
    /// The client sent octets of content.
    fn content(&mut self, _octets: &[u8]) {}
    /// The connection is under TLS from here on, or the handshake has failed.
    fn handshake(&mut self, _result: Result<&Secured, &TlsError>) {}
    /// The server answered, in pieces of any size.
    fn replies(&mut self, _octets: &[u8]) {}
    /// The connection is over.
    fn closed(&mut self) {}
}

/// Nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {}

/// Two watch.
pub struct Both(pub Box<dyn Observer>, pub Box<dyn Observer>);

impl Observer for Both {
    fn connected(&mut self, peer: &Peer) {
        self.0.connected(peer);
        self.1.connected(peer);
    }

    fn commands(&mut self, octets: &[u8]) {
        self.0.commands(octets);
        self.1.commands(octets);
    }

    fn content(&mut self, octets: &[u8]) {
        self.0.content(octets);
        self.1.content(octets);
    }

    fn handshake(&mut self, result: Result<&Secured, &TlsError>) {
        self.0.handshake(result);
        self.1.handshake(result);
    }

    fn replies(&mut self, octets: &[u8]) {
        self.0.replies(octets);
        self.1.replies(octets);
    }

    fn closed(&mut self) {
        self.0.closed();
        self.1.closed();
    }
}

/// Writes the conversation line by line. Control characters are escaped, so that no server writes to the terminal.
#[derive(Debug)]
pub struct Transcript<W> {
    output: W,
    reply: Vec<u8>,
    content_octets: u64,
    /// Octets of the chunk that BDAT has announced, if it has.
    chunk_octets: Option<u64>,
    is_content_complete: bool,
}

impl<W: Write + Send> Transcript<W> {
    /// A transcript that goes to `output`.
    pub fn new(output: W) -> Self {
        Transcript { output, reply: Vec::new(), content_octets: 0, chunk_octets: None, is_content_complete: false }
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
        let end = match self.chunk_octets.take() {
            Some(announced) if octets == announced => ", as announced",
            None if self.is_content_complete => ", ending in a line with a lone dot",
            Some(_) | None => ", and no end",
        };
        if octets > 0 {
            self.line("C", format!("<{octets} octets of content{end}>").as_bytes());
        }
    }
}

/// `escape_ascii` escapes quotes and backslashes too, which need none here.
fn unescape_quotes(text: &str) -> String {
    text.replace("\\\"", "\"").replace("\\'", "'")
}

fn announced_octets(line: &[u8]) -> Option<u64> {
    match Command::parse(line.strip_suffix(b"\r").unwrap_or(line)) {
        Ok(Command::Bdat { size, .. }) => Some(size),
        _ => None,
    }
}

impl<W: Write + Send> Observer for Transcript<W> {
    fn connected(&mut self, peer: &Peer) {
        let kind = if matches!(peer, Peer::Tcp(_)) { "TCP " } else { "" };
        self.line("C", format!("<opens a {kind}connection to {peer}>").as_bytes());
    }

    fn commands(&mut self, octets: &[u8]) {
        self.end_content();
        for line in octets.split(|octet| *octet == b'\n').filter(|line| !line.is_empty()) {
            self.line("C", line);
            self.chunk_octets = announced_octets(line);
        }
    }

    fn content(&mut self, octets: &[u8]) {
        self.content_octets += octets.len() as u64;
        // Every other dot at the beginning of a line is doubled, so this is the end wherever it stands.
        self.is_content_complete = octets == b".\r\n" || octets.ends_with(b"\r\n.\r\n");
    }

    fn handshake(&mut self, result: Result<&Secured, &TlsError>) {
        let text = match result {
            Ok(secured) => format!("<{secured}>"),
            Err(error) => format!("<no TLS: {error}>"),
        };
        self.line("C", text.as_bytes());
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

    fn closed(&mut self) {
        self.end_content();
        if !self.reply.is_empty() {
            let unfinished = std::mem::take(&mut self.reply);
            self.line("S", &unfinished);
        }
        self.line("C", b"<closes the connection>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(watch: impl Fn(&mut Transcript<&mut Vec<u8>>)) -> String {
        let mut output = Vec::new();
        watch(&mut Transcript::new(&mut output));
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn a_conversation_in_pieces_of_any_size() {
        let text = written(|transcript| {
            transcript.connected(&Peer::Tcp(([192, 0, 2, 1], 25).into()));
            transcript.replies(b"220 mx");
            transcript.replies(b".example.org\r\n250-a\r\n250 b\r\n");
            transcript.commands(b"MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\n");
            transcript.content(b"one\r\n");
            transcript.content(b".\r\n");
            transcript.replies(b"250 OK\r\n");
            transcript.commands(b"QUIT\r\n");
            transcript.closed();
        });
        let expected = "\
            C: <opens a TCP connection to 192.0.2.1:25>\n\
            S: 220 mx.example.org\nS: 250-a\nS: 250 b\n\
            C: MAIL FROM:<a@x>\nC: RCPT TO:<b@x>\n\
            C: <8 octets of content, ending in a line with a lone dot>\n\
            S: 250 OK\nC: QUIT\nC: <closes the connection>\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_chunk_is_shown_with_its_line() {
        let text = written(|transcript| {
            transcript.commands(b"BDAT 8 LAST\r\n");
            transcript.content(b".\r\n");
            transcript.content(b"..\n\r\n");
            transcript.replies(b"250 OK\r\n");
            transcript.commands(b"BDAT 8 LAST\r\n");
            transcript.content(b".\r\n");
            transcript.closed();
        });
        let expected = "\
            C: BDAT 8 LAST\nC: <8 octets of content, as announced>\nS: 250 OK\n\
            C: BDAT 8 LAST\nC: <3 octets of content, and no end>\nC: <closes the connection>\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn no_server_steers_the_terminal() {
        let text = written(|transcript| transcript.replies(b"220 \x1b[2J\x07\x00\xff\xc2\x85\t\\ \"'\r\n"));
        assert_eq!(text, "S: 220 \\x1b[2J\\x07\\x00\\xff\\xc2\\x85\\t\\\\ \"'\n");
    }

    #[test]
    fn what_was_cut_off_is_shown_as_cut_off() {
        let text = written(|transcript| {
            transcript.content(b"a.\r\n");
            transcript.replies(b"552 eno");
            transcript.closed();
        });
        assert_eq!(text, "C: <4 octets of content, and no end>\nS: 552 eno\nC: <closes the connection>\n");
    }

    #[test]
    fn an_endless_line_takes_no_endless_memory() {
        let mut transcript = Transcript::new(std::io::sink());
        for _ in 0..1_000 {
            transcript.replies(&[b'x'; 1_000]);
        }
        assert!(transcript.reply.len() <= smtp_proto::limits::RECEIVED_REPLY_OCTETS);
    }

    /// Somebody who reads no more.
    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_transcript_that_nobody_reads_stops_nothing() {
        let mut transcript = Transcript::new(Broken);
        transcript.replies(b"220 mx\r\n");
        transcript.closed();
    }
}
