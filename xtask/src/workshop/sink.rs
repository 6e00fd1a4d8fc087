//! A host that takes every message and forgets it. As little as an SMTP server can be, so that the sender is measured.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use super::failure::{OrFail, Outcome};

/// What is read at once.
const BUFFER_OCTETS: usize = 64 << 10;

/// One that listens.
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    is_closing: Arc<AtomicBool>,
    accepting: JoinHandle<()>,
    /// From every connection, when it has ended, how many messages came.
    taken: Receiver<u64>,
}

impl Sink {
    pub(crate) fn open() -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").or_fail("opening a destination")?;
        let address = listener.local_addr().or_fail("its address")?;
        let is_closing = Arc::new(AtomicBool::new(false));
        let (tell, taken) = channel();
        let closing = is_closing.clone();
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if closing.load(Ordering::SeqCst) {
                    break;
                }
                let tell = tell.clone();
                std::thread::spawn(move || {
                    let mut count = 0;
                    // Whoever hangs up in the middle gets a second chance; what was taken counts.
                    let _ = take(&stream, &mut count);
                    let _ = tell.send(count);
                });
            }
        });
        Ok(Sink { address, is_closing, accepting, taken })
    }

    /// How many messages came over all connections, which have to be at their end.
    pub(crate) fn close(self) -> Outcome<u64> {
        self.is_closing.store(true, Ordering::SeqCst);
        // One more caller, so that it looks.
        drop(TcpStream::connect(self.address).or_fail("closing a destination")?);
        self.accepting.join().ok().or_fail("closing a destination")?;
        Ok(self.taken.iter().sum())
    }
}

fn take(stream: &TcpStream, count: &mut u64) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut lines, mut writer) = (BufReader::with_capacity(BUFFER_OCTETS, stream), stream);
    writer.write_all(b"220 live.test\r\n")?;
    let (mut line, mut replies, mut is_content) = (Vec::new(), Vec::new(), false);
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let reply: &[u8] = match line.get(..4).unwrap_or(&line) {
            b".\r\n" if is_content => {
                is_content = false;
                *count += 1;
                b"250 2.0.0 taken\r\n"
            }
            _ if is_content => continue,
            b"DATA" => {
                is_content = true;
                b"354 go on\r\n"
            }
            b"EHLO" => b"250-live.test\r\n250-8BITMIME\r\n250 PIPELINING\r\n",
            b"HELO" => b"250 live.test\r\n",
            b"QUIT" => {
                replies.extend_from_slice(b"221 2.0.0 bye\r\n");
                return writer.write_all(&replies);
            }
            _ => b"250 2.0.0 yes\r\n",
        };
        replies.extend_from_slice(reply);
        // Commands that came together are answered together (RFC 2920, 3.2).
        if lines.buffer().is_empty() {
            writer.write_all(&replies)?;
            replies.clear();
        }
    }
}
