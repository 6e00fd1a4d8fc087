//! The time, for those who ask the system for it. Whoever decides by time gets it as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in Unix seconds; 0 if the clock stands before 1970.
pub fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
