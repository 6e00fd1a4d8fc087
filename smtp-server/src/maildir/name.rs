//! What things are called: a mailbox by its address, a message by its id.
//!
//! Addresses are chosen by strangers, so one encoder stands between them and the disk. What it lets through as it is
//! (lower-case letters, digits, `-_+=.`) means nothing to any file system; everything else is written as the
//! hexadecimal number of each of its octets, `%2F` for a slash, and so is a dot in front. So no result is empty, `.` or
//! `..`, none is a hidden file or a Maildir++ folder, none holds a slash, a colon or a control character, and two names
//! differ if the addresses do. Upper and lower case of ASCII are one: at this host, `Bob` and `bob` are the same person
//! (RFC 5321, 2.4 leaves that to us, and asks for it).

use std::fmt::Write;

use smtp_proto::address::Domain;
use smtp_spool::MessageId;

/// Octets of a file name: what all common file systems take.
const FILE_NAME_OCTETS: usize = 255;

/// Octets of the host's name in the name of a message. The id tells messages apart, also those of several hosts; the
/// name is for people. What is left of [`FILE_NAME_OCTETS`] is for the marks of readers.
const HOST_OCTETS: usize = 64;

/// The name of a directory for a part of an address. `None`: it is empty or too long.
pub(super) fn directory_name(part: &str) -> Option<String> {
    Some(encode(part)).filter(|name| (1..=FILE_NAME_OCTETS).contains(&name.len()))
}

fn encode(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for octet in text.bytes().map(|octet| octet.to_ascii_lowercase()) {
        let is_hidden = octet == b'.' && name.is_empty();
        if matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'+' | b'=' | b'.') && !is_hidden {
            name.push(char::from(octet));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(name, "%{octet:02X}");
        }
    }
    name
}

/// The name of one message for one recipient: `seconds.id_recipient.host`, in the three parts that Maildirs are used
/// to.
///
/// The same message for the same recipient has the same name whenever it is delivered, in this process or a later one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UniqueName(String);

impl UniqueName {
    /// Makes the name. The id and the time are those under which the message was taken over; the recipient is its
    /// number in the envelope, or any other number that stays the same and that no other recipient of this message has.
    pub fn new(id: &MessageId, received_at_unix_seconds: i64, recipient: usize, host: &Domain) -> Self {
        let mut host = encode(&host.to_string());
        host.truncate(HOST_OCTETS);
        UniqueName(format!("{}.{id}_{recipient}.{host}", received_at_unix_seconds.max(0)))
    }

    /// The name of the file, before a reader puts marks behind it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a file in `cur/` is this message: what readers add stands behind a colon (flags) or a comma (sizes).
    pub(super) fn is_name_of(&self, file_name: &[u8]) -> bool {
        let marks = file_name.strip_prefix(self.0.as_bytes());
        marks.is_some_and(|marks| matches!(marks.first(), None | Some(b':' | b',')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_addresses_as_names() {
        for (part, name) in [
            ("bob", Some("bob")),
            ("Bob.Smith", Some("bob.smith")),
            ("a-b_c+d=e", Some("a-b_c+d=e")),
            (".", Some("%2E")),
            ("..", Some("%2E.")),
            (".bob", Some("%2Ebob")),
            ("../../etc/passwd", Some("%2E.%2F..%2Fetc%2Fpasswd")),
            ("a/b", Some("a%2Fb")),
            ("a b\"c\\d", Some("a%20b%22c%5Cd")),
            ("50%", Some("50%25")),
            ("%2F", Some("%252f")),
            ("~root", Some("%7Eroot")),
            ("a:2,S", Some("a%3A2%2Cs")),
            ("Gr\u{fc}n", Some("gr%C3%BCn")),
            ("\u{c4}", Some("%C3%84")),
            ("[IPv6:2001:db8::1]", Some("%5Bipv6%3A2001%3Adb8%3A%3A1%5D")),
            ("", None),
        ] {
            assert_eq!(directory_name(part).as_deref(), name, "{part:?}");
        }
    }

    #[test]
    fn a_name_has_room_for_every_local_part_of_85_octets() {
        for (part, fits) in
            [("x".repeat(255), true), ("x".repeat(256), false), ("/".repeat(85), true), ("/".repeat(86), false)]
        {
            assert_eq!(directory_name(&part).is_some(), fits, "{part}");
        }
    }

    #[test]
    fn messages_have_one_name_with_room_for_marks() {
        let (id, host): (MessageId, Domain) = ("x".repeat(32).parse().unwrap(), "[IPv6:2001:db8::1]".parse().unwrap());
        let name = UniqueName::new(&id, i64::MAX, usize::MAX, &host);
        assert_eq!(name, UniqueName::new(&id, i64::MAX, usize::MAX, &host));
        assert!(name.as_str().len() < 200 && !name.as_str().contains([':', '/']), "{}", name.as_str());
        let name = UniqueName::new(&"1jd-0".parse().unwrap(), 1_763_880_000, 3, &"mx.example.org".parse().unwrap());
        assert_eq!(name.as_str(), "1763880000.1jd-0_3.mx.example.org");
        for (marks, is_same) in
            [("", true), (":2,", true), (":2,RS", true), (",S=12,W=13:2,", true), (".com", false), ("x:2,", false)]
        {
            assert_eq!(name.is_name_of(format!("{}{marks}", name.as_str()).as_bytes()), is_same, "{marks}");
        }
        assert!(!name.is_name_of(b"1763880000.1jd-0_33.mx.example.org"));
    }
}
