//! Words from outside on their way into a report: made printable, bounded, and folded into lines.

/// Where a line is broken if it can be: below the 78 of RFC 5322, 2.1.1, so that there is room for a `>` before it in an
/// answer.
const COLUMNS: usize = 72;

/// Where a line is broken even if it cannot be; RFC 5322, 2.1.1 has 998.
const COLUMNS_AT_MOST: usize = 900;

/// Characters of an id in a report: so the boundary keeps below the 70 that it may have (RFC 2046, 5.1.1).
const ID_CHARACTERS: usize = 50;

/// Stands where something was left out.
const CUT: &str = " [...]";

/// The letters, digits and hyphens of an id.
pub(super) fn id(id: &str) -> String {
    id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(ID_CHARACTERS).collect()
}

/// A text as printable ASCII, everything else escaped, cut to so many octets. Escaped once is escaped: a backslash stays.
pub(super) fn printable(text: &str, octets: usize) -> String {
    let (mut printable, mut end_if_cut) = (String::new(), 0);
    for character in text.chars() {
        match character {
            ' '..='~' => printable.push(character),
            _ => printable.extend(character.escape_default()),
        }
        if printable.len() > octets {
            printable.truncate(end_if_cut);
            printable.push_str(CUT);
            break;
        }
        if printable.len() + CUT.len() <= octets {
            end_if_cut = printable.len();
        }
    }
    printable
}

/// Appends a text without line breaks, folded: a line is broken before a space, which the indentation of the next line
/// stands for. What is unfolded with an indentation of one space is what it was (RFC 5322, 2.2.3).
///
/// A word that is longer than any line may be is broken in the middle: nonsense, or an address beyond ASCII in its longest
/// spelling, which holds no space, so that a reader can undo that, too.
pub(super) fn fold(output: &mut String, column: usize, text: &str, indentation: &str) {
    let mut column = column;
    let break_line = |output: &mut String, column: &mut usize| {
        output.push_str("\r\n");
        output.push_str(indentation);
        *column = indentation.len();
    };
    for (place, word) in text.split(' ').enumerate() {
        let is_too_long = column + " ".len() + word.len() > COLUMNS;
        match (place, word.is_empty()) {
            (0, _) => {}
            // A line of nothing but spaces would end the fields (RFC 5322, 2.1).
            (_, true) if column >= COLUMNS_AT_MOST => {}
            (_, false) if is_too_long => break_line(output, &mut column),
            _ => {
                output.push(' ');
                column += 1;
            }
        }
        for character in word.chars() {
            if column + character.len_utf8() > COLUMNS_AT_MOST {
                break_line(output, &mut column);
            }
            output.push(character);
            column += character.len_utf8();
        }
    }
}

/// Appends a field of a header section or of the machine's part.
pub(super) fn field(output: &mut String, name: &str, value: &str) {
    output.push_str(name);
    output.push_str(": ");
    fold(output, name.len() + ": ".len(), value, " ");
    output.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::strategies;

    fn folded(text: &str) -> String {
        let mut output = String::new();
        fold(&mut output, 0, text, " ");
        output
    }

    #[test]
    fn bounds() {
        for (text, octets, printed) in [
            ("abc", 3, "abc"),
            ("123456789", 9, "123456789"),
            ("1234567890", 9, "123 [...]"),
            ("a\r\nb\u{1b}\u{e9}\\", 100, "a\\r\\nb\\u{1b}\\u{e9}\\"),
            // Cut before an escape, never inside.
            ("12\u{10ffff}4567890123", 13, "12 [...]"),
        ] {
            assert_eq!(printable(text, octets), printed);
        }
        assert_eq!(printable(&"x".repeat(1 << 20), 1_000).len(), 1_000);
        assert_eq!(id("a-1\r\n\"; ü"), "a-1");
        assert_eq!(id(&"x".repeat(1_000)).len(), ID_CHARACTERS);
    }

    #[test]
    fn folds_before_spaces() {
        let word = "x".repeat(40);
        assert_eq!(folded(&format!("{word} {word} {word}")), format!("{word}\r\n {word}\r\n {word}"));
        let long = "x".repeat(COLUMNS_AT_MOST);
        assert_eq!(folded(&long), long);
        assert_eq!(folded(&format!("{long}y")), format!("{long}\r\n y"));
        assert_eq!(folded(&" ".repeat(5_000)).len(), COLUMNS_AT_MOST);
    }

    proptest! {
        /// Row X091: one field stays one field, whatever is in it.
        #[test]
        fn a_field_is_one_field(text in strategies::hostile_text(), repeated in 1_usize..100) {
            let text = printable(&text.repeat(repeated), 2_000);
            prop_assert!(text.len() <= 2_000);
            let mut output = String::new();
            field(&mut output, "Name", &text);
            let mut lines = output.strip_suffix("\r\n").unwrap().split("\r\n");
            prop_assert!(lines.next().unwrap().starts_with("Name: "));
            prop_assert!(lines.all(|line| line.starts_with(' ') && !line.trim().is_empty()));
            prop_assert!(output.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])));
        }

        #[test]
        fn unfolding_gives_it_back(text in "[ -~]{0,200}") {
            prop_assert_eq!(folded(&text).replace("\r\n", ""), text);
        }
    }
}
