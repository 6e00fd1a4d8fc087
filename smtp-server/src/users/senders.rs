//! The addresses from which a user may send.

use std::str::FromStr;

use smtp_proto::address::{AddressError, Domain, Mailbox};

/// Whole addresses, and domains of which every address is meant. Compared without case, as mailboxes are here.
#[derive(Debug)]
pub(super) struct Senders(Vec<Sender>);

#[derive(Debug)]
enum Sender {
    Address(String, String),
    Domain(String),
}

fn key(domain: &Domain) -> String {
    domain.to_string().to_lowercase()
}

impl Senders {
    pub(super) fn contain(&self, mailbox: &Mailbox) -> bool {
        let (local_part, domain) = (mailbox.local_part().as_str().to_lowercase(), key(mailbox.domain()));
        self.0.iter().any(|sender| match sender {
            Sender::Address(own_part, own_domain) => *own_part == local_part && *own_domain == domain,
            Sender::Domain(own) => *own == domain,
        })
    }
}

impl FromStr for Senders {
    type Err = AddressError;

    /// `ann@example.org,@example.net`
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let sender = |text: &str| match text.trim().strip_prefix('@') {
            Some(domain) => Ok(Sender::Domain(key(&domain.parse()?))),
            None => {
                let mailbox: Mailbox = text.trim().parse()?;
                Ok(Sender::Address(mailbox.local_part().as_str().to_lowercase(), key(mailbox.domain())))
            }
        };
        text.split(',').map(sender).collect::<Result<_, _>>().map(Senders)
    }
}
