//! Where accepted mail goes: into a mailbox of this host, or out to another one. What the queue of [`smtp_client::queue`]
//! asks as its `Router` and its `Transport`.
//!
//! | lane | leads to |
//! | --- | --- |
//! | `local` | the mailboxes of this host: Maildirs ([`crate::maildir`]), or a server of LMTP |
//! | any other | another host, as [`Outside`] says |
//!
//! An alias is expanded once, when its recipient is routed; the targets are recipients of their own from then on, each with
//! its own tries and its own end. What a target means is not asked again, so an alias among its own targets is a mailbox.

mod mailboxes;

use smtp_client::queue::{Carrier, Route, Router, Said, Transport, Verdict};
use smtp_proto::address::{Domain, ForwardPath};
use smtp_proto::parameter::{OriginalRecipient, RcptParameters};
use smtp_proto::reply::Reply;
use smtp_spool::{Lane, Recipient};

use crate::addressing::{LocalAddressing, Meaning, Outcome};
use crate::reload::CurrentAddressing;
pub use mailboxes::Mailboxes;
pub use smtp_client::queue::outside::Outside;

const LOCAL: &str = "local";

/// The far side of a server.
pub struct Delivery {
    addressing: CurrentAddressing,
    mailboxes: Mailboxes,
    outside: Outside,
}

impl Delivery {
    /// Mail for this host goes to `mailboxes`, as `addressing` says, which may change while mail is on its way; the rest goes
    /// `outside`.
    pub fn new(addressing: impl Into<CurrentAddressing>, mailboxes: Mailboxes, outside: Outside) -> Self {
        Delivery { addressing: addressing.into(), mailboxes, outside }
    }

    fn lane_to(&self, domain: &Domain) -> Route {
        self.outside.route_to(domain).unwrap_or_else(|| refused(&crate::replies::relaying_refused()))
    }

    /// The targets of an alias, each with the wishes of the recipient it stands for, whose address is the original one
    /// (RFC 3461, 5.2.7).
    fn targets(addressing: &LocalAddressing, recipient: &Recipient) -> Route {
        let path = &recipient.forward_path;
        let orcpt = recipient.parameters.orcpt.clone().or_else(|| path.mailbox().and_then(OriginalRecipient::of));
        let parameters = RcptParameters { notify: recipient.parameters.notify, orcpt };
        let mut targets = Vec::new();
        let mut refusal = None;
        for step in addressing.expand(path).steps {
            match step.outcome {
                Outcome::Mailbox(_) | Outcome::Relay => {
                    targets.push(Recipient { forward_path: step.address, parameters: parameters.clone() });
                }
                Outcome::Refused(reason) => {
                    log::warn!("alias {path}: {} leads nowhere: {}", step.address, reason.reply());
                    refusal = Some(reason);
                }
                Outcome::Alias(_) => {}
            }
        }
        match (targets.is_empty(), refusal) {
            (false, _) => Route::Instead(targets),
            (true, Some(reason)) => refused(&reason.reply()),
            (true, None) => refused(&crate::replies::unknown_recipient()),
        }
    }
}

impl Router for Delivery {
    fn route(&self, recipient: &Recipient, is_target: bool) -> Route {
        let path = &recipient.forward_path;
        let addressing = self.addressing.get();
        match addressing.look_up(path) {
            Meaning::Elsewhere => match path {
                ForwardPath::Mailbox(mailbox) => self.lane_to(mailbox.domain()),
                ForwardPath::Postmaster => lane(LOCAL),
            },
            Meaning::Mailbox(_) => lane(LOCAL),
            Meaning::Alias { .. } if is_target => lane(LOCAL),
            Meaning::Alias { .. } => Self::targets(&addressing, recipient),
            // It was somebody's when it was accepted.
            Meaning::Unknown => refused(&crate::replies::unknown_recipient()),
            Meaning::Odd => refused(&crate::replies::odd_local_part()),
            Meaning::NoDirectory => refused(&crate::replies::no_directory()),
        }
    }
}

impl Transport for Delivery {
    fn open(&self, lane: &Lane) -> Result<Box<dyn Carrier + '_>, Verdict> {
        if lane.as_str() == LOCAL { self.mailboxes.open() } else { self.outside.open(lane) }
    }

    fn is_local(&self, lane: &Lane) -> bool {
        lane.as_str() == LOCAL && self.mailboxes.are_here()
    }
}

fn lane(name: &str) -> Route {
    match Lane::new(name) {
        Some(lane) => Route::To(lane),
        None => Route::Nowhere(Verdict::Failed(Said::here("553 5.1.2 the domain is no name"))),
    }
}

fn refused(reply: &Reply) -> Route {
    let said = Said::here(reply.to_string());
    Route::Nowhere(if reply.is_transient() { Verdict::Deferred(said) } else { Verdict::Failed(said) })
}
