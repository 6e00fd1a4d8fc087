//! The client is killed in the middle of a batch and given the same command again: everything arrives, and what may have
//! arrived twice is named.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::workshop::failure::{ensure, fail};
use crate::workshop::letter::{letter, with_lf};
use crate::workshop::process::{self, Running};
use crate::workshop::programs::Programs;
use crate::workshop::scratch::Scratch;
use crate::workshop::server::Server;
use crate::workshop::stored;
use crate::workshop::tally::Tally;
use crate::workshop::{OrFail, Outcome};

/// Letters in the mbox.
const LETTERS: u64 = 10_000;

/// How often the client is killed.
const KILLS: u64 = 3;

/// How long a run may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Over one connection and over several.
pub(super) fn run(programs: &Programs, tally: &mut Tally) {
    for parallel in [1, 4] {
        let name = format!("a batch of {LETTERS} over {parallel} connections, killed {KILLS} times and resumed");
        tally.check(&name, killed(programs, parallel));
    }
}

fn killed(programs: &Programs, parallel: usize) -> Outcome<String> {
    let scratch = Scratch::new("batch")?;
    let mbox = scratch.file("box", mbox())?;
    let journal = scratch.at("box.smtp-journal");
    let server = Server::start(programs, &scratch.at("spool"), &[])?;
    let command = || {
        let mut command = programs.client();
        command.args(["send", "--server", &server.address.to_string(), "--parallel", &parallel.to_string()]);
        command.arg("--resume").arg(&mbox);
        command
    };
    for number in 1..=KILLS {
        let mut client = Running::start("smtp-client", &mut command())?;
        wait_until_sent(&journal, number * LETTERS / (KILLS + 1))?;
        client.kill();
    }
    let finished = process::run(&mut command(), PATIENCE)?;
    let text = finished.text();
    ensure(finished.status.success(), || format!("the last run: {}: {}", finished.status, last_lines(&text)))?;
    server.stop()?;
    let copies = copies(programs, &scratch.at("spool"))?;
    ensure(copies.len() as u64 == LETTERS, || format!("{} of {LETTERS} letters arrived", copies.len()))?;
    let doubled: Vec<u64> = copies.iter().filter(|(_, count)| **count > 1).map(|(number, _)| *number).collect();
    for number in &doubled {
        let named = format!("box#{}: the run was interrupted or an answer was lost", number + 1);
        ensure(text.contains(&named), || format!("letter {number} arrived twice and is not named"))?;
    }
    let in_doubt = text.matches(": the run was interrupted or an answer was lost, so").count();
    let most = KILLS as usize * parallel;
    ensure(in_doubt <= most, || format!("{in_doubt} are named, though at most {most} can be in doubt"))?;
    Ok(format!("all there; {in_doubt} named as in doubt, {} of them twice", doubled.len()))
}

fn mbox() -> Vec<u8> {
    let message = |number| {
        [b"From alice@example.org Sat Nov 22 10:00:00 2025\n", with_lf(&letter(number, 1_024)).as_slice(), b"\n"]
            .concat()
    };
    (0..LETTERS).flat_map(message).collect()
}

/// So many letters were accepted, as the journal tells.
fn wait_until_sent(journal: &Path, letters: u64) -> Outcome {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(journal).unwrap_or_default();
        let sent = text.lines().filter(|line| line.starts_with("accepted\t")).count() as u64;
        if sent >= letters {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return fail(format!("only {sent} letters were sent within {} s", PATIENCE.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How often each letter has arrived, octet for octet.
fn copies(programs: &Programs, spool: &Path) -> Outcome<BTreeMap<u64, usize>> {
    stored::check(programs, spool)?;
    let mut copies = BTreeMap::new();
    for (id, content) in stored::export(programs, spool)? {
        let text = String::from_utf8_lossy(&content);
        let number = text.lines().find_map(|line| line.strip_prefix("Subject: letter "));
        let number = number.and_then(|number| number.parse().ok()).or_fail(format_args!("{id} is no letter"))?;
        ensure(content == letter(number, 1_024), || format!("{id} is not letter {number} as it was sent"))?;
        *copies.entry(number).or_default() += 1;
    }
    Ok(copies)
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().rev().take(3).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
