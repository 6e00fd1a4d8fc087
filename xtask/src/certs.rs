//! `cargo xtask certs`: an authority and a server's certificate, for trying TLS out on this machine.

use std::path::Path;

use smtp_tests::certificates::{Authority, Files, HOST};

use crate::workshop::{OrFail, Outcome, failure::fail};

/// Where they go if nothing is said.
const DIRECTORY: &str = "target/certs";

/// Writes the files anew, whatever is there.
pub(crate) fn run(options: &[String]) -> Outcome {
    let directory = match options {
        [] => DIRECTORY,
        [directory] if !directory.starts_with('-') => directory,
        _ => return fail("usage: cargo xtask certs [DIR]".to_owned()),
    };
    let authority = Authority::new("SMTP test authority").or_fail("making an authority")?;
    let server = authority.issue().or_fail("making a certificate")?;
    let files = Files::write(Path::new(directory), &authority, &server).or_fail("writing the certificates")?;
    println!("{}  the authority, for clients to trust", files.authority.display());
    println!("{}  the server's certificate, for {HOST}, localhost, 127.0.0.1 and ::1", files.certificate.display());
    println!("{}  its key", files.key.display());
    println!("They are valid for a year, and for trials only.");
    Ok(())
}
