//! What a server answers: three digits, perhaps an enhanced code, and text (RFC 5321, 4.2; RFC 2034; RFC 3463).
//!
//! A client decides by the first digit and nothing else (RFC 5321, 4.3.2). The text is for people: whatever is put into it
//! is escaped to printable ASCII and cut into lines of at most [`limits::REPLY_LINE_OCTETS`], so that nothing a peer sent
//! can end a line early and look like a second reply.

use std::borrow::Cow;
use std::fmt;

use crate::limits;
use crate::printable::is_printable_ascii;

/// A reply, the same type for the server that writes it and the client that reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: Code,
    enhanced: Option<EnhancedCode>,
    lines: Vec<Cow<'static, str>>,
}

/// A reply code from 200 to 599.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Code(u16);

/// What the first digit says (RFC 5321, 4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 2yz: done.
    Positive,
    /// 3yz: go on, more is needed.
    Intermediate,
    /// 4yz: not now; the same may work later.
    Transient,
    /// 5yz: no; the same will not work later either.
    Permanent,
}

/// `class.subject.detail` of RFC 3463, the finer reason that a program can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnhancedCode {
    /// 2, 4 or 5: the same as the reply code's first digit (RFC 2034, 4).
    pub class: u8,
    /// What the status is about: 1 addressing, 2 mailbox, 3 mail system, 4 network, 5 protocol, 6 content, 7 policy.
    pub subject: u16,
    /// The status itself.
    pub detail: u16,
}

impl Code {
    /// A code, if it is one that SMTP has: "first digit MUST be 2 to 5" (RFC 5321, 4.2).
    pub fn new(number: u16) -> Option<Self> {
        (200..=599).contains(&number).then_some(Code(number))
    }

    /// A code that is written in the program: a wrong number does not compile.
    pub const fn literal<const NUMBER: u16>() -> Self {
        const { assert!(NUMBER >= 200 && NUMBER <= 599) };
        Code(NUMBER)
    }

    /// The three digits as a number.
    pub fn number(self) -> u16 {
        self.0
    }

    /// What the first digit says.
    pub fn class(self) -> Class {
        match self.0 / 100 {
            2 => Class::Positive,
            3 => Class::Intermediate,
            4 => Class::Transient,
            _ => Class::Permanent,
        }
    }
}

impl EnhancedCode {
    /// `class.subject.detail`
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        EnhancedCode { class, subject, detail }
    }

    /// Whether it may stand behind this code: the same class, never 3, and numbers of at most three digits.
    pub(crate) fn fits(self, code: Code) -> bool {
        let is_valid = matches!(self.class, 2 | 4 | 5) && self.subject <= 999 && self.detail <= 999;
        is_valid && u16::from(self.class) == code.0 / 100
    }

    /// Reads `5.1.1`: no leading zeros, at most three digits each (RFC 3463, 2).
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(|part| {
            let is_number = (1..=3).contains(&part.len()) && part.bytes().all(|digit| digit.is_ascii_digit());
            (is_number && (part == "0" || !part.starts_with('0'))).then(|| part.parse().ok()).flatten()
        });
        let (class, subject, detail) = (parts.next()??, parts.next()??, parts.next()??);
        let is_whole = parts.next().is_none() && matches!(class, 2 | 4 | 5);
        is_whole.then_some(EnhancedCode { class: class as u8, subject, detail })
    }
}

impl Reply {
    /// A reply with a text. A line break in the text begins another line of the reply; everything else that is not
    /// printable ASCII is escaped.
    ///
    /// An enhanced code of another class than the code's, or one on a 3yz reply, would be a lie (RFC 2034, 4): it is
    /// left out.
    pub fn new(code: Code, enhanced: Option<EnhancedCode>, text: impl Into<Cow<'static, str>>) -> Self {
        let enhanced = enhanced.filter(|enhanced| enhanced.fits(code));
        Reply { code, enhanced, lines: printable_lines(text.into()) }
    }

    /// A reply that is written in the program: `Reply::literal::<550>(7, 1, "No")` is `550 5.7.1 No`. A wrong code does not
    /// compile, and the enhanced code is of the same class by construction.
    pub fn literal<const CODE: u16>(subject: u16, detail: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Reply::new(Code::literal::<CODE>(), Some(EnhancedCode::new((CODE / 100) as u8, subject, detail)), text)
    }

    /// The three digits.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What the first digit says.
    pub fn class(&self) -> Class {
        self.code.class()
    }

    /// The enhanced code, if there is one.
    pub fn enhanced(&self) -> Option<EnhancedCode> {
        self.enhanced
    }

    /// The lines of text without codes, at least one, possibly empty.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(Cow::as_ref)
    }

    /// 2yz.
    pub fn is_positive(&self) -> bool {
        self.class() == Class::Positive
    }

    /// 4yz.
    pub fn is_transient(&self) -> bool {
        self.class() == Class::Transient
    }

    /// 421: the server closes the connection behind this reply (RFC 5321, 3.8). So does 521 (RFC 7504, 3).
    pub fn is_closing(&self) -> bool {
        matches!(self.code.0, 421 | 521)
    }

    /// Appends the reply as it goes over the wire.
    pub fn write_to(&self, output: &mut Vec<u8>) {
        for (number, line) in self.lines.iter().enumerate() {
            let is_last = number + 1 == self.lines.len();
            push_number(output, self.code.0);
            output.push(if is_last { b' ' } else { b'-' });
            if let Some(EnhancedCode { class, subject, detail }) = self.enhanced {
                for (number, behind) in [(u16::from(class), b'.'), (subject, b'.'), (detail, b' ')] {
                    push_number(output, number);
                    output.push(behind);
                }
            }
            output.extend_from_slice(line.as_bytes());
            output.extend_from_slice(b"\r\n");
        }
    }

    /// For the parser: lines that are already escaped.
    pub(crate) fn received(code: Code, enhanced: Option<EnhancedCode>, lines: Vec<String>) -> Self {
        Reply { code, enhanced, lines: lines.into_iter().map(Cow::Owned).collect() }
    }
}

/// In decimal. Every reply has up to four numbers, most of one digit, so this is worth more than the general way to print one.
fn push_number(output: &mut Vec<u8>, number: u16) {
    if number < 10 {
        return output.push(b'0' + number as u8);
    }
    let digits = [10_000, 1_000, 100, 10, 1].map(|place| b'0' + (number / place % 10) as u8);
    let start = digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len() - 1);
    output.extend_from_slice(digits.get(start..).unwrap_or_default());
}

/// Cuts a text into lines that fit with their codes, and escapes what is not printable ASCII.
fn printable_lines(text: Cow<'static, str>) -> Vec<Cow<'static, str>> {
    const TEXT_OCTETS: usize = limits::REPLY_LINE_OCTETS - "250-5.999.999 \r\n".len();
    let is_plain = |character: char| matches!(character, ' '..='~');
    if text.len() <= TEXT_OCTETS && is_printable_ascii(text.as_bytes()) {
        return vec![text];
    }
    let mut lines = Vec::new();
    for line in text.split('\n') {
        let mut escaped = String::new();
        for character in line.strip_suffix('\r').unwrap_or(line).chars() {
            let start = escaped.len();
            if is_plain(character) {
                escaped.push(character);
            } else {
                escaped.extend(character.escape_default());
            }
            if escaped.len() > TEXT_OCTETS {
                let overflow = escaped.split_off(start);
                lines.push(Cow::Owned(std::mem::replace(&mut escaped, overflow)));
            }
        }
        lines.push(Cow::Owned(escaped));
    }
    lines
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

impl fmt::Display for Reply {
    /// On one line, for logs and messages to people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.code.fmt(f)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        for (number, line) in self.lines.iter().enumerate() {
            f.write_str(if number == 0 { " " } else { " / " })?;
            f.write_str(line)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
