//! The bar that shows how far a batch has come: on a terminal, for more than one message; nothing otherwise.

use std::fmt::Write;
use std::io::{IsTerminal, stderr, stdout};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// What an interruption means, for whoever thinks of one: it is said while there is time to think again, since behind Ctrl-C the
/// program is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interruption {
    /// There is a journal.
    KeepsPlace,
    /// There is none.
    LosesPlace,
    /// Nothing is sent.
    Harmless,
}

impl Interruption {
    fn note(self) -> &'static str {
        match self {
            Interruption::KeepsPlace => "; Ctrl-C keeps the place for the same command",
            Interruption::LosesPlace => "; Ctrl-C loses the place (see --resume)",
            Interruption::Harmless => "",
        }
    }
}

/// A bar on standard error, or none.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    /// Whether lines on standard output stand in the way of the bar.
    is_output_shown: bool,
}

impl Progress {
    /// `interruption`: none, if no bar is wanted.
    pub(super) fn new(messages: usize, interruption: Option<Interruption>) -> Self {
        let is_drawn = messages > 1 && stderr().is_terminal();
        let bar = interruption.filter(|_| is_drawn).map(|interruption| {
            let target = ProgressDrawTarget::stderr();
            bar(target, messages, interruption)
        });
        Progress { bar, is_output_shown: stdout().is_terminal() }
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

fn bar(target: ProgressDrawTarget, messages: usize, interruption: Interruption) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(messages as u64), target);
    let form = ["{wide_bar} {human_pos}/{human_len} messages, {rate}, {left}", interruption.note()].concat();
    if let Ok(style) = ProgressStyle::with_template(&form) {
        bar.set_style(style.with_key("rate", rate).with_key("left", left));
    }
    bar
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

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use indicatif::TermLike;

    use super::*;

    /// A terminal that keeps all that is written to it.
    #[derive(Clone, Debug, Default)]
    struct Screen(Arc<Mutex<String>>);

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            120
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }

        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_bar_says_what_an_interruption_means() {
        for (interruption, end) in [
            (Interruption::KeepsPlace, " left; Ctrl-C keeps the place for the same command"),
            (Interruption::LosesPlace, " left; Ctrl-C loses the place (see --resume)"),
            (Interruption::Harmless, " left"),
        ] {
            let screen = Screen::default();
            let bar = bar(ProgressDrawTarget::term_like(Box::new(screen.clone())), 40, interruption);
            bar.inc(2);
            bar.force_draw();
            let text = screen.0.lock().unwrap().clone();
            assert!(text.contains(" 2/40 messages, ") && text.trim_end().ends_with(end), "{text:?}");
        }
    }
}
