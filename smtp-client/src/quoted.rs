//! How a value that a peer has chosen stands in a log line: between quotes, and a quote inside is written twice.
//!
//! `RCPT TO:<"a status=kept"@example.org>` is logged as `to="<""a status=kept""@example.org>"`, so that no address can look
//! like a key of the line. A backslash is no help against that here: an address may hold backslashes of its own, which all
//! lines show as they are ([`crate::logging`]), and nobody could tell ours from those.

use std::fmt::{self, Write as _};

/// A value in quotes.
pub struct Quoted<T>(pub T);

impl<T: fmt::Display> fmt::Display for Quoted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        write!(Doubling(f), "{}", self.0)?;
        f.write_char('"')
    }
}

/// Passes a text on with each quote twice.
struct Doubling<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Doubling<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Texts come in short pieces, most of them without a quote, for which this is the quickest way to look.
        if !text.bytes().any(|octet| octet == b'"') {
            return self.0.write_str(text);
        }
        let mut parts = text.split('"');
        self.0.write_str(parts.next().unwrap_or_default())?;
        parts.try_for_each(|part| {
            self.0.write_str("\"\"")?;
            self.0.write_str(part)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_inside_does_not_end_the_value() {
        for (value, quoted) in [
            ("", r#""""#),
            ("<a@b>", r#""<a@b>""#),
            (r#"<"a status=kept"@b>"#, r#""<""a status=kept""@b>""#),
            (r#""a\" b\\"@b"#, r#""""a\"" b\\""@b""#),
        ] {
            assert_eq!(Quoted(value).to_string(), quoted);
        }
    }
}
