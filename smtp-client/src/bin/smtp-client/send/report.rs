//! What is said of a batch: a line for each recipient as soon as it is decided, and a summary of many messages.
//!
//! Acceptances go to standard output, the rest to standard error; with `--json` every line is an object on standard
//! output. Whether anybody reads it does not change what was sent.

use std::collections::HashMap;
use std::fmt::Display;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use smtp_client::batch::{Batch, Delivery, Report, Watch};
use smtp_client::connection::SendError;
use smtp_client::proto::client::Cause;
use smtp_client::proto::json::Text;
use smtp_client::proto::printable::Printable;
use smtp_client::proto::reply::Reply;
use smtp_client::queue_id;

use super::progress::{Interruption, Progress};
use crate::complain;
use crate::tls;

/// Says what happens.
pub(super) struct Reporter<'a> {
    names: &'a [String],
    server: &'a (dyn Display + Sync),
    is_json: bool,
    sent_before: usize,
    began: Instant,
    progress: Progress,
    counts: Mutex<Counts>,
}

/// What the summary is made of.
#[derive(Default)]
struct Counts {
    /// For each message that is being decided: what its recipients have come to so far. Taken out with its last one.
    open: HashMap<usize, Worst>,
    messages: [usize; 5],
}

/// What a message counts as: the worst of its recipients, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Worst {
    #[default]
    Accepted,
    Agreed,
    NotSent,
    Refused,
    NotNow,
}

/// In words, by their places.
const WORST: [&str; 5] = ["accepted", "would be taken", "not sent", "refused", "not now"];

impl<'a> Reporter<'a> {
    /// `sent_before`: messages that an earlier run has sent. A bar is drawn if there is a terminal for it, and something to
    /// be said about an interruption.
    pub(super) fn new(
        names: &'a [String],
        server: &'a (dyn Display + Sync),
        is_json: bool,
        sent_before: usize,
        interruption: Option<Interruption>,
    ) -> Self {
        let waiting = names.len() - sent_before;
        Reporter {
            names,
            server,
            is_json,
            sent_before,
            began: Instant::now(),
            progress: Progress::new(waiting, interruption),
            counts: Mutex::default(),
        }
    }

    /// The last word about many messages, on standard error; about one, only what no other line says: that an earlier run
    /// has sent it, or left it in doubt.
    pub(super) fn summarise(&self, batch: &Batch) {
        self.progress.finish();
        let doubts: Vec<usize> = batch.in_doubt().collect();
        let has_doubts = batch.has_journal() && !doubts.is_empty();
        if self.names.len() != 1 || self.sent_before > 0 || has_doubts {
            for place in doubts {
                let name = self.name(place);
                let text = "the run was interrupted or an answer was lost, so it may have arrived once more than the \
                            server has said";
                say(&format!("{name}: {text}"));
            }
            let counts = self.counts();
            say(&summary(self.names.len(), self.sent_before, &counts.messages, self.began.elapsed()));
        }
        if let Some(error) = batch.journal_failure() {
            let text = "the journal is not complete, and another run with it would send some messages again";
            complain(&format!("{error}; {text}"));
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name(&self, place: usize) -> &str {
        self.names.get(place).map_or("", String::as_str)
    }
}

impl Watch for Reporter<'_> {
    fn decided(&self, report: &Report<'_>) {
        let name = self.name(report.place);
        match (self.is_json, report.delivery) {
            (true, _) => self.progress.aside_on_output(|| print(&object(name, report))),
            (false, Delivery::Accepted(_) | Delivery::Agreed(_)) => {
                let text = Printable(&line(name, self.server, report)).to_string();
                self.progress.aside_on_output(|| print(&text));
            }
            (false, _) => self.progress.aside(|| complain(&line(name, self.server, report))),
        }
        let mut counts = self.counts();
        let worst = counts.open.entry(report.place).or_default();
        *worst = (*worst).max(Worst::of(report.delivery));
    }

    fn finished(&self, place: usize) {
        let mut counts = self.counts();
        let worst = counts.open.remove(&place).unwrap_or_default();
        if let Some(count) = counts.messages.get_mut(worst as usize) {
            *count += 1;
        }
        drop(counts);
        self.progress.step();
    }

    fn pausing(&self, reason: &Delivery, pause: Duration) {
        let waiting = self.names.len() - self.sent_before - self.counts().messages.iter().sum::<usize>();
        let who = if self.names.len() == 1 { String::new() } else { format!("{waiting} messages wait; ") };
        self.progress.aside(|| log::warn!("not yet: {who}{reason}; next try in {pause:?}"));
    }
}

impl Worst {
    fn of(delivery: &Delivery) -> Self {
        match delivery {
            Delivery::Accepted(_) => Worst::Accepted,
            Delivery::Agreed(_) => Worst::Agreed,
            delivery if delivery.is_transient() => Worst::NotNow,
            Delivery::NotSent(_) => Worst::NotSent,
            Delivery::Failed(_) | Delivery::NoConnection(_) => Worst::Refused,
        }
    }
}

fn summary(all: usize, before: usize, counts: &[usize; 5], took: Duration) -> String {
    if all == 0 {
        return "there was no message to send".to_owned();
    }
    let mut parts = Vec::new();
    if before > 0 {
        parts.push(format!("{before} accepted in an earlier run"));
    }
    // How many were accepted is said even if none was.
    let counted = WORST.iter().zip(counts).enumerate().filter(|(place, (_, count))| *place == 0 || **count > 0);
    parts.extend(counted.map(|(_, (word, count))| format!("{count} {word}")));
    let (seconds, tried) = (took.as_secs_f64(), counts.iter().sum::<usize>());
    let rate = format!("{:.0} messages/s", tried as f64 / seconds.max(0.001));
    let messages = if all == 1 { "message" } else { "messages" };
    format!("{all} {messages}: {}; {seconds:.1} s, {rate}", parts.join(", "))
}

/// One line for people. `doubt` stands at its end.
fn line(name: &str, server: &dyn Display, report: &Report<'_>) -> String {
    let who = format!("{name}: {}", report.recipient.forward_path);
    let delivery = report.delivery;
    let doubt = match delivery {
        _ if !report.is_uncertain => "",
        Delivery::Accepted(_) => {
            "; an earlier try was interrupted or its answer was lost, so it may have arrived twice"
        }
        _ => "; a try was interrupted or its answer was lost, so it may have arrived all the same",
    };
    match delivery {
        Delivery::Accepted(_) | Delivery::Agreed(_) => format!("{who}: {delivery}{doubt}"),
        // It names the address itself.
        Delivery::NoConnection(_) => format!("{who}: {delivery}{doubt}"),
        // No server has to do with it.
        Delivery::NotSent(error) if matches!(**error, SendError::TimeIsOver) => format!("{who}: {delivery}{doubt}"),
        Delivery::Failed(_) | Delivery::NotSent(_) => {
            let circumstances = report.circumstances.filter(|_| matches!(delivery, Delivery::Failed(_)));
            let circumstances = circumstances.map(|circumstances| format!("; {circumstances}")).unwrap_or_default();
            let peer = report.circumstances.map(|circumstances| circumstances.peer.to_string());
            let peer = peer.filter(|peer| *peer != server.to_string());
            let peer = peer.map(|peer| format!(" ({peer})")).unwrap_or_default();
            format!("{who}: {server}{peer}: {delivery}{circumstances}{doubt}")
        }
    }
}

/// The same as an object of JSON.
fn object(name: &str, report: &Report<'_>) -> String {
    let (message, delivery) = (report.message, report.delivery);
    let mut object = format!(
        r#"{{"message":{},"from":{},"to":{},"result":{},"in_doubt":{},"tries":{}"#,
        Text(name),
        Text(&message.transaction.reverse_path.to_string()),
        Text(&report.recipient.forward_path.to_string()),
        Text(result(delivery)),
        report.is_uncertain,
        report.tries,
    );
    let mut add = |key: &str, value: &dyn Display| object.push_str(&format!(r#","{key}":{value}"#));
    let reply = match delivery {
        Delivery::Accepted(reply) | Delivery::Agreed(reply) => Some(reply),
        Delivery::Failed(failure) => {
            add("stage", &Text(&failure.stage.to_string()));
            match &failure.cause {
                Cause::Refused(reply) => Some(reply),
                cause => {
                    add("error", &Text(&cause.to_string()));
                    None
                }
            }
        }
        Delivery::NoConnection(error) => {
            add("error", &Text(&error.to_string()));
            None
        }
        Delivery::NotSent(error) => {
            add("error", &Text(&error.to_string()));
            None
        }
    };
    if let Some(reply) = reply {
        add_reply(reply, &mut add);
    }
    if let Delivery::Accepted(reply) = delivery
        && let Some(id) = queue_id::of(reply)
    {
        add("queue_id", &Text(&id));
    }
    if let Some(circumstances) = report.circumstances {
        add("peer", &Text(&circumstances.peer.to_string()));
        add("tls", &circumstances.secured.as_ref().map_or("null".to_owned(), tls::object));
        add("waited_seconds", &format_args!("{:.3}", circumstances.waited.as_secs_f64()));
        add("took_seconds", &format_args!("{:.3}", report.took.as_secs_f64()));
        if !circumstances.received.is_empty() {
            add("received", &Text(&circumstances.received));
        }
    }
    object.push('}');
    object
}

fn add_reply(reply: &Reply, add: &mut impl FnMut(&str, &dyn Display)) {
    add("code", &reply.code().number());
    if let Some(enhanced) = reply.enhanced() {
        add("enhanced_code", &Text(&enhanced.to_string()));
    }
    add("reply", &Text(&reply.to_string()));
}

fn result(delivery: &Delivery) -> &'static str {
    match Worst::of(delivery) {
        Worst::Accepted => "accepted",
        Worst::NotSent => "not-sent",
        Worst::Refused => "refused",
        Worst::NotNow => "not-now",
        Worst::Agreed => "agreed",
    }
}

fn print(line: &str) {
    drop(writeln!(io::stdout(), "{line}"));
}

/// To standard error, and no complaint.
fn say(text: &str) {
    drop(writeln!(io::stderr(), "{}", Printable(text)));
}
