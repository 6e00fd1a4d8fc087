//! Coming back: who is tried again, who never, and what is reported of those whose answer was lost.

#![allow(clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use smtp_client::batch::{Delivery, Unwatched};
use smtp_client::connection::ConnectError;
use smtp_client::{Batch, Connection, Message, Plan, Retries};
use smtp_tests::PATIENCE;
use smtp_tests::scripted_server::{
    Answer, ReservedPort, Said, Script, ScriptedServer, Session, content, in_haste, polite, polite_with, quick_retries,
    transaction,
};

/// One message for each list of recipients. The first line of each says which it is.
fn batch(messages: &[&[&str]]) -> Batch {
    let message = |(number, to): (usize, &&[&str])| Message {
        transaction: transaction("a@x", to),
        source: content(format!("Subject: {number}\n\nhello\n")).into(),
    };
    Batch::new(messages.iter().enumerate().map(message).collect())
}

fn send(batch: &mut Batch, server: &str, retries: &Retries) {
    batch.send(&plan(retries.clone()), &Unwatched, &|| Connection::open(server, in_haste()));
}

fn plan(retries: Retries) -> Plan {
    Plan { retries, ..Plan::default() }
}

/// `yes`, `yes?` or what went wrong, for each recipient; with a question mark where another copy may have arrived.
fn results(batch: &Batch) -> Vec<String> {
    let result = |report: smtp_client::batch::Report<'_>| {
        let doubt = if report.is_uncertain { "?" } else { "" };
        match report.delivery {
            Delivery::Accepted(_) => format!("yes{doubt}"),
            delivery => format!("{delivery}{doubt}"),
        }
    };
    batch.reports().map(result).collect()
}

/// The RCPT lines' mailboxes in all sessions.
fn tried(sessions: &[Session]) -> Vec<&str> {
    let lines = sessions.iter().flat_map(|session| &session.commands);
    lines.filter_map(|line| line.strip_prefix("RCPT TO:<")?.strip_suffix("@x>")).collect()
}

fn recipients(sessions: &[Session]) -> String {
    tried(sessions).join(" ")
}

/// A server that answers RCPT as it is told, the n-th time this way, the last time for ever.
fn server_for(recipient: &'static str, answers: &'static [&'static str]) -> impl FnMut(Said<'_>) -> Answer + Clone {
    let count = Arc::new(AtomicUsize::new(0));
    move |said| match said {
        Said::Line(line) if line == format!("RCPT TO:<{recipient}@x>") => {
            let place = count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
            answers[place].into()
        }
        said => polite(said),
    }
}

/// Row N244: nobody listens, and at the next try somebody does.
#[test]
fn a_refused_connection_and_then_a_server() {
    let port = ReservedPort::new();
    let name = port.name();
    let (port, server, calls) = (Mutex::new(Some(port)), Mutex::new(None), AtomicUsize::new(0));
    let mut batch = batch(&[&["b@x"]]);
    batch.send(&plan(quick_retries(2)), &Unwatched, &|| {
        if calls.fetch_add(1, Ordering::SeqCst) == 2 {
            let port = port.lock().unwrap().take();
            *server.lock().unwrap() = port.map(|port| port.listen([Script::serve(polite)]));
        }
        Connection::open(&name, in_haste())
    });
    assert_eq!((results(&batch), calls.into_inner()), (vec!["yes".to_owned()], 3));
    assert_eq!(recipients(&server.into_inner().unwrap().unwrap().finish()), "b");
}

#[test]
fn a_server_that_never_comes() {
    let port = ReservedPort::new();
    let mut batch = batch(&[&["b@x"], &["c@x", "d@x"]]);
    let calls = AtomicUsize::new(0);
    batch.send(&plan(quick_retries(2)), &Unwatched, &|| {
        calls.fetch_add(1, Ordering::SeqCst);
        Connection::open(&port.name(), in_haste())
    });
    // One call for each try, however many messages wait.
    assert_eq!(calls.into_inner(), 3);
    let deliveries: Vec<_> = batch.reports().map(|report| report.delivery).collect();
    assert_eq!(deliveries.len(), 3);
    for delivery in deliveries {
        assert!(matches!(delivery, Delivery::NoConnection(why) if matches!(**why, ConnectError::Connect(..))));
        assert!(delivery.is_transient());
    }
}

/// Row N171.
#[test]
fn a_busy_server_and_then_a_ready_one() {
    let busy = || Script::new().say("421 4.3.2 later").close();
    let server = ScriptedServer::start([busy(), busy(), Script::serve(polite)]);
    let mut batch = batch(&[&["b@x"], &["c@x"]]);
    send(&mut batch, &server.name(), &quick_retries(2));
    assert_eq!(results(&batch), ["yes", "yes"]);
    assert_eq!(recipients(&server.finish()), "b c");
}

/// Rows N172, N183: a server that refuses for good is called once.
#[test]
fn a_server_that_wants_no_mail() {
    let server = ScriptedServer::start([Script::new().say("554 no mail here").converse(polite), Script::serve(polite)]);
    let mut batch = batch(&[&["b@x"], &["c@x"]]);
    send(&mut batch, &server.name(), &quick_retries(5));
    assert_eq!(results(&batch).len(), 2);
    assert!(batch.reports().all(|report| !report.delivery.is_transient()));
    assert_eq!(server.finish().len(), 1);
}

/// Rows N171, N172, N183: 4yz comes back for that recipient alone, 5yz never, and what was accepted is not sent again.
#[test]
fn only_who_was_put_off_is_tried_again() {
    let mut for_b = server_for("b", &["450 later", "450 later", "250 OK"]);
    let mut for_c = server_for("c", &["550 who?"]);
    let answer = move |said: Said<'_>| match said {
        Said::Line(line) if line.starts_with("RCPT TO:<b@x>") => for_b(said),
        said => for_c(said),
    };
    let scripts: Vec<Script> = (0..3).map(|_| Script::serve(answer.clone())).collect();
    let server = ScriptedServer::start(scripts);
    let mut batch = batch(&[&["b@x", "c@x", "d@x"], &["e@x"]]);
    send(&mut batch, &server.name(), &quick_retries(4));
    assert_eq!(results(&batch), ["yes", "RCPT: 550 who?", "yes", "yes"]);
    let sessions = server.finish();
    assert_eq!((sessions.len(), recipients(&sessions).as_str()), (3, "b c d e b b"));
}

/// Row N250: 5yz to MAIL is about one message.
#[test]
fn a_refused_sender_is_not_remembered() {
    let mut count = 0;
    let server = ScriptedServer::start([Script::serve(move |said| match said {
        Said::Line(line) if line.starts_with("MAIL") => {
            count += 1;
            if count == 1 { "550 not you".into() } else { "250 OK".into() }
        }
        said => polite_with(&[], said),
    })]);
    let mut batch = batch(&[&["b@x"], &["c@x"]]);
    send(&mut batch, &server.name(), &quick_retries(3));
    assert_eq!(results(&batch), ["MAIL: 550 not you", "yes"]);
    let sessions = server.finish();
    assert_eq!(recipients(&sessions), "c");
}

/// The whole message is put off: every accepted recipient is tried again, whoever was refused is not.
#[test]
fn the_content_is_put_off() {
    let mut count = 0;
    let answer = move |said: Said<'_>| match said {
        Said::Line("RCPT TO:<c@x>") => "550 who?".into(),
        Said::Content(_) => {
            count += 1;
            if count == 1 { "451 later".into() } else { "250 OK".into() }
        }
        said => polite(said),
    };
    // The count is the server's, not the connection's.
    let answer = Arc::new(std::sync::Mutex::new(answer));
    let scripts: Vec<Script> = (0..2)
        .map(|_| {
            let answer = answer.clone();
            Script::serve(move |said| (answer.lock().unwrap())(said))
        })
        .collect();
    let server = ScriptedServer::start(scripts);
    let mut batch = batch(&[&["b@x", "c@x", "d@x"]]);
    send(&mut batch, &server.name(), &quick_retries(3));
    assert_eq!(results(&batch), ["yes", "RCPT: 550 who?", "yes"]);
    assert_eq!(recipients(&server.finish()), "b c d b d");
}

/// Rows N234, N235: a server that takes only so many recipients at a time gets the rest at once, in further transactions
/// over the same connection, also without any retries.
#[test]
fn more_recipients_than_the_server_takes_at_a_time() {
    for refusal in ["452 4.5.3 too many", "552 too many"] {
        let to: Vec<String> = (0..250).map(|number| format!("u{number}@x")).collect();
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        let mut count = 0;
        let server = ScriptedServer::start([Script::serve(move |said| match said {
            Said::Line(line) if line.starts_with("RCPT") => {
                count += 1;
                if count > 100 { refusal.into() } else { "250 OK".into() }
            }
            said => {
                count = 0;
                polite(said)
            }
        })]);
        let mut batch = batch(&[&to]);
        send(&mut batch, &server.name(), &quick_retries(0));
        assert!(results(&batch).iter().all(|result| result == "yes"), "{refusal}");
        let sessions = server.finish();
        assert_eq!(sessions[0].contents.len(), 3);
        assert_eq!(tried(&sessions).len(), 250 + 150 + 50);
    }
}

/// 452 for somebody who is never taken does not make us ask for ever.
#[test]
fn a_mailbox_that_is_always_full() {
    let server = ScriptedServer::start([Script::serve(server_for("c", &["452 full"]))]);
    let mut batch = batch(&[&["b@x", "c@x"]]);
    send(&mut batch, &server.name(), &quick_retries(0));
    assert_eq!(results(&batch), ["yes", "RCPT: 452 full"]);
    assert_eq!(recipients(&server.finish()), "b c c");
}

/// A server that takes one message for each connection, and says so in three ways: the connection is replaced at once, and
/// no try is lost.
#[test]
fn the_connection_ends_between_two_messages() {
    type AtTheNext = fn() -> Answer;
    let ways: [AtTheNext; 3] = [|| Answer::last("421 enough"), Answer::close, || Answer::Reset];
    for way in ways {
        let script = || {
            let mut count = 0;
            Script::serve(move |said| match said {
                Said::Line(line) if line.starts_with("MAIL") => {
                    count += 1;
                    if count == 2 { way() } else { "250 OK".into() }
                }
                said => polite(said),
            })
        };
        let server = ScriptedServer::start([script(), script(), script()]);
        let mut batch = batch(&[&["b@x"], &["c@x"], &["d@x"]]);
        send(&mut batch, &server.name(), &quick_retries(0));
        assert_eq!(results(&batch), ["yes", "yes", "yes"]);
        let contents: Vec<usize> = server.finish().iter().map(|session| session.contents.len()).collect();
        assert_eq!(contents, [1, 1, 1]);
    }
}

/// The same where the server says it unasked, right behind the 250.
#[test]
fn the_server_says_goodbye_behind_each_message() {
    let script = || {
        Script::serve(|said| match said {
            Said::Content(_) => Answer::last("250 queued\r\n421 one is enough"),
            said => polite(said),
        })
    };
    let server = ScriptedServer::start([script(), script()]);
    let mut batch = batch(&[&["b@x"], &["c@x"]]);
    send(&mut batch, &server.name(), &quick_retries(0));
    assert_eq!(results(&batch), ["yes", "yes"]);
    let sessions = server.finish();
    assert_eq!((sessions.len(), recipients(&sessions).as_str()), (2, "b c"));
}

/// One message at which the server always dies does not hold up the others, nor do several that stand together; where they
/// stand everywhere, we do not call for ever.
#[test]
fn a_message_at_which_the_server_dies() {
    let script = || {
        Script::serve(|said| match said {
            Said::Line("RCPT TO:<poison@x>") => Answer::Reset,
            said => polite_with(&[], said),
        })
    };
    let server = ScriptedServer::start([script(), script()]);
    let mut one = batch(&[&["poison@x"], &["b@x"], &["c@x"]]);
    send(&mut one, &server.name(), &quick_retries(0));
    assert_eq!(results(&one), ["RCPT: the connection was lost", "yes", "yes"]);
    assert_eq!(recipients(&server.finish()), "poison c b");

    let server = ScriptedServer::start((0..5).map(|_| script()));
    let mut some = batch(&[&["poison@x"], &["poison@x"], &["poison@x"], &["b@x"], &["c@x"]]);
    send(&mut some, &server.name(), &quick_retries(0));
    let lost = "RCPT: the connection was lost";
    assert_eq!(results(&some), [lost, lost, lost, "yes", "yes"]);
    server.finish();

    let server = ScriptedServer::start((0..5).map(|_| script()));
    let mut all = batch(&[&["poison@x"][..]; 4]);
    send(&mut all, &server.name(), &quick_retries(0));
    assert_eq!(results(&all), [lost, "idle: the connection was lost", "idle: the connection was lost", lost]);
    assert_eq!(server.finish().len(), 2);
}

/// Two such messages at the front ended every try in the same way, and the others never had their turn.
#[test]
fn messages_at_which_the_server_dies_come_last_in_the_next_try() {
    let script = || {
        Script::serve(|said| match said {
            Said::Line("RCPT TO:<poison@x>") => Answer::Reset,
            said => polite(said),
        })
    };
    let server = ScriptedServer::start((0..5).map(|_| script()));
    let mut batch = batch(&[&["poison@x"], &["b@x"], &["c@x"], &["poison@x"]]);
    send(&mut batch, &server.name(), &quick_retries(1));
    let lost = "RCPT: the connection was lost";
    assert_eq!(results(&batch), [lost, "yes", "yes", lost]);
    let sessions = server.finish();
    assert_eq!((sessions.len(), recipients(&sessions).as_str()), (4, "poison poison b c poison poison"));
}

/// The server was blamed for being silent when it was our time that was over, and connections were still opened.
#[test]
fn no_message_begins_when_the_time_is_over() {
    let server = ScriptedServer::start([]);
    let mut batch = batch(&[&["b@x"], &["c@x"]]);
    let plan = Plan { give_up_at: Some(Instant::now()), ..plan(quick_retries(2)) };
    batch.send(&plan, &Unwatched, &|| Connection::open(&server.name(), in_haste()));
    assert_eq!(results(&batch), ["the time given with --timeout is over"; 2]);
    assert!(batch.reports().all(|report| report.delivery.is_transient()));
    assert!(server.finish().is_empty());
}

/// Whoever waits behind connections that broke is neither refused nor in doubt, though others were before.
#[test]
fn who_was_not_tried_shares_nobody_elses_fate() {
    let first = Script::serve(|said| match said {
        Said::Line("RCPT TO:<c@x>") => "550 who?".into(),
        Said::Line(line) if line.starts_with("RCPT") => "450 later".into(),
        said => polite(said),
    });
    let dying = || {
        Script::serve(|said| match said {
            Said::Content(_) => Answer::close(),
            said => polite(said),
        })
    };
    let server = ScriptedServer::start([first, dying(), dying()]);
    let mut batch = batch(&[&["b@x", "c@x"], &["d@x"], &["e@x"]]);
    send(&mut batch, &server.name(), &quick_retries(1));
    let lost = "end of content: the connection was lost?";
    assert_eq!(results(&batch), [lost, "RCPT: 550 who?", "idle: the connection was lost", lost]);
    server.finish();
}

/// RFC 1047: the answer to the whole message was lost. It is sent again, and the report says that there may be two.
#[test]
fn a_doubt_is_reported_whatever_comes_of_the_next_try() {
    let dying = || {
        Script::serve(|said| match said {
            Said::Content(_) => Answer::close(),
            said => polite(said),
        })
    };
    let refusing = Script::serve(server_for("b", &["550 who?"]));
    for (next, retries, expected) in [
        (Script::serve(polite), 1, "yes?"),
        (refusing, 1, "RCPT: 550 who??"),
        (Script::serve(polite), 0, "end of content: the connection was lost?"),
    ] {
        let server = ScriptedServer::start([dying(), next]);
        let mut batch = batch(&[&["b@x"]]);
        send(&mut batch, &server.name(), &quick_retries(retries));
        assert_eq!(results(&batch), [expected]);
        server.finish();
    }
}

/// The pause is not begun if the next try would come too late.
#[test]
fn gives_up_in_time() {
    let port = ReservedPort::new();
    let mut batch = batch(&[&["b@x"]]);
    let started = Instant::now();
    let retries = Retries { pauses: vec![Duration::from_millis(1), PATIENCE * 2, Duration::MAX] };
    let calls = AtomicUsize::new(0);
    let plan = Plan { give_up_at: Some(Instant::now() + PATIENCE), ..plan(retries) };
    batch.send(&plan, &Unwatched, &|| {
        calls.fetch_add(1, Ordering::SeqCst);
        Connection::open(&port.name(), in_haste())
    });
    assert!(calls.into_inner() == 2 && started.elapsed() < PATIENCE);
    assert_eq!(results(&batch).len(), 1);
}

/// A second call goes on where the first one ended.
#[test]
fn a_batch_goes_on_where_it_ended() {
    let server = ScriptedServer::start([Script::serve(server_for("b", &["450 later"])), Script::serve(polite)]);
    let mut batch = batch(&[&["b@x", "c@x"]]);
    send(&mut batch, &server.name(), &quick_retries(0));
    assert_eq!(results(&batch), ["RCPT: 450 later", "yes"]);
    send(&mut batch, &server.name(), &quick_retries(0));
    assert_eq!(results(&batch), ["yes", "yes"]);
    assert_eq!(recipients(&server.finish()), "b c b");
}

/// A message that cannot be sent to this server does not stop the others, and is not tried again.
#[test]
fn a_message_that_does_not_fit() {
    let server = ScriptedServer::start([Script::serve(|said| polite_with(&["SIZE 100"], said))]);
    let mut batch = Batch::new(vec![
        Message { transaction: transaction("a@x", &["b@x"]), source: content("x".repeat(200)).into() },
        Message { transaction: transaction("a@x", &["c@x"]), source: content("small").into() },
    ]);
    send(&mut batch, &server.name(), &quick_retries(2));
    let results = results(&batch);
    assert!(results[0].contains("larger than the 100 octets") && results[1] == "yes", "{results:?}");
    assert_eq!(recipients(&server.finish()), "c");
}
