//! A Unix socket, whatever comes to which is carried on to a scripted server.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::scripted_server::ScriptedServer;

/// One connection after the other. Ends with the connection in hand when it is dropped.
pub struct UnixBridge {
    path: PathBuf,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl UnixBridge {
    /// Listens at a path at which there is nothing.
    pub fn listen(path: &Path, server: &ScriptedServer) -> Self {
        let listener = UnixListener::bind(path).expect("a free path");
        let (name, is_over) = (server.name(), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let is_over = is_over.clone();
            move || {
                for near in listener.incoming() {
                    // The last one is no client's.
                    if is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    carry(&near.expect("a connection"), &TcpStream::connect(&name).expect("the server listens"));
                }
            }
        });
        UnixBridge { path: path.to_owned(), is_over, thread: Some(thread) }
    }
}

/// Both ways, until both have ended.
fn carry(mut near: &UnixStream, mut far: &TcpStream) {
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // Whichever side goes first, the other is told.
            let _ = io::copy(&mut near, &mut far);
            let _ = far.shutdown(Shutdown::Write);
        });
        let _ = io::copy(&mut far, &mut near);
        let _ = near.shutdown(Shutdown::Write);
    });
}

impl Drop for UnixBridge {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let wake = UnixStream::connect(&self.path);
        if let Some(thread) = self.thread.take().filter(|_| wake.is_ok()) {
            // A test that has failed already says why itself.
            let end = thread.join();
            assert!(end.is_ok() || std::thread::panicking(), "carrying does not fail");
        }
    }
}
