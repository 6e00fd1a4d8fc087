//! How the demo looks on the screen.

use std::io::IsTerminal;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::explain::meaning;
use crate::workshop::scratch::Scratch;

/// Lines of a file that are shown from its beginning, and from its end.
const SHOWN_LINES: usize = 14;

/// A heading.
pub(super) fn scene(title: &str) {
    static COUNT: AtomicUsize = AtomicUsize::new(1);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    println!("\n\n{number}. {title}\n{}\n", "=".repeat(title.len() + 3));
}

/// A sentence to the reader.
pub(super) fn say(text: &str) {
    println!("{text}");
}

/// What is typed, without the directories that only get in the way.
pub(super) fn command_line(command: &Command, scratch: &Scratch) {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy();
    let scratch = format!("{}/", scratch.path().display());
    let words = command.get_args().map(|word| word.to_string_lossy().replace(&scratch, ""));
    let words: Vec<String> = std::iter::once(program.into_owned()).chain(words).collect();
    println!("\n    $ {}", words.join(" "));
}

/// What a program printed, or what is in a file.
pub(super) fn output(lines: &[String]) {
    for line in lines {
        println!("    {line}");
    }
    println!();
}

/// A dialogue with a word under each line; nothing but `C:` and `S:` lines is shown.
pub(super) fn dialogue(octets: &[u8]) {
    part_of_dialogue(octets, "", "nothing ends it early");
}

/// The part of a dialogue from the first line that begins like this, up to the one that begins like that.
pub(super) fn part_of_dialogue(octets: &[u8], from: &str, to: &str) {
    let text = String::from_utf8_lossy(octets);
    let lines = text.lines().filter(|line| line.starts_with("C: ") || line.starts_with("S: "));
    let mut said: Vec<&str> = Vec::new();
    println!();
    for line in lines.skip_while(|line| !line.starts_with(from)).take_while(|line| !line.starts_with(to)) {
        println!("    {}", emphasised(line));
        let meaning = meaning(line);
        // What was said once in a dialogue need not be said again.
        if !meaning.is_empty() && !said.contains(&meaning) {
            println!("         {meaning}");
            said.push(meaning);
        }
    }
    println!();
}

/// Bold, if a person is looking.
fn emphasised(line: &str) -> String {
    if std::io::stdout().is_terminal() { format!("\x1b[1m{line}\x1b[0m") } else { line.to_owned() }
}

/// Octets with visible line ends; of a long file the beginning and the end.
pub(super) fn octets(octets: &[u8]) {
    println!();
    let lines: Vec<&[u8]> = octets.split_inclusive(|octet| *octet == b'\n').collect();
    let hidden = lines.len().saturating_sub(2 * SHOWN_LINES);
    for (place, line) in lines.iter().enumerate() {
        if hidden > 0 && place == SHOWN_LINES {
            println!("    ... {hidden} more lines ...");
        }
        if hidden == 0 || place < SHOWN_LINES || place >= SHOWN_LINES + hidden {
            println!("    {}", line.escape_ascii().to_string().replace("\\\"", "\"").replace("\\'", "'"));
        }
    }
    println!();
}
