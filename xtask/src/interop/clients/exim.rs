//! Exim as a client: what is put into its queue goes to our server when the queue is run.

use std::net::SocketAddr;
use std::time::Duration;

use super::recipients;
use crate::interop::exim::Exim;
use crate::interop::shapes::Shape;
use crate::interop::{Content, SENDER};
use crate::workshop::letter::with_lf;
use crate::workshop::process::{must_run, run_with_input};
use crate::workshop::{Outcome, failure::ensure};

/// How long one message may take into the queue.
const PATIENCE: Duration = Duration::from_secs(60);

/// What it needs as a client: no field of its own on top, lines as long as they are, and everything goes to one server, which
/// may run on the same machine.
const SETTINGS: &str = "
received_header_text =
begin routers
ours:
  driver = manualroute
  route_list = * ADDRESS
  self = send
  transport = ours
begin transports
ours:
  driver = smtp
  port = PORT
  allow_localhost
  message_linelength_limit = 1M
  hosts_try_chunking = CHUNKING
";

/// Puts the message into the queue as often as it is to be sent, and runs the queue.
pub(super) fn send(server: SocketAddr, shape: &Shape, content: Content) -> Outcome {
    let chunking = if content == Content::Bdat { "*" } else { "" };
    let settings = SETTINGS.replace("ADDRESS", &server.ip().to_string()).replace("PORT", &server.port().to_string());
    let exim = Exim::new(&settings.replace("CHUNKING", chunking))?;
    for _ in 0..shape.copies {
        let mut command = exim.command();
        // A line with nothing but a dot is no end here: -oi.
        command.args(["-oi", "-f", SENDER]).args(recipients(shape));
        let finished = run_with_input(&mut command, &with_lf(&shape.octets), PATIENCE)?;
        ensure(finished.status.success(), || format!("{}: {}", finished.status, finished.text()))?;
    }
    // In two steps: first it learns where all of them go, then whatever goes to one server shares a connection.
    must_run(exim.command().arg("-qq"))?;
    went_as_asked(&exim.log()?, server, shape, content).map_err(|failure| exim.explain(&failure))
}

/// Holds the log against what was asked for. In the line of a recipient, `K` says that the content went by BDAT, and `*` that
/// it went over a connection which was there already.
fn went_as_asked(log: &str, server: SocketAddr, shape: &Shape, content: Content) -> Outcome {
    let delivered: Vec<_> = log.lines().filter(|line| line.contains(" => ") || line.contains(" -> ")).collect();
    let wanted = shape.recipients * shape.copies;
    ensure(delivered.len() == wanted, || format!("{} recipients reached, not {wanted}", delivered.len()))?;
    let is_chunked = |line: &&str| line.contains(" K C=\"");
    let is_as_asked = delivered.iter().all(|line| is_chunked(line) == (content == Content::Bdat));
    ensure(is_as_asked, || "sent otherwise than asked".to_owned())?;
    let new = format!("[{}] ", server.ip());
    let connections = delivered.iter().filter(|line| line.contains(" => ") && line.contains(&new)).count();
    ensure(connections == 1, || format!("{connections} connections, not one"))
}
