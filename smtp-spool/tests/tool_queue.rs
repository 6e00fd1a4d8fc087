//! The `smtp-spool` program beside an owner who takes requests: holding, releasing, trying at once, removing, counting.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

mod support;

use std::process::Command;

use smtp_spool::control::Control;
use smtp_spool::{
    Due, Lane, MessageState, Options, Outcome, Owes, Reader, Report, Settlement, Spool, Status, Store as _, WorkerId,
};
use support::*;

struct Place {
    _control: Control,
    spool: Spool,
    reader: Reader,
    parent: tempfile::TempDir,
}

impl Place {
    /// An owned spool with a message, `m`, whose recipients wait for their next try: in far future, in a lane of their own.
    fn new() -> Self {
        let parent = tempfile::tempdir().unwrap();
        let (spool, _) = Spool::open(parent.path().join("spool"), Options::default()).unwrap();
        let control = Control::serve(spool.clone(), &parent.path().join("spool")).unwrap();
        let reader = Reader::open(parent.path().join("spool")).unwrap();
        put(&spool, "m", b"text\r\n", Due::At(0)).unwrap();
        let place = Place { _control: control, spool, reader, parent };
        let claim = place.claim(&Lane::unrouted());
        let routed = [0, 1].map(|number| (number, Outcome::Routed(lane())));
        let _ = place.spool.settle(claim, &routed, Settlement::Done).unwrap();
        let claim = place.claim(&lane());
        let deferred = [0, 1].map(|number| (number, Outcome::Deferred("<mx[192.0.2.1]:25> 451 later".to_owned())));
        let _ = place.spool.settle(claim, &deferred, Settlement::RetryAt(FUTURE)).unwrap();
        place
    }

    fn claim(&self, lane: &Lane) -> smtp_spool::Claim {
        self.spool.claim(&WorkerId("w".to_owned()), lane, 1, FUTURE - 1).unwrap().remove(0)
    }

    fn run(&self, line: &str) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smtp-spool"));
        let output = command.args(line.split(' ')).current_dir(self.parent.path()).output().unwrap();
        let text = |octets| String::from_utf8(octets).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    fn agrees(&self, line: &str) -> String {
        let (code, text, error) = self.run(line);
        assert_eq!((code, error.as_str()), (0, ""), "{line}");
        text
    }

    fn status(&self) -> Status {
        self.reader.summary(&id("m")).unwrap().recipients[0].status
    }
}

/// In the year 2128.
const FUTURE: i64 = 5_000_000_000;

fn lane() -> Lane {
    Lane::new("mx:example.net").unwrap()
}

#[test]
fn hold_release_and_retry() {
    let place = Place::new();
    assert_eq!(place.agrees("hold m"), "held: 2 recipients\n");
    assert_eq!(place.reader.summary(&id("m")).unwrap().state(), MessageState::Held);
    assert_eq!(place.agrees("hold m"), "held: 0 recipients\n");
    assert_eq!(place.agrees("release m"), "released: 2 recipients\n");
    assert!(matches!(place.status(), Status::Due(at) if at < FUTURE));
    assert_eq!(place.spool.due_lanes(FUTURE - 1).unwrap(), [(lane(), 1)]);
}

#[test]
fn what_waits_is_tried_at_once() {
    let place = Place::new();
    assert!(place.spool.due_lanes(FUTURE - 1).unwrap().is_empty());
    assert_eq!(place.agrees("retry-now m"), "due now: 2 recipients\n");
    assert_eq!(place.spool.due_lanes(FUTURE - 1).unwrap(), [(lane(), 1)]);
    let place = Place::new();
    assert_eq!(place.agrees("retry-now --all"), "due now: 1 message\n");
    assert_eq!(place.spool.due_lanes(FUTURE - 1).unwrap(), [(lane(), 1)]);
    // In memory only.
    assert_eq!(place.status(), Status::Due(FUTURE));
}

#[test]
fn list_tells_how_often_and_until_when() {
    let place = Place::new();
    let text = place.agrees("list");
    assert_eq!(
        text.lines().nth(1).unwrap(),
        "    <bob@example.net>  due Fri, 11 Jun 2128 08:53:20 +0000 (until Fri, 28 Nov 2025 06:40:00 +0000)  \
         mx:example.net  1 tried  <mx[192.0.2.1]:25> 451 later"
    );
    let text = place.agrees("list --json");
    let members = r#""status":"due","due_unix_seconds":5000000000,"give_up_unix_seconds":1764312000,"lane":"mx:example.net","attempts":1,"remark":"<mx[192.0.2.1]:25> 451 later"}"#;
    assert!(text.contains(members), "{text}");
}

/// Whoever runs the queue has said how long it tries a message; before that, it is five days.
#[test]
fn list_knows_another_lifetime() {
    let place = Place::new();
    place.spool.note_lifetime(3_600).unwrap();
    assert!(place.agrees("list").contains(" (until Sun, 23 Nov 2025 07:40:00 +0000) "));
    assert!(place.agrees("list --json").contains(r#""give_up_unix_seconds":1763883600,"#));
    // It is no record of a message.
    assert!(place.parent.path().join("spool/state/.lifetime").exists());
    assert!(place.agrees("check").starts_with("1 whole, 0 bad, 0 unreadable; 0 files set aside"));
    let Place { _control: control, spool, parent, .. } = place;
    drop((control, spool));
    let (_spool, report) = Spool::open(parent.path().join("spool"), Options::default()).unwrap();
    assert_eq!((report.left, report.removed_files), (Vec::new(), 0));
    assert_eq!(Reader::open(parent.path().join("spool")).unwrap().lifetime_seconds(), 3_600);
}

#[test]
fn the_targets_of_an_alias_and_the_state_of_reports_are_listed() {
    let place = Place::new();
    place.agrees("retry-now m");
    let claim = place.claim(&lane());
    let target = envelope("<>", &["<robert@example.org>"]).recipients;
    let outcomes = [(0, Outcome::Expanded(target)), (1, Outcome::Failed("550 no".to_owned(), Owes::Report))];
    let _ = place.spool.settle(claim, &outcomes, Settlement::Done).unwrap();
    let text = place.agrees("list");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[2], "    <carol@example.com>  failed  mx:example.net  1 tried  report owed  550 no");
    assert!(lines[3].starts_with("    <robert@example.org> for <bob@example.net>  due "), "{text}");
    let text = place.agrees("list --json");
    assert!(text.contains(r#""remark":"550 no","report":"owed"}"#), "{text}");
    assert!(text.contains(r#"{"to":"<robert@example.org>","target_of":"<bob@example.net>","status":"due","#), "{text}");
}

#[test]
fn remove_with_and_without_a_report() {
    let place = Place::new();
    // Carol has asked not to have failures reported.
    assert_eq!(place.agrees("remove --report m"), "given up: 2 recipients\n");
    let summary = place.reader.summary(&id("m")).unwrap();
    assert_eq!((&summary.recipients[0].report, &summary.recipients[1].report), (&Report::Owed, &Report::None));
    assert_eq!(summary.recipients[0].remark, "550 5.7.1 removed from the queue by the administrator");
    assert_eq!(place.agrees("remove m"), "");
    assert!(ids(&place.reader).is_empty());
    let (code, _, error) = place.run("remove m");
    assert_eq!((code, error.as_str()), (66, "smtp-spool: m: there is no such message\n"));
}

#[test]
fn what_cannot_be_done_says_why() {
    let place = Place::new();
    put(&place.spool, "k", b"text\r\n", Due::Kept).unwrap();
    for line in ["hold z", "release k", "retry-now k", "remove --report k"] {
        let (code, text, error) = place.run(line);
        let expected = format!("smtp-spool: {line}: no such message waits to be delivered; see smtp-spool list\n");
        assert_eq!((code, text.as_str(), error), (66, "", expected));
    }
    place.agrees("retry-now m");
    let claim = place.claim(&lane());
    for line in ["hold m", "remove --report m"] {
        let (code, text, error) = place.run(line);
        assert!(code == 75 && text.ends_with(": 0 recipients\n"), "{code} {text}");
        assert!(error.contains(": 2 recipients being tried at this moment and not reached; "), "{error}");
    }
    assert_eq!(place.agrees("retry-now m"), "due now: 0 recipients\n");
    drop(claim);
}

#[test]
fn stats_counts() {
    let place = Place::new();
    put(&place.spool, "k", b"12345", Due::Kept).unwrap();
    put(&place.spool, "h", b"123", Due::At(0)).unwrap();
    place.agrees("hold h");
    put(&place.spool, "n", b"1234", Due::At(0)).unwrap();
    let text = place.agrees("stats");
    let expected = "\
queued      2 messages, 10 octets
held        1 message, 3 octets
kept        1 message, 5 octets
finished    0 messages, 0 octets
recipients  2 due now, 2 later, 2 held, 0 of whom the sender is to hear
oldest      h of Sun, 23 Nov 2025 06:40:00 +0000
lane        0 due now, 2 later  mx:example.net
lane        2 due now, 0 later  unrouted
owner       well; 0 deliveries are under way
";
    assert_eq!(text, expected);
    let expected = r#"{"queued":{"messages":2,"size_bytes":10},"held":{"messages":1,"size_bytes":3},"kept":{"messages":1,"size_bytes":5},"finished":{"messages":0,"size_bytes":0},"unreadable":0,"recipients":{"due_now":2,"due_later":2,"held":2,"reports_owed":0},"lanes":[{"lane":"mx:example.net","due_now":0,"due_later":2},{"lane":"unrouted","due_now":2,"due_later":0}],"oldest":{"id":"h","received_at_unix_seconds":1763880000},"owner":{"state":"well","deliveries_under_way":0}}"#;
    assert_eq!(place.agrees("stats --json").trim_end(), expected);
}

/// Twenty lanes are shown, however many there are.
#[test]
fn stats_is_bounded() {
    let place = Place::new();
    for number in 0..30 {
        put(&place.spool, &format!("x{number}"), b"", Due::At(0)).unwrap();
        let claim = place.claim(&Lane::unrouted());
        let lane = Lane::new(&format!("mx:{number}.example")).unwrap();
        let routed = [0, 1].map(|recipient| (recipient, Outcome::Routed(lane.clone())));
        let _ = place.spool.settle(claim, &routed, Settlement::Done).unwrap();
        let deferred = [0, 1].map(|recipient| (recipient, Outcome::Deferred("450 later".to_owned())));
        let _ = place.spool.settle(place.claim(&lane), &deferred, Settlement::RetryAt(0)).unwrap();
    }
    let text = place.agrees("stats");
    assert_eq!(text.lines().filter(|line| line.starts_with("lane ")).count(), 20);
    assert!(text.contains("\n            and 11 more\n"), "{text}");
}
