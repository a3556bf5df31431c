//! What docker's daemon is told of registries: `registry-mirrors` and `insecure-registries` of `daemon.json`.

use std::net::{IpAddr, ToSocketAddrs};

use dhow_base::Result;
use serde::Deserialize;
use url::Url;

use super::invalid;
use super::network::Network;

/// The settings of `daemon.json` that are about registries.
#[derive(Clone, Debug, Default)]
pub struct Daemon {
    /// Mirrors of Docker Hub, in the order they are asked.
    pub(super) mirrors: Vec<Url>,
    insecure_hosts: Vec<String>,
    insecure_networks: Vec<Network>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct Raw {
    registry_mirrors: Vec<String>,
    insecure_registries: Vec<String>,
}

impl Daemon {
    /// Parses `daemon.json`; what is not about registries is passed over.
    ///
    /// # Errors
    /// [`dhow_base::Kind::Invalid`] in docker's words where it has some.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let text = if bytes.iter().all(u8::is_ascii_whitespace) { b"{}" } else { bytes };
        let raw: Raw = serde_json::from_slice(text).map_err(|error| invalid(error.to_string()))?;
        let mut all = Self {
            mirrors: raw.registry_mirrors.iter().map(|text| mirror(text)).collect::<Result<_>>()?,
            ..Self::default()
        };
        for text in &raw.insecure_registries {
            // As docker, which takes a scheme away with a warning.
            let name = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).unwrap_or(text);
            match Network::parse(name) {
                Some(network) => all.insecure_networks.push(network),
                None if name.is_empty() || name.contains('/') => {
                    return Err(invalid(format!("insecure registry {text} is not valid: invalid host {name:?}")));
                }
                None => all.insecure_hosts.push(name.to_ascii_lowercase()),
            }
        }
        Ok(all)
    }

    /// Whether a registry (`host[:port]`) need not prove who it is. Where networks are named, names of hosts are looked
    /// up, as docker does.
    pub(super) fn is_insecure(&self, authority: &str) -> bool {
        let authority = authority.to_ascii_lowercase();
        if self.insecure_hosts.contains(&authority) {
            return true;
        }
        !self.insecure_networks.is_empty()
            && addresses(&authority)
                .iter()
                .any(|address| self.insecure_networks.iter().any(|network| network.contains(*address)))
    }
}

fn addresses(authority: &str) -> Vec<IpAddr> {
    let host = host_of(authority);
    match host.parse() {
        Ok(address) => vec![address],
        Err(_) => {
            let found = (host, 0).to_socket_addrs().map(|found| found.map(|socket| socket.ip()).collect());
            found.unwrap_or_default()
        }
    }
}

/// The host of `host[:port]`, without the brackets of an IPv6 address.
pub(crate) fn host_of(authority: &str) -> &str {
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None => authority.split(':').next().unwrap_or(authority),
    }
}

/// A mirror: scheme, host and port, and nothing else, as docker's daemon checks it.
fn mirror(text: &str) -> Result<Url> {
    let refused = |why: String| invalid(format!("invalid mirror: {why}"));
    let shown = crate::host::without_userinfo(text);
    let url = Url::parse(text).map_err(|_| refused(format!("{shown:?} is not a valid URI")))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(refused(format!("unsupported scheme {:?} in {shown:?}", url.scheme())));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refused(format!("query or fragment at end of the URI {shown:?}")));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused(format!("username/password not allowed in URI {shown:?}")));
    }
    if !matches!(url.path(), "" | "/") {
        return Err(refused(format!("path at end of the URI {shown:?}")));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Daemon::parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_about_registries_is_read() {
        let text = r#"{"debug": true, "registry-mirrors": ["https://mirror.example", "http://10.0.0.5:5000/"],
                       "insecure-registries": ["Lab.example:5000", "10.0.0.0/8", "http://old.example"]}"#;
        let daemon = Daemon::parse(text.as_bytes()).unwrap();
        let mirrors: Vec<&str> = daemon.mirrors.iter().map(Url::as_str).collect();
        assert_eq!(mirrors, ["https://mirror.example/", "http://10.0.0.5:5000/"]);
        for (authority, expected) in [
            ("lab.example:5000", true),
            ("lab.example", false),
            ("old.example", true),
            ("10.1.2.3:443", true),
            ("11.1.2.3:443", false),
            ("[::ffff:10.0.0.1]:5000", true),
        ] {
            assert_eq!(daemon.is_insecure(authority), expected, "{authority}");
        }
        assert!(Daemon::parse(b"").unwrap().mirrors.is_empty());
    }

    #[test]
    fn mistakes_are_docker_s() {
        let mirror = |url: &str| error(&format!(r#"{{"registry-mirrors": ["{url}"]}}"#));
        assert_eq!(mirror("ftp://m.example"), "invalid mirror: unsupported scheme \"ftp\" in \"ftp://m.example\"");
        assert_eq!(
            mirror("https://m.example/path"),
            "invalid mirror: path at end of the URI \"https://m.example/path\""
        );
        assert_eq!(
            mirror("https://m.example/?q"),
            "invalid mirror: query or fragment at end of the URI \"https://m.example/?q\""
        );
        let secret = mirror("https://user:hunter2@m.example");
        assert_eq!(secret, "invalid mirror: username/password not allowed in URI \"https://m.example\"");
        assert!(
            error(r#"{"insecure-registries": ["10.0.0.0/64"]}"#).contains("insecure registry 10.0.0.0/64 is not valid")
        );
        assert!(error("{").contains("EOF"), "{}", error("{"));
    }
}
