//! The sending side: programs that send to a host which forgets everything.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

use super::Ground;
use super::crowd::milliseconds;
use super::generator::{Load, Until, Words, fire};
use super::lines::Figures;
use super::peers::{CURL, LETTRE, OURS, SOURCE};
use super::sheet::{Measure, median};
use crate::interop::clients::with_system_directories;
use crate::workshop::failure::{ensure, fail};
use crate::workshop::letter::letter;
use crate::workshop::process::{run, shown};
use crate::workshop::scratch::Scratch;
use crate::workshop::sink::Sink;
use crate::workshop::{OrFail, Outcome};

/// Longer than any of them should take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a client is to send.
#[derive(Clone, Copy)]
pub(super) struct Job {
    pub(super) connections: usize,
    pub(super) messages: usize,
    pub(super) octets: usize,
}

/// One message, from the start of the process to its end; the median of some.
pub(super) fn one_message(ground: &Ground, peer: &str, place: &Scratch) -> Outcome<Figures> {
    let job = Job { connections: 1, messages: 1, octets: 1_024 };
    let count = if ground.is_quick { 3 } else { 21 };
    let sink = Sink::open()?;
    let mut command = command(ground, peer, job, sink.address, place)?;
    let times = (0..count).map(|_| timed(&mut command).map(milliseconds)).collect::<Outcome<Vec<_>>>()?;
    let taken = sink.close()?;
    ensure(taken == count, || format!("{taken} of {count} messages arrived"))?;
    Ok(vec![(Measure::Duration, median(&times))])
}

/// Many messages by one process.
pub(super) fn many(ground: &Ground, peer: &str, job: Job, place: &Scratch) -> Outcome<Figures> {
    let mut job = Job { messages: if ground.is_quick { job.messages.div_ceil(20) } else { job.messages }, ..job };
    if peer == LETTRE && job.octets < 1 << 20 {
        // It waits for 40 ms with each.
        job.messages = job.messages.min(50 * job.connections);
    }
    let sink = Sink::open()?;
    let mut command = command(ground, peer, job, sink.address, place)?;
    let before = children_time()?;
    let seconds = timed(&mut command)?.as_secs_f64();
    let busy = children_time()?.saturating_sub(before);
    let taken = sink.close()?;
    ensure(taken == job.messages as u64, || format!("{taken} of {} messages arrived", job.messages))?;
    let messages = job.messages as f64;
    let mut figures = vec![(Measure::Rate, messages / seconds)];
    if job.octets >= 1 << 20 {
        figures.push((Measure::Volume, messages * job.octets as f64 / 1e6 / seconds));
    }
    figures.push((Measure::ClientTime, milliseconds(busy) / messages));
    Ok(figures)
}

fn timed(command: &mut Command) -> Outcome<Duration> {
    let began = Instant::now();
    let finished = run(command, PATIENCE)?;
    let took = began.elapsed();
    ensure(finished.status.success(), || format!("`{}`: {}", shown(command), finished.text()))?;
    Ok(took)
}

/// Processor time of all programs that were run to their end.
fn children_time() -> Outcome<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).or_fail("the time of what was run")?;
    let (user, system) = (usage.user_time(), usage.system_time());
    let microseconds = |time: nix::sys::time::TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    Ok(Duration::from_micros((microseconds(user) + microseconds(system)).unsigned_abs()))
}

fn command(ground: &Ground, peer: &str, job: Job, address: SocketAddr, place: &Scratch) -> Outcome<Command> {
    let Job { connections, messages, octets } = job;
    let (host, text) = (address.to_string(), |number: usize| number.to_string());
    let file = place.file("letter.eml", letter(1, octets))?;
    let mut command;
    match peer {
        OURS if messages == 1 => {
            command = ground.peers.programs.client();
            command.args(["send", "--server", &host, "--from", "alice@example.org", "--to", "bob@localhost"]).arg(file);
        }
        OURS => {
            command = ground.peers.programs.client();
            command.args(["load", "--pipeline", "--server", &host, "--connections", &text(connections)]);
            command.args(["--messages", &text(messages), "--size", &text(octets)]);
        }
        SOURCE => {
            command = with_system_directories(Command::new(SOURCE));
            command.args(["-d", "-M", "client.example.org", "-f", "alice@example.org", "-t", "bob@localhost"]);
            command.args(["-s", &text(connections), "-m", &text(messages), "-l", &text(octets), &host]);
        }
        CURL => {
            command = Command::new(CURL);
            command.arg("--silent").arg("--show-error").arg("--config");
            command.arg(place.file("curl", curl_settings(&host, &file, messages))?);
        }
        LETTRE => {
            command = Command::new(ground.peers.libraries.as_ref().or_fail("bench/peers is not built")?);
            command.args([LETTRE, &host, &text(connections), &text(messages)]).arg(file);
        }
        _ => {
            command = Command::new(std::env::current_exe().or_fail("finding this program")?);
            command.args(["bench", "generate", &host, &text(connections), &text(messages), &text(octets)]);
        }
    }
    Ok(command)
}

/// It keeps the connection from one transfer to the next.
fn curl_settings(host: &str, file: &Path, messages: usize) -> String {
    let one = format!(
        "url = \"smtp://{host}/client.example.org\"\nmail-from = \"alice@example.org\"\nmail-rcpt = \"bob@localhost\"\n\
         upload-file = \"{}\"\n",
        file.display()
    );
    vec![one; messages].join("next\n")
}

/// `bench generate ADDRESS CONNECTIONS MESSAGES OCTETS`: the bare generator as a program, which is what other clients are
/// held against.
pub(super) fn generate(words: &[String]) -> Outcome {
    let [address, connections, messages, octets] = words else {
        return fail("bench generate wants ADDRESS CONNECTIONS MESSAGES OCTETS");
    };
    let number = |text: &String| text.parse::<usize>().or_fail(format_args!("{text} is no number"));
    let load = Load { clients: number(connections)?, octets: number(octets)?, is_fresh: false, is_pipelined: true };
    let until = Until::Messages(number(messages)? / load.clients.max(1));
    let heard = fire(address.parse().or_fail("an address")?, load, &Words::new(load.octets), until);
    ensure(heard.failures == 0, || heard.failure.unwrap_or_default())
}
