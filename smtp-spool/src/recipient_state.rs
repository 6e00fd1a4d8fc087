//! Where one recipient of a message stands, and what each step does to it.
//!
//! ```text
//!                  routed (lane)              delivered, failed
//!   Due ------------------------------> Due -------------------> Delivered, Failed   a report may be owed:
//!    |  expanded                       ^ | deferred, retry         reporting (id) -> reported
//!    v                                 | v
//!   Expanded (its targets are Due)     Due later, Held             warning (id) -> warned, once, while it is Due
//! ```
//!
//! A report to the sender is a message of its own, and there must be one, not none and not two, whatever happens in
//! between. So its id is on disk (`reporting`) before it is committed under that id; it cannot be claimed before its cause
//! is settled (`reported`); and whoever finds the first without the second commits it again, which counts once.

use crate::claim::{Lane, Outcome, Owes};
use crate::envelope::Recipient;
use crate::id::MessageId;

/// Where one recipient stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientState {
    /// Who it is, if it is not in the envelope: the target of an alias, and the number of the recipient it stands for.
    pub target_of: Option<(Recipient, usize)>,
    /// The lane.
    pub lane: Lane,
    /// What is to happen.
    pub status: Status,
    /// What was said last by the next host or about it; empty if nothing was.
    pub remark: String,
    /// Tries that were made and led to nothing final.
    pub attempts: u32,
    /// The report on how it ended.
    pub report: Report,
    /// The report that it takes long.
    pub warning: Report,
    /// When to go on with a report that could not be made.
    report_due: i64,
}

/// What is to happen to a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Delivery, from this time on, in Unix seconds.
    Due(i64),
    /// Nothing until somebody releases it.
    Held,
    /// Nothing: others stand for it, to whom the message goes in its place.
    Expanded,
    /// Nothing: the next host took it over.
    Delivered,
    /// Nothing: it was given up.
    Failed,
}

/// How far a report to the sender has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Report {
    /// Nobody asked for one, or not yet.
    #[default]
    None,
    /// It is to be made.
    Owed,
    /// It is being made under this id.
    Begun(MessageId),
    /// It is a message of its own now.
    Made,
}

/// One step of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Outcome(Outcome),
    RetryAt(i64),
    Held,
}

impl Report {
    /// Whether it is still to be made, or to be made sure of.
    pub fn is_open(&self) -> bool {
        matches!(self, Report::Owed | Report::Begun(_))
    }
}

impl RecipientState {
    /// A recipient of a new message.
    pub(crate) fn new(due: i64) -> Self {
        RecipientState {
            target_of: None,
            lane: Lane::unrouted(),
            status: Status::Due(due),
            remark: String::new(),
            attempts: 0,
            report: Report::None,
            warning: Report::None,
            report_due: i64::MIN,
        }
    }

    /// Whether nothing is left to be done.
    pub fn is_finished(&self) -> bool {
        self.is_decided() && !self.report.is_open()
    }

    /// Whether it is known what became of it.
    pub fn is_decided(&self) -> bool {
        matches!(self.status, Status::Delivered | Status::Failed | Status::Expanded)
    }

    /// Whether somebody is to deliver to it who has not tried yet.
    pub(crate) fn is_untried(&self) -> bool {
        matches!(self.status, Status::Due(_)) && self.attempts == 0
    }

    /// Where it waits for a claim, and until when.
    pub(crate) fn place(&self) -> Option<(Lane, i64)> {
        match self.status {
            Status::Due(at) => Some((self.lane.clone(), at)),
            _ if self.is_decided() && self.report.is_open() => Some((Lane::reports(), self.report_due)),
            _ => None,
        }
    }

    /// The ids of reports that must not be claimed before this recipient says that they are made.
    pub(crate) fn reports_begun(&self) -> impl Iterator<Item = &MessageId> {
        [&self.report, &self.warning].into_iter().filter_map(|report| match report {
            Report::Begun(id) => Some(id),
            _ => None,
        })
    }

    /// Is due no later than this.
    pub(crate) fn bring_forward(&mut self, latest: i64) {
        if let Status::Due(at) = &mut self.status {
            *at = latest.min(*at);
        }
        self.report_due = self.report_due.min(latest);
    }

    fn finish(&mut self, status: Status, remark: &str, owes: Owes) {
        self.status = status;
        remark.clone_into(&mut self.remark);
        self.report = if owes == Owes::Report { Report::Owed } else { Report::None };
    }

    /// A step that concerns nobody else. What is decided stays decided.
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Outcome(Outcome::ReportBegun(id)) if self.report.is_open() => {
                self.report = Report::Begun(id.clone())
            }
            Change::Outcome(Outcome::ReportMade) if self.report.is_open() => self.report = Report::Made,
            Change::Outcome(Outcome::WarningBegun(id)) if self.warning != Report::Made => {
                self.warning = Report::Begun(id.clone());
            }
            Change::Outcome(Outcome::WarningMade) => self.warning = Report::Made,
            Change::RetryAt(at) if self.is_decided() => self.report_due = *at,
            _ if self.is_decided() => {}
            Change::Outcome(Outcome::Routed(lane)) => self.lane = lane.clone(),
            Change::Outcome(Outcome::Delivered(remark, owes)) => self.finish(Status::Delivered, remark, *owes),
            Change::Outcome(Outcome::Failed(remark, owes)) => self.finish(Status::Failed, remark, *owes),
            Change::Outcome(Outcome::Expanded(_)) => self.status = Status::Expanded,
            Change::Outcome(Outcome::Deferred(remark)) => {
                self.remark.clone_from(remark);
                self.attempts = self.attempts.saturating_add(1);
            }
            Change::Outcome(Outcome::ReportBegun(_) | Outcome::ReportMade | Outcome::WarningBegun(_)) => {}
            Change::RetryAt(at) => self.status = Status::Due(*at),
            Change::Held => self.status = Status::Held,
        }
    }
}

/// Takes a step of one of the recipients of a message. Those who stand for an alias come in at the end, so numbers never
/// change. `false` if there is no such recipient.
pub(crate) fn apply(recipients: &mut Vec<RecipientState>, number: usize, change: &Change) -> bool {
    let Some(state) = recipients.get_mut(number) else {
        return false;
    };
    let added = match change {
        Change::Outcome(Outcome::Expanded(targets)) if !state.is_decided() => {
            let due = if let Status::Due(at) = state.status { at } else { i64::MIN };
            let target = |recipient: &Recipient| RecipientState {
                target_of: Some((recipient.clone(), number)),
                ..RecipientState::new(due)
            };
            targets.iter().map(target).collect()
        }
        _ => Vec::new(),
    };
    state.apply(change);
    recipients.extend(added);
    true
}
