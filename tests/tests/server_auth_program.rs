//! The server program with users: what it wants to be told, how a line is made, and what it does when the list changes.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};

use smtp_proto::sasl::base64;
use smtp_tests::certificates::{Authority, Files};
use smtp_tests::peer::Peer;
use smtp_tests::processes::{ServerProcess, program, run};
use smtp_tests::tls::Client;
use tempfile::TempDir;

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

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).into_os_string().into_string().unwrap()
    }

    /// A new file under the old name, for its owner alone.
    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path("new"), text).unwrap();
        set_mode(&self.path("new"), 0o600);
        std::fs::rename(self.path("new"), self.path(name)).unwrap();
        self.path(name)
    }

    fn tls(&self) -> [String; 4] {
        let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
        ["--tls-cert".into(), text(&self.files.certificate), "--tls-key".into(), text(&self.files.key)]
    }

    fn check(&self, options: &[&str]) -> (i32, String) {
        let spool = self.path("spool");
        let output = run("smtp-server", &[&["--check", "--spool", &spool], options].concat());
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap().trim_end().to_owned())
    }
}

fn set_mode(path: &str, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A group is often meant, everybody never.
#[test]
fn files_that_everybody_can_read() {
    let place = Place::new();
    let users = place.write("users", &line("ann", "secret", "argon2id"));
    let tls = place.tls();
    let options: Vec<&str> = tls.iter().map(String::as_str).chain(["--users", &users]).collect();
    let key = &tls[3];
    for (path, setting) in [(&users, "--users"), (key, "--tls-key")] {
        set_mode(path, 0o644);
        let (code, said) = place.check(&options);
        let warning = format!("{setting} {path}: everybody on this host may read it; chmod o-r it");
        assert!(code == 0 && said.contains(&warning), "{said}");
        assert!(!said.contains("secret"), "{said}");
        set_mode(path, 0o640);
        assert_eq!(place.check(&options), (0, "the configuration is valid".to_owned()));
    }
}

fn hash(password: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program("smtp-server"));
    command.arg("hash-password").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // One that does not like its arguments does not wait for the password.
    let _ = child.stdin.take().unwrap().write_all(password.as_bytes());
    child.wait_with_output().unwrap()
}

fn line(name: &str, password: &str, scheme: &str) -> String {
    let output = hash(&format!("{password}\n"), &["--scheme", scheme, name]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn log_in(peer: &mut Peer, name: &str, password: &str) -> String {
    peer.say(format!("AUTH PLAIN {}", base64::encode(format!("\0{name}\0{password}").as_bytes())))
}

fn offer(peer: &mut Peer) -> Option<String> {
    peer.agree("EHLO client.example").lines().find_map(|line| line[4..].strip_prefix("AUTH ").map(str::to_owned))
}

#[test]
fn settings_that_cannot_be() {
    let place = Place::new();
    let users = place.write("users", &line("ann", "secret", "argon2id"));
    let tls = place.tls();
    let tls: Vec<&str> = tls.iter().map(String::as_str).collect();
    for (options, said) in [
        (
            vec!["--listen-submission", "127.0.0.1:0"],
            "--listen-submission is for those who can log in: add --users FILE",
        ),
        (
            vec!["--listen-submissions", "127.0.0.1:0"],
            "--listen-submissions needs a certificate: add --tls-cert and --tls-key",
        ),
        (vec!["--allow-plaintext-auth"], "--allow-plaintext-auth is of no use without --users"),
        (
            vec!["--users", &users],
            "--users is of no use without TLS, since nobody logs in in clear: add --tls-cert and --tls-key (or, to try \
             things out on this host, --allow-plaintext-auth)",
        ),
        (vec!["--relay-user", "x"], "--relay-user wants a password: add --relay-password-file"),
        (vec!["--relay-password-file", "x"], "--relay-password-file is of no use without --relay-user"),
        (
            vec!["--relay-user", "x", "--relay-password-file", "x"],
            "--relay-user is for --relay smart:HOST:PORT; nobody else asks who we are",
        ),
    ] {
        assert_eq!(place.check(&options), (78, format!("smtp-server: {said}")));
    }
    let valid = (0, "the configuration is valid".to_owned());
    assert_eq!(place.check(&[&tls[..], &["--users", &users, "--listen-submission", "127.0.0.1:0"]].concat()), valid);
    assert_eq!(place.check(&["--users", &users, "--allow-plaintext-auth"]), valid);
    let wrong = place.write("wrong", "# users\nann:secret\n");
    let expected = format!(
        "smtp-server: --users {wrong}: line 2: write name:{{SCHEME}}hash; `smtp-server hash-password NAME` makes such lines"
    );
    assert_eq!(place.check(&[&tls[..], &["--users", &wrong]].concat()), (78, expected));
    // In a file, the path is relative to it, and leave for trials is no setting.
    let config = place.write("config", "users wrong\n");
    let (code, said) = place.check(&[&tls[..], &["--config", &config]].concat());
    assert!(code == 78 && said.contains("config:1: users wrong: line 2: "), "{said}");
    let config = place.write("config", "allow-plaintext-auth yes\n");
    let (code, said) = place.check(&["--config", &config]);
    assert!(code == 78 && said.contains("\"allow-plaintext-auth\" stands on the command line only"), "{said}");
}

#[test]
fn lines_for_the_list() {
    assert!(
        line("ann@example.org", "secret", "argon2id")
            .starts_with("ann@example.org:{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$")
    );
    assert!(line("ann", "secret", "SCRAM-SHA-256").starts_with("ann:{SCRAM-SHA-256}100000,"));
    for (password, arguments, code) in [
        ("secret", &[][..], 64),
        ("secret", &["--scheme", "plain", "ann"], 64),
        ("secret", &["a:b"], 64),
        ("", &["ann"], 65),
        ("\n", &["ann"], 65),
        ("two\nlines\n", &["ann"], 65),
        ("a\u{7}b", &["ann"], 65),
    ] {
        let output = hash(password, arguments);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0), "{arguments:?} {output:?}");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("secret"));
    }
}

/// Row X152: submissions under TLS from the first octet on; nobody else's mail is taken there either.
#[test]
fn submissions_with_tls_first() {
    let place = Place::new();
    let users = place.write("users", &line("ann", "secret", "scram-sha-256"));
    let tls = place.tls();
    let tls: Vec<&str> = tls.iter().map(String::as_str).collect();
    let spool = place.path("spool");
    let options = ["--listen-submissions", "127.0.0.1:0", "--spool", &spool, "--users", &users];
    let server = ServerProcess::start_as(&[&tls[..], &options].concat());
    for line in ["TLS comes first on ", "submissions are taken on "] {
        assert!(server.seen().contains(&format!("{line}{}", server.address)));
    }
    let mut peer = Peer::connect(server.address);
    peer.shake_hands(&Client::trusting(&place.authority)).unwrap();
    peer.expect_greeting();
    assert!(offer(&mut peer).is_some());
    assert_eq!(peer.say("MAIL FROM:<a@b.example>")[..9], *"530 5.7.0");
    assert_eq!(log_in(&mut peer, "ann", "secret")[..3], *"235");
    peer.send_message("a@b.example", &["x@localhost"], "text\r\n");
}

/// Row X096: the list is read again, and what it allows shows at the next connection.
#[test]
fn the_list_changes() {
    let place = Place::new();
    let users = place.write("users", &line("ann", "secret", "scram-sha-256"));
    let tls = place.tls();
    let tls: Vec<&str> = tls.iter().map(String::as_str).collect();
    let spool = place.path("spool");
    let options = ["--spool", &spool, "--users", &users, "--domain", "example.org"];
    let mut command = Command::new(program("smtp-server"));
    command.args(["--listen-submission", "127.0.0.1:0"]).args(tls).args(options).env("RUST_LOG", "info");
    let server = ServerProcess::spawn(&mut command);
    assert!(server.seen().contains(&format!("submissions are taken on {}", server.address)));
    let encrypted = || {
        let mut peer = server.greeted();
        peer.start_tls(&Client::trusting(&place.authority));
        peer
    };
    let mut peer = encrypted();
    assert_eq!(offer(&mut peer).as_deref(), Some("SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN"));
    assert_eq!(log_in(&mut peer, "bob", "geheim")[..3], *"535");
    place.write("users", "ann:no hash\n");
    server.wait_for_line(|line| {
        line.contains(" ERROR ") && line.contains(": line 1: ") && line.contains("stays in force")
    });
    place.write("users", &line("bob", "geheim", "argon2id"));
    server.wait_for_line(|line| line.ends_with("new users are in force: users=1"));
    let mut peer = encrypted();
    assert_eq!(offer(&mut peer).as_deref(), Some("PLAIN LOGIN"));
    assert_eq!(log_in(&mut peer, "ann", "secret")[..3], *"535");
    assert_eq!(log_in(&mut peer, "bob", "geheim")[..3], *"235");
    server.wait_for_line(|line| line.contains("user=\"bob\" mechanism=PLAIN status=authenticated"));
    peer.send_message("b@example.org", &["x@example.org"], "text\r\n");
    let line = server.wait_for_line(|line| line.contains("from=\"<b@example.org>\""));
    assert!(line.contains(" user=\"bob\" "), "{line}");
    let lines = server.seen();
    assert!(lines.iter().all(|line| !line.contains("geheim") && !line.contains("secret")), "{lines:#?}");
}
