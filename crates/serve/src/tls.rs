//! TLS: certificate and key from files, and which clients may connect.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dhow_base::{Error, Kind, Result, fs};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::configuration::Configuration;

const FILE_BYTES_MAX: u64 = 4 << 20;

/// What connections are secured with; nothing when the configuration names no certificate.
///
/// # Errors
/// [`Kind::Invalid`] that names the file or key which cannot be, else those of reading the files.
pub(crate) fn load(configuration: &Configuration) -> Result<Option<Arc<ServerConfig>>> {
    let section = &configuration.tls;
    let (certificate, key) = match (&section.certificate, &section.key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) if section.client_ca.is_none() => return Ok(None),
        _ => {
            return Err(Error::new(Kind::Invalid, "TLS needs both a certificate and its key")
                .with_hint("set tls.certificate and tls.key"));
        }
    };
    let unusable = |error: rustls::Error| {
        Error::new(Kind::Invalid, format!("{certificate:?} and {key:?} cannot be used: {error}")).with_source(error)
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let builder = match &section.client_ca {
        Some(authorities) => builder.with_client_cert_verifier(verifier(authorities, provider)?),
        None => builder.with_no_client_auth(),
    };
    let bytes = fs::read_limited(key, FILE_BYTES_MAX)?;
    let private = PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|error| Error::new(Kind::Invalid, format!("{key:?} holds no private key in PEM: {error}")))?;
    let mut tls = builder.with_single_cert(certificates(certificate)?, private).map_err(unusable)?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(Arc::new(tls)))
}

/// Files that count for TLS.
pub(crate) fn files(configuration: &Configuration) -> impl Iterator<Item = &PathBuf> {
    let section = &configuration.tls;
    [&section.certificate, &section.key, &section.client_ca].into_iter().flatten()
}

/// Lets only clients connect whose certificate one of the authorities in a file vouches for.
fn verifier(path: &Path, provider: Arc<CryptoProvider>) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>> {
    let invalid = |error: String| Error::new(Kind::Invalid, format!("{path:?} cannot be used: {error}"));
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| invalid(error.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    builder.build().map_err(|error| invalid(error.to_string()))
}

/// The certificates in a PEM file, of which there must be one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = fs::read_limited(path, FILE_BYTES_MAX)?;
    let invalid = |error: String| Error::new(Kind::Invalid, format!("{path:?} holds no certificates in PEM: {error}"));
    let found = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| invalid(error.to_string()))?;
    if found.is_empty() { Err(invalid("there is none in it".to_owned())) } else { Ok(found) }
}
