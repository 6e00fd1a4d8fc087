//! Their clients, our server: what lies in the spool afterwards is what they were given.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use smtp_spool::{MessageId, Reader};

use super::SENDER;
use super::clients::{CLIENTS, Client, Target, Way, recipients};
use super::shapes::{self, Shape};
use crate::workshop::failure::ensure;
use crate::workshop::letter::{difference, without_trace};
use crate::workshop::programs::Programs;
use crate::workshop::scratch::Scratch;
use crate::workshop::server::Server;
use crate::workshop::tally::Tally;
use crate::workshop::{OrFail, Outcome};

/// Every client with every shape, one server for all.
pub(super) fn run(programs: &Programs, scratch: &Scratch, tally: &mut Tally) -> Outcome {
    let spool = scratch.at("spool");
    let server = Server::start(programs, &spool, &["--hostname", "mail.example.test"])?;
    let target = Target { address: server.address, way: Way::Clear, authority: Path::new("") };
    let mut seen = BTreeSet::new();
    for client in &CLIENTS {
        if let Some(remedy) = (client.lacks)() {
            tally.skip(client.name, remedy);
            continue;
        }
        for shape in shapes::all().iter().filter(|shape| shape.copies == 1 || client.keeps_connection) {
            let result = send_and_compare(client, &target, shape, scratch, &spool, &mut seen);
            tally.check(&format!("{} to our server: {}", client.name, shape.name), result.map(|()| String::new()));
        }
    }
    server.stop()
}

/// One client sends one shape; what is new in the spool is compared with it.
pub(super) fn send_and_compare(
    client: &Client,
    target: &Target<'_>,
    shape: &Shape,
    scratch: &Scratch,
    spool: &Path,
    seen: &mut BTreeSet<MessageId>,
) -> Outcome {
    let sent = (client.send)(target, shape, scratch);
    let arrived = arrivals(spool, seen)?;
    sent?;
    ensure(arrived.len() == shape.copies, || format!("{} messages arrived, not {}", arrived.len(), shape.copies))?;
    arrived.iter().try_for_each(|message| message.compare(shape, client))
}

/// A message that was not in the spool before.
struct Arrival {
    reverse_path: String,
    forward_paths: Vec<String>,
    content: Vec<u8>,
}

fn arrivals(spool: &Path, seen: &mut BTreeSet<MessageId>) -> Outcome<Vec<Arrival>> {
    let reader = Reader::open(spool).or_fail("opening the spool")?;
    let mut arrivals = Vec::new();
    for (id, summary) in reader.list().or_fail("listing the spool")? {
        if !seen.insert(id.clone()) {
            continue;
        }
        let envelope = summary.or_fail(format_args!("message {id}"))?.envelope;
        let mut content = Vec::new();
        let mut reader = reader.content(&id).or_fail(format_args!("message {id}"))?;
        reader.read_to_end(&mut content).or_fail(format_args!("message {id}"))?;
        let forward_paths = envelope.recipients.iter().map(|recipient| recipient.forward_path.to_string());
        arrivals.push(Arrival {
            reverse_path: envelope.reverse_path.to_string(),
            forward_paths: forward_paths.collect(),
            content,
        });
    }
    Ok(arrivals)
}

impl Arrival {
    fn compare(&self, shape: &Shape, client: &Client) -> Outcome {
        let wanted: BTreeSet<_> = recipients(shape).iter().map(|recipient| format!("<{recipient}>")).collect();
        let is_all =
            self.forward_paths.len() == wanted.len() && self.forward_paths.iter().all(|path| wanted.contains(path));
        ensure(is_all, || format!("the recipients are {}", self.forward_paths.join(", ")))?;
        ensure(self.reverse_path == format!("<{SENDER}>"), || format!("the sender is {}", self.reverse_path))?;
        let found = without_trace(&self.content).or_fail("there is no Received field on top")?;
        let expected = [&shape.expected(), client.appends].concat();
        ensure(found == expected, || difference(&expected, found))
    }
}
