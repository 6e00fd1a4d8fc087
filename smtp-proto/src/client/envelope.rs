//! The envelope on its way out: MAIL, a RCPT for each recipient, DATA unless BDAT is to follow; in lock-step or in groups.

use std::collections::VecDeque;

use super::{Cause, Failure, Outcome, RecipientOutcome, Stage, StartError, Until};
use crate::address::ForwardPath;
use crate::command::Command;
use crate::extension::{Extension, Extensions};
use crate::limits;
use crate::parameter::{Body, RcptParameters};
use crate::reply::Reply;
use crate::transaction::Transaction;

/// A transaction with what was answered so far.
#[derive(Debug)]
pub(super) struct Envelope {
    transaction: Transaction,
    results: Vec<Option<Result<Reply, Failure>>>,
    /// With their lines, whose length was looked at.
    unsent: VecDeque<(Step, String)>,
    outstanding: VecDeque<(Step, usize)>,
    pub(super) carriage: Carriage,
    has_pipelining: bool,
    /// The server holds a transaction that must be ended if it is not ended by content.
    pub(super) is_open: bool,
}

/// How the content will go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carriage {
    /// Behind 354, up to a lone dot.
    Data,
    /// As one chunk of so many octets, once every RCPT has its reply.
    Bdat(u64),
    /// Not at all: a rehearsal.
    Nothing(Until),
}

/// One command of the envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Reset,
    Mail,
    /// The recipient's place in the transaction.
    Rcpt(usize),
    Data,
}

impl Step {
    pub(super) fn stage(self) -> Stage {
        match self {
            Step::Reset => Stage::Reset,
            Step::Mail => Stage::Mail,
            Step::Rcpt(_) => Stage::Rcpt,
            Step::Data => Stage::Data,
        }
    }
}

impl Envelope {
    pub(super) fn new(
        mut transaction: Transaction,
        extensions: &Extensions,
        carriage: Carriage,
        has_pipelining: bool,
        needs_reset: bool,
    ) -> Result<Self, StartError> {
        fit(&mut transaction, extensions)?;
        let mut envelope = Envelope {
            results: vec![None; transaction.recipients.len()],
            unsent: VecDeque::new(),
            outstanding: VecDeque::new(),
            is_open: false,
            carriage,
            has_pipelining,
            transaction,
        };
        let reset = needs_reset.then_some(Step::Reset);
        let recipients = (0..envelope.named().count()).map(Step::Rcpt);
        let steps = reset.into_iter().chain([Step::Mail]).chain(recipients);
        envelope.unsent = steps.map(|step| (step, envelope.line(step))).collect();
        let is_too_long = |(_, line): &(Step, String)| line.len() > limits::COMMAND_LINE_OCTETS;
        if envelope.unsent.iter().any(is_too_long) { Err(StartError::LineTooLong) } else { Ok(envelope) }
    }

    /// Those for whom there is a RCPT command.
    pub(super) fn named(&self) -> impl Iterator<Item = &ForwardPath> + Clone {
        let recipients = match self.carriage {
            Carriage::Nothing(Until::Mail) => &[],
            _ => self.transaction.recipients.as_slice(),
        };
        recipients.iter().map(|recipient| &recipient.forward_path)
    }

    /// The command line with its CRLF. The types hold no CR, LF or NUL, so it is one line.
    fn line(&self, step: Step) -> String {
        let command = match step {
            Step::Reset => Command::Rset,
            Step::Mail => Command::Mail {
                reverse_path: self.transaction.reverse_path.clone(),
                parameters: self.transaction.parameters.clone(),
            },
            Step::Rcpt(place) => match self.transaction.recipients.get(place) {
                Some(recipient) => Command::Rcpt {
                    forward_path: recipient.forward_path.clone(),
                    parameters: recipient.parameters.clone(),
                },
                None => Command::Noop(None),
            },
            Step::Data => Command::Data,
        };
        format!("{command}\r\n")
    }

    /// Writes as many commands as may go out now. Returns how many.
    pub(super) fn send(&mut self, output: &mut Vec<u8>) -> usize {
        let mut count = 0;
        while let Some((step, line)) = self.unsent.front() {
            let step = *step;
            let octets: usize = self.outstanding.iter().map(|(_, octets)| octets).sum();
            let is_full = self.outstanding.len() >= limits::OUTSTANDING_COMMANDS
                || octets + line.len() > limits::OUTSTANDING_OCTETS
                || !self.has_pipelining;
            if is_full && !self.outstanding.is_empty() {
                break;
            }
            output.extend_from_slice(line.as_bytes());
            self.outstanding.push_back((step, line.len()));
            self.unsent.pop_front();
            count += 1;
            // Behind the last RCPT comes DATA: at once in a group (RFC 2920, 3.1: it may be its last command), and in
            // lock-step only once somebody wants the message.
            if self.unsent.is_empty() && self.has_pipelining && self.may_send_data_behind(step) {
                self.unsent.push_back((Step::Data, self.line(Step::Data)));
            }
        }
        count
    }

    /// How many commands have no reply yet.
    pub(super) fn outstanding_commands(&self) -> usize {
        self.outstanding.len()
    }

    /// The command to which the next reply belongs.
    pub(super) fn next_step(&self) -> Option<Step> {
        self.outstanding.front().map(|(step, _)| *step)
    }

    /// Notes the reply to [`Envelope::next_step`]. Returns the reply to DATA, when that is what it was.
    pub(super) fn handle_reply(&mut self, reply: Reply) -> Option<Reply> {
        let (step, _) = self.outstanding.pop_front()?;
        match step {
            // Any other reply to RSET ends the conversation before it comes here.
            Step::Reset => {}
            Step::Mail if reply.is_positive() => {
                self.is_open = true;
                if self.carriage == Carriage::Nothing(Until::Mail) {
                    self.results.fill(Some(Ok(reply)));
                }
            }
            Step::Rcpt(place) if reply.is_positive() => self.note(place, Ok(reply)),
            Step::Rcpt(place) => self.note(place, Err(refused(Stage::Rcpt, reply))),
            Step::Data => return Some(reply),
            // Without a transaction there is nothing to send on; what is under way is still answered, and read.
            Step::Mail => {
                self.unsent.clear();
                self.fail_unfinished(&refused(step.stage(), reply));
            }
        }
        if !self.has_pipelining && self.unsent.is_empty() && self.is_wanted() && self.may_send_data_behind(step) {
            self.unsent.push_back((Step::Data, self.line(Step::Data)));
        }
        None
    }

    fn may_send_data_behind(&self, step: Step) -> bool {
        self.carriage == Carriage::Data && step != Step::Data
    }

    /// Whether every command has its reply and no other is to go out.
    pub(super) fn is_answered(&self) -> bool {
        self.outstanding.is_empty() && self.unsent.is_empty()
    }

    /// Whether at least one recipient was accepted.
    pub(super) fn is_wanted(&self) -> bool {
        self.results.iter().any(|result| matches!(result, Some(Ok(_))))
    }

    fn note(&mut self, place: usize, result: Result<Reply, Failure>) {
        // The first verdict stands: behind a refused MAIL every RCPT is refused too, which says nothing new.
        if let Some(slot) = self.results.get_mut(place).filter(|slot| slot.is_none()) {
            *slot = Some(result);
        }
    }

    /// Everything that was not refused shares this end.
    pub(super) fn fail_unfinished(&mut self, failure: &Failure) {
        for slot in self.results.iter_mut().filter(|slot| !matches!(slot, Some(Err(_)))) {
            *slot = Some(Err(failure.clone()));
        }
    }

    /// The content was taken over: every accepted recipient's result is this reply.
    pub(super) fn succeed(&mut self, reply: &Reply) {
        for slot in self.results.iter_mut().filter(|slot| matches!(slot, Some(Ok(_)))) {
            *slot = Some(Ok(reply.clone()));
        }
    }

    /// The places of those who were accepted, in the order of the RCPT commands.
    pub(super) fn accepted(&self) -> VecDeque<usize> {
        let is_accepted = |(place, result): (usize, &Option<_>)| matches!(result, Some(Ok(_))).then_some(place);
        self.results.iter().enumerate().filter_map(is_accepted).collect()
    }

    /// What the content came to for one recipient.
    pub(super) fn decide(&mut self, place: usize, result: Result<Reply, Failure>) {
        if let Some(slot) = self.results.get_mut(place) {
            *slot = Some(result);
        }
    }

    pub(super) fn into_outcome(self, stage: Stage) -> Outcome {
        let results = self.transaction.recipients.into_iter().zip(self.results);
        Outcome {
            recipients: results
                .map(|(recipient, result)| RecipientOutcome {
                    forward_path: recipient.forward_path,
                    result: result.unwrap_or(Err(Failure { stage, cause: Cause::ConnectionLost })),
                })
                .collect(),
        }
    }
}

pub(super) fn refused(stage: Stage, reply: Reply) -> Failure {
    Failure { stage, cause: Cause::Refused(reply) }
}

/// Makes a transaction fit what the server offers, or says why it cannot.
fn fit(transaction: &mut Transaction, extensions: &Extensions) -> Result<(), StartError> {
    if transaction.recipients.is_empty() {
        return Err(StartError::NoRecipients);
    }
    let is_internationalised = transaction.parameters.smtputf8 || !transaction.is_ascii();
    if is_internationalised && !extensions.has(&Extension::SmtpUtf8) {
        return Err(StartError::NeedsSmtpUtf8);
    }
    let parameters = &mut transaction.parameters;
    parameters.smtputf8 = is_internationalised;
    let has_eight_bit_mime = extensions.has(&Extension::EightBitMime);
    match parameters.body {
        Some(Body::EightBitMime) if !has_eight_bit_mime => return Err(StartError::NeedsEightBitMime),
        // RFC 3030, 3: binary content needs BINARYMIME, and its octets are no lines.
        Some(Body::BinaryMime) => return Err(StartError::NeedsEightBitMime),
        _ => {}
    }
    if !has_eight_bit_mime {
        parameters.body = None;
    }
    match (parameters.size, extensions.size_limit_octets()) {
        (Some(size), Some(limit_octets)) if size > limit_octets => return Err(StartError::TooBig { limit_octets }),
        _ if !extensions.has_size() => parameters.size = None,
        _ => {}
    }
    if !extensions.has(&Extension::Dsn) {
        parameters.ret = None;
        parameters.envid = None;
        for recipient in &mut transaction.recipients {
            recipient.parameters = RcptParameters::default();
        }
    }
    if !is_internationalised {
        for recipient in &mut transaction.recipients {
            recipient.parameters.orcpt = recipient.parameters.orcpt.take().and_then(|orcpt| orcpt.to_ascii());
        }
    }
    if !extensions.iter().any(|extension| matches!(extension, Extension::Auth(_))) {
        transaction.parameters.auth = None;
    }
    Ok(())
}
