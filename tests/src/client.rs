//! The `smtp-client` program, run to its end.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::processes::program;

/// The program with these words, without input, its output to be read.
pub fn command(arguments: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(program("smtp-client"));
    command.args(arguments).env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the program to its end, with this on its standard input.
pub fn run_with_input(arguments: &[impl AsRef<OsStr>], input: &[u8]) -> Output {
    let mut child = command(arguments).stdin(Stdio::piped()).spawn().expect("the program can be started");
    let mut standard_input = child.stdin.take().expect("it was asked for");
    // A program that has found its mistake earlier reads no more.
    let _ = standard_input.write_all(input);
    drop(standard_input);
    child.wait_with_output().expect("it is ours")
}

/// Runs the program to its end, without input.
pub fn run(arguments: &[impl AsRef<OsStr>]) -> Output {
    run_with_input(arguments, b"")
}

/// `send` to this server.
pub fn send(server: &str, arguments: &[&str], input: &[u8]) -> Output {
    let all: Vec<&str> = ["send", "--server", server].iter().chain(arguments).copied().collect();
    run_with_input(&all, input)
}

/// The exit code.
pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{output:?}"))
}

/// Standard error.
pub fn errors(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("it writes UTF-8")
}

/// Standard output.
pub fn answers(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("it writes UTF-8")
}

/// One line on standard error, which holds all of these, and nothing on standard output.
pub fn check_complaint(output: &Output, wanted: &[&str]) {
    check_error(output, wanted);
    assert!(output.stdout.is_empty(), "{output:?}");
}

/// This exit code, and one line on standard error, which holds all of these.
pub fn check_failure(output: &Output, expected: i32, wanted: &[&str]) {
    assert_eq!(code(output), expected, "{output:?}");
    check_error(output, wanted);
}

fn check_error(output: &Output, wanted: &[&str]) {
    let text = errors(output);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("smtp-client: "), "{text}");
    for wanted in wanted {
        assert!(text.contains(wanted), "{wanted:?} is not in {text:?}");
    }
}

/// Writes a file. Returns its path.
pub fn write_file(folder: &Path, name: &str, octets: &[u8]) -> String {
    let path: PathBuf = folder.join(name);
    fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("a folder");
    fs::write(&path, octets).expect("a file");
    path.into_os_string().into_string().expect("UTF-8")
}
