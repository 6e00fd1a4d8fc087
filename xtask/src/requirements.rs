//! `cargo xtask requirements`: holds `docs/requirements.md` true, the page with every rule of the RFCs and what became of it.
//!
//! Tests name the rows they answer for (`/// Row N016.`); the page names the tests. This task compares the two, in both
//! directions, and what it finds wrong is printed as `docs/requirements.md:line: what`. With `--write` it first puts the
//! column of tests and the counts right, which leaves the part that needs thought.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::tidy::{SourceFile, numbered, source_files};
use crate::workshop::programs::root;
use crate::workshop::{OrFail, Outcome, failure::fail};

const PAGE: &str = "docs/requirements.md";
const DECISIONS: &str = "docs/decisions.md";

/// Between these lines the page says how many rows have which status.
const COUNTS_BEGIN: &str = "<!-- counts: made by `cargo xtask requirements --write` -->";
const COUNTS_END: &str = "<!-- end of counts -->";

/// What a status may begin with, in the order of the counts. `later: step 4` counts as `later`.
const STATUSES: [(&str, &str); 5] = [
    ("tested", "honoured, and at least one test names the row"),
    ("review", "honoured by design or by default; no test can show it, the code can"),
    ("[deviation]", "we do otherwise, for a reason"),
    ("later", "belongs to a later step of the work"),
    ("n/a", "binds nobody here"),
];

/// Behind a status other than `tested`: there are tests, for the part that exists or for what we do instead.
const WITH_TESTS: &str = " + tests";

/// Workshop files in which row ids are examples.
const NO_TESTS: [&str; 2] = ["xtask/src/requirements.rs", "xtask/src/tidy.rs"];

/// Workshop files that are tests from the first line to the last.
const WORKSHOP_TESTS: [&str; 3] = ["xtask/src/interop", "xtask/src/torture", "xtask/src/load"];

/// One line of the page's tables.
#[derive(Debug)]
struct Row<'a> {
    line: usize,
    id: &'a str,
    status: &'a str,
    code: &'a str,
    tests: &'a str,
}

/// Which test files name which row.
type Named = BTreeMap<String, BTreeSet<String>>;

/// Compares, and with `--write` corrects first.
pub(crate) fn run(options: &[String]) -> Outcome {
    let is_writing = match options {
        [] => false,
        [option] if option == "--write" => true,
        _ => return fail("the only option is --write"),
    };
    let root = root()?;
    let files = source_files(&root)?;
    let named = named_rows(&files);
    let text_of = |name: &str| files.iter().find(|file| file.name == name).map(|file| file.text.as_str());
    let mut page = text_of(PAGE).or_fail("docs/requirements.md is missing")?.to_owned();
    if is_writing {
        page = corrected(&page, &named);
        fs::write(root.join(PAGE), &page).or_fail("writing docs/requirements.md")?;
    }
    let findings = findings(&page, &named, text_of(DECISIONS).unwrap_or_default(), &root);
    for (line, what) in &findings {
        println!("{PAGE}:{line}: {what}");
    }
    println!("requirements: {} rows, {} findings", rows(&page).count(), findings.len());
    if findings.is_empty() { Ok(()) } else { fail(format!("{} findings; --write may help", findings.len())) }
}

fn findings(page: &str, named: &Named, decisions: &str, root: &Path) -> Vec<(usize, String)> {
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for row in rows(page) {
        if !seen.insert(row.id) {
            findings.push((row.line, format!("{} stands here twice", row.id)));
        }
        let tests = named.get(row.id);
        let what = [
            status_finding(&row, tests.is_some()),
            (row.tests != tests_cell(tests)).then(|| format!("the tests that name it are: {}", tests_cell(tests))),
            (row.code.is_empty() && !row.status.starts_with("later")).then(|| "code or reason is missing".to_owned()),
            (row.status.starts_with("[deviation]") && !words(decisions).any(|word| word == row.id))
                .then(|| format!("{DECISIONS} gives no reason for it")),
        ];
        findings.extend(what.into_iter().flatten().map(|what| (row.line, format!("{}: {what}", row.id))));
        let missing = files_in(row.code).filter(|file| !root.join(file).exists());
        findings.extend(missing.map(|file| (row.line, format!("{}: there is no {file}", row.id))));
    }
    for (line, text) in numbered(page) {
        if text.starts_with('|') && text.split('|').nth(1).is_some_and(|cell| is_row_id(cell.trim())) {
            findings.extend(row_cells(text).is_none().then(|| (line, "a row has eight cells".to_owned())));
        }
    }
    for (id, files) in named.iter().filter(|(id, _)| !seen.contains(id.as_str())) {
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        findings.push((1, format!("there is no row {id}, which {} name", files.join(" and "))));
    }
    if corrected(page, named) != page {
        findings.push((1, "the counts or the tests are not what --write would write".to_owned()));
    }
    findings
}

/// What is wrong between a row's status and its tests.
fn status_finding(row: &Row<'_>, has_tests: bool) -> Option<String> {
    let (status, says_tests) = match row.status.strip_suffix(WITH_TESTS) {
        Some(status) => (status, true),
        None => (row.status, row.status == "tested"),
    };
    let is_known = match status {
        "tested" => row.status == "tested",
        "review" | "n/a" => true,
        _ if status.starts_with("[deviation](decisions.md#") => status.ends_with(')'),
        _ => status.strip_prefix("later: step ").is_some_and(|step| matches!(step.parse(), Ok(2_u8..=5))),
    };
    if !is_known {
        return Some(format!("`{}` is no status", row.status));
    }
    match (says_tests, has_tests) {
        (true, false) => Some("no test names it".to_owned()),
        (false, true) => {
            Some(format!("tests name it, but its status is not `tested` and does not end in `{WITH_TESTS}`"))
        }
        _ => None,
    }
}

/// The page with the right column of tests and the right counts.
fn corrected(page: &str, named: &Named) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut is_counts = false;
    for line in page.lines() {
        is_counts &= line != COUNTS_END;
        if let Some([cells @ .., _]) = row_cells(line) {
            let [id, ..] = cells;
            let line = format!("| {} | {} |", cells.join(" | "), tests_cell(named.get(id)));
            lines.push(line.replace("  |", " |"));
        } else if !is_counts {
            lines.push(line.to_owned());
        }
        if line == COUNTS_BEGIN {
            is_counts = true;
            lines.extend(counts(page));
        }
    }
    lines.join("\n") + "\n"
}

/// The table of the introduction.
fn counts(page: &str) -> Vec<String> {
    let count = |status: &str| rows(page).filter(|row| row.status.starts_with(status)).count();
    let mut lines = vec!["| status | rows | means |".to_owned(), "| --- | --- | --- |".to_owned()];
    for (status, meaning) in STATUSES {
        let name = status.trim_matches(['[', ']']);
        lines.push(format!("| {name} | {} | {meaning} |", count(status)));
        if status == "later" {
            let steps = (2..=5).map(|step| (step, count(&format!("later: step {step}"))));
            let steps: Vec<_> =
                steps.filter(|(_, rows)| *rows > 0).map(|(step, rows)| format!("step {step}: {rows}")).collect();
            if let Some(last) = lines.last_mut() {
                *last = format!("| {name} | {} | {meaning} ({}) |", count(status), steps.join(", "));
            }
        }
    }
    lines.push(format!("| all | {} | |", rows(page).count()));
    lines
}

fn rows(page: &str) -> impl Iterator<Item = Row<'_>> {
    numbered(page).filter_map(|(line, text)| {
        let [id, _section, _who, _level, _statement, status, code, tests] = row_cells(text)?;
        Some(Row { line, id, status, code, tests })
    })
}

/// The cells of a line that is a row.
fn row_cells(line: &str) -> Option<[&str; 8]> {
    let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
    <[&str; 8]>::try_from(cells).ok().filter(|[id, ..]| is_row_id(id))
}

/// The rows that each file's tests name.
fn named_rows(files: &[SourceFile]) -> Named {
    let mut named = Named::new();
    for file in files {
        for id in ids(test_text(file)) {
            named.entry(id).or_default().insert(file.name.clone());
        }
    }
    named
}

/// The part of a file that is test: all of it, the module of tests at its end, or nothing.
fn test_text(file: &SourceFile) -> &str {
    let name = file.name.as_str();
    if !name.ends_with(".rs") || NO_TESTS.contains(&name) {
        return "";
    }
    let is_test = name.ends_with("/tests.rs") || format!("/{name}").contains("/tests/");
    if is_test || WORKSHOP_TESTS.iter().any(|start| name.starts_with(start)) {
        return &file.text;
    }
    file.text.find("#[cfg(test)]").map_or("", |start| &file.text[start..])
}

fn tests_cell(files: Option<&BTreeSet<String>>) -> String {
    let files: Vec<String> = files.into_iter().flatten().map(|file| format!("`{file}`")).collect();
    files.join(" ")
}

/// The file names between backquotes.
fn files_in(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2).filter(|word| word.contains('/'))
}

/// The row ids in a text. `N193 to N202` names all ten.
fn ids(text: &str) -> Vec<String> {
    let mut ids = Vec::new();
    let mut before = ["", ""];
    for word in words(text).filter(|word| !word.is_empty()) {
        if let Some((letter, last)) = row_number(word) {
            let first = match before {
                [start, "to"] => row_number(start).filter(|start| start.0 == letter).map_or(last, |start| start.1),
                _ => last,
            };
            ids.extend((first..=last).map(|number| format!("{letter}{number:03}")));
        }
        before = [before[1], word];
    }
    ids
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_ascii_alphanumeric())
}

fn is_row_id(word: &str) -> bool {
    row_number(word).is_some()
}

/// `N` (RFC 5321) or `X` (its extensions) and three digits.
fn row_number(word: &str) -> Option<(char, u16)> {
    let letter = word.chars().next().filter(|letter| matches!(letter, 'N' | 'X'))?;
    let digits = &word[1..];
    let is_number = digits.len() == 3 && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten().map(|number| (letter, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(row: &str) -> String {
        let page = format!("{COUNTS_BEGIN}\n{COUNTS_END}\n\n| id |\n{row}\n");
        corrected(&page, &named())
    }

    fn named() -> Named {
        named_rows(&[
            SourceFile { name: "a/tests/b.rs".into(), text: "//! Row N001.".into() },
            SourceFile { name: "a/src/c.rs".into(), text: "// N002\n#[cfg(test)]\nmod tests { /* N001 */ }".into() },
            SourceFile { name: "a/src/d.rs".into(), text: "let x = \"N003\";".into() },
        ])
    }

    fn found(row: &str) -> Vec<String> {
        let reasons = "| N004 | because |";
        findings(&page(row), &named(), reasons, Path::new(env!("CARGO_MANIFEST_DIR")))
            .into_iter()
            .map(|(_, what)| what)
            .collect()
    }

    #[test]
    fn tests_are_found_behind_cfg_test_and_in_test_files_only() {
        let named = named();
        assert_eq!(named.keys().collect::<Vec<_>>(), ["N001"]);
        assert_eq!(tests_cell(named.get("N001")), "`a/src/c.rs` `a/tests/b.rs`");
    }

    #[test]
    fn a_range_names_all_its_rows() {
        assert_eq!(
            ids("/// Rows N009 to N011, and X001; N2 to X003."),
            ["N009", "N009", "N010", "N011", "X001", "X003"]
        );
        assert_eq!(ids("from N010 to N008, N0100, AN001"), ["N010"]);
    }

    #[test]
    fn write_fills_in_tests_and_counts() {
        let page = page("| N001 | RFC 5321, 2.1 | S | MUST | says | tested | `src/main.rs` | wrong |");
        assert!(page.contains("| tested | `src/main.rs` | `a/src/c.rs` `a/tests/b.rs` |\n"), "{page}");
        assert!(page.contains("| tested | 1 |") && page.contains("| all | 1 |"), "{page}");
        assert_eq!(corrected(&page, &named()), page, "writing twice changes nothing");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let row = |id: &str, status: &str, code: &str| format!("| {id} | s | S | MUST | says | {status} | {code} | |");
        let tested = row("N001", "tested", "`src/main.rs`");
        assert!(found(&tested).is_empty(), "{:?}", found(&tested));
        for (rows, what) in [
            (row("N001", "tested", "`src/nowhere.rs`"), "there is no src/nowhere.rs"),
            (row("N001", "review", "`src/main.rs`"), "tests name it"),
            (row("N001", "later: step 9", ""), "is no status"),
            (row("N001", "tested + tests", "`src/main.rs`"), "is no status"),
            (row("N001", "fine", "`src/main.rs`"), "is no status"),
            (row("N001", "tested", ""), "code or reason is missing"),
            (format!("{tested}\n{tested}"), "twice"),
            (format!("{tested}\n{}", row("N002", "tested", "`src/main.rs`")), "no test names it"),
            (format!("{tested}\n{}", row("N002", "later: step 2 + tests", "")), "no test names it"),
            (format!("{tested}\n{}", row("N005", "[deviation](decisions.md#x)", "x")), "no reason"),
            (format!("{tested}\n| N002 | too few |"), "eight cells"),
            ("no rows at all".to_owned(), "no row N001"),
        ] {
            assert!(found(&rows).iter().any(|found| found.contains(what)), "{what}: {:?}", found(&rows));
        }
        for rows in [
            row("N001", "later: step 3 + tests", ""),
            format!("{tested}\n{}", row("N004", "[deviation](decisions.md#x)", "x")),
            format!("{tested}\n{}", row("X001", "n/a", "no gateway")),
        ] {
            assert!(found(&rows).is_empty(), "{:?}", found(&rows));
        }
    }

    #[test]
    fn a_count_that_is_not_true_is_found() {
        let page =
            page("| N001 | s | S | MUST | says | tested | `src/main.rs` | |").replace("| all | 1 |", "| all | 2 |");
        assert_eq!(findings(&page, &named(), "", Path::new(env!("CARGO_MANIFEST_DIR"))).len(), 1);
    }
}
