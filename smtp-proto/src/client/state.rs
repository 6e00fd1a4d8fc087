//! The states of the client's side, and the one place that decides what a reply leads to.

use std::time::Duration;

use super::auth::Dialogue;
use super::content::OutgoingContent;
use super::envelope::{Carriage, Envelope, Step, refused};
use super::tls::TlsStep;
use super::verdicts::Verdicts;
use super::{Cause, ClientSession, Ending, Event, Failure, Lhlo, Protocol, ReplyError, Stage};
use crate::command::Command;
use crate::extension::Extensions;
use crate::reply::{Class, Reply};

/// Which reply is awaited, with what is known by then.
#[derive(Debug)]
pub(super) enum State {
    /// The connection is open, the server is silent still.
    Greeting,
    /// EHLO is sent.
    Ehlo,
    /// EHLO was not understood; HELO is sent.
    Helo,
    /// LHLO is sent: the server is to speak LMTP.
    Lhlo,
    /// STARTTLS is sent.
    StartTls,
    /// The server awaits the handshake, which is none of our octets.
    Handshake,
    /// AUTH or what follows it is sent.
    Dialogue(Dialogue),
    /// The driver owes the answer to a challenge.
    Challenged,
    /// Nothing is awaited.
    Ready,
    /// MAIL, RCPT and DATA are under way.
    Envelope(Box<Envelope>),
    /// The server wants the content or need not be asked (BDAT), and at least one recipient wants it.
    Content(Box<Envelope>, OutgoingContent),
    /// The server said 354 though nobody wants the message: a lone dot is sent (RFC 2920, 3.1).
    EmptyContent(Box<Envelope>),
    /// The content is sent; the server decides.
    Verdict(Box<Envelope>),
    /// The same in LMTP, where it decides about one recipient after the other.
    Verdicts(Verdicts),
    /// QUIT is sent; this is how it will have ended.
    Quit(Ending),
    /// Nothing more will happen.
    Closed,
}

impl State {
    pub(super) fn stage(&self) -> Stage {
        match self {
            State::Greeting => Stage::Greeting,
            State::Ehlo | State::Helo => Stage::Hello,
            State::Lhlo => Stage::Lhlo,
            State::StartTls | State::Handshake => Stage::StartTls,
            State::Dialogue(_) | State::Challenged => Stage::Auth,
            State::Ready => Stage::Ready,
            State::Envelope(envelope) => envelope.next_step().map_or(Stage::Data, Step::stage),
            State::Content(..) => Stage::Content,
            State::EmptyContent(_) | State::Verdict(_) | State::Verdicts(_) => Stage::EndOfContent,
            State::Quit(_) | State::Closed => Stage::Quit,
        }
    }
}

impl ClientSession {
    pub(super) fn handle_reply(&mut self, reply: Reply, now: Duration) {
        let stage = self.state.stage();
        match std::mem::replace(&mut self.state, State::Closed) {
            // 220, and by its first digit any other 2yz (RFC 5321, 4.3.2).
            State::Greeting if reply.is_positive() => self.say_hello(now),
            State::Ehlo | State::Lhlo if reply.is_positive() => {
                self.extensions = Extensions::from_reply(&reply);
                self.handle_hello_done(now);
            }
            // RFC 5321, 3.2: a server that does not know EHLO may still know HELO.
            State::Ehlo if reply.class() == Class::Permanent && !reply.is_closing() => {
                self.state = State::Helo;
                self.send(&Command::Helo(self.hello()), self.config.timeouts.hello, now);
            }
            State::Helo if reply.is_positive() => self.handle_hello_done(now),
            State::StartTls => self.handle_start_tls_reply(reply, now),
            State::Dialogue(dialogue) => self.handle_auth_reply(dialogue, reply, now),
            // Whoever does not know LHLO speaks no LMTP: with HELO it would take one reply for all (RFC 2033, 4.1).
            State::Greeting | State::Ehlo | State::Helo | State::Lhlo => {
                self.handle_refused_session(stage, reply, now);
            }

            // 521 behind a command is a refusal of that command and no other: hosts answer it to a single RCPT.
            State::Envelope(envelope) if reply.code().number() == 421 => {
                self.end_envelope(envelope, refused(stage, reply))
            }
            State::Envelope(envelope) => self.handle_envelope_reply(envelope, reply, now),

            // The server has seen enough before we were done, and will read no more: nothing can follow.
            State::Content(envelope, _) if matches!(reply.class(), Class::Transient | Class::Permanent) => {
                match self.config.protocol {
                    Protocol::Smtp => self.end_envelope(envelope, refused(stage, reply)),
                    Protocol::Lmtp => self.break_off(Verdicts::new(envelope), stage, reply),
                }
            }
            State::Verdicts(verdicts) => self.handle_verdict(verdicts, reply, now),
            State::EmptyContent(envelope) if !reply.is_closing() => self.finish(envelope, stage),
            State::Verdict(mut envelope) if reply.is_positive() => {
                envelope.succeed(&reply);
                self.finish(envelope, stage);
            }
            State::Verdict(mut envelope) if reply.class() != Class::Intermediate && !reply.is_closing() => {
                envelope.fail_unfinished(&refused(stage, reply));
                // RFC 3030, 2: "The resulting state from a failed BDAT command is indeterminate." RSET makes it certain.
                self.needs_reset = matches!(envelope.carriage, Carriage::Bdat(_));
                self.finish(envelope, stage);
            }
            State::EmptyContent(envelope) | State::Verdict(envelope) if reply.is_closing() => {
                self.end_envelope(envelope, refused(stage, reply));
            }
            State::Content(envelope, _) | State::EmptyContent(envelope) | State::Verdict(envelope) => {
                let cause = Cause::Reply(ReplyError::Unexpected);
                self.end_envelope(envelope, Failure { stage, cause });
            }

            State::Quit(ending) => self.events.push_back(Event::Closed(ending)),
            State::Ready if reply.is_closing() => self.events.push_back(Event::Closed(Ending::Goodbye(reply))),
            State::Handshake | State::Challenged | State::Ready => {
                let cause = Cause::Reply(ReplyError::Unexpected);
                self.events.push_back(Event::Closed(Ending::Failed(stage, cause)));
            }
            State::Closed => {}
        }
    }

    /// The first words after the greeting, and again after the handshake.
    pub(super) fn say_hello(&mut self, now: Duration) {
        match self.config.protocol {
            Protocol::Smtp => {
                self.state = State::Ehlo;
                self.send(&Command::Ehlo(self.hello()), self.config.timeouts.hello, now);
            }
            Protocol::Lmtp => {
                self.state = State::Lhlo;
                self.send(&Lhlo(self.hello()), self.config.timeouts.hello, now);
            }
        }
    }

    /// The server has said what it offers. TLS goes before everything else.
    fn handle_hello_done(&mut self, now: Duration) {
        match self.tls_step() {
            TlsStep::Go => self.become_ready(),
            TlsStep::Ask => {
                self.state = State::StartTls;
                self.send(&Command::StartTls, self.config.timeouts.tls, now);
            }
            TlsStep::GiveUp => self.say_goodbye(Ending::TlsNotOffered, now),
        }
    }

    pub(super) fn become_ready(&mut self) {
        self.state = State::Ready;
        self.events.push_back(Event::Ready);
    }

    pub(super) fn say_goodbye(&mut self, ending: Ending, now: Duration) {
        self.state = State::Quit(ending);
        self.send(&Command::Quit, self.config.timeouts.quit, now);
    }

    /// The server will not serve us. QUIT is sent all the same, unless the server closes (RFC 5321, 3.1 and 4.1.4).
    pub(super) fn handle_refused_session(&mut self, stage: Stage, reply: Reply, now: Duration) {
        if reply.is_closing() {
            return self.events.push_back(Event::Closed(Ending::Refused(stage, reply)));
        }
        let ending = match reply.class() {
            Class::Transient | Class::Permanent => Ending::Refused(stage, reply),
            Class::Positive | Class::Intermediate => Ending::Failed(stage, Cause::Reply(ReplyError::Unexpected)),
        };
        self.say_goodbye(ending, now);
    }

    fn handle_envelope_reply(&mut self, mut envelope: Box<Envelope>, reply: Reply, now: Duration) {
        let Some(step) = envelope.next_step() else {
            let cause = Cause::Reply(ReplyError::Unexpected);
            return self.end_envelope(envelope, Failure { stage: Stage::Data, cause });
        };
        // RFC 5321, 4.3.2: only DATA is answered with 3yz, and it is never answered with 2yz. A server that mixes them up
        // has lost count, and so would we. And one that refuses RSET would take the next recipients into the last message.
        let is_out_of_step = matches!(
            (step, reply.class()),
            (Step::Data, Class::Positive) | (Step::Mail | Step::Rcpt(_), Class::Intermediate)
        ) || step == Step::Reset && !reply.is_positive();
        if is_out_of_step {
            let cause = Cause::Reply(ReplyError::Unexpected);
            return self.end_envelope(envelope, Failure { stage: step.stage(), cause });
        }
        match envelope.handle_reply(reply) {
            Some(reply) if reply.class() != Class::Intermediate => {
                envelope.fail_unfinished(&refused(Stage::Data, reply));
                self.needs_reset = envelope.is_open;
                self.finish(envelope, Stage::Data);
            }
            Some(_) if envelope.is_wanted() => self.want_content(envelope, OutgoingContent::until_dot(), now),
            // RFC 2033, 4.2: DATA without a recipient is refused, since nobody could say how many replies would follow.
            Some(_) if self.config.protocol == Protocol::Lmtp => {
                let cause = Cause::Reply(ReplyError::Unexpected);
                self.end_envelope(envelope, Failure { stage: Stage::Data, cause });
            }
            Some(_) => {
                self.output.extend_from_slice(b".\r\n");
                self.unwritten_commands += 1;
                self.state = State::EmptyContent(envelope);
                self.deadline = now.saturating_add(self.config.timeouts.end_of_content);
            }
            None if envelope.is_answered() => match envelope.carriage {
                Carriage::Bdat(size) if envelope.is_wanted() => {
                    let command = Command::Bdat { size, is_last: true };
                    self.send(&command, self.config.timeouts.block, now);
                    let content = OutgoingContent::of_size(size, &mut self.output);
                    self.want_content(envelope, content, now);
                }
                Carriage::Bdat(_) | Carriage::Data | Carriage::Nothing(_) => {
                    self.needs_reset = envelope.is_open;
                    self.finish(envelope, Stage::Rcpt);
                }
            },
            None => {
                self.state = State::Envelope(envelope);
                self.send_envelope(now);
            }
        }
    }

    fn want_content(&mut self, envelope: Box<Envelope>, content: OutgoingContent, now: Duration) {
        self.state = State::Content(envelope, content);
        self.deadline = now.saturating_add(self.config.timeouts.block);
        self.events.push_back(Event::WantContent);
    }

    /// Sends what may go out, and waits for the reply that comes next.
    pub(super) fn send_envelope(&mut self, now: Duration) {
        if let State::Envelope(envelope) = &mut self.state {
            self.unwritten_commands += envelope.send(&mut self.output);
            let timeouts = &self.config.timeouts;
            self.deadline = now.saturating_add(match envelope.next_step() {
                Some(Step::Reset) => timeouts.hello,
                Some(Step::Mail) => timeouts.mail,
                Some(Step::Rcpt(_)) => timeouts.rcpt,
                Some(Step::Data) | None => timeouts.data,
            });
        }
    }

    /// The transaction is over and the conversation goes on.
    pub(super) fn finish(&mut self, envelope: Box<Envelope>, stage: Stage) {
        self.state = State::Ready;
        self.events.push_back(Event::Finished(envelope.into_outcome(stage)));
        self.events.push_back(Event::Ready);
    }

    /// The transaction is over and so is the conversation.
    fn end_envelope(&mut self, mut envelope: Box<Envelope>, failure: Failure) {
        envelope.fail_unfinished(&failure);
        self.end(envelope, failure);
    }

    /// The same where every recipient has its result.
    pub(super) fn end(&mut self, envelope: Box<Envelope>, failure: Failure) {
        let ending = match failure.cause {
            Cause::Refused(reply) => Ending::Goodbye(reply),
            cause => Ending::Failed(failure.stage, cause),
        };
        self.events.push_back(Event::Finished(envelope.into_outcome(failure.stage)));
        self.events.push_back(Event::Closed(ending));
    }

    /// The connection is of no use any more.
    pub(super) fn fail(&mut self, cause: Cause) {
        let stage = self.state.stage();
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Envelope(envelope)
            | State::Content(envelope, _)
            | State::EmptyContent(envelope)
            | State::Verdict(envelope) => self.end_envelope(envelope, Failure { stage, cause }),
            State::Verdicts(verdicts) => {
                let failure = Failure { stage, cause };
                self.end(verdicts.fail(&failure), failure);
            }
            // Whatever comes instead of the reply to QUIT, all has been said.
            State::Quit(ending) => self.events.push_back(Event::Closed(ending)),
            State::Greeting
            | State::Ehlo
            | State::Helo
            | State::Lhlo
            | State::StartTls
            | State::Handshake
            | State::Dialogue(_)
            | State::Challenged
            | State::Ready
            | State::Closed => {
                self.events.push_back(Event::Closed(Ending::Failed(stage, cause)));
            }
        }
    }
}
