//! The rates of the servers as a picture: a group of bars for each line, the longest bar for the fastest.

use std::fmt::Write as _;

use super::peers::{LIMIT, LIMIT_FILES, MAILIN_FILE, MAILIN_NULL, OURS, POSTFIX, SINK};
use super::sheet::{Measure, Sheet, shown};

/// With colours that can be told apart in grey as well.
const PEERS: [(&str, &str); 7] = [
    (OURS, "#0b4f8a"),
    (MAILIN_FILE, "#e08214"),
    (POSTFIX, "#7f3b08"),
    (LIMIT, "#7fa8c9"),
    (LIMIT_FILES, "#7fa8c9"),
    (MAILIN_NULL, "#cfcfcf"),
    (SINK, "#a6a6a6"),
];

const WIDTH: usize = 860;
const LABELS: usize = 170;
const BARS: f64 = 520.0;
const BAR: usize = 16;
const GAP: usize = 34;

/// `None`: there is nothing to show.
pub(super) fn draw(sheet: &Sheet) -> Option<String> {
    let (mut body, mut top) = (String::new(), 40);
    for line in sheet.lines() {
        let rows = PEERS.iter().filter_map(|(peer, colour)| Some((sheet.get(line, peer, Measure::Rate)?, *colour)));
        let rows: Vec<_> = rows.filter(|(row, _)| sheet.get(line, row.peer, Measure::ServerTime).is_some()).collect();
        if rows.is_empty() {
            continue;
        }
        let longest = rows.iter().map(|(row, _)| row.most()).fold(0.0, f64::max);
        let length = |value: f64| value / longest * BARS;
        // Writing to a string cannot fail.
        let _ = writeln!(body, r#"<text x="10" y="{}" font-weight="bold">{line}, messages/s</text>"#, top + 12);
        top += 20;
        for (row, colour) in rows {
            let (middle, width) = (top + BAR / 2, length(row.median()));
            let [least, most] = [row.least(), row.most()].map(|value| LABELS as f64 + length(value));
            let _ =
                writeln!(body, r#"<text x="{}" y="{}" text-anchor="end">{}</text>"#, LABELS - 6, top + 12, row.peer);
            let _ = writeln!(
                body,
                r#"<rect x="{LABELS}" y="{top}" width="{width:.1}" height="{}" fill="{colour}"/>"#,
                BAR - 2
            );
            let _ = writeln!(body, r#"<path d="M{least:.1} {middle}H{most:.1}" stroke="black"/>"#);
            let _ = writeln!(body, r#"<text x="{:.1}" y="{}">{}</text>"#, most + 6.0, top + 12, shown(row.median()));
            top += BAR;
        }
        top += GAP - BAR;
    }
    let title =
        "Bar: median of the rounds; line: from the slowest to the fastest round; each group has a scale of its own";
    (!body.is_empty()).then(|| {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{top}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{top}\" fill=\"white\"/>\n<text x=\"10\" y=\"20\">{title}</text>\n{body}</svg>\n"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_for_each_server_and_none_for_clients() {
        let mut sheet = Sheet::new(1, false);
        sheet.add("servers", OURS, 0, &[(Measure::Rate, 50.0), (Measure::ServerTime, 1.0)]);
        sheet.add("servers", SINK, 0, &[(Measure::Rate, 100.0), (Measure::ServerTime, 1.0)]);
        sheet.add("clients", OURS, 0, &[(Measure::Rate, 100.0)]);
        let drawing = draw(&sheet).unwrap();
        assert!(drawing.contains(r##"width="260.0" height="14" fill="#0b4f8a""##), "{drawing}");
        assert_eq!(drawing.matches("<path").count(), 2);
        assert!(draw(&Sheet::new(1, false)).is_none());
    }
}
