//! Their clients, our server, under TLS: by STARTTLS and from the first octet, and what OpenSSL makes of each version.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use smtp_tests::certificates::{Authority, Files};

use super::clients::{CLIENTS, Target, Way};
use super::openssl::{self, Session};
use super::our_server::send_and_compare;
use super::{shapes, unless_installed};
use crate::workshop::failure::ensure;
use crate::workshop::programs::Programs;
use crate::workshop::scratch::Scratch;
use crate::workshop::server::Server;
use crate::workshop::tally::Tally;
use crate::workshop::{OrFail, Outcome};

/// What may go wrong under TLS and not in clear has to do with how much goes over a connection.
pub(super) const SHAPES: [&str; 5] = ["small", "leading dots", "1 MiB", "100 recipients", "20 over one connection"];

/// A server with a certificate.
struct Site {
    server: Server,
    spool: PathBuf,
    authority: PathBuf,
    /// Where TLS comes first.
    tls_first: SocketAddr,
}

impl Site {
    fn start(programs: &Programs, scratch: &Scratch) -> Outcome<Self> {
        let authority = Authority::new("SMTP test authority").or_fail("making an authority")?;
        let identity = authority.issue().or_fail("making a certificate")?;
        let files = Files::write(&scratch.at("certs"), &authority, &identity).or_fail("writing the certificates")?;
        let (certificate, key) = (files.certificate.display().to_string(), files.key.display().to_string());
        let options = ["--listen-tls", "127.0.0.1:0", "--tls-cert", &certificate, "--tls-key", &key];
        let spool = scratch.at("spool under TLS");
        let server = Server::start(programs, &spool, &options)?;
        let second = |line: &str| line.strip_prefix("listening on ")?.parse().ok();
        let tls_first = server.wait_for_line(Duration::from_secs(30), second)?;
        Ok(Site { server, spool, authority: files.authority, tls_first })
    }

    fn target(&self, way: Way) -> Target<'_> {
        let address = if way == Way::TlsFirst { self.tls_first } else { self.server.address };
        Target { address, way, authority: &self.authority }
    }
}

/// Every client that knows TLS, both ways in.
pub(super) fn run(programs: &Programs, scratch: &Scratch, tally: &mut Tally) -> Outcome {
    let site = Site::start(programs, scratch)?;
    let mut seen = BTreeSet::new();
    for client in CLIENTS.iter().filter_map(|client| Some((client, client.lacks_for_tls?))) {
        let (client, lacks_for_tls) = client;
        if let Some(remedy) = (client.lacks)().or_else(lacks_for_tls) {
            tally.skip(&format!("{} under TLS", client.name), remedy);
            continue;
        }
        for way in [Way::StartTls, Way::TlsFirst] {
            let shapes = shapes::all().into_iter().filter(|shape| SHAPES.contains(&shape.name));
            for shape in shapes.filter(|shape| shape.copies == 1 || client.keeps_connection) {
                let result = send_and_compare(client, &site.target(way), &shape, scratch, &site.spool, &mut seen);
                let name = format!("{} to our server, {}: {}", client.name, way.name(), shape.name);
                tally.check(&name, result.map(|()| String::new()));
            }
        }
    }
    match unless_installed("openssl", "install openssl") {
        Some(remedy) => tally.skip("openssl", remedy),
        None => openssl_checks(&site, tally),
    }
    site.server.stop()
}

fn openssl_checks(site: &Site, tally: &mut Tally) {
    for way in [Way::StartTls, Way::TlsFirst] {
        for version in ["-tls1_2", "-tls1_3"] {
            let result = a_letter(&site.target(way), version);
            tally.check(&format!("openssl s_client {version}, {}", way.name()), result);
        }
        for version in ["-tls1", "-tls1_1"] {
            let result = openssl::refused(&site.target(way), version);
            tally.check(&format!("openssl s_client {version} is refused, {}", way.name()), result);
        }
        let result = renegotiation(&site.target(way));
        tally.check(&format!("openssl s_client asks for another handshake, {}", way.name()), result);
    }
}

/// A letter by hand.
fn a_letter(target: &Target<'_>, version: &str) -> Outcome<String> {
    let mut session = Session::open(target, &["-quiet", version])?;
    // Behind STARTTLS it shows the last line that it heard in clear, and then what comes under TLS.
    session.expect(if target.way == Way::TlsFirst { "220 " } else { "250 " })?;
    session.say("EHLO client.example.org")?;
    let extensions = session.expect("250 ")?;
    ensure(!extensions.contains("STARTTLS"), || format!("STARTTLS is offered under TLS: {extensions}"))?;
    for (line, reply) in [
        ("STARTTLS", "503 "),
        ("MAIL FROM:<alice@example.org>", "250 "),
        ("RCPT TO:<bob@localhost>", "250 "),
        ("DATA", "354 "),
        ("Subject: by hand\r\n\r\nHello.\r\n.", "250 2.0.0 queued as "),
        ("QUIT", "221 "),
    ] {
        session.say(line)?;
        session.expect(reply)?;
    }
    session.end()
}

/// TLS 1.2 has it, rustls does not: the client hears no, and others are served on.
fn renegotiation(target: &Target<'_>) -> Outcome<String> {
    let mut session = Session::open(target, &["-tls1_2"])?;
    // What comes while it waits for an answer it takes for one, so the last line that comes by itself has to be there.
    session.wait_for(if target.way == Way::TlsFirst { "220 " } else { "250 " })?;
    // By this line, and not at the end of one, openssl asks for it.
    session.say("R")?;
    session.wait_for("no renegotiation")?;
    drop(session);
    a_letter(target, "-tls1_2")
}
