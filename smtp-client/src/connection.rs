//! One connection: the blocking driver around [`smtp_proto::client::ClientSession`].
//!
//! It is dull on purpose: write what the session wants said, read what the server answers, hand it in, wait no longer
//! than the session allows.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use smtp_proto::address::{AddressLiteral, Domain, DomainName};
use smtp_proto::client::{ClientSession, Config, Ending, Event, Outcome, Stage, StartError, Timeouts};
use smtp_proto::content::BareCarriageReturn;
use smtp_proto::extension::Extensions;
use smtp_proto::parameter::Body;
use smtp_proto::transaction::Transaction;

use crate::content::Content;
use crate::server_name::{ServerName, ServerNameError};
use crate::transcript::{Observer, Unobserved};

/// Octets of content that are written at once.
const BLOCK_OCTETS: usize = 64 * 1024;

/// How long to look for a reply that explains why the server stopped reading.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(5);

/// How to call a server.
pub struct Options {
    /// How the client names itself. `None`: the host's own name if it is a full domain name, else the address of the
    /// connection in brackets (RFC 5321, 4.1.4).
    pub hello_name: Option<Domain>,
    /// Whether commands may go out in groups.
    pub pipelining: bool,
    /// How long each address of the server may take to accept the connection.
    pub connect_timeout: Duration,
    /// How long each reply may take.
    pub timeouts: Timeouts,
    /// When everything must be over.
    pub give_up_at: Option<Instant>,
    /// Who watches.
    pub observer: Box<dyn Observer>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            hello_name: None,
            pipelining: true,
            connect_timeout: Duration::from_secs(30),
            timeouts: Timeouts::default(),
            give_up_at: None,
            observer: Box::new(Unobserved),
        }
    }
}

/// An open conversation with a server that is ready for mail.
pub struct Connection {
    stream: TcpStream,
    session: ClientSession,
    observer: Box<dyn Observer>,
    started: Instant,
    give_up_at: Option<Instant>,
    input: Vec<u8>,
    ending: Option<Ending>,
    /// A write failed; until then we look for the reply that says why.
    last_words_until: Option<Instant>,
}

/// Why there is no conversation.
#[derive(Debug)]
pub enum ConnectError {
    /// The name of the server is no name.
    Name(ServerNameError),
    /// The name has no address.
    Resolve(ServerName, io::Error),
    /// No address accepted the connection; the last one tried, and why it did not.
    Connect(SocketAddr, io::Error),
    /// The server did not want to talk, or what it said was no SMTP.
    Session(SocketAddr, Ending),
    /// The connection broke in a way that has nothing to do with the server.
    Io(io::Error),
}

/// Why a transaction did not take place.
#[derive(Debug)]
pub enum SendError {
    /// The server cannot take such a message; nothing was sent of it.
    Start(StartError),
    /// The content could not be read to its end. The connection was closed without ending the message, so the server has
    /// dropped it (RFC 5321, 4.1.1.10).
    Content(io::Error),
    /// The content is not fit for sending.
    BareCarriageReturn(BareCarriageReturn),
}

impl Connection {
    /// Calls a server (`HOST:PORT`) and says hello.
    pub fn open(server: &str, options: Options) -> Result<Self, ConnectError> {
        Connection::open_to(&server.parse().map_err(ConnectError::Name)?, options)
    }

    /// Calls a server and says hello. Its addresses are tried in turn.
    pub fn open_to(server: &ServerName, options: Options) -> Result<Self, ConnectError> {
        let addresses = server.resolve().map_err(|error| ConnectError::Resolve(server.clone(), error))?;
        let mut last = None;
        for address in addresses {
            let patience = Instant::now() + options.connect_timeout;
            let timeout = until(options.give_up_at.map_or(patience, |give_up_at| give_up_at.min(patience)));
            match TcpStream::connect_timeout(&address, timeout) {
                Ok(stream) => return Connection::over(stream, address, options),
                Err(error) => last = Some(ConnectError::Connect(address, error)),
            }
        }
        Err(last.unwrap_or_else(|| ConnectError::Io(io::Error::from(io::ErrorKind::NotFound))))
    }

    fn over(stream: TcpStream, address: SocketAddr, mut options: Options) -> Result<Self, ConnectError> {
        // Each flight is one write; nothing is gained by holding its last segment back for an acknowledgement.
        stream.set_nodelay(true).map_err(ConnectError::Io)?;
        let local = stream.local_addr().map_err(ConnectError::Io)?;
        let hello_name = options.hello_name.unwrap_or_else(|| host_name(local));
        options.observer.connected(address);
        let config = Config { hello_name, pipelining: options.pipelining, timeouts: options.timeouts };
        let mut connection = Connection {
            stream,
            session: ClientSession::new(config),
            observer: options.observer,
            started: Instant::now(),
            give_up_at: options.give_up_at,
            input: Vec::new(),
            ending: None,
            last_words_until: None,
        };
        loop {
            match connection.next_event() {
                Event::Ready => return Ok(connection),
                Event::Closed(ending) => return Err(ConnectError::Session(address, ending)),
                Event::NeedInput | Event::WantContent | Event::Finished(_) => {}
            }
        }
    }

    /// Sends one message. The outcome says what became of each recipient, also when the connection broke on the way.
    pub fn send(&mut self, mut transaction: Transaction, content: &Content) -> Result<Outcome, SendError> {
        transaction.parameters.size.get_or_insert(content.octets());
        if content.is_eight_bit() {
            transaction.parameters.body.get_or_insert(Body::EightBitMime);
        }
        self.session.start(transaction, self.now()).map_err(SendError::Start)?;
        loop {
            match self.next_event() {
                Event::WantContent => self.send_content(content)?,
                Event::Finished(outcome) => {
                    // Learn now whether the connection can be used again.
                    if let (_, Event::Closed(ending)) = self.session.handle(&[], self.now()) {
                        self.ending = Some(ending);
                    }
                    return Ok(outcome);
                }
                Event::NeedInput | Event::Ready | Event::Closed(_) => {}
            }
        }
    }

    /// Says goodbye and waits for the answer, briefly.
    pub fn quit(mut self) {
        self.session.quit(self.now());
        while self.ending.is_none() {
            self.next_event();
        }
    }

    /// Whether another message may be sent over this connection.
    pub fn is_open(&self) -> bool {
        self.ending.is_none()
    }

    /// How the conversation ended, if it did.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// What the server offers.
    pub fn extensions(&self) -> &Extensions {
        self.session.extensions()
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Talks until something happens.
    fn next_event(&mut self) -> Event {
        loop {
            let (used, event) = self.session.handle(&self.input, self.now());
            self.input.drain(..used);
            match event {
                Event::NeedInput => {
                    self.flush();
                    self.read();
                }
                Event::Closed(ending) => {
                    self.flush();
                    self.ending = Some(ending.clone());
                    return Event::Closed(ending);
                }
                event => return event,
            }
        }
    }

    fn send_content(&mut self, content: &Content) -> Result<(), SendError> {
        let mut reader = content.reader();
        let mut block = vec![0; BLOCK_OCTETS];
        loop {
            let count = match reader.read(&mut block) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.abandon(SendError::Content(error))),
            };
            let now = self.now();
            let piece = block.get(..count).unwrap_or_default();
            let encoded =
                if count == 0 { self.session.finish_content(now) } else { self.session.write_content(piece, now) };
            encoded.map_err(|error| self.abandon(SendError::BareCarriageReturn(error)))?;
            // The last block and the dot go out in one write, with the reply to wait for right behind.
            if self.session.output().len() >= BLOCK_OCTETS || count == 0 {
                self.flush();
            }
            if count == 0 || self.last_words_until.is_some() {
                return Ok(());
            }
        }
    }

    /// Closes in the middle of the content, so that the server drops what it has.
    fn abandon(&mut self, error: SendError) -> SendError {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        self.session.handle_connection_lost();
        while self.ending.is_none() {
            self.next_event();
        }
        error
    }

    /// Writes what waits. A server that does not read any more may have said why, and what it said is the result, not our
    /// broken pipe: so a failed write leads to one more look for a reply.
    fn flush(&mut self) {
        if self.session.output().is_empty() || self.last_words_until.is_some() {
            return self.session.clear_output();
        }
        match self.session.stage() {
            Stage::Content | Stage::EndOfContent => self.observer.content(self.session.output()),
            _ => self.observer.commands(self.session.output()),
        }
        let deadline = self.deadline();
        if let Err(error) = write_all_until(&mut self.stream, self.session.output(), deadline) {
            log::debug!("write: {error}");
            self.last_words_until = Some(Instant::now() + LAST_WORDS_TIMEOUT);
        }
        self.session.clear_output();
    }

    fn read(&mut self) {
        match self.read_some(self.deadline()) {
            Ok(0) => self.session.handle_connection_lost(),
            Ok(_) => {}
            Err(error) if is_timeout(&error) && self.last_words_until.is_none() => self.session.handle_timeout(),
            Err(error) => {
                log::debug!("read: {error}");
                self.session.handle_connection_lost();
            }
        }
    }

    fn read_some(&mut self, deadline: Instant) -> io::Result<usize> {
        let mut buffer = [0; 16 * 1024];
        loop {
            self.stream.set_read_timeout(Some(until(deadline)))?;
            match self.stream.read(&mut buffer) {
                Ok(count) => {
                    let octets = buffer.get(..count).unwrap_or_default();
                    self.observer.replies(octets);
                    self.input.extend_from_slice(octets);
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) && Instant::now() < deadline => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn deadline(&self) -> Instant {
        let deadline = self.started + self.session.deadline();
        [self.give_up_at, self.last_words_until].into_iter().flatten().fold(deadline, Instant::min)
    }
}

/// Writes all of it, however slowly it is taken, until the deadline. A timeout of the socket is for one call only, so it
/// alone would let a server that takes an octet a minute hold us for ever.
fn write_all_until(stream: &mut TcpStream, mut octets: &[u8], deadline: Instant) -> io::Result<()> {
    while !octets.is_empty() {
        stream.set_write_timeout(Some(until(deadline)))?;
        match stream.write(octets) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => octets = octets.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_timeout(&error) && Instant::now() < deadline => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What is left until then; never zero, which the socket would take for "for ever".
fn until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// RFC 5321, 4.1.4: the name of the host where it has one that others can look up, else its address in brackets.
fn host_name(local: SocketAddr) -> Domain {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let name =
        name.filter(|name| name.is_ascii() && name.contains('.')).and_then(|name| name.parse::<DomainName>().ok());
    name.map_or_else(|| Domain::Literal(AddressLiteral::from_ip(local.ip())), Domain::Name)
}

impl ConnectError {
    /// Whether the same may work later.
    pub fn is_transient(&self) -> bool {
        match self {
            ConnectError::Name(_) => false,
            ConnectError::Resolve(_, error) => error.kind() != io::ErrorKind::NotFound,
            ConnectError::Connect(..) | ConnectError::Io(_) => true,
            ConnectError::Session(_, ending) => match ending {
                Ending::Refused(_, reply) | Ending::Goodbye(reply) => reply.is_transient(),
                Ending::Quit | Ending::Failed(..) => true,
            },
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Name(error) => error.fmt(f),
            ConnectError::Resolve(name, error) => write!(f, "{name}: the name cannot be looked up: {error}"),
            ConnectError::Connect(address, error) => write!(f, "{address}: no connection: {error}"),
            ConnectError::Session(address, Ending::Refused(stage, reply)) => write!(f, "{address}: {stage}: {reply}"),
            ConnectError::Session(address, Ending::Goodbye(reply)) => write!(f, "{address}: {reply}"),
            ConnectError::Session(address, Ending::Failed(stage, cause)) => write!(f, "{address}: {stage}: {cause}"),
            ConnectError::Session(address, Ending::Quit) => write!(f, "{address}: the conversation is over"),
            ConnectError::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ConnectError::Name(error) => Some(error),
            ConnectError::Resolve(_, error) | ConnectError::Connect(_, error) | ConnectError::Io(error) => Some(error),
            ConnectError::Session(..) => None,
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Start(error) => error.fmt(f),
            SendError::Content(error) => write!(f, "the message cannot be read: {error}"),
            SendError::BareCarriageReturn(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SendError::Start(error) => Some(error),
            SendError::Content(error) => Some(error),
            SendError::BareCarriageReturn(error) => Some(error),
        }
    }
}
