//! How a server's replies are cut into segments changes nothing.

#![allow(clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use proptest::prelude::*;
use proptest::sample::Index;
use smtp_client::Connection;
use smtp_client::proto::client::Outcome;
use smtp_tests::scripted_server::{Script, ScriptedServer, content, in_haste, in_lock_step, transaction};

/// What the server says, with the number of lines that it reads first.
type Dialogue = &'static [(usize, &'static str)];

const IN_LOCK_STEP: Dialogue = &[
    (0, "220-mx.example\r\n220 ESMTP ready\r\n"),
    (1, "250-mx.example\r\n250-SIZE 1000\r\n250 8BITMIME\r\n"),
    (1, "250 2.1.0 OK\r\n"),
    (1, "250\r\n"),
    (1, "550-5.1.1 no\r\n550 5.1.1 such user\r\n"),
    (1, "499 \r\n"),
    (1, "354 \x1b[2Jgo on\r\n"),
];

const IN_GROUPS: Dialogue = &[
    (0, "220 mx.example\r\n"),
    (1, "250-mx.example\r\n250 PIPELINING\r\n"),
    (5, "250 OK\r\n250-a\r\n250 b\r\n550 5.1.1 no\r\n450\r\n354 go on\r\n"),
];

/// Cuts a text at these places.
fn pieces(text: &str, cuts: &[Index]) -> Vec<Vec<u8>> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
    places.extend([0, text.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| text.as_bytes()[pair[0]..pair[1]].to_vec()).filter(|piece| !piece.is_empty()).collect()
}

fn outcome(dialogue: Dialogue, has_pipelining: bool, cuts: &[Index]) -> Outcome {
    let mut script = Script::new();
    for (lines, reply) in dialogue {
        script = (0..*lines).fold(script, |script, _| script.expect(""));
        script = script.say_in_pieces(pieces(reply, cuts));
    }
    let end = pieces("250-queued\r\n250 as 1\r\n", cuts);
    let server = ScriptedServer::start([script.content().say_in_pieces(end).expect("QUIT").say("221 bye")]);
    let options = if has_pipelining { in_haste() } else { in_lock_step() };
    let mut connection = Connection::open(&server.name(), options).unwrap();
    let outcome = connection.send(transaction("a@x", &["b@x", "c@x", "d@x"]), &content("hello")).unwrap();
    connection.quit();
    server.finish();
    outcome
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cuts_change_nothing(cuts in proptest::collection::vec(any::<Index>(), 0..12)) {
        for (dialogue, has_pipelining) in [(IN_LOCK_STEP, false), (IN_GROUPS, true)] {
            let whole = outcome(dialogue, has_pipelining, &[]);
            let results: Vec<bool> = whole.recipients.iter().map(|one| one.result.is_ok()).collect();
            prop_assert_eq!(results, [true, false, false]);
            prop_assert_eq!(outcome(dialogue, has_pipelining, &cuts), whole);
        }
    }
}
