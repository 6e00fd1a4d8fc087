//! lettre, synchronous: a number of connections, each of which sends its share of the same message.

use std::error::Error;
use std::net::SocketAddr;

use lettre::address::Envelope;
use lettre::transport::smtp::PoolConfig;
use lettre::{SmtpTransport, Transport};

pub(crate) fn run(address: &str, connections: &str, messages: &str, file: &str) -> Result<(), Box<dyn Error>> {
    let (address, connections, messages) = (address.parse()?, connections.parse()?, messages.parse()?);
    let message = std::fs::read(file)?;
    let envelope = Envelope::new(Some("alice@example.org".parse()?), vec!["bob@localhost".parse()?])?;
    std::thread::scope(|scope| {
        let send = |number| send_share(address, (number..messages).step_by(connections), &envelope, &message);
        let threads: Vec<_> = (0..connections).map(|number| scope.spawn(move || send(number))).collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(result) => result.map_err(Into::into),
            Err(_) => Err("a thread of the client ended in a panic".into()),
        })
    })
}

/// One transport with one connection, which its pool keeps.
fn send_share(
    address: SocketAddr,
    share: impl Iterator<Item = usize>,
    envelope: &Envelope,
    message: &[u8],
) -> Result<(), lettre::transport::smtp::Error> {
    let builder = SmtpTransport::builder_dangerous(address.ip().to_string()).port(address.port());
    let transport = builder.pool_config(PoolConfig::new().max_size(1)).build();
    for _ in share {
        transport.send_raw(envelope, message)?;
    }
    Ok(())
}
