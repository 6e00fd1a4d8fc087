//! Peers that never stop: what the server holds in memory stays small. Measured at the program, from outside.

#![cfg(target_os = "linux")] // where the kernel tells what a process uses
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::thread;

use smtp_tests::certificates::{Authority, Files};
use smtp_tests::processes::ServerProcess;
use smtp_tests::tls::Client;
use tempfile::TempDir;

const MEBIBYTE: u64 = 1 << 20;

fn server(arguments: &[&str]) -> (TempDir, ServerProcess) {
    let directory = tempfile::tempdir().unwrap();
    let spool = directory.path().join("spool");
    let place = ["--spool", spool.to_str().unwrap(), "--domain", "example.org"];
    let server = ServerProcess::start(&[&place, arguments].concat());
    server.greeted().agree("QUIT");
    (directory, server)
}

/// The most that is in use while `clients` are at work, beyond what is in use now.
fn growth(server: &ServerProcess, clients: impl FnOnce() + Send) -> u64 {
    let idle = server.resident_octets();
    let mut most = idle;
    thread::scope(|scope| {
        let clients = scope.spawn(clients);
        while !clients.is_finished() {
            most = most.max(server.resident_octets());
            thread::yield_now();
        }
        clients.join().unwrap();
    });
    most - idle
}

/// go-smtp's first version kept such a line in memory until there was none left (its pull request 60); so did others.
#[test]
fn lines_without_end() {
    let (_directory, server) = server(&["--threads", "32"]);
    let piece = vec![b'x'; 64 << 10];
    let endless_line = || {
        let mut peer = server.connect();
        peer.expect_greeting();
        let mut sent = 0;
        while sent < 64 * MEBIBYTE && peer.try_send(&piece).is_ok() {
            sent += piece.len() as u64;
        }
        assert!(sent < 64 * MEBIBYTE, "the server has had enough");
        assert!(peer.reply().starts_with("421 4.7.0 "));
    };
    let growth = growth(&server, || {
        thread::scope(|scope| (0..16).for_each(|_| drop(scope.spawn(endless_line))));
    });
    assert!(growth < 8 * MEBIBYTE, "{growth} octets for 16 endless lines");
    server.greeted().agree("QUIT");
}

/// The same with content, beyond the size that is allowed.
#[test]
fn content_without_end() {
    let (directory, server) = server(&["--threads", "32", "--max-message-size", "1000000"]);
    let piece = "a line of a message that does not end\r\n".repeat(2_000);
    let endless_content = || {
        let mut peer = server.greeted();
        peer.agree_all(&["MAIL FROM:<a@b.example>", "RCPT TO:<x@example.org>", "DATA"]);
        let mut sent = 0;
        while sent < 64 * MEBIBYTE && peer.try_send(&piece).is_ok() {
            sent += piece.len() as u64;
        }
        assert!(sent < 64 * MEBIBYTE, "the server has had enough");
        assert!(peer.reply().starts_with("421 4.3.4 "));
    };
    let growth = growth(&server, || {
        thread::scope(|scope| (0..16).for_each(|_| drop(scope.spawn(endless_content))));
    });
    assert!(growth < 8 * MEBIBYTE, "{growth} octets for 16 endless messages");
    for folder in ["spool/tmp", "spool/new"] {
        assert_eq!(std::fs::read_dir(directory.path().join(folder)).unwrap().count(), 0, "{folder}");
    }
}

/// A message of 50 MiB passes through without being held.
#[test]
fn a_message_of_50_mebibytes() {
    let (directory, server) = server(&["--threads", "4"]);
    let mut peer = server.greeted();
    let piece = "sixty-four octets to a line, as round as numbers can be in mail\r\n".repeat(16_000);
    let growth = growth(&server, || {
        peer.agree_all(&["MAIL FROM:<a@b.example>", "RCPT TO:<x@example.org>", "DATA"]);
        let mut sent = 0;
        while sent < 50 * MEBIBYTE {
            peer.send(&piece);
            sent += piece.len() as u64;
        }
        peer.send(".\r\n");
        assert!(peer.reply().starts_with("250 "));
    });
    assert!(growth < 20 * MEBIBYTE, "{growth} octets for one message");
    let file = std::fs::read_dir(directory.path().join("spool/new")).unwrap().next().unwrap().unwrap();
    assert!(file.metadata().unwrap().len() > 50 * MEBIBYTE);
}

/// RFC 5321, 4.3.1: a client waits for the greeting. The kernel takes the connection while the server stands still, so
/// that what the client sends is there before the greeting for certain.
#[test]
fn early_talkers() {
    let (_directory, server) = server(&["--threads", "4"]);
    let mut hello = b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03".to_vec();
    hello.extend([0x5a; 194]);
    let transaction = b"EHLO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<x@example.org>\r\nDATA\r\nx\r\n.\r\n";
    for octets in [&b"EHLO a\r\n"[..], b"Q", b"GET / HTTP/1.1\r\n\r\n", transaction, &hello] {
        server.freeze();
        let mut peer = server.connect();
        peer.send(octets);
        server.thaw();
        let (said, is_in_order) = peer.rest();
        assert!(said.starts_with("554 5.5.0 ") && said.lines().count() == 1 && is_in_order, "{octets:?}: {said:?}");
    }
    server.greeted().agree("QUIT");
}

/// A conversation under TLS that says nothing costs what rustls keeps, keys and small buffers, and the stack of its thread that
/// the handshake has touched, which is the larger part and stays with the thread.
#[test]
fn idle_connections_under_tls() {
    const CONNECTIONS: u64 = 200;
    let certificates = tempfile::tempdir().unwrap();
    let authority = Authority::new("tests").unwrap();
    let files = Files::write(certificates.path(), &authority, &authority.issue().unwrap()).unwrap();
    let (certificate, key) = (files.certificate.to_str().unwrap(), files.key.to_str().unwrap());
    let (_directory, server) = server(&["--threads", "250", "--tls-cert", certificate, "--tls-key", key]);
    let client = Client::trusting(&authority);
    let connect = |count: u64| -> Vec<_> { (0..count).map(|_| server.greeted()).collect() };
    // In clear first, so that what threads need once is there already.
    connect(CONNECTIONS).iter_mut().for_each(|peer| drop(peer.agree("QUIT")));
    let before = server.resident_octets();
    let mut peers = connect(CONNECTIONS);
    let in_clear = server.resident_octets().saturating_sub(before) / CONNECTIONS;
    peers.iter_mut().for_each(|peer| peer.start_tls(&client));
    let under_tls = server.resident_octets().saturating_sub(before) / CONNECTIONS;
    println!("octets for each idle connection: {in_clear} in clear, {under_tls} under TLS");
    assert!(under_tls < 64 << 10, "{under_tls} octets each");
    peers.iter_mut().for_each(|peer| drop(peer.agree("QUIT")));
}
