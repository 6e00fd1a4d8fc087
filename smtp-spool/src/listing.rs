//! What lies in a spool, in words: lines for people, or JSON for programs. `smtp-spool list` and `smtp-client list` print it.

use std::io::Write;

use smtp_proto::date::Timestamp;
use smtp_proto::json::{Array, Text};
use smtp_proto::parameter::{MailParameters, RcptParameters};
use smtp_proto::printable::Printable;

use crate::error::ReadError;
use crate::id::MessageId;
use crate::reader::{MessageState, Summary};
use crate::recipient_state::{RecipientState, Status};

/// Writes what a spool holds. A message that has vanished since the folder was read is no part of it.
pub fn write(messages: impl Iterator<Item = Listed>, is_json: bool, output: &mut dyn Write) -> std::io::Result<()> {
    let messages = messages.filter(|(_, summary)| !matches!(summary, Err(ReadError::Missing)));
    if is_json { write_json(messages, output) } else { write_lines(messages, output) }
}

/// A message as [`Reader::list`](crate::Reader::list) gives it.
pub type Listed = (MessageId, Result<Summary, ReadError>);

/// A line for each message, and one for each of its recipients.
fn write_lines(messages: impl Iterator<Item = Listed>, output: &mut dyn Write) -> std::io::Result<()> {
    for (id, summary) in messages {
        match summary {
            Ok(summary) => write_line(&summary, output)?,
            Err(error) => writeln!(output, "{id}  {error}")?,
        }
    }
    Ok(())
}

fn write_line(summary: &Summary, output: &mut dyn Write) -> std::io::Result<()> {
    let Summary { id, size, envelope, .. } = summary;
    let (state, date) = (name(summary.state()), date(envelope.received_at_unix_seconds));
    let from = format!("{}{}", envelope.reverse_path, wishes(&envelope.mail));
    write!(output, "{id}  {state:8}  {size:>9}  {date}  {} ->", Printable(&from))?;
    for recipient in &envelope.recipients {
        let to = format!("{}{}", recipient.forward_path, recipient.parameters);
        write!(output, " {}", Printable(&to))?;
    }
    writeln!(output)?;
    for (recipient, state) in envelope.recipients.iter().zip(&summary.recipients) {
        let RecipientState { lane, remark, .. } = state;
        let forward_path = recipient.forward_path.to_string();
        let when = due(state.status).map(|at| format!(" {}", self::date(at))).unwrap_or_default();
        write!(
            output,
            "    {}  {}{when}  {}",
            Printable(&forward_path),
            status(state.status),
            Printable(lane.as_str())
        )?;
        writeln!(output, "  {}", Printable(remark))?;
    }
    Ok(())
}

/// What the sender said about reports, as MAIL says it (RFC 3461, 4); not what only helped the message to come in.
fn wishes(mail: &MailParameters) -> MailParameters {
    MailParameters { ret: mail.ret, envid: mail.envid.clone(), ..MailParameters::default() }
}

/// An array of JSON, one object a line.
fn write_json(messages: impl Iterator<Item = Listed>, output: &mut dyn Write) -> std::io::Result<()> {
    write!(output, "[")?;
    for (place, (id, summary)) in messages.enumerate() {
        let comma = if place == 0 { "" } else { "," };
        let object = match summary {
            Ok(summary) => object(&summary),
            Err(error) => {
                format!(r#"{{"id":{},"state":"unreadable","reason":{}}}"#, Text(id.as_str()), Text(&error.to_string()))
            }
        };
        write!(output, "{comma}\n{object}")?;
    }
    writeln!(output, "\n]")
}

fn object(summary: &Summary) -> String {
    let Summary { id, size, envelope, .. } = summary;
    let recipients = envelope.recipients.iter().enumerate().map(|(number, recipient)| {
        let to = recipient.forward_path.to_string();
        let state = summary.recipients.get(number).map(state_members).unwrap_or_default();
        format!(r#"{{"to":{}{}{state}}}"#, Text(&to), rcpt_members(&recipient.parameters))
    });
    format!(
        r#"{{"id":{},"state":{},"size_bytes":{size},"received_at_unix_seconds":{},"from":{}{},"recipients":{}}}"#,
        Text(id.as_str()),
        Text(name(summary.state())),
        envelope.received_at_unix_seconds,
        Text(&envelope.reverse_path.to_string()),
        mail_members(&envelope.mail),
        Array(recipients.collect()),
    )
}

/// What the sender said about reports, in the words of MAIL and RCPT, ENVID and ORCPT encoded as they came (RFC 3461, 4). What
/// was not said has no member.
fn mail_members(mail: &MailParameters) -> String {
    member("ret", mail.ret) + &member("envid", mail.envid.as_ref())
}

fn rcpt_members(rcpt: &RcptParameters) -> String {
    member("notify", rcpt.notify) + &member("orcpt", rcpt.orcpt.as_ref())
}

/// With a comma before it.
fn member(name: &str, value: Option<impl ToString>) -> String {
    value.map(|value| format!(r#","{name}":{}"#, Text(&value.to_string()))).unwrap_or_default()
}

/// The members that tell where a recipient stands, each with a comma before it.
fn state_members(state: &RecipientState) -> String {
    let due = due(state.status).map(|at| format!(r#","due_unix_seconds":{at}"#)).unwrap_or_default();
    let (lane, remark) = (Text(state.lane.as_str()), Text(&state.remark));
    format!(r#","status":{}{due},"lane":{lane},"remark":{remark}"#, Text(status(state.status)))
}

fn name(state: MessageState) -> &'static str {
    match state {
        MessageState::Kept => "kept",
        MessageState::Queued => "queued",
        MessageState::Held => "held",
        MessageState::Finished => "finished",
    }
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Due(_) => "due",
        Status::Held => "held",
        Status::Expanded => "expanded",
        Status::Delivered => "delivered",
        Status::Failed => "failed",
    }
}

fn due(status: Status) -> Option<i64> {
    match status {
        Status::Due(at) => Some(at),
        _ => None,
    }
}

fn date(unix_seconds: i64) -> Timestamp {
    Timestamp { unix_seconds, offset_minutes: 0 }
}
