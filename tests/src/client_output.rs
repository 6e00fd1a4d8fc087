//! What the client tool said, and with which code it ended.

use std::process::Output;

use crate::processes::run;

/// Runs `smtp-client` to its end, without input.
pub fn smtp_client(words: &[&str]) -> Output {
    run("smtp-client", words)
}

/// The exit code.
pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{output:?}"))
}

/// Standard output.
pub fn answers(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("it writes UTF-8")
}

/// Standard error.
pub fn errors(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("it writes UTF-8")
}

/// This exit code, and one line on standard error, which holds all of these.
pub fn check_complaint(output: &Output, expected: i32, wanted: &[&str]) {
    let text = errors(output);
    assert_eq!(code(output), expected, "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("smtp-client: "), "{text}");
    for wanted in wanted {
        assert!(text.contains(wanted), "{wanted:?} is not in {text:?}");
    }
}
