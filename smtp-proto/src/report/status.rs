//! How a failure becomes a status code, which programs read without knowing SMTP (RFC 3464, 2.3.4; RFC 3463).
//!
//! What a server said comes before what we think. If it said nothing, one of the constants here says what happened.

use crate::reply::{Class, EnhancedCode, Reply};

/// No host answers at the addresses of the domain; not now.
pub const NO_ANSWER: EnhancedCode = EnhancedCode::new(4, 4, 1);
/// The connection was lost, or the server was silent for too long.
pub const BAD_CONNECTION: EnhancedCode = EnhancedCode::new(4, 4, 2);
/// The domain name system gave no answer; not now.
pub const NO_NAME_SERVER: EnhancedCode = EnhancedCode::new(4, 4, 3);
/// What the server said is no SMTP.
pub const NO_PROTOCOL: EnhancedCode = EnhancedCode::new(4, 5, 0);
/// There is no such domain.
pub const NO_SUCH_DOMAIN: EnhancedCode = EnhancedCode::new(5, 1, 2);
/// The domain takes no mail, and says so (RFC 7505, 4).
pub const NULL_MX: EnhancedCode = EnhancedCode::new(5, 1, 10);
/// The domain exists, and no host is left that takes its mail.
pub const NO_ROUTE: EnhancedCode = EnhancedCode::new(5, 4, 4);
/// The message goes round in circles (RFC 5321, 6.3).
pub const ROUTING_LOOP: EnhancedCode = EnhancedCode::new(5, 4, 6);
/// It has waited for as long as a message waits here, and nothing else is known.
pub const EXPIRED: EnhancedCode = EnhancedCode::new(5, 4, 7);
/// A part of the way cannot carry what the message needs: 8BITMIME, SMTPUTF8.
pub const CONVERSION_NEEDED: EnhancedCode = EnhancedCode::new(5, 6, 3);

/// The status that a reply stands for: its enhanced code, else 2.0.0, 4.0.0 or 5.0.0 by its first digit (RFC 3461, 6.3).
pub fn of_reply(reply: &Reply) -> EnhancedCode {
    reply.enhanced().unwrap_or(match reply.class() {
        Class::Positive => EnhancedCode::new(2, 0, 0),
        Class::Transient => EnhancedCode::new(4, 0, 0),
        Class::Permanent => EnhancedCode::new(5, 0, 0),
        // 3yz refuses nothing; where it ends a transaction, it was no answer to what was asked.
        Class::Intermediate => NO_PROTOCOL,
    })
}

/// The status of a recipient that is given up because its time is over: what was wrong the last time, if that says anything.
///
/// It may begin with 4, in a report that says `failed`: "the status code would be the same" as in the report of the delay
/// (RFC 3464, 2.3.3). A full mailbox is still a full mailbox, and a mailing list does well to keep its owner.
pub fn of_expired(last: Option<EnhancedCode>) -> EnhancedCode {
    last.filter(|last| (last.subject, last.detail) != (0, 0)).unwrap_or(EXPIRED)
}

/// Whether a recipient that failed did so because its time was over, and not because somebody refused it.
pub(super) fn is_expired(status: EnhancedCode) -> bool {
    status.class == 4 || status == EXPIRED
}

/// The status as it is printed, with a class that the action allows and numbers that the grammar allows (RFC 3464, 2.3.4),
/// whatever a program put into the fields.
pub(super) fn well_formed(status: EnhancedCode, fallback_class: u8) -> EnhancedCode {
    let class = if matches!(status.class, 2 | 4 | 5) { status.class } else { fallback_class };
    let is_number = status.subject <= 999 && status.detail <= 999;
    if is_number { EnhancedCode { class, ..status } } else { EnhancedCode::new(class, 0, 0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::Code;

    /// Row X087: a status of RFC 3463, and x.0.0 where there is none.
    #[test]
    fn replies() {
        for (code, enhanced, status) in [
            (550, Some("5.1.1"), "5.1.1"),
            (550, None, "5.0.0"),
            (451, None, "4.0.0"),
            (452, Some("4.2.2"), "4.2.2"),
            (250, None, "2.0.0"),
            (354, None, "4.5.0"),
            // Of another class: no enhanced code at all (RFC 2034, 4).
            (550, Some("4.1.1"), "5.0.0"),
        ] {
            let enhanced = enhanced.map(|text| EnhancedCode::parse(text).unwrap());
            let reply = Reply::new(Code::new(code).unwrap(), enhanced, "text");
            assert_eq!(of_reply(&reply).to_string(), status, "{code} {enhanced:?}");
        }
    }

    #[test]
    fn time_is_over() {
        for (last, status) in
            [(None, "5.4.7"), (Some("4.0.0"), "5.4.7"), (Some("4.2.2"), "4.2.2"), (Some("4.4.1"), "4.4.1")]
        {
            let last = last.map(|text| EnhancedCode::parse(text).unwrap());
            assert_eq!(of_expired(last).to_string(), status);
            assert!(is_expired(of_expired(last)));
        }
        assert!(!is_expired(EnhancedCode::new(5, 1, 1)));
    }

    /// Row X092: no leading zeros, at most three digits, a class that exists.
    #[test]
    fn numbers_that_no_status_has() {
        for (status, printed) in [
            (EnhancedCode::new(5, 1, 1), "5.1.1"),
            (EnhancedCode::new(0, 999, 999), "4.999.999"),
            (EnhancedCode::new(2, 1_000, 1), "2.0.0"),
            (EnhancedCode::new(u8::MAX, 1, u16::MAX), "4.0.0"),
        ] {
            assert_eq!(well_formed(status, 4).to_string(), printed);
        }
    }
}
