//! `docs/benchmarks.md`, with the picture and the lines of JSON beside it.

use std::process::Command;

use super::sheet::{Measure, Sheet, shown};
use super::{aims, chart};
use crate::workshop::process::{find, must_run};
use crate::workshop::programs::root;
use crate::workshop::{OrFail, Outcome};

const TEMPLATE: &str = include_str!("page.md");

/// What the figures do not say.
pub(super) struct Circumstances {
    pub(super) command: String,
    pub(super) processors: usize,
    pub(super) file_system: String,
}

/// Writes the three files.
pub(super) fn write(sheet: &Sheet, circumstances: &Circumstances) -> Outcome {
    let docs = root()?.join("docs");
    let chart = chart::draw(sheet).or_fail("without a line with traffic there is no picture; nothing was written")?;
    for (name, text) in [
        ("benchmarks.md", page(sheet, circumstances)),
        ("benchmarks.svg", chart),
        ("benchmarks.jsonl", sheet.json_lines()),
    ] {
        std::fs::write(docs.join(name), text).or_fail(format_args!("writing docs/{name}"))?;
        println!("wrote docs/{name}");
    }
    Ok(())
}

fn page(sheet: &Sheet, circumstances: &Circumstances) -> String {
    let Circumstances { command, processors, file_system } = circumstances;
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = kernel.trim().split('-').next().unwrap_or_default();
    let machine = format!("{processors} processors, Linux {release}, spools on {file_system}, loopback");
    let gaps = sheet.not_measured();
    let gaps = if gaps.is_empty() { gaps } else { format!("\n{gaps}") };
    let tables = sheet.lines().into_iter().map(|line| sheet.table(line)).collect::<Vec<_>>().join("\n");
    let replacements = [
        ("{command}", command.as_str()),
        ("{date}", &today()),
        ("{machine}", &machine),
        ("{others}", &others(sheet)),
        ("{gaps}", &gaps),
        ("{postfix}", &postfix_version()),
        ("{rounds}", &sheet.rounds.to_string()),
        ("{aims}", &aims::table(sheet)),
        ("{tables}", tables.trim_end()),
    ];
    replacements.iter().fold(TEMPLATE.to_owned(), |text, (name, value)| text.replace(name, value))
}

/// How busy others kept the machine.
fn others(sheet: &Sheet) -> String {
    let shares = sheet.rows.iter().filter(|row| row.measure == Measure::OthersShare);
    let (least, most) =
        shares.fold((f64::INFINITY, 0.0_f64), |(least, most), row| (least.min(row.median()), most.max(row.median())));
    format!("{} to {} %", shown(least), shown(most))
}

/// In UTC.
fn today() -> String {
    match must_run(Command::new("date").args(["-u", "+%F"])) {
        Ok(finished) => String::from_utf8_lossy(&finished.stdout).trim().to_owned(),
        Err(failure) => format!("a day that nobody knows ({failure})"),
    }
}

fn postfix_version() -> String {
    let Some(postconf) = find("postconf") else { return "Postfix".to_owned() };
    match must_run(Command::new(postconf).args(["-d", "-h", "mail_version"])) {
        Ok(finished) => format!("Postfix {}", String::from_utf8_lossy(&finished.stdout).trim()),
        Err(_) => "Postfix".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::lines::REUSED_64;
    use crate::bench::peers::{OURS, POSTFIX};

    #[test]
    fn everything_has_its_place_on_the_page() {
        let mut sheet = Sheet::new(3, false);
        sheet.add(REUSED_64, OURS, 0, &[(Measure::Rate, 1.0), (Measure::OthersShare, 2.0)]);
        sheet.lacks(REUSED_64, POSTFIX, None, "install postfix");
        let (command, file_system) = ("cargo xtask bench --write".to_owned(), "ext4".to_owned());
        let page = page(&sheet, &Circumstances { command, processors: 2, file_system });
        assert!(!page.contains('{'), "{page}");
        for part in [
            "cargo xtask bench --write",
            "* not measured: 1 KiB, reused, 64 clients: Postfix, hold: install postfix",
            "| not measured: Postfix, hold: install postfix |",
            "| Postfix, hold | not measured | not measured |",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
    }
}
