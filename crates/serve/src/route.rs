//! From a request's path to what it addresses (distribution spec, "Endpoints").

use dhow_spec::Tag;
use dhow_spec::digest::{Digest, DigestError};

use crate::name::{RepositoryName, UploadId};
use crate::page::Address;
use crate::query::decode;

/// What a path addresses. Everything in it is parsed: nothing behind this point sees raw text of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/healthz`: whether the server is there.
    Health,
    /// `/readyz`: whether the server can work.
    Ready,
    /// `/metrics`: what it has done.
    Metrics,
    /// The web page.
    Page(Address),
    /// `/v2/`: whether this is a registry.
    Version,
    /// `/v2/_catalog`: the repositories.
    Catalog,
    /// `/v2/<name>/tags/list`.
    Tags(RepositoryName),
    /// `/v2/<name>/manifests/<tag or digest>`.
    Manifest(RepositoryName, ManifestName),
    /// `/v2/<name>/referrers/<digest>`.
    Referrers(RepositoryName, Digest),
    /// `/v2/<name>/blobs/<digest>`.
    Blob(RepositoryName, Digest),
    /// `/v2/<name>/blobs/uploads/`: where uploads begin.
    Uploads(RepositoryName),
    /// `/v2/<name>/blobs/uploads/<id>`: one upload.
    Upload(RepositoryName, UploadId),
}

/// How a request names a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestName {
    /// By content.
    Digest(Digest),
    /// By tag.
    Tag(Tag),
}

/// Why a path addresses nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No endpoint has this form.
    #[error("there is nothing at this address")]
    Unknown,
    /// The repository name is not one.
    #[error("invalid repository name {0:?}")]
    Name(String),
    /// Neither a tag nor a digest.
    #[error("invalid tag {0:?}")]
    Tag(String),
    /// The digest is not one.
    #[error("{error}: {text:?}")]
    Digest {
        /// What was given.
        text: String,
        /// What is wrong with it.
        error: DigestError,
    },
    /// No session can have this name.
    #[error("blob upload unknown to registry")]
    UploadId,
}

impl Route {
    /// What kind of thing it addresses, in a word.
    pub fn kind(&self) -> &'static str {
        match self {
            Route::Health | Route::Ready | Route::Metrics => "operations",
            Route::Page(_) => "page",
            Route::Version => "version",
            Route::Catalog => "catalog",
            Route::Tags(_) => "tags",
            Route::Manifest(..) => "manifest",
            Route::Referrers(..) => "referrers",
            Route::Blob(..) => "blob",
            Route::Uploads(_) | Route::Upload(..) => "upload",
        }
    }

    /// The repository that it is in, if it is in one. A page about one is none: it is not copied, nor offered under other names.
    pub fn repository(&self) -> Option<&RepositoryName> {
        match self {
            Route::Health | Route::Ready | Route::Metrics | Route::Version | Route::Catalog | Route::Page(_) => None,
            Route::Tags(name) | Route::Manifest(name, _) | Route::Referrers(name, _) => Some(name),
            Route::Blob(name, _) | Route::Uploads(name) | Route::Upload(name, _) => Some(name),
        }
    }

    /// The same of another repository, if it is of one.
    #[must_use]
    pub(crate) fn in_repository(mut self, repository: RepositoryName) -> Self {
        match &mut self {
            Route::Health | Route::Ready | Route::Metrics | Route::Version | Route::Catalog | Route::Page(_) => {}
            Route::Tags(name) | Route::Manifest(name, _) | Route::Referrers(name, _) => *name = repository,
            Route::Blob(name, _) | Route::Uploads(name) | Route::Upload(name, _) => *name = repository,
        }
        self
    }

    /// Reads the path of a request, without its query.
    ///
    /// Endpoints are told apart from the end of the path, since a repository may well be called `a/manifests/b`.
    pub fn parse(path: &str) -> Result<Self, RouteError> {
        match path {
            "/healthz" => return Ok(Route::Health),
            "/readyz" => return Ok(Route::Ready),
            "/metrics" => return Ok(Route::Metrics),
            "/v2" | "/v2/" => return Ok(Route::Version),
            "/v2/_catalog" => return Ok(Route::Catalog),
            _ if Address::is_below(path) => return Address::parse(path).map(Route::Page),
            _ => {}
        }
        let rest = path.strip_prefix("/v2/").ok_or(RouteError::Unknown)?;
        if let Some(name) = rest.strip_suffix("/blobs/uploads/").or_else(|| rest.strip_suffix("/blobs/uploads")) {
            return Ok(Route::Uploads(repository(name)?));
        }
        let (rest, last) = rest.rsplit_once('/').ok_or(RouteError::Unknown)?;
        if let Some(name) = rest.strip_suffix("/blobs/uploads") {
            let id = UploadId::parse(last).ok_or(RouteError::UploadId)?;
            return Ok(Route::Upload(repository(name)?, id));
        }
        let (name, endpoint) = rest.rsplit_once('/').ok_or(RouteError::Unknown)?;
        match (endpoint, last) {
            ("tags", "list") => Ok(Route::Tags(repository(name)?)),
            ("manifests", last) => Ok(Route::Manifest(repository(name)?, manifest_name(last)?)),
            ("blobs", last) => Ok(Route::Blob(repository(name)?, digest(last)?)),
            ("referrers", last) => Ok(Route::Referrers(repository(name)?, digest(last)?)),
            _ => Err(RouteError::Unknown),
        }
    }
}

pub(crate) fn repository(text: &str) -> Result<RepositoryName, RouteError> {
    RepositoryName::parse(text).ok_or_else(|| RouteError::Name(text.to_owned()))
}

pub(crate) fn manifest_name(text: &str) -> Result<ManifestName, RouteError> {
    let decoded = decode(text).map_err(|_| RouteError::Tag(text.to_owned()))?;
    if decoded.contains(':') {
        return digest(text).map(ManifestName::Digest);
    }
    Tag::parse(&decoded).map(ManifestName::Tag).map_err(|_| RouteError::Tag(decoded))
}

/// Some clients write the colon as `%3A`.
fn digest(text: &str) -> Result<Digest, RouteError> {
    let text = decode(text).unwrap_or_else(|_| text.to_owned());
    Digest::parse(&text).map_err(|error| RouteError::Digest { text, error })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> RepositoryName {
        RepositoryName::parse(text).expect("a repository name")
    }

    #[test]
    fn every_endpoint() {
        let digest = Digest::sha256(b"");
        let id = UploadId::from_random([7; 16]);
        let tag = ManifestName::Tag(Tag::parse("v1").expect("a tag"));
        for (path, expected) in [
            ("/v2/".to_owned(), Route::Version),
            ("/v2/a/b/tags/list".to_owned(), Route::Tags(name("a/b"))),
            ("/v2/a/manifests/v1".to_owned(), Route::Manifest(name("a"), tag)),
            (format!("/v2/a/manifests/{digest}"), Route::Manifest(name("a"), ManifestName::Digest(digest.clone()))),
            (format!("/v2/a/blobs/{digest}"), Route::Blob(name("a"), digest.clone())),
            (format!("/v2/a/blobs/{digest}").replace(':', "%3A"), Route::Blob(name("a"), digest.clone())),
            (format!("/v2/a/referrers/{digest}"), Route::Referrers(name("a"), digest.clone())),
            ("/v2/a/blobs/uploads/".to_owned(), Route::Uploads(name("a"))),
            ("/v2/a/blobs/uploads".to_owned(), Route::Uploads(name("a"))),
            (format!("/v2/a/blobs/uploads/{id}"), Route::Upload(name("a"), id)),
            (format!("/v2/a/manifests/blobs/{digest}"), Route::Blob(name("a/manifests"), digest)),
        ] {
            assert_eq!(Route::parse(&path), Ok(expected), "{path}");
        }
    }

    #[test]
    fn bad_names_never_become_routes() {
        for path in ["", "/", "/v1/", "/v2", "/v2/a", "/v2/a/tags", "/v2/a/tags/lists", "/v2//tags/list"] {
            assert!(!matches!(Route::parse(path), Ok(Route::Tags(_))), "{path}");
        }
        for (path, expected) in [
            ("/v2/../tags/list", RouteError::Name("..".to_owned())),
            ("/v2/a/../../b/tags/list", RouteError::Name("a/../../b".to_owned())),
            ("/v2/a%2Fb/tags/list", RouteError::Name("a%2Fb".to_owned())),
            ("/v2/a/manifests/..", RouteError::Tag("..".to_owned())),
            ("/v2/a/manifests/%2e%2e%2fx", RouteError::Tag("../x".to_owned())),
            ("/v2/a/blobs/uploads/../../x", RouteError::Unknown),
            ("/v2/a/blobs/uploads/..%2f..%2fx", RouteError::UploadId),
        ] {
            assert_eq!(Route::parse(path), Err(expected), "{path}");
        }
        for path in ["/v2/a/blobs/sha256:..%2f..%2fx", "/v2/a/manifests/sha256:abc", "/v2/a/referrers/md5:00"] {
            assert!(matches!(Route::parse(path), Err(RouteError::Digest { .. })), "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_read_without_panic(path in "(/v2/)?[a-z/.%:_-]{0,60}") {
            let _ = Route::parse(&path);
        }
    }
}
