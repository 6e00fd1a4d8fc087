//! A listing as JSON: the same as the lines show, for programs.

use std::io::Write;

use super::{Listed, alias, due, forward_path, give_up_at, name, report, status};
use crate::reader::Summary;
use crate::recipient_state::RecipientState;
use smtp_proto::json::{Array, Text};
use smtp_proto::parameter::{MailParameters, RcptParameters};

/// An array, one object a line.
pub(super) fn write_json(
    messages: &mut dyn Iterator<Item = Listed>,
    lifetime_seconds: i64,
    output: &mut dyn Write,
) -> std::io::Result<()> {
    write!(output, "[")?;
    for (place, (id, summary)) in messages.enumerate() {
        let comma = if place == 0 { "" } else { "," };
        let object = match summary {
            Ok(summary) => object(&summary, lifetime_seconds),
            Err(error) => {
                format!(r#"{{"id":{},"state":"unreadable","reason":{}}}"#, Text(id.as_str()), Text(&error.to_string()))
            }
        };
        write!(output, "{comma}\n{object}")?;
    }
    writeln!(output, "\n]")
}

fn object(summary: &Summary, lifetime_seconds: i64) -> String {
    let Summary { id, size, envelope, .. } = summary;
    let numbers = 0..envelope.recipients.len().max(summary.recipients.len());
    let recipients = numbers.filter_map(|number| {
        let to = forward_path(summary, number)?.to_string();
        let rcpt = envelope.recipients.get(number).map(|recipient| rcpt_members(&recipient.parameters));
        let state = summary.recipients.get(number).map(|state| state_members(summary, state, lifetime_seconds));
        Some(format!(r#"{{"to":{}{}{}}}"#, Text(&to), rcpt.unwrap_or_default(), state.unwrap_or_default()))
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
fn state_members(summary: &Summary, state: &RecipientState, lifetime_seconds: i64) -> String {
    let due = due(state.status)
        .map(|at| {
            format!(r#","due_unix_seconds":{at},"give_up_unix_seconds":{}"#, give_up_at(summary, lifetime_seconds))
        })
        .unwrap_or_default();
    let (lane, remark) = (Text(state.lane.as_str()), Text(&state.remark));
    format!(
        r#"{},"status":{}{due},"lane":{lane},"attempts":{},"remark":{remark}{}{}"#,
        member("target_of", alias(summary, state)),
        Text(status(state.status)),
        state.attempts,
        member("report", report(&state.report)),
        member("warning", report(&state.warning)),
    )
}
