//! Other programs: run to their end, or kept running until their owner goes. None outlives the task.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use super::failure::{Failure, OrFail, Outcome, fail};

/// Lines of standard error that are kept for the case that something goes wrong.
const KEPT_LINES: usize = 200;

/// Octets of one output that are kept of a program that runs to its end.
const KEPT_OCTETS: u64 = 256 << 20;

/// A program that runs. It is killed and waited for when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    name: String,
    child: Child,
    log: Log,
}

/// What a program wrote to standard error.
#[derive(Debug)]
enum Log {
    /// It comes line by line, and the last of them are kept.
    Pipe { lines: Receiver<String>, kept: Arc<Mutex<VecDeque<String>>> },
    /// All of it is here.
    File(PathBuf),
}

impl Running {
    /// Starts a program without standard input. What it writes to standard error can be waited for.
    pub(crate) fn start(name: &str, command: &mut Command) -> Outcome<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().or_fail(format_args!("starting {name}"))?;
        let (kept, (sender, lines)) = (Arc::default(), channel());
        if let Some(stderr) = child.stderr.take() {
            let kept = Arc::clone(&kept);
            // Ends with the program. It must go on reading even if nobody waits, or the program would block.
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stderr);
                let mut line = Vec::new();
                while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                    let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                    keep(&kept, text.clone());
                    let _ = sender.send(text);
                    line.clear();
                }
            });
        }
        Ok(Running { name: name.to_owned(), child, log: Log::Pipe { lines, kept } })
    }

    /// The same with standard error in a new file, as in production: nobody is woken for its lines.
    pub(crate) fn start_logging_to(name: &str, command: &mut Command, file: PathBuf) -> Outcome<Self> {
        let log = File::create_new(&file).or_fail(format_args!("making {}", file.display()))?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let child = child.or_fail(format_args!("starting {name}"))?;
        Ok(Running { name: name.to_owned(), child, log: Log::File(file) })
    }

    /// Waits for a line on standard error that `read` understands. Lines before it are passed over; of a file, it is the first.
    pub(crate) fn wait_for_line<T>(&self, timeout: Duration, read: impl Fn(&str) -> Option<T>) -> Outcome<T> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.complain("did not say within time what it was to say"));
            }
            let found = match &self.log {
                Log::Pipe { lines, .. } => match lines.recv_timeout(left) {
                    Ok(line) => read(&line),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => return Err(self.complain("ended early")),
                },
                // Whoever writes to a file tells nobody, so one looks again and again.
                Log::File(_) => {
                    std::thread::sleep(Duration::from_millis(1));
                    self.log.lines().iter().find_map(|line| read(line))
                }
            };
            if let Some(found) = found {
                return Ok(found);
            }
        }
    }

    /// The number of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Outcome {
        let pid = i32::try_from(self.pid()).or_fail("the number of a process")?;
        signal::kill(Pid::from_raw(pid), signal).or_fail(format_args!("sending {signal} to {}", self.name))
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(&mut self, timeout: Duration) -> Outcome<ExitStatus> {
        match wait_within(&mut self.child, timeout).or_fail("waiting for a process")? {
            Some(status) => Ok(status),
            None => Err(self.complain(&format!("did not end within {} s", timeout.as_secs()))),
        }
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// What it said last on standard error.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    /// A failure of this program, with its last words.
    pub(crate) fn complain(&self, what: &str) -> Failure {
        let lines = self.log.lines();
        let last: Vec<_> = lines.iter().rev().take(8).rev().map(|line| format!("\n    {line}")).collect();
        Failure::new(format!("{} {what}; its last words:{}", self.name, last.concat()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Log {
    /// The last whole lines.
    fn lines(&self) -> Vec<String> {
        match self {
            Log::Pipe { kept, .. } => kept.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect(),
            Log::File(file) => {
                let octets = std::fs::read(file).unwrap_or_default();
                // What has no end yet is no line.
                let lines = octets.split(|octet| *octet == b'\n').rev().skip(1).take(KEPT_LINES);
                let mut lines: Vec<_> = lines.map(|line| String::from_utf8_lossy(line).into_owned()).collect();
                lines.reverse();
                lines
            }
        }
    }
}

fn keep(kept: &Mutex<VecDeque<String>>, line: String) {
    let mut lines = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if lines.len() == KEPT_LINES {
        lines.pop_front();
    }
    lines.push_back(line);
}

/// A program that has run to its end.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Finished {
    /// Both outputs as text, for messages.
    pub(crate) fn text(&self) -> String {
        let both = [self.stdout.as_slice(), self.stderr.as_slice()].concat();
        String::from_utf8_lossy(&both).trim_end().to_owned()
    }
}

/// Runs a program to its end, with `input` as its standard input, and ends it if it takes too long.
pub(crate) fn run_with_input(command: &mut Command, input: &[u8], timeout: Duration) -> Outcome<Finished> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().or_fail(format_args!("starting {name}"))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // Who does not read its input to the end has its reasons.
            let _ = stdin.map(|mut stdin| stdin.write_all(input));
        });
        let stdout = scope.spawn(move || read_all(stdout));
        let stderr = scope.spawn(move || read_all(stderr));
        let status = wait_within(&mut child, timeout).or_fail(format_args!("waiting for {name}"));
        if !matches!(status, Ok(Some(_))) {
            let _ = child.kill();
            let _ = child.wait();
        }
        let (stdout, stderr) = (stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default());
        match status? {
            Some(status) => Ok(Finished { status, stdout, stderr }),
            None => {
                let text = String::from_utf8_lossy(&stderr).into_owned();
                fail(format!("{name} did not end within {} s: {text}", timeout.as_secs()))
            }
        }
    })
}

/// Runs a program to its end without input.
pub(crate) fn run(command: &mut Command, timeout: Duration) -> Outcome<Finished> {
    run_with_input(command, b"", timeout)
}

/// Runs a program that has to succeed, within a minute.
pub(crate) fn must_run(command: &mut Command) -> Outcome<Finished> {
    let finished = run(command, Duration::from_secs(60))?;
    if finished.status.success() {
        return Ok(finished);
    }
    fail(format!("`{}`: {}: {}", shown(command), finished.status, finished.text()))
}

/// A command line as one would type it, for messages.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Whether a program can be found.
pub(crate) fn is_installed(program: &str) -> bool {
    find(program).is_some()
}

/// Where a program lies.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    places.map(|place| place.join(program)).find(|path| path.is_file())
}

fn read_all(output: Option<impl Read>) -> Vec<u8> {
    let mut octets = Vec::new();
    if let Some(output) = output {
        let _ = output.take(KEPT_OCTETS).read_to_end(&mut octets);
    }
    octets
}

/// `None`: it still runs.
fn wait_within(child: &mut Child, timeout: Duration) -> std::io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + timeout;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workshop::scratch::Scratch;

    #[test]
    fn a_line_of_a_log_counts_when_it_is_whole() {
        let scratch = Scratch::new("process").unwrap();
        // It pauses so that half of the line is there for a while, and would be taken for a whole one.
        let words = ["-c", "echo begun >&2; printf 'ready 1' >&2; sleep 0.05; echo 2 >&2"];
        let running = Running::start_logging_to("sh", Command::new("sh").args(words), scratch.at("log")).unwrap();
        let read = |line: &str| line.strip_prefix("ready ")?.parse::<u32>().ok();
        assert_eq!(running.wait_for_line(Duration::from_secs(30), read).unwrap(), 12);
        assert_eq!(running.log(), ["begun", "ready 12"]);
    }
}
