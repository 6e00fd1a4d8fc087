//! REQUIRETLS (RFC 8689), from the client through a relay to the next host: the message goes under TLS to who has proved who
//! it is and promises the same, or it comes back. Rows X144, X157, X158, X160.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use smtp_tests::certificates::{Authority, Files, Identity};
use smtp_tests::client::{check_failure, code, send};
use smtp_tests::processes::ServerProcess;
use smtp_tests::scripted_server::{Script, ScriptedServer, polite, polite_with, server_config};
use smtp_tests::site::Site;

const LETTER: &[u8] = b"From: alice@example.org\nTo: bob@far.example\nSubject: hello\n\nfor you only\n";

/// A relay with a certificate, to which a message was handed over that requires TLS.
struct Relay {
    site: Site,
    _server: ServerProcess,
}

impl Relay {
    fn new(authority: &Authority, next: &str) -> Self {
        let site = Site::new("example.org");
        let files = Files::write(&site.path("certificates"), authority, &authority.issue().unwrap()).unwrap();
        let [ca_file, certificate, key] =
            [&files.authority, &files.certificate, &files.key].map(|path| path.to_str().unwrap());
        let route = format!("smart:{next}");
        // Nothing is said of TLS with the next host, so it is only tried.
        let server = site.start(&[
            "--tls-cert",
            certificate,
            "--tls-key",
            key,
            "--relay",
            &route,
            "--relay-from",
            "127.0.0.0/8",
            "--relay-ca-file",
            ca_file,
        ]);
        let sent = send(&server.address.to_string(), &["--requiretls", "--ca-file", ca_file], LETTER);
        assert_eq!(code(&sent), 0, "{sent:?}");
        Relay { site, _server: server }
    }
}

fn secured(identity: &Identity, keywords: &'static [&str]) -> ScriptedServer {
    let script = Script::greeted(&["SIZE", "STARTTLS"]).expect("STARTTLS").say("220 go ahead");
    let script = script.tls(&server_config(identity)).converse(move |said| polite_with(keywords, said));
    ScriptedServer::start([script])
}

#[test]
fn the_requirement_goes_along() {
    let authority = Authority::new("ours").unwrap();
    let next = secured(&authority.issue().unwrap(), &["SIZE", "REQUIRETLS"]);
    let relay = Relay::new(&authority, &next.name());
    relay.site.wait_until_done();
    let session = next.finish_one();
    let mail = session.commands.iter().find(|line| line.starts_with("MAIL ")).unwrap();
    assert!(mail.starts_with("MAIL FROM:<alice@example.org> ") && mail.ends_with(" REQUIRETLS"), "{mail}");
    assert!(session.contents.len() == 1 && relay.site.all_mail() == 0);
}

/// What cannot go on so goes nowhere: the sender hears why, with no more than the header of the message in the report.
#[test]
fn where_it_cannot_go_along() {
    let authority = Authority::new("ours").unwrap();
    let stranger = Identity::self_signed().unwrap();
    for (next, expected) in [
        (secured(&authority.issue().unwrap(), &["SIZE"]), "5.7.30"),
        (secured(&stranger, &["SIZE", "REQUIRETLS"]), "5.7.10"),
        (ScriptedServer::start([Script::greeted(&["SIZE", "REQUIRETLS"]).converse(polite)]), "5.7.10"),
    ] {
        let relay = Relay::new(&authority, &next.name());
        let report = relay.site.only_mail("alice");
        assert!(report.contains(&format!("Status: {expected}\n")) && report.contains("REQUIRETLS"), "{report}");
        assert!(report.contains("text/rfc822-headers") && !report.contains("for you only"), "{report}");
        let session = next.finish_one();
        assert!(session.commands.iter().all(|line| !line.starts_with("MAIL ")), "{:?}", session.commands);
    }
}

/// In clear nobody offers it, and nobody asks for it.
#[test]
fn not_in_clear() {
    let site = Site::new("example.org");
    let server = site.start(&[]);
    let sent = send(&server.address.to_string(), &["--requiretls"], LETTER);
    check_failure(&sent, 76, &["TLS is required, and the server does not offer STARTTLS; nothing was sent"]);
    let sent = send(&server.address.to_string(), &["--requiretls", "--tls", "none"], LETTER);
    check_failure(&sent, 69, &["REQUIRETLS"]);
    let mut peer = server.greeted();
    peer.send(b"MAIL FROM:<alice@example.org> REQUIRETLS\r\n");
    assert!(peer.reply().starts_with("555 5.5.4 "));
}
