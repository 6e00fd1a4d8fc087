//! The envelope without a message: what is said, what is learned, and that nothing is ever sent.

use super::*;

fn rehearse(talk: &mut Talk, recipients: &[&str], until: Until) {
    talk.session.rehearse(transaction(recipients), until, talk.now).unwrap();
}

/// Until the last RCPT, in one group and in lock-step; no DATA, and no content is ever asked for.
#[test]
fn until_rcpt() {
    let mut talk = Talk::ready(ALL);
    rehearse(&mut talk, &["<bob@b>", "<carol@c>", "<dora@d>"], Until::Rcpt);
    assert_eq!(talk.said(), "MAIL FROM:<alice@a>\r\nRCPT TO:<bob@b>\r\nRCPT TO:<carol@c>\r\nRCPT TO:<dora@d>\r\n");
    assert_eq!(talk.hear("250 2.1.0 OK\r\n250 2.1.5 yes\r\n"), []);
    let events = talk.hear("550 5.1.1 no\r\n451 4.3.0 later\r\n");
    assert_eq!(results(outcome(&events)), ["250", "RCPT 550", "RCPT 451"]);
    assert_eq!(outcome(&events).recipients[0].result.as_ref().unwrap().to_string(), "250 2.1.5 yes");
    assert_eq!(events[1..], [Event::Ready]);
    assert_eq!(talk.said(), "");

    let mut talk = Talk::plain();
    rehearse(&mut talk, &["<bob@b>", "<carol@c>"], Until::Rcpt);
    for (said, reply) in [("MAIL FROM:<alice@a>\r\n", "250 OK\r\n"), ("RCPT TO:<bob@b>\r\n", "550 no\r\n")] {
        assert_eq!(talk.said(), said);
        assert_eq!(talk.hear(reply), []);
    }
    assert_eq!(talk.said(), "RCPT TO:<carol@c>\r\n");
    assert_eq!(results(outcome(&talk.hear("250 OK\r\n"))), ["RCPT 550", "250"]);
    assert_eq!(talk.said(), "");
}

/// Until MAIL: everybody has the reply to it, and nobody is named.
#[test]
fn until_mail() {
    for mut talk in [Talk::ready(ALL), Talk::plain()] {
        rehearse(&mut talk, &["<bob@b>", "<carol@c>"], Until::Mail);
        assert_eq!(talk.said(), "MAIL FROM:<alice@a>\r\n");
        let events = talk.hear("250 2.1.0 sender\r\n");
        assert_eq!(results(outcome(&events)), ["250", "250"]);
        assert_eq!(outcome(&events).recipients[1].result.as_ref().unwrap().to_string(), "250 2.1.0 sender");
        assert_eq!(events[1..], [Event::Ready]);
    }
}

#[test]
fn a_refused_mail() {
    for until in [Until::Mail, Until::Rcpt] {
        for (mut talk, others) in [(Talk::ready(ALL), "503 no\r\n503 no\r\n"), (Talk::plain(), "")] {
            rehearse(&mut talk, &["<bob@b>", "<carol@c>"], until);
            let others = if until == Until::Mail { "" } else { others };
            let events = talk.hear(&format!("550 5.7.1 not you\r\n{others}"));
            assert_eq!(results(outcome(&events)), ["MAIL 550", "MAIL 550"]);
            assert_eq!(events[1..], [Event::Ready]);
            talk.said();
            // No transaction was opened, so there is none to clear away.
            talk.start(transaction(&["<bob@b>"]));
            assert!(talk.said().starts_with("MAIL FROM:<alice@a>\r\n"));
        }
    }
}

/// 421 in the middle: nobody is taken for granted, not even who was agreed to before.
#[test]
fn the_server_goes_away() {
    let mut talk = Talk::ready(ALL);
    rehearse(&mut talk, &["<bob@b>", "<carol@c>", "<dora@d>"], Until::Rcpt);
    let events = talk.hear("250 OK\r\n250 OK\r\n550 no\r\n421 bye\r\n");
    assert_eq!(results(outcome(&events)), ["RCPT 421", "RCPT 550", "RCPT 421"]);
    assert!(matches!(&events[1], Event::Closed(Ending::Goodbye(reply)) if reply.code().number() == 421));

    let mut talk = Talk::ready(ALL);
    rehearse(&mut talk, &["<bob@b>", "<carol@c>"], Until::Rcpt);
    talk.hear("250 OK\r\n250 OK\r\n");
    talk.session.handle_connection_lost();
    let events = talk.hear("");
    assert_eq!(results(outcome(&events)), ["RCPT lost", "RCPT lost"]);
    assert!(outcome(&events).recipients.iter().all(|recipient| !recipient.result.as_ref().unwrap_err().is_uncertain()));
}

/// The open transaction is cleared away before the next, rehearsed or real; what was rehearsed is not sent with it.
#[test]
fn a_real_one_behind_it() {
    for until in [Until::Mail, Until::Rcpt] {
        let mut talk = Talk::ready(ALL);
        for reset in ["", "RSET\r\n"] {
            rehearse(&mut talk, &["<bob@b>"], until);
            assert!(talk.said().starts_with(&format!("{reset}MAIL FROM:<alice@a>\r\n")));
            let replies = reset.len() / 6 + if until == Until::Mail { 1 } else { 2 };
            assert!(outcome(&talk.hear(&"250 OK\r\n".repeat(replies))).is_success());
        }
        talk.start(transaction(&["<carol@c>"]));
        assert_eq!(talk.said(), "RSET\r\nMAIL FROM:<alice@a>\r\nRCPT TO:<carol@c>\r\nDATA\r\n");
        assert_eq!(talk.hear("250 OK\r\n250 OK\r\n250 OK\r\n354 go\r\n"), [Event::WantContent]);
        talk.send_content("text\n");
        assert_eq!(talk.said(), "text\r\n.\r\n");
        assert_eq!(results(outcome(&talk.hear("250 OK\r\n"))), ["250"]);
        // The content has ended the transaction: no RSET.
        talk.start(transaction(&["<carol@c>"]));
        assert!(talk.said().starts_with("MAIL "));
    }
}

/// Or it is left by QUIT.
#[test]
fn goodbye_behind_it() {
    let mut talk = Talk::ready(ALL);
    rehearse(&mut talk, &["<bob@b>"], Until::Rcpt);
    talk.hear("250 OK\r\n250 OK\r\n");
    talk.said();
    talk.session.quit(talk.now);
    assert_eq!(talk.said(), "QUIT\r\n");
    assert_eq!(talk.hear("221 bye\r\n"), [Event::Closed(Ending::Quit)]);
}

/// A server that says 354 where nobody asked for content is out of step, and gets none.
#[test]
fn no_reply_makes_it_send_content() {
    for until in [Until::Mail, Until::Rcpt] {
        let mut chunking = config();
        chunking.chunking = true;
        let mut talk = Talk::with(chunking);
        talk.hear("220 mx\r\n250-mx\r\n250-CHUNKING\r\n250-SIZE\r\n250 PIPELINING\r\n");
        talk.said();
        let mut transaction = transaction(&["<bob@b>"]);
        transaction.parameters.size = Some(10);
        talk.session.rehearse(transaction, until, talk.now).unwrap();
        let said = talk.said();
        assert!(
            said.starts_with("MAIL FROM:<alice@a> SIZE=10\r\n") && !said.contains("DATA") && !said.contains("BDAT")
        );
        let events = talk.hear("354 go\r\n");
        assert_eq!(results(outcome(&events)), ["MAIL Unexpected"]);
        assert!(matches!(events[1], Event::Closed(Ending::Failed(..))));
        // Content that is handed in all the same goes nowhere.
        talk.session.write_content(b"text", talk.now).unwrap();
        talk.session.finish_content(talk.now).unwrap();
        assert_eq!(talk.said(), "");
    }
}

/// What cannot be sent to this server cannot be rehearsed either.
#[test]
fn what_cannot_be_started() {
    let mut talk = Talk::plain();
    for (transaction, error) in
        [(transaction(&[]), StartError::NoRecipients), (transaction(&["<é@b>"]), StartError::NeedsSmtpUtf8)]
    {
        assert_eq!(talk.session.rehearse(transaction, Until::Rcpt, talk.now), Err(error));
    }
    rehearse(&mut talk, &["<bob@b>"], Until::Rcpt);
    assert_eq!(talk.session.rehearse(transaction(&["<bob@b>"]), Until::Rcpt, talk.now), Err(StartError::NotReady));
}
