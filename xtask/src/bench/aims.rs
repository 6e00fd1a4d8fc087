//! What we want to reach, and whether we do.

use std::fmt::Write as _;

use super::lines::{
    CLIENT_1, CLIENT_8, CLIENT_ONE, FRESH_8, IDLE_4000, LARGE_2, MAILBOXES, MEDIUM_8, REUSED_1, REUSED_8, REUSED_64,
    START_EMPTY, START_FULL,
};
use super::peers::{BARE, MAILIN_FILE, MAILIN_NULL, OURS, POSTFIX, POSTFIX_VIRTUAL, SOURCE};
use super::sheet::{Measure, Sheet, median, shown};

struct Aim {
    line: &'static str,
    measure: Measure,
    bound: Bound,
}

enum Bound {
    /// So many times what somebody else has.
    Least(f64, &'static str),
    Most(f64, &'static str),
    /// So much.
    Absolute(f64),
}

use Bound::{Absolute, Least, Most};

const AIMS: [Aim; 19] = [
    Aim { line: REUSED_64, measure: Measure::Rate, bound: Least(2.5, MAILIN_FILE) },
    Aim { line: REUSED_64, measure: Measure::Rate, bound: Least(8.0, POSTFIX) },
    Aim { line: REUSED_64, measure: Measure::Rate, bound: Least(0.7, MAILIN_NULL) },
    Aim { line: REUSED_64, measure: Measure::ServerTime, bound: Most(0.45, MAILIN_FILE) },
    Aim { line: REUSED_64, measure: Measure::Tail, bound: Most(1.5, MAILIN_NULL) },
    Aim { line: REUSED_8, measure: Measure::Rate, bound: Least(1.5, MAILIN_FILE) },
    Aim { line: REUSED_8, measure: Measure::Rate, bound: Least(5.0, POSTFIX) },
    Aim { line: REUSED_1, measure: Measure::Median, bound: Most(1.0, MAILIN_FILE) },
    Aim { line: FRESH_8, measure: Measure::Rate, bound: Least(1.4, MAILIN_FILE) },
    Aim { line: FRESH_8, measure: Measure::Rate, bound: Least(3.0, POSTFIX) },
    Aim { line: MEDIUM_8, measure: Measure::Rate, bound: Least(2.0, MAILIN_FILE) },
    Aim { line: LARGE_2, measure: Measure::Volume, bound: Least(2.0, MAILIN_FILE) },
    Aim { line: IDLE_4000, measure: Measure::Memory, bound: Absolute(24.0) },
    Aim { line: START_EMPTY, measure: Measure::Duration, bound: Absolute(10.0) },
    Aim { line: START_FULL, measure: Measure::Duration, bound: Absolute(2_000.0) },
    Aim { line: CLIENT_ONE, measure: Measure::Duration, bound: Most(1.2, BARE) },
    Aim { line: CLIENT_1, measure: Measure::Rate, bound: Least(3.0, SOURCE) },
    Aim { line: CLIENT_8, measure: Measure::Rate, bound: Least(1.5, SOURCE) },
    Aim { line: MAILBOXES, measure: Measure::Rate, bound: Least(4.0, POSTFIX_VIRTUAL) },
];

/// A row for each aim whose figures are there.
pub(super) fn table(sheet: &Sheet) -> String {
    let mut text = "| aim | ours | the other | reached | |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for aim in &AIMS {
        let (line, measure) = (aim.line, aim.measure.name());
        let Some(ours) = sheet.get(line, OURS, aim.measure) else { continue };
        let (wanted, other, ratio, is_reached) = match aim.bound {
            Absolute(most) => {
                let reached = ours.median();
                (format!("at most {}", shown(most)), "-".to_owned(), shown(reached), reached <= most)
            }
            Least(factor, peer) | Most(factor, peer) => {
                let Some(other) = sheet.get(line, peer, aim.measure) else { continue };
                // What else the machine did in a round met both.
                let ratios: Vec<_> = ours.values.iter().zip(&other.values).map(|(ours, other)| ours / other).collect();
                let (is_least, ratio) = (matches!(aim.bound, Least(..)), median(&ratios));
                let wanted = format!("at {} {factor} × {peer}", if is_least { "least" } else { "most" });
                let is_reached = if is_least { ratio >= factor } else { ratio <= factor };
                (wanted, other.shown(), format!("{} ×", shown(ratio)), is_reached)
            }
        };
        let verdict = if is_reached { "pass" } else { "**short**" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {line}: {measure} {wanted} | {} | {other} | {ratio} | {verdict} |", ours.shown());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_within_rounds() {
        let mut sheet = Sheet::default();
        // The machine is three times as fast in the second round.
        for (ours, theirs) in [(300.0, 100.0), (600.0, 300.0), (280.0, 100.0)] {
            sheet.add(REUSED_64, OURS, &[(Measure::Rate, ours)]);
            sheet.add(REUSED_64, MAILIN_FILE, &[(Measure::Rate, theirs)]);
        }
        let table = table(&sheet);
        let row = "messages/s at least 2.5 × mailin, file + fsync | 300 (280–600) | 100 (100–300) | 2.80 × | pass |\n";
        assert!(table.ends_with(row), "{table}");
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        let mut sheet = Sheet::default();
        sheet.add(START_EMPTY, OURS, &[(Measure::Duration, 11.0)]);
        sheet.add(REUSED_8, OURS, &[(Measure::Rate, 1.0)]);
        let table = table(&sheet);
        assert!(table.ends_with("| start, empty spool: ms at most 10.0 | 11.0 | - | 11.0 | **short** |\n"), "{table}");
        assert_eq!(table.lines().count(), 3);
    }
}
