//! A service manager binds the port and hands the socket over as descriptor 3: the server needs no root for it.
//!
//! Alone in its program: the descriptor must outlive `exec`, so every process that another test started at the same moment
//! would get it too.

#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::process::Command;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use smtp_tests::processes::{ServerProcess, program};
use smtp_tests::site::hand_over;
use tempfile::TempDir;

/// A command that becomes a server with `listener` as its descriptor 3.
fn server_on(listener: &TcpListener, arguments: &[&str]) -> Command {
    fcntl(listener, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    let script = format!("LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\" 3<&{}", listener.as_raw_fd());
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(program("smtp-server")).args(arguments);
    command
}

#[test]
fn a_socket_that_is_handed_over_is_served() {
    let place = tempfile::tempdir().unwrap();
    let spool = place.path().join("spool");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut server = ServerProcess::spawn(&mut server_on(&listener, &["--spool", spool.to_str().unwrap()]));
    assert_eq!(server.address, listener.local_addr().unwrap());
    let mut peer = server.greeted();
    peer.send_message("a@example.org", &["b@localhost"], "Subject: x\r\n\r\n");
    assert_eq!(peer.say("QUIT")[..3], *"221");
    server.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(server.wait().0.success());

    // Two ways to say where to listen are one too many.
    let output =
        server_on(&listener, &["--listen", "127.0.0.1:0", "--spool", spool.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8(output.stderr).unwrap().contains("so --listen has no place"));

    our_own_address_is_known(&place);
}

/// Row N272: the address was not said with --listen, and mail for it does not go out to come in again.
fn our_own_address_is_known(place: &TempDir) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = |name: &str| place.path().join(name).into_os_string().into_string().unwrap();
    let (spool, mail) = (text("delivering"), format!("maildir:{}", text("mail")));
    let own = ["--spool", &spool, "--deliver", &mail, "--hostname", "mx.example.org"];
    let relay = ["--relay", "mx", "--relay-from", "127.0.0.0/8"];
    let server = ServerProcess::spawn(&mut server_on(&listener, &[&own[..], &relay[..]].concat()));
    hand_over(&server, "<alice@mx.example.org>", &["<bob@[127.0.0.1]>"], "Subject: x\r\n\r\n");
    let line = server.wait_for_line(|line| line.contains("to=\"<bob@[127.0.0.1]>\""));
    assert!(line.contains("status=failed reply=\"550 5.4.6 ") && line.contains("is this host"), "{line}");
}
