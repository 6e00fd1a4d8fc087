//! A domain with several hosts: who is put off by one of them is tried at the next in the same try, and nobody else is.

#![cfg(target_os = "linux")] // others have one address for loopback
#![allow(clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::io::Write as _;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use smtp_client::dns::{Exchange, Name, Table};
use smtp_client::mx::Own;
use smtp_client::queue::outside::Outside;
use smtp_client::queue::relay::ADDRESSES_ASKED;
use smtp_client::queue::{Queue, Settings};
use smtp_client::spool::{Due, Envelope, MemoryDisk, MessageId, Options, Spool, Store as _};
use smtp_tests::scripted_server::{Answer, ReservedPort, Said, Script, ScriptedServer, Session, polite};

const START: i64 = 1_800_000_000;

/// A queue with mail for `far.test`, whose hosts `mx1.far.test`, `mx2.far.test` and so on are to be tried in this order.
struct World {
    spool: Spool,
    ports: Vec<ReservedPort>,
}

impl World {
    fn new(hosts: u8) -> Self {
        let (spool, _) = Spool::open_on(Arc::new(MemoryDisk::new()), Options::default()).unwrap();
        let world = World { spool, ports: ReservedPort::row(hosts) };
        world.put("m", &["<bob@far.test>"]);
        world
    }

    fn put(&self, id: &str, to: &[&str]) {
        self.put_with("", id, to);
    }

    /// With these parameters of MAIL.
    fn put_with(&self, parameters: &str, id: &str, to: &[&str]) {
        let recipients: String = to.iter().map(|to| format!("RCPT TO:{to}\r\n")).collect();
        let envelope = format!("RECEIVED {START}\r\nMAIL FROM:<ann@here.test>{parameters}\r\n{recipients}");
        let mut incoming = self.spool.begin(None).unwrap();
        incoming.write_all(b"Subject: hello\r\n\r\nworld\r\n").unwrap();
        incoming
            .commit(&id.parse::<MessageId>().unwrap(), &Envelope::parse(&envelope).unwrap(), Due::At(START))
            .unwrap();
    }

    /// Tries once. The hosts play these scripts; those for which there are none are not there. Returns what became of each
    /// recipient, and what came over the connections of each host.
    fn try_once(self, scripts: Vec<Vec<Script>>) -> (Vec<String>, Vec<Vec<Session>>) {
        let far: Name = "far.test".parse().unwrap();
        let mut table = Table::default();
        for number in 1..=self.ports.len() {
            let host: Name = format!("mx{number}.far.test").parse().unwrap();
            let address: IpAddr = format!("127.0.0.{number}").parse().unwrap();
            table =
                table.mx(&far, u16::try_from(number).unwrap(), Exchange::Host(host.clone())).address(&host, address);
        }
        let port = self.ports[0].port();
        let mut scripts = scripts.into_iter();
        let mut absent = Vec::new();
        let mut servers = Vec::new();
        for port in self.ports {
            match scripts.next().filter(|scripts| !scripts.is_empty()) {
                Some(scripts) => servers.push(port.listen(scripts)),
                None => absent.push(port),
            }
        }
        let outside = Outside::new("mx".parse().unwrap(), None, Own::default(), Box::new(table)).at_port(port);
        let outside = Arc::new(outside);
        let settings = Settings::new("here.test".parse().unwrap());
        let store = Arc::new(self.spool.clone());
        let queue = Queue::with_clock(store, outside.clone(), outside, settings, Box::new(|| START)).unwrap();
        let verdicts = Arc::new(Mutex::new(Vec::new()));
        let heard = verdicts.clone();
        let queue = queue.with_observer(Box::new(move |_, to, verdict| {
            // The sender of a report is nobody of whom this test is about.
            if to.to_string().contains("far.test") {
                heard.lock().unwrap().push(format!("{to} {}", verdict.said()));
            }
        }));
        queue.run_until_idle().unwrap();
        drop(queue);
        let sessions = servers.into_iter().map(ScriptedServer::finish).collect();
        let verdicts = verdicts.lock().unwrap().clone();
        (verdicts, sessions)
    }
}

/// Answers commands that begin like this, or the content, with that.
fn answering(start: &'static str, answer: &'static str) -> Script {
    Script::serve(move |said| match said {
        Said::Line(line) if line.starts_with(start) => answer.into(),
        Said::Content(_) if start == "content" => answer.into(),
        said => polite(said),
    })
}

fn taking() -> Vec<Script> {
    vec![Script::serve(polite)]
}

fn recipients(session: &Session) -> Vec<&str> {
    let commands = session.commands.iter();
    commands.filter_map(|command| command.strip_prefix("RCPT TO:")).map(|to| to.split(' ').next().unwrap()).collect()
}

/// Row N265: at whatever point it says "not now".
#[test]
fn put_off_by_one_host_and_taken_by_the_next() {
    for start in ["MAIL ", "RCPT ", "DATA", "content"] {
        let (verdicts, sessions) = World::new(2).try_once(vec![vec![answering(start, "451 4.3.0 not now")], taking()]);
        assert_eq!(verdicts, ["<bob@far.test> <mx2.far.test[127.0.0.2]> 250 queued"], "{start}");
        assert_eq!((sessions[0].len(), sessions[1].len()), (1, 1), "{start}");
    }
    // A connection that breaks before the end of the content leaves no doubt: nobody has got it.
    let breaking = Script::serve(|said| match said {
        Said::Line(line) if line.starts_with("RCPT ") => Answer::close(),
        said => polite(said),
    });
    let (verdicts, _) = World::new(2).try_once(vec![vec![breaking], taking()]);
    assert_eq!(verdicts, ["<bob@far.test> <mx2.far.test[127.0.0.2]> 250 queued"]);
}

/// Row X159: only DNS says that these are the hosts, and whoever has changed its answers has a certificate for his own name. Not
/// so if the host is the domain itself: then it fails for want of TLS.
#[test]
fn required_tls_with_hosts_of_which_only_dns_has_told() {
    let world = World::new(2);
    world.put_with(" REQUIRETLS", "n", &["<carol@far.test>"]);
    world.put_with(" REQUIRETLS", "o", &["<carol@mx2.far.test>"]);
    let (mut verdicts, sessions) = world.try_once(vec![taking(), vec![Script::serve(polite), Script::serve(polite)]]);
    verdicts.sort();
    assert_eq!(verdicts.len(), 3, "{verdicts:#?}");
    assert_eq!(verdicts[0], "<bob@far.test> <mx1.far.test[127.0.0.1]> 250 queued");
    let not_certain = "<carol@far.test> <mx2.far.test[127.0.0.2]> 5.7.10 the sender requires TLS with a certain server";
    assert!(verdicts[1].starts_with(not_certain), "{verdicts:#?}");
    let no_tls =
        "<carol@mx2.far.test> <mx2.far.test[127.0.0.2]> 5.7.10 the sender requires TLS (REQUIRETLS) with a server that";
    assert!(verdicts[2].starts_with(no_tls), "{verdicts:#?}");
    assert_eq!(sessions.iter().flatten().map(|session| session.contents.len()).sum::<usize>(), 1);
}

/// Who was taken or refused for good by one host is not named to the next. Connections serve all the messages.
#[test]
fn only_those_who_were_put_off() {
    let first = Script::serve(|said| match said {
        Said::Line(line) if line.starts_with("RCPT TO:<bob@") => "450 4.2.1 not now".into(),
        Said::Line(line) if line.starts_with("RCPT TO:<dora@") => "550 5.1.1 no such mailbox".into(),
        said => polite(said),
    });
    let world = World::new(2);
    world.put("n", &["<carol@far.test>", "<bob@far.test>", "<dora@far.test>"]);
    let (mut verdicts, sessions) = world.try_once(vec![vec![first], taking()]);
    verdicts.sort();
    assert_eq!(
        verdicts,
        [
            "<bob@far.test> <mx2.far.test[127.0.0.2]> 250 queued",
            "<bob@far.test> <mx2.far.test[127.0.0.2]> 250 queued",
            "<carol@far.test> <mx1.far.test[127.0.0.1]> 250 queued",
            "<dora@far.test> <mx1.far.test[127.0.0.1]> 550 5.1.1 no such mailbox",
        ]
    );
    assert_eq!(sessions.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(recipients(&sessions[0][0]).len(), 4);
    assert_eq!(recipients(&sessions[1][0]), ["<bob@far.test>", "<bob@far.test>"]);
    assert_eq!(sessions[1][0].commands.last().unwrap(), "QUIT");
}

/// The second host is not called where the first has taken the message, has refused it for good, or may have taken it.
#[test]
fn what_is_final_or_in_doubt_goes_nowhere_else() {
    let falling_silent = Script::serve(|said| match said {
        Said::Content(_) => Answer::close(),
        said => polite(said),
    });
    for (first, expected) in [
        (Script::serve(polite), "250 queued"),
        (answering("RCPT ", "550 5.1.1 no such mailbox"), "550 5.1.1 no such mailbox"),
        (answering("content", "554 5.6.0 not like this"), "554 5.6.0 not like this"),
        (falling_silent, "4.4.2 end of content: the connection was lost"),
    ] {
        let (verdicts, sessions) = World::new(2).try_once(vec![vec![first], taking()]);
        assert_eq!(verdicts, [format!("<bob@far.test> <mx1.far.test[127.0.0.1]> {expected}")]);
        assert_eq!((sessions[0].len(), sessions[1].len()), (1, 0), "{expected}");
    }
}

/// What the second says counts; if it is not there, what the first has said.
#[test]
fn the_last_word() {
    let put_off = || vec![answering("RCPT ", "451 4.3.0 one")];
    for (second, expected) in [
        (vec![answering("RCPT ", "452 4.2.2 two")], "<mx2.far.test[127.0.0.2]> 452 4.2.2 two"),
        (vec![answering("RCPT ", "550 5.1.1 two")], "<mx2.far.test[127.0.0.2]> 550 5.1.1 two"),
        (vec![Script::new().say("554 5.3.2 no mail here").close()], "<mx1.far.test[127.0.0.1]> 451 4.3.0 one"),
        (vec![], "<mx1.far.test[127.0.0.1]> 451 4.3.0 one"),
    ] {
        let (verdicts, _) = World::new(2).try_once(vec![put_off(), second]);
        assert_eq!(verdicts, [format!("<bob@far.test> {expected}")]);
    }
}

/// A second host that cannot be reached is not called again for each message that follows.
#[test]
fn who_is_not_there_is_called_once() {
    let world = World::new(2);
    world.put("n", &["<carol@far.test>"]);
    let unwilling = || Script::new().say("421 4.3.2 not now").close();
    let (verdicts, sessions) =
        world.try_once(vec![vec![answering("RCPT ", "451 4.3.0 one")], vec![unwilling(), unwilling()]]);
    assert_eq!(verdicts.len(), 2);
    assert!(
        verdicts.iter().all(|verdict| verdict.ends_with("<mx1.far.test[127.0.0.1]> 451 4.3.0 one")),
        "{verdicts:?}"
    );
    assert_eq!((sessions[0].len(), sessions[1].len()), (1, 1));
}

/// Row N266: a limit, of two at least.
#[test]
fn not_everybody_is_asked() {
    const { assert!(ADDRESSES_ASKED >= 2) };
    let hosts = ADDRESSES_ASKED + 2;
    let scripts = (0..hosts).map(|_| vec![answering("MAIL ", "451 4.7.1 greylisted")]);
    let (verdicts, sessions) = World::new(u8::try_from(hosts).unwrap()).try_once(scripts.collect());
    let last = format!("<bob@far.test> <mx{ADDRESSES_ASKED}.far.test[127.0.0.{ADDRESSES_ASKED}]> 451 4.7.1 greylisted");
    assert_eq!(verdicts, [last]);
    let asked: Vec<usize> = sessions.iter().map(Vec::len).collect();
    assert_eq!(asked, [vec![1; ADDRESSES_ASKED], vec![0, 0]].concat());
}

/// Every message begins at the first host, also behind one over which that hung up.
#[test]
fn the_next_message_begins_at_the_first_host() {
    let hanging_up = Script::serve(|said| match said {
        Said::Line(line) if line.starts_with("RCPT ") => Answer::last("421 4.3.2 not now"),
        said => polite(said),
    });
    let world = World::new(2);
    world.put("n", &["<carol@far.test>"]);
    let (verdicts, sessions) = world.try_once(vec![vec![hanging_up, Script::serve(polite)], taking()]);
    assert_eq!(
        verdicts,
        [
            "<bob@far.test> <mx2.far.test[127.0.0.2]> 250 queued",
            "<carol@far.test> <mx1.far.test[127.0.0.1]> 250 queued"
        ]
    );
    assert_eq!(recipients(&sessions[0][1]), ["<carol@far.test>"]);
    assert_eq!(recipients(&sessions[1][0]), ["<bob@far.test>"]);
}
