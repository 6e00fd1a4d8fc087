//! From the first connection until the last message lies in a Maildir: accepted, queued, delivered.

use std::path::Path;
use std::time::{Duration, Instant};

use super::Ground;
use super::generator::{Load, Until, Words, fire};
use super::lines::Figures;
use super::peers::{OURS, start_postfix_virtual};
use super::sheet::Measure;
use crate::workshop::Outcome;
use crate::workshop::failure::ensure;
use crate::workshop::scratch::Scratch;

/// To look whether all are there costs time, too, so one looks seldom.
const PAUSE: Duration = Duration::from_millis(50);

/// Longer than any of them should take.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn measure(ground: &Ground, peer: &str, place: &Scratch) -> Outcome<Figures> {
    let (server, delivered) = if peer == OURS {
        let mail = place.directory("mail")?;
        let option = format!("maildir:{}", mail.display());
        (ground.peers.start_ours(place, &["--deliver", &option])?, mail.join("bob/new"))
    } else {
        start_postfix_virtual(place)?
    };
    let load = Load { clients: 8, octets: 1_024, is_fresh: false, is_pipelined: false };
    let (words, count) = (Words::new(load.octets), ground.deliveries());
    let began = Instant::now();
    let heard = fire(server.address, load, &words, Until::Messages(count / load.clients));
    ensure(heard.failures == 0, || format!("{} failures: {}", heard.failures, heard.failure.unwrap_or_default()))?;
    let accepted = began.elapsed();
    while files(&delivered) < count {
        ensure(began.elapsed() < PATIENCE, || format!("only {} of {count} were delivered", files(&delivered)))?;
        std::thread::sleep(PAUSE);
    }
    let rate = |time: Duration| count as f64 / time.as_secs_f64();
    Ok(vec![(Measure::Rate, rate(began.elapsed())), (Measure::AcceptedRate, rate(accepted))])
}

/// How many there are; none if the directory is not there yet.
fn files(directory: &Path) -> usize {
    std::fs::read_dir(directory).map_or(0, Iterator::count)
}
