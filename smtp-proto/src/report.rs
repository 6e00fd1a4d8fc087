//! What a sender hears of a message: the delivery status notification, itself a message (RFC 3461, 6; RFC 3464; RFC 6522).
//!
//! A report has three parts: words for people, fields for programs, and what it is about, the original message or its
//! header section. The third may be large, so it streams through:
//!
//! ```text
//!   Report::write_head -> output   header of the report, words, fields, header of the third part
//!   Returned::handle   -> output   the original, until it is over or `is_complete`
//!   Returned::finish   -> output   the end of the third part and of the report
//! ```
//!
//! Who may hear of what is decided by [`wants_report`]; how a failure becomes a status code, by [`status`]. When to make a
//! report, and how to send it, is not decided here.
//!
//! Next hosts, senders and recipients say what they like, and all of it is repeated here. So whatever comes from outside is
//! printable ASCII or well-formed by type before it is written, bounded, and folded: no value begins a field, a part or a
//! message of its own (RFC 3464, 2.3.2), and no line is longer than 998 octets (RFC 5322, 2.1.1).
//!
//! # What the report's way must be able to carry
//!
//! Nobody knows that way when the report is made. So it asks for no more than it must: everything is 7-bit, what was not
//! is in quoted-printable, with two exceptions. An 8-bit message that is given back whole must stay as it is (RFC 2046,
//! 5.2.1 forbids any encoding of `message/rfc822`), and needs 8BITMIME, as it did on its way here. And a report to an address
//! beyond ASCII needs SMTPUTF8 anyway, so it is written in UTF-8 throughout (RFC 6533, 4). [`Report::envelope`] says which.

mod explanation;
mod fields;
mod quoted_printable;
mod returned;
pub mod status;
mod text;
mod wishes;

use std::fmt;

use crate::address::{Domain, ForwardPath, Mailbox, ReversePath};
use crate::date::Timestamp;
use crate::limits;
use crate::parameter::{Body, MailParameters, Notify, RcptParameters, Ret};
use crate::reply::EnhancedCode;
use crate::transaction::{Recipient, Transaction};
use explanation::Explanation;
use quoted_printable::QuotedPrintable;
pub use returned::Returned;
pub use wishes::{Case, wants_report};

/// One report about one message and some of its recipients. Several recipients share a report rather than getting one each
/// (RFC 5321, 4.4).
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// The host that makes it: our name.
    pub reporting_mta: &'a Domain,
    /// The name of the report at this host: letters, digits and hyphens, at most 50; anything else in it is not printed.
    ///
    /// The boundary between the parts is made of it, and must not occur in the original (RFC 2046, 5.1.1), which is not
    /// searched for it. So the id must be one that nobody could know when the original was written: never given before, made
    /// when the report is, and at least partly random.
    pub id: &'a str,
    /// When the report is made.
    pub at: Timestamp,
    /// To whom it goes: what MAIL of the original said. No report goes to the null reverse-path (RFC 3461, 5.2), so there is
    /// no way to write one.
    pub reverse_path: &'a Mailbox,
    /// What it is about.
    pub original: Original<'a>,
    /// For whom, at least one (RFC 3464, 2.1), and none who is not to be reported on (RFC 3461, 5.2.8; [`wants_report`]).
    pub recipients: &'a [ReportedRecipient<'a>],
}

/// The message a report is about.
#[derive(Clone, Debug)]
pub struct Original<'a> {
    /// Its name at this host: letters, digits and hyphens, as for the report.
    pub id: &'a str,
    /// When it arrived here.
    pub arrived_at: Timestamp,
    /// The parameters of MAIL with which it arrived.
    pub mail: &'a MailParameters,
    /// How long it is.
    pub octets: u64,
    /// Whether any octet of it is beyond ASCII, in the header section or behind it.
    pub is_eight_bit: bool,
}

/// One recipient of the original, and what became of it.
#[derive(Clone, Debug)]
pub struct ReportedRecipient<'a> {
    /// The address and the wishes, as RCPT brought them.
    pub recipient: &'a Recipient,
    /// What was done.
    pub action: Action,
    /// Why: see [`status`].
    pub status: EnhancedCode,
    /// The last reply on one line, as [`Reply`](crate::reply::Reply) prints it; or, in our own words, why there was none.
    pub diagnostic: Option<&'a str>,
    /// The host that gave that reply, if any host was talked to, as people read it: its name, perhaps with a port and the
    /// address in brackets behind. The field for programs has the name alone.
    pub remote_mta: Option<&'a str>,
    /// When it was last tried.
    pub last_attempt: Option<Timestamp>,
}

/// What this host did about a recipient (RFC 3464, 2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Given up.
    Failed,
    /// Not yet delivered.
    Delayed {
        /// How long it will be tried.
        will_retry_until: Timestamp,
    },
    /// In the mailbox.
    Delivered,
    /// Handed over to a host that reports no success.
    Relayed,
    /// Delivered, and sent on to several addresses.
    Expanded,
}

/// How much of the original a report gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Full,
    /// The header section.
    Headers,
}

impl Report<'_> {
    /// How much of the original is given back.
    ///
    /// RFC 3461, 6.2: all of it only if delivery failed, and not if it is larger than this host likes. Without RET the choice
    /// is ours (RFC 3461, 4.3), and RFC 6522, 3 asks for all of it; then the limit is lower, since many a reverse-path is
    /// forged, and its owner never wrote what would come.
    pub fn returns(&self) -> Part {
        let has_failed = self.recipients.iter().any(|recipient| recipient.action == Action::Failed);
        let limit = match self.original.mail.ret {
            // RFC 8689, 5: "the server MUST behave as if RET=HDRS was present".
            _ if self.original.mail.require_tls => return Part::Headers,
            Some(Ret::Headers) => return Part::Headers,
            Some(Ret::Full) => limits::RETURNED_OCTETS_IF_ASKED,
            None => limits::RETURNED_OCTETS,
        };
        if has_failed && self.original.octets <= limit { Part::Full } else { Part::Headers }
    }

    /// The transaction with which the report is sent (RFC 3461, 6.1): from nobody, to the reverse-path, without RET, and
    /// never to be reported on itself.
    pub fn envelope(&self) -> Transaction {
        let is_eight_bit = self.is_international() || self.third_part().encoding == Encoding::EightBit;
        let mut envelope = Transaction::new(ReversePath::Null);
        envelope.parameters.body = is_eight_bit.then_some(Body::EightBitMime);
        envelope.parameters.smtputf8 = self.is_international();
        // RFC 8689, 5: reports "MUST be protected in the same manner as the original message".
        envelope.parameters.require_tls = self.original.mail.require_tls;
        let parameters = RcptParameters { notify: Some(Notify::Never), orcpt: None };
        let forward_path = ForwardPath::Mailbox(self.reverse_path.clone());
        envelope.recipients.push(Recipient { forward_path, parameters });
        envelope
    }

    /// Appends everything that stands before the original. The original goes through what comes back.
    pub fn write_head(&self, output: &mut Vec<u8>) -> Returned {
        let (boundary, third, fields) = (self.boundary(), self.third_part(), fields::fields(self));
        // RFC 6533, 4.4: the old type does where nothing is lost by it.
        let (report_type, encoding) = match fields.is_ascii() {
            true => ("delivery-status", Encoding::SevenBit),
            false => ("global-delivery-status", Encoding::EightBit),
        };
        let mut head = self.header(&boundary, report_type);
        self.write_explanation(&mut head, &boundary);
        // RFC 6522, 3: the type of the report is the subtype of its second part.
        part(&mut head, &boundary, &format!("message/{report_type}"), encoding);
        head.push_str(&fields);
        part(&mut head, &boundary, third.content_type, third.encoding);
        output.extend_from_slice(head.as_bytes());
        Returned::new(self.returns(), third.encoding == Encoding::QuotedPrintable, &boundary)
    }

    /// The header section of the report, and what a reader without MIME sees.
    fn header(&self, boundary: &str, report_type: &str) -> String {
        let (host, to) = (self.reporting_mta, self.reverse_path);
        let (id, at, subject) = (text::id(self.id), self.at, self.subject());
        let encoding = if self.envelope().parameters.body.is_some() { Encoding::EightBit } else { Encoding::SevenBit };
        // RFC 3464, 2 wants a person behind From, so that an answer reaches one. But programs know a report by the name that
        // it has had for forty years; so the person is in Reply-To. RFC 3834, 5: no program answers what was auto-replied.
        format!(
            "Date: {at}\r\n\
             From: Mail Delivery System <MAILER-DAEMON@{host}>\r\n\
             Reply-To: <postmaster@{host}>\r\n\
             To: <{to}>\r\n\
             Subject: {subject}\r\n\
             Message-ID: <{id}@{host}>\r\n\
             Auto-Submitted: auto-replied\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type={report_type};\r\n\tboundary=\"{boundary}\"\r\n\
             Content-Transfer-Encoding: {encoding}\r\n\
             \r\n\
             This is a report about a message that you sent, in several parts (MIME).\r\n"
        )
    }

    /// The worst that is reported, in the reader's words.
    fn subject(&self) -> &'static str {
        let rank = |action: &Action| match action {
            Action::Failed => 4,
            Action::Delayed { .. } => 3,
            Action::Expanded => 2,
            Action::Relayed => 1,
            Action::Delivered => 0,
        };
        match self.recipients.iter().map(|recipient| recipient.action).max_by_key(rank) {
            Some(Action::Failed) => "Your message could not be delivered",
            Some(Action::Delayed { .. }) => "Your message is delayed; we keep trying",
            Some(Action::Expanded) => "Your message was delivered and sent on to others",
            Some(Action::Relayed) => "Your message was passed on",
            Some(Action::Delivered) | None => "Your message was delivered",
        }
    }

    /// RFC 6522, 3: the first part, for people.
    fn write_explanation(&self, head: &mut String, boundary: &str) {
        let explanation = Explanation(self).to_string();
        if explanation.is_ascii() {
            part(head, boundary, "text/plain; charset=us-ascii", Encoding::SevenBit);
            head.push_str(&explanation);
        } else {
            part(head, boundary, "text/plain; charset=utf-8", Encoding::QuotedPrintable);
            let (mut encoder, mut encoded) = (QuotedPrintable::default(), Vec::new());
            encoder.handle(explanation.as_bytes(), &mut encoded);
            encoder.finish(&mut encoded);
            head.extend(encoded.into_iter().map(char::from));
        }
    }

    /// The third part: what it is, and how it is carried.
    fn third_part(&self) -> ThirdPart {
        // RFC 6533, 4.4: UTF-8 has types of its own; what is ASCII after all needs none of them.
        let is_utf8 = self.original.is_eight_bit && self.original.mail.smtputf8;
        let content_type = match (self.returns(), is_utf8) {
            (Part::Full, false) => "message/rfc822",
            (Part::Full, true) => "message/global",
            (Part::Headers, false) => "text/rfc822-headers",
            (Part::Headers, true) => "message/global-headers",
        };
        let encoding = match (self.original.is_eight_bit, self.returns()) {
            (false, _) => Encoding::SevenBit,
            // RFC 2046, 5.2.1: no encoding but 7bit, 8bit and binary is permitted for message/rfc822.
            (true, Part::Full) if !is_utf8 => Encoding::EightBit,
            // RFC 6533, 4.5: 8bit only where the way back is known to carry SMTPUTF8.
            (true, _) if is_utf8 && self.is_international() => Encoding::EightBit,
            (true, _) => Encoding::QuotedPrintable,
        };
        ThirdPart { content_type, encoding }
    }

    /// Whether the report itself must travel with SMTPUTF8: its header names an address beyond ASCII.
    fn is_international(&self) -> bool {
        !self.reverse_path.is_ascii() || self.reporting_mta.name().is_some_and(|name| !name.as_str().is_ascii())
    }

    /// `=_` occurs in no text that is encoded in quoted-printable or base64 (RFC 2045, 6.7); the id does the rest.
    fn boundary(&self) -> String {
        format!("=_report-{}", text::id(self.id))
    }
}

impl Action {
    /// The case of NOTIFY that it belongs to (RFC 3461, 4.1).
    pub fn case(self) -> Case {
        match self {
            Action::Failed => Case::Failure,
            Action::Delayed { .. } => Case::Delay,
            Action::Delivered | Action::Relayed | Action::Expanded => Case::Success,
        }
    }
}

struct ThirdPart {
    content_type: &'static str,
    encoding: Encoding,
}

/// How octets are carried (RFC 2045, 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    SevenBit,
    EightBit,
    QuotedPrintable,
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Encoding::SevenBit => "7bit",
            Encoding::EightBit => "8bit",
            Encoding::QuotedPrintable => "quoted-printable",
        })
    }
}

/// Begins a part. The line end before the boundary belongs to the boundary (RFC 2046, 5.1.1).
fn part(head: &mut String, boundary: &str, content_type: &str, encoding: Encoding) {
    head.push_str(&format!(
        "\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    ));
}

#[cfg(test)]
mod tests;
