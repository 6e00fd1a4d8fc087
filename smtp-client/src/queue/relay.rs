//! The way to another host, by SMTP: one connection for one message after the other.
//!
//! A domain may have several hosts. A recipient whom one of them puts off is tried at the next one in the same try: "the SMTP
//! client MUST be able to try (and retry) each of the relevant addresses in this list in order, until a delivery attempt
//! succeeds" (RFC 5321, 5.1). Not so where it is not known whether the message was taken: a second host would take it too.

use smtp_proto::address::ReversePath;
use smtp_proto::client::{Ending, Failure, Stage, StartError};
use smtp_proto::extension::Extension;
use smtp_proto::parameter::MailParameters;
use smtp_proto::transaction::{Recipient, Transaction};

use super::{Carrier, Parcel, Said, Verdict};
use crate::connection::{ConnectError, Connection, SendError};
use crate::content::{Content, ContentError};
use crate::peer::Peer;

/// How many addresses are asked for one message in one try, if each of them puts it off. "There may be a configurable limit
/// on the number of alternate addresses that can be tried. In any case, the SMTP client SHOULD try at least two addresses"
/// (RFC 5321, 5.1).
pub const ADDRESSES_ASKED: usize = 5;

/// Why a message whose sender requires TLS does not go to a host of which only DNS has told: "the client MUST also validate
/// the SMTP server name using MTA-STS" where there is no DNSSEC (RFC 8689, 4.2.1), and neither is looked at here.
const NAME_NOT_CERTAIN: &str = "the sender requires TLS with a certain server (REQUIRETLS), and only DNS says that this host \
    takes mail for the domain";

/// Who is called: one server, or the hosts of a domain in their order.
pub trait NextHop {
    /// Calls whoever comes first and is ready for mail.
    fn call(&self) -> Result<Connection, ConnectError>;

    /// Calls whoever comes behind this one. `None` if nobody does.
    fn call_behind(&self, peer: &Peer) -> Option<Result<Connection, ConnectError>>;

    /// The name of a host that was called; of the first one if none could be.
    fn name(&self, peer: Option<&Peer>) -> String;

    /// Whether it is certain that a host which proves to have that name is the right one. A name out of DNS may have been put
    /// there by somebody else, who proves it with ease.
    fn is_name_certain(&self, peer: &Peer) -> bool;
}

/// Opens a connection to the one server there is.
pub type Call<'a> = dyn Fn() -> Result<Connection, ConnectError> + 'a;

/// The one server there is.
struct OneServer<'a> {
    /// As it was called, for people.
    name: String,
    call: Box<Call<'a>>,
}

impl NextHop for OneServer<'_> {
    fn call(&self) -> Result<Connection, ConnectError> {
        (self.call)()
    }

    fn call_behind(&self, _peer: &Peer) -> Option<Result<Connection, ConnectError>> {
        None
    }

    fn name(&self, _peer: Option<&Peer>) -> String {
        self.name.clone()
    }

    fn is_name_certain(&self, _peer: &Peer) -> bool {
        true
    }
}

/// Connections to the next host, and to those behind it that were needed. One that has ended between two messages is replaced
/// once, without a word: that says nothing about the message.
pub struct SmtpCarrier<'a> {
    next_hop: Box<dyn NextHop + 'a>,
    /// Every message begins at the first. Each other was called behind the one in front of it, for a message that this one
    /// had put off.
    ways: Vec<Way>,
    /// How many places there are: fewer than [`ADDRESSES_ASKED`] once nobody could be reached for the next one. To find that
    /// out again for every message would hold up those that follow.
    places: usize,
}

struct Way {
    connection: Connection,
    /// Messages that went over it.
    carried: usize,
}

/// What was said of one recipient.
struct Heard {
    verdict: Verdict,
    /// Another host may take it, and none has it.
    may_go_elsewhere: bool,
}

impl<'a> SmtpCarrier<'a> {
    /// Calls the one server there is. An error is the verdict on everybody whose mail goes there.
    pub fn open(name: impl Into<String>, call: Box<Call<'a>>) -> Result<Self, Verdict> {
        SmtpCarrier::open_to(Box::new(OneServer { name: name.into(), call }))
    }

    /// Calls the first of several hosts that is ready for mail. An error is the verdict on everybody whose mail goes there.
    pub fn open_to(next_hop: Box<dyn NextHop + 'a>) -> Result<Self, Verdict> {
        match next_hop.call() {
            Ok(connection) => {
                Ok(SmtpCarrier { next_hop, ways: vec![Way { connection, carried: 0 }], places: ADDRESSES_ASKED })
            }
            Err(error) => Err(no_connection(&*next_hop, &error)),
        }
    }

    /// Sends to recipients: to all at the first host, and to those whom it puts off at the next.
    fn send(&mut self, parcel: &Parcel<'_>, content: &Content) -> Vec<Verdict> {
        let mut heard: Vec<Option<Heard>> = parcel.recipients.iter().map(|_| None).collect();
        for place in 0.. {
            if place >= self.places {
                break;
            }
            let is_waiting = |heard: &Option<Heard>| heard.as_ref().is_none_or(|heard| heard.may_go_elsewhere);
            let waiting: Vec<usize> = (0..heard.len()).filter(|who| heard.get(*who).is_some_and(is_waiting)).collect();
            if waiting.is_empty() {
                break;
            }
            let news = self.send_at(place, parcel, content, waiting);
            if news.is_empty() {
                break;
            }
            for (who, news) in news {
                if news.may_go_elsewhere {
                    log::debug!("id={} put off: {}", parcel.claim().id(), news.verdict.said());
                }
                if let Some(slot) = heard.get_mut(who) {
                    *slot = Some(news);
                }
            }
        }
        heard.into_iter().map(|heard| heard.map_or_else(nobody_knows, |heard| heard.verdict)).collect()
    }

    /// Sends to recipients at the host in this place, all at once, or as far as it lets them go together. Nothing of somebody
    /// of whom there is nothing new: behind the first place, nobody is there.
    fn send_at(
        &mut self,
        place: usize,
        parcel: &Parcel<'_>,
        content: &Content,
        mut waiting: Vec<usize>,
    ) -> Vec<(usize, Heard)> {
        let recipient = |who: &usize| parcel.recipients.get(*who).map(|(_, recipient)| *recipient);
        let mut may_call_again = self.ways.get(place).is_some_and(|way| way.carried > 0);
        let mut heard = Vec::new();
        while !waiting.is_empty() {
            match self.prepare(place) {
                Some(Ok(())) => {}
                Some(Err(error)) if place == 0 => {
                    let verdict = no_connection(&*self.next_hop, &error);
                    heard.extend(waiting.into_iter().map(|who| (who, Heard::last(verdict.clone()))));
                    break;
                }
                // What the host in front has said of them stands.
                Some(Err(error)) => {
                    log::debug!("id={} {error}", parcel.claim().id());
                    self.places = place;
                    break;
                }
                None => break,
            }
            let Some(Way { connection, carried }) = self.ways.get_mut(place) else { break };
            let paths = waiting.iter().filter_map(recipient).map(|recipient| &recipient.forward_path);
            let room: Vec<usize> =
                connection.room_for(paths).into_iter().filter_map(|one| waiting.get(one).copied()).collect();
            if room.is_empty() {
                // It takes no more over this connection (RFC 9422); over a fresh one there is room.
                self.hang_up(place);
                continue;
            }
            let envelope = parcel.claim().envelope();
            let transaction = Transaction {
                reverse_path: envelope.reverse_path.clone(),
                // RFC 4954, 5: who the author is, nobody has proved to us; a host that knows us is told so.
                parameters: MailParameters { auth: Some(ReversePath::Null), ..envelope.mail.clone() },
                recipients: room.iter().filter_map(recipient).map(Recipient::clone).collect(),
            };
            let relay = relay(&*self.next_hop, Some(connection.peer()));
            let is_required = envelope.mail.require_tls && envelope.reverse_path != ReversePath::Null;
            if is_required && !self.next_hop.is_name_certain(connection.peer()) {
                let verdict = Verdict::Failed(Said::by(&relay, format!("5.7.10 {NAME_NOT_CERTAIN}")));
                heard.extend(
                    waiting.into_iter().map(|who| (who, Heard { verdict: verdict.clone(), may_go_elsewhere: true })),
                );
                break;
            }
            let knows_dsn = connection.extensions().has(&Extension::Dsn);
            match connection.send(transaction, content) {
                Ok(outcome) => {
                    let was_stale =
                        !connection.is_open() && outcome.recipients.iter().all(|one| is_cut_off(&one.result));
                    if was_stale && std::mem::take(&mut may_call_again) {
                        continue;
                    }
                    *carried += 1;
                    for (who, outcome) in room.iter().zip(&outcome.recipients) {
                        let verdict = Verdict::of(outcome, &relay, knows_dsn);
                        let may_go_elsewhere = outcome.result.as_ref().is_err_and(may_go_elsewhere);
                        heard.push((*who, Heard { verdict, may_go_elsewhere }));
                    }
                }
                Err(error) => {
                    let verdict = not_sent(&relay, &error);
                    // RFC 8689, 4.2.1: "repeat steps 2-5 with each host on the recipient domain's list of MX hosts".
                    let may_go_elsewhere =
                        matches!(error, SendError::Start(StartError::NeedsVerifiedTls | StartError::NeedsRequireTls));
                    heard.extend(room.iter().map(|who| (*who, Heard { verdict: verdict.clone(), may_go_elsewhere })));
                }
            }
            waiting.retain(|who| !room.contains(who));
        }
        heard
    }

    /// Makes sure that there is an open connection in this place, if anybody is there.
    fn prepare(&mut self, place: usize) -> Option<Result<(), ConnectError>> {
        if self.ways.get(place).is_some_and(|way| way.connection.is_open()) {
            return Some(Ok(()));
        }
        // Whoever comes behind this one was called behind another, perhaps.
        self.hang_up(place);
        let called = match place.checked_sub(1) {
            None => self.next_hop.call(),
            Some(before) => self.next_hop.call_behind(self.ways.get(before)?.connection.peer())?,
        };
        Some(called.map(|connection| self.ways.push(Way { connection, carried: 0 })))
    }

    /// Says goodbye in this place and behind it.
    fn hang_up(&mut self, place: usize) {
        for way in self.ways.drain(place.min(self.ways.len())..) {
            way.connection.quit();
        }
    }
}

impl Heard {
    /// There is nothing else to be tried.
    fn last(verdict: Verdict) -> Self {
        Heard { verdict, may_go_elsewhere: false }
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
        self.ways.iter().any(|way| way.connection.is_open())
    }

    fn close(mut self: Box<Self>) {
        self.hang_up(0);
    }
}

fn nobody_knows() -> Verdict {
    Verdict::Deferred(Said::here("451 4.3.0 there was no answer for this recipient"))
}

/// The conversation ended before the host had taken so much as the sender's address.
fn is_cut_off(result: &Result<smtp_proto::reply::Reply, Failure>) -> bool {
    matches!(result, Err(failure) if matches!(failure.stage, Stage::Ready | Stage::Reset | Stage::Mail) && failure.is_transient())
}

/// It was put off, for whatever reason, and this host has not got it. Whoever fell silent behind the end of the content may
/// have it: that is tried again later, by which time the host may have said what became of it, and not at once, when each
/// host would make one more copy.
fn may_go_elsewhere(failure: &Failure) -> bool {
    failure.is_transient() && !failure.is_uncertain()
}

/// A host for people: as it was called, and the address that it had.
fn relay(next_hop: &dyn NextHop, peer: Option<&Peer>) -> String {
    let name = next_hop.name(peer);
    match peer {
        Some(Peer::Tcp(address)) if !name.contains(&address.ip().to_string()) => format!("{name}[{}]", address.ip()),
        _ => name,
    }
}

/// RFC 3463: X.4.1, nobody answers; X.4.2, the conversation broke; X.4.4, no way there; X.7.4, TLS is not to be had; X.7.5, it
/// is, but not with whom it should be; X.7.8, it does not know us; what the host says, as it says it.
fn no_connection(next_hop: &dyn NextHop, error: &ConnectError) -> Verdict {
    let words = error.reason();
    let text = match error {
        ConnectError::Session(_, Ending::TlsNotOffered) => format!("4.7.4 {words}"),
        ConnectError::Session(_, Ending::Refused(Stage::StartTls, _)) => format!("4.7.4 TLS is required: {words}"),
        ConnectError::Tls(..) => format!("4.7.5 {words}"),
        ConnectError::Login(..) => format!("4.7.8 {words}"),
        ConnectError::Session(_, Ending::Refused(_, reply) | Ending::Goodbye(reply)) => reply.to_string(),
        ConnectError::Session(..) => format!("4.4.2 {words}"),
        ConnectError::Connect(..) | ConnectError::Io(_) => format!("4.4.1 {words}"),
        ConnectError::Resolve(..) if error.is_transient() => format!("4.4.3 {words}"),
        ConnectError::Resolve(..) => format!("5.4.4 {words}"),
        ConnectError::Name(_) | ConnectError::HelloName(_) => format!("4.3.5 {words}"),
    };
    let said = Said::by(relay(next_hop, error.peer()), text);
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
        // RFC 8689, 4.2.1.
        SendError::Start(StartError::NeedsVerifiedTls) => Verdict::Failed(text("5.7.10")),
        SendError::Start(StartError::NeedsRequireTls) => Verdict::Failed(text("5.7.30")),
        SendError::Start(StartError::TooBig { .. }) => Verdict::Failed(text("5.3.4")),
        SendError::Start(_) => Verdict::Failed(text("5.5.4")),
        SendError::BareCarriageReturn(_) => Verdict::Failed(text("5.6.11")),
        // What is wrong with our own disk is our own fault.
        SendError::Content(_) | SendError::Open(_) | SendError::Journal(_) | SendError::TimeIsOver => {
            Verdict::Deferred(text("4.3.0"))
        }
    }
}
