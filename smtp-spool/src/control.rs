//! The control socket: how an operator changes the queue while its owner is at work.
//!
//! There is one owner of a spool, and only the owner may change what lies in it. So whoever owns it listens at `control`, a
//! Unix socket in its directory, and whoever wants something ([`ask`]) writes one line there and reads one line:
//!
//! | request | what it does | answer |
//! | --- | --- | --- |
//! | `hold ID` | nobody tries the message until it is released | `done CHANGED BEING-TRIED`, in recipients |
//! | `release ID` | a message that was held is tried now | the same |
//! | `retry-now ID` | a message that waits for its next try is tried now | the same |
//! | `retry-now --all` | all of them, in memory only | `done CHANGED 0`, in messages |
//! | `remove ID` | the message is gone, and nobody is told | `done 1 0`, in messages |
//! | `remove --report ID` | its open recipients have failed, and the sender hears of it as of any failure | `done CHANGED BEING-TRIED`, in recipients |
//! | `health` | nothing | `health KEPT-OCTETS QUEUED-MESSAGES OPEN-CLAIMS NEXT-DUE`, the last in Unix seconds or `-` |
//!
//! Other answers: `missing` (no such message, or it is not in the queue), `failed REASON` (the medium), `refused REASON` (this
//! is no request). Then the owner closes.
//!
//! The socket has mode 0600 from the moment at which it can be found: it is bound in `tmp/`, which is for its owner alone,
//! and renamed. That replaces what a killed owner left; whoever holds the lock may do so. One thread answers one peer after
//! the other, and whatever a peer does or does not do, that takes [`PATIENCE`] and [`REQUEST_OCTETS`] at most. The clock of
//! the system is asked here, for "now".

mod answer;
mod ask;
mod line;
mod request;

use std::fs;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::clock::unix_seconds;
use crate::disk::Folder;
use crate::spool::Spool;

pub use answer::Answer;
pub use ask::{AskError, ask};
pub use request::Request;

/// The name of the socket in the directory of the spool.
pub const NAME: &str = "control";

/// How long a peer may take for its request.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Octets of a request, its newline included. The longest one, `remove --report` with an id, has half of that.
pub const REQUEST_OCTETS: usize = 100;

/// Octets of an answer, its newline included.
pub const ANSWER_OCTETS: usize = 1_000;

/// How long the thread rests when no connection can be taken, for lack of descriptors.
const REST: Duration = Duration::from_secs(1);

/// The thread that takes requests. It is stopped, and waited for, when this is dropped; the socket is gone then.
pub struct Control {
    path: PathBuf,
    /// The thread sees this end when it is dropped.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    /// Takes requests for a spool at the socket in its directory. An error says which file is in the way, or what the system
    /// refused.
    pub fn serve(spool: Spool, directory: &Path) -> io::Result<Self> {
        let path = directory.join(NAME);
        let listener = listen(directory, &path)
            .map_err(|error| io::Error::new(error.kind(), format!("listening at {path:?}: {error}")))?;
        // From here on, dropping this takes the socket away again.
        let mut control = Control { path, stop: None, thread: None };
        let (stop, stopped) = UnixStream::pair()?;
        let thread = std::thread::Builder::new().name("control".to_owned());
        control.thread = Some(thread.spawn(move || run(&spool, &listener, &stopped))?);
        control.stop = Some(stop);
        Ok(control)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // First the name, so that nobody comes who would find no answer. The thread's spool still holds the lock.
        if let Err(error) = fs::remove_file(&self.path) {
            log::warn!("{:?} cannot be removed: {error}", self.path);
        }
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A thread that broke off has said so.
            let _ = thread.join();
        }
    }
}

fn listen(directory: &Path, path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is there and no socket; move it away"));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let first_path = directory.join(Folder::Temporary.name()).join(NAME);
    // Of a start that was cut short.
    let _ = fs::remove_file(&first_path);
    let listener = UnixListener::bind(&first_path)?;
    listener.set_nonblocking(true)?;
    let named = fs::set_permissions(&first_path, fs::Permissions::from_mode(0o600))
        .and_then(|()| fs::rename(&first_path, path));
    if named.is_err() {
        let _ = fs::remove_file(&first_path);
    }
    named.map(|()| listener)
}

/// One peer after the other, until the other end of `stopped` is dropped.
fn run(spool: &Spool, listener: &UnixListener, stopped: &UnixStream) {
    while let Ok(line::Ready::Input) = line::wait(listener.as_fd(), Some(stopped.as_fd()), None) {
        match listener.accept() {
            Ok((peer, _)) => {
                if let Err(error) = serve(spool, &peer, stopped) {
                    log::warn!("a peer at the control socket got no answer: {error}");
                }
            }
            // It has gone again.
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionAborted) => {}
            Err(error) => {
                log::error!("no connection can be taken at the control socket: {error}; next look in {REST:?}");
                match line::wait(stopped.as_fd(), None, Some(Instant::now() + REST)) {
                    Ok(line::Ready::Nothing) => {}
                    _ => return,
                }
            }
        }
    }
}

fn serve(spool: &Spool, mut peer: &UnixStream, stopped: &UnixStream) -> io::Result<()> {
    peer.set_nonblocking(true)?;
    let line = match line::read(peer, REQUEST_OCTETS, Instant::now() + PATIENCE, Some(stopped.as_fd())) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(error.to_string()),
        result => Ok(result?),
    };
    let request = line.and_then(|line| line.parse::<Request>().map_err(|error| error.to_string()));
    let answer = match request {
        Ok(request) => {
            let answer = request.carry_out(spool, unix_seconds());
            if request != Request::Health {
                log::info!("an operator says: {request}; the answer: {answer}");
            }
            answer
        }
        Err(reason) => Answer::Refused(reason),
    };
    // It fits into the buffer of a fresh connection, so this waits for nobody.
    peer.write_all(answer.line().as_bytes())
}
