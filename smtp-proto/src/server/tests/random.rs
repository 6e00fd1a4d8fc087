//! Whatever a peer sends: an answer, never a panic, and an end in order. Rows N090, N157, N161.

use proptest::prelude::*;

use super::*;

/// Commands, wrong commands, content and endings.
fn line() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(vec![
        "EHLO a",
        "HELO a",
        "MAIL FROM:<a@a>",
        "MAIL FROM:<> SIZE=5",
        "RCPT TO:<b@b>",
        "RCPT TO:<c@c>",
        "DATA",
        "RSET",
        "NOOP",
        "VRFY x",
        "HELP",
        "QUIT",
        "STARTTLS",
        "AUTH PLAIN",
        "AUTH PLAIN AGFubgBnb29k",
        "AGFubgBnb29k",
        "AGFubgBiYWQ=",
        "*",
        "BDAT 6\r\ntext",
        "BDAT 8\r\nRSET 1",
        "BDAT 3 LAST\r\n.",
        "BDAT 5\r\na\rb",
        "BDAT 0",
        "BDAT 0 LAST",
        "BDAT -1",
        "EXPN x",
        "XYZZY",
        "MAIL FROM:<",
        "RCPT TO:",
        "",
        ".",
        "..",
        "text",
        "Received: x",
        "EHLO",
        "GET /",
        "\u{1}",
    ]);
    prop_oneof![
        8 => fixed.prop_map(str::to_owned),
        1 => Just("x".repeat(3_000)),
        1 => "[ -~é]{0,20}",
    ]
}

fn small() -> Config {
    let mut config = config();
    config.message_octets = 200;
    config.recipients = 2;
    config.fruitless_commands = 50;
    config
}

/// Refuses a third of what it is asked, by the length of the question's words.
fn moody(question: Question<'_>) -> Decision {
    match (question, format!("{question:?}").len() % 3) {
        (Question::Connect, _) => Decision::Accept,
        (_, 0) => refusal(550, EnhancedCode::new(5, 7, 1)),
        _ => Decision::Accept,
    }
}

/// Row N090: the server closes behind 221, 421, 521 or 554 and in no other case.
fn check_ending(host: &Host, output: &str) -> Result<(), TestCaseError> {
    let codes = codes(output);
    if host.is_closed {
        prop_assert!(matches!(codes.last(), Some(221 | 421 | 521 | 554)), "closed behind {:?}", codes);
    }
    prop_assert!(codes.iter().filter(|code| matches!(code, 221 | 421 | 521)).count() <= 1);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_scripts(lines in prop::collection::vec(line(), 0..60)) {
        for policy in [accept_all, moody] {
            let mut host = Host::with(Config { starttls: true, ..small() }, policy);
            host.session.offer_auth(vec![Mechanism::Plain]);
            let mut output = String::new();
            for line in &lines {
                let is_content = matches!(host.session.state, State::Content(_));
                let was_closed = host.is_closed;
                // There every line is an answer, that of a BDAT too: what stands behind it is a command like any other.
                let is_dialogue = matches!(host.session.state, State::Dialogue(_));
                let replies = host.feed(format!("{line}\r\n").as_bytes());
                output += &replies;
                if host.wants_tls {
                    prop_assert!(replies.starts_with("220 ") && !host.session.is_tls(), "{replies:?}");
                    host.establish_tls();
                }
                // Row N161: one reply for each command; in content one at its end.
                let count = codes(&replies).len();
                let commands = if is_dialogue { line.lines().count().max(1) } else { 1 };
                prop_assert!(count == commands || count == 0 && (is_content || was_closed), "{:?}: {:?}", line, replies);
            }
            check_ending(&host, &output)?;
            prop_assert!(host.session.user().is_none() || lines.iter().any(|line| line.ends_with("AGFubgBnb29k")));
            prop_assert_eq!(host.buffer.len(), 0);
        }
    }

    #[test]
    fn random_octets(start in 0_usize..5, octets in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), any::<u8>()], 0..600), piece in 1_usize..50) {
        let mut host = Host::with(small(), accept_all);
        host.agree_all(&["EHLO a", "MAIL FROM:<a@a>", "RCPT TO:<b@b>", "DATA"][..start]);
        let output: String = octets.chunks(piece).map(|octets| host.feed(octets)).collect();
        check_ending(&host, &output)?;
        prop_assert!(host.messages.iter().all(|(_, content)| content.len() <= 200));
        prop_assert!(host.buffer.len() < crate::limits::COMMAND_LINE_OCTETS);
    }

    /// Where the network cuts makes no difference, to replies or to messages. (Speaking behind EHLO does, and an LF at the
    /// end of the input: those are about what is there and what is not.)
    #[test]
    fn cut_anywhere_is_the_same(lines in prop::collection::vec(line(), 0..30), piece in 1_usize..40) {
        let script: String = lines.iter().filter(|line| !line.starts_with("EHLO ") && !line.starts_with("HELO ")).map(|line| format!("{line}\r\n")).collect();
        let run = |piece: usize| {
            let mut host = Host::with(small(), moody);
            host.session.offer_auth(vec![Mechanism::Plain]);
            let hello = host.feed(b"EHLO client.example\r\n");
            let output: String = script.as_bytes().chunks(piece).map(|octets| host.feed(octets)).collect();
            // At the end of it all the driver drops what it has without being told.
            let drops = if host.is_closed { 0 } else { host.drops };
            (hello + &output, host.messages, host.is_closed, drops, host.questions)
        };
        let whole = run(usize::MAX);
        prop_assert_eq!(run(piece), whole.clone());
        prop_assert_eq!(run(1), whole);
    }
}

/// Content that says nothing new, cut at every place, beside commands.
#[test]
fn a_whole_conversation_cut_at_every_octet() {
    let script =
        b"MAIL FROM:<a@a> SIZE=9\r\nRCPT TO:<b@b>\r\nDATA\r\n..a\r\n\r\nb\r\n.\r\nRSET\r\nBAD\r\nNOOP\r\nQUIT\r\n";
    let run = |cuts: &[usize]| {
        let mut host = Host::after(&[]);
        let mut start = 0;
        let mut output = String::new();
        for &cut in cuts.iter().chain([&script.len()]) {
            output += &host.feed(&script[start..cut]);
            start = cut;
        }
        assert_eq!(codes(&output), [250, 250, 354, 250, 250, 500, 250, 221]);
        assert_eq!(host.messages[0].1, b".a\r\n\r\nb\r\n");
        output
    };
    let whole = run(&[]);
    for cut in 0..=script.len() {
        assert_eq!(run(&[cut]), whole);
        assert_eq!(run(&[cut / 2, cut]), whole);
    }
}
