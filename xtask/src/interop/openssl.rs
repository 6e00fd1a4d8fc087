//! `openssl s_client`: a TLS client that a person types into.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::clients::{Target, Way};
use crate::workshop::failure::{OrFail, Outcome, ensure, fail};
use crate::workshop::process;

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// One that runs. It is killed when this is dropped.
pub(super) struct Session {
    child: Child,
    input: Option<ChildStdin>,
    /// Lines of both outputs.
    lines: Receiver<String>,
}

fn command(target: &Target<'_>, options: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-crlf", "-verify_return_error", "-verify_ip", "127.0.0.1"]);
    command.args(["-connect", &target.address.to_string()]).arg("-CAfile").arg(target.authority).args(options);
    if target.way == Way::StartTls {
        command.args(["-starttls", "smtp"]);
    }
    command
}

/// An old version of TLS must come to nothing. OpenSSL itself is told to put up with it.
pub(super) fn refused(target: &Target<'_>, version: &str) -> Outcome<String> {
    let mut command = command(target, &[version, "-cipher", "DEFAULT@SECLEVEL=0"]);
    let finished = process::run(&mut command, PATIENCE)?;
    let text = finished.text();
    ensure(!finished.status.success(), || format!("it succeeds: {text}"))?;
    let reason = text.lines().find_map(|line| Some(line.split_once("alert")?.1.split(':').next()?.trim().to_owned()));
    reason.or_fail(format_args!("there is no alert: {text}"))
}

impl Session {
    pub(super) fn open(target: &Target<'_>, options: &[&str]) -> Outcome<Self> {
        let mut command = command(target, options);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().or_fail("starting openssl")?;
        let (sender, lines) = channel();
        read(child.stdout.take(), sender.clone());
        read(child.stderr.take(), sender);
        let input = child.stdin.take();
        Ok(Session { child, input, lines })
    }

    pub(super) fn say(&mut self, line: &str) -> Outcome {
        let input = self.input.as_mut().or_fail("openssl has no input")?;
        // It makes CRLF of LF.
        let line = line.replace("\r\n", "\n") + "\n";
        input.write_all(line.as_bytes()).and_then(|()| input.flush()).or_fail("writing to openssl")
    }

    /// Waits for the last line of a reply, which must begin like this. Returns all of it.
    pub(super) fn expect(&self, reply: &str) -> Outcome<String> {
        let mut lines = Vec::new();
        self.wait_until(|line| {
            let code = line.get(..3).is_some_and(|code| code.bytes().all(|octet| octet.is_ascii_digit()));
            if code {
                lines.push(line.to_owned());
            }
            code && line.get(3..4) == Some(" ")
        })?;
        let text = lines.join("\n");
        let is_right = lines.last().is_some_and(|line| line.starts_with(reply));
        if is_right { Ok(text) } else { fail(format!("{text:?} in place of {reply:?}")) }
    }

    /// Waits for a line with these words.
    pub(super) fn wait_for(&self, words: &str) -> Outcome {
        self.wait_until(|line| line.contains(words)).map(drop)
    }

    /// The server has closed in order, so openssl ends well.
    pub(super) fn end(mut self) -> Outcome<String> {
        drop(self.input.take());
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().or_fail("waiting for openssl")? {
                ensure(status.success(), || format!("openssl ended with {status}"))?;
                return Ok(String::new());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        fail("openssl does not end")
    }

    fn wait_until(&self, mut is_wanted: impl FnMut(&str) -> bool) -> Outcome<String> {
        let mut seen = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if is_wanted(&line) {
                return Ok(line);
            }
            seen.push(line);
        }
        fail(format!("openssl does not say what is awaited; before: {}", seen.join("\n    ")))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads lines until there are none. The thread ends with the program.
fn read(output: Option<impl Read + Send + 'static>, sender: Sender<String>) {
    let Some(output) = output else { return };
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            // Nobody may be waiting any more.
            let Ok(Ok(())) = line.map(|line| sender.send(line)) else { return };
        }
    });
}
