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

/// All places on this host are taken. What is committed for it is no reason to get up, but what is due elsewhere is: a
/// relay that delivers much here, too, does not let the rest wait.
#[test]
fn who_waits_for_a_place_gets_up_for_what_is_due_elsewhere_and_not_for_each_message() {
    let (spool, _) = Spool::open_on(Arc::new(MemoryDisk::new()), Options::default()).unwrap();
    let settings = Settings::new("mx.here.test".parse().unwrap());
    let queue = Queue::new(Arc::new(spool.clone()), Arc::new(Map), Arc::new(Map), settings).unwrap();
    let worker = WorkerId("worker".to_owned());
    put(&spool, "elsewhere", "<b@far.test>");
    let claim = spool.claim(&worker, &Lane::unrouted(), 1, 1).unwrap().pop().unwrap();
    put(&spool, "here1", "<b@near.test>");
    while let Find::Place(lane) = queue.pick().unwrap() {
        assert_eq!(lane, Lane::unrouted());
    }
    assert_eq!(queue.pick().unwrap(), Find::NoPlaceHere);
    put(&spool, "here2", "<b@near.test>");
    assert!(queue.lanes().is_place_wanted());
    let (begins, begun) = channel();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            begins.send(()).unwrap();
            queue.wait_for_place()
        });
        begun.recv().unwrap();
        queue.route_some(vec![claim]).unwrap();
        assert!(waiting.join().unwrap(), "it was not woken");
    });
    assert_eq!(queue.pick().unwrap(), Find::Place(Lane::new("far.test").unwrap()));
    assert_eq!(queue.pick().unwrap(), Find::NoPlaceHere);
    queue.lanes().leave(&Lane::unrouted(), Way::Untried);
    queue.offer_places();
    assert!(queue.wait_for_place());
    assert_eq!(queue.pick().unwrap(), Find::Place(Lane::unrouted()));
}
