//! Who may send what to whom: one method for each question of the protocol.
//!
//! A refusal is a reply, and the reply is the refusal: 5yz for "no", 4yz for "not now". What a method does not say
//! anything about is accepted, except recipients, for which every policy must answer.

use std::net::SocketAddr;

use smtp_proto::address::{DomainName, ForwardPath};
use smtp_proto::command::HelloName;
use smtp_proto::server::Decision;
use smtp_proto::transaction::{Recipient, Transaction};

use crate::recipients::Recipients;
use crate::replies;

/// Answers the questions of all sessions; called from many threads at once.
pub trait Policy: Send + Sync {
    /// May this peer talk to us at all?
    fn connect(&self, _peer: SocketAddr) -> Decision {
        Decision::Accept
    }

    /// May it go on under this name? The name proves nothing (RFC 5321, 4.1.4: no refusal because it does not verify).
    fn hello(&self, _peer: SocketAddr, _hello: &HelloName) -> Decision {
        Decision::Accept
    }

    /// May this sender open a transaction?
    fn mail(&self, _peer: SocketAddr, _transaction: &Transaction) -> Decision {
        Decision::Accept
    }

    /// Is this recipient taken?
    fn rcpt(&self, peer: SocketAddr, transaction: &Transaction, recipient: &Recipient) -> Decision;

    /// The last word before the message is stored, of which the octets are known now.
    fn end_of_content(&self, _peer: SocketAddr, _transaction: &Transaction, _octets: u64) -> Decision {
        Decision::Accept
    }
}

/// Takes mail for the mailboxes of some domains, and for nobody else: never an open relay, loopback included.
#[derive(Clone, Debug)]
pub struct LocalPolicy {
    domains: Vec<DomainName>,
    recipients: Option<Recipients>,
}

impl LocalPolicy {
    /// Every local part at these domains.
    pub fn new(domains: impl IntoIterator<Item = DomainName>) -> Self {
        LocalPolicy { domains: domains.into_iter().collect(), recipients: None }
    }

    /// Only these local parts or addresses.
    pub fn with_recipients(self, recipients: Recipients) -> Self {
        LocalPolicy { recipients: Some(recipients), ..self }
    }

    fn is_served(&self, domain: &DomainName) -> bool {
        self.domains.iter().any(|served| served.is(domain.as_str()))
    }
}

impl Policy for LocalPolicy {
    fn rcpt(&self, _peer: SocketAddr, _transaction: &Transaction, recipient: &Recipient) -> Decision {
        // RFC 5321, 4.5.1: postmaster, bare and at every served domain, in any case.
        let ForwardPath::Mailbox(mailbox) = &recipient.forward_path else { return Decision::Accept };
        let Some(domain) = mailbox.domain().name().filter(|domain| self.is_served(domain)) else {
            return Decision::Refuse(replies::relaying_refused());
        };
        let local_part = mailbox.local_part().as_str();
        if local_part.eq_ignore_ascii_case("postmaster") {
            return Decision::Accept;
        }
        let is_listed = self.recipients.as_ref().map(|recipients| recipients.contains(local_part, domain));
        match is_listed {
            Some(true) => Decision::Accept,
            // `a%b@us`, `b!a@us`, `"a@b"@us`: ways to make a host pass mail on to b, unless somebody is really called so.
            _ if local_part.contains(['@', '%', '!']) => Decision::Refuse(replies::odd_local_part()),
            Some(false) => Decision::Refuse(replies::unknown_recipient()),
            None => Decision::Accept,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(policy: &LocalPolicy, path: &str) -> u16 {
        let recipient = Recipient::from(path.parse::<ForwardPath>().unwrap());
        let transaction = Transaction::new("<a@x>".parse().unwrap());
        match policy.rcpt("127.0.0.1:1".parse().unwrap(), &transaction, &recipient) {
            Decision::Refuse(reply) => reply.code().number(),
            Decision::Accept | Decision::AcceptAs(_) => 250,
        }
    }

    /// Rows N073, N294, N295: what open-relay testers try, from loopback as from anywhere.
    #[test]
    fn never_a_relay_whatever_the_trick() {
        let policy = LocalPolicy::new(["us.example".parse().unwrap(), "localhost".parse().unwrap()]);
        for path in [
            "<u@other.example>",
            "<@us.example:u@other.example>",
            "<@us.example,@localhost:u@other.example>",
            "<u%other.example@us.example>",
            "<other.example!u@us.example>",
            "<\"u@other.example\"@us.example>",
            "<\"u%other.example\"@us.example>",
            "<\"other.example!u\"@us.example>",
            "<u@us.example.other.example>",
            "<u@other.example.>",
            "<u@[127.0.0.1]>",
            "<u@[IPv6:::1]>",
            "<u@notus.example>",
            "<u@sub.us.example>",
        ] {
            assert_eq!(code(&policy, path), 550, "{path}");
        }
        for path in ["<u@us.example>", "<U@US.EXAMPLE>", "<u@us.example.>", "<@other.example:u@us.example>"] {
            assert_eq!(code(&policy, path), 250, "{path}");
        }
    }

    /// Rows N015, N218, N219.
    #[test]
    fn postmaster_is_always_there() {
        let nobody = Recipients::parse("").unwrap();
        let policy = LocalPolicy::new(["us.example".parse().unwrap()]).with_recipients(nobody);
        for path in ["<Postmaster>", "<pOsTmAsTeR@us.example>", "<postmaster@US.example>"] {
            assert_eq!(code(&policy, path), 250, "{path}");
        }
        assert_eq!(code(&policy, "<postmaster@other.example>"), 550);
    }

    #[test]
    fn listed_recipients_and_nobody_else() {
        let listed = Recipients::parse("alice\nbob@us.example\nodd%name\n").unwrap();
        let domains = ["us.example".parse().unwrap(), "localhost".parse().unwrap()];
        let policy = LocalPolicy::new(domains).with_recipients(listed);
        for path in ["<alice@us.example>", "<ALICE@localhost>", "<bob@us.example>", "<odd%name@us.example>"] {
            assert_eq!(code(&policy, path), 250, "{path}");
        }
        for path in ["<bob@localhost>", "<carol@us.example>", "<other%name@us.example>"] {
            assert_eq!(code(&policy, path), 550, "{path}");
        }
    }
}
