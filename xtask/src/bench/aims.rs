//! What we want to reach, and whether we do.

use std::fmt::Write as _;

use super::lines::{
    CLIENT_1, CLIENT_8, CLIENT_LARGE, CLIENT_ONE, FRESH_8, IDLE_4000, LARGE_2, MAILBOXES, MEDIUM_8, REUSED_1, REUSED_8,
    REUSED_64, START_EMPTY, START_FULL,
};
use super::peers::{BARE, LIMIT, LIMIT_FILES, MAILIN_FILE, MAILIN_NULL, OURS, POSTFIX, POSTFIX_VIRTUAL, SOURCE};
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

const AIMS: [Aim; 24] = [
    Aim { line: REUSED_64, measure: Measure::Rate, bound: Least(2.5, MAILIN_FILE) },
    Aim { line: REUSED_64, measure: Measure::Rate, bound: Least(8.0, POSTFIX) },
    Aim { line: REUSED_64, measure: Measure::Rate, bound: Least(0.7, MAILIN_NULL) },
    Aim { line: REUSED_64, measure: Measure::ServerTime, bound: Most(0.45, MAILIN_FILE) },
    Aim { line: REUSED_64, measure: Measure::Tail, bound: Most(1.5, MAILIN_NULL) },
    Aim { line: REUSED_8, measure: Measure::Rate, bound: Least(1.5, MAILIN_FILE) },
    Aim { line: REUSED_8, measure: Measure::Rate, bound: Least(5.0, POSTFIX) },
    Aim { line: REUSED_8, measure: Measure::Rate, bound: Least(0.7, LIMIT) },
    Aim { line: REUSED_1, measure: Measure::Median, bound: Most(1.0, MAILIN_FILE) },
    Aim { line: FRESH_8, measure: Measure::Rate, bound: Least(1.4, MAILIN_FILE) },
    Aim { line: FRESH_8, measure: Measure::Rate, bound: Least(3.0, POSTFIX) },
    Aim { line: MEDIUM_8, measure: Measure::Rate, bound: Least(2.0, MAILIN_FILE) },
    Aim { line: LARGE_2, measure: Measure::Volume, bound: Least(2.0, MAILIN_FILE) },
    Aim { line: LARGE_2, measure: Measure::Volume, bound: Least(0.5, LIMIT_FILES) },
    Aim { line: IDLE_4000, measure: Measure::Memory, bound: Absolute(24.0) },
    Aim { line: START_EMPTY, measure: Measure::Duration, bound: Absolute(10.0) },
    Aim { line: START_FULL, measure: Measure::Duration, bound: Absolute(2_000.0) },
    Aim { line: CLIENT_ONE, measure: Measure::Duration, bound: Most(1.2, BARE) },
    Aim { line: CLIENT_ONE, measure: Measure::Duration, bound: Most(1.0, SOURCE) },
    Aim { line: CLIENT_1, measure: Measure::Rate, bound: Least(3.0, SOURCE) },
    Aim { line: CLIENT_1, measure: Measure::Rate, bound: Least(0.7, BARE) },
    Aim { line: CLIENT_8, measure: Measure::Rate, bound: Least(1.5, SOURCE) },
    Aim { line: CLIENT_LARGE, measure: Measure::Volume, bound: Least(1.0, SOURCE) },
    Aim { line: MAILBOXES, measure: Measure::Rate, bound: Least(4.0, POSTFIX_VIRTUAL) },
];

/// A row for each aim of the lines that were to be measured.
pub(super) fn table(sheet: &Sheet) -> String {
    let mut text = "| aim | ours | the other | reached | |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for aim in AIMS.iter().filter(|aim| sheet.was_tried(aim.line)) {
        let Verdict { ours, other, reached, verdict } = aim.judge(sheet).unwrap_or_else(Verdict::not_measured);
        let (line, measure, wanted) = (aim.line, aim.measure.name(), aim.bound.words());
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {line}: {measure} {wanted} | {ours} | {other} | {reached} | {verdict} |");
    }
    text
}

/// Whether an aim looks at this line.
pub(super) fn look_at(line: &str) -> bool {
    AIMS.iter().any(|aim| aim.line == line)
}

/// What stands behind an aim.
struct Verdict {
    ours: String,
    other: String,
    reached: String,
    verdict: String,
}

impl Verdict {
    fn not_measured(reason: String) -> Self {
        let [ours, other, reached] = [(); 3].map(|()| "-".to_owned());
        Verdict { ours, other, reached, verdict: reason }
    }
}

impl Bound {
    fn words(&self) -> String {
        match self {
            Least(factor, peer) => format!("at least {factor} × {peer}"),
            Most(factor, peer) => format!("at most {factor} × {peer}"),
            Absolute(most) => format!("at most {}", shown(*most)),
        }
    }
}

impl Aim {
    /// The error says why there is no verdict.
    fn judge(&self, sheet: &Sheet) -> Result<Verdict, String> {
        let row = |peer| {
            let reason = || sheet.reason(self.line, peer).unwrap_or("no reason is known").to_owned();
            sheet.get(self.line, peer, self.measure).ok_or_else(|| format!("not measured: {peer}: {}", reason()))
        };
        let ours = row(OURS)?;
        let (other, reached, unit, is_reached, rounds) = match self.bound {
            Absolute(most) => ("-".to_owned(), ours.median(), "", ours.median() <= most, ours.values.len()),
            Least(factor, peer) | Most(factor, peer) => {
                let other = row(peer)?;
                let ratios = ours.ratios(other);
                if ratios.is_empty() {
                    return Err(format!("not measured: no round of both, {peer} and us"));
                }
                let ratio = median(&ratios);
                let is_reached = if matches!(self.bound, Least(..)) { ratio >= factor } else { ratio <= factor };
                (other.shown(), ratio, " ×", is_reached, ratios.len())
            }
        };
        let failed = sheet.get(self.line, OURS, Measure::Failures).map_or(0.0, |row| row.values.values().sum());
        let mut verdict = if sheet.is_quick {
            "not judged: --quick".to_owned()
        } else if failed > 0.0 {
            format!("**short**: {failed:.0} messages failed")
        } else if is_reached {
            "pass".to_owned()
        } else {
            "**short**".to_owned()
        };
        if rounds < sheet.rounds {
            // Writing to a string cannot fail.
            let _ = write!(verdict, ", in {rounds} of {} rounds", sheet.rounds);
        }
        Ok(Verdict { ours: ours.shown(), other, reached: format!("{}{unit}", shown(reached)), verdict })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Measure = Measure::Rate;

    /// The machine is three times as fast in the second round.
    fn sheet() -> Sheet {
        let mut sheet = Sheet::new(3, false);
        for (round, (ours, theirs)) in [(300.0, 100.0), (600.0, 300.0), (280.0, 100.0)].into_iter().enumerate() {
            sheet.add(REUSED_64, OURS, round, &[(RATE, ours)]);
            sheet.add(REUSED_64, MAILIN_FILE, round, &[(RATE, theirs)]);
        }
        sheet
    }

    fn row(sheet: &Sheet, wanted: &str) -> String {
        let table = table(sheet);
        table.lines().find(|line| line.contains(wanted)).unwrap_or_else(|| panic!("{table}")).to_owned()
    }

    #[test]
    fn ratios_are_taken_within_rounds() {
        let expected =
            "messages/s at least 2.5 × mailin, file + fsync | 300 (280–600) | 100 (100–300) | 2.80 × | pass |";
        assert!(row(&sheet(), "2.5 × mailin").ends_with(expected));
    }

    /// A round without a figure of the one is no round for the other, and moves none of the rounds behind it.
    #[test]
    fn a_round_that_failed_is_left_out() {
        let mut sheet = Sheet::new(3, false);
        for (round, rate) in [(1, 600.0), (2, 280.0)] {
            sheet.add(REUSED_64, OURS, round, &[(RATE, rate)]);
        }
        for (round, rate) in [(0, 10.0), (1, 300.0), (2, 100.0)] {
            sheet.add(REUSED_64, MAILIN_FILE, round, &[(RATE, rate)]);
        }
        assert!(row(&sheet, "2.5 × mailin").ends_with("| 2.40 × | **short**, in 2 of 3 rounds |"));
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        let mut sheet = Sheet::new(1, false);
        sheet.add(START_EMPTY, OURS, 0, &[(Measure::Duration, 11.0)]);
        sheet.add(REUSED_8, OURS, 0, &[(RATE, 1.0)]);
        sheet.lacks(REUSED_8, POSTFIX, None, "install postfix");
        sheet.lacks(FRESH_8, OURS, Some(0), "it does not start");
        assert!(row(&sheet, START_EMPTY).ends_with("| 11.0 | - | 11.0 | **short** |"));
        assert!(
            row(&sheet, "8 clients: messages/s at least 5")
                .ends_with("| not measured: Postfix, hold: install postfix |")
        );
        assert!(
            row(&sheet, "fresh, 8 clients: messages/s at least 3")
                .ends_with("| not measured: ours: it does not start |")
        );
        assert!(!table(&sheet).contains(REUSED_64), "nobody wanted it");
    }

    #[test]
    fn neither_failed_messages_nor_a_short_run_pass() {
        let mut quick = sheet();
        quick.is_quick = true;
        assert!(row(&quick, "2.5 × mailin").ends_with("| not judged: --quick |"));
        let mut failing = sheet();
        failing.add(REUSED_64, OURS, 1, &[(Measure::Failures, 2.0)]);
        assert!(row(&failing, "2.5 × mailin").ends_with("| **short**: 2 messages failed |"));
    }
}
