//! Counts what passed, failed and was skipped, one printed line each.

use std::time::Instant;

use super::failure::{Failure, Outcome, fail};

/// The count of one task.
pub(crate) struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
    is_skip_failure: bool,
    shows_skipped: bool,
    started: Instant,
}

impl Tally {
    /// A count in which nothing may be skipped if `--require-all` is among the options, or `CI` is `true`.
    pub(crate) fn new(options: &[String]) -> Self {
        let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
        let is_skip_failure = is_ci || options.iter().any(|option| option == "--require-all");
        Tally { is_skip_failure, shows_skipped: true, ..Tally::without_skips() }
    }

    /// A count for a task that skips nothing.
    pub(crate) fn without_skips() -> Self {
        let started = Instant::now();
        Tally { passed: 0, failed: 0, skipped: 0, is_skip_failure: false, shows_skipped: false, started }
    }

    /// Prints how a check ended. What it has to say goes behind its name.
    pub(crate) fn check(&mut self, name: &str, result: Outcome<String>) {
        match result {
            Ok(said) if said.is_empty() => println!("passed: {name}"),
            Ok(said) => println!("passed: {name}: {said}"),
            Err(failure) => return self.fail(name, &failure),
        }
        self.passed += 1;
    }

    fn fail(&mut self, name: &str, failure: &Failure) {
        println!("FAILED: {name}: {failure}");
        self.failed += 1;
    }

    /// Something is missing here. `remedy` says how to get it.
    pub(crate) fn skip(&mut self, name: &str, remedy: &str) {
        if self.is_skip_failure {
            self.fail(name, &Failure::new(format!("not available ({remedy}), and nothing may be skipped")));
        } else {
            println!("skipped: {name} ({remedy})");
            self.skipped += 1;
        }
    }

    /// Prints the last line.
    pub(crate) fn finish(self) -> Outcome {
        let Tally { passed, failed, skipped, .. } = self;
        println!("after {:.1} s:", self.started.elapsed().as_secs_f32());
        match self.shows_skipped {
            true => println!("{passed} passed, {failed} failed, {skipped} skipped"),
            false => println!("{passed} passed, {failed} failed"),
        }
        if failed == 0 { Ok(()) } else { fail(format!("{failed} failed")) }
    }
}
