//! Whatever a server sends: nothing counts as taken over before 250 to the end of the content, everybody gets one result,
//! and the end comes.

use proptest::prelude::*;

use super::*;

/// What the server says, and where it stops saying it; `None` is the honest answer.
fn script() -> impl Strategy<Value = Vec<Option<String>>> {
    let code = prop_oneof![
        8 => prop::sample::select(vec![250, 354]),
        3 => prop::sample::select(vec![220, 221, 251, 421, 450, 451, 500, 503, 521, 550, 552, 554]),
        1 => 0..=700,
    ];
    let reply = prop_oneof![
        8 => code.clone().prop_map(|code| format!("{code:03} text\r\n")),
        1 => code.prop_map(|code| format!("{code:03}-one\r\n{code:03} two\r\n")),
        1 => "[ -~\r\n\u{1b}]{0,12}".prop_map(|text| format!("{text}\r\n")),
    ];
    prop::collection::vec(prop::option::weighted(0.15, reply), 0..16)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn nothing_is_sent_that_was_not(replies in script(), has_pipelining in any::<bool>(), has_chunking in any::<bool>(), recipients in 1_usize..4, piece in 1_usize..30) {
        let mut config = config();
        (config.pipelining, config.chunking) = (has_pipelining, has_chunking);
        let mut talk = Talk::with(config);
        talk.hear(&ALL.replace("250-DSN", "250-DSN\r\n250-CHUNKING"));
        talk.said();
        let transaction = |recipients| {
            let mut transaction = transaction(recipients);
            transaction.parameters.size = Some(b"text\r\n".len() as u64);
            transaction
        };
        let paths = ["<bob@b>", "<carol@c>", "<dave@d>"];
        let mut started = 0;
        let mut finished = 0;
        let mut next = replies.iter();
        let mut is_content_sent = false;
        talk.start(transaction(&paths[..recipients]));
        started += 1;
        let mut is_closed = false;
        // The server answers each time that it has something to answer, in pieces of any size.
        while !is_closed {
            let said = talk.said();
            is_content_sent |= said.ends_with(if has_chunking { "text\r\n" } else { "text\r\n.\r\n" });
            let Some(reply) = next.next() else { break };
            let honest = match talk.session.stage() {
                Stage::Data => "354 go\r\n",
                _ => "250 OK\r\n",
            };
            let reply_text = reply.as_deref().unwrap_or(honest);
            let mut held = Vec::new();
            for octets in reply_text.as_bytes().chunks(piece) {
                held.extend_from_slice(octets);
                loop {
                    let (used, event) = talk.session.handle(&held, talk.now);
                    held.drain(..used);
                    match event {
                        Event::NeedInput => break,
                        Event::Ready if started < 3 => {
                            is_content_sent = false;
                            talk.start(transaction(&paths[..recipients]));
                            started += 1;
                        }
                        Event::Ready => talk.session.quit(talk.now),
                        Event::WantContent => talk.send_content("text"),
                        Event::StartTls | Event::Auth(_) => prop_assert!(false, "nobody asked for it"),
                        Event::Finished(outcome) => {
                            finished += 1;
                            prop_assert_eq!(outcome.recipients.len(), recipients);
                            for recipient in &outcome.recipients {
                                if let Ok(reply) = &recipient.result {
                                    prop_assert!(is_content_sent && reply.is_positive());
                                    prop_assert!(reply_text.starts_with('2'), "{:?} said {:?}", replies, reply);
                                }
                            }
                        }
                        Event::Closed(_) => is_closed = true,
                    }
                    if is_closed { break }
                }
                if is_closed { break }
            }
        }
        if !is_closed {
            talk.session.handle_connection_lost();
            let events = talk.hear("");
            prop_assert!(matches!(events.last(), Some(Event::Closed(_))), "{:?}", events);
            for event in &events {
                if let Event::Finished(outcome) = event {
                    finished += 1;
                    prop_assert!(outcome.recipients.iter().all(|recipient| recipient.result.is_err()));
                }
            }
        }
        prop_assert_eq!(finished, started, "one outcome for each transaction");
    }

    #[test]
    fn random_octets_end_in_an_error_or_in_silence(octets in prop::collection::vec(any::<u8>(), 0..200), step in 0_usize..5) {
        let mut talk = Talk::new();
        let replies = ["220 mx\r\n", "250 mx\r\n", "250 OK\r\n", "250 OK\r\n", "354 go\r\n"];
        for reply in &replies[..step] {
            for event in talk.hear(reply) {
                if event == Event::Ready {
                    talk.start(transaction(&["<bob@b>"]));
                }
            }
        }
        let mut rest = &octets[..];
        loop {
            let (used, event) = talk.session.handle(rest, talk.now);
            rest = &rest[used..];
            match event {
                Event::NeedInput | Event::Closed(_) => break,
                Event::Finished(outcome) => prop_assert!(outcome.recipients.iter().all(|recipient| recipient.result.is_err())),
                Event::Ready | Event::WantContent | Event::StartTls | Event::Auth(_) => {}
            }
        }
    }
}
