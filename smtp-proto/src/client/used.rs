//! What a session has used up of the limits that the server announced (RFC 9422).

use std::collections::HashSet;

use super::StartError;
use crate::address::ForwardPath;
use crate::extension::Limits;

/// What was asked of the server so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Used {
    /// MAIL commands, whatever the answers.
    mails: usize,
    /// Domains of RCPT commands, in lower case.
    domains: HashSet<String>,
}

impl Used {
    /// Notes a transaction that is about to begin. One that would go beyond a limit changes nothing.
    pub(super) fn begin<'a>(
        &mut self,
        recipients: impl Iterator<Item = &'a ForwardPath> + Clone,
        limits: Limits,
    ) -> Result<(), StartError> {
        if let Some(limit) = self.mail_limit_reached(limits) {
            return Err(StartError::TooManyMails { limit });
        }
        if let Some(limit) = limits.recipients.filter(|limit| recipients.clone().count() > *limit) {
            return Err(StartError::TooManyRecipients { limit });
        }
        let mut domains = self.domains.clone();
        domains.extend(recipients.map(domain));
        if let Some(limit) = limits.recipient_domains.filter(|limit| domains.len() > *limit) {
            return Err(StartError::TooManyDomains { limit });
        }
        self.mails = self.mails.saturating_add(1);
        // Noted although a refused MAIL may mean that none of them is ever named: another connection costs less than a
        // recipient that is refused.
        self.domains = domains;
        Ok(())
    }

    /// The places of those whom [`Used::begin`] would let begin together, each taken if there is room when its turn comes.
    pub(super) fn room_for<'a>(&self, recipients: impl Iterator<Item = &'a ForwardPath>, limits: Limits) -> Vec<usize> {
        let most = if self.mail_limit_reached(limits).is_some() { 0 } else { limits.recipients.unwrap_or(usize::MAX) };
        let mut domains = self.domains.clone();
        let mut has_room = |recipient: &ForwardPath| {
            let domain = domain(recipient);
            let is_full = limits.recipient_domains.is_some_and(|limit| domains.len() >= limit);
            domains.contains(&domain) || !is_full && domains.insert(domain)
        };
        let fitting = recipients.enumerate().filter(|(_, recipient)| has_room(recipient));
        fitting.map(|(place, _)| place).take(most).collect()
    }

    fn mail_limit_reached(&self, limits: Limits) -> Option<usize> {
        limits.mails.filter(|limit| self.mails >= *limit)
    }
}

/// What counts as one domain: names are compared without case (RFC 5321, 2.4), and `<Postmaster>`, at a domain that is not
/// named, is taken for another one.
fn domain(recipient: &ForwardPath) -> String {
    recipient.mailbox().map(|mailbox| mailbox.domain().to_string().to_lowercase()).unwrap_or_default()
}
