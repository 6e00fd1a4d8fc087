//! `LIMITS`: how much one session may ask of the server, said before the client asks (RFC 9422).

use std::fmt;

/// The limits that a server announced, or that ours is about to announce. Each is at least 1.
///
/// What nobody said, a name that is not known (more of them may be registered any day), and a value that is no number of one
/// to six digits bind nobody: they are left out here, and the others stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// `MAILMAX`: MAIL commands of one session, whether they succeed or fail (RFC 9422, 4.1).
    pub mails: Option<usize>,
    /// `RCPTMAX`: RCPT commands of one transaction (RFC 9422, 4.2).
    pub recipients: Option<usize>,
    /// `RCPTDOMAINMAX`: different domains in the RCPT commands of one session (RFC 9422, 4.3).
    pub recipient_domains: Option<usize>,
}

impl Limits {
    /// The largest number that can be said: six digits.
    pub const LARGEST: usize = 999_999;

    /// A limit as it can be announced. To announce less than is granted misleads nobody; zero cannot be said.
    pub fn announced(limit: usize) -> Option<usize> {
        (limit > 0).then_some(limit.min(Limits::LARGEST))
    }

    /// Reads the words behind the keyword. Where a name is said twice, the lower number holds.
    pub(super) fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        let mut limits = Limits::default();
        for (name, value) in words.filter_map(|word| word.split_once('=')) {
            let limit = match name.to_ascii_uppercase().as_str() {
                "MAILMAX" => &mut limits.mails,
                "RCPTMAX" => &mut limits.recipients,
                "RCPTDOMAINMAX" => &mut limits.recipient_domains,
                _ => continue,
            };
            if let Some(number) = parse_limit(value) {
                *limit = Some(limit.map_or(number, |earlier| earlier.min(number)));
            }
        }
        limits
    }
}

/// RFC 9422, 4.1 to 4.3: a digit that is not zero, and at most five more.
fn parse_limit(value: &str) -> Option<usize> {
    let is_number = (1..=6).contains(&value.len()) && value.bytes().all(|digit| digit.is_ascii_digit());
    (is_number && !value.starts_with('0')).then(|| value.parse().ok()).flatten()
}

impl fmt::Display for Limits {
    /// The keyword with its names and values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LIMITS")?;
        let names = [("MAILMAX", self.mails), ("RCPTMAX", self.recipients), ("RCPTDOMAINMAX", self.recipient_domains)];
        for (name, limit) in names {
            if let Some(limit) = limit {
                write!(f, " {name}={limit}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(words: &str) -> [Option<usize>; 3] {
        let Limits { mails, recipients, recipient_domains } = Limits::parse(words.split_ascii_whitespace());
        [mails, recipients, recipient_domains]
    }

    /// Rows X154, X155: names in any order and case; what cannot be read or is not known spoils nothing beside it.
    #[test]
    fn reads_what_is_certain() {
        for (words, expected) in [
            ("", [None; 3]),
            // The example of RFC 9422, 5.
            ("RCPTMAX=20 MAILMAX=5", [Some(5), Some(20), None]),
            ("MailMax=1 rcptmax=999999 RCPTDOMAINMAX=2", [Some(1), Some(999_999), Some(2)]),
            ("RCPTMAX=20 FUTURE=7 FLAG X=a=b =5 MAILMAX=5", [Some(5), Some(20), None]),
            ("RCPTMAX=0 MAILMAX=5", [Some(5), None, None]),
            ("RCPTMAX=20 RCPTMAX=7 RCPTMAX=9 RCPTMAX=x", [None, Some(7), None]),
        ] {
            assert_eq!(limits(words), expected, "{words}");
        }
        for value in
            ["", "0", "00", "007", "1000000", "99999999999999999999999", "-1", "+1", "1.5", "ten", "1;2", "\u{661}"]
        {
            assert_eq!(limits(&format!("RCPTMAX={value}")), [None; 3], "{value:?}");
        }
    }

    #[test]
    fn prints_what_it_reads() {
        for words in ["LIMITS", "LIMITS MAILMAX=5", "LIMITS MAILMAX=5 RCPTMAX=20 RCPTDOMAINMAX=1"] {
            assert_eq!(Limits::parse(words.split(' ').skip(1)).to_string(), words);
        }
        for (limit, announced) in [(0, None), (1, Some(1)), (999_999, Some(999_999)), (usize::MAX, Some(999_999))] {
            assert_eq!(Limits::announced(limit), announced);
        }
    }
}
