//! How octets are written on the lines of a conversation, and read back, octet for octet.

use std::fmt;
use std::io::{self, Write};

use smtp_proto::printable::is_steering;

use super::Problem;

/// Writes one line of a conversation: who speaks, and what.
pub fn write_line(output: &mut impl Write, who: &str, octets: &[u8]) -> io::Result<()> {
    let (text, end) = match octets.strip_suffix(b"\r\n") {
        Some(text) => (text, ""),
        None => (octets, "\\"),
    };
    // Nobody sees a space at the end of a line, and many an editor takes it away.
    let (text, last) = match text.strip_suffix(b" ") {
        Some(text) if end.is_empty() => (text, "\\x20"),
        _ => (text, ""),
    };
    let space = if text.is_empty() && last.is_empty() && end.is_empty() { "" } else { " " };
    writeln!(output, "{who}:{space}{}{last}{end}", Escaped(text))
}

/// Octets with all that is no visible text escaped.
struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '\\' => f.write_str("\\\\")?,
                    character if is_steering(character) => escape(character.encode_utf8(&mut [0; 4]).as_bytes(), f)?,
                    character => write!(f, "{character}")?,
                }
            }
            escape(chunk.invalid(), f)?;
        }
        Ok(())
    }
}

fn escape(octets: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    octets.iter().try_for_each(|octet| write!(f, "\\x{octet:02x}"))
}

/// Reads what stands behind `C:` or `S:`. The octets end in CRLF unless a backslash took it away.
pub(super) fn read(text: &str) -> Result<Vec<u8>, Problem> {
    let mut rest = text.strip_prefix(' ').unwrap_or(text);
    if let Some(control) = rest.chars().find(|character| character.is_control()) {
        return Err(Problem::Control(control));
    }
    let mut octets = Vec::with_capacity(rest.len() + 2);
    while let Some((plain, behind)) = rest.split_once('\\') {
        octets.extend_from_slice(plain.as_bytes());
        if behind.is_empty() {
            return Ok(octets);
        }
        let (octet, behind) = match behind.strip_prefix('\\') {
            Some(behind) => (b'\\', behind),
            None => hexadecimal(behind).ok_or(Problem::Backslash)?,
        };
        octets.push(octet);
        rest = behind;
    }
    octets.extend_from_slice(rest.as_bytes());
    octets.extend_from_slice(b"\r\n");
    Ok(octets)
}

/// Reads `xNN`.
fn hexadecimal(text: &str) -> Option<(u8, &str)> {
    let (digits, rest) = text.strip_prefix('x')?.split_at_checked(2)?;
    let is_number = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    Some((u8::from_str_radix(digits, 16).ok().filter(|_| is_number)?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(octets: &[u8]) -> String {
        let mut output = Vec::new();
        write_line(&mut output, "C", octets).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn octets_and_how_they_are_written() {
        for (octets, line) in [
            (&b"QUIT\r\n"[..], "C: QUIT"),
            (b"\r\n", "C:"),
            (b"", "C: \\"),
            (b"QUIT", "C: QUIT\\"),
            (b"QUIT\n", "C: QUIT\\x0a\\"),
            (b"a\rb\n\r\r\n", "C: a\\x0db\\x0a\\x0d"),
            (b"  two spaces in front\r\n", "C:   two spaces in front"),
            (b"-- \r\n", "C: --\\x20"),
            (b" \r\n", "C: \\x20"),
            (b" ", "C:  \\"),
            (b"\\\r\n", "C: \\\\"),
            (b"\\", "C: \\\\\\"),
            (b"\\x41\r\n", "C: \\\\x41"),
            ("Γεια, 例え\r\n".as_bytes(), "C: Γεια, 例え"),
            (b"\xce\r\n", "C: \\xce"),
            (b"\0\t\x1b\x7f\xff\r\n", "C: \\x00\\x09\\x1b\\x7f\\xff"),
            // What steers a terminal or deceives the eye.
            ("\u{85}\u{202e}\u{feff}\r\n".as_bytes(), "C: \\xc2\\x85\\xe2\\x80\\xae\\xef\\xbb\\xbf"),
        ] {
            assert_eq!(written(octets), format!("{line}\n"));
            assert_eq!(read(line.strip_prefix("C:").unwrap()).unwrap(), octets, "{line}");
        }
    }

    #[test]
    fn other_ways_to_write_the_same() {
        for (text, octets) in [
            ("QUIT", &b"QUIT\r\n"[..]),
            (" \\x4A\\x4a", b"JJ\r\n"),
            (" \\xce\\xb1", b"\xce\xb1\r\n"),
            (" a ", b"a \r\n"),
        ] {
            assert_eq!(read(text).unwrap(), octets, "{text}");
        }
    }

    #[test]
    fn what_is_no_notation() {
        for text in ["\\q", "\\x", "\\x4", "\\x4g", "\\x+4", "\\X41", "\\xé", "a\\ b", "\\\\\\q"] {
            assert!(matches!(read(text), Err(Problem::Backslash)), "{text}");
        }
        for text in ["\t", "a\rb", "\u{85}", "\0"] {
            assert!(matches!(read(text), Err(Problem::Control(_))), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_come_back(octets: Vec<u8>) {
            let line = written(&octets);
            prop_assert_eq!(line.matches('\n').count(), 1);
            prop_assert_eq!(read(line.trim_end_matches('\n').strip_prefix("C:").unwrap()).unwrap(), octets);
        }

        /// Any text is either refused or means octets that are written in one way.
        #[test]
        fn any_text_is_read_or_refused(text in "[ -~\\\\x0-9a-f\\PC]{0,40}") {
            if let Ok(octets) = read(&text) {
                let line = written(&octets);
                prop_assert_eq!(read(line.trim_end_matches('\n').strip_prefix("C:").unwrap()).unwrap(), octets);
            }
        }
    }
}
