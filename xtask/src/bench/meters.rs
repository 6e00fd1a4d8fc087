//! What the kernel counts: processor time of a server and of the machine, flushes of the disk, memory.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::workshop::{OrFail, Outcome};

/// The kernel counts processor time in hundredths of a second.
const TICK_MILLISECONDS: f64 = 10.0;

/// Counters at one moment. Only differences mean anything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    /// Milliseconds of processor time: of the server with all its processes, of this program, of the whole machine.
    pub(super) server: f64,
    pub(super) own: f64,
    pub(super) machine: f64,
    /// Flushes of the device that holds the spools. `None`: the system does not say.
    pub(super) flushes: Option<f64>,
}

impl Reading {
    pub(super) fn take(server: u32, device: Option<&Path>) -> Outcome<Self> {
        Ok(Reading {
            server: processor_time(server)?,
            own: processor_time(std::process::id())?,
            machine: machine_time()?,
            flushes: device.and_then(flushes),
        })
    }
}

/// A process with all that came from it. Those that have ended are counted where they were waited for.
fn processor_time(pid: u32) -> Outcome<f64> {
    let processes = processes()?;
    let ticks: u64 = tree(&processes, pid).into_iter().filter_map(|pid| processes.get(&pid)).map(|one| one.ticks).sum();
    Ok(ticks as f64 * TICK_MILLISECONDS)
}

/// Everything but waiting, of all processors.
fn machine_time() -> Outcome<f64> {
    let text = fs::read_to_string("/proc/stat").or_fail("the machine's processor time")?;
    let fields = text.lines().next().unwrap_or_default().split_ascii_whitespace().skip(1);
    // user nice system idle iowait irq softirq; what follows is counted in these, or belongs to others.
    let ticks = fields.take(7).enumerate().filter(|(place, _)| !matches!(place, 3 | 4));
    let ticks: Result<u64, _> = ticks.map(|(_, field)| field.parse::<u64>()).sum();
    Ok(ticks.or_fail("/proc/stat")? as f64 * TICK_MILLISECONDS)
}

#[derive(Debug)]
struct Process {
    parent: u32,
    ticks: u64,
}

fn processes() -> Outcome<BTreeMap<u32, Process>> {
    let entries = fs::read_dir("/proc").or_fail("reading /proc")?.flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // Some end while one looks.
    Ok(pids.filter_map(|pid| Some((pid, process(pid)?))).collect())
}

fn process(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything. Behind it: the state, the parent, and from the 12th field on the time of its
    // own in user and system mode, and of children that it has waited for.
    let fields: Vec<_> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = fields.get(11..15)?.iter().map(|field| field.parse::<u64>());
    Some(Process { parent: fields.get(1)?.parse().ok()?, ticks: ticks.sum::<Result<_, _>>().ok()? })
}

/// The process and all below it.
fn tree(processes: &BTreeMap<u32, Process>, pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(processes.iter().filter(|(_, process)| process.parent == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found
}

/// KiB of memory of a process and all below it; what several of them share counts once.
pub(super) fn resident_kib(pid: u32) -> Outcome<f64> {
    let pids = tree(&processes()?, pid);
    let name = if pids.len() == 1 { "Rss:" } else { "Pss:" };
    let one = |pid: &u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse::<f64>().ok())
    };
    let sizes: Vec<f64> = pids.iter().filter_map(one).collect();
    (!sizes.is_empty()).then(|| sizes.iter().sum()).or_fail(format_args!("the memory of process {pid} cannot be read"))
}

/// Where the kernel counts what the device below a path does.
pub(super) fn device(path: &Path) -> Option<PathBuf> {
    let number = fs::metadata(path).ok()?.dev();
    let place = format!("/sys/dev/block/{}:{}", nix::sys::stat::major(number), nix::sys::stat::minor(number));
    let place = fs::canonicalize(place).ok()?;
    // A partition is flushed as a part of its disk.
    let disk = if place.join("partition").exists() { place.parent()?.to_owned() } else { place };
    let stat = disk.join("stat");
    flushes(&stat).map(|_| stat)
}

fn flushes(stat: &Path) -> Option<f64> {
    fs::read_to_string(stat).ok()?.split_ascii_whitespace().nth(15)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_all_that_came_from_a_process() {
        let process = |parent| Process { parent, ticks: 1 };
        let processes =
            BTreeMap::from([(1, process(0)), (5, process(1)), (7, process(5)), (8, process(7)), (9, process(1))]);
        assert_eq!(tree(&processes, 5), [5, 7, 8]);
    }

    #[test]
    fn this_program_takes_time_and_memory() {
        assert!(resident_kib(std::process::id()).is_ok_and(|kib| kib > 100.0));
        let reading = Reading::take(std::process::id(), None).unwrap();
        assert!(reading.machine >= reading.own);
    }
}
