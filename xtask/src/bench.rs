//! `cargo xtask bench`: our server and client beside those of others, in one run, in turns.
//!
//! Every line is measured in rounds, and in each round every participant has its turn, the first of which changes from round
//! to round: what else this machine does meets all of them alike. What counts is the median, and for comparisons the median
//! of the ratios within a round. Nothing leaves the loopback.

mod lines;
mod peers;
mod generator;
mod limit;
mod meters;
mod traffic;
mod crowd;
mod start;
mod clients;
mod mailboxes;
mod micro;
mod sheet;
mod aims;
mod chart;
mod page;

use std::cell::OnceCell;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use self::lines::{LINES, Line};
use self::page::Circumstances;
use self::peers::Peers;
use self::sheet::Sheet;
use crate::workshop::failure::{ensure, fail};
use crate::workshop::machine::{file_system, free_bytes, processors, raise_descriptors};
use crate::workshop::process::{is_installed, must_run};
use crate::workshop::programs::has_run_optimised;
use crate::workshop::scratch::Scratch;
use crate::workshop::{OrFail, Outcome};

/// The least that has a middle and a spread.
const ROUNDS: usize = 3;

/// What all lines together write in one round. It stays until the end, since removing files slows down who makes some.
const ROUND_BYTES: u64 = 16 << 30;

/// What all lines stand on.
struct Ground {
    peers: Peers,
    /// Where the kernel counts what the disk does.
    device: Option<PathBuf>,
    processors: usize,
    is_quick: bool,
    /// A spool with much in it, once it is filled.
    full_spool: OnceCell<PathBuf>,
}

impl Ground {
    /// How long a server is under load: longer where an aim looks at what comes out.
    fn time(&self, line: &str) -> Duration {
        Duration::from_millis(match (self.is_quick, aims::look_at(line)) {
            (true, _) => 300,
            (false, true) => 2_000,
            (false, false) => 1_000,
        })
    }

    /// How many messages make a full spool.
    fn entries(&self) -> u64 {
        if self.is_quick { 1_000 } else { 100_000 }
    }

    /// How many messages are delivered.
    fn deliveries(&self) -> usize {
        if self.is_quick { 400 } else { 10_000 }
    }
}

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Wishes {
    words: Vec<String>,
    rounds: usize,
    is_quick: bool,
    writes: bool,
}

impl Wishes {
    fn read(options: &[String]) -> Outcome<Self> {
        let mut wishes = Wishes { words: Vec::new(), rounds: ROUNDS, is_quick: false, writes: false };
        let mut options = options.iter();
        while let Some(option) = options.next() {
            match option.as_str() {
                "--quick" => (wishes.is_quick, wishes.rounds) = (true, 1),
                "--write" => wishes.writes = true,
                "--rounds" => {
                    let rounds = options.next().and_then(|text| text.parse().ok()).filter(|rounds| *rounds > 0);
                    wishes.rounds = rounds.or_fail("--rounds wants a number from 1")?;
                }
                _ if option.starts_with('-') => {
                    return fail(format!("{option}: only --quick, --rounds N, --write and words of the lines' names"));
                }
                _ => wishes.words.push(option.clone()),
            }
        }
        Ok(wishes)
    }

    fn wants(&self, line: &Line) -> bool {
        self.words.iter().all(|word| line.name.contains(word.as_str()))
    }
}

/// Measures the lines in whose name the words stand, and prints what came out.
pub(crate) fn run(options: &[String]) -> Outcome {
    if let Some((task, words)) = options.split_first()
        && task == "generate"
    {
        return clients::generate(words);
    }
    if let Some((task, words)) = options.split_first()
        && task == "answer"
    {
        return limit::answer(words);
    }
    if let Some((task, words)) = options.split_first()
        && task == "micro"
    {
        return if has_run_optimised("bench", options)? { Ok(()) } else { run_micro(words) };
    }
    let wishes = Wishes::read(options)?;
    let lines: Vec<_> = LINES.iter().filter(|line| wishes.wants(line)).collect();
    ensure(!lines.is_empty(), || "no line has all these words in its name".to_owned())?;
    if has_run_optimised("bench", options)? {
        return Ok(());
    }
    raise_descriptors();
    let scratch = Scratch::new("bench")?;
    if wishes.words.is_empty() && !wishes.is_quick {
        let wanted = ROUND_BYTES.saturating_mul(wishes.rounds as u64);
        let free = free_bytes(scratch.path())?;
        ensure(free >= wanted, || {
            let place = scratch.path().parent().unwrap_or(scratch.path()).display();
            format!(
                "{place} has room for {} GiB, and {} are wanted; TMPDIR names another place",
                free >> 30,
                wanted >> 30
            )
        })?;
    }
    spread_out(&scratch)?;
    let ground = Ground {
        peers: Peers::build()?,
        device: meters::device(scratch.path()),
        processors: processors(),
        is_quick: wishes.is_quick,
        full_spool: OnceCell::new(),
    };
    println!("on {} processors, spools on {}", ground.processors, file_system(scratch.path()));
    let circumstances = Circumstances {
        command: ["cargo xtask bench"]
            .into_iter()
            .chain(options.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join(" "),
        processors: ground.processors,
        file_system: file_system(scratch.path()),
    };
    let (mut sheet, mut failures) = (Sheet::new(wishes.rounds, wishes.is_quick), 0);
    for line in lines {
        failures += measure(&ground, line, &scratch, &mut sheet)?;
        println!("\n{}", sheet.table(line.name));
    }
    println!("{}", aims::table(&sheet));
    print!("{}{}", sheet.not_measured(), sheet.json_lines());
    if wishes.writes {
        page::write(&sheet, &circumstances)?;
    }
    ensure(failures == 0, || format!("{failures} could not be measured"))
}

fn run_micro(words: &[String]) -> Outcome {
    match words {
        [] => micro::run(),
        [word] if word == "instructions" => micro::instructions(),
        [word, number, times] if word == "part" => micro::run_part(number, times),
        _ => fail("bench micro wants nothing more, or `instructions`"),
    }
}

/// All rounds of one line. How many turns failed.
fn measure(ground: &Ground, line: &Line, scratch: &Scratch, sheet: &mut Sheet) -> Outcome<usize> {
    let (rounds, mut peers, mut failures) = (sheet.rounds, Vec::new(), 0);
    for peer in line.peers() {
        match ground.peers.lacks(peer) {
            None => peers.push(*peer),
            Some(remedy) => {
                println!("skipped: {}: {peer} ({remedy})", line.name);
                sheet.lacks(line.name, peer, None, remedy);
            }
        }
    }
    for round in 0..rounds {
        for (turn, peer) in peers.iter().enumerate() {
            println!("{}: round {} of {rounds}: {peer}", line.name, round + 1);
            let place = scratch.inner(&format!("{}/{round}-{turn}", line.name.replace([' ', ','], "-")))?;
            match line.measure(ground, peer, &place) {
                Ok(figures) => sheet.add(line.name, peer, round, &figures),
                Err(failure) => {
                    println!("FAILED: {}: {peer}: {failure}", line.name);
                    sheet.lacks(line.name, peer, Some(round), &failure.to_string());
                    failures += 1;
                }
            }
        }
        if !peers.is_empty() {
            peers.rotate_left(1);
        }
    }
    Ok(failures)
}

/// The file system is told that what lies in the directory belongs apart. Else all spools would share a region of the disk,
/// and the later ones would measure how long it takes to find room among what the earlier ones left.
fn spread_out(scratch: &Scratch) -> Outcome {
    if file_system(scratch.path()) == "ext4" && is_installed("chattr") {
        must_run(Command::new("chattr").arg("+T").arg(scratch.path()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &[&str]) -> Outcome<Wishes> {
        Wishes::read(&options.iter().map(|option| (*option).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn wishes() {
        let wishes = read(&["--rounds", "5", "reused", "8 "]).unwrap();
        assert_eq!(
            wishes,
            Wishes { words: vec!["reused".into(), "8 ".into()], rounds: 5, is_quick: false, writes: false }
        );
        assert_eq!(LINES.iter().filter(|line| wishes.wants(line)).count(), 4);
        assert!(read(&["--rounds", "0"]).is_err());
        assert!(read(&["--fast"]).is_err());
    }
}
