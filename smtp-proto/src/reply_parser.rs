//! Reads replies at the client: line by line, bounded, and suspicious (RFC 5321, 4.2.1).
//!
//! A reply may come in pieces, in many lines, without text, and from a server that means harm. Whatever arrives ends in a
//! [`Reply`], in "more input", or in a [`ReplyError`] after which the connection is of no use.

use std::fmt;

use crate::limits;
use crate::reply::{Code, EnhancedCode, Reply};

/// The lines of a reply that is not complete yet.
#[derive(Debug, Default)]
pub struct ReplyParser {
    code: Option<Code>,
    lines: Vec<String>,
    octets: usize,
}

/// Why what arrived is not a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// The line does not begin with three digits and a space, a hyphen, or its end.
    Malformed,
    /// The code is not between 200 and 599. RFC 5321, 4.2: fatal for the transaction.
    Code,
    /// The lines of one reply have different codes.
    DifferentCodes,
    /// A line ends in LF without CR. Waiting for the CRLF would be waiting for ever.
    BareLineFeed,
    /// A line, the number of lines or the whole reply is beyond our limits.
    TooLong,
    /// A reply arrived to which no command belongs.
    Unexpected,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReplyError::Malformed => "the server's reply does not begin with a three-digit code",
            ReplyError::Code => "the server's reply code is not between 200 and 599",
            ReplyError::DifferentCodes => "the lines of the server's reply have different codes",
            ReplyError::BareLineFeed => "the server's reply line ends in LF without CR",
            ReplyError::TooLong => "the server's reply is too long",
            ReplyError::Unexpected => "the server sent a reply that belongs to no command",
        })
    }
}

impl std::error::Error for ReplyError {}

impl ReplyParser {
    /// Reads from `input` up to the end of one reply. Returns the octets used, and the reply if it is complete.
    pub fn handle(&mut self, input: &[u8]) -> Result<(usize, Option<Reply>), ReplyError> {
        let mut used = 0;
        while let Some(rest) = input.get(used..).filter(|rest| !rest.is_empty()) {
            let Some(end) = memchr::memchr(b'\n', rest) else {
                let is_bounded = rest.len() < limits::RECEIVED_REPLY_LINE_OCTETS;
                return if is_bounded { Ok((used, None)) } else { Err(ReplyError::TooLong) };
            };
            let (line, _) = rest.split_at(end);
            used += end + 1;
            let line = line.strip_suffix(b"\r").ok_or(ReplyError::BareLineFeed)?;
            if let Some(reply) = self.handle_line(line)? {
                return Ok((used, Some(reply)));
            }
        }
        Ok((used, None))
    }

    /// The complete lines of a reply that is not, for people: `250-first; 250-second`.
    pub fn unfinished(&self) -> String {
        let code = self.code.map(|code| code.to_string()).unwrap_or_default();
        let lines: Vec<_> = self.lines.iter().map(|line| format!("{code}-{line}")).collect();
        lines.join("; ")
    }

    fn handle_line(&mut self, line: &[u8]) -> Result<Option<Reply>, ReplyError> {
        self.octets += line.len() + 2;
        let is_too_long = line.len() + 2 > limits::RECEIVED_REPLY_LINE_OCTETS
            || self.octets > limits::RECEIVED_REPLY_OCTETS
            || self.lines.len() == limits::RECEIVED_REPLY_LINES;
        if is_too_long {
            return Err(ReplyError::TooLong);
        }
        let (code, is_last, text) = split_line(line)?;
        if self.code.is_some_and(|first| first != code) {
            return Err(ReplyError::DifferentCodes);
        }
        self.code = Some(code);
        self.lines.push(escape(text));
        if !is_last {
            return Ok(None);
        }
        self.code = None;
        self.octets = 0;
        let mut lines = std::mem::take(&mut self.lines);
        let enhanced = take_enhanced(code, &mut lines);
        Ok(Some(Reply::received(code, enhanced, lines)))
    }
}

/// `code`, whether it is the last line, and the text. The space may be missing where there is no text (RFC 5321, 4.2.1).
fn split_line(line: &[u8]) -> Result<(Code, bool, &[u8]), ReplyError> {
    let (digits, rest) = line.split_at_checked(3).ok_or(ReplyError::Malformed)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(ReplyError::Malformed);
    }
    let number = digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
    let code = Code::new(number).ok_or(ReplyError::Code)?;
    match rest.split_first() {
        None => Ok((code, true, rest)),
        Some((b' ', text)) => Ok((code, true, text)),
        Some((b'-', text)) => Ok((code, false, text)),
        Some(_) => Err(ReplyError::Malformed),
    }
}

/// A server's text is shown on terminals and put into logs and reports: only printable ASCII stays as it is.
fn escape(text: &[u8]) -> String {
    let mut escaped = String::with_capacity(text.len());
    for &octet in text {
        match octet {
            b' '..=b'~' => escaped.push(char::from(octet)),
            b'\t' => escaped.push(' '),
            _ => escaped.push_str(&format!("\\x{octet:02x}")),
        }
    }
    escaped
}

/// Takes the enhanced code from the head of every line, if the first line has one that fits the code (RFC 2034, 4).
fn take_enhanced(code: Code, lines: &mut [String]) -> Option<EnhancedCode> {
    let first = lines.first()?.split(' ').next()?;
    let enhanced = EnhancedCode::parse(first).filter(|enhanced| enhanced.fits(code))?;
    let printed = enhanced.to_string();
    for line in lines {
        let rest = line.strip_prefix(&printed).filter(|rest| rest.is_empty() || rest.starts_with(' '));
        if let Some(rest) = rest.map(|rest| rest.strip_prefix(' ').unwrap_or(rest).to_owned()) {
            *line = rest;
        }
    }
    Some(enhanced)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds whole, byte by byte, and with trailing octets that must be left alone.
    fn parse(wire: &[u8]) -> Result<Option<Reply>, ReplyError> {
        let whole = ReplyParser::default().handle(wire);
        let mut parser = ReplyParser::default();
        let mut held: Vec<u8> = Vec::new();
        let mut single = Ok(None);
        for (position, &octet) in wire.iter().enumerate() {
            held.push(octet);
            match parser.handle(&held) {
                Ok((used, None)) => {
                    held.drain(..used);
                }
                Ok((used, Some(reply))) => {
                    assert_eq!(used, held.len());
                    assert_eq!(position + 1, wire.len(), "complete too early");
                    single = Ok(Some(reply));
                }
                Err(error) => {
                    single = Err(error);
                    break;
                }
            }
        }
        assert_eq!(whole.clone().map(|(_, reply)| reply), single);
        if let Ok((used, Some(reply))) = &whole {
            let trailing = [wire, b"250 next\r\n"].concat();
            assert_eq!(ReplyParser::default().handle(&trailing), Ok((*used, Some(reply.clone()))));
        }
        whole.map(|(_, reply)| reply)
    }

    fn printed(wire: &str) -> String {
        parse(wire.as_bytes()).unwrap().unwrap().to_string()
    }

    #[test]
    fn reads_replies() {
        assert_eq!(printed("250 OK\r\n"), "250 OK");
        assert_eq!(printed("250 2.1.0 OK\r\n"), "250 2.1.0 OK");
        assert_eq!(printed("250-2.1.0 one\r\n250 2.1.0 two\r\n"), "250 2.1.0 one / two");
        assert_eq!(printed("250-2.1.0 one\r\n250 two\r\n"), "250 2.1.0 one / two");
        assert_eq!(printed("550 5.1.1\r\n"), "550 5.1.1 ");
        // An enhanced code of another class is text.
        assert_eq!(printed("550 2.1.1 odd\r\n"), "550 2.1.1 odd");
    }

    /// Rows N162, N173: the code alone is a reply.
    #[test]
    fn reads_the_code_alone() {
        assert_eq!(printed("250\r\n"), "250 ");
        assert_eq!(printed("250 \r\n"), "250 ");
        assert_eq!(printed("250-\r\n250\r\n"), "250  / ");
    }

    /// Rows N168, N189: codes that nobody listed are read by their first digit.
    #[test]
    fn reads_unlisted_codes() {
        for (wire, class) in [("299 x", Class::Positive), ("399 x", Class::Intermediate), ("499 x", Class::Transient)] {
            assert_eq!(parse(format!("{wire}\r\n").as_bytes()).unwrap().unwrap().class(), class);
        }
    }

    use crate::reply::Class;

    /// Rows N166, N170, N176.
    #[test]
    fn refuses_what_is_no_reply() {
        for (wire, error) in [
            (&b"hello\r\n"[..], ReplyError::Malformed),
            (b"25\r\n", ReplyError::Malformed),
            (b"\r\n", ReplyError::Malformed),
            (b"2500 x\r\n", ReplyError::Malformed),
            (b"250_x\r\n", ReplyError::Malformed),
            (b"150 x\r\n", ReplyError::Code),
            (b"650 x\r\n", ReplyError::Code),
            (b"099 x\r\n", ReplyError::Code),
            (b"250-a\r\n251 b\r\n", ReplyError::DifferentCodes),
            (b"250 a\n", ReplyError::BareLineFeed),
        ] {
            assert_eq!(parse(wire), Err(error), "{wire:?}");
        }
    }

    #[test]
    fn what_has_come_of_a_reply() {
        let mut parser = ReplyParser::default();
        for (wire, unfinished) in [
            (&b"250-fir"[..], ""),
            (b"250-first\r\n", "250-first"),
            (b"250-\xff\r\n250 thi", "250-first; 250-\\xff"),
            (b"250 third\r\n550-other\r\n", ""),
            (b"550-other\r\n", "550-other"),
        ] {
            parser.handle(wire).unwrap();
            assert_eq!(parser.unfinished(), unfinished, "{wire:?}");
        }
        // What broke the reply is no part of it.
        assert_eq!(parser.handle(b"551 another\r\n"), Err(ReplyError::DifferentCodes));
        assert_eq!(parser.unfinished(), "550-other");
    }

    #[test]
    fn terminal_escapes_are_shown_as_text() {
        assert_eq!(printed("250 \u{1b}[31mred\u{7}\r\n"), "250 \\x1b[31mred\\x07");
    }

    #[test]
    fn bounds_hold() {
        let line = |octets: usize| [b"250 ".to_vec(), vec![b'a'; octets - 6], b"\r\n".to_vec()].concat();
        let limit = limits::RECEIVED_REPLY_LINE_OCTETS;
        assert!(ReplyParser::default().handle(&line(limit)).is_ok());
        assert_eq!(ReplyParser::default().handle(&line(limit + 1)), Err(ReplyError::TooLong));
        assert_eq!(ReplyParser::default().handle(&line(1000 * limit)[..500 * limit]), Err(ReplyError::TooLong));
        let lines = |count: usize| [b"250-a\r\n".repeat(count - 1), b"250 a\r\n".to_vec()].concat();
        let limit = limits::RECEIVED_REPLY_LINES;
        assert!(ReplyParser::default().handle(&lines(limit)).is_ok());
        assert_eq!(ReplyParser::default().handle(&lines(limit + 1)), Err(ReplyError::TooLong));
        assert_eq!(ReplyParser::default().handle(&lines(1000 * limit)), Err(ReplyError::TooLong));
        let long_lines = [b"250-".to_vec(), vec![b'a'; 4000], b"\r\n".to_vec()].concat().repeat(17);
        assert_eq!(ReplyParser::default().handle(&long_lines), Err(ReplyError::TooLong));
    }

    /// The bounds are those of one reply, not of all that a connection ever carries.
    #[test]
    fn bounds_begin_anew_with_each_reply() {
        let mut parser = ReplyParser::default();
        let reply = [b"250-".to_vec(), vec![b'a'; 4000], b"\r\n250 OK\r\n".to_vec()].concat();
        for number in 0..2 * limits::RECEIVED_REPLY_LINES {
            let (used, found) = parser.handle(&reply).unwrap();
            assert!(used == reply.len() && found.is_some(), "reply {number}");
        }
    }
}
