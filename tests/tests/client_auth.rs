//! The client logs in: what it says to whom, what it believes, and what nobody sees. Rows X103, X104, X106, X112, X114, X115,
//! X117, X121, X122.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use rustls::ServerConfig;
use smtp_client::connection::ConnectError;
use smtp_client::login::{Login, LoginError};
use smtp_client::proto::sasl::client::{Credentials, ExchangeError};
use smtp_client::proto::sasl::scram::Keys;
use smtp_client::proto::sasl::{Mechanism, base64};
use smtp_client::proto::secret::Secret;
use smtp_client::tls::{TlsMode, TlsOptions, Trust};
use smtp_client::{Connection, Options};
use smtp_server::auth::CurrentUsers;
use smtp_server::users::Users;
use smtp_tests::certificates::{Authority, Identity};
use smtp_tests::processes::program;
use smtp_tests::scripted_server::{Script, ScriptedServer, Session, hello, in_haste, polite, server_config};
use smtp_tests::server::{TestServer, identity};
use smtp_tests::site::{Site, hand_over};
use tempfile::TempDir;

/// What nobody is to see.
const PASSWORD: &str = "correct horse";

struct World {
    authority: Authority,
    trust: Trust,
    directory: TempDir,
}

impl World {
    fn new() -> Self {
        let authority = Authority::new("the authority of this test").unwrap();
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("ca.pem");
        std::fs::write(&path, authority.certificate_pem()).unwrap();
        let trust = Trust::only(&path).unwrap();
        World { authority, trust, directory }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).into_os_string().into_string().unwrap()
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    fn options(&self, mode: TlsMode, login: Login) -> Options {
        Options { tls: TlsOptions { mode, trust: self.trust.clone() }, login: Some(login), ..in_haste() }
    }

    fn good(&self) -> Arc<ServerConfig> {
        server_config(&self.authority.issue().unwrap())
    }
}

fn login(mechanism: Option<Mechanism>) -> Login {
    let credentials = Credentials { name: "ann".into(), secret: Secret::new(PASSWORD) };
    Login { credentials, mechanism, in_clear: false }
}

fn users() -> CurrentUsers {
    let keys = Keys::derive(&Secret::new(PASSWORD), b"a salt of ours", 4_096).unwrap().to_text();
    Users::parse(&format!("ann:{{SCRAM-SHA-256}}{keys}")).unwrap().into()
}

/// A server under TLS that offers these mechanisms.
fn offering(config: &Arc<ServerConfig>, mechanisms: &str) -> Script {
    let keyword = format!("AUTH {mechanisms}");
    Script::greeted(&["STARTTLS"])
        .expect("STARTTLS")
        .say("220 go ahead")
        .tls(config)
        .expect("EHLO ")
        .say(hello(&["PIPELINING", &keyword]))
}

fn refused(script: Script, options: Options) -> (ConnectError, Session) {
    let server = ScriptedServer::start([script]);
    let error = Connection::open(&server.name(), options).unwrap_err();
    (error, server.finish_one())
}

fn reason(error: &ConnectError) -> &LoginError {
    match error {
        ConnectError::Login(_, error) => error,
        error => panic!("{error}"),
    }
}

/// Neither the password nor what is made of it.
fn says_nothing_secret(session: &Session) -> bool {
    let said = String::from_utf8_lossy(&session.octets).into_owned();
    !said.contains(PASSWORD) && !said.contains(&base64::encode(PASSWORD.as_bytes())) && !said.contains("AUTH PLAIN")
}

/// Row X114: each mechanism with our own server, the strongest first.
#[test]
fn with_our_own_server() {
    let world = World::new();
    let identity = identity(&world.authority.issue().unwrap()).into();
    let server = TestServer::builder().tls(&identity).users(&users(), false).submission().start();
    for mechanism in [
        None,
        Some(Mechanism::Plain),
        Some(Mechanism::Login),
        Some(Mechanism::ScramSha256),
        Some(Mechanism::ScramSha256Plus),
    ] {
        let options = world.options(TlsMode::Require, login(mechanism));
        Connection::open(&server.address.to_string(), options).unwrap().quit();
        let wrong =
            Login { credentials: Credentials { name: "ann".into(), secret: Secret::new("x") }, ..login(mechanism) };
        let error = Connection::open(&server.address.to_string(), world.options(TlsMode::Require, wrong)).unwrap_err();
        let last = mechanism.unwrap_or(Mechanism::Plain);
        assert!(matches!(reason(&error), LoginError::Refused(used, _) if *used == last), "{mechanism:?}: {error}");
    }
}

/// Rows X121, X122: whoever has not proved who it is hears no password, whatever it offers.
#[test]
fn no_password_for_strangers() {
    let world = World::new();
    let stranger = Authority::new("somebody else").unwrap();
    let expired = world.authority.issue_expired().unwrap();
    let other_name = world.authority.issue_for(&["mx.else.test"]).unwrap();
    let certificates: [Identity; 3] = [expired, other_name, stranger.issue().unwrap()];
    for certificate in &certificates {
        for mechanism in [None, Some(Mechanism::Plain), Some(Mechanism::Login), Some(Mechanism::OAuthBearer)] {
            // Where TLS is required there is no connection at all.
            let script =
                Script::greeted(&["STARTTLS"]).expect("STARTTLS").say("220 go").tls(&server_config(certificate));
            let (error, session) = refused(script, world.options(TlsMode::Require, login(mechanism)));
            assert!(matches!(error, ConnectError::Tls(..)) && says_nothing_secret(&session), "{error}");
            let script = offering(&server_config(certificate), "PLAIN LOGIN OAUTHBEARER").converse(polite);
            let (error, session) = refused(script, world.options(TlsMode::Try, login(mechanism)));
            assert!(matches!(reason(&error), LoginError::Unsafe(Some(_))), "{error}");
            assert!(says_nothing_secret(&session), "{:?}", session.commands);
            assert_eq!(session.commands.last().map(String::as_str), Some("QUIT"));
        }
    }
    // A good certificate that was not asked for proves nothing either: its key was not looked at.
    let (error, session) =
        refused(offering(&world.good(), "PLAIN").converse(polite), world.options(TlsMode::Try, login(None)));
    assert!(matches!(reason(&error), LoginError::Unsafe(Some(_))) && says_nothing_secret(&session), "{error}");
    // In clear, and with STARTTLS taken out of the offer.
    for mode in [TlsMode::None, TlsMode::Try] {
        let script = Script::greeted(&["AUTH PLAIN LOGIN"]).converse(polite);
        let (error, session) = refused(script, world.options(mode, login(None)));
        assert_eq!(reason(&error), &LoginError::Unsafe(None));
        assert!(says_nothing_secret(&session));
    }
    let script = Script::greeted(&["AUTH PLAIN LOGIN"]).converse(polite);
    let (error, session) = refused(script, world.options(TlsMode::Require, login(None)));
    assert!(error.is_about_tls() && says_nothing_secret(&session));
    // Unless somebody says so.
    let script =
        Script::greeted(&["AUTH PLAIN"]).expect("AUTH PLAIN AGFubgBjb3JyZWN0IGhvcnNl").say("235 yes").converse(polite);
    let server = ScriptedServer::start([script]);
    let options = world.options(TlsMode::None, Login { in_clear: true, ..login(None) });
    Connection::open(&server.name(), options).unwrap().quit();
    server.finish_one();
}

/// A server without keys for a user refuses SCRAM; one that has proved itself is told the password then, once.
#[test]
fn one_step_back() {
    let world = World::new();
    let script = offering(&world.good(), "SCRAM-SHA-256 PLAIN LOGIN")
        .expect("AUTH SCRAM-SHA-256 ")
        .say("535 5.7.8 no")
        .expect("AUTH PLAIN ")
        .say("235 yes")
        .converse(polite);
    let server = ScriptedServer::start([script]);
    Connection::open(&server.name(), world.options(TlsMode::Require, login(None))).unwrap().quit();
    assert!(!says_nothing_secret(&server.finish_one()), "what is looked for elsewhere can be found");
    let script = offering(&world.good(), "SCRAM-SHA-256 PLAIN LOGIN")
        .expect("AUTH SCRAM-SHA-256 ")
        .say("535 5.7.8 no")
        .expect("AUTH PLAIN ")
        .say("535 5.7.8 no")
        .expect("QUIT")
        .say("221 bye");
    let (error, _) = refused(script, world.options(TlsMode::Require, login(None)));
    assert!(matches!(reason(&error), LoginError::Refused(Mechanism::Plain, _)) && !error.is_transient(), "{error}");
    // Row X112: what is not the password's fault is no reason to say it in another way.
    let script = offering(&world.good(), "SCRAM-SHA-256 PLAIN")
        .expect("AUTH SCRAM")
        .say("454 4.7.0 later")
        .expect("QUIT")
        .say("221 bye");
    let (error, session) = refused(script, world.options(TlsMode::Require, login(None)));
    assert!(error.is_transient() && says_nothing_secret(&session), "{error}");
}

/// A server that agrees to everything does not know the password.
#[test]
fn a_server_that_proves_nothing_is_not_believed() {
    let world = World::new();
    let script = offering(&world.good(), "SCRAM-SHA-256 PLAIN")
        .expect("AUTH SCRAM")
        .say("235 welcome")
        .expect("QUIT")
        .say("221 bye");
    let (error, session) = refused(script, world.options(TlsMode::Require, login(None)));
    assert_eq!(reason(&error), &LoginError::Exchange(Mechanism::ScramSha256, ExchangeError::ServerNotProved));
    assert!(says_nothing_secret(&session));
    // Row X106.
    let script = offering(&world.good(), "SCRAM-SHA-256")
        .expect("AUTH SCRAM")
        .say("334 no base64")
        .expect("*")
        .say("501 cancelled")
        .expect("QUIT")
        .say("221 bye");
    let (error, _) = refused(script, world.options(TlsMode::Require, login(None)));
    assert!(matches!(reason(&error), LoginError::Refused(..)), "{error}");
    // A challenge that asks for the work of an hour.
    let script = offering(&world.good(), "SCRAM-SHA-256")
        .expect("AUTH SCRAM")
        .say(format!("334 {}", base64::encode(b"r=x,s=c2FsdA==,i=4294967295")))
        .expect("*")
        .say("501 cancelled")
        .expect("QUIT")
        .say("221 bye");
    let (error, _) = refused(script, world.options(TlsMode::Require, login(None)));
    assert!(matches!(reason(&error), LoginError::Exchange(..)), "{error}");
}

/// Rows X103, X104: what is too long for the line of the command waits, and LOGIN is asked in its two steps.
#[test]
fn long_passwords_and_old_mechanisms() {
    let world = World::new();
    let long = "x".repeat(3_000);
    let credentials = Credentials { name: "ann".into(), secret: Secret::new(long.as_str()) };
    let message = base64::encode(format!("\0ann\0{long}").as_bytes());
    let script = offering(&world.good(), "PLAIN")
        .expect("AUTH PLAIN")
        .say("334 ")
        .expect(&message)
        .say("235 yes")
        .converse(polite);
    let server = ScriptedServer::start([script]);
    let options = world.options(TlsMode::Require, Login { credentials, ..login(None) });
    Connection::open(&server.name(), options).unwrap().quit();
    assert_eq!(server.finish_one().commands.iter().filter(|line| *line == "AUTH PLAIN").count(), 1);
    let script = offering(&world.good(), "LOGIN")
        .expect("AUTH LOGIN")
        .say("334 VXNlcm5hbWU6")
        .expect("YW5u")
        .say("334 UGFzc3dvcmQ6")
        .expect(&base64::encode(PASSWORD.as_bytes()))
        .say("235 yes")
        .converse(polite);
    let server = ScriptedServer::start([script]);
    Connection::open(&server.name(), world.options(TlsMode::Require, login(None))).unwrap().quit();
    server.finish_one();
}

fn run(arguments: &[&str], password: Option<&str>) -> Output {
    let mut command = Command::new(program("smtp-client"));
    command.args(arguments).stdin(Stdio::null()).env_remove("RUST_LOG").env_remove("SMTP_PASSWORD");
    command.envs(password.map(|password| ("SMTP_PASSWORD", password))).output().unwrap()
}

/// What a transcript shows, and what a recording keeps, is for others to read.
#[test]
fn the_tool_and_what_nobody_sees() {
    let world = World::new();
    let identity = identity(&world.authority.issue().unwrap()).into();
    let server = TestServer::builder().tls(&identity).users(&users(), false).submission().start();
    let address = format!("localhost:{}", server.address.port());
    let letter = world.write("letter", "From: ann@example.org\nTo: bob@example.org\n\ntext\n");
    let (file, ca) = (world.write("password", &format!("{PASSWORD}\n")), world.path("ca.pem"));
    let basic = ["send", "--server", &address, "--retries", "0", "--ca-file", &ca, "--transcript", &letter];
    for (number, mechanism) in ["plain", "login", "scram-sha-256", "scram-sha-256-plus"].into_iter().enumerate() {
        let recording = world.path(&format!("recording {number}"));
        let options = ["--user", "ann", "--password-file", &file, "--auth", mechanism, "--transcript-to", &recording];
        let output = run(&[&basic[..], &options].concat(), None);
        assert!(output.status.success(), "{output:?}");
        let shown = String::from_utf8(output.stderr).unwrap() + &std::fs::read_to_string(&recording).unwrap();
        assert!(shown.contains(&format!("AUTH {}", mechanism.to_uppercase())) && shown.contains("***"), "{shown}");
        for secret in [
            PASSWORD.to_owned(),
            base64::encode(PASSWORD.as_bytes()),
            base64::encode(format!("\0ann\0{PASSWORD}").as_bytes()),
        ] {
            assert!(!shown.contains(&secret), "{shown}");
        }
    }
    assert_eq!(server.stored().len(), 4);
    let content = String::from_utf8(server.stored()[0].content.clone()).unwrap();
    assert!(content.contains("\r\nDate: ") && content.contains("\r\nMessage-ID: <"), "{content}");
    for (options, password, code, said) in [
        (&["--user", "ann"][..], Some(PASSWORD), 0, "235 2.7.0"),
        (&["--user", "ann"], Some("wrong"), 77, "log in: PLAIN: 535 5.7.8"),
        (&["--user", "ann"], None, 64, "--user wants a password"),
        (&["--user", "ann", "--password-file", "/nowhere/password"], None, 66, "--password-file /nowhere/password: "),
        (&["--user", "ann", "--password-command", "exit 7"], None, 74, "it failed: exit status: 7"),
        (&["--user", "ann", "--auth", "cram-md5"], Some(PASSWORD), 64, "write one of scram-sha-256-plus, "),
        (
            &["--user", "ann", "--auth", "xoauth2"],
            Some("token"),
            77,
            "the server does not offer XOAUTH2; it offers SCRAM",
        ),
        (&["--password-file", "x"], None, 64, "want --user"),
        (&[], None, 77, "530 5.7.0 Authentication is required"),
    ] {
        let output = run(&[&basic[..], options].concat(), password);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), text.contains(said)), (Some(code), true), "{options:?}: {text}");
    }
}

/// Row X117, and what a queue makes of a server that does not know us: the message waits, since the password is ours.
#[test]
fn the_relay_logs_in() {
    let world = World::new();
    let config = world.good();
    let message = format!("AUTH PLAIN {}", base64::encode(format!("\0relay\0{PASSWORD}").as_bytes()));
    let good = offering(&config, "PLAIN").expect(&message).say("235 yes").expect("MAIL FROM:<a@b.example> AUTH=<>");
    let good = good.say("250 OK").expect("RCPT").say("250 OK").expect("DATA").say("354 go").content().say("250 queued");
    let server = ScriptedServer::start([
        offering(&config, "PLAIN").expect("AUTH PLAIN").say("535 5.7.8 who?").expect("QUIT").say("221 bye"),
        good.converse(polite),
    ]);
    let site = Site::new("us.example");
    let password = world.write("relay password", PASSWORD);
    make_private(Path::new(&password));
    let smart = format!("smart:localhost:{}", server.name().rsplit(':').next().unwrap());
    let ca = world.path("ca.pem");
    let process = site.start(&[
        "--relay",
        &smart,
        "--relay-from",
        "127.0.0.0/8",
        "--relay-ca-file",
        &ca,
        "--retry-after",
        "10s",
        "--relay-user",
        "relay",
        "--relay-password-file",
        &password,
    ]);
    hand_over(&process, "<a@b.example>", &["<u@far.example>"], "Subject: x\r\n\r\ntext\r\n");
    let line = process.wait_for_line(|line| line.contains("status=deferred"));
    assert!(line.contains("4.7.8 ") && line.contains("535 5.7.8 who?") && !line.contains(PASSWORD), "{line}");
    process.wait_for_line(|line| line.contains("status=delivered"));
    let sessions = server.finish();
    assert_eq!(sessions.len(), 2);
    assert!(process.seen().iter().all(|line| !line.contains(PASSWORD)));
}

fn make_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
