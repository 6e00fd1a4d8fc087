//! Root binds the port and nothing else: after that the process becomes somebody who can do no harm.

use std::ffi::CString;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Group, Uid, User};

use crate::exit::{self, Failure};

/// Somebody whom this process can become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    name: CString,
    pub(crate) user: Uid,
    group: Gid,
}

impl Account {
    /// Looks a user up, and the group, which is the user's own if none is named.
    pub(crate) fn find(user: &str, group: Option<&str>) -> Result<Self, Failure> {
        let nobody = || Failure::new(exit::NO_USER, format!("there is no user \"{user}\""));
        let found = User::from_name(user)
            .map_err(|error| Failure::new(exit::SYSTEM, format!("looking up the user \"{user}\": {error}")))?
            .ok_or_else(nobody)?;
        let group = match group {
            None => found.gid,
            Some(group) => group_id(group)?,
        };
        Ok(Account { name: CString::new(user).map_err(|_| nobody())?, user: found.uid, group })
    }

    fn is_this_process(&self) -> bool {
        [Uid::current(), Uid::effective()] == [self.user; 2] && [Gid::current(), Gid::effective()] == [self.group; 2]
    }
}

/// Becomes the account for good. Must run before any thread is started; the spool is opened afterwards, as the new user,
/// so that a wrong owner shows now and not at the first message.
pub(crate) fn drop_to(account: Option<&Account>) -> Result<(), Failure> {
    let Some(account) = account else {
        if Uid::effective().is_root() {
            log::warn!("running as root; --user NAME gives that up once the ports are bound");
        }
        return Ok(());
    };
    if account.is_this_process() {
        return Ok(());
    }
    let failed = |doing: &str, error: nix::errno::Errno| {
        Failure::new(exit::PERMISSION, format!("{doing}: {error}; only root can become somebody else"))
    };
    // The order matters: once the user is gone, the groups cannot be changed any more.
    set_groups(&account.name, account.group).map_err(|error| failed("setting the groups", error))?;
    nix::unistd::setgid(account.group).map_err(|error| failed("setting the group", error))?;
    nix::unistd::setuid(account.user).map_err(|error| failed("setting the user", error))?;
    // A process that can still become root again has given up nothing.
    if !account.user.is_root() && nix::unistd::setuid(Uid::from_raw(0)).is_ok() {
        return Err(Failure::new(exit::SYSTEM, "the system did not let go of root"));
    }
    Ok(())
}

/// Becomes the account if that is possible, so that what is looked at next is seen with its eyes. Whoever looks as somebody
/// else than root sees what they see.
pub(crate) fn drop_for_check(account: Option<&Account>) -> Result<(), Failure> {
    match account {
        Some(account) if Uid::effective().is_root() => drop_to(Some(account)),
        _ => Ok(()),
    }
}

#[cfg(not(target_vendor = "apple"))]
fn set_groups(user: &std::ffi::CStr, group: Gid) -> nix::Result<()> {
    nix::unistd::initgroups(user, group)
}

/// There initgroups is not to be had; no further groups is the safer choice in any case.
#[cfg(target_vendor = "apple")]
fn set_groups(_user: &std::ffi::CStr, _group: Gid) -> nix::Result<()> {
    Ok(())
}

fn group_id(name: &str) -> Result<Gid, Failure> {
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid),
        Ok(None) => Err(Failure::new(exit::NO_USER, format!("there is no group \"{name}\""))),
        Err(error) => Err(Failure::new(exit::SYSTEM, format!("looking up the group \"{name}\": {error}"))),
    }
}

/// Each conversation needs a socket and perhaps a file: the soft limit of 1,024 is soon used up, the hard one is what the
/// administrator meant.
pub(crate) fn raise_descriptor_limit() {
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    if let Err(error) = raised {
        log::warn!("the limit of open files stays as it is: {error}");
    }
}
