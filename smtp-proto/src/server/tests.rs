//! The server's side, driven by hand. Each file is one question: `table` which command may come when, `transaction` what a
//! conversation makes of it, `content` where a message ends, `chunks` the same for BDAT, `limits` how much of everything, `closing` how it ends,
//! `replies` what is said, `tls` what STARTTLS leads to, `auth` the same of AUTH, `random` whether anything at all gets it off balance.

mod auth;
mod chunks;
mod closing;
mod content;
mod limits;
mod random;
mod replies;
mod table;
mod tls;
mod transaction;

use super::*;
use crate::reply::{Code, EnhancedCode};

type Policy = fn(Question<'_>) -> Decision;

/// Answers what is about AUTH; `None` leaves it to the policy.
type Authenticator = fn(Mechanism, Option<&[u8]>) -> Option<AuthAnswer>;

/// Ann's password is "good"; of "wait", nothing can be said now. LOGIN is asked in two steps, of which the second counts.
fn only_ann(mechanism: Mechanism, response: Option<&[u8]>) -> Option<AuthAnswer> {
    let refused =
        |code, enhanced, text| AuthAnswer::Refused(Reply::new(Code::new(code).unwrap(), Some(enhanced), text));
    Some(match (mechanism, response) {
        (Mechanism::Login, None) => AuthAnswer::Challenge(b"Username:".to_vec()),
        (Mechanism::Login, Some(b"ann")) => AuthAnswer::Challenge(b"Password:".to_vec()),
        (Mechanism::Login, Some(b"good")) | (Mechanism::Plain, Some(b"\0ann\0good")) => {
            AuthAnswer::Authenticated("ann".to_owned())
        }
        (_, None) => AuthAnswer::Challenge(Vec::new()),
        (_, Some(b"")) => refused(501, EnhancedCode::new(5, 5, 2), "That is no message of it"),
        (_, Some(b"\0wait\0good")) => refused(454, EnhancedCode::new(4, 7, 0), "Not now"),
        (_, Some(_)) => refused(535, EnhancedCode::new(5, 7, 8), "No"),
    })
}

/// A session with a driver that does as the documentation of [`crate::server`] says, a policy, and a memory.
struct Host {
    session: ServerSession,
    policy: Policy,
    auth: Authenticator,
    now: Duration,
    buffer: Vec<u8>,
    /// What was handed out of the message that is coming in.
    content: Vec<u8>,
    /// What was accepted.
    messages: Vec<(Transaction, Vec<u8>)>,
    drops: usize,
    questions: usize,
    is_closed: bool,
    /// The session waits for the handshake.
    wants_tls: bool,
    /// Of the dialogue that began last.
    mechanism: Mechanism,
}

fn accept_all(_: Question<'_>) -> Decision {
    Decision::Accept
}

fn refusal(code: u16, enhanced: EnhancedCode) -> Decision {
    Decision::Refuse(Reply::new(Code::new(code).unwrap(), Some(enhanced), "No"))
}

fn config() -> Config {
    Config::new("mx.example.org".parse().unwrap())
}

impl Host {
    /// A connection that came in, not greeted yet.
    fn connecting(config: Config, policy: Policy) -> Self {
        Host {
            session: ServerSession::new(config),
            policy,
            auth: only_ann,
            mechanism: Mechanism::Plain,
            now: Duration::ZERO,
            buffer: Vec::new(),
            content: Vec::new(),
            messages: Vec::new(),
            drops: 0,
            questions: 0,
            is_closed: false,
            wants_tls: false,
        }
    }

    /// Greeted with 220.
    fn with(config: Config, policy: Policy) -> Self {
        let mut host = Host::connecting(config, policy);
        let greeting = host.feed(b"");
        assert_eq!(greeting, "220 mx.example.org ESMTP ready\r\n");
        host
    }

    fn new() -> Self {
        Host::with(config(), accept_all)
    }

    /// Greeted, named and with these lines said, all of which must be agreed to.
    fn after(lines: &[&str]) -> Self {
        let mut host = Host::new();
        host.agree("EHLO client.example");
        host.agree_all(lines);
        host
    }

    /// Hands in octets as they come from the network. Returns what is answered.
    fn feed(&mut self, octets: &[u8]) -> String {
        self.buffer.extend_from_slice(octets);
        let buffer = std::mem::take(&mut self.buffer);
        let mut rest = &buffer[..];
        loop {
            let (used, event) = self.session.handle(rest, self.now);
            rest = &rest[used..];
            match event {
                Event::NeedInput => break,
                Event::Content(octets) => self.content.extend_from_slice(octets),
                Event::Dropped => {
                    self.drops += 1;
                    self.content.clear();
                }
                Event::Close => {
                    self.is_closed = true;
                    break;
                }
                Event::StartTls => {
                    self.wants_tls = true;
                    break;
                }
                Event::Question => self.answer(),
            }
        }
        self.buffer = rest.to_vec();
        let output = String::from_utf8(self.session.output().to_vec()).unwrap();
        self.session.clear_output();
        output
    }

    /// What a driver does behind a handshake that has succeeded.
    fn establish_tls(&mut self) {
        assert!(std::mem::take(&mut self.wants_tls));
        self.session.handle_tls_established(self.now);
    }

    fn answer(&mut self) {
        self.questions += 1;
        let question = self.session.question().unwrap();
        let answer = match question {
            Question::AuthBegins(mechanism, response) => {
                self.mechanism = mechanism;
                (self.auth)(mechanism, response.map(Secret::expose))
            }
            Question::AuthGoesOn(response) => (self.auth)(self.mechanism, Some(response.expose())),
            _ => None,
        };
        if let Some(answer) = answer {
            return self.session.answer_auth(answer, self.now);
        }
        let finished = match question {
            Question::EndOfContent(transaction) => Some(transaction.clone()),
            _ => None,
        };
        let decision = (self.policy)(question);
        if let Some(transaction) = finished {
            let content = std::mem::take(&mut self.content);
            if !matches!(decision, Decision::Refuse(_)) {
                self.messages.push((transaction, content));
            }
        }
        self.session.decide(decision, self.now);
    }

    /// Says one line. Returns the one reply without its last CRLF.
    fn say(&mut self, line: &str) -> String {
        let output = self.feed(format!("{line}\r\n").as_bytes());
        assert_eq!(codes(&output).len(), 1, "one reply to {line:?}: {output:?}");
        output.trim_end_matches("\r\n").to_owned()
    }

    fn code(&mut self, line: &str) -> u16 {
        codes(&self.say(line))[0]
    }

    fn agree(&mut self, line: &str) -> String {
        let reply = self.say(line);
        assert!(reply.starts_with(['2', '3']), "{line:?} was answered {reply:?}");
        reply
    }

    fn agree_all(&mut self, lines: &[&str]) {
        for line in lines {
            self.agree(line);
        }
    }
}

/// The codes of the replies in an output, one for each, which must be well-formed lines.
fn codes(output: &str) -> Vec<u16> {
    let mut codes = Vec::new();
    for line in output.lines() {
        assert!(line.len() + 2 <= crate::limits::REPLY_LINE_OCTETS, "{} octets: {line:?}", line.len());
        let code = line[..3].parse().unwrap();
        match &line[3..4] {
            " " => codes.push(code),
            separator => assert_eq!(separator, "-", "{line:?}"),
        }
    }
    codes
}
