//! What became of the recipients of one message: lines that are only ever appended.
//!
//! ```text
//! 5f1d23a0 0 routed example.net
//! 0c9b8a71 1 routed example.org
//! 77e0d1f2 0 delivered 250 2.0.0 queued as 4711
//! 1a2b3c4d 1 deferred 451 4.3.0 come back later
//! 9e8f7a6b 1 retry 1763883600
//! ```
//!
//! Each line: CRC-32 of the rest, number of the recipient, what happened. A line that does not verify, such as the last
//! one after a power cut, counts as never written. That can repeat a delivery and never lose one.

use std::io;

use crate::claim::{Lane, Outcome};
use crate::disk::DiskFile;

/// Where one recipient stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientState {
    /// The lane.
    pub lane: Lane,
    /// What is to happen.
    pub status: Status,
    /// What was said last by the next host or about it; empty if nothing was.
    pub remark: String,
}

/// What is to happen to a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Delivery, from this time on, in Unix seconds.
    Due(i64),
    /// Nothing until somebody releases it.
    Held,
    /// Nothing: the next host took it over.
    Delivered,
    /// Nothing: it was given up.
    Failed,
}

/// One step of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Outcome(Outcome),
    RetryAt(i64),
    Held,
}

/// Octets of a remark that are kept. A reply of the longest legal kind has 512 octets a line.
const REMARK_OCTETS: usize = 1_024;

/// Octets of a line, checksum and newline included; longer ones are nobody's.
const LINE_OCTETS: usize = 8 * REMARK_OCTETS;

impl RecipientState {
    /// A recipient of a new message.
    pub(crate) fn new(due: i64) -> Self {
        RecipientState { lane: Lane::unrouted(), status: Status::Due(due), remark: String::new() }
    }

    /// Whether nothing is left to be done.
    pub fn is_finished(&self) -> bool {
        matches!(self.status, Status::Delivered | Status::Failed)
    }

    /// Takes a step. What is finished stays finished.
    pub(crate) fn apply(&mut self, change: &Change) {
        if self.is_finished() {
            return;
        }
        match change {
            Change::Outcome(Outcome::Routed(lane)) => self.lane = lane.clone(),
            Change::Outcome(Outcome::Delivered(remark)) => self.finish(Status::Delivered, remark),
            Change::Outcome(Outcome::Failed(remark)) => self.finish(Status::Failed, remark),
            Change::Outcome(Outcome::Deferred(remark)) => self.remark.clone_from(remark),
            Change::RetryAt(at) => self.status = Status::Due(*at),
            Change::Held => self.status = Status::Held,
        }
    }

    fn finish(&mut self, status: Status, remark: &str) {
        self.status = status;
        remark.clone_into(&mut self.remark);
    }
}

/// The line of one step, with its newline.
pub(crate) fn print(recipient: usize, change: &Change) -> String {
    let step = match change {
        Change::Outcome(Outcome::Routed(lane)) => format!("routed {lane}"),
        Change::Outcome(Outcome::Delivered(remark)) => format!("delivered {}", print_remark(remark)),
        Change::Outcome(Outcome::Failed(remark)) => format!("failed {}", print_remark(remark)),
        Change::Outcome(Outcome::Deferred(remark)) => format!("deferred {}", print_remark(remark)),
        Change::RetryAt(at) => format!("retry {at}"),
        Change::Held => "hold".to_owned(),
    };
    let rest = format!("{recipient} {step}");
    format!("{:08x} {rest}\n", crc32fast::hash(rest.as_bytes()))
}

/// One line whatever the next host said: line ends become spaces, other control characters question marks.
fn print_remark(remark: &str) -> String {
    let mut printed = String::new();
    for character in remark.chars() {
        if printed.len() + character.len_utf8() > REMARK_OCTETS {
            break;
        }
        printed.push(match character {
            '\r' | '\n' | '\t' => ' ',
            character if character.is_control() => '?',
            character => character,
        });
    }
    printed
}

/// Reads a line without its newline. `None` if it does not verify or says something that we do not know.
pub(crate) fn parse(line: &[u8]) -> Option<(usize, Change)> {
    let line = std::str::from_utf8(line).ok()?;
    let (checksum, rest) = line.split_once(' ')?;
    if checksum != format!("{:08x}", crc32fast::hash(rest.as_bytes())) {
        return None;
    }
    let (recipient, step) = rest.split_once(' ')?;
    let (word, value) = step.split_once(' ').unwrap_or((step, ""));
    let change = match word {
        "routed" => Change::Outcome(Outcome::Routed(Lane::new(value)?)),
        "delivered" => Change::Outcome(Outcome::Delivered(value.to_owned())),
        "failed" => Change::Outcome(Outcome::Failed(value.to_owned())),
        "deferred" => Change::Outcome(Outcome::Deferred(value.to_owned())),
        "retry" => Change::RetryAt(value.parse().ok()?),
        "hold" => Change::Held,
        _ => return None,
    };
    Some((recipient.parse().ok()?, change))
}

/// Brings recipients to where a record says they stand. Returns how many lines did not count.
pub(crate) fn replay(file: &dyn DiskFile, recipients: &mut [RecipientState]) -> io::Result<usize> {
    let mut ignored = 0;
    for_each_line(file, |line| {
        let step = parse(line).and_then(|(number, change)| Some((recipients.get_mut(number)?, change)));
        match step {
            Some((recipient, change)) => recipient.apply(&change),
            None if line.is_empty() => {}
            None => ignored += 1,
        }
    })?;
    Ok(ignored)
}

/// Hands out each line without its newline, of longer ones than [`LINE_OCTETS`] pieces, which do not verify.
fn for_each_line(file: &dyn DiskFile, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut line = Vec::new();
    let mut buffer = [0; LINE_OCTETS];
    let mut offset = 0;
    loop {
        let count = match file.read_at(offset, &mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        };
        if count == 0 {
            take(&line);
            return Ok(());
        }
        offset += count as u64;
        for octet in &buffer[..count] {
            let is_end = *octet == b'\n';
            if !is_end {
                line.push(*octet);
            }
            if is_end || line.len() == LINE_OCTETS {
                take(&line);
                line.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests;
