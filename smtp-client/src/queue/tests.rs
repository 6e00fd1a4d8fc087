//! How the threads of a queue wait for each other, from the inside. What they do is tested in the crate `tests`.

use std::io::Write as _;

use smtp_spool::{Due, Envelope, MemoryDisk, Options, Spool};

use super::*;

/// A domain is its lane; nobody is ever called.
struct Map;

impl Router for Map {
    fn route(&self, recipient: &Recipient, _: bool) -> Route {
        let domain = recipient.forward_path.mailbox().unwrap().domain().to_string();
        Route::To(Lane::new(&domain).unwrap())
    }
}

impl Transport for Map {
    fn open(&self, _: &Lane) -> Result<Box<dyn Carrier + '_>, Verdict> {
        Err(Verdict::Deferred(Said::here("450 4.4.1 nobody answers")))
    }

    fn is_local(&self, lane: &Lane) -> bool {
        lane.as_str() == "near.test"
    }
}

fn put(spool: &Spool, id: &str, to: &str) {
    let envelope = Envelope::parse(&format!("RECEIVED 1\r\nMAIL FROM:<a@far.test>\r\nRCPT TO:{to}\r\n")).unwrap();
    let mut incoming = spool.begin(None).unwrap();
    incoming.write_all(b"Subject: hello\r\n\r\nworld\r\n").unwrap();
    incoming.commit(&id.parse().unwrap(), &envelope, Due::At(1)).unwrap();
}

/// All places for new messages are taken. What is committed is no reason to get up, but what is due elsewhere is: a relay to
/// which much comes does not let the rest wait. Nobody is held up for long enough here to be given up.
#[test]
fn who_waits_for_a_place_gets_up_for_what_is_due_elsewhere_and_not_for_each_message() {
    const NEVER: Duration = Duration::from_secs(3_600);
    const PATIENCE: Duration = Duration::from_secs(30);
    let (spool, _) = Spool::open_on(Arc::new(MemoryDisk::new()), Options::default()).unwrap();
    let settings = Settings::new("mx.here.test".parse().unwrap());
    let queue = Queue::new(Arc::new(spool.clone()), Arc::new(Map), Arc::new(Map), settings).unwrap();
    let worker = WorkerId("worker".to_owned());
    put(&spool, "elsewhere", "<b@far.test>");
    let claim = spool.claim(&worker, &Lane::unrouted(), 1, 1).unwrap().pop().unwrap();
    put(&spool, "here1", "<b@near.test>");
    while queue.pick().unwrap() != Find::Attended {}
    let is_stopping = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = || {
            let (returns, returned) = channel();
            let (queue, is_stopping) = (&queue, &is_stopping);
            scope.spawn(move || {
                queue.watch(is_stopping, NEVER);
                returns.send(()).unwrap();
            });
            // It has its turn.
            let began = Instant::now();
            while queue.seen.try_lock().is_ok() {
                assert!(began.elapsed() < PATIENCE, "it waits for nothing");
                std::thread::yield_now();
            }
            returned
        };
        let returned = watch();
        put(&spool, "here2", "<b@near.test>");
        assert!(returned.recv_timeout(Duration::from_millis(50)).is_err(), "it got up for a message");
        queue.route_some(vec![claim]).unwrap();
        assert_eq!(returned.recv_timeout(PATIENCE), Ok(()), "it did not get up for what is due elsewhere");
        assert_eq!(queue.pick().unwrap(), Find::Place(Lane::new("far.test").unwrap()));
        // Somebody leaves.
        let returned = watch();
        queue.lanes().leave(&Lane::unrouted(), Way::Untried);
        queue.offer_places();
        assert_eq!(returned.recv_timeout(PATIENCE), Ok(()), "it did not get up for a place");
        // The end has come.
        while queue.pick().unwrap() != Find::Attended {}
        let returned = watch();
        is_stopping.store(true, Ordering::SeqCst);
        queue.offer_places();
        assert_eq!(returned.recv_timeout(PATIENCE), Ok(()), "it did not get up for the end");
    });
}
