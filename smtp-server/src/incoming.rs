//! A message on its way to the disk: our trace field on top, the content behind it, the envelope beside it.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use smtp_proto::address::Domain;
use smtp_proto::command::HelloName;
use smtp_proto::date::Timestamp;
use smtp_proto::trace::{Protocol, Received};
use smtp_proto::transaction::Transaction;
use smtp_spool::{Due, Envelope, Incoming, MessageId, StoreError};

use crate::completion::{Completion, Missing};
use crate::host::Host;

/// Our trace field has some 200.
const USUAL_FIELD_OCTETS: usize = 256;

/// How a message arrives, as the trace field tells it.
pub(crate) struct Arrival<'a> {
    pub(crate) hello: &'a HelloName,
    pub(crate) peer: SocketAddr,
    pub(crate) by: &'a Domain,
    pub(crate) with: Protocol,
    pub(crate) tls: Option<&'a str>,
    /// Whether fields that are missing are to be added.
    pub(crate) is_submission: bool,
}

/// A message that is not stored yet. Dropping it leaves nothing behind.
pub(crate) struct IncomingMessage {
    id: MessageId,
    at: Timestamp,
    octets: u64,
    incoming: Box<dyn Incoming>,
    completion: Option<Completion>,
}

impl IncomingMessage {
    /// Begins a message under a new id, with its Received field (RFC 5321, 4.4: on top, and nothing else is touched).
    pub(crate) fn begin(host: &Host, arrival: &Arrival<'_>, transaction: &Transaction) -> Result<Self, StoreError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let id = host.ids.next(u64::try_from(now.as_micros()).unwrap_or(u64::MAX));
        let at = local_time(&host.time_zone, i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        let received = Received {
            hello: arrival.hello,
            peer: Some(arrival.peer.ip()),
            by: arrival.by,
            with: arrival.with,
            tls: arrival.tls,
            id: id.as_str(),
            recipient: match transaction.recipients.as_slice() {
                [only] => Some(&only.forward_path),
                _ => None,
            },
            at,
        };
        let mut field = String::with_capacity(USUAL_FIELD_OCTETS);
        // A String takes whatever is written to it.
        let _ = write!(field, "{received}");
        let completion = arrival.is_submission.then(|| {
            Completion::new(Missing {
                date: Some(format!("Date: {at}\r\n")),
                message_id: Some(format!("Message-ID: <{id}@{}>\r\n", arrival.by)),
            })
        });
        let incoming = host.store.begin(transaction.parameters.size)?;
        let mut message = IncomingMessage { id, at, octets: 0, incoming, completion };
        message.write_all(field.as_bytes())?;
        Ok(message)
    }

    /// Takes octets of the content.
    pub(crate) fn write(&mut self, octets: &[u8]) -> Result<(), StoreError> {
        self.octets += octets.len() as u64;
        let Some(completion) = &mut self.completion else { return self.write_all(octets) };
        let mut completed = Vec::with_capacity(octets.len());
        completion.handle(octets, &mut completed);
        self.write_all(&completed)
    }

    /// Octets of the content so far, without our trace field.
    pub(crate) fn octets(&self) -> u64 {
        self.octets
    }

    /// Stores the message; blocks until it is on disk. What comes back is the name under which it is there.
    pub(crate) fn commit(mut self, transaction: &Transaction, keeps_mail: bool) -> Result<MessageId, StoreError> {
        if let Some(mut completion) = self.completion.take() {
            let mut rest = Vec::new();
            completion.finish(&mut rest);
            self.write_all(&rest)?;
        }
        let envelope = Envelope {
            reverse_path: transaction.reverse_path.clone(),
            mail: transaction.parameters.clone(),
            recipients: transaction.recipients.clone(),
            received_at_unix_seconds: self.at.unix_seconds,
        };
        let due = if keeps_mail { Due::Kept } else { Due::At(self.at.unix_seconds) };
        self.incoming.commit(&self.id, &envelope, due)?;
        Ok(self.id)
    }

    fn write_all(&mut self, octets: &[u8]) -> Result<(), StoreError> {
        self.incoming.write_all(octets).map_err(|error| writing(&self.id, error))
    }
}

fn writing(id: &MessageId, error: io::Error) -> StoreError {
    StoreError::from_io(format!("writing message {id}"), error)
}

/// RFC 5321, 4.4: local time with its offset where that is feasible.
fn local_time(zone: &jiff::tz::TimeZone, unix_seconds: i64) -> Timestamp {
    let offset_seconds = jiff::Timestamp::from_second(unix_seconds).map(|at| zone.to_offset(at).seconds()).unwrap_or(0);
    Timestamp { unix_seconds, offset_minutes: i16::try_from(offset_seconds / 60).unwrap_or(0) }
}
