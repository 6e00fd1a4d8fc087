//! Why the server could not run, and the exit code of sysexits for it.

use std::io;
use std::net::SocketAddr;

use smtp_server::spool::OpenError;

pub(crate) use smtp_client::command_line::USAGE;
/// EX_DATAERR: a password cannot be used.
pub(crate) const DATA: u8 = 65;
/// EX_NOUSER: no such user or group; for `explain`, no such mailbox.
pub(crate) const NO_USER: u8 = 67;
/// EX_UNAVAILABLE: the address is taken.
pub(crate) const UNAVAILABLE: u8 = 69;
/// EX_OSERR: the system refused something.
pub(crate) const SYSTEM: u8 = 71;
/// EX_CANTCREAT: the spool cannot be made or opened.
pub(crate) const SPOOL: u8 = 73;
/// EX_IOERR: standard input or output fails.
pub(crate) const IO: u8 = 74;
/// EX_TEMPFAIL: another server owns the spool.
pub(crate) const OWNED: u8 = 75;
/// EX_NOPERM: not allowed; for `explain`, relaying.
pub(crate) const PERMISSION: u8 = 77;
/// EX_CONFIG: a setting is wrong.
pub(crate) const CONFIG: u8 = 78;

/// An end before the beginning.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn new(code: u8, text: impl Into<String>) -> Self {
        Failure { code, text: text.into() }
    }
}

pub(crate) fn bind(address: SocketAddr, error: &io::Error) -> Failure {
    let (code, advice) = match error.kind() {
        io::ErrorKind::AddrInUse => (UNAVAILABLE, "another program listens there; stop it or choose another port"),
        io::ErrorKind::PermissionDenied => (PERMISSION, "ports below 1024 need root; start as root with --user"),
        io::ErrorKind::AddrNotAvailable => (UNAVAILABLE, "this host does not have that address"),
        _ => (SYSTEM, "see the system's message"),
    };
    Failure::new(code, format!("cannot listen on {address}: {error}; {advice}"))
}

pub(crate) fn open(error: &OpenError) -> Failure {
    let code = match error {
        OpenError::Owned { .. } => OWNED,
        error if error.is_permission() => PERMISSION,
        _ => SPOOL,
    };
    Failure::new(code, error.to_string())
}
