//! Rows N169, N174, N175, N187, N190, X012, X013, X014, X015, X024, X143.

use proptest::prelude::*;

use super::*;
use crate::reply_parser::ReplyParser;
use crate::strategies;

fn code(number: u16) -> Code {
    Code::new(number).unwrap()
}

fn wire(reply: &Reply) -> String {
    let mut output = Vec::new();
    reply.write_to(&mut output);
    String::from_utf8(output).unwrap()
}

/// Rows N169, N190.
#[test]
fn codes_have_three_digits_from_2_to_5() {
    for (number, class) in [
        (200, Class::Positive),
        (299, Class::Positive),
        (354, Class::Intermediate),
        (421, Class::Transient),
        (599, Class::Permanent),
    ] {
        assert_eq!(code(number).class(), class);
    }
    for number in [0, 1, 99, 100, 199, 600, 999, 1000, u16::MAX] {
        assert_eq!(Code::new(number), None, "{number}");
    }
}

/// RFC 2034, 4 (rows X013, X014): the same class, none on 3yz; RFC 3463, 2: three digits at most.
#[test]
fn an_enhanced_code_that_would_be_a_lie_is_left_out() {
    for (number, class, subject, detail, printed) in [
        (250, 2, 1, 5, "250 2.1.5 x\r\n"),
        (450, 4, 2, 0, "450 4.2.0 x\r\n"),
        (550, 5, 999, 999, "550 5.999.999 x\r\n"),
        (250, 5, 1, 1, "250 x\r\n"),
        (450, 5, 1, 1, "450 x\r\n"),
        (550, 4, 1, 1, "550 x\r\n"),
        (354, 3, 0, 0, "354 x\r\n"),
        (354, 2, 0, 0, "354 x\r\n"),
        (550, 5, 1000, 0, "550 x\r\n"),
        (550, 5, 0, u16::MAX, "550 x\r\n"),
    ] {
        let reply = Reply::new(code(number), Some(EnhancedCode::new(class, subject, detail)), "x");
        assert_eq!(wire(&reply), printed);
        assert_eq!(reply.enhanced().is_some(), printed.contains('.'));
    }
}

/// RFC 3463, 2.
#[test]
fn reads_enhanced_codes() {
    for text in ["2.0.0", "4.4.2", "5.7.999", "5.999.1"] {
        assert_eq!(EnhancedCode::parse(text).unwrap().to_string(), text);
    }
    for text in [
        "", "5", "5.1", "5.1.", "5.1.1.1", "3.0.0", "1.0.0", "6.0.0", "5.01.1", "5.1.1000", "+5.1.1", "5.1.x", "5..1",
        " 5.1.1", "55.1.1",
    ] {
        assert_eq!(EnhancedCode::parse(text), None, "{text:?}");
    }
}

/// RFC 5321, 4.2.1 (rows N174, N175, X015): the same codes on every line, a hyphen on all but the last, a space on the
/// last even without text.
#[test]
fn writes_lines() {
    let enhanced = Some(EnhancedCode::new(2, 0, 0));
    for (enhanced, text, printed) in [
        (None, "", "250 \r\n"),
        (enhanced, "", "250 2.0.0 \r\n"),
        (None, "one\ntwo", "250-one\r\n250 two\r\n"),
        (None, "one\r\ntwo", "250-one\r\n250 two\r\n"),
        (enhanced, "one\ntwo\nthree", "250-2.0.0 one\r\n250-2.0.0 two\r\n250 2.0.0 three\r\n"),
        (None, "one\n", "250-one\r\n250 \r\n"),
    ] {
        assert_eq!(wire(&Reply::new(code(250), enhanced, text)), printed);
    }
}

/// What a peer said may stand in a reply, and stays text there.
#[test]
fn peers_words_are_escaped() {
    for (text, printed) in [
        ("a\rb", "550 a\\rb\r\n"),
        ("a\n250 b", "550-a\r\n550 250 b\r\n"),
        ("\u{1b}[31m", "550 \\u{1b}[31m\r\n"),
        ("é\0\u{85}\u{2028}", "550 \\u{e9}\\u{0}\\u{85}\\u{2028}\r\n"),
        ("a\tb", "550 a\\tb\r\n"),
        ("\"quoted\" \\ 'text'", "550 \"quoted\" \\ 'text'\r\n"),
    ] {
        assert_eq!(wire(&Reply::new(code(550), None, text)), printed);
    }
}

/// RFC 5321, 4.5.3.1.5, at the limit and beyond; nothing of the text is lost.
#[test]
fn long_texts_become_lines() {
    for octets in [400, 496, 497, 498, 512, 5_000] {
        for enhanced in [None, Some(EnhancedCode::new(5, 999, 999))] {
            let reply = Reply::new(code(550), enhanced, "x".repeat(octets));
            let wire = wire(&reply);
            assert!(wire.split_inclusive("\r\n").all(|line| line.len() <= limits::REPLY_LINE_OCTETS), "{octets}");
            assert_eq!(wire.matches('x').count(), octets);
        }
    }
    // An escape is not torn in two.
    let reply = Reply::new(code(550), None, "\u{10ffff}".repeat(200));
    for line in reply.lines() {
        assert_eq!(line.replace("\\u{10ffff}", ""), "");
    }
}

#[test]
fn displays_on_one_line() {
    let reply = Reply::new(code(550), Some(EnhancedCode::new(5, 1, 1)), "no such\nmailbox");
    assert_eq!(reply.to_string(), "550 5.1.1 no such / mailbox");
    assert!(!reply.is_positive() && !reply.is_transient() && !reply.is_closing());
    for (number, is_closing) in [(421, true), (521, true), (221, false), (554, false), (420, false)] {
        assert_eq!(Reply::new(code(number), None, "").is_closing(), is_closing, "{number}");
    }
}

/// Every line of a reply, taken apart by hand.
fn assert_well_formed(reply: &Reply) -> Result<(), TestCaseError> {
    let wire = wire(reply);
    let lines: Vec<_> = wire.strip_suffix("\r\n").unwrap_or("").split("\r\n").collect();
    prop_assert_eq!(lines.len(), reply.lines().count());
    for (number, line) in lines.iter().enumerate() {
        prop_assert!(line.len() + 2 <= limits::REPLY_LINE_OCTETS, "{} octets", line.len());
        prop_assert!(line.bytes().all(|octet| matches!(octet, b' '..=b'~')), "{:?}", line);
        let separator = if number + 1 == lines.len() { " " } else { "-" };
        let enhanced = reply.enhanced().map(|enhanced| format!("{enhanced} ")).unwrap_or_default();
        let head = format!("{}{separator}{enhanced}", reply.code());
        prop_assert!(line.starts_with(&head), "{:?} does not begin with {:?}", line, head);
    }
    if let Some(enhanced) = reply.enhanced() {
        prop_assert_eq!(u16::from(enhanced.class), reply.code().number() / 100);
        prop_assert!(reply.class() != Class::Intermediate);
    }
    Ok(())
}

proptest! {
    /// Whatever goes into a reply, each line that comes out is a code and a text.
    #[test]
    fn every_reply_is_lines_of_code_and_text(reply in strategies::reply(), text in strategies::hostile_text()) {
        assert_well_formed(&reply)?;
        assert_well_formed(&Reply::new(code(550), Some(EnhancedCode::new(5, 1, 1)), text))?;
    }

    #[test]
    fn what_is_written_is_read_again(reply in strategies::reply(), cut in any::<prop::sample::Index>()) {
        let wire = wire(&reply);
        let expected = Ok((wire.len(), Some(reply.clone())));
        prop_assert_eq!(ReplyParser::default().handle(wire.as_bytes()), expected.clone());
        // Another reply behind it is another reply (row X024).
        prop_assert_eq!(ReplyParser::default().handle(format!("{wire}250 OK\r\n").as_bytes()), expected);
        let mut parser = ReplyParser::default();
        let (used, nothing) = parser.handle(&wire.as_bytes()[..cut.index(wire.len())]).unwrap();
        prop_assert_eq!(nothing, None);
        prop_assert_eq!(parser.handle(&wire.as_bytes()[used..]), Ok((wire.len() - used, Some(reply))));
    }

    /// Whatever a server sends: a reply of printable text, an error, or more input; never a panic.
    #[test]
    fn random_octets_are_a_reply_or_an_error(head in "([2-5][0-9]{2}[- ])?", octets in prop::collection::vec(any::<u8>(), 0..200)) {
        let wire = [head.as_bytes(), &octets, b"\r\n"].concat();
        if let Ok((_, Some(reply))) = ReplyParser::default().handle(&wire) {
            prop_assert!(reply.to_string().chars().all(|character| matches!(character, ' '..='~')));
        }
    }
}
