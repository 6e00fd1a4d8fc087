//! What may be found after a power cut: every combination of what was not synced.
//!
//! Each pending change of a name happened or did not. Each file with octets that were not synced holds the durable ones
//! only, or all of them, or half of the rest, or all of the length with zeros in place of the rest (a file system that
//! writes lengths before contents). The choices are independent: real file systems allow fewer, POSIX allows them all.

use std::collections::BTreeSet;

use super::medium::{Medium, MediumFile, apply};

/// The disks that may be found, at most `limit`.
pub(super) fn survivors(medium: &Medium, limit: usize) -> Vec<Medium> {
    let choices = choices(medium);
    let total = choices.iter().try_fold(1_u128, |total, choice| total.checked_mul(u128::from(*choice)));
    let total = total.unwrap_or(u128::MAX);
    let wanted = total.min(limit as u128);
    (0..wanted).map(|turn| survivor(medium, &choices, spread(turn, total, wanted))).collect()
}

/// The first, the last, and others all over the range: steps of a prime number leave no choice untried for long.
fn spread(turn: u128, total: u128, wanted: u128) -> u128 {
    match turn {
        _ if wanted == total => turn,
        _ if turn + 1 == wanted => total - 1,
        _ => turn * 1_000_000_007 % total,
    }
}

/// How many ways each unsynced thing can go: first all names, then all files.
fn choices(medium: &Medium) -> Vec<u8> {
    let names = medium.folders.values().flat_map(|folder| folder.pending.iter().map(|_| 2));
    let files = medium.files.iter().map(|file| variants(file).len() as u8);
    names.chain(files).collect()
}

/// The disk on which each choice went as the digits of `number` say, in the mixed base of `choices`.
fn survivor(medium: &Medium, choices: &[u8], mut number: u128) -> Medium {
    let mut digits = choices.iter().map(|choice| {
        let digit = number % u128::from(*choice);
        number /= u128::from(*choice);
        digit as usize
    });
    let mut survivor = Medium::default();
    for (name, folder) in &medium.folders {
        let mut names = folder.durable.clone();
        for change in &folder.pending {
            if digits.next() == Some(1) {
                apply(&mut names, change);
            }
        }
        survivor.adopt(*name, names);
    }
    for file in &medium.files {
        let octets = variants(file).swap_remove(digits.next().unwrap_or_default());
        survivor.files.push(MediumFile::durable(octets));
    }
    survivor
}

/// The contents a file may be found with.
fn variants(file: &MediumFile) -> Vec<Vec<u8>> {
    // Files only grow.
    let (durable, all) = (file.durable.len(), file.octets.len());
    let half = file.octets[..durable + (all - durable) / 2].to_vec();
    let mut zeros = file.durable.clone();
    zeros.resize(all, 0);
    BTreeSet::from([file.durable.clone(), half, zeros, file.octets.clone()]).into_iter().collect()
}
