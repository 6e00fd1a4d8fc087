//! The server program passes mail on, to hosts that lie, shout, or send it back.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use nix::sys::signal::Signal;
use smtp_tests::PATIENCE;
use smtp_tests::scripted_server::{Answer, ReservedPort, Said, Script, ScriptedServer, polite, polite_with};
use smtp_tests::site::{Site, hand_over};
use smtp_tests::wait_until;

const LETTER: &str = "Subject: hello\r\n\r\ntext\r\n";

/// A host that answers RCPT with these octets, each time.
fn answering_rcpt(answer: &[u8]) -> ScriptedServer {
    let scripts = (0..4).map(|_| {
        let answer = answer.to_vec();
        Script::serve(move |said| match said {
            Said::Line(line) if line.starts_with("RCPT ") => Answer::Say(answer.clone()),
            said => polite(said),
        })
    });
    ScriptedServer::start(scripts)
}

/// Nothing but whole lines that we have written: a time, a level, and printable ASCII.
fn check_log(lines: &[String]) {
    for line in lines.iter().filter(|line| !line.starts_with("listening on ")) {
        let mut words = line.split_whitespace();
        let is_time = words.next().is_some_and(|time| time.len() == 24 && time.ends_with('Z'));
        let is_level = words.next().is_some_and(|level| ["INFO", "WARN", "ERROR"].contains(&level));
        let is_printable = line.bytes().all(|octet| (b' '..=b'~').contains(&octet));
        assert!(is_time && is_level && is_printable && line.len() < 600_000, "{line:?}");
        // What is outside of quotes is ours.
        let ours: String = line.split('"').step_by(2).collect();
        assert!(!ours.contains("forged"), "{line:?}");
    }
}

/// Fields and parts are ours, and no line is longer than a line may be (RFC 5322, 2.1.1).
fn check_report(report: &str) {
    let lines = |start: &str| report.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!(
        (lines("Final-Recipient:"), lines("Action:"), lines("X-Forged"), lines("Diagnostic-Code:")),
        (1, 1, 0, 1)
    );
    assert!(report.lines().all(|line| line.len() <= 998), "{report}");
    assert!(report.bytes().all(|octet| matches!(octet, b'\n' | b'\t' | b' '..=b'~')), "{report:?}");
    assert!(report.len() < 64 * 1024, "{} octets", report.len());
}

/// RFC 3464, 2.3.2: a next host cannot write log lines, records or fields of ours, however it puts it.
#[test]
fn a_next_host_cannot_forge_anything() {
    let many_lines: String = (0..1_000)
        .map(|number| format!("550-5.1.1 line {number}\r\n"))
        .chain(["550 5.1.1 end\r\n".to_owned()])
        .collect();
    let long_line = format!("550 5.1.1 {}\r\n", "x".repeat(1 << 20));
    // What is said, and whether it is a reply at all.
    let answers: [(&[u8], bool); 9] = [
        (many_lines.as_bytes(), false),
        (long_line.as_bytes(), false),
        (b"550 5.1.1 \x1b[2J\x1b]0;title\x07 \x9b31m\r\n", true),
        (b"550-5.1.1 no\r\n550-5.1.1 X-Forged: yes\r\n550 5.1.1 Final-Recipient: rfc822; forged@x.example\r\n", true),
        (b"550 5.1.1 no\\r\\nX-Forged: yes\\n\r\n", true),
        (b"550 5.1.1 \" status=delivered id=forged reply=\"250\r\n", true),
        (b"550 5.1.1 \xe2\x80\xa8X-Forged: 1\xc2\x85X-Forged: 2\xff\x00\r\n", true),
        (b"550 5.1.1 no\rX-Forged: yes\r\n", true),
        (b"550 5.1.1 no\nX-Forged: yes\r\n", true),
    ];
    for (answer, is_reply) in answers {
        let shown = String::from_utf8_lossy(&answer[..answer.len().min(80)]).escape_debug().to_string();
        let next = answering_rcpt(answer);
        let site = Site::new("example.org");
        let server = site.start_relay(&next.name());
        hand_over(&server, "<alice@example.org>", &["<bob@far.example>"], LETTER);
        let mut verdict = String::new();
        wait_until(&format!("a verdict on {shown}"), || {
            let seen = server.seen();
            verdict =
                seen.into_iter().find(|line| line.contains(" to=\"<bob@far.example>\" relay=")).unwrap_or_default();
            !verdict.is_empty()
        });
        if is_reply && verdict.contains("status=failed") {
            assert!(verdict.contains("reply=\"550 5.1.1 "), "{verdict}");
            check_report(&site.only_mail("alice"));
        } else {
            assert!(verdict.contains("status=deferred"), "{shown}: {verdict}");
            wait_until("it is noted", || site.spool_tool(&["list", "--json"]).contains("\"remark\":\"<"));
            for words in [&["list", "--json"][..], &["list"]] {
                let listed = site.spool_tool(words);
                assert!(listed.bytes().all(|octet| octet == b'\n' || (b' '..=b'~').contains(&octet)), "{listed:?}");
                assert!(listed.lines().count() <= 4 && listed.len() < 8_192, "{listed}");
            }
        }
        check_log(&server.seen());
    }
}

/// Row X078: the same for the words of a host that takes the message, and for those with which it greets.
#[test]
fn what_else_a_next_host_says() {
    let hostile = "\u{1b}[2J\" status=kept id=forged";
    let greeting = format!("554 5.3.2 {hostile}");
    let next = ScriptedServer::start([Script::new().say(&greeting)]);
    let site = Site::new("example.org");
    let server = site.start_relay(&next.name());
    hand_over(&server, "<alice@example.org>", &["<bob@far.example>"], LETTER);
    site.wait_until_done();
    check_report(&site.only_mail("alice"));
    check_log(&server.seen());

    let taken = format!("250 2.0.0 {hostile}");
    let next = ScriptedServer::start([Script::serve(move |said| match said {
        Said::Content(_) => taken.clone().into(),
        said => polite(said),
    })]);
    let site = Site::new("example.org");
    let server = site.start_relay(&next.name());
    hand_over(&server, "<alice@example.org>", &["<bob@far.example> NOTIFY=SUCCESS"], LETTER);
    let report = site.only_mail("alice");
    check_report(&report);
    assert!(report.contains("\nAction: relayed\n"), "{report}");
    check_log(&server.seen());
}

/// Row X076: what the sender said about reports goes on as it came to a host that makes them, and its report of success is
/// not ours to make (RFC 3461, 5.2.2).
#[test]
fn what_the_sender_wants_goes_on_to_a_host_that_knows_dsn() {
    let next = ScriptedServer::start([Script::serve(|said| polite_with(&["DSN", "SIZE"], said))]);
    let site = Site::new("example.org");
    let server = site.start_relay(&next.name());
    let to = ["<bob@far.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2Bx@far.example", "<carol@far.example>"];
    hand_over(&server, "<alice@example.org> RET=HDRS ENVID=a+2Bb", &to, LETTER);
    site.wait_until_done();
    assert_eq!(site.all_mail(), 0);
    let commands = next.finish_one().commands;
    assert!(
        commands[1].starts_with("MAIL FROM:<alice@example.org> ") && commands[1].contains(" RET=HDRS"),
        "{commands:?}"
    );
    assert!(commands[1].contains(" ENVID=a+2Bb"), "{commands:?}");
    let recipients = [format!("RCPT TO:{}", to[0]), format!("RCPT TO:{}", to[1])];
    assert_eq!(commands[2..4], recipients, "{commands:?}");
}

/// RFC 6152, 3: what is 8-bit does not go where that is not offered, and is not converted.
#[test]
fn eight_bits_and_a_host_of_seven() {
    let next = ScriptedServer::start([Script::serve(|said| polite_with(&["PIPELINING"], said))]);
    let site = Site::new("example.org");
    let server = site.start_relay(&next.name());
    let to = ["<bob@far.example>"];
    hand_over(&server, "<alice@example.org> BODY=8BITMIME", &to, "Subject: hello\r\n\r\nGr\u{fc}\u{df}e\r\n");
    let report = site.only_mail("alice");
    for wanted in ["\nAction: failed\nStatus: 5.6.3\n", "\nSubject: hello\n", "Gr\u{fc}\u{df}e\n"] {
        assert!(report.contains(wanted), "{wanted:?} is not in {report}");
    }
    assert!(next.finish_one().commands.iter().all(|command| !command.starts_with("MAIL")));
}

/// Rows N076, N243, N278, N283, X074: two hosts that take each other for the one that knows. The message goes round until it carries too many
/// Received fields; then its sender hears of it, once.
#[cfg(target_os = "linux")] // others have one address for loopback
#[test]
fn a_message_that_goes_round_in_circles() {
    let (one, other) = (Site::new("one.example"), Site::new("other.example"));
    let reserved = ReservedPort::new();
    let relaying =
        |to: &str| ["--relay".to_owned(), format!("smart:{to}"), "--relay-from".into(), "127.0.0.0/8".into()];
    let options = relaying(&reserved.neighbour().to_string());
    let first = one.start(&options.each_ref().map(String::as_str));
    let options = relaying(&first.address.to_string());
    let second = other.start_at(&reserved.neighbour().to_string(), &options.each_ref().map(String::as_str));
    for sender in ["alice@one.example", "alice@other.example"] {
        hand_over(&first, &format!("<{sender}>"), &["<carol@elsewhere.example>"], LETTER);
    }
    let is_over = || one.spooled() + other.spooled() == 0;
    wait_until("the reports have arrived", || one.all_mail() + other.all_mail() >= 2 && is_over());
    for site in [&one, &other] {
        let report = site.only_mail("alice");
        assert!(report.contains("\nAction: failed\nStatus: 5.4.6\n"), "{report}");
        assert_eq!(site.all_mail(), 1);
        let hops = report.lines().filter(|line| line.starts_with("Received: ")).count();
        assert!((100..=104).contains(&hops), "{hops}");
    }

    // The sender is nowhere either, so the report goes the same way; it makes none of its own, and is kept for a look.
    hand_over(&first, "<nobody@nowhere.example>", &["<carol@elsewhere.example>"], LETTER);
    let held = || [&one, &other].iter().filter(|site| site.spool_tool(&["list"]).contains("held")).count();
    wait_until("the report is held", || held() == 1 && one.spooled() + other.spooled() == 1);
    assert_eq!(one.all_mail() + other.all_mail(), 2);
    drop((first, second));
}

/// A next host that says nothing must not keep the server from its end: a connection may be silent for minutes (RFC 5321,
/// 4.5.3.2). What was not finished is there after the next start.
#[test]
fn a_silent_next_host_does_not_hold_up_the_end() {
    let (waits, waiting) = std::sync::mpsc::channel();
    let script = Script::greeted(&[]).expect("MAIL ").run(move || waits.send(()).unwrap()).hold();
    let next = ScriptedServer::start([script]);
    let site = Site::new("example.org");
    let mut server = site.start_relay(&next.name());
    hand_over(&server, "<alice@example.org>", &["<bob@far.example>"], LETTER);
    waiting.recv_timeout(PATIENCE).unwrap();
    server.signal(Signal::SIGTERM);
    server.wait_for_line(|line| line.contains("stopping; "));
    server.signal(Signal::SIGTERM);
    let (status, seen) = server.wait();
    assert!(status.success(), "{seen:?}");
    assert_eq!(site.spooled(), 1);
}
