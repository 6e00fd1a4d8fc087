//! `cargo xtask test`: every test there is.

use crate::workshop::programs::cargo;
use crate::workshop::{Outcome, failure::fail};

/// Builds everything, since the tests that cross the crates start the programs; then tests everything.
pub(crate) fn run(options: &[String]) -> Outcome {
    if !cargo(&["build", "--workspace"], &[])?.success() {
        return fail("the workspace does not build");
    }
    let words = ["test", "--workspace"].map(str::to_owned);
    let status = cargo(&[&words, options].concat(), &[])?;
    if status.success() { Ok(()) } else { fail("tests failed") }
}
