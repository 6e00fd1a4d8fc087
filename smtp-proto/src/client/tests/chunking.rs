//! Content as one chunk (RFC 3030). Rows X039, X041, X043.

use super::*;
use crate::content::BareCarriageReturn;

const OFFERS: &str = "220 mx\r\n250-mx\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-8BITMIME\r\n250 SIZE 1000\r\n";
const IN_LOCK_STEP: &str = "220 mx\r\n250-mx\r\n250 CHUNKING\r\n";

fn talk(server: &str, chunking: bool) -> Talk {
    let mut config = config();
    config.chunking = chunking;
    let mut talk = Talk::with(config);
    assert_eq!(talk.hear(server), [Event::Ready]);
    talk.said();
    talk
}

fn sized(recipients: &[&str], octets: u64) -> Transaction {
    let mut transaction = transaction(recipients);
    transaction.parameters.size = Some(octets);
    transaction
}

/// Right behind the envelope, where the content is wanted.
fn talk_at_content(octets: u64) -> Talk {
    let mut talk = talk(OFFERS, true);
    talk.start(sized(&["<bob@b>"], octets));
    talk.said();
    assert_eq!(talk.hear("250 OK\r\n250 OK\r\n"), [Event::WantContent]);
    talk
}

/// All the replies to the envelope first, then one chunk: no DATA, no dots, CRLF behind every line (row X043).
#[test]
fn one_chunk() {
    let mut talk = talk(OFFERS, true);
    talk.start(sized(&["<bob@b>", "<no@b>"], 15));
    assert_eq!(talk.said(), "MAIL FROM:<alice@a> SIZE=15\r\nRCPT TO:<bob@b>\r\nRCPT TO:<no@b>\r\n");
    assert_eq!(talk.hear("250 OK\r\n250 OK\r\n"), []);
    assert_eq!(talk.said(), "");
    assert_eq!(talk.hear("550 no\r\n"), [Event::WantContent]);
    assert_eq!((talk.said().as_str(), talk.session.stage()), ("BDAT 15 LAST\r\n", Stage::Content));
    talk.send_content("x\n\n.\n.text");
    assert_eq!(talk.said(), "x\r\n\r\n.\r\n.text\r\n");
    let events = talk.hear("250 2.0.0 taken\r\n");
    assert_eq!(results(outcome(&events)), ["250", "RCPT 550"]);
    assert_eq!(events[1..], [Event::Ready]);
}

/// In lock-step too, and where the server has no SIZE the size is still known.
#[test]
fn one_chunk_in_lock_step() {
    let mut talk = talk(IN_LOCK_STEP, true);
    talk.start(sized(&["<bob@b>"], 6));
    assert_eq!(talk.said(), "MAIL FROM:<alice@a>\r\n");
    assert_eq!(talk.hear("250 OK\r\n"), []);
    assert_eq!(talk.said(), "RCPT TO:<bob@b>\r\n");
    assert_eq!(talk.hear("250 OK\r\n"), [Event::WantContent]);
    talk.send_content("text\n");
    assert_eq!(talk.said(), "BDAT 6 LAST\r\ntext\r\n");
    assert_eq!(results(outcome(&talk.hear("250 OK\r\n"))), ["250"]);
}

/// Only if it is wanted here, offered there, and the size is known.
#[test]
fn otherwise_data() {
    for (server, chunking, size) in [(OFFERS, false, Some(6)), (OFFERS, true, None), (ALL, true, Some(6))] {
        let mut talk = talk(server, chunking);
        let mut transaction = transaction(&["<bob@b>"]);
        transaction.parameters.size = size;
        talk.start(transaction);
        assert!(talk.said().ends_with("RCPT TO:<bob@b>\r\nDATA\r\n"));
        talk.hear("250 OK\r\n250 OK\r\n354 go\r\n");
        talk.send_content(".text\n");
        assert_eq!(talk.said(), "..text\r\n.\r\n");
    }
}

/// Rows X039, X041: nothing behind a refused chunk but RSET, before the next message.
#[test]
fn a_refused_chunk_is_followed_by_rset() {
    for reply in ["552 too big\r\n", "452 full\r\n"] {
        let mut talk = talk_at_content(6);
        talk.send_content("text\n");
        talk.said();
        let events = talk.hear(reply);
        assert_eq!(results(outcome(&events)), [format!("end of content {}", &reply[..3])]);
        assert_eq!(events[1..], [Event::Ready]);
        assert_eq!(talk.said(), "");
        talk.start(sized(&["<carol@c>"], 6));
        assert!(talk.said().starts_with("RSET\r\nMAIL FROM:"));
        assert_eq!(talk.hear("250 reset\r\n250 OK\r\n250 OK\r\n"), [Event::WantContent]);
        talk.send_content("text\n");
        assert_eq!(results(outcome(&talk.hear("250 OK\r\n"))), ["250"]);
        // Behind an accepted one there is no need.
        talk.said();
        talk.start(sized(&["<carol@c>"], 6));
        assert!(talk.said().starts_with("MAIL FROM:"));
    }
    // A refusal that closes closes.
    let mut talk = talk_at_content(6);
    talk.send_content("text\n");
    assert!(matches!(talk.hear("421 later\r\n")[1..], [Event::Closed(Ending::Goodbye(_))]));
}

/// Nobody wants it: no BDAT, and RSET before the next one.
#[test]
fn all_recipients_refused() {
    let mut talk = talk(OFFERS, true);
    for _ in 0..2 {
        talk.start(sized(&["<no@b>", "<nor@b>"], 6));
        let said = talk.said();
        assert!(said.ends_with("RCPT TO:<nor@b>\r\n"), "{said}");
        let prefix = if said.starts_with("RSET") { "250 reset\r\n" } else { "" };
        let events = talk.hear(&format!("{prefix}250 OK\r\n550 no\r\n451 later\r\n"));
        assert_eq!(results(outcome(&events)), ["RCPT 550", "RCPT 451"]);
        assert_eq!(talk.said(), "");
    }
    talk.start(sized(&["<bob@b>"], 6));
    assert!(talk.said().starts_with("RSET\r\n"));
    // A refused MAIL leaves nothing to be reset.
    assert_eq!(results(outcome(&talk.hear("250 reset\r\n550 no\r\n503 no\r\n"))), ["MAIL 550"]);
    talk.start(sized(&["<bob@b>"], 6));
    assert!(talk.said().starts_with("MAIL"));
}

/// The server must not be able to answer a message before we have said that it is whole, nor ever read an octet of it as a
/// command: whatever the pieces, the announced octets go out, the last of them at the end.
#[test]
fn the_last_octet_waits_for_the_end() {
    for (content, wire) in
        [("", ""), ("a", "a\r\n"), ("a\n", "a\r\n"), (".\r\n.\r\n", ".\r\n.\r\n"), ("a\n\nb", "a\r\n\r\nb\r\n")]
    {
        for piece in 1..=content.len().max(1) {
            let mut talk = talk_at_content(wire.len() as u64);
            let whole = format!("BDAT {} LAST\r\n{wire}", wire.len());
            for octets in content.as_bytes().chunks(piece) {
                talk.session.write_content(octets, talk.now).unwrap();
            }
            let before = talk.said();
            assert!(before.len() < whole.len(), "{content:?}");
            talk.session.finish_content(talk.now).unwrap();
            assert_eq!(before + &talk.said(), whole);
            assert_eq!(talk.session.stage(), Stage::EndOfContent);
            assert_eq!(results(outcome(&talk.hear("250 OK\r\n"))), ["250"]);
        }
    }
}

/// RFC 3030, 2: "Correct byte counting is essential." One octet less or more, found anywhere: it is not ended, and not one
/// octet stands behind the chunk.
#[test]
fn another_size_than_announced() {
    for (announced, pieces) in [
        (5, vec!["text\n"]),
        (7, vec!["text\n"]),
        (0, vec!["a"]),
        (1, vec![]),
        (6, vec!["text\n", "QUIT\n"]),
        (5, vec!["text"]),
        (4, vec!["text"]),
        (3, vec!["text"]),
        (u64::MAX, vec!["text\n"]),
    ] {
        let mut talk = talk(&OFFERS.replace("250 SIZE 1000", "250 X"), true);
        talk.start(sized(&["<bob@b>"], announced));
        talk.hear("250 OK\r\n250 OK\r\n");
        let line = format!("BDAT {announced} LAST\r\n");
        talk.said();
        for piece in &pieces {
            let _ = talk.session.write_content(piece.as_bytes(), talk.now);
        }
        let error = Err(ContentError::OtherSize { announced });
        assert_eq!(talk.session.finish_content(talk.now), error, "{announced} {pieces:?}");
        assert_eq!(talk.session.finish_content(talk.now), error);
        assert_eq!(talk.session.stage(), Stage::Content);
        assert!((talk.said().len() as u64) < announced.max(1), "{line}");
        talk.session.handle_connection_lost();
        assert_eq!(results(outcome(&talk.hear(""))), ["content lost"]);
    }
    let mut talk = talk_at_content(6);
    let _ = talk.session.write_content(b"a\rbcd\n", talk.now);
    assert_eq!(talk.session.finish_content(talk.now), Err(BareCarriageReturn.into()));
}

/// An answer before the end is none.
#[test]
fn an_early_answer() {
    for (reply, result) in [("250 OK\r\n", "content Unexpected"), ("552 no\r\n", "content 552")] {
        let mut talk = talk_at_content(6);
        talk.session.write_content(b"text\n", talk.now).unwrap();
        let events = talk.hear(reply);
        assert_eq!(results(outcome(&events)), [result]);
        assert!(matches!(events[1..], [Event::Closed(_)]));
    }
}

/// RFC 5321, 4.5.3.2: the times are those of DATA.
#[test]
fn deadlines() {
    let mut talk = talk_at_content(6);
    assert_eq!(talk.session.deadline(), Duration::from_secs(180));
    talk.now = Duration::from_secs(10);
    talk.send_content("text\n");
    assert_eq!(talk.session.deadline(), Duration::from_secs(610));
}
