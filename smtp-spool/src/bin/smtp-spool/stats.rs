//! `stats`: how much lies in the spool, where it is to go, and how its owner is.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use argh::FromArgs;
use smtp_proto::json::{Array, Text};
use smtp_proto::printable::Printable;
use smtp_spool::clock::unix_seconds;
use smtp_spool::control::{Answer, AskError, Request, ask};
use smtp_spool::listing::{date, name};
use smtp_spool::{MessageId, MessageState, ReadError, Reader, Status, Summary};

use crate::change::{self, count};
use crate::failure::Failure;

/// Lanes that are shown, those with most recipients first.
const LANES: usize = 20;

/// Count messages, recipients and octets, and say where they are to go.
#[derive(FromArgs)]
#[argh(subcommand, name = "stats", help_triggers("-h", "--help", "help"))]
pub(crate) struct Stats {
    /// write a JSON object
    #[argh(switch)]
    json: bool,
}

impl Stats {
    pub(crate) fn run(&self, spool: &Path, output: &mut dyn Write) -> Result<(), Failure> {
        let reader = Reader::open(spool)?;
        let messages = reader.list().map_err(|error| Failure::input_output(format!("listing the spool: {error}")))?;
        let mut figures = Figures::default();
        let now = unix_seconds();
        for (_, summary) in messages {
            match summary {
                Ok(summary) => figures.add(&summary, now),
                Err(ReadError::Missing) => {}
                Err(_) => figures.unreadable += 1,
            }
        }
        let owner = owner(spool);
        if self.json { figures.write_json(&owner, output) } else { figures.write_lines(&owner, output) }
            .map_err(Failure::output)
    }
}

/// What there is of something.
#[derive(Clone, Copy, Default)]
struct Sum {
    messages: usize,
    octets: u64,
}

/// Recipients who wait in a lane.
#[derive(Clone, Copy, Default)]
struct Waiting {
    now: usize,
    later: usize,
}

#[derive(Default)]
struct Figures {
    /// In the order of [`STATES`].
    sums: [Sum; STATES.len()],
    unreadable: usize,
    held_recipients: usize,
    reports_owed: usize,
    lanes: BTreeMap<String, Waiting>,
    /// The message that has waited for longest, and since when.
    oldest: Option<(i64, MessageId)>,
}

const STATES: [MessageState; 4] =
    [MessageState::Queued, MessageState::Held, MessageState::Kept, MessageState::Finished];

impl Figures {
    fn add(&mut self, summary: &Summary, now: i64) {
        let state = summary.state();
        if let Some(sum) = STATES.iter().position(|one| *one == state).and_then(|place| self.sums.get_mut(place)) {
            sum.messages += 1;
            sum.octets += summary.size;
        }
        for recipient in &summary.recipients {
            match recipient.status {
                Status::Due(at) => {
                    let lane = self.lanes.entry(recipient.lane.to_string()).or_default();
                    *(if at <= now { &mut lane.now } else { &mut lane.later }) += 1;
                }
                Status::Held => self.held_recipients += 1,
                _ if recipient.is_decided() && recipient.report.is_open() => self.reports_owed += 1,
                _ => {}
            }
        }
        let since = (summary.envelope.received_at_unix_seconds, summary.id.clone());
        if matches!(state, MessageState::Queued | MessageState::Held)
            && self.oldest.as_ref().is_none_or(|oldest| since < *oldest)
        {
            self.oldest = Some(since);
        }
    }

    /// The fullest first, and how many are not shown.
    fn lanes(&self) -> (Vec<(&str, Waiting)>, usize) {
        let mut lanes: Vec<_> = self.lanes.iter().map(|(lane, waiting)| (lane.as_str(), *waiting)).collect();
        lanes.sort_by_key(|(_, waiting)| std::cmp::Reverse(waiting.now + waiting.later));
        let left = lanes.len().saturating_sub(LANES);
        lanes.truncate(LANES);
        (lanes, left)
    }

    fn waiting(&self) -> Waiting {
        self.lanes
            .values()
            .fold(Waiting::default(), |sum, lane| Waiting { now: sum.now + lane.now, later: sum.later + lane.later })
    }

    fn write_lines(&self, owner: &Owner, output: &mut dyn Write) -> std::io::Result<()> {
        for (state, sum) in STATES.iter().zip(self.sums) {
            writeln!(output, "{:12}{}, {} octets", name(*state), count(sum.messages, "message"), sum.octets)?;
        }
        if self.unreadable > 0 {
            writeln!(output, "unreadable  {}; see smtp-spool check", count(self.unreadable, "message"))?;
        }
        let Waiting { now, later } = self.waiting();
        writeln!(
            output,
            "recipients  {now} due now, {later} later, {} held, {} of whom the sender is to hear",
            self.held_recipients, self.reports_owed
        )?;
        if let Some((since, id)) = &self.oldest {
            writeln!(output, "oldest      {id} of {}", date(*since))?;
        }
        let (lanes, left) = self.lanes();
        for (lane, Waiting { now, later }) in lanes {
            writeln!(output, "lane        {now} due now, {later} later  {}", Printable(lane))?;
        }
        if left > 0 {
            writeln!(output, "            and {left} more")?;
        }
        writeln!(output, "owner       {}", Printable(&owner.text()))
    }

    fn write_json(&self, owner: &Owner, output: &mut dyn Write) -> std::io::Result<()> {
        let states = STATES.iter().zip(self.sums).map(|(state, Sum { messages, octets })| {
            format!(r#""{}":{{"messages":{messages},"size_bytes":{octets}}},"#, name(*state))
        });
        let Waiting { now, later } = self.waiting();
        let (lanes, _) = self.lanes();
        let lanes = lanes.into_iter().map(|(lane, Waiting { now, later })| {
            format!(r#"{{"lane":{},"due_now":{now},"due_later":{later}}}"#, Text(lane))
        });
        let oldest = self.oldest.as_ref().map(|(since, id)| {
            format!(r#","oldest":{{"id":{},"received_at_unix_seconds":{since}}}"#, Text(id.as_str()))
        });
        writeln!(
            output,
            r#"{{{}"unreadable":{},"recipients":{{"due_now":{now},"due_later":{later},"held":{},"reports_owed":{}}},"lanes":{}{},"owner":{}}}"#,
            states.collect::<String>(),
            self.unreadable,
            self.held_recipients,
            self.reports_owed,
            Array(lanes.collect()),
            oldest.unwrap_or_default(),
            owner.object(),
        )
    }
}

/// What the owner of the spool says.
enum Owner {
    Nobody,
    Well { deliveries: usize },
    Unwell(String),
}

fn owner(spool: &Path) -> Owner {
    match ask(spool, &Request::Health, change::PATIENCE) {
        Err(AskError::Nobody) => Owner::Nobody,
        Ok(Answer::Health(health)) => Owner::Well { deliveries: health.open_claims },
        Ok(Answer::Failed(reason)) => Owner::Unwell(reason),
        Ok(answer) => Owner::Unwell(answer.to_string()),
        Err(error) => Owner::Unwell(error.to_string()),
    }
}

impl Owner {
    fn text(&self) -> String {
        match self {
            Owner::Nobody => "nobody answers".to_owned(),
            Owner::Well { deliveries: 1 } => "well; 1 delivery is under way".to_owned(),
            Owner::Well { deliveries } => format!("well; {deliveries} deliveries are under way"),
            Owner::Unwell(reason) => format!("not well: {reason}"),
        }
    }

    fn object(&self) -> String {
        match self {
            Owner::Nobody => r#"{"state":"nobody"}"#.to_owned(),
            Owner::Well { deliveries } => format!(r#"{{"state":"well","deliveries_under_way":{deliveries}}}"#),
            Owner::Unwell(reason) => format!(r#"{{"state":"unwell","reason":{}}}"#, Text(reason)),
        }
    }
}
