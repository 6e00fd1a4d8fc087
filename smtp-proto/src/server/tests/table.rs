//! Every command in every state, the refused ones too. Rows N029, N033, N039, N045, N090, N091, N105, N122, N123, N126,
//! N127, N128, N145, N146, N147, N148, N149, N153, N155, N156, N157, N177, N178, N192, N217, N291, N307, N312, X036, X042, X045.

use super::*;

/// The states, as far as a client can tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// The greeting was 554.
    Refused,
    /// The greeting was 220.
    Greeted,
    /// EHLO was agreed to.
    Ready,
    /// MAIL was.
    Mail,
    /// RCPT was.
    Rcpt,
    /// 354 was said.
    Content,
    /// A chunk was, and it was not the last.
    Chunks,
    /// A chunk was refused.
    Spoilt,
    Closed,
}

/// In each column: the code of the reply, and the state behind it (`=`: the same). A slash is a line end: what stands
/// behind it is a chunk.
const TABLE: &str = "
command                     | Refused    | Greeted    | Ready      | Mail       | Rcpt        | Chunks     | Spoilt
EHLO client.example         | 503 =      | 250 Ready  | 250 =      | 250 Ready  | 250 Ready   | 250 Ready  | 250 Ready
HELO client.example         | 503 =      | 250 Ready  | 250 =      | 250 Ready  | 250 Ready   | 250 Ready  | 250 Ready
MAIL FROM:<alice@a>         | 503 =      | 503 =      | 250 Mail   | 503 =      | 503 =       | 503 =      | 503 =
MAIL FROM:<>                | 503 =      | 503 =      | 250 Mail   | 503 =      | 503 =       | 503 =      | 503 =
RCPT TO:<bob@b>             | 503 =      | 503 =      | 503 =      | 250 Rcpt   | 250 =       | 503 =      | 503 =
DATA                        | 503 =      | 503 =      | 503 =      | 554 =      | 354 Content | 503 =      | 503 =
RSET                        | 503 =      | 250 =      | 250 =      | 250 Ready  | 250 Ready   | 250 Ready  | 250 Ready
VRFY bob                    | 503 =      | 252 =      | 252 =      | 252 =      | 252 =       | 252 =      | 252 =
HELP                        | 503 =      | 214 =      | 214 =      | 214 =      | 214 =       | 214 =      | 214 =
HELP MAIL                   | 503 =      | 214 =      | 214 =      | 214 =      | 214 =       | 214 =      | 214 =
NOOP                        | 503 =      | 250 =      | 250 =      | 250 =      | 250 =       | 250 =      | 250 =
NOOP anything at all        | 503 =      | 250 =      | 250 =      | 250 =      | 250 =       | 250 =      | 250 =
QUIT                        | 221 Closed | 221 Closed | 221 Closed | 221 Closed | 221 Closed  | 221 Closed | 221 Closed
STARTTLS                    | 503 =      | 502 =      | 502 =      | 502 =      | 502 =       | 502 =      | 502 =
AUTH PLAIN =                | 503 =      | 502 =      | 502 =      | 502 =      | 502 =       | 502 =      | 502 =
BDAT 0                      | 503 =      | 503 =      | 503 =      | 554 Spoilt | 250 Chunks  | 250 =      | 503 =
BDAT 0 LAST                 | 503 =      | 503 =      | 503 =      | 554 Ready  | 250 Ready   | 250 Ready  | 503 =
BDAT 9 / NOOP 12            | 503 =      | 503 =      | 503 =      | 554 Spoilt | 250 Chunks  | 250 =      | 503 =
BDAT 9 LAST / QUIT 12       | 503 =      | 503 =      | 503 =      | 554 Ready  | 250 Ready   | 250 Ready  | 503 =
BDAT 5 / a\rb               | 503 =      | 503 =      | 503 =      | 554 Spoilt | 550 Spoilt  | 550 Spoilt | 503 =
BDAT 5 LAST / a\rb          | 503 =      | 503 =      | 503 =      | 554 Ready  | 550 Ready   | 550 Ready  | 503 =
BDAT                        | 521 Closed | 521 Closed | 521 Closed | 521 Closed | 521 Closed  | 521 Closed | 521 Closed
BDAT -1 LAST                | 521 Closed | 521 Closed | 521 Closed | 521 Closed | 521 Closed  | 521 Closed | 521 Closed
BDAT 5 FIRST                | 521 Closed | 521 Closed | 521 Closed | 521 Closed | 521 Closed  | 521 Closed | 521 Closed
EXPN list                   | 503 =      | 502 =      | 502 =      | 502 =      | 502 =       | 502 =      | 502 =
TURN                        | 503 =      | 502 =      | 502 =      | 502 =      | 502 =       | 502 =      | 502 =
SEND FROM:<alice@a>         | 503 =      | 502 =      | 502 =      | 502 =      | 502 =       | 502 =      | 502 =
XYZZY                       | 503 =      | 500 =      | 500 =      | 500 =      | 500 =       | 500 =      | 500 =
(nothing)                   | 503 =      | 500 =      | 500 =      | 500 =      | 500 =       | 500 =      | 500 =
GET / HTTP/1.1              | 554 Closed | 554 Closed | 554 Closed | 554 Closed | 554 Closed  | 554 Closed | 554 Closed
EHLO                        | 503 =      | 501 =      | 501 =      | 501 =      | 501 =       | 501 =      | 501 =
HELO é                      | 503 =      | 501 =      | 501 =      | 501 =      | 501 =       | 501 =      | 501 =
MAIL FROM:alice             | 503 =      | 501 =      | 501 =      | 501 =      | 501 =       | 501 =      | 501 =
MAIL FROM:<alice@[x:y]>     | 503 =      | 503 =      | 501 =      | 503 =      | 503 =       | 503 =      | 503 =
MAIL FROM:<alice@a> FOO=1   | 503 =      | 555 =      | 555 =      | 555 =      | 555 =       | 555 =      | 555 =
MAIL FROM:<alice@a> SIZE=x  | 503 =      | 501 =      | 501 =      | 501 =      | 501 =       | 501 =      | 501 =
MAIL FROM:<alice@a> RET=FULL| 503 =      | 503 =      | 250 Mail   | 503 =      | 503 =       | 503 =      | 503 =
MAIL FROM:<é@a>             | 503 =      | 503 =      | 553 =      | 503 =      | 503 =       | 503 =      | 503 =
RCPT TO:<>                  | 503 =      | 501 =      | 501 =      | 501 =      | 501 =       | 501 =      | 501 =
RCPT TO:<bob@[x:y]>         | 503 =      | 503 =      | 503 =      | 501 =      | 501 =       | 503 =      | 503 =
RCPT TO:<bob@b> NOTIFY=NEVER| 503 =      | 503 =      | 503 =      | 250 Rcpt   | 250 =       | 503 =      | 503 =
RCPT TO:<bob@b> FOO         | 503 =      | 555 =      | 555 =      | 555 =      | 555 =       | 555 =      | 555 =
RCPT TO:<é@b>               | 503 =      | 503 =      | 503 =      | 553 =      | 553 =       | 503 =      | 503 =
DATA now                    | 503 =      | 501 =      | 501 =      | 501 =      | 501 =       | 501 =      | 501 =
RSET now                    | 503 =      | 501 =      | 501 =      | 501 =      | 501 =       | 501 =      | 501 =
QUIT now                    | 503 =      | 501 =      | 501 =      | 501 =      | 501 =       | 501 =      | 501 =
VRFY                        | 503 =      | 501 =      | 501 =      | 501 =      | 501 =       | 501 =      | 501 =
NOOP \u{1}                  | 503 =      | 501 =      | 501 =      | 501 =      | 501 =       | 501 =      | 501 =
EHLO refused.example        | 503 =      | 550 =      | 550 =      | 550 =      | 550 =       | 550 =      | 550 =
HELO refused.example        | 503 =      | 550 =      | 550 =      | 550 =      | 550 =       | 550 =      | 550 =
MAIL FROM:<refused@a>       | 503 =      | 503 =      | 550 =      | 503 =      | 503 =       | 503 =      | 503 =
RCPT TO:<refused@b>         | 503 =      | 503 =      | 503 =      | 550 =      | 550 =       | 503 =      | 503 =
RCPT TO:<later@b>           | 503 =      | 503 =      | 503 =      | 451 =      | 451 =       | 503 =      | 503 =
RCPT TO:<closing@b>         | 503 =      | 503 =      | 503 =      | 421 Closed | 421 Closed  | 503 =      | 503 =
";

fn refuse_by_name(question: Question<'_>) -> Decision {
    let name = match question {
        Question::Hello(name) => name.to_string(),
        Question::Mail(transaction) => transaction.reverse_path.to_string(),
        Question::Rcpt(_, recipient) => recipient.forward_path.to_string(),
        _ => String::new(),
    };
    match name.trim_start_matches('<').split(['.', '@']).next() {
        Some("refused") => refusal(550, EnhancedCode::new(5, 7, 1)),
        Some("later") => refusal(451, EnhancedCode::new(4, 3, 0)),
        Some("closing") => refusal(421, EnhancedCode::new(4, 3, 2)),
        _ => Decision::Accept,
    }
}

fn host_in(state: Told) -> Host {
    if state == Told::Refused {
        let mut host = Host::connecting(config(), |_| refusal(550, EnhancedCode::new(5, 7, 1)));
        assert_eq!(codes(&host.feed(b"")), [554]);
        return host;
    }
    let mut host = Host::with(config(), refuse_by_name);
    let lines = ["EHLO first.example", "MAIL FROM:<first@a>", "RCPT TO:<first@b>"];
    let count = match state {
        Told::Ready => 1,
        Told::Mail => 2,
        Told::Rcpt | Told::Chunks | Told::Spoilt => 3,
        _ => 0,
    };
    host.agree_all(&lines[..count]);
    match state {
        Told::Chunks => assert_eq!(codes(&host.feed(b"BDAT 3\r\nabc")), [250]),
        Told::Spoilt => assert_eq!(codes(&host.feed(b"BDAT 3\r\na\rb")), [550]),
        _ => {}
    }
    host
}

/// Finds out by behaviour alone.
fn told(host: &mut Host) -> Told {
    if host.is_closed {
        return Told::Closed;
    }
    match host.feed(b"NOOP\r\n").get(..3) {
        None => return Told::Content,
        Some("503") => return Told::Refused,
        code => assert_eq!(code, Some("250")),
    }
    let data = host.say("DATA");
    match (codes(&data)[0], host.code("MAIL FROM:<probe@a>")) {
        (503, 503) if data.contains("send RSET first") => Told::Spoilt,
        (503, 503) if data.contains("send BDAT") => Told::Chunks,
        (503, 503) => Told::Greeted,
        (503, 250) => Told::Ready,
        (554, 503) => Told::Mail,
        codes => panic!("{codes:?}"),
    }
}

#[test]
fn every_command_in_every_state() {
    let states = [Told::Refused, Told::Greeted, Told::Ready, Told::Mail, Told::Rcpt, Told::Chunks, Told::Spoilt];
    let mut cells = 0;
    for row in TABLE.lines().skip(2) {
        let mut columns = row.split('|').map(str::trim);
        let command = columns.next().unwrap().replace("(nothing)", "").replace(" / ", "\r\n");
        for (state, cell) in states.into_iter().zip(columns) {
            let (code, next) = cell.split_once(' ').unwrap();
            let next = if next == "=" { format!("{state:?}") } else { next.to_owned() };
            let mut host = host_in(state);
            assert_eq!(host.code(&command).to_string(), code, "{command:?} in {state:?}");
            // With recipients DATA is answered 354, and that shows only behind it.
            let found = if next == "Rcpt" { finish(&mut host, state, &command) } else { told(&mut host) };
            assert_eq!(format!("{found:?}"), next, "{command:?} in {state:?}");
            cells += 1;
        }
    }
    assert_eq!(cells, TABLE.lines().skip(2).count() * states.len());
}

/// The transaction goes through with the recipients that it should have: those of the state and the one just agreed to.
fn finish(host: &mut Host, state: Told, command: &str) -> Told {
    assert_eq!(host.code("DATA"), 354);
    assert_eq!(host.code("."), 250);
    let (transaction, _) = &host.messages[0];
    let recipients: Vec<_> =
        transaction.recipients.iter().map(|recipient| recipient.forward_path.to_string()).collect();
    let mut expected = Vec::new();
    if state == Told::Rcpt {
        expected.push("<first@b>");
    }
    if matches!(command, "RCPT TO:<bob@b>" | "RCPT TO:<bob@b> NOTIFY=NEVER") {
        expected.push("<bob@b>");
    }
    assert_eq!(recipients, expected, "{command:?} in {state:?}");
    assert_eq!(transaction.reverse_path.to_string(), "<first@a>");
    Told::Rcpt
}

/// RFC 5321, 4.2.4 (row N179): what EHLO lists is not answered 500 or 502.
#[test]
fn what_is_listed_is_known() {
    let mut host = Host::new();
    let listed = host.say("EHLO client.example");
    assert_eq!(
        listed.lines().skip(1).map(|line| &line[4..]).collect::<Vec<_>>(),
        [
            "SIZE 67108864",
            "PIPELINING",
            "8BITMIME",
            "SMTPUTF8",
            "ENHANCEDSTATUSCODES",
            "CHUNKING",
            "LIMITS RCPTMAX=1000",
            "HELP"
        ]
    );
    assert_eq!(host.code("HELP"), 214);
    assert_eq!(host.code("BDAT 0"), 503);
    assert_eq!(host.code("MAIL FROM:<é@a> SIZE=1 BODY=8BITMIME SMTPUTF8"), 250);
    // Rows X131, X133: no argument, and never without 8BITMIME.
    let extensions = ServerSession::new(config()).extensions();
    assert!(extensions.has(&Extension::SmtpUtf8) && extensions.has(&Extension::EightBitMime));
}
