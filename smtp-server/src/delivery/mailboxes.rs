//! The mailboxes of this host: Maildirs, or a server of LMTP that has them.

use smtp_client::connection::{ConnectError, Connection, Options};
use smtp_client::lmtp_server::LmtpServer;
use smtp_client::queue::relay::SmtpCarrier;
use smtp_client::queue::{Carrier, Parcel, Said, Verdict};
use smtp_client::quoted::Quoted;
use smtp_proto::address::{Domain, ForwardPath, Mailbox};
use smtp_proto::client::Ending;
use smtp_spool::Recipient;

use crate::addressing::is_postmaster;
use crate::domain_key::domain_key;
use crate::maildir::{Delivered, Earlier, Maildir, MaildirError, Prepared, UniqueName, publish_all};
use crate::replies;

/// Where the mailboxes of this host are.
pub enum Mailboxes {
    /// Below a directory.
    Maildir {
        /// The directory.
        maildir: Maildir,
        /// Who the bare postmaster is.
        postmaster: Mailbox,
        /// The name of this host, in the names of files.
        host: Domain,
    },
    /// At a server of LMTP, which we call by this name.
    Lmtp {
        /// The server.
        server: LmtpServer,
        /// How we name ourselves.
        hello_name: Domain,
    },
}

impl Mailboxes {
    /// Whether nobody has to be called.
    pub(super) fn are_here(&self) -> bool {
        matches!(self, Mailboxes::Maildir { .. })
    }

    pub(super) fn open(&self) -> Result<Box<dyn Carrier + '_>, Verdict> {
        match self {
            Mailboxes::Maildir { maildir, postmaster, host } => Ok(Box::new(Hand { maildir, postmaster, host })),
            Mailboxes::Lmtp { server, hello_name } => {
                let call = move || {
                    let options = Options { hello_name: Some(hello_name.clone()), ..Options::default() };
                    Connection::open_lmtp(server, options).inspect_err(|error| complain(server, error))
                };
                Ok(Box::new(SmtpCarrier::open("lmtp", Box::new(call))?))
            }
        }
    }
}

/// What a server of LMTP says is said to the sender too. That none is there, only we can mend.
fn complain(server: &LmtpServer, error: &ConnectError) {
    if !matches!(error, ConnectError::Session(_, Ending::Refused(..) | Ending::Goodbye(_))) {
        log::error!(
            "the mailboxes at {server} are out of reach: {error}; is the server of LMTP running, and open to our user?"
        );
    }
}

/// Messages that one thread writes before it waits for the medium: so many files does it hold open.
const AT_ONCE: usize = 16;

/// Puts messages into Maildirs.
struct Hand<'a> {
    maildir: &'a Maildir,
    postmaster: &'a Mailbox,
    host: &'a Domain,
}

impl Hand<'_> {
    fn is_here(&self, domain: &Domain) -> bool {
        domain_key(domain) == domain_key(self.host)
    }

    fn prepare(&self, parcel: &Parcel<'_>, number: usize, recipient: &Recipient) -> Result<Prepared, MaildirError> {
        let mailbox = match &recipient.forward_path {
            // Who looks after this host has one mailbox, whatever it is called by.
            ForwardPath::Mailbox(mailbox) if is_postmaster(mailbox.local_part()) && self.is_here(mailbox.domain()) => {
                self.postmaster.clone()
            }
            ForwardPath::Mailbox(mailbox) => mailbox.clone(),
            ForwardPath::Postmaster => self.postmaster.clone(),
        };
        let envelope = parcel.claim().envelope();
        let name = UniqueName::new(parcel.claim().id(), envelope.received_at_unix_seconds, number, self.host);
        let mut content = parcel.content().map_err(MaildirError::Content)?;
        let earlier = if parcel.claim().is_first() { Earlier::Excluded } else { Earlier::Possible };
        self.maildir.prepare(&mailbox, &envelope.reverse_path, &mut content, &name, earlier)
    }
}

/// In words that a report may carry to a stranger: where our mailboxes lie, and what is wrong there, the log says.
fn verdict(error: &MaildirError) -> Verdict {
    match error {
        MaildirError::Name(_) => Verdict::Failed(Said::here(replies::no_directory().to_string())),
        MaildirError::Full { .. } => {
            Verdict::Deferred(Said::here("452 4.2.2 There is no room in the mailbox now; it is tried again"))
        }
        MaildirError::Failed { .. } | MaildirError::Content(_) => {
            Verdict::Deferred(Said::here("451 4.3.0 The mailbox cannot be written to now; it is tried again"))
        }
    }
}

/// What went wrong is told in the log, and a verdict made of it.
fn told(parcel: &Parcel<'_>, recipient: &Recipient, result: Result<Delivered, MaildirError>) -> Verdict {
    match result {
        Ok(_) => Verdict::Delivered(Said::here("250 2.1.5 delivered into the mailbox")),
        Err(error) => {
            let (id, path) = (parcel.claim().id(), Quoted(&recipient.forward_path));
            log::error!("id={id} to={path}: {error}");
            verdict(&error)
        }
    }
}

impl Carrier for Hand<'_> {
    fn carry(&mut self, parcel: &Parcel<'_>) -> Vec<Verdict> {
        self.carry_all(std::slice::from_ref(parcel)).pop().unwrap_or_default()
    }

    /// One mailbox after the other: what is wrong with one of them is not wrong with the next.
    fn carry_all(&mut self, parcels: &[Parcel<'_>]) -> Vec<Vec<Verdict>> {
        let all = parcels.iter().flat_map(|parcel| parcel.recipients.iter().map(move |recipient| (parcel, recipient)));
        let all: Vec<_> = all.collect();
        let publish = |some: &[(&Parcel<'_>, &(usize, &Recipient))]| {
            publish_all(
                some.iter().map(|(parcel, (number, recipient))| self.prepare(parcel, *number, recipient)).collect(),
            )
        };
        let mut results = all.chunks(AT_ONCE).flat_map(publish);
        let verdicts = |parcel: &Parcel<'_>| {
            let results = parcel.recipients.iter().zip(results.by_ref().take(parcel.recipients.len()));
            results.map(|((_, recipient), result)| told(parcel, recipient, result)).collect()
        };
        parcels.iter().map(verdicts).collect()
    }

    fn is_open(&self) -> bool {
        true
    }
}
