//! Dates as trace fields print them (RFC 5321, 4.4; RFC 5322, 3.3). The clock is somebody else's: both numbers come in.

use std::fmt::{self, Write as _};

/// A moment and the offset of the local time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// Seconds since the beginning of 1970, UTC.
    pub unix_seconds: i64,
    /// What the local clock is ahead of UTC, in minutes.
    pub offset_minutes: i16,
}

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl fmt::Display for Timestamp {
    /// `Mon, 23 Nov 2026 06:20:41 +0000`: four-digit year, numeric zone (RFC 5321, 4.4 and F.5).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let local = self.unix_seconds.saturating_add(i64::from(self.offset_minutes) * 60);
        let (days, seconds) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        let weekday = DAYS.get(days.rem_euclid(7) as usize).unwrap_or(&"");
        let month = MONTHS.get(month).unwrap_or(&"");
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        let sign = if self.offset_minutes < 0 { '-' } else { '+' };
        let offset = self.offset_minutes.unsigned_abs();
        write!(f, "{weekday}, {day} {month} {year:04}")?;
        // One field of each message: the general way to print two digits takes ten times as long.
        for (before, number) in [(' ', hour), (':', minute), (':', second)] {
            f.write_char(before)?;
            two_digits(f, number)?;
        }
        f.write_char(' ')?;
        f.write_char(sign)?;
        two_digits(f, i64::from(offset / 60))?;
        two_digits(f, i64::from(offset % 60))
    }
}

/// A number of up to three digits, with at least two.
fn two_digits(f: &mut fmt::Formatter<'_>, number: i64) -> fmt::Result {
    if number >= 100 {
        return write!(f, "{number}");
    }
    for digit in [number / 10, number % 10] {
        f.write_char(char::from(b'0' + digit as u8))?;
    }
    Ok(())
}

/// Year, month (from 0) and day of a day counted from 1970-01-01. Years are taken to begin in March, so that the leap day
/// is the last of its year and every month before it has a fixed length.
fn civil(days: i64) -> (i64, usize, i64) {
    const DAYS_TO_1970: i64 = 719_468; // from 0000-03-01
    const DAYS_IN_400_YEARS: i64 = 146_097;
    let days = days.saturating_add(DAYS_TO_1970);
    let era = days.div_euclid(DAYS_IN_400_YEARS);
    let day_of_era = days.rem_euclid(DAYS_IN_400_YEARS);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    let year = year_of_era + era * 400 + i64::from(month < 2);
    (year, month as usize, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_dates() {
        for (unix_seconds, offset_minutes, text) in [
            (0, 0, "Thu, 1 Jan 1970 00:00:00 +0000"),
            (951_782_400, 0, "Tue, 29 Feb 2000 00:00:00 +0000"),
            (951_868_799, 0, "Tue, 29 Feb 2000 23:59:59 +0000"),
            (1_795_414_841, 330, "Mon, 23 Nov 2026 11:50:41 +0530"),
            (1_795_414_841, -210, "Mon, 23 Nov 2026 02:50:41 -0330"),
            (4_107_542_400, 0, "Mon, 1 Mar 2100 00:00:00 +0000"),
            (-1, 0, "Wed, 31 Dec 1969 23:59:59 +0000"),
        ] {
            assert_eq!(Timestamp { unix_seconds, offset_minutes }.to_string(), text);
        }
    }

    #[test]
    fn no_moment_panics() {
        for unix_seconds in [i64::MIN, i64::MIN + 1, -62_135_596_800, i64::MAX] {
            for offset_minutes in [i16::MIN, -1, 0, i16::MAX] {
                assert!(!Timestamp { unix_seconds, offset_minutes }.to_string().is_empty());
            }
        }
    }
}
