//! How much of everything: at the limit, one above, and far above. Rows N030, N091, N224, N226, N227, N228, N230, N233,
//! N236, N241, N283, X002, X003, X004, X009, X130, X154.

use super::*;
use crate::address::ReversePath;

fn small() -> Config {
    let mut config = config();
    config.message_octets = 1_000;
    config
}

fn host_with(config: Config, lines: &[&str]) -> Host {
    let mut host = Host::with(config, accept_all);
    host.agree("EHLO client.example");
    host.agree_all(lines);
    host
}

const TO_CONTENT: [&str; 3] = ["MAIL FROM:<a@a>", "RCPT TO:<b@b>", "DATA"];

/// RFC 1870, 6.1 (rows X002, X004): the declared size.
#[test]
fn declared_sizes() {
    let mut host = host_with(small(), &[]);
    for (size, code) in
        [("0", 250), ("1000", 250), ("1001", 552), ("18446744073709551615", 552), ("99999999999999999999", 552)]
    {
        let reply = host.say(&format!("MAIL FROM:<a@a> SIZE={size}"));
        assert_eq!(codes(&reply), [code], "{size}");
        assert_eq!(reply.starts_with("552 5.3.4 "), code == 552);
        host.agree("RSET");
    }
    assert_eq!(host.code("MAIL FROM:<a@a> SIZE=1 SIZE=1"), 501);
    assert!(host.say("EHLO a").contains("\r\n250-SIZE 1000\r\n"));
}

/// RFC 1870, 6.3 (rows X003, X009): what counts is what comes, however it was declared, and doubled dots do not.
#[test]
fn actual_sizes() {
    for (octets, declared, code) in
        [(1_000, "", 250), (1_000, " SIZE=1", 250), (1_001, "", 552), (1_001, " SIZE=5", 552), (2_500, "", 552)]
    {
        for piece in [1, 7, 5_000] {
            let mut host = host_with(small(), &[&format!("MAIL FROM:<a@a>{declared}"), "RCPT TO:<b@b>", "DATA"]);
            let content = [&b"..\r\n".repeat(10)[..], &vec![b'x'; octets - 32], b"\r\n"].concat();
            for octets in content.chunks(piece) {
                assert_eq!(host.feed(octets), "", "nothing is said before the end");
            }
            assert!(host.content.len() <= 1_000, "nothing beyond the limit is handed out");
            let reply = host.feed(b".\r\n");
            assert_eq!(codes(&reply), [code], "{octets} octets in pieces of {piece}");
            assert_eq!(host.messages.len(), usize::from(code == 250));
            assert_eq!(host.drops > 0, code == 552);
            // The conversation goes on.
            assert_eq!(host.code("MAIL FROM:<a@a>"), 250);
        }
    }
}

/// What is refused already may go on for twice the limit, and then it has gone on for long enough.
#[test]
fn an_endless_message_has_an_end() {
    for line in ["text\r\n", "bare\n", "\r", "..\r\n"] {
        let mut host = host_with(small(), &TO_CONTENT);
        let mut fed = 0;
        let reply = loop {
            let reply = host.feed(line.as_bytes());
            fed += line.len();
            if !reply.is_empty() {
                break reply;
            }
            assert!(fed <= 3_000, "{line:?}");
        };
        assert!(reply.starts_with("421 4.3.4 "), "{reply}");
        assert!(host.is_closed && fed > 3_000 && fed <= 3_000 + line.len());
    }
}

/// Row N227: 64 KiB and more, of one line if need be (row X130).
#[test]
fn large_messages() {
    let mut host = host_with(config(), &TO_CONTENT);
    let line = vec![b'x'; 1 << 20];
    assert_eq!(host.feed(&line), "");
    assert_eq!(codes(&host.feed(b"\r\n.\r\n")), [250]);
    assert_eq!(host.messages[0].1.len(), (1 << 20) + 2);
}

/// Rows N230, N233, N236: at least 100; beyond our limit 452, and those that were accepted stay so.
#[test]
fn recipients() {
    let mut host = host_with(config(), &["MAIL FROM:<a@a>"]);
    for number in 0..1_000 {
        host.agree(&format!("RCPT TO:<{number}@b>"));
    }
    for _ in 0..100 {
        assert!(host.say("RCPT TO:<more@b>").starts_with("452 4.5.3 "));
    }
    host.agree_all(&["DATA", "."]);
    assert_eq!(host.messages[0].0.recipients.len(), 1_000);
    host.agree_all(&["MAIL FROM:<a@a>", "RCPT TO:<more@b>"]);
}

/// RFC 9422, 4.1 (row X154): what is announced is granted, and every MAIL counts: taken, refused, malformed, out of place.
#[test]
fn mails() {
    let mut config = config();
    config.mails = Some(6);
    config.recipients = 2_000_000;
    let refuse_some = |question: Question<'_>| match question {
        Question::Mail(transaction) if transaction.reverse_path == ReversePath::Null => {
            refusal(550, EnhancedCode::new(5, 7, 1))
        }
        _ => Decision::Accept,
    };
    let mut host = Host::with(config.clone(), refuse_some);
    // The RFC has no word for more than six digits; to announce less than is granted misleads nobody.
    assert!(host.agree("EHLO client.example").contains("\r\n250-LIMITS MAILMAX=6 RCPTMAX=999999\r\n"));
    host.agree_all(&["MAIL FROM:<a@a>", "RCPT TO:<b@b>", "DATA", "."]);
    for line in ["MAIL FROM:<>", "mail from:<", "MAIL", "MAIL FROM:<a@a> FOO=1"] {
        assert!(host.code(line) >= 500, "{line}");
    }
    host.agree_all(&["MAIL FROM:<a@a>", "RCPT TO:<b@b>", "DATA", "."]);
    // EHLO and RSET do not begin another session.
    host.agree_all(&["EHLO client.example", "RSET"]);
    assert_eq!(host.say("MAIL FROM:<a@a>"), "421 4.5.0 That is all for this connection; send the rest over another");
    assert!(host.is_closed);
    assert_eq!(host.messages.len(), 2);

    // One above in the same piece as the last: nothing of it is taken, nothing before it is lost.
    config.mails = Some(1);
    let mut host = Host::with(config.clone(), accept_all);
    host.agree("EHLO client.example");
    let message = "MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nDATA\r\n";
    assert_eq!(codes(&host.feed(message.as_bytes())), [250, 250, 354]);
    assert_eq!(codes(&host.feed(format!(".\r\n{message}").as_bytes())), [250, 421]);
    assert_eq!(host.messages.len(), 1);

    // A second MAIL inside of a transaction is one too many like any other, also between chunks: what came is dropped.
    let mut host = host_with(config, &["MAIL FROM:<a@a>", "RCPT TO:<b@b>"]);
    assert_eq!(codes(&host.feed(b"BDAT 3\r\nabc")), [250]);
    assert_eq!(host.code("MAIL FROM:<a@a>"), 421);
    assert!(host.is_closed && host.messages.is_empty());

    // Words that only begin like it are no MAIL.
    let mut host = host_with(self::config(), &[]);
    for line in ["MAILX FROM:<a@a>", "NOOP MAIL"] {
        host.code(line);
    }
    assert_eq!(host.session.mails, 0);
}

/// Without a limit none is announced, and none is kept: whoever moves mail may go on.
#[test]
fn mails_without_end() {
    let mut host = Host::with(config(), accept_all);
    assert!(host.agree("EHLO client.example").contains("\r\n250-LIMITS RCPTMAX=1000\r\n"));
    for _ in 0..12_000 {
        let replies = host.feed(b"MAIL FROM:<a@a>\r\nRCPT TO:<b@b>\r\nDATA\r\n.\r\n");
        assert_eq!(codes(&replies), [250, 250, 354, 250]);
    }
    // Whoever opens transactions and moves none has an end.
    let mut opened = 0;
    while !host.is_closed {
        host.feed(b"MAIL FROM:<a@a>\r\nRSET\r\n");
        opened += 1;
    }
    assert_eq!(opened, 1_001);
}

/// RFC 5321, 4.5.3.1.4 (row N224): ours is 2,048 octets.
#[test]
fn long_lines() {
    for (octets, code) in [(512, 250), (2_048, 250), (2_049, 500), (5_000, 500), (100_000, 500)] {
        for piece in [1, 100, 2_048, 200_000] {
            let mut host = host_with(config(), &[]);
            let line = format!("NOOP {}\r\n", "x".repeat(octets - 7));
            let replies: String = line.as_bytes().chunks(piece).map(|octets| host.feed(octets)).collect();
            assert_eq!(codes(&replies), [code], "{octets} octets in pieces of {piece}");
            assert_eq!(host.code("NOOP"), 250);
        }
    }
}

/// A line of a mebibyte and no end.
#[test]
fn endless_lines() {
    let mut host = host_with(config(), &[]);
    let piece = [b'x'; 4_096];
    for _ in 0..256 {
        assert_eq!(host.feed(&piece), "");
        assert!(host.buffer.len() < crate::limits::COMMAND_LINE_OCTETS);
    }
    assert!(host.feed(&piece).starts_with("421 4.7.0 "));
    assert!(host.is_closed);
}

/// RFC 5321, 7.8 and 3.8 (row N091): an unknown command closes nothing; too many do, with 421. A message wipes the slate.
#[test]
fn errors() {
    let wrong = ["XYZZY", "MAIL FROM:<", "RCPT TO:<b@b>", "EXPN x", "DATA now"];
    let mut host = host_with(config(), &[]);
    for line in wrong.iter().cycle().take(20) {
        assert!(host.code(line) >= 500, "{line}");
    }
    assert_eq!(host.code("NOOP"), 250);
    assert_eq!(host.say("XYZZY"), "421 4.7.0 Too many errors");
    assert!(host.is_closed);

    let mut host = host_with(config(), &[]);
    for _ in 0..3 {
        for line in wrong.iter().cycle().take(20) {
            host.code(line);
        }
        host.agree_all(&TO_CONTENT);
        assert_eq!(host.code("."), 250);
    }
    // A line that is too long is one of them.
    for _ in 0..20 {
        assert_eq!(codes(&host.feed(&[&[b'x'; 3_000][..], b"\r\n"].concat())), [500]);
    }
    assert_eq!(codes(&host.feed(&[&[b'x'; 3_000][..], b"\r\n"].concat())), [421]);
}

/// Commands that are right and move no mail have a limit too, a far one; refused recipients are among them, and the DATA
/// behind them: a client with PIPELINING sends it before it knows.
#[test]
fn fruitless_commands() {
    let mut config = config();
    config.fruitless_commands = 30;
    config.errors = 5;
    let refuse_some = |question: Question<'_>| match question {
        Question::Rcpt(_, recipient) if recipient.forward_path.to_string() == "<no@b>" => {
            refusal(550, EnhancedCode::new(5, 1, 1))
        }
        _ => Decision::Accept,
    };
    for line in ["NOOP", "RSET", "VRFY x", "HELP", "EHLO a", "RCPT TO:<no@b>", "DATA"] {
        let mut host = Host::with(config.clone(), refuse_some);
        host.agree_all(&["HELO a", "MAIL FROM:<a@a>"]);
        for _ in 0..29 {
            assert_ne!(host.code(line), 421, "{line}");
        }
        assert_eq!(host.say(line), "421 4.7.0 Too many commands that move no mail", "{line}");
        assert!(host.is_closed);
    }
    // A recipient that is agreed to once more: a peer that said it every five minutes held its thread for ever.
    let mut host = Host::with(config.clone(), refuse_some);
    host.agree_all(&["HELO a", "MAIL FROM:<a@a>", "RCPT TO:<b@b>"]);
    for _ in 0..28 {
        host.agree("RCPT TO:<b@b>");
    }
    host.agree("RCPT TO:<c@b>");
    host.agree("RCPT TO:<b@b>");
    assert_eq!(host.say("RCPT TO:<b@b>"), "421 4.7.0 Too many commands that move no mail");
    // Mail that moves is never too much, and wipes the slate.
    let mut host = Host::with(config, refuse_some);
    host.agree("HELO a");
    for _ in 0..100 {
        host.agree_all(&["NOOP", "MAIL FROM:<a@a>", "RCPT TO:<b@b>", "DATA", "."]);
    }
}

/// Refused content moves no mail either.
#[test]
fn refused_content_is_fruitless() {
    let mut config = config();
    config.fruitless_commands = 3;
    let mut host = host_with(config, &[]);
    for code in [550, 550, 421] {
        host.agree_all(&TO_CONTENT);
        assert_eq!(codes(&host.feed(b"a\nb\r\n.\r\n")), [code]);
    }
    assert!(host.is_closed);
}

/// RFC 5321, 6.3 (row N283): 99 hops are a long way, 100 are a circle.
#[test]
fn hops() {
    for (hops, code) in [(0, 250), (99, 250), (100, 554), (5_000, 554)] {
        for piece in [1, 13, 1 << 20] {
            let mut host = host_with(config(), &TO_CONTENT);
            let message = format!("{}\r\nReceived: body\r\n.\r\n", "received: x\r\n".repeat(hops));
            let replies: String = message.as_bytes().chunks(piece).map(|octets| host.feed(octets)).collect();
            assert_eq!(codes(&replies), [code], "{hops} hops");
            assert_eq!(replies.starts_with("554 5.4.6 "), code == 554);
        }
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// RFC 5321, 4.5.3.2.7 (row N241): five minutes for the next command, from the end of the last one; half a command is none.
#[test]
fn the_next_command_has_five_minutes() {
    let mut host = Host::connecting(config(), accept_all);
    assert_eq!(host.session.deadline(), seconds(300));
    host.now = seconds(10);
    assert_eq!(codes(&host.feed(b"")), [220]);
    assert_eq!(host.session.deadline(), seconds(310));
    host.now = seconds(100);
    host.agree("EHLO a");
    assert_eq!(host.session.deadline(), seconds(400));
    host.now = seconds(399);
    assert_eq!(host.feed(b"NOO"), "");
    assert_eq!(host.session.deadline(), seconds(400));
    assert_eq!(codes(&host.feed(b"P\r\n")), [250]);
    assert_eq!(host.session.deadline(), seconds(699));
    // A decision that takes long is not the client's time.
    assert_eq!(host.session.handle(b"MAIL FROM:<a@a>\r\n", host.now), (17, Event::Question));
    host.session.decide(Decision::Accept, seconds(1_000));
    assert_eq!(host.session.deadline(), seconds(1_300));
}

/// Content may neither stand still nor dribble: five minutes at once, then 500 octets a second on average.
#[test]
fn content_has_a_minimum_rate() {
    let mut config = config();
    config.content_timeout = seconds(60);
    config.content_octets_per_second = 100;
    let mut host = host_with(config.clone(), &["MAIL FROM:<a@a>", "RCPT TO:<b@b>"]);
    host.now = seconds(1_000);
    host.agree("DATA");
    assert_eq!(host.session.deadline(), seconds(1_060));
    host.now = seconds(1_030);
    assert_eq!(host.feed(&[b'x'; 1_000]), "");
    // 1,000 octets are worth ten seconds beyond the first sixty.
    assert_eq!(host.session.deadline(), seconds(1_070));
    assert_eq!(host.feed(b""), "");
    assert_eq!(host.session.deadline(), seconds(1_070));
    host.now = seconds(1_069);
    assert_eq!(host.feed(&[b'x'; 100_000]), "");
    // Enough for long; now standing still is what is watched.
    assert_eq!(host.session.deadline(), seconds(1_129));
    // Behind the end, accepted or refused, the client has the time for a command again.
    host.now = seconds(1_100);
    assert_eq!(codes(&host.feed(b"\r\n.\r\n")), [250]);
    assert_eq!(host.session.deadline(), seconds(1_400));
    host.agree_all(&TO_CONTENT);
    host.now = seconds(1_159);
    assert_eq!(codes(&host.feed(b"a\nb\r\n.\r\n")), [550]);
    assert_eq!(host.session.deadline(), seconds(1_459));
    // At one octet a second it is over soon after the sixty seconds.
    host.agree_all(&TO_CONTENT);
    let start = host.now;
    while host.now < host.session.deadline() {
        host.feed(b"x");
        host.now += seconds(1);
    }
    assert!((seconds(60)..seconds(63)).contains(&(host.now - start)), "{:?}", host.now - start);
    host.session.handle_close(CloseReason::Deadline);
    assert_eq!(codes(&host.feed(b"")), [421]);
    assert_eq!(host.messages.len(), 1);
}

/// "For ever" is a duration too.
#[test]
fn no_duration_overflows() {
    let mut config = config();
    config.command_timeout = Duration::MAX;
    config.content_timeout = Duration::MAX;
    config.content_octets_per_second = 0;
    let mut host = host_with(config, &[]);
    host.now = seconds(1);
    host.agree_all(&TO_CONTENT);
    assert_eq!(codes(&host.feed(b"text\r\n.\r\n")), [250]);
    assert_eq!(host.session.deadline(), Duration::MAX);
}
