//! The rules of RFC 5321, 5.1, each with a table of what DNS says.

use std::collections::BTreeSet;

use super::*;
use crate::dns::{Table, Trouble};

const TROUBLE: DnsError = DnsError::Trouble(Trouble::Timeout);

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn host(text: &str) -> Exchange {
    Exchange::Host(name(text))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A table in which each host has an address.
fn with_hosts(mut table: Table, hosts: &[&str]) -> Table {
    for (number, host) in hosts.iter().enumerate() {
        table = table.address(&name(host), IpAddr::V4([192, 0, 2, number as u8].into()));
    }
    table
}

fn own(names: &[&str], addresses: &[&str]) -> Own {
    Own {
        names: names.iter().map(|name| name.parse().unwrap()).collect(),
        addresses: addresses.iter().map(|address| ip(address)).collect(),
    }
}

fn find(domain: &str, table: &Table, own: &Own) -> Result<Targets, NoTarget> {
    Targets::find(&domain.parse().unwrap(), table, own, || 0, Instant::now())
}

/// The names of the hosts in their order.
fn order(domain: &str, table: &Table, own: &Own) -> Vec<String> {
    find(domain, table, own).unwrap().hosts.into_iter().map(|host| host.name).collect()
}

fn cause(domain: &str, table: &Table, own: &Own) -> Cause {
    find(domain, table, own).unwrap_err().cause
}

/// Rows N267, N262: the address of the domain itself is not among them.
#[test]
fn lower_preferences_first() {
    let table = Table::default()
        .mx(&name("example.org"), 20, host("c.example.org"))
        .mx(&name("example.org"), 0, host("a.example.org"))
        .mx(&name("example.org"), 65_535, host("d.example.org"))
        .mx(&name("example.org"), 10, host("b.example.org"));
    let table = with_hosts(table, &["a.example.org", "b.example.org", "c.example.org", "d.example.org", "example.org"]);
    let names = ["a.example.org", "b.example.org", "c.example.org", "d.example.org"];
    assert_eq!(order("EXAMPLE.org", &table, &Own::default()), names);
    let targets = find("example.org", &table, &Own::default()).unwrap();
    let preferences: Vec<u16> = targets.hosts.iter().map(|host| host.preference).collect();
    assert_eq!(preferences, [0, 10, 20, 65_535]);
}

/// Row N268.
#[test]
fn chance_decides_among_equals() {
    let mut table = Table::default().mx(&name("example.org"), 5, host("first.example.org"));
    for host_name in ["a.example.org", "b.example.org", "c.example.org"] {
        table = table.mx(&name("example.org"), 10, host(host_name));
    }
    let table = with_hosts(table, &["first.example.org", "a.example.org", "b.example.org", "c.example.org"]);
    let mut seen = BTreeSet::new();
    for seed in 0..1_000 {
        // A good enough source of chance for a test.
        let mut state: u64 = seed;
        let random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let targets = Targets::find(&"example.org".parse().unwrap(), &table, &Own::default(), random, Instant::now());
        let hosts: Vec<String> = targets.unwrap().hosts.into_iter().map(|host| host.name).collect();
        assert_eq!(hosts[0], "first.example.org");
        seen.insert(hosts);
    }
    assert_eq!(seen.len(), 6, "every order occurs");
}

/// Row N256.
#[test]
fn a_domain_without_mx_records_takes_its_mail_itself() {
    let table = with_hosts(Table::default(), &["example.org"]);
    let expected = Host { name: "example.org".into(), preference: 0, addresses: vec![ip("192.0.2.0")] };
    assert_eq!(find("example.org", &table, &Own::default()), Ok(Targets { hosts: vec![expected] }));
    // A server that is silent has not said that there are none.
    let silent = table.mx_error(&name("example.org"), TROUBLE);
    assert_eq!(cause("example.org", &silent, &Own::default()), Cause::Dns(TROUBLE));
}

/// Rows N259, N260: what is permanent, what is not, and what the codes say.
#[test]
fn codes_for_every_cause() {
    let domain = name("example.org");
    let nobody = Table::default();
    let null = Table::default().mx(&domain, 0, Exchange::Null);
    let no_address = Table::default().mx(&domain, 10, host("mx.example.org"));
    let empty = Table::default().mx_error(&domain, DnsError::NoRecord);
    let silent = Table::default().mx_error(&domain, TROUBLE);
    let circle = Table::default().mx_error(&domain, DnsError::ChainTooLong);
    let ours = Table::default().mx(&domain, 10, host("relay.example.net"));
    let label = "a".repeat(63);
    let too_long = [label.as_str(), &label, &label, &label[..62]].join(".");
    for (table, domain, code, enhanced) in [
        (&nobody, "example.org", 550, "5.1.2"),
        (&null, "example.org", 556, "5.1.10"),
        (&ours, "example.org", 550, "5.4.6"),
        (&no_address, "example.org", 550, "5.4.4"),
        (&empty, "example.org", 550, "5.4.4"),
        (&silent, "example.org", 451, "4.4.3"),
        (&circle, "example.org", 451, "4.4.3"),
        (&nobody, "[tag:place]", 550, "5.1.2"),
        (&nobody, "bücher.example", 550, "5.1.2"),
        (&nobody, &too_long, 550, "5.1.2"),
    ] {
        let error = find(domain, table, &own(&["relay.example.net"], &[])).unwrap_err();
        let found = (error.code().number(), error.enhanced().to_string(), error.is_transient());
        assert_eq!(found, (code, enhanced.to_owned(), code < 500), "{error}");
        assert!(error.to_string().starts_with(&format!("{domain}: ")), "{error}");
    }
}

/// Row X145.
#[test]
fn a_null_mx_stands_alone_or_says_nothing() {
    let domain = name("example.org");
    let table = with_hosts(Table::default(), &["example.org", "mx.example.org"]);
    assert_eq!(cause("example.org", &table.clone().mx(&domain, 0, Exchange::Null), &Own::default()), Cause::NullMx);
    assert_eq!(cause("example.org", &table.clone().mx(&domain, 10, Exchange::Null), &Own::default()), Cause::NullMx);
    let both = table.mx(&domain, 0, Exchange::Null).mx(&domain, 10, host("mx.example.org"));
    assert_eq!(order("example.org", &both, &Own::default()), ["mx.example.org"]);
}

/// Rows N261, N262, N263, N264: the address of the domain itself does not help.
#[test]
fn mx_records_of_which_none_can_be_used() {
    let domain = name("example.org");
    let table = with_hosts(Table::default(), &["example.org"]);
    let unfit = table.clone().mx(&domain, 10, Exchange::Unfit);
    assert_eq!(cause("example.org", &unfit, &Own::default()), Cause::NoAddress);
    let missing = unfit.mx(&domain, 10, host("192.0.2.1")).mx(&domain, 20, host("mx.example.org"));
    assert_eq!(cause("example.org", &missing, &Own::default()), Cause::NoAddress);
    // One of which nobody can tell may be usable later.
    let doubtful = missing.clone().address_error(&name("mx.example.org"), TROUBLE);
    assert_eq!(cause("example.org", &doubtful, &Own::default()), Cause::Dns(TROUBLE));
    // And one that can be used will do now.
    let usable = doubtful.mx(&domain, 30, host("backup.example.org")).address(&name("backup.example.org"), ip("::1"));
    assert_eq!(order("example.org", &usable, &Own::default()), ["backup.example.org"]);
}

/// Rows N270, N271, N272, N273.
#[test]
fn who_finds_itself_goes_no_further() {
    let mut table = Table::default();
    let hosts = ["best.example.org", "equal.example.org", "relay.example.org", "worse.example.org"];
    for (host_name, preference) in hosts.into_iter().zip([10, 20, 20, 30]) {
        table = table.mx(&name("example.org"), preference, host(host_name));
    }
    let table = with_hosts(table, &hosts);
    assert_eq!(order("example.org", &table, &own(&["Relay.Example.ORG"], &[])), ["best.example.org"]);
    assert_eq!(order("example.org", &table, &own(&[], &["192.0.2.2"])), ["best.example.org"]);
    assert_eq!(order("example.org", &table, &own(&[], &["::ffff:192.0.2.2"])), ["best.example.org"]);
    assert_eq!(order("example.org", &table, &own(&["other.example.org"], &["192.0.2.9"])).len(), 4);
    assert_eq!(order("example.org", &table, &own(&["worse.example.org"], &[])).len(), 3);
    for own in [own(&["best.example.org"], &[]), own(&[], &["192.0.2.0"])] {
        assert_eq!(cause("example.org", &table, &own), Cause::Own);
    }
    // The implicit record counts as one.
    let implicit = with_hosts(Table::default(), &["example.org"]);
    assert_eq!(cause("example.org", &implicit, &own(&["example.org"], &[])), Cause::Own);
    // A better host of which nobody can tell is still better than returning the message.
    let doubtful = table.address_error(&name("best.example.org"), TROUBLE);
    assert_eq!(cause("example.org", &doubtful, &own(&[], &["192.0.2.2"])), Cause::Dns(TROUBLE));
}

#[test]
fn an_address_in_brackets_is_asked_of_nobody() {
    let nobody = Table::default();
    for (literal, address) in [("[192.0.2.1]", "192.0.2.1"), ("[IPv6:2001:db8::1]", "2001:db8::1")] {
        let expected = Host { name: literal.into(), preference: 0, addresses: vec![ip(address)] };
        assert_eq!(find(literal, &nobody, &Own::default()), Ok(Targets { hosts: vec![expected] }));
        assert_eq!(cause(literal, &nobody, &own(&[], &[address])), Cause::Own);
    }
    assert_eq!(cause("[tag:place]", &nobody, &Own::default()), Cause::UnknownLiteral);
}

/// Rows N265, N266, N269: all addresses, in the resolver's order, within limits.
#[test]
fn many_hosts_and_many_addresses() {
    let domain = name("example.org");
    let mut table = Table::default().mx(&domain, 0, host("first.example.org"));
    for number in (0..=u8::MAX).rev() {
        table = table.address(&name("first.example.org"), IpAddr::V4([192, 0, 2, number].into()));
        let host_name = format!("host-{number}.example.org");
        table = table.mx(&domain, 100 + u16::from(number), host(&host_name)).mx(&domain, 500, host(&host_name));
        table = table.address(&name(&host_name), IpAddr::V4([198, 51, 100, number].into()));
    }
    let targets = find("example.org", &table, &Own::default()).unwrap();
    assert_eq!(targets.hosts.len(), HOSTS);
    let addresses = targets.addresses(25);
    assert_eq!(addresses.len(), ADDRESSES_OF_HOST + HOSTS - 1);
    assert_eq!(addresses[0].address, ([192, 0, 2, 255], 25).into());
    assert_eq!(addresses[1].address, ([192, 0, 2, 254], 25).into());
    assert_eq!(targets.host_at(ip("198.51.100.3")).map(|host| host.name.as_str()), Some("host-3.example.org"));
    assert_eq!(targets.host_at(ip("203.0.113.1")), None);

    // Hosts that do not exist are not looked for without end.
    let mut missing = Table::default();
    for number in 0..=HOSTS_LOOKED_UP as u16 {
        missing = missing.mx(&domain, number, host(&format!("host-{number}.example.org")));
    }
    let last = |number: usize| missing.clone().address(&name(&format!("host-{number}.example.org")), ip("192.0.2.1"));
    assert_eq!(order("example.org", &last(HOSTS_LOOKED_UP - 1), &Own::default()).len(), 1);
    assert_eq!(cause("example.org", &last(HOSTS_LOOKED_UP), &Own::default()), Cause::NoAddress);
}
