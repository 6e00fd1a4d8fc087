//! What is measured: each line is one situation, with those who are put into it.

use crate::workshop::Outcome;
use crate::workshop::scratch::Scratch;

use super::Ground;
use super::generator::Load;
use super::peers::{MAILIN_FILE, MAILIN_NULL, OURS, POSTFIX, SINK};
use super::sheet::Measure;
use super::traffic;

/// The figures of one participant in one round.
pub(super) type Figures = Vec<(Measure, f64)>;

/// A line of the benchmark.
#[derive(Clone, Copy)]
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) what: What,
}

#[derive(Clone, Copy)]
pub(super) enum What {
    /// Messages to a server.
    Traffic(Load),
}

const fn traffic(clients: usize, octets: usize, is_fresh: bool, is_pipelined: bool) -> What {
    What::Traffic(Load { clients, octets, is_fresh, is_pipelined })
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

pub(super) const REUSED_64: &str = "1 KiB, reused, 64 clients";
pub(super) const REUSED_8: &str = "1 KiB, reused, 8 clients";
pub(super) const REUSED_1: &str = "1 KiB, reused, 1 client";
pub(super) const FRESH_8: &str = "1 KiB, fresh, 8 clients";

/// In the order in which they are measured.
pub(super) const LINES: [Line; 4] = [
    Line { name: REUSED_64, what: traffic(64, KIB, false, false) },
    Line { name: REUSED_8, what: traffic(8, KIB, false, false) },
    Line { name: REUSED_1, what: traffic(1, KIB, false, false) },
    Line { name: FRESH_8, what: traffic(8, KIB, true, false) },
];

const SERVERS: [&str; 5] = [OURS, MAILIN_FILE, MAILIN_NULL, SINK, POSTFIX];

impl Line {
    /// Who takes part.
    pub(super) fn peers(&self) -> &'static [&'static str] {
        match self.what {
            What::Traffic(_) => &SERVERS,
        }
    }

    /// One participant, once.
    pub(super) fn measure(&self, ground: &Ground, peer: &'static str, place: &Scratch) -> Outcome<Figures> {
        match self.what {
            What::Traffic(load) => traffic::measure(ground, peer, load, place),
        }
    }
}
