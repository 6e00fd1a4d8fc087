//! `cargo xtask tidy`: the house rules that a program can check.
//!
//! A rule is a function from a file to what is wrong with it; each finding is printed as `file:line: what`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::workshop::programs::root;
use crate::workshop::{OrFail, Outcome, failure::fail};

/// Directories that are not ours.
const FOREIGN_DIRECTORIES: [&str; 4] = ["target", ".git", "node_modules", "spool"];

/// Nothing in the tree may bring an event loop, or a second TLS or DNS stack, along.
const FORBIDDEN_PACKAGES: [&str; 7] =
    ["tokio", "async-std", "smol", "mio", "hickory-resolver", "openssl-sys", "async-executor"];

/// What the protocol core must not know: it has no clock, no file, no thread, no socket and no log.
const FORBIDDEN_IN_PROTO: [&str; 9] = [
    "std::fs",
    "std::thread",
    "std::process",
    "std::env",
    "TcpStream",
    "UdpSocket",
    "Instant::now",
    "SystemTime",
    "log::",
];

/// A file of the project.
pub(crate) struct SourceFile {
    /// Its path from the top of the workspace.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// What is wrong where.
struct Finding {
    line: usize,
    what: String,
}

/// Prints every finding.
pub(crate) fn run(_options: &[String]) -> Outcome {
    let files = source_files(&root()?)?;
    let mut count = 0;
    for file in &files {
        for finding in findings(file) {
            println!("{}:{}: {}", file.name, finding.line, finding.what);
            count += 1;
        }
    }
    println!("tidy: {} files, {count} findings", files.len());
    if count == 0 { Ok(()) } else { fail(format!("{count} findings")) }
}

/// Every Rust file and page of the workspace, and its Cargo.lock, by name.
pub(crate) fn source_files(root: &Path) -> Outcome<Vec<SourceFile>> {
    let mut files = Vec::new();
    collect(root, root, &mut files)?;
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

fn findings(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    if file.name.ends_with(".rs") {
        findings.extend(first_line(&file.text));
        findings.extend(citations(&file.text));
        findings.extend(unfinished(&file.text));
    }
    if file.name.starts_with("smtp-proto/src/") && !file.name.ends_with("tests.rs") {
        findings.extend(forbidden(&file.text, &FORBIDDEN_IN_PROTO, "the protocol core must not use"));
    }
    if file.name.ends_with(".md") {
        findings.extend(citations(&file.text));
        findings.extend(unfinished(&file.text));
        findings.extend(machine_paths(&file.text));
    }
    if file.name == "Cargo.lock" {
        let lines = FORBIDDEN_PACKAGES.map(|package| format!("name = \"{package}\""));
        findings.extend(forbidden(
            &file.text,
            &lines.each_ref().map(String::as_str),
            "a package that must not be here:",
        ));
    }
    findings
}

fn collect(root: &Path, directory: &Path, files: &mut Vec<SourceFile>) -> Outcome {
    for entry in fs::read_dir(directory).or_fail(format_args!("reading {}", directory.display()))? {
        let entry = entry.or_fail("reading a directory")?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let kind = entry.file_type().or_fail("looking at a file")?;
        if kind.is_dir() && !FOREIGN_DIRECTORIES.contains(&name.as_str()) {
            collect(root, &path, files)?;
        } else if kind.is_file() && (name.ends_with(".rs") || name.ends_with(".md") || name == "Cargo.lock") {
            let text = fs::read_to_string(&path).or_fail(format_args!("reading {}", path.display()))?;
            let path: PathBuf = path.strip_prefix(root).or_fail("a path")?.to_owned();
            files.push(SourceFile { name: path.to_string_lossy().into_owned(), text });
        }
    }
    Ok(())
}

/// The first line of every file says what the file is for.
fn first_line(text: &str) -> Option<Finding> {
    let line = text.lines().next().unwrap_or_default();
    let says_something = line.strip_prefix("//! ").is_some_and(|rest| rest.len() > 10);
    (!says_something).then(|| Finding { line: 1, what: "the first line does not say what the file is for".into() })
}

/// `RFC 5321, 4.5.2`, and no other way, so that a citation can be searched for.
fn citations(text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, text) in numbered(text) {
        for (place, _) in text.match_indices("RFC") {
            let is_word = !text[..place].ends_with(|before: char| before.is_ascii_alphanumeric());
            if is_word && let Some(wrong) = wrong_citation(&text[place + 3..]) {
                findings.push(Finding { line, what: format!("`RFC{wrong}`: write `RFC nnnn` or `RFC nnnn, s.s`") });
            }
        }
    }
    findings
}

/// What stands behind `RFC` if it is a citation of another form.
fn wrong_citation(behind: &str) -> Option<String> {
    let shown = || Some(behind.chars().take(24).collect());
    let number = behind.trim_start_matches([' ', '-', '_']);
    let digits = number.chars().take_while(char::is_ascii_digit).count();
    if digits == 0 {
        return None;
    }
    if !behind.starts_with(' ') || behind.starts_with("  ") || !(3..=5).contains(&digits) {
        return shown();
    }
    let rest = &number[digits..];
    let section = rest.strip_prefix(", ").filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
    let is_wrong = match section {
        // "RFC 5321, 4.5.2": numbers with single dots between, and perhaps a full stop.
        Some(section) => section
            .split([' ', ',', ')', ';', ':', '`', '"', '|', ']'])
            .next()
            .is_some_and(|section| !section.trim_end_matches('.').split('.').all(|part| part.parse::<u16>().is_ok())),
        None => {
            let next = rest.trim_start_matches([' ', ',']);
            let names_section = ["section", "sect.", "sec.", "§", "appendix"];
            let is_bare_section = rest.starts_with(' ')
                && next.split(' ').next().is_some_and(|word| word.starts_with(|first: char| first.is_ascii_digit()));
            is_bare_section || names_section.iter().any(|name| next.to_ascii_lowercase().starts_with(name))
        }
    };
    if is_wrong { shown() } else { None }
}

/// Work that was put off belongs in the tracker.
fn unfinished(text: &str) -> Vec<Finding> {
    forbidden(text, &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")], "left for later:")
}

fn forbidden(text: &str, words: &[&str], what: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, text) in numbered(text) {
        // A comment may name what the code must not use.
        let code = text.trim_start();
        for word in words.iter().filter(|word| contains_word(code, word)) {
            findings.push(Finding { line, what: format!("{what} {word}") });
        }
    }
    findings
}

/// Whether it is there, and not as the end or beginning of a longer name.
fn contains_word(text: &str, word: &str) -> bool {
    let is_part_of_name = |character: char| character.is_alphanumeric() || character == '_';
    text.match_indices(word).any(|(place, _)| {
        let (before, behind) = (&text[..place], &text[place + word.len()..]);
        let is_open = word.ends_with(|last: char| !is_part_of_name(last));
        !before.ends_with(is_part_of_name) && (is_open || !behind.starts_with(is_part_of_name))
    })
}

/// Documents are read on other machines.
fn machine_paths(text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, text) in numbered(text) {
        for path in ["/root/", "/home/", "/Users/", "C:\\"] {
            if text.contains(path) {
                findings.push(Finding { line, what: format!("a path of one machine: {path}") });
            }
        }
    }
    findings
}

pub(crate) fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(place, line)| (place + 1, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form_of_citation() {
        for right in [
            "RFC 5321",
            "RFC 5321, 4.5.2",
            "(RFC 5321, 4.5.2)",
            "RFC 5321, 4.5.2.",
            "RFC 3848, RFC 6531, 4.3",
            "RFC 5321, D",
            "RFC 1870, 6.1 and 6.3",
            "the RFC's minimum",
            "RFC 2034; RFC 3463",
            "`RFC 5321, 4.5.2`",
            "RFC 821 and others",
            "RFC 5321, 4.2.1: 4yz",
            "RFC nnnn",
        ] {
            assert!(citations(right).is_empty(), "{right}");
        }
        for wrong in [
            concat!("RFC", "5321"),
            concat!("RFC", "-5321"),
            concat!("RFC", " 5321 4.5.2"),
            concat!("RFC", " 5321, section 4.5.2"),
            concat!("RFC", " 5321 Section 4.5.2"),
            concat!("RFC", " 5321 §4.5"),
            concat!("RFC", " 5321, 4..5"),
            concat!("RFC", " 53215321"),
        ] {
            assert_eq!(citations(wrong).len(), 1, "{wrong}");
        }
    }

    #[test]
    fn words_are_whole() {
        assert!(contains_word("use log::debug;", "log::"));
        assert!(!contains_word("use catalog::debug;", "log::"));
        assert!(!contains_word("SystemTimestamp", "SystemTime"));
    }
}
