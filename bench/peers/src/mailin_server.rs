//! mailin-embedded with a handler that forgets every message, or writes each into a file of its own and syncs that.
//!
//! The file gets its final name at once and its directory is not synced: less than our server promises, and what most who
//! use such a library would write.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mailin_embedded::response::{INTERNAL_ERROR, OK};
use mailin_embedded::{Handler, Response, Server, SslConfig};
use socket2::{Domain, Socket, Type};

/// As our server has it.
const BACKLOG: i32 = 1_024;

/// The library hands the content over line by line.
const BUFFER_OCTETS: usize = 64 << 10;

pub(crate) fn run(threads: &str, place: &str) -> Result<(), Box<dyn Error>> {
    let listener = listen()?;
    let address = listener.local_addr()?;
    let directory = (place != "null").then(|| Arc::new(PathBuf::from(place)));
    let handler = Keeper { directory, count: Arc::default(), file: None };
    let mut server = Server::new(handler);
    server.with_name("mailin.example.test").with_ssl(SslConfig::None)?;
    server.with_num_threads(threads.parse()?).with_tcp_listener(listener);
    eprintln!("listening on {address}");
    Ok(server.serve()?)
}

/// Without Nagle's delay, which the connections inherit from their listener.
fn listen() -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[derive(Debug)]
struct Keeper {
    /// `None`: nothing is kept.
    directory: Option<Arc<PathBuf>>,
    count: Arc<AtomicU64>,
    file: Option<BufWriter<File>>,
}

/// One for each connection.
impl Clone for Keeper {
    fn clone(&self) -> Self {
        Keeper { directory: self.directory.clone(), count: Arc::clone(&self.count), file: None }
    }
}

impl Keeper {
    fn create(&self) -> io::Result<Option<BufWriter<File>>> {
        let Some(directory) = &self.directory else { return Ok(None) };
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let file = File::create_new(directory.join(format!("{number:012}.eml")))?;
        Ok(Some(BufWriter::with_capacity(BUFFER_OCTETS, file)))
    }

    fn finish(&mut self) -> io::Result<()> {
        let Some(mut file) = self.file.take() else { return Ok(()) };
        file.flush()?;
        file.get_ref().sync_data()
    }
}

impl Handler for Keeper {
    fn data_start(&mut self, _domain: &str, _from: &str, _is8bit: bool, _to: &[String]) -> Response {
        match self.create() {
            Ok(file) => {
                self.file = file;
                OK
            }
            Err(_) => INTERNAL_ERROR,
        }
    }

    fn data(&mut self, line: &[u8]) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(line))
    }

    fn data_end(&mut self) -> Response {
        if self.finish().is_ok() { OK } else { INTERNAL_ERROR }
    }
}
