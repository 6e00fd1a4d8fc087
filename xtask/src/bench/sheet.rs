//! The figures of a run: for each line, participant and measure one value a round. And what could not be measured, and why.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    Rate,
    Volume,
    AcceptedRate,
    ServerTime,
    ClientTime,
    MachineTime,
    OthersShare,
    Median,
    Tail,
    Failures,
    Flushes,
    Memory,
    Duration,
    Microseconds,
}

impl Measure {
    /// Its name, with the unit.
    pub(super) fn name(self) -> &'static str {
        match self {
            Measure::Rate => "messages/s",
            Measure::Volume => "MB/s",
            Measure::AcceptedRate => "accepted/s",
            Measure::ClientTime => "client CPU ms/message",
            Measure::ServerTime => "server CPU ms/message",
            Measure::MachineTime => "machine CPU ms/message",
            Measure::OthersShare => "CPU of others, %",
            Measure::Median => "p50 ms",
            Measure::Tail => "p99 ms",
            Measure::Failures => "failures",
            Measure::Flushes => "device flushes/message",
            Measure::Memory => "KiB/connection",
            Measure::Duration => "ms",
            Measure::Microseconds => "µs",
        }
    }
}

/// One measure of one participant in one line.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) line: &'static str,
    pub(super) peer: &'static str,
    pub(super) measure: Measure,
    /// By the number of the round. A round that failed has none.
    pub(super) values: BTreeMap<usize, f64>,
}

impl Row {
    pub(super) fn median(&self) -> f64 {
        median(&self.values.values().copied().collect::<Vec<_>>())
    }

    pub(super) fn least(&self) -> f64 {
        self.values.values().copied().fold(f64::INFINITY, f64::min)
    }

    pub(super) fn most(&self) -> f64 {
        self.values.values().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// This one's values as multiples of another's, of every round that both have. What else the machine did in a round met
    /// both; what it did between the rounds did not.
    pub(super) fn ratios(&self, other: &Row) -> Vec<f64> {
        let both = self.values.iter().filter_map(|(round, own)| Some((own, other.values.get(round)?)));
        both.map(|(own, other)| own / other).collect()
    }

    /// The median and the spread.
    pub(super) fn shown(&self) -> String {
        let (median, least, most) = (shown(self.median()), shown(self.least()), shown(self.most()));
        if least == most { median } else { format!("{median} ({least}–{most})") }
    }
}

/// What there is no figure for.
#[derive(Debug)]
struct Gap {
    line: &'static str,
    peer: &'static str,
    /// One of the rounds, or all of them.
    round: Option<usize>,
    reason: String,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Sheet {
    pub(super) rows: Vec<Row>,
    gaps: Vec<Gap>,
    /// How many of them a figure should have.
    pub(super) rounds: usize,
    /// Whether the figures mean anything.
    pub(super) is_quick: bool,
}

impl Sheet {
    pub(super) fn new(rounds: usize, is_quick: bool) -> Self {
        Sheet { rows: Vec::new(), gaps: Vec::new(), rounds, is_quick }
    }

    pub(super) fn add(&mut self, line: &'static str, peer: &'static str, round: usize, figures: &[(Measure, f64)]) {
        for (measure, value) in figures.iter().copied() {
            let is_it = |row: &&mut Row| (row.line, row.peer, row.measure) == (line, peer, measure);
            match self.rows.iter_mut().find(is_it) {
                Some(row) => drop(row.values.insert(round, value)),
                None => self.rows.push(Row { line, peer, measure, values: BTreeMap::from([(round, value)]) }),
            }
        }
    }

    /// Notes why there is no figure.
    pub(super) fn lacks(&mut self, line: &'static str, peer: &'static str, round: Option<usize>, reason: &str) {
        let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
        self.gaps.push(Gap { line, peer, round, reason });
    }

    /// Whether anything was to be measured there.
    pub(super) fn was_tried(&self, line: &str) -> bool {
        self.rows.iter().any(|row| row.line == line) || self.gaps.iter().any(|gap| gap.line == line)
    }

    /// Why there is no figure of this participant, if it is known.
    pub(super) fn reason(&self, line: &str, peer: &str) -> Option<&str> {
        self.gaps.iter().find(|gap| (gap.line, gap.peer) == (line, peer)).map(|gap| gap.reason.as_str())
    }

    /// What was not measured, an item of a list for each.
    pub(super) fn not_measured(&self) -> String {
        let item = |gap: &Gap| {
            let round = gap.round.map(|round| format!(", round {}", round + 1)).unwrap_or_default();
            format!("* not measured: {}: {}{round}: {}\n", gap.line, gap.peer, gap.reason)
        };
        self.gaps.iter().map(item).collect()
    }

    pub(super) fn get(&self, line: &str, peer: &str, measure: Measure) -> Option<&Row> {
        self.rows.iter().find(|row| (row.line, row.peer, row.measure) == (line, peer, measure))
    }

    /// The lines, in the order in which they were measured.
    pub(super) fn lines(&self) -> Vec<&'static str> {
        distinct(self.rows.iter().map(|row| row.line))
    }

    /// One line as a table: a row for each participant, a column for each measure.
    pub(super) fn table(&self, line: &str) -> String {
        let rows: Vec<_> = self.rows.iter().filter(|row| row.line == line).collect();
        let measures = distinct(rows.iter().map(|row| row.measure));
        let gaps = self.gaps.iter().filter(|gap| gap.line == line).map(|gap| gap.peer);
        let nothing = |peer| if rows.iter().any(|row| row.peer == peer) { "-" } else { "not measured" }.to_owned();
        let mut text = format!("| {line} |");
        measures.iter().for_each(|measure| text.extend([" ", measure.name(), " |"]));
        text.push_str("\n| --- |");
        measures.iter().for_each(|_| text.push_str(" --- |"));
        text.push('\n');
        for peer in distinct(rows.iter().map(|row| row.peer).chain(gaps)) {
            text.extend(["| ", peer, " |"]);
            for measure in &measures {
                let row = rows.iter().find(|row| row.peer == peer && row.measure == *measure);
                text.extend([" ", &row.map_or_else(|| nothing(peer), |row| row.shown()), " |"]);
            }
            text.push('\n');
        }
        text
    }

    /// One object of JSON for each row. A round without a value is null.
    pub(super) fn json_lines(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            let value = |round| row.values.get(&round).map_or_else(|| "null".to_owned(), |value| format!("{value:.4}"));
            let values: Vec<_> = (0..self.rounds).map(value).collect();
            // No name here holds a character that JSON would want escaped.
            let _ = writeln!(
                text,
                r#"{{"line":"{}","peer":"{}","measure":"{}","median":{:.4},"least":{:.4},"most":{:.4},"rounds":[{}]}}"#,
                row.line,
                row.peer,
                row.measure.name(),
                row.median(),
                row.least(),
                row.most(),
                values.join(",")
            );
        }
        text
    }
}

/// The value in the middle; of two in the middle, what is between them.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |place: usize| values.get(place).copied().unwrap_or(f64::NAN);
    if values.len() % 2 == 1 { at(middle) } else { (at(middle.wrapping_sub(1)) + at(middle)) / 2.0 }
}

/// With as many places as mean something.
pub(super) fn shown(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut found = Vec::new();
    for one in all {
        if !found.contains(&one) {
            found.push(one);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_row_has_its_spread_and_its_rounds() {
        let mut sheet = Sheet::new(4, false);
        for (round, value) in [(0, 1200.0), (1, 1000.0), (3, 1100.0)] {
            sheet.add("a line", "ours", round, &[(Measure::Rate, value)]);
        }
        assert!(sheet.table("a line").ends_with("| ours | 1100 (1000–1200) |\n"), "{}", sheet.table("a line"));
        let expected = r#"{"line":"a line","peer":"ours","measure":"messages/s","median":1100.0000,"least":1000.0000,"most":1200.0000,"rounds":[1200.0000,1000.0000,null,1100.0000]}"#;
        assert_eq!(sheet.json_lines().trim_end(), expected);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let mut sheet = Sheet::new(2, false);
        sheet.add("a line", "ours", 0, &[(Measure::Rate, 1.0)]);
        sheet.lacks("a line", "ours", Some(1), "it\nended");
        sheet.lacks("a line", "theirs", None, "install it");
        assert!(sheet.table("a line").ends_with("| ours | 1.00 |\n| theirs | not measured |\n"));
        assert_eq!(
            sheet.not_measured(),
            "* not measured: a line: ours, round 2: it ended\n* not measured: a line: theirs: install it\n"
        );
        assert!(sheet.was_tried("a line") && !sheet.was_tried("another"));
    }
}
