//! What a server on this machine could reach at best: one as bare as the generator, without anything of ours, that answers
//! the dialogue and says 250 when the message is on the disk.
//!
//! `log`: all messages go into one file, over zeros as long as not much comes at once, and the memory of what is synced is
//! given back. Whoever comes during a sync waits, and then one of those that wait writes for all of them, so that a sync is for
//! many. `files`: what comes is written into a file of its own at once, which is synced at the end; for large messages, which
//! are nothing to wait in memory.
//!
//! It believes that nobody says anything behind a command or a message that wants an answer, looks at nothing that is in a
//! command, and takes no dots away: it is a bound and no server.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::workshop::failure::fail;
use crate::workshop::{OrFail, Outcome};

/// What is read at once.
const BUFFER_OCTETS: usize = 256 << 10;

const END: &[u8] = b"\r\n.\r\n";

/// `bench answer log|files DIRECTORY`.
pub(super) fn answer(words: &[String]) -> Outcome {
    let store = match words {
        [kind, directory] if kind == "log" => Store::Log(Log::new(Path::new(directory)).or_fail("the log")?),
        [kind, directory] if kind == "files" => Store::Files(directory.into(), AtomicU64::new(0)),
        _ => return fail("bench answer wants log or files, and a DIRECTORY"),
    };
    let store = Arc::new(store);
    let listener = TcpListener::bind("127.0.0.1:0").or_fail("listening")?;
    eprintln!("listening on {}", listener.local_addr().or_fail("listening")?);
    for stream in listener.incoming() {
        let (stream, store) = (stream.or_fail("accepting a connection")?, store.clone());
        std::thread::spawn(move || {
            // The generator counts what it is not answered.
            converse(&stream, &store).unwrap_or_else(|error| eprintln!("a connection ended: {error}"));
        });
    }
    Ok(())
}

fn converse(mut stream: &TcpStream, store: &Store) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(b"220 limit.test\r\n")?;
    let (mut buffer, mut end, mut replies) = (vec![0; BUFFER_OCTETS], 0, Vec::new());
    loop {
        let count = stream.read(buffer.get_mut(end..).unwrap_or_default())?;
        if count == 0 {
            return Ok(());
        }
        end += count;
        let said = buffer.get(..end).unwrap_or_default();
        if !said.ends_with(b"\n") {
            continue;
        }
        replies.clear();
        let mut last: &[u8] = &[];
        for line in said.split_inclusive(|octet| *octet == b'\n') {
            last = line.get(..4).unwrap_or_default();
            let reply: &[u8] = match last {
                b"EHLO" => b"250-limit.test\r\n250 PIPELINING\r\n",
                b"DATA" => b"354 go on\r\n",
                b"QUIT" => b"221 bye\r\n",
                _ => b"250 yes\r\n",
            };
            replies.extend_from_slice(reply);
        }
        end = 0;
        let (is_data, is_goodbye) = (last == b"DATA", last == b"QUIT");
        stream.write_all(&replies)?;
        if is_goodbye {
            return Ok(());
        }
        if is_data {
            store.take(stream, &mut buffer)?;
            stream.write_all(b"250 taken\r\n")?;
        }
    }
}

/// Where messages are when they were taken.
enum Store {
    Log(Log),
    Files(PathBuf, AtomicU64),
}

impl Store {
    fn take(&self, stream: &TcpStream, buffer: &mut [u8]) -> io::Result<()> {
        match self {
            Store::Log(log) => {
                let mut message = Vec::new();
                read_message(stream, buffer, &mut message)?;
                log.append(&message)
            }
            Store::Files(directory, next) => {
                let name = next.fetch_add(1, Ordering::Relaxed).to_string();
                let mut file = File::create_new(directory.join(name))?;
                read_message(stream, buffer, &mut file)?;
                file.sync_all()
            }
        }
    }
}

fn read_message(mut stream: &TcpStream, buffer: &mut [u8], output: &mut impl Write) -> io::Result<()> {
    // The last octets that came, the beginning of the end perhaps.
    let mut tail = Vec::new();
    loop {
        let count = stream.read(buffer)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let piece = buffer.get(..count).unwrap_or_default();
        output.write_all(piece)?;
        tail.extend_from_slice(piece.get(count.saturating_sub(END.len())..).unwrap_or_default());
        tail.drain(..tail.len().saturating_sub(END.len()));
        if tail == END {
            return Ok(());
        }
    }
}

/// Zeros that are written ahead, over which the next batches go: their syncs have no new length to write.
const ZEROS: usize = 256 << 10;

/// Octets of a batch for which that pays, at most.
const SMALL_BATCH_OCTETS: usize = 64 << 10;

/// Octets of the log whose memory is given back at once: the next ones get the same pages, which are quicker to write to.
const RELEASED_OCTETS: u64 = 1 << 20;

/// One file.
struct Log {
    file: File,
    state: Mutex<State>,
    /// A batch is on the disk, or never will be.
    settled: Condvar,
}

#[derive(Default)]
struct State {
    /// What the next batch consists of, and which one that is.
    waiting: Vec<u8>,
    batch: u64,
    /// Where it goes, and how far the file is filled with zeros.
    end: u64,
    filled: u64,
    /// How many batches are on the disk.
    synced: u64,
    /// Up to where the memory of the log was given back.
    released: u64,
    is_syncing: bool,
    has_failed: bool,
}

impl Log {
    fn new(directory: &Path) -> io::Result<Self> {
        let file = File::create_new(directory.join("log"))?;
        Ok(Log { file, state: Mutex::default(), settled: Condvar::new() })
    }

    /// Comes back when it is on the disk.
    fn append(&self, message: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        state.waiting.extend_from_slice(message);
        let own = state.batch;
        loop {
            if state.has_failed {
                return Err(io::Error::other("the log could not be written"));
            }
            if state.synced > own {
                return Ok(());
            }
            if state.is_syncing {
                state = self.settled.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.is_syncing = true;
            state.batch += 1;
            let batch = std::mem::take(&mut state.waiting);
            let (begin, end) = (state.end, state.end + batch.len() as u64);
            state.end = end;
            let is_to_be_released = begin - state.released >= RELEASED_OCTETS;
            let released = is_to_be_released.then(|| std::mem::replace(&mut state.released, begin));
            let is_to_be_filled = end > state.filled && batch.len() <= SMALL_BATCH_OCTETS;
            if is_to_be_filled {
                state.filled = end + ZEROS as u64;
            }
            drop(state);
            let mut written = self.file.write_all_at(&batch, begin);
            if is_to_be_filled {
                written = written.and_then(|()| self.file.write_all_at(&vec![0; ZEROS], end));
            }
            let written = written.and_then(|()| self.file.sync_data());
            if let Some(released) = released {
                release_memory(&self.file, released, begin);
            }
            state = self.lock();
            (state.is_syncing, state.has_failed) = (false, written.is_err());
            state.synced += 1;
            self.settled.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A hint, which may do nothing.
fn release_memory(file: &File, begin: u64, end: u64) {
    #[cfg(target_os = "linux")]
    if let (Ok(offset), Ok(octets)) = (begin.try_into(), (end - begin).try_into()) {
        use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
        let _ = posix_fadvise(file, offset, octets, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, begin, end);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workshop::scratch::Scratch;

    #[test]
    fn everything_that_was_appended_is_in_the_log_once() {
        let scratch = Scratch::new("log").unwrap();
        let log = Log::new(scratch.path()).unwrap();
        std::thread::scope(|scope| {
            for writer in 0..8_u8 {
                let log = &log;
                scope.spawn(move || (0..20).for_each(|_| log.append(&[writer; 10]).unwrap()));
            }
        });
        let mut found = std::fs::read(scratch.at("log")).unwrap();
        let zeros = found.split_off(log.lock().end as usize);
        assert!(zeros.len() <= ZEROS && zeros.iter().all(|octet| *octet == 0));
        let mut records: Vec<_> = found.chunks(10).map(<[u8]>::to_vec).collect();
        records.sort();
        assert_eq!(records, (0..8_u8).flat_map(|writer| vec![vec![writer; 10]; 20]).collect::<Vec<_>>());
    }
}
