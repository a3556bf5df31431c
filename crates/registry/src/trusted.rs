//! Which token services may see what somebody has of a registry.
//!
//! A registry is free to name any token service. Where it is the registry that lies, nothing is lost that it did not have
//! already; but challenges also come from what stands between (a mirror that passes them on, a proxy, a redirect), and a
//! password is good for months. So it goes to the registry's own domain, and elsewhere only when somebody said so
//! (CVE-2026-48978, CVE-2026-33540).

use url::{Host, Url};

use crate::host::{Reach, reach};

/// Token services that do not show by their names whose they are: the registry's host, or (from a dot on) the end of one; the
/// service's host; who says so.
const KNOWN: &[(&str, &str, &str)] = &[
    ("registry.hub.docker.com", "auth.docker.io", "what the registry itself answers: an older name of Docker Hub"),
    (".scw.cloud", "api.scaleway.com", "what the registry itself answers: Scaleway's registries"),
];

/// Whether `service` may see credentials of the registry at `registry`. `allowed` are hosts that the user trusts with those of
/// any registry.
///
/// Without a list of public suffixes, "own domain" is the registry's host, what is below it, and everything below its parent
/// domain if that is no top-level domain: `registry.example.com` may lead to `auth.example.com`, `example.com` to
/// `auth.example.com` but not to `auth.com`.
pub(crate) fn may_see(registry: &str, service: &Url, allowed: &[String]) -> bool {
    let Some(host) = service.host_str() else { return false };
    let (registry, host) = (trimmed(registry), trimmed(host));
    if registry == host || allowed.iter().any(|other| trimmed(other) == host) {
        return true;
    }
    let Ok(at) = Url::parse(&format!("https://{registry}/")) else { return false };
    match at.host() {
        // What is local has no domain to tell by; `may_lead` has seen to where it leads.
        _ if reach(&at) != Reach::Public => true,
        Some(Host::Domain(name)) if !name.contains('.') => true,
        Some(Host::Domain(_)) => {
            is_below(&host, &registry) || shares_parent(&registry, &host) || is_known(&registry, &host)
        }
        _ => false,
    }
}

fn trimmed(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

fn shares_parent(registry: &str, host: &str) -> bool {
    let parent = registry.split_once('.').map(|(_, parent)| parent).filter(|parent| parent.contains('.'));
    parent.is_some_and(|parent| host == parent || is_below(host, parent))
}

fn is_known(registry: &str, host: &str) -> bool {
    KNOWN.iter().any(|(of, service, _)| {
        let fits = if of.starts_with('.') { registry.ends_with(of) } else { registry == *of };
        fits && host == *service
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_stay_in_the_domain() {
        for (registry, service, expected) in [
            ("quay.io", "https://quay.io/v2/auth", true),
            ("registry-1.docker.io", "https://auth.docker.io/token", true),
            ("registry.hub.docker.com", "https://auth.docker.io/token", true),
            ("registry.gitlab.com", "https://gitlab.com/jwt/auth", true),
            ("docker.elastic.co", "https://docker-auth.elastic.co/auth", true),
            ("registry.digitalocean.com", "https://api.digitalocean.com/v2/registry/auth", true),
            ("rg.fr-par.scw.cloud", "https://api.scaleway.com/token", true),
            ("example.com", "https://auth.example.com/", true),
            ("Registry.Example.com", "https://AUTH.example.com./", true),
            ("registry", "https://auth.corp.example/", true),
            ("10.0.0.2", "https://auth.corp.example/", true),
            ("localhost", "https://auth.example.com/", true),
            ("quay.io", "https://auth.io/", false),
            ("quay.io", "https://evilquay.io/", false),
            ("quay.io", "https://quay.io.attacker.example/", false),
            ("registry.example.com", "https://attacker.com/", false),
            ("registry.example.com", "https://evilexample.com/", false),
            ("contoso.azurecr.io", "https://contoso.azurecr.io.attacker.example/oauth2/token", false),
            ("rg.fr-par.scw.cloud", "https://api.scaleway.com.attacker.example/", false),
            ("8.8.8.8", "https://auth.example.com/", false),
        ] {
            assert_eq!(may_see(registry, &Url::parse(service).expect("a URL"), &[]), expected, "{registry} {service}");
        }
        let allowed = ["sso.corp.example".to_owned()];
        let service = Url::parse("https://sso.corp.example/token").expect("a URL");
        assert!(may_see("registry.example.com", &service, &allowed) && !may_see("registry.example.com", &service, &[]));
    }
}
