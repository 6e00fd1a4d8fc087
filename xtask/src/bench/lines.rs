//! What is measured: each line is one situation, with those who are put into it.

use crate::workshop::Outcome;
use crate::workshop::scratch::Scratch;

use super::Ground;
use super::clients::Job;
use super::generator::Load;
use super::peers::{
    BARE, CURL, LETTRE, LIMIT, LIMIT_FILES, MAILIN_FILE, MAILIN_NULL, OURS, POSTFIX, POSTFIX_VIRTUAL, SINK, SOURCE,
};
use super::sheet::Measure;
use super::{clients, crowd, mailboxes, start, traffic};

/// The figures of one participant in one round.
pub(super) type Figures = Vec<(Measure, f64)>;

/// A line of the benchmark.
#[derive(Clone, Copy)]
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) what: What,
}

#[derive(Clone, Copy)]
pub(super) enum What {
    /// Messages to a server.
    Traffic(Load),
    /// So many connections that do nothing.
    Idle(usize),
    /// The same under TLS.
    IdleTls(usize),
    /// So many calls at once.
    Burst(usize),
    /// From the start of our server until it listens.
    StartEmpty,
    StartFull,
    /// A client, from the start of its process to its end.
    OneMessage,
    /// A client with many messages.
    Sending(Job),
    /// Until everything is delivered.
    Mailboxes,
}

const fn traffic(clients: usize, octets: usize, is_fresh: bool, is_pipelined: bool) -> What {
    What::Traffic(Load { clients, octets, is_fresh, is_pipelined })
}

const fn sending(connections: usize, messages: usize, octets: usize) -> What {
    What::Sending(Job { connections, messages, octets })
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

pub(super) const REUSED_64: &str = "1 KiB, reused, 64 clients";
pub(super) const REUSED_8: &str = "1 KiB, reused, 8 clients";
pub(super) const REUSED_1: &str = "1 KiB, reused, 1 client";
pub(super) const FRESH_8: &str = "1 KiB, fresh, 8 clients";
pub(super) const MEDIUM_8: &str = "64 KiB, reused, 8 clients";
pub(super) const LARGE_2: &str = "10 MiB, reused, 2 clients";
pub(super) const IDLE_4000: &str = "4,000 idle connections";
pub(super) const START_EMPTY: &str = "start, empty spool";
pub(super) const START_FULL: &str = "start, 100,000 messages of 1 KiB";
pub(super) const CLIENT_ONE: &str = "client, one message, whole process";
pub(super) const CLIENT_1: &str = "client, 1 connection, 1 KiB";
pub(super) const CLIENT_8: &str = "client, 8 connections, 1 KiB";
pub(super) const CLIENT_LARGE: &str = "client, 1 connection, 10 MiB";
pub(super) const MAILBOXES: &str = "accept and deliver, 10,000 of 1 KiB";

/// In the order in which they are measured.
pub(super) const LINES: [Line; 29] = [
    Line { name: REUSED_64, what: traffic(64, KIB, false, false) },
    Line { name: REUSED_8, what: traffic(8, KIB, false, false) },
    Line { name: REUSED_1, what: traffic(1, KIB, false, false) },
    Line { name: FRESH_8, what: traffic(8, KIB, true, false) },
    Line { name: "1 KiB, reused, 64 clients, pipelined", what: traffic(64, KIB, false, true) },
    Line { name: "1 KiB, reused, 8 clients, pipelined", what: traffic(8, KIB, false, true) },
    Line { name: "1 KiB, reused, 1 client, pipelined", what: traffic(1, KIB, false, true) },
    Line { name: "1 KiB, fresh, 64 clients", what: traffic(64, KIB, true, false) },
    Line { name: "1 KiB, fresh, 1 client", what: traffic(1, KIB, true, false) },
    Line { name: "1 KiB, fresh, 8 clients, pipelined", what: traffic(8, KIB, true, true) },
    Line { name: "64 KiB, reused, 64 clients", what: traffic(64, 64 * KIB, false, false) },
    Line { name: MEDIUM_8, what: traffic(8, 64 * KIB, false, false) },
    Line { name: "64 KiB, reused, 1 client", what: traffic(1, 64 * KIB, false, false) },
    Line { name: "64 KiB, fresh, 8 clients", what: traffic(8, 64 * KIB, true, false) },
    Line { name: LARGE_2, what: traffic(2, 10 * MIB, false, false) },
    Line { name: "10 MiB, reused, 1 client", what: traffic(1, 10 * MIB, false, false) },
    Line { name: "10 MiB, reused, 8 clients", what: traffic(8, 10 * MIB, false, false) },
    Line { name: "90 idle connections", what: What::Idle(90) },
    Line { name: "1,000 idle connections", what: What::Idle(1_000) },
    Line { name: IDLE_4000, what: What::Idle(4_000) },
    Line { name: "1,000 idle connections, TLS", what: What::IdleTls(1_000) },
    Line { name: "a burst of 1,000 connects", what: What::Burst(1_000) },
    Line { name: START_EMPTY, what: What::StartEmpty },
    Line { name: START_FULL, what: What::StartFull },
    Line { name: CLIENT_ONE, what: What::OneMessage },
    Line { name: CLIENT_1, what: sending(1, 10_000, KIB) },
    Line { name: CLIENT_8, what: sending(8, 40_000, KIB) },
    Line { name: CLIENT_LARGE, what: sending(1, 40, 10 * MIB) },
    Line { name: MAILBOXES, what: What::Mailboxes },
];

const SERVERS: [&str; 5] = [OURS, MAILIN_FILE, MAILIN_NULL, SINK, POSTFIX];
/// Beside what could be reached at best.
const SERVERS_AND_LIMIT: [&str; 6] = [OURS, MAILIN_FILE, MAILIN_NULL, SINK, POSTFIX, LIMIT];
const SERVERS_AND_LIMIT_OF_FILES: [&str; 6] = [OURS, MAILIN_FILE, MAILIN_NULL, SINK, POSTFIX, LIMIT_FILES];
const CLIENTS: [&str; 5] = [OURS, SOURCE, CURL, LETTRE, BARE];
/// curl has one connection.
const PARALLEL_CLIENTS: [&str; 4] = [OURS, SOURCE, LETTRE, BARE];

impl Line {
    /// Who takes part.
    pub(super) fn peers(&self) -> &'static [&'static str] {
        match self.what {
            What::Traffic(Load { is_fresh: false, octets: ..MIB, .. }) => &SERVERS_AND_LIMIT,
            What::Traffic(Load { is_fresh: false, .. }) => &SERVERS_AND_LIMIT_OF_FILES,
            What::Traffic(_) => &SERVERS,
            // More would need more processes than Postfix may have by default.
            What::Idle(90) => &[OURS, MAILIN_NULL, POSTFIX],
            What::Idle(_) | What::Burst(_) => &[OURS, MAILIN_NULL, SINK],
            What::IdleTls(_) | What::StartEmpty | What::StartFull => &[OURS],
            What::OneMessage | What::Sending(Job { connections: 1, .. }) => &CLIENTS,
            What::Sending(_) => &PARALLEL_CLIENTS,
            What::Mailboxes => &[OURS, POSTFIX_VIRTUAL],
        }
    }

    /// One participant, once.
    pub(super) fn measure(&self, ground: &Ground, peer: &'static str, place: &Scratch) -> Outcome<Figures> {
        match self.what {
            What::Traffic(load) => traffic::measure(ground, peer, load, ground.time(self.name), place),
            What::Idle(connections) => crowd::idle(ground, peer, connections, place),
            What::IdleTls(connections) => crowd::idle_tls(ground, connections, place),
            What::Burst(callers) => crowd::burst(ground, peer, callers, place),
            What::StartEmpty => start::empty(ground, place),
            What::StartFull => start::full(ground, place),
            What::OneMessage => clients::one_message(ground, peer, place),
            What::Sending(job) => clients::many(ground, peer, job, place),
            What::Mailboxes => mailboxes::measure(ground, peer, place),
        }
    }
}
