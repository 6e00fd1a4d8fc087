//! Telling the sender: reports on what failed (or succeeded, where that was asked for), and warnings that it takes long.
//!
//! The order is that of [`smtp_spool::recipient_state`]: the id is on disk before the report is committed under it; the
//! report cannot be claimed before its cause says that it is made. Cut short anywhere, the next try goes on with the same
//! id, and committing the same id twice counts once.

use std::io::{self, Read, Write};

use smtp_proto::address::{Mailbox, ReversePath};
use smtp_proto::date::Timestamp;
use smtp_proto::reply::EnhancedCode;
use smtp_proto::report::{Action, Original, Report, ReportedRecipient, status};
use smtp_spool::{Claim, Due, Envelope, MessageId, Outcome, RecipientState, Settlement, Status, StoreError};

use super::step::GIVEN_UP;
use super::{Queue, Said};

/// When to try again to make a report that could not be made.
const RETRY_SECONDS: i64 = 300;

/// One recipient as a report speaks of it.
struct Told {
    number: usize,
    action: Action,
    said: Said,
}

impl Queue {
    /// Tells the sender of a message what became of recipients of whom nobody will hear any more.
    pub(super) fn report(&self, claim: Claim) -> Result<(), StoreError> {
        let now = self.now();
        let told: Vec<Told> = claim.states().iter().map(|(number, state)| told(*number, state)).collect();
        let begun = begun(&claim, |state| &state.report);
        let id = begun.clone().unwrap_or_else(|| self.new_id(now));
        let all = |outcome: Outcome| -> Vec<(usize, Outcome)> {
            claim.recipients().into_iter().map(|number| (number, outcome.clone())).collect()
        };
        if begun.is_none() {
            let _ = self.store.record(&claim, &all(Outcome::ReportBegun(id.clone())))?;
        }
        let made = all(Outcome::ReportMade);
        match self.commit_report(&claim, &told, &id, now) {
            Ok(()) => {
                let _ = self.store.settle(claim, &made, Settlement::Done)?;
                self.store.admit(&id)
            }
            Err(error) => {
                log::error!("id={} report={id}: it cannot be made: {error}; next try in {RETRY_SECONDS} s", claim.id());
                let _ = self.store.settle(claim, &[], Settlement::RetryAt(now.saturating_add(RETRY_SECONDS)))?;
                Ok(())
            }
        }
    }

    /// Tells the sender that it takes long. Returns the id of the warning, to be admitted once its cause is settled. If it
    /// cannot be made, the next try makes it.
    pub(super) fn warn(
        &self,
        claim: &Claim,
        late: &[(usize, Said)],
        now: i64,
        outcomes: &mut Vec<(usize, Outcome)>,
    ) -> Option<MessageId> {
        let until = self.settings.schedule.give_up_at(claim.envelope().received_at_unix_seconds);
        let action = Action::Delayed { will_retry_until: moment(until) };
        let told: Vec<Told> =
            late.iter().map(|(number, said)| Told { number: *number, action, said: said.clone() }).collect();
        let begun = begun(claim, |state| &state.warning);
        let id = begun.clone().unwrap_or_else(|| self.new_id(now));
        let all = |outcome: Outcome| late.iter().map(move |(number, _)| (*number, outcome.clone()));
        let recorded = match begun {
            Some(_) => Ok(()),
            None => {
                let begun: Vec<_> = all(Outcome::WarningBegun(id.clone())).collect();
                self.store.record(claim, &begun).map(drop)
            }
        };
        match recorded.and_then(|()| self.commit_report(claim, &told, &id, now)) {
            Ok(()) => {
                outcomes.extend(all(Outcome::WarningMade));
                Some(id)
            }
            Err(error) => {
                log::error!("id={} report={id}: the warning cannot be made: {error}", claim.id());
                None
            }
        }
    }

    fn commit_report(&self, claim: &Claim, told: &[Told], id: &MessageId, now: i64) -> Result<(), StoreError> {
        let envelope = claim.envelope();
        let ReversePath::Mailbox(sender) = &envelope.reverse_path else {
            // Nothing is ever owed to the null reverse-path.
            return Ok(());
        };
        let seen = examine(self.store.content(claim)?).map_err(|error| reading(claim, error))?;
        let recipients: Vec<ReportedRecipient<'_>> = told
            .iter()
            .filter_map(|told| {
                Some(ReportedRecipient {
                    recipient: claim.recipient(told.number)?,
                    action: told.action,
                    status: status_of(told),
                    diagnostic: Some(&told.said.text),
                    remote_mta: told.said.relay.as_deref(),
                    last_attempt: Some(moment(now)),
                })
            })
            .collect();
        let report = self.describe(claim, sender, id, &recipients, &seen, now);
        let transaction = report.envelope();
        let mut incoming = self.store.begin(None)?;
        write_report(&report, self.store.content(claim)?, &mut *incoming).map_err(|error| reading(claim, error))?;
        let envelope = Envelope {
            reverse_path: transaction.reverse_path,
            mail: transaction.parameters,
            recipients: transaction.recipients,
            received_at_unix_seconds: now,
        };
        incoming.commit(id, &envelope, Due::Withheld(now))?;
        log::info!("id={} report={id} recipients={}", claim.id(), recipients.len());
        Ok(())
    }

    fn describe<'a>(
        &'a self,
        claim: &'a Claim,
        sender: &'a Mailbox,
        id: &'a MessageId,
        recipients: &'a [ReportedRecipient<'a>],
        seen: &Seen,
        now: i64,
    ) -> Report<'a> {
        Report {
            reporting_mta: &self.settings.hostname,
            id: id.as_str(),
            at: moment(now),
            reverse_path: sender,
            original: Original {
                id: claim.id().as_str(),
                arrived_at: moment(claim.envelope().received_at_unix_seconds),
                mail: &claim.envelope().mail,
                octets: seen.octets,
                is_eight_bit: seen.is_eight_bit,
            },
            recipients,
        }
    }
}

/// The id under which an earlier try has begun it.
fn begun(claim: &Claim, report: impl Fn(&RecipientState) -> &smtp_spool::Report) -> Option<MessageId> {
    claim.states().iter().find_map(|(_, state)| match report(state) {
        smtp_spool::Report::Begun(id) => Some(id.clone()),
        _ => None,
    })
}

fn told(number: usize, state: &RecipientState) -> Told {
    let said = Said::parse(&state.remark);
    let action = match (state.status, &said.relay) {
        (Status::Failed, _) => Action::Failed,
        (_, Some(_)) => Action::Relayed,
        (_, None) => Action::Delivered,
    };
    Told { number, action, said }
}

/// The enhanced code of what was said, or what its code alone tells (RFC 3464, 2.3.4).
fn status_of(told: &Told) -> EnhancedCode {
    let class = match told.action {
        Action::Failed => 5,
        Action::Delayed { .. } => 4,
        Action::Delivered | Action::Relayed | Action::Expanded => 2,
    };
    if told.said.text.starts_with(GIVEN_UP) {
        return EnhancedCode::new(class, status::EXPIRED.subject, status::EXPIRED.detail);
    }
    // Behind the code of a reply, or in front of our own words.
    let found = told.said.text.split(' ').take(2).find_map(EnhancedCode::parse);
    found.filter(|found| found.class == class).unwrap_or(EnhancedCode::new(class, 0, 0))
}

fn moment(unix_seconds: i64) -> Timestamp {
    Timestamp { unix_seconds, offset_minutes: 0 }
}

/// What has to be known of a message before a report begins.
struct Seen {
    octets: u64,
    is_eight_bit: bool,
}

fn examine(mut content: Box<dyn Read + Send>) -> io::Result<Seen> {
    let mut seen = Seen { octets: 0, is_eight_bit: false };
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = content.read(&mut buffer)?;
        let piece = buffer.get(..count).unwrap_or_default();
        if piece.is_empty() {
            return Ok(seen);
        }
        seen.octets += piece.len() as u64;
        seen.is_eight_bit |= !piece.is_ascii();
    }
}

/// The original passes through; it is never held whole.
fn write_report(
    report: &Report<'_>,
    mut content: Box<dyn Read + Send>,
    incoming: &mut (impl Write + ?Sized),
) -> io::Result<()> {
    let mut output = Vec::new();
    let mut returned = report.write_head(&mut output);
    let mut buffer = vec![0; 64 * 1024];
    while !returned.is_complete() {
        let count = content.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        returned.handle(buffer.get(..count).unwrap_or_default(), &mut output);
        incoming.write_all(&output)?;
        output.clear();
    }
    returned.finish(&mut output);
    incoming.write_all(&output)
}

fn reading(claim: &Claim, error: io::Error) -> StoreError {
    StoreError::from_io(format!("reporting on message {}", claim.id()), error)
}
