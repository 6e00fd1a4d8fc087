//! strace: what a server does, call by call, and how to make a call fail or kill.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::workshop::process::Running;
use crate::workshop::{OrFail, Outcome};

/// How long strace may take to attach, and to let go.
const PATIENCE: Duration = Duration::from_secs(20);

/// strace, attached to all threads of a process. It lets go when this is dropped.
pub(super) struct Tracer {
    running: Running,
    output: PathBuf,
}

impl Tracer {
    /// Attaches. Counters of injected faults begin here: at 1, for each thread and each name of a call.
    pub(super) fn attach(pid: u32, expressions: &[&str], output: &Path) -> Outcome<Self> {
        let mut command = Command::new("strace");
        // -y: descriptors with their paths; -s: replies and small letters in full.
        command.args(["-f", "-y", "-s", "8192", "-p", &pid.to_string()]).arg("-o").arg(output);
        for expression in expressions {
            command.args(["-e", expression]);
        }
        let running = Running::start("strace", &mut command)?;
        running.wait_for_line(PATIENCE, |line| line.contains(" attached").then_some(()))?;
        Ok(Tracer { running, output: output.to_owned() })
    }

    /// Lets go, unless the traced process has ended already, and reads what was seen.
    pub(super) fn detach(mut self) -> Outcome<Vec<Call>> {
        // It may have gone with the process that it watched.
        let _ = self.running.signal(Signal::SIGINT);
        self.running.wait(PATIENCE)?;
        let text = fs::read(&self.output).or_fail("reading the trace")?;
        Ok(parse(&String::from_utf8_lossy(&text)))
    }
}

/// A command that starts a program under strace from its first call on. What is started is the program itself; strace is
/// a child of it and ends with it.
pub(super) fn traced(program: &Command, expressions: &[&str], output: &Path) -> Command {
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-y", "-s", "256"]).arg("-o").arg(output);
    for expression in expressions {
        command.args(["-e", expression]);
    }
    command.arg(program.get_program()).args(program.get_args()).env_remove("RUST_LOG");
    command
}

/// A system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// Who made it.
    pub(super) thread: u32,
    /// Its name.
    pub(super) name: String,
    /// Its arguments as strace prints them.
    pub(super) arguments: String,
    /// What it gave back; empty if it never came back.
    pub(super) result: String,
    /// The line of the trace in which it began: it began after everything that ended in an earlier line.
    pub(super) began: usize,
    /// The line in which it came back.
    pub(super) ended: usize,
}

impl Call {
    /// Whether it went well.
    pub(super) fn is_done(&self) -> bool {
        self.result.split(' ').next() == Some("0")
    }

    /// The path of the descriptor in its first argument: `7</path>`.
    pub(super) fn path(&self) -> &str {
        let first = self.arguments.split(", ").next().unwrap_or_default();
        first.split_once('<').and_then(|(_, rest)| rest.strip_suffix('>')).unwrap_or_default()
    }

    /// The arguments in double quotes.
    pub(super) fn strings(&self) -> Vec<&str> {
        self.arguments.split('"').skip(1).step_by(2).collect()
    }
}

/// Reads `1234 name(arguments) = result`, and the two halves of a call during which another thread was seen.
pub(super) fn parse(trace: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut open: HashMap<u32, usize> = HashMap::new();
    for (line, text) in trace.lines().enumerate() {
        let Some((thread, text)) = text.split_once(' ') else { continue };
        let (Ok(thread), text) = (thread.parse(), text.trim_start()) else { continue };
        if let Some(resumed) = text.strip_prefix("<... ") {
            let Some(call) = open.remove(&thread).and_then(|place| calls.get_mut(place)) else { continue };
            let rest = resumed.split_once("resumed>").map_or("", |(_, rest)| rest);
            let (arguments, result) = split_result(rest);
            call.arguments.push_str(arguments);
            (call.result, call.ended) = (result.to_owned(), line);
        } else if let Some((name, rest)) = text.split_once('(') {
            if !name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_') {
                continue;
            }
            let unfinished = rest.strip_suffix("<unfinished ...>");
            let (arguments, result) = unfinished.map_or_else(|| split_result(rest), |part| (part.trim_end(), ""));
            let ended = if unfinished.is_some() { usize::MAX } else { line };
            if unfinished.is_some() {
                open.insert(thread, calls.len());
            }
            let (name, arguments, result) = (name.to_owned(), arguments.to_owned(), result.to_owned());
            calls.push(Call { thread, name, arguments, result, began: line, ended });
        }
    }
    calls
}

fn split_result(text: &str) -> (&str, &str) {
    let (arguments, result) = text.rsplit_once(" = ").unwrap_or((text, ""));
    (arguments.trim_end().strip_suffix(')').unwrap_or(arguments), result)
}

/// How often each call was made, by the thread that made it most often.
pub(super) fn counts(calls: &[Call]) -> Vec<(String, usize)> {
    let mut per_thread: HashMap<(&str, u32), usize> = HashMap::new();
    for call in calls {
        *per_thread.entry((&call.name, call.thread)).or_default() += 1;
    }
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for ((name, _), count) in per_thread {
        let most = counts.entry(name).or_default();
        *most = count.max(*most);
    }
    let mut counts: Vec<_> = counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    counts.sort();
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_in_one_piece_and_in_two() {
        let calls = parse(
            "12 fsync(7</spool/tmp/a> <unfinished ...>\n\
             13 write(5<socket:[1]>, \"250 OK\\r\\n\", 8) = 8\n\
             12 <... fsync resumed>)             = 0\n\
             12 renameat2(3</spool/tmp>, \"a\", 4</spool/new>, \"b\", RENAME_NOREPLACE) = -1 EEXIST (File exists)\n\
             12 --- SIGTERM {si_signo=SIGTERM} ---\n\
             13 fsync(8</spool/new> <unfinished ...>\n\
             13 +++ killed by SIGKILL +++\n",
        );
        let names: Vec<_> = calls.iter().map(|call| (call.name.as_str(), call.began, call.ended)).collect();
        assert_eq!(names, [("fsync", 0, 2), ("write", 1, 1), ("renameat2", 3, 3), ("fsync", 5, usize::MAX)]);
        assert!(calls[0].is_done());
        assert_eq!(calls[0].path(), "/spool/tmp/a");
        assert_eq!(calls[2].strings(), ["a", "b"]);
        assert!(!calls[2].is_done() && !calls[3].is_done());
        assert_eq!(counts(&calls), [("fsync".to_owned(), 1), ("renameat2".to_owned(), 1), ("write".to_owned(), 1)]);
    }
}
