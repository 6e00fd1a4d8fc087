//! The bar that shows how far a batch has come: on a terminal, for more than one message; nothing otherwise.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on standard error, or none.
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    pub(super) fn new(messages: usize) -> Self {
        if messages < 2 || !stderr().is_terminal() {
            return Progress(None);
        }
        let bar = ProgressBar::new(messages as u64);
        let form = "{wide_bar} {human_pos}/{human_len} messages, {per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style);
        }
        Progress(Some(bar))
    }

    /// One message more is decided.
    pub(super) fn step(&self) {
        if let Some(bar) = &self.0 {
            bar.inc(1);
        }
    }

    /// Writes something else to the terminal, without the bar in between.
    pub(super) fn aside(&self, write: impl FnOnce()) {
        match &self.0 {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
