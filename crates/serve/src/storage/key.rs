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
