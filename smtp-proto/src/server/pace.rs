//! How fast and for how long the octets of a message come in, whether they are kept or only read and forgotten.

use std::time::Duration;

use super::Config;

/// The octets of one message on the wire, all its chunks together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    started: Duration,
    wire_octets: u64,
}

impl Pace {
    pub(super) fn new(now: Duration) -> Self {
        Pace::behind(0, now)
    }

    /// For what comes behind octets that were read already. They count; the time that they took does not.
    pub(super) fn behind(wire_octets: u64, now: Duration) -> Self {
        Pace { started: now, wire_octets }
    }

    pub(super) fn wire_octets(self) -> u64 {
        self.wire_octets
    }

    pub(super) fn count(&mut self, octets: usize) {
        self.wire_octets = self.wire_octets.saturating_add(octets as u64);
    }

    /// Octets may neither stand still nor dribble.
    pub(super) fn deadline(self, config: &Config, now: Duration) -> Duration {
        let rate = config.content_octets_per_second.max(1);
        let by_rate = self.started.saturating_add(Duration::from_secs(self.wire_octets / rate));
        by_rate.min(now).saturating_add(config.content_timeout)
    }

    /// What is refused already may go on for twice the limit, and no longer.
    pub(super) fn is_endless(self, config: &Config) -> bool {
        self.wire_octets > config.message_octets.saturating_mul(3)
    }
}
