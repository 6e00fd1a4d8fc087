//! The server program with a certificate: what it wants to be told, and what it does when the files change.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User, chown};
use smtp_tests::certificates::{Authority, Files, Identity};
use smtp_tests::peer::Peer;
use smtp_tests::processes::{ServerProcess, run};
use smtp_tests::tls::Client;
use tempfile::TempDir;

/// A directory with an authority, a certificate and a place for a spool.
struct Place {
    directory: TempDir,
    authority: Authority,
    files: Files,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new("tests").unwrap();
        let files = Files::write(directory.path(), &authority, &authority.issue().unwrap()).unwrap();
        Place { directory, authority, files }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        text_of(&self.path(name))
    }

    /// `--check` with this certificate and key, and more. Returns the code and what was said.
    fn check(&self, certificate: &str, key: &str, more: &[&str]) -> (i32, String) {
        let spool = text_of(&self.path("spool"));
        let basic = ["--check", "--spool", &spool, "--tls-cert", certificate, "--tls-key", key];
        ended(&[&basic, more].concat())
    }
}

fn text_of(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn ended(arguments: &[&str]) -> (i32, String) {
    let output = run("smtp-server", arguments);
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap().trim_end().to_owned())
}

/// One line that says what is wrong, and with which file.
#[test]
fn settings_that_cannot_be() {
    let place = Place::new();
    let (certificate, key) = (text_of(&place.files.certificate), text_of(&place.files.key));
    for (arguments, said) in [
        (&["--tls-cert", &certificate][..], "--tls-cert is of no use without its key: add --tls-key"),
        (&["--tls-key", &key], "--tls-key is of no use without its certificate: add --tls-cert"),
        (&["--listen-tls", "127.0.0.1:0"], "--listen-tls needs a certificate: add --tls-cert and --tls-key"),
    ] {
        assert_eq!(ended(&[&["--check"], arguments].concat()), (78, format!("smtp-server: {said}")));
    }
    let (code, said) = ended(&["--listen-tls", "here"]);
    assert_eq!(code, 64, "{said}");
    let both = ["--listen", "127.0.0.1:465", "--listen-tls", "127.0.0.1:465"];
    let (code, said) = place.check(&certificate, &key, &both);
    assert_eq!((code, said.as_str()), (78, "smtp-server: --listen-tls \"127.0.0.1:465\": given twice"));

    let other = Authority::new("another").unwrap().issue().unwrap();
    let other_key = place.write("other.key", &other.key_pem);
    let junk = place.write("junk", "no PEM at all\n");
    let spoilt = place.write("spoilt", "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n");
    let no_x509 = place.write("no_x509", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let encrypted =
        place.write("locked", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    let large = place.write("large", &"x".repeat(2 << 20));
    let (cert_option, key_option) = ("--tls-cert", "--tls-key");
    for (certificate, key, wrong, what) in [
        ("/nonexistent", &*key, cert_option, "No such file or directory (os error 2)"),
        (&*certificate, "/nonexistent", key_option, "No such file or directory (os error 2)"),
        (&junk, &key, cert_option, "it holds no certificate in PEM form"),
        (&key, &key, cert_option, "it holds no certificate in PEM form"),
        (&spoilt, &key, cert_option, "it cannot be read as PEM: "),
        (&no_x509, &key, cert_option, "the first certificate cannot be used: "),
        (&certificate, &junk, key_option, "it holds no private key in PEM form"),
        (&certificate, &certificate, key_option, "it holds no private key in PEM form"),
        (&certificate, &encrypted, key_option, "the key is encrypted; the server needs one without a passphrase"),
        (&certificate, &other_key, key_option, "it is not the key of the certificate"),
        (&certificate, &large, key_option, "it has more than 1048576 octets, "),
    ] {
        let file = if wrong == cert_option { certificate } else { key };
        let expected = format!("smtp-server: {wrong} {file}: {what}");
        let (code, said) = place.check(certificate, key, &[]);
        assert!(
            code == 78 && said.starts_with(&expected) && said.lines().count() == 1,
            "{code} {said}, not {expected}"
        );
    }
    assert_eq!(place.check(&certificate, &key, &[]), (0, "the configuration is valid".to_owned()));
}

/// Names in a file are relative to it, and errors name its line.
#[test]
fn in_a_configuration_file() {
    let place = Place::new();
    let config = place.write(
        "server.conf",
        "spool spool\nlisten 127.0.0.1:0\nlisten-tls 127.0.0.1:0\ntls-cert server.pem\ntls-key server.key\n",
    );
    let server = ServerProcess::start_as(&["--config", &config]);
    assert!(server.connect_and_hello().contains("STARTTLS"));
    let second = server.wait_for_line(|line| line.starts_with("listening on "));
    let announced = server.seen().into_iter().find(|line| line.starts_with("TLS comes first on ")).unwrap();
    assert_eq!(announced.strip_prefix("TLS comes first on "), second.strip_prefix("listening on "));
    let address: SocketAddr = second["listening on ".len()..].parse().unwrap();
    let mut peer = Peer::connect(address);
    peer.shake_hands(&Client::trusting(&place.authority)).unwrap();
    peer.expect_greeting();
    drop(peer);

    let config = place.write("bad.conf", "spool spool\ntls-cert server.pem\ntls-key nofile\n");
    let (code, said) = ended(&["--check", "--config", &config]);
    assert!(
        code == 78 && said.starts_with(&format!("smtp-server: {config}:3: tls-key nofile: No such file")),
        "{said}"
    );
}

/// With TLS alone there is no listener in clear, also not the one of the defaults.
#[test]
fn with_tls_only() {
    let place = Place::new();
    let spool = text_of(&place.path("spool"));
    let (certificate, key) = (text_of(&place.files.certificate), text_of(&place.files.key));
    let listen = ["--listen-tls", "127.0.0.1:0", "--spool", &spool, "--tls-cert", &certificate, "--tls-key", &key];
    let mut server = ServerProcess::start_as(&listen);
    server.signal(nix::sys::signal::Signal::SIGTERM);
    let (_, lines) = server.wait();
    let listeners = lines.iter().filter(|line| line.starts_with("listening on ")).count();
    assert_eq!(listeners, 1, "{lines:#?}");
}

/// A new certificate is taken while the server runs; a wrong one is told once and changes nothing.
#[test]
fn files_that_change() {
    let place = Place::new();
    let spool = text_of(&place.path("spool"));
    let (certificate, key) = (text_of(&place.files.certificate), text_of(&place.files.key));
    let server = ServerProcess::start(&["--spool", &spool, "--tls-cert", &certificate, "--tls-key", &key]);
    let shows = |authority: &Authority| {
        let mut peer = server.greeted();
        peer.expect("STARTTLS", "220 ");
        peer.shake_hands(&Client::trusting(authority)).is_ok()
    };
    assert!(shows(&place.authority));

    let other = Authority::new("another").unwrap();
    let write = |identity: &Identity| Files::write(place.directory.path(), &other, identity).unwrap();
    let new = other.issue().unwrap();
    write(&Identity {
        certificate_pem: new.certificate_pem.clone(),
        key_pem: Identity::self_signed().unwrap().key_pem,
    });
    let said = server.wait_for_line(|line| line.contains("ERROR"));
    let expected =
        format!("--tls-key {key}: it is not the key of the certificate; what was read before stays in force");
    assert!(said.ends_with(&expected), "{said}");
    assert!(shows(&place.authority) && !shows(&other));

    write(&new);
    server.wait_for_line(|line| line.ends_with("a new certificate is in force: certificates=1"));
    assert!(shows(&other) && !shows(&place.authority));
    assert_eq!(server.seen().iter().filter(|line| line.contains("ERROR")).count(), 1, "told once");
}

/// One line for each handshake that fails, with the reason; none for whoever just goes away, and never an ERROR.
#[test]
fn what_the_log_tells() {
    let place = Place::new();
    let spool = text_of(&place.path("spool"));
    let (certificate, key) = (text_of(&place.files.certificate), text_of(&place.files.key));
    let listen = ["--listen-tls", "127.0.0.1:0", "--spool", &spool, "--tls-cert", &certificate, "--tls-key", &key];
    let server = ServerProcess::start_as(&listen);
    let stranger = Authority::new("another").unwrap();
    let trusting = Client::trusting(&place.authority);
    server.connect().leave();
    for (client, said) in [
        (Some(Client::trusting(&stranger)), "received fatal alert: UnknownCA"),
        (Some(trusting.offering(&["h2"])), "peer doesn't support any known protocol"),
        (None, "received corrupt message of type InvalidContentType"),
    ] {
        let mut peer = server.connect();
        match client {
            Some(client) => assert!(peer.shake_hands(&client).is_err(), "{said}"),
            None => peer.send("EHLO client.example\r\n"),
        }
        let line = server.wait_for_line(|line| line.contains("status="));
        let address = peer.address();
        let expected = format!("peer={address} status=refused: TLS handshake: {said}");
        assert!(line.contains("INFO") && line.ends_with(&expected), "{line}");
    }
    let lines = server.seen();
    assert_eq!(lines.iter().filter(|line| line.contains("peer=")).count(), 3, "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("ERROR")), "{lines:#?}");
}

/// What root can read is of no use if the user whom the server becomes cannot: `--check` says so, and so does the start.
#[test]
fn a_key_that_the_service_user_cannot_read() {
    let Ok(Some(nobody)) = User::from_name("nobody") else {
        println!("skipped: there is no user nobody");
        return;
    };
    if !Uid::effective().is_root() {
        println!("skipped: only root can become somebody else");
        return;
    }
    let place = Place::new();
    std::fs::set_permissions(place.directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::create_dir(place.path("spool")).unwrap();
    chown(&place.path("spool"), Some(nobody.uid), Some(nobody.gid)).unwrap();
    std::fs::set_permissions(place.path("spool"), PermissionsExt::from_mode(0o700)).unwrap();
    let spool = text_of(&place.path("spool"));
    let (certificate, key) = (text_of(&place.files.certificate), text_of(&place.files.key));
    let user = ["--user", "nobody"];
    let expected =
        format!("smtp-server: --tls-key {key}: Permission denied (os error 13); let the user \"nobody\" read it");
    assert_eq!(place.check(&certificate, &key, &user), (78, expected.clone()));
    let start = ["--listen", "127.0.0.1:0", "--spool", &spool, "--tls-cert", &certificate, "--tls-key", &key];
    assert_eq!(ended(&[&start[..], &user].concat()), (78, expected));

    chown(&place.files.key, Some(nobody.uid), None).unwrap();
    assert_eq!(place.check(&certificate, &key, &user).0, 0);
    // The same of the list that says with whom TLS is required: a change to it must not be lost.
    let policies = text_of(&place.path("policies"));
    std::fs::write(&policies, "example.org require\n").unwrap();
    let mail = format!("maildir:{}", text_of(&place.path("mail")));
    let relay = [&user[..], &["--relay", "mx", "--deliver", &mail, "--tls-policy", &policies]].concat();
    assert_eq!(place.check(&certificate, &key, &relay).0, 0);
    std::fs::set_permissions(&policies, PermissionsExt::from_mode(0o600)).unwrap();
    let (code, said) = place.check(&certificate, &key, &relay);
    let expected = format!("--tls-policy {policies}: Permission denied (os error 13); let the user \"nobody\" read it");
    assert!(code == 78 && said.ends_with(&expected), "{code} {said}");
    // A folder on the way to it is as good a hindrance.
    std::fs::create_dir(place.path("private")).unwrap();
    std::fs::set_permissions(place.path("private"), PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::rename(&place.files.key, place.path("private/server.key")).unwrap();
    let (code, said) = place.check(&certificate, &text_of(&place.path("private/server.key")), &user);
    assert!(code == 78 && said.ends_with("let the user \"nobody\" read it"), "{code} {said}");
}
