//! What the tests that cross the crates share: a server to talk to, a peer that says exactly what it is told, a server
//! that follows a script, and the real programs as processes.
//!
//! Nothing here sleeps in order to hide a race, and no port is fixed. Whoever waits waits for something (a reply, a line,
//! a condition), at most [`PATIENCE`], and then fails and says for what.

#![allow(clippy::panic)] // a test fails by panicking, and so does what it calls

pub mod server;
pub mod peer;
pub mod transcript;
pub mod scripted_server;
pub mod unix_bridge;
pub mod processes;
pub mod site;
pub mod dns_server;
pub mod client;
pub mod letters;
pub mod certificates;
pub mod tls;

use std::time::{Duration, Instant};

/// How long anything may take that is to happen: far more than it does on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Looks again and again until `condition` holds. `what` says what was waited for in vain. For what cannot be waited for
/// in any other way, such as a thread that is given back once a peer has vanished.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let give_up_at = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < give_up_at, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
