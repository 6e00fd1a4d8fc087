//! `xtext`: how a parameter value carries characters that may not stand there (RFC 3461, 4).
//!
//! `+` and two upper-case hexadecimal digits stand for an octet. The encoded form is what is kept, so that a value passed
//! on to the next host is "unchanged" to the letter (RFC 3461, 5.2.1).

use std::fmt;

/// A well-formed xtext whose decoded value is printable ASCII.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Xtext(String);

impl Xtext {
    /// Encodes a value. `None` if it holds anything but printable ASCII: an ENVID or ORCPT with `+0D+0A` in it would
    /// otherwise become a header field of somebody's report (RFC 3461, 4).
    pub fn encode(value: &str) -> Option<Self> {
        let mut encoded = String::with_capacity(value.len());
        for character in value.chars() {
            match character {
                '+' | '=' | ' ' => encoded.push_str(&format!("+{:02X}", character as u32)),
                '!'..='~' => encoded.push(character),
                _ => return None,
            }
        }
        Some(Xtext(encoded))
    }

    /// Takes an encoded value as it came over the wire, if it is well formed.
    pub fn from_encoded(encoded: &str) -> Option<Self> {
        let xtext = Xtext(encoded.to_owned());
        let is_printable = xtext.octets().all(|octet| matches!(octet, Some(b' '..=b'~')));
        is_printable.then_some(xtext)
    }

    /// The value that was meant.
    pub fn decode(&self) -> String {
        self.octets().flatten().map(char::from).collect()
    }

    /// The encoded form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The decoded octets; `None` in the place of a malformed one.
    fn octets(&self) -> impl Iterator<Item = Option<u8>> {
        let mut encoded = self.0.bytes();
        std::iter::from_fn(move || {
            Some(match encoded.next()? {
                b'+' => hexadecimal(encoded.next()).zip(hexadecimal(encoded.next())).map(|(high, low)| high << 4 | low),
                b'=' => None,
                octet @ b'!'..=b'~' => Some(octet),
                _ => None,
            })
        })
    }
}

/// RFC 3461, 4: `hexchar` takes upper-case digits only.
fn hexadecimal(digit: Option<u8>) -> Option<u8> {
    match digit? {
        digit @ b'0'..=b'9' => Some(digit - b'0'),
        digit @ b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

impl fmt::Display for Xtext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_and_decodes() {
        for (value, encoded) in [("abc", "abc"), ("a b+c=d", "a+20b+2Bc+3Dd"), ("", "")] {
            let xtext = Xtext::encode(value).unwrap();
            assert_eq!(xtext.as_str(), encoded);
            assert_eq!(xtext.decode(), value);
            assert_eq!(Xtext::from_encoded(encoded), Some(xtext));
        }
    }

    /// Row X070: decoded ENVID and ORCPT are printable ASCII only.
    #[test]
    fn refuses_what_would_become_a_header_field() {
        for encoded in ["+0D+0A", "a+00", "+7F", "+FF", "+2b", "+2", "+", "a=b", "a b", "\u{e9}", "+2g"] {
            assert_eq!(Xtext::from_encoded(encoded), None, "{encoded:?}");
        }
        for value in ["\r\n", "\0", "\u{e9}", "\u{7f}"] {
            assert_eq!(Xtext::encode(value), None, "{value:?}");
        }
    }
}
