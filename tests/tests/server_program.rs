//! The server program from outside: what it prints, how it ends, what signals do to it.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, User, chown};
use smtp_spool::Reader;
use smtp_tests::processes::{ServerProcess, program, run};
use tempfile::TempDir;

/// A directory with a spool in it, or a place for one.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Place(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.text(name)
    }

    fn server(&self, arguments: &[&str]) -> ServerProcess {
        ServerProcess::start(&[&["--spool", &self.text("spool"), "--domain", "example.org"], arguments].concat())
    }

    fn messages(&self) -> usize {
        Reader::open(self.path("spool")).unwrap().list().unwrap().count()
    }
}

fn texts(output: &Output) -> (i32, String, String) {
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// Runs the server with arguments with which it cannot start. Returns the code and the one line that says why.
fn failure(arguments: &[&str]) -> (i32, String) {
    let (code, stdout, stderr) = texts(&run("smtp-server", arguments));
    assert_eq!(stdout, "", "{arguments:?}");
    // Log lines, such as the warning to root, begin with a time.
    let said: Vec<&str> = stderr.lines().filter(|line| line.starts_with("smtp-server: ")).collect();
    assert!(said.len() == 1 && stderr.ends_with(&format!("{}\n", said[0])), "{arguments:?}: {stderr}");
    assert!(!said[0].chars().any(char::is_control), "{stderr}");
    (code, said[0].to_owned())
}

#[test]
fn help_and_version() {
    let (code, stdout, stderr) = texts(&run("smtp-server", &["--help"]));
    assert_eq!((code, stderr.as_str()), (0, ""));
    let options = "listen listen-tls tls-cert tls-key hostname domain spool recipients aliases relay relay-from deliver keep-max-bytes threads max-connections-per-ip \
                   max-message-size max-recipients max-messages-per-connection accept-bare-lf user group config check";
    for option in options.split_whitespace() {
        assert!(stdout.contains(&format!("--{option}")), "--{option} is missing in\n{stdout}");
    }
    assert!(stdout.contains("smtp-server explain ADDRESS"), "{stdout}");
    let (code, stdout, stderr) = texts(&run("smtp-server", &["--version"]));
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, "smtp-server 0.1.0\n", ""));
}

#[test]
fn wrong_command_lines() {
    for arguments in [
        &["--nonsense"][..],
        &["word"],
        &["--listen"],
        &["--listen", "here"],
        &["--listen", "127.0.0.1"],
        &["--listen", "127.0.0.1:99999"],
        &["--domain", "a_b"],
        &["--hostname", "caf\u{e9}.example"],
        &["--hostname", "two words\nand lines"],
        &["--threads", "many"],
        &["--threads", "-1"],
        &["--max-message-size", "1M"],
        &["--accept-bare-lf", "10.0.0.0/33"],
        &["--deliver", "burn"],
        &["--spool", "a", "--spool", "b"],
        &["--check", "--threads", "0"],
        &["--check", "--threads", "8193"],
        &["--max-recipients", "99"],
        &["--max-messages-per-connection", "0"],
    ] {
        let (code, _) = failure(arguments);
        assert_eq!(code, 64, "{arguments:?}");
    }
    let said = |arguments: &[&str]| failure(arguments).1;
    assert_eq!(
        said(&["--max-message-size", "10MB"]),
        "smtp-server: --max-message-size \"10MB\": write a number of octets"
    );
    assert_eq!(said(&["--threads", "0"]), "smtp-server: --threads \"0\": it must be from 1 to 8192");
    assert!(said(&["--hostname", "a\u{1b}b"]).starts_with("smtp-server: --hostname \"a\\u{1b}b\": "), "escaped once");
}

/// `--check` reads everything and touches nothing.
#[test]
fn checking_settings() {
    let place = Place::new();
    let list = place.write("recipients.txt", "# who is here\nalice\nbob@example.org\n");
    let config = place.write(
        "good.conf",
        "# mail\nlisten 127.0.0.1:25\ndomain example.org\nspool spool\nrecipients recipients.txt\n",
    );
    for arguments in
        [&["--check", "--config", &config][..], &["--check", "--recipients", &list, "--domain", "example.org"]]
    {
        let (code, stdout, stderr) = texts(&run("smtp-server", arguments));
        assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, "", "the configuration is valid\n"));
    }
    assert!(!place.path("spool").exists(), "nothing is made");

    let bad_list = place.write("bad list.txt", "alice\nnot an address@@\n");
    for (text, expected) in [
        ("listen 127.0.0.1:25\ndomian example.org\n", ":2: "),
        ("listen nowhere\n", ":1: "),
        ("\n\nthreads 0\n", ":3: "),
        ("threads 2\nthreads 3\n", ":2: "),
        ("max-message-size 9\n", ":1: "),
        ("spool\n", ":1: "),
        ("config other\n", ":1: "),
        ("# only\n--threads 2\n", ":2: "),
        ("hostname caf\u{e9}\n", ":1: "),
        ("spool = mail\n", ":1: spool: write the value without ="),
        ("allow-plaintext-auth\n", ":1: \"allow-plaintext-auth\" stands on the command line only"),
    ] {
        let config = place.write("bad.conf", text);
        let (code, said) = failure(&["--check", "--config", &config]);
        assert!(code == 78 && said.starts_with(&format!("smtp-server: {config}{expected}")), "{text:?}: {code} {said}");
    }
    let (code, said) = failure(&["--check", "--recipients", &bad_list]);
    assert!(code == 78 && said.contains("bad list.txt: line 2: "), "{said}");
    let (code, said) = failure(&["--check", "--recipients", &list, "--domain", "example.com"]);
    assert!(code == 78 && said.ends_with(": line 3: example.org is not served here; add --domain"), "{said}");
    let (code, said) = failure(&["--check", "--deliver", "maildir:/nowhere/mail"]);
    assert_eq!(
        (code, said.as_str()),
        (73, "smtp-server: --deliver maildir:/nowhere/mail: there is no directory \"/nowhere\" to make it in")
    );
    let (_, said) = failure(&["--check", "--recipients", "nofile"]);
    assert!(said.starts_with("smtp-server: --recipients nofile: No such file"), "{said}");
    let config = place.write("bad.conf", "# mail\nrecipients nofile\n");
    let (code, said) = failure(&["--check", "--config", &config]);
    assert!(code == 78 && said.starts_with(&format!("smtp-server: {config}:2: recipients nofile: No such")), "{said}");
    for arguments in [
        &["--check", "--config", "/nonexistent/server.conf"][..],
        &["--check", "--recipients", "/nonexistent/list"],
        &["--check", "--group", "nogroup"],
    ] {
        assert_eq!(failure(arguments).0, 78, "{arguments:?}");
    }
}

/// Row N218: it says what the server says, with the same settings, and touches nothing.
#[test]
fn explaining_an_address() {
    let place = Place::new();
    place.write("recipients.txt", "alice\nbob@two.example\n");
    let text = "listen 127.0.0.1:1\nspool spool\nrecipients recipients.txt\ndomain example.org\ndomain two.example\n\
                user nobody-of-this-name\n";
    let config = place.write("server.conf", text);
    let explain = |arguments: &[&str]| texts(&run("smtp-server", &[&["explain"], arguments].concat()));
    for (address, code, first) in [
        ("Alice+x@EXAMPLE.org", 0, "RCPT TO:<Alice+x@EXAMPLE.org> is accepted"),
        ("<bob@two.example>", 0, "RCPT TO:<bob@two.example> is accepted"),
        ("postmaster", 0, "RCPT TO:<Postmaster> is accepted"),
        ("bob@example.org", 67, "RCPT TO:<bob@example.org> is refused: 550 5.1.1 There is no such mailbox here"),
        ("u@x.example", 77, "RCPT TO:<u@x.example> is refused: 550 5.7.1 This server takes no mail for that domain"),
    ] {
        let (ended, stdout, stderr) = explain(&["--config", &config, address]);
        assert_eq!((ended, stdout.lines().next(), stderr.as_str()), (code, Some(first), ""), "{address}");
        assert_eq!(stdout.lines().count(), 2, "{stdout}");
    }
    let (code, stdout, _) = explain(&["x+y@a.example", "--domain", "a.example"]);
    assert_eq!((code, stdout.lines().last()), (0, Some("<x+y@a.example> goes to the mailbox x@a.example")));
    assert!(!place.path("spool").exists(), "nothing is made");

    let list = place.write("bad.txt", "a b\n");
    for (arguments, code, expected) in [
        (&["alice"][..], 64, "address \"alice\": the address needs @ and a domain"),
        (&[], 64, "needs address; see smtp-server explain --help"),
        (&["a@b", "c@d"], 64, "unrecognized argument: c@d"),
        (&["a@b", "--listen", "127.0.0.1:1"], 64, "unrecognized argument: --listen"),
        (&["--recipients", &list, "a@b"], 78, "bad.txt: line 1: "),
        (&["--config", "/nonexistent", "a@b"], 78, "--config /nonexistent: "),
    ] {
        let (ended, said) = failure(&[&["explain"], arguments].concat());
        assert!(ended == code && said.contains(expected), "{arguments:?}: {ended} {said}");
    }
    let (code, stdout, stderr) = explain(&["--help"]);
    assert!(code == 0 && stderr.is_empty() && stdout.starts_with("Usage: smtp-server explain "), "{stdout}");
}

/// What can be told without binding or making anything is told by `--check`, with the code of the start.
#[test]
fn checking_looks_at_the_places() {
    let place = Place::new();
    let file = place.write("file", "not a directory");
    let (inner, spool) = (place.text("none/spool"), place.text("spool"));
    for (arguments, code, expected) in [
        (&["--user", "nobody-of-this-name"][..], 67, "there is no user \"nobody-of-this-name\""),
        (&["--user", "root", "--group", "none-of-this-name"], 67, "there is no group \"none-of-this-name\""),
        (&["--spool", &file], 73, "is not a directory"),
        (&["--spool", &inner], 73, "its parent directory does not exist"),
        (&["--listen", "127.0.0.1:25", "--listen", "127.0.0.1:25"], 78, "--listen \"127.0.0.1:25\": given twice"),
    ] {
        let (checked, said) = failure(&[&["--check"], arguments].concat());
        assert!(checked == code && said.contains(expected), "{arguments:?}: {checked} {said}");
        // The start says the same, before it binds anything.
        assert_eq!(failure(arguments), (checked, said));
    }
    let good = ["--check", "--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--spool", &spool];
    assert_eq!(texts(&run("smtp-server", &good)).0, 0);
    assert!(!place.path("spool").exists() && !place.path("none").exists());
}

/// A unit file that says `--user` although the service manager has changed the user already.
#[test]
fn becoming_who_it_is_already() {
    let Ok(Some(me)) = User::from_uid(Uid::effective()) else {
        println!("skipped: this user has no name");
        return;
    };
    if me.gid != Gid::effective() {
        println!("skipped: this process is not in the group of its user");
        return;
    }
    let place = Place::new();
    let server = place.server(&["--user", &me.name]);
    server.greeted().send_message("a@b.example", &["x@example.org"], "as before\r\n");
}

#[test]
fn places_where_it_cannot_start() {
    let place = Place::new();
    let listening = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listening.local_addr().unwrap().to_string();
    let (code, said) = failure(&["--listen", &taken, "--spool", &place.text("spool")]);
    assert!(code == 69 && said.contains(&taken), "{code} {said}");
    let (code, said) = failure(&["--listen", "203.0.113.1:2525", "--spool", &place.text("spool")]);
    assert!(code == 69 && said.contains("203.0.113.1:2525"), "{code} {said}");
    assert!(!place.path("spool").exists(), "the ports come first");

    let file = place.write("file", "not a directory");
    let (code, said) = failure(&["--listen", "127.0.0.1:0", "--spool", &file]);
    assert!(code == 73 && said.contains(&format!("{file:?} is not a directory")), "{code} {said}");
    let (code, said) = failure(&["--listen", "127.0.0.1:0", "--spool", &place.text("none/spool")]);
    assert!(code == 73 && said.contains("its parent directory does not exist"), "{code} {said}");
    let (code, said) =
        failure(&["--listen", "127.0.0.1:0", "--spool", &place.text("spool"), "--user", "nobody-of-this-name"]);
    assert!(code == 67 && said.contains("nobody-of-this-name"), "{code} {said}");
}

/// Two servers on one spool would each believe that they alone own it.
#[test]
fn two_servers_on_one_spool() {
    let place = Place::new();
    let server = place.server(&[]);
    let (code, said) = failure(&["--listen", "127.0.0.1:0", "--spool", &place.text("spool")]);
    assert!(code == 75 && said.contains(&place.text("spool")), "{code} {said}");
    server.greeted().send_message("a@b.example", &["x@example.org"], "the first goes on\r\n");
    drop(server); // killed: the lock goes with the process, and nothing has to be removed by hand
    let server = place.server(&[]);
    server.greeted().send_message("a@b.example", &["x@example.org"], "the next one\r\n");
    assert_eq!(place.messages(), 2);
}

/// Several listeners, and settings from a file, of which the command line replaces some.
#[test]
fn a_configuration_file() {
    let place = Place::new();
    place.write("recipients.txt", "alice\n");
    let text = "hostname file.example\nlisten 127.0.0.1:1\nspool spool\nrecipients recipients.txt\ndomain example.org\nmax-message-size 65536\n";
    let config = place.write("server.conf", text);
    let server = ServerProcess::start(&["--config", &config, "--listen", "127.0.0.1:0", "--max-message-size", "70000"]);
    server.wait_for_line(|line| line.starts_with("listening on 127.0.0.1:"));
    let mut peer = server.connect();
    assert!(peer.reply().starts_with("220 file.example "));
    assert!(peer.agree("EHLO a").contains("\n250-SIZE 70000\n"));
    peer.agree("MAIL FROM:<>");
    peer.expect("RCPT TO:<bob@example.org>", "550 5.1.1");
    peer.expect("RCPT TO:<Alice@example.org>", "250 ");
    assert!(place.path("spool").is_dir(), "beside the file that names it");
    assert_eq!(std::fs::metadata(place.path("spool")).unwrap().permissions().mode() & 0o777, 0o700);
}

/// Row N092: the first signal drains, whichever it is; the program ends with 0.
#[test]
fn signals_stop_it_in_order() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let place = Place::new();
        let mut server = place.server(&[]);
        let mut idle = server.greeted();
        let mut busy = server.greeted();
        busy.agree_all(&["MAIL FROM:<a@b.example>", "RCPT TO:<x@example.org>", "DATA"]);
        server.signal(signal);
        assert!(idle.reply().starts_with("421 4.3.2 "), "{signal}");
        idle.expect_close();
        busy.send("it may finish\r\n.\r\n");
        assert!(busy.reply().starts_with("250 "), "{signal}");
        assert!(busy.reply().starts_with("421 4.3.2 "), "{signal}");
        drop((idle, busy));
        let (status, lines) = server.wait();
        assert_eq!((status.code(), place.messages()), (Some(0), 1), "{signal}: {lines:#?}");
    }
}

#[test]
fn a_second_signal_does_not_wait() {
    let place = Place::new();
    let mut server = place.server(&[]);
    let mut peer = server.greeted();
    peer.agree_all(&["MAIL FROM:<a@b.example>", "RCPT TO:<x@example.org>", "DATA"]);
    peer.send("half a message\r\n");
    server.signal(Signal::SIGTERM);
    server.wait_for_line(|line| line.contains("stopping; open transactions may finish"));
    server.signal(Signal::SIGTERM);
    assert!(peer.reply().starts_with("421 4.3.2 "));
    peer.expect_close();
    drop(peer);
    let (status, lines) = server.wait();
    assert_eq!((status.code(), place.messages()), (Some(0), 0), "{lines:#?}");
}

/// What was acknowledged is there after a kill and a new start.
#[test]
fn a_kill_loses_nothing() {
    let place = Place::new();
    let server = place.server(&[]);
    let mut peer = server.greeted();
    for _ in 0..5 {
        peer.send_message("a@b.example", &["x@example.org"], "kept\r\n");
    }
    peer.agree_all(&["MAIL FROM:<a@b.example>", "RCPT TO:<x@example.org>", "DATA"]);
    peer.send("a line that makes a file\r\n".repeat(10_000));
    drop(server);
    let server = place.server(&[]);
    assert!(server.seen().iter().any(|line| line.contains("kept=5 queued=0")), "{:#?}", server.seen());
    assert_eq!(std::fs::read_dir(place.path("spool/tmp")).unwrap().count(), 0, "what was under way is gone");
    server.greeted().agree("QUIT");
}

/// Root binds the port and nothing else.
#[test]
fn root_becomes_somebody_else() {
    let nobody = User::from_name("nobody").unwrap();
    let (true, Some(nobody)) = (Uid::effective().is_root(), nobody) else {
        println!("skipped: this needs root, and a user called nobody");
        return;
    };
    let place = Place::new();
    std::fs::set_permissions(place.0.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let spool = place.path("spool");
    std::fs::create_dir(&spool).unwrap();
    let (code, said) = failure(&["--listen", "127.0.0.1:0", "--spool", spool.to_str().unwrap(), "--user", "nobody"]);
    assert!(
        code == 77 && said.contains("change its owner, or run as that user (smtp-server --user)"),
        "another user's spool: {code} {said}"
    );

    chown(&spool, Some(nobody.uid), Some(nobody.gid)).unwrap();
    let server = place.server(&["--user", "nobody"]);
    assert_ids(&server, nobody.uid, nobody.gid);
    let id = server.greeted().send_message("a@b.example", &["x@example.org"], "not by root\r\n");
    for entry in std::fs::read_dir(spool.join("journal")).unwrap() {
        let file = entry.unwrap().metadata().unwrap();
        assert_eq!((file.uid(), file.mode() & 0o777), (nobody.uid.as_raw(), 0o600));
    }
    // Requests are taken from that user, and from root.
    let socket = std::fs::metadata(spool.join("control")).unwrap();
    assert_eq!((socket.uid(), socket.mode() & 0o777), (nobody.uid.as_raw(), 0o600));
    let spool = spool.to_str().unwrap();
    assert_eq!(texts(&run("smtp-spool", &["--spool", spool, "remove", &id])), (0, String::new(), String::new()));
    // With nobody to ask, root would have to work with another user's files.
    drop(server);
    let (code, _, said) = texts(&run("smtp-spool", &["--spool", spool, "remove", &id]));
    assert!(code == 77 && said.contains("belongs to the user with number"), "{code} {said}");
}

/// What root could read at the start, the user that it became may not: the log says so, and it is taken once it is mended.
#[test]
fn a_list_that_only_root_can_read() {
    if !Uid::effective().is_root() || User::from_name("nobody").unwrap().is_none() {
        println!("skipped: this needs root, and a user called nobody");
        return;
    }
    let place = Place::new();
    let set_mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    set_mode(place.0.path(), 0o755);
    let nobody = User::from_name("nobody").unwrap().unwrap();
    std::fs::create_dir(place.path("spool")).unwrap();
    chown(&place.path("spool"), Some(nobody.uid), Some(nobody.gid)).unwrap();
    let list = place.write("recipients", "bob\n");
    set_mode(Path::new(&list), 0o600);
    let server = place.server(&["--user", "nobody", "--recipients", &list]);
    place.write("recipients", "bob\nann\n");
    let line = server.wait_for_line(|line| line.contains(" ERROR "));
    assert!(line.contains(&list) && line.contains("; let the user \"nobody\" read it; "), "{line}");
    set_mode(Path::new(&list), 0o644);
    server.wait_for_line(|line| line.contains("recipients=2 aliases=0"));
    server.greeted().send_message("a@b.example", &["ann@example.org"], "she is there\r\n");
}

#[cfg(target_os = "linux")]
fn assert_ids(server: &ServerProcess, user: Uid, group: Gid) {
    let status = server.status();
    let ids = |name: &str| -> Vec<u32> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().map(|id| id.parse().unwrap()).collect()
    };
    assert_eq!((ids("Uid:"), ids("Gid:")), (vec![user.as_raw(); 4], vec![group.as_raw(); 4]));
    assert!(ids("Groups:").iter().all(|id| *id == group.as_raw()), "{status}");
}

#[cfg(not(target_os = "linux"))]
fn assert_ids(_: &ServerProcess, _: Uid, _: Gid) {}

/// No descriptors left. The server waits instead of spinning, and goes on when there are some.
#[test]
fn descriptors_run_out_and_come_back() {
    let place = Place::new();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 30; exec \"$0\" \"$@\""]).arg(program("smtp-server"));
    command.args([
        "--listen",
        "127.0.0.1:0",
        "--threads",
        "100",
        "--spool",
        &place.text("spool"),
        "--domain",
        "example.org",
    ]);
    let server = ServerProcess::spawn(&mut command);
    let peers: Vec<_> = (0..60).map(|_| server.connect()).collect();
    server.wait_for_line(|line| line.contains("accepting connections: "));
    drop(peers);
    server.greeted().send_message("a@b.example", &["x@example.org"], "room again\r\n");
    let pauses = server.seen().iter().filter(|line| line.contains("accepting connections: ")).count();
    assert!(pauses < 100, "{pauses} times without a pause");
}

/// The spool tool beside a server that runs.
#[test]
fn the_spool_tool_beside_the_server() {
    let place = Place::new();
    let mut server = place.server(&[]);
    let mut peer = server.greeted();
    let contents = ["Subject: one\r\n\r\n.\r\n", "Subject: two\r\n\r\nsecond\r\n"];
    let ids = contents.map(|content| {
        peer.send_message("a@b.example", &["x@example.org", "y@example.org"], content.replace("\r\n.", "\r\n.."))
    });
    let spool = place.text("spool");
    let tool = |arguments: &[&str]| texts(&run("smtp-spool", &[&["--spool", &spool], arguments].concat()));

    let (code, list, _) = tool(&["list"]);
    assert_eq!((code, list.lines().count()), (0, 2), "{list}");
    for (line, id) in list.lines().zip(&ids) {
        assert!(
            line.starts_with(id.as_str()) && line.ends_with("<a@b.example> -> <x@example.org> <y@example.org>"),
            "{line}"
        );
    }
    let (code, json, _) = tool(&["list", "--json"]);
    assert!(code == 0 && ids.iter().all(|id| json.contains(&format!("\"id\":\"{id}\""))), "{json}");
    let (code, shown, _) = tool(&["show", &ids[1]]);
    assert!(
        code == 0 && shown.starts_with("Received: from client.example ") && shown.ends_with(contents[1]),
        "{shown}"
    );
    assert_eq!(tool(&["show", "no-such-id"]).0, 66);
    assert_eq!(
        tool(&["check"]),
        (0, "2 whole, 0 bad, 0 unreadable; 0 files set aside in corrupt\n".into(), String::new())
    );

    let exported = place.text("exported");
    let (code, _, said) = tool(&["export", &exported]);
    assert_eq!(code, 0, "{said}");
    for (id, content) in ids.iter().zip(contents) {
        let octets = std::fs::read_to_string(Path::new(&exported).join(format!("{id}.eml"))).unwrap();
        assert!(octets.ends_with(content), "{octets}");
    }

    let (code, _, said) = tool(&["remove", &ids[0]]);
    assert_eq!((code, said.as_str()), (0, ""), "the server does it");
    assert_eq!(tool(&["remove", &ids[0]]).0, 66);
    peer.send_message("a@b.example", &["x@example.org"], "nothing of this disturbed it\r\n");
    drop(peer);
    server.signal(Signal::SIGTERM);
    server.wait();
    assert_eq!(tool(&["remove", &ids[1]]).0, 0);
    assert_eq!(tool(&["remove", &ids[1]]).0, 66);
    assert_eq!(tool(&["list"]).1.lines().count(), 1);
}
