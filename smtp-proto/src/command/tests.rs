//! Rows N024, N066, N098, N101, N123, N127, N143, N148, N177, N178, N192, X002, X052, X067, X068, X070, X072, X073, X084, X129, X140.

use proptest::prelude::*;

use super::*;
use crate::address::{LocalPart, Mailbox};
use crate::extension::Extensions;
use crate::parameter::{Notify, OriginalRecipient};
use crate::reply_parser::ReplyParser;
use crate::strategies;
use crate::xtext::Xtext;

const OTHER_ARGUMENTS: &str = "";

/// What a line is read as, printed; `OTHER_ARGUMENTS` stands for any usage text.
fn read(line: &str) -> Result<String, CommandError> {
    match Command::parse(line.as_bytes()) {
        Err(CommandError::Arguments(_)) => Err(CommandError::Arguments(OTHER_ARGUMENTS)),
        result => result.map(|command| command.to_string()),
    }
}

#[track_caller]
fn check(table: &[(&str, Result<&str, CommandError>)]) {
    for (line, expected) in table {
        assert_eq!(read(line), expected.map(str::to_owned), "{line:?}");
    }
}

const ARGUMENTS: CommandError = CommandError::Arguments(OTHER_ARGUMENTS);

/// RFC 5321, 4.1.1 and 2.4: verbs in any case; white space at the end (row N098).
#[test]
fn verbs() {
    check(&[
        ("EHLO client.example", Ok("EHLO client.example")),
        ("helo client.example", Ok("HELO client.example")),
        ("DaTa", Ok("DATA")),
        ("RSET", Ok("RSET")),
        ("QUIT", Ok("QUIT")),
        ("NOOP", Ok("NOOP")),
        ("HELP", Ok("HELP")),
        ("STARTTLS", Ok("STARTTLS")),
        ("VRFY alice", Ok("VRFY alice")),
        ("AUTH PLAIN =", Ok("AUTH PLAIN =")),
        ("BDAT 86", Ok("BDAT 86")),
        ("bdat 0 last", Ok("BDAT 0 LAST")),
        ("QUIT \t ", Ok("QUIT")),
        ("NOOP  \t", Ok("NOOP")),
        ("DATA\t", Ok("DATA")),
        ("EHLO \t client.example \t", Ok("EHLO client.example")),
        ("", Err(CommandError::UnknownVerb)),
        (" ", Err(CommandError::UnknownVerb)),
        (" QUIT", Err(CommandError::UnknownVerb)),
        ("QUIT.", Err(CommandError::UnknownVerb)),
        ("XYZZY", Err(CommandError::UnknownVerb)),
        ("MAILFROM:<a@b>", Err(CommandError::UnknownVerb)),
    ]);
    // Row N177: known by name, offered by nobody.
    for verb in ["EXPN", "expn list", "TURN", "ETRN a", "SEND FROM:<a@b>", "SAML", "SOML"] {
        assert_eq!(Command::parse(verb.as_bytes()), Ok(Command::Unoffered), "{verb}");
    }
}

/// Rows N127, N148, N192, X052, and the chunk sizes of failures S6.
#[test]
fn arguments() {
    check(&[
        ("DATA now", Err(ARGUMENTS)),
        ("RSET x", Err(ARGUMENTS)),
        ("QUIT x", Err(ARGUMENTS)),
        ("STARTTLS x", Err(ARGUMENTS)),
        ("VRFY", Err(ARGUMENTS)),
        ("AUTH", Err(ARGUMENTS)),
        ("EHLO", Err(ARGUMENTS)),
        ("HELO ", Err(ARGUMENTS)),
        ("MAIL", Err(ARGUMENTS)),
        ("MAIL <a@b>", Err(ARGUMENTS)),
        ("MAIL FROM <a@b>", Err(ARGUMENTS)),
        ("MAIL TO:<a@b>", Err(ARGUMENTS)),
        ("RCPT", Err(ARGUMENTS)),
        ("RCPT FROM:<a@b>", Err(ARGUMENTS)),
        ("NOOP anything at\tall", Ok("NOOP anything at all")),
        ("HELP MAIL", Ok("HELP MAIL")),
        ("BDAT", Err(CommandError::Chunk)),
        ("BDAT -1", Err(CommandError::Chunk)),
        ("BDAT +1", Err(CommandError::Chunk)),
        ("BDAT 1x", Err(CommandError::Chunk)),
        ("BDAT 1LAST", Err(CommandError::Chunk)),
        ("BDAT 1 LAST x", Err(CommandError::Chunk)),
        ("BDAT 1 FIRST", Err(CommandError::Chunk)),
        ("BDAT 9223372036854775808", Ok("BDAT 9223372036854775808")),
        ("BDAT 18446744073709551615", Ok("BDAT 18446744073709551615")),
        ("BDAT 18446744073709551616", Err(CommandError::Chunk)),
    ]);
}

/// Tolerated on receipt: a name that is none. RFC 6531, 3.7.1 (row X141): but never one in UTF-8.
#[test]
fn hello_names() {
    let name = |line: &str| match Command::parse(line.as_bytes()) {
        Ok(Command::Ehlo(name) | Command::Helo(name)) => name,
        result => panic!("{line}: {result:?}"),
    };
    for domain in ["client.example", "[192.0.2.1]", "[IPv6:::1]", "localhost", "client.example."] {
        assert!(matches!(name(&format!("EHLO {domain}")), HelloName::Domain(_)), "{domain}");
    }
    for other in ["under_score", "a b", "[192.0.2.1", "192.0.2.1]", "-", "<a@b>", "?"] {
        assert!(matches!(name(&format!("HELO {other}")), HelloName::Other(_)), "{other}");
    }
    check(&[("EHLO é.example", Err(ARGUMENTS)), ("EHLO é é", Err(ARGUMENTS))]);
    for (octets, is_taken) in [(255, true), (256, false), (2_000, false)] {
        assert_eq!(read(&format!("EHLO {}", "_".repeat(octets))).is_ok(), is_taken, "{octets}");
    }
}

/// RFC 5321, 4.1.1.2 and 4.1.1.3; the space behind the colon and the missing brackets are tolerated.
#[test]
fn paths() {
    let reverse = |error| Err(CommandError::ReversePath(error));
    let forward = |error| Err(CommandError::ForwardPath(error));
    check(&[
        ("MAIL FROM:<alice@b>", Ok("MAIL FROM:<alice@b>")),
        ("mail from:<alice@b>", Ok("MAIL FROM:<alice@b>")),
        ("MAIL  FROM:<alice@b>", Ok("MAIL FROM:<alice@b>")),
        ("MAIL FROM: \t<alice@b>  ", Ok("MAIL FROM:<alice@b>")),
        ("MAIL FROM:alice@b", Ok("MAIL FROM:<alice@b>")),
        ("MAIL FROM:alice@b SIZE=1", Ok("MAIL FROM:<alice@b> SIZE=1")),
        ("MAIL FROM:<>", Ok("MAIL FROM:<>")),
        ("MAIL FROM:<@x:alice@b>", Ok("MAIL FROM:<alice@b>")),
        ("MAIL FROM:", reverse(AddressError::Empty)),
        ("MAIL FROM:<postmaster>", reverse(AddressError::NoDomain)),
        ("MAIL FROM:<a@b>SIZE=1", reverse(AddressError::Trailing)),
        ("RCPT TO:<bob@b>", Ok("RCPT TO:<bob@b>")),
        ("RCPT TO:<@x,@y:bob@b>", Ok("RCPT TO:<bob@b>")),
        ("rcpt to:postmaster", Ok("RCPT TO:<Postmaster>")),
        ("RCPT TO:<>", forward(AddressError::Empty)),
        ("RCPT TO:<a@b>>", forward(AddressError::Trailing)),
        ("RCPT TO:<a@b> <c@d>", Err(CommandError::Parameter(ParameterError::Malformed))),
    ]);
}

/// RFC 5321, 4.1.1.11, and the RFC of each parameter.
#[test]
fn mail_parameters() {
    let wrong = |error| Err(CommandError::Parameter(error));
    let value = |keyword| wrong(ParameterError::Value(keyword));
    for (parameters, expected) in [
        ("SIZE=0", Ok("SIZE=0")),
        ("size=12", Ok("SIZE=12")),
        ("SIZE=99999999999999999999", Ok("SIZE=18446744073709551615")),
        ("SIZE=100000000000000000000", value("SIZE")),
        ("SIZE=-1", value("SIZE")),
        ("SIZE=1k", value("SIZE")),
        ("SIZE", value("SIZE")),
        ("SIZE=", wrong(ParameterError::Malformed)),
        ("SIZE=1 SIZE=1", wrong(ParameterError::Twice)),
        ("BODY=8bitmime", Ok("BODY=8BITMIME")),
        ("BODY=7BIT", Ok("BODY=7BIT")),
        ("BODY=BINARYMIME", Ok("BODY=BINARYMIME")),
        ("BODY=9BIT", value("BODY")),
        ("BODY=7BIT BODY=7BIT", wrong(ParameterError::Twice)),
        ("SMTPUTF8", Ok("SMTPUTF8")),
        ("SMTPUTF8=x", value("SMTPUTF8")),
        ("SMTPUTF8 SMTPUTF8", wrong(ParameterError::Twice)),
        ("RET=full", Ok("RET=FULL")),
        ("RET=HDRS", Ok("RET=HDRS")),
        ("RET=BODY", value("RET")),
        ("ENVID=a+20b", Ok("ENVID=a+20b")),
        ("ENVID=a+0D+0A", value("ENVID")),
        ("ENVID=a+0", value("ENVID")),
        ("AUTH=<>", Ok("AUTH=<>")),
        ("AUTH=+3C+3E", Ok("AUTH=<>")),
        ("AUTH=a+2Bb@c", Ok("AUTH=a+2Bb@c")),
        ("AUTH=a", value("AUTH")),
        ("FOO", wrong(ParameterError::Unknown)),
        ("FOO=1", wrong(ParameterError::Unknown)),
        ("NOTIFY=NEVER", wrong(ParameterError::Unknown)),
        ("=1", wrong(ParameterError::Malformed)),
        ("-A=1", wrong(ParameterError::Malformed)),
        ("SIZE=1=2", wrong(ParameterError::Malformed)),
        ("SIZE=1;", value("SIZE")),
        ("SMTPUTF8;", wrong(ParameterError::Malformed)),
        ("ENVID=\u{2028}", wrong(ParameterError::Malformed)),
        ("SIZE=1\t BODY=7BIT \t", Ok("SIZE=1 BODY=7BIT")),
    ] {
        let expected = expected.map(|parameters| format!("MAIL FROM:<a@b> {parameters}"));
        assert_eq!(read(&format!("MAIL FROM:<a@b> {parameters}")), expected, "{parameters}");
    }
    for (octets, is_taken) in [(100, true), (101, false), (1_000, false)] {
        assert_eq!(read(&format!("MAIL FROM:<a@b> ENVID={}", "e".repeat(octets))).is_ok(), is_taken, "{octets}");
    }
}

/// RFC 3461, 4.1 and 4.2; RFC 6533, 3.
#[test]
fn rcpt_parameters() {
    let value = |keyword| Err(CommandError::Parameter(ParameterError::Value(keyword)));
    for (parameters, expected) in [
        ("NOTIFY=NEVER", Ok("NOTIFY=NEVER")),
        ("NOTIFY=delay,Success", Ok("NOTIFY=SUCCESS,DELAY")),
        ("NOTIFY=FAILURE,FAILURE", Ok("NOTIFY=FAILURE")),
        ("NOTIFY=NEVER,SUCCESS", value("NOTIFY")),
        ("NOTIFY=SUCCESS,", value("NOTIFY")),
        ("NOTIFY=ALWAYS", value("NOTIFY")),
        ("NOTIFY", value("NOTIFY")),
        ("NOTIFY=NEVER NOTIFY=NEVER", Err(CommandError::Parameter(ParameterError::Twice))),
        ("ORCPT=rfc822;a+2Bb@c", Ok("ORCPT=rfc822;a+2Bb@c")),
        ("ORCPT=utf-8;é@c", Ok("ORCPT=utf-8;é@c")),
        ("ORCPT=utf-8;\\x{E9}@c", Ok("ORCPT=utf-8;\\x{E9}@c")),
        ("ORCPT=rfc822;é@c", value("ORCPT")),
        ("ORCPT=rfc822;a+0D+0A@c", value("ORCPT")),
        ("ORCPT=rfc822;", value("ORCPT")),
        ("ORCPT=;a@b", value("ORCPT")),
        ("ORCPT=a@b", value("ORCPT")),
        ("SIZE=1", Err(CommandError::Parameter(ParameterError::Unknown))),
    ] {
        let expected = expected.map(|parameters| format!("RCPT TO:<a@b> {parameters}"));
        assert_eq!(read(&format!("RCPT TO:<a@b> {parameters}")), expected, "{parameters}");
    }
    for (octets, is_taken) in [(500, true), (501, false), (1_500, false)] {
        let address = "a".repeat(octets - "rfc822;".len());
        assert_eq!(read(&format!("RCPT TO:<a@b> ORCPT=rfc822;{address}")).is_ok(), is_taken, "{octets}");
    }
    let quoted: Mailbox = "\"a b=c\"@d".parse().unwrap();
    let original = OriginalRecipient::rfc822(&quoted).unwrap();
    assert_eq!(original.to_string(), "rfc822;\"a+20b+3Dc\"@d");
    assert_eq!((original.address_type(), original.address()), ("rfc822", quoted.to_string()));
    let long = Mailbox::new(LocalPart::new(&"+".repeat(255)).unwrap(), "b".parse().unwrap()).unwrap();
    assert_eq!(OriginalRecipient::rfc822(&long), None);
}

/// Row X069: the ORCPT of whoever submits a message is the address of the RCPT command. RFC 6533, 3: beyond ASCII as `utf-8`,
/// in which nothing is xtext.
#[test]
fn original_recipients() {
    for (mailbox, orcpt, in_ascii) in [
        ("bob@b.example", "rfc822;bob@b.example", "rfc822;bob@b.example"),
        ("Bob+x=y@B.example", "rfc822;Bob+2Bx+3Dy@B.example", "rfc822;Bob+2Bx+3Dy@B.example"),
        ("b\u{f6}b@b.example", "utf-8;b\u{f6}b@b.example", "utf-8;b\\x{F6}b@b.example"),
        ("bob@\u{4eac}.example", "utf-8;bob@\u{4eac}.example", "utf-8;bob@\\x{4EAC}.example"),
        ("\u{1f600}+=@b", "utf-8;\u{1f600}\\x{2B}\\x{3D}@b", "utf-8;\\x{1F600}\\x{2B}\\x{3D}@b"),
        (
            "\"\u{e9} \\\\ \\\"\"@b",
            "utf-8;\"\u{e9}\\x{20}\\x{5C}\\x{5C}\\x{20}\\x{5C}\"\"@b",
            "utf-8;\"\\x{E9}\\x{20}\\x{5C}\\x{5C}\\x{20}\\x{5C}\"\"@b",
        ),
    ] {
        let original = OriginalRecipient::of(&mailbox.parse().unwrap()).unwrap();
        assert_eq!(original.to_string(), orcpt);
        assert_eq!(original.to_ascii().unwrap().to_string(), in_ascii);
        // Both forms are read again as what they are.
        for form in [orcpt, in_ascii] {
            let line = format!("RCPT TO:<x@y> ORCPT={form}");
            assert_eq!(read(&line), Ok(line));
        }
        let is_ascii = mailbox.is_ascii();
        assert_eq!(OriginalRecipient::rfc822(&mailbox.parse().unwrap()).is_some(), is_ascii);
    }
    // 255 octets of a local part, each of which needs six.
    let long =
        Mailbox::new(LocalPart::new(&format!("\u{e9}{}", "+".repeat(253))).unwrap(), "b".parse().unwrap()).unwrap();
    assert_eq!(OriginalRecipient::of(&long), None);
}

/// Values that the types allow and the grammar does not: they print as what they mean, or not at all.
#[test]
fn no_parameter_is_printed_without_its_value() {
    let notify = Notify::On { success: false, failure: false, delay: false };
    assert_eq!(RcptParameters { notify: Some(notify), orcpt: None }.to_string(), " NOTIFY=NEVER");
    assert_eq!(MailParameters { envid: Xtext::encode(""), ..MailParameters::default() }.to_string(), "");
    let mailbox = "é@b".parse().unwrap();
    let parameters = MailParameters { auth: Some(ReversePath::Mailbox(mailbox)), ..MailParameters::default() };
    assert_eq!(parameters.to_string(), " AUTH=<>");
}

/// RFC 5321, 4.1.2 (rows N024, N143): no control character anywhere, and UTF-8 or nothing.
#[test]
fn octets_that_no_command_holds() {
    for octet in (0..=31).chain([127]).filter(|octet| *octet != b'\t') {
        for line in [&b"NOOP #"[..], b"#NOOP", b"MAIL FROM:<a#@b>", b"MAIL FROM:<a@b> ENVID=#", b"EHLO #", b"#"] {
            let line: Vec<u8> = line.iter().map(|o| if *o == b'#' { octet } else { *o }).collect();
            assert_eq!(Command::parse(&line), Err(CommandError::Octets), "{line:?}");
        }
    }
    for line in [&b"NOOP \xff"[..], b"MAIL FROM:<\xe9@b>", b"NOOP \xc2\x85", b"NOOP \xed\xa0\x80", b"\xc0\x8d\xc0\x8a"]
    {
        assert_eq!(Command::parse(line), Err(CommandError::Octets), "{line:?}");
    }
}

/// A browser that was made to talk to us.
#[test]
fn foreign_protocols() {
    for line in ["GET / HTTP/1.1", "POST / HTTP/1.1", "put /", "CONNECT mx:25 HTTP/1.1", "PRI * HTTP/2.0", "OPTIONS"] {
        assert_eq!(read(line), Err(CommandError::ForeignProtocol), "{line}");
    }
}

/// Row X084: a MAIL or RCPT of 1,036 octets, and more.
#[test]
fn long_commands() {
    let line = format!("RCPT TO:<{}@b> ORCPT=rfc822;{} NOTIFY=SUCCESS,FAILURE,DELAY", "a".repeat(255), "a".repeat(493));
    assert!(line.len() > 800 && read(&line).is_ok());
    assert!(Argument::new(&"a".repeat(limits::COMMAND_LINE_OCTETS - 7)).is_some());
    for text in ["", " ", " a", "a ", "a\tb", "a\r\nb", "a\0", &"a".repeat(limits::COMMAND_LINE_OCTETS - 6)] {
        assert_eq!(Argument::new(text), None, "{text:?}");
    }
}

proptest! {
    #[test]
    fn what_is_printed_is_read_again(command in strategies::command()) {
        let line = command.to_string();
        prop_assert_eq!(Command::parse(line.as_bytes()), Ok(command), "{}", line);
    }

    #[test]
    fn an_ehlo_reply_is_read_again(extensions in strategies::extensions()) {
        let lines: Vec<_> = extensions.iter().map(ToString::to_string).collect();
        let mut wire = Vec::new();
        let text = ["mx.example greets you".to_owned()].into_iter().chain(lines).collect::<Vec<_>>().join("\n");
        crate::reply::Reply::new(crate::reply::Code::new(250).unwrap(), None, text).write_to(&mut wire);
        let (_, reply) = ReplyParser::default().handle(&wire).unwrap();
        prop_assert_eq!(Extensions::from_reply(&reply.unwrap()), extensions);
    }

    #[test]
    fn xtext_is_read_again(value in "[ -~]{0,60}") {
        let xtext = Xtext::encode(&value).unwrap();
        prop_assert_eq!(xtext.decode(), value);
        prop_assert_eq!(Xtext::from_encoded(xtext.as_str()), Some(xtext));
    }

    /// Whatever text a caller, a file or a peer puts in, a printed command is one line.
    #[test]
    fn no_printed_command_holds_a_line_end(text in strategies::hostile_text()) {
        let mut commands: Vec<Command> = ["", "AUTH ", "AUTH PLAIN ", "MAIL FROM:", "MAIL FROM:<a@b> ", "MAIL FROM:<a@b> AUTH=", "RCPT TO:", "RCPT TO:<a@b> ORCPT=utf-8;"]
            .iter()
            .filter_map(|start| Command::parse(format!("{start}{text}").as_bytes()).ok())
            .collect();
        if let Some(argument) = Argument::new(&text) {
            commands.push(Command::Vrfy(argument.clone()));
            commands.push(Command::Noop(Some(argument.clone())));
            if text.is_ascii() {
                commands.push(Command::Ehlo(HelloName::Other(argument)));
            }
        }
        let local_part = LocalPart::new(&text).ok();
        if let Some(mailbox) = local_part.and_then(|part| Mailbox::new(part, "b".parse().unwrap()).ok()) {
            let auth = Some(ReversePath::Mailbox(mailbox.clone()));
            let parameters = MailParameters { auth, envid: Xtext::encode(&text), ..MailParameters::default() };
            commands.push(Command::Mail { reverse_path: ReversePath::Mailbox(mailbox.clone()), parameters });
            let parameters = RcptParameters { notify: None, orcpt: OriginalRecipient::rfc822(&mailbox) };
            commands.push(Command::Rcpt { forward_path: ForwardPath::Mailbox(mailbox), parameters });
        }
        for command in commands {
            let line = command.to_string();
            prop_assert!(!line.contains(['\r', '\n', '\0']), "{:?}", line);
            prop_assert!(Command::parse(line.as_bytes()).is_ok(), "{:?}", line);
        }
    }

    #[test]
    fn random_octets_are_a_command_or_an_error(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(command) = Command::parse(&octets) {
            prop_assert!(!command.to_string().chars().any(char::is_control));
        }
    }

    /// Random octets seldom get past the verb; broken commands do.
    #[test]
    fn broken_commands_are_a_command_or_an_error(command in strategies::command(), place in any::<prop::sample::Index>(), octet in any::<u8>()) {
        let mut line = command.to_string().into_bytes();
        let place = place.index(line.len());
        line[place] = octet;
        if let Ok(command) = Command::parse(&line) {
            prop_assert!(!command.to_string().chars().any(char::is_control));
        }
    }
}
