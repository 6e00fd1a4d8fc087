//! The load: clients as bare as can be, the same ones for every server, and how long each transaction took.
//!
//! One thread for each client, no library of ours, the octets made beforehand. A client waits for each reply before it sends
//! on; where it is to pipeline, and the server offers it, MAIL, RCPT and DATA go in one write (RFC 2920). The content and
//! the dot behind it always go in one write.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::workshop::letter::letter;

/// Longer than any reply should take.
const PATIENCE: Duration = Duration::from_secs(30);

/// After a failure, so that a server which refuses is not called as fast as can be.
const PAUSE: Duration = Duration::from_millis(10);

/// What is sent, by how many, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) clients: usize,
    pub(super) octets: usize,
    /// Every message over a connection of its own.
    pub(super) is_fresh: bool,
    pub(super) is_pipelined: bool,
}

/// When it is enough.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    /// What has begun by then is brought to its end.
    Time(Instant),
    /// So many for each client, failures included.
    Messages(usize),
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// How long each message took that was taken: from MAIL to the last reply, or, over a fresh connection, everything from
    /// the call to the goodbye.
    pub(super) taken: Vec<Duration>,
    pub(super) failures: usize,
    /// The first of them, in words.
    pub(super) failure: Option<String>,
}

/// Runs all clients to their end.
pub(super) fn fire(address: SocketAddr, load: Load, words: &Words, until: Until) -> Heard {
    std::thread::scope(|scope| {
        let clients: Vec<_> =
            (0..load.clients).map(|_| scope.spawn(|| Client::run(address, load, until, words))).collect();
        clients.into_iter().fold(Heard::default(), |mut heard, client| {
            match client.join() {
                Ok(other) => heard.add(other),
                Err(_) => heard.fail("a client ended in a panic".to_owned()),
            }
            heard
        })
    })
}

/// Calls, reads the greeting, says EHLO, and leaves the connection open.
pub(super) fn greeted(address: SocketAddr) -> io::Result<Wire> {
    let mut wire = Wire::open(address)?;
    wire.expect(b'2')?;
    wire.ask(Words::HELLO, b'2')?;
    Ok(wire)
}

impl Heard {
    fn add(&mut self, other: Heard) {
        self.taken.extend(other.taken);
        self.failures += other.failures;
        self.failure = self.failure.take().or(other.failure);
    }

    fn fail(&mut self, text: String) {
        self.failures += 1;
        self.failure.get_or_insert(text);
    }
}

/// Everything that is said.
pub(super) struct Words {
    content: Vec<u8>,
}

impl Words {
    const HELLO: &'static [u8] = b"EHLO client.example.org\r\n";
    const ENVELOPE: [&'static [u8]; 3] =
        [b"MAIL FROM:<alice@example.org>\r\n", b"RCPT TO:<bob@localhost>\r\n", b"DATA\r\n"];
    const FLIGHT: &'static [u8] = b"MAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@localhost>\r\nDATA\r\n";
    const GOODBYE: &'static [u8] = b"QUIT\r\n";

    /// With a message of so many octets, which is made beforehand: that takes time.
    pub(super) fn new(octets: usize) -> Self {
        // No line of a letter begins with a dot.
        let mut content = letter(1, octets);
        content.extend_from_slice(b".\r\n");
        Words { content }
    }
}

struct Client<'a> {
    address: SocketAddr,
    load: Load,
    words: &'a Words,
    wire: Option<Wire>,
}

impl Client<'_> {
    fn run(address: SocketAddr, load: Load, until: Until, words: &Words) -> Heard {
        let mut client = Client { address, load, words, wire: None };
        let mut heard = Heard::default();
        let goes_on = |heard: &Heard| match until {
            Until::Time(end) => Instant::now() < end,
            Until::Messages(count) => heard.taken.len() + heard.failures < count,
        };
        while goes_on(&heard) {
            match client.message() {
                Ok(took) => heard.taken.push(took),
                Err(error) => {
                    heard.fail(error.to_string());
                    client.wire = None;
                    std::thread::sleep(PAUSE);
                }
            }
        }
        if let Some(mut wire) = client.wire {
            // Everything was taken by now.
            let _ = wire.ask(Words::GOODBYE, b'2');
        }
        heard
    }

    fn message(&mut self) -> io::Result<Duration> {
        let called = Instant::now();
        let mut wire = match self.wire.take() {
            Some(wire) => wire,
            None => greeted(self.address)?,
        };
        let began = Instant::now();
        if self.load.is_pipelined && wire.offers_pipelining {
            wire.write(Words::FLIGHT)?;
            for expected in *b"223" {
                wire.expect(expected)?;
            }
        } else {
            for (line, expected) in Words::ENVELOPE.into_iter().zip(*b"223") {
                wire.ask(line, expected)?;
            }
        }
        wire.ask(&self.words.content, b'2')?;
        if self.load.is_fresh {
            wire.ask(Words::GOODBYE, b'2')?;
            return Ok(called.elapsed());
        }
        self.wire = Some(wire);
        Ok(began.elapsed())
    }
}

/// A connection, and what came over it that is still to be read.
pub(super) struct Wire {
    stream: TcpStream,
    buffer: [u8; 4096],
    start: usize,
    end: usize,
    offers_pipelining: bool,
}

impl Wire {
    pub(super) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Wire { stream, buffer: [0; 4096], start: 0, end: 0, offers_pipelining: false })
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.stream.write_all(octets)
    }

    pub(super) fn ask(&mut self, octets: &[u8], expected: u8) -> io::Result<()> {
        self.write(octets)?;
        self.expect(expected)
    }

    /// Reads a reply, all its lines, whose code has to begin with this digit.
    pub(super) fn expect(&mut self, expected: u8) -> io::Result<()> {
        loop {
            let line = self.line()?;
            if line.first() != Some(&expected) {
                return Err(io::Error::other(format!("the server said {}", line.trim_ascii_end().escape_ascii())));
            }
            let (is_last, is_offer) = (line.get(3) != Some(&b'-'), line.get(4..14) == Some(b"PIPELINING"));
            self.offers_pipelining |= is_offer;
            if is_last {
                return Ok(());
            }
        }
    }

    fn line(&mut self) -> io::Result<&[u8]> {
        loop {
            let waiting = self.buffer.get(self.start..self.end).unwrap_or_default();
            if let Some(place) = waiting.iter().position(|octet| *octet == b'\n') {
                let line = self.start..self.start + place + 1;
                self.start = line.end;
                return Ok(self.buffer.get(line).unwrap_or_default());
            }
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            // Without room it reads nothing, too: no reply line is so long.
            match self.stream.read(room)? {
                0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server hung up")),
                count => self.end += count,
            }
        }
    }
}
