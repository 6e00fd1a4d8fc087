//! Reports to the sender as the spool sees them: one for all recipients of a message, made once, claimable last; also with
//! the power cut, or the process killed, at every single operation on the way.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

mod support;

use std::sync::Arc;

use smtp_spool::{
    Due, Lane, MemoryDisk, MessageState, Options, Outcome, Owes, Reader, Report, Settled, Settlement, Spool, Status,
    Store, WorkerId,
};
use support::*;

fn worker() -> WorkerId {
    WorkerId("worker".to_owned())
}

fn failed(text: &str) -> Outcome {
    Outcome::Failed(text.to_owned(), Owes::Report)
}

/// Claims in a lane, by the names of their messages and the numbers of their recipients.
fn claims(spool: &Spool, lane: &Lane, now: i64) -> Vec<(String, Vec<usize>)> {
    let claims = spool.claim(&worker(), lane, 9, now).unwrap();
    claims.iter().map(|claim| (claim.id().to_string(), claim.recipients())).collect()
}

/// Makes the report of a message whose recipients have failed, step by step; goes on where an earlier run was cut short.
fn make_report(spool: &Spool) -> Option<()> {
    for claim in spool.claim(&worker(), &Lane::reports(), 9, 0).ok()? {
        let begun = claim.states().iter().find_map(|(_, state)| match &state.report {
            Report::Begun(id) => Some(id.clone()),
            _ => None,
        });
        let report = begun.unwrap_or_else(|| id("report"));
        let all = |outcome: &Outcome| {
            claim.recipients().into_iter().map(|number| (number, outcome.clone())).collect::<Vec<_>>()
        };
        let _ = spool.record(&claim, &all(&Outcome::ReportBegun(report.clone()))).ok()?;
        let mut incoming = spool.begin(None).ok()?;
        std::io::Write::write_all(&mut incoming, b"Subject: undeliverable\r\n\r\nsorry\r\n").ok()?;
        let to = envelope("<>", &["<alice@example.org>"]);
        incoming.commit(&report, &to, Due::Withheld(0)).ok()?;
        assert!(claims(spool, &Lane::unrouted(), 0).is_empty(), "not before its cause is settled");
        let made = all(&Outcome::ReportMade);
        let _ = spool.settle(claim, &made, Settlement::Done).ok()?;
        spool.admit(&report).ok()?;
    }
    Some(())
}

/// A message comes in and both its recipients fail.
fn fail_both(spool: &Spool) -> Option<()> {
    put(spool, "m", b"hello\r\n", Due::At(0)).ok()?;
    for claim in spool.claim(&worker(), &Lane::unrouted(), 9, 0).ok()? {
        let outcomes = [(0, failed("550 5.1.1 no bob")), (1, failed("550 5.1.1 no carol"))];
        let _ = spool.settle(claim, &outcomes, Settlement::Done).ok()?;
    }
    Some(())
}

#[test]
fn one_report_once_everybody_was_tried() {
    let lane = Lane::new("example.net").unwrap();
    on_every_engine(|fixture| {
        let spool = &fixture.spool;
        put(spool, "m", b"hello\r\n", Due::At(0)).unwrap();
        let claim = spool.claim(&worker(), &Lane::unrouted(), 1, 0).unwrap().remove(0);
        let outcomes = [(0, failed("550 no")), (1, Outcome::Routed(lane.clone()))];
        assert_eq!(spool.settle(claim, &outcomes, Settlement::Done).unwrap(), Settled::Ok);
        // Carol was not tried yet, and then she is being tried.
        assert!(spool.claim(&worker(), &Lane::reports(), 9, 0).unwrap().is_empty());
        let second = spool.claim(&worker(), &lane, 1, 0).unwrap().remove(0);
        assert!(spool.claim(&worker(), &Lane::reports(), 9, 0).unwrap().is_empty());
        let outcomes = [(1, Outcome::Deferred("451 later".to_owned()))];
        assert_eq!(spool.settle(second, &outcomes, Settlement::RetryAt(900)).unwrap(), Settled::Ok);
        // Now she waits, and Bob's report does not wait for her.
        let report = spool.claim(&worker(), &Lane::reports(), 9, 0).unwrap().remove(0);
        assert_eq!(report.recipients(), [0]);
        assert_eq!(report.states()[0].1.remark, "550 no", "what was said last is part of the report");
        assert_eq!(spool.settle(report, &[], Settlement::RetryAt(60)).unwrap(), Settled::Ok);
        assert!(spool.claim(&worker(), &Lane::reports(), 9, 59).unwrap().is_empty());
        assert_eq!(spool.claim(&worker(), &Lane::reports(), 9, 60).unwrap().len(), 1);
    });
}

#[test]
fn a_report_is_claimed_after_its_cause_is_settled() {
    on_every_engine(|fixture| {
        fail_both(&fixture.spool).unwrap();
        let fixture = fixture.reopened();
        assert_eq!(fixture.reader.summary(&id("m")).unwrap().state(), MessageState::Queued);
        make_report(&fixture.spool).unwrap();
        assert_eq!(ids(&fixture.reader), ["report"]);
        assert_eq!(claims(&fixture.spool, &Lane::unrouted(), 0), [("report".to_owned(), vec![0])]);
    });
}

/// Whatever is on the disk after a cut: a new process makes one report, whole, and never two.
fn check(disk: &MemoryDisk, context: &str) {
    let (spool, recovery) = Spool::open_on(Arc::new(disk.clone()), Options::default()).unwrap();
    assert!(recovery.corrupt.is_empty() && recovery.left.is_empty(), "{context}: {recovery:?}");
    let reader = Reader::on(Arc::new(disk.clone()));
    if ids(&reader).is_empty() {
        return; // nothing was acknowledged yet
    }
    // Either the message fails now, or it has failed before and its report is owed, begun or made.
    if let Some(claim) =
        spool.claim(&worker(), &Lane::unrouted(), 9, 0).unwrap().into_iter().find(|claim| claim.id() == &id("m"))
    {
        let open = claim.recipients().into_iter().map(|number| (number, failed("550 again")));
        let _ = spool.settle(claim, &open.collect::<Vec<_>>(), Settlement::Done).unwrap();
    }
    make_report(&spool).unwrap_or_else(|| panic!("{context}"));
    assert_eq!(ids(&reader), ["report"], "{context}");
    drop(spool);
    let (spool, _) = Spool::open_on(Arc::new(disk.clone()), Options::default()).unwrap();
    assert_eq!(claims(&spool, &Lane::unrouted(), 0), [("report".to_owned(), vec![0])], "{context}");
}

#[test]
fn cut_short_at_every_operation() {
    let run = |disk: &MemoryDisk| {
        let (spool, _) = Spool::open_on(Arc::new(disk.clone()), Options::default()).ok()?;
        fail_both(&spool)?;
        make_report(&spool)
    };
    let whole = MemoryDisk::new();
    run(&whole).unwrap();
    check(&whole, "undisturbed");
    for cut in 0..=whole.operations().len() {
        let disk = MemoryDisk::new();
        disk.cut_power_at(cut);
        let _ = run(&disk);
        for (number, survivor) in disk.survivors(64).iter().enumerate() {
            check(survivor, &format!("cut at {cut}, survivor {number}"));
        }
        disk.restore_power();
        check(&disk, &format!("killed at {cut}"));
    }
}

/// A message whose owner takes it away leaves its report behind, free to go.
#[test]
fn a_removed_message_holds_no_report_back() {
    on_every_engine(|fixture| {
        let spool = &fixture.spool;
        fail_both(spool).unwrap();
        let claim = spool.claim(&worker(), &Lane::reports(), 9, 0).unwrap().remove(0);
        let _ = spool.record(&claim, &[(0, Outcome::ReportBegun(id("report")))]).unwrap();
        put(spool, "report", b"sorry\r\n", Due::Withheld(0)).unwrap();
        assert!(claims(spool, &Lane::unrouted(), 0).is_empty());
        assert!(spool.remove(&id("m")).unwrap());
        assert_eq!(claims(spool, &Lane::unrouted(), 0).len(), 1);
    });
}

#[test]
fn an_alias_becomes_its_targets() {
    let targets = [("<x@example.org>"), ("<y@example.org>")]
        .map(|path| smtp_spool::Recipient::from(path.parse::<smtp_proto::address::ForwardPath>().unwrap()));
    on_every_engine(|fixture| {
        put(&fixture.spool, "m", b"hello\r\n", Due::At(0)).unwrap();
        let claim = fixture.spool.claim(&worker(), &Lane::unrouted(), 1, 0).unwrap().remove(0);
        let outcomes =
            [(0, Outcome::Expanded(targets.to_vec())), (1, Outcome::Delivered("250".to_owned(), Owes::Nothing))];
        let _ = fixture.spool.settle(claim, &outcomes, Settlement::Done).unwrap();
        let fixture = fixture.reopened();
        let claim = fixture.spool.claim(&worker(), &Lane::unrouted(), 1, 0).unwrap().remove(0);
        assert_eq!(claim.recipients(), [2, 3]);
        assert_eq!(claim.recipient(3), Some(&targets[1]));
        let summary = fixture.reader.summary(&id("m")).unwrap();
        let statuses: Vec<Status> = summary.recipients.iter().map(|state| state.status).collect();
        assert_eq!(statuses, [Status::Expanded, Status::Delivered, Status::Due(0), Status::Due(0)]);
        let outcomes = [2, 3].map(|number| (number, Outcome::Delivered("250".to_owned(), Owes::Nothing)));
        let _ = fixture.spool.settle(claim, &outcomes, Settlement::Done).unwrap();
        assert!(ids(&fixture.reader).is_empty());
    });
}

/// A clock was ten days ahead when a try was put off, and has been set right since.
#[test]
fn what_is_due_in_the_far_future_is_brought_forward() {
    on_every_engine(|fixture| {
        put(&fixture.spool, "m", b"hello\r\n", Due::At(864_000)).unwrap();
        put(&fixture.spool, "n", b"hello\r\n", Due::At(10)).unwrap();
        fixture.spool.bring_forward(3_600);
        assert_eq!(fixture.spool.health().unwrap().next_due, Some(10));
        assert_eq!(claims(&fixture.spool, &Lane::unrouted(), 3_600).len(), 2);
    });
}
