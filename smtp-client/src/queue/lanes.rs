//! Which lane a free thread turns to: so that what is slow or dead does not hold up the rest.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use smtp_spool::Lane;

use super::step::{CLAIMS, Way};

/// Who is at work where.
///
/// | lane | threads in it | threads in all such lanes |
/// | --- | --- | --- |
/// | led somewhere last time | as many as are allowed in one lane | all |
/// | led nowhere last time | one | a quarter |
/// | not known yet | one, until it has taken a message | half, with those that led nowhere |
/// | calls nobody: routing, and delivery on this host; reports | three; one more if its hands would be full, and one each time that nobody has come for a second | all |
///
/// On this host threads wait for one disk, which takes more at once from few of them. They are helped when much is waiting, as it is
/// where the disk is far away, and when they are held up, by a mailbox on a file server that does not answer, for one.
///
/// A call to a black hole holds its thread until the time is over. So that a destination for which much is waiting need not
/// wait until that many calls are over, it gets a thread of another quarter: if more is waiting for it than for any that is
/// being tried. The last quarter is for those that are known to live, and for those that call nobody.
#[derive(Debug)]
pub(super) struct Lanes {
    threads: usize,
    per_lane: usize,
    busy: HashMap<Lane, Busy>,
    /// Where the last try of a lane led: whether somewhere.
    known: HashMap<Lane, bool>,
    /// From which lane on to look next time, so that everybody gets their turn.
    turn: usize,
    /// Somebody found something due and no place, and may be waiting for one.
    is_place_wanted: bool,
}

#[derive(Debug)]
struct Busy {
    threads: usize,
    /// How many were waiting in the lane when the first of them came.
    waiting: usize,
    /// When the last of them came.
    entered: Instant,
}

/// What is held up by lanes that may lead nowhere.
#[derive(Default)]
struct Trying {
    threads: usize,
    /// Those of them that led nowhere last time.
    dead: usize,
    /// The most that were waiting in one of them.
    most_waiting: usize,
}

/// Threads that are at work in a lane that calls nobody, however little is waiting.
const THREADS_HERE: usize = 3;

/// When nobody has come for so long into a lane that calls nobody, and all its places are taken, those who are there are held up.
pub(super) const HELD_UP: Duration = Duration::from_secs(1);

/// Lanes that are remembered. Beyond that they are all forgotten, which costs time and loses nothing.
const KNOWN_LANES: usize = 100_000;

impl Lanes {
    /// For so many threads, of which so many may be at work in one lane.
    pub(super) fn new(threads: usize, per_lane: usize) -> Self {
        Lanes {
            threads: threads.max(1),
            per_lane: per_lane.max(1),
            busy: HashMap::new(),
            known: HashMap::new(),
            turn: 0,
            is_place_wanted: false,
        }
    }

    /// Picks one of these lanes, each with how many wait there, and takes a place in it.
    pub(super) fn enter(&mut self, due: &[(Lane, usize)], now: Instant) -> Option<Lane> {
        let trying = self.trying();
        let first = if due.is_empty() { 0 } else { self.turn % due.len() };
        let (behind, front) = due.split_at(first);
        let found = front.iter().chain(behind).find(|(lane, waiting)| self.has_place(lane, *waiting, &trying, now));
        let Some((lane, waiting)) = found else {
            self.is_place_wanted |= !due.is_empty();
            return None;
        };
        self.turn = self.turn.wrapping_add(1);
        let busy = self.busy.entry(lane.clone()).or_insert(Busy { threads: 0, waiting: *waiting, entered: now });
        busy.threads += 1;
        busy.entered = now;
        Some(lane.clone())
    }

    fn trying(&self) -> Trying {
        let mut trying = Trying::default();
        for (lane, busy) in &self.busy {
            match self.known.get(lane) {
                _ if calls_nobody(lane) => continue,
                Some(true) => continue,
                Some(false) => trying.dead += busy.threads,
                None => {}
            }
            trying.threads += busy.threads;
            trying.most_waiting = trying.most_waiting.max(busy.waiting);
        }
        trying
    }

    fn has_place(&self, lane: &Lane, waiting: usize, trying: &Trying, now: Instant) -> bool {
        let part = |quarters: usize| (self.threads * quarters / 4).max(1);
        let busy = self.busy.get(lane);
        let at_work = busy.map_or(0, |busy| busy.threads);
        match self.known.get(lane) {
            _ if calls_nobody(lane) => {
                let is_held_up = |busy: &Busy| now.duration_since(busy.entered) >= HELD_UP;
                at_work < THREADS_HERE || waiting / CLAIMS >= at_work || busy.is_some_and(is_held_up)
            }
            Some(true) => at_work < self.per_lane,
            Some(false) => at_work == 0 && trying.dead < part(1) && trying.threads < part(2),
            None if at_work > 0 => false,
            None => trying.threads < part(2) || (trying.threads < part(3) && waiting > trying.most_waiting),
        }
    }

    /// A lane leads somewhere, as who is at work in it has seen. `false` if that is no news.
    pub(super) fn prove(&mut self, lane: &Lane) -> bool {
        self.learn(lane, true) != Some(true)
    }

    /// The work in a lane is over, and this is what it turned out to be.
    pub(super) fn leave(&mut self, lane: &Lane, way: Way) {
        if let Some(busy) = self.busy.get_mut(lane) {
            busy.threads -= 1;
            if busy.threads == 0 {
                self.busy.remove(lane);
            }
        }
        match way {
            Way::Alive => self.learn(lane, true),
            Way::Dead => self.learn(lane, false),
            Way::Untried => None,
        };
    }

    /// Whether somebody found no place, and none was offered since.
    pub(super) fn is_place_wanted(&self) -> bool {
        self.is_place_wanted
    }

    /// Whether somebody found no place since this was asked last.
    pub(super) fn take_wanted(&mut self) -> bool {
        std::mem::take(&mut self.is_place_wanted)
    }

    fn learn(&mut self, lane: &Lane, is_alive: bool) -> Option<bool> {
        if let Some(known) = self.known.get_mut(lane) {
            return Some(std::mem::replace(known, is_alive));
        }
        if self.known.len() >= KNOWN_LANES {
            self.known.clear();
        }
        self.known.insert(lane.clone(), is_alive)
    }
}

/// Routing and reports need no other host.
fn calls_nobody(lane: &Lane) -> bool {
    *lane == Lane::unrouted() || *lane == Lane::reports()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(name: &str) -> Lane {
        Lane::new(name).unwrap()
    }

    fn lanes(prefix: &str, count: usize) -> Vec<(Lane, usize)> {
        (0..count).map(|number| (lane(&format!("{prefix}{number}")), 2)).collect()
    }

    fn enter(lanes: &mut Lanes, due: &[(Lane, usize)]) -> Option<Lane> {
        lanes.enter(due, Instant::now())
    }

    fn enter_all_at(lanes: &mut Lanes, due: &[(Lane, usize)], now: Instant) -> usize {
        std::iter::from_fn(|| lanes.enter(due, now)).count()
    }

    fn enter_all(lanes: &mut Lanes, due: &[(Lane, usize)]) -> Vec<Lane> {
        let mut picked: Vec<Lane> = std::iter::from_fn(|| enter(lanes, due)).collect();
        picked.sort();
        picked
    }

    #[test]
    fn the_dead_take_a_quarter_at_most() {
        let mut all = Lanes::new(8, 2);
        let dead = lanes("dead", 20);
        for dead in &dead {
            assert_eq!(enter(&mut all, std::slice::from_ref(dead)).as_ref(), Some(&dead.0));
            all.leave(&dead.0, Way::Dead);
        }
        assert!(all.prove(&lane("live")) && !all.prove(&lane("live")));
        let due: Vec<(Lane, usize)> = dead.iter().cloned().chain([(lane("live"), 1)]).collect();
        let picked = enter_all(&mut all, &due);
        let live = picked.iter().filter(|picked| **picked == lane("live")).count();
        assert_eq!((picked.len(), live), (4, 2), "{picked:?}");
        // One that answers again is one of the living.
        let revived = picked[0].clone();
        all.leave(&revived, Way::Alive);
        let due = [(revived.clone(), 1)];
        assert_eq!(
            (enter(&mut all, &due), enter(&mut all, &due), enter(&mut all, &due)),
            (Some(revived.clone()), Some(revived), None)
        );
    }

    /// At the start nobody is known, and most of them may be black holes.
    #[test]
    fn the_unknown_take_half_and_who_has_more_to_do_goes_first() {
        let mut all = Lanes::new(8, 2);
        let unknown = lanes("unknown", 20);
        assert_eq!(enter_all(&mut all, &unknown).len(), 4);
        let mut due = unknown.clone();
        due.extend([(lane("large"), 3), (lane("larger"), 4), (lane("largest"), 5)]);
        let large = enter_all(&mut all, &due);
        assert!(!large.is_empty() && large.len() <= 2, "{large:?}");
        assert!(large.iter().all(|lane| lane.as_str().starts_with("large")), "{large:?}");
        // Nobody helps there before it has taken something, and then somebody does.
        let found = large[0].clone();
        assert_eq!(enter(&mut all, &[(found.clone(), 9)]), None);
        assert!(all.prove(&found));
        assert_eq!(enter(&mut all, &[(found.clone(), 9)]), Some(found.clone()));
        assert_eq!(enter(&mut all, &[(found, 9)]), None);
        // Routing is never held up.
        assert_eq!(enter(&mut all, &[(Lane::unrouted(), 1)]), Some(Lane::unrouted()));
    }

    #[test]
    fn who_found_nothing_to_do_has_learnt_nothing() {
        let mut all = Lanes::new(8, 2);
        let due = [(lane("a"), 1)];
        for (way, others) in [(Way::Untried, 0), (Way::Dead, 0), (Way::Untried, 0), (Way::Alive, 1), (Way::Untried, 1)]
        {
            assert_eq!(enter(&mut all, &due), Some(lane("a")));
            all.leave(&lane("a"), way);
            assert!(!all.take_wanted());
            let places = enter_all(&mut all, &due);
            assert_eq!(places.len(), 1 + others, "{way:?}");
            assert!(all.take_wanted(), "the last of them found none");
            places.iter().for_each(|lane| all.leave(lane, Way::Untried));
        }
    }

    #[test]
    fn everybody_gets_a_turn() {
        let mut all = Lanes::new(8, 1);
        let due = [(lane("a"), 1), (lane("b"), 1), (lane("c"), 1)];
        let mut seen = Vec::new();
        for _ in 0..3 {
            let picked = enter(&mut all, &due).unwrap();
            all.leave(&picked, Way::Alive);
            seen.push(picked);
        }
        seen.sort();
        assert_eq!(seen, due.map(|(lane, _)| lane));
        assert_eq!(enter(&mut all, &[]), None);
        assert!(!all.take_wanted(), "nobody wants a place where nothing is to be done");
    }

    /// Few threads find more to write at once. But a mailbox whose disk does not answer holds up nobody for long.
    #[test]
    fn few_deliver_here_and_more_once_those_are_held_up() {
        for nobody_called in [Lane::unrouted(), Lane::reports()] {
            let mut all = Lanes::new(8, 2);
            let due = [(nobody_called.clone(), 3 * CLAIMS - 1)];
            let began = Instant::now();
            assert_eq!(enter_all_at(&mut all, &due, began), 3);
            assert_eq!(enter_all_at(&mut all, &due, began + HELD_UP / 2), 0);
            assert!(all.take_wanted());
            assert_eq!(enter_all_at(&mut all, &due, began + HELD_UP), 1);
            // One of them comes and goes: the others are slow, and that is all.
            all.leave(&nobody_called, Way::Alive);
            all.leave(&nobody_called, Way::Alive);
            assert_eq!(enter_all_at(&mut all, &due, began + HELD_UP * 3 / 2), 1);
            assert_eq!(enter_all_at(&mut all, &due, began + HELD_UP * 2), 0);
            // Much is waiting.
            assert_eq!(enter_all_at(&mut all, &[(nobody_called, 5 * CLAIMS)], began + HELD_UP * 2), 3);
        }
    }

    #[test]
    fn a_single_thread_goes_everywhere() {
        let mut all = Lanes::new(1, 4);
        for due in lanes("a", 3) {
            for way in [Way::Dead, Way::Untried, Way::Alive] {
                assert_eq!(enter(&mut all, std::slice::from_ref(&due)).as_ref(), Some(&due.0));
                all.leave(&due.0, way);
            }
        }
    }
}
