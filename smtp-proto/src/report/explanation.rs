//! The first part of a report, for people: what happened to whom, what the other server said, and what to do now.

use std::fmt::{self, Write};

use super::fields::is_reply;
use super::{Action, Part, Report, ReportedRecipient, status, text};
use crate::limits;
use crate::printable::Printable;
use crate::reply::EnhancedCode;

/// The words, with CRLF behind every line.
pub(super) struct Explanation<'a>(pub(super) &'a Report<'a>);

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Explanation(report) = self;
        let (host, original) = (Printable(&report.reporting_mta.to_string()).to_string(), &report.original);
        paragraph(f, "", &format!("This is the mail server {host}, about the message that you sent."))?;
        for reported in report.recipients {
            f.write_str("\r\n")?;
            self.recipient(f, reported)?;
        }
        f.write_str("\r\n")?;
        let given_back = match report.returns() {
            Part::Full => "your message",
            Part::Headers => "the header section of your message",
        };
        let (arrived, id) = (original.arrived_at, text::id(original.id));
        paragraph(
            f,
            "",
            &format!(
                "Your message reached us on {arrived} and is called {id} here. Behind these words follow the details for \
                 programs and {given_back}. If you need help, answer this report and leave all of it in your \
                 answer: it goes to postmaster@{host}, who looks after this server."
            ),
        )
    }
}

impl Explanation<'_> {
    fn recipient(&self, f: &mut fmt::Formatter<'_>, reported: &ReportedRecipient<'_>) -> fmt::Result {
        let address = reported.recipient.forward_path.to_string();
        paragraph(f, "  ", &Printable(&address).to_string())?;
        // The sender may never have seen the address to which somebody forwarded the message (RFC 3464, 1.3).
        let written = reported.recipient.parameters.orcpt.as_ref().and_then(|orcpt| orcpt.mailbox());
        if let Some(written) = written.filter(|written| format!("<{written}>") != address) {
            paragraph(f, "    ", &format!("You wrote to <{}>.", Printable(&written.to_string())))?;
        }
        paragraph(f, "    ", &what_happened(reported))?;
        if let Some(diagnostic) = reported.diagnostic {
            let who = match (is_reply(diagnostic), reported.remote_mta) {
                (true, Some(name)) => format!("{} said:", text::printable(name, limits::REMOTE_MTA_OCTETS)),
                (true, None) => "The reply was:".to_owned(),
                (false, Some(name)) => format!("With {}:", text::printable(name, limits::REMOTE_MTA_OCTETS)),
                (false, None) => "The reason:".to_owned(),
            };
            paragraph(f, "    ", &who)?;
            paragraph(f, "      ", &text::printable(diagnostic, limits::DIAGNOSTIC_OCTETS))?;
        }
        if reported.action == Action::Failed {
            paragraph(f, "    ", what_to_do(reported.status))?;
        }
        Ok(())
    }
}

fn what_happened(reported: &ReportedRecipient<'_>) -> String {
    match reported.action {
        Action::Failed if status::is_expired(reported.status) => {
            "Your message could not be delivered in time. We have given up trying.".to_owned()
        }
        Action::Failed => "Your message could not be delivered. We do not try again.".to_owned(),
        Action::Delayed { will_retry_until } => format!(
            "Your message has not been delivered yet. We keep trying until {will_retry_until}. You need not do anything, \
             and need not send it again."
        ),
        Action::Delivered => {
            "Your message was delivered to the mailbox. Nobody knows whether it has been read.".to_owned()
        }
        Action::Relayed => {
            "Your message was passed on to a server that does not report when it has delivered. You will \
                            hear of it again only if something goes wrong."
                .to_owned()
        }
        Action::Expanded => {
            "Your message was delivered and sent on to several addresses. You may still hear that it did \
                             not reach one of them."
                .to_owned()
        }
    }
}

/// By the subject of the status code (RFC 3463, 3); what it says comes from the other server, and may be wrong.
fn what_to_do(status: EnhancedCode) -> &'static str {
    match (status.subject, status.detail) {
        (1, 2 | 10) | (4, 4) => {
            "What you can do: look at what stands behind the @. It may be misspelt, or receive no mail at all."
        }
        (1, 7 | 8) => "What you can do: ask those who run your mail. The other server does not like your own address.",
        (1, _) => {
            "What you can do: look for a spelling mistake in the address, or ask the recipient for the right one."
        }
        (2, 2) => {
            "What you can do: tell the recipient in another way that the mailbox is full, and send it again later."
        }
        (2, 3) | (3, 4) => {
            "What you can do: send a smaller message, or a link to where the large part of it can be found."
        }
        (2, _) => {
            "What you can do: send it again later, or ask the recipient in another way whether the mailbox is used."
        }
        (4, 6) => "What you can do: tell the recipient in another way that mail for the address goes round in circles.",
        (3 | 4, _) => "What you can do: send it again later. The other server is out of order or cannot be reached.",
        (6, _) => "What you can do: send it in another form. The other server cannot take this kind of content.",
        (7, _) => {
            "What you can do: ask the recipient in another way to have you let in, or ask those who run your mail. The rules \
             of the other server do not let your message pass."
        }
        _ => "What you can do: show this report to those who run your mail.",
    }
}

/// Writes a paragraph, each line indented.
fn paragraph(f: &mut fmt::Formatter<'_>, indentation: &str, words: &str) -> fmt::Result {
    let mut lines = indentation.to_owned();
    text::fold(&mut lines, indentation.len(), words, indentation);
    lines.write_str("\r\n")?;
    f.write_str(&lines)
}
