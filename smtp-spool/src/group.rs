//! Leader and followers: a slow call that is made once for all who wait for it.
//!
//! Whoever comes first leads: as soon as nobody is at work it takes what has gathered by then, its own item included, and does
//! the work. Whoever comes before that follows: it waits until the leader is done. So nobody ever waits for company, and the
//! more wait, the less the work costs each of them. A leader that panics ends its round and nothing else: its followers are told, and
//! the next one leads.

use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

use crate::engine::lock;

/// What is done for many at once.
pub(crate) trait Work {
    /// What one of them brings.
    type Item;
    /// What all of them are told.
    type Outcome: Clone;

    /// Does it, by one thread at a time. If it panics, the next round finds it as it was at that moment.
    fn perform(&mut self, items: Vec<Self::Item>) -> Self::Outcome;

    /// What those are told whose round broke off in a panic.
    fn broken_off() -> Self::Outcome;
}

/// Work, and those who wait for it.
pub(crate) struct Group<W: Work> {
    state: Mutex<State<W>>,
    /// The leader of the next round waits for this: nobody is at work.
    is_free: Condvar,
}

struct State<W: Work> {
    /// Not here while somebody is at work.
    work: Option<W>,
    /// What the next round will be about. Whose item is the first leads it.
    waiting: Vec<W::Item>,
    /// What those of the next round will be told.
    outcome: Arc<OnceLock<W::Outcome>>,
}

impl<W: Work> Group<W> {
    pub(crate) fn new(work: W) -> Self {
        let state = State { work: Some(work), waiting: Vec::new(), outcome: Arc::default() };
        Group { state: Mutex::new(state), is_free: Condvar::new() }
    }

    /// Has the work done for an item, together with whatever else waits at that moment. Blocks until it is.
    pub(crate) fn submit(&self, item: W::Item) -> W::Outcome {
        let mut state = lock(&self.state);
        state.waiting.push(item);
        if state.waiting.len() > 1 {
            let outcome = Arc::clone(&state.outcome);
            drop(state);
            return outcome.wait().clone();
        }
        let work = loop {
            match state.work.take() {
                Some(work) => break work,
                None => state = self.is_free.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        };
        let (items, told) = (std::mem::take(&mut state.waiting), std::mem::take(&mut state.outcome));
        drop(state);
        let mut lead = Lead { group: self, work: Some(work), told };
        let outcome = lead.work.as_mut().map_or_else(W::broken_off, |work| work.perform(items));
        let told = lead.end();
        let _ = told.set(outcome.clone());
        outcome
    }
}

/// The lead of a round, until it is over, however that comes about.
struct Lead<'a, W: Work> {
    group: &'a Group<W>,
    /// There until the end.
    work: Option<W>,
    told: Arc<OnceLock<W::Outcome>>,
}

impl<W: Work> Lead<'_, W> {
    /// Lets the next leader begin, while those who followed this one are being told.
    fn end(&mut self) -> Arc<OnceLock<W::Outcome>> {
        if let Some(work) = self.work.take() {
            let mut state = lock(&self.group.state);
            state.work = Some(work);
            if !state.waiting.is_empty() {
                self.group.is_free.notify_one();
            }
        }
        Arc::clone(&self.told)
    }
}

impl<W: Work> Drop for Lead<'_, W> {
    fn drop(&mut self) {
        if self.work.is_some() {
            // The work has panicked.
            let _ = self.end().set(W::broken_off());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Says which items it was given, and waits to be let go.
    struct Slow {
        begun: mpsc::Sender<Vec<u32>>,
        go: mpsc::Receiver<Result<(), ()>>,
    }

    impl Work for Slow {
        type Item = u32;
        type Outcome = usize;

        fn perform(&mut self, mut items: Vec<u32>) -> usize {
            items.sort_unstable();
            let count = items.len();
            self.begun.send(items).unwrap();
            self.go.recv().unwrap().unwrap();
            count
        }

        fn broken_off() -> usize {
            0
        }
    }

    /// So many wait for the next round.
    fn wait_for(group: &Group<Slow>, count: usize) {
        while lock(&group.state).waiting.len() < count {
            std::thread::yield_now();
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
            let submit = |item| {
                let group = &group;
                scope.spawn(move || group.submit(item))
            };
            let others: Vec<_> = (1..=5).map(submit).collect();
            wait_for(&group, 5);
            let_go.send(Ok(())).unwrap();
            assert_eq!(rounds.recv().unwrap(), [1, 2, 3, 4, 5]);
            let_go.send(Ok(())).unwrap();
            assert_eq!(first.join().unwrap(), 1);
            others.into_iter().for_each(|other| assert_eq!(other.join().unwrap(), 5));
        });
    }

    #[test]
    fn a_leader_that_panics_ends_its_round_and_no_other() {
        let (begun, rounds) = mpsc::channel();
        let (let_go, go) = mpsc::channel();
        let group = Group::new(Slow { begun, go });
        std::thread::scope(|scope| {
            let submit = |item| {
                let group = &group;
                scope.spawn(move || group.submit(item))
            };
            let first = submit(0);
            assert_eq!(rounds.recv().unwrap(), [0]);
            let leader = submit(1);
            wait_for(&group, 1);
            let follower = submit(2);
            wait_for(&group, 2);
            let_go.send(Ok(())).unwrap();
            assert_eq!(rounds.recv().unwrap(), [1, 2]);
            let next = submit(3);
            wait_for(&group, 1);
            let_go.send(Err(())).unwrap();
            assert_eq!(rounds.recv().unwrap(), [3]);
            let_go.send(Ok(())).unwrap();
            assert_eq!(first.join().unwrap(), 1);
            assert!(leader.join().is_err());
            assert_eq!((follower.join().unwrap(), next.join().unwrap()), (0, 1));
        });
    }
}
