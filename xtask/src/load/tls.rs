//! What TLS costs, compared with clear text in the same run: beginning a session, a large letter, an idle connection.

use std::net::SocketAddr;
use std::time::Instant;

use smtp_tests::certificates::{Authority, Files};
use smtp_tests::tls::Client;

use super::{IDLE, LARGE_OCTETS};
use crate::workshop::dialogue::Dialogue;
use crate::workshop::failure::ensure;
use crate::workshop::letter::letter;
use crate::workshop::programs::Programs;
use crate::workshop::scratch::Scratch;
use crate::workshop::server::Server;
use crate::workshop::{OrFail, Outcome};

/// Sessions that say hello and goodbye, one after the other.
const SESSIONS: u32 = 500;

/// How a session begins.
#[derive(Clone, Copy)]
enum Way<'a> {
    Clear(SocketAddr),
    /// A handshake from nothing each time.
    Full(SocketAddr, &'a Authority),
    /// One that goes on from the session before.
    Resumed(SocketAddr, &'a Client),
}

/// A server that was started for one question.
struct Site {
    server: Server,
    clear: SocketAddr,
    /// Where TLS comes first.
    tls: SocketAddr,
}

impl Site {
    fn start(programs: &Programs, scratch: &Scratch, spool: &str, files: &Files) -> Outcome<Self> {
        let (server, tls) = Server::start_tls(programs, &scratch.at(spool), files, &["--threads", "1100"])?;
        Ok(Site { clear: server.address, server, tls })
    }
}

/// Figures, with clear text first.
pub(super) fn compare(programs: &Programs) -> Outcome<String> {
    let scratch = Scratch::new("tls")?;
    let authority = Authority::new("SMTP test authority").or_fail("making an authority")?;
    let identity = authority.issue().or_fail("making a certificate")?;
    let files = Files::write(&scratch.at("certs"), &authority, &identity).or_fail("writing the certificates")?;
    let client = Client::trusting(&authority);

    // Each with a server of its own: what a thread has once needed stays with it.
    let site = Site::start(programs, &scratch, "idle", &files)?;
    let idle_clear = idle_kib(&site.server, Way::Clear(site.clear))?;
    site.server.stop()?;
    let site = Site::start(programs, &scratch, "idle under TLS", &files)?;
    let idle_tls = idle_kib(&site.server, Way::Resumed(site.tls, &client))?;
    site.server.stop()?;

    let site = Site::start(programs, &scratch, "busy", &files)?;
    let (clear, tls) = (Way::Clear(site.clear), Way::Resumed(site.tls, &client));
    let (plain, full) = (sessions_per_second(clear)?, sessions_per_second(Way::Full(site.tls, &authority))?);
    let resumed = sessions_per_second(tls)?;
    let (mut bulk_clear, mut bulk_tls) = (0_f64, 0_f64);
    // By turns, and the better one counts: what else the disk does is nobody's merit or fault.
    for _ in 0..2 {
        bulk_clear = bulk_clear.max(megabytes_per_second(clear)?);
        bulk_tls = bulk_tls.max(megabytes_per_second(tls)?);
    }
    site.server.stop()?;
    Ok(format!(
        "{plain:.0} sessions/s one after the other in clear, {full:.0} with a handshake each, {resumed:.0} resumed; a \
         letter of 50 MiB with {bulk_clear:.0} MB/s in clear, {bulk_tls:.0} under TLS; {idle_clear:.1} KiB of resident \
         memory for an idle connection in clear, {idle_tls:.1} under TLS"
    ))
}

impl Way<'_> {
    fn open(self) -> Outcome<Dialogue> {
        match self {
            Way::Clear(address) => Dialogue::open(address),
            Way::Full(address, authority) => Dialogue::open_tls(address, &Client::trusting(authority)),
            Way::Resumed(address, client) => Dialogue::open_tls(address, client),
        }
    }
}

fn sessions_per_second(way: Way<'_>) -> Outcome<f64> {
    let began = Instant::now();
    for _ in 0..SESSIONS {
        way.open()?.after_hello()?.ask("QUIT", "221")?;
    }
    Ok(f64::from(SESSIONS) / began.elapsed().as_secs_f64())
}

fn megabytes_per_second(way: Way<'_>) -> Outcome<f64> {
    let large = letter(1, LARGE_OCTETS);
    let mut dialogue = way.open()?.after_hello()?;
    let began = Instant::now();
    dialogue.send(&large, "250")?;
    Ok(LARGE_OCTETS as f64 / began.elapsed().as_secs_f64() / 1e6)
}

/// What each of many idle connections takes, beyond the threads, which are there before.
fn idle_kib(server: &Server, way: Way<'_>) -> Outcome<f64> {
    let before_kib = server.memory()?.resident_kib;
    let visitors: Outcome<Vec<_>> = (0..IDLE).map(|_| way.open()?.after_hello()).collect();
    let mut visitors = visitors?;
    let more_kib = server.memory()?.resident_kib.saturating_sub(before_kib);
    // They are all inside, the last one too.
    visitors.last_mut().or_fail("there is no visitor")?.ask("NOOP", "250")?;
    let each = more_kib as f64 / IDLE as f64;
    ensure(each < 128.0, || format!("{each:.1} KiB each"))?;
    Ok(each)
}
