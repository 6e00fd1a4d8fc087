//! One address after the other until a server is ready, and what `smtp-client mx` tells of a domain.

#![allow(clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use simple_dns::RCODE;
use smtp_client::connection::ConnectError;
use smtp_client::peer::Peer;
use smtp_client::transcript::Observer;
use smtp_client::{Connection, Options};
use smtp_tests::PATIENCE;
use smtp_tests::client::{answers, check_complaint, check_failure, code, errors, run, write_file};
use smtp_tests::dns_server::{DnsServer, Zone, refusal};
use smtp_tests::scripted_server::{ReservedPort, Script, ScriptedServer, polite};

fn address(name: &str) -> SocketAddr {
    name.parse().unwrap()
}

/// Notes with whom a conversation begins and that it ends.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Observer for Notes {
    fn connected(&mut self, peer: &Peer) {
        self.0.lock().unwrap().push(peer.to_string());
    }

    fn closed(&mut self) {
        self.0.lock().unwrap().push("closed".into());
    }
}

/// Rows N265, N266: whoever is not there, has no time or does not want to talk is passed over.
#[test]
fn the_first_address_that_is_ready_for_mail() {
    let nobody = ReservedPort::new();
    let busy = ScriptedServer::start([Script::new().say("421 4.3.2 not now").close()]);
    let unwilling = ScriptedServer::start([Script::new().say("554 5.3.2 no mail here").close()]);
    let no_smtp = ScriptedServer::start([Script::new().say("HTTP/1.1 400 Bad Request").close()]);
    let ready = ScriptedServer::start([Script::serve(polite)]);
    let unused = ReservedPort::new();
    let talked = [busy.name(), unwilling.name(), no_smtp.name(), ready.name()];
    let names = [&[nobody.name()][..], &talked, &[unused.name()]].concat();
    let addresses: Vec<SocketAddr> = names.iter().map(|name| address(name)).collect();
    let notes = Notes::default();
    let options = Options { observer: Box::new(notes.clone()), ..Options::default() };
    let connection = Connection::open_any(&addresses, options).unwrap();
    assert_eq!(*connection.peer(), Peer::Tcp(address(&ready.name())));
    connection.quit();
    let expected: Vec<String> = talked.into_iter().flat_map(|name| [name, "closed".to_owned()]).collect();
    assert_eq!(*notes.0.lock().unwrap(), expected);
    assert_eq!(ready.finish_one().commands.last().map(String::as_str), Some("QUIT"));
}

#[test]
fn nobody_is_ready_for_mail() {
    let refusing = |count: usize| {
        let scripts = (0..count).map(|_| Script::new().say("554 5.3.2 no mail here").close());
        ScriptedServer::start(scripts.collect::<Vec<_>>())
    };
    let nobody = ReservedPort::new();
    let server = refusing(4);
    let (absent, unwilling) = (address(&nobody.name()), address(&server.name()));
    // The order does not matter: who is not there now may be there later.
    for addresses in [[absent, unwilling], [unwilling, absent]] {
        let error = Connection::open_any(addresses, Options::default()).unwrap_err();
        assert!(matches!(error, ConnectError::Connect(Peer::Tcp(address), ..) if address == absent), "{error}");
    }
    let error = Connection::open_any([unwilling, unwilling], Options::default()).unwrap_err();
    assert!(!error.is_transient(), "{error}");
    server.finish();
    assert!(Connection::open_any([] as [SocketAddr; 0], Options::default()).is_err());
}

#[test]
fn one_deadline_for_all_addresses() {
    let silent = ScriptedServer::start([Script::new().hold()]);
    let other = ReservedPort::new();
    let limit = Duration::from_millis(300);
    let began = Instant::now();
    let options = Options { give_up_at: Some(began + limit), ..Options::default() };
    let error = Connection::open_any([address(&silent.name()), address(&other.name())], options).unwrap_err();
    assert!(began.elapsed() >= limit && began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    assert!(matches!(error, ConnectError::Session(..)), "the second is not tried: {error}");
    silent.finish();
}

// ---- The tool --------------------------------------------------------------------------------------------------------

fn zone() -> Zone {
    Zone::new()
        .mx("example.org", 20, "backup.example.net")
        .mx("example.org", 10, "mx.example.org")
        .mx("example.org", 15, "gone.example.org")
        .address("mx.example.org", "192.0.2.1")
        .address("mx.example.org", "2001:db8::1")
        .address("backup.example.net", "192.0.2.2")
        .address("plain.example", "192.0.2.3")
        .mx("null.example", 0, ".")
        .mx("lost.example", 10, "gone.example.org")
        .empty("empty.example")
        .alias("alias.example", "example.org")
        .alias("circle.example", "circle.example")
}

fn mx(server: &DnsServer, arguments: &[&str]) -> std::process::Output {
    run(&[&["mx", "--dns", &server.address.to_string()], arguments].concat())
}

/// Rows N267, N269.
#[test]
fn hosts_and_addresses_in_their_order() {
    let server = DnsServer::start(|asked| zone().answer(asked));
    for (domain, expected) in [
        (
            "example.org",
            "10 mx.example.org 2001:db8::1\n10 mx.example.org 192.0.2.1\n20 backup.example.net 192.0.2.2\n",
        ),
        (
            "alias.example",
            "10 mx.example.org 2001:db8::1\n10 mx.example.org 192.0.2.1\n20 backup.example.net 192.0.2.2\n",
        ),
        ("plain.example", "0 plain.example 192.0.2.3\n"),
        ("[192.0.2.9]", "0 [192.0.2.9] 192.0.2.9\n"),
        ("[IPv6:2001:db8::9]", "0 [IPv6:2001:db8::9] 2001:db8::9\n"),
    ] {
        let output = mx(&server, &[domain]);
        assert_eq!((code(&output), errors(&output), answers(&output)), (0, "", expected));
    }
}

#[test]
fn why_there_are_none() {
    let server = DnsServer::start(|asked| match asked.name.as_str() {
        // In the form in which DNS has it (row X135).
        "failing.example" | "xn--bcher-kva.example" => refusal(asked, RCODE::ServerFailure),
        _ => zone().answer(asked),
    });
    for (domain, expected, wanted) in [
        ("nobody.example", 68, "nobody.example: there is no such domain (5.1.2)"),
        ("null.example", 69, "null.example: the domain takes no mail (null MX) (5.1.10)"),
        ("lost.example", 69, "lost.example: no host that takes its mail has an address (5.4.4)"),
        ("empty.example", 69, "empty.example: no host that takes its mail has an address (5.4.4)"),
        ("circle.example", 75, "circle.example: more than 8 CNAME records, or a circle of them (4.4.3)"),
        ("failing.example", 75, "failing.example: the DNS server could not find out (SERVFAIL) (4.4.3)"),
        ("b\u{fc}cher.example", 75, "the DNS server could not find out (SERVFAIL) (4.4.3)"),
    ] {
        let output = mx(&server, &[domain]);
        check_failure(&output, expected, &[wanted]);
        assert_eq!(answers(&output), "");
    }
}

#[test]
fn one_json_object() {
    let server = DnsServer::start(|asked| zone().answer(asked));
    let output = mx(&server, &["--json", "example.org"]);
    assert_eq!((code(&output), errors(&output)), (0, ""));
    let expected = [
        r#"{"domain":"example.org","hosts":[{"name":"mx.example.org","preference":10,"addresses":["2001:db8::1","192.0.2.1"]},"#,
        r#"{"name":"backup.example.net","preference":20,"addresses":["192.0.2.2"]}],"failure":null}"#,
        "\n",
    ];
    assert_eq!(answers(&output), expected.concat());
    let output = mx(&server, &["--json", "null.example"]);
    check_failure(&output, 69, &["null MX"]);
    let expected = [
        r#"{"domain":"null.example","hosts":[],"failure":{"code":556,"enhanced":"5.1.10","is_transient":false,"#,
        r#""text":"null.example: the domain takes no mail (null MX)"}}"#,
        "\n",
    ];
    assert_eq!(answers(&output), expected.concat());
}

/// The file says how long and how often; a server on the command line goes before the servers in the file.
#[test]
fn settings_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = write_file(folder.path(), "resolv.conf", b"nameserver 192.0.2.53\noptions timeout:1 attempts:1\n");
    let server = DnsServer::start(|asked| zone().answer(asked));
    let output = mx(&server, &["--resolv-conf", &file, "plain.example"]);
    assert_eq!(answers(&output), "0 plain.example 192.0.2.3\n");
    let silent = DnsServer::silent();
    let output = mx(&silent, &["--resolv-conf", &file, "plain.example"]);
    check_failure(&output, 75, &["no DNS server answered in time (4.4.3)"]);
    assert_eq!(silent.questions().len(), 1);
    let began = Instant::now();
    let output = mx(&silent, &["--timeout", "1", "plain.example"]);
    check_failure(&output, 75, &["no DNS server answered in time"]);
    assert!(began.elapsed() < PATIENCE);
    let output = run(&["mx", "--resolv-conf", "/nonexistent/resolv.conf", "plain.example"]);
    assert_eq!(code(&output), 66);
    check_complaint(&output, &["/nonexistent/resolv.conf"]);
    for wrong in ["dns.example.org", "192.0.2.53:0"] {
        let output = run(&["mx", "--dns", wrong, "plain.example"]);
        assert_eq!(code(&output), 64);
        check_complaint(&output, &["--dns", wrong]);
    }
}
