//! Who a client's certificate says it is, as rules name it: `cn=`, `dns=` or `uri=` and the name.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use super::der::common_name;

/// How the names of certificates begin in rules.
const KINDS: [&str; 3] = ["cn=", "dns=", "uri="];

/// The names in a certificate that was proven while the connection was made. Cloning is cheap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identities(Option<Arc<[String]>>);

impl Identities {
    /// The common name of the subject, and the alternative names that are host names or URIs.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Self {
        let Ok(certificate) = EndEntityCert::try_from(certificate) else { return Self::default() };
        let common = common_name(certificate.subject()).map(|name| format!("cn={name}"));
        let hosts = certificate.valid_dns_names().map(|name| format!("dns={name}"));
        let addresses = certificate.valid_uri_names().map(|name| format!("uri={name}"));
        let names: Vec<String> = common.into_iter().chain(hosts).chain(addresses).collect();
        if names.is_empty() { Self::default() } else { Self(Some(names.into())) }
    }

    /// Those that `is_known` knows.
    pub(super) fn known(&self, is_known: impl Fn(&str) -> bool) -> Self {
        let names: Vec<String> = self.names().iter().filter(|name| is_known(name)).cloned().collect();
        if names.is_empty() { Self::default() } else { Self(Some(names.into())) }
    }

    pub(super) fn names(&self) -> &[String] {
        self.0.as_deref().unwrap_or_default()
    }
}

/// The names in a certificate as rules spell them; none when these bytes are no certificate.
pub fn certificate_names(certificate: &[u8]) -> Vec<String> {
    Identities::of(&CertificateDer::from(certificate)).names().to_vec()
}

/// Whether a rule's user is a name of a certificate, so that no account can have it.
pub(super) fn names_certificate(user: &str) -> bool {
    KINDS.iter().any(|kind| user.starts_with(kind))
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    #[test]
    fn names_in_certificates() {
        let of = |pem: &str| Identities::of(&CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate"));
        let client = of(include_str!("../../tests/registry/tls/client.pem"));
        assert_eq!(client.names(), ["cn=client of tests"]);
        let server = of(include_str!("../../tests/registry/tls/server.pem"));
        assert_eq!(server.names(), ["cn=server of tests", "dns=localhost"]);
        assert_eq!(server.known(|name| name == "dns=localhost").names(), ["dns=localhost"]);
        assert_eq!(Identities::of(&CertificateDer::from(vec![1, 2, 3])), Identities::default());
    }
}
