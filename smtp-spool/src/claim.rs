//! The right to deliver: one message, some of its recipients, one lane, one worker.
//!
//! A *lane* is where recipients stand until somebody delivers to them; the spool knows nothing of its meaning. New
//! messages stand in [`Lane::unrouted`]. A router claims them there and records [`Outcome::Routed`] for each recipient;
//! from then on they stand in the lanes it named, and each lane is claimed by those who deliver to it. Several claims
//! on one message may be open at once, never two on the same recipient.

use std::fmt;
use std::sync::Arc;

use crate::envelope::{Envelope, Recipient};
use crate::id::MessageId;
use crate::recipient_state::RecipientState;

/// An opaque destination key, set by a router. Cheap to clone: whoever looks for work looks at every lane there is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(Arc<str>);

/// Octets of a lane: a domain of the longest kind with some words around it.
pub const LANE_OCTETS: usize = 400;

impl Lane {
    /// A lane by name. `None` if the name is empty, too long, or holds white space or control characters.
    pub fn new(name: &str) -> Option<Self> {
        let is_plain = !name.chars().any(|character| character.is_whitespace() || character.is_control());
        (is_plain && (1..=LANE_OCTETS).contains(&name.len())).then(|| Lane(name.into()))
    }

    /// The lane in which new messages wait for their router.
    pub fn unrouted() -> Self {
        Lane("unrouted".into())
    }

    /// The lane in which recipients stand of whom the sender is to be told (see [`RecipientState`]). It opens for a message
    /// once nobody is at work on it and everybody was tried, so that one report tells of all.
    pub fn reports() -> Self {
        Lane("reports".into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who claims: a name by which everything a lost worker held can be given back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub String);

/// A right to deliver, given by [`Store::claim`](crate::Store::claim) and ended by
/// [`Store::settle`](crate::Store::settle) or [`Store::release`](crate::Store::release).
///
/// Dropping it ends nothing: the recipients stay claimed until their worker is released or the spool is opened anew.
#[derive(Debug)]
pub struct Claim {
    token: u64,
    id: MessageId,
    lane: Lane,
    recipients: Vec<(usize, RecipientState)>,
    envelope: Arc<Envelope>,
    is_first: bool,
    content: Option<Arc<[u8]>>,
}

impl Claim {
    /// For engines: a claim under a token that the engine has never given out before.
    pub fn new(
        token: u64,
        id: MessageId,
        lane: Lane,
        recipients: Vec<(usize, RecipientState)>,
        envelope: Arc<Envelope>,
    ) -> Self {
        Claim { token, id, lane, recipients, envelope, is_first: false, content: None }
    }

    /// For engines: the same, of which [`Claim::is_first`] says that it is so.
    pub fn first(self) -> Self {
        Claim { is_first: true, ..self }
    }

    /// The same, with the content of a short message. To see that the message is whole it was read, and need not be
    /// read again to be delivered.
    pub(crate) fn holding(self, content: Option<Arc<[u8]>>) -> Self {
        Claim { content, ..self }
    }

    /// The content, where it is held in memory. [`Store::content`](crate::Store::content) has it of any claim.
    pub(crate) fn content(&self) -> Option<Arc<[u8]>> {
        self.content.clone()
    }

    /// Whether nobody can have delivered the message before: the engine itself has seen it come into being, and nobody has
    /// claimed it since. After a restart it is not known, so no claim is.
    pub fn is_first(&self) -> bool {
        self.is_first
    }

    /// What tells this claim from an earlier one on the same recipients, so that a worker that was given up cannot
    /// speak for them any more.
    pub fn token(&self) -> u64 {
        self.token
    }

    /// The message.
    pub fn id(&self) -> &MessageId {
        &self.id
    }

    /// The lane in which the recipients stand.
    pub fn lane(&self) -> &Lane {
        &self.lane
    }

    /// The recipients, by their numbers: their places in the envelope, and behind those the targets of aliases.
    pub fn recipients(&self) -> Vec<usize> {
        self.recipients.iter().map(|(number, _)| *number).collect()
    }

    /// Where each of them stood when the claim was given.
    pub fn states(&self) -> &[(usize, RecipientState)] {
        &self.recipients
    }

    /// Who a recipient of the claim is.
    pub fn recipient(&self, number: usize) -> Option<&Recipient> {
        let (_, state) = self.recipients.iter().find(|(claimed, _)| *claimed == number)?;
        match &state.target_of {
            Some((recipient, _)) => Some(recipient),
            None => self.envelope.recipients.get(number),
        }
    }

    /// The envelope, with all recipients that came with it.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }
}

/// What became of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It stands in this lane from now on, or until the next start of the owner if nobody has tried it before.
    Routed(Lane),
    /// Others stand for it from now on: the targets of an alias, which come in as further recipients. Final.
    Expanded(Vec<Recipient>),
    /// The next host took it over, in these words. Final.
    Delivered(String, Owes),
    /// It will never be delivered, for this reason. Final.
    Failed(String, Owes),
    /// Not this time, for this reason. The recipient stays open until the claim is settled.
    Deferred(String),
    /// The report that was owed is about to be committed under this id.
    ReportBegun(MessageId),
    /// It is stored. [`Store::admit`](crate::Store::admit) lets it go.
    ReportMade,
    /// A report that delivery takes long is about to be committed under this id.
    WarningBegun(MessageId),
    /// It is stored.
    WarningMade,
}

impl Outcome {
    /// Whether it decides what becomes of the recipient.
    pub fn is_final(&self) -> bool {
        matches!(self, Outcome::Delivered(..) | Outcome::Failed(..) | Outcome::Expanded(_))
    }
}

/// Whether the sender is to be told of a final outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owes {
    /// No: nobody asked for it, or there is nobody to tell.
    Nothing,
    /// Yes: the recipient stands in [`Lane::reports`] until that is done.
    Report,
}

/// What shall become of the recipients of a claim that have no outcome yet, or only [`Outcome::Deferred`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// There are none. A recipient left open all the same is not forgotten: it can be claimed again at once.
    Done,
    /// They can be claimed again from this time on, in Unix seconds.
    RetryAt(i64),
    /// They wait until somebody releases them.
    Hold,
}

/// Whether a claim was still good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Settled {
    /// It was, and the settlement is on disk.
    Ok,
    /// It was not: the worker had been released, or the message removed. Nothing was changed.
    Lost,
}
