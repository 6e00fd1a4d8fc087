//! The replies that are not about the protocol but about this host: its rules, its disk, its threads.

use std::time::Duration;

use smtp_proto::reply::Reply;
use smtp_spool::StoreError;

pub(crate) fn busy() -> Reply {
    Reply::literal::<421>(3, 2, "All of this server's threads are busy; come back later")
}

pub(crate) fn too_many_connections() -> Reply {
    Reply::literal::<421>(7, 0, "Too many connections from your address; come back later")
}

pub(crate) fn failure() -> Reply {
    Reply::literal::<421>(3, 0, "Something broke on our side; come back later")
}

/// RFC 3207, 4.
pub(crate) fn tls_not_available() -> Reply {
    Reply::literal::<454>(7, 0, "TLS is not to be had now; come back later")
}

/// RFC 4954, 6: the same, whatever was wrong. Whoever guesses learns nothing about names.
pub(crate) fn wrong_credentials() -> Reply {
    Reply::literal::<535>(7, 8, "The user name or the password is wrong")
}

pub(crate) fn malformed_auth() -> Reply {
    Reply::literal::<501>(5, 2, "That is no message of the mechanism")
}

pub(crate) fn no_auth_now() -> Reply {
    Reply::literal::<454>(7, 0, "Authentication is not possible now; try again later")
}

pub(crate) fn too_many_guesses(wait: Duration) -> Reply {
    let seconds = wait.as_secs() + 1;
    Reply::literal::<454>(7, 0, format!("Too many failures from your address; try again in {seconds} seconds"))
}

/// RFC 6409, 6.1: a site may say who sends under which address.
pub(crate) fn foreign_sender() -> Reply {
    Reply::literal::<553>(7, 1, "You may not send from that address")
}

/// RFC 5321, 3.6.2 and 7.9: policy refusals use 550.
pub(crate) fn relaying_refused() -> Reply {
    Reply::literal::<550>(7, 1, "This server takes no mail for that domain")
}

pub(crate) fn odd_local_part() -> Reply {
    Reply::literal::<550>(7, 1, "Addresses that hold a route (@, % or ! in the local part) are not taken")
}

pub(crate) fn unknown_recipient() -> Reply {
    Reply::literal::<550>(1, 1, "There is no such mailbox here")
}

/// RFC 3463, 3.2: X.1.1, "the address portion to the left of the "@" sign is invalid". Its form (X.1.3) is right.
pub(crate) fn no_directory() -> Reply {
    Reply::literal::<550>(1, 1, "There can be no such mailbox here: its name is empty or too long")
}

pub(crate) fn alias_not_relayed() -> Reply {
    Reply::literal::<550>(7, 1, "The address stands for one at another domain, and this server sends nothing there")
}

/// RFC 3463, 3.3: X.2.4, a list that was not expanded.
pub(crate) fn alias_not_expanded() -> Reply {
    Reply::literal::<451>(2, 4, "The address stands for others and cannot be expanded; try again later")
}

/// Anything that is our fault is temporary.
pub(crate) fn store_error(error: &StoreError) -> Reply {
    if error.is_full() {
        return Reply::literal::<452>(3, 1, "There is not enough room for the message now; try again later");
    }
    Reply::literal::<451>(3, 0, "The message could not be stored; try again later")
}
