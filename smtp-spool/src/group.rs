//! Leader and followers: a slow call that is made once for all who wait for it.
//!
//! Whoever comes first leads: as soon as nobody is at work it takes what has gathered by then, its own item included, and does
//! the work. Whoever comes before that follows: it waits until the leader is done. So nobody ever waits for company, and the
//! more wait, the less the work costs each of them.

use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

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
        let mut work = loop {
            match state.work.take() {
                Some(work) => break work,
                None => state = self.is_free.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        };
        let (items, told) = (std::mem::take(&mut state.waiting), std::mem::take(&mut state.outcome));
        drop(state);
        let outcome = work.perform(items);
        let mut state = lock(&self.state);
        state.work = Some(work);
        // The next leader first: its work can begin while the followers are being told.
        if !state.waiting.is_empty() {
            self.is_free.notify_one();
        }
        drop(state);
        let _ = told.set(outcome.clone());
        outcome
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
