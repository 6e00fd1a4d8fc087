//! Modes, pins and files of authorities as people write them.

use super::*;

#[test]
fn modes() {
    for mode in [TlsMode::None, TlsMode::Try, TlsMode::Require, TlsMode::Implicit] {
        assert_eq!(mode.to_string().parse(), Ok(mode));
        assert_eq!(mode.is_strict(), mode.to_string() != "none" && mode.to_string() != "try");
    }
    for text in ["", "TRY", "starttls", "required\u{1b}[2J"] {
        let error = text.parse::<TlsMode>().unwrap_err().to_string();
        assert!(error.contains(TlsMode::FORMS) && !error.contains('\u{1b}'), "{error}");
    }
}

#[test]
fn pins() {
    let digits = "0123456789abcdef".repeat(4);
    let pin: Pin = digits.parse().unwrap();
    assert_eq!(pin.to_string(), digits);
    let pairs: Vec<&str> = (0..32).filter_map(|place| digits.get(2 * place..2 * place + 2)).collect();
    assert_eq!(pairs.join(":").to_ascii_uppercase().parse(), Ok(pin));
    for text in ["", "ab", &digits[1..], &format!("{digits}0"), &digits.replace('0', "g"), &"é".repeat(32)] {
        assert!(text.parse::<Pin>().is_err(), "{text}");
    }
}

#[test]
fn files_of_authorities() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    let said = |path: &std::path::Path| Trust::only(path).unwrap_err().to_string();
    assert!(said(&path).contains("ca.pem: "), "{}", said(&path));
    for (text, words) in [
        ("", "there is no certificate in it; PEM is wanted"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "there is no certificate in it"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "a certificate in it cannot be used"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n", "ca.pem: "),
        ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "ca.pem: "),
    ] {
        std::fs::write(&path, text).unwrap();
        assert!(said(&path).contains(words), "{text}: {}", said(&path));
    }
}

/// The program's own list can be used, wherever it runs.
#[test]
fn the_system_is_trusted() {
    assert!(Trust::system().judge().is_ok() && Trust::system().strict().is_ok());
    assert!(TlsOptions::default().begin("mx.example.org.").is_ok());
    assert!(matches!(TlsOptions::default().begin("a b"), Err(TlsError::Name)));
}
