//! Servers that break the rules, at every step: the client ends in bounded time and memory, and never reports as accepted
//! what was not.

#![allow(clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::sync::{LazyLock, mpsc};
use std::time::{Duration, Instant};

use smtp_client::connection::ConnectError;
use smtp_client::proto::client::{Cause, Ending, Failure, Outcome, Stage};
use smtp_client::proto::reply_parser::ReplyError;
use smtp_client::{Connection, Content, Options};
use smtp_tests::PATIENCE;
use smtp_tests::scripted_server::{
    Answer, ReservedPort, Said, Script, ScriptedServer, content, in_haste, in_lock_step, polite, polite_with, timeouts,
    transaction,
};

/// The steps at which a server can go wrong, in their order.
const STAGES: [Stage; 7] =
    [Stage::Greeting, Stage::Hello, Stage::Mail, Stage::Rcpt, Stage::Data, Stage::EndOfContent, Stage::Quit];

/// Good behaviour up to the reply that is due at this stage.
fn good_until(stage: Stage) -> Script {
    let mut script = Script::new();
    for (earlier, reply, next) in [
        (Stage::Greeting, "220 mx.example", "EHLO"),
        (Stage::Hello, "250 mx.example", "MAIL"),
        (Stage::Mail, "250 OK", "RCPT"),
        (Stage::Rcpt, "250 OK", "DATA"),
        (Stage::Data, "354 go on", ""),
        (Stage::EndOfContent, "250 queued", "QUIT"),
    ] {
        if earlier == stage {
            break;
        }
        script = script.say(reply);
        script = if next.is_empty() { script.content() } else { script.expect(next) };
    }
    script
}

/// How an attempt to send one message to one recipient ended.
#[derive(Debug)]
enum End {
    NoConnection(Ending),
    Sent(Outcome),
}

fn attempt(server: &ScriptedServer, options: Options) -> End {
    let started = Instant::now();
    let end = match Connection::open(&server.name(), options) {
        Ok(mut connection) => {
            let outcome = connection.send(transaction("a@x", &["b@x"]), &content("Subject: x\n\nhello\n")).unwrap();
            connection.quit();
            End::Sent(outcome)
        }
        Err(ConnectError::Session(_, ending)) => End::NoConnection(ending),
        Err(error) => panic!("{error}"),
    };
    assert!(started.elapsed() < PATIENCE, "it took {:?}", started.elapsed());
    end
}

/// The end must be this failure at this stage, and uncertain only if the server had the whole message; if it is at QUIT,
/// the message was accepted all the same.
fn check(stage: Stage, end: &End, is_expected: impl Fn(&Cause) -> bool) {
    match (stage, end) {
        (Stage::Quit, End::Sent(outcome)) => assert!(outcome.is_success(), "{outcome:?}"),
        (Stage::Greeting | Stage::Hello, End::NoConnection(Ending::Failed(at, cause))) => {
            assert!(*at == stage && is_expected(cause), "{stage}: {end:?}");
        }
        (Stage::Greeting | Stage::Hello, End::NoConnection(Ending::Refused(at, reply))) => {
            assert!(*at == stage && is_expected(&Cause::Refused(reply.clone())), "{stage}: {end:?}");
        }
        (_, End::Sent(outcome)) => {
            let failure = outcome.recipients[0].result.as_ref().unwrap_err();
            assert!(failure.stage == stage && is_expected(&failure.cause), "{stage}: {failure:?}");
            let is_answered = matches!(failure.cause, Cause::Refused(_));
            assert_eq!(failure.is_uncertain(), stage == Stage::EndOfContent && !is_answered, "{failure:?}");
        }
        _ => panic!("{stage}: {end:?}"),
    }
}

/// Row N170, N176, and the rest of what is no reply; at every stage.
#[test]
fn what_is_no_reply() {
    for stage in STAGES {
        for (reply, error) in [
            ("hello\r\n", ReplyError::Malformed),
            ("\r\n", ReplyError::Malformed),
            ("25\r\n", ReplyError::Malformed),
            ("2500 x\r\n", ReplyError::Malformed),
            ("HTTP/1.1 400 Bad Request\r\n", ReplyError::Malformed),
            ("150 wait\r\n", ReplyError::Code),
            ("650 what\r\n", ReplyError::Code),
            ("099 x\r\n", ReplyError::Code),
            ("250-one\r\n550 two\r\n", ReplyError::DifferentCodes),
            ("250 OK\n", ReplyError::BareLineFeed),
        ] {
            let server = ScriptedServer::start([good_until(stage).say(reply)]);
            let end = attempt(&server, in_lock_step());
            check(stage, &end, |cause| *cause == Cause::Reply(error));
            server.finish_anyhow();
        }
    }
}

/// Lines without end, lines without number, a line of 1 MiB: the client leaves, and has not kept them.
#[test]
fn endless_replies() {
    for stage in STAGES {
        let many_lines = "250-x\r\n".repeat(10_000) + "250 x\r\n";
        let long_line = format!("250 {}\r\n", "x".repeat(1 << 20));
        for script in [
            good_until(stage).say_for_ever(b"2"),
            good_until(stage).say_for_ever(b"250-x\r\n"),
            good_until(stage).say_for_ever(b"250 x"),
            good_until(stage).say(many_lines),
            good_until(stage).say(long_line),
        ] {
            let server = ScriptedServer::start([script]);
            let end = attempt(&server, in_lock_step());
            check(stage, &end, |cause| matches!(cause, Cause::Reply(ReplyError::TooLong | ReplyError::Malformed)));
            let failures: Vec<_> = server.finish_anyhow().into_iter().filter_map(|session| session.failure).collect();
            assert!(!failures.iter().any(|failure| failure.contains("for ever")), "{stage}: {failures:?}");
        }
    }
}

/// Rows N093, N134: FIN and RST at every stage, with and without half a reply before.
#[test]
fn the_server_goes_away() {
    for stage in STAGES {
        for half in ["", "25", "250-one\r\n", "250 OK"] {
            let say = || good_until(stage).say_in_pieces([half.as_bytes().to_vec()]);
            for script in [say().close(), say().reset()] {
                let server = ScriptedServer::start([script]);
                let end = attempt(&server, in_lock_step());
                check(stage, &end, |cause| *cause == Cause::ConnectionLost);
                server.finish();
            }
        }
    }
}

/// Row N237: silence at every stage. The time is that of the stage.
#[test]
fn the_server_is_silent() {
    for stage in STAGES {
        let server = ScriptedServer::start([good_until(stage).hold()]);
        let mut times = timeouts(PATIENCE * 2);
        let short = Duration::from_millis(50);
        match stage {
            Stage::Greeting => times.greeting = short,
            Stage::Hello => times.hello = short,
            Stage::Mail => times.mail = short,
            Stage::Rcpt => times.rcpt = short,
            Stage::Data => times.data = short,
            Stage::EndOfContent => times.end_of_content = short,
            _ => times.quit = short,
        }
        let end = attempt(&server, Options { timeouts: times, ..in_lock_step() });
        check(stage, &end, |cause| *cause == Cause::Timeout);
        server.finish();
    }
}

/// A server that says an octet now and then is silent too: what counts is the reply.
#[test]
fn a_dribbling_server_gains_no_time() {
    let mut script = good_until(Stage::Mail);
    for _ in 0..200 {
        script = script.say_in_pieces([b"2".to_vec()]).quiet(Duration::from_millis(5));
    }
    let server = ScriptedServer::start([script]);
    let end = attempt(&server, Options { timeouts: timeouts(Duration::from_millis(200)), ..in_lock_step() });
    check(Stage::Mail, &end, |cause| matches!(cause, Cause::Timeout));
    let failure = server.finish_anyhow().remove(0).failure.expect("the client leaves before the script is over");
    assert!(failure.contains("did not wait"), "{failure}");
}

/// `give_up_at` goes before the time of every stage.
#[test]
fn one_deadline_for_all() {
    for stage in STAGES {
        let server = ScriptedServer::start([good_until(stage).hold()]);
        let give_up_at = Some(Instant::now() + Duration::from_millis(200));
        let options = Options { timeouts: timeouts(PATIENCE * 2), give_up_at, ..in_lock_step() };
        check(stage, &attempt(&server, options), |cause| *cause == Cause::Timeout);
        server.finish();
    }
}

/// 421 at every stage, and the connection closed behind it.
#[test]
fn the_server_has_enough() {
    for stage in STAGES {
        for keywords in [&[][..], &["PIPELINING"]] {
            let wanted = match stage {
                Stage::Hello => "EHLO",
                Stage::Mail => "MAIL",
                Stage::Rcpt => "RCPT",
                Stage::Data => "DATA",
                Stage::Quit => "QUIT",
                _ => "",
            };
            let greeting = if stage == Stage::Greeting { "421 later" } else { "220 mx.example" };
            let server = ScriptedServer::start([Script::new().say(greeting).converse(move |said| match said {
                Said::Line(line) if !wanted.is_empty() && line.starts_with(wanted) => Answer::last("421 later"),
                Said::Content(_) if stage == Stage::EndOfContent => Answer::last("421 later"),
                said => polite_with(keywords, said),
            })]);
            let end = attempt(&server, in_haste());
            check(stage, &end, |cause| matches!(cause, Cause::Refused(reply) if reply.code().number() == 421));
            server.finish();
        }
    }
}

/// Replies of the wrong kind: 354 where nobody asked for content, 250 where content was to follow.
#[test]
fn replies_of_the_wrong_kind() {
    for (stage, reply) in [
        (Stage::Greeting, "354 go on"),
        (Stage::Hello, "354 go on"),
        (Stage::Mail, "354 go on"),
        (Stage::Rcpt, "354 go on"),
        (Stage::Data, "250 OK"),
        (Stage::EndOfContent, "354 more"),
        (Stage::Quit, "354 stay"),
    ] {
        let server = ScriptedServer::start([good_until(stage).say(reply).converse(polite)]);
        let end = attempt(&server, in_lock_step());
        check(stage, &end, |cause| *cause == Cause::Reply(ReplyError::Unexpected));
        server.finish_anyhow();
    }
}

fn is_unexpected(failure: &Failure) -> bool {
    failure.cause == Cause::Reply(ReplyError::Unexpected)
}

/// A 250 that comes before the dot has gone out is no verdict on the message.
#[test]
fn acceptance_before_the_end_of_the_content() {
    // Together with the 354.
    let server = ScriptedServer::start([good_until(Stage::Data).say("354 go on\r\n250 queued\r\n")]);
    let End::Sent(outcome) = attempt(&server, in_lock_step()) else { panic!("no conversation") };
    assert!(outcome.recipients[0].result.as_ref().is_err_and(is_unexpected), "{outcome:?}");
    let session = server.finish_one();
    assert!(!session.octets.ends_with(b".\r\n"), "nothing must look like an end");

    // In the middle of a large message.
    let script = good_until(Stage::Data).say("354 go on").take(100_000).say("250 queued");
    let server = ScriptedServer::start([script]);
    let mut connection = Connection::open(&server.name(), in_lock_step()).unwrap();
    let outcome = connection.send(transaction("a@x", &["b@x"]), large()).unwrap();
    assert!(outcome.recipients[0].result.as_ref().is_err_and(is_unexpected), "{outcome:?}");
    assert!(!connection.is_open());
    connection.quit();
    let session = server.finish_one();
    let (octets, rest) = (&session.octets, &session.rest);
    assert!(!rest.ends_with(b"\r\n.\r\n") && (octets.len() as u64) < large().octets(), "it was not sent to its end");
    assert!(!octets.ends_with(b"QUIT\r\n"), "commands inside content");
}

/// Postfix's smtp-sink, told to refuse content for good, says 354, the refusal and goodbye in one breath. The end of the
/// stream was once seen before the refusal in front of it, and a message that would never be taken was tried again. How
/// much of it is there when the client looks is a matter of microseconds, hence many times.
#[test]
fn a_refusal_together_with_the_354_and_the_close() {
    for _ in 0..50 {
        let server = ScriptedServer::start([good_until(Stage::Data).say("354 go on\r\n550 5.7.1 no\r\n").close()]);
        let End::Sent(outcome) = attempt(&server, in_lock_step()) else { panic!("no conversation") };
        let failure = outcome.recipients[0].result.as_ref().unwrap_err();
        assert!(matches!(&failure.cause, Cause::Refused(reply) if reply.code().number() == 550), "{failure:?}");
        assert!(!failure.is_transient());
        server.finish_anyhow();
    }
}

/// A reply that belongs to no command ends the connection before it is taken for the answer to the next one.
#[test]
fn replies_that_nobody_asked_for() {
    for extra in ["250 OK", "354 go on", "550 no", "25", "hello", "250-more to come"] {
        let (go_on, wait) = mpsc::channel();
        let script = good_until(Stage::EndOfContent)
            .say("250 queued")
            .say(extra)
            .run(move || go_on.send(()).expect("the test waits"));
        let server = ScriptedServer::start([script]);
        let mut connection = Connection::open(&server.name(), in_lock_step()).unwrap();
        let first = connection.send(transaction("a@x", &["b@x"]), &content("one")).unwrap();
        assert!(first.is_success());
        wait.recv_timeout(PATIENCE).expect("the server says it");
        let second = connection.send(transaction("a@x", &["c@x"]), &content("two")).unwrap();
        let failure = second.recipients[0].result.as_ref().unwrap_err();
        assert!(failure.stage == Stage::Ready && failure.is_transient() && !failure.is_uncertain(), "{failure:?}");
        assert!(!connection.is_open());
        connection.quit();
        let session = server.finish_one();
        assert!(!session.octets.windows(4).any(|octets| octets == b"<c@x"), "{extra}: the second message went out");
    }
}

/// Together with the reply to EHLO it comes before anything else was asked.
#[test]
fn a_second_reply_to_hello() {
    let server = ScriptedServer::start([good_until(Stage::Hello).say("250 mx.example\r\n250 OK")]);
    let error = Connection::open(&server.name(), in_lock_step()).unwrap_err();
    assert!(error.is_transient(), "{error}");
    server.finish();
}

/// The connection ends between two messages: the second is not tried, and the reason is the server's.
#[test]
fn goodbye_between_two_messages() {
    for (words, is_reply) in [("421 good night\r\n", true), ("", false)] {
        let (go_on, wait) = mpsc::channel();
        let script = good_until(Stage::EndOfContent)
            .say("250 queued")
            .say_in_pieces([words.as_bytes().to_vec()])
            .close()
            .run(move || go_on.send(()).expect("the test waits"));
        let server = ScriptedServer::start([script]);
        let mut connection = Connection::open(&server.name(), in_lock_step()).unwrap();
        assert!(connection.send(transaction("a@x", &["b@x"]), &content("one")).unwrap().is_success());
        wait.recv_timeout(PATIENCE).expect("the server closes");
        let outcome = connection.send(transaction("a@x", &["c@x"]), &content("two")).unwrap();
        let failure = outcome.recipients[0].result.as_ref().unwrap_err();
        assert_eq!((failure.stage, matches!(failure.cause, Cause::Refused(_))), (Stage::Ready, is_reply));
        assert!(failure.is_transient() && connection.failure_of_next().as_ref() == Some(failure));
        connection.quit();
        server.finish();
    }
}

/// More than all buffers on the way hold.
fn large() -> &'static Content {
    static LARGE: LazyLock<Content> = LazyLock::new(|| content("0123456789\n".repeat(1_000_000)));
    &LARGE
}

/// A large message for a server that takes only the beginning of it. Returns the outcome and how long it took.
fn send_large(script: Script, options: Options) -> (Failure, Duration) {
    let server = ReservedPort::new().listen_with_small_buffers([script]);
    let mut connection = Connection::open(&server.name(), options).unwrap();
    let started = Instant::now();
    let mut outcome = connection.send(transaction("a@x", &["b@x"]), large()).unwrap();
    let failure = outcome.recipients.remove(0).result.unwrap_err();
    assert!(!connection.is_open());
    connection.quit();
    let took = started.elapsed();
    server.finish_anyhow();
    (failure, took)
}

/// The server has seen enough, says 552 and reads no more: its word is the result, not our full pipe, and it is heard at
/// once.
#[test]
fn a_refusal_in_the_middle_of_the_content() {
    type End = fn(Script) -> Script;
    let ends: [End; 4] =
        [Script::hold, Script::close, |script| script, |script| script.run(|| ()).expect("never").close()];
    for end in ends {
        for reply in ["552 5.3.4 too big", "452 4.3.1 full"] {
            let script = good_until(Stage::Data).say("354 go on").take(50_000).say(reply);
            let options = Options { timeouts: timeouts(PATIENCE * 3), ..in_lock_step() };
            let (failure, took) = send_large(end(script), options);
            assert_eq!(failure.to_string(), format!("content: {reply}"));
            assert!(took < PATIENCE / 2, "{took:?}");
        }
    }
}

/// The same, once the client can write no more and waits: it looks up.
#[test]
fn a_refusal_while_the_client_is_stuck() {
    // Enough time to fill every buffer on the way. If it is not, the test above is held once more.
    let stuck = || std::thread::sleep(Duration::from_millis(400));
    let script = good_until(Stage::Data).say("354 go on").take(50_000).run(stuck).say("552 5.3.4 too big").hold();
    let (failure, took) = send_large(script, Options { timeouts: timeouts(PATIENCE * 3), ..in_lock_step() });
    assert_eq!(failure.to_string(), "content: 552 5.3.4 too big");
    assert!(took < PATIENCE / 2, "{took:?}");
}

/// The same, but in silence: the time for a block of content is the bound.
#[test]
fn a_server_that_reads_no_more_and_says_nothing() {
    let script = good_until(Stage::Data).say("354 go on").take(50_000).hold();
    let mut times = timeouts(PATIENCE * 3);
    times.block = Duration::from_millis(300);
    let (failure, took) = send_large(script, Options { timeouts: times, ..in_lock_step() });
    assert_eq!((failure.stage, &failure.cause), (Stage::Content, &Cause::Timeout));
    assert!(!failure.is_uncertain() && took < PATIENCE / 2, "{took:?}");
}

/// And one that goes away in the middle.
#[test]
fn a_server_that_leaves_in_the_middle_of_the_content() {
    type End = fn(Script) -> Script;
    let ends: [End; 2] = [Script::close, Script::reset];
    for end in ends {
        let script = good_until(Stage::Data).say("354 go on").take(50_000);
        let (failure, _) = send_large(end(script), in_lock_step());
        assert_eq!((failure.stage, &failure.cause), (Stage::Content, &Cause::ConnectionLost));
        assert!(!failure.is_uncertain());
    }
}

/// Row X019: every reply of a group is read, however they are mixed.
#[test]
fn every_reply_of_a_group_counts() {
    for (replies, expected) in [
        ("250 m\r\n250 b\r\n550 c\r\n354 d\r\n", [true, false]),
        ("250 m\r\n450 b\r\n250 c\r\n354 d\r\n", [false, true]),
        ("550 m\r\n503 b\r\n503 c\r\n503 d\r\n", [false, false]),
        ("250 m\r\n250 b\r\n250 c\r\n451 d\r\n", [false, false]),
        ("250 m\r\n550 b\r\n550 c\r\n554 d\r\n", [false, false]),
        ("250 m\r\n250 b\r\n250 c\r\n250 d\r\n", [false, false]),
    ] {
        let script = Script::greeted(&["PIPELINING"]).expect("MAIL").expect("RCPT").expect("RCPT").expect("DATA");
        let server = ScriptedServer::start([script.say(replies).converse(|said| match said {
            Said::Line("QUIT") => "221 bye".into(),
            // The content, read as lines: this server has said 354 before it began to converse.
            Said::Line(".") => "250 queued".into(),
            _ => Answer::Say(Vec::new()),
        })]);
        let mut connection = Connection::open(&server.name(), in_haste()).unwrap();
        let outcome = connection.send(transaction("a@x", &["b@x", "c@x"]), &content("hello")).unwrap();
        connection.quit();
        let accepted: Vec<bool> = outcome.recipients.iter().map(|one| one.result.is_ok()).collect();
        assert_eq!(accepted, expected, "{replies:?}: {outcome:?}");
        server.finish();
    }
}

/// Rows N172, X019: a good server behind a bad one is none the worse for it.
#[test]
fn the_next_connection_is_a_new_beginning() {
    let bad = good_until(Stage::Hello).say("250-mx.example\r\n550 what");
    let server = ScriptedServer::start([bad, Script::serve(polite)]);
    assert!(Connection::open(&server.name(), in_haste()).is_err());
    let End::Sent(outcome) = attempt(&server, in_haste()) else { panic!("no conversation") };
    assert!(outcome.is_success());
    server.finish();
}
