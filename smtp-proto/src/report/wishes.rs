//! Who wants to hear of what: NOTIFY, and what holds without it (RFC 3461, 4.1 and 5.2).

use crate::address::ReversePath;
use crate::parameter::Notify;

/// The three cases in which a sender may want a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// SUCCESS: delivered, relayed to a host that will not say, or expanded.
    Success,
    /// FAILURE: given up.
    Failure,
    /// DELAY: not yet.
    Delay,
}

/// Whether a recipient is reported on.
///
/// Without NOTIFY a failure must be reported (RFC 3461, 5.2.6), a success must not (RFC 3461, 5.2.3), and a delay may be
/// (RFC 3461, 5.2.5); it is, since a sender who hears nothing believes that the message has arrived. Nothing is ever
/// reported to the null reverse-path, so that no report is answered by a report (RFC 3461, 5.2; RFC 5321, 4.5.5).
pub fn wants_report(notify: Option<Notify>, reverse_path: &ReversePath, case: Case) -> bool {
    let is_wanted = match (notify, case) {
        (Some(Notify::Never), _) | (None, Case::Success) => false,
        (None, Case::Failure | Case::Delay) => true,
        (Some(Notify::On { success, .. }), Case::Success) => success,
        (Some(Notify::On { failure, .. }), Case::Failure) => failure,
        (Some(Notify::On { delay, .. }), Case::Delay) => delay,
    };
    is_wanted && *reverse_path != ReversePath::Null
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows X074, X080, X082, X083, N243, N278: who hears of success, failure and delay.
    #[test]
    fn who_hears_of_what() {
        let bob: ReversePath = "<bob@example.net>".parse().unwrap();
        for (notify, success, failure, delay) in [
            (None, false, true, true),
            (Some("NEVER"), false, false, false),
            (Some("SUCCESS"), true, false, false),
            (Some("FAILURE"), false, true, false),
            (Some("DELAY"), false, false, true),
            (Some("SUCCESS,FAILURE"), true, true, false),
            (Some("SUCCESS,FAILURE,DELAY"), true, true, true),
        ] {
            let parsed = notify.map(|text| Notify::parse(text).unwrap());
            for (case, wanted) in [(Case::Success, success), (Case::Failure, failure), (Case::Delay, delay)] {
                assert_eq!(wants_report(parsed, &bob, case), wanted, "{notify:?} {case:?}");
                assert!(!wants_report(parsed, &ReversePath::Null, case), "{notify:?} {case:?}");
            }
        }
        // Put together by hand: a report in none of the cases.
        let never = Some(Notify::On { success: false, failure: false, delay: false });
        assert!(!wants_report(never, &bob, Case::Failure));
    }
}
