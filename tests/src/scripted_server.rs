//! A server that follows a script, for the tests of the client.
//!
//! It plays one [`Script`] per connection, in turn, and keeps every octet that it was sent. A script is a list of steps:
//! say these octets, expect that line, read the content up to the dot, hold still, close. For conversations whose course
//! the client decides there is [`Script::converse`], which asks a function for each answer.
//!
//! ```
//! use smtp_client::{Connection, Options};
//! use smtp_tests::scripted_server::{Script, ScriptedServer, polite};
//!
//! let server = ScriptedServer::start([Script::new().say("220 mx.example ESMTP").converse(polite)]);
//! Connection::open(&server.name(), Options::default())?.quit();
//! let sessions = server.finish();
//! assert_eq!(sessions[0].commands.last().map(String::as_str), Some("QUIT"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod channel;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use smtp_client::proto::address::ForwardPath;
use smtp_client::proto::client::Timeouts;
use smtp_client::proto::transaction::Transaction;
use smtp_client::{Content, Options, Retries};
use socket2::{SockRef, Socket, Type};

use crate::PATIENCE;
use channel::Channel;
pub use channel::{server_config, server_config_of};

// ---- What is played --------------------------------------------------------------------------------------------------

/// What the server does on one connection. When all is done, it reads until the client closes.
#[derive(Default)]
pub struct Script(Vec<Step>);

enum Step {
    Say(Vec<Vec<u8>>),
    SayForEver(Vec<u8>),
    Take(usize),
    Expect(String),
    Content,
    Quiet(Duration),
    Converse(Converse),
    Tls(Arc<ServerConfig>),
    Run(Box<dyn FnOnce() + Send>),
    Hold,
    Close,
    CutOff,
    ChangeKeys,
    Reset,
}

type Converse = Box<dyn FnMut(Said<'_>) -> Answer + Send>;

/// What a client may take, buffers of the sockets included, of something that never ends.
pub const ENDLESS_OCTETS: usize = 64 << 20;

/// What the client has said, in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// A command line without its CRLF.
    Line(&'a str),
    /// The content with its CRLFs and dots, as it came, without the lone dot.
    Content(&'a [u8]),
}

/// What the server does about it. A text without a line end gets CRLF.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Says this.
    Say(Vec<u8>),
    /// Says this and closes in order.
    SayAndClose(Vec<u8>),
    /// Closes with a reset.
    Reset,
}

impl Script {
    /// Nothing yet.
    pub fn new() -> Self {
        Script::default()
    }

    /// Greets, and then answers with `answer` until the client quits or leaves.
    pub fn serve(answer: impl FnMut(Said<'_>) -> Answer + Send + 'static) -> Self {
        Script::new().say("220 mx.example ESMTP").converse(answer)
    }

    /// Greets and takes an EHLO, which it answers with these keywords.
    pub fn greeted(keywords: &[&str]) -> Self {
        Script::new().say("220 mx.example ESMTP").expect("EHLO ").say(hello(keywords))
    }

    /// Says this in one piece. A text without a line end gets CRLF.
    pub fn say(self, octets: impl AsRef<[u8]>) -> Self {
        self.say_in_pieces([with_line_end(octets.as_ref())])
    }

    /// Says this octet by octet, each in a segment of its own.
    pub fn say_slowly(self, octets: impl AsRef<[u8]>) -> Self {
        self.say_in_pieces(with_line_end(octets.as_ref()).chunks(1).map(<[u8]>::to_vec))
    }

    /// Says this in these pieces, exactly as they are.
    pub fn say_in_pieces(self, pieces: impl IntoIterator<Item = Vec<u8>>) -> Self {
        self.step(Step::Say(pieces.into_iter().collect()))
    }

    /// Says this again and again until the client leaves. Fails if it listens to more than [`ENDLESS_OCTETS`].
    pub fn say_for_ever(self, octets: &[u8]) -> Self {
        let piece = octets.repeat(1 + 16 * 1024 / octets.len());
        self.step(Step::SayForEver(piece))
    }

    /// Reads at least so many octets.
    pub fn take(self, octets: usize) -> Self {
        self.step(Step::Take(octets))
    }

    /// Reads a line, which must begin like this.
    pub fn expect(self, start: &str) -> Self {
        self.step(Step::Expect(start.to_owned()))
    }

    /// Reads the content up to the lone dot.
    pub fn content(self) -> Self {
        self.step(Step::Content)
    }

    /// For so long, the client must neither say a word nor leave.
    pub fn quiet(self, duration: Duration) -> Self {
        self.step(Step::Quiet(duration))
    }

    /// Reads lines (and content, behind a 354) and answers each, until the client quits or leaves.
    pub fn converse(self, answer: impl FnMut(Said<'_>) -> Answer + Send + 'static) -> Self {
        self.step(Step::Converse(Box::new(answer)))
    }

    /// Does something of the test's own, such as to wait until it is told to go on.
    pub fn run(self, action: impl FnOnce() + Send + 'static) -> Self {
        self.step(Step::Run(Box::new(action)))
    }

    /// Neither reads nor writes any more, until the test is over.
    pub fn hold(self) -> Self {
        self.step(Step::Hold)
    }

    /// Closes in order: says that it is done, and takes what still comes.
    pub fn close(self) -> Self {
        self.step(Step::Close)
    }

    /// Makes its part of the handshake of TLS; all that follows is under it. If the handshake fails, the script ends there
    /// and [`Session::handshake`] says why.
    pub fn tls(self, config: &Arc<ServerConfig>) -> Self {
        self.step(Step::Tls(config.clone()))
    }

    /// Under TLS 1.3, takes new keys, and tells the client so.
    pub fn change_keys(self) -> Self {
        self.step(Step::ChangeKeys)
    }

    /// Closes, under TLS without saying so: as if somebody on the way had cut the rest off.
    pub fn cut_off(self) -> Self {
        self.step(Step::CutOff)
    }

    /// Closes with a reset.
    pub fn reset(self) -> Self {
        self.step(Step::Reset)
    }

    fn step(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }
}

/// What a server says that takes everything: 250, 354 to DATA, 221 to QUIT, and every extension there is a rule for.
pub fn polite(said: Said<'_>) -> Answer {
    polite_with(&["PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE", "ENHANCEDSTATUSCODES"], said)
}

/// The same with these extensions.
pub fn polite_with(keywords: &[&str], said: Said<'_>) -> Answer {
    match said {
        Said::Line(line) if line.starts_with("EHLO ") => hello(keywords).into(),
        Said::Line("DATA") => "354 go on".into(),
        Said::Line("QUIT") => "221 bye".into(),
        Said::Line(_) => "250 OK".into(),
        Said::Content(_) => "250 queued".into(),
    }
}

/// The reply to EHLO.
pub fn hello(keywords: &[&str]) -> String {
    let lines = std::iter::once("mx.example greets you").chain(keywords.iter().copied());
    let last = keywords.len();
    let line = |(place, text)| format!("250{}{text}\r\n", if place == last { ' ' } else { '-' });
    lines.enumerate().map(line).collect()
}

fn with_line_end(octets: &[u8]) -> Vec<u8> {
    if octets.ends_with(b"\n") { octets.to_vec() } else { [octets, b"\r\n"].concat() }
}

impl From<&str> for Answer {
    fn from(text: &str) -> Self {
        Answer::Say(with_line_end(text.as_bytes()))
    }
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl Answer {
    /// Says this and closes in order.
    pub fn last(text: &str) -> Self {
        Answer::SayAndClose(with_line_end(text.as_bytes()))
    }

    /// Closes in order without a word.
    pub fn close() -> Self {
        Answer::SayAndClose(Vec::new())
    }
}

// ---- The server ------------------------------------------------------------------------------------------------------

/// What came over one connection.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// Every octet.
    pub octets: Vec<u8>,
    /// The command lines, without CRLF.
    pub commands: Vec<String>,
    /// The contents, with CRLFs and doubled dots, without the lone dot.
    pub contents: Vec<Vec<u8>>,
    /// What came that no step of the script asked for.
    pub rest: Vec<u8>,
    /// What came of the handshake of TLS, if there was one.
    pub handshake: Option<Result<(), String>>,
    /// The client left, under TLS, without saying that it does.
    pub is_cut_off: bool,
    /// Why the script could not be played to its end.
    pub failure: Option<String>,
}

/// The running server. Ends, in bounded time, when it is dropped.
pub struct ScriptedServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    sessions: Mutex<Vec<Session>>,
    /// The test is over: the next connection is no client's.
    is_over: AtomicBool,
    /// The connection in hand, for whoever has to end it from outside.
    current: Mutex<Option<TcpStream>>,
}

/// A port at which connections are refused until somebody listens.
pub struct ReservedPort {
    socket: Socket,
    address: SocketAddr,
}

impl ReservedPort {
    /// A free port of this host.
    pub fn new() -> Self {
        ReservedPort::at((127, 0, 0, 1), 0).expect("a free port")
    }

    fn at((a, b, c, d): (u8, u8, u8, u8), port: u16) -> std::io::Result<Self> {
        let socket = Socket::new(socket2::Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::new(a, b, c, d), port)).into())?;
        let address = socket.local_addr()?.as_socket().expect("it is an IP address");
        Ok(ReservedPort { socket, address })
    }

    /// The same free port at so many addresses of this host: 127.0.0.1, 127.0.0.2 and so on.
    #[cfg(target_os = "linux")] // others have one address for loopback
    pub fn row(count: u8) -> Vec<Self> {
        loop {
            let first = ReservedPort::new();
            let port = first.address.port();
            let others: Result<Vec<_>, _> = (2..=count).map(|last| ReservedPort::at((127, 0, 0, last), port)).collect();
            // Somebody else may have that port at one of them.
            if let Ok(others) = others {
                return std::iter::once(first).chain(others).collect();
            }
        }
    }

    /// `HOST:PORT`.
    pub fn name(&self) -> String {
        self.address.to_string()
    }

    /// Its number.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The same port at the next address of this host: free, since nobody gets this port while it is reserved.
    pub fn neighbour(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), self.address.port()))
    }

    /// From now on connections are accepted.
    pub fn listen(self, scripts: impl IntoIterator<Item = Script>) -> ScriptedServer {
        self.socket.listen(128).expect("it can listen");
        ScriptedServer::on(self.socket.into(), scripts)
    }

    /// The same with receive buffers so small that a client soon cannot write to a server which does not read.
    pub fn listen_with_small_buffers(self, scripts: impl IntoIterator<Item = Script>) -> ScriptedServer {
        self.socket.set_recv_buffer_size(2_048).expect("a small buffer");
        self.listen(scripts)
    }
}

impl Default for ReservedPort {
    fn default() -> Self {
        ReservedPort::new()
    }
}

impl ScriptedServer {
    /// Listens on a free port and plays one script for each connection, in turn.
    pub fn start(scripts: impl IntoIterator<Item = Script>) -> Self {
        ReservedPort::new().listen(scripts)
    }

    fn on(listener: TcpListener, scripts: impl IntoIterator<Item = Script>) -> Self {
        let address = listener.local_addr().expect("it is bound");
        let scripts: Vec<Script> = scripts.into_iter().collect();
        let shared = Arc::new(Shared::default());
        let thread = std::thread::spawn({
            let shared = shared.clone();
            move || scripts.into_iter().for_each(|script| shared.serve(&listener, script))
        });
        ScriptedServer { address, shared, thread: Some(thread) }
    }

    /// `HOST:PORT`.
    pub fn name(&self) -> String {
        self.address.to_string()
    }

    /// Waits until the connections are over. Returns what came over them; fails if a script could not be played.
    pub fn finish(self) -> Vec<Session> {
        let sessions = self.finish_anyhow();
        for (number, session) in sessions.iter().enumerate() {
            if let Some(failure) = &session.failure {
                panic!("connection {number}: {failure}; all that came: {}", session.octets.escape_ascii());
            }
        }
        sessions
    }

    /// The same, whether or not the scripts could be played to their ends.
    pub fn finish_anyhow(mut self) -> Vec<Session> {
        self.end(false);
        std::mem::take(&mut *lock(&self.shared.sessions))
    }

    /// The octets of the only connection.
    pub fn finish_one(self) -> Session {
        let mut sessions = self.finish();
        assert_eq!(sessions.len(), 1, "{sessions:#?}");
        sessions.remove(0)
    }

    fn end(&mut self, at_once: bool) {
        let Some(thread) = self.thread.take() else { return };
        self.shared.is_over.store(true, Ordering::SeqCst);
        if at_once && let Some(stream) = &*lock(&self.shared.current) {
            // It may be over already.
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the thread, if it waits for a client.
        let wake = TcpStream::connect_timeout(&self.address, PATIENCE);
        let end = thread.join();
        drop(wake);
        if !at_once {
            end.expect("the server's own code does not fail");
        }
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.end(true);
    }
}

impl Shared {
    fn serve(&self, listener: &TcpListener, script: Script) {
        if self.is_over.load(Ordering::SeqCst) {
            return;
        }
        let Ok((stream, _)) = listener.accept() else { return };
        if self.is_over.load(Ordering::SeqCst) {
            return;
        }
        *lock(&self.current) = stream.try_clone().ok();
        let mut player =
            Player { stream: Channel::new(stream), unread: Vec::new(), session: Session::default(), shared: self };
        if let Err(failure) = player.play(script) {
            player.session.failure = Some(failure);
        }
        let session = player.session;
        lock(&self.sessions).push(session);
        *lock(&self.current) = None;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// ---- One connection --------------------------------------------------------------------------------------------------

struct Player<'a> {
    stream: Channel,
    unread: Vec<u8>,
    session: Session,
    shared: &'a Shared,
}

impl Player<'_> {
    fn play(&mut self, script: Script) -> Result<(), String> {
        let setting =
            self.stream.socket.set_nodelay(true).and_then(|()| self.stream.socket.set_write_timeout(Some(PATIENCE)));
        setting.map_err(|error| error.to_string())?;
        for step in script.0 {
            match step {
                Step::Say(pieces) => self.say(&pieces)?,
                Step::SayForEver(piece) => self.say_for_ever(&piece)?,
                Step::Take(octets) => self.take(octets)?,
                Step::Expect(start) => {
                    let line = self.line()?.ok_or_else(|| format!("the client left instead of saying {start:?}"))?;
                    if !line.starts_with(&start) {
                        return Err(format!("{line:?} came instead of {start:?}"));
                    }
                }
                Step::Content => {
                    self.read_content()?.ok_or("the client left before the dot")?;
                }
                Step::Quiet(duration) => self.expect_quiet(duration)?,
                Step::Converse(answer) => {
                    if !self.converse(answer)? {
                        return Ok(());
                    }
                }
                Step::Run(action) => action(),
                Step::Hold => {
                    self.hold();
                    return Ok(());
                }
                Step::Tls(config) => {
                    let handshake = self.shake_hands(config);
                    let has_failed = handshake.is_err();
                    self.session.handshake = Some(handshake);
                    if has_failed {
                        return Ok(());
                    }
                }
                Step::Close => self.stream.finish_writing(),
                Step::ChangeKeys => self.stream.change_keys().map_err(|error| error.to_string())?,
                Step::CutOff => self.stream.cut_off(),
                Step::Reset => return self.reset(),
            }
        }
        self.read_rest()
    }

    fn shake_hands(&mut self, config: Arc<ServerConfig>) -> Result<(), String> {
        self.stream.socket.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
        match self.unread.is_empty() {
            true => self.stream.shake_hands(config).map_err(|error| error.to_string()),
            false => Err(format!("in clear: {}", self.unread.escape_ascii())),
        }
    }

    fn say(&mut self, pieces: &[Vec<u8>]) -> Result<(), String> {
        for piece in pieces {
            self.stream
                .write_all(piece)
                .and_then(|()| self.stream.flush())
                .map_err(|error| format!("{}: {error}", piece.escape_ascii()))?;
        }
        Ok(())
    }

    fn say_for_ever(&mut self, piece: &[u8]) -> Result<(), String> {
        for _ in 0..ENDLESS_OCTETS / piece.len() {
            if self.stream.write_all(piece).is_err() {
                return Ok(());
            }
        }
        Err("the client listens for ever".to_owned())
    }

    fn take(&mut self, octets: usize) -> Result<(), String> {
        while self.unread.len() < octets {
            if !self.read_more(Some(PATIENCE))? {
                return Err(format!("the client left after {} of {octets} octets", self.unread.len()));
            }
        }
        self.session.rest.append(&mut self.unread);
        Ok(())
    }

    /// Returns whether the script goes on behind it.
    fn converse(&mut self, mut answer: Converse) -> Result<bool, String> {
        while let Some(line) = self.line()? {
            let mut what = answer(Said::Line(&line));
            if line == "DATA" && matches!(&what, Answer::Say(text) if text.starts_with(b"354")) {
                if !self.answer(what)? {
                    return Ok(false);
                }
                let Some(content) = self.read_content()? else { return Ok(true) };
                what = answer(Said::Content(&content));
            }
            if !self.answer(what)? {
                return Ok(false);
            }
            if line == "QUIT" {
                self.stream.finish_writing();
                break;
            }
        }
        Ok(true)
    }

    /// Returns whether the connection is still there.
    fn answer(&mut self, answer: Answer) -> Result<bool, String> {
        match answer {
            // A client that wants no answer any more is no fault of the script.
            Answer::Say(text) => Ok(self.say(&[text]).is_ok()),
            Answer::SayAndClose(text) => {
                let _ = self.say(&[text]);
                self.stream.finish_writing();
                self.read_rest().map(|()| false)
            }
            Answer::Reset => self.reset().map(|()| false),
        }
    }

    /// One line without its CRLF. `None`: the client has left.
    fn line(&mut self) -> Result<Option<String>, String> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..end + 2).take(end).collect();
                let line = String::from_utf8(line).map_err(|error| error.to_string())?;
                self.session.commands.push(line.clone());
                return Ok(Some(line));
            }
            if !self.read_more(Some(PATIENCE))? {
                return if self.unread.is_empty() { Ok(None) } else { Err("half a line".to_owned()) };
            }
        }
    }

    fn read_content(&mut self) -> Result<Option<Vec<u8>>, String> {
        let mut searched = 0;
        loop {
            let end = match self.unread.starts_with(b".\r\n") {
                true => Some(0),
                false => position(&self.unread[searched..], b"\r\n.\r\n").map(|place| searched + place + 2),
            };
            if let Some(end) = end {
                let content: Vec<u8> = self.unread.drain(..end + 3).take(end).collect();
                self.session.contents.push(content.clone());
                return Ok(Some(content));
            }
            searched = self.unread.len().saturating_sub(4);
            if !self.read_more(Some(PATIENCE))? {
                self.session.rest.append(&mut self.unread);
                return Ok(None);
            }
        }
    }

    fn expect_quiet(&mut self, duration: Duration) -> Result<(), String> {
        if self.unread.is_empty() && !self.read_more(Some(duration))? {
            return Err("the client did not wait".to_owned());
        }
        if self.unread.is_empty() { Ok(()) } else { Err(format!("too early: {}", self.unread.escape_ascii())) }
    }

    /// Reads what comes. `false`: the client has closed. Silence for [`PATIENCE`] is an error, for less it is none.
    fn read_more(&mut self, patience: Option<Duration>) -> Result<bool, String> {
        let mut buffer = [0; 64 * 1024];
        self.stream.socket.set_read_timeout(patience).map_err(|error| error.to_string())?;
        match self.stream.read(&mut buffer) {
            Ok(count) => {
                self.session.octets.extend_from_slice(&buffer[..count]);
                self.unread.extend_from_slice(&buffer[..count]);
                Ok(count > 0)
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.session.is_cut_off = true;
                Ok(false)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(_) if patience.is_some_and(|patience| patience < PATIENCE) => Ok(true),
            Err(error) => Err(format!("{error}; waiting behind {:?}", self.session.commands.last())),
        }
    }

    fn read_rest(&mut self) -> Result<(), String> {
        while self.read_more(Some(PATIENCE))? {}
        self.session.rest.append(&mut self.unread);
        Ok(())
    }

    fn hold(&self) {
        let give_up_at = Instant::now() + PATIENCE;
        while !self.shared.is_over.load(Ordering::SeqCst) && Instant::now() < give_up_at {
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    /// The reset is sent when the connection is dropped.
    fn reset(&mut self) -> Result<(), String> {
        *lock(&self.shared.current) = None;
        SockRef::from(&self.stream.socket).set_linger(Some(Duration::ZERO)).map_err(|error| error.to_string())
    }
}

fn position(octets: &[u8], wanted: &[u8]) -> Option<usize> {
    octets.windows(wanted.len()).position(|window| window == wanted)
}

// ---- What the client is given in these tests -------------------------------------------------------------------------

/// An envelope.
pub fn transaction(from: &str, to: &[&str]) -> Transaction {
    let mut transaction = Transaction::new(from.parse().expect("a reverse-path"));
    let recipients = to.iter().map(|to| to.parse::<ForwardPath>().expect("a forward-path").into());
    transaction.recipients = recipients.collect();
    transaction
}

/// A message that can be sent.
pub fn content(octets: impl AsRef<[u8]>) -> Content {
    Content::from_bytes(octets.as_ref().to_vec()).expect("it can be sent")
}

/// Tries after pauses that nobody notices.
pub fn quick_retries(count: usize) -> Retries {
    Retries { pauses: vec![Duration::from_millis(1); count] }
}

/// The same time for each step.
pub fn timeouts(each: Duration) -> Timeouts {
    Timeouts {
        greeting: each,
        hello: each,
        auth: each,
        tls: each,
        mail: each,
        rcpt: each,
        data: each,
        block: each,
        end_of_content: each,
        quit: each,
    }
}

/// The client in lock-step, with little time for each step.
pub fn in_lock_step() -> Options {
    Options { pipelining: false, ..in_haste() }
}

/// The client with little time for each step.
pub fn in_haste() -> Options {
    Options { timeouts: timeouts(Duration::from_secs(10)), ..Options::default() }
}
