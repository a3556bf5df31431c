//! HTTPS with a certificate of its own: `tls/` holds a key that is public, and good for nothing but tests.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

const CERTIFICATE: &[u8] = include_bytes!("tls/certificate.pem");
const KEY: &[u8] = include_bytes!("tls/key.pem");

/// Speaks TLS as a server on an accepted connection.
pub(super) fn server(stream: TcpStream) -> io::Result<StreamOwned<ServerConnection, TcpStream>> {
    let connection = server_config(&[]).and_then(|config| ServerConnection::new(config).map_err(io::Error::other))?;
    Ok(StreamOwned::new(connection, stream))
}

/// How a server with the certificate of tests speaks TLS. `protocols` are the names that ALPN (RFC 7301) offers, such as
/// `h2`, the best first.
///
/// # Errors
/// When the TLS library does not take the certificate.
pub fn server_config(protocols: &[&str]) -> io::Result<Arc<ServerConfig>> {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_slice(KEY).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .map_err(io::Error::other)?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Ok(Arc::new(config))
}
