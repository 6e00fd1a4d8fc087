//! How mail that leaves this host is protected on its way: one setting for all, and a list of those for whom it is another.

use smtp_client::tls::{TlsMode, TlsOptions, TlsPolicies, TlsPolicyTable};

use crate::reload::{Current, Reload};

/// What [`Outside`](crate::delivery::Outside) asks before each connection.
#[derive(Clone, Debug)]
pub struct RelayTls {
    all: TlsOptions,
    table: Current<TlsPolicyTable>,
}

impl RelayTls {
    /// For destinations that are not in the list, `all`. In the list, which may change, are those for whom another mode holds.
    pub fn new(all: TlsOptions, table: impl Into<Current<TlsPolicyTable>>) -> Self {
        RelayTls { all, table: table.into() }
    }
}

impl TlsPolicies for RelayTls {
    fn policy_for(&self, destination: &str) -> TlsOptions {
        let mode = match (self.table.get().mode_for(destination), self.all.mode) {
            // A server that speaks TLS from the first octet on speaks nothing else at that port.
            (Some(TlsMode::Require) | None, TlsMode::Implicit) => TlsMode::Implicit,
            (Some(mode), _) | (None, mode) => mode,
        };
        TlsOptions { mode, ..self.all.clone() }
    }
}

impl Reload for TlsPolicyTable {
    fn in_force(&self) -> String {
        format!("new policies of TLS are in force: destinations={}", self.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_goes_before_the_setting() {
        let table = || TlsPolicyTable::parse("safe.example require\nold.example none\n").unwrap();
        for (all, destination, mode) in [
            (TlsMode::Try, "safe.example", TlsMode::Require),
            (TlsMode::Try, "old.example", TlsMode::None),
            (TlsMode::Try, "else.example", TlsMode::Try),
            (TlsMode::Require, "old.example", TlsMode::None),
            (TlsMode::Implicit, "safe.example", TlsMode::Implicit),
            (TlsMode::Implicit, "else.example", TlsMode::Implicit),
        ] {
            let policies = RelayTls::new(TlsOptions { mode: all, ..TlsOptions::default() }, table());
            assert_eq!(policies.policy_for(destination).mode, mode, "{all} {destination}");
        }
    }
}
