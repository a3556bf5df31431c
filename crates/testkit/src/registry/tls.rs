//! HTTPS with certificates of its own: `tls/` holds keys that are public, and good for nothing but tests.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// A certificate that proves itself, for 127.0.0.1.
const CERTIFICATE: &[u8] = include_bytes!("tls/certificate.pem");
const KEY: &[u8] = include_bytes!("tls/key.pem");

/// A certificate of [`AUTHORITY`] for `registry.test`, everything below it, and `mirror.test`, in PEM form.
pub const CERTIFIED: &str = include_str!("tls/registry-test.pem");
/// The key of [`CERTIFIED`], in PEM form.
pub const CERTIFIED_KEY: &str = include_str!("tls/registry-test.key.pem");

/// A certificate of [`KNOWN_AUTHORITY`] for the hosts of the well-known registries.
const KNOWN: &[u8] = include_bytes!("tls/known-registries.pem");
const KNOWN_KEY: &[u8] = include_bytes!("tls/known-registries.key.pem");

/// The authority of the registries in [`super::known`], in PEM form. Its key was thrown away.
pub const KNOWN_AUTHORITY: &str = include_str!("tls/known-authority.pem");

/// The authority of tests, which no system trusts, in PEM form.
pub const AUTHORITY: &str = include_str!("tls/authority.pem");
/// A certificate of [`AUTHORITY`] for a client, in PEM form.
pub const CLIENT_CERTIFICATE: &str = include_str!("tls/client.pem");
/// The key of [`CLIENT_CERTIFICATE`], in PEM form.
pub const CLIENT_KEY: &str = include_str!("tls/client.key.pem");

/// What a server shows, and what it wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// A certificate that proves itself.
    SelfSigned,
    /// A certificate of the authority of tests.
    Certified,
    /// As before, and clients have to have one as well.
    Mutual,
    /// The certificate of the well-known registries.
    Known,
}

/// Speaks TLS as a server on an accepted connection.
pub(super) fn server(stream: TcpStream, proof: Proof) -> io::Result<StreamOwned<ServerConnection, TcpStream>> {
    let config = match proof {
        Proof::SelfSigned => server_config(&[]),
        Proof::Known => config(KNOWN, KNOWN_KEY, false).map(Arc::new),
        Proof::Certified | Proof::Mutual => {
            config(CERTIFIED.as_bytes(), CERTIFIED_KEY.as_bytes(), proof == Proof::Mutual).map(Arc::new)
        }
    };
    let connection = config.and_then(|config| ServerConnection::new(config).map_err(io::Error::other))?;
    Ok(StreamOwned::new(connection, stream))
}

/// How a server with the certificate of tests speaks TLS. `protocols` are the names that ALPN (RFC 7301) offers, such as
/// `h2`, the best first.
///
/// # Errors
/// When the TLS library does not take the certificate.
pub fn server_config(protocols: &[&str]) -> io::Result<Arc<ServerConfig>> {
    let mut config = config(CERTIFICATE, KEY, false)?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Ok(Arc::new(config))
}

fn config(certificate: &[u8], key: &[u8], wants_certificate: bool) -> io::Result<ServerConfig> {
    let certificate = CertificateDer::from_pem_slice(certificate).map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let builder = if wants_certificate {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(AUTHORITY.as_bytes()).map_err(io::Error::other)?;
        roots.add(authority).map_err(io::Error::other)?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        builder.with_client_cert_verifier(verifier.map_err(io::Error::other)?)
    } else {
        builder.with_no_client_auth()
    };
    builder.with_single_cert(vec![certificate], key).map_err(io::Error::other)
}
