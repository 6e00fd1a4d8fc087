//! Why a task did not do what it was to do, as a sentence for the person who started it.

use std::fmt;

/// What failed. Nobody branches on it: it is printed, and the task ends with 1.
#[derive(Debug)]
pub(crate) struct Failure(String);

/// What a step of a task gives back.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Failure(text.into())
    }
}

/// Ends a step with a failure.
pub(crate) fn fail<T>(text: impl Into<String>) -> Outcome<T> {
    Err(Failure::new(text))
}

/// Ends a step with a failure unless something holds.
pub(crate) fn ensure(holds: bool, text: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { fail(text()) }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Says what was being done when something failed.
pub(crate) trait OrFail<T> {
    fn or_fail(self, doing: impl fmt::Display) -> Outcome<T>;
}

impl<T, E: fmt::Display> OrFail<T> for Result<T, E> {
    fn or_fail(self, doing: impl fmt::Display) -> Outcome<T> {
        self.map_err(|error| Failure(format!("{doing}: {error}")))
    }
}

impl<T> OrFail<T> for Option<T> {
    fn or_fail(self, doing: impl fmt::Display) -> Outcome<T> {
        self.ok_or_else(|| Failure(doing.to_string()))
    }
}
