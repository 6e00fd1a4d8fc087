//! Base64 as AUTH has it: the alphabet of RFC 4648, 4, padding where it belongs, and nothing else (RFC 4954, 4).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::secret::Secret;

/// Octets as they go over the wire.
pub fn encode(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}

/// The same of what nobody should see.
pub fn encode_secret(secret: &Secret) -> Secret {
    Secret::new(STANDARD.encode(secret.expose()))
}

/// Reads what came. `None` if it holds any other character, or padding where none belongs (RFC 4954, 4: both "MUST" be
/// refused).
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648, 10.
    #[test]
    fn vectors_of_the_rfc() {
        for (octets, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(encode(octets.as_bytes()), text);
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(octets.as_bytes()));
        }
    }

    /// Row X106.
    #[test]
    fn anything_else_is_refused() {
        for text in [
            "=", "Zg", "Zg=", "Zg===", "Z=g=", "Zg==Zg==", "Zm9v\n", " Zm9v", "Zm 9v", "Zm9-", "Zm9_", "Zh==", "\u{e9}",
        ] {
            assert_eq!(decode(text.as_bytes()), None, "{text:?}");
        }
    }
}
