//! The client under TLS, against servers that are scripts: whom it believes, what it says in clear, and how it ends.
//! Rows X053, X054, X055, X056, X060, X061, X063, X065, X066.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::io::Write as _;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, ServerConnection};
use smtp_client::connection::ConnectError;
use smtp_client::proto::client::{Cause, Ending, Stage};
use smtp_client::server_name::ServerName;
use smtp_client::tls::{Pin, TlsMode, TlsOptions, Trust};
use smtp_client::{Connection, Options};
use smtp_tests::certificates::{Authority, HOST, Identity};
use smtp_tests::scripted_server::{
    ReservedPort, Script, ScriptedServer, Session, content, in_haste, polite, server_config, server_config_of,
    timeouts, transaction,
};
use tempfile::TempDir;

/// Who signs, and a client that trusts nobody else.
struct World {
    authority: Authority,
    trust: Trust,
}

impl World {
    fn new() -> Self {
        let authority = Authority::new("the authority of this test").unwrap();
        let trust = trusting(&authority);
        World { authority, trust }
    }

    fn good(&self) -> Arc<ServerConfig> {
        server_config(&self.authority.issue().unwrap())
    }

    fn options(&self, mode: TlsMode) -> Options {
        with(mode, self.trust.clone())
    }
}

fn trusting(authority: &Authority) -> Trust {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("ca.pem");
    std::fs::write(&path, authority.certificate_pem()).unwrap();
    Trust::only(&path).unwrap()
}

fn with(mode: TlsMode, trust: Trust) -> Options {
    Options { tls: TlsOptions { mode, trust }, ..in_haste() }
}

/// Up to the 220 of STARTTLS.
fn asked() -> Script {
    Script::greeted(&["PIPELINING", "SIZE 1", "STARTTLS"]).expect("STARTTLS").say("220 go ahead")
}

/// What goes on under TLS.
fn secured(config: &Arc<ServerConfig>) -> Script {
    asked().tls(config).converse(polite)
}

fn implicit(config: &Arc<ServerConfig>) -> Script {
    Script::new().tls(config).say("220 mx.example").converse(polite)
}

fn plain() -> Script {
    Script::greeted(&["SIZE"]).converse(polite)
}

fn send_one(connection: &mut Connection, text: impl AsRef<[u8]>) -> smtp_client::proto::client::Outcome {
    connection.send(transaction("<a@x>", &["<b@x>"]), &content(text)).unwrap()
}

/// Nothing about a message was said in clear, and nothing else that is not of the beginning.
fn said_in_clear(session: &Session) -> String {
    let verbs = session.commands.iter().map(|line| line.split(' ').next().unwrap_or_default());
    verbs.collect::<Vec<_>>().join(" ")
}

fn refused(server: ScriptedServer, options: Options) -> (ConnectError, Session) {
    let error = Connection::open(&server.name(), options).unwrap_err();
    (error, server.finish_one())
}

/// Rows X061, X063: a message goes over, by name and by address, and EHLO is said twice and STARTTLS once.
#[test]
fn messages_under_tls() {
    let world = World::new();
    for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13]] {
        let config = server_config_of(&world.authority.issue().unwrap(), versions);
        for (mode, script) in [
            (TlsMode::Try, secured(&config)),
            (TlsMode::Require, secured(&config)),
            (TlsMode::Implicit, implicit(&config)),
        ] {
            let server = ScriptedServer::start([script]);
            let mut connection = Connection::open(&server.name(), world.options(mode)).unwrap();
            let secured = connection.tls().expect("TLS").clone();
            assert_eq!(secured.verified, Ok(()), "{mode}");
            let version = if versions == [&rustls::version::TLS12] { "TLS 1.2" } else { "TLS 1.3" };
            assert!(secured.version == version && secured.cipher.contains("AES"), "{secured}");
            // What the server said in clear, SIZE 1, is forgotten.
            assert!(send_one(&mut connection, "text").is_success());
            assert!(send_one(&mut connection, "more").is_success());
            connection.quit();
            let session = server.finish_one();
            assert_eq!(session.contents, [b"text\r\n", b"more\r\n"]);
            assert!(!session.is_cut_off, "the end was said");
            let start = if mode == TlsMode::Implicit { "EHLO MAIL" } else { "EHLO STARTTLS EHLO MAIL" };
            assert!(said_in_clear(&session).starts_with(start), "{:?}", session.commands);
            assert_eq!(
                session.commands.iter().filter(|line| *line == "STARTTLS").count(),
                usize::from(start.contains("STARTTLS"))
            );
        }
    }
}

/// Row X055: each certificate that proves nothing, with the words that say which. Nothing is said of a message.
#[test]
fn certificates_that_prove_nothing() {
    let world = World::new();
    let authority = &world.authority;
    let cases: [(Identity, &str); 7] = [
        (authority.issue_expired().unwrap(), "no TLS: its certificate has expired: it was valid until "),
        (authority.issue_not_yet_valid().unwrap(), "no TLS: its certificate is not valid yet: it will be from "),
        (
            authority.issue_for(&[HOST, "*.example.test"]).unwrap(),
            "its certificate is not for 127.0.0.1, but for mx.example.test, *.example.test;",
        ),
        (authority.issue_for(&["::1"]).unwrap(), "its certificate is not for 127.0.0.1, but for ::1;"),
        (authority.issue_for(&[]).unwrap(), "its certificate is not for 127.0.0.1, nor for any other name;"),
        (Authority::new("another").unwrap().issue().unwrap(), "nobody who is trusted has issued its certificate"),
        (Identity::self_signed().unwrap(), "its certificate is self-signed, and not one that is trusted"),
    ];
    for (identity, words) in cases {
        let config = server_config(&identity);
        for (mode, script) in [(TlsMode::Require, secured(&config)), (TlsMode::Implicit, implicit(&config))] {
            let (error, session) = refused(ScriptedServer::start([script]), world.options(mode));
            assert!(error.to_string().contains(words), "{error}");
            assert!(error.to_string().contains("; nothing was sent; after "), "{error}");
            let ConnectError::Tls(_, reason) = &error else { panic!("{error}") };
            assert!(reason.is_about_certificate() && !error.is_transient(), "{error}");
            // Row X056: the alert is our QUIT.
            assert!(
                matches!(&session.handshake, Some(Err(text)) if text.contains("Certificate") || text.contains("CA")),
                "{session:?}"
            );
            assert_eq!(said_in_clear(&session), if mode == TlsMode::Implicit { "" } else { "EHLO STARTTLS" });
        }
        // Row X066: who only tries takes it, and knows what is wrong.
        let server = ScriptedServer::start([secured(&config)]);
        let mut connection = Connection::open(&server.name(), world.options(TlsMode::Try)).unwrap();
        let reason = connection.tls().unwrap().verified.clone().unwrap_err();
        assert!(words.trim_start_matches("no TLS: ").trim_end_matches(';').starts_with(&reason[..20]), "{reason}");
        assert!(send_one(&mut connection, "text").is_success());
        connection.quit();
        server.finish();
    }
}

/// Whoever stands in between can show the certificate of the right server, and has no key to it. `try` talks with it, as with
/// everybody, and does not say that it has proved itself.
#[test]
fn the_right_certificate_without_its_key() {
    let world = World::new();
    let right = world.authority.issue().unwrap();
    let other = world.authority.issue().unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let chain = CertificateDer::pem_slice_iter(right.certificate_pem.as_bytes()).collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(other.key_pem.as_bytes()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let certified = CertifiedKey::new(chain, provider.key_provider.load_private_key(key).unwrap());
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
        let config = builder.with_no_client_auth().with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        let config = Arc::new(config);

        let (error, _) = refused(ScriptedServer::start([secured(&config)]), world.options(TlsMode::Require));
        assert!(error.to_string().contains("its certificate, or its answer, is not signed by whom it says"), "{error}");

        let server = ScriptedServer::start([secured(&config)]);
        let connection = Connection::open(&server.name(), world.options(TlsMode::Try)).unwrap();
        let reason = connection.tls().unwrap().verified.clone().unwrap_err();
        assert_eq!(reason, "it has not proved that it has the key to its certificate");
        connection.quit();
        server.finish();
    }
}

/// The name is the one by which the server was called.
#[test]
fn names() {
    let world = World::new();
    for (names, host, is_good) in [
        (&["localhost"][..], "localhost", true),
        (&["*.example.test"], "localhost", false),
        (&["localhost"], "127.0.0.1", false),
    ] {
        let config = server_config(&world.authority.issue_for(names).unwrap());
        let server = ScriptedServer::start([secured(&config)]);
        let port = server.name().rsplit_once(':').unwrap().1.to_owned();
        let name: ServerName = format!("{host}:{port}").parse().unwrap();
        let opened = Connection::open_to(&name, world.options(TlsMode::Require));
        assert_eq!(opened.is_ok(), is_good, "{names:?} {host}: {opened:?}");
        opened.into_iter().for_each(Connection::quit);
        server.finish();
    }
}

/// A pin stands for chain, dates and name; and nothing else does any more.
#[test]
fn pins() {
    let world = World::new();
    let identity = Identity::self_signed().unwrap();
    let other = world.authority.issue().unwrap();
    let (server, pin) = (server_config(&identity), pin_of(&identity));
    for (config, is_good) in [(&server, true), (&server_config(&other), false)] {
        let server = ScriptedServer::start([implicit(config)]);
        let opened = Connection::open(&server.name(), with(TlsMode::Implicit, Trust::pinned(pin)));
        match opened {
            Ok(connection) => {
                assert!(is_good);
                connection.quit();
            }
            Err(error) => {
                let words = format!("not the pinned one: it is {}, pinned is {pin};", pin_of(&other));
                assert!(!is_good && error.to_string().contains(&words), "{error}");
            }
        }
        server.finish();
    }
}

/// By another way than the client's: the key that made the certificate.
fn pin_of(identity: &Identity) -> Pin {
    use rcgen::PublicKeyData as _;
    use sha2::Digest as _;
    let key = rcgen::KeyPair::from_pem(&identity.key_pem).unwrap();
    let digest = sha2::Sha256::digest(key.subject_public_key_info());
    digest.iter().map(|octet| format!("{octet:02X}")).collect::<Vec<_>>().join(":").parse().unwrap()
}

/// Row X065: stripped, refused, or answered with nonsense, and no mail goes out in clear.
#[test]
fn required_and_not_to_be_had() {
    let world = World::new();
    let greeted = || Script::greeted(&["SIZE", "STARTTLS"]).expect("STARTTLS");
    for (script, words, said) in [
        (plain(), "TLS is required, and the server does not offer STARTTLS; nothing was sent", "EHLO QUIT"),
        (greeted().say("454 4.7.0 not now").converse(polite), "STARTTLS: 454 4.7.0 not now", "EHLO STARTTLS QUIT"),
        (greeted().say("502 what?").converse(polite), "STARTTLS: 502 what?", "EHLO STARTTLS QUIT"),
        (greeted().close(), "STARTTLS: the connection was lost", "EHLO STARTTLS"),
        (
            greeted().say("220 go").close(),
            "the server closed the connection in the midst of the handshake",
            "EHLO STARTTLS",
        ),
        (
            greeted().say("220 go").reset(),
            "the server closed the connection in the midst of the handshake",
            "EHLO STARTTLS",
        ),
    ] {
        let (error, session) = refused(ScriptedServer::start([script]), world.options(TlsMode::Require));
        assert!(error.to_string().contains(words) && error.is_about_tls(), "{error}");
        assert_eq!(said_in_clear(&session), said, "{words}");
    }
}

/// Row X060, and CVE-2011-0411 from the other side: what stands behind the 220 in clear is never read as if it came under
/// TLS; in one segment, in two, and with the handshake under way.
#[test]
fn replies_put_in_behind_the_220() {
    let world = World::new();
    let greeted = || Script::greeted(&["STARTTLS"]).expect("STARTTLS");
    let injected = "250-mx.example\r\n250 AUTH PLAIN\r\n";
    for mode in [TlsMode::Try, TlsMode::Require] {
        // In one segment, or with the end of the 220 in the second.
        for pieces in [vec![format!("220 go\r\n{injected}")], vec!["220 g".to_owned(), format!("o\r\n{injected}")]] {
            let script = greeted().say_in_pieces(pieces.into_iter().map(String::into_bytes)).hold();
            let server = ScriptedServer::start([script]);
            let error = Connection::open(&server.name(), world.options(mode)).unwrap_err();
            let ConnectError::Session(_, Ending::Failed(stage, cause)) = &error else { panic!("{error}") };
            assert!(*stage == Stage::StartTls && matches!(cause, Cause::Reply(_)), "{error}");
            let sessions = server.finish();
            assert_eq!(sessions.len(), 1, "nobody calls again where somebody meddles");
            assert_eq!(said_in_clear(&sessions[0]), "EHLO STARTTLS");
        }
    }
    // Later: the client has begun the handshake, and what comes is none.
    let script = greeted().say("220 go").take(5).say(injected).hold();
    let (error, session) = refused(ScriptedServer::start([script]), world.options(TlsMode::Require));
    assert!(matches!(error, ConnectError::Tls(..)), "{error}");
    assert!(error.to_string().contains("what the server says is no TLS"), "{error}");
    assert_eq!(said_in_clear(&session), "EHLO STARTTLS");
}

/// Row X054, RFC 7435: whoever tries calls once more, in clear, and once only.
#[test]
fn tried_and_failed() {
    let world = World::new();
    let garbage = || asked().take(5).say("500 what is this?").close();
    for failing in [garbage(), asked().close(), Script::greeted(&["STARTTLS"]).expect("STARTTLS").close()] {
        let server = ScriptedServer::start([failing, plain()]);
        let mut connection = Connection::open(&server.name(), world.options(TlsMode::Try)).unwrap();
        assert!(connection.tls().is_none());
        let reason = connection.tls_failure().expect("why");
        assert!(reason.contains("TLS"), "{reason}");
        assert!(send_one(&mut connection, "text").is_success());
        connection.quit();
        let sessions = server.finish();
        assert_eq!(sessions.len(), 2);
        assert_eq!(said_in_clear(&sessions[1]), "EHLO MAIL RCPT DATA QUIT");
    }
    // The second time the offer is not taken.
    let server = ScriptedServer::start([garbage(), Script::greeted(&["STARTTLS"]).converse(polite)]);
    Connection::open(&server.name(), world.options(TlsMode::Try)).unwrap().quit();
    assert_eq!(said_in_clear(&server.finish()[1]), "EHLO QUIT");
    // Refused in order, it goes on where it is.
    let server =
        ScriptedServer::start([Script::greeted(&["STARTTLS"]).expect("STARTTLS").say("454 no").converse(polite)]);
    let mut connection = Connection::open(&server.name(), world.options(TlsMode::Try)).unwrap();
    assert!(send_one(&mut connection, "text").is_success());
    connection.quit();
    assert_eq!(said_in_clear(&server.finish_one()), "EHLO STARTTLS MAIL RCPT DATA QUIT");
    // Nobody asks.
    let server = ScriptedServer::start([Script::greeted(&["STARTTLS"]).converse(polite)]);
    Connection::open(&server.name(), world.options(TlsMode::None)).unwrap().quit();
    assert_eq!(said_in_clear(&server.finish_one()), "EHLO QUIT");
}

/// A server that says an octet now and then holds nobody beyond the time of the handshake.
#[test]
fn handshakes_have_their_time() {
    let world = World::new();
    let patience = Duration::from_millis(300);
    for script in [asked().hold(), asked().take(5).say_in_pieces([vec![0x16, 3, 3]]).hold(), Script::new().hold()] {
        let mode = TlsMode::Require;
        let server = ScriptedServer::start([script]);
        let mut options = world.options(mode);
        options.timeouts = timeouts(patience);
        let began = std::time::Instant::now();
        let error = Connection::open(&server.name(), options).unwrap_err();
        assert!(error.is_transient(), "{error}");
        assert!(began.elapsed() >= patience && began.elapsed() < patience * 20, "{:?}", began.elapsed());
    }
    let mut options = world.options(TlsMode::Implicit);
    options.timeouts = timeouts(patience);
    let server = ScriptedServer::start([Script::new().hold()]);
    let error = Connection::open(&server.name(), options).unwrap_err();
    assert!(error.to_string().contains("no TLS: the handshake was not over in time"), "{error}");
}

/// An end that anybody can have made, and one that the server has made: neither is a verdict on the message.
#[test]
fn an_end_in_place_of_the_verdict() {
    let world = World::new();
    let config = world.good();
    let script = || {
        let script =
            Script::new().tls(&config).say("220 mx").expect("EHLO ").say("250 mx").expect("MAIL ").say("250 OK");
        script.expect("RCPT ").say("250 OK").expect("DATA").say("354 go").content()
    };
    for script in [script().close(), script().cut_off(), script().say_in_pieces([b"250 qu".to_vec()]).cut_off()] {
        let server = ScriptedServer::start([script]);
        let mut connection = Connection::open(&server.name(), world.options(TlsMode::Implicit)).unwrap();
        let outcome = send_one(&mut connection, "text");
        let failure = outcome.recipients[0].result.clone().unwrap_err();
        assert!(failure.is_uncertain() && failure.cause == Cause::ConnectionLost, "{failure}");
        server.finish();
    }
}

/// More than any buffer takes, in records, with dots to be doubled; and by BDAT.
#[test]
fn large_content() {
    let world = World::new();
    let config = world.good();
    let text = ".the quick brown fox jumps over the lazy dog\r\n".repeat(100_000);
    let server = ScriptedServer::start([implicit(&config)]);
    let mut connection = Connection::open(&server.name(), world.options(TlsMode::Implicit)).unwrap();
    assert!(send_one(&mut connection, &text).is_success());
    connection.quit();
    let received = &server.finish_one().contents[0];
    assert!(*received == text.replace("\r\n.", "\r\n..").replacen('.', "..", 1).into_bytes());
}

/// Up to the 354, with buffers so small that the client cannot write on to a server which does not read.
fn up_to_the_content(config: &Arc<ServerConfig>) -> Script {
    let script = Script::new().tls(config).say("220 mx").expect("EHLO ").say("250 mx").expect("MAIL ").say("250 OK");
    script.expect("RCPT ").say("250 OK").expect("DATA").say("354 go")
}

/// A server that has seen enough while we still write is heard under TLS too.
#[test]
fn an_early_refusal() {
    let world = World::new();
    let text = "the quick brown fox jumps over the lazy dog\r\n".repeat(200_000);
    let script = up_to_the_content(&world.good()).take(100_000).say("552 too much").hold();
    let server = ReservedPort::new().listen_with_small_buffers([script]);
    let mut connection = Connection::open(&server.name(), world.options(TlsMode::Implicit)).unwrap();
    let outcome = send_one(&mut connection, &text);
    let failure = outcome.recipients[0].result.clone().unwrap_err();
    assert!(matches!(&failure.cause, Cause::Refused(reply) if reply.code().number() == 552), "{failure}");
    assert!(!connection.is_open());
}

/// What comes from the server while we write need not be a word of it. Here it rests until we cannot write on, changes its
/// keys, and rests for so long that we look whether it has something to say.
#[test]
fn records_that_are_no_words() {
    let world = World::new();
    let text = "the quick brown fox jumps over the lazy dog\r\n".repeat(200_000);
    let rest = || std::thread::sleep(Duration::from_millis(400));
    let script = up_to_the_content(&world.good()).run(rest).change_keys().run(rest).content().say("250 queued");
    let server = ReservedPort::new().listen_with_small_buffers([script.converse(polite)]);
    let mut connection = Connection::open(&server.name(), world.options(TlsMode::Implicit)).unwrap();
    let outcome = send_one(&mut connection, &text);
    assert!(outcome.is_success(), "{outcome:?}");
    connection.quit();
    assert!(server.finish_one().contents[0] == text.into_bytes());
}

/// Between two messages the server may say goodbye, and tickets are no goodbye.
#[test]
fn words_between_messages() {
    let world = World::new();
    let config = world.good();
    let server = ScriptedServer::start([implicit(&config)]);
    let mut connection = Connection::open(&server.name(), world.options(TlsMode::Implicit)).unwrap();
    for _ in 0..5 {
        assert!(send_one(&mut connection, "text").is_success());
    }
    connection.quit();
    assert_eq!(server.finish_one().contents.len(), 5);

    let (go, may_go) = channel();
    let (said, is_said) = channel();
    let script =
        Script::new().tls(&config).say("220 mx").expect("EHLO ").say("250 mx").run(move || may_go.recv().unwrap());
    let script = script.say("421 going down").close().run(move || said.send(()).unwrap());
    let server = ScriptedServer::start([script]);
    let mut connection = Connection::open(&server.name(), world.options(TlsMode::Implicit)).unwrap();
    go.send(()).unwrap();
    is_said.recv().unwrap();
    let outcome = send_one(&mut connection, "text");
    let failure = outcome.recipients[0].result.clone().unwrap_err();
    assert!(failure.to_string().contains("421 going down"), "{failure}");
    server.finish();
}

/// A server that says an octet of a record now and then has said nothing, and is held against the deadline all the same.
#[test]
fn a_record_that_trickles_in_is_not_waited_for_beyond_the_deadline() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let config = world.good();
    let server = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut tls = ServerConnection::new(config).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut socket).unwrap();
        }
        let mut record = Vec::new();
        tls.writer().write_all(format!("220 {}\r\n", "x".repeat(500)).as_bytes()).unwrap();
        tls.write_tls(&mut record).unwrap();
        // Five seconds, unless the client goes before.
        record.iter().all(|octet| {
            std::thread::sleep(Duration::from_millis(10));
            socket.write_all(&[*octet]).is_ok()
        })
    });
    let options = Options { timeouts: timeouts(Duration::from_millis(500)), ..world.options(TlsMode::Implicit) };
    let error = Connection::open(&address, options).unwrap_err();
    assert!(matches!(&error, ConnectError::Session(_, Ending::Failed(Stage::Greeting, Cause::Timeout))), "{error}");
    assert!(!server.join().unwrap(), "the client has gone before the record was complete");
}
