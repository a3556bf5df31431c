//! Proxies: which requests go through one, by the rules of Go's `http.ProxyFromEnvironment`, which docker and podman have.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use dhow_base::secret::Secret;
use dhow_base::{Error, Kind, Result};
use reqwest::ClientBuilder;
use url::Url;

use crate::config::daemon::host_of;
use crate::config::network::Network;
use crate::host::without_userinfo;

/// Schemes of proxies. With SOCKS, names are looked up by the proxy, as Go does.
const SCHEMES: [&str; 4] = ["http", "https", "socks5", "socks5h"];

/// Which proxies requests go through; by default none.
#[derive(Clone, Default)]
pub struct Proxies {
    rules: Arc<Rules>,
}

#[derive(Default)]
struct Rules {
    http: Option<Url>,
    https: Option<Url>,
    except: Exceptions,
}

/// A proxy's address may hold a password, so it is not shown.
impl fmt::Debug for Proxies {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |url: &Option<Url>| url.as_ref().map(|url| without_userinfo(url.as_str()));
        let (http, https) = (shown(&self.rules.http), shown(&self.rules.https));
        formatter.debug_struct("Proxies").field("http", &http).field("https", &https).finish_non_exhaustive()
    }
}

impl Proxies {
    /// Takes the values of `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`.
    ///
    /// # Errors
    /// [`Kind::Invalid`] naming the variable when a proxy's address cannot be understood; the address is shown without what
    /// may be a password.
    pub fn new(http: Option<&Secret>, https: Option<&Secret>, except: &str) -> Result<Self> {
        let read = |name: &str, value: Option<&Secret>| value.map(|text| address(name, text.expose())).transpose();
        let (http, https) = (read("HTTP_PROXY", http)?, read("HTTPS_PROXY", https)?);
        Ok(Self { rules: Arc::new(Rules { http, https, except: Exceptions::parse(except) }) })
    }

    /// Has a client use them. Nothing is taken from the environment.
    pub(crate) fn apply(&self, builder: ClientBuilder) -> ClientBuilder {
        let builder = builder.no_proxy();
        if self.rules.http.is_none() && self.rules.https.is_none() {
            return builder;
        }
        let rules = Arc::clone(&self.rules);
        builder.proxy(reqwest::Proxy::custom(move |url| rules.proxy(url).cloned()))
    }

    /// The proxy that a request goes through, without what may be a password.
    pub(crate) fn shown_for(&self, url: &Url) -> Option<Url> {
        self.rules.proxy(url).and_then(|proxy| Url::parse(&without_userinfo(proxy.as_str())).ok())
    }
}

impl Rules {
    fn proxy(&self, url: &Url) -> Option<&Url> {
        let proxy = if url.scheme() == "https" { &self.https } else { &self.http };
        proxy.as_ref().filter(|_| !self.except.have(url))
    }
}

fn address(variable: &str, text: &str) -> Result<Url> {
    let refused = |why: &str| {
        let message = format!("{variable}: {:?} is no address of a proxy: {why}", without_userinfo(text));
        Error::new(Kind::Invalid, message)
            .with_hint("write it as http://host:port, https://host:port or socks5://host:port")
    };
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let mut url = Url::parse(&text).map_err(|error| refused(&error.to_string()))?;
    if !SCHEMES.contains(&url.scheme()) {
        return Err(refused("its scheme is unknown"));
    }
    if !url.has_host() || url.host_str().is_some_and(str::is_empty) {
        return Err(refused("it has no host"));
    }
    if url.scheme() == "socks5" {
        // Cannot fail: both are schemes of the same class.
        let _ = url.set_scheme("socks5h");
    }
    Ok(url)
}

/// `NO_PROXY`: what is reached without a proxy.
#[derive(Debug, Default)]
struct Exceptions {
    everything: bool,
    networks: Vec<Network>,
    addresses: Vec<(IpAddr, Option<String>)>,
    domains: Vec<Domain>,
}

#[derive(Debug)]
struct Domain {
    /// With a dot before it.
    suffix: String,
    /// Whether the domain itself is meant too.
    itself: bool,
    port: Option<String>,
}

impl Exceptions {
    fn parse(text: &str) -> Self {
        let mut all = Self::default();
        for item in text.split(',').map(|item| item.trim().to_ascii_lowercase()) {
            if item == "*" {
                return Self { everything: true, ..Self::default() };
            }
            if let Some(network) = Network::parse(&item) {
                all.networks.push(network);
                continue;
            }
            let (host, port) = host_and_port(&item);
            if let Ok(address) = host.parse::<IpAddr>() {
                all.addresses.push((address.to_canonical(), port));
                continue;
            }
            let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
            let domain = host.trim_start_matches('.');
            if !domain.is_empty() {
                all.domains.push(Domain { suffix: format!(".{domain}"), itself: !host.starts_with('.'), port });
            }
        }
        all
    }

    fn have(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return true };
        let host = host_of(host).trim_end_matches('.').to_ascii_lowercase();
        let port = url.port_or_known_default().unwrap_or_default().to_string();
        let fits = |wanted: &Option<String>| wanted.as_ref().is_none_or(|wanted| *wanted == port);
        let bare = url.host_str().map(|host| host.trim_start_matches('[').trim_end_matches(']'));
        if let Some(address) = bare.and_then(|host| host.parse::<IpAddr>().ok()).map(|address| address.to_canonical()) {
            return self.everything
                || address.is_loopback()
                || self.networks.iter().any(|network| network.contains(address))
                || self.addresses.iter().any(|(other, port)| *other == address && fits(port));
        }
        let names = |domain: &Domain| host.ends_with(&domain.suffix) || (domain.itself && host == domain.suffix[1..]);
        self.everything || host == "localhost" || self.domains.iter().any(|domain| names(domain) && fits(&domain.port))
    }
}

/// `host:port`, `[address]:port`, or a host alone.
fn host_and_port(item: &str) -> (&str, Option<String>) {
    if let Some((host, rest)) = item.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (host, rest.strip_prefix(':').map(str::to_owned));
    }
    match item.split_once(':') {
        // More colons are those of an IPv6 address.
        Some((host, port)) if !port.contains(':') => (host, Some(port.to_owned())),
        _ => (item, None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn proxies(http: &str, https: &str, except: &str) -> Proxies {
        let secret = |text: &str| Some(Secret::new(text)).filter(|secret| !secret.is_empty());
        Proxies::new(secret(http).as_ref(), secret(https).as_ref(), except).unwrap()
    }

    fn is_direct(except: &str, url: &str) -> bool {
        proxies("http://p.example:1", "http://p.example:2", except).shown_for(&Url::parse(url).unwrap()).is_none()
    }

    /// The table is that of Go's `http/httpproxy/proxy_test.go` in substance: what its rules say of the same inputs.
    #[test]
    fn what_needs_no_proxy() {
        for (except, url, expected) in [
            ("", "https://registry.example", false),
            ("", "https://localhost:5000", true),
            ("", "https://127.0.0.1", true),
            ("", "https://[::1]:5000", true),
            ("*", "https://registry.example", true),
            ("example", "https://registry.example", true),
            ("example.com", "https://example.com", true),
            ("example.com", "https://a.example.com:5000", true),
            ("example.com", "https://notexample.com", false),
            (".example.com", "https://example.com", false),
            (".example.com", "https://a.example.com", true),
            ("*.example.com", "https://a.example.com", true),
            ("*.example.com", "https://example.com", false),
            ("example.com:5000", "https://example.com:5000", true),
            ("example.com:5000", "https://example.com", false),
            ("example.com:443", "https://example.com", true),
            ("example.com:80", "http://example.com", true),
            (" EXAMPLE.com , x", "https://Example.COM", true),
            ("10.0.0.0/8", "https://10.1.2.3:5000", true),
            ("10.0.0.0/8", "https://11.1.2.3", false),
            ("10.1.2.3", "https://10.1.2.3:5000", true),
            ("10.1.2.3:5000", "https://10.1.2.3:5000", true),
            ("10.1.2.3:5000", "https://10.1.2.3", false),
            ("fd00::/8", "https://[fd12::1]", true),
            ("fd12::1", "https://[fd12::1]:5000", true),
            ("[fd12::1]:5000", "https://[fd12::1]:5000", true),
            ("[fd12::1]:5000", "https://[fd12::1]", false),
            (",:80,.", "https://registry.example", false),
        ] {
            assert_eq!(is_direct(except, url), expected, "NO_PROXY={except:?} {url}");
        }
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        let both = proxies("one.example:3128", "socks5://two.example", "");
        let shown = |url: &str| both.shown_for(&Url::parse(url).unwrap()).map(String::from);
        assert_eq!(shown("http://r.example").as_deref(), Some("http://one.example:3128/"));
        assert_eq!(shown("https://r.example").as_deref(), Some("socks5h://two.example"));
        assert_eq!(proxies("one.example", "", "").shown_for(&Url::parse("https://r.example").unwrap()), None);
    }

    #[test]
    fn passwords_are_not_shown() {
        let secret = Secret::new("http://bob:hunter2@p.example:3128");
        let proxies = Proxies::new(Some(&secret), Some(&secret), "").unwrap();
        assert!(!format!("{proxies:?}").contains("hunter2"), "{proxies:?}");
        assert_eq!(proxies.shown_for(&Url::parse("https://r").unwrap()).unwrap().as_str(), "http://p.example:3128/");
        for bad in ["ftp://bob:hunter2@p.example", "http://bob:hunter2@p:port", "bob:hunter2@", "http://bob:hunter2@"] {
            let error = Proxies::new(None, Some(&Secret::new(bad)), "").unwrap_err().to_string();
            assert!(error.starts_with("HTTPS_PROXY: ") && !error.contains("hunter2"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_list_of_exceptions(except in any::<String>(), host in "[a-z0-9.:\\[\\]-]{1,20}") {
            if let Ok(url) = Url::parse(&format!("https://{host}/")) {
                let rules = Exceptions::parse(&except);
                prop_assert_eq!(rules.have(&url), rules.have(&url));
            }
        }
    }
}
