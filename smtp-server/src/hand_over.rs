//! How a connection gets from the thread that accepted it to the session thread that was reserved for it.
//!
//! Whoever waits here sleeps at once. In a general channel a thread first looks again and again, in the hope of something that
//! is on its way; hundreds of threads that do so when the server starts take the processors from each other and from it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Connections on their way, one for each thread at most.
#[derive(Debug)]
pub(crate) struct HandOver<T> {
    state: Mutex<State<T>>,
    came: Condvar,
    most: usize,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    is_closed: bool,
}

impl<T> HandOver<T> {
    pub(crate) fn new(most: usize) -> Self {
        let state = State { waiting: VecDeque::new(), is_closed: false };
        HandOver { state: Mutex::new(state), came: Condvar::new(), most }
    }

    /// Gives one away, unless it was closed or is full. Returns whether it was taken.
    pub(crate) fn give(&self, one: T) -> bool {
        let mut state = self.state();
        if state.is_closed || state.waiting.len() >= self.most {
            return false;
        }
        state.waiting.push_back(one);
        drop(state);
        self.came.notify_one();
        true
    }

    /// Waits for one. `None`: there are no more, and none will come.
    pub(crate) fn take(&self) -> Option<T> {
        let nothing_new = |state: &mut State<T>| state.waiting.is_empty() && !state.is_closed;
        let state = self.came.wait_while(self.state(), nothing_new);
        state.unwrap_or_else(PoisonError::into_inner).waiting.pop_front()
    }

    /// What was given away is still taken; nothing comes behind it.
    pub(crate) fn close(&self) {
        self.state().is_closed = true;
        self.came.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_there_are_threads_and_nothing_is_lost_by_the_end() {
        let hand_over = HandOver::new(2);
        assert!(hand_over.give(1) && hand_over.give(2) && !hand_over.give(3));
        assert_eq!(hand_over.take(), Some(1));
        assert!(hand_over.give(4));
        hand_over.close();
        assert!(!hand_over.give(5));
        assert_eq!([hand_over.take(), hand_over.take(), hand_over.take()], [Some(2), Some(4), None]);
    }

    #[test]
    fn each_is_taken_once_and_the_end_reaches_everybody() {
        let hand_over = HandOver::new(1_000);
        let taken = std::thread::scope(|scope| {
            let takers: Vec<_> =
                (0..8).map(|_| scope.spawn(|| std::iter::from_fn(|| hand_over.take()).count())).collect();
            let given = (0..1_000).filter(|number| hand_over.give(*number)).count();
            hand_over.close();
            assert_eq!(given, 1_000);
            takers.into_iter().map(|taker| taker.join().unwrap()).sum::<usize>()
        });
        assert_eq!(taken, 1_000);
    }
}
