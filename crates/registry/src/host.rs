//! What a host name says before anything is sent to it: where the API is, and which addresses may be led to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Where a registry's API answers. Docker Hub is known by one name and served under another.
pub(crate) fn api_authority(domain: &str) -> &str {
    match domain {
        "docker.io" | "index.docker.io" => "registry-1.docker.io",
        other => other,
    }
}

/// How far away an address literal is, as far as requests may be led there by somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// This machine.
    Loopback,
    /// A private network (RFC 1918, RFC 4193, RFC 6598).
    Private,
    /// A name, or a public address.
    Public,
    /// Link-local (cloud metadata services live there), multicast, unspecified: never a registry's peer.
    Never,
}

/// The reach of a URL's host. Names other than `localhost` count as public: what they resolve to is TLS's matter.
pub(crate) fn reach(url: &Url) -> Reach {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            if name == "localhost" || name.ends_with(".localhost") { Reach::Loopback } else { Reach::Public }
        }
        Some(Host::Ipv4(address)) => reach_v4(address),
        Some(Host::Ipv6(address)) => reach_v6(address),
        None => Reach::Never,
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    let [a, b, ..] = address.octets();
    match (a, b) {
        (127, _) => Reach::Loopback,
        (10, _) | (192, 168) => Reach::Private,
        (172, 16..=31) | (100, 64..=127) => Reach::Private,
        (0, _) | (169, 254) | (224..=255, _) => Reach::Never,
        _ => Reach::Public,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    // A mapped or compatible IPv4 address reaches what that IPv4 address reaches.
    if let Some(v4) = address.to_ipv4()
        && !address.is_loopback()
    {
        return reach_v4(v4);
    }
    let first = address.segments()[0];
    match first {
        _ if address.is_loopback() => Reach::Loopback,
        _ if address.is_unspecified() || address.is_multicast() => Reach::Never,
        _ if first & 0xffc0 == 0xfe80 => Reach::Never,
        _ if first & 0xfe00 == 0xfc00 => Reach::Private,
        _ => Reach::Public,
    }
}

/// Whether a registry may lead a request on to `target`: by a redirect, an upload location, or a token realm.
///
/// A hostile registry could otherwise make this client knock at services that only it can see (server-side request
/// forgery). A registry may lead to where it is itself, and outwards: from loopback to private to public.
pub(crate) fn may_lead(registry: &Url, target: &Url) -> bool {
    if registry.host() == target.host() {
        return true;
    }
    let there = reach(target);
    there != Reach::Never && reach(registry) <= there
}

/// Whether two URLs have the same scheme, host and port: the only case in which a credential for one may go to the other.
pub(crate) fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host() == other.host()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// A URL as it may be shown: without user information, query and fragment, since these can carry credentials.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Neither can fail for http and https, which always have a host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

/// A text that should be a URL, without what stands between the scheme and an `@`: it may hold a password.
pub(crate) fn without_userinfo(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let separator = if scheme.is_empty() { "" } else { "://" };
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}{separator}{rest}")
}

/// The `host:port` that Go's `dial tcp` errors name for an IP literal, brackets included.
pub(crate) fn literal_address(url: &Url) -> Option<String> {
    let port = url.port_or_known_default()?;
    let address: IpAddr = match url.host()? {
        Host::Ipv4(address) => address.into(),
        Host::Ipv6(address) => address.into(),
        Host::Domain(_) => return None,
    };
    Some(std::net::SocketAddr::new(address, port).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn reach_of_addresses() {
        for (text, expected) in [
            ("http://localhost:5000", Reach::Loopback),
            ("http://LOCALHOST.", Reach::Loopback),
            ("http://x.localhost", Reach::Loopback),
            ("http://127.8.9.1", Reach::Loopback),
            ("http://2130706433", Reach::Loopback),
            ("http://0x7f.1", Reach::Loopback),
            ("http://[::1]:5000", Reach::Loopback),
            ("http://[::ffff:127.0.0.1]", Reach::Loopback),
            ("http://10.0.0.1", Reach::Private),
            ("http://172.31.0.1", Reach::Private),
            ("http://192.168.1.1", Reach::Private),
            ("http://[fd00::1]", Reach::Private),
            ("http://169.254.169.254", Reach::Never),
            ("http://[::ffff:169.254.169.254]", Reach::Never),
            ("http://[fe80::1]", Reach::Never),
            ("http://0.0.0.0", Reach::Never),
            ("http://[::]", Reach::Never),
            ("http://255.255.255.255", Reach::Never),
            ("http://8.8.8.8", Reach::Public),
            ("http://localhost.example.com", Reach::Public),
        ] {
            assert_eq!(reach(&url(text)), expected, "{text}");
        }
    }

    #[test]
    fn a_registry_leads_outwards_only() {
        let (public, private, local) =
            (url("https://r.example"), url("https://10.0.0.2"), url("http://localhost:5000"));
        assert!(may_lead(&public, &url("https://cdn.example")));
        assert!(!may_lead(&public, &private));
        assert!(!may_lead(&public, &local));
        assert!(!may_lead(&local, &url("http://169.254.169.254/latest")));
        assert!(may_lead(&private, &url("https://10.0.0.3")));
        assert!(may_lead(&local, &url("http://127.0.0.1:5001")));
        assert!(may_lead(&local, &public));
        assert!(!may_lead(&private, &local));
    }

    #[test]
    fn shown_urls_carry_no_secret() {
        let shown = shown(&url("https://user:hunter2@s3.example/b/c?X-Amz-Signature=abc#frag"));
        assert_eq!(shown, "https://s3.example/b/c");
    }

    #[test]
    fn origin_is_scheme_host_and_port() {
        assert!(same_origin(&url("https://a/x"), &url("https://a:443/y")));
        assert!(!same_origin(&url("https://a"), &url("http://a")));
        assert!(!same_origin(&url("https://a"), &url("https://b.a")));
        assert!(!same_origin(&url("https://a"), &url("https://a:444")));
    }
}
