//! The names of stored objects. They are made of parsed values only, so none can point outside the storage.

use dhow_spec::Tag;
use dhow_spec::digest::{Algorithm, Digest};

use crate::name::RepositoryName;

/// Where an object is kept, relative to the root of the storage.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(String);

/// The beginning that the keys of a list have in common, without the final `/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Prefix(String);

impl Key {
    /// The bytes of a blob, manifest or index, shared by all repositories.
    pub(crate) fn content(digest: &Digest) -> Self {
        Self(format!("blobs/{}/{}", digest.algorithm(), digest.hex()))
    }

    /// Empty: says that the repository has the blob.
    pub(crate) fn blob(repository: &RepositoryName, digest: &Digest) -> Self {
        Self(format!("repositories/{repository}/_blobs/{}/{}", digest.algorithm(), digest.hex()))
    }

    /// Holds a manifest's media type, and says that the repository has it.
    pub(crate) fn manifest(repository: &RepositoryName, digest: &Digest) -> Self {
        Self(format!("repositories/{repository}/_manifests/{}/{}", digest.algorithm(), digest.hex()))
    }

    /// Holds the digest that a tag stands for.
    pub(crate) fn tag(repository: &RepositoryName, tag: &Tag) -> Self {
        Self(format!("repositories/{repository}/_tags/{tag}"))
    }

    /// Holds the descriptor of `referrer`, a manifest whose subject is `subject`.
    pub(crate) fn referrer(repository: &RepositoryName, subject: &Digest, referrer: &Digest) -> Self {
        Prefix::referrers(repository, subject).key(referrer.as_str())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of the content that a repository is said to have by the file under this key, if it is one of those.
    pub(super) fn content_of_link(&self) -> Option<Self> {
        let below = |directory| self.0.split_once(directory).map(|(_, below)| Self(format!("blobs/{below}")));
        below("/_blobs/").or_else(|| below("/_manifests/"))
    }

    /// Whether it is content's.
    pub(super) fn is_content(&self) -> bool {
        self.0.starts_with("blobs/")
    }

    /// A key that was written down as text; nothing when it is none that could have been.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':');
        let is_component = |component: &str| !component.starts_with('.') && component.bytes().all(is_plain);
        let is_below = text.starts_with("blobs/") || text.starts_with("repositories/");
        let is_key = is_below && text.split('/').all(|component| !component.is_empty() && is_component(component));
        is_key.then(|| Self(text.to_owned()))
    }
}

impl Prefix {
    /// All tags of a repository.
    pub(crate) fn tags(repository: &RepositoryName) -> Self {
        Self(format!("repositories/{repository}/_tags"))
    }

    /// All blobs of a repository, by one algorithm.
    pub(crate) fn blobs(repository: &RepositoryName, algorithm: Algorithm) -> Self {
        Self(format!("repositories/{repository}/_blobs/{algorithm}"))
    }

    /// All manifests of a repository, by one algorithm.
    pub(crate) fn manifests(repository: &RepositoryName, algorithm: Algorithm) -> Self {
        Self(format!("repositories/{repository}/_manifests/{algorithm}"))
    }

    /// All manifests whose subject is `subject`.
    pub(crate) fn referrers(repository: &RepositoryName, subject: &Digest) -> Self {
        Self(format!("repositories/{repository}/_referrers/{}/{}", subject.algorithm(), subject.hex()))
    }

    /// What says that a repository was ever pushed to.
    pub(crate) fn repository(repository: &RepositoryName) -> Self {
        Self(format!("repositories/{repository}"))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn key(&self, name: &str) -> Key {
        Key(format!("{}/{name}", self.0))
    }
}
