//! Where the registry keeps its content: objects under keys, and uploads that grow until they become one.
//!
//! The key scheme (`docs/formats/registry.md`) is the same for every backend; a backend knows nothing of manifests.

mod directories;
mod files;
pub(crate) mod folder;
mod journal;
mod key;
mod object;
mod pin;
mod recent;
mod upload;

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use dhow_base::Result;
use dhow_spec::digest::{Algorithm, Digest};
use serde::{Deserialize, Serialize};

use crate::name::{RepositoryName, UploadId};

pub(crate) use folder::Folder;
pub(crate) use key::{Key, Prefix};
pub(crate) use object::{Content, Object};
pub(crate) use pin::{Pin, Sweeping};

/// A place that keeps objects.
pub(crate) trait Storage: Send + Sync + Sized + 'static {
    /// A blob on its way in.
    type Upload: Upload;

    /// What [`Storage::pin`] gives.
    type Pin: Send;

    /// Whether the storage is there and is the registry's.
    fn check(&self) -> impl Future<Output = Result<()>> + Send;

    /// The length of an object in bytes; nothing when it is not there.
    fn size(&self, key: &Key) -> impl Future<Output = Result<Option<u64>>> + Send;

    /// Keeps everything from being collected until what is returned is dropped. Whoever makes content needed that is there
    /// already holds it from the look whether it is there until that is written down. It is not to be taken twice.
    fn pin(&self) -> impl Future<Output = Result<Self::Pin>> + Send;

    /// Makes an object young, so that it is not collected for lack of a reference that is only being made.
    fn touch(&self, key: &Key) -> impl Future<Output = Result<bool>> + Send;

    /// A whole object of at most `bytes_max` bytes.
    fn get(&self, key: &Key, bytes_max: u64) -> impl Future<Output = Result<Option<Bytes>>> + Send;

    /// An object to be streamed.
    fn open(&self, key: &Key) -> impl Future<Output = Result<Option<Object>>> + Send;

    /// As [`Storage::open`], for an object that is likely to be asked for again soon: it may be kept in memory.
    fn open_again(&self, key: &Key) -> impl Future<Output = Result<Option<Object>>> + Send;

    /// Writes objects, each in one step. They are durable when this returns, and none becomes visible before those
    /// that stand before it are durable.
    fn put(&self, objects: Vec<(Key, Bytes)>) -> impl Future<Output = Result<()>> + Send;

    /// Deletes objects, in order and durably. Returns whether the last of them was there.
    fn delete(&self, keys: Vec<Key>) -> impl Future<Output = Result<bool>> + Send;

    /// The names directly below `prefix` that sort behind `after`, in byte order, at most `limit` of them; nothing
    /// when nothing was ever put below it.
    fn list(
        &self,
        prefix: &Prefix,
        after: Option<&str>,
        limit: usize,
    ) -> impl Future<Output = Result<Option<Page>>> + Send;

    /// The repositories that hold a manifest, as [`Storage::list`] does names.
    fn repositories(&self, after: Option<&str>, limit: usize) -> impl Future<Output = Result<Page>> + Send;

    /// Records a new upload.
    fn begin_upload(&self, id: &UploadId, plan: UploadPlan) -> impl Future<Output = Result<Self::Upload>> + Send;

    /// Takes up an upload that an earlier process began.
    fn resume_upload(&self, id: &UploadId) -> impl Future<Output = Result<Option<Self::Upload>>> + Send;

    /// Discards what is left of uploads that got no byte for `idle`, except those that `keep` names.
    /// Returns how many there were.
    fn expire_uploads(
        &self,
        idle: Duration,
        keep: impl Fn(&UploadId) -> bool + Send + 'static,
    ) -> impl Future<Output = Result<usize>> + Send;
}

/// One blob on its way in. Its bytes are hashed as they come.
///
/// No method may be cancelled: callers run it in a task of its own.
pub(crate) trait Upload: Send + Sized + 'static {
    /// What was said when the upload began.
    fn plan(&self) -> &UploadPlan;

    /// The bytes held so far.
    fn length(&self) -> u64;

    /// Hashes with another algorithm. Costs nothing before the first byte, a second read of the bytes after it.
    fn set_algorithm(&mut self, algorithm: Algorithm);

    /// Adds bytes at the end. When this fails, the upload is as long as it was before.
    fn append(&mut self, batch: Vec<Bytes>) -> impl Future<Output = Result<()>> + Send;

    /// Proves that the bytes are `digest`'s and makes them a blob of the plan's repository, durably. The upload is
    /// gone afterwards, whether the digest was right or not.
    fn commit(self, digest: &Digest) -> impl Future<Output = Result<Committed>> + Send;

    /// Drops the bytes.
    fn discard(self) -> impl Future<Output = Result<()>> + Send;
}

/// How [`Upload::commit`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Committed {
    /// The blob is there.
    Stored,
    /// The bytes were other ones, and are discarded; holds their digest.
    Mismatch(Digest),
}

/// What is known of an upload from its beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UploadPlan {
    /// The repository that the blob will belong to.
    #[serde(with = "repository_text")]
    pub(crate) repository: RepositoryName,
}

mod repository_text {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::name::RepositoryName;

    pub(super) fn serialize<S: Serializer>(name: &RepositoryName, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(name.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RepositoryName, D::Error> {
        let text = String::deserialize(deserializer)?;
        RepositoryName::parse(&text).ok_or_else(|| serde::de::Error::custom("not a repository name"))
    }
}

/// Some of a sorted list of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) names: Vec<String>,
    /// Whether more names follow.
    pub(crate) more: bool,
}
