//! The header section of a message, as far as sending needs it: who it is from, who it is for, and what must not travel.
//!
//! RFC 5322 is read with a tolerant eye and never rewritten: apart from the Bcc fields, which are taken out whole, every
//! octet stays (RFC 5321, 6.4: no fix-ups on the way).

use std::collections::HashSet;
use std::fmt;

use smtp_proto::address::{AddressError, ForwardPath, Mailbox, ReversePath};

use smtp_proto::printable::Printable;

/// Octets of a header section that is read. Longer ones exist only as attacks; a message that has one is refused rather
/// than sent with its Bcc fields in it.
pub const HEADER_OCTETS: usize = 1 << 20;

/// The fields of a header section that say where a message goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    from: Vec<Address>,
    sender: Vec<Address>,
    to: Vec<Address>,
    /// The fields that are taken out, as they stood.
    blind: Vec<u8>,
}

/// A text that should be an address, and the name of its field.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    field: &'static str,
    text: String,
}

/// Why no envelope can be made from a header section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// There is no From field with an address.
    NoSender,
    /// There is no To, Cc or Bcc field with an address.
    NoRecipients,
    /// Several authors in From and no Sender field that says who sent it (RFC 5322, 3.6.2).
    SeveralSenders,
    /// Something in the field is not an address.
    Address {
        /// The name of the field: To, Cc, Bcc, From or Sender.
        field: &'static str,
        /// The text that is not.
        text: String,
        /// Why not.
        reason: AddressError,
    },
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeaderError::NoSender => f.write_str("the message has no From field with an address; give --from"),
            HeaderError::NoRecipients => {
                f.write_str("the message has no To, Cc or Bcc field with an address; give --to")
            }
            HeaderError::SeveralSenders => {
                f.write_str("From names several authors and there is no Sender; give --from")
            }
            HeaderError::Address { field, text, reason } => {
                write!(f, "\"{}\" in the {field} field is not an address: {reason}", Printable(text))
            }
        }
    }
}

impl std::error::Error for HeaderError {}

/// Where the header section of `octets` ends: behind its last field, before the empty line. `None` if it goes on beyond
/// what is there. A message without a header section has an empty one.
pub fn header_end(octets: &[u8]) -> Option<usize> {
    let mut end = 0;
    loop {
        let rest = octets.get(end..).unwrap_or_default();
        let line_end = memchr::memchr(b'\n', rest);
        let line = rest.get(..line_end.map_or(rest.len(), |line_feed| line_feed + 1)).unwrap_or_default();
        let is_continuation = end > 0 && matches!(line.first(), Some(b' ' | b'\t'));
        if !is_continuation && field_name(line).is_none() {
            return (line_end.is_some() || !could_be_field(line)).then_some(end);
        }
        line_end?;
        end += line.len();
    }
}

/// `name:` in front of a line: printable ASCII without a space (RFC 5322, 2.2), with the old form's space before the
/// colon tolerated.
fn field_name(line: &[u8]) -> Option<&[u8]> {
    let colon = memchr::memchr(b':', line)?;
    let name = line.get(..colon)?.trim_ascii_end();
    (!name.is_empty() && name.iter().all(|octet| matches!(octet, b'!'..=b'~'))).then_some(name)
}

/// Whether a Bcc field stands behind [`header_end`] and before the first empty line: the header section is broken off by
/// something that is no field, such as an mbox separator, and whoever wrote Bcc meant it.
pub fn has_stray_bcc(behind: &[u8]) -> bool {
    let is_end = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line).is_empty();
    let lines = behind.split(|octet| *octet == b'\n').take_while(|line| !is_end(line));
    let mut names = lines.filter_map(field_name);
    names.any(|name| name.eq_ignore_ascii_case(b"bcc") || name.eq_ignore_ascii_case(b"resent-bcc"))
}

/// Whether a line that is cut off may still become a field.
fn could_be_field(line: &[u8]) -> bool {
    line.iter().all(|octet| matches!(octet, b'!'..=b'~'))
}

impl Header {
    /// Reads a header section (the octets before [`header_end`]), and returns it without its Bcc fields beside what it
    /// says.
    pub fn read(section: &[u8]) -> (Self, Vec<u8>) {
        let mut header = Header::default();
        let mut kept = Vec::with_capacity(section.len());
        for field in fields(section) {
            let name = field_name(field).unwrap_or_default().to_ascii_lowercase();
            let read =
                |field_name| addresses(&unfold(field)).into_iter().map(move |text| Address { field: field_name, text });
            match name.as_slice() {
                b"from" => header.from.extend(read("From")),
                b"sender" => header.sender.extend(read("Sender")),
                b"to" => header.to.extend(read("To")),
                b"cc" => header.to.extend(read("Cc")),
                b"bcc" => header.to.extend(read("Bcc")),
                _ => {}
            }
            // RFC 5322, 3.6.6: Resent-Bcc is the same for a message that goes out again.
            let is_blind = name == b"bcc" || name == b"resent-bcc";
            if is_blind { &mut header.blind } else { &mut kept }.extend_from_slice(field);
        }
        (header, kept)
    }

    /// The Bcc and Resent-Bcc fields, which do not travel, as they stood.
    pub fn blind_fields(&self) -> &[u8] {
        &self.blind
    }

    /// The sender of the message: its only author, or whoever sent it for several (RFC 5322, 3.6.2).
    pub fn reverse_path(&self) -> Result<ReversePath, HeaderError> {
        let address = match (self.from.as_slice(), self.sender.as_slice()) {
            ([author], []) => author,
            (_, [sender, ..]) => sender,
            ([], []) => return Err(HeaderError::NoSender),
            (_, []) => return Err(HeaderError::SeveralSenders),
        };
        parse(address).map(ReversePath::Mailbox)
    }

    /// Everybody in To, Cc and Bcc, each once.
    pub fn forward_paths(&self) -> Result<Vec<ForwardPath>, HeaderError> {
        let paths: Vec<_> =
            self.to.iter().map(|address| parse(address).map(ForwardPath::Mailbox)).collect::<Result<_, _>>()?;
        if paths.is_empty() { Err(HeaderError::NoRecipients) } else { Ok(each_once(paths)) }
    }
}

/// Leaves out whoever is named again. The case of a domain makes no difference, that of a local part may
/// (RFC 5321, 2.4).
pub fn each_once(paths: impl IntoIterator<Item = ForwardPath>) -> Vec<ForwardPath> {
    let mut seen = HashSet::new();
    let key = |path: &ForwardPath| {
        path.mailbox().map(|mailbox| (mailbox.local_part().clone(), mailbox.domain().to_string().to_ascii_lowercase()))
    };
    paths.into_iter().filter(|path| seen.insert(key(path))).collect()
}

fn parse(Address { field, text }: &Address) -> Result<Mailbox, HeaderError> {
    let error = |reason| HeaderError::Address { field, text: text.to_owned(), reason };
    // Stands for octets that are not UTF-8: what was meant is not ours to guess.
    if text.contains(char::REPLACEMENT_CHARACTER) {
        return Err(error(AddressError::LocalPart));
    }
    text.parse().map_err(error)
}

/// Cuts a section into fields, each with its continuation lines.
fn fields(section: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = section;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr_iter(b'\n', rest)
            .map(|line_feed| line_feed + 1)
            .find(|next| !matches!(rest.get(*next), Some(b' ' | b'\t')))
            .unwrap_or(rest.len());
        let (field, behind) = rest.split_at(end);
        rest = behind;
        Some(field)
    })
}

/// The value of a field on one line.
fn unfold(field: &[u8]) -> String {
    let value = field.splitn(2, |octet| *octet == b':').nth(1).unwrap_or_default();
    String::from_utf8_lossy(value).replace(['\r', '\n'], "")
}

/// The addresses of a list: `Name <a@b>, c@d, Group: e@f, g@h;` with comments and quoted names (RFC 5322, 3.4).
fn addresses(value: &str) -> Vec<String> {
    let mut list = Vec::new();
    let mut current = Entry::default();
    let mut characters = value.chars();
    let mut comment_depth = 0_usize;
    while let Some(character) = characters.next() {
        match character {
            '\\' if comment_depth > 0 => {
                characters.next();
            }
            '(' => comment_depth += 1,
            ')' if comment_depth > 0 => comment_depth -= 1,
            _ if comment_depth > 0 => {}
            '"' => current.push_quoted(&mut characters),
            '[' => current.push_literal(&mut characters),
            '<' => current.open_angle(),
            '>' => current.is_in_angle = false,
            // The name of a group, not part of an address; inside the brackets it ends a source route.
            ':' if !current.is_in_angle => current = Entry::default(),
            ',' | ';' if !current.is_in_angle => list.extend(std::mem::take(&mut current).finish()),
            _ => current.push(character),
        }
    }
    list.extend(current.finish());
    list
}

/// One entry of an address list.
#[derive(Default)]
struct Entry {
    text: String,
    angle: Option<String>,
    is_in_angle: bool,
}

impl Entry {
    fn push(&mut self, character: char) {
        match (&mut self.angle, self.is_in_angle) {
            (Some(angle), true) => angle.push(character),
            _ => self.text.push(character),
        }
    }

    /// Copies a quoted string with its quotes, so that it stays a quoted local part if that is what it is.
    fn push_quoted(&mut self, characters: &mut std::str::Chars<'_>) {
        self.push('"');
        while let Some(character) = characters.next() {
            self.push(character);
            match character {
                '\\' => characters.next().into_iter().for_each(|escaped| self.push(escaped)),
                '"' => return,
                _ => {}
            }
        }
    }

    fn push_literal(&mut self, characters: &mut std::str::Chars<'_>) {
        self.push('[');
        for character in characters.by_ref() {
            self.push(character);
            if character == ']' {
                return;
            }
        }
    }

    fn open_angle(&mut self) {
        self.angle = Some(String::new());
        self.is_in_angle = true;
    }

    fn finish(self) -> Option<String> {
        let text = match self.angle {
            // `<@route:user@domain>`: the route is never generated (RFC 5321, C).
            Some(angle) if angle.starts_with('@') => angle.split_once(':').map(|(_, path)| path.to_owned())?,
            Some(angle) => angle,
            None => self.text,
        };
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipients(section: &str) -> Vec<String> {
        let (header, _) = Header::read(section.as_bytes());
        header.forward_paths().map_or_else(|_| Vec::new(), |paths| paths.iter().map(ToString::to_string).collect())
    }

    /// Row N296: each of To, Cc and Bcc becomes a RCPT.
    #[test]
    fn recipients_of_all_three_fields_once_each() {
        let section = "To: a@x\r\nCC: b@x, a@X, A@x\r\nbcc: c@x\r\n";
        assert_eq!(recipients(section), ["<a@x>", "<b@x>", "<A@x>", "<c@x>"]);
    }

    #[test]
    fn an_address_that_is_not_utf8_is_no_address() {
        let (header, _) = Header::read(b"To: J\xf6rg <j@x>\r\nCc: j\xf6rg@x\r\n");
        assert!(matches!(header.forward_paths(), Err(HeaderError::Address { .. })));
    }

    #[test]
    fn what_is_no_address_is_shown_with_its_field() {
        let shown = |section: &str| Header::read(section.as_bytes()).0.forward_paths().unwrap_err().to_string();
        let reason = "the address needs @ and a domain";
        assert_eq!(shown("TO: j\u{f6}rg\n"), format!("\"j\u{f6}rg\" in the To field is not an address: {reason}"));
        assert!(shown("To: a@x\ncc: Bob <bob>\n").starts_with("\"bob\" in the Cc field "));
        assert!(shown("Bcc: a@x, b\u{1b}@x\n").starts_with("\"b\\u{1b}@x\" in the Bcc field "));
    }

    #[test]
    fn address_lists_in_all_their_forms() {
        for (value, expected) in [
            ("a@x", vec!["<a@x>"]),
            ("Ann <a@x>, Bob <b@x>", vec!["<a@x>", "<b@x>"]),
            ("\"Doe, Jane\" <j@x>", vec!["<j@x>"]),
            ("\"a \\\" <fake@x>\" <j@x>", vec!["<j@x>"]),
            ("a@x (Ann, of (all) people <c@x>)", vec!["<a@x>"]),
            ("Friends: a@x, Bob <b@x>;, c@x", vec!["<a@x>", "<b@x>", "<c@x>"]),
            ("undisclosed-recipients:;", vec![]),
            ("<@one,@two:u@x>", vec!["<u@x>"]),
            ("\"john smith\"@x", vec!["<\"john smith\"@x>"]),
            ("u@[IPv6:::1]", vec!["<u@[IPv6:::1]>"]),
            ("J\u{f6}rg <j@x>", vec!["<j@x>"]),
            (" , ,a@x,", vec!["<a@x>"]),
            ("Ann\r\n\t<a@x>,\r\n b@x", vec!["<a@x>", "<b@x>"]),
            ("=?utf-8?q?a=2C_b?= <a@x>", vec!["<a@x>"]),
        ] {
            assert_eq!(recipients(&format!("To: {value}\r\n")), expected, "{value}");
        }
    }

    /// Row N297.
    #[test]
    fn bcc_is_taken_out_with_its_continuation_lines_and_nothing_else_changes() {
        let section =
            b"Received: x\r\nBcc: a@x,\r\n\tb@x\r\nX-Odd :  y  \r\nBCC: c@x\r\nResent-Bcc: d@x\r\nSubject: Bcc: no\r\n";
        let (_, kept) = Header::read(section);
        assert_eq!(kept, b"Received: x\r\nX-Odd :  y  \r\nSubject: Bcc: no\r\n");
    }

    #[test]
    fn the_header_section_ends_at_the_first_line_that_is_no_field() {
        for (octets, end) in [
            (&b"A: b\r\n\r\nbody"[..], Some(6)),
            (b"A: b\n c\n\nbody", Some(8)),
            (b"no header at all\n", Some(0)),
            (b"\r\nbody", Some(0)),
            (b"A: b\r\nnot a field\r\n", Some(6)),
            (b" odd start\n", Some(0)),
            (b"A: b", None),
            (b"A", None),
            (b"", None),
            (b"two words", Some(0)),
        ] {
            assert_eq!(header_end(octets), end, "{octets:?}");
        }
    }

    #[test]
    fn the_sender() {
        let path = |section: &str| Header::read(section.as_bytes()).0.reverse_path().map(|path| path.to_string());
        assert_eq!(path("From: Ann <a@x>\r\n"), Ok("<a@x>".into()));
        assert_eq!(path("From: a@x, b@x\r\nSender: b@x\r\n"), Ok("<b@x>".into()));
        assert_eq!(path("From: a@x, b@x\r\n"), Err(HeaderError::SeveralSenders));
        assert_eq!(path("To: a@x\r\n"), Err(HeaderError::NoSender));
        assert!(matches!(path("From: nobody\r\n"), Err(HeaderError::Address { .. })));
    }
}
