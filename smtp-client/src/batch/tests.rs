//! What is worth another try, and what one try leads to.

use smtp_proto::reply::{Code, EnhancedCode};

use super::line::Sending;
use super::*;

use smtp_proto::client::{Cause, Failure, Stage};
use smtp_proto::reply::Reply;

fn failed(stage: Stage, cause: Cause) -> Delivery {
    Delivery::Failed(Failure { stage, cause })
}

fn reply(code: u16) -> Reply {
    Reply::new(Code::new(code).unwrap(), None, "text")
}

fn refused(stage: Stage, code: u16) -> Delivery {
    failed(stage, Cause::Refused(reply(code)))
}

#[test]
fn pauses_grow_to_ten_minutes() {
    let seconds = |count| Retries::times(count).pauses.iter().map(Duration::as_secs).collect::<Vec<_>>();
    assert_eq!(seconds(0), []);
    assert_eq!(seconds(7), [5, 15, 45, 135, 405, 600, 600]);
    assert_eq!(Retries::default().pauses.iter().sum::<Duration>(), Duration::from_secs(20));
}

/// Rows N171, N172, N093, N235.
#[test]
fn what_may_work_later() {
    for (delivery, is_transient) in [
        (Delivery::Accepted(reply(250)), false),
        (refused(Stage::Rcpt, 450), true),
        (refused(Stage::Rcpt, 499), true),
        (refused(Stage::Rcpt, 550), false),
        (refused(Stage::Rcpt, 552), true),
        (refused(Stage::EndOfContent, 552), false),
        (refused(Stage::Mail, 421), true),
        (failed(Stage::Content, Cause::ConnectionLost), true),
        (failed(Stage::EndOfContent, Cause::Timeout), true),
    ] {
        assert_eq!(delivery.is_transient(), is_transient, "{delivery:?}");
    }
}

#[test]
fn what_one_sending_led_to() {
    let too_many = [Delivery::Accepted(reply(250)), refused(Stage::Rcpt, 452)];
    let sending = Sending::new(too_many.iter());
    assert!(sending.has_accepted && sending.has_too_many && sending.has_decided && !sending.was_cut_off);
    // No room for the message at all is another matter.
    assert!(!Sending::new([refused(Stage::EndOfContent, 452)].iter()).has_too_many);
    // Nor is a full mailbox, whatever the code has in common with it.
    for (subject, detail, has_too_many) in [(5, 3, true), (0, 0, true), (2, 2, false), (3, 1, false)] {
        let reply = Reply::new(Code::new(452).unwrap(), Some(EnhancedCode::new(4, subject, detail)), "text");
        let refused = failed(Stage::Rcpt, Cause::Refused(reply));
        assert_eq!(Sending::new([refused].iter()).has_too_many, has_too_many, "{subject}.{detail}");
    }
    for (stage, was_cut_off) in [
        (Stage::Ready, true),
        (Stage::Reset, true),
        (Stage::Mail, true),
        (Stage::Rcpt, false),
        (Stage::Data, false),
        (Stage::EndOfContent, false),
    ] {
        let sending = Sending::new([failed(stage, Cause::ConnectionLost)].iter());
        assert_eq!((sending.was_cut_off, sending.has_decided), (was_cut_off, false), "{stage:?}");
    }
}

#[test]
fn a_doubt_is_not_forgotten() {
    let mut progress = Progress::default();
    assert!(progress.is_waiting());
    for (delivery, is_waiting, is_uncertain) in [
        (failed(Stage::Content, Cause::ConnectionLost), true, false),
        (failed(Stage::EndOfContent, Cause::ConnectionLost), true, true),
        (refused(Stage::Mail, 421), true, true),
        (Delivery::Accepted(reply(250)), false, true),
    ] {
        progress.note(1, delivery);
        assert_eq!((progress.is_waiting(), progress.is_uncertain), (is_waiting, is_uncertain));
    }
}
