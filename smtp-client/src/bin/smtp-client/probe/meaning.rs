//! The keywords of the EHLO reply, in a few words each.

/// The keywords that people meet. The register is with IANA, "SMTP Service Extensions".
const MEANINGS: [(&str, &str); 20] = [
    ("SIZE", "the largest message it takes, in octets (RFC 1870)"),
    ("PIPELINING", "commands may come in groups (RFC 2920)"),
    ("8BITMIME", "content may hold 8-bit octets (RFC 6152)"),
    ("SMTPUTF8", "addresses and headers in all scripts (RFC 6531)"),
    ("ENHANCEDSTATUSCODES", "replies hold finer codes, such as 5.1.1 (RFC 2034)"),
    ("CHUNKING", "content may come by BDAT, with its size in front (RFC 3030)"),
    ("BINARYMIME", "content may be no lines at all, by BDAT (RFC 3030)"),
    ("DSN", "the sender may say which reports it wants (RFC 3461)"),
    ("STARTTLS", "the connection can be encrypted (RFC 3207)"),
    ("REQUIRETLS", "a message may ask to be encrypted on all its way (RFC 8689)"),
    ("AUTH", "users can prove who they are, in these ways (RFC 4954)"),
    ("LIMITS", "how much it takes at a time (RFC 9422)"),
    ("HELP", "HELP explains the commands (RFC 5321)"),
    ("VRFY", "VRFY may answer (RFC 5321)"),
    ("EXPN", "EXPN may answer (RFC 5321)"),
    ("ETRN", "a host can ask for the mail that waits for it (RFC 1985)"),
    ("DELIVERBY", "a message may be of use for some time only (RFC 2852)"),
    ("FUTURERELEASE", "a message may be held until later (RFC 4865)"),
    ("MT-PRIORITY", "some messages go before others (RFC 6710)"),
    ("RRVS", "a recipient must have been there since a date (RFC 7293)"),
];

/// What a keyword means, whichever way it is written.
pub(crate) fn of(keyword: &str) -> Option<&'static str> {
    let meaning = |(known, meaning): (&str, &'static str)| known.eq_ignore_ascii_case(keyword).then_some(meaning);
    MEANINGS.into_iter().find_map(meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_keyword_has_one_meaning() {
        for (keyword, meaning) in MEANINGS {
            assert_eq!(of(&keyword.to_lowercase()), Some(meaning));
        }
        assert_eq!(of("X-ODD"), None);
    }
}
