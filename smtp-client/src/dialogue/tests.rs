//! Conversations and what is read from them; mistakes and where they are found.

use std::io::Cursor;

use proptest::prelude::*;

use super::*;

fn read(text: impl AsRef<[u8]>) -> Result<Dialogue<Cursor<Vec<u8>>>, DialogueError> {
    Dialogue::read(Cursor::new(text.as_ref().to_vec()))
}

fn steps(text: &str) -> Vec<(usize, Step)> {
    let mut dialogue = read(text).unwrap();
    dialogue.steps().unwrap().map(Result::unwrap).collect()
}

fn say(octets: &[u8]) -> Step {
    Step::Say(octets.to_vec())
}

fn lines(step: &Step) -> Vec<String> {
    match step {
        Step::Hear(expected) => expected.lines.iter().map(|line| String::from_utf8(line.clone()).unwrap()).collect(),
        step => panic!("{step:?}"),
    }
}

#[test]
fn a_conversation_step_by_step() {
    let text = "\
# The title
# More.

S: 220-mx
# Within a reply.
S: 220 ready
C: EHLO client.example
C: QUIT\\
C:
S: 250 mx

S: 221
== another
S: 421 ...
";
    let steps = steps(text);
    let numbers: Vec<usize> = steps.iter().map(|(line, _)| *line).collect();
    assert_eq!(numbers, [4, 7, 8, 9, 10, 12, 13, 14]);
    assert_eq!(lines(&steps[0].1), ["220-mx", "220 ready"]);
    assert_eq!(
        [&steps[1].1, &steps[2].1, &steps[3].1],
        [&say(b"EHLO client.example\r\n"), &say(b"QUIT"), &say(b"\r\n")]
    );
    assert_eq!(lines(&steps[4].1), ["250 mx"]);
    assert_eq!(lines(&steps[5].1), ["221"]);
    assert_eq!(steps[6].1, Step::Connect);
    assert_eq!(lines(&steps[7].1), ["421 ..."]);
    assert_eq!(read(text).unwrap().title(), Some("The title"));
}

#[test]
fn comments_and_line_ends_change_nothing() {
    let with_crlf = steps("# t\r\nC: a\r\n\r\nC: b\r\n");
    assert_eq!(with_crlf.iter().map(|(_, step)| step).collect::<Vec<_>>(), [&say(b"a\r\n"), &say(b"b\r\n")]);
    assert_eq!(steps("C: a"), [(1, say(b"a\r\n"))]);
    assert_eq!(steps(""), []);
    assert_eq!(read("C: a\n").unwrap().title(), None);
    assert_eq!(read("C: a\n#late\n# later\n").unwrap().title(), Some("late"));
}

#[test]
fn mistakes_are_named_with_their_lines() {
    for (text, line, wanted) in [
        (&b"# t\n\nhello\n"[..], 3, "neither with C: nor"),
        (b" C: a\n", 1, "neither with C: nor"),
        (b"C: a\nc: b\n", 2, "neither with C: nor"),
        (b"C: a\nC: \\q\n", 2, "backslash"),
        (b"C: a\tb\n", 1, "\\x09"),
        (b"C: \xff\n", 1, "not UTF-8"),
        (b"S: hello\n", 1, "three-digit code"),
        (b"S: 650 a\n", 1, "between 200 and 599"),
        (b"S: 250-a\nS: 251 b\n", 2, "different codes"),
        (b"S: 250 a\\x0ab\n", 1, "LF without CR"),
        (b"S: 250 a\\x0d\\x0a250 b\n", 1, "LF without CR"),
        (b"S: 250 a\\\n", 1, "not complete"),
        (b"S: 250-a\nC: b\n", 2, "not complete"),
        (b"S: 250-a\n==\n", 2, "not complete"),
        (b"C: a\nS: 250-a\n", 2, "not complete"),
    ] {
        let error = read(text).unwrap_err();
        assert_eq!(error.line, line, "{}: {error}", text.escape_ascii());
        assert!(error.to_string().contains(wanted), "{}: {error}", text.escape_ascii());
    }
}

/// At the bound, one above, and far above.
#[test]
fn lines_of_the_file_are_bounded() {
    let line = |octets: usize| format!("C: {}\n", "a".repeat(octets - 4));
    assert!(read(line(LINE_OCTETS)).is_ok());
    for octets in [LINE_OCTETS + 1, 20 * LINE_OCTETS] {
        assert!(matches!(read(line(octets)), Err(DialogueError { line: 1, problem: Problem::TooLong })));
    }
    let endless = read("S: 250-a\n".repeat(1_000)).unwrap_err();
    assert!(matches!(endless.problem, Problem::NoReply(ReplyError::TooLong)), "{endless}");
}

#[test]
fn files_and_what_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.txt");
    std::fs::write(&path, "# t\nC: a\n").unwrap();
    assert_eq!(Dialogue::open(&path).unwrap().steps().unwrap().count(), 1);
    for path in [folder.path(), &folder.path().join("missing")] {
        assert!(matches!(Dialogue::open(path).unwrap_err().problem, Problem::Io(_)));
    }
}

proptest! {
    /// Whatever a file holds, it is read, or refused with one of its lines.
    #[test]
    fn any_file_is_read_or_refused(
        pieces in proptest::collection::vec("[CS]: ?|==|#|250[ -]|\\\\|x4|\r?\n|\\PC", 0..40),
        end: Vec<u8>,
    ) {
        let file = [pieces.concat().as_bytes(), &end].concat();
        let lines = file.split(|octet| *octet == b'\n').count();
        match read(&file) {
            Ok(mut dialogue) => {
                let is_within = |step: Result<(usize, Step), _>| step.is_ok_and(|(line, _)| line <= lines);
                prop_assert!(dialogue.steps().unwrap().all(is_within));
            }
            Err(error) => prop_assert!((1..=lines).contains(&error.line), "{error}"),
        }
    }
}
