//! The way to another host, by SMTP: one connection for one message after the other.

use smtp_proto::address::ReversePath;
use smtp_proto::client::{Ending, Stage, StartError};
use smtp_proto::extension::Extension;
use smtp_proto::parameter::MailParameters;
use smtp_proto::transaction::{Recipient, Transaction};

use super::{Carrier, Parcel, Said, Verdict};
use crate::connection::{ConnectError, Connection, SendError};
use crate::content::{Content, ContentError};
use crate::peer::Peer;

/// Opens a connection to the next host.
pub type Call<'a> = dyn Fn() -> Result<Connection, ConnectError> + 'a;

/// A connection to the next host. One that has ended between two messages is replaced once, without a word: that says
/// nothing about the message.
pub struct SmtpCarrier<'a> {
    call: Box<Call<'a>>,
    /// The host as it was called, for people.
    name: String,
    connection: Option<Connection>,
    /// Messages that went over the connection.
    carried: usize,
}

impl<'a> SmtpCarrier<'a> {
    /// Calls the host. An error is the verdict on everybody whose mail goes there.
    pub fn open(name: impl Into<String>, call: Box<Call<'a>>) -> Result<Self, Verdict> {
        let name = name.into();
        match call() {
            Ok(connection) => Ok(SmtpCarrier { call, name, connection: Some(connection), carried: 0 }),
            Err(error) => Err(no_connection(&name, &error)),
        }
    }

    /// Sends to recipients all at once, or as far as the host lets them go together.
    fn send(&mut self, parcel: &Parcel<'_>, content: &Content) -> Vec<Verdict> {
        let everybody: Vec<&Recipient> = parcel.recipients.iter().map(|(_, recipient)| *recipient).collect();
        let mut verdicts: Vec<Option<Verdict>> = vec![None; everybody.len()];
        let mut may_call_again = self.carried > 0;
        loop {
            let waiting: Vec<usize> =
                (0..everybody.len()).filter(|who| verdicts.get(*who).is_some_and(Option::is_none)).collect();
            if waiting.is_empty() {
                break;
            }
            let connection = match self.connection.take_if(|connection| connection.is_open()) {
                Some(connection) => connection,
                None => match (self.call)() {
                    Ok(connection) => {
                        self.carried = 0;
                        connection
                    }
                    Err(error) => {
                        fill(&mut verdicts, &waiting, &no_connection(&self.name, &error));
                        break;
                    }
                },
            };
            let connection = self.connection.insert(connection);
            let paths = waiting.iter().filter_map(|who| everybody.get(*who)).map(|recipient| &recipient.forward_path);
            let room: Vec<usize> =
                connection.room_for(paths).into_iter().filter_map(|place| waiting.get(place).copied()).collect();
            if room.is_empty() {
                // It takes no more over this connection (RFC 9422); over a fresh one there is room.
                self.hang_up();
                continue;
            }
            let recipients = room.iter().filter_map(|who| everybody.get(*who).map(|recipient| (*recipient).clone()));
            let envelope = parcel.claim().envelope();
            let transaction = Transaction {
                reverse_path: envelope.reverse_path.clone(),
                // RFC 4954, 5: who the author is, nobody has proved to us; a host that knows us is told so.
                parameters: MailParameters { auth: Some(ReversePath::Null), ..envelope.mail.clone() },
                recipients: recipients.collect(),
            };
            let relay = match connection.peer() {
                Peer::Tcp(address) => format!("{}[{}]", self.name, address.ip()),
                Peer::Unix(_) => self.name.clone(),
            };
            let knows_dsn = connection.extensions().has(&Extension::Dsn);
            match connection.send(transaction, content) {
                Ok(outcome) => {
                    let was_stale =
                        !connection.is_open() && outcome.recipients.iter().all(|one| is_cut_off(&one.result));
                    if was_stale && std::mem::take(&mut may_call_again) {
                        continue;
                    }
                    self.carried += 1;
                    for (who, outcome) in room.iter().zip(&outcome.recipients) {
                        if let Some(slot) = verdicts.get_mut(*who) {
                            *slot = Some(Verdict::of(outcome, &relay, knows_dsn));
                        }
                    }
                }
                Err(error) => fill(&mut verdicts, &room, &not_sent(&relay, &error)),
            }
        }
        verdicts.into_iter().map(|verdict| verdict.unwrap_or_else(nobody_knows)).collect()
    }

    fn hang_up(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.quit();
        }
    }
}

impl Carrier for SmtpCarrier<'_> {
    fn carry(&mut self, parcel: &Parcel<'_>) -> Vec<Verdict> {
        let content = parcel.content().map_err(ContentError::Io).and_then(Content::passed_on);
        match content {
            Ok(content) => self.send(parcel, &content),
            Err(error) => {
                let verdict = match error {
                    // The disk, or the room for a copy: ours, and so for now.
                    ContentError::Io(error) => Verdict::Deferred(Said::here(format!("451 4.3.0 the message: {error}"))),
                    error => Verdict::Failed(Said::here(format!("554 5.6.0 the message: {error}"))),
                };
                parcel.recipients.iter().map(|_| verdict.clone()).collect()
            }
        }
    }

    fn is_open(&self) -> bool {
        self.connection.as_ref().is_some_and(Connection::is_open)
    }

    fn close(mut self: Box<Self>) {
        self.hang_up();
    }
}

fn fill(verdicts: &mut [Option<Verdict>], who: &[usize], verdict: &Verdict) {
    for who in who {
        if let Some(slot) = verdicts.get_mut(*who) {
            *slot = Some(verdict.clone());
        }
    }
}

fn nobody_knows() -> Verdict {
    Verdict::Deferred(Said::here("451 4.3.0 there was no answer for this recipient"))
}

/// The conversation ended before the host had taken so much as the sender's address.
fn is_cut_off(result: &Result<smtp_proto::reply::Reply, smtp_proto::client::Failure>) -> bool {
    matches!(result, Err(failure) if matches!(failure.stage, Stage::Ready | Stage::Reset | Stage::Mail) && failure.is_transient())
}

/// RFC 3463: X.4.1, nobody answers; X.4.2, the conversation broke; X.4.4, no way there; X.7.4, TLS is not to be had; X.7.5, it
/// is, but not with whom it should be; X.7.8, it does not know us; what the host says, as it says it.
fn no_connection(name: &str, error: &ConnectError) -> Verdict {
    let words = error.without_path();
    let text = match error {
        ConnectError::Session(_, Ending::TlsNotOffered) => format!("4.7.4 {error}"),
        ConnectError::Session(_, Ending::Refused(Stage::StartTls, _)) => format!("4.7.4 TLS is required: {error}"),
        ConnectError::Tls(..) => format!("4.7.5 {error}"),
        ConnectError::Login(..) => format!("4.7.8 {error}"),
        ConnectError::Session(_, Ending::Refused(_, reply) | Ending::Goodbye(reply)) => reply.to_string(),
        ConnectError::Session(..) => format!("4.4.2 {words}"),
        ConnectError::Connect(..) | ConnectError::Io(_) => format!("4.4.1 {words}"),
        ConnectError::Resolve(..) if error.is_transient() => format!("4.4.3 {words}"),
        ConnectError::Resolve(..) => format!("5.4.4 {words}"),
        ConnectError::Name(_) | ConnectError::HelloName(_) => format!("4.3.5 {words}"),
    };
    let said = Said::by(name, text);
    // What is wrong with our own names, or with our password, is our own fault.
    let is_ours = matches!(error, ConnectError::Name(_) | ConnectError::HelloName(_) | ConnectError::Login(..));
    // A certificate is renewed, and whoever stands in between goes away: that is no reason to give a message back at once.
    let is_tls = error.is_about_tls();
    if error.is_transient() || is_ours || is_tls { Verdict::Deferred(said) } else { Verdict::Failed(said) }
}

/// What the host cannot take. Nothing is sent of it, and nobody converts it: a message that was signed would not be what it
/// was.
fn not_sent(relay: &str, error: &SendError) -> Verdict {
    let text = |code: &str| Said::by(relay, format!("{code} {error}"));
    match error {
        _ if error.is_transient() => Verdict::Deferred(text("4.4.5")),
        SendError::Start(StartError::NeedsEightBitMime) => Verdict::Failed(text("5.6.3")),
        SendError::Start(StartError::NeedsSmtpUtf8) => Verdict::Failed(text("5.6.7")),
        SendError::Start(StartError::TooBig { .. }) => Verdict::Failed(text("5.3.4")),
        SendError::Start(_) => Verdict::Failed(text("5.5.4")),
        SendError::BareCarriageReturn(_) => Verdict::Failed(text("5.6.11")),
        // What is wrong with our own disk is our own fault.
        SendError::Content(_) | SendError::Open(_) | SendError::Journal(_) | SendError::TimeIsOver => {
            Verdict::Deferred(text("4.3.0"))
        }
    }
}
