//! Looking after the queue of a running server: the programs as processes, a smart host that is away and comes back.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use smtp_tests::processes::{ServerProcess, program, run};
use smtp_tests::wait_until;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

struct Place {
    directory: TempDir,
    /// Bound, so that nobody else gets the port, and not listening: whoever calls is refused.
    reserved: Option<Socket>,
    smart_host: SocketAddr,
}

impl Place {
    fn new() -> Self {
        let reserved = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        reserved.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let smart_host = reserved.local_addr().unwrap().as_socket().unwrap();
        Place { directory: tempfile::tempdir().unwrap(), reserved: Some(reserved), smart_host }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// A server with mailboxes of its own, whose other mail goes to a smart host.
    fn server(&self) -> ServerProcess {
        ServerProcess::start(&[
            "--spool",
            &self.text("spool"),
            "--domain",
            "example.org",
            "--deliver",
            &format!("maildir:{}", self.text("mail")),
            "--relay",
            &format!("smart:{}", self.smart_host),
            "--relay-from",
            "127.0.0.0/8",
        ])
    }

    /// The smart host comes back. It takes mail for `far.example` and keeps it.
    fn bring_up_the_smart_host(&mut self) -> ServerProcess {
        self.reserved = None;
        let mut command = Command::new(program("smtp-server"));
        command.args(["--listen", &self.smart_host.to_string(), "--domain", "far.example", "--spool"]);
        ServerProcess::spawn(command.arg(self.path("far")))
    }

    fn tool_in(&self, spool: &str, line: &str) -> (i32, String, String) {
        let spool = self.text(spool);
        let output =
            run("smtp-spool", &[&["--spool", &spool], line.split(' ').collect::<Vec<_>>().as_slice()].concat());
        let text = |octets| String::from_utf8(octets).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    fn tool(&self, line: &str) -> String {
        let (code, text, error) = self.tool_in("spool", line);
        assert_eq!((code, error.as_str()), (0, ""), "{line}");
        text
    }

    /// Waits until so many messages were tried and nobody is at work on any.
    fn wait_until_tried(&self, messages: usize) {
        wait_until("all were tried", || self.tool("list").matches("1 tried").count() == messages);
        wait_until("nobody is at work", || self.tool("stats").contains("; 0 deliveries are under way"));
    }

    fn mailbox(&self, name: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path(&format!("mail/{name}/new"))) else { return Vec::new() };
        entries.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
    }
}

fn send(server: &ServerProcess, to: &[&str]) -> String {
    let mut peer = server.greeted();
    peer.send_message("alice@example.org", to, "Subject: x\r\n\r\ntext\r\n")
}

#[test]
fn a_message_is_held_released_and_tried_when_its_host_is_back() {
    let mut place = Place::new();
    let server = place.server();
    let id = send(&server, &["bob@far.example"]);
    place.wait_until_tried(1);
    let list = place.tool("list");
    let line = list.lines().nth(1).unwrap();
    assert!(line.starts_with("    <bob@far.example>  due ") && line.contains("  smart  1 tried  "), "{list}");
    assert!(line.contains("refused"), "the last answer, or what came in its place: {list}");
    assert_eq!(place.tool(&format!("hold {id}")), "held: 1 recipient\n");
    assert_eq!(place.tool("retry-now --all"), "due now: 0 messages\n");
    assert!(place.tool("stats").contains("held        1 message, "));

    let _smart_host = place.bring_up_the_smart_host();
    assert_eq!(place.tool(&format!("release {id}")), "released: 1 recipient\n");
    wait_until("it is delivered", || place.tool_in("far", "list").1.contains("<bob@far.example>"));
    wait_until("it is done", || place.tool("list").is_empty());
    assert!(
        server.seen().iter().any(|line| line.contains(&format!("an operator says: hold {id}; the answer: done 1 0")))
    );
}

#[test]
fn what_waits_is_delivered_at_once() {
    let mut place = Place::new();
    let server = place.server();
    let ids = [send(&server, &["bob@far.example"]), send(&server, &["carol@far.example"])];
    place.wait_until_tried(2);
    let _smart_host = place.bring_up_the_smart_host();
    // The next try would be in about a minute.
    assert_eq!(place.tool(&format!("retry-now {}", ids[0])), "due now: 1 recipient\n");
    wait_until("the first is delivered", || place.tool_in("far", "list").1.contains("<bob@far.example>"));
    assert_eq!(place.tool("retry-now --all"), "due now: 1 message\n");
    wait_until("the second is delivered", || place.tool_in("far", "list").1.contains("<carol@far.example>"));
    wait_until("nothing is left", || place.tool("list").is_empty());
}

#[test]
fn the_sender_of_a_removed_message_gets_a_report() {
    let place = Place::new();
    let server = place.server();
    let (loud, silent) = (send(&server, &["bob@far.example"]), send(&server, &["carol@far.example"]));
    place.wait_until_tried(2);
    assert_eq!(place.tool(&format!("remove {silent}")), "");
    assert_eq!(place.tool(&format!("remove --report {loud}")), "given up: 1 recipient\n");
    wait_until("the report is there", || !place.mailbox("alice").is_empty());
    wait_until("nothing is left", || place.tool("list").is_empty());
    let reports = place.mailbox("alice");
    let report = reports[0].replace("\r\n", "\n");
    for wanted in [
        "\nAction: failed\n",
        "\nStatus: 5.7.1\n",
        "bob@far.example",
        "removed from the queue by the administrator",
        "\nReturn-Path: <>\n",
    ] {
        assert!(format!("\n{report}").contains(wanted), "{wanted:?} in {report}");
    }
    assert!(reports.len() == 1 && !report.contains("carol"), "{reports:?}");
}

/// The socket of a killed server is in nobody's way; that of a stopped one is gone; one that stands still says 75.
#[test]
fn the_socket_comes_and_goes_with_the_server() {
    let place = Place::new();
    let mut server = place.server();
    let id = send(&server, &["bob@far.example"]);
    place.wait_until_tried(1);
    server.signal(Signal::SIGKILL);
    server.wait();
    assert!(place.path("spool/control").exists());
    assert_eq!(place.tool(&format!("hold {id}")), "held: 1 recipient\n");
    let mut server = place.server();
    assert!(place.tool("stats").contains("owner       well; "));
    assert_eq!(place.tool(&format!("hold {id}")), "held: 0 recipients\n");
    server.signal(Signal::SIGTERM);
    assert!(server.wait().0.success());
    assert!(!place.path("spool/control").exists());
    assert!(place.tool("stats").contains("owner       nobody answers"));
}

/// What lies where the socket would be is left alone, and mail goes on.
#[test]
fn a_server_without_a_socket_takes_mail_all_the_same() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("spool/control")).unwrap();
    let server = place.server();
    let id = send(&server, &["bob@far.example"]);
    wait_until("it was tried", || place.tool("list").contains("1 tried"));
    assert!(server.seen().iter().any(|line| line.contains("it is there and no socket; move it away")));
    let (code, _, error) = place.tool_in("spool", &format!("hold {id}"));
    assert!(code == 75 && error.contains("it takes no requests at this moment: try again"), "{code} {error}");
}
