//! Text from disk on its way to a terminal: nothing in it may steer the terminal or feign a line.

use std::fmt;

/// Prints a text with what does something, instead of showing something, as `\u{..}`. `smtp-client` has the same rule.
pub(crate) struct Printable<'a>(pub(crate) &'a str);

/// Whether a character does something instead of showing something: control characters, the line separators of Unicode, marks that reverse the order of what is shown, and other format
/// characters, which nobody sees.
pub(crate) fn is_steering(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0001}'..='\u{e007f}'
        )
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match is_steering(character) {
            true => write!(f, "{}", character.escape_unicode()),
            false => write!(f, "{character}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_letters_and_hides_commands() {
        for (text, shown) in [
            ("<müller@example.org>", "<müller@example.org>"),
            ("a\u{1b}[2J\r\nb", "a\\u{1b}[2J\\u{d}\\u{a}b"),
            ("\u{9b}31m\u{202e}\u{2028}\u{200b}", "\\u{9b}31m\\u{202e}\\u{2028}\\u{200b}"),
        ] {
            assert_eq!(Printable(text).to_string(), shown);
        }
    }
}
