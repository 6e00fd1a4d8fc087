//! The messages: small and dull, and everything that has ever been transferred wrongly.

/// One message, and how it is sent.
pub(super) struct Shape {
    /// What is special about it.
    pub(super) name: &'static str,
    /// Its octets with CRLF at every line end, as a file holds them; perhaps without one behind the last line.
    pub(super) octets: Vec<u8>,
    /// How many recipients it goes to.
    pub(super) recipients: usize,
    /// How often it is sent over one connection.
    pub(super) copies: usize,
}

impl Shape {
    fn new(name: &'static str, body: impl AsRef<[u8]>) -> Self {
        let mut octets = Vec::new();
        octets.extend_from_slice(b"From: Alice <alice@example.org>\r\nTo: Bob <bob@localhost>\r\nSubject: ");
        octets.extend_from_slice(name.as_bytes());
        octets.extend_from_slice(b"\r\nMessage-ID: <1@example.org>\r\nDate: Sat, 22 Nov 2025 10:00:00 +0000\r\n\r\n");
        octets.extend_from_slice(body.as_ref());
        Shape { name, octets, recipients: 1, copies: 1 }
    }

    /// What must arrive: the last line has its line end (RFC 5321, 4.1.1.4).
    pub(super) fn expected(&self) -> Vec<u8> {
        let mut octets = self.octets.clone();
        if !octets.ends_with(b"\r\n") {
            octets.extend_from_slice(b"\r\n");
        }
        octets
    }

    /// Whether it needs 8BITMIME.
    pub(super) fn is_eight_bit(&self) -> bool {
        !self.octets.is_ascii()
    }
}

/// All of them.
pub(super) fn all() -> Vec<Shape> {
    let line = |octets: usize| "x".repeat(octets) + "\r\n";
    let latin_1: Vec<u8> = (0xa0..=0xff).chain(*b"\r\n").collect();
    vec![
        Shape::new("small", "Hello.\r\n"),
        Shape::new("UTF-8", "Gr\u{fc}\u{df}e, \u{4f60}\u{597d}, \u{1f4ec}\r\n"),
        Shape::new("octets that are no UTF-8", latin_1),
        Shape::new("leading dots", ".\r\n..\r\n...\r\n.text\r\n. \r\n\r\n.\r\n.\r\nend\r\n"),
        Shape::new("first body line a dot", ".\r\nend\r\n"),
        Shape::new("lines of 998 octets", line(998) + &line(998)),
        Shape::new("lines of 999 octets and more", line(999) + &line(2_049) + &line(70_000)),
        Shape::new("empty body", ""),
        Shape::new("empty lines at the end", "Hello.\r\n\r\n\r\n"),
        Shape::new("white space at line ends", "a \r\nb\t\r\n \r\n\t\r\n"),
        Shape::new("no line end at the end", "Hello.\r\nThat was it"),
        Shape::new("looks like commands", "RSET\r\nQUIT\r\nMAIL FROM:<a@example.org>\r\nDATA\r\n250 OK\r\n"),
        Shape::new("1 MiB", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n".repeat(16_384)),
        Shape { recipients: 100, ..Shape::new("100 recipients", "Hello, all of you.\r\n") },
        Shape { copies: 20, ..Shape::new("20 over one connection", "Hello again.\r\n") },
    ]
}
