//! Made-up messages that can be told apart, and the way back from what was stored to what was sent.

/// A message of about this many octets, as it travels: lines end in CRLF. Equal numbers make equal messages.
pub(crate) fn letter(number: u64, octets: usize) -> Vec<u8> {
    let mut text = format!(
        "From: Alice <alice@example.org>\r\nTo: Bob <bob@localhost>\r\nSubject: letter {number}\r\n\
         Message-ID: <{number}@example.org>\r\nDate: Sat, 22 Nov 2025 10:00:00 +0000\r\n\r\n"
    );
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while text.len() < octets {
        for _ in 0..7 {
            // xorshift: nothing depends on its quality, only that no two letters are alike.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text.push_str(&format!("{:010x}", state >> 24));
        }
        text.push_str("\r\n");
    }
    text.into_bytes()
}

/// A stored message without the `Received:` field that our server put on top (RFC 5321, 4.4). `None` if there is none.
pub(crate) fn without_trace(stored: &[u8]) -> Option<&[u8]> {
    stored.starts_with(b"Received: ").then(|| without_first_field(stored, b"\r\n")).flatten()
}

/// Everything behind the first field and its continuation lines.
pub(crate) fn without_first_field<'a>(octets: &'a [u8], line_end: &[u8]) -> Option<&'a [u8]> {
    let mut end = 0;
    loop {
        let rest = octets.get(end..)?;
        end += rest.windows(line_end.len()).position(|window| window == line_end)? + line_end.len();
        if !matches!(octets.get(end), Some(b' ' | b'\t')) {
            return octets.get(end..);
        }
    }
}

/// The same with CRLF for every LF.
pub(crate) fn with_crlf(octets: &[u8]) -> Vec<u8> {
    let lines: Vec<_> = octets.split(|octet| *octet == b'\n').collect();
    let lines: Vec<_> = lines.into_iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
    lines.join(&b"\r\n"[..])
}

/// The same with LF for every CRLF.
pub(crate) fn with_lf(octets: &[u8]) -> Vec<u8> {
    let lines: Vec<_> = octets.split(|octet| *octet == b'\n').collect();
    let lines: Vec<_> = lines.into_iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
    lines.join(&b"\n"[..])
}

/// Where two messages begin to differ, in words.
pub(crate) fn difference(expected: &[u8], found: &[u8]) -> String {
    let at = expected.iter().zip(found).take_while(|(expected, found)| expected == found).count();
    let around = |octets: &[u8]| {
        let start = at.saturating_sub(20).min(octets.len());
        octets.iter().skip(start).take(60).copied().collect::<Vec<_>>().escape_ascii().to_string()
    };
    format!(
        "{} octets expected, {} found; they differ from octet {at}: expected \"{}\", found \"{}\"",
        expected.len(),
        found.len(),
        around(expected),
        around(found)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_of_the_size_and_differ() {
        assert!((1024..1100).contains(&letter(1, 1024).len()));
        assert_eq!(letter(1, 2000), letter(1, 2000));
        assert_ne!(letter(1, 2000)[200..], letter(2, 2000)[200..]);
    }

    #[test]
    fn the_trace_field_goes_with_its_continuation_lines_and_nothing_else() {
        let stored = b"Received: from a\r\n\tby b\r\n\tfor c;\r\n\tnow\r\nSubject: x\r\n\r\nReceived: no\r\n";
        assert_eq!(without_trace(stored), Some(&b"Subject: x\r\n\r\nReceived: no\r\n"[..]));
        assert_eq!(without_trace(b"Received: from a\r\n\tby b\r\n"), Some(&b""[..]));
        assert_eq!(without_trace(b"Subject: x\r\n"), None);
        assert_eq!(without_trace(b"Received: from a"), None);
    }

    #[test]
    fn line_ends_there_and_back() {
        assert_eq!(with_crlf(b"a\nb\r\n\n"), b"a\r\nb\r\n\r\n");
        assert_eq!(with_lf(b"a\nb\r\n\r\n"), b"a\nb\n\n");
    }
}
