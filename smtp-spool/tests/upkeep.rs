//! What an operator does with messages in the queue, as the spool sees it: holding, releasing, trying at once, giving up.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

mod support;

use smtp_spool::{
    Changed, Due, Lane, MessageState, Outcome, Owes, ReadError, Report, Settled, Settlement, Spool, Status, Store as _,
    WorkerId,
};
use support::*;

fn worker() -> WorkerId {
    WorkerId("worker".to_owned())
}

/// Claims in a lane, by the names of their messages and the numbers of their recipients.
fn claims(spool: &Spool, lane: &Lane, now: i64) -> Vec<(String, Vec<usize>)> {
    let claims = spool.claim(&worker(), lane, 9, now).unwrap();
    claims.iter().map(|claim| (claim.id().to_string(), claim.recipients())).collect()
}

fn changed(recipients: usize, being_tried: usize) -> Option<Changed> {
    Some(Changed { recipients, being_tried })
}

#[test]
fn hold_release_and_retry_now() {
    on_every_engine(|fixture| {
        let spool = &fixture.spool;
        put(spool, "m", b"hello\r\n", Due::At(100)).unwrap();
        assert_eq!(spool.retry_now(&id("m"), 50).unwrap(), changed(2, 0));
        assert_eq!(spool.retry_now(&id("m"), 50).unwrap(), changed(0, 0));
        assert_eq!(spool.hold(&id("m")).unwrap(), changed(2, 0));
        let fixture = fixture.reopened();
        let spool = &fixture.spool;
        assert!(spool.due_lanes(i64::MAX).unwrap().is_empty());
        assert_eq!(fixture.reader.summary(&id("m")).unwrap().state(), MessageState::Held);
        assert_eq!(spool.retry_now(&id("m"), 60).unwrap(), changed(0, 0));
        assert_eq!(spool.release_held(&id("m"), 60).unwrap(), changed(2, 0));
        assert_eq!(claims(spool, &Lane::unrouted(), 60), [("m".to_owned(), vec![0, 1])]);
        // Whoever is being tried is left alone.
        assert_eq!(spool.hold(&id("m")).unwrap(), changed(0, 2));
        assert_eq!(spool.hold(&id("nobody")).unwrap(), None);
        assert_eq!(spool.queued(), [id("m")]);
    });
}

#[test]
fn everything_at_once() {
    on_every_engine(|fixture| {
        let spool = &fixture.spool;
        for name in ["a", "b", "c", "now"] {
            put(spool, name, b"hello\r\n", Due::At(if name == "now" { 50 } else { 100 })).unwrap();
        }
        put(spool, "kept", b"hello\r\n", Due::Kept).unwrap();
        assert_eq!(spool.hold(&id("c")).unwrap(), changed(2, 0));
        let seen = spool.wait(u64::MAX, std::time::Duration::ZERO);
        assert_eq!((spool.retry_all_now(60), spool.retry_all_now(60)), (2, 0));
        assert_ne!(spool.wait(seen, std::time::Duration::ZERO), seen, "whoever waits is woken");
        assert_eq!(claims(spool, &Lane::unrouted(), 60).len(), 3);
    });
}

/// Bob is told of nothing new, Carol has asked not to have failures reported (`NOTIFY=SUCCESS,DELAY`).
#[test]
fn whoever_is_given_up_is_reported_where_the_sender_wants_to_hear() {
    on_every_engine(|fixture| {
        let spool = &fixture.spool;
        put(spool, "m", b"hello\r\n", Due::At(100)).unwrap();
        assert_eq!(spool.hold(&id("m")).unwrap(), changed(2, 0), "what is held can be given up too");
        assert_eq!(spool.fail(&id("m"), "550 5.7.1 removed").unwrap(), changed(2, 0));
        let fixture = fixture.reopened();
        let summary = fixture.reader.summary(&id("m")).unwrap();
        let states: Vec<_> = summary.recipients.iter().map(|state| (state.status, state.report.clone())).collect();
        assert_eq!(states, [(Status::Failed, Report::Owed), (Status::Failed, Report::None)]);
        let spool = &fixture.spool;
        let claim = spool.claim(&worker(), &Lane::reports(), 9, 0).unwrap().remove(0);
        assert_eq!((claim.recipients(), claim.states()[0].1.remark.as_str()), (vec![0], "550 5.7.1 removed"));
        // Once the report is made there is nothing left.
        let _ = spool.settle(claim, &[(0, Outcome::ReportMade)], Settlement::Done).unwrap();
        assert_eq!((ids(&fixture.reader).len(), spool.fail(&id("m"), "550 no").unwrap()), (0, None));
    });
}

/// Nobody is told who cannot be told: the null reverse-path, and whoever said NOTIFY=NEVER.
#[test]
fn where_nobody_is_to_hear_the_message_is_gone() {
    on_every_engine(|fixture| {
        for (name, from, to) in
            [("null", "<>", "<b@x.example>"), ("never", "<a@x.example>", "<b@x.example> NOTIFY=NEVER")]
        {
            let mut incoming = fixture.spool.begin(None).unwrap();
            std::io::Write::write_all(&mut incoming, b"hello\r\n").unwrap();
            incoming.commit(&id(name), &envelope(from, &[to]), Due::At(0)).unwrap();
            assert_eq!(fixture.spool.fail(&id(name), "550 5.7.1 removed").unwrap(), changed(1, 0), "{name}");
            assert!(matches!(fixture.reader.summary(&id(name)), Err(ReadError::Missing)), "{name}");
        }
        assert!(fixture.spool.queued().is_empty());
    });
}

/// A delivery under way may succeed, and then a report that it failed would be a lie.
#[test]
fn whoever_is_being_tried_is_not_given_up() {
    let lane = Lane::new("example.net").unwrap();
    on_every_engine(|fixture| {
        let spool = &fixture.spool;
        put(spool, "m", b"hello\r\n", Due::At(0)).unwrap();
        let claim = spool.claim(&worker(), &Lane::unrouted(), 1, 0).unwrap().remove(0);
        let _ = spool.settle(claim, &[(0, Outcome::Routed(lane.clone()))], Settlement::Done).unwrap();
        let claim = spool.claim(&worker(), &lane, 1, 0).unwrap().remove(0);
        assert_eq!(spool.fail(&id("m"), "550 5.7.1 removed").unwrap(), changed(1, 1));
        let delivered = Outcome::Delivered("250 ok".to_owned(), Owes::Nothing);
        assert_eq!(spool.settle(claim, &[(0, delivered)], Settlement::Done).unwrap(), Settled::Ok);
        // Of Carol the sender did not want to hear.
        assert!(ids(&fixture.reader).is_empty());
    });
}

/// A kept message has arrived; there is nobody to give up.
#[test]
fn what_is_kept_is_not_in_the_queue() {
    on_every_engine(|fixture| {
        put(&fixture.spool, "k", b"hello\r\n", Due::Kept).unwrap();
        let (spool, id) = (&fixture.spool, id("k"));
        assert_eq!((spool.fail(&id, "550 no").unwrap(), spool.hold(&id).unwrap()), (None, None));
        assert_eq!((spool.retry_now(&id, 0).unwrap(), spool.release_held(&id, 0).unwrap()), (None, None));
        assert_eq!(ids(&fixture.reader), ["k"]);
    });
}
