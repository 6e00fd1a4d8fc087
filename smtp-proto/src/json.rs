//! The little JSON that the tools print (RFC 8259).

use std::fmt;

use crate::printable::is_steering;

/// A text as a JSON string, in quotes.
pub struct Text<'a>(pub &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for character in self.0.chars() {
            match character {
                '"' | '\\' => write!(f, "\\{character}")?,
                character if is_steering(character) => {
                    character.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(f, "\\u{unit:04x}"))?;
                }
                character => write!(f, "{character}")?,
            }
        }
        f.write_str("\"")
    }
}

/// Values with commas between them, in brackets.
pub struct Array<T>(pub Vec<T>);

impl<T: fmt::Display> fmt::Display for Array<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (place, value) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{value}")?;
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_must_be_and_what_a_terminal_would_obey() {
        for (text, json) in [
            ("", r#""""#),
            (r#"a"b\c"#, r#""a\"b\\c""#),
            ("\u{0}\n\u{1f}\u{7f}\u{9b}\u{202e}\u{e0041}", r#""\u0000\u000a\u001f\u007f\u009b\u202e\udb40\udc41""#),
            ("ü€😀", r#""ü€😀""#),
        ] {
            assert_eq!(Text(text).to_string(), json);
        }
        assert_eq!(Array(vec![1, 2]).to_string(), "[1,2]");
        assert_eq!(Array::<u8>(Vec::new()).to_string(), "[]");
    }
}
