//! How many conversations one address may have at a time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts conversations by address.
#[derive(Debug)]
pub(crate) struct Admission {
    most: usize,
    counts: Mutex<HashMap<IpAddr, usize>>,
}

/// One counted conversation. Dropping it makes room for another.
#[derive(Debug)]
pub(crate) struct Admitted {
    admission: Arc<Admission>,
    key: Option<IpAddr>,
}

impl Admission {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Admission { most, counts: Mutex::new(HashMap::new()) })
    }

    /// Counts one more, unless there are enough. Loopback is not counted: it is the host itself, on behalf of everybody.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Admitted> {
        let key = (!address.is_loopback()).then(|| key(address));
        if let Some(key) = key {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            let count = counts.entry(key).or_insert(0);
            if *count >= self.most {
                return None;
            }
            *count += 1;
        }
        Some(Admitted { admission: self.clone(), key })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let mut counts = self.admission.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&key);
            }
        }
    }
}

/// One customer has a whole /64 of IPv6 addresses: they count as one.
pub(crate) fn key(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_address_and_lets_go() {
        let admission = Admission::new(2);
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let first = admission.admit(address);
        let second = admission.admit(address);
        assert!(first.is_some() && second.is_some() && admission.admit(address).is_none());
        assert!(admission.admit("192.0.2.2".parse().unwrap()).is_some());
        drop(first);
        assert!(admission.admit(address).is_some());
        drop(second);
        assert!(admission.counts.lock().unwrap().is_empty(), "nothing is remembered of those who have left");
    }

    #[test]
    fn a_whole_ipv6_network_counts_as_one_and_loopback_not_at_all() {
        let admission = Admission::new(1);
        let _first = admission.admit("2001:db8:0:1::1".parse().unwrap()).unwrap();
        assert!(admission.admit("2001:db8:0:1:ffff::2".parse().unwrap()).is_none());
        assert!(admission.admit("2001:db8:0:2::1".parse().unwrap()).is_some());
        let loopback: Vec<_> = (0..5).map(|_| admission.admit("127.0.0.1".parse().unwrap())).collect();
        assert!(loopback.iter().all(Option::is_some));
    }
}
