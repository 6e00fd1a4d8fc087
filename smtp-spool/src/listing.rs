//! What lies in a spool, in words: lines for people, or JSON for programs. `smtp-spool list` and `smtp-client list` print it.

mod json;

use std::io::Write;

use smtp_proto::address::ForwardPath;
use smtp_proto::date::Timestamp;
use smtp_proto::parameter::MailParameters;
use smtp_proto::printable::Printable;

use crate::error::ReadError;
use crate::id::MessageId;
use crate::reader::{MessageState, Summary};
use crate::recipient_state::{RecipientState, Report, Status};

/// A message as [`Reader::list`](crate::Reader::list) gives it.
pub type Listed = (MessageId, Result<Summary, ReadError>);

/// Writes what a spool holds. A message that has vanished since the folder was read is no part of it. `lifetime_seconds` is
/// [`Reader::lifetime_seconds`](crate::Reader::lifetime_seconds): when a recipient is given up follows from it.
pub fn write(
    messages: impl Iterator<Item = Listed>,
    lifetime_seconds: i64,
    is_json: bool,
    output: &mut dyn Write,
) -> std::io::Result<()> {
    let mut messages = messages.filter(|(_, summary)| !matches!(summary, Err(ReadError::Missing)));
    let write = if is_json { json::write_json } else { write_lines };
    write(&mut messages, lifetime_seconds, output)
}

/// A line for each message, and one for each of its recipients.
fn write_lines(
    messages: &mut dyn Iterator<Item = Listed>,
    lifetime_seconds: i64,
    output: &mut dyn Write,
) -> std::io::Result<()> {
    for (id, summary) in messages {
        match summary {
            Ok(summary) => write_line(&summary, lifetime_seconds, output)?,
            Err(error) => writeln!(output, "{id}  {error}")?,
        }
    }
    Ok(())
}

fn write_line(summary: &Summary, lifetime_seconds: i64, output: &mut dyn Write) -> std::io::Result<()> {
    let Summary { id, size, envelope, .. } = summary;
    let (state, date) = (name(summary.state()), date(envelope.received_at_unix_seconds));
    let from = format!("{}{}", envelope.reverse_path, wishes(&envelope.mail));
    write!(output, "{id}  {state:8}  {size:>9}  {date}  {} ->", Printable(&from))?;
    for recipient in &envelope.recipients {
        let to = format!("{}{}", recipient.forward_path, recipient.parameters);
        write!(output, " {}", Printable(&to))?;
    }
    writeln!(output)?;
    for (number, state) in summary.recipients.iter().enumerate() {
        let Some(forward_path) = forward_path(summary, number) else { continue };
        let to = forward_path.to_string();
        write!(output, "    {}", Printable(&to))?;
        if let Some(alias) = alias(summary, state) {
            write!(output, " for {}", Printable(&alias.to_string()))?;
        }
        write!(output, "  {}", status(state.status))?;
        if let Some(at) = due(state.status) {
            write!(output, " {} (until {})", self::date(at), self::date(give_up_at(summary, lifetime_seconds)))?;
        }
        write!(output, "  {}", Printable(state.lane.as_str()))?;
        if state.attempts > 0 {
            write!(output, "  {} tried", state.attempts)?;
        }
        if let Some(report) = report(&state.report) {
            write!(output, "  report {report}")?;
        }
        if let Some(warning) = report(&state.warning) {
            write!(output, "  warning {warning}")?;
        }
        writeln!(output, "  {}", Printable(&state.remark))?;
    }
    Ok(())
}

/// Who a recipient is: one of the envelope, or behind those one who stands for an alias.
fn forward_path(summary: &Summary, number: usize) -> Option<&ForwardPath> {
    let target = summary.recipients.get(number).and_then(|state| state.target_of.as_ref());
    let recipient = target.map(|(target, _)| target).or_else(|| summary.envelope.recipients.get(number))?;
    Some(&recipient.forward_path)
}

/// The alias for which a recipient stands.
fn alias<'a>(summary: &'a Summary, state: &RecipientState) -> Option<&'a ForwardPath> {
    state.target_of.as_ref().and_then(|(_, alias)| forward_path(summary, *alias))
}

/// When it is given up: with the first try behind this time.
fn give_up_at(summary: &Summary, lifetime_seconds: i64) -> i64 {
    summary.envelope.received_at_unix_seconds.saturating_add(lifetime_seconds)
}

/// What the sender said about reports, as MAIL says it (RFC 3461, 4); not what only helped the message to come in.
fn wishes(mail: &MailParameters) -> MailParameters {
    MailParameters { ret: mail.ret, envid: mail.envid.clone(), ..MailParameters::default() }
}

/// A word for a state.
pub fn name(state: MessageState) -> &'static str {
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

/// How far a report to the sender is. A word only if there is, or was, one to be made.
fn report(report: &Report) -> Option<&'static str> {
    match report {
        Report::None => None,
        Report::Owed => Some("owed"),
        Report::Begun(_) => Some("begun"),
        Report::Made => Some("made"),
    }
}

/// A time as listings write it, in UTC.
pub fn date(unix_seconds: i64) -> Timestamp {
    Timestamp { unix_seconds, offset_minutes: 0 }
}
