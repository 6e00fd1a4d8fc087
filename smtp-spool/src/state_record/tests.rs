//! Records: print and parse, torn tails, flipped octets, garbage.

use super::*;
use crate::disk::{Access, Disk as _, Folder};
use crate::memory_disk::MemoryDisk;
use crate::recipient_state::{Report, Status};

fn changes() -> Vec<Change> {
    let lane = Lane::new("example.net").unwrap();
    vec![
        Change::Outcome(Outcome::Routed(lane)),
        Change::Outcome(Outcome::Delivered("250 2.0.0 queued as 4711".to_owned(), Owes::Nothing)),
        Change::Outcome(Outcome::Failed(String::new(), Owes::Nothing)),
        Change::Outcome(Outcome::Delivered("250".to_owned(), Owes::Report)),
        Change::Outcome(Outcome::Failed("550 no".to_owned(), Owes::Report)),
        Change::Outcome(Outcome::Deferred("451 später".to_owned())),
        Change::Outcome(Outcome::ReportBegun("r-1".parse().unwrap())),
        Change::Outcome(Outcome::ReportMade),
        Change::Outcome(Outcome::WarningBegun("w-1".parse().unwrap())),
        Change::Outcome(Outcome::WarningMade),
        Change::RetryAt(-1),
        Change::RetryAt(i64::MAX),
        Change::Held,
    ]
}

fn replay_octets(octets: &[u8], recipients: usize) -> (Vec<RecipientState>, usize) {
    let disk = MemoryDisk::new();
    let entry = Folder::State.entry("m");
    disk.plant(&entry, octets);
    let mut states = vec![RecipientState::new(0); recipients];
    let ignored = replay(&*disk.open(&entry, Access::Read).unwrap(), &mut states).unwrap();
    (states, ignored)
}

#[test]
fn what_was_printed_is_parsed() {
    for change in changes() {
        let line = print(3, &change);
        assert_eq!(parse(line.strip_suffix('\n').unwrap().as_bytes()), Some((3, Said::Change(change))), "{line:?}");
    }
}

#[test]
fn a_remark_is_one_line_of_bounded_length() {
    let remark = format!("451-one\r\n451 two\0\u{1b}[31m{}", "ü".repeat(5_000));
    let line = print(0, &Change::Outcome(Outcome::Deferred(remark)));
    assert!(line.len() < REMARK_OCTETS + 40);
    assert_eq!(line.chars().filter(|character| character.is_control()).count(), 1, "only the newline");
    let Some((0, Said::Change(Change::Outcome(Outcome::Deferred(read))))) = parse(line.trim_end().as_bytes()) else {
        panic!("{line}")
    };
    assert!(read.starts_with("451-one  451 two??[31m\u{fc}"), "{read}");
}

#[test]
fn every_flipped_bit_of_a_line_is_noticed() {
    for change in changes() {
        let line = print(0, &change);
        for place in 0..line.len() - 1 {
            for bit in 0..8 {
                let mut octets = line.clone().into_bytes();
                octets[place] ^= 1 << bit;
                let (states, _) = replay_octets(&octets, 1);
                assert_eq!(states[0], RecipientState::new(0), "{place} {bit} of {line:?}");
            }
        }
    }
}

#[test]
fn a_torn_tail_takes_away_the_last_step_at_most() {
    let lines = [
        print(0, &Change::RetryAt(7)),
        print(0, &Change::Outcome(Outcome::Delivered("250 ok".to_owned(), Owes::Nothing))),
    ];
    let whole = lines.concat();
    for length in 0..=whole.len() {
        let (states, _) = replay_octets(&whole.as_bytes()[..length], 1);
        let steps = lines.iter().scan(0, |end, line| {
            *end += line.len();
            Some(*end - 1) // the newline may be missing
        });
        let expected = match steps.filter(|end| *end <= length).count() {
            0 => Status::Due(0),
            1 => Status::Due(7),
            _ => Status::Delivered,
        };
        assert_eq!(states[0].status, expected, "{length}");
    }
}

#[test]
fn garbage_is_counted_and_changes_nothing() {
    let good = print(1, &Change::Held);
    let stranger = print(9, &Change::Held);
    let garbage = [b"\xff\xfe\n".to_vec(), vec![b'x'; 100_000], b"\n\n\0\n".to_vec(), stranger.into_bytes()].concat();
    let (states, ignored) = replay_octets(&[&garbage, good.as_bytes()].concat(), 2);
    assert!(ignored > 3);
    assert_eq!((states[0].status, states[1].status), (Status::Due(0), Status::Held));
}

fn target(path: &str) -> Recipient {
    Recipient::from(path.parse::<smtp_proto::address::ForwardPath>().unwrap())
}

/// The targets of an alias count together or not at all, wherever the record is cut.
#[test]
fn an_expansion_counts_when_it_is_complete() {
    let targets = vec![target("<carol@example.org>"), target("<dave@example.com>")];
    let whole = print(1, &Change::Outcome(Outcome::Expanded(targets.clone())));
    assert_eq!(whole.lines().count(), 3);
    for length in 0..=whole.len() {
        let (states, _) = replay_octets(&whole.as_bytes()[..length], 2);
        let is_complete = length + 1 >= whole.len();
        assert_eq!(states.len(), if is_complete { 4 } else { 2 }, "{length}");
        assert_eq!(states[1].status == Status::Expanded, is_complete, "{length}");
    }
    // What was cut off and written again is there once.
    let torn = &whole[..whole.len() - 20];
    let (states, ignored) = replay_octets(format!("{torn}\n{whole}").as_bytes(), 2);
    let added: Vec<_> = states[2..].iter().map(|state| state.target_of.clone()).collect();
    assert_eq!((ignored, added), (1, targets.into_iter().map(|target| Some((target, 1))).collect()));
}

/// A report that was begun is open until it is made, whatever else is said.
#[test]
fn reports_step_by_step() {
    let id: crate::id::MessageId = "r-1".parse().unwrap();
    let steps = [
        (Change::Outcome(Outcome::WarningBegun("w-1".parse().unwrap())), Report::None, false),
        (Change::Outcome(Outcome::WarningMade), Report::None, false),
        (Change::Outcome(Outcome::Failed("550 no".to_owned(), Owes::Report)), Report::Owed, false),
        (Change::RetryAt(9), Report::Owed, false),
        (Change::Outcome(Outcome::ReportBegun(id.clone())), Report::Begun(id.clone()), false),
        (Change::Outcome(Outcome::Delivered("250 yes".to_owned(), Owes::Nothing)), Report::Begun(id), false),
        (Change::Outcome(Outcome::ReportMade), Report::Made, true),
        (Change::Outcome(Outcome::ReportBegun("r-2".parse().unwrap())), Report::Made, true),
    ];
    let mut record = String::new();
    for (change, report, is_finished) in steps {
        record += &print(0, &change);
        let (states, ignored) = replay_octets(record.as_bytes(), 1);
        assert_eq!((ignored, &states[0].report, states[0].is_finished()), (0, &report, is_finished), "{change:?}");
    }
    let (states, _) = replay_octets(record.as_bytes(), 1);
    assert_eq!((states[0].status, states[0].remark.as_str()), (Status::Failed, "550 no"));
    assert_eq!(states[0].place(), None);
}
