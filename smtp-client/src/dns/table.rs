//! A resolver that knows what it was told: for tests, and for whoever wants to say himself where mail goes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use super::{DnsError, Exchange, Mx, Name, Resolver};

/// Answers by name. A name about which nothing was said does not exist; one about which something was said has nothing
/// else.
#[derive(Clone, Debug, Default)]
pub struct Table {
    mx: HashMap<Name, Result<Vec<Mx>, DnsError>>,
    addresses: HashMap<Name, Result<Vec<IpAddr>, DnsError>>,
}

impl Table {
    /// Adds an MX record.
    pub fn mx(mut self, domain: &Name, preference: u16, exchange: Exchange) -> Self {
        let mx = Mx { preference, exchange };
        add(self.mx.entry(domain.clone()).or_insert(Ok(Vec::new())), mx);
        self
    }

    /// Adds an address.
    pub fn address(mut self, host: &Name, address: IpAddr) -> Self {
        add(self.addresses.entry(host.clone()).or_insert(Ok(Vec::new())), address);
        self
    }

    /// Answers the question for MX records with this.
    pub fn mx_error(mut self, domain: &Name, error: DnsError) -> Self {
        self.mx.insert(domain.clone(), Err(error));
        self
    }

    /// Answers the question for addresses with this.
    pub fn address_error(mut self, host: &Name, error: DnsError) -> Self {
        self.addresses.insert(host.clone(), Err(error));
        self
    }

    fn missing(&self, name: &Name) -> DnsError {
        let is_known = self.mx.contains_key(name) || self.addresses.contains_key(name);
        if is_known { DnsError::NoRecord } else { DnsError::NoName }
    }
}

fn add<T>(entry: &mut Result<Vec<T>, DnsError>, record: T) {
    match entry {
        Ok(records) => records.push(record),
        Err(_) => *entry = Ok(vec![record]),
    }
}

impl Resolver for Table {
    fn mx(&self, name: &Name, _deadline: Instant) -> Result<Vec<Mx>, DnsError> {
        self.mx.get(name).cloned().unwrap_or_else(|| Err(self.missing(name)))
    }

    fn addresses(&self, name: &Name, _deadline: Instant) -> Result<Vec<IpAddr>, DnsError> {
        self.addresses.get(name).cloned().unwrap_or_else(|| Err(self.missing(name)))
    }
}
