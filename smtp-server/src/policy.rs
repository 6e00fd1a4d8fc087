//! Who may send what to whom: one method for each question of the protocol.
//!
//! A refusal is a reply, and the reply is the refusal: 5yz for "no", 4yz for "not now". What a method does not say
//! anything about is accepted, except recipients, for which every policy must answer.

use std::net::SocketAddr;
use std::sync::Arc;

use smtp_proto::address::DomainName;
use smtp_proto::command::HelloName;
use smtp_proto::server::Decision;
use smtp_proto::transaction::{Recipient, Transaction};

use crate::addressing::{LocalAddressing, Refusal};
use crate::auth::CurrentUsers;
use crate::network::Network;
use crate::recipients::Recipients;
use crate::reload::CurrentAddressing;
use crate::replies;

/// Whom a policy is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// Where the connection comes from.
    pub peer: SocketAddr,
    /// Who it has proved to be, if it has.
    pub user: Option<&'a str>,
}

impl From<SocketAddr> for Client<'_> {
    /// Somebody who has not said who it is.
    fn from(peer: SocketAddr) -> Self {
        Client { peer, user: None }
    }
}

/// Answers the questions of all sessions; called from many threads at once.
pub trait Policy: Send + Sync {
    /// May this peer talk to us at all?
    fn connect(&self, _client: &Client<'_>) -> Decision {
        Decision::Accept
    }

    /// May it go on under this name? The name proves nothing (RFC 5321, 4.1.4: no refusal because it does not verify).
    fn hello(&self, _client: &Client<'_>, _hello: &HelloName) -> Decision {
        Decision::Accept
    }

    /// May this sender open a transaction?
    fn mail(&self, _client: &Client<'_>, _transaction: &Transaction) -> Decision {
        Decision::Accept
    }

    /// Is this recipient taken?
    fn rcpt(&self, client: &Client<'_>, transaction: &Transaction, recipient: &Recipient) -> Decision;

    /// The last word before the message is stored, of which the octets are known now.
    fn end_of_content(&self, _client: &Client<'_>, _transaction: &Transaction, _octets: u64) -> Decision {
        Decision::Accept
    }
}

/// Takes mail for the mailboxes and aliases of this host, and for nobody else: never an open relay, loopback included.
#[derive(Clone, Debug)]
pub struct LocalPolicy {
    addressing: CurrentAddressing,
    relay_from: Vec<Network>,
    users: Option<CurrentUsers>,
}

impl LocalPolicy {
    /// Every local part at these domains.
    pub fn new(domains: impl IntoIterator<Item = DomainName>) -> Self {
        LocalPolicy::from(Arc::new(LocalAddressing::new(domains)))
    }

    /// Only these local parts or addresses. They stay these: what the policy may have shared before, it shares no longer.
    pub fn with_recipients(self, recipients: Recipients) -> Self {
        let addressing = Arc::unwrap_or_clone(self.addressing.get()).with_recipients(recipients);
        LocalPolicy { addressing: addressing.into(), ..self }
    }

    /// Peers in these networks may send anywhere, if this host relays at all ([`LocalAddressing::with_relaying`]). The
    /// address of the connection is all that counts: no name, no sender, and loopback only if it is among them.
    pub fn with_relay_from(self, networks: Vec<Network>) -> Self {
        LocalPolicy { relay_from: networks, ..self }
    }

    /// Users may send anywhere, if this host relays at all, under the addresses that they are bound to.
    pub fn with_users(self, users: CurrentUsers) -> Self {
        LocalPolicy { users: Some(users), ..self }
    }

    /// What addresses mean here, now.
    pub fn addressing(&self) -> Arc<LocalAddressing> {
        self.addressing.get()
    }

    /// Whether anybody may send to other domains.
    pub fn is_relaying_for_some(&self) -> bool {
        self.addressing.get().is_relaying() && (!self.relay_from.is_empty() || self.users.is_some())
    }

    /// Whether this client may send to other domains.
    pub fn may_relay(&self, client: &Client<'_>) -> bool {
        self.addressing.get().is_relaying() && self.is_trusted(client)
    }

    fn is_trusted(&self, client: &Client<'_>) -> bool {
        client.user.is_some() || self.relay_from.iter().any(|network| network.contains(client.peer.ip()))
    }
}

impl From<Arc<LocalAddressing>> for LocalPolicy {
    /// For a host that asks the same addressing when it delivers.
    fn from(addressing: Arc<LocalAddressing>) -> Self {
        CurrentAddressing::from(addressing).into()
    }
}

impl From<CurrentAddressing> for LocalPolicy {
    /// The same for a host on which that changes.
    fn from(addressing: CurrentAddressing) -> Self {
        LocalPolicy { addressing, relay_from: Vec::new(), users: None }
    }
}

impl Policy for LocalPolicy {
    fn mail(&self, client: &Client<'_>, transaction: &Transaction) -> Decision {
        match (client.user, &self.users) {
            (Some(user), Some(users)) if !users.get().may_send_from(user, &transaction.reverse_path) => {
                Decision::Refuse(replies::foreign_sender())
            }
            _ => Decision::Accept,
        }
    }

    fn rcpt(&self, client: &Client<'_>, _transaction: &Transaction, recipient: &Recipient) -> Decision {
        let addressing = self.addressing.get();
        match addressing.accepts(&recipient.forward_path) {
            Ok(()) => Decision::Accept,
            Err(Refusal::Elsewhere) if addressing.is_relaying() && self.is_trusted(client) => Decision::Accept,
            Err(refusal) => Decision::Refuse(refusal.reply()),
        }
    }
}

#[cfg(test)]
mod tests {
    use smtp_proto::address::ForwardPath;
    use smtp_proto::sasl::scram::Keys;
    use smtp_proto::secret::Secret;

    use super::*;
    use crate::aliases::Aliases;
    use crate::users::Users;

    fn code(policy: &LocalPolicy, path: &str) -> u16 {
        code_from(policy, "127.0.0.1", path)
    }

    fn code_from(policy: &LocalPolicy, peer: &str, path: &str) -> u16 {
        let recipient = Recipient::from(path.parse::<ForwardPath>().unwrap());
        let transaction = Transaction::new("<a@x>".parse().unwrap());
        match policy.rcpt(&SocketAddr::new(peer.parse().unwrap(), 1).into(), &transaction, &recipient) {
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

    /// Rows N073, N294: networks are named, and that is all there is to it: not loopback, not a name, not an alias file.
    #[test]
    fn relays_for_named_networks_only() {
        let addressing = || {
            let aliases = Aliases::parse("away: u@other.example\n").unwrap();
            LocalAddressing::new(["us.example".parse().unwrap()]).with_aliases(aliases)
        };
        let networks = || vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        let policy = LocalPolicy::from(Arc::new(addressing().with_relaying())).with_relay_from(networks());
        assert!(policy.is_relaying_for_some());
        for (peer, relayed) in [
            ("192.0.2.7", 250),
            ("::ffff:192.0.2.7", 250),
            ("2001:db8::7", 250),
            ("192.0.3.7", 550),
            ("127.0.0.1", 550),
            ("::1", 550),
        ] {
            assert_eq!(code_from(&policy, peer, "<u@other.example>"), relayed, "{peer}");
            assert_eq!(code_from(&policy, peer, "<u@[203.0.113.1]>"), relayed, "{peer}");
            // An alias is a promise of this host, whoever writes to it; a route through a name of ours is a trick.
            assert_eq!(code_from(&policy, peer, "<away@us.example>"), 250, "{peer}");
            assert_eq!(code_from(&policy, peer, "<u%other.example@us.example>"), 550, "{peer}");
        }

        // Either alone relays nothing.
        let without_relay = LocalPolicy::from(Arc::new(addressing())).with_relay_from(networks());
        let without_networks = LocalPolicy::from(Arc::new(addressing().with_relaying()));
        for policy in [without_relay.clone(), without_networks] {
            assert!(!policy.is_relaying_for_some());
            assert_eq!(code_from(&policy, "192.0.2.7", "<u@other.example>"), 550);
        }
        assert_eq!(code_from(&without_relay, "192.0.2.7", "<away@us.example>"), 550);
    }

    /// Who has logged in may send anywhere this host sends to, and nowhere else; under its own addresses.
    #[test]
    fn users_relay_under_their_own_addresses() {
        let keys = Keys::derive(&Secret::new("x"), b"salt", 4_096).unwrap().to_text();
        let users = Users::parse(&format!("ann:{{SCRAM-SHA-256}}{keys}:ann@us.example")).unwrap();
        let addressing = LocalAddressing::new(["us.example".parse().unwrap()]).with_relaying();
        let policy = LocalPolicy::from(Arc::new(addressing)).with_users(users.into());
        assert!(policy.is_relaying_for_some());
        let peer: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let ann = Client { peer, user: Some("ann") };
        assert!(policy.may_relay(&ann) && !policy.may_relay(&peer.into()));
        let is_refused = |client: &Client<'_>, sender: &str| {
            let transaction = Transaction::new(sender.parse().unwrap());
            matches!(policy.mail(client, &transaction), Decision::Refuse(reply) if reply.code().number() == 553)
        };
        assert!(
            !is_refused(&ann, "<ann@us.example>") && !is_refused(&ann, "<>") && is_refused(&ann, "<bob@us.example>")
        );
        // Others are strangers, who may write from anywhere to here.
        assert!(!is_refused(&peer.into(), "<bob@us.example>"));
        let local = LocalPolicy::new(["us.example".parse().unwrap()]);
        assert!(!local.may_relay(&ann), "a host that does not relay");
    }
}
