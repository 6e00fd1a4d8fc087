//! Quoted-printable: octets beyond ASCII on a way that carries ASCII only (RFC 2045, 6.7), in pieces.

/// Characters of a line, with the `=` that ends a line which was none (RFC 2045, 6.7).
const COLUMNS: usize = 76;

/// The encoder. CRLF is a line end; a lone CR or LF is data.
#[derive(Debug, Default)]
pub(super) struct QuotedPrintable {
    column: usize,
    last: Last,
}

/// What came last and cannot be forgotten yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Last {
    #[default]
    Other,
    /// Space or tab, already written: it must not stand at the end of a line.
    Space,
    /// CR, not yet written.
    CarriageReturn,
    /// CR behind a space.
    SpaceCarriageReturn,
}

impl QuotedPrintable {
    /// Encodes the next octets.
    pub(super) fn handle(&mut self, octets: &[u8], output: &mut Vec<u8>) {
        for &octet in octets {
            self.octet(octet, output);
        }
    }

    /// Encodes what was held back.
    pub(super) fn finish(&mut self, output: &mut Vec<u8>) {
        if matches!(self.last, Last::CarriageReturn | Last::SpaceCarriageReturn) {
            self.escape(b'\r', output);
        } else if self.last == Last::Space {
            self.break_softly(output);
        }
    }

    fn octet(&mut self, octet: u8, output: &mut Vec<u8>) {
        match (self.last, octet) {
            (Last::CarriageReturn | Last::SpaceCarriageReturn, b'\n') => {
                // A space at the end of a line may get lost (RFC 2045, 6.7, rule 3); behind it, the line goes on with nothing.
                if self.last == Last::SpaceCarriageReturn {
                    self.break_softly(output);
                }
                output.extend_from_slice(b"\r\n");
                (self.column, self.last) = (0, Last::Other);
                return;
            }
            (Last::CarriageReturn | Last::SpaceCarriageReturn, _) => self.escape(b'\r', output),
            (Last::Other | Last::Space, _) => {}
        }
        match octet {
            b'\r' if self.last == Last::Space => self.last = Last::SpaceCarriageReturn,
            b'\r' => self.last = Last::CarriageReturn,
            b' ' | b'\t' => {
                self.write(&[octet], output);
                self.last = Last::Space;
            }
            b'=' => self.escape(octet, output),
            b'!'..=b'~' => {
                self.write(&[octet], output);
                self.last = Last::Other;
            }
            _ => self.escape(octet, output),
        }
    }

    fn escape(&mut self, octet: u8, output: &mut Vec<u8>) {
        self.write(format!("={octet:02X}").as_bytes(), output);
        self.last = Last::Other;
    }

    fn write(&mut self, piece: &[u8], output: &mut Vec<u8>) {
        if self.column + piece.len() + "=".len() > COLUMNS {
            self.break_softly(output);
        }
        output.extend_from_slice(piece);
        self.column += piece.len();
    }

    fn break_softly(&mut self, output: &mut Vec<u8>) {
        output.extend_from_slice(b"=\r\n");
        self.column = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut encoder, mut output) = (QuotedPrintable::default(), Vec::new());
        for piece in pieces {
            encoder.handle(piece, &mut output);
        }
        encoder.finish(&mut output);
        output
    }

    fn decode(encoded: &[u8]) -> Vec<u8> {
        let (mut octets, mut rest) = (Vec::new(), encoded);
        while let Some((&octet, behind)) = rest.split_first() {
            rest = match (octet, behind) {
                (b'=', [b'\r', b'\n', behind @ ..]) => behind,
                (b'=', [high, low, behind @ ..]) => {
                    let digits = String::from_utf8(vec![*high, *low]).unwrap();
                    octets.push(u8::from_str_radix(&digits, 16).unwrap());
                    behind
                }
                _ => {
                    octets.push(octet);
                    behind
                }
            };
        }
        octets
    }

    #[test]
    fn encodes() {
        for (text, encoded) in [
            ("a=b\r\n", "a=3Db\r\n"),
            ("\u{e9}\0\t.", "=C3=A9=00\t."),
            ("a \r\nb", "a =\r\n\r\nb"),
            ("a ", "a =\r\n"),
            ("\r", "=0D"),
            ("a\rb\nc\r\r\n", "a=0Db=0Ac=0D\r\n"),
            (" \r \r\n", " =0D =\r\n\r\n"),
        ] {
            assert_eq!(String::from_utf8(encode(&[text.as_bytes()])).unwrap(), encoded);
        }
        let long = encode(&["x".repeat(76).as_bytes()]);
        assert_eq!(long, format!("{}=\r\nx", "x".repeat(75)).into_bytes());
    }

    proptest! {
        #[test]
        fn decodes_to_what_it_was(
            octets in prop::collection::vec(prop_oneof![prop::sample::select(b"\r\n \t=a".to_vec()), any::<u8>()], 0..300),
            place in any::<prop::sample::Index>(),
        ) {
            let (one, other) = octets.split_at(place.index(octets.len() + 1));
            let encoded = encode(&[one, other]);
            prop_assert_eq!(&encoded, &encode(&[&octets]));
            prop_assert_eq!(decode(&encoded), octets);
            for line in String::from_utf8(encoded).unwrap().split("\r\n") {
                prop_assert!(line.len() <= COLUMNS && line.bytes().all(|c| matches!(c, b'\t' | b' '..=b'~')), "{}", line);
                prop_assert!(!line.ends_with([' ', '\t']));
            }
        }
    }
}
