//! The addresses under which others find this host.

use std::net::{IpAddr, SocketAddr};

use nix::ifaddrs::getifaddrs;

/// Those at which the server listens. Where it listens at all there are, they are those of the interfaces now.
pub(crate) fn own_addresses(listening: &[SocketAddr]) -> Vec<IpAddr> {
    let is_everywhere = |address: &IpAddr| {
        let everywhere =
            |listening: &SocketAddr| listening.ip().is_unspecified() && listening.is_ipv4() == address.is_ipv4();
        listening.iter().any(everywhere)
    };
    let named = listening.iter().map(SocketAddr::ip).filter(|address| !address.is_unspecified());
    let of_interfaces = interfaces().into_iter().filter(is_everywhere);
    named.chain(of_interfaces).collect()
}

fn interfaces() -> Vec<IpAddr> {
    let found = getifaddrs().inspect_err(|error| {
        log::warn!(
            "the addresses of this host cannot be listed: {error}; a mail exchanger that is this host may be called"
        );
    });
    let address = |interface: nix::ifaddrs::InterfaceAddress| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    };
    found.into_iter().flatten().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row N271: or mail would go round in a circle.
    #[test]
    fn everywhere_means_each_interface() {
        let addresses = |listening: &[&str]| {
            let listening: Vec<SocketAddr> = listening.iter().map(|address| address.parse().unwrap()).collect();
            own_addresses(&listening)
        };
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        assert!(addresses(&["0.0.0.0:25"]).contains(&loopback));
        assert!(!addresses(&["[::]:25"]).contains(&loopback), "[::] takes nobody who comes by IPv4");
        assert!(addresses(&["0.0.0.0:25"]).iter().all(|address| address.is_ipv4() && !address.is_unspecified()));
        assert_eq!(
            addresses(&["192.0.2.1:25", "[2001:db8::1]:25"]),
            ["192.0.2.1", "2001:db8::1"].map(|text| text.parse::<IpAddr>().unwrap())
        );
        assert_eq!(addresses(&[]), [] as [IpAddr; 0]);
    }
}
