//! Who has guessed wrong often, and how long it has to wait before it may guess again.
//!
//! An address has ten failures for nothing, since people mistype and programs try three mechanisms. Each one beyond doubles the
//! wait, from a second to five minutes; and each minute one is forgotten. So whoever goes on and on is left with a guess a
//! minute or so, and nobody is locked out for longer than five.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::admission::key;

const FREE_FAILURES: u32 = 10;
const LONGEST_WAIT: Duration = Duration::from_secs(300);
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// Addresses that are remembered. An attacker with more is not stopped by an address in any case.
const MOST_ADDRESSES: usize = 10_000;

/// The failures of all addresses; an IPv6 /64 counts as one. Loopback counts like any other: whoever has an account on this
/// host and none in the list could guess there too.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    addresses: Mutex<HashMap<IpAddr, Failures>>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Failures {
    /// What is left of them.
    fn at(self, now: Instant) -> u32 {
        let forgotten = now.saturating_duration_since(self.last).as_secs() / FORGET_AFTER.as_secs();
        self.count.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }

    fn wait(self, now: Instant) -> Duration {
        let Some(beyond) = self.at(now).checked_sub(FREE_FAILURES) else { return Duration::ZERO };
        let wait = 1_u64.checked_shl(beyond).map_or(LONGEST_WAIT, Duration::from_secs).min(LONGEST_WAIT);
        wait.saturating_sub(now.saturating_duration_since(self.last))
    }
}

impl Backoff {
    /// How long this address has to wait.
    pub(crate) fn wait(&self, address: IpAddr, now: Instant) -> Duration {
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.get(&key(address)).map_or(Duration::ZERO, |failures| failures.wait(now))
    }

    /// It has failed once more. Returns how long it has to wait now.
    pub(crate) fn fail(&self, address: IpAddr, now: Instant) -> Duration {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if addresses.len() >= MOST_ADDRESSES {
            addresses.retain(|_, failures| failures.at(now) > 0);
        }
        if addresses.len() >= MOST_ADDRESSES
            && let Some(oldest) =
                addresses.iter().min_by_key(|(_, failures)| failures.last).map(|(address, _)| *address)
        {
            addresses.remove(&oldest);
        }
        let failures = addresses.entry(key(address)).or_insert(Failures { count: 0, last: now });
        *failures = Failures { count: failures.at(now).saturating_add(1), last: now };
        failures.wait(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn ten_for_nothing_and_then_twice_as_long_each_time() {
        let (backoff, start) = (Backoff::default(), Instant::now());
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let mut now = start;
        for _ in 0..9 {
            assert_eq!(backoff.fail(address, now), seconds(0));
            assert_eq!(backoff.wait(address, now), seconds(0));
        }
        for expected in [1, 2, 4, 8, 16, 32] {
            assert_eq!(backoff.fail(address, now), seconds(expected));
            assert_eq!(backoff.wait(address, now), seconds(expected));
            assert_eq!(backoff.wait(address, now + seconds(expected)), seconds(0));
            now += seconds(expected);
        }
        assert_eq!(backoff.wait("192.0.2.2".parse().unwrap(), start), seconds(0));
        // At once, again and again: never more than five minutes, and forgotten in the end.
        for _ in 0..1_000 {
            backoff.fail(address, now);
        }
        assert_eq!(backoff.wait(address, now), LONGEST_WAIT);
        assert_eq!(backoff.wait(address, now + LONGEST_WAIT), seconds(0));
        backoff.fail(address, now + seconds(60 * 2_000));
        assert_eq!(backoff.wait(address, now + seconds(60 * 2_000)), seconds(0));
    }

    #[test]
    fn whoever_goes_on_is_left_with_a_try_a_minute() {
        let (backoff, start) = (Backoff::default(), Instant::now());
        let address: IpAddr = "2001:db8::1".parse().unwrap();
        let (mut now, mut tries) = (start, 0);
        while now < start + seconds(24 * 3_600) {
            match backoff.wait(address, now) {
                Duration::ZERO => {
                    backoff.fail("2001:db8::ffff:2".parse().unwrap(), now);
                    tries += 1;
                }
                wait => now += wait,
            }
        }
        assert!((1_000..2_000).contains(&tries), "{tries} in a day");
    }

    #[test]
    fn only_so_many_are_remembered() {
        let (backoff, start) = (Backoff::default(), Instant::now());
        for number in 0..MOST_ADDRESSES as u32 + 100 {
            backoff.fail(IpAddr::V4((0x0a00_0000 + number).into()), start + seconds(u64::from(number / 1_000)));
        }
        assert_eq!(backoff.addresses.lock().unwrap().len(), MOST_ADDRESSES);
        backoff.fail("192.0.2.1".parse().unwrap(), start + seconds(3_600));
        assert_eq!(backoff.addresses.lock().unwrap().len(), 1, "what is forgotten goes first");
    }
}
