//! Which repositories are copies, and of what.

use dhow_base::{Error, Kind, Result};
use dhow_spec::Repository;

use crate::configuration::{CacheSection, UpstreamSection};
use crate::failure::{Code, Failure, Outcome};
use crate::name::RepositoryName;

/// A repository that is a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copied {
    /// What it is called here, whichever way it was asked for: rules and logs know this name.
    pub(crate) name: RepositoryName,
    /// What it was asked for as.
    pub(crate) asked: RepositoryName,
    /// Where the original is.
    pub(crate) original: Repository,
    /// The registry as it is configured.
    pub(crate) registry: String,
}

/// The upstreams by their names.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    upstreams: Vec<UpstreamSection>,
    default: Option<String>,
}

impl Names {
    /// Looks through the configuration.
    ///
    /// # Errors
    /// [`Kind::Invalid`] that names what cannot be.
    pub(crate) fn new(section: &CacheSection) -> Result<Self> {
        let invalid = |message: String| Error::new(Kind::Invalid, message);
        for (index, upstream) in section.upstreams.iter().enumerate() {
            let UpstreamSection { name, registry } = upstream;
            if RepositoryName::parse(name).is_none() {
                let hint = "write the beginning of repository names, such as hub";
                return Err(invalid(format!("cache.upstreams: {name:?} cannot be a name")).with_hint(hint));
            }
            if Repository::parse(&format!("{registry}/x")).map(|parsed| parsed.domain() != registry).unwrap_or(true) {
                let hint = "write it as image names have it, such as docker.io or registry.example.org:5000";
                return Err(invalid(format!("cache.upstreams: {registry:?} is no registry")).with_hint(hint));
            }
            if section.upstreams[..index].iter().any(|earlier| earlier.name == *name) {
                return Err(invalid(format!("cache.upstreams: the name {name:?} is there twice")));
            }
        }
        if let Some(default) = &section.default
            && section.upstreams.iter().all(|upstream| upstream.name != *default)
        {
            return Err(invalid(format!("cache.default: there is no upstream called {default:?}")));
        }
        Ok(Self { upstreams: section.upstreams.clone(), default: section.default.clone() })
    }

    /// What a repository is a copy of, if it is one. `namespace` is the registry that the client means, which it says in
    /// the parameter `ns` (distribution spec, "Registry Proxying").
    ///
    /// # Errors
    /// 404 for a registry that is not an upstream: whoever means it must not get something of another.
    pub(crate) fn find(&self, repository: &RepositoryName, namespace: Option<&str>) -> Outcome<Option<Copied>> {
        if let Some(namespace) = namespace {
            let host = canonical(namespace);
            let upstream = self.upstreams.iter().find(|upstream| upstream.registry == host).ok_or_else(|| {
                Failure::missing(Code::NameUnknown, format!("this registry keeps no copies of {namespace:?}"))
            })?;
            return copied(upstream, repository.as_str(), repository).map(Some);
        }
        let below = |upstream: &&UpstreamSection| rest(repository.as_str(), &upstream.name).is_some();
        // The longest, when one name lies below another.
        let named = self.upstreams.iter().filter(below).max_by_key(|upstream| upstream.name.len());
        if let Some(upstream) = named {
            let path = rest(repository.as_str(), &upstream.name).unwrap_or_default();
            return copied(upstream, path, repository).map(Some);
        }
        let default = self.upstreams.iter().find(|upstream| Some(&upstream.name) == self.default.as_ref());
        default.map(|upstream| copied(upstream, repository.as_str(), repository)).transpose()
    }
}

/// What a repository is called as a copy, and what its original is called, if a server with this configuration would take it
/// for one.
///
/// # Errors
/// [`Kind::Invalid`] when the configuration cannot be.
pub fn copy_of(
    section: &CacheSection,
    repository: &RepositoryName,
    namespace: Option<&str>,
) -> Result<Option<(String, String)>> {
    let found = Names::new(section)?.find(repository, namespace).ok().flatten();
    Ok(found.map(|copied| (copied.name.to_string(), copied.original.name().to_owned())))
}

fn copied(upstream: &UpstreamSection, path: &str, asked: &RepositoryName) -> Outcome<Copied> {
    let UpstreamSection { name, registry } = upstream;
    let full = RepositoryName::parse(&format!("{name}/{path}"));
    let original = Repository::parse(&format!("{registry}/{path}")).ok();
    match (full, original) {
        (Some(name), Some(original)) => Ok(Copied { name, asked: asked.clone(), original, registry: registry.clone() }),
        _ => Err(Failure::bad(Code::NameInvalid, format!("no repository of {registry} can be called {path:?}"))),
    }
}

fn rest<'a>(repository: &'a str, name: &str) -> Option<&'a str> {
    repository.strip_prefix(name)?.strip_prefix('/')
}

/// Docker Hub has three names.
fn canonical(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    match host.as_str() {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(upstreams: &[(&str, &str)], default: Option<&str>) -> CacheSection {
        let upstream = |(name, registry): &(&str, &str)| UpstreamSection {
            name: (*name).to_owned(),
            registry: (*registry).to_owned(),
        };
        let upstreams = upstreams.iter().map(upstream).collect();
        CacheSection { upstreams, default: default.map(str::to_owned), ..CacheSection::default() }
    }

    #[test]
    fn names_by_prefix_by_namespace_and_by_default() {
        let upstreams = [("hub", "docker.io"), ("hub/quay", "quay.io"), ("local", "localhost:5000")];
        let (with, without) = (section(&upstreams, Some("hub")), section(&upstreams, None));
        let find = |section: &CacheSection, repository: &str, namespace| {
            let names = Names::new(section).expect("names");
            let name = RepositoryName::parse(repository).expect("a name");
            let found = names.find(&name, namespace).map_err(|failure| failure.code().as_str())?;
            Ok(found.map(|copied| (copied.name.to_string(), copied.original.name().to_owned())))
        };
        let pair = |name: &str, original: &str| Ok(Some((name.to_owned(), original.to_owned())));
        for (repository, namespace, expected) in [
            ("hub/library/alpine", None, pair("hub/library/alpine", "docker.io/library/alpine")),
            ("hub/quay/team/app", None, pair("hub/quay/team/app", "quay.io/team/app")),
            ("local/team/app", None, pair("local/team/app", "localhost:5000/team/app")),
            ("library/alpine", Some("docker.io"), pair("hub/library/alpine", "docker.io/library/alpine")),
            ("library/alpine", Some("Registry-1.docker.io"), pair("hub/library/alpine", "docker.io/library/alpine")),
            ("hub/x", Some("quay.io"), pair("hub/quay/hub/x", "quay.io/hub/x")),
            ("library/alpine", Some("ghcr.io"), Err("NAME_UNKNOWN")),
            ("library/alpine", Some(""), Err("NAME_UNKNOWN")),
            ("library/alpine", None, pair("hub/library/alpine", "docker.io/library/alpine")),
            ("hub", None, pair("hub/hub", "docker.io/library/hub")),
        ] {
            assert_eq!(find(&with, repository, namespace), expected, "{repository} {namespace:?}");
        }
        assert_eq!(find(&without, "library/alpine", None), Ok(None));
        assert_eq!(find(&without, "hubs/alpine", None), Ok(None));
        assert_eq!(find(&without, "hub", None), Ok(None));
    }

    #[test]
    fn slips_are_named() {
        for (upstreams, default, named) in [
            (&[("Hub", "docker.io")][..], None, "\"Hub\" cannot be a name"),
            (&[("hub", "https://docker.io")], None, "\"https://docker.io\" is no registry"),
            (&[("hub", "docker")], None, "\"docker\" is no registry"),
            (&[("hub", "")], None, "\"\" is no registry"),
            (&[("hub", "docker.io"), ("hub", "quay.io")], None, "\"hub\" is there twice"),
            (&[("hub", "docker.io")], Some("docker.io"), "no upstream called \"docker.io\""),
        ] {
            let error = Names::new(&section(upstreams, default)).expect_err(named).to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
