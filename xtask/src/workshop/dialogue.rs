//! SMTP by hand: one line out, one reply in.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustls::StreamOwned;
use smtp_tests::tls::Client;

use super::failure::{OrFail, Outcome, ensure};

/// How long any one answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to a server, with nothing between the caller and the wire.
pub(crate) struct Dialogue {
    stream: BufReader<Box<dyn Wire>>,
}

/// TCP, or TLS over it.
trait Wire: Read + Write + Send {}

impl<T: Read + Write + Send> Wire for T {}

impl Dialogue {
    /// Connects. The greeting is still to be read.
    pub(crate) fn open(address: SocketAddr) -> Outcome<Self> {
        Ok(Dialogue { stream: BufReader::new(Box::new(connect(address)?)) })
    }

    /// The same where TLS comes first: the handshake is over then.
    pub(crate) fn open_tls(address: SocketAddr, client: &Client) -> Outcome<Self> {
        let mut stream = StreamOwned::new(client.connection(), connect(address)?);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).or_fail("a TLS handshake")?;
        }
        Ok(Dialogue { stream: BufReader::new(Box::new(stream)) })
    }

    /// Connects, reads the greeting and says EHLO.
    pub(crate) fn greeted(address: SocketAddr) -> Outcome<Self> {
        Dialogue::open(address)?.after_hello()
    }

    /// Reads the greeting and says EHLO.
    pub(crate) fn after_hello(mut self) -> Outcome<Self> {
        self.expect("220")?;
        self.ask("EHLO client.example.org", "250")?;
        Ok(self)
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
        let stream = self.stream.get_mut();
        stream.write_all(octets).and_then(|()| stream.flush()).or_fail("writing to the server")
    }

    /// Reads a reply of one or more lines; the last one has a space behind its code.
    fn reply(&mut self) -> Outcome<String> {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            let count = self.stream.by_ref().take(4096).read_line(&mut line).or_fail("reading a reply")?;
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

fn connect(address: SocketAddr) -> Outcome<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).or_fail("connecting")?;
    stream.set_read_timeout(Some(PATIENCE)).or_fail("a socket")?;
    stream.set_write_timeout(Some(PATIENCE)).or_fail("a socket")?;
    stream.set_nodelay(true).or_fail("a socket")?;
    Ok(stream)
}
