//! The client speaks LMTP (RFC 2033), over TCP and over Unix sockets: an answer for each recipient. Row X150.

#![allow(clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use smtp_client::Connection;
use smtp_client::connection::ConnectError;
use smtp_client::lmtp_server::LmtpServer;
use smtp_client::proto::client::{Cause, Ending, Outcome, Stage};
use smtp_tests::scripted_server::{Script, ScriptedServer, Session, content, in_haste, transaction};
use smtp_tests::unix_bridge::UnixBridge;

/// Where the scripted server is to be found.
enum Way {
    Tcp,
    Unix,
}

/// Sends one message to three recipients.
fn send(way: &Way, script: Script) -> (Result<Outcome, ConnectError>, Session) {
    let server = ScriptedServer::start([script]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lmtp");
    let (name, bridge) = match way {
        Way::Tcp => (server.name(), None),
        Way::Unix => (format!("unix:{}", path.display()), Some(UnixBridge::listen(&path, &server))),
    };
    let name: LmtpServer = name.parse().unwrap();
    let outcome = Connection::open_lmtp(&name, in_haste()).map(|mut connection| {
        assert_eq!(connection.peer().to_string(), name.to_string());
        let recipients = ["<bob@localhost>", "<carol@localhost>", "<dave@localhost>"];
        let outcome = connection.send(transaction("<alice@example.org>", &recipients), &content("text\n")).unwrap();
        connection.quit();
        outcome
    });
    drop(bridge);
    (outcome, server.finish_one())
}

fn until_content() -> Script {
    let greeted = Script::new().say("220 lmtp").expect("LHLO ").say("250-mx\r\n250-PIPELINING\r\n250 8BITMIME");
    let envelope = greeted.expect("MAIL FROM:").expect("RCPT TO:<bob").expect("RCPT TO:<carol").expect("RCPT TO:<dave");
    envelope.expect("DATA").say("250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go on").content()
}

#[test]
fn each_recipient_has_an_answer() {
    for way in [Way::Tcp, Way::Unix] {
        let script = until_content().say("250 2.0.0 <bob> saved\r\n452 4.2.2 <carol> full");
        let (outcome, session) =
            send(&way, script.say("550 5.2.1 <dave> closed").expect("QUIT").say("221 bye").close());
        let outcome = outcome.unwrap();
        let codes = outcome.recipients.iter().map(|recipient| match &recipient.result {
            Ok(reply) => reply.code().number(),
            Err(failure) => match &failure.cause {
                Cause::Refused(reply) => reply.code().number(),
                cause => panic!("{cause}"),
            },
        });
        assert_eq!(codes.collect::<Vec<_>>(), [250, 452, 550]);
        assert_eq!(session.contents, [b"text\r\n"]);
    }
}

/// The server dies while it delivers: the first has the message, nobody knows about the others.
#[test]
fn answers_that_break_off() {
    for way in [Way::Tcp, Way::Unix] {
        let (outcome, _) = send(&way, until_content().say("250 2.0.0 <bob> saved\r\n250-2.0.0 <car").close());
        let outcome = outcome.unwrap();
        let results: Vec<_> = outcome.recipients.iter().map(|recipient| recipient.result.as_ref()).collect();
        assert!(results[0].is_ok());
        for result in &results[1..] {
            let failure = result.unwrap_err();
            assert_eq!((failure.stage, &failure.cause), (Stage::EndOfContent, &Cause::ConnectionLost));
            assert!(failure.is_uncertain() && failure.is_transient());
        }
    }
}

#[test]
fn a_server_of_smtp_is_left_alone() {
    for way in [Way::Tcp, Way::Unix] {
        let script = Script::new().say("220 smtp").expect("LHLO ").say("500 5.5.2 what").expect("QUIT").say("221 bye");
        let (outcome, session) = send(&way, script.close());
        let error = outcome.unwrap_err();
        assert!(matches!(&error, ConnectError::Session(_, Ending::Refused(Stage::Lhlo, _))), "{error}");
        assert_eq!(session.commands.len(), 2);
    }
}

#[test]
fn nobody_at_the_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lmtp");
    let error = Connection::open_lmtp(&LmtpServer::Unix(path.clone()), in_haste()).unwrap_err();
    assert!(error.to_string().starts_with(&format!("unix:{}: no connection", path.display())), "{error}");
    assert!(error.is_transient());
}

/// A Unix server that accepts nobody: `connect` itself would wait for ever.
#[cfg(target_os = "linux")]
#[test]
fn a_socket_whose_server_does_not_accept() {
    use smtp_client::Options;
    use socket2::{Domain, SockAddr, Socket, Type};

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lmtp");
    let address = SockAddr::unix(&path).unwrap();
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    listener.bind(&address).unwrap();
    listener.listen(0).unwrap();
    let mut waiting: Vec<UnixStream> = Vec::new();
    loop {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        match socket.connect(&address) {
            Ok(()) => waiting.push(std::os::fd::OwnedFd::from(socket).into()),
            Err(error) => break assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        assert!(waiting.len() < 100);
    }
    let options = Options { connect_timeout: Duration::from_millis(50), ..in_haste() };
    let error = Connection::open_lmtp(&LmtpServer::Unix(path), options).unwrap_err();
    assert!(matches!(&error, ConnectError::Connect(_, _, why) if why.kind() == io::ErrorKind::TimedOut), "{error}");
}
