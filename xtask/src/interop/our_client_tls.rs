//! Our client to a Postfix under TLS: by STARTTLS and from the first octet on, and only with whom it should be.

use std::net::SocketAddr;
use std::time::Duration;

use smtp_tests::certificates::{Authority, Files};

use super::our_tls::SHAPES;
use super::servers::{Postfix, Receiver, lacks_postfix};
use super::shapes::{self, Shape};
use super::{SENDER, clients::recipients};
use crate::workshop::letter::{difference, with_lf};
use crate::workshop::process::{self, Finished};
use crate::workshop::programs::Programs;
use crate::workshop::scratch::Scratch;
use crate::workshop::tally::Tally;
use crate::workshop::{OrFail, Outcome, failure::ensure};

/// How long the client may take for one message.
const PATIENCE: Duration = Duration::from_secs(60);

/// Both ways in.
const MODES: [&str; 2] = ["require", "implicit"];

/// Every shape by both ways, each version of TLS, and what must not be believed.
pub(super) fn run(programs: &Programs, scratch: &Scratch, tally: &mut Tally) -> Outcome {
    if let Some(remedy) = lacks_postfix() {
        tally.skip("our client to Postfix under TLS", remedy);
        return Ok(());
    }
    let authority = Authority::new("SMTP test authority").or_fail("making an authority")?;
    let identity = authority.issue().or_fail("making a certificate")?;
    let files =
        Files::write(&scratch.at("postfix-certs"), &authority, &identity).or_fail("writing the certificates")?;
    let other = Authority::new("Another authority").or_fail("making an authority")?;
    let other = scratch.file("other-ca.pem", other.certificate_pem())?;
    let (trusted, other) = (files.authority.display().to_string(), other.display().to_string());
    for version in ["TLSv1.2", "TLSv1.3"] {
        let mut postfix = Postfix::start_with_tls(scratch, &files, version)?;
        for mode in MODES {
            let name = |what: &str| format!("our client to Postfix, --tls {mode}, {version}: {what}");
            for shape in shapes::all().into_iter().filter(|shape| SHAPES.contains(&shape.name)) {
                let sent = send_and_compare(&mut postfix, mode, version, &trusted, &shape, programs, scratch);
                tally.check(&name(shape.name), sent);
            }
            let refused = refuse(&mut postfix, mode, &other, programs, scratch);
            tally.check(&name("another authority"), refused.map(|()| "refused".to_owned()));
        }
    }
    Ok(())
}

fn send_and_compare(
    postfix: &mut Postfix,
    mode: &str,
    version: &str,
    ca_file: &str,
    shape: &Shape,
    programs: &Programs,
    scratch: &Scratch,
) -> Outcome<String> {
    let finished = send(address(postfix, mode), mode, ca_file, shape, programs, scratch)?;
    ensure(finished.status.success(), || format!("{}: {}", finished.status, finished.text()))?;
    let wanted = format!("C: <{}, ", version.replace("TLSv", "TLS "));
    ensure(finished.text().contains(&wanted) && finished.text().contains(", verified>"), || finished.text())?;
    let expected = shape.expected();
    for found in postfix.take(shape.recipients * shape.copies)? {
        ensure(found == expected, || difference(&expected, &found))?;
    }
    Ok(String::new())
}

/// Nobody whom the client trusts has issued the certificate: nothing arrives.
fn refuse(postfix: &mut Postfix, mode: &str, ca_file: &str, programs: &Programs, scratch: &Scratch) -> Outcome {
    let shape = shapes::all().into_iter().next().or_fail("there is no shape")?;
    let finished = send(address(postfix, mode), mode, ca_file, &shape, programs, scratch)?;
    ensure(finished.status.code() == Some(76), || format!("{}: {}", finished.status, finished.text()))?;
    let words = "nobody who is trusted has issued its certificate";
    ensure(finished.text().contains(words) && !finished.text().contains("MAIL FROM"), || finished.text())?;
    postfix.take(0).map(drop)
}

fn address(postfix: &Postfix, mode: &str) -> SocketAddr {
    if mode == "implicit" { postfix.tls_address() } else { postfix.address() }
}

fn send(
    address: SocketAddr,
    mode: &str,
    ca_file: &str,
    shape: &Shape,
    programs: &Programs,
    scratch: &Scratch,
) -> Outcome<Finished> {
    let file = scratch.file("client.eml", with_lf(&shape.octets))?;
    let mut command = programs.client();
    command.args(["send", "--retries", "0", "--transcript", "--from", SENDER, "--server", &address.to_string()]);
    command.args(["--tls", mode, "--ca-file", ca_file]);
    for recipient in recipients(shape) {
        command.args(["--to", &recipient]);
    }
    for _ in 0..shape.copies {
        command.arg(&file);
    }
    process::run(&mut command, PATIENCE)
}
