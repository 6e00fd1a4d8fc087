//! The queue runner in simulated time: where mail goes, when it is tried again, when it is given up, and what the sender
//! hears. A disk in memory, a clock that is a number, and next hosts that are a function.

#![allow(clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use smtp_client::proto::address::ForwardPath;
use smtp_client::queue::{Carrier, Parcel, Queue, Route, Router, Runner, Said, Settings, Transport, Verdict};
use smtp_client::spool::{
    Due, Envelope, Lane, MemoryDisk, MessageId, MessageState, Options, Reader, Recipient, Spool, Status, Store as _,
};

/// What a next host says to a recipient, at a time.
type Answer = dyn Fn(&str, i64) -> Verdict + Send + Sync;

/// A world: what is delivered where, and the time.
struct World {
    now: AtomicI64,
    answer: Box<Answer>,
    /// For each mailbox, the messages in it.
    mailboxes: Mutex<BTreeMap<String, Vec<String>>>,
    /// How often each recipient was tried.
    tries: Mutex<BTreeMap<String, Vec<i64>>>,
    opened: Mutex<Vec<String>>,
}

impl World {
    fn new(answer: impl Fn(&str, i64) -> Verdict + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(World {
            now: AtomicI64::new(START),
            answer: Box::new(answer),
            mailboxes: Mutex::default(),
            tries: Mutex::default(),
            opened: Mutex::default(),
        })
    }

    fn now(&self) -> i64 {
        self.now.load(Ordering::SeqCst)
    }

    fn mailbox(&self, name: &str) -> Vec<String> {
        self.mailboxes.lock().unwrap().get(name).cloned().unwrap_or_default()
    }

    fn tries(&self, name: &str) -> Vec<i64> {
        self.tries.lock().unwrap().get(name).cloned().unwrap_or_default()
    }
}

use smtp_tests::{PATIENCE, wait_until};

const START: i64 = 1_800_000_000;
const DAY: i64 = 24 * 3_600;

fn yes() -> Verdict {
    Verdict::Delivered(Said::by("mx.test", "250 2.0.0 taken"))
}

fn no() -> Verdict {
    Verdict::Failed(Said::by("mx.test", "550 5.1.1 no such mailbox"))
}

fn later() -> Verdict {
    Verdict::Deferred(Said::by("mx.test", "451 4.3.0 busy"))
}

/// The domain is the lane; `alias@` stands for two others.
impl Router for World {
    fn route(&self, recipient: &Recipient, _: bool) -> Route {
        let address = recipient.forward_path.mailbox().unwrap();
        if address.local_part().as_str() == "alias" {
            let target = |path: &str| Recipient {
                forward_path: path.parse::<ForwardPath>().unwrap(),
                parameters: recipient.parameters.clone(),
            };
            return Route::Instead(vec![target("<one@far.test>"), target("<two@near.test>")]);
        }
        Route::To(Lane::new(&address.domain().to_string()).unwrap())
    }
}

impl Transport for World {
    fn open(&self, lane: &Lane) -> Result<Box<dyn Carrier + '_>, Verdict> {
        self.opened.lock().unwrap().push(lane.to_string());
        if lane.as_str() == "dead.test" {
            return Err(Verdict::Deferred(Said::here("450 4.4.1 nobody answers")));
        }
        Ok(Box::new(Way { world: self }))
    }

    fn is_local(&self, lane: &Lane) -> bool {
        lane.as_str() == "near.test"
    }
}

struct Way<'a> {
    world: &'a World,
}

impl Carrier for Way<'_> {
    fn carry(&mut self, parcel: &Parcel<'_>) -> Vec<Verdict> {
        let mut text = String::new();
        parcel.content().unwrap().read_to_string(&mut text).unwrap();
        let carry = |(_, recipient): &(usize, &Recipient)| {
            let name = recipient.forward_path.to_string();
            let now = self.world.now();
            self.world.tries.lock().unwrap().entry(name.clone()).or_default().push(now);
            let verdict = (self.world.answer)(&name, now);
            if matches!(verdict, Verdict::Delivered(_)) {
                self.world.mailboxes.lock().unwrap().entry(name).or_default().push(text.clone());
            }
            verdict
        };
        parcel.recipients.iter().map(carry).collect()
    }

    fn is_open(&self) -> bool {
        true
    }
}

fn open(disk: &MemoryDisk) -> Option<Spool> {
    Spool::open_on(Arc::new(disk.clone()), Options::default()).ok().map(|(spool, _)| spool)
}

fn queue(spool: &Spool, world: &Arc<World>) -> Queue {
    queue_with(spool, world, Settings::new("mx.here.test".parse().unwrap()))
}

fn queue_with(spool: &Spool, world: &Arc<World>, settings: Settings) -> Queue {
    let clock = world.clone();
    Queue::with_clock(Arc::new(spool.clone()), world.clone(), world.clone(), settings, Box::new(move || clock.now()))
        .unwrap()
}

fn put(spool: &Spool, name: &str, mail: &str, to: &[&str]) -> Option<()> {
    let recipients: String = to.iter().map(|to| format!("RCPT TO:{to}\r\n")).collect();
    let envelope = Envelope::parse(&format!("RECEIVED {START}\r\nMAIL FROM:{mail}\r\n{recipients}")).unwrap();
    let mut incoming = spool.begin(None).ok()?;
    let _ = incoming.write_all(b"Received: from there by here\r\nSubject: hello\r\n\r\nworld\r\n");
    incoming.commit(&name.parse::<MessageId>().unwrap(), &envelope, Due::At(START)).ok()
}

/// Lives on, from one due time to the next, until nothing is left to do.
fn live(spool: &Spool, world: &Arc<World>) {
    let queue = queue(spool, world);
    for _ in 0..2_000 {
        queue.run_until_idle().unwrap();
        match spool.health().unwrap().next_due {
            Some(at) => world.now.fetch_max(at, Ordering::SeqCst),
            None => return,
        };
    }
    panic!("it has no end");
}

fn listed(disk: &MemoryDisk) -> Vec<(String, MessageState)> {
    let reader = Reader::on(Arc::new(disk.clone()));
    reader.list().unwrap().map(|(id, summary)| (id.to_string(), summary.unwrap().state())).collect()
}

/// A message for two domains, one of them here.
#[test]
fn delivered_and_gone() {
    let (disk, world) = (MemoryDisk::new(), World::new(|_, _| yes()));
    let spool = open(&disk).unwrap();
    put(&spool, "m", "<a@far.test>", &["<b@far.test>", "<c@near.test>"]).unwrap();
    put(&spool, "n", "<a@far.test>", &["<c@near.test>"]).unwrap();
    live(&spool, &world);
    assert_eq!((world.mailbox("<b@far.test>").len(), world.mailbox("<c@near.test>").len()), (1, 2));
    assert!(listed(&disk).is_empty());
    assert!(world.mailbox("<a@far.test>").is_empty(), "nobody asked for a report of success");
}

#[test]
fn what_is_put_off_is_tried_again() {
    let world = World::new(|_, now| if now < START + 1_000 { later() } else { yes() });
    let disk = MemoryDisk::new();
    let spool = open(&disk).unwrap();
    put(&spool, "m", "<a@far.test>", &["<b@far.test>"]).unwrap();
    live(&spool, &world);
    let tries: Vec<i64> = world.tries("<b@far.test>").iter().map(|at| at - START).collect();
    assert_eq!(tries.len(), 4, "{tries:?}");
    assert!((52..=60).contains(&tries[1]) && (315..=360).contains(&tries[2]), "{tries:?}");
    assert_eq!(world.mailbox("<b@far.test>").len(), 1);
}

/// A mailbox of this host that cannot be written is a place to wait like any other.
#[test]
fn who_waits_for_a_mailbox_stands_in_its_lane() {
    let disk = MemoryDisk::new();
    let spool = open(&disk).unwrap();
    let world = World::new(|name, now| if name.contains("full") && now < START + 300 { later() } else { yes() });
    put(&spool, "m", "<sender@near.test>", &["<full@near.test>", "<bob@near.test>"]).unwrap();
    queue(&spool, &world).run_until_idle().unwrap();
    let summary = Reader::on(Arc::new(disk.clone())).summary(&"m".parse().unwrap()).unwrap();
    let waiting = &summary.recipients[0];
    assert_eq!((waiting.lane.as_str(), waiting.attempts), ("near.test", 1));
    assert!(matches!(waiting.status, Status::Due(at) if at > START), "{waiting:?}");
    assert_eq!(summary.recipients[1].status, Status::Delivered);
    live(&spool, &world);
    assert_eq!((world.tries("<full@near.test>").len(), world.tries("<bob@near.test>").len()), (3, 1));
    assert!(listed(&disk).is_empty());
}

/// Messages that are claimed together, of which some end on this host: each ends as it would alone.
#[test]
fn what_is_delivered_together_ends_apart() {
    let disk = MemoryDisk::new();
    let spool = open(&disk).unwrap();
    let world = World::new(|name, _| if name.contains("full") { later() } else { yes() });
    put(&spool, "m1", "<a@far.test>", &["<bob@near.test>"]).unwrap();
    put(&spool, "m2", "<a@far.test>", &["<full@near.test>"]).unwrap();
    put(&spool, "m3", "<a@far.test>", &["<eve@far.test>"]).unwrap();
    put(&spool, "m4", "<a@far.test>", &["<bob@near.test>", "<eve@near.test>"]).unwrap();
    queue(&spool, &world).run_until_idle().unwrap();
    let delivered = ["<bob@near.test>", "<eve@far.test>", "<eve@near.test>"].map(|name| world.mailbox(name).len());
    assert_eq!(delivered, [2, 1, 1]);
    assert_eq!(listed(&disk).len(), 1);
    let waiting = &Reader::on(Arc::new(disk)).summary(&"m2".parse().unwrap()).unwrap().recipients[0];
    assert_eq!((waiting.lane.as_str(), waiting.attempts), ("near.test", 1));
}

/// As long as that takes, nobody hangs up: half of the threads are held by hosts of which nothing is known.
#[test]
fn a_mailbox_does_not_wait_behind_black_holes() {
    let (hang_up, hung_up) = std::sync::mpsc::channel::<()>();
    let hung_up = Mutex::new(hung_up);
    let world = World::new(move |name, now| {
        if name.contains("hole") {
            // Both wait here, one behind the other.
            let _ = hung_up.lock().unwrap().recv();
        }
        if name.contains("full") && now == START { later() } else { yes() }
    });
    let spool = open(&MemoryDisk::new()).unwrap();
    put(&spool, "m", "<>", &["<full@near.test>"]).unwrap();
    queue(&spool, &world).run_until_idle().unwrap();
    put(&spool, "h", "<>", &["<one@hole.test>", "<two@hole2.test>"]).unwrap();
    let settings = Settings { threads: 4, ..Settings::new("mx.here.test".parse().unwrap()) };
    let mut runner = Runner::start(queue_with(&spool, &world, settings)).unwrap();
    // Dropped before the runner, which waits for its threads, whatever fails.
    let hang_up = hang_up;
    wait_until("both hold a thread", || {
        world.tries.lock().unwrap().keys().filter(|name| name.contains("hole")).count() == 2
    });
    world.now.store(START + 60, Ordering::SeqCst);
    spool.wake();
    wait_until("it is in the mailbox", || !world.mailbox("<full@near.test>").is_empty());
    drop(hang_up);
    runner.stop();
}

/// All who deliver on this host stand in mailboxes that do not answer. They are helped, without anything that wakes anybody.
#[test]
fn a_mailbox_does_not_wait_behind_mailboxes_that_hang() {
    let (let_go, hangs) = std::sync::mpsc::channel::<()>();
    let hangs = Mutex::new(hangs);
    let world = World::new(move |name, _| {
        if name.contains("hangs") {
            // They wait here, one behind the other.
            let _ = hangs.lock().unwrap().recv();
        }
        yes()
    });
    let spool = open(&MemoryDisk::new()).unwrap();
    let settings = Settings { threads: 5, ..Settings::new("mx.here.test".parse().unwrap()) };
    let mut runner = Runner::start(queue_with(&spool, &world, settings)).unwrap();
    // Dropped before the runner, which waits for its threads, whatever fails.
    let let_go = let_go;
    for (id, name) in [("h1", "<hangs1@near.test>"), ("h2", "<hangs2@near.test>"), ("h3", "<hangs3@near.test>")] {
        put(&spool, id, "<>", &[name]).unwrap();
        wait_until("it holds a thread", || world.tries(name).len() == 1);
    }
    put(&spool, "m", "<>", &["<bob@near.test>"]).unwrap();
    wait_until("it is in the mailbox", || !world.mailbox("<bob@near.test>").is_empty());
    drop(let_go);
    runner.stop();
}

/// One report for both who do not exist, with what the other host said, from nobody; the third is delivered.
#[test]
fn the_sender_hears_of_failures_once() {
    let world = World::new(|name, _| if name.starts_with("<no") { no() } else { yes() });
    let disk = MemoryDisk::new();
    let spool = open(&disk).unwrap();
    put(
        &spool,
        "m",
        "<a@far.test> ENVID=e1",
        &["<no1@far.test> ORCPT=rfc822;old@x.test", "<b@far.test>", "<no2@near.test>"],
    )
    .unwrap();
    live(&spool, &world);
    let reports = world.mailbox("<a@far.test>");
    assert_eq!(reports.len(), 1, "{reports:#?}");
    for wanted in [
        "Original-Envelope-Id: e1\r\n",
        "Final-Recipient: rfc822; no1@far.test\r\n",
        "Original-Recipient: rfc822; old@x.test\r\n",
        "Final-Recipient: rfc822; no2@near.test\r\n",
        "Action: failed\r\n",
        "Status: 5.1.1\r\n",
        "550 5.1.1 no such mailbox",
        "Reporting-MTA: dns; mx.here.test\r\n",
        "Subject: hello\r\n",
    ] {
        assert!(reports[0].contains(wanted), "{wanted:?} is not in {}", reports[0]);
    }
    assert!(!reports[0].contains("b@far.test"));
    assert_eq!(world.mailbox("<b@far.test>").len(), 1);
    assert!(listed(&disk).is_empty());
}

/// What the client found out about a host is not what the host said (RFC 3461, 9.2: `smtp` is a reply and nothing else).
#[test]
fn our_own_words_are_nobody_elses() {
    let answer = |name: &str, _| match name.starts_with("<no") {
        true => Verdict::Failed(Said::by("mx.test", "5.6.7 the message needs SMTPUTF8")),
        false => yes(),
    };
    let (disk, world) = (MemoryDisk::new(), World::new(answer));
    let spool = open(&disk).unwrap();
    put(&spool, "m", "<a@far.test>", &["<no@far.test>"]).unwrap();
    live(&spool, &world);
    let report = world.mailbox("<a@far.test>").concat();
    for wanted in
        ["Status: 5.6.7\r\n", "Diagnostic-Code: x-local; 5.6.7 the message needs SMTPUTF8\r\n", "With mx.test:\r\n"]
    {
        assert!(report.contains(wanted), "{wanted:?} is not in {report}");
    }
    assert!(!report.contains("said:"), "{report}");
}

/// NOTIFY decides; success is told where it was asked for.
#[test]
fn who_hears_of_what() {
    for (recipient, reports) in [
        ("<b@far.test>", 0),
        ("<b@far.test> NOTIFY=SUCCESS", 1),
        ("<b@near.test> NOTIFY=SUCCESS,FAILURE", 1),
        ("<no@far.test> NOTIFY=NEVER", 0),
        ("<no@far.test> NOTIFY=SUCCESS", 0),
        ("<no@far.test> NOTIFY=FAILURE", 1),
    ] {
        let world = World::new(|name, _| if name.starts_with("<no") { no() } else { yes() });
        let disk = MemoryDisk::new();
        let spool = open(&disk).unwrap();
        put(&spool, "m", "<a@far.test>", &[recipient]).unwrap();
        live(&spool, &world);
        assert_eq!(world.mailbox("<a@far.test>").len(), reports, "{recipient}");
        assert!(listed(&disk).is_empty(), "{recipient}");
    }
}

/// Rows X082, X083: five days of "not now": a warning after four hours, a report in the end, each once.
#[test]
fn given_up_after_five_days() {
    let world = World::new(|name, _| if name.starts_with("<slow") { later() } else { yes() });
    let disk = MemoryDisk::new();
    let spool = open(&disk).unwrap();
    put(&spool, "m", "<a@far.test>", &["<slow@far.test>"]).unwrap();
    live(&spool, &world);
    let tries = world.tries("<slow@far.test>");
    let last = tries.last().unwrap() - START;
    assert!(
        tries.len() > 100 && (5 * DAY..5 * DAY + 3_600).contains(&last),
        "{} tries, the last at {last}",
        tries.len()
    );
    let reports = world.mailbox("<a@far.test>");
    assert_eq!(reports.len(), 2, "{reports:#?}");
    assert!(reports[0].contains("Action: delayed\r\n") && reports[0].contains("Will-Retry-Until: "), "{}", reports[0]);
    assert!(reports[1].contains("Action: failed\r\n") && reports[1].contains("Status: 5.4.7\r\n"), "{}", reports[1]);
    assert!(reports[1].contains("451 4.3.0 busy"));
    let warned_at = world.tries("<a@far.test>")[0] - START;
    assert!((4 * 3_600..5 * 3_600).contains(&warned_at), "{warned_at}");
    assert!(listed(&disk).is_empty());
}

/// Row N248: a dead host is called once for all who wait for it, and nobody else waits.
#[test]
fn a_dead_host_is_called_once_for_all() {
    let world = World::new(|_, _| yes());
    let disk = MemoryDisk::new();
    let spool = open(&disk).unwrap();
    for number in 0..50 {
        put(&spool, &format!("m{number}"), "<a@far.test>", &["<b@dead.test>"]).unwrap();
    }
    put(&spool, "n", "<a@far.test>", &["<b@far.test>"]).unwrap();
    queue(&spool, &world).run_until_idle().unwrap();
    let opened = world.opened.lock().unwrap().clone();
    // Once for each batch in which they were routed, not once for each message.
    assert!(opened.iter().filter(|lane| *lane == "dead.test").count() <= 3, "{opened:?}");
    assert_eq!(world.mailbox("<b@far.test>").len(), 1);
    assert_eq!(listed(&disk).len(), 50);
}

/// Rows N076, N243, N278, X074: never a report about a report: what has no sender is kept aside.
#[test]
fn an_undeliverable_report_is_held() {
    let world = World::new(|_, _| no());
    let disk = MemoryDisk::new();
    let spool = open(&disk).unwrap();
    put(&spool, "m", "<a@far.test>", &["<b@far.test>"]).unwrap();
    live(&spool, &world);
    let listed = listed(&disk);
    assert_eq!(listed.iter().map(|(_, state)| *state).collect::<Vec<_>>(), [MessageState::Held], "{listed:?}");
    assert_eq!(world.tries("<a@far.test>").len(), 1);
}

#[test]
fn an_alias_goes_to_its_targets() {
    let world = World::new(|name, _| if name.starts_with("<two") { no() } else { yes() });
    let disk = MemoryDisk::new();
    let spool = open(&disk).unwrap();
    put(&spool, "m", "<a@far.test>", &["<alias@near.test> ORCPT=rfc822;alias@near.test"]).unwrap();
    live(&spool, &world);
    assert_eq!(world.mailbox("<one@far.test>").len(), 1);
    let reports = world.mailbox("<a@far.test>");
    assert_eq!(reports.len(), 1);
    assert!(reports[0].contains("Original-Recipient: rfc822; alias@near.test\r\n"), "{}", reports[0]);
    assert!(reports[0].contains("Final-Recipient: rfc822; two@near.test\r\n"), "{}", reports[0]);
}

/// A clock that is ten days ahead for a while sends nothing back and leaves nothing standing.
#[test]
fn a_clock_that_jumps() {
    let world = World::new(|name, now| if name.starts_with("<slow") && now < START + 1_000 { later() } else { yes() });
    let disk = MemoryDisk::new();
    let spool = open(&disk).unwrap();
    put(&spool, "m", "<a@far.test>", &["<slow@far.test>"]).unwrap();
    let runner = queue(&spool, &world);
    runner.run_until_idle().unwrap();
    put(&spool, "n", "<a@far.test>", &["<slow@far.test>"]).unwrap();
    world.now.store(START + 10 * DAY, Ordering::SeqCst);
    put(&spool, "o", "<a@far.test>", &["<b@dead.test>"]).unwrap();
    runner.run_until_idle().unwrap();
    assert!(world.mailbox("<a@far.test>").is_empty(), "a message that was tried once is not given up");
    world.now.store(START, Ordering::SeqCst);
    runner.run_until_idle().unwrap();
    let next = spool.health().unwrap().next_due.unwrap();
    assert!(next <= START + 3_600, "it would stand still for {} days", (next - START) / DAY);
}

/// Power cut before each operation of delivery and report: at least once to each, and the sender hears once.
#[test]
fn cut_short_at_every_operation() {
    let answer = |name: &str, _| if name.starts_with("<no") { no() } else { yes() };
    let run = |disk: &MemoryDisk, world: &Arc<World>| {
        let spool = open(disk)?;
        put(&spool, "m", "<a@far.test>", &["<b@far.test>", "<no@near.test>"])?;
        let _ = queue(&spool, world).run_until_idle();
        Some(())
    };
    let (whole, world) = (MemoryDisk::new(), World::new(answer));
    run(&whole, &world).unwrap();
    assert!(listed(&whole).is_empty());
    for cut in 0..=whole.operations().len() {
        let (disk, world) = (MemoryDisk::new(), World::new(answer));
        disk.cut_power_at(cut);
        let was_accepted = run(&disk, &world).is_some();
        // Every disk that may be found afterwards is a world of its own from here on.
        for (number, survivor) in disk.survivors(16).iter().enumerate() {
            let context = format!("cut at {cut}, survivor {number}");
            let after = World::new(answer);
            live(&open(survivor).unwrap(), &after);
            let both = |name: &str| world.mailbox(name).len() + after.mailbox(name).len();
            let (delivered, reports) = (both("<b@far.test>"), both("<a@far.test>"));
            assert!(listed(survivor).is_empty(), "{context}");
            assert!(!was_accepted || delivered >= 1, "{context}: lost");
            assert!(delivered <= 2, "{context}: {delivered} copies");
            assert!(!was_accepted || reports >= 1, "{context}: the sender hears nothing");
            // The same report may arrive twice, near a cut; never two different ones.
            let ids: std::collections::BTreeSet<String> =
                [world.mailbox("<a@far.test>"), after.mailbox("<a@far.test>")]
                    .concat()
                    .iter()
                    .map(|report| report.lines().find(|line| line.starts_with("Message-ID")).unwrap().to_owned())
                    .collect();
            assert!(ids.len() <= 1, "{context}: {ids:?}");
        }
    }
}

/// It once wrote and synced a probe before every rest, only to learn when the next message is due.
#[test]
fn who_waits_leaves_the_disk_alone() {
    let operations = |run: &dyn Fn(Queue, &Arc<World>)| {
        let (disk, world) = (MemoryDisk::new(), World::new(|_, _| yes()));
        let spool = open(&disk).unwrap();
        put(&spool, "m", "<a@far.test>", &["<b@near.test>"]).unwrap();
        run(queue(&spool, &world), &world);
        assert!(listed(&disk).is_empty());
        disk.operations().len()
    };
    let without_rest = operations(&|queue, _| queue.run_until_idle().unwrap());
    let with_rest = operations(&|queue, world| {
        let mut runner = Runner::start(queue).unwrap();
        wait_until("it is delivered", || !world.mailbox("<b@near.test>").is_empty());
        runner.stop();
    });
    assert_eq!(with_rest, without_rest);
}

/// The end of a server: what is under way is finished, but a next host that says nothing is waited for only so long, and not at
/// all in a hurry. What it had is in the queue.
#[test]
fn an_end_waits_only_so_long() {
    let patience = Duration::from_millis(300);
    for (is_silent, is_in_a_hurry) in [(false, false), (true, false), (true, true)] {
        let (speak, silence) = channel::<()>();
        let silence = Mutex::new(silence);
        let world = World::new(move |_, _| {
            // Until the test lets go of the other end.
            let _ = silence.lock().unwrap().recv();
            yes()
        });
        let disk = MemoryDisk::new();
        let spool = open(&disk).unwrap();
        put(&spool, "m", "<a@far.test>", &["<b@far.test>"]).unwrap();
        let runner = Runner::start(queue(&spool, &world)).unwrap();
        wait_until("the next host has the message", || world.tries("<b@far.test>").len() == 1);
        let began = Instant::now();
        if is_silent {
            assert!(!runner.end(if is_in_a_hurry { PATIENCE } else { patience }, || is_in_a_hurry));
            assert!(is_in_a_hurry || began.elapsed() >= patience, "{:?}", began.elapsed());
            assert_eq!(listed(&disk), [("m".to_owned(), MessageState::Queued)]);
        } else {
            drop(speak);
            assert!(runner.end(PATIENCE, || false));
            assert!(listed(&disk).is_empty());
        }
        assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
    }
}
