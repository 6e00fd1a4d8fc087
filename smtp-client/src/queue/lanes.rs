//! Which lane a free thread turns to: so that what is slow or dead does not hold up the rest.

use std::collections::{HashMap, HashSet};

use smtp_spool::Lane;

/// Who is at work where.
#[derive(Debug)]
pub(super) struct Lanes {
    threads: usize,
    per_lane: usize,
    busy: HashMap<Lane, usize>,
    /// Lanes whose last try led nowhere.
    dead: HashSet<Lane>,
    /// From which lane on to look next time, so that everybody gets their turn.
    turn: usize,
}

/// Dead lanes that are remembered. Beyond that all are taken for alive, which costs time and loses nothing.
const DEAD_LANES: usize = 100_000;

impl Lanes {
    /// For so many threads, of which so many may be at work in one lane.
    pub(super) fn new(threads: usize, per_lane: usize) -> Self {
        Lanes {
            threads: threads.max(1),
            per_lane: per_lane.max(1),
            busy: HashMap::new(),
            dead: HashSet::new(),
            turn: 0,
        }
    }

    /// Picks one of these lanes and takes a place in it. A lane that was dead last time gets a thread only while three
    /// quarters of them are left to the living.
    pub(super) fn enter(&mut self, due: &[Lane]) -> Option<Lane> {
        let first = if due.is_empty() { 0 } else { self.turn % due.len() };
        let (behind, front) = due.split_at(first);
        let lane = front.iter().chain(behind).find(|lane| self.has_place(lane))?.clone();
        self.turn = self.turn.wrapping_add(1);
        *self.busy.entry(lane.clone()).or_default() += 1;
        Some(lane)
    }

    fn has_place(&self, lane: &Lane) -> bool {
        let at_work = self.busy.get(lane).copied().unwrap_or(0);
        if self.dead.contains(lane) {
            let among_dead: usize =
                self.busy.iter().filter(|(lane, _)| self.dead.contains(*lane)).map(|(_, at_work)| at_work).sum();
            return at_work == 0 && among_dead < (self.threads / 4).max(1);
        }
        // Routing and reports need no other host.
        at_work < self.per_lane || *lane == Lane::unrouted() || *lane == Lane::reports()
    }

    /// Gives a place back in which nothing was done.
    pub(super) fn put_back(&mut self, lane: &Lane) {
        let is_dead = self.dead.contains(lane);
        self.leave(lane, is_dead);
    }

    /// The work in a lane is over; `is_dead` if it led nowhere.
    pub(super) fn leave(&mut self, lane: &Lane, is_dead: bool) {
        if let Some(at_work) = self.busy.get_mut(lane) {
            *at_work -= 1;
            if *at_work == 0 {
                self.busy.remove(lane);
            }
        }
        if !is_dead {
            self.dead.remove(lane);
        } else if self.dead.len() < DEAD_LANES {
            self.dead.insert(lane.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(name: &str) -> Lane {
        Lane::new(name).unwrap()
    }

    #[test]
    fn the_dead_take_a_quarter_at_most() {
        let mut lanes = Lanes::new(8, 2);
        let dead: Vec<Lane> = (0..20).map(|number| lane(&format!("dead{number}"))).collect();
        for dead in &dead {
            assert_eq!(lanes.enter(std::slice::from_ref(dead)).as_ref(), Some(dead));
            lanes.leave(dead, true);
        }
        let all: Vec<Lane> = dead.iter().cloned().chain([lane("live")]).collect();
        let mut picked: Vec<Lane> = std::iter::from_fn(|| lanes.enter(&all)).collect();
        picked.sort();
        let live = picked.iter().filter(|picked| **picked == lane("live")).count();
        assert_eq!((picked.len(), live), (4, 2), "{picked:?}");
        // One that answers again is one of the living.
        let revived = picked[0].clone();
        lanes.leave(&revived, false);
        assert_eq!(lanes.enter(std::slice::from_ref(&revived)), Some(revived));
    }

    #[test]
    fn everybody_gets_a_turn() {
        let mut lanes = Lanes::new(8, 1);
        let due = [lane("a"), lane("b"), lane("c")];
        let mut seen = Vec::new();
        for _ in 0..3 {
            let picked = lanes.enter(&due).unwrap();
            lanes.leave(&picked, false);
            seen.push(picked);
        }
        seen.sort();
        assert_eq!(seen, due);
        assert_eq!(lanes.enter(&[]), None);
    }
}
