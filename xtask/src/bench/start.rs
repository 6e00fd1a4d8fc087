//! How long our server takes from the start of its process until it listens, with what lies in its spool.

use std::path::PathBuf;
use std::time::Instant;

use smtp_spool::{Due, Spool};

use super::Ground;
use super::crowd::milliseconds;
use super::lines::Figures;
use super::sheet::Measure;
use crate::workshop::filling::fill;
use crate::workshop::scratch::Scratch;
use crate::workshop::server::Server;
use crate::workshop::{OrFail, Outcome};

/// Starts with an empty spool are short, so each round has some, of which the median counts.
const STARTS: usize = 9;

pub(super) fn empty(ground: &Ground, place: &Scratch) -> Outcome<Figures> {
    let times = (0..STARTS).map(|number| start(ground, place.at(&format!("spool-{number}"))));
    let times = times.collect::<Outcome<Vec<_>>>()?;
    Ok(vec![(Measure::Duration, super::sheet::median(&times))])
}

/// The spool is filled in the first round, and stays.
pub(super) fn full(ground: &Ground, place: &Scratch) -> Outcome<Figures> {
    let path = match ground.full_spool.get() {
        Some(path) => path.clone(),
        None => {
            let path = place.at("spool");
            let (spool, _) = Spool::open(&path, smtp_spool::Options::default()).or_fail("opening a spool")?;
            fill(&spool, ground.entries(), Due::Kept, |_| "bob@localhost".to_owned())?;
            ground.full_spool.get_or_init(|| path).clone()
        }
    };
    Ok(vec![(Measure::Duration, start(ground, path)?)])
}

fn start(ground: &Ground, spool: PathBuf) -> Outcome<f64> {
    let began = Instant::now();
    let server = Server::start(&ground.peers.programs, &spool, &[])?;
    let took = milliseconds(began.elapsed());
    drop(server);
    Ok(took)
}
