//! The way out: to one server that knows the rest, or to the mail exchangers of each domain.

use std::time::{Duration, Instant};

use smtp_client::connection::{Connection, Options};
use smtp_client::dns::Resolver;
use smtp_client::mx::{Own, Targets};
use smtp_client::queue::relay::SmtpCarrier;
use smtp_client::queue::{Carrier, Said, Verdict};
use smtp_proto::address::Domain;

use crate::relay_route::RelayRoute;

/// The port of SMTP between hosts.
const SMTP_PORT: u16 = 25;

/// How long DNS may take for one domain.
const DNS_TIMEOUT: Duration = Duration::from_secs(30);

/// How mail leaves this host.
pub struct Outside {
    route: RelayRoute,
    /// How we name ourselves.
    hello_name: Domain,
    own: Own,
    resolver: Box<dyn Resolver>,
    port: u16,
}

impl Outside {
    /// Mail leaves on this route. `own` are the names under which others find this host: what they send here must not go
    /// out to us again.
    pub fn new(route: RelayRoute, hello_name: Domain, own: Own, resolver: Box<dyn Resolver>) -> Self {
        Outside { route, hello_name, own, resolver, port: SMTP_PORT }
    }

    /// Mail exchangers are called at another port: for trials and tests.
    pub fn at_port(self, port: u16) -> Self {
        Outside { port, ..self }
    }

    /// The route.
    pub fn route(&self) -> &RelayRoute {
        &self.route
    }

    pub(super) fn open_smart(&self) -> Result<Box<dyn Carrier + '_>, Verdict> {
        let RelayRoute::Smart(server) = &self.route else {
            return Err(Verdict::Deferred(Said::here("451 4.3.5 there is no server to send it to any more")));
        };
        let call = move || Connection::open_to(server, self.options());
        Ok(Box::new(SmtpCarrier::open(server.to_string(), Box::new(call))?))
    }

    pub(super) fn open_mx(&self, domain: &Domain) -> Result<Box<dyn Carrier + '_>, Verdict> {
        let deadline = Instant::now() + DNS_TIMEOUT;
        let targets = Targets::find(domain, &*self.resolver, &self.own, random, deadline).map_err(|nowhere| {
            let said = Said::here(format!("{} {} {nowhere}", nowhere.code(), nowhere.enhanced()));
            if nowhere.is_transient() { Verdict::Deferred(said) } else { Verdict::Failed(said) }
        })?;
        let name = targets.hosts.first().map(|host| host.name.clone()).unwrap_or_else(|| domain.to_string());
        let call = move || Connection::open_any(&targets.addresses(self.port), self.options());
        Ok(Box::new(SmtpCarrier::open(name, Box::new(call))?))
    }

    fn options(&self) -> Options {
        Options { hello_name: Some(self.hello_name.clone()), ..Options::default() }
    }
}

/// Any number will do; without chance the order stays as DNS gave it.
fn random() -> u64 {
    getrandom::u64().unwrap_or(0)
}
