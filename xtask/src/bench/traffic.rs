//! Messages to a server for a while: how many, how dear, how long each took.

use std::time::{Duration, Instant};

use super::Ground;
use super::generator::{Load, Until, Words, fire};
use super::lines::Figures;
use super::meters::Reading;
use super::sheet::Measure;
use crate::workshop::failure::ensure;
use crate::workshop::scratch::Scratch;
use crate::workshop::{OrFail, Outcome};

/// Threads of the servers that have a pool, in every line with traffic: our default.
const THREADS: usize = 256;

/// From this size on what counts is octets.
const LARGE_OCTETS: usize = 1 << 20;

pub(super) fn measure(ground: &Ground, peer: &str, load: Load, time: Duration, place: &Scratch) -> Outcome<Figures> {
    let server = ground.peers.start(peer, place, THREADS)?;
    let words = Words::new(load.octets);
    // Whatever a server makes when it is called for the first time is made now.
    fire(server.address, load, &words, Until::Time(Instant::now() + time / 8));
    let before = Reading::take(server.pid, ground.device.as_deref())?;
    let began = Instant::now();
    let heard = fire(server.address, load, &words, Until::Time(began + time));
    let lasted = began.elapsed();
    let after = Reading::take(server.pid, ground.device.as_deref())?;
    drop(server);

    let count = heard.taken.len();
    ensure(count > 0, || format!("no message was taken: {}", heard.failure.clone().unwrap_or_default()))?;
    if let Some(failure) = &heard.failure {
        println!("    {peer}: {} failures, the first: {failure}", heard.failures);
    }
    let rate = count as f64 / lasted.as_secs_f64();
    let each = |before: f64, after: f64| (after - before) / count as f64;
    let (server, own) = (after.server - before.server, after.own - before.own);
    let others = (after.machine - before.machine - server - own).max(0.0);
    let mut took = heard.taken;
    took.sort();
    let mut figures = vec![(Measure::Rate, rate)];
    if load.octets >= LARGE_OCTETS {
        figures.push((Measure::Volume, rate * load.octets as f64 / 1e6));
    }
    figures.extend([
        (Measure::ServerTime, each(before.server, after.server)),
        (Measure::MachineTime, each(before.machine, after.machine)),
        (Measure::Median, percentile(&took, 50)?),
        (Measure::Tail, percentile(&took, 99)?),
        (Measure::Failures, heard.failures as f64),
    ]);
    if let (Some(before), Some(after)) = (before.flushes, after.flushes) {
        figures.push((Measure::Flushes, each(before, after)));
    }
    let possible = lasted.as_secs_f64() * 10.0 * ground.processors as f64;
    figures.push((Measure::OthersShare, others / possible));
    Ok(figures)
}

/// Of sorted times, in milliseconds: the least one that so many percent do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Outcome<f64> {
    let place = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    let found = sorted.get(place).or_fail("a percentile of nothing")?;
    Ok(found.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_taken() {
        let times: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50).unwrap(), 100.0);
        assert_eq!(percentile(&times, 99).unwrap(), 198.0);
        assert_eq!(percentile(&times[..1], 99).unwrap(), 1.0);
        assert!(percentile(&[], 50).is_err());
    }
}
