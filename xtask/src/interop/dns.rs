//! Our client asks dnsmasq where mail goes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use super::servers::free_address;
use super::unless_installed;
use crate::workshop::process::{self, Finished, Running, find};
use crate::workshop::programs::Programs;
use crate::workshop::tally::Tally;
use crate::workshop::{OrFail, Outcome, failure::ensure};

/// How long one look-up may take, and dnsmasq to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// As many MX records as do not fit into a datagram.
const MANY: usize = 60;

/// What dnsmasq tells.
const RECORDS: [&str; 18] = [
    "--mx-host=order.test,backup.test,20",
    "--mx-host=order.test,mx.test,10",
    "--mx-host=order.test,gone.test,15",
    "--mx-host=equal.test,mx.test,10",
    "--mx-host=equal.test,backup.test,10",
    "--mx-host=null.test,.,0",
    "--mx-host=lost.test,gone.test,10",
    "--mx-host=aliased.test,alias-of-mx.test,10",
    "--host-record=mx.test,192.0.2.1,2001:db8::1",
    "--host-record=backup.test,192.0.2.2",
    "--host-record=plain.test,192.0.2.3",
    "--host-record=order.test,192.0.2.4",
    "--txt-record=empty.test,here",
    "--cname=alias.test,order.test",
    "--cname=alias-of-mx.test,mx.test",
    "--cname=alias-of-alias.test,alias.test",
    "--cname=alias-of-plain.test,plain.test",
    "--local=/test/",
];

/// A name of what is looked at, the domain, what the client prints, and its exit code.
///
/// Rows N256, N259, N261, N262, N264, N267, N269, X145.
const LOOK_UPS: [(&str, &str, &str, i32); 12] = [
    ("MX records in their order", "order.test", ORDER, 0),
    ("a domain that is an alias", "alias.test", ORDER, 0),
    ("an alias of an alias", "alias-of-alias.test", ORDER, 0),
    ("an MX record that names an alias", "aliased.test", ALIASED, 0),
    ("no MX record", "plain.test", "0 plain.test 192.0.2.3\n", 0),
    ("an alias of a host without MX record", "alias-of-plain.test", "0 alias-of-plain.test 192.0.2.3\n", 0),
    ("a null MX", "null.test", "", 69),
    ("an MX record that leads nowhere", "lost.test", "", 69),
    ("a name without address", "empty.test", "", 69),
    ("a name that does not exist", "nobody.test", "", 68),
    ("a name that is asked of nobody else", "example.org", "", 75),
    ("an address in brackets", "[192.0.2.9]", "0 [192.0.2.9] 192.0.2.9\n", 0),
];
const ORDER: &str = "10 mx.test 2001:db8::1\n10 mx.test 192.0.2.1\n20 backup.test 192.0.2.2\n";
const ALIASED: &str = "10 alias-of-mx.test 2001:db8::1\n10 alias-of-mx.test 192.0.2.1\n";

/// One line per look-up.
pub(super) fn run(programs: &Programs, tally: &mut Tally) -> Outcome {
    if let Some(remedy) = unless_installed("dnsmasq", "install dnsmasq-base") {
        tally.skip("dnsmasq", remedy);
        return Ok(());
    }
    let mut records = RECORDS.map(str::to_owned).to_vec();
    for number in 1..=MANY {
        let host = format!("host-{number}.a-rather-long-name.test");
        records.push(format!("--mx-host=many.test,{host},{number}"));
        records.push(format!("--host-record={host},192.0.2.{number}"));
    }
    let (_running, address) = start(&records)?;
    for (name, domain, expected, code) in LOOK_UPS {
        let result = look_up(programs, address, domain).and_then(|finished| {
            let is_right = finished.status.code() == Some(code) && finished.stdout == expected.as_bytes();
            ensure(is_right, || format!("{}: {}", finished.status, finished.text()))
        });
        tally.check(&format!("our client to dnsmasq: {name}"), result.map(|()| format!("exit code {code}")));
    }
    tally.check("our client to dnsmasq: hosts of equal preference by turns", equals(programs, address));
    tally.check("our client to dnsmasq: an answer by TCP", many(programs, address));
    Ok(())
}

/// Starts it with these records. It asks nobody else.
pub(super) fn start(records: &[String]) -> Outcome<(Running, SocketAddr)> {
    let address = free_address()?;
    let program = find("dnsmasq").or_fail("dnsmasq is gone")?;
    let mut command = Command::new(program);
    command.args(["--no-daemon", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--pid-file=", "--user="]);
    command.args(["--bind-interfaces", "--listen-address=127.0.0.1", &format!("--port={}", address.port())]);
    command.args(records);
    let running = Running::start("dnsmasq", &mut command)?;
    running.wait_for_line(PATIENCE, |line| line.contains(" started, ").then_some(()))?;
    Ok((running, address))
}

fn look_up(programs: &Programs, address: SocketAddr, domain: &str) -> Outcome<Finished> {
    let mut command: Command = programs.client();
    command.args(["mx", "--dns", &address.to_string(), domain]);
    process::run(&mut command, PATIENCE)
}

/// Row N268: that forty throws show one side only happens once in a million million times.
fn equals(programs: &Programs, address: SocketAddr) -> Outcome<String> {
    let mut seen = BTreeSet::new();
    for throw in 1..=40 {
        seen.insert(look_up(programs, address, "equal.test")?.stdout);
        if seen.len() == 2 {
            return Ok(format!("both orders after {throw} look-ups"));
        }
    }
    ensure(false, || format!("always the same: {seen:?}")).map(|()| String::new())
}

/// The best ten of sixty.
fn many(programs: &Programs, address: SocketAddr) -> Outcome<String> {
    let finished = look_up(programs, address, "many.test")?;
    let expected: String =
        (1..=10).map(|number| format!("{number} host-{number}.a-rather-long-name.test 192.0.2.{number}\n")).collect();
    let is_right = finished.status.success() && finished.stdout == expected.as_bytes();
    ensure(is_right, || format!("{}: {}", finished.status, finished.text()))?;
    Ok(format!("the best 10 of {MANY} hosts"))
}
