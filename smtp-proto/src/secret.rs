//! What must not be seen: passwords, tokens, and what is made of them.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

/// Octets that no log and no error shows, and that are wiped when they are dropped.
///
/// There is no `Display`, and the `Debug` text says nothing; who needs the octets asks for them by a name
/// that is easy to search for. The memory of buffers that held them before is not ours to wipe.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the octets over. They are not copied.
    pub fn new(octets: impl Into<Vec<u8>>) -> Self {
        Secret(Zeroizing::new(octets.into()))
    }

    /// The octets.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The octets as text, if they are UTF-8.
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Without the line end that files and programs put behind a password.
    pub fn without_line_end(mut self) -> Self {
        let without = self.0.strip_suffix(b"\r\n").or(self.0.strip_suffix(b"\n"));
        let count = without.map_or(self.0.len(), <[u8]>::len);
        if let Some(rest) = self.0.get_mut(count..) {
            rest.zeroize();
        }
        self.0.truncate(count);
        self
    }
}

impl PartialEq for Secret {
    /// All octets are looked at, whichever differ.
    fn eq(&self, other: &Self) -> bool {
        let differing = self.0.iter().zip(other.0.iter()).fold(0, |seen, (left, right)| seen | (left ^ right));
        self.0.len() == other.0.len() && differing == 0
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_not_show_itself() {
        assert_eq!(format!("{:?} {:#?}", Secret::new("hunter2"), Some(Secret::new("x"))).find("hunter2"), None);
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret");
    }

    #[test]
    fn one_line_end_is_no_part_of_it() {
        for (octets, expected) in
            [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("\n", ""), ("a \r", "a \r")]
        {
            assert_eq!(Secret::new(octets).without_line_end().expose_text(), Some(expected), "{octets:?}");
        }
    }
}
