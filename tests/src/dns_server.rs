//! A DNS server for the tests of the resolver: a zone that it tells truthfully, or a function that answers as it likes.
//!
//! It listens to datagrams and to TCP on one free port, answers each question in turn, and keeps the questions.
//!
//! ```
//! use smtp_tests::dns_server::{DnsServer, Zone};
//!
//! let zone = Zone::new().mx("example.org", 10, "mx.example.org").address("mx.example.org", "192.0.2.1");
//! let server = DnsServer::start(move |asked| zone.answer(asked));
//! assert!(server.questions().is_empty());
//! ```

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use simple_dns::rdata::{CNAME, MX, RData, SOA};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};
use smtp_client::dns::Settings;

use crate::PATIENCE;

/// A question.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The name, in lower case.
    pub name: String,
    /// The type of record.
    pub kind: TYPE,
    /// Whether it came by TCP.
    pub by_tcp: bool,
    /// As it came.
    pub octets: Vec<u8>,
}

/// What the server does about it.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Says this: a datagram, or by TCP with its length in front.
    Say(Vec<u8>),
    /// Sends this datagram from another port.
    SayFromElsewhere(Vec<u8>),
    /// By TCP: says this without a length and holds the connection open until the client leaves.
    SayAndHold(Vec<u8>),
}

type Answers = Arc<dyn Fn(&Asked) -> Vec<Answer> + Send + Sync>;

/// A server that runs until this is dropped.
pub struct DnsServer {
    /// Where it listens.
    pub address: SocketAddr,
    questions: Arc<Mutex<Vec<String>>>,
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl DnsServer {
    /// Starts one. Without an answer it is silent.
    pub fn start(answers: impl Fn(&Asked) -> Vec<Answer> + Send + Sync + 'static) -> Self {
        let (socket, listener) = one_port();
        let address = socket.local_addr().expect("it is bound");
        let questions: Arc<Mutex<Vec<String>>> = Arc::default();
        let is_over: Arc<AtomicBool> = Arc::default();
        let answers: Answers = Arc::new(answers);
        let udp = {
            let (questions, is_over, answers) = (questions.clone(), is_over.clone(), answers.clone());
            std::thread::spawn(move || serve_udp(&socket, &questions, &is_over, &answers))
        };
        let tcp = {
            let (questions, is_over) = (questions.clone(), is_over.clone());
            std::thread::spawn(move || serve_tcp(&listener, &questions, &is_over, &answers))
        };
        DnsServer { address, questions, is_over, threads: vec![udp, tcp] }
    }

    /// One that never answers.
    pub fn silent() -> Self {
        DnsServer::start(|_| Vec::new())
    }

    /// The questions so far: `MX example.org`, `A mx.example.org by TCP`.
    pub fn questions(&self) -> Vec<String> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Both threads wait for something to come.
        if let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) {
            let _ = socket.send_to(b"", self.address);
        }
        let _ = TcpStream::connect_timeout(&self.address, PATIENCE);
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "a thread of the DNS server has failed");
        }
    }
}

/// Settings of a resolver that asks these servers, each for so long.
pub fn settings(servers: &[&DnsServer], timeout: Duration) -> Settings {
    let servers = servers.iter().map(|server| server.address).collect();
    Settings { servers, timeout, ..Settings::default() }
}

fn one_port() -> (UdpSocket, TcpListener) {
    for _ in 0..100 {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        // Somebody else may have the same port with TCP.
        if let Ok(listener) = TcpListener::bind(address) {
            return (socket, listener);
        }
    }
    panic!("no port is free with both protocols");
}

fn serve_udp(socket: &UdpSocket, questions: &Mutex<Vec<String>>, is_over: &AtomicBool, answers: &Answers) {
    let mut buffer = [0; 4_096];
    loop {
        let (count, client) = socket.recv_from(&mut buffer).expect("the socket is open");
        if is_over.load(Ordering::SeqCst) {
            return;
        }
        for answer in answer(&buffer[..count], false, questions, answers) {
            // Who has given up listens no more.
            let _ = match answer {
                Answer::Say(octets) => socket.send_to(&octets, client),
                Answer::SayFromElsewhere(octets) => {
                    let elsewhere = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
                    elsewhere.send_to(&octets, client)
                }
                Answer::SayAndHold(_) => panic!("a datagram holds nothing open"),
            };
        }
    }
}

fn serve_tcp(listener: &TcpListener, questions: &Mutex<Vec<String>>, is_over: &AtomicBool, answers: &Answers) {
    loop {
        let (mut stream, _) = listener.accept().expect("the socket is open");
        if is_over.load(Ordering::SeqCst) {
            return;
        }
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        let mut length = [0; 2];
        stream.read_exact(&mut length).expect("the client says how long its question is");
        let mut octets = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut octets).expect("the client asks");
        for answer in answer(&octets, true, questions, answers) {
            match answer {
                Answer::Say(octets) => {
                    let length = u16::try_from(octets.len()).expect("a message has no more octets");
                    let _ = stream.write_all(&[length.to_be_bytes().as_slice(), &octets].concat());
                }
                Answer::SayAndHold(octets) => {
                    let _ = stream.write_all(&octets);
                    let _ = stream.read(&mut [0]);
                }
                Answer::SayFromElsewhere(_) => panic!("a connection has one other end"),
            }
        }
    }
}

fn answer(octets: &[u8], by_tcp: bool, questions: &Mutex<Vec<String>>, answers: &Answers) -> Vec<Answer> {
    let packet = Packet::parse(octets).expect("the resolver asks in the right form");
    assert!(packet.has_flags(PacketFlag::RECURSION_DESIRED) && packet.questions.len() == 1, "{packet:?}");
    let question = &packet.questions[0];
    let QTYPE::TYPE(kind) = question.qtype else { panic!("{question:?}") };
    let name = question.qname.to_string().to_ascii_lowercase();
    let by = if by_tcp { " by TCP" } else { "" };
    questions.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{kind:?} {name}{by}"));
    answers(&Asked { name, kind, by_tcp, octets: octets.to_vec() })
}

// ---- What there is to tell -------------------------------------------------------------------------------------------

/// Names and what they have. Other names do not exist.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    records: Vec<(String, Data)>,
    /// How long the records count.
    ttl: u32,
}

#[derive(Clone, Debug)]
enum Data {
    Mx(u16, String),
    Address(IpAddr),
    Alias(String),
    /// The name exists.
    Nothing,
}

impl Zone {
    /// Nothing, which counts for a minute.
    pub fn new() -> Self {
        Zone { records: Vec::new(), ttl: 60 }
    }

    /// With this time to live for all records.
    pub fn with_ttl(self, ttl: u32) -> Self {
        Zone { ttl, ..self }
    }

    /// An MX record.
    pub fn mx(self, name: &str, preference: u16, exchange: &str) -> Self {
        self.with(name, Data::Mx(preference, exchange.to_owned()))
    }

    /// An A or AAAA record.
    pub fn address(self, name: &str, address: &str) -> Self {
        self.with(name, Data::Address(address.parse().expect("an address")))
    }

    /// A CNAME record.
    pub fn alias(self, name: &str, target: &str) -> Self {
        self.with(name, Data::Alias(target.to_owned()))
    }

    /// A name without any of these.
    pub fn empty(self, name: &str) -> Self {
        self.with(name, Data::Nothing)
    }

    fn with(mut self, name: &str, data: Data) -> Self {
        self.records.push((name.to_owned(), data));
        self
    }

    /// The true answer, as a recursive server gives it; by UDP cut to 512 octets.
    pub fn answer(&self, asked: &Asked) -> Vec<Answer> {
        vec![Answer::Say(self.octets(asked))]
    }

    /// The same as octets.
    pub fn octets(&self, asked: &Asked) -> Vec<u8> {
        let mut packet = reply(asked);
        let mut name = asked.name.as_str();
        loop {
            let own: Vec<&Data> =
                self.records.iter().filter(|(owner, _)| owner == name).map(|(_, data)| data).collect();
            if own.is_empty() {
                *packet.rcode_mut() = RCODE::NameError;
            }
            let answers = own.iter().filter_map(|data| Some(self.record(name, data.rdata(asked.kind)?)));
            packet.answers.extend(answers);
            let target = own.iter().find_map(|data| match data {
                Data::Alias(target) => Some(target.as_str()),
                _ => None,
            });
            match target {
                // In a circle there is no end to tell.
                Some(target) if packet.answers.len() < 100 => name = target,
                _ => break,
            }
        }
        let names = (wire_name("ns.example.net"), wire_name("root.example.net"));
        let zone =
            SOA { mname: names.0, rname: names.1, serial: 1, refresh: 1, retry: 1, expire: 1, minimum: self.ttl };
        packet.name_servers.push(self.record("example.net", RData::SOA(zone)));
        let octets = packet.build_bytes_vec_compressed().expect("it can be written");
        if asked.by_tcp || octets.len() <= 512 {
            return octets;
        }
        packet.set_flags(PacketFlag::TRUNCATION);
        packet.answers.truncate(4);
        packet.build_bytes_vec_compressed().expect("it can be written")
    }

    fn record<'a>(&self, name: &'a str, data: RData<'a>) -> ResourceRecord<'a> {
        ResourceRecord::new(wire_name(name), CLASS::IN, self.ttl, data)
    }
}

impl Data {
    fn rdata(&self, kind: TYPE) -> Option<RData<'_>> {
        match (self, kind) {
            (Data::Alias(target), _) => Some(RData::CNAME(CNAME(wire_name(target)))),
            (Data::Mx(preference, exchange), TYPE::MX) => {
                Some(RData::MX(MX { preference: *preference, exchange: wire_name(exchange) }))
            }
            (Data::Address(IpAddr::V4(address)), TYPE::A) => Some(RData::A((*address).into())),
            (Data::Address(IpAddr::V6(address)), TYPE::AAAA) => Some(RData::AAAA((*address).into())),
            _ => None,
        }
    }
}

/// A reply to this question without any record.
pub fn reply(asked: &Asked) -> Packet<'_> {
    let question = Packet::parse(&asked.octets).expect("it was read before");
    let mut reply = Packet::new_reply(question.id());
    reply.set_flags(PacketFlag::RECURSION_DESIRED | PacketFlag::RECURSION_AVAILABLE);
    reply.questions = question.questions;
    reply
}

/// A reply that says that something went wrong.
pub fn refusal(asked: &Asked, rcode: RCODE) -> Vec<Answer> {
    let mut reply = reply(asked);
    *reply.rcode_mut() = rcode;
    vec![Answer::Say(reply.build_bytes_vec().expect("it can be written"))]
}

fn wire_name(text: &str) -> Name<'_> {
    Name::new(text).expect("a name")
}
