//! What was measured: how long each message took, and what went wrong how often.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use smtp_client::proto::client::{Cause, Outcome};
use smtp_client::proto::json::Text;
use smtp_client::proto::printable::Printable;

use crate::exit;

/// The figures of one connection, or of all.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// Of each message that was accepted, from the moment when it was its turn.
    microseconds: Vec<u32>,
    /// By the code of the reply, or by what happened instead of one.
    failures: BTreeMap<String, Failures>,
    codes: BTreeSet<u8>,
}

/// What went wrong in the same way.
#[derive(Debug)]
struct Failures {
    count: u64,
    /// The words for the first of them.
    reason: String,
}

impl Figures {
    /// One message has its outcome.
    pub(super) fn note(&mut self, outcome: &Outcome, took: Duration) {
        match outcome.recipients.iter().find_map(|recipient| recipient.result.as_ref().err()) {
            None => self.microseconds.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX)),
            Some(failure) => {
                let what = match &failure.cause {
                    Cause::Refused(reply) => reply.code().number().to_string(),
                    Cause::Reply(_) => "no SMTP".to_owned(),
                    Cause::ConnectionLost => "connection lost".to_owned(),
                    Cause::Timeout => "timeout".to_owned(),
                };
                self.failed(exit::of_failure(failure), &what, failure);
            }
        }
    }

    /// One message was not sent.
    pub(super) fn failed(&mut self, code: u8, what: &str, reason: &dyn fmt::Display) {
        self.codes.insert(code);
        self.failures_of(what, || reason.to_string()).count += 1;
    }

    /// Of so many messages, those that are not counted yet were never begun: the time was over.
    pub(super) fn not_begun(&mut self, messages: u64) {
        let begun = self.microseconds.len() as u64 + self.failures.values().map(|failures| failures.count).sum::<u64>();
        let left = messages.saturating_sub(begun);
        if left > 0 {
            self.codes.insert(exit::TEMPORARY);
            self.failures_of("not begun", || "the time given with --timeout is over".to_owned()).count += left;
        }
    }

    fn failures_of(&mut self, what: &str, reason: impl FnOnce() -> String) -> &mut Failures {
        self.failures.entry(what.to_owned()).or_insert_with(|| Failures { count: 0, reason: reason() })
    }

    pub(super) fn add(&mut self, other: Figures) {
        self.microseconds.extend(other.microseconds);
        self.codes.extend(other.codes);
        for (what, Failures { count, reason }) in other.failures {
            self.failures_of(&what, || reason).count += count;
        }
    }

    /// The exit codes for what went wrong.
    pub(super) fn codes(&self) -> impl Iterator<Item = u8> {
        self.codes.iter().copied()
    }

    /// For people or for programs.
    pub(super) fn report(&self, octets: usize, connections: usize, took: Duration, is_json: bool) -> String {
        let mut sorted = self.microseconds.clone();
        sorted.sort_unstable();
        let milliseconds = |percent: usize| f64::from(percentile(&sorted, percent)) / 1_000.0;
        let [p50, p90, p99, longest] = [50, 90, 99, 100].map(milliseconds);
        let (count, seconds) = (sorted.len(), took.as_secs_f64().max(1e-6));
        let rate = count as f64 / seconds;
        let megabytes = rate * octets as f64 / 1e6;
        if is_json {
            let members = |value: fn(&Failures) -> String| {
                let members =
                    self.failures.iter().map(|(what, failures)| format!("{}:{}", Text(what), value(failures)));
                members.collect::<Vec<_>>().join(",")
            };
            let reasons = members(|failures| Text(&failures.reason).to_string());
            let failures = members(|failures| failures.count.to_string());
            return format!(
                r#"{{"accepted":{count},"octets":{octets},"connections":{connections},"seconds":{seconds:.3},"messages_per_second":{rate:.1},"megabytes_per_second":{megabytes:.3},"milliseconds":{{"p50":{p50:.3},"p90":{p90:.3},"p99":{p99:.3},"longest":{longest:.3}}},"reasons":{{{reasons}}},"failures":{{{failures}}}}}"#
            );
        }
        let shown = |(what, failures): (&String, &Failures)| {
            format!("{} x {what} ({})", failures.count, Printable(&failures.reason))
        };
        let failures: Vec<String> = self.failures.iter().map(shown).collect();
        let failures = if failures.is_empty() { "none".to_owned() } else { failures.join(",\n          ") };
        format!(
            "{count} messages of {octets} octets over {connections} connections in {seconds:.2} s\n\
             rate      {rate:.0} messages/s, {megabytes:.1} MB/s\n\
             each      {p50:.2} ms (50 %), {p90:.2} ms (90 %), {p99:.2} ms (99 %), {longest:.2} ms (longest)\n\
             failures  {failures}"
        )
    }
}

/// The least value that so many percent do not exceed; 0 if there are none.
fn percentile(sorted: &[u32], percent: usize) -> u32 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let hundred: Vec<u32> = (1..=100).collect();
        for (percent, value) in [(1, 1), (50, 50), (90, 90), (99, 99), (100, 100)] {
            assert_eq!(percentile(&hundred, percent), value);
        }
        assert_eq!((percentile(&[7], 50), percentile(&[7], 99), percentile(&[], 50)), (7, 7, 0));
        assert_eq!(percentile(&[1, 2], 50), 1);
    }

    #[test]
    fn the_same_figures_for_people_and_for_programs() {
        let mut figures = Figures { microseconds: vec![1_000, 3_000], ..Figures::default() };
        figures.failed(75, "450", &"450 full");
        let mut other = Figures::default();
        other.failed(75, "450", &"450 still full");
        other.failed(69, "550", &"550 \x1b[2J");
        figures.add(other);
        figures.not_begun(9);
        let report = |is_json| figures.report(1_000, 2, Duration::from_millis(500), is_json);
        let text = "2 messages of 1000 octets over 2 connections in 0.50 s\n\
                    rate      4 messages/s, 0.0 MB/s\n\
                    each      1.00 ms (50 %), 3.00 ms (90 %), 3.00 ms (99 %), 3.00 ms (longest)\n\
                    failures  2 x 450 (450 full),\n          1 x 550 (550 \\u{1b}[2J),\n          \
                    4 x not begun (the time given with --timeout is over)";
        assert_eq!(report(false), text);
        let end = r#""reasons":{"450":"450 full","550":"550 \u001b[2J","not begun":"the time given with --timeout is over"},"failures":{"450":2,"550":1,"not begun":4}}"#;
        assert!(report(true).ends_with(end), "{}", report(true));
        assert_eq!(figures.codes().collect::<Vec<_>>(), [69, 75]);
    }
}
