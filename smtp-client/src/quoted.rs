//! How a value that a peer has chosen stands in a log line: between quotes, and a quote inside is written twice.
//!
//! `RCPT TO:<"a status=kept"@example.org>` is logged as `to="<""a status=kept""@example.org>"`, so that no address can look
//! like a key of the line. A backslash is no help against that here: an address may hold backslashes of its own, which all
//! lines show as they are ([`crate::logging`]), and nobody could tell ours from those.

use std::fmt;

/// A value in quotes.
pub struct Quoted<T>(pub T);

impl<T: fmt::Display> fmt::Display for Quoted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.to_string().replace('"', "\"\""))
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
