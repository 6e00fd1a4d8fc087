//! The workshop: what one does with this project, as `cargo xtask TASK`.
//!
//! One task is one file with one `run`. What they share is in [`workshop`]: processes that do not outlive their owner,
//! directories that remove themselves, messages that can be told apart, a count of what went well.

// To print is what a task is for.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod workshop;
mod demo;
mod test;
mod ci;
mod tidy;
mod requirements;
mod interop;
mod torture;
mod load;
mod bench;
mod certs;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask TASK [OPTION]...

tasks, the one to begin with first:
  demo      starts a server, sends real mail to it and explains what is said, line by line
  demo relay  two servers: one waits for the other, delivers, and reports what cannot be delivered
  test      runs every test of the workspace; what follows goes to `cargo test`
  ci        what must pass before a change goes in: format, tidy, clippy, test, documentation  [--without-tests]
  tidy      the house rules that a program can check; a part of ci
  requirements  holds docs/requirements.md against the code and the tests; a part of ci  [--write]
  interop   our server and our client against swaks, curl, msmtp, Python, Postfix, Exim, Dovecot and dnsmasq
  torture   kills, power cuts, full disks: is everything there that was acknowledged?  [--quick]
  certs     an authority and a server's certificate for trying TLS out, into target/certs  [DIR]
  load      10,000 messages, a large one, 1,000 idle connections, a full pool; with figures  [WORD]...
  bench     our server and client beside those of others, in turns  [--quick] [--rounds N] [--write] [WORD]...
  bench micro  parts of the path of a message, each alone

interop and torture skip what is not installed, and say so; with --require-all, or CI=true in the environment, whatever
is skipped counts as failed. Debian does not install Exim beside Postfix: it may lie unpacked in target/peers/exim, where
.ci/run puts it.
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let (task, options) = match words.split_first() {
        Some((task, options)) => (task.as_str(), options),
        None => ("", &[][..]),
    };
    let result = match task {
        "demo" => demo::run(options),
        "test" => test::run(options),
        "ci" => ci::run(options),
        "tidy" => tidy::run(options),
        "requirements" => requirements::run(options),
        "interop" => interop::run(options),
        "torture" => torture::run(options),
        "load" => load::run(options),
        "bench" => bench::run(options),
        "certs" => certs::run(options),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask {task}: {failure}");
            ExitCode::FAILURE
        }
    }
}
