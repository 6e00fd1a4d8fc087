//! Mail on its way out, under TLS or not at all: what the settings of a relay say, and what becomes of a message for which
//! that is not to be had. Rows X065, X066.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::sync::Arc;

use rustls::ServerConfig;
use smtp_client::dns::{Exchange, Table};
use smtp_client::mx::Own;
use smtp_client::queue::outside::Outside;
use smtp_client::queue::{Transport, Verdict};
use smtp_client::tls::{TlsMode, TlsOptions, TlsPolicyTable, Trust};
use smtp_server::relay_tls::RelayTls;
use smtp_spool::Lane;
use smtp_tests::certificates::{Authority, Identity};
use smtp_tests::processes::{ServerProcess, run};
use smtp_tests::scripted_server::{ReservedPort, Script, ScriptedServer, polite, server_config};
use smtp_tests::site::{Site, hand_over};
use smtp_tests::wait_until;

const LETTER: &str = "Subject: hello\r\n\r\ntext\r\n";

fn secured(config: &Arc<ServerConfig>) -> Script {
    Script::greeted(&["SIZE", "STARTTLS"]).expect("STARTTLS").say("220 go ahead").tls(config).converse(polite)
}

fn plain() -> Script {
    Script::greeted(&["SIZE"]).converse(polite)
}

/// A relay that trusts this authority and no other.
fn start(site: &Site, next: &str, authority: &Authority, options: &[&str]) -> ServerProcess {
    let ca_file = site.write("ca.pem", authority.certificate_pem());
    let route = format!("smart:{next}");
    let own = ["--relay", &route, "--relay-from", "127.0.0.0/8", "--relay-ca-file", &ca_file];
    let server = site.start(&[&own[..], options].concat());
    hand_over(&server, "<alice@example.org>", &["<bob@far.example>"], LETTER);
    server
}

fn verdict(server: &ServerProcess, status: &str) -> String {
    let is_verdict = |line: &String| line.contains(" to=\"<bob@far.example>\" relay=") && line.contains(status);
    let mut found = None;
    wait_until(status, || {
        found = server.seen().into_iter().find(is_verdict);
        found.is_some()
    });
    found.unwrap()
}

#[test]
fn what_is_required_and_to_be_had() {
    let authority = Authority::new("ours").unwrap();
    let config = server_config(&authority.issue().unwrap());
    let next = ScriptedServer::start([secured(&config)]);
    let site = Site::new("example.org");
    let server = start(&site, &next.name(), &authority, &["--relay-tls", "require"]);
    site.wait_until_done();
    assert!(verdict(&server, "status=delivered").contains("reply=\"250 queued\""));
    assert_eq!(next.finish_one().commands[..3], ["EHLO mx.example.org", "STARTTLS", "EHLO mx.example.org"]);

    let next = ScriptedServer::start([Script::new().tls(&config).say("220 mx").converse(polite)]);
    let site = Site::new("example.org");
    let _server = start(&site, &next.name(), &authority, &["--relay-tls", "implicit"]);
    site.wait_until_done();
    assert_eq!(next.finish_one().contents.len(), 1);
}

/// The message waits, with the reason, and nothing of it was said in clear.
#[test]
fn what_is_required_and_not_to_be_had() {
    let authority = Authority::new("ours").unwrap();
    let untrusted = server_config(&Identity::self_signed().unwrap());
    let refusing = Script::greeted(&["STARTTLS"]).expect("STARTTLS").say("502 5.5.1 no").converse(polite);
    let cases = [
        (plain(), "4.7.4 TLS is required, and the server does not offer STARTTLS"),
        (refusing, "4.7.4 TLS is required: STARTTLS: 502 "),
        (secured(&untrusted), "4.7.5 no TLS: its certificate is self-signed"),
    ];
    for (script, words) in cases {
        let next = ScriptedServer::start([script]);
        let site = Site::new("example.org");
        let server = start(&site, &next.name(), &authority, &["--relay-tls", "require"]);
        let line = verdict(&server, "status=deferred");
        assert!(line.contains(words), "{line}");
        let commands = next.finish_one().commands;
        assert!(commands.iter().all(|line| !line.starts_with("MAIL")), "{commands:?}");
        assert_eq!(site.spooled(), 1);
    }
}

/// The sender hears of it in the end. Ten seconds are the shortest that a message may be kept for.
#[test]
fn a_message_that_never_gets_its_tls() {
    let authority = Authority::new("ours").unwrap();
    let next = ScriptedServer::start((0..3).map(|_| plain()));
    let site = Site::new("example.org");
    let times = ["--retry-after", "10s", "--give-up-after", "10s"];
    let _server = start(&site, &next.name(), &authority, &[&["--relay-tls", "require"], &times[..]].concat());
    let report = site.only_mail("alice");
    assert!(report.contains("Action: failed") && report.contains("TLS is required"), "{report}");
}

/// The list goes before the setting, and is read again.
#[test]
fn a_list_of_destinations() {
    let authority = Authority::new("ours").unwrap();
    let next = ReservedPort::new();
    let name = next.name();
    let next = next.listen((0..3).map(|_| plain()));
    let site = Site::new("example.org");
    let list = site.write("tls-policy", "[127.0.0.1] try\nlocalhost require\n");
    let port = name.rsplit_once(':').unwrap().1;
    let server = start(&site, &format!("localhost:{port}"), &authority, &["--tls-policy", &list]);
    assert!(verdict(&server, "status=deferred").contains("4.7.4 "), "{:?}", server.seen());
    site.write("tls-policy", "localhost\n");
    server.wait_for_line(|line| line.contains("tls-policy: line 1: write a domain and try, require or none"));
    site.write("tls-policy", "localhost try\n");
    server.wait_for_line(|line| line.contains("new policies of TLS are in force: destinations=1"));
    site.spool_tool(&["retry-now", "--all"]);
    site.wait_until_done();
    assert!(verdict(&server, "status=delivered").contains("250 queued"));
    let contents: usize = next.finish().iter().map(|session| session.contents.len()).sum();
    assert_eq!(contents, 1);
}

/// Each domain has its own, and the name in the certificate is that of the host which takes its mail.
#[test]
fn domains_and_their_mail_exchangers() {
    let authority = Authority::new("ours").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let ca_file = directory.path().join("ca.pem");
    std::fs::write(&ca_file, authority.certificate_pem()).unwrap();
    let config = server_config(&authority.issue_for(&["mx.safe.example"]).unwrap());
    let policies =
        TlsPolicyTable::parse("safe.example require\n.safe.example require\nwrong.example require\n").unwrap();
    let all = TlsOptions { mode: TlsMode::Try, trust: Trust::only(&ca_file).unwrap() };
    let table = |name: &str, host: &str| {
        let (domain, host) = (name.parse().unwrap(), host.parse().unwrap());
        let table = Table::default().address(&host, [127, 0, 0, 1].into());
        table.mx(&domain, 10, Exchange::Host(host))
    };
    for (domain, host, script, expected) in [
        ("safe.example", "mx.safe.example", secured(&config), None),
        ("a.safe.example", "mx.safe.example", secured(&config), None),
        (
            "wrong.example",
            "mx.wrong.example",
            secured(&config),
            Some("its certificate is not for mx.wrong.example, but for mx.safe.example"),
        ),
        ("safe.example", "mx.safe.example", plain(), Some("4.7.4 ")),
        // Opportunistic: whoever it is, and in clear too.
        ("else.example", "mx.else.example", secured(&config), None),
        ("else.example", "mx.else.example", plain(), None),
    ] {
        let next = ScriptedServer::start([script]);
        let port = next.name().rsplit_once(':').unwrap().1.parse().unwrap();
        let outside = Outside::new("mx".parse().unwrap(), None, Own::default(), Box::new(table(domain, host)));
        let outside = outside.at_port(port).with_tls(RelayTls::new(all.clone(), policies.clone()));
        let lane = Lane::new(&format!("mx:{domain}")).unwrap();
        match (outside.open(&lane), expected) {
            (Ok(carrier), None) => carrier.close(),
            (Err(Verdict::Deferred(said)), Some(words)) => {
                assert!(said.text.contains(words), "{domain}: {}", said.text)
            }
            (Ok(_), Some(words)) => panic!("{domain}: no {words}"),
            (Err(verdict), _) => panic!("{domain}: {verdict:?}"),
        }
        next.finish();
    }
}

#[test]
fn settings_that_make_no_sense() {
    let site = Site::new("example.org");
    let (empty, bad) = (site.write("empty", ""), site.write("bad", "example.org implicit\n"));
    let deliver = format!("maildir:{}", site.path("mail").display());
    let relaying = ["--deliver", &deliver, "--relay", "smart:127.0.0.1:1"];
    let cases: [(&[&str], i32, &str); 8] = [
        (&["--relay-tls", "try"], 78, "--relay-tls, --relay-ca-file and --tls-policy are of no use without --relay"),
        (
            &["--deliver", &deliver, "--relay", "mx", "--relay-tls", "implicit"],
            78,
            "--relay-tls implicit is for a smart host",
        ),
        (&["--relay-from", "192.0.2.0/24"], 78, "--relay-from is of no use without --relay: add --relay mx or "),
        (
            &[&relaying[..], &["--relay-tls", "none", "--relay-ca-file", &empty]].concat(),
            78,
            "--relay-ca-file is of no use with --relay-tls none: ",
        ),
        (&["--relay-tls", "always"], 64, "--relay-tls \"always\": write none, try, require or implicit"),
        (&[&relaying[..], &["--relay-ca-file", &empty]].concat(), 78, "empty: there is no certificate in it"),
        (
            &[&relaying[..], &["--tls-policy", &bad]].concat(),
            78,
            "bad: line 1: \"implicit\": write try, require or none",
        ),
        (&[&relaying[..], &["--tls-policy", "/nowhere/list"]].concat(), 78, "--tls-policy /nowhere/list: "),
    ];
    for (words, code, expected) in cases {
        let output = run("smtp-server", &[&["--check"], words].concat());
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && text.contains(expected), "{words:?}: {output:?}");
    }
}
