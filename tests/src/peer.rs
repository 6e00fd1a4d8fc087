//! The other end of a connection, which says exactly the octets that it is told to say.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use rustls::ClientConnection;
use socket2::{Domain, SockRef, Socket, Type};

use crate::PATIENCE;
use crate::tls::Client;

/// A raw client. It waits for nothing but what it is asked to read, and no longer than [`PATIENCE`].
pub struct Peer {
    stream: TcpStream,
    /// There once there was a handshake.
    tls: Option<ClientConnection>,
    /// What has come and was not looked at yet.
    received: Vec<u8>,
}

impl Peer {
    /// Opens a connection.
    pub fn connect(address: SocketAddr) -> Self {
        Peer::on(TcpStream::connect_timeout(&address, PATIENCE).expect("the server accepts connections"))
    }

    /// Opens a connection from another address of this host.
    pub fn connect_from(ip: IpAddr, address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::new(ip, 0).into()).expect("an address of this host");
        socket.connect(&address.into()).expect("the server accepts connections");
        Peer::on(socket.into())
    }

    /// Opens a connection with a receive buffer so small that the server soon cannot write to somebody who does not read.
    pub fn connect_with_small_buffer(address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(2_048).expect("a small buffer");
        socket.connect(&address.into()).expect("the server accepts connections");
        Peer::on(socket.into())
    }

    fn on(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream.set_nodelay(true).expect("segments can be sent at once");
        Peer { stream, tls: None, received: Vec::new() }
    }

    /// Where this end is.
    pub fn address(&self) -> SocketAddr {
        self.stream.local_addr().expect("it is connected")
    }

    /// Sends octets in one segment, as far as they fit.
    pub fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.try_send(octets).expect("the octets can be sent");
    }

    /// The same, for octets that the server may no longer want.
    pub fn try_send(&mut self, octets: impl AsRef<[u8]>) -> io::Result<()> {
        match &mut self.tls {
            None => self.stream.write_all(octets.as_ref()),
            Some(tls) => {
                let mut stream = rustls::Stream::new(tls, &mut self.stream);
                stream.write_all(octets.as_ref())?;
                stream.flush()
            }
        }
    }

    /// Sends octets past TLS, as somebody on the way can.
    pub fn send_in_clear(&mut self, octets: impl AsRef<[u8]>) {
        self.stream.write_all(octets.as_ref()).expect("the octets can be sent");
    }

    /// Holds a TLS handshake. What came before must have been read.
    pub fn shake_hands(&mut self, client: &Client) -> io::Result<()> {
        self.shake_hands_and_say(client, b"")
    }

    /// The same, with these octets under TLS right behind the last of the handshake, in one segment.
    pub fn shake_hands_and_say(&mut self, client: &Client, octets: &[u8]) -> io::Result<()> {
        assert_eq!(self.received_text(), "");
        let mut tls = client.connection();
        tls.writer().write_all(octets)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut self.stream)?;
        }
        self.tls = Some(tls);
        Ok(())
    }

    /// Says STARTTLS, which must be agreed to, and holds the handshake, which must succeed. EHLO is said anew.
    pub fn start_tls(&mut self, client: &Client) {
        self.expect("STARTTLS", "220 ");
        self.shake_hands(client).expect("the handshake succeeds");
        self.agree("EHLO client.example");
    }

    /// What the handshake came to.
    pub fn tls(&self) -> &ClientConnection {
        self.tls.as_ref().expect("there was a handshake")
    }

    /// Says in TLS that nothing more will come.
    pub fn send_close_notify(&mut self) {
        let tls = self.tls.as_mut().expect("there was a handshake");
        tls.send_close_notify();
        while tls.wants_write() {
            tls.write_tls(&mut self.stream).expect("the octets can be sent");
        }
    }

    /// Gives up sending after this time.
    pub fn set_write_timeout(&mut self, timeout: Duration) {
        self.stream.set_write_timeout(Some(timeout)).expect("a timeout can be set");
    }

    /// One whole reply: its lines, joined with LF.
    pub fn reply(&mut self) -> String {
        self.try_reply().unwrap_or_else(|what| panic!("a reply was expected: {what}"))
    }

    /// The same; otherwise what came in its place.
    pub fn try_reply(&mut self) -> Result<String, String> {
        let mut lines: Vec<String> = Vec::new();
        loop {
            let line = self.line()?;
            let is_last = !line.get(3..).is_some_and(|rest| rest.starts_with('-'));
            let is_reply = line.len() >= 3 && line.as_bytes()[..3].iter().all(u8::is_ascii_digit);
            let is_same = lines.first().is_none_or(|first| first[..3] == line[..3]);
            assert!(is_reply && is_same && line.is_ascii(), "{line:?} behind {lines:?}");
            assert!(line.len() + 2 <= 512, "a reply line of {} octets", line.len() + 2);
            lines.push(line);
            if is_last {
                return Ok(lines.join("\n"));
            }
        }
    }

    /// One line without its CRLF.
    fn line(&mut self) -> Result<String, String> {
        loop {
            if let Some(end) = self.received.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.received.drain(..end + 2).collect();
                return String::from_utf8(line[..end].to_vec()).map_err(|error| error.to_string());
            }
            match self.read_more() {
                Ok(0) => return Err(format!("the server has closed; before: {:?}", self.received_text())),
                Ok(_) => {}
                Err(error) => return Err(format!("{error}; before: {:?}", self.received_text())),
            }
        }
    }

    fn received_text(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }

    fn read_more(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 4_096];
        let count = loop {
            let read = match &mut self.tls {
                None => self.stream.read(&mut buffer),
                Some(tls) => rustls::Stream::new(tls, &mut self.stream).read(&mut buffer),
            };
            match read {
                // A signal for another test's process, such as the end of a child.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.received.extend_from_slice(&buffer[..count]);
        Ok(count)
    }

    /// Whether something has come, or the end of everything. Does not wait.
    pub fn has_input(&self) -> bool {
        let mut octet = [0];
        self.stream.set_nonblocking(true).expect("it can be set");
        let is_there = !matches!(self.stream.peek(&mut octet), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        self.stream.set_nonblocking(false).expect("it can be set");
        is_there || !self.received.is_empty()
    }

    /// Reads the greeting, which must be 220.
    pub fn expect_greeting(&mut self) {
        let greeting = self.reply();
        assert!(greeting.starts_with("220 "), "{greeting:?}");
    }

    /// Sends one line and returns the reply to it.
    pub fn say(&mut self, line: impl AsRef<[u8]>) -> String {
        self.send([line.as_ref(), b"\r\n"].concat());
        self.reply()
    }

    /// The same; the reply must be a yes.
    pub fn agree(&mut self, line: &str) -> String {
        let reply = self.say(line);
        assert!(reply.starts_with(['2', '3']), "{line:?} was answered {reply:?}");
        reply
    }

    /// The same for several lines, one after the other.
    pub fn agree_all(&mut self, lines: &[&str]) {
        for line in lines {
            self.agree(line);
        }
    }

    /// The same; the reply must begin with these words.
    pub fn expect(&mut self, line: impl AsRef<[u8]>, reply: &str) {
        let line = line.as_ref();
        let heard = self.say(line);
        assert!(heard.starts_with(reply), "{:?} was answered {heard:?}, not {reply:?}", String::from_utf8_lossy(line));
    }

    /// Sends one message, which must be accepted. The content is sent as it is, with a dot line behind it. Returns the id.
    pub fn send_message(&mut self, from: &str, to: &[&str], content: impl AsRef<[u8]>) -> String {
        self.agree(&format!("MAIL FROM:<{from}>"));
        for to in to {
            self.agree(&format!("RCPT TO:<{to}>"));
        }
        self.agree("DATA");
        self.send([content.as_ref(), b".\r\n"].concat());
        queued_id(&self.reply())
    }

    /// Reads until the server closes. Returns what came before, and whether the connection was closed in order; under TLS
    /// that means with `close_notify`.
    pub fn rest(&mut self) -> (String, bool) {
        loop {
            match self.read_more() {
                Ok(0) => return (self.received_text(), true),
                Ok(_) => {}
                Err(error) if is_end_out_of_order(&error) => return (self.received_text(), false),
                Err(error) => panic!("the server does not close: {error}; before: {:?}", self.received_text()),
            }
        }
    }

    /// The same for octets that are no text, past TLS.
    pub fn rest_of_octets(&mut self) -> (Vec<u8>, bool) {
        self.tls = None;
        let is_in_order = self.rest().1;
        (std::mem::take(&mut self.received), is_in_order)
    }

    /// The server must close now, in order and without another word.
    pub fn expect_close(&mut self) {
        assert_eq!(self.rest(), (String::new(), true));
    }

    /// Nothing more will be sent; what the server still says is read.
    pub fn finish_sending(&mut self) {
        // The server may have gone first.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Goes away with a reset, as a host does that crashed and came back.
    pub fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("it can be set");
    }

    /// Goes away in order, without QUIT.
    pub fn leave(self) {
        drop(self);
    }
}

fn is_end_out_of_order(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof)
}

/// The id in the reply to a message that was accepted.
pub fn queued_id(reply: &str) -> String {
    let id = reply.strip_prefix("250 2.0.0 queued as ");
    id.unwrap_or_else(|| panic!("the message was not accepted: {reply:?}")).to_owned()
}
