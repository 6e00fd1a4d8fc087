//! The server program and the mailboxes of its host: which there can be, where they lie, and what is wrong with one.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::fs;

use smtp_tests::processes::run;
use smtp_tests::site::{Site, hand_over};
use smtp_tests::wait_until;

const LETTER: &str = "Subject: hello\r\n\r\ntext\r\n";

fn assert_contains(text: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(text.contains(wanted), "{wanted:?} is not in {text}");
    }
}

/// Row X156: the domain of the settings is `xn--...`; whoever writes it in its own script means the same mailboxes.
#[test]
fn a_served_domain_in_its_own_script() {
    let site = Site::new("xn--bcher-kva.example");
    let recipients = site.write("recipients", "bob@b\u{fc}cher.example\n");
    let aliases = site.write("aliases", "sales@b\u{fc}cher.example: bob\n");
    let server = site.start(&["--domain", "example.org", "--recipients", &recipients, "--aliases", &aliases]);
    let domains = ["b\u{fc}cher.example", "B\u{dc}CHER.example", "xn--bcher-kva.example"];
    for domain in domains {
        for name in ["bob", "sales", "postmaster"] {
            hand_over(&server, "<alice@far.example> SMTPUTF8", &[&format!("<{name}@{domain}>")], LETTER);
        }
        let mut peer = server.greeted();
        peer.agree("MAIL FROM:<alice@far.example> SMTPUTF8");
        peer.expect(format!("RCPT TO:<eve@{domain}>"), "550 5.1.1 ");
        peer.expect(format!("RCPT TO:<bob@mail.{domain}>"), "550 5.7.1 ");
    }
    site.wait_until_done();
    let bobs = site.mail("xn--bcher-kva.example/bob");
    assert_eq!((bobs.len(), site.mail("xn--bcher-kva.example/postmaster").len()), (2 * domains.len(), domains.len()));
    // As it came: whoever reads it may look for the address that was written to.
    assert!(bobs.iter().any(|letter| letter.contains("\nDelivered-To: bob@b\u{fc}cher.example\n")), "{bobs:#?}");
}

/// With a second domain the mailboxes lie elsewhere: no server starts beside those that nobody would see, there and back.
#[test]
fn a_second_domain_moves_the_mailboxes() {
    let site = Site::new("example.org");
    let [spool, mail] = ["spool", "mail"].map(|name| site.path(name).display().to_string());
    let deliver = format!("maildir:{mail}");
    let check = |more: &[&str]| {
        let own = ["--check", "--spool", &spool, "--deliver", &deliver, "--domain", "example.org"];
        let output = run("smtp-server", &[&own[..], more].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let deliver_one = |options: &[&str]| {
        let server = site.start(options);
        hand_over(&server, "<alice@far.example>", &["<bob@example.org>"], LETTER);
        site.wait_until_done();
    };
    let second = ["--domain", "two.example"];
    assert_eq!(check(&second).0, Some(0), "there is no mailbox yet");
    deliver_one(&[]);
    let (code, text) = check(&second);
    assert_eq!(code, Some(78));
    assert_contains(
        &text,
        &[&format!("{mail}/bob\" is a mailbox of another layout"), "mail/DOMAIN/LOCAL-PART, ", "move"],
    );
    assert_eq!(check(&[]).0, Some(0));

    fs::create_dir(site.mail_directory("example.org")).unwrap();
    fs::rename(site.mail_directory("bob"), site.mail_directory("example.org/bob")).unwrap();
    deliver_one(&second);
    assert_eq!((site.mail("example.org/bob").len(), check(&second).0), (2, Some(0)));
    let (code, text) = check(&[]);
    assert_eq!(code, Some(78));
    assert_contains(&text, &[&format!("{mail}/example.org/bob\" is"), "mail/LOCAL-PART, "]);
}

/// Who can have no mailbox is told so at RCPT, and no report goes to a sender that may be forged: whatever RCPT takes, arrives.
#[test]
fn what_can_be_no_directory_is_refused_at_once() {
    let site = Site::new("example.org");
    let server = site.start(&[]);
    let mut peer = server.greeted();
    peer.agree("MAIL FROM:<alice@example.org>");
    // Percent signs triple what they stand for, and a name of a file has 255 octets.
    let [longest, too_long] = [85, 86].map(|count| "{".repeat(count));
    peer.expect("RCPT TO:<\"\"@example.org>", "550 5.1.1 ");
    peer.expect(format!("RCPT TO:<{too_long}@example.org>"), "550 5.1.1 ");
    hand_over(&server, "<alice@example.org>", &[&format!("<{longest}@example.org>")], LETTER);
    site.wait_until_done();
    assert_eq!((site.mail(&"%7B".repeat(85)).len(), site.all_mail()), (1, 1));

    let mail = format!("maildir:{}", site.path("mail").display());
    let explain = ["explain", "--domain", "example.org", "--deliver", &mail, "\"\"@example.org"];
    let output = run("smtp-server", &explain);
    assert_eq!(output.status.code(), Some(67));
    assert_contains(&String::from_utf8_lossy(&output.stdout), &["is refused: 550 5.1.1 ", " can be no directory "]);

    // In a list, it is a mistake that is told before anybody is refused.
    let (recipients, aliases) = (site.write("recipients", "bob\n\"\"\n"), site.write("aliases", "sales: bob, \"\"\n"));
    for (option, file, line) in
        [("--recipients", &recipients, "line 2: "), ("--aliases", &aliases, "line 1: sales leads to ")]
    {
        let output = run("smtp-server", &["--check", "--domain", "example.org", "--deliver", &mail, option, file]);
        assert_eq!(output.status.code(), Some(78));
        assert_contains(&String::from_utf8_lossy(&output.stderr), &[file, line, " can be no directory "]);
    }
}

/// A mailbox that cannot be written is a matter for later and for nobody else. The log says which path is wrong and
/// what to do; neither is in what the sender may read.
#[test]
fn trouble_in_one_mailbox() {
    let site = Site::new("example.org");
    let server = site.start(&["--warn-after", "1s"]);
    hand_over(&server, "<alice@example.org>", &["<bob@example.org>"], LETTER);
    site.wait_until_done();
    fs::remove_dir_all(site.mail_directory("bob")).unwrap();
    fs::write(site.mail_directory("bob"), "not a directory").unwrap();
    hand_over(&server, "<alice@example.org>", &["<bob@example.org>", "<carol@example.org>"], LETTER);
    let line = server.wait_for_line(|line| line.contains(" ERROR "));
    let path = site.mail_directory("bob").display().to_string();
    assert_contains(&line, &["to=\"<bob@example.org>\": ", &path, "; it must be a directory"]);
    let line = server.wait_for_line(|line| line.contains("status=deferred"));
    assert_contains(
        &line,
        &[" INFO ", "to=\"<bob@example.org>\"", "reply=\"451 4.3.0 The mailbox cannot be written to now"],
    );
    assert!(!line.contains(&path), "{line}");
    wait_until("the rest is delivered", || site.mail("carol").len() == 1);
    wait_until("it is noted", || site.spool_tool(&["list", "--json"]).contains("\"remark\":\"451 4.3.0 "));

    let retry_until = |what: &str, mailbox: &str| {
        wait_until(what, || {
            site.spool_tool(&["retry-now", "--all"]);
            !site.mail(mailbox).is_empty()
        });
    };
    retry_until("the sender hears that it takes long", "alice");
    let warning = site.mail("alice").remove(0);
    assert_contains(&warning, &["Action: delayed\n", "451 4.3.0 The mailbox cannot be written to now"]);
    assert!(!warning.contains(&path) && !warning.contains("directory"), "{warning}");
    fs::remove_file(site.mail_directory("bob")).unwrap();
    retry_until("it is delivered after all", "bob");
}
