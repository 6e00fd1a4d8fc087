//! The scripted server's end of a connection, in clear or under TLS.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::{ServerConfig, ServerConnection};

use crate::certificates::Identity;

/// What a server that shows this certificate needs.
pub fn server_config(identity: &Identity) -> Arc<ServerConfig> {
    server_config_of(identity, rustls::ALL_VERSIONS)
}

/// The same with these versions of TLS only.
pub fn server_config_of(
    identity: &Identity,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(identity.certificate_pem.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).expect("a key");
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(versions).expect("versions that ring has");
    let config = builder.with_no_client_auth().with_single_cert(certificates.expect("certificates"), key);
    Arc::new(config.expect("a key that belongs to the certificate"))
}

pub(super) struct Channel {
    pub(super) socket: TcpStream,
    tls: Option<Box<ServerConnection>>,
}

impl Channel {
    pub(super) fn new(socket: TcpStream) -> Self {
        Channel { socket, tls: None }
    }

    /// The server's part of it.
    pub(super) fn shake_hands(&mut self, config: Arc<ServerConfig>) -> io::Result<()> {
        let mut tls = Box::new(ServerConnection::new(config).map_err(io::Error::other)?);
        while tls.is_handshaking() {
            tls.complete_io(&mut self.socket)?;
        }
        self.tls = Some(tls);
        Ok(())
    }

    /// Under TLS 1.3.
    pub(super) fn change_keys(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Err(io::ErrorKind::NotConnected.into()) };
        tls.refresh_traffic_keys().map_err(io::Error::other)?;
        while tls.wants_write() {
            tls.write_tls(&mut self.socket)?;
        }
        Ok(())
    }

    /// In order, with a `close_notify`.
    pub(super) fn finish_writing(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            // The client may have gone first.
            let _ = tls.write_tls(&mut self.socket);
        }
        self.cut_off();
    }

    /// Under TLS, without.
    pub(super) fn cut_off(&self) {
        // The client may have gone first.
        let _ = self.socket.shutdown(Shutdown::Write);
    }
}

impl Read for Channel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.socket.read(buffer),
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.socket).read(buffer),
        }
    }
}

impl Write for Channel {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.socket.write(octets),
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.socket).write(octets),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            None => Ok(()),
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.socket).flush(),
        }
    }
}
