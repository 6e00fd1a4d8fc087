//! What became of the recipients of one message: lines that are only ever appended.
//!
//! ```text
//! 5f1d23a0 0 routed example.net
//! 0c9b8a71 1 target RCPT TO:<carol@example.org>
//! 2f7c1b90 1 expanded 1
//! 77e0d1f2 0 delivered 250 2.0.0 queued as 4711
//! 1a2b3c4d 2 deferred 451 4.3.0 come back later
//! 9e8f7a6b 2 retry 1763883600
//! 4b5c6d7e 2 unreported-failed 550 5.1.1 no such mailbox
//! 8f9a0b1c 2 reporting 1jd0q3v8k2c-0000-7f3k9q2m0000001
//! 3d4e5f60 2 reported
//! ```
//!
//! Each line: CRC-32 of the rest, number of the recipient, what happened. A line that does not verify, such as the last
//! one after a power cut, counts as never written. That can repeat a delivery and never lose one. The targets of an alias
//! count only once the line behind them says how many there are.

use std::collections::HashMap;
use std::io;

use smtp_proto::command::Command;

use crate::claim::{Lane, Outcome, Owes};
use crate::disk::DiskFile;
use crate::envelope::Recipient;
use crate::recipient_state::{self, Change, RecipientState};

/// Octets of a remark that are kept. A reply of the longest legal kind has 512 octets a line.
const REMARK_OCTETS: usize = 1_024;

/// Octets of a line, checksum and newline included; longer ones are nobody's.
const LINE_OCTETS: usize = 8 * REMARK_OCTETS;

/// The lines of one step, each with its newline.
pub(crate) fn print(recipient: usize, change: &Change) -> String {
    let remark = |word: &str, remark: &str, owes: Owes| {
        let owing = if owes == Owes::Report { "unreported-" } else { "" };
        format!("{owing}{word} {}", print_remark(remark))
    };
    let step = match change {
        Change::Outcome(Outcome::Routed(lane)) => format!("routed {lane}"),
        Change::Outcome(Outcome::Expanded(targets)) => {
            let lines = targets.iter().map(|Recipient { forward_path, parameters }| {
                line(recipient, &format!("target RCPT TO:{forward_path}{parameters}"))
            });
            return lines.collect::<String>() + &line(recipient, &format!("expanded {}", targets.len()));
        }
        Change::Outcome(Outcome::Delivered(text, owes)) => remark("delivered", text, *owes),
        Change::Outcome(Outcome::Failed(text, owes)) => remark("failed", text, *owes),
        Change::Outcome(Outcome::Deferred(text)) => remark("deferred", text, Owes::Nothing),
        Change::Outcome(Outcome::ReportBegun(id)) => format!("reporting {id}"),
        Change::Outcome(Outcome::ReportMade) => "reported".to_owned(),
        Change::Outcome(Outcome::WarningBegun(id)) => format!("warning {id}"),
        Change::Outcome(Outcome::WarningMade) => "warned".to_owned(),
        Change::RetryAt(at) => format!("retry {at}"),
        Change::Held => "hold".to_owned(),
    };
    line(recipient, &step)
}

fn line(recipient: usize, step: &str) -> String {
    sealed(&format!("{recipient} {step}"))
}

/// A line that proves itself, with its newline.
pub(crate) fn sealed(rest: &str) -> String {
    format!("{:08x} {rest}\n", crc32fast::hash(rest.as_bytes()))
}

/// What stands behind the checksum of a line without its newline, if that verifies.
pub(crate) fn unsealed(line: &[u8]) -> Option<&str> {
    let (checksum, rest) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    (checksum == format!("{:08x}", crc32fast::hash(rest.as_bytes()))).then_some(rest)
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

/// What one line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Change(Change),
    Target(Recipient),
    /// The last so many targets are all.
    Expanded(usize),
}

/// Reads a line without its newline. `None` if it does not verify or says something that we do not know.
pub(crate) fn parse(line: &[u8]) -> Option<(usize, Said)> {
    let (recipient, step) = unsealed(line)?.split_once(' ')?;
    let (word, value) = step.split_once(' ').unwrap_or((step, ""));
    let remark = || value.to_owned();
    let outcome = match word {
        "target" => return Some((recipient.parse().ok()?, Said::Target(target(value)?))),
        "expanded" => return Some((recipient.parse().ok()?, Said::Expanded(value.parse().ok()?))),
        "retry" => return Some((recipient.parse().ok()?, Said::Change(Change::RetryAt(value.parse().ok()?)))),
        "hold" => return Some((recipient.parse().ok()?, Said::Change(Change::Held))),
        "routed" => Outcome::Routed(Lane::new(value)?),
        "delivered" => Outcome::Delivered(remark(), Owes::Nothing),
        "unreported-delivered" => Outcome::Delivered(remark(), Owes::Report),
        "failed" => Outcome::Failed(remark(), Owes::Nothing),
        "unreported-failed" => Outcome::Failed(remark(), Owes::Report),
        "deferred" => Outcome::Deferred(remark()),
        "reporting" => Outcome::ReportBegun(value.parse().ok()?),
        "reported" => Outcome::ReportMade,
        "warning" => Outcome::WarningBegun(value.parse().ok()?),
        "warned" => Outcome::WarningMade,
        _ => return None,
    };
    Some((recipient.parse().ok()?, Said::Change(Change::Outcome(outcome))))
}

fn target(command: &str) -> Option<Recipient> {
    match Command::parse(command.as_bytes()).ok()? {
        Command::Rcpt { forward_path, parameters } => Some(Recipient { forward_path, parameters }),
        _ => None,
    }
}

/// Brings recipients to where a record says they stand. Returns how many lines did not count.
pub(crate) fn replay(file: &dyn DiskFile, recipients: &mut Vec<RecipientState>) -> io::Result<usize> {
    let mut ignored = 0;
    let mut targets: HashMap<usize, Vec<Recipient>> = HashMap::new();
    for_each_line(file, |line| {
        let counts = match parse(line) {
            Some((number, Said::Change(change))) => recipient_state::apply(recipients, number, &change),
            Some((number, Said::Target(target))) => {
                targets.entry(number).or_default().push(target);
                true
            }
            Some((number, Said::Expanded(count))) => {
                let said = targets.remove(&number).unwrap_or_default();
                match said.len().checked_sub(count) {
                    Some(before) => {
                        let targets = said.get(before..).unwrap_or_default().to_vec();
                        recipient_state::apply(recipients, number, &Change::Outcome(Outcome::Expanded(targets)))
                    }
                    None => false,
                }
            }
            None => line.is_empty(),
        };
        ignored += usize::from(!counts);
    })?;
    Ok(ignored)
}

/// Hands out each line without its newline, of longer ones than [`LINE_OCTETS`] pieces, which do not verify.
pub(crate) fn for_each_line(file: &dyn DiskFile, mut take: impl FnMut(&[u8])) -> io::Result<()> {
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
