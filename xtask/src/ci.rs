//! `cargo xtask ci`: what must pass before a change goes in, the quickest first.

use crate::workshop::programs::cargo;
use crate::workshop::{Outcome, failure::fail};
use crate::{requirements, test, tidy};

/// Stops at the first step that fails. `--without-tests` is for who has just run them.
pub(crate) fn run(options: &[String]) -> Outcome {
    step("format", &["fmt", "--all", "--check"], &[])?;
    println!("== tidy");
    tidy::run(&[])?;
    println!("== requirements");
    requirements::run(&[])?;
    step("clippy", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])?;
    if !options.iter().any(|option| option == "--without-tests") {
        println!("== test");
        test::run(&[])?;
    }
    step("documentation", &["doc", "--workspace", "--no-deps"], &[("RUSTDOCFLAGS", "-Dwarnings")])?;
    println!("everything passed");
    Ok(())
}

fn step(name: &str, words: &[&str], variables: &[(&str, &str)]) -> Outcome {
    println!("== {name}: cargo {}", words.join(" "));
    if cargo(words, variables)?.success() { Ok(()) } else { fail(format!("{name} failed")) }
}
