//! `cargo xtask interop`: real mail with programs that others wrote.
//!
//! Our server against six clients, our client against five servers, by DATA and, where both sides know it, by BDAT, one of
//! them by LMTP; the clients also under TLS, and OpenSSL by hand; logging in, theirs to us and ours to a Postfix with Dovecot;
//! and two readers of the Maildirs that we write. Every message is compared octet for octet with what was meant to arrive:
//! line ends normalised to CRLF, a CRLF behind the last line, and without the fields that the receiver put on top. Our server
//! stands before a Postfix and behind one, as a relay and as the last host, and before a Dovecot that has the mailboxes. And
//! our resolver against a DNS server, which tells where mail goes.

mod shapes;
mod exim;
pub(crate) mod clients;
mod our_server;
mod openssl;
mod our_tls;
mod our_auth;
pub(crate) mod servers;
mod our_client;
mod our_client_tls;
mod dns;
mod our_maildir;
mod our_relay;
mod our_lmtp;

use crate::workshop::Outcome;
use crate::workshop::process::is_installed;
use crate::workshop::programs::Programs;
use crate::workshop::scratch::Scratch;
use crate::workshop::tally::Tally;

/// Who sends, in every conversation.
const SENDER: &str = "alice@example.org";

/// How the content is to go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Data,
    /// RFC 3030, where the server offers it.
    Bdat,
}

/// One line per peer and shape.
pub(crate) fn run(options: &[String]) -> Outcome {
    let programs = Programs::build()?;
    let mut tally = Tally::new(options);
    let scratch = Scratch::new("interop")?;
    println!("\n== their clients, our server");
    our_server::run(&programs, &scratch, &mut tally)?;
    println!("\n== their clients, our server under TLS");
    our_tls::run(&programs, &scratch, &mut tally)?;
    println!("\n== logging in, both ways");
    our_auth::run_all(&programs, &scratch, &mut tally)?;
    println!("\n== our client, their servers");
    our_client::run(&programs, &scratch, &mut tally)?;
    println!("\n== our client, their server under TLS");
    our_client_tls::run(&programs, &scratch, &mut tally)?;
    println!("\n== our resolver, their DNS server");
    dns::run(&programs, &mut tally)?;
    println!("\n== our Maildir, their readers");
    our_maildir::run(&scratch, &mut tally)?;
    println!("\n== our server between others");
    our_relay::run(&programs, &mut tally)?;
    our_lmtp::run(&programs, &mut tally)?;
    drop(scratch);
    tally.finish()
}

/// How to get a program, unless it is there.
fn unless_installed(program: &str, remedy: &'static str) -> Option<&'static str> {
    (!is_installed(program)).then_some(remedy)
}
