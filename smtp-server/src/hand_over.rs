//! How a connection gets from the thread that accepted it to the session thread that was reserved for it.
//!
//! Of those who wait, the last to have come gets the next: its stack is still in the caches of the processors, and threads that
//! are not needed are never touched. Whoever waits sleeps at once. In a general channel a thread first looks again and again, in
//! the hope of something that is on its way; hundreds of threads that do so when the server starts take the processors from each
//! other and from it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Connections on their way, one for each thread at most.
#[derive(Debug)]
pub(crate) struct HandOver<T> {
    state: Mutex<State<T>>,
    most: usize,
}

#[derive(Debug)]
struct State<T> {
    /// For threads that are on their way here. If there are any, nobody is asleep.
    waiting: VecDeque<T>,
    asleep: Vec<Arc<Sleeper<T>>>,
    is_closed: bool,
}

#[derive(Debug)]
struct Sleeper<T> {
    hand: Mutex<Hand<T>>,
    came: Condvar,
}

/// What a sleeper is woken with.
#[derive(Debug)]
enum Hand<T> {
    Empty,
    Given(T),
    Closed,
}

impl<T> HandOver<T> {
    pub(crate) fn new(most: usize) -> Self {
        let state = State { waiting: VecDeque::new(), asleep: Vec::new(), is_closed: false };
        HandOver { state: Mutex::new(state), most }
    }

    /// Gives one away, unless it was closed or is full. Returns whether it was taken.
    pub(crate) fn give(&self, one: T) -> bool {
        let mut state = self.state();
        if state.is_closed || state.waiting.len() >= self.most {
            return false;
        }
        match state.asleep.pop() {
            Some(sleeper) => {
                drop(state);
                sleeper.wake(Hand::Given(one));
            }
            None => state.waiting.push_back(one),
        }
        true
    }

    /// Waits for one. `None`: there are no more, and none will come.
    pub(crate) fn take(&self) -> Option<T> {
        let mut state = self.state();
        if let Some(one) = state.waiting.pop_front() {
            return Some(one);
        }
        if state.is_closed {
            return None;
        }
        let sleeper = Arc::new(Sleeper { hand: Mutex::new(Hand::Empty), came: Condvar::new() });
        state.asleep.push(sleeper.clone());
        drop(state);
        sleeper.sleep()
    }

    /// What was given away is still taken; nothing comes behind it.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.asleep.drain(..).for_each(|sleeper| sleeper.wake(Hand::Closed));
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Sleeper<T> {
    fn wake(&self, with: Hand<T>) {
        *self.hand.lock().unwrap_or_else(PoisonError::into_inner) = with;
        self.came.notify_one();
    }

    fn sleep(&self) -> Option<T> {
        let hand = self.hand.lock().unwrap_or_else(PoisonError::into_inner);
        let hand = self.came.wait_while(hand, |hand| matches!(hand, Hand::Empty));
        match std::mem::replace(&mut *hand.unwrap_or_else(PoisonError::into_inner), Hand::Empty) {
            Hand::Given(one) => Some(one),
            Hand::Empty | Hand::Closed => None,
        }
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
    fn the_last_to_fall_asleep_is_the_first_to_be_woken() {
        let hand_over = HandOver::new(2);
        let (taken, has_taken) = crossbeam_channel::unbounded();
        std::thread::scope(|scope| {
            for number in [0, 1] {
                let (hand_over, taken) = (&hand_over, taken.clone());
                scope.spawn(move || taken.send((number, hand_over.take())).unwrap());
                while hand_over.state().asleep.len() <= number {
                    std::thread::yield_now();
                }
            }
            for (number, one) in [(1, "for the last"), (0, "for the first")] {
                assert!(hand_over.give(one));
                assert_eq!(has_taken.recv(), Ok((number, Some(one))));
            }
        });
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
