//! What one message needs to travel: its sender and its recipients (RFC 5321, 2.3.1: the envelope).

use crate::address::{ForwardPath, ReversePath};
use crate::parameter::{MailParameters, RcptParameters};

/// A mail transaction: what MAIL and RCPT said. The content comes apart from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Whom to tell of a failure.
    pub reverse_path: ReversePath,
    /// What else MAIL said.
    pub parameters: MailParameters,
    /// Whom the message is for, in the order of the RCPT commands.
    pub recipients: Vec<Recipient>,
}

/// One recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The address.
    pub forward_path: ForwardPath,
    /// What else RCPT said.
    pub parameters: RcptParameters,
}

impl Transaction {
    /// A transaction without recipients and parameters.
    pub fn new(reverse_path: ReversePath) -> Self {
        Transaction { reverse_path, parameters: MailParameters::default(), recipients: Vec::new() }
    }

    /// Whether any address needs SMTPUTF8.
    pub fn is_ascii(&self) -> bool {
        self.reverse_path.is_ascii() && self.recipients.iter().all(|recipient| recipient.forward_path.is_ascii())
    }
}

impl From<ForwardPath> for Recipient {
    fn from(forward_path: ForwardPath) -> Self {
        Recipient { forward_path, parameters: RcptParameters::default() }
    }
}
