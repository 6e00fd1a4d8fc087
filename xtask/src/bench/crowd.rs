//! Many connections at once: what an idle one costs, and how long a burst of callers waits for its greetings.

use std::time::{Duration, Instant};

use smtp_tests::certificates::{Authority, Files};
use smtp_tests::tls::Client;

use super::Ground;
use super::generator::{Wire, greeted};
use super::lines::Figures;
use super::meters::resident_kib;
use super::sheet::Measure;
use crate::workshop::dialogue::Dialogue;
use crate::workshop::failure::ensure;
use crate::workshop::scratch::Scratch;
use crate::workshop::server::Server;
use crate::workshop::{OrFail, Outcome};

/// Threads beyond those that the connections need.
const SPARE: usize = 16;

/// Callers of a burst call from so many threads, each the whole of its share before it reads the first greeting.
const CALLERS: usize = 8;

/// Who has not been greeted by then is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Memory with so many connections that have said EHLO, above what the server has with one thread and none of them. So the
/// threads, which some servers start before anybody calls, count.
pub(super) fn idle(ground: &Ground, peer: &str, connections: usize, place: &Scratch) -> Outcome<Figures> {
    let alone = ground.peers.start(peer, &place.inner("alone")?, 1)?;
    // Its threads are there when it listens.
    let alone_kib = resident_kib(alone.pid)?;
    drop(alone);
    let server = ground.peers.start(peer, &place.inner("crowd")?, connections + SPARE)?;
    let visitors: Result<Vec<_>, _> = (0..connections).map(|_| greeted(server.address)).collect();
    let mut visitors = visitors.or_fail("opening the connections")?;
    let kib = resident_kib(server.pid)?;
    let last = visitors.last_mut().or_fail("there is no connection")?;
    last.ask(b"NOOP\r\n", b'2').or_fail("the last connection")?;
    Ok(vec![(Measure::Memory, (kib - alone_kib) / connections as f64)])
}

/// The same for our server under TLS. The handshakes go on from the first one, as those of a host that calls often do.
pub(super) fn idle_tls(ground: &Ground, connections: usize, place: &Scratch) -> Outcome<Figures> {
    let authority = Authority::new("SMTP test authority").or_fail("making an authority")?;
    let identity = authority.issue().or_fail("making a certificate")?;
    let files = Files::write(&place.at("certs"), &authority, &identity).or_fail("writing the certificates")?;
    let start = |spool: &str, threads: usize| {
        let threads = threads.to_string();
        Server::start_tls(&ground.peers.programs, &place.at(spool), &files, &["--threads", &threads])
    };
    let alone_kib = resident_kib(start("alone", 1)?.0.pid())?;
    let (server, address) = start("crowd", connections + SPARE)?;
    let client = Client::trusting(&authority);
    let visitors = (0..connections).map(|_| Dialogue::open_tls(address, &client)?.after_hello());
    let mut visitors = visitors.collect::<Outcome<Vec<_>>>()?;
    let kib = resident_kib(server.pid())?;
    visitors.last_mut().or_fail("there is no connection")?.ask("NOOP", "250")?;
    Ok(vec![(Measure::Memory, (kib - alone_kib) / connections as f64)])
}

/// The time until the last of so many callers has read its greeting.
pub(super) fn burst(ground: &Ground, peer: &str, callers: usize, place: &Scratch) -> Outcome<Figures> {
    let server = ground.peers.start(peer, place, callers + SPARE)?;
    let address = server.address;
    let began = Instant::now();
    let call = || {
        let mut wires: Vec<_> = (0..callers / CALLERS).map(|_| Wire::open(address)).collect();
        let is_greeted = |wire: &mut Wire| began.elapsed() < PATIENCE && wire.expect(b'2').is_ok();
        wires.iter_mut().flatten().map(is_greeted).filter(|is_greeted| *is_greeted).count()
    };
    let greeted: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CALLERS).map(|_| scope.spawn(call)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_default()).sum()
    });
    let took = began.elapsed();
    ensure(greeted > 0, || "nobody was greeted".to_owned())?;
    Ok(vec![(Measure::Duration, milliseconds(took)), (Measure::Failures, (callers - greeted) as f64)])
}

pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
