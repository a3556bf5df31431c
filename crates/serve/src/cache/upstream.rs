//! What a cache asks of the registries that it stands for. The way to them is the program's, with its credentials.

use std::fmt::Debug;
use std::pin::Pin;

use bytes::Bytes;
use dhow_base::Result;
use dhow_spec::{Descriptor, Digest, Repository, Tag};
use futures::Stream;

/// An answer that is still to come.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Bytes of a blob as they arrive.
pub type Arriving = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// A manifest or index as its registry keeps it.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Its digest, which the cache proves once more.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Reads from other registries. `None` everywhere stands for what is not there; [`dhow_base::Kind`] tells failures apart:
/// only what [is transient](dhow_base::Kind::is_transient) lets the cache serve what it has.
pub trait Upstream: Debug + Send + Sync {
    /// What a tag stands for now; asked so that no rate limit counts it, where that can be.
    fn resolve<'a>(&'a self, repository: &'a Repository, tag: &'a Tag) -> Reply<'a, Option<Digest>>;

    /// The manifest or index of a digest.
    fn document<'a>(&'a self, repository: &'a Repository, digest: &'a Digest) -> Reply<'a, Option<Fetched>>;

    /// Whether the repository has a manifest or index.
    fn has_document<'a>(&'a self, repository: &'a Repository, digest: &'a Digest) -> Reply<'a, bool>;

    /// The length of a blob in bytes. Of one whose length is not said, 0.
    fn blob_size<'a>(&'a self, repository: &'a Repository, digest: &'a Digest) -> Reply<'a, Option<u64>>;

    /// A whole blob, with its length in bytes where that is said.
    fn blob<'a>(&'a self, repository: &'a Repository, digest: &'a Digest)
    -> Reply<'a, Option<(Option<u64>, Arriving)>>;

    /// The rest of a blob of `size` bytes, from a byte on.
    fn rest<'a>(&'a self, repository: &'a Repository, digest: &'a Digest, size: u64, from: u64) -> Reply<'a, Arriving>;

    /// All tags.
    fn tags<'a>(&'a self, repository: &'a Repository) -> Reply<'a, Option<Vec<String>>>;

    /// What refers to a manifest.
    fn referrers<'a>(
        &'a self,
        repository: &'a Repository,
        subject: &'a Digest,
        artifact_type: Option<&'a str>,
    ) -> Reply<'a, Vec<Descriptor>>;
}
