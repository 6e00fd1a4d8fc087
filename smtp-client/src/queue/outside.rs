//! The way out: to one server that knows the rest, or to the mail exchangers of each domain.
//!
//! | lane | leads to |
//! | --- | --- |
//! | `smart` | the one server that takes all mail for other domains |
//! | `mx:example.net` | the mail exchangers of a domain; that server, if one was named since |
//!
//! A host that has mailboxes asks it for the rest (`smtp-server`); a host that has none has nothing but this way, so it is
//! a [`Router`] and a [`Transport`] of its own (`smtp-client flush`).

use std::time::{Duration, Instant};

use smtp_proto::address::{Domain, ForwardPath};
use smtp_spool::{Lane, Recipient};

use super::relay::{ADDRESSES_ASKED, NextHop, SmtpCarrier};
use super::{Carrier, Route, Router, Said, Transport, Verdict};
use crate::connection::{ConnectError, Connection, Options, Target};
use crate::dns::{Resolver, a_label};
use crate::login::Login;
use crate::mx::{Own, Targets};
use crate::peer::Peer;
use crate::relay_route::RelayRoute;
use crate::tls::{TlsOptions, TlsPolicies};

const SMART: &str = "smart";
const MX: &str = "mx:";

/// The port of SMTP between hosts.
const SMTP_PORT: u16 = 25;

/// How long DNS may take for one domain.
const DNS_TIMEOUT: Duration = Duration::from_secs(30);

/// How mail leaves this host.
pub struct Outside {
    route: RelayRoute,
    /// How we name ourselves, if not as [`Options::hello_name`] says.
    hello_name: Option<Domain>,
    own: Own,
    resolver: Box<dyn Resolver>,
    port: u16,
    tls: Box<dyn TlsPolicies>,
    login: Option<Login>,
}

impl Outside {
    /// Mail leaves on this route. `own` are the names under which others find this host: what they send here must not go
    /// out to us again.
    pub fn new(
        route: RelayRoute,
        hello_name: impl Into<Option<Domain>>,
        own: Own,
        resolver: Box<dyn Resolver>,
    ) -> Self {
        Outside {
            route,
            hello_name: hello_name.into(),
            own,
            resolver,
            port: SMTP_PORT,
            tls: Box::new(TlsOptions::default()),
            login: None,
        }
    }

    /// Mail exchangers are called at another port: for trials and tests.
    pub fn at_port(self, port: u16) -> Self {
        Outside { port, ..self }
    }

    /// Connections are protected as these say. Without this, TLS is tried with everybody.
    pub fn with_tls(self, policies: impl TlsPolicies + 'static) -> Self {
        Outside { tls: Box::new(policies), ..self }
    }

    /// The server that takes everything is to know who we are. The exchangers of a domain are strangers, who do not ask.
    pub fn with_login(self, login: Option<Login>) -> Self {
        Outside { login, ..self }
    }

    /// The way to a domain that is not ours. `None`: mail does not leave this host.
    pub fn route_to(&self, domain: &Domain) -> Option<Route> {
        match self.route {
            RelayRoute::None => None,
            RelayRoute::Smart(_) => Some(lane(SMART)),
            RelayRoute::Mx => Some(lane(&format!("{MX}{}", domain.to_string().to_ascii_lowercase()))),
        }
    }

    fn open_smart(&self) -> Result<Box<dyn Carrier + '_>, Verdict> {
        let RelayRoute::Smart(server) = &self.route else {
            return Err(Verdict::Deferred(Said::here("451 4.3.5 there is no server to send it to any more")));
        };
        let call = move || {
            let options = Options { login: self.login.clone(), ..self.options(server.host()) };
            Connection::open_to(server, options)
        };
        Ok(Box::new(SmtpCarrier::open(server.to_string(), Box::new(call))?))
    }

    fn open_mx(&self, domain: Domain) -> Result<Box<dyn Carrier + '_>, Verdict> {
        let deadline = Instant::now() + DNS_TIMEOUT;
        let targets = Targets::find(&domain, &*self.resolver, &self.own, random, deadline).map_err(|nowhere| {
            let said = Said::here(format!("{} {} {nowhere}", nowhere.code(), nowhere.enhanced()));
            if nowhere.is_transient() { Verdict::Deferred(said) } else { Verdict::Failed(said) }
        })?;
        let addresses = targets.addresses(self.port);
        Ok(Box::new(SmtpCarrier::open_to(Box::new(Exchangers { outside: self, domain, targets, addresses }))?))
    }

    fn options(&self, destination: &str) -> Options {
        let tls = self.tls.policy_for(destination);
        Options { hello_name: self.hello_name.clone(), tls, ..Options::default() }
    }
}

/// The hosts that take mail for a domain.
struct Exchangers<'a> {
    outside: &'a Outside,
    domain: Domain,
    targets: Targets,
    /// Theirs, in the order in which they are to be tried, each of them once.
    addresses: Vec<Target>,
}

impl Exchangers<'_> {
    fn options(&self) -> Options {
        self.outside.options(&self.domain.to_string())
    }
}

impl NextHop for Exchangers<'_> {
    fn call(&self) -> Result<Connection, ConnectError> {
        Connection::open_any(self.addresses.iter().cloned(), self.options())
    }

    fn call_behind(&self, peer: &Peer) -> Option<Result<Connection, ConnectError>> {
        let place = self.addresses.iter().position(|target| *peer == Peer::Tcp(target.address))?;
        let behind = self.addresses.get(place + 1..).filter(|behind| !behind.is_empty())?;
        // Somebody has answered already: this is no time to wait for eighty black holes.
        let behind = behind.get(..ADDRESSES_ASKED).unwrap_or(behind);
        Some(Connection::open_any(behind.iter().cloned(), self.options()))
    }

    fn name(&self, peer: Option<&Peer>) -> String {
        let host = match peer {
            Some(Peer::Tcp(address)) => self.targets.host_at(address.ip()),
            _ => self.targets.hosts.first(),
        };
        host.map_or_else(|| self.domain.to_string(), |host| host.name.clone())
    }

    /// Only the domain itself, which the sender has written.
    fn is_name_certain(&self, peer: &Peer) -> bool {
        let domain = self.domain.name().map(a_label);
        domain.is_some_and(|domain| domain.eq_ignore_ascii_case(&self.name(Some(peer))))
    }
}

impl Router for Outside {
    fn route(&self, recipient: &Recipient, _is_target: bool) -> Route {
        let route = match (&recipient.forward_path, &self.route) {
            (ForwardPath::Mailbox(mailbox), _) => self.route_to(mailbox.domain()),
            // It is for the server to say whose postmaster that is.
            (ForwardPath::Postmaster, RelayRoute::Smart(_)) => Some(lane(SMART)),
            (ForwardPath::Postmaster, _) => None,
        };
        route.unwrap_or_else(|| {
            Route::Nowhere(Verdict::Failed(Said::here("550 5.1.2 there is no way out of this host for it")))
        })
    }
}

impl Transport for Outside {
    fn open(&self, lane: &Lane) -> Result<Box<dyn Carrier + '_>, Verdict> {
        // A way that was written down under another setting: a server that is named now takes what was to go elsewhere.
        let domain = lane.as_str().strip_prefix(MX).map(str::parse::<Domain>);
        match (domain, &self.route) {
            (Some(Ok(_)), RelayRoute::Smart(_)) => self.open_smart(),
            (Some(Ok(domain)), _) => self.open_mx(domain),
            (None, _) if lane.as_str() == SMART => self.open_smart(),
            _ => Err(Verdict::Deferred(Said::here(format!("451 4.3.5 nobody knows the way to {lane} any more")))),
        }
    }

    fn is_local(&self, _lane: &Lane) -> bool {
        false
    }
}

fn lane(name: &str) -> Route {
    match Lane::new(name) {
        Some(lane) => Route::To(lane),
        None => Route::Nowhere(Verdict::Failed(Said::here("553 5.1.2 the domain is no name"))),
    }
}

/// Any number will do; without chance the order stays as DNS gave it.
fn random() -> u64 {
    getrandom::u64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::{Settings, SystemResolver};

    fn outside(route: &str) -> Outside {
        let resolver = Box::new(SystemResolver::new(Settings::default()));
        Outside::new(route.parse().unwrap(), None, Own::default(), resolver)
    }

    #[test]
    fn everything_leaves() {
        for (route, recipient, expected) in [
            ("smart:mx.example.org", "<a@Example.NET>", Some("smart")),
            ("smart:mx.example.org", "<postmaster>", Some("smart")),
            ("mx", "<a@Example.NET>", Some("mx:example.net")),
            ("mx", "<a@[192.0.2.1]>", Some("mx:[192.0.2.1]")),
            ("mx", "<postmaster>", None),
            ("none", "<a@example.net>", None),
        ] {
            let recipient: ForwardPath = recipient.parse().unwrap();
            let route = match outside(route).route(&recipient.into(), false) {
                Route::To(lane) => Some(lane.to_string()),
                _ => None,
            };
            assert_eq!(route.as_deref(), expected);
        }
    }

    #[test]
    fn a_lane_whose_way_is_gone_waits() {
        for lane in ["smart", "local", "mx:a b"].into_iter().filter_map(Lane::new) {
            let verdict = outside("mx").open(&lane).map(|_| ()).unwrap_err();
            assert!(matches!(&verdict, Verdict::Deferred(said) if said.text.starts_with("451 4.3.5 ")), "{verdict:?}");
        }
    }
}
