//! The sender's side: every line ends in CRLF; every leading dot is doubled and a lone dot ends it all, unless the length
//! says where the end is.

use std::fmt;

/// Writes content for the wire from octets that come in pieces of any size.
#[derive(Clone, Debug)]
pub struct ContentEncoder {
    position: Position,
    framing: Framing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// DATA: a lone dot is the end.
    Dots,
    /// BDAT: the octets are counted.
    Counted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    LineStart,
    Text,
    TextCr,
    /// There was a bare CR. Nothing makes this content whole again: in particular its first half must never be ended with
    /// a dot and count as the message.
    Broken,
}

/// The content holds a CR that no LF follows. It must not go out (RFC 5321, 2.3.8: "SMTP client implementations MUST NOT
/// transmit these characters except when they are intended as line terminators"), and what it should become is not ours
/// to guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BareCarriageReturn;

impl fmt::Display for BareCarriageReturn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the message holds a carriage return that no line feed follows; SMTP cannot carry it")
    }
}

impl std::error::Error for BareCarriageReturn {}

impl Default for ContentEncoder {
    fn default() -> Self {
        ContentEncoder { position: Position::LineStart, framing: Framing::Dots }
    }
}

impl ContentEncoder {
    /// For content that goes out with BDAT: dots stay as they are, and none is added. RFC 3030, 2: text "MUST be sent in
    /// the canonical MIME format with lines delimited with a `<CR><LF>`".
    pub fn for_chunk() -> Self {
        ContentEncoder { position: Position::LineStart, framing: Framing::Counted }
    }

    /// Encodes the next piece of the content. A bare LF, the line end of files on Unix, becomes CRLF. After an error there
    /// are only errors.
    ///
    /// What may go out as it is goes there in one piece, however many lines it has.
    pub fn encode(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<(), BareCarriageReturn> {
        let mut pieces = Pieces { input, copied: 0, output };
        let mut at = 0;
        while let Some(&first) = input.get(at) {
            match (self.position, first) {
                (Position::TextCr, b'\n') => {
                    pieces.insert(at, b'\r');
                    at += 1;
                    self.position = Position::LineStart;
                    continue;
                }
                (Position::TextCr | Position::Broken, _) => return self.break_off(),
                (Position::LineStart, b'.') if self.framing == Framing::Dots => pieces.insert(at, b'.'),
                _ => {}
            }
            let rest = input.get(at..).unwrap_or_default();
            let Some(hit) = memchr::memchr2(b'\r', b'\n', rest) else {
                self.position = Position::Text;
                break;
            };
            at += hit;
            match rest.get(hit..).unwrap_or_default() {
                [b'\r', b'\n', ..] => at += 2,
                [b'\n', ..] => {
                    pieces.insert(at, b'\r');
                    at += 1;
                }
                [b'\r'] => {
                    // It goes out with its LF, or not at all.
                    pieces.copy_up_to(at);
                    self.position = Position::TextCr;
                    return Ok(());
                }
                _ => {
                    pieces.copy_up_to(at);
                    return self.break_off();
                }
            }
            self.position = Position::LineStart;
        }
        pieces.copy_up_to(input.len());
        Ok(())
    }

    fn break_off(&mut self) -> Result<(), BareCarriageReturn> {
        self.position = Position::Broken;
        Err(BareCarriageReturn)
    }

    /// Ends the content, with the lone dot where that is the end. A last line without its CRLF gets it; no other line end is added
    /// (RFC 5321, 4.1.1.4).
    pub fn finish(self, output: &mut Vec<u8>) -> Result<(), BareCarriageReturn> {
        match self.position {
            Position::LineStart => {}
            Position::Text => output.extend_from_slice(b"\r\n"),
            Position::TextCr | Position::Broken => return Err(BareCarriageReturn),
        }
        if self.framing == Framing::Dots {
            output.extend_from_slice(b".\r\n");
        }
        Ok(())
    }
}

/// Input on its way to the output, a piece at a time.
struct Pieces<'a> {
    input: &'a [u8],
    /// So much of it is there.
    copied: usize,
    output: &'a mut Vec<u8>,
}

impl Pieces<'_> {
    fn copy_up_to(&mut self, end: usize) {
        self.output.extend_from_slice(self.input.get(self.copied..end).unwrap_or_default());
        self.copied = end;
    }

    /// Puts an octet before one of the input.
    fn insert(&mut self, at: usize, octet: u8) {
        self.copy_up_to(at);
        self.output.push(octet);
    }
}
