//! aiosmtpd, Python's server, told to write down each message as it came.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use super::{PATIENCE, Receiver, take_raw_files};
use crate::workshop::process::{Running, run};
use crate::workshop::scratch::Scratch;
use crate::workshop::{OrFail, Outcome};

/// One that runs.
pub(super) struct Aiosmtpd {
    _running: Running,
    address: SocketAddr,
    kept: PathBuf,
}

/// The directory to write into. A message is one file, closed before 250 is said. Lines may have any length that occurs here;
/// the 1,001 octets that it takes otherwise are RFC 5321, 4.5.3.1.6.
const SERVER: &str = "
import asyncio, itertools, os, sys
from aiosmtpd.smtp import SMTP

class Keeper:
    numbers = itertools.count()

    async def handle_DATA(self, server, session, envelope):
        with open(os.path.join(sys.argv[1], str(next(self.numbers))), 'xb') as file:
            file.write(envelope.original_content)
        return '250 2.0.0 kept'

class Patient(SMTP):
    line_length_limit = 1 << 20

async def serve():
    new = lambda: Patient(Keeper(), hostname='aiosmtpd.example.test')
    server = await asyncio.get_running_loop().create_server(new, '127.0.0.1', 0)
    print('listening on', '%s:%d' % server.sockets[0].getsockname(), file=sys.stderr, flush=True)
    await server.serve_forever()

asyncio.run(serve())
";

/// What it lacks here.
pub(super) fn lacks() -> Option<&'static str> {
    python().is_none().then_some("install python3-aiosmtpd")
}

/// The Python that has it: the first one on the search path may be another than that of the system's packages.
fn python() -> Option<&'static str> {
    ["python3", "/usr/bin/python3"].into_iter().find(|python| {
        let imported = run(Command::new(python).args(["-c", "import aiosmtpd.smtp"]), PATIENCE);
        imported.is_ok_and(|finished| finished.status.success())
    })
}

impl Aiosmtpd {
    /// Starts one.
    pub(super) fn start(scratch: &Scratch) -> Outcome<Self> {
        let kept = scratch.directory("aiosmtpd")?;
        let python = python().or_fail("no Python has aiosmtpd")?;
        let running = Running::start("aiosmtpd", Command::new(python).args(["-c", SERVER]).arg(&kept))?;
        let address = running.wait_for_line(PATIENCE, |line| line.strip_prefix("listening on ")?.parse().ok())?;
        Ok(Aiosmtpd { _running: running, address, kept })
    }
}

impl Receiver for Aiosmtpd {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn files(&self, _recipients: usize) -> usize {
        1
    }

    fn take(&mut self, count: usize) -> Outcome<Vec<Vec<u8>>> {
        // It puts nothing on top, and the lines end as they ended on the way.
        take_raw_files(&self.kept, count)
    }
}
