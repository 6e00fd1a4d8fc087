//! Whom to ask, how long and how often: what `/etc/resolv.conf` says of it.
//!
//! Its search list and `domain` are read over: a mail domain is complete as it stands (RFC 5321, 5.1).

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::path::Path;
use std::time::Duration;

use resolv_conf::{Config, ScopedIp};

/// The port of DNS.
const DNS_PORT: u16 = 53;

/// Octets of the file that are read; a real one has a few hundred.
const FILE_OCTETS: u64 = 64 * 1_024;

/// The bounds of the system's own resolver: three servers, 30 seconds, five tries.
const SERVERS: usize = 3;
const TIMEOUT_SECONDS: u32 = 30;
const ATTEMPTS: u32 = 5;

/// Whom to ask, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Recursive servers, in the order in which they are asked.
    pub servers: Vec<SocketAddr>,
    /// How long each of them may take to answer.
    pub timeout: Duration,
    /// How often the round of servers is made.
    pub attempts: u32,
    /// Whether servers are told that answers of more than 512 octets are welcome (RFC 6891). Longer ones come by TCP.
    pub edns0: bool,
}

impl Settings {
    /// Where the system keeps its settings.
    pub const FILE: &'static str = "/etc/resolv.conf";

    /// Those of the system; or these servers, if there are any, asked in the usual way: then its file is not needed.
    pub fn of_system(servers: &[SocketAddr]) -> io::Result<Self> {
        if servers.is_empty() {
            return Settings::read(Path::new(Settings::FILE));
        }
        Ok(Settings { servers: servers.to_vec(), ..Settings::default() })
    }

    /// Reads a file in the form of resolv.conf.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut octets = Vec::new();
        File::open(path)?.take(FILE_OCTETS).read_to_end(&mut octets)?;
        Ok(Settings::parse(&octets))
    }

    /// Reads settings in the form of resolv.conf. As for everybody else who reads this file, what is not understood is
    /// not there; without any server, the one of this host is asked.
    pub fn parse(octets: &[u8]) -> Self {
        let (config, errors) = Config::parse_with_errors(octets);
        errors.iter().for_each(|error| log::debug!("resolv.conf: {error}"));
        let servers: Vec<SocketAddr> = config.nameservers.iter().filter_map(server).take(SERVERS).collect();
        let defaults = Settings::default();
        Settings {
            servers: if servers.is_empty() { defaults.servers } else { servers },
            timeout: Duration::from_secs(config.timeout.clamp(1, TIMEOUT_SECONDS).into()),
            attempts: config.attempts.clamp(1, ATTEMPTS),
            edns0: config.edns0,
        }
    }
}

impl Default for Settings {
    /// What an empty file says.
    fn default() -> Self {
        Settings {
            servers: vec![([127, 0, 0, 1], DNS_PORT).into()],
            timeout: Duration::from_secs(5),
            attempts: 2,
            edns0: false,
        }
    }
}

/// Reads `192.0.2.53`, `192.0.2.53:5353` or `[2001:db8::53]:5353`; the file itself knows no ports.
pub fn parse_server(text: &str) -> Option<SocketAddr> {
    let address = text.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, DNS_PORT));
    address.or_else(|| text.parse().ok()).filter(|server| server.port() > 0)
}

/// `fe80::1%eth0` is reached by one interface only; one that is not there leads nowhere.
fn server(address: &ScopedIp) -> Option<SocketAddr> {
    match address {
        ScopedIp::V4(address) => Some((*address, DNS_PORT).into()),
        ScopedIp::V6(address, None) => Some((*address, DNS_PORT).into()),
        ScopedIp::V6(address, Some(interface)) => {
            let by_name = || nix::net::if_::if_nametoindex(interface.as_str()).ok();
            let scope = interface.parse().ok().or_else(by_name)?;
            Some(SocketAddrV6::new(*address, DNS_PORT, 0, scope).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row N258.
    #[test]
    fn a_file_and_what_is_taken_from_it() {
        let text = b"# ours\nnameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch example.org\ndomain example.net\n\
                    nameserver fe80::1%7\nnameserver 192.0.2.54\n\
                    options timeout:2 attempts:3 edns0 rotate new-thing\n\xff\n";
        let settings = Settings::parse(text);
        let servers: Vec<String> = settings.servers.iter().map(SocketAddr::to_string).collect();
        assert_eq!(servers, ["192.0.2.53:53", "[2001:db8::53]:53", "[fe80::1%7]:53"]);
        assert_eq!((settings.timeout, settings.attempts, settings.edns0), (Duration::from_secs(2), 3, true));
    }

    #[test]
    fn an_empty_file_and_one_that_asks_too_much() {
        assert_eq!(Settings::parse(b""), Settings::default());
        assert_eq!(
            Settings::parse(b"nameserver here\nnameserver fe80::1%nowhere\n").servers,
            Settings::default().servers
        );
        let settings = Settings::parse(b"options timeout:4000000000 attempts:4000000000");
        assert_eq!((settings.timeout, settings.attempts), (Duration::from_secs(30), 5));
        let settings = Settings::parse(b"options timeout:0 attempts:0");
        assert_eq!((settings.timeout, settings.attempts), (Duration::from_secs(1), 1));
        assert!(Settings::read(Path::new("/nonexistent/resolv.conf")).is_err());
    }

    #[test]
    fn servers_with_and_without_a_port() {
        for (text, expected) in [
            ("192.0.2.53", Some("192.0.2.53:53")),
            ("192.0.2.53:5353", Some("192.0.2.53:5353")),
            ("2001:db8::53", Some("[2001:db8::53]:53")),
            ("[2001:db8::53]:5353", Some("[2001:db8::53]:5353")),
            ("192.0.2.53:0", None),
            ("dns.example.org", None),
            ("", None),
        ] {
            assert_eq!(parse_server(text).map(|server| server.to_string()).as_deref(), expected, "{text:?}");
        }
    }
}
