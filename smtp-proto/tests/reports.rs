//! Reports as a sender sees them: the files under `tests/reports`, with LF for CRLF.
//!
//! `SNAPSHOTS=overwrite cargo test -p smtp-proto --test reports` writes them anew.

// A helper of a test is a test: what it did not expect fails it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{env, fs};

use smtp_proto::command::Command;
use smtp_proto::date::Timestamp;
use smtp_proto::reply::EnhancedCode;
use smtp_proto::report::{Action, Original, Report, ReportedRecipient, status};
use smtp_proto::transaction::{Recipient, Transaction};

const ARRIVED_AT: Timestamp = Timestamp { unix_seconds: 1_795_414_841, offset_minutes: 60 };
const LAST_ATTEMPT: Timestamp = Timestamp { unix_seconds: 1_795_587_600, offset_minutes: 60 };
const AT: Timestamp = Timestamp { unix_seconds: 1_795_587_641, offset_minutes: 60 };
const WILL_RETRY_UNTIL: Timestamp = Timestamp { unix_seconds: 1_795_846_841, offset_minutes: 60 };

/// What became of one recipient: the action, the status, what was said, and by whom.
type Fate<'a> = (Action, EnhancedCode, Option<&'a str>, Option<&'a str>);

/// The envelope of a message, in SMTP.
fn transaction(commands: &[&str]) -> Transaction {
    let mut transaction = Transaction::new(smtp_proto::address::ReversePath::Null);
    for command in commands {
        match Command::parse(command.as_bytes()).unwrap() {
            Command::Mail { reverse_path, parameters } => {
                (transaction.reverse_path, transaction.parameters) = (reverse_path, parameters);
            }
            Command::Rcpt { forward_path, parameters } => {
                transaction.recipients.push(Recipient { forward_path, parameters });
            }
            other => panic!("{other}"),
        }
    }
    transaction
}

/// Makes a report on a message, and holds it against its file.
fn check(name: &str, commands: &[&str], message: &str, fates: &[Fate<'_>]) {
    let (transaction, message) = (transaction(commands), message.replace('\n', "\r\n"));
    let recipients = transaction.recipients.iter().zip(fates).map(|(recipient, fate)| {
        let &(action, status, diagnostic, remote_mta) = fate;
        let last_attempt = diagnostic.map(|_| LAST_ATTEMPT);
        ReportedRecipient { recipient, action, status, diagnostic, remote_mta, last_attempt }
    });
    let recipients: Vec<_> = recipients.collect();
    let report = Report {
        reporting_mta: &"mx.example.org".parse().unwrap(),
        id: "0r3p0rt-000-7f3a9c5e01b2",
        at: AT,
        reverse_path: transaction.reverse_path.mailbox().unwrap(),
        original: Original {
            id: "0m3ss4ge-000-1c2d3e4f5a6b",
            arrived_at: ARRIVED_AT,
            mail: &transaction.parameters,
            octets: message.len() as u64,
            is_eight_bit: !message.is_ascii(),
        },
        recipients: &recipients,
    };

    let mut output = Vec::new();
    let mut returned = report.write_head(&mut output);
    returned.handle(message.as_bytes(), &mut output);
    returned.finish(&mut output);
    let envelope = report.envelope();
    let printed = format!(
        "MAIL FROM:{}{}\nRCPT TO:{}{}\n\n{}",
        envelope.reverse_path,
        envelope.parameters,
        envelope.recipients[0].forward_path,
        envelope.recipients[0].parameters,
        String::from_utf8(output).unwrap().replace("\r\n", "\n"),
    );
    let path = format!("{}/tests/reports/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if env::var("SNAPSHOTS").is_ok_and(|what| what == "overwrite") {
        fs::write(&path, &printed).unwrap();
    }
    assert_eq!(printed, fs::read_to_string(&path).unwrap(), "{name}");
}

const MESSAGE: &str = "From: Alice <alice@example.net>\nTo: bob@example.com\nSubject: Lunch\n\nAt noon?\n";

/// Rows N075, N207, N213, N277, X079, X086, X087, X088, X089, X090: one report for three recipients that failed.
#[test]
fn failed() {
    let commands = [
        "MAIL FROM:<alice@example.net> RET=FULL ENVID=QQ+20314159",
        "RCPT TO:<bob@mail.example.com> NOTIFY=FAILURE,DELAY ORCPT=rfc822;Bob@example.com",
        "RCPT TO:<carol@example.com>",
        "RCPT TO:<dana@nowhere.example>",
    ];
    let refused = "550 5.1.1 <bob@mail.example.com>: recipient address refused: no such user in the table of local \
                   recipients / see https://mail.example.com/help";
    let mx = Some("mx.example.com [192.0.2.7]");
    check(
        "failed",
        &commands,
        MESSAGE,
        &[
            (Action::Failed, EnhancedCode::new(5, 1, 1), Some(refused), mx),
            (
                Action::Failed,
                status::of_expired(Some(EnhancedCode::new(4, 2, 2))),
                Some("452 4.2.2 the mailbox is full"),
                mx,
            ),
            (Action::Failed, status::NO_SUCH_DOMAIN, Some("there is no domain nowhere.example"), None),
        ],
    );
}

/// Rows X086, X093, X094: when it will be given up; the header section only, though the sender asked for all.
#[test]
fn delayed() {
    let commands = ["MAIL FROM:<alice@example.net> RET=FULL", "RCPT TO:<bob@example.com>"];
    let action = Action::Delayed { will_retry_until: WILL_RETRY_UNTIL };
    check(
        "delayed",
        &commands,
        MESSAGE,
        &[(action, status::NO_ANSWER, Some("connection refused"), Some("mx.example.com"))],
    );
}

/// Rows X078, X081: delivered, relayed, expanded.
#[test]
fn succeeded() {
    let commands = [
        "MAIL FROM:<alice@example.net>",
        "RCPT TO:<bob@example.org> NOTIFY=SUCCESS",
        "RCPT TO:<carol@example.com> NOTIFY=SUCCESS,FAILURE",
        "RCPT TO:<team@example.org> NOTIFY=SUCCESS",
    ];
    let success = EnhancedCode::new(2, 0, 0);
    check(
        "succeeded",
        &commands,
        MESSAGE,
        &[
            (Action::Delivered, EnhancedCode::new(2, 1, 5), None, None),
            (Action::Relayed, success, Some("250 2.0.0 queued as 4711"), Some("mx.example.com")),
            (Action::Expanded, success, None, None),
        ],
    );
}

const UTF8: &str = "From: Änne <anne@example.net>\nTo: müller@example.com\nSubject: Grüße\n\n1+1=2 \nÄÖÜ\n";

/// Row X137: an SMTPUTF8 message, to be told of over a way that may know ASCII only.
#[test]
fn utf8_over_ascii() {
    let commands = [
        "MAIL FROM:<anne@example.net> BODY=8BITMIME SMTPUTF8",
        "RCPT TO:<müller@example.com> ORCPT=utf-8;m\\x{FC}ller@example.com",
    ];
    let fate =
        (Action::Failed, status::CONVERSION_NEEDED, Some("mx.example.com does not take UTF-8 in addresses"), None);
    check("utf8-over-ascii", &commands, UTF8, &[fate]);
}

/// Row X137: the same to an address beyond ASCII.
#[test]
fn utf8() {
    let commands = [
        "MAIL FROM:<änne@example.net> BODY=8BITMIME SMTPUTF8 RET=HDRS",
        "RCPT TO:<müller@example.com> ORCPT=utf-8;m\\x{FC}ller@example.com",
    ];
    let fate = (Action::Failed, EnhancedCode::new(5, 7, 1), Some("554 5.7.1 no"), Some("mx.example.com"));
    check("utf8", &commands, UTF8, &[fate]);
}

/// RFC 2046, 5.2.1: an 8-bit message goes back as it is.
#[test]
fn eight_bit() {
    let commands = ["MAIL FROM:<anne@example.net> BODY=8BITMIME", "RCPT TO:<bob@example.com>"];
    check(
        "eight-bit",
        &commands,
        "Subject: x\nContent-Type: text/plain; charset=utf-8\n\nÄÖÜ\n",
        &[(Action::Failed, EnhancedCode::new(5, 3, 4), Some("552 5.3.4 too large"), Some("mx.example.com"))],
    );
}
