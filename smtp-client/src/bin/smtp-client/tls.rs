//! What `--tls`, `--ca-file` and `--tls-pin` say together.

use std::path::PathBuf;

use smtp_client::proto::json::Text;
use smtp_client::tls::{Pin, PinError, Secured, TlsMode, TlsModeError, TlsOptions, Trust};

use crate::exit;
use crate::messages::Stopped;

/// What was said. Whoever names whom to trust wants no mail to go to others.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsWishes {
    pub(crate) mode: Option<TlsMode>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) pin: Option<Pin>,
}

impl TlsWishes {
    /// Reads the file of authorities, if there is one. `default` is what is meant where nothing is said at all.
    pub(crate) fn options(&self, default: TlsMode) -> Result<TlsOptions, Stopped> {
        let usage = |text: &str| Err((exit::USAGE, text.to_owned()));
        let is_trust_given = self.ca_file.is_some() || self.pin.is_some();
        let mode = self.mode.unwrap_or(if is_trust_given { TlsMode::Require } else { default });
        let trust = match (&self.ca_file, self.pin) {
            (Some(_), Some(_)) => {
                return usage("--tls-pin stands in the place of all authorities; leave out --ca-file");
            }
            _ if mode == TlsMode::None && is_trust_given => {
                return usage("there is nobody to trust with --tls none; leave out --ca-file and --tls-pin");
            }
            (None, Some(_)) if mode == TlsMode::Try => {
                return usage("--tls try takes any key; with --tls-pin, say --tls require or implicit");
            }
            (None, Some(pin)) => Trust::pinned(pin),
            (Some(path), None) => Trust::only(path).map_err(|error| (exit::NO_INPUT, format!("--ca-file {error}")))?,
            (None, None) => Trust::system(),
        };
        Ok(TlsOptions { mode, trust })
    }

    pub(crate) fn is_given(&self) -> bool {
        self.mode.is_some() || self.ca_file.is_some() || self.pin.is_some()
    }
}

pub(crate) fn mode(text: &str) -> Result<TlsMode, String> {
    text.parse().map_err(|_: TlsModeError| format!("write {}", TlsMode::FORMS))
}

pub(crate) fn pin(text: &str) -> Result<Pin, String> {
    text.parse().map_err(|_: PinError| "write the 64 hexadecimal digits of a SHA-256".to_owned())
}

/// An object of JSON.
pub(crate) fn object(secured: &Secured) -> String {
    let problem = secured.verified.as_ref().err().map_or("null".to_owned(), |problem| Text(problem).to_string());
    format!(
        r#"{{"version":{},"cipher":{},"verified":{},"problem":{problem}}}"#,
        Text(secured.version),
        Text(&secured.cipher),
        secured.verified.is_ok(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes() {
        let pin = Some("00".repeat(32).parse().unwrap());
        let missing = Some(PathBuf::from("/nowhere/ca.pem"));
        let with = |mode: &str, ca_file: &Option<PathBuf>, pin| TlsWishes {
            mode: mode.parse().ok(),
            ca_file: ca_file.clone(),
            pin,
        };
        for (wishes, expected) in [
            (with("", &None, None), Ok(TlsMode::Try)),
            (with("none", &None, None), Ok(TlsMode::None)),
            (with("", &None, pin), Ok(TlsMode::Require)),
            (with("implicit", &None, pin), Ok(TlsMode::Implicit)),
            (with("try", &None, pin), Err(exit::USAGE)),
            (with("none", &None, pin), Err(exit::USAGE)),
            (with("none", &missing, None), Err(exit::USAGE)),
            (with("", &missing, pin), Err(exit::USAGE)),
            (with("try", &missing, None), Err(exit::NO_INPUT)),
        ] {
            let options = wishes.options(TlsMode::Try).map(|options| options.mode).map_err(|(code, _)| code);
            assert_eq!(options, expected, "{wishes:?}");
        }
    }
}
