//! Who watches a conversation: standard error, a file, both, or nobody.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use smtp_client::recorder::Recorder;
use smtp_client::transcript::{Both, Observer, Transcript, Unobserved};

/// What `--transcript` and `--transcript-to` ask for.
pub(crate) struct Watch {
    transcript: bool,
    recorder: Option<Recorder>,
}

impl Watch {
    /// Makes the file, if one is wanted. What is there already is left alone: it may be the very message that is to be
    /// sent, or a link that somebody else has put there, and its mode may let everybody read.
    pub(crate) fn new(transcript: bool, file: Option<&Path>, server: &dyn fmt::Display) -> Result<Self, String> {
        let recorder = file.map(|path| {
            let file = File::options().write(true).create_new(true).mode(0o600).open(path);
            let file = file.map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => format!("{}: there already; name a new file", path.display()),
                _ => format!("{}: cannot be made: {error}", path.display()),
            });
            let title = format!("A conversation with {server}");
            file.map(|file| Recorder::new(file, &path.display().to_string(), &title))
        });
        Ok(Watch { transcript, recorder: recorder.transpose()? })
    }

    /// Whether all that was to be written into the file is there.
    pub(crate) fn is_complete(&self) -> bool {
        self.recorder.as_ref().is_none_or(Recorder::is_complete)
    }

    /// The observer of one connection.
    pub(crate) fn observer(&self) -> Box<dyn Observer> {
        match (self.transcript, self.recorder.clone()) {
            (false, None) => Box::new(Unobserved),
            (true, None) => on_screen(),
            (false, Some(recorder)) => Box::new(recorder),
            (true, Some(recorder)) => Box::new(Both(on_screen(), Box::new(recorder))),
        }
    }
}

/// What `--transcript` shows.
pub(crate) fn on_screen() -> Box<dyn Observer> {
    Box::new(Transcript::new(io::stderr()))
}
