//! The addresses of the pages. That of an image is its reference behind `/r/`, so that it can be read and guessed.

use crate::name::RepositoryName;
use crate::query::encode;
use crate::route::{ManifestName, RouteError, manifest_name, repository};

/// What a path of the web page addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `/`: the repositories.
    Home,
    /// `/login`: asks for a name and a password. At the root, since browsers send them to what lies beside and below.
    Login,
    /// `/style.css`.
    Style,
    /// `/icon.svg`.
    Icon,
    /// `/r/<name>`: the tags of a repository.
    Repository(RepositoryName),
    /// `/r/<name>:<tag>` or `/r/<name>@<digest>`: one image.
    Image(RepositoryName, ManifestName),
    /// `/delete/<name>:<tag>` or `/delete/<name>@<digest>`: asks, and deletes.
    Delete(RepositoryName, ManifestName),
}

impl Address {
    /// Whether a path is one of the web page's, be there something or not.
    pub fn is_below(path: &str) -> bool {
        matches!(path, "/" | "/login" | "/style.css" | "/icon.svg")
            || path.starts_with("/r/")
            || path.starts_with("/delete/")
    }

    /// Reads a path.
    ///
    /// # Errors
    /// [`RouteError`] when it is none of the web page's, or a name in it is none.
    pub fn parse(path: &str) -> Result<Self, RouteError> {
        match path {
            "/" => return Ok(Address::Home),
            "/login" => return Ok(Address::Login),
            "/style.css" => return Ok(Address::Style),
            "/icon.svg" => return Ok(Address::Icon),
            _ => {}
        }
        if let Some(reference) = path.strip_prefix("/r/") {
            return Ok(match image(reference)? {
                Some((repository, name)) => Address::Image(repository, name),
                None => Address::Repository(repository(reference.trim_end_matches('/'))?),
            });
        }
        let reference = path.strip_prefix("/delete/").ok_or(RouteError::Unknown)?;
        let (repository, name) = image(reference)?.ok_or(RouteError::Unknown)?;
        Ok(Address::Delete(repository, name))
    }

    /// The way there.
    pub(super) fn link(&self) -> Link {
        Link(match self {
            Address::Home => "/".to_owned(),
            Address::Login => "/login".to_owned(),
            Address::Style => "/style.css".to_owned(),
            Address::Icon => "/icon.svg".to_owned(),
            Address::Repository(repository) => format!("/r/{repository}"),
            Address::Image(repository, name) => format!("/r/{}", spelled(repository, name)),
            Address::Delete(repository, name) => format!("/delete/{}", spelled(repository, name)),
        })
    }
}

/// A name with its tag or digest. No name of a repository holds `:` or `@`.
fn image(reference: &str) -> Result<Option<(RepositoryName, ManifestName)>, RouteError> {
    let Some(end) = reference.find([':', '@']) else { return Ok(None) };
    let name = manifest_name(&reference[end + 1..])?;
    let is_digest = matches!(name, ManifestName::Digest(_));
    if is_digest != (reference.as_bytes()[end] == b'@') {
        return Err(RouteError::Unknown);
    }
    Ok(Some((repository(&reference[..end])?, name)))
}

/// The reference of an image, without the registry.
pub(super) fn spelled(repository: &RepositoryName, name: &ManifestName) -> String {
    match name {
        ManifestName::Tag(tag) => format!("{repository}:{tag}"),
        ManifestName::Digest(digest) => format!("{repository}@{digest}"),
    }
}

/// A path of this server, with its query. It is made here only, so that no text of a repository becomes an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link(String);

impl Link {
    /// The same path with these parameters; those that are empty are left out.
    pub(super) fn with(mut self, parameters: &[(&'static str, &str)]) -> Self {
        let mut separator = '?';
        for (key, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
            self.0.push(separator);
            self.0.push_str(key);
            self.0.push('=');
            self.0.push_str(&encode(value));
            separator = '&';
        }
        self
    }

    /// The manifest itself, as clients get it.
    pub(super) fn raw(repository: &RepositoryName, digest: &dhow_spec::Digest) -> Self {
        Self(format!("/v2/{repository}/manifests/{digest}"))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use dhow_spec::{Digest, Tag};
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> RepositoryName {
        RepositoryName::parse(text).expect("a repository name")
    }

    #[test]
    fn addresses_read_back() {
        let tag = ManifestName::Tag(Tag::parse("v1.2_x").expect("a tag"));
        let digest = ManifestName::Digest(Digest::sha256(b""));
        for address in [
            Address::Home,
            Address::Login,
            Address::Style,
            Address::Icon,
            Address::Repository(name("a/b")),
            Address::Image(name("a/r/delete"), tag.clone()),
            Address::Image(name("a"), digest.clone()),
            Address::Delete(name("a/b"), tag),
            Address::Delete(name("a"), digest),
        ] {
            let link = address.link();
            assert!(Address::is_below(link.as_str()), "{link:?}");
            assert_eq!(Address::parse(link.as_str()), Ok(address), "{link:?}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let digest = Digest::sha256(b"");
        for path in [
            "/r/".to_owned(),
            "/r/..".to_owned(),
            "/r/A".to_owned(),
            "/r/a:".to_owned(),
            "/r/a@v1".to_owned(),
            format!("/r/a:{digest}"),
            format!("/r/a:v1@{digest}"),
            "/r/a:%2e%2e%2f".to_owned(),
            "/r/<script>".to_owned(),
            "/delete/a".to_owned(),
            "/delete/".to_owned(),
            "/elsewhere".to_owned(),
        ] {
            assert!(Address::parse(&path).is_err(), "{path}");
        }
    }

    #[test]
    fn values_in_a_link_are_encoded() {
        let link = Address::Home.link().with(&[("q", "a&b=\"c\""), ("after", ""), ("n", "é")]);
        assert_eq!(link.as_str(), "/?q=a%26b%3D%22c%22&n=%C3%A9");
    }

    proptest! {
        #[test]
        fn any_path_is_read_without_panic(path in "(/r/|/delete/)?[a-z/.%:@_-]{0,60}") {
            if let Ok(address) = Address::parse(&path) {
                prop_assert!(Address::is_below(&path));
                prop_assert_eq!(Address::parse(address.link().as_str()), Ok(address));
            }
        }
    }
}
