//! Logging in: what is offered to whom, what it takes, what it allows. Rows X096, X100, X102, X105, X107, X108, X110, X113,
//! X114, X116, X118, X119, X120, X123.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use smtp_proto::sasl::client::{Circumstances, Credentials, Exchange};
use smtp_proto::sasl::scram::{Binding, Keys};
use smtp_proto::sasl::{Mechanism, base64};
use smtp_proto::secret::Secret;
use smtp_server::auth::CurrentUsers;
use smtp_server::tls::CurrentIdentity;
use smtp_server::users::Users;
use smtp_tests::certificates::Authority;
use smtp_tests::peer::Peer;
use smtp_tests::server::{Builder, TestServer, identity};
use smtp_tests::tls::{Client, VERSIONS};

const PASSWORD: &str = "tannenbaum \u{e9}";

/// Cheaper than what hash-password makes, so that the tests do not wait.
fn line(name: &str, password: &str, senders: &str) -> String {
    let keys = Keys::derive(&Secret::new(password), b"a salt of ours", 4_096).unwrap().to_text();
    format!("{name}:{{SCRAM-SHA-256}}{keys}:{senders}\n")
}

fn users() -> CurrentUsers {
    Users::parse(&(line("ann", PASSWORD, "") + &line("bound", PASSWORD, "bound@example.org"))).unwrap().into()
}

struct Site {
    authority: Authority,
    identity: CurrentIdentity,
    users: CurrentUsers,
}

impl Site {
    fn new() -> Self {
        let authority = Authority::new("tests").unwrap();
        let identity = identity(&authority.issue().unwrap()).into();
        Site { authority, identity, users: users() }
    }

    fn server(&self) -> Builder {
        TestServer::builder().tls(&self.identity).users(&self.users, false)
    }

    fn client(&self) -> Client {
        Client::trusting(&self.authority)
    }

    /// Under TLS, and greeted again.
    fn encrypted(&self, server: &TestServer) -> Peer {
        encrypted(server, &self.client())
    }
}

fn encrypted(server: &TestServer, client: &Client) -> Peer {
    let mut peer = server.greeted();
    peer.start_tls(client);
    peer.agree("EHLO client.example");
    peer
}

/// In clear on loopback, where the test is about the dialogue.
fn trial() -> TestServer {
    TestServer::builder().users(&users(), true).start()
}

fn plain(name: &str, password: &str) -> String {
    base64::encode(format!("\0{name}\0{password}").as_bytes())
}

fn offers(peer: &mut Peer) -> Vec<String> {
    let reply = peer.agree("EHLO client.example");
    reply.lines().filter(|line| line[4..].starts_with("AUTH")).map(|line| line[4..].to_owned()).collect()
}

/// What the client's own exchange comes to. Returns the last reply.
fn exchange(
    peer: &mut Peer,
    mechanism: Mechanism,
    password: &str,
    binding: Binding,
    is_binding_offered: bool,
) -> String {
    let circumstances = Circumstances {
        nonce: "fyko+d2lbbFgONRv9qkxdawL".into(),
        binding,
        is_binding_offered,
        host: "localhost".into(),
        port: 25,
    };
    let credentials = Credentials { name: "ann".into(), secret: Secret::new(password) };
    let mut exchange = Exchange::new(mechanism, &credentials, &circumstances).unwrap();
    let mut reply = match exchange.initial_response() {
        Some(response) => peer.say(format!("AUTH {mechanism} {}", base64::encode(response.expose()))),
        None => peer.say(format!("AUTH {mechanism}")),
    };
    while let Some(challenge) = reply.strip_prefix("334 ") {
        let challenge = base64::decode(challenge.trim_end().as_bytes()).expect("row X100: base64 and nothing else");
        reply = match exchange.handle(&challenge) {
            Ok(response) => peer.say(base64::encode(response.expose())),
            Err(_) => peer.say("*"),
        };
    }
    assert!(!reply.starts_with("235 ") || exchange.finish().is_ok(), "{reply}");
    reply
}

/// Rows X096, X113: under TLS, and in clear to nobody.
#[test]
fn it_is_offered_under_tls_only() {
    let site = Site::new();
    let server = site.server().start();
    let mut peer = server.greeted();
    assert_eq!(offers(&mut peer), [""; 0]);
    assert_eq!(peer.say(format!("AUTH PLAIN {}", plain("ann", PASSWORD)))[..9], *"530 5.7.0");
    peer.start_tls(&site.client());
    assert_eq!(offers(&mut peer), ["AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN"]);
    // TLS 1.2 has no binding of that kind.
    let old = Client::with(&site.authority, &VERSIONS[..1]);
    assert_eq!(offers(&mut encrypted(&server, &old)), ["AUTH SCRAM-SHA-256 PLAIN LOGIN"]);
    // From the first octet on.
    let server = TestServer::builder().tls_first(&site.identity).users(&site.users, false).start();
    let mut peer = server.connect();
    peer.shake_hands(&site.client()).unwrap();
    peer.expect_greeting();
    assert_eq!(offers(&mut peer).len(), 1);
    // Without users there is nothing to offer.
    let server = TestServer::builder().tls(&site.identity).start();
    let mut peer = site.encrypted(&server);
    assert_eq!(offers(&mut peer), [""; 0]);
    peer.expect("AUTH PLAIN", "502 5.5.1 That command is not offered here");
}

/// Rows X110, X114: each mechanism, with the right password and with a wrong one.
#[test]
fn each_mechanism() {
    let site = Site::new();
    let server = site.server().start();
    for mechanism in [Mechanism::Plain, Mechanism::Login, Mechanism::ScramSha256] {
        for (password, expected) in [
            (PASSWORD, "235 2.7.0 Authentication succeeded"),
            ("x", "535 5.7.8 The user name or the password is wrong"),
        ] {
            let mut peer = site.encrypted(&server);
            assert_eq!(exchange(&mut peer, mechanism, password, Binding::None, false), expected, "{mechanism}");
            peer.send_message("ann@example.org", &["bob@example.org"], "x\r\n");
        }
    }
}

/// RFC 9266: the proof holds for this connection and no other.
#[test]
fn a_proof_for_this_connection_only() {
    let site = Site::new();
    let server = site.server().start();
    let binding = |peer: &Peer| {
        let exported = peer.tls().export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""));
        Binding::Exporter(exported.unwrap().to_vec())
    };
    let mut peer = site.encrypted(&server);
    let own = binding(&peer);
    assert_eq!(exchange(&mut peer, Mechanism::ScramSha256Plus, PASSWORD, own.clone(), true)[..4], *"235 ");
    let mut other = site.encrypted(&server);
    assert_eq!(exchange(&mut other, Mechanism::ScramSha256Plus, PASSWORD, own, true)[..4], *"535 ");
    // Somebody has taken PLUS out of the announcement.
    let mut peer = site.encrypted(&server);
    let own = binding(&peer);
    assert_eq!(exchange(&mut peer, Mechanism::ScramSha256, PASSWORD, own, false)[..4], *"535 ");
}

/// If one user has no keys, nobody is offered SCRAM, and everybody can use PLAIN.
#[test]
fn scram_for_all_or_for_none() {
    let site = Site::new();
    let server = site.server().start();
    let hash = smtp_server::users::hash(&Secret::new("secret"), smtp_server::users::Scheme::Argon2id).unwrap();
    site.users.replace(Users::parse(&format!("{}bob:{hash}", line("ann", PASSWORD, ""))).unwrap());
    let mut peer = site.encrypted(&server);
    assert_eq!(offers(&mut peer), ["AUTH PLAIN LOGIN"]);
    peer.expect("AUTH SCRAM-SHA-256", "504 5.5.4 That mechanism is not offered here; EHLO lists those that are");
    for (name, password, code) in [("bob", PASSWORD, "535"), ("bob", "secret", "235")] {
        assert_eq!(peer.say(format!("AUTH PLAIN {}", plain(name, password)))[..3], *code);
    }
    let mut peer = site.encrypted(&server);
    assert_eq!(peer.say(format!("AUTH PLAIN {}", plain("ann", PASSWORD)))[..3], *"235");
}

/// Rows X102, X105, X107, X108, X120, X123: wrong things, and the session in step behind them.
#[test]
fn bad_input() {
    let server = trial();
    let long = "A".repeat(12_290);
    for (lines, expected) in [
        (vec!["AUTH PLAIN", "*"], "501 5.7.0 Authentication cancelled"),
        (vec!["AUTH PLAIN", "not base64"], "501 5.5.2 That is not base64"),
        (vec!["AUTH PLAIN ====="], "501 5.5.2 That is not base64"),
        (vec!["AUTH PLAIN", &long], "500 5.5.6 The line is too long for an authentication exchange"),
        (vec![&format!("AUTH PLAIN {long}")], "500 5.5.6 The line is too long for an authentication exchange"),
        (vec!["AUTH PLAIN ="], "501 5.5.2 That is no message of the mechanism"),
        (vec!["AUTH PLAIN YW5u"], "501 5.5.2 That is no message of the mechanism"),
        (vec!["AUTH SCRAM-SHA-256", "YW5u"], "501 5.5.2 That is no message of the mechanism"),
    ] {
        let mut peer = server.greeted();
        let (last, before) = lines.split_last().unwrap();
        for line in before {
            peer.expect(line, "334 ");
        }
        peer.expect(last, expected);
        peer.expect("NOOP", "250 2.0.0 OK");
    }
    let mut peer = server.greeted();
    // Row X105: LOGIN begins with the server's question, and clients that answer before it are understood.
    let mut hasty = server.greeted();
    hasty.expect(format!("AUTH LOGIN {}", base64::encode(b"ann")), "334 UGFzc3dvcmQ6");
    hasty.expect(base64::encode(PASSWORD.as_bytes()), "235 2.7.0 Authentication succeeded");
    // A NUL too many, and names and passwords of nothing: whatever is wrong, the client hears the same.
    let wrong = "535 5.7.8 The user name or the password is wrong";
    for (message, expected) in
        [("\0ann\0a\0b", "501 5.5.2 That is no message of the mechanism"), ("\0\0x", wrong), ("\0ann\0", wrong)]
    {
        peer.expect(format!("AUTH PLAIN {}", base64::encode(message.as_bytes())), expected);
    }
    // Row X123: three names of 255 octets.
    let name = "n".repeat(255);
    let message = base64::encode(format!("{name}\0{name}\0{name}").as_bytes());
    // Three have failed already, so it needs a connection of its own.
    let mut another = server.greeted();
    another.agree("AUTH PLAIN");
    another.expect(message, wrong);
    peer.expect(
        format!("AUTH PLAIN {}", plain("ann", PASSWORD)),
        "421 4.7.0 Authentication has failed too often over this connection",
    );
    peer.expect_close();
}

/// Whoever goes on guessing over new connections waits, with the right password too.
#[test]
fn guessing_is_slowed_down() {
    let server = trial();
    for _ in 0..3 {
        let mut peer = server.greeted();
        for _ in 0..3 {
            assert_eq!(peer.say(format!("AUTH PLAIN {}", plain("ann", "guess")))[..4], *"535 ");
        }
    }
    let mut peer = server.greeted();
    // In one segment, since the wait is a second.
    peer.send(format!("AUTH PLAIN {}\r\nAUTH PLAIN {}\r\n", plain("ann", "guess"), plain("ann", PASSWORD)));
    assert_eq!(peer.reply()[..4], *"535 ");
    let reply = peer.reply();
    assert!(reply.starts_with("454 4.7.0 Too many failures from your address; try again in "), "{reply}");
    peer.send_message("ann@example.org", &["bob@example.org"], "x\r\n");
}

/// Rows X116, X119: users may send anywhere, under their own addresses, and the trace says how the message came.
#[test]
fn what_users_may() {
    let site = Site::new();
    let server = site.server().start();
    let mut peer = site.encrypted(&server);
    peer.agree("MAIL FROM:<ann@example.org> AUTH=boss@example.org");
    assert_eq!(peer.say("RCPT TO:<u@far.example>")[..3], *"550");
    peer.agree("RSET");
    peer.agree(&format!("AUTH PLAIN {}", plain("ann", PASSWORD)));
    peer.agree("MAIL FROM:<ann@example.org> AUTH=boss@example.org");
    peer.agree_all(&["RCPT TO:<u@far.example>", "DATA"]);
    peer.agree("Subject: x\r\n\r\n.");
    let stored = server.only_stored();
    assert!(stored.received.contains(" with ESMTPSA id "), "{}", stored.received);
    assert!(!stored.received.contains("ann"), "who has logged in is nobody else's business");
    assert_eq!(stored.envelope.mail.auth.map(|auth| auth.to_string()).as_deref(), Some("<>"));
    assert_eq!(stored.content, b"Subject: x\r\n\r\n", "nothing is added on an ordinary port");

    let mut peer = site.encrypted(&server);
    peer.agree(&format!("AUTH PLAIN {}", plain("bound", PASSWORD)));
    peer.expect("MAIL FROM:<ann@example.org>", "553 5.7.1 You may not send from that address");
    peer.agree("MAIL FROM:<Bound@Example.org>");
}

/// Row X118, and RFC 6409, 4.3 and 8: nothing without logging in, and messages get what they lack.
#[test]
fn submissions() {
    let site = Site::new();
    let server = site.server().submission().start();
    let mut peer = server.greeted();
    peer.expect("MAIL FROM:<ann@example.org>", "530 5.7.0 Send STARTTLS first; nobody logs in here in clear");
    peer.start_tls(&site.client());
    peer.agree("EHLO client.example");
    peer.expect("MAIL FROM:<ann@example.org>", "530 5.7.0 Authentication is required; send AUTH first");
    peer.agree(&format!("AUTH PLAIN {}", plain("ann", PASSWORD)));
    peer.send_message("ann@example.org", &["u@far.example"], "Subject: x\r\n\r\ntext\r\n");
    let stored = server.only_stored();
    let content = String::from_utf8(stored.content).unwrap();
    let lines: Vec<&str> = content.lines().collect();
    let [subject, date, id, "", "text"] = lines[..] else { panic!("{content}") };
    assert_eq!((subject, id), ("Subject: x", &*format!("Message-ID: <{}@mx.example.org>", stored.id)));
    assert!(date.starts_with("Date: "), "{date}");
    // In chunks too, and what is complete stays as it is.
    let complete = "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\nMessage-ID: <1@x>\r\n\r\n";
    peer.agree_all(&["MAIL FROM:<ann@example.org>", "RCPT TO:<u@far.example>"]);
    let (first, last) = complete.split_at(10);
    peer.send(format!("BDAT {}\r\n{first}", first.len()));
    assert_eq!(peer.reply()[..4], *"250 ");
    peer.send(format!("BDAT {} LAST\r\n{last}", last.len()));
    assert_eq!(peer.reply()[..4], *"250 ");
    assert_eq!(server.stored()[1].content, complete.as_bytes());
}
