//! Our server passes mail on to a Postfix, takes it from one, and finds the mail exchangers that dnsmasq names.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::our_client::every_shape;
use super::servers::{Postfix, Receiver, Sink, files, lacks_postfix};
use super::{Content, dns, unless_installed};
use crate::workshop::failure::ensure;
use crate::workshop::letter::{with_crlf, without_first_field, without_trace};
use crate::workshop::process::must_run;
use crate::workshop::programs::Programs;
use crate::workshop::scratch::Scratch;
use crate::workshop::server::Server;
use crate::workshop::tally::Tally;
use crate::workshop::{OrFail, Outcome};

/// How long anything may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// There and back, and by DNS.
pub(super) fn run(programs: &Programs, tally: &mut Tally) -> Outcome {
    if let Some(remedy) = lacks_postfix() {
        tally.skip("our server and Postfix", remedy);
    } else {
        let scratch = Scratch::new("to-postfix")?;
        let mut receiver = ToPostfix::start(programs, &scratch)?;
        every_shape("our server, and on to Postfix", &mut receiver, Content::Data, programs, &scratch, tally);
        drop(receiver);
        let scratch = Scratch::new("from-postfix")?;
        let mut receiver = FromPostfix::start(programs, &scratch)?;
        every_shape("Postfix, and on to our server", &mut receiver, Content::Data, programs, &scratch, tally);
    }
    let is_root = nix::unistd::geteuid().is_root();
    let lacks = unless_installed("dnsmasq", "install dnsmasq-base");
    match lacks.or_else(|| (!is_root).then_some("run as root: mail exchangers are called at port 25")) {
        Some(remedy) => tally.skip("our server and mail exchangers", remedy),
        None => exchangers(programs, tally)?,
    }
    Ok(())
}

/// Our server, whose smart host is a Postfix.
struct ToPostfix {
    server: Server,
    postfix: Postfix,
}

impl ToPostfix {
    fn start(programs: &Programs, scratch: &Scratch) -> Outcome<Self> {
        let postfix = Postfix::start(scratch)?;
        let route = format!("smart:{}", postfix.address());
        let server = start(programs, scratch, &["--domain", "here.test", "--relay", &route])?;
        Ok(ToPostfix { server, postfix })
    }
}

/// A server that delivers into Maildirs, with these options more. Everybody here may send on as far as it does so.
fn start(programs: &Programs, scratch: &Scratch, options: &[&str]) -> Outcome<Server> {
    let mail = format!("maildir:{}", scratch.at("mail").display());
    let own = ["--hostname", "mail.here.test", "--deliver", &mail];
    let relays = if options.contains(&"--relay") { &["--relay-from", "127.0.0.0/8"][..] } else { &[] };
    Server::start(programs, &scratch.at("spool"), &[&own[..], relays, options].concat())
}

impl Receiver for ToPostfix {
    fn address(&self) -> SocketAddr {
        self.server.address
    }

    fn files(&self, recipients: usize) -> usize {
        recipients
    }

    /// Below the field of Postfix is ours.
    fn take(&mut self, count: usize) -> Outcome<Vec<Vec<u8>>> {
        let strip = |octets: &Vec<u8>| without_trace(octets).map(<[u8]>::to_vec).or_fail("there is no field of ours");
        self.postfix.take(count)?.iter().map(strip).collect()
    }
}

/// A Postfix, whose relay host is our server.
struct FromPostfix {
    _server: Server,
    postfix: Postfix,
    mail: PathBuf,
}

/// Everything is for our server. That Postfix would break long lines is not what is looked at here.
const RELAYING: &str = "
virtual_mailbox_domains =
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
relayhost = @
disable_dns_lookups = yes
smtp_line_length_limit = 0
";

impl FromPostfix {
    fn start(programs: &Programs, scratch: &Scratch) -> Outcome<Self> {
        let server = start(programs, scratch, &["--domain", "localhost"])?;
        let host = format!("[{}]:{}", server.address.ip(), server.address.port());
        let postfix = Postfix::start_with(scratch, &RELAYING.replace('@', &host))?;
        Ok(FromPostfix { _server: server, postfix, mail: scratch.at("mail") })
    }

    /// What lies in all mailboxes.
    fn arrived(&self) -> Outcome<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for mailbox in files(&self.mail)? {
            paths.extend(files(&mailbox.join("new"))?);
        }
        Ok(paths)
    }
}

impl Receiver for FromPostfix {
    fn address(&self) -> SocketAddr {
        self.postfix.address()
    }

    fn files(&self, recipients: usize) -> usize {
        recipients
    }

    /// On top are the two fields of a delivery, ours, and that of Postfix.
    fn take(&mut self, count: usize) -> Outcome<Vec<Vec<u8>>> {
        const FIELDS: [&[u8]; 4] = [b"Return-Path: ", b"Delivered-To: ", b"Received: ", b"Received: "];
        wait_until(&format!("{count} messages"), || Ok(self.arrived()?.len() >= count))?;
        let mut messages = Vec::new();
        for path in self.arrived()? {
            let octets = fs::read(&path).or_fail("reading what arrived")?;
            fs::remove_file(&path).or_fail("removing what arrived")?;
            let content = FIELDS.iter().try_fold(octets.as_slice(), |rest, field| {
                rest.starts_with(field).then(|| without_first_field(rest, b"\n")).flatten()
            });
            messages.push(with_crlf(content.or_fail("unexpected fields on top")?));
        }
        ensure(messages.len() == count, || format!("{} messages arrived, not {count}", messages.len()))?;
        Ok(messages)
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> Outcome<bool>) -> Outcome {
    let deadline = Instant::now() + PATIENCE;
    while !is_so()? {
        ensure(Instant::now() < deadline, || format!("not within {} s: {what}", PATIENCE.as_secs()))?;
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Where the exchanger is that is there, and where the one that is not. Nothing else on a machine uses these addresses.
const UP: &str = "127.77.25.1:25";

/// What dnsmasq tells of them.
const RECORDS: [&str; 6] = [
    "--mx-host=order.test,down.test,10",
    "--mx-host=order.test,up.test,20",
    "--mx-host=null.test,.,0",
    "--host-record=up.test,plain.test,127.77.25.1",
    "--host-record=down.test,127.77.25.2",
    "--local=/test/",
];

/// Rows N256, N259, N260, N265, N267, N273, X145.
fn exchangers(programs: &Programs, tally: &mut Tally) -> Outcome {
    let scratch = Scratch::new("exchangers")?;
    let (_dns, address) = dns::start(&RECORDS.map(str::to_owned))?;
    let mut sink = match Sink::start_at(&scratch, UP.parse().or_fail("an address")?, &[]) {
        Ok(sink) => sink,
        Err(failure) => {
            tally.check("our server and mail exchangers", Err(failure));
            return Ok(());
        }
    };
    let options = ["--domain", "here.test", "--relay", "mx", "--dns", &address.to_string()];
    let server = start(programs, &scratch, &options)?;
    let site = Exchangers { programs, scratch: &scratch, server: &server };
    for (name, domain) in [("the best of two is down", "order.test"), ("no MX record", "plain.test")] {
        let result = site.send(domain).and_then(|()| site.wait_until_done()).and_then(|()| sink.take(1).map(drop));
        tally.check(&format!("our server to mail exchangers: {name}"), result.map(|()| "it arrives".to_owned()));
    }
    for (name, domain, status) in [("a null MX", "null.test", "5.1.10"), ("no such domain", "nobody.test", "5.1.2")] {
        let result = site.send(domain).and_then(|()| site.reported(status));
        tally
            .check(&format!("our server to mail exchangers: {name}"), result.map(|()| format!("reported as {status}")));
    }
    let result = site.send("example.org").and_then(|()| site.waits());
    tally.check("our server to mail exchangers: DNS does not know now", result.map(|()| "it waits".to_owned()));
    server.stop()
}

/// A server that asks dnsmasq.
struct Exchangers<'a> {
    programs: &'a Programs,
    scratch: &'a Scratch,
    server: &'a Server,
}

impl Exchangers<'_> {
    fn send(&self, domain: &str) -> Outcome {
        let file = self.scratch.file("letter.eml", "Subject: hello\n\nHello\n")?;
        let mut command: Command = self.programs.client();
        command.args(["send", "--retries", "0", "--server", &self.server.address.to_string()]);
        command.args(["--from", "alice@here.test", "--to", &format!("bob@{domain}")]).arg(file);
        must_run(&mut command).map(drop)
    }

    /// One report lies in the mailbox of the sender.
    fn reported(&self, status: &str) -> Outcome {
        let mailbox = self.scratch.at("mail/alice/new");
        wait_until("a report", || Ok(!files(&mailbox)?.is_empty()))?;
        self.wait_until_done()?;
        let paths = files(&mailbox)?;
        let [path] = paths.as_slice() else { return ensure(false, || format!("{} reports", paths.len())) };
        let report = fs::read_to_string(path).or_fail("reading a report")?;
        fs::remove_file(path).or_fail("removing a report")?;
        let wanted = format!("\nAction: failed\nStatus: {status}\n");
        ensure(report.contains(&wanted), || format!("the report says otherwise: {report}"))
    }

    fn wait_until_done(&self) -> Outcome {
        wait_until("nothing is left in the spool", || Ok(self.list()?.is_empty()))
    }

    /// It was tried, and is there for another try; nobody has heard of it.
    fn waits(&self) -> Outcome {
        wait_until("a try", || Ok(self.list()?.contains(" 4.4.3 ")))?;
        ensure(files(&self.scratch.at("mail/alice/new"))?.is_empty(), || "there is a report already".to_owned())
    }

    fn list(&self) -> Outcome<String> {
        let finished = must_run(self.programs.spool(&self.scratch.at("spool")).arg("list"))?;
        Ok(String::from_utf8_lossy(&finished.stdout).into_owned())
    }
}
