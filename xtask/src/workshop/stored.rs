//! What lies in a spool, and whether it is what was acknowledged.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::failure::{OrFail, Outcome, ensure, fail};
use super::letter::{difference, without_trace};
use super::process;
use super::programs::Programs;
use super::scratch::Scratch;
use super::sender::Fate;

/// The messages of a spool by id, without our `Received:` field.
pub(crate) type Stored = BTreeMap<String, Vec<u8>>;

/// Reads a spool through `smtp-spool export`.
pub(crate) fn export(programs: &Programs, spool: &Path) -> Outcome<Stored> {
    let scratch = Scratch::new("export")?;
    process::must_run(programs.spool(spool).arg("export").arg(scratch.at("mail")))?;
    let mut stored = Stored::new();
    for entry in std::fs::read_dir(scratch.at("mail")).or_fail("reading the export")? {
        let path = entry.or_fail("reading the export")?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let id = name.strip_suffix(".eml").or_fail(format_args!("{name} was exported, which is no ID.eml"))?;
        let octets = std::fs::read(&path).or_fail(format_args!("reading {name}"))?;
        let content = without_trace(&octets).or_fail(format_args!("{name} has no Received field on top"))?;
        stored.insert(id.to_owned(), content.to_vec());
    }
    Ok(stored)
}

/// What was sent, with its fate.
#[derive(Debug, Default)]
pub(crate) struct Account {
    acknowledged: Vec<(String, Vec<u8>)>,
    unknown: Vec<Vec<u8>>,
}

impl Account {
    /// Notes what became of a letter. A refused one must not be found later, so nothing is kept of it.
    pub(crate) fn note(&mut self, letter: Vec<u8>, fate: Fate) {
        match fate {
            Fate::Acknowledged(id) => self.acknowledged.push((id, letter)),
            Fate::Unknown(_) => self.unknown.push(letter),
            Fate::Refused(_) => {}
        }
    }

    /// Adds all that another account holds.
    pub(crate) fn merge(&mut self, other: Account) {
        self.acknowledged.extend(other.acknowledged);
        self.unknown.extend(other.unknown);
    }

    /// How many letters were acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    /// Compares with a spool: every acknowledged letter is there, octet for octet, under the id of its 250; of those
    /// whose answer got lost, each at most once; and nothing else.
    pub(crate) fn compare(&self, mut stored: Stored) -> Outcome<usize> {
        for (id, letter) in &self.acknowledged {
            match stored.remove(id) {
                None => return fail(format!("message {id} was acknowledged and is not there")),
                Some(found) if found != *letter => {
                    return fail(format!("message {id} is not what was sent: {}", difference(letter, &found)));
                }
                Some(_) => {}
            }
        }
        let mut unknown: Vec<_> = self.unknown.iter().collect();
        let extra = stored.len();
        for (id, found) in stored {
            let place = unknown.iter().position(|letter| **letter == found);
            let place = place.or_fail(format_args!("message {id} is there, and nobody sent it, or not twice"))?;
            unknown.swap_remove(place);
        }
        Ok(extra)
    }
}

/// Asks `smtp-spool check`, and looks for what no restart may leave: unfinished files, corrupt ones.
pub(crate) fn check(programs: &Programs, spool: &Path) -> Outcome {
    let finished = process::run(programs.spool(spool).arg("check"), Duration::from_secs(120))?;
    ensure(finished.status.success(), || format!("smtp-spool check: {}: {}", finished.status, finished.text()))?;
    for folder in ["tmp", "corrupt"] {
        let names = names(&spool.join(folder))?;
        ensure(names.is_empty(), || format!("there is something in {folder}/: {}", names.join(", ")))?;
    }
    Ok(())
}

/// The names in a directory, in order.
pub(crate) fn names(directory: &Path) -> Outcome<Vec<String>> {
    let entries = std::fs::read_dir(directory).or_fail(format_args!("reading {}", directory.display()))?;
    let names: Result<Vec<_>, _> =
        entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned())).collect();
    let mut names = names.or_fail(format_args!("reading {}", directory.display()))?;
    names.sort();
    Ok(names)
}
