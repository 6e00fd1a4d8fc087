//! `smtp-server hash-password`: a line for the list of users, from a password on standard input.

use std::io::{self, Read as _, Write as _};

use smtp_server::proto::sasl::prepare_name;
use smtp_server::proto::secret::Secret;
use smtp_server::users::{self, Scheme, Users};

use crate::exit::{self, Failure};
use crate::options::HashPassword;

/// A password that has more is a file that was meant for something else.
const MOST_OCTETS: u64 = 4_096;

/// Reads the password up to the end of its line and prints the user's line.
pub(crate) fn run(command: &HashPassword) -> Result<u8, Failure> {
    let mut octets = Vec::new();
    io::stdin()
        .take(MOST_OCTETS + 1)
        .read_to_end(&mut octets)
        .map_err(|error| Failure::new(exit::IO, format!("standard input: {error}")))?;
    let is_too_long = octets.len() as u64 > MOST_OCTETS;
    let password = Secret::new(octets).without_line_end();
    if is_too_long || password.expose().contains(&b'\n') {
        return Err(Failure::new(exit::DATA, "standard input: write one line, which is the password"));
    }
    let line = line(&command.user, &password, command.scheme.unwrap_or(Scheme::Argon2id))?;
    writeln!(io::stdout(), "{line}").map_err(|error| Failure::new(exit::IO, format!("standard output: {error}")))?;
    Ok(0)
}

fn line(user: &str, password: &Secret, scheme: Scheme) -> Result<String, Failure> {
    let name = prepare_name(user).map_err(|error| Failure::new(exit::USAGE, format!("the user's name: {error}")))?;
    let hash =
        users::hash(password, scheme).map_err(|error| Failure::new(exit::DATA, format!("the password: {error}")))?;
    let line = format!("{name}:{hash}");
    // A name may hold what has a meaning in the list, or what is lost there.
    match Users::parse(&line) {
        Ok(_) if line.trim_start().len() == line.len() => Ok(line),
        _ => Err(Failure::new(exit::USAGE, "the user's name must hold no colon, and not begin with # or a space")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_the_list_takes() {
        let password = Secret::new("secret");
        for scheme in [Scheme::Argon2id, Scheme::ScramSha256] {
            let line = line("ann@example.org", &password, scheme).unwrap();
            assert!(line.starts_with(&format!("ann@example.org:{{{}}}", scheme.name())), "{line}");
            assert!(Users::parse(&line).unwrap().has_password("ann@example.org", &password));
        }
        for user in ["", "#ann", " ann", "a:b", "\u{7}"] {
            assert_eq!(line(user, &password, Scheme::ScramSha256).map_err(|failure| failure.code), Err(exit::USAGE));
        }
        assert_eq!(line("ann", &Secret::new(""), Scheme::ScramSha256).map_err(|failure| failure.code), Err(exit::DATA));
    }
}
