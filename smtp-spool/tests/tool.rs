//! The `smtp-spool` program from outside: its output, its exit codes, and what it does beside a running owner.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

mod support;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use smtp_spool::{Due, Lane, Options, Outcome, Owes, Settlement, Spool, Store as _, WorkerId};
use support::*;

struct Place {
    parent: tempfile::TempDir,
    spool: Spool,
}

impl Place {
    /// A spool with three kept messages, owned.
    fn new() -> Self {
        let parent = tempfile::tempdir().unwrap();
        let (spool, _) = Spool::open(parent.path().join("spool"), Options::default()).unwrap();
        for (name, length) in [("a", 0), ("b", 10), ("c", 200_000)] {
            put(&spool, name, &octets(length), Due::Kept).unwrap();
        }
        Place { parent, spool }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.parent.path().join(name)
    }

    /// Changes the last octet but one of the content of a message.
    fn damage(&self, name: &str) {
        let entries = ["spool/new", "spool/journal"].map(|folder| std::fs::read_dir(self.path(folder)).unwrap());
        for path in entries.into_iter().flatten().map(|entry| entry.unwrap().path()) {
            let mut octets = std::fs::read(&path).unwrap();
            let mark = format!("ID {name}\r\n");
            let Some(envelope) = octets.windows(mark.len()).position(|window| window == mark.as_bytes()) else {
                continue;
            };
            octets[envelope - 2] ^= 1;
            std::fs::write(&path, octets).unwrap();
        }
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let spool = self.path("spool");
        let arguments = [&["--spool", spool.to_str().unwrap()], arguments].concat();
        let output = tool(self.parent.path(), &arguments);
        let text = |octets| String::from_utf8(octets).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }
}

fn tool(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_smtp-spool")).args(arguments).current_dir(directory).output().unwrap()
}

#[test]
fn list_beside_the_owner() {
    let place = Place::new();
    let (code, text, _) = place.run(&["list"]);
    assert_eq!(code, 0);
    assert_eq!(
        text.lines().nth(1).unwrap(),
        "b  kept             10  Sun, 23 Nov 2025 06:40:00 +0000  <alice@example.org> RET=HDRS ENVID=e+20f -> \
         <bob@example.net> <carol@example.com> NOTIFY=SUCCESS,DELAY ORCPT=utf-8;kârôl@example.com"
    );
    assert_eq!(text.lines().count(), 3);
    place.damage("b");
    std::fs::write(place.path("spool/new/d"), b"no message").unwrap();
    let (code, text, _) = place.run(&["list", "--json"]);
    assert_eq!(code, 0);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines[0], lines[5]), ("[", "]"));
    assert_eq!(
        lines[1],
        r#"{"id":"a","state":"kept","size_bytes":0,"received_at_unix_seconds":1763880000,"from":"<alice@example.org>","ret":"HDRS","envid":"e+20f","recipients":[{"to":"<bob@example.net>"},{"to":"<carol@example.com>","notify":"SUCCESS,DELAY","orcpt":"utf-8;kârôl@example.com"}]}"#.to_owned() + ","
    );
    assert_eq!(lines[4], r#"{"id":"d","state":"unreadable","reason":"it is corrupt: it is too short"}"#);
}

#[test]
fn list_tells_where_each_recipient_of_a_queued_message_stands() {
    let place = Place::new();
    let spool = &place.spool;
    put(spool, "q", b"", Due::At(0)).unwrap();
    let claim = spool.claim(&WorkerId("w".to_owned()), &Lane::unrouted(), 1, 0).unwrap().remove(0);
    let _ = spool
        .record(&claim, &[(0, Outcome::Delivered("250 \"ok\" \u{202e}\u{1b}[2J".to_owned(), Owes::Nothing))])
        .unwrap();
    let _ = spool.settle(claim, &[], Settlement::RetryAt(60)).unwrap();
    let (_, text, _) = place.run(&["list"]);
    let lines: Vec<_> = text.lines().skip(3).collect();
    assert_eq!(lines[1], "    <bob@example.net>  delivered  unrouted  250 \"ok\" \\u{202e}?[2J");
    assert_eq!(
        lines[2],
        "    <carol@example.com>  due Thu, 1 Jan 1970 00:01:00 +0000 (until Fri, 28 Nov 2025 06:40:00 +0000)  unrouted  "
    );
    let (_, text, _) = place.run(&["list", "--json"]);
    assert!(
        text.contains(
            r#"{"to":"<bob@example.net>","status":"delivered","lane":"unrouted","attempts":0,"remark":"250 \"ok\" \u202e?[2J"},"#
        ) && text.contains(r#""status":"due","due_unix_seconds":60,"give_up_unix_seconds":1764312000,"#),
        "{text}"
    );
}

#[test]
fn show_is_octet_for_octet() {
    let place = Place::new();
    let spool = place.path("spool");
    for (name, length) in [("a", 0), ("b", 10), ("c", 200_000)] {
        let output = tool(place.parent.path(), &["--spool", spool.to_str().unwrap(), "show", name]);
        assert!(output.status.success() && output.stdout == octets(length), "{name}");
    }
    // ./spool is the default.
    assert_eq!(tool(place.parent.path(), &["show", "b"]).stdout, octets(10));
    place.damage("b");
    let (code, text, error) = place.run(&["show", "b"]);
    assert_eq!((code, text.as_str()), (65, ""));
    assert_eq!(error, "smtp-spool: b: it is corrupt: the checksum differs\n");
    assert_eq!(place.run(&["show", "z"]).0, 66);
    let (code, text, _) = place.run(&["show", "--envelope", "b"]);
    let mail = "MAIL FROM:<alice@example.org> BODY=8BITMIME RET=HDRS ENVID=e+20f";
    assert!(code == 0 && text.lines().count() == 4 && text.lines().any(|line| line == mail), "{text}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let place = Place::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_smtp-spool"));
    command.args(["show", "c"]).current_dir(place.parent.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[test]
fn export_writes_whole_files_and_replaces_none() {
    let place = Place::new();
    let target = place.path("exported");
    let target_text = target.to_str().unwrap().to_owned();
    for _ in 0..2 {
        let (code, text, error) = place.run(&["export", &target_text]);
        assert_eq!((code, error.as_str()), (0, ""));
        assert!(text.starts_with("3 messages in "), "{text}");
    }
    for (name, length) in [("a.eml", 0), ("b.eml", 10), ("c.eml", 200_000)] {
        assert!(std::fs::read(target.join(name)).unwrap() == octets(length), "{name}");
    }
    assert_eq!(std::fs::read_dir(&target).unwrap().count(), 3, "nothing but the messages");
    std::fs::write(target.join("b.eml"), b"mine").unwrap();
    place.damage("c");
    let (code, text, error) = place.run(&["export", &target_text]);
    assert_eq!((code, error.lines().count()), (65, 2), "{error}");
    assert!(text.starts_with("1 messages in "), "{text}");
    assert_eq!(std::fs::read(target.join("b.eml")).unwrap(), b"mine");
    assert_eq!(std::fs::read_dir(&target).unwrap().count(), 3);
    assert_eq!(place.run(&["export", place.path("no/such").to_str().unwrap()]).0, 73);
}

#[test]
fn check_names_each_bad_file() {
    let place = Place::new();
    let (code, text, _) = place.run(&["check"]);
    assert_eq!((code, text.as_str()), (0, "3 whole, 0 bad, 0 unreadable; 0 files set aside in corrupt\n"));
    place.damage("b");
    put(&place.spool, "q", b"text of a message", Due::At(0)).unwrap();
    place.damage("q");
    std::fs::write(place.path("spool/new/torn"), b"smtp-spool 1").unwrap();
    std::fs::write(place.path("spool/new/\u{1b}[2J"), b"").unwrap();
    std::fs::write(place.path("spool/corrupt/x"), b"").unwrap();
    let (code, text, error) = place.run(&["check"]);
    let lines: Vec<_> = text.lines().collect();
    let journal = std::fs::read_dir(place.path("spool/journal")).unwrap().next().unwrap().unwrap().file_name();
    let segment = format!("journal/{}", journal.to_str().unwrap());
    assert_eq!(code, 65);
    assert_eq!(
        lines[0],
        format!(
            "b in {segment}: it is corrupt: the checksum differs; it stays where it is until it is removed (smtp-spool remove b)"
        )
    );
    assert_eq!(
        lines[1],
        format!(
            "q in {segment}: it is corrupt: the checksum differs; it is moved to corrupt when it is to be delivered"
        )
    );
    assert_eq!(
        lines[2],
        "torn in new/torn: it is corrupt: it is too short; the next start of the server moves it to corrupt"
    );
    assert_eq!(lines[3], "new/\\u{1b}[2J: it is not a message; left alone");
    assert_eq!(error, "smtp-spool: some files are bad; the line of each says what becomes of it\n");
    assert_eq!(lines[4], "2 whole, 4 bad, 0 unreadable; 1 files set aside in corrupt");
}

#[test]
fn the_command_line_is_explained() {
    let place = Place::new();
    for arguments in [
        &["frobnicate"][..],
        &[],
        &["show"],
        &["show", "../x"],
        &["show", "a\n"],
        &["list", "--xml"],
        &["retry-now"],
        &["retry-now", "a", "--all"],
        &["hold", "--all"],
    ] {
        let (code, text, error) = place.run(arguments);
        assert_eq!((code, text.as_str(), error.lines().count()), (64, "", 1), "{arguments:?} {error}");
    }
    for (arguments, expected) in [
        (&["frobnicate"][..], "unrecognized argument: frobnicate; see smtp-spool --help"),
        (&["hold"], "needs id; see smtp-spool hold --help"),
        (&["list", "--spool"], "unrecognized argument: --spool; see smtp-spool list --help"),
    ] {
        assert_eq!(place.run(arguments).2, format!("smtp-spool: {expected}\n"));
    }
    assert!(place.run(&["list", "--spool", "another"]).2.ends_with(": given twice\n"));
    let text = |arguments: &[&str]| {
        let output = tool(place.parent.path(), arguments);
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(text(&["--version"]), format!("smtp-spool {}\n", env!("CARGO_PKG_VERSION")));
    for arguments in [&["--help"][..], &["show", "--help"], &["check", "--help"]] {
        let short = [&arguments[..arguments.len() - 1], &["-h"]].concat();
        assert_eq!(text(arguments), text(&short));
    }
    let help = text(&["--help"]);
    for word in
        ["--spool", "list", "show", "export", "remove", "check", "retry-now", "  0 all is well", "66", "--version"]
    {
        assert!(help.contains(word), "{word} in {help}");
    }
    for command in ["list", "stats", "check", "show x", "export x", "remove x", "hold x", "release x", "retry-now x"] {
        let words: Vec<_> = command.split(' ').collect();
        assert_eq!(tool(&place.path("spool"), &words).status.code(), Some(66), "{command}");
    }
    // The spool may be named behind the command, as in the other programs.
    assert_eq!(text(&["list", "--spool", "spool", "--json"]), text(&["--spool", "spool", "list", "--json"]));
    assert!(!place.path("spool/spool").exists(), "looking for a spool makes none");
}
