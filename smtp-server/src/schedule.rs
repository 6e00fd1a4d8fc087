//! `smtp-server schedule`, and the options that change it: when a message that cannot be delivered is tried again.

use std::fmt::Write as _;
use std::io::Write as _;

use smtp_client::queue::Schedule;

use crate::config_file;
use crate::exit::{self, Failure};
use crate::options::{Options, ScheduleCommand};

/// A pause between two tries is no shorter, so that a wrong digit does not make an attack of it.
const SHORTEST_PAUSE_SECONDS: i64 = 10;
/// More lines than this nobody wants to read, nor to write.
const MOST_PAUSES: usize = 100;
/// A thousand days: whoever wants more means for ever, and nothing is kept for ever in silence.
const LONGEST_SECONDS: i64 = 1_000 * DAY;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const UNITS: [(char, i64); 4] = [('d', DAY), ('h', HOUR), ('m', MINUTE), ('s', 1)];

/// Prints the schedule to standard output. Whoever closed it does not want to know.
pub(crate) fn run(command: &ScheduleCommand) -> Result<u8, Failure> {
    let settings = config_file::complete(command.options())?;
    let schedule = schedule(&settings.options).map_err(|error| Failure::new(exit::CONFIG, error))?;
    let _ = std::io::stdout().write_all(table(&schedule).as_bytes());
    Ok(0)
}

/// The schedule that these options say, and the usual one where they are silent.
pub(crate) fn schedule(options: &Options) -> Result<Schedule, String> {
    let mut schedule = Schedule::default();
    if let Some(Pauses(pauses)) = &options.retry_after
        && let [first @ .., last] = pauses.as_slice()
    {
        schedule.first_pauses_seconds = first.to_vec();
        schedule.longest_pause_seconds = *last;
    }
    schedule.lifetime_seconds = options.give_up_after.unwrap_or(schedule.lifetime_seconds);
    schedule.warning_seconds = options.warn_after.unwrap_or(schedule.warning_seconds);
    let longest = schedule.horizon(0);
    if schedule.lifetime_seconds < longest {
        let (lifetime, longest) = (shown(schedule.lifetime_seconds), shown(longest));
        return Err(format!("--give-up-after {lifetime} is over before a pause of {longest} is (see --retry-after)"));
    }
    Ok(schedule)
}

/// Pauses between tries, in seconds; the last one is repeated. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pauses(Vec<i64>);

/// Reads `1m,5m,15m,30m,1h`.
pub(crate) fn pauses(text: &str) -> Result<Pauses, String> {
    let pauses: Vec<i64> = text.split(',').map(time).collect::<Result<_, _>>()?;
    if pauses.len() > MOST_PAUSES {
        return Err(format!("at most {MOST_PAUSES} pauses"));
    }
    if pauses.iter().any(|pause| *pause < SHORTEST_PAUSE_SECONDS) {
        return Err(format!("a pause is at least {SHORTEST_PAUSE_SECONDS}s"));
    }
    Ok(Pauses(pauses))
}

/// Reads `90s`, `5m`, `4h` or `5d`, as seconds.
pub(crate) fn time(text: &str) -> Result<i64, String> {
    const FORMS: &str = "write times like 90s, 5m, 4h or 5d";
    let unit = UNITS.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?, *seconds)));
    let (number, unit_seconds) = unit.ok_or(FORMS)?;
    if number.is_empty() || !number.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(FORMS.to_owned());
    }
    // What is a number and still not taken is too large.
    let seconds = number.parse::<i64>().ok().and_then(|number| number.checked_mul(unit_seconds));
    match seconds.filter(|seconds| *seconds <= LONGEST_SECONDS) {
        Some(0) => Err("a time of nothing".to_owned()),
        Some(seconds) => Ok(seconds),
        None => Err(format!("more than {}", shown(LONGEST_SECONDS))),
    }
}

/// In the units that [`time`] reads, largest first: `1h 51m`.
fn shown(seconds: i64) -> String {
    let mut left = seconds;
    let mut words = Vec::new();
    for (unit, unit_seconds) in UNITS {
        if left >= unit_seconds {
            words.push(format!("{}{unit}", left / unit_seconds));
            left %= unit_seconds;
        }
    }
    if words.is_empty() { "0s".to_owned() } else { words.join(" ") }
}

/// The tries up to the longest pause, each with the pause in front of it; then what happens in the end.
fn table(schedule: &Schedule) -> String {
    let mut text = format!("{:>4}  {:<10}  {}\n", "try", "after", "since it came");
    let mut since = 0;
    let mut row = |number: u32, pause: Option<i64>, since: i64| {
        let pause = pause.map_or_else(|| "at once".to_owned(), shown);
        // Writing to a string does not fail.
        let _ = writeln!(text, "{number:>4}  {pause:<10}  {}", shown(since));
    };
    row(1, None, since);
    let mut number = 1;
    loop {
        let pause = schedule.pause_seconds(number);
        since += pause;
        number += 1;
        row(number, Some(pause), since);
        // The pauses in front of the last one may be as long as it is.
        if usize::try_from(number).unwrap_or(usize::MAX) > schedule.first_pauses_seconds.len() + 1 {
            break;
        }
    }
    let _ = writeln!(text, "then every {}, each pause up to an eighth shorter", shown(schedule.longest_pause_seconds));
    if schedule.warning_seconds < schedule.lifetime_seconds {
        let _ = writeln!(text, "after {} the sender hears that it takes long", shown(schedule.warning_seconds));
    }
    let _ = writeln!(text, "after {} it is given up, and the sender hears of that", shown(schedule.lifetime_seconds));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row N247.
    #[test]
    fn times_and_pauses() {
        for (text, expected) in [
            ("90s", Ok(90)),
            ("5m", Ok(300)),
            ("4h", Ok(14_400)),
            ("5d", Ok(432_000)),
            ("0h", Err("a time of nothing")),
            ("1001d", Err("more than 1000d")),
            ("99999999999999999999d", Err("more than 1000d")),
            ("5", Err("write times like 90s, 5m, 4h or 5d")),
            ("d", Err("write times like 90s, 5m, 4h or 5d")),
            ("-1d", Err("write times like 90s, 5m, 4h or 5d")),
            ("+1d", Err("write times like 90s, 5m, 4h or 5d")),
            ("1 d", Err("write times like 90s, 5m, 4h or 5d")),
            ("5é", Err("write times like 90s, 5m, 4h or 5d")),
        ] {
            assert_eq!(time(text), expected.map_err(str::to_owned), "{text}");
        }
        assert_eq!(pauses("1m,1h"), Ok(Pauses(vec![60, 3_600])));
        assert_eq!(pauses("1m,,1h").unwrap_err(), "write times like 90s, 5m, 4h or 5d");
        assert_eq!(pauses("9s").unwrap_err(), "a pause is at least 10s");
        assert_eq!(pauses(&vec!["1m"; 101].join(",")).unwrap_err(), "at most 100 pauses");
    }

    #[test]
    fn nothing_is_given_up_before_it_was_tried_again() {
        let options = Options { give_up_after: Some(HOUR - 1), ..Options::default() };
        assert_eq!(
            schedule(&options).unwrap_err(),
            "--give-up-after 59m 59s is over before a pause of 1h is (see --retry-after)"
        );
        let options = Options { retry_after: Some(Pauses(vec![MINUTE])), ..options };
        assert_eq!(schedule(&options).unwrap().lifetime_seconds, HOUR - 1);
    }

    #[test]
    fn the_usual_schedule_as_a_table() {
        let expected = concat!(
            " try  after       since it came\n",
            "   1  at once     0s\n",
            "   2  1m          1m\n",
            "   3  5m          6m\n",
            "   4  15m         21m\n",
            "   5  30m         51m\n",
            "   6  1h          1h 51m\n",
            "then every 1h, each pause up to an eighth shorter\n",
            "after 4h the sender hears that it takes long\n",
            "after 5d it is given up, and the sender hears of that\n",
        );
        assert_eq!(table(&schedule(&Options::default()).unwrap()), expected);
    }
}
