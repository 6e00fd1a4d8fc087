//! Destinations that swallow every call, and a DNS server that says nothing, beside one that takes its mail: how fast the
//! latter gets it, compared with having the queue to itself.
//!
//! The spool, the queue runner, the resolver and the connections to the living destination are real. Of the black holes
//! nothing is real but the time for which they hold a thread: a network that drops packets cannot be had on a loopback.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use smtp_client::connection::{Connection, Options};
use smtp_client::dns::{Settings as DnsSettings, SystemResolver};
use smtp_client::mx::Own;
use smtp_client::queue::outside::Outside;
use smtp_client::queue::relay::SmtpCarrier;
use smtp_client::queue::{Carrier, Queue, Route, Router, Runner, Said, Settings, Transport, Verdict};
use smtp_client::relay_route::RelayRoute;
use smtp_spool::{Due, Lane, Recipient, Spool};

use crate::workshop::failure::ensure;
use crate::workshop::filling;
use crate::workshop::scratch::Scratch;
use crate::workshop::sink::Sink;
use crate::workshop::{OrFail, Outcome};

/// Messages for the destination that lives.
const LIVE: u64 = 10_000;

/// Destinations that swallow every call, domains of which DNS says nothing, and messages for each of them.
const BLACK_HOLES: u64 = 200;
const UNKNOWN_DOMAINS: u64 = 50;
const MESSAGES_EACH: u64 = 2;

/// How long a call to a black hole takes.
const CALL: Duration = Duration::from_secs(2);

/// Percent of its speed alone that the living destination should have. It is a figure to look at: on a machine that does
/// something else it may be less.
const WANTED_PERCENT: f64 = 90.0;

/// Below this it is not the machine: the living destination waits for the dead ones.
const LEAST_PERCENT: f64 = 30.0;

/// Pairs of runs, one of each kind behind the other. The pair in the middle counts: what else this machine does is nobody's
/// merit or fault.
const PAIRS: usize = 5;

/// Longer than any run should take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Letters per second for the living destination, alone and in that company.
pub(super) fn compare() -> Outcome<String> {
    let mut pairs = (0..PAIRS).map(|_| Ok((run(false)?, run(true)?))).collect::<Outcome<Vec<(f64, f64)>>>()?;
    let percent = |(alone, beside): &(f64, f64)| beside / alone * 100.0;
    pairs.sort_by(|one, other| percent(one).total_cmp(&percent(other)));
    let all: Vec<String> = pairs.iter().map(|pair| format!("{:.0}", percent(pair))).collect();
    let middle = pairs.get(PAIRS / 2).or_fail("no pair was run")?;
    let (percent, (alone, beside)) = (percent(middle), middle);
    let figures = format!(
        "{alone:.0} letters/s alone, {beside:.0} beside them: {percent:.0} % ({WANTED_PERCENT} % are wanted; all pairs: {} %)",
        all.join(", ")
    );
    ensure(percent >= LEAST_PERCENT, || format!("{figures}; it waits for the dead ones"))?;
    Ok(figures)
}

/// Letters per second, from the start of the runner to the end of the last one.
fn run(has_company: bool) -> Outcome<f64> {
    let scratch = Scratch::new("black-holes")?;
    let (spool, _) = Spool::open(scratch.at("spool"), smtp_spool::Options::default()).or_fail("opening a spool")?;
    if has_company {
        let holes = (0..BLACK_HOLES).map(|number| format!("hole{number}.test"));
        let unknown = (0..UNKNOWN_DOMAINS).map(|number| format!("unknown{number}.test"));
        let domains: Vec<String> = holes.chain(unknown).collect();
        fill(&spool, 2, BLACK_HOLES + UNKNOWN_DOMAINS, MESSAGES_EACH, |number| {
            domains.get(number as usize).cloned().unwrap_or_default()
        })?;
    }
    fill(&spool, 1, LIVE, 1, |_| "live.test".to_owned())?;

    let sink = Sink::open()?;
    // It is bound, so nothing says that nobody is there, and it is never read.
    let silent = UdpSocket::bind("127.0.0.1:0").or_fail("opening a silent DNS server")?;
    let world = Arc::new(World::new(sink.address, silent.local_addr().or_fail("its address")?));
    let (delivered, last) = channel();
    let settings = Settings::new("mx.here.test".parse().or_fail("a name")?);
    let queue = Queue::new(Arc::new(spool), world.clone(), world.clone(), settings).or_fail("making a queue")?;
    let queue = queue.with_observer(observer(delivered));
    let began = Instant::now();
    let mut runner = Runner::start(queue).or_fail("starting the queue")?;
    let ended = last.recv_timeout(PATIENCE).or_fail("waiting for the last letter");
    world.let_go();
    runner.stop();
    let seconds = ended?.duration_since(began).as_secs_f64();
    let taken = sink.close()?;
    ensure(taken == LIVE, || format!("the destination took {taken} of {LIVE}"))?;
    Ok(LIVE as f64 / seconds)
}

/// Puts so many messages for each of so many domains into the spool, all due since so many seconds.
fn fill(spool: &Spool, ago: i64, domains: u64, each: u64, domain: impl Fn(u64) -> String + Sync) -> Outcome {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).or_fail("the time")?;
    let due = i64::try_from(since.as_secs()).or_fail("the time")? - ago;
    filling::fill(spool, domains * each, Due::At(due), |number| format!("bob@{}", domain(number / each)))
}

/// Tells when the last of the letters that can be delivered was.
fn observer(last: Sender<Instant>) -> Box<smtp_client::queue::Observer> {
    let (count, last) = (AtomicU64::new(0), Mutex::new(last));
    Box::new(move |_, _, verdict| {
        if matches!(verdict, Verdict::Delivered(_)) && count.fetch_add(1, Ordering::SeqCst) + 1 == LIVE {
            // Nobody may wait any more, who has given up then.
            let _ = last.lock().unwrap_or_else(PoisonError::into_inner).send(Instant::now());
        }
    })
}

/// Who is out there.
struct World {
    live: SocketAddr,
    /// Asks the silent server where mail for a domain goes.
    outside: Outside,
    /// Whether the black holes let go of who is in them: when the run is over.
    is_over: Mutex<bool>,
    over: Condvar,
}

impl World {
    fn new(live: SocketAddr, silent: SocketAddr) -> Self {
        let resolver = SystemResolver::new(DnsSettings { servers: vec![silent], ..DnsSettings::default() });
        let outside = Outside::new(RelayRoute::Mx, None, Own::default(), Box::new(resolver));
        World { live, outside, is_over: Mutex::new(false), over: Condvar::new() }
    }

    fn let_go(&self) {
        *self.is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.over.notify_all();
    }

    fn call_black_hole(&self) -> Verdict {
        let is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.over.wait_timeout_while(is_over, CALL, |is_over| !*is_over);
        Verdict::Deferred(Said::here("450 4.4.1 nobody answers"))
    }
}

impl Router for World {
    fn route(&self, recipient: &Recipient, _is_target: bool) -> Route {
        let nowhere = || Route::Nowhere(Verdict::Failed(Said::here("550 5.1.2 no such domain")));
        let Some(mailbox) = recipient.forward_path.mailbox() else { return nowhere() };
        let domain = mailbox.domain();
        match domain.to_string() {
            name if name.starts_with("unknown") => self.outside.route_to(domain).unwrap_or_else(nowhere),
            name => Lane::new(&name).map_or_else(nowhere, Route::To),
        }
    }
}

impl Transport for World {
    fn open(&self, lane: &Lane) -> Result<Box<dyn Carrier + '_>, Verdict> {
        match lane.as_str() {
            "live.test" => {
                let options = || Options { hello_name: "mx.here.test".parse().ok(), ..Options::default() };
                let call = move || Connection::open_any([self.live], options());
                Ok(Box::new(SmtpCarrier::open("live.test", Box::new(call))?))
            }
            name if name.starts_with("hole") => Err(self.call_black_hole()),
            _ => self.outside.open(lane),
        }
    }

    fn is_local(&self, _lane: &Lane) -> bool {
        false
    }
}
