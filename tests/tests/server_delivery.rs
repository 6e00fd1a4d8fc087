//! The server program delivers: into Maildirs, along aliases, and reports to whoever sent what cannot be delivered.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::fs;
use std::net::IpAddr;

use nix::sys::signal::Signal;
use smtp_tests::peer::Peer;
use smtp_tests::processes::ServerProcess;
use smtp_tests::scripted_server::{Answer, Said, Script, ScriptedServer, polite, polite_with};
use smtp_tests::site::{Site, hand_over};
use smtp_tests::wait_until;

const LETTER: &str = "Subject: hello\r\n\r\n.. two dots, and no more\r\n";

/// A host that knows nobody.
fn refuse_everybody(said: Said<'_>) -> Answer {
    match said {
        Said::Line(line) if line.starts_with("RCPT ") => "550 5.1.1 nobody of that name".into(),
        said => polite(said),
    }
}

fn kill(mut server: ServerProcess) {
    server.signal(Signal::SIGKILL);
    let _ = server.wait();
}

fn assert_contains(text: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(text.contains(wanted), "{wanted:?} is not in {text}");
    }
}

/// Rows N203, N206: Return-Path says who sent it, and there is one; Delivered-To has the whole address.
#[test]
fn into_the_maildir() {
    let site = Site::new("example.org");
    let server = site.start(&[]);
    let letter = "Return-Path: <forged@example.net>\r\nSubject: hello\r\n\r\n.. two dots, and no more\r\n";
    hand_over(&server, "<alice@far.example>", &["<bob+lists@example.org>", "<CAROL@Example.ORG>"], letter);
    let bobs = site.only_mail("bob");
    assert!(
        bobs.starts_with("Return-Path: <alice@far.example>\nDelivered-To: bob+lists@example.org\nReceived: from "),
        "{bobs}"
    );
    assert!(bobs.ends_with("\nSubject: hello\n\n. two dots, and no more\n"), "{bobs}");
    assert!(!bobs.contains("forged") && !bobs.contains('\r'), "{bobs}");
    assert_contains(&site.only_mail("carol"), &["\nDelivered-To: CAROL@Example.ORG\n"]);
    assert_eq!(site.all_mail(), 2);

    hand_over(&server, "<>", &["<postmaster>"], LETTER);
    assert!(site.only_mail("postmaster").starts_with("Return-Path: <>\nDelivered-To: postmaster@example.org\n"));

    // Our reports say that answers go to the postmaster of the host, whose name is no domain of ours.
    hand_over(&server, "<alice@far.example>", &["<Postmaster@MX.example.org>"], LETTER);
    site.wait_until_done();
    assert_eq!(site.mail("postmaster").len(), 2);
}

/// Recipients and aliases change while the server runs: what is right is taken by RCPT and by the delivery, also in a session
/// that is open; what is wrong changes nothing.
#[test]
fn new_recipients_and_aliases_need_no_restart() {
    let site = Site::new("example.org");
    let [recipients, aliases] = [site.write("recipients", "bob\n"), site.write("aliases", "sales: bob\n")];
    let server = site.start(&["--recipients", &recipients, "--aliases", &aliases]);
    // Renamed into place, so that nobody sees half of it however slow this test is.
    let put = |name: &str, text: &str| fs::rename(site.write("new", text), site.path(name)).unwrap();
    let mut peer = server.greeted();
    peer.agree("MAIL FROM:<alice@far.example>");
    peer.expect("RCPT TO:<ann@example.org>", "550 5.1.1 ");

    put("recipients", "bob\nann\n");
    server.wait_for_line(|line| line.contains(" INFO ") && line.contains("recipients=2 aliases=1"));
    peer.agree("RCPT TO:<ann@example.org>");
    put("aliases", "sales: ann\nhelp: sales\n");
    server.wait_for_line(|line| line.contains("recipients=2 aliases=2"));
    hand_over(&server, "<alice@far.example>", &["<sales@example.org>"], LETTER);
    assert_contains(&site.only_mail("ann"), &["\nDelivered-To: ann@example.org\n"]);

    put("recipients", "carol\nno body\n");
    let line = server.wait_for_line(|line| line.contains(" ERROR "));
    assert_contains(&line, &[&recipients, ": line 2: ", "; what was read before stays in force"]);
    peer.expect("RCPT TO:<carol@example.org>", "550 5.1.1 ");
    peer.agree("RCPT TO:<bob@example.org>");
    // A list that is right by itself, and of which the aliases want more.
    put("recipients", "bob\ncarol\n");
    let line = server.wait_for_line(|line| line.contains(" ERROR "));
    assert_contains(&line, &[&aliases, ": line 1: sales leads to <ann@example.org>, "]);
    peer.agree("RCPT TO:<help@example.org>");

    put("recipients", "ann\ncarol\n");
    server.wait_for_line(|line| line.contains("recipients=2 aliases=2"));
    peer.agree("RCPT TO:<carol@example.org>");
    peer.expect("RCPT TO:<bob@example.org>", "550 5.1.1 ");
    assert_eq!(server.seen().iter().filter(|line| line.contains(" ERROR ")).count(), 2);
}

/// Row N094: one place, several, a circle that is cut, and one elsewhere: each end gets one copy.
#[test]
fn along_aliases() {
    let next = ScriptedServer::start([Script::serve(polite)]);
    let site = Site::new("example.org");
    let aliases = site.write(
        "aliases",
        "one: bob\nmany: bob, carol, one, dave@far.example\nround: about, erin\nabout: round, Erin\nself: self, fred\n",
    );
    let relay = format!("smart:{}", next.name());
    let server = site.start(&["--aliases", &aliases, "--relay", &relay]);
    hand_over(&server, "<alice@far.example>", &["<one@example.org>"], LETTER);
    assert_contains(&site.only_mail("bob"), &["\nDelivered-To: bob@example.org\n"]);
    hand_over(&server, "<alice@far.example>", &["<many+x@example.org>", "<round@example.org>"], LETTER);
    site.wait_until_done();
    assert_eq!((site.mail("bob").len(), site.mail("carol").len(), site.mail("erin").len()), (2, 1, 1));
    hand_over(&server, "<alice@far.example>", &["<self@example.org>"], LETTER);
    site.wait_until_done();
    // An alias among its own targets is a mailbox.
    assert_eq!((site.mail("self").len(), site.mail("fred").len(), site.all_mail()), (1, 1, 6));
    let session = next.finish_one();
    assert!(session.commands[1].starts_with("MAIL FROM:<alice@far.example> SIZE="), "{:?}", session.commands);
    assert_eq!(session.commands[2], "RCPT TO:<dave@far.example>");
    assert_eq!(session.contents.len(), 1);
}

/// Rows N042, N074, N075, N077, N121, N207, N211, N214, N275, N276, N277, X079, X088: the next host refuses; the sender has a mailbox here, and finds a report in it.
#[test]
fn a_report_arrives_in_the_mailbox_of_the_sender() {
    let next = ScriptedServer::start([Script::serve(refuse_everybody)]);
    let site = Site::new("example.org");
    let server = site.start_relay(&next.name());
    hand_over(&server, "<alice@example.org>", &["<nobody@far.example>", "<bob@example.org>"], LETTER);
    let report = site.only_mail("alice");
    assert!(report.starts_with("Return-Path: <>\nDelivered-To: alice@example.org\n"), "{report}");
    assert_contains(
        &report,
        &[
            "\nContent-Type: multipart/report; report-type=delivery-status;",
            "\nReporting-MTA: dns; mx.example.org\n",
            "\nFinal-Recipient: rfc822; nobody@far.example\nAction: failed\nStatus: 5.1.1\n",
            "\nRemote-MTA: dns; [127.0.0.1]\n",
            &format!("\n    {} said:\n", next.name()),
            "\nDiagnostic-Code: smtp; 550 5.1.1 nobody of that name\n",
            "\nSubject: hello\n",
        ],
    );
    assert!(!report.contains("bob@example.org"), "{report}");
    assert_eq!(site.mail("bob").len(), 1);
}

/// Row X095: killed right after the 250, and again right after the refusal was logged: delivered once, reported once.
#[test]
fn a_report_survives_kills() {
    for _ in 0..3 {
        let next = ScriptedServer::start((0..4).map(|_| Script::serve(refuse_everybody)));
        let site = Site::new("example.org");
        let server = site.start_relay(&next.name());
        hand_over(&server, "<alice@example.org>", &["<nobody@far.example>", "<bob@example.org>"], LETTER);
        kill(server);
        let server = site.start_relay(&next.name());
        if site.mail("alice").is_empty() && site.spooled() > 0 {
            // The line is there before the end is on disk.
            wait_until("the refusal is logged, or over", || {
                site.spooled() == 0 || server.seen().iter().any(|line| line.contains("status=failed"))
            });
        }
        kill(server);
        let server = site.start_relay(&next.name());
        assert_contains(&site.only_mail("alice"), &["Final-Recipient: rfc822; nobody@far.example\n"]);
        assert_eq!((site.mail("bob").len(), site.all_mail()), (1, 2));
        drop(server);
    }
}

/// Many are on their way when the server is killed, several times; each arrives, and none twice.
#[test]
fn maildirs_have_one_copy_whatever_is_killed() {
    let site = Site::new("example.org");
    let mut sent = 0;
    for _ in 0..4 {
        let server = site.start(&[]);
        let mut peer = server.greeted();
        for _ in 0..15 {
            peer.send_message(
                "alice@far.example",
                &["bob@example.org", "carol@example.org"],
                format!("X: {sent};\r\n"),
            );
            sent += 1;
        }
        kill(server);
    }
    let server = site.start(&[]);
    site.wait_until_done();
    for mailbox in ["bob", "carol"] {
        let mail = site.mail(mailbox);
        assert_eq!(mail.len(), sent, "{mailbox}");
        for number in 0..sent {
            let copies = mail.iter().filter(|letter| letter.contains(&format!("\nX: {number};\n"))).count();
            assert_eq!(copies, 1, "{mailbox} {number}");
        }
    }
    drop(server);
}

/// Rows N294, F.2: the address of the connection decides, and loopback is an address like others.
#[cfg(target_os = "linux")] // others have one address for loopback
#[test]
fn only_those_named_may_relay() {
    let next = ScriptedServer::start([Script::serve(polite)]);
    let site = Site::new("example.org");
    let relay = format!("smart:{}", next.name());
    let server = site.start(&["--relay", &relay, "--relay-from", "127.0.0.2/32"]);
    let begun = |from: &str| {
        let mut peer = Peer::connect_from(from.parse::<IpAddr>().unwrap(), server.address);
        peer.expect_greeting();
        peer.agree_all(&["EHLO client.example", "MAIL FROM:<alice@example.org>"]);
        peer
    };
    let mut stranger = begun("127.0.0.1");
    stranger.expect("RCPT TO:<dave@far.example>", "550 5.7.1 ");
    stranger.expect("RCPT TO:<bob@example.org>", "250 ");
    let mut friend = begun("127.0.0.2");
    friend.agree_all(&["RCPT TO:<dave@far.example>", "DATA"]);
    friend.send([LETTER.as_bytes(), b".\r\n"].concat());
    assert!(friend.reply().starts_with("250 "));
    site.wait_until_done();
    assert_eq!(next.finish_one().contents.len(), 1);
    assert_eq!(site.all_mail(), 0);
}

/// Rows X080, X081: who promises reports makes them, as they were asked for.
#[test]
fn reports_as_they_were_asked_for() {
    let mut kept = ServerProcess::start(&["--spool", Site::new("x.example").path("spool").to_str().unwrap()]);
    assert!(!kept.connect_and_hello().contains("DSN"), "who keeps mail makes no reports");
    kept.signal(Signal::SIGTERM);
    kept.wait();

    let next = ScriptedServer::start((0..20).map(|_| Script::serve(refuse_everybody)));
    let site = Site::new("example.org");
    let server = site.start_relay(&next.name());
    assert!(server.connect_and_hello().contains("250-DSN\n"));
    let reports = || {
        site.wait_until_done();
        site.mail("alice").len()
    };
    for (recipient, more) in [
        ("<bob@example.org>", 0),
        ("<bob@example.org> NOTIFY=SUCCESS", 1),
        ("<bob@example.org> NOTIFY=FAILURE,DELAY", 0),
        ("<bob@example.org> NOTIFY=NEVER", 0),
        ("<no@far.example>", 1),
        ("<no@far.example> NOTIFY=NEVER", 0),
        ("<no@far.example> NOTIFY=SUCCESS", 0),
        ("<no@far.example> NOTIFY=SUCCESS,FAILURE", 1),
    ] {
        let before = reports();
        hand_over(&server, "<alice@example.org>", &[recipient], LETTER);
        assert_eq!(reports() - before, more, "{recipient}");
    }
    assert_eq!(site.mail("bob").len(), 4);
    assert_contains(
        &site.mail("alice")[0],
        &["Final-Recipient: rfc822; bob@example.org\nAction: delivered\nStatus: 2.", "Subject: hello\n"],
    );
}

/// RFC 3461, 4.3 and 4.4: RET, ENVID and ORCPT come back in the report.
#[test]
fn what_the_sender_said_comes_back() {
    let next = ScriptedServer::start((0..20).map(|_| Script::serve(refuse_everybody)));
    let letter = "Subject: hello\r\n\r\nthe body of it\r\n";
    for (ret, has_body) in [("", true), (" RET=FULL", true), (" RET=HDRS", false)] {
        let site = Site::new("example.org");
        let server = site.start_relay(&next.name());
        let from = format!("<alice@example.org>{ret} ENVID=a+2Bb+3D1");
        hand_over(&server, &from, &["<no@far.example> ORCPT=rfc822;old+2Bname@far.example"], letter);
        let report = site.only_mail("alice");
        assert_contains(
            &report,
            &[
                "\nOriginal-Envelope-Id: a+b=1\n",
                "\nOriginal-Recipient: rfc822; old+name@far.example\nFinal-Recipient: rfc822; no@far.example\n",
                "\nSubject: hello\n",
            ],
        );
        assert_eq!(report.contains("the body of it"), has_body, "{ret}: {report}");
        drop(server);
    }
}

/// Row X137: addresses beyond ASCII, to a mailbox and in a report.
#[test]
fn addresses_in_any_script() {
    let next = ScriptedServer::start([Script::serve(|said| polite_with(&["8BITMIME"], said))]);
    let site = Site::new("example.org");
    let server = site.start_relay(&next.name());
    let to = ["<j\u{f8}rgen@example.org>", "<d\u{f8}d@far.example>"];
    hand_over(&server, "<\u{e5}se@example.org> SMTPUTF8", &to, "Subject: bl\u{e5}b\u{e6}r\r\n\r\ntext\r\n");
    // What is beyond ASCII is encoded in names, which not every file system takes as they are.
    let letter = site.only_mail("j%C3%B8rgen");
    assert_contains(&letter, &["Return-Path: <\u{e5}se@example.org>\n", "Subject: bl\u{e5}b\u{e6}r\n"]);
    // The next host does not know SMTPUTF8, and nobody can say it otherwise.
    assert_contains(&site.only_mail("%C3%A5se"), &["Action: failed\nStatus: 5.6.7\n", "d\u{f8}d@far.example"]);
    assert!(next.finish_one().commands.iter().all(|command| !command.starts_with("MAIL")));
}
