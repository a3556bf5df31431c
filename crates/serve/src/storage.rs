//! Where the registry keeps its content: blobs, manifests and tags of repositories, and uploads that become blobs.
//!
//! Backends differ in what they make of it (`docs/formats/registry.md`); one suite says what all of them do.

pub(crate) mod bucket;
mod directories;
mod files;
pub(crate) mod folder;
mod journal;
mod key;
mod object;
mod pin;
mod recent;
#[cfg(test)]
mod suite;
mod upload;
mod walk;

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use dhow_base::Result;
use dhow_spec::Tag;
use dhow_spec::digest::{Algorithm, Digest};
use serde::{Deserialize, Serialize};

use crate::name::{RepositoryName, UploadId};
use crate::route::ManifestName;

pub(crate) use bucket::Bucket;
pub(crate) use folder::Folder;
pub(crate) use journal::keys_of;
pub(crate) use key::{Key, Prefix};
pub(crate) use object::{Content, Object, Remote};
pub(crate) use pin::{Pin, Sweeping};

/// A place that keeps a registry's content.
///
/// Whoever makes content needed (mounts a blob, puts a manifest) is safe from the collection that may run at the same
/// time: what these methods have answered for stays whole.
pub(crate) trait Storage: Send + Sync + Sized + 'static {
    /// A blob on its way in.
    type Upload: Upload;

    /// How long an upload that no request uses is kept in memory, where another server may have ended it; nothing
    /// where only this one can.
    const UPLOADS_IN_MEMORY: Option<Duration>;

    /// Whether the storage is there and is the registry's.
    fn check(&self) -> impl Future<Output = Result<()>> + Send;

    /// A blob that the repository has.
    fn blob(&self, repository: &RepositoryName, digest: &Digest)
    -> impl Future<Output = Result<Option<Object>>> + Send;

    /// As [`Storage::blob`], for a client that may be about to put a manifest which needs the blob, and does not upload what
    /// is there: where that costs little, the blob is as young afterwards as if it had been uploaded.
    fn blob_to_use(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> impl Future<Output = Result<Option<Object>>> + Send {
        self.blob(repository, digest)
    }

    /// Stores a whole blob. `bytes` are the digest's.
    fn put_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        bytes: Bytes,
    ) -> impl Future<Output = Result<()>> + Send;

    /// A blob that any repository has.
    fn any_blob(&self, digest: &Digest) -> impl Future<Output = Result<Option<Object>>> + Send;

    /// Gives the repository a blob that was `found` in another one. Returns whether it is still there.
    fn mount_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        found: &Object,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Takes a blob from a repository. Returns whether it had it.
    fn delete_blob(&self, repository: &RepositoryName, digest: &Digest) -> impl Future<Output = Result<bool>> + Send;

    /// The digest that a tag stands for.
    fn tag(&self, repository: &RepositoryName, tag: &Tag) -> impl Future<Output = Result<Option<Digest>>> + Send;

    /// A manifest that the repository has.
    fn manifest(
        &self,
        repository: &RepositoryName,
        name: &ManifestName,
    ) -> impl Future<Output = Result<Option<Manifest>>> + Send;

    /// Stores a manifest whose blobs are all there, and sets tags.
    fn put_manifest(
        &self,
        repository: &RepositoryName,
        manifest: NewManifest,
    ) -> impl Future<Output = Result<ManifestPut>> + Send;

    /// Deletes a tag. Returns whether it was there.
    fn delete_tag(&self, repository: &RepositoryName, tag: &Tag) -> impl Future<Output = Result<bool>> + Send;

    /// Deletes a manifest, after those of its tags that are known and its entry among its subject's referrers.
    /// Returns whether it was there.
    fn delete_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        tags: &[Tag],
        subject: Option<&Digest>,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Does what is left to do after [`Storage::delete_manifest`], and may take seconds: it needs no lock. The deletion counts
    /// from its end on.
    fn finish_deletion(&self, repository: &RepositoryName, digest: &Digest) -> impl Future<Output = Result<()>> + Send;

    /// The descriptor of a manifest among the referrers of `subject`.
    fn referrer(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        referrer: &Digest,
    ) -> impl Future<Output = Result<Option<Bytes>>> + Send;

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

    /// Tells of everything that a repository and those below it have, in any order. A blob that several of them have is
    /// told of for each.
    fn holdings(
        &self,
        namespace: &RepositoryName,
        found: &mut (dyn FnMut(Holding) + Send),
    ) -> impl Future<Output = Result<()>> + Send;

    /// Records a new upload.
    fn begin_upload(&self, id: &UploadId, plan: UploadPlan) -> impl Future<Output = Result<Self::Upload>> + Send;

    /// Takes up an upload that an earlier process, or another one, began.
    fn resume_upload(&self, id: &UploadId) -> impl Future<Output = Result<Option<Self::Upload>>> + Send;

    /// Discards what is left of uploads that got no byte for `idle`, except those that `keep` names.
    /// Returns how many there were.
    fn expire_uploads(
        &self,
        idle: Duration,
        keep: impl Fn(&UploadId) -> bool + Send + 'static,
    ) -> impl Future<Output = Result<usize>> + Send;
}

/// A manifest as it is stored.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) digest: Digest,
    /// What it was pushed as.
    pub(crate) media_type: String,
    pub(crate) object: Object,
}

/// A manifest to be stored.
#[derive(Clone, Debug)]
pub(crate) struct NewManifest {
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
    pub(crate) bytes: Bytes,
    /// What the repository has to have: digest, and length in bytes.
    pub(crate) blobs: Vec<(Digest, u64)>,
    /// Its subject, and its own descriptor among that one's referrers.
    pub(crate) referrer: Option<(Digest, Bytes)>,
    pub(crate) tags: Vec<NewTag>,
}

/// A tag to be set.
#[derive(Clone, Debug)]
pub(crate) struct NewTag {
    pub(crate) tag: Tag,
    /// Whether it may stand for something else now.
    pub(crate) may_move: bool,
}

/// Something that a repository has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holding {
    /// A blob or a manifest, and its length in bytes.
    Content(RepositoryName, Digest, u64),
    /// A tag.
    Tag(RepositoryName, Tag),
}

/// How [`Storage::put_manifest`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ManifestPut {
    /// It is there.
    Stored,
    /// The repository does not have this blob.
    Lacks(Digest),
    /// This blob has `actual` bytes.
    Differs {
        /// The blob.
        digest: Digest,
        /// What the manifest says.
        stated: u64,
        /// What is there.
        actual: u64,
    },
    /// This tag may not be moved from what it stands for.
    Taken(Tag, Digest),
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

    /// Keeps what was added for whoever goes on with the upload, if this process ends.
    fn settle(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// Looks whether another server has gone on with the upload. Returns whether it is still there.
    fn refresh(&mut self) -> impl Future<Output = Result<bool>> + Send;

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
