//! When two replies count as the same.

use smtp_proto::reply::Reply;

use crate::dialogue::Expected;

/// How much of a reply must be as it stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Every line, up to a `...` at its end.
    Texts,
    /// The code, by which alone a client goes (RFC 5321, 4.2). Texts and the number of lines may differ: they hold names,
    /// ids and times that are never the same twice.
    Codes,
}

impl Comparison {
    /// Whether a reply, with its lines as they came, is the expected one.
    pub(super) fn is_same(self, expected: &Expected, lines: &[u8], reply: &Reply) -> bool {
        match self {
            Comparison::Codes => expected.reply.code() == reply.code(),
            Comparison::Texts => {
                let lines: Vec<&[u8]> = lines.split_inclusive(|octet| *octet == b'\n').collect();
                let is_like = |(line, expected): (&&[u8], &Vec<u8>)| {
                    let line = line.strip_suffix(b"\r\n").unwrap_or(line);
                    expected.strip_suffix(b"...").map_or(line == expected, |start| line.starts_with(start))
                };
                lines.len() == expected.lines.len() && lines.iter().zip(&expected.lines).all(is_like)
            }
        }
    }

    /// As much of a reply as is compared.
    pub(super) fn shown(self, reply: &Reply) -> String {
        match self {
            Comparison::Codes => reply.code().to_string(),
            Comparison::Texts => reply.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use smtp_proto::reply_parser::ReplyParser;

    use super::*;

    fn reply(lines: &str) -> Reply {
        ReplyParser::default().handle(lines.as_bytes()).unwrap().1.unwrap()
    }

    #[test]
    fn the_same_text_and_the_same_code() {
        for (expected, heard, is_same_text, is_same_code) in [
            ("250 2.1.0 OK\r\n", "250 2.1.0 OK\r\n", true, true),
            ("250 2.1.0 OK\r\n", "250 2.1.0 OK \r\n", false, true),
            ("250 OK\r\n", "250 ok\r\n", false, true),
            ("250 OK\r\n", "251 OK\r\n", false, false),
            ("250 ...\r\n", "250 anything\r\n", true, true),
            ("250 ...\r\n", "250\r\n", false, true),
            ("250 a...\r\n", "250 b\r\n", false, true),
            ("250 a...\r\n", "250 a...\r\n", true, true),
            ("250 a... b\r\n", "250 a b\r\n", false, true),
            ("250-a\r\n250 ...\r\n", "250-a\r\n250 c\r\n", true, true),
            ("250-a\r\n250 ...\r\n", "250-b\r\n250 c\r\n", false, true),
            ("250-a\r\n250 b\r\n", "250 a\r\n", false, true),
            ("250 a\r\n", "250-a\r\n250 b\r\n", false, true),
        ] {
            let lines = expected.lines().map(|line| line.as_bytes().to_vec()).collect();
            let as_written = Expected { lines, reply: reply(expected) };
            let is_same = |comparison: Comparison| comparison.is_same(&as_written, heard.as_bytes(), &reply(heard));
            assert_eq!(is_same(Comparison::Texts), is_same_text, "{expected:?} {heard:?}");
            assert_eq!(is_same(Comparison::Codes), is_same_code, "{expected:?} {heard:?}");
        }
    }
}
