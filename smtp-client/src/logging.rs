//! The log lines of the tools: one event, one line, and nobody outside can forge one.
//!
//! What a peer sends ends up in log messages. A line break in it would begin a line that looks like ours, an escape
//! sequence would steer the terminal of whoever reads it; so everything that is not printable ASCII is escaped here, in
//! the one place through which every line goes.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write as _;

use smtp_proto::printable::is_printable_ascii;

/// The line of an accepted message has some 200.
const USUAL_OCTETS: usize = 256;

/// Starts logging to standard error. `RUST_LOG` chooses the level and the modules (`debug`, `smtp_server=debug`);
/// without it, `default_level` is used.
pub fn start(default_level: log::LevelFilter) {
    env_logger::Builder::new()
        .filter_level(default_level)
        .parse_default_env()
        .format(|output, record| {
            let mut line = String::with_capacity(USUAL_OCTETS);
            // It fails only if the value that is printed says so; what there is of the line is better than none.
            let _ = write!(line, "{} {:<5} {}", output.timestamp_millis(), record.level(), record.args());
            output.write_all(escape(&line).as_bytes())?;
            output.write_all(b"\n")
        })
        .init();
}

/// Escapes everything but printable ASCII. Backslashes stay: what was escaped before, such as a reply of a server, is not
/// escaped again.
pub fn escape(text: &str) -> Cow<'_, str> {
    if is_printable_ascii(text.as_bytes()) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            ' '..='~' => escaped.push(character),
            _ => escaped.extend(character.escape_unicode()),
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_begins_a_line_or_steers_a_terminal() {
        for hostile in ["a\r\nb", "\u{1b}[2J", "\0", "\u{85}", "\u{2028}", "\u{7f}", "\u{e9}"] {
            let escaped = escape(hostile);
            assert!(escaped.bytes().all(|octet| (b' '..=b'~').contains(&octet)), "{escaped}");
        }
        assert_eq!(escape("550 \\x1b[2J\n"), "550 \\x1b[2J\\u{a}");
    }
}
