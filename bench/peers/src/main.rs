//! The peers that are libraries, as programs: `bench-peers mailin ...` is a server, `bench-peers lettre ...` a client.

mod mailin_server;
mod lettre_client;

use std::process::ExitCode;

const USAGE: &str = "\
usage: bench-peers mailin THREADS null|DIRECTORY
       bench-peers lettre ADDRESS:PORT CONNECTIONS MESSAGES FILE
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["mailin", threads, place] => mailin_server::run(threads, place),
        ["lettre", address, connections, messages, file] => lettre_client::run(address, connections, messages, file),
        _ => Err(USAGE.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-peers: {error}");
            ExitCode::FAILURE
        }
    }
}
