//! A spool with many messages in it, put there without a server.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use smtp_spool::{Due, Envelope, IdSource, Spool, Store};

use super::failure::{OrFail, Outcome};
use super::letter::letter;

/// Threads that fill it: the file system syncs for several of them at once.
const THREADS: u64 = 16;

const MICROSECONDS: u64 = 1_000_000;

/// Puts so many messages of 1 KiB into a spool, each for a recipient that is told by its number.
pub(crate) fn fill(spool: &Spool, count: u64, due: Due, recipient: impl Fn(u64) -> String + Sync) -> Outcome {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).or_fail("the time")?;
    let (ids, now) = (IdSource::new(0).or_fail("ids")?, since.as_secs());
    let put = |number: u64| -> Outcome {
        let recipient = recipient(number);
        let text = format!("RECEIVED {now}\r\nMAIL FROM:<alice@here.test>\r\nRCPT TO:<{recipient}>\r\n");
        let envelope = Envelope::parse(&text).or_fail("an envelope")?;
        let mut incoming = spool.begin(None).or_fail("beginning a message")?;
        incoming.write_all(&letter(number, 1_024)).or_fail("writing a message")?;
        incoming.commit(&ids.next(now * MICROSECONDS), &envelope, due).or_fail("committing a message")
    };
    std::thread::scope(|scope| {
        let share = |first: u64| (first..count).step_by(THREADS as usize).try_for_each(put);
        let threads: Vec<_> = (0..THREADS).map(|first| scope.spawn(move || share(first))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().ok().or_fail("filling the spool")?)
    })
}
