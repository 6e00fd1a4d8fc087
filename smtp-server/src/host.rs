//! What all conversations of a server share.

use std::fmt;
use std::sync::Arc;

use jiff::tz::TimeZone;
use smtp_spool::{IdSource, Store};

use crate::config::Config;
use crate::policy::Policy;

/// One host; every session thread has a reference to it.
pub(crate) struct Host {
    pub(crate) config: Config,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) policy: Arc<dyn Policy>,
    pub(crate) ids: IdSource,
    pub(crate) time_zone: TimeZone,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("config", &self.config).finish_non_exhaustive()
    }
}
