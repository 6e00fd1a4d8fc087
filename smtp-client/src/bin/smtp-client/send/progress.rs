//! The bar that shows how far a batch has come: on a terminal, for more than one message; nothing otherwise.

use std::fmt::Write;
use std::io::{IsTerminal, stderr, stdout};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

/// A bar on standard error, or none.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    /// Whether lines on standard output stand in the way of the bar.
    is_output_shown: bool,
}

impl Progress {
    pub(super) fn new(messages: usize) -> Self {
        let is_output_shown = stdout().is_terminal();
        if messages < 2 || !stderr().is_terminal() {
            return Progress { bar: None, is_output_shown };
        }
        let bar = ProgressBar::new(messages as u64);
        let form = "{wide_bar} {human_pos}/{human_len} messages, {rate}, {left}";
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style.with_key("rate", rate).with_key("left", left));
        }
        Progress { bar: Some(bar), is_output_shown }
    }

    /// One message more is decided.
    pub(super) fn step(&self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// Writes something else to standard error, without the bar in between.
    pub(super) fn aside(&self, write: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// The same for standard output. A bar that is taken away and drawn again for each line of a file would be most of the
    /// work.
    pub(super) fn aside_on_output(&self, write: impl FnOnce()) {
        if self.is_output_shown { self.aside(write) } else { write() }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

// A text in memory can always be written.

fn rate(state: &ProgressState, output: &mut dyn Write) {
    let _ = write!(output, "{:.0}/s", state.per_sec());
}

/// Before the first message is decided, nobody can tell.
fn left(state: &ProgressState, output: &mut dyn Write) {
    let _ = match state.pos() {
        0 => output.write_str("- left"),
        _ => write!(output, "{} s left", state.eta().as_secs()),
    };
}
