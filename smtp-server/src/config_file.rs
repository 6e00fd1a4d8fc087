//! The configuration file: the options of the command line, one a line, without the dashes.
//!
//! ```text
//! # The mail host of example.org
//! listen 0.0.0.0:25
//! listen [::]:25
//! domain example.org
//! recipients recipients.txt
//! ```
//!
//! The value is the rest of the line; `#` begins a comment only at the start of a line; paths are relative to the file.
//! Each line is read by the parser of the command line, so there is one grammar and one set of messages.

use std::path::Path;

use argh::FromArgs;

use crate::exit::{self, Failure};
use crate::options::Options;
use crate::setup;

/// Adds what the file named by `--config` says to what the command line says. The command line replaces the file, lists
/// included.
pub(crate) fn complete(options: Options) -> Result<Options, Failure> {
    let Some(path) = &options.config else { return Ok(options) };
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(exit::CONFIG, format!("{}: {error}", path.display())))?;
    let from_file = parse(&text, path.parent().unwrap_or(Path::new("")))
        .map_err(|(line, error)| Failure::new(exit::CONFIG, format!("{}:{line}: {error}", path.display())))?;
    Ok(merge(options, from_file))
}

/// Settings whose value is a path.
const PATHS: [&str; 2] = ["spool", "recipients"];

/// Reads the text of a file. An error names the line, from 1: what has been read so far is parsed again with each line
/// that is added, so an error belongs to the line that brought it, also when it is a setting given twice.
fn parse(text: &str, directory: &Path) -> Result<Options, (usize, String)> {
    let mut words: Vec<String> = Vec::new();
    let mut options = Options::default();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at_line = |error: String| (number + 1, error);
        words.extend(setting(line, directory).map_err(at_line)?);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        options = Options::from_args(&["smtp-server"], &words)
            .map_err(|early| at_line(early.output.trim().replace('\n', "; ")))?;
        setup::check_values(&options).map_err(|failure| at_line(failure.text))?;
    }
    Ok(options)
}

/// A line as words of the command line.
fn setting(line: &str, directory: &Path) -> Result<[String; 2], String> {
    let (name, value) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let value = value.trim();
    let is_setting = !matches!(name, "config" | "check" | "help") && !name.starts_with('-');
    if !is_setting {
        return Err(format!("\"{}\" is no setting", name.escape_default()));
    }
    if value.is_empty() {
        return Err(format!("{} has no value", name.escape_default()));
    }
    let value = match PATHS.contains(&name) {
        true => directory.join(value).to_str().map(str::to_owned).ok_or("the file's folder is not UTF-8")?,
        false => value.to_owned(),
    };
    Ok([format!("--{name}"), value])
}

/// What `first` says, and what `second` says about the rest.
fn merge(first: Options, second: Options) -> Options {
    fn list<T>(first: Vec<T>, second: Vec<T>) -> Vec<T> {
        if first.is_empty() { second } else { first }
    }
    Options {
        listen: list(first.listen, second.listen),
        hostname: first.hostname.or(second.hostname),
        domain: list(first.domain, second.domain),
        spool: first.spool.or(second.spool),
        recipients: first.recipients.or(second.recipients),
        deliver: first.deliver.or(second.deliver),
        keep_max_bytes: first.keep_max_bytes.or(second.keep_max_bytes),
        threads: first.threads.or(second.threads),
        max_connections_per_ip: first.max_connections_per_ip.or(second.max_connections_per_ip),
        max_message_size: first.max_message_size.or(second.max_message_size),
        max_recipients: first.max_recipients.or(second.max_recipients),
        accept_bare_lf: list(first.accept_bare_lf, second.accept_bare_lf),
        user: first.user.or(second.user),
        group: first.group.or(second.group),
        config: first.config,
        check: first.check,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Options, (usize, String)> {
        parse(text, Path::new("/etc/smtp"))
    }

    #[test]
    fn reads_settings_and_keeps_lists_together() {
        let text =
            "# mail\n\nlisten 0.0.0.0:25\r\n listen\t[::]:25 \nspool queue dir\nrecipients /abs/list # no comment\n";
        let options = read(text).unwrap();
        assert_eq!(options.listen, ["0.0.0.0:25".parse().unwrap(), "[::]:25".parse().unwrap()]);
        assert_eq!(options.spool, Some("/etc/smtp/queue dir".into()));
        assert_eq!(options.recipients, Some("/abs/list # no comment".into()));
    }

    #[test]
    fn an_error_names_its_line() {
        for (text, line) in [
            ("threads 4\nthreads 5\n", 2),
            ("listen here\n", 1),
            ("# c\nthread 4\n", 2),
            ("threads\n", 1),
            ("threads many\n", 1),
            ("hostname a\nthreads 0\n", 2),
            ("max-message-size 65535\n", 1),
            ("max-recipients 99\n", 1),
            ("max-connections-per-ip 0\n", 1),
            ("config other\n", 1),
            ("check x\n", 1),
            ("--threads 4\n", 1),
            ("relay mx\n", 1),
        ] {
            assert_eq!(read(text).map(|_| ()).map_err(|(line, _)| line), Err(line), "{text:?}");
        }
    }

    #[test]
    fn the_command_line_replaces_the_file_lists_included() {
        let file = read("listen 0.0.0.0:25\nlisten [::]:25\nthreads 4\nmax-message-size 99999\n").unwrap();
        let line = read("listen 127.0.0.1:1\nthreads 7\n").unwrap();
        let both = merge(line, file);
        assert_eq!(both.listen, ["127.0.0.1:1".parse().unwrap()]);
        assert_eq!((both.threads, both.max_message_size), (Some(7), Some(99_999)));
    }
}
