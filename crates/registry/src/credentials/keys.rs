//! What registries, and namespaces of them, are called in files of credentials.

/// The key under which docker keeps Docker Hub's credential.
pub const HUB_KEY: &str = "https://index.docker.io/v1/";

/// Names that all mean Docker Hub; the first is the one that references have.
const HUB_HOSTS: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// Whose habits a file of credentials follows. All files have one format and differ in what their keys may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `config.json`: a key is a registry, and Docker Hub's is [`HUB_KEY`].
    Docker,
    /// `auth.json` of podman, skopeo and buildah: a key may be a namespace, and Docker Hub is `docker.io`.
    Containers,
}

impl Dialect {
    /// The key that a login to `server` is kept under; `server` is what the user typed, or any key.
    pub fn key(self, server: &str) -> String {
        match self {
            Dialect::Docker if domain(server) == HUB_HOSTS[0] => HUB_KEY.to_owned(),
            Dialect::Docker => domain(server),
            Dialect::Containers => subject(server),
        }
    }
}

/// The name that references have for the registry which a key stands for.
pub fn domain(key: &str) -> String {
    let host = hostname(key);
    if HUB_HOSTS.contains(&host) { HUB_HOSTS[0].to_owned() } else { host.to_owned() }
}

/// What a key stands for: a registry (`docker.io`, `localhost:5000`), or a namespace (`quay.io/acme`).
///
/// Behind a scheme, a path is that of the registry's API (`https://index.docker.io/v1/`), as old tools wrote it.
pub(super) fn subject(key: &str) -> String {
    let bare = without_scheme(key);
    let path = bare.split_once('/').map_or("", |(_, path)| path).trim_matches('/');
    let is_registry = bare.len() < key.len() || matches!(path, "" | "v1" | "v2");
    if is_registry { domain(key) } else { format!("{}/{path}", domain(key)) }
}

/// An account and all that contain it, the most specific first: `quay.io/acme/app`, `quay.io/acme`, `quay.io`.
pub(super) fn containing(account: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(account), |inner| inner.rsplit_once('/').map(|(outer, _)| outer))
}

/// A key without scheme and path, as docker compares keys.
pub fn hostname(key: &str) -> &str {
    let bare = without_scheme(key);
    bare.split('/').next().unwrap_or(bare)
}

fn without_scheme(key: &str) -> &str {
    key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key)
}

/// Every key that may name the registry of `host`: docker's, the bare host, and the host behind either scheme.
pub(super) fn spellings(host: &str) -> Vec<String> {
    let domain = domain(host);
    let hosts = if domain == HUB_HOSTS[0] { HUB_HOSTS.to_vec() } else { vec![domain.as_str()] };
    let mut keys = vec![Dialect::Docker.key(host)];
    for host in hosts {
        keys.extend([host.to_owned(), format!("http://{host}"), format!("https://{host}")]);
    }
    let mut seen = std::collections::HashSet::new();
    keys.retain(|key| seen.insert(key.clone()));
    keys
}

/// Whether `pattern` (`*.dkr.ecr.*.amazonaws.com`) stands for `host`. A `*` stands for any characters of one label, never
/// for a dot, and nothing is left over on either side: what looks like a registry's name inside another name is not it.
pub(super) fn matches(pattern: &str, host: &str) -> bool {
    let labels = |name: &str| name.split('.').count();
    labels(pattern) == labels(host)
        && pattern.split('.').zip(host.split('.')).all(|(pattern, label)| label_matches(pattern, label))
}

fn label_matches(pattern: &str, label: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == label };
    let Some(label) = label.strip_prefix(start) else { return false };
    // The shortest stretch for each star leaves the most to the stars behind it.
    (0..=label.len()).filter(|&index| label.is_char_boundary(index)).any(|index| label_matches(rest, &label[index..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_of_both_dialects() {
        for (server, docker, containers) in [
            ("docker.io", HUB_KEY, "docker.io"),
            (HUB_KEY, HUB_KEY, "docker.io"),
            ("registry-1.docker.io", HUB_KEY, "docker.io"),
            ("docker.io/acme", HUB_KEY, "docker.io/acme"),
            ("http://127.0.0.1:5000/v2/", "127.0.0.1:5000", "127.0.0.1:5000"),
            ("127.0.0.1:5000/v2/", "127.0.0.1:5000", "127.0.0.1:5000"),
            ("ghcr.io", "ghcr.io", "ghcr.io"),
            ("ghcr.io/acme/app/", "ghcr.io", "ghcr.io/acme/app"),
        ] {
            assert_eq!(Dialect::Docker.key(server), docker, "{server}");
            assert_eq!(Dialect::Containers.key(server), containers, "{server}");
        }
    }

    proptest! {
        #[test]
        fn a_key_is_its_own_key(server in "(https?://)?[a-z.:/1v]{0,20}") {
            for dialect in [Dialect::Docker, Dialect::Containers] {
                let key = dialect.key(&server);
                prop_assert_eq!(dialect.key(&key), key.as_str());
                prop_assert_eq!(domain(&key), domain(&server), "a key is of the same registry");
            }
        }
    }

    #[test]
    fn accounts_lie_in_each_other() {
        let all: Vec<&str> = containing("quay.io/acme/app").collect();
        assert_eq!(all, ["quay.io/acme/app", "quay.io/acme", "quay.io"]);
    }

    #[test]
    fn stars_stay_in_their_label() {
        for (pattern, host, expected) in [
            ("*.dkr.ecr.*.amazonaws.com", "1234.dkr.ecr.eu-west-1.amazonaws.com", true),
            ("*.azurecr.io", "acme.azurecr.io", true),
            ("*-docker.pkg.dev", "europe-docker.pkg.dev", true),
            ("r*y*.example", "registry.example", true),
            ("*.azurecr.io", "evil.azurecr.io.attacker.com", false),
            ("*.azurecr.io", "azurecr.io", false),
            ("*.azurecr.io", "a.b.azurecr.io", false),
            ("*.azurecr.io", "acme.azurecr.io:444", false),
            ("r*yx.example", "registry.example", false),
            ("*", "localhost", true),
        ] {
            assert_eq!(matches(pattern, host), expected, "{pattern} {host}");
        }
    }
}
