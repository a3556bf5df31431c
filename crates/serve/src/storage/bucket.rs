//! The storage in an object store: S3 and what speaks like it, Google Cloud Storage, Azure, or memory.
//!
//! Any number of servers share a bucket and nothing else. Content never changes; what does (tags, uploads) is one object
//! each, written on conditions where two may want to. `docs/formats/bucket.md` has every object, `docs/design/bucket.md`
//! says why it is safe.

mod cache;
mod collect;
mod gate;
mod holdings;
mod keys;
mod manifests;
pub(crate) mod objects;
mod open;
mod record;
#[cfg(test)]
mod tests;
mod upload;
mod walk;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use dhow_base::limits::MANIFEST_BYTES_MAX;
use dhow_base::{Error, Kind, Result};
use dhow_spec::Tag;
use dhow_spec::digest::Digest;
use futures::stream::TryStreamExt as _;

use self::cache::Cache;
use self::gate::Gate;
use self::keys::Member;
use self::objects::{Look, Objects, Read};
use self::record::{HEAD_BYTES_MAX, INLINE_BYTES, Link, ManifestHead};
use self::upload::BucketUpload;
use super::{
    Content, Holding, Key, Manifest, ManifestPut, NewManifest, Object, Page, Prefix, Remote, Storage, UploadPlan,
};
use crate::name::{RepositoryName, UploadId};
use crate::random::random;
use crate::route::ManifestName;

pub(crate) use collect::{collect, scrub};
pub(crate) use open::open;

const TAG_BYTES_MAX: u64 = 4096;

/// Requests of one operation that are under way at once.
const AT_ONCE: usize = 16;

/// Content that is written and linked within this time cannot be collected in between: less than `collect::CLOCK_STEP`,
/// by which the collector lets everything be older.
const IN_ONE_GO: Duration = Duration::from_millis(if cfg!(test) { 10 } else { 1000 });

/// How long a manifest that was seen is believed to be there by whoever sets a tag of it. Who deletes one says so, and waits a
/// little longer before it does it. Both measure by a clock of their own, so none has to be set.
const BELIEVED: Duration = Duration::from_millis(if cfg!(test) { 500 } else { 2_000 });

/// Ended uploads are deleted together; this many at most wait for it.
const ENDED_MAX: usize = 200;

/// A registry's bucket. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    objects: Objects,
    gate: Gate,
    cache: Cache,
    /// Uploads that have ended, and whose objects are still there.
    ended: Mutex<HashSet<UploadId>>,
}

/// Which records an object can be read as.
pub(crate) fn kinds(object: &Bytes) -> Vec<&'static str> {
    let is = [
        ("link", record::read::<Link>("", object).is_ok()),
        ("manifest", record::read::<ManifestHead>("", object).is_ok()),
        ("upload", upload::can_be_resumed(object)),
        ("sweep", gate::Sweep::parse(object).is_ok()),
    ];
    is.into_iter().filter_map(|(kind, is)| is.then_some(kind)).collect()
}

/// A key as it is written that says the same as this one, if it says anything.
pub(crate) fn respelled(key: &str) -> Option<String> {
    if let Some((repository, digest)) = keys::manifest(key) {
        return Some(Key::manifest(&repository, &digest).as_str().to_owned());
    }
    let (digest, member) = keys::member(key)?;
    let rest = key.splitn(4, '/').last()?.split_once('.')?.1;
    Some(match member {
        Member::Link(repository) => keys::link(&repository, &digest),
        Member::Content => keys::content(&digest, rest),
        Member::Mark(serial) => keys::mark(&digest, &serial),
    })
}

impl Bucket {
    pub(crate) fn new(objects: Objects) -> Self {
        let inner = Inner { objects, gate: Gate::default(), cache: Cache::default(), ended: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    fn objects(&self) -> &Objects {
        &self.inner.objects
    }

    /// A small object as it is now: asked for by its entity tag, if it was read before.
    async fn current(&self, key: &str, bytes_max: u64) -> Result<Option<Read>> {
        let (known, begun) = (self.inner.cache.get(key), Instant::now());
        match self.objects().look(key, known.as_ref().map(|read| &read.version), bytes_max).await? {
            Look::Unchanged => {
                self.inner.cache.note_seen(key, begun);
                Ok(known)
            }
            Look::Changed(read) => {
                self.inner.cache.keep(key, read.clone(), begun);
                Ok(Some(read))
            }
            Look::Missing => {
                self.inner.cache.forget(key);
                Ok(None)
            }
        }
    }

    /// Where a repository's blob is, and its bytes if they are short.
    async fn link(&self, repository: &RepositoryName, digest: &Digest) -> Result<Option<(Link, Bytes)>> {
        let key = keys::link(repository, digest);
        let read = self.objects().get(&key, HEAD_BYTES_MAX + INLINE_BYTES).await?;
        read.map(|read| record::read(&key, &read.bytes)).transpose()
    }

    /// What a link stands for.
    fn object(&self, link: Link, bytes: Bytes) -> Object {
        let content = match link.at {
            Some(key) => Content::Remote(Remote { objects: self.objects().clone(), key }),
            None => Content::Bytes(bytes),
        };
        Object { size: link.size, content }
    }

    /// Any link to a digest, whichever repository has it.
    async fn any_link(&self, digest: &Digest) -> Result<Option<(Link, Bytes)>> {
        let mut members = self.objects().list(&keys::group(digest), None);
        while let Some(listed) = members.try_next().await? {
            if let Some((_, Member::Link(repository))) = keys::member(&listed.key) {
                return self.link(&repository, digest).await;
            }
        }
        Ok(None)
    }

    /// Gives a repository a blob that is there already. Returns whether it is still there.
    async fn add_link(&self, repository: &RepositoryName, digest: &Digest, link: &Link, bytes: &[u8]) -> Result<bool> {
        let (key, record) = (keys::link(repository, digest), record::write(link, bytes)?);
        self.objects().put(&key, record.clone()).await?;
        // In this order: what is there after no collection is at it any more stays, because the link is seen by the next.
        let is_untouched = self.inner.gate.pass(self.objects(), &[digest]).await?;
        if let Some(at) = &link.at
            && self.objects().size(at).await?.is_none()
        {
            self.objects().delete(&key).await?;
            return Ok(false);
        }
        if !is_untouched {
            // The collector may have taken an old link of the same name.
            self.objects().put(&key, record).await?;
        }
        Ok(true)
    }

    /// Proves that content still is where a link says, if so much time has gone by since `begun`, when it was written, that a
    /// collection may have found it old before there was a link.
    async fn confirm(&self, digest: &Digest, at: &str, begun: Instant) -> Result<()> {
        if begun.elapsed() < IN_ONE_GO {
            return Ok(());
        }
        self.inner.gate.pass(self.objects(), &[digest]).await?;
        match self.objects().size(at).await? {
            Some(_) => Ok(()),
            None => Err(Error::new(Kind::Unavailable, format!("{digest} was collected while it was being written"))),
        }
    }

    fn ended(&self) -> MutexGuard<'_, HashSet<UploadId>> {
        self.inner.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that an upload has ended. Its object goes later, together with others.
    async fn end_upload(&self, id: &UploadId) -> Result<()> {
        let is_full = {
            let mut ended = self.ended();
            ended.insert(id.clone());
            ended.len() >= ENDED_MAX
        };
        if is_full { self.delete_ended().await } else { Ok(()) }
    }

    async fn delete_ended(&self) -> Result<()> {
        let ended: Vec<UploadId> = self.ended().iter().cloned().collect();
        if !ended.is_empty() {
            self.objects().delete_all(ended.iter().map(keys::upload).collect()).await?;
            self.ended().retain(|id| !ended.contains(id));
        }
        Ok(())
    }

    /// Writes a blob whose bytes are all in memory.
    async fn put_bytes(&self, repository: &RepositoryName, digest: &Digest, bytes: Vec<Bytes>) -> Result<()> {
        let size: u64 = bytes.iter().map(|bytes| bytes.len() as u64).sum();
        let link = keys::link(repository, digest);
        if size <= INLINE_BYTES {
            let record = record::write(&Link { size, at: None }, &bytes.concat())?;
            return self.objects().put(&link, record).await.map(drop);
        }
        let (at, begun) = (keys::content(digest, &serial()?), Instant::now());
        self.objects().put(&at, bytes.into_iter().collect::<object_store::PutPayload>()).await?;
        let record = record::write(&Link { size, at: Some(at.clone()) }, b"")?;
        self.objects().put(&link, record).await?;
        self.confirm(digest, &at, begun).await
    }
}

/// Names an object that nobody else writes.
fn serial() -> Result<String> {
    Ok(UploadId::from_random(random()?).as_str().to_owned())
}

impl Storage for Bucket {
    type Upload = BucketUpload;

    const UPLOADS_IN_MEMORY: Option<Duration> = Some(Duration::from_secs(60));

    async fn check(&self) -> Result<()> {
        open::check_format(self.objects()).await
    }

    async fn blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<Option<Object>> {
        Ok(self.link(repository, digest).await?.map(|(link, bytes)| self.object(link, bytes)))
    }

    async fn put_blob(&self, repository: &RepositoryName, digest: &Digest, bytes: Bytes) -> Result<()> {
        self.put_bytes(repository, digest, vec![bytes]).await
    }

    async fn any_blob(&self, digest: &Digest) -> Result<Option<Object>> {
        Ok(self.any_link(digest).await?.map(|(link, bytes)| self.object(link, bytes)))
    }

    async fn mount_blob(&self, repository: &RepositoryName, digest: &Digest, found: &Object) -> Result<bool> {
        let (at, bytes) = match &found.content {
            Content::Remote(remote) => (Some(remote.key.clone()), Bytes::new()),
            Content::Bytes(bytes) => (None, bytes.clone()),
            Content::File(_) => return Ok(false),
        };
        self.add_link(repository, digest, &Link { size: found.size, at }, &bytes).await
    }

    async fn delete_blob(&self, repository: &RepositoryName, digest: &Digest) -> Result<bool> {
        let key = keys::link(repository, digest);
        if self.objects().size(&key).await?.is_none() {
            return Ok(false);
        }
        self.objects().delete(&key).await?;
        Ok(true)
    }

    async fn tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<Option<Digest>> {
        let record = self.current(Key::tag(repository, tag).as_str(), TAG_BYTES_MAX).await?;
        Ok(record.and_then(|record| Digest::parse(std::str::from_utf8(&record.bytes).ok()?).ok()))
    }

    async fn manifest(&self, repository: &RepositoryName, name: &ManifestName) -> Result<Option<Manifest>> {
        let (digest, is_tagged) = match name {
            ManifestName::Digest(digest) => (digest.clone(), false),
            ManifestName::Tag(tag) => match self.tag(repository, tag).await? {
                Some(digest) => (digest, true),
                None => return Ok(None),
            },
        };
        let key = Key::manifest(repository, &digest);
        // A tag that is there now has its manifest, which never changes.
        let known = self.inner.cache.get(key.as_str()).filter(|_| is_tagged);
        let read = match known {
            Some(known) => Some(known),
            None => self.current(key.as_str(), MANIFEST_BYTES_MAX + HEAD_BYTES_MAX).await?,
        };
        let Some(read) = read else { return Ok(None) };
        let (head, bytes) = record::read::<ManifestHead>(key.as_str(), &read.bytes)?;
        if head.going.is_some() {
            // It is not to be believed that it is there.
            self.inner.cache.forget(key.as_str());
        } else if is_tagged {
            // A tag is set when the push has ended well.
            self.inner.cache.note_proven(key.as_str());
        }
        let object = Object { size: bytes.len() as u64, content: Content::Bytes(bytes) };
        Ok(head.media_type.map(|media_type| Manifest { digest, media_type, object }))
    }

    async fn put_manifest(&self, repository: &RepositoryName, manifest: NewManifest) -> Result<ManifestPut> {
        self.store_manifest(repository, manifest).await
    }

    async fn delete_tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<bool> {
        let key = Key::tag(repository, tag);
        let is_there = self.tag(repository, tag).await?.is_some();
        self.objects().delete(key.as_str()).await?;
        self.inner.cache.forget(key.as_str());
        Ok(is_there)
    }

    async fn delete_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        tags: &[Tag],
        subject: Option<&Digest>,
    ) -> Result<bool> {
        let tag_keys = tags.iter().map(|tag| Key::tag(repository, tag).as_str().to_owned());
        self.objects().delete_all(tag_keys.collect()).await?;
        if let Some(subject) = subject {
            self.objects().delete(Key::referrer(repository, subject, digest).as_str()).await?;
        }
        self.begin_deletion(repository, digest).await
    }

    async fn finish_deletion(&self, repository: &RepositoryName, digest: &Digest) -> Result<()> {
        self.end_deletion(repository, digest).await
    }

    async fn referrer(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        referrer: &Digest,
    ) -> Result<Option<Bytes>> {
        // Its entry counts only as long as the manifest is there.
        if self.manifest(repository, &ManifestName::Digest(referrer.clone())).await?.is_none() {
            return Ok(None);
        }
        let key = Key::referrer(repository, subject, referrer);
        Ok(self.current(key.as_str(), MANIFEST_BYTES_MAX).await?.map(|read| read.bytes))
    }

    async fn list(&self, prefix: &Prefix, after: Option<&str>, limit: usize) -> Result<Option<Page>> {
        walk::names(self.objects(), prefix.as_str(), after, limit).await
    }

    async fn repositories(&self, after: Option<&str>, limit: usize) -> Result<Page> {
        walk::repositories(self.objects(), after, limit).await
    }

    async fn holdings(&self, namespace: &RepositoryName, found: &mut (dyn FnMut(Holding) + Send)) -> Result<()> {
        holdings::tell(self.objects(), namespace, found).await
    }

    async fn begin_upload(&self, id: &UploadId, plan: UploadPlan) -> Result<BucketUpload> {
        BucketUpload::begin(self.clone(), id, plan).await
    }

    async fn resume_upload(&self, id: &UploadId) -> Result<Option<BucketUpload>> {
        let has_ended = self.ended().contains(id);
        if has_ended { Ok(None) } else { BucketUpload::resume(self.clone(), id).await }
    }

    async fn expire_uploads(&self, idle: Duration, keep: impl Fn(&UploadId) -> bool + Send + 'static) -> Result<usize> {
        self.delete_ended().await?;
        let oldest = SystemTime::now().checked_sub(idle).unwrap_or(SystemTime::UNIX_EPOCH);
        let mut uploads = self.objects().list(keys::UPLOADS, None);
        let mut expired = 0;
        while let Some(listed) = uploads.try_next().await? {
            let id = listed.key.rsplit_once('/').and_then(|(_, name)| UploadId::parse(name));
            let Some(id) = id.filter(|id| listed.changed < oldest && !keep(id)) else { continue };
            if let Some(upload) = BucketUpload::resume(self.clone(), &id).await? {
                super::Upload::discard(upload).await?;
                expired += 1;
            }
        }
        Ok(expired)
    }
}
