//! The order of the calls: 250 is written only after octets and name were forced to disk.
//!
//! For every acknowledged message the trace must show, one after the other, if it has a file of its own: the last write to the
//! file, a sync of the file, the rename, a sync of the directory that holds the new name, the write of the 250 with its id; and if
//! it lies in the journal: a sync of the directory since the file has its name, the write to the file, a sync of the file, the
//! write of the 250. Who makes the calls does not matter, so that one sync may serve several messages.

use super::strace::{Call, Tracer};
use crate::workshop::failure::ensure;
use crate::workshop::letter::letter;
use crate::workshop::programs::Programs;
use crate::workshop::scratch::Scratch;
use crate::workshop::sender::Sender;
use crate::workshop::server::Server;
use crate::workshop::tally::Tally;
use crate::workshop::{OrFail, Outcome};

/// Connections at a time.
const SENDERS: u64 = 4;

/// Sizes of the letters over each connection: in the journal, and in files of their own.
const SIZES: [usize; 3] = [800, 300_000, 5_000];

/// Calls that matter here.
const CALLS: &str = "trace=openat,write,pwrite64,writev,sendto,sendmsg,fsync,fdatasync,sync_file_range,rename,renameat,renameat2,link,linkat";

/// Several senders at once.
pub(super) fn run(programs: &Programs, tally: &mut Tally) -> Outcome {
    tally.check("file and name are synced before the 250", traced_run(programs));
    Ok(())
}

fn traced_run(programs: &Programs) -> Outcome<String> {
    let scratch = Scratch::new("order")?;
    let server = Server::start(programs, &scratch.at("spool"), &["--threads", "4"])?;
    let tracer = Tracer::attach(server.pid(), &[CALLS], &scratch.at("trace"))?;
    let ids = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS).map(|number| scope.spawn(move || send(server.address, number))).collect();
        let ids: Outcome<Vec<_>> = senders.into_iter().map(|sender| sender.join().ok().or_fail("a sender")?).collect();
        ids.map(|ids| ids.concat())
    })?;
    let calls = tracer.detach()?;
    server.stop()?;
    ids.iter().try_for_each(|id| check(&calls, id))?;
    Ok(format!("{} messages over {SENDERS} connections, {} calls seen", ids.len(), calls.len()))
}

fn send(address: std::net::SocketAddr, number: u64) -> Outcome<Vec<String>> {
    let mut sender = Sender::open(address)?;
    let letters = SIZES.iter().enumerate().map(|(place, octets)| letter(number * 100 + place as u64, *octets));
    let ids: Outcome<Vec<_>> = letters.map(|letter| sender.must_send(&letter)).collect();
    sender.quit();
    ids
}

/// Follows one message through the trace.
fn check(calls: &[Call], id: &str) -> Outcome {
    let renames = ["rename", "renameat", "renameat2", "link", "linkat"];
    let renamed = calls.iter().find(|call| renames.contains(&call.name.as_str()) && call.strings().last() == Some(&id));
    match renamed {
        Some(renamed) => check_file(calls, id, renamed),
        None => check_journal(calls, id),
    }
}

fn is_sync(call: &&Call) -> bool {
    matches!(call.name.as_str(), "fsync" | "fdatasync") && call.is_done()
}

/// A message in the journal.
fn check_journal(calls: &[Call], id: &str) -> Outcome {
    // As strace prints what stands behind the content.
    let envelope = format!("ID {id}\\r\\n");
    let is_write = |call: &&Call| call.name.contains("write") && call.path().contains("/journal/");
    let mut writes = calls.iter().filter(is_write).filter(|call| call.arguments.contains(&envelope));
    let written = writes.next().or_fail(format_args!("message {id} was never written"))?;
    let name = written.path().rsplit('/').next().unwrap_or_default();
    let is_making = |call: &&Call| call.name == "openat" && call.strings().last() == Some(&name);
    let made = calls.iter().filter(is_making).find(|call| call.arguments.contains("O_CREAT"));
    let made = made.or_fail(format_args!("the file of message {id} was never made"))?;
    let replied = reply(calls, id)?;
    let is_synced = |path: &str, after: usize| {
        let mut syncs = calls.iter().filter(is_sync).filter(|call| call.path().ends_with(path));
        syncs.any(|call| call.began > after && call.ended < replied.began)
    };
    ensure(is_synced("/journal", made.ended), || format!("message {id} was acknowledged before its file had a name"))?;
    ensure(is_synced(written.path(), written.ended), || format!("message {id} was acknowledged before it was synced"))
}

/// Where the 250 is written.
fn reply<'a>(calls: &'a [Call], id: &str) -> Outcome<&'a Call> {
    let says_so = |call: &&Call| call.strings().iter().any(|text| text.contains(&format!("queued as {id}")));
    let is_reply = |call: &&Call| matches!(call.name.as_str(), "write" | "writev" | "sendto" | "sendmsg");
    // The log says the same, to standard error.
    let to_peer = |call: &&Call| call.path().starts_with("socket:") || call.path().starts_with("TCP");
    let replied = calls.iter().filter(is_reply).filter(to_peer).find(says_so);
    replied.or_fail(format_args!("the 250 of message {id} is not in the trace"))
}

/// A message in a file of its own.
fn check_file(calls: &[Call], id: &str, renamed: &Call) -> Outcome {
    ensure(renamed.is_done(), || format!("message {id} got its name by a call that failed: {}", renamed.result))?;
    let temporary = format!("/{}", renamed.strings().first().copied().unwrap_or_default());
    // Temporary names are used again, so what counts is the last sync before the rename.
    let mut synced = calls.iter().filter(is_sync).filter(|call| call.path().ends_with(&temporary));
    let file_synced = synced.rfind(|call| call.ended < renamed.began);
    let file_synced = file_synced.or_fail(format_args!("message {id} got its name before its file was synced"))?;
    let is_write = |call: &&Call| call.name.contains("write");
    let mut writes = calls.iter().filter(is_write).filter(|call| call.path().ends_with(&temporary));
    ensure(writes.any(|call| call.ended < file_synced.began), || {
        format!("the file of message {id} was never written")
    })?;
    let is_late = |call: &Call| call.ended > file_synced.began && call.began < renamed.ended;
    ensure(!writes.any(is_late), || format!("the file of message {id} is written to after its sync"))?;
    let named = format!("/new/{id}");
    let is_written_later = calls.iter().filter(is_write).any(|call| call.path().ends_with(&named));
    ensure(!is_written_later, || format!("the file of message {id} is written to under its name"))?;

    let replied = reply(calls, id)?;
    let mut folder_syncs = calls.iter().filter(is_sync).filter(|call| call.path().ends_with("/new"));
    let is_between = |call: &Call| call.began > renamed.ended && call.ended < replied.began;
    ensure(folder_syncs.any(is_between), || format!("message {id} was acknowledged before its name was synced"))
}

#[cfg(test)]
mod tests {
    use super::super::strace::parse;
    use super::*;

    const LINES: [&str; 5] = [
        "1 write(7</s/tmp/t1>, \"x\", 1) = 1",
        "1 fsync(7</s/tmp/t1>) = 0",
        "1 renameat2(3</s/tmp>, \"t1\", 4</s/new>, \"ID1\", RENAME_NOREPLACE) = 0",
        "1 fsync(8</s/new>) = 0",
        "1 sendto(9<socket:[5]>, \"250 2.0.0 queued as ID1\\r\\n\", 25, MSG_NOSIGNAL, NULL, 0) = 25",
    ];

    fn verdict(order: &[usize]) -> Result<(), String> {
        let lines: Vec<_> = order.iter().map(|place| LINES[*place]).collect();
        check(&parse(&lines.join("\n")), "ID1").map_err(|failure| failure.to_string())
    }

    /// Only one of the 120 orders is right, and none is with a call missing.
    #[test]
    fn every_wrong_order_is_found() {
        assert_eq!(verdict(&[0, 1, 2, 3, 4]), Ok(()));
        let mut wrong = 0;
        for number in 0..5_usize.pow(5) {
            let order: Vec<usize> = (0..5).map(|digit| number / 5_usize.pow(digit) % 5).collect();
            let is_permutation = (0..5).all(|place| order.contains(&place));
            if is_permutation && order != [0, 1, 2, 3, 4] {
                assert!(verdict(&order).is_err(), "{order:?}");
                wrong += 1;
            }
        }
        assert_eq!(wrong, 119);
        for missing in 0..5 {
            let order: Vec<usize> = (0..5).filter(|place| *place != missing).collect();
            assert!(verdict(&order).is_err(), "{missing}");
        }
    }

    /// The same for the journal, where the file has its name before.
    #[test]
    fn every_wrong_order_of_the_journal_is_found() {
        let lines = [
            "1 openat(3</s/journal>, \"1-a\", O_WRONLY|O_CREAT|O_EXCL, 0600) = 7</s/journal/1-a>",
            "1 fsync(8</s/journal>) = 0",
            "1 writev(7</s/journal/1-a>, [{iov_base=\"x\\r\\nID ID1\\r\\n\", iov_len=9}], 1) = 9",
            "1 fsync(7</s/journal/1-a>) = 0",
            "1 sendto(9<socket:[5]>, \"250 2.0.0 queued as ID1\\r\\n\", 25, MSG_NOSIGNAL, NULL, 0) = 25",
        ];
        let verdict = |order: &[usize]| {
            let lines: Vec<_> = order.iter().map(|place| lines[*place]).collect();
            check(&parse(&lines.join("\n")), "ID1").is_ok()
        };
        for right in [&[0, 1, 2, 3, 4][..], &[0, 2, 1, 3, 4], &[0, 2, 3, 1, 4]] {
            assert!(verdict(right), "{right:?}");
        }
        for wrong in [&[0, 1, 2, 4, 3][..], &[0, 1, 3, 2, 4], &[1, 0, 2, 3, 4], &[0, 2, 3, 4, 1], &[0, 1, 4, 2, 3]] {
            assert!(!verdict(wrong), "{wrong:?}");
        }
        for missing in 0..5 {
            let order: Vec<usize> = (0..5).filter(|place| *place != missing).collect();
            assert!(!verdict(&order), "{missing}");
        }
    }

    /// Another thread's sync of the directory may begin earlier and come back later than the one that counts.
    #[test]
    fn one_sync_between_is_enough() {
        let early = "2 fsync(9</s/new> <unfinished ...>";
        let late = "2 <... fsync resumed>) = 0";
        let lines = [LINES[0], LINES[1], LINES[2], early, LINES[3], LINES[4], late];
        assert!(check(&parse(&lines.join("\n")), "ID1").is_ok());
        let lines = [LINES[0], LINES[1], LINES[2], early, LINES[4], late];
        assert!(check(&parse(&lines.join("\n")), "ID1").is_err());
        let lines = [LINES[0], LINES[1], early, LINES[2], late, LINES[4]];
        assert!(check(&parse(&lines.join("\n")), "ID1").is_err());
    }

    #[test]
    fn a_sync_that_failed_or_has_not_come_back_is_no_sync() {
        for (right, wrong) in [
            ("fsync(8</s/new>) = 0", "fsync(8</s/new>) = -1 EIO (Input/output error)"),
            ("fsync(7</s/tmp/t1>) = 0", "fsync(7</s/tmp/t1> <unfinished ...>"),
        ] {
            let trace = LINES.join("\n").replace(right, wrong);
            assert!(check(&parse(&trace), "ID1").is_err(), "{wrong}");
        }
    }
}
