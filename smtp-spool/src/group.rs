//! Leader and followers: a slow call that is made once for all who wait for it.
//!
//! Whoever comes while nobody is at work leads: it takes what has gathered, its own item included, and does the work.
//! Whoever comes meanwhile waits; when the leader is done, one of those who wait leads the next round. So nobody ever waits
//! for company, and the more wait, the less the work costs each of them.

use std::sync::{Arc, Condvar, Mutex, OnceLock};

use crate::engine::lock;

/// What is done for many at once.
pub(crate) trait Work {
    /// What one of them brings.
    type Item;
    /// What all of them are told.
    type Outcome: Clone;

    /// Does it, by one thread at a time. It must not panic: nobody would take its place.
    fn perform(&mut self, items: Vec<Self::Item>) -> Self::Outcome;
}

/// Work, and those who wait for it.
pub(crate) struct Group<W: Work> {
    state: Mutex<State<W>>,
}

struct State<W: Work> {
    /// Not here while somebody leads.
    work: Option<W>,
    /// What the next round will be about.
    waiting: Vec<W::Item>,
    round: Arc<Round<W::Outcome>>,
}

struct Round<Outcome> {
    outcome: OnceLock<Outcome>,
    /// The outcome is there, or somebody is needed to lead.
    changed: Condvar,
}

impl<W: Work> Group<W> {
    pub(crate) fn new(work: W) -> Self {
        Group { state: Mutex::new(State { work: Some(work), waiting: Vec::new(), round: Arc::default() }) }
    }

    /// Has the work done for an item, together with whatever else waits at that moment. Blocks until it is.
    pub(crate) fn submit(&self, item: W::Item) -> W::Outcome {
        let mut state = lock(&self.state);
        state.waiting.push(item);
        let round = Arc::clone(&state.round);
        loop {
            if let Some(outcome) = round.outcome.get() {
                return outcome.clone();
            }
            let Some(mut work) = state.work.take() else {
                state = round.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
                continue;
            };
            let items = std::mem::take(&mut state.waiting);
            state.round = Arc::default();
            drop(state);
            let is_alone = items.len() == 1;
            let outcome = work.perform(items);
            state = lock(&self.state);
            state.work = Some(work);
            // The next leader first: its work can begin while the others are being told. To wake nobody is a system call, too.
            if !state.waiting.is_empty() {
                state.round.changed.notify_one();
            }
            let _ = round.outcome.set(outcome.clone());
            drop(state);
            if !is_alone {
                round.changed.notify_all();
            }
            return outcome;
        }
    }
}

impl<Outcome> Default for Round<Outcome> {
    fn default() -> Self {
        Round { outcome: OnceLock::new(), changed: Condvar::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Says which items it was given, and waits to be let go.
    struct Slow {
        begun: mpsc::Sender<Vec<u32>>,
        go: mpsc::Receiver<()>,
    }

    impl Work for Slow {
        type Item = u32;
        type Outcome = usize;

        fn perform(&mut self, mut items: Vec<u32>) -> usize {
            items.sort_unstable();
            let count = items.len();
            self.begun.send(items).unwrap();
            self.go.recv().unwrap();
            count
        }
    }

    #[test]
    fn who_comes_alone_waits_for_nobody_and_who_comes_meanwhile_is_served_at_once() {
        let (begun, rounds) = mpsc::channel();
        let (let_go, go) = mpsc::channel();
        let group = Group::new(Slow { begun, go });
        std::thread::scope(|scope| {
            let first = scope.spawn(|| group.submit(0));
            assert_eq!(rounds.recv().unwrap(), [0]);
            let others: Vec<_> = (1..=5)
                .map(|item| {
                    scope.spawn({
                        let group = &group;
                        move || group.submit(item)
                    })
                })
                .collect();
            while lock(&group.state).waiting.len() < 5 {
                std::thread::yield_now();
            }
            let_go.send(()).unwrap();
            assert_eq!(rounds.recv().unwrap(), [1, 2, 3, 4, 5]);
            let_go.send(()).unwrap();
            assert_eq!(first.join().unwrap(), 1);
            others.into_iter().for_each(|other| assert_eq!(other.join().unwrap(), 5));
        });
    }
}
