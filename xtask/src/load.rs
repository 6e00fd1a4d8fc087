//! `cargo xtask load`, which is not there yet.

use crate::workshop::{Outcome, failure::fail};

pub(crate) fn run(_options: &[String]) -> Outcome {
    fail("not there yet")
}
