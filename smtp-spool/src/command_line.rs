//! What the command lines of the tools have in common: how they are read, and how a mistake is told.
//!
//! One line, in our words, with the option and the value in it; exit code 64. Help and version go to standard output.

use std::io::Write;
use std::process::ExitCode;

use argh::FromArgs;
use smtp_proto::printable::Printable;

/// EX_USAGE: the command line is wrong.
pub const USAGE: u8 = 64;

/// Reads the command line of `program`, whose first word may be a command, of which mistakes behind it then speak. `replace`
/// may put another word in the place of one that argh would not take; it is given the word before, too. What there is to say
/// instead of going on is said here; what comes back then is the exit code.
pub fn read_command<T: FromArgs>(
    program: &str,
    version: &str,
    is_command: fn(&str) -> bool,
    replace: impl for<'a> Fn(&str, &'a str) -> &'a str,
) -> Result<T, ExitCode> {
    read_words(program, version, is_command, |words| {
        for at in (0..words.len()).rev() {
            words[at] = replace(if at == 0 { "" } else { words[at - 1] }, words[at]);
        }
    })
}

/// The same for a program with an option of its own in front of its commands. It may stand behind them, too: who uses several
/// programs should not have to know which of them wants it where.
pub fn read_with_option<T: FromArgs>(
    program: &str,
    version: &str,
    is_command: fn(&str) -> bool,
    option: &str,
) -> Result<T, ExitCode> {
    read_words(program, version, is_command, |words| to_front(option, words))
}

/// Brings an option and its value to the front, where argh looks for it. What stands behind `--` is no option.
fn to_front(option: &str, words: &mut [&str]) {
    let options = words.iter().take_while(|word| **word != "--");
    let at = options.enumerate().filter(|(_, word)| **word == option).map(|(at, _)| at).last();
    // One without a value stays where it is, to be complained about.
    if let Some(found) = at.and_then(|at| words.get_mut(..at + 2)) {
        found.rotate_right(2);
    }
}

fn read_words<T: FromArgs>(
    program: &str,
    version: &str,
    is_command: fn(&str) -> bool,
    arrange: impl FnOnce(&mut [&str]),
) -> Result<T, ExitCode> {
    let words: Result<Vec<String>, _> = std::env::args_os().skip(1).map(|word| word.into_string()).collect();
    let words =
        words.map_err(|word| wrong(program, &format!("an argument is not UTF-8: {}", word.to_string_lossy())))?;
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    arrange(&mut words);
    if words == ["--version"] {
        return Err(say(&format!("{program} {version}")));
    }
    let command = match words.as_slice() {
        [option, _, command, ..] if option.starts_with("--") => Some(command),
        words => words.first(),
    };
    let command = command.filter(|word| is_command(word));
    let whose_help = command.map_or_else(|| program.to_owned(), |command| format!("{program} {command}"));
    T::from_args(&[program], &words).map_err(|early| match early.status {
        Ok(()) => say(early.output.trim_end()),
        Err(()) => wrong(program, &explain(&whose_help, &early.output)),
    })
}

/// Whoever closed standard output does not want to know.
fn say(text: &str) -> ExitCode {
    let _ = writeln!(std::io::stdout(), "{text}");
    ExitCode::SUCCESS
}

fn wrong(program: &str, text: &str) -> ExitCode {
    complain(program, text);
    ExitCode::from(USAGE)
}

/// Writes a line to standard error, with nothing in it that would steer a terminal. There is nobody left to tell if that
/// fails.
pub fn complain(program: &str, text: &str) {
    let _ = writeln!(std::io::stderr(), "{program}: {}", Printable(text));
}

/// What argh says about wrong words, in our form: `--threads "many": write a number`.
pub fn explain(program: &str, output: &str) -> String {
    let output = output.trim_end();
    let option = output.strip_prefix("Error parsing option '");
    let value = option.or_else(|| output.strip_prefix("Error parsing positional argument '")).and_then(|rest| {
        let (name, rest) = rest.split_once("' with value '")?;
        // No reason holds these marks, whatever the value does.
        let (value, reason) = rest.rsplit_once("': ")?;
        let reason = if reason == "duplicate values provided" { "given twice" } else { reason };
        Some(format!("{name} \"{value}\": {reason}"))
    });
    if let Some(text) = value {
        return text;
    }
    let text = match output.strip_prefix("One of the following subcommands must be present:") {
        Some(commands) => {
            let commands: Vec<_> = commands.split_whitespace().filter(|command| *command != "help").collect();
            format!("needs a command: {}", commands.join(", "))
        }
        None if output.starts_with("Required ") => {
            let (_, missing) = output.split_once(':').unwrap_or(("", output));
            format!("needs {}", missing.split_whitespace().collect::<Vec<_>>().join(", "))
        }
        None => output.replacen("Unrecognized", "unrecognized", 1).replacen("No value", "no value", 1),
    };
    format!("{}; see {program} --help", text.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_of_the_program_behind_its_command() {
        for (words, expected) in [
            ("list --spool a", "--spool a list"),
            ("show --envelope --spool a x", "--spool a show --envelope x"),
            ("--spool a list", "--spool a list"),
            ("--spool a list --spool b", "--spool b --spool a list"),
            ("list --spool", "list --spool"),
            ("show -- --spool a", "show -- --spool a"),
            ("", ""),
        ] {
            let mut words: Vec<&str> = words.split_whitespace().collect();
            to_front("--spool", &mut words);
            assert_eq!(words.join(" "), expected);
        }
    }

    #[test]
    fn mistakes_on_one_line_and_in_our_words() {
        for (output, expected) in [
            ("Error parsing option '--to' with value 'a': b': no address\n", "--to \"a': b\": no address"),
            (
                "Error parsing option '--spool' with value 'b': duplicate values provided\n",
                "--spool \"b\": given twice",
            ),
            (
                "One of the following subcommands must be present:\n    help\n    send\n",
                "needs a command: send; see tool --help",
            ),
            ("Error parsing positional argument 'address' with value 'a': b': no\n", "address \"a': b\": no"),
            ("Required positional arguments not provided:\n    host\n    file\n", "needs host, file; see tool --help"),
            ("Unrecognized argument: --x\n", "unrecognized argument: --x; see tool --help"),
            ("No value provided for option '--to'.\n", "no value provided for option '--to'; see tool --help"),
        ] {
            assert_eq!(explain("tool", output), expected);
        }
    }
}
