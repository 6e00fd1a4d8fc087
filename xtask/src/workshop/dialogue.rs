//! SMTP by hand: one line out, one reply in.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::failure::{OrFail, Outcome, ensure};

/// How long any one answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to a server, with nothing between the caller and the wire.
pub(crate) struct Dialogue {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Dialogue {
    /// Connects. The greeting is still to be read.
    pub(crate) fn open(address: SocketAddr) -> Outcome<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).or_fail("connecting")?;
        stream.set_read_timeout(Some(PATIENCE)).or_fail("a socket")?;
        stream.set_write_timeout(Some(PATIENCE)).or_fail("a socket")?;
        stream.set_nodelay(true).or_fail("a socket")?;
        let reader = BufReader::new(stream.try_clone().or_fail("a socket")?);
        Ok(Dialogue { stream, reader })
    }

    /// Connects, reads the greeting and says EHLO.
    pub(crate) fn greeted(address: SocketAddr) -> Outcome<Self> {
        let mut dialogue = Dialogue::open(address)?;
        dialogue.expect("220")?;
        dialogue.ask("EHLO client.example.org", "250")?;
        Ok(dialogue)
    }

    /// Sends a line and reads the reply, which must begin like this.
    pub(crate) fn ask(&mut self, line: &str, expected: &str) -> Outcome<String> {
        self.write(format!("{line}\r\n").as_bytes())?;
        let reply = self.reply()?;
        ensure(reply.starts_with(expected), || format!("`{line}` was answered with `{reply}`, not with {expected}"))?;
        Ok(reply)
    }

    /// Reads a reply, which must begin like this.
    pub(crate) fn expect(&mut self, expected: &str) -> Outcome<String> {
        let reply = self.reply()?;
        ensure(reply.starts_with(expected), || format!("the server said `{reply}`, not {expected}"))?;
        Ok(reply)
    }

    /// Sends octets as they are.
    pub(crate) fn write(&mut self, octets: &[u8]) -> Outcome {
        self.stream.write_all(octets).or_fail("writing to the server")
    }

    /// Reads a reply of one or more lines; the last one has a space behind its code.
    fn reply(&mut self) -> Outcome<String> {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            let count = self.reader.by_ref().take(4096).read_line(&mut line).or_fail("reading a reply")?;
            ensure(count > 0, || format!("the server closed instead of a reply (so far: `{text}`)"))?;
            text.push_str(line.trim_end());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(text);
            }
            text.push('\n');
        }
    }

    /// Sends a whole message to `bob@localhost` and reads the last reply, which must begin like this.
    pub(crate) fn send(&mut self, letter: &[u8], expected: &str) -> Outcome<String> {
        self.ask("MAIL FROM:<alice@example.org>", "250")?;
        self.ask("RCPT TO:<bob@localhost>", "250")?;
        self.ask("DATA", "354")?;
        self.write(letter)?;
        self.ask(".", expected)
    }
}
