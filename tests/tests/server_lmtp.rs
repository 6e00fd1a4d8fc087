//! The server program brings mail to a server of LMTP that has the mailboxes, over TCP and over a Unix socket: each recipient
//! has an end of its own. Row X150.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use smtp_tests::scripted_server::{Answer, ReservedPort, Said, Script, ScriptedServer, Session, hello};
use smtp_tests::site::{Site, hand_over};
use smtp_tests::unix_bridge::UnixBridge;
use smtp_tests::wait_until;

const LETTER: &str = "Subject: hello\r\n\r\n.. two dots, and no more\r\n";

/// What a server of LMTP says behind the content, for one recipient after the other: the first for the first time it is asked
/// about it, and so on. Whoever has nothing left is delivered to.
#[derive(Clone, Default)]
struct Mailboxes(Arc<Mutex<HashMap<String, Vec<&'static str>>>>);

impl Mailboxes {
    fn with(self, path: &str, mut verdicts: Vec<&'static str>) -> Self {
        verdicts.reverse();
        self.0.lock().unwrap().insert(path.to_owned(), verdicts);
        self
    }

    fn verdict(&self, path: &str) -> &'static str {
        self.0.lock().unwrap().get_mut(path).and_then(Vec::pop).unwrap_or("250 2.1.5 saved")
    }

    /// As many connections as anybody makes here.
    fn scripts(&self) -> impl Iterator<Item = Script> + use<> {
        let mailboxes = self.clone();
        (0..8).map(move |_| Script::serve(mailboxes.clone().conversation()))
    }

    fn conversation(self) -> impl FnMut(Said<'_>) -> Answer + Send + 'static {
        let mut recipients: Vec<String> = Vec::new();
        move |said| match said {
            Said::Line(line) if line.starts_with("LHLO ") => {
                hello(&["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"]).into()
            }
            Said::Line(line) if line.starts_with("MAIL FROM:") => {
                recipients.clear();
                "250 2.1.0 ok".into()
            }
            Said::Line(line) if line.starts_with("RCPT TO:") => {
                recipients.push(line["RCPT TO:".len()..].to_owned());
                "250 2.1.5 ok".into()
            }
            Said::Line("DATA") => "354 go on".into(),
            Said::Line("QUIT") => "221 2.0.0 bye".into(),
            Said::Line(line) => panic!("{line:?} is not LMTP"),
            Said::Content(_) => {
                recipients.iter().map(|path| format!("{}\r\n", self.verdict(path))).collect::<String>().into()
            }
        }
    }
}

/// How often somebody was asked about, in all connections.
fn times_asked(sessions: &[Session], path: &str) -> usize {
    let command = format!("RCPT TO:{path}");
    sessions.iter().flat_map(|session| &session.commands).filter(|line| **line == command).count()
}

/// The contents as text, in order.
fn contents(sessions: &[Session]) -> Vec<String> {
    let contents = sessions.iter().flat_map(|session| &session.contents);
    contents.map(|content| String::from_utf8_lossy(content).into_owned()).collect()
}

/// Has the message tried again that was put off. The line of the log comes first, so it may not wait yet.
fn retry_now(site: &Site) {
    wait_until("what was put off waits", || site.spool_tool(&["retry-now", "--all"]) == "due now: 1 message\n");
}

/// Rows N074, N075, N077: one is delivered, one is refused, of which the sender hears by the same way, and one is put off and
/// comes back alone.
#[test]
fn each_recipient_has_an_end_of_its_own() {
    for is_unix in [false, true] {
        let mailboxes = Mailboxes::default()
            .with("<carol@example.org>", vec!["550 5.2.1 <carol> has moved out"])
            .with("<dave@example.org>", vec!["450 4.2.1 <dave> is being moved"]);
        let lmtp = ScriptedServer::start(mailboxes.scripts());
        let site = Site::new("example.org");
        let socket = site.path("lmtp");
        let bridge = is_unix.then(|| UnixBridge::listen(&socket, &lmtp));
        let name = if is_unix { format!("unix:{}", socket.display()) } else { lmtp.name() };
        let server = site.start_before_lmtp(&name, &["--retry-after", "1h"]);
        let to = ["<bob@example.org>", "<carol@example.org>", "<dave@example.org>"];
        hand_over(&server, "<alice@example.org>", &to, LETTER);

        let line = server.wait_for_line(|line| line.contains("to=\"<dave@example.org>\" relay=lmtp"));
        assert!(line.contains("status=deferred reply=\"450 4.2.1 <dave> is being moved\""), "{line}");
        retry_now(&site);
        wait_until("three deliveries, that of the report among them", || {
            server.seen().iter().filter(|line| line.contains("status=delivered")).count() == 3
        });
        site.wait_until_done();
        let seen = server.seen();
        let count = |what: &str| seen.iter().filter(|line| line.contains(what)).count();
        for (to, status) in [("bob", "delivered"), ("carol", "failed"), ("dave", "delivered"), ("alice", "delivered")] {
            let lines = seen.iter().filter(|line| {
                line.contains(&format!("to=\"<{to}@example.org>\" relay=lmtp"))
                    && line.contains(&format!("status={status} "))
            });
            assert_eq!(lines.count(), 1, "{to}: {seen:#?}");
        }
        assert_eq!((count(" report="), count(" ERROR ")), (1, 0), "{seen:#?}");
        drop(server);
        drop(bridge);

        let sessions = lmtp.finish();
        let asked = |name: &str| times_asked(&sessions, &format!("<{name}@example.org>"));
        assert_eq!((asked("bob"), asked("carol"), asked("dave"), asked("alice")), (1, 1, 2, 1));
        let contents = contents(&sessions);
        // LMTP has the dots of SMTP, and writes Return-Path itself (RFC 5321, 4.4).
        let is_letter =
            |text: &&String| text.starts_with("Received: from ") && text.ends_with("\r\n.. two dots, and no more\r\n");
        assert_eq!(contents.iter().filter(is_letter).count(), 2, "{contents:#?}");
        let reports: Vec<_> = contents.iter().filter(|text| text.contains("multipart/report")).collect();
        assert_eq!((reports.len(), contents.len()), (1, 3), "{contents:#?}");
        for (field, is_there) in [
            ("\r\nFinal-Recipient: rfc822; carol@example.org\r\nAction: failed\r\nStatus: 5.2.1\r\n", true),
            ("\r\nDiagnostic-Code: smtp; 550 5.2.1 <carol> has moved out\r\n", true),
            ("Final-Recipient: rfc822; bob@", false),
            ("Final-Recipient: rfc822; dave@", false),
        ] {
            assert_eq!(reports[0].contains(field), is_there, "{field}: {}", reports[0]);
        }
        let nobody =
            sessions.iter().flat_map(|session| &session.commands).filter(|line| line.starts_with("MAIL FROM:<>"));
        assert_eq!(nobody.count(), 1, "a report has no sender");
    }
}

/// Row N244: nobody is there; everybody waits, and has the message when the server of LMTP is back.
#[test]
fn away_and_back() {
    for is_unix in [false, true] {
        let site = Site::new("example.org");
        let (port, socket) = (ReservedPort::new(), site.path("lmtp"));
        let name = if is_unix { format!("unix:{}", socket.display()) } else { port.name() };
        let server = site.start_before_lmtp(&name, &["--retry-after", "1h"]);
        hand_over(&server, "<alice@example.org>", &["<bob@example.org>", "<carol@example.org>"], LETTER);
        let line = server.wait_for_line(|line| line.contains(" ERROR "));
        assert!(line.contains(&format!("the mailboxes at {name} are out of reach: ")), "{line}");
        for _ in 0..2 {
            let line = server.wait_for_line(|line| line.contains("status="));
            // The path of a socket is in no word that a report may carry.
            let relay = if is_unix { "lmtp " } else { "lmtp[127.0.0.1] " };
            assert!(line.contains(&format!("relay={relay}")), "{line}");
            assert!(line.contains("status=deferred reply=\"4.4.1 no connection: "), "{line}");
        }

        let lmtp = port.listen(Mailboxes::default().scripts());
        let bridge = is_unix.then(|| UnixBridge::listen(&socket, &lmtp));
        retry_now(&site);
        for _ in 0..2 {
            let line = server.wait_for_line(|line| line.contains("status="));
            assert!(line.contains("status=delivered reply=\"250 2.1.5 saved\""), "{line}");
        }
        site.wait_until_done();
        drop(server);
        drop(bridge);
        let sessions = lmtp.finish();
        assert_eq!(contents(&sessions).len(), 1, "one message for both");
        assert_eq!(times_asked(&sessions, "<bob@example.org>"), 1);
    }
}
