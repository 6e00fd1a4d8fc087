//! One sync for all who wait for one: of those who have changed the same directory, one syncs for the others.
//!
//! A sync makes durable what was done before it began. Whoever comes while one is under way is too late for it and waits for
//! the next; when that begins, all who wait by then have done what it is to make durable, and one of them does it for all. So
//! nobody waits for company: who is alone syncs at once.
//!
//! **A failure fails all whom the sync stood for, and nobody else.** The kernel tells a handle once that something could not be
//! written, at the next sync through it. So there is one handle, opened before anything that is synced through it was done,
//! and one sync at a time.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

/// How a sync ended, for each of those for whom it stood.
pub(super) type Synced = Result<(), Arc<io::Error>>;

/// Takes turns at syncing one directory.
#[derive(Debug, Default)]
pub(super) struct SharedSync {
    turns: Mutex<Turns>,
}

#[derive(Debug, Default)]
struct Turns {
    is_under_way: bool,
    /// Whom the next sync stands for.
    next: Arc<Round>,
}

/// Those for whom one sync stands.
#[derive(Debug, Default)]
struct Round {
    outcome: OnceLock<Synced>,
    /// Its sync has ended, or somebody has to begin it.
    changed: Condvar,
}

impl SharedSync {
    /// Makes durable what the caller has done: by a sync of its own, or by waiting for one that somebody else does.
    pub(super) fn run(&self, sync: impl FnOnce() -> io::Result<()>) -> Synced {
        let mut turns = self.turns();
        let round = Arc::clone(&turns.next);
        while turns.is_under_way {
            turns = round.changed.wait(turns).unwrap_or_else(PoisonError::into_inner);
            if let Some(outcome) = round.outcome.get() {
                return outcome.clone();
            }
        }
        // Nobody has begun ours: a round under way would have ended first, and told those who are in it.
        turns.is_under_way = true;
        turns.next = Arc::default();
        drop(turns);
        let turn = Turn { shared: self, round };
        let outcome = sync().map_err(Arc::new);
        turn.round.outcome.get_or_init(|| outcome).clone()
    }

    /// How many wait for the next sync.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        Arc::strong_count(&self.turns().next) - 1
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A sync that is under way. When it is over, however that came about, its round hears of it and the next one begins.
struct Turn<'a> {
    shared: &'a SharedSync,
    round: Arc<Round>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut turns = self.shared.turns();
        // Says nothing if there is an outcome.
        let _ = self.round.outcome.set(Err(Arc::new(io::Error::other("the sync broke off"))));
        turns.is_under_way = false;
        self.round.changed.notify_all();
        turns.next.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread::{Scope, ScopedJoinHandle};

    use super::*;

    /// Syncs that begin one by one, each as the test says how it ends.
    struct Bench {
        shared: SharedSync,
        begun: AtomicUsize,
        begins: Sender<Sender<io::Result<()>>>,
    }

    impl Bench {
        fn new() -> (Self, Receiver<Sender<io::Result<()>>>) {
            let (begins, began) = channel();
            (Bench { shared: SharedSync::default(), begun: AtomicUsize::new(0), begins }, began)
        }

        fn change<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) -> ScopedJoinHandle<'scope, Synced> {
            scope.spawn(|| {
                self.shared.run(|| {
                    self.begun.fetch_add(1, Ordering::SeqCst);
                    let (end, ended) = channel();
                    self.begins.send(end).unwrap();
                    ended.recv().unwrap()
                })
            })
        }

        /// So many wait for the next sync.
        fn wait_for(&self, count: usize) {
            while self.shared.waiting() != count {
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn one_syncs_for_all_who_came_before_it_began_and_a_failure_is_theirs_alone() {
        let (bench, began) = Bench::new();
        std::thread::scope(|scope| {
            let first = bench.change(scope);
            let first_sync = began.recv().unwrap();
            // Too late for the first, whatever becomes of it.
            let (second, third) = (bench.change(scope), bench.change(scope));
            bench.wait_for(2);
            first_sync.send(Ok(())).unwrap();
            first.join().unwrap().unwrap();

            let shared_sync = began.recv().unwrap();
            let fourth = bench.change(scope);
            bench.wait_for(1);
            shared_sync.send(Err(io::Error::from(io::ErrorKind::StorageFull))).unwrap();
            for changed in [second, third] {
                let error = changed.join().unwrap().unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::StorageFull);
                assert_eq!(error.to_string(), io::Error::from(io::ErrorKind::StorageFull).to_string());
            }

            began.recv().unwrap().send(Ok(())).unwrap();
            fourth.join().unwrap().unwrap();
        });
        assert_eq!(bench.begun.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn who_waits_for_a_sync_that_broke_off_is_told_and_the_next_one_begins() {
        let (bench, began) = Bench::new();
        std::thread::scope(|scope| {
            let broken = bench.change(scope);
            let sync = began.recv().unwrap();
            let waiting = bench.change(scope);
            bench.wait_for(1);
            // Nobody says how it ends: it panics.
            drop(sync);
            assert!(broken.join().is_err());
            began.recv().unwrap().send(Ok(())).unwrap();
            waiting.join().unwrap().unwrap();
        });
    }
}
