//! What the log tells of one conversation: what was accepted, what was refused, and how it ended if not by QUIT.
//!
//! One line for each outcome. What comes from the peer is [`Quoted`]; what is not printable is escaped where all lines are
//! written.

use std::net::SocketAddr;
use std::time::Duration;

use smtp_proto::address::ReversePath;
use smtp_proto::reply::Reply;
use smtp_proto::server::{AuthAnswer, Question};
use smtp_proto::transaction::Transaction;
use smtp_spool::MessageId;

use crate::auth::Dialogue;
use crate::policy::Client;

use smtp_client::quoted::Quoted;

/// The log of one conversation.
pub(crate) struct Journal {
    peer: SocketAddr,
    /// The content that is coming in, should nothing become of it.
    content: Option<Content>,
    /// The last refusal that has its line already, so that a close which is a refusal has one line and not two.
    refusal: Option<Refusal>,
}

/// Content that is coming in, or the rest of it after it was refused.
struct Content {
    from: ReversePath,
    octets: u64,
}

/// What was refused.
#[derive(PartialEq, Eq)]
enum Refusal {
    /// The connection: the greeting that follows says it with a code of its own.
    Connection,
    /// Something later, with this reply.
    Reply(String),
}

impl Journal {
    pub(crate) fn new(peer: SocketAddr) -> Self {
        Journal { peer, content: None, refusal: None }
    }

    /// The policy or the store refuses.
    pub(crate) fn refused(&mut self, question: Question<'_>, reply: &Reply) {
        let (peer, quoted) = (self.peer, Quoted(reply));
        match question {
            Question::Rcpt(transaction, recipient) => {
                let (from, to) = (Quoted(&transaction.reverse_path), Quoted(&recipient.forward_path));
                log::info!("peer={peer} from={from} to={to} status=refused reply={quoted}");
            }
            Question::Mail(transaction) | Question::Content(transaction) | Question::EndOfContent(transaction) => {
                let from = Quoted(&transaction.reverse_path);
                log::info!("peer={peer} from={from} status=refused reply={quoted}");
            }
            Question::Connect
            | Question::Hello(_)
            | Question::StartTls
            | Question::AuthBegins(..)
            | Question::AuthGoesOn(_) => {
                log::info!("peer={peer} status=refused reply={quoted}");
            }
        }
        self.refusal = Some(match question {
            Question::Connect => Refusal::Connection,
            _ => {
                let mut octets = Vec::new();
                reply.write_to(&mut octets);
                Refusal::Reply(last_reply(&octets))
            }
        });
    }

    /// What has come of a dialogue, if it is over. What the client said in it stands nowhere.
    pub(crate) fn authentication(&self, dialogue: &Dialogue, answer: &AuthAnswer) {
        let (peer, mechanism, user) =
            (self.peer, dialogue.mechanism, Quoted(dialogue.user.as_deref().unwrap_or_default()));
        match answer {
            AuthAnswer::Challenge(_) => {}
            AuthAnswer::Authenticated(_) => {
                log::info!("peer={peer} user={user} mechanism={mechanism} status=authenticated");
            }
            AuthAnswer::Refused(reply) => {
                log::info!("peer={peer} user={user} mechanism={mechanism} status=refused reply={}", Quoted(reply));
            }
        }
    }

    /// The server waits for content.
    pub(crate) fn content_begins(&mut self, transaction: &Transaction) {
        self.content = Some(Content { from: transaction.reverse_path.clone(), octets: 0 });
    }

    /// So many octets of it have come.
    pub(crate) fn content_goes_on(&mut self, octets: usize) {
        if let Some(content) = &mut self.content {
            content.octets += octets as u64;
        }
    }

    /// It is complete, or its fate has a line already.
    pub(crate) fn content_ends(&mut self) {
        self.content = None;
    }

    /// It was refused as it is, or given up by the peer; the last reply in `output` says which.
    pub(crate) fn content_dropped(&mut self, output: &[u8]) {
        if let Some(Content { from, octets }) = self.content.take() {
            let reply = last_reply(output);
            let status = if reply.starts_with(['4', '5']) { "refused" } else { "dropped" };
            let (peer, from, quoted) = (self.peer, Quoted(from), Quoted(&reply));
            log::info!("peer={peer} from={from} octets={octets} status={status} reply={quoted}");
            self.refusal = Some(Refusal::Reply(reply));
        }
    }

    /// Every reply that is a refusal, at the level of debugging, for whoever looks for a peer's trouble.
    pub(crate) fn replies(&self, output: &[u8]) {
        if log::log_enabled!(log::Level::Debug) {
            for reply in replies_in(output).filter(|reply| reply.starts_with(['4', '5'])) {
                log::debug!("peer={} reply={}", self.peer, Quoted(reply));
            }
        }
    }

    /// The conversation is over: a close that the peer did not ask for, unless the refusal that brought it has its line
    /// already; and content that is lost with the connection.
    pub(crate) fn closing(&mut self, output: &[u8]) {
        let reply = last_reply(output);
        let is_ours = ["421", "521", "554"].iter().any(|code| reply.starts_with(code));
        let is_told = match &self.refusal {
            Some(Refusal::Connection) => true,
            Some(Refusal::Reply(told)) => *told == reply,
            None => false,
        };
        if !is_ours || is_told {
            return self.lost();
        }
        let (peer, reply) = (self.peer, Quoted(reply));
        match self.content.take() {
            Some(Content { from, octets }) => {
                log::info!("peer={peer} from={} octets={octets} status=lost reply={reply}", Quoted(from));
            }
            None => log::info!("peer={peer} status=closed reply={reply}"),
        }
    }

    /// The connection is lost; so is the content that was coming in, if there was any.
    pub(crate) fn lost(&mut self) {
        if let Some(Content { from, octets }) = self.content.take() {
            log::info!("peer={} from={} octets={octets} status=lost", self.peer, Quoted(from));
        }
    }
}

/// A message is stored: one line for it, and for a kept one also one for each recipient, since that was its delivery.
pub(crate) fn accepted(
    client: &Client<'_>,
    keeps_mail: bool,
    transaction: &Transaction,
    id: &MessageId,
    octets: u64,
    delay: Duration,
    reply: &str,
) {
    let (from, recipients) = (Quoted(&transaction.reverse_path), transaction.recipients.len());
    let (peer, user) = (client.peer, client.user.map(|user| format!(" user={}", Quoted(user))).unwrap_or_default());
    log::info!("id={id} from={from} peer={peer}{user} octets={octets} recipients={recipients}");
    for recipient in transaction.recipients.iter().filter(|_| keeps_mail) {
        let (to, delay) = (Quoted(&recipient.forward_path), delay.as_secs_f64());
        log::info!("id={id} to={to} relay=local delay={delay:.4} status=kept reply=\"250 2.0.0 {reply}\"");
    }
}

/// The last line of each reply: the one with no hyphen behind its code.
fn replies_in(output: &[u8]) -> impl Iterator<Item = String> {
    let lines = output.split(|octet| *octet == b'\n').filter(|line| !line.is_empty() && line.get(3) != Some(&b'-'));
    lines.map(|line| String::from_utf8_lossy(line).trim_end().to_owned())
}

fn last_reply(output: &[u8]) -> String {
    replies_in(output).last().unwrap_or_default()
}
