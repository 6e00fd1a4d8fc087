//! How mail for other domains leaves this host, as a setting says it: `none`, `smart:HOST:PORT` or `mx`.

use std::fmt;
use std::str::FromStr;

use smtp_proto::printable::Printable;

use crate::server_name::ServerName;

/// Where mail for other domains goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RelayRoute {
    /// Nowhere: aliases end here, and nobody may send to other domains.
    #[default]
    None,
    /// To one server that knows the rest.
    Smart(ServerName),
    /// To the mail exchangers of its domain (RFC 5321, 5.1).
    Mx,
}

/// The text is no route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayRouteError {
    text: String,
}

impl RelayRoute {
    /// How a route is written, for whoever wrote something else.
    pub const FORMS: &'static str = "write none, smart:HOST:PORT or mx";

    /// Whether anything leaves this host.
    pub fn is_relaying(&self) -> bool {
        *self != RelayRoute::None
    }

    /// Networks from which everybody may send to other domains make no sense without a way there.
    pub fn check<Network>(&self, relay_from: &[Network]) -> Result<(), String> {
        if relay_from.is_empty() || self.is_relaying() {
            return Ok(());
        }
        Err("--relay-from is of no use without --relay: add --relay mx or --relay smart:HOST:PORT".to_owned())
    }
}

impl FromStr for RelayRoute {
    type Err = RelayRouteError;

    fn from_str(text: &str) -> Result<Self, RelayRouteError> {
        let error = || RelayRouteError { text: text.to_owned() };
        match text {
            "none" => Ok(RelayRoute::None),
            "mx" => Ok(RelayRoute::Mx),
            _ => {
                let server = text.strip_prefix("smart:").ok_or_else(error)?;
                server.parse().map(RelayRoute::Smart).map_err(|_| error())
            }
        }
    }
}

impl fmt::Display for RelayRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RelayRoute::None => f.write_str("none"),
            RelayRoute::Smart(server) => write!(f, "smart:{server}"),
            RelayRoute::Mx => f.write_str("mx"),
        }
    }
}

impl fmt::Display for RelayRouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" is no way out; {}", Printable(&self.text), RelayRoute::FORMS)
    }
}

impl std::error::Error for RelayRouteError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_routes() {
        for (text, printed) in [
            ("none", Some("none")),
            ("mx", Some("mx")),
            ("smart:mx.example.org", Some("smart:mx.example.org:25")),
            ("smart:mx.example.org:587", Some("smart:mx.example.org:587")),
            ("smart:192.0.2.1:2525", Some("smart:192.0.2.1:2525")),
            ("smart:[2001:db8::1]:25", Some("smart:[2001:db8::1]:25")),
            ("smart:[::1]", Some("smart:[::1]:25")),
            ("smart:::1", None),
            ("smart:host:0", None),
            ("smart:", None),
            ("smart", None),
            ("MX", None),
            ("mx:host", None),
            ("", None),
            ("host:25", None),
        ] {
            assert_eq!(text.parse::<RelayRoute>().ok().map(|route| route.to_string()).as_deref(), printed, "{text:?}");
        }
        let error = "b\u{1b}".parse::<RelayRoute>().unwrap_err();
        assert_eq!(error.to_string(), "\"b\\u{1b}\" is no way out; write none, smart:HOST:PORT or mx");
    }

    /// Row N294: to say who may relay does not make a relay.
    #[test]
    fn networks_need_a_route() {
        let networks = ["192.0.2.0/24"];
        for (route, relay_from, is_right) in [
            (RelayRoute::None, &[][..], true),
            (RelayRoute::None, &networks, false),
            (RelayRoute::Mx, &networks, true),
            (RelayRoute::Mx, &[], true),
            ("smart:a:25".parse().unwrap(), &networks, true),
        ] {
            assert_eq!(route.check(relay_from).is_ok(), is_right, "{route} {relay_from:?}");
        }
    }
}
