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
//! The value is the rest of the line; a comment stands on a line of its own, and ` #` in a value is refused; paths are
//! relative to the file. Each line is read by the parser of the command line, so there is one grammar and one set of
//! messages.

use std::path::Path;

use argh::FromArgs;
use smtp_client::command_line;

use crate::PROGRAM;
use crate::exit::{self, Failure};
use crate::options::Options;
use crate::setup;

/// All settings, and what the errors of those call them that are looked at only later.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) options: Options,
    /// Settings that name a file, with the configuration file and the line that say so, if it was not the command line.
    named_at: Vec<(String, String)>,
}

impl Settings {
    /// A file, as the person who named it did: `--recipients list` or `c.conf:1: recipients list`.
    pub(crate) fn name_of(&self, setting: &str, path: &Path) -> String {
        let place = self.named_at.iter().find(|(named, _)| named == setting).map(|(_, place)| place.clone());
        place.unwrap_or_else(|| format!("--{setting} {}", path.display()))
    }
}

impl From<Options> for Settings {
    fn from(options: Options) -> Self {
        Settings { options, named_at: Vec::new() }
    }
}

/// Adds what the file named by `--config` says to what the command line says. The command line replaces the file, lists
/// included.
pub(crate) fn complete(options: Options) -> Result<Settings, Failure> {
    setup::check_values(&options).map_err(|error| Failure::new(exit::USAGE, format!("--{error}")))?;
    let Some(path) = &options.config else { return Ok(options.into()) };
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(exit::CONFIG, format!("--config {name}: {error}")))?;
    let mut file = parse(&text, path.parent().unwrap_or(Path::new("")))
        .map_err(|(line, error)| Failure::new(exit::CONFIG, format!("{name}:{line}: {error}")))?;
    file.named_at.retain(|(setting, _)| match setting.as_str() {
        "recipients" => options.recipients.is_none(),
        "aliases" => options.aliases.is_none(),
        "tls-cert" => options.tls_cert.is_none(),
        "tls-key" => options.tls_key.is_none(),
        "users" => options.users.is_none(),
        "relay-ca-file" => options.relay_ca_file.is_none(),
        "relay-password-file" => options.relay_password_file.is_none(),
        "tls-policy" => options.tls_policy.is_none(),
        _ => true,
    });
    let named_at = file.named_at.into_iter().map(|(setting, place)| (setting, format!("{name}:{place}"))).collect();
    Ok(Settings { options: merge(options, file.options), named_at })
}

/// Settings whose value is a path.
const PATHS: [&str; 9] = [
    "spool",
    "recipients",
    "aliases",
    "tls-cert",
    "tls-key",
    "users",
    "relay-ca-file",
    "relay-password-file",
    "tls-policy",
];

/// What stands before a path in the value of `deliver`.
const PATH_PREFIXES: [&str; 2] = ["maildir:", "lmtp:unix:"];

/// Reads the text of a file. An error names the line, from 1: what has been read so far is parsed again with each line
/// that is added, so an error belongs to the line that brought it, also when it is a setting given twice.
fn parse(text: &str, directory: &Path) -> Result<Settings, (usize, String)> {
    let mut words: Vec<String> = Vec::new();
    let mut settings = Settings::default();
    // Some editors mark a file as UTF-8 with an octet order mark.
    for (number, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at_line = |error: String| (number + 1, error);
        let [option, value] = setting(line, directory).map_err(at_line)?;
        let name = option.trim_start_matches("--");
        if PATHS.contains(&name) {
            settings.named_at.push((name.to_owned(), format!("{}: {line}", number + 1)));
        }
        words.extend([option, value]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        settings.options =
            Options::from_args(&["smtp-server"], &words).map_err(|early| at_line(explain(line, &early.output)))?;
        setup::check_values(&settings.options).map_err(at_line)?;
        setup::check_listeners(&settings.options).map_err(at_line)?;
    }
    Ok(settings)
}

/// What argh says, in the words of a file.
fn explain(line: &str, output: &str) -> String {
    match output.starts_with("Unrecognized argument") {
        true => no_setting(name_and_value(line).0),
        false => command_line::explain(PROGRAM, output).trim_start_matches("--").to_owned(),
    }
}

fn no_setting(name: &str) -> String {
    format!("\"{name}\" is no setting")
}

fn name_and_value(line: &str) -> (&str, &str) {
    let (name, value) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    (name, value.trim())
}

/// A line as words of the command line.
fn setting(line: &str, directory: &Path) -> Result<[String; 2], String> {
    let (name, value) = name_and_value(line);
    if matches!(name, "config" | "check" | "allow-plaintext-auth") {
        return Err(format!("\"{name}\" stands on the command line only"));
    }
    if name == "help" || name.starts_with('-') {
        return Err(no_setting(name));
    }
    if value.is_empty() {
        return Err(format!("\"{name}\" has no value"));
    }
    // Else a directory of that name is made.
    if value.starts_with('=') {
        return Err(format!("{name}: write the value without ="));
    }
    if line.contains(" #") || line.contains("\t#") {
        return Err(format!("{name}: comments stand on lines of their own"));
    }
    let prefix = PATH_PREFIXES.into_iter().find(|prefix| name == "deliver" && value.starts_with(prefix));
    let value = match value.split_at(prefix.map_or(0, str::len)) {
        (prefix, path) if !prefix.is_empty() || PATHS.contains(&name) => {
            let path = directory.join(path);
            format!("{prefix}{}", path.to_str().ok_or("the file's folder is not UTF-8")?)
        }
        _ => value.to_owned(),
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
        listen_tls: list(first.listen_tls, second.listen_tls),
        listen_submission: list(first.listen_submission, second.listen_submission),
        listen_submissions: list(first.listen_submissions, second.listen_submissions),
        users: first.users.or(second.users),
        allow_plaintext_auth: first.allow_plaintext_auth,
        tls_cert: first.tls_cert.or(second.tls_cert),
        tls_key: first.tls_key.or(second.tls_key),
        relay_tls: first.relay_tls.or(second.relay_tls),
        relay_ca_file: first.relay_ca_file.or(second.relay_ca_file),
        relay_user: first.relay_user.or(second.relay_user),
        relay_password_file: first.relay_password_file.or(second.relay_password_file),
        tls_policy: first.tls_policy.or(second.tls_policy),
        hostname: first.hostname.or(second.hostname),
        domain: list(first.domain, second.domain),
        spool: first.spool.or(second.spool),
        recipients: first.recipients.or(second.recipients),
        aliases: first.aliases.or(second.aliases),
        relay: first.relay.or(second.relay),
        relay_from: list(first.relay_from, second.relay_from),
        deliver: first.deliver.or(second.deliver),
        dns: list(first.dns, second.dns),
        retry_after: first.retry_after.or(second.retry_after),
        warn_after: first.warn_after.or(second.warn_after),
        give_up_after: first.give_up_after.or(second.give_up_after),
        keep_max_bytes: first.keep_max_bytes.or(second.keep_max_bytes),
        threads: first.threads.or(second.threads),
        max_connections_per_ip: first.max_connections_per_ip.or(second.max_connections_per_ip),
        max_message_size: first.max_message_size.or(second.max_message_size),
        max_recipients: first.max_recipients.or(second.max_recipients),
        max_messages_per_connection: first.max_messages_per_connection.or(second.max_messages_per_connection),
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
        parse(text, Path::new("/etc/smtp")).map(|settings| settings.options)
    }

    #[test]
    fn reads_settings_and_keeps_lists_together() {
        let text =
            "\u{feff}# mail\n\nlisten 0.0.0.0:25\r\n listen\t[::]:25 \nspool queue dir\nrecipients /abs/list#1\n";
        let options = read(text).unwrap();
        assert_eq!(options.listen, ["0.0.0.0:25".parse().unwrap(), "[::]:25".parse().unwrap()]);
        assert_eq!(options.spool, Some("/etc/smtp/queue dir".into()));
        assert_eq!(options.recipients, Some("/abs/list#1".into()));
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
            ("max-messages-per-connection 0\n", 1),
            ("max-connections-per-ip 0\n", 1),
            ("config other\n", 1),
            ("check x\n", 1),
            ("--threads 4\n", 1),
            ("relay nowhere\n", 1),
            ("relay-from here\n", 1),
        ] {
            assert_eq!(read(text).map(|_| ()).map_err(|(line, _)| line), Err(line), "{text:?}");
        }
    }

    #[test]
    fn an_error_says_what_is_wrong() {
        for (text, expected) in [
            ("lisen 0.0.0.0:25\n", "\"lisen\" is no setting"),
            ("--threads 4\n", "\"--threads\" is no setting"),
            ("check x\n", "\"check\" stands on the command line only"),
            ("spool = mail\n", "spool: write the value without ="),
            ("threads\n", "\"threads\" has no value"),
            ("threads 4 # a few\n", "threads: comments stand on lines of their own"),
            ("spool\t# where\n", "spool: comments stand on lines of their own"),
            ("threads 0\n", "threads \"0\": it must be from 1 to 8192"),
            ("threads 4\nthreads 5\n", "threads \"5\": given twice"),
            ("listen [::]:25\nlisten [::]:25\n", "listen \"[::]:25\": given twice"),
            ("listen [::]:25\nlisten-tls [::]:25\n", "listen-tls \"[::]:25\": given twice"),
            ("max-message-size 10MB\n", "max-message-size \"10MB\": write a number of octets"),
            ("max-message-size 9\n", "max-message-size \"9\": it must be at least 65536"),
        ] {
            assert_eq!(read(text).map(|_| ()).map_err(|(_, error)| error), Err(expected.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn the_command_line_replaces_the_file_lists_included() {
        let file = read(
            "listen 0.0.0.0:25\nlisten [::]:25\nthreads 4\nmax-message-size 99999\nmax-messages-per-connection 3\n",
        );
        let file = file.unwrap();
        let line = read("listen 127.0.0.1:1\nthreads 7\n").unwrap();
        let both = merge(line, file);
        assert_eq!(both.listen, ["127.0.0.1:1".parse().unwrap()]);
        assert_eq!((both.threads, both.max_message_size), (Some(7), Some(99_999)));
        assert_eq!(both.max_messages_per_connection, Some(3));
    }
}
