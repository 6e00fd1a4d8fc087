//! Text on its way to a terminal: letters of all languages stay, what would steer the terminal or deceive the eye is shown
//! as `\u{..}`.

use std::fmt;

/// Prints a text with what does something, instead of showing something, escaped.
pub struct Printable<'a>(pub &'a str);

/// Whether a character does something instead of showing something: control characters, the line separators of Unicode,
/// marks that reverse the order of what is shown, and other format characters, which nobody sees.
pub fn is_steering(character: char) -> bool {
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

/// Whether all octets are printable ASCII, space included. Nearly every line is, in every log, command and reply, so this looks
/// at all octets alike, without a way out at the first that is none: that is done for many of them at a time.
pub fn is_printable_ascii(octets: &[u8]) -> bool {
    octets.iter().fold(true, |is_printable, octet| is_printable & matches!(octet, b' '..=b'~'))
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
    fn printable_ascii_is_what_stands_between_space_and_tilde() {
        for octet in 0..=u8::MAX {
            let expected = octet == b' ' || octet.is_ascii_graphic();
            for place in [0, 39, 79] {
                let mut octets = [b'a'; 80];
                octets[place] = octet;
                assert_eq!(is_printable_ascii(&octets), expected, "{octet} at {place}");
            }
        }
        assert!(is_printable_ascii(b""));
    }

    #[test]
    fn shows_letters_and_hides_commands() {
        for (text, shown) in [
            ("<m\u{fc}ller@\u{4f8b}\u{3048}.example>", "<m\u{fc}ller@\u{4f8b}\u{3048}.example>"),
            ("a\u{1b}[2J\r\nb", "a\\u{1b}[2J\\u{d}\\u{a}b"),
            ("\u{9b}31m\u{202e}\u{2028}\u{200b}\u{feff}", "\\u{9b}31m\\u{202e}\\u{2028}\\u{200b}\\u{feff}"),
            // Escaped once is escaped.
            ("550 \\x1b[31m", "550 \\x1b[31m"),
        ] {
            assert_eq!(Printable(text).to_string(), shown);
            assert_eq!(Printable(shown).to_string(), shown);
        }
    }
}
