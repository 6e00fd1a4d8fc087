//! What `--user` and the options beside it say together, and where the password comes from: a file, a program, or the
//! environment. Never the command line, which every user of the host can read.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use smtp_client::login::{Login, PasswordError, password_in};
use smtp_client::proto::sasl::Mechanism;
use smtp_client::proto::sasl::client::Credentials;
use smtp_client::proto::secret::Secret;
use smtp_client::tls::TlsMode;

use crate::exit;
use crate::messages::Stopped;

/// Where a password is looked for if no option says where.
const VARIABLE: &str = "SMTP_PASSWORD";

/// What was said.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoginWishes {
    pub(crate) user: Option<String>,
    pub(crate) password_file: Option<PathBuf>,
    pub(crate) password_command: Option<String>,
    pub(crate) auth: Option<Mechanism>,
    pub(crate) insecure_auth: bool,
}

impl LoginWishes {
    /// Fetches the password, if anybody is to log in.
    pub(crate) fn login(&self) -> Result<Option<Login>, Stopped> {
        let usage = |text: &str| Err((exit::USAGE, text.to_owned()));
        let Some(user) = &self.user else {
            let is_given = self.password_file.is_some()
                || self.password_command.is_some()
                || self.auth.is_some()
                || self.insecure_auth;
            return match is_given {
                true => usage("--password-file, --password-command, --auth and --insecure-auth want --user"),
                false => Ok(None),
            };
        };
        let secret = match (&self.password_file, &self.password_command) {
            (Some(_), Some(_)) => return usage("--password-file and --password-command say two different things"),
            (Some(path), None) => smtp_client::login::read_password(path)
                .map_err(|error| (of_password_error(&error), format!("--password-file {}: {error}", path.display())))?,
            (None, Some(command)) => {
                said_by(command).map_err(|(code, text)| (code, format!("--password-command {command:?}: {text}")))?
            }
            (None, None) => match std::env::var_os(VARIABLE) {
                Some(value) => Secret::new(value.into_encoded_bytes()),
                None => {
                    return usage(
                        "--user wants a password: add --password-file or --password-command, or set SMTP_PASSWORD",
                    );
                }
            },
        };
        let credentials = Credentials { name: user.clone(), secret };
        Ok(Some(Login { credentials, mechanism: self.auth, in_clear: self.insecure_auth }))
    }

    /// How much TLS is meant where nothing is said of it: who tells a password wants to know to whom.
    pub(crate) fn default_mode(&self) -> TlsMode {
        if self.user.is_some() && !self.insecure_auth { TlsMode::Require } else { TlsMode::default() }
    }
}

fn of_password_error(error: &PasswordError) -> u8 {
    match error {
        PasswordError::Io(error) => exit::of_io_error(error),
        PasswordError::Empty | PasswordError::SeveralLines => exit::DATA,
    }
}

/// What a program writes to its standard output. The rest it may say to the terminal, and ask there.
fn said_by(command: &str) -> Result<Secret, Stopped> {
    let output = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| (exit::IO, error.to_string()))?;
    if !output.status.success() {
        return Err((exit::IO, format!("it failed: {}", output.status)));
    }
    password_in(Secret::new(output.stdout)).map_err(|error| (of_password_error(&error), error.to_string()))
}

pub(crate) fn mechanism(text: &str) -> Result<Mechanism, String> {
    Mechanism::find(text).ok_or_else(|| {
        let names: Vec<String> = Mechanism::ALL.iter().map(|mechanism| mechanism.name().to_ascii_lowercase()).collect();
        format!("write one of {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes(user: &str) -> LoginWishes {
        LoginWishes { user: Some(user.to_owned()), ..LoginWishes::default() }
    }

    #[test]
    fn where_the_password_comes_from() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        std::fs::write(&path, "secret \r\n").unwrap();
        let by_file = LoginWishes { password_file: Some(path.clone()), ..wishes("ann") };
        let by_command = |command: &str| LoginWishes { password_command: Some(command.to_owned()), ..wishes("ann") };
        for (wishes, expected) in [
            (LoginWishes::default(), Ok(None)),
            (by_file.clone(), Ok(Some("secret "))),
            (by_command("printf 'secret\\n'"), Ok(Some("secret"))),
            (by_command("echo secret; exit 3"), Err(exit::IO)),
            (by_command("true"), Err(exit::DATA)),
            (by_command("printf 'a\\nb\\n'"), Err(exit::DATA)),
            (LoginWishes { password_command: Some("true".into()), ..by_file.clone() }, Err(exit::USAGE)),
            (LoginWishes { user: None, ..by_file }, Err(exit::USAGE)),
            (LoginWishes { insecure_auth: true, ..LoginWishes::default() }, Err(exit::USAGE)),
            (LoginWishes { password_file: Some("/nowhere/x".into()), ..wishes("ann") }, Err(exit::NO_INPUT)),
        ] {
            let login = wishes.login();
            let secret = login
                .as_ref()
                .map_err(|(code, _)| *code)
                .map(|login| login.as_ref().map(|login| login.credentials.secret.expose_text().unwrap()));
            assert_eq!(secret, expected, "{wishes:?}");
        }
    }

    #[test]
    fn who_tells_a_password_wants_to_know_to_whom() {
        assert_eq!(LoginWishes::default().default_mode(), TlsMode::Try);
        assert_eq!(wishes("ann").default_mode(), TlsMode::Require);
        assert_eq!(LoginWishes { insecure_auth: true, ..wishes("ann") }.default_mode(), TlsMode::Try);
    }
}
