//! When to try again, when to warn, when to give up: numbers in, numbers out.
//!
//! "Retry interval SHOULD be at least 30 minutes; more sophisticated strategies will be beneficial ... the give-up time
//! generally needs to be at least 4-5 days" (RFC 5321, 4.5.4.1). The first pauses are shorter, since most of what is put off
//! is put off by greylisting or a restart, and over in minutes.

/// A schedule, all in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The pauses behind the first tries.
    pub first_pauses_seconds: Vec<i64>,
    /// The pause behind every later one.
    pub longest_pause_seconds: i64,
    /// How long a message is tried at least.
    pub lifetime_seconds: i64,
    /// When the sender hears that it takes long.
    pub warning_seconds: i64,
}

impl Default for Schedule {
    /// 1, 5, 15 and 30 minutes, then every hour; a warning after four hours; given up after five days.
    fn default() -> Self {
        Schedule {
            first_pauses_seconds: vec![60, 300, 900, 1_800],
            longest_pause_seconds: 3_600,
            lifetime_seconds: smtp_spool::LIFETIME_SECONDS,
            warning_seconds: 4 * 3_600,
        }
    }
}

impl Schedule {
    /// The pause behind the try of this number, from 1, without what chance takes off it.
    pub fn pause_seconds(&self, attempts: u32) -> i64 {
        let place = usize::try_from(attempts).unwrap_or(usize::MAX).saturating_sub(1);
        self.first_pauses_seconds.get(place).copied().unwrap_or(self.longest_pause_seconds)
    }

    /// When the next try is due behind so many. `salt` is anything that differs between messages: they come back one by
    /// one, up to an eighth of the pause earlier, and not all in the same second.
    pub fn next_try(&self, attempts: u32, now: i64, salt: u64) -> i64 {
        let pause = self.pause_seconds(attempts).max(1);
        let spread = u64::try_from(pause / 8).unwrap_or(0).saturating_add(1);
        let earlier = i64::try_from(mixed(salt.wrapping_add(u64::from(attempts))) % spread).unwrap_or(0);
        now.saturating_add(pause - earlier)
    }

    /// The latest time for which anything can be due. What is due later was put off by a clock that has been set back.
    pub fn horizon(&self, now: i64) -> i64 {
        let longest = self.first_pauses_seconds.iter().copied().max().unwrap_or(0).max(self.longest_pause_seconds);
        now.saturating_add(longest)
    }

    /// How long a message has come already.
    fn age(received_at: i64, now: i64) -> i64 {
        now.saturating_sub(received_at)
    }

    /// When a message is given up, if everything goes on as it does.
    pub fn give_up_at(&self, received_at: i64) -> i64 {
        received_at.saturating_add(self.lifetime_seconds)
    }

    /// Whether to give up behind so many tries. Age alone does not decide: a clock that jumps, or a server that was off for
    /// a week, must not send everything back that was hardly tried. At least half the tries of a lifetime are made.
    pub fn is_over(&self, received_at: i64, attempts: u32, now: i64) -> bool {
        Schedule::age(received_at, now) >= self.lifetime_seconds
            && i64::from(attempts) >= self.tries_of_a_lifetime() / 2
    }

    /// Whether the sender is to hear that it takes long.
    pub fn is_late(&self, received_at: i64, attempts: u32, now: i64) -> bool {
        let early_tries = self.tries_within(self.warning_seconds) / 2;
        Schedule::age(received_at, now) >= self.warning_seconds && i64::from(attempts) >= early_tries
    }

    fn tries_of_a_lifetime(&self) -> i64 {
        self.tries_within(self.lifetime_seconds)
    }

    fn tries_within(&self, seconds: i64) -> i64 {
        let mut left = seconds;
        let mut tries = 1;
        for pause in &self.first_pauses_seconds {
            if left < *pause {
                return tries;
            }
            left -= pause;
            tries += 1;
        }
        tries + left / self.longest_pause_seconds.max(1)
    }
}

/// Spreads neighbouring numbers over all numbers (the finaliser of SplitMix64).
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pauses_grow_to_an_hour() {
        let schedule = Schedule::default();
        let minutes: Vec<i64> = (1..=7).map(|attempts| schedule.pause_seconds(attempts) / 60).collect();
        assert_eq!(minutes, [1, 5, 15, 30, 60, 60, 60]);
        assert_eq!(schedule.tries_of_a_lifetime(), 1 + 4 + (5 * 24 * 60 - 51) / 60);
    }

    /// What happens to a message that is never taken, try by try.
    fn life(schedule: &Schedule, salt: u64, jump: impl Fn(u32) -> i64) -> Vec<i64> {
        let (mut now, mut tries) = (0_i64, vec![0]);
        for attempts in 1_u32..10_000 {
            now += jump(attempts);
            if schedule.is_over(0, attempts, now) {
                return tries;
            }
            now = schedule.next_try(attempts, now, salt);
            tries.push(now);
        }
        panic!("it is tried for ever");
    }

    proptest! {
        /// Rows N244, N245, N246: at least thirty minutes between tries once the first are over, five days in all.
        #[test]
        fn the_whole_sequence(salt in any::<u64>()) {
            let schedule = Schedule::default();
            let tries = life(&schedule, salt, |_| 0);
            prop_assert!(tries.is_sorted());
            for pair in tries.windows(2).skip(4) {
                let pause = pair[1] - pair[0];
                prop_assert!((30 * 60..=3_600).contains(&pause), "{pause}");
            }
            let last = *tries.last().unwrap();
            prop_assert!(last >= schedule.lifetime_seconds && last <= schedule.lifetime_seconds + 3_600, "{last}");
        }

        /// A clock that is ten days ahead for a while sends nothing back, and none that is behind keeps it for ever.
        #[test]
        fn a_clock_that_jumps(at in 1_u32..30, back in 1_u32..30, salt in any::<u64>()) {
            const TEN_DAYS: i64 = 10 * 24 * 3_600;
            let schedule = Schedule::default();
            let tries = life(&schedule, salt, |attempts| match attempts {
                attempts if attempts == at => TEN_DAYS,
                attempts if attempts == at + back => -TEN_DAYS,
                _ => 0,
            });
            prop_assert!(tries.len() >= 60, "{} tries", tries.len());
            prop_assert!(schedule.horizon(0) == 3_600);
        }

        #[test]
        fn nothing_overflows(attempts in any::<u32>(), now in any::<i64>(), then in any::<i64>(), salt in any::<u64>()) {
            let schedule = Schedule::default();
            prop_assert!(schedule.next_try(attempts, now, salt) >= now);
            let _ = (schedule.is_over(then, attempts, now), schedule.is_late(then, attempts, now), schedule.give_up_at(now));
        }
    }
}
