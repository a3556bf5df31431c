//! Manifests, indexes and their tags (distribution spec, "Pulling manifests", "Pushing Manifests", "Deleting").

use bytes::Bytes;
use dhow_base::limits::MANIFEST_BYTES_MAX;
use dhow_spec::digest::Digest;
use dhow_spec::{Descriptor, Document, MediaType, Tag};
use hyper::{Response, StatusCode, header};
use serde_json::json;
use tokio::sync::{RwLockReadGuard, RwLockWriteGuard};

use crate::access;
use crate::blobs::has_current;
use crate::body::Body;
use crate::failure::{Code, Failure, Outcome};
use crate::name::RepositoryName;
use crate::quota::Intake;
use crate::receive::Receiver;
use crate::referrers;
use crate::registry::{Call, Registry};
use crate::response::{Answer, SUBJECT, TAG};
use crate::route::ManifestName;
use crate::storage::{Key, Prefix, Storage};

/// Longest record of a tag or of a media type.
pub(crate) const RECORD_BYTES_MAX: u64 = 4096;

/// Manifests above this length are taken a few at a time, since each is held in memory several times over while it is
/// parsed. Hardly any image has one.
pub(crate) const SMALL_BYTES: u64 = 256 << 10;

/// How many tags are looked at together when a manifest is deleted.
const TAGS_AT_ONCE: usize = 1000;

impl<S: Storage> Registry<S> {
    pub(crate) async fn get_manifest(
        &self,
        call: &Call,
        repository: &RepositoryName,
        name: &ManifestName,
    ) -> Outcome<Response<Body>> {
        let unknown = || unknown(repository, name);
        let digest = match name {
            ManifestName::Digest(digest) => digest.clone(),
            ManifestName::Tag(tag) => self.tagged(repository, tag).await?.ok_or_else(unknown)?,
        };
        let media_type =
            self.storage.get(&Key::manifest(repository, &digest), RECORD_BYTES_MAX).await?.ok_or_else(unknown)?;
        let answer = |status| Answer::new(status).digest(&digest).entity_tag(&digest);
        if has_current(call, &digest) {
            return answer(StatusCode::NOT_MODIFIED).done();
        }
        let answer = answer(StatusCode::OK).header(header::CONTENT_TYPE, String::from_utf8_lossy(&media_type));
        let object = self.storage.open_again(&Key::content(&digest)).await?.ok_or_else(unknown)?;
        let answer = answer.length(object.size);
        if call.is_head() {
            return answer.done();
        }
        let size = object.size;
        let read = object.body(0..size, call.kernel.as_ref());
        Ok(answer.body(read.map_err(|error| error.context(format_args!("cannot read manifest {digest}")))?))
    }

    /// The digest that a tag stands for.
    pub(crate) async fn tagged(&self, repository: &RepositoryName, tag: &Tag) -> Outcome<Option<Digest>> {
        let record = self.storage.get(&Key::tag(repository, tag), RECORD_BYTES_MAX).await?;
        Ok(record.and_then(|record| Digest::parse(std::str::from_utf8(&record).ok()?).ok()))
    }

    pub(crate) async fn put_manifest(
        &self,
        call: &Call,
        repository: &RepositoryName,
        name: &ManifestName,
        receiver: &mut Receiver,
    ) -> Outcome<Response<Body>> {
        let tags = self.tags_to_set(call, name)?;
        let bytes_max = self.limits.manifest_bytes.min(MANIFEST_BYTES_MAX);
        let is_large = receiver.announced().is_none_or(|announced| announced > SMALL_BYTES);
        let _slot = if is_large { self.large_manifests.acquire().await.ok() } else { None };
        let bytes = receiver.whole(bytes_max).await?.ok_or_else(|| {
            let message = format!("the manifest is longer than {bytes_max} bytes, which is the limit");
            Failure::new(StatusCode::PAYLOAD_TOO_LARGE, Code::ManifestInvalid, message)
        })?;
        let digest = proven_digest(name, &bytes)?;
        let declared = call.header(header::CONTENT_TYPE).map(MediaType::parse);
        let document = Document::parse(bytes.to_vec(), declared.as_ref())?;

        let immutable: Vec<&Tag> = tags.iter().filter(|tag| call.permit.is_immutable(repository, tag)).collect();
        // Two that set the same tag must not both find it free.
        let _held = match immutable.is_empty() {
            true => Held::Shared(self.locks.adding(repository).await),
            false => Held::Alone(self.locks.deleting(repository).await),
        };
        for tag in immutable {
            match self.tagged(repository, tag).await? {
                Some(current) if current != digest => return Err(access::immutable(repository, tag, &current)),
                _ => {}
            }
        }
        let _pin = self.storage.pin().await?;
        self.check_blobs(repository, &document).await?;
        let intake = Intake { tags: &tags, ..Intake::blob(repository, &digest, bytes.len() as u64) };
        let reserved = self.reserve(call, intake).await?;
        self.storage.put(records(repository, &digest, &document, bytes, &tags)?).await?;
        reserved.keep();
        let mut answer = Answer::new(StatusCode::CREATED)
            .header(header::LOCATION, format!("/v2/{repository}/manifests/{digest}"))
            .digest(&digest);
        if let Some(subject) = document.subject() {
            answer = answer.header(SUBJECT, subject.digest.as_str());
        }
        if matches!(name, ManifestName::Digest(_)) && !tags.is_empty() {
            answer = answer.header(TAG, tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(", "));
        }
        answer.done()
    }

    fn tags_to_set(&self, call: &Call, name: &ManifestName) -> Outcome<Vec<Tag>> {
        if let ManifestName::Tag(tag) = name {
            return Ok(vec![tag.clone()]);
        }
        let mut tags = Vec::new();
        for text in call.query.all("tag") {
            let invalid = |_| Failure::bad(Code::ManifestInvalid, format!("invalid tag {text:?}"));
            tags.push(Tag::parse(text).map_err(invalid)?);
        }
        if tags.len() > self.limits.tags_per_manifest {
            let message = format!("more than {} tags for one manifest", self.limits.tags_per_manifest);
            return Err(Failure::new(StatusCode::URI_TOO_LONG, Code::ManifestInvalid, message));
        }
        Ok(tags)
    }

    /// Refuses an image whose config or layers the repository does not have. The manifests of an index may be absent:
    /// partial indexes are how an image is mirrored for some platforms only.
    async fn check_blobs(&self, repository: &RepositoryName, document: &Document) -> Outcome<()> {
        let Some(manifest) = document.as_manifest() else { return Ok(()) };
        for descriptor in std::iter::once(&manifest.config).chain(&manifest.layers) {
            // Foreign layers stay where their URLs point.
            if !descriptor.media_type.is_foreign() {
                self.check_blob(repository, descriptor).await?;
            }
        }
        Ok(())
    }

    async fn check_blob(&self, repository: &RepositoryName, descriptor: &Descriptor) -> Outcome<()> {
        let digest = &descriptor.digest;
        let size = match self.storage.size(&Key::blob(repository, digest)).await? {
            Some(_) => self.storage.size(&Key::content(digest)).await?,
            None => None,
        };
        match size {
            Some(size) if size == descriptor.size => Ok(()),
            Some(size) => {
                let message = format!("the manifest says that {digest} has {} bytes, it has {size}", descriptor.size);
                Err(Failure::bad(Code::ManifestInvalid, message))
            }
            None => Err(Failure::missing(Code::ManifestBlobUnknown, "blob unknown to registry")
                .with_detail(json!({ "digest": digest.as_str() }))),
        }
    }

    pub(crate) async fn delete_manifest(
        &self,
        call: &Call,
        repository: &RepositoryName,
        name: &ManifestName,
    ) -> Outcome<Response<Body>> {
        let _deleting = self.locks.deleting(repository).await;
        let keys = match name {
            ManifestName::Tag(tag) => {
                if call.permit.is_immutable(repository, tag)
                    && let Some(current) = self.tagged(repository, tag).await?
                {
                    return Err(access::immutable(repository, tag, &current));
                }
                vec![Key::tag(repository, tag)]
            }
            ManifestName::Digest(digest) => self.keys_of_manifest(call, repository, digest).await?,
        };
        match self.storage.delete(keys).await? {
            true => Answer::new(StatusCode::ACCEPTED).done(),
            false => Err(unknown(repository, name)),
        }
    }

    /// Everything that goes with a manifest, itself last: its tags, which would otherwise come back with it when it is
    /// pushed again, and its entry among its subject's referrers.
    async fn keys_of_manifest(&self, call: &Call, repository: &RepositoryName, digest: &Digest) -> Outcome<Vec<Key>> {
        let mut keys = Vec::new();
        let mut after: Option<String> = None;
        while let Some(page) = self.storage.list(&Prefix::tags(repository), after.as_deref(), TAGS_AT_ONCE).await? {
            for tag in page.names.iter().filter_map(|name| Tag::parse(name).ok()) {
                if self.tagged(repository, &tag).await?.as_ref() == Some(digest) {
                    if call.permit.is_immutable(repository, &tag) {
                        return Err(access::immutable(repository, &tag, digest));
                    }
                    keys.push(Key::tag(repository, &tag));
                }
            }
            after = page.names.last().cloned();
            if !page.more {
                break;
            }
        }
        let bytes = self.storage.get(&Key::content(digest), MANIFEST_BYTES_MAX).await?;
        let document = bytes.and_then(|bytes| Document::parse(bytes.to_vec(), None).ok());
        if let Some(subject) = document.as_ref().and_then(Document::subject) {
            keys.push(Key::referrer(repository, &subject.digest, digest));
        }
        keys.push(Key::manifest(repository, digest));
        Ok(keys)
    }
}

/// A lock on a repository, of either kind.
enum Held<'a> {
    Shared(#[allow(dead_code, reason = "held, not read")] RwLockReadGuard<'a, ()>),
    Alone(#[allow(dead_code, reason = "held, not read")] RwLockWriteGuard<'a, ()>),
}

/// What is written for a manifest, in the order in which it may become visible.
fn records(
    repository: &RepositoryName,
    digest: &Digest,
    document: &Document,
    bytes: Bytes,
    tags: &[Tag],
) -> Outcome<Vec<(Key, Bytes)>> {
    let size = bytes.len() as u64;
    let mut records = vec![(Key::content(digest), bytes)];
    if let Some(subject) = document.subject() {
        let descriptor = referrers::descriptor(document, digest, size)?;
        records.push((Key::referrer(repository, &subject.digest, digest), descriptor));
    }
    let media_type = Bytes::copy_from_slice(document.media_type().as_str().as_bytes());
    records.push((Key::manifest(repository, digest), media_type));
    let record = Bytes::copy_from_slice(digest.as_str().as_bytes());
    records.extend(tags.iter().map(|tag| (Key::tag(repository, tag), record.clone())));
    Ok(records)
}

/// The digest under which a manifest is stored: the one it was sent as, if it is right, else SHA-256.
fn proven_digest(name: &ManifestName, bytes: &[u8]) -> Outcome<Digest> {
    let ManifestName::Digest(expected) = name else { return Ok(Digest::sha256(bytes)) };
    let actual = Digest::of(expected.algorithm(), bytes);
    if actual == *expected {
        return Ok(actual);
    }
    Err(Failure::bad(Code::DigestInvalid, "provided digest did not match uploaded content")
        .with_detail(json!({ "expected": expected.as_str(), "actual": actual.as_str() })))
}

pub(crate) fn unknown(repository: &RepositoryName, name: &ManifestName) -> Box<Failure> {
    let detail = match name {
        ManifestName::Tag(tag) => json!({ "name": repository.as_str(), "tag": tag.as_str() }),
        ManifestName::Digest(digest) => json!({ "name": repository.as_str(), "digest": digest.as_str() }),
    };
    Failure::missing(Code::ManifestUnknown, "manifest unknown").with_detail(detail)
}

#[cfg(test)]
mod tests {
    use dhow_spec::Algorithm;

    use super::*;

    #[test]
    fn a_manifest_sent_by_digest_keeps_its_algorithm() {
        let sha512 = Digest::of(Algorithm::Sha512, b"{}");
        assert_eq!(proven_digest(&ManifestName::Digest(sha512.clone()), b"{}").ok(), Some(sha512.clone()));
        assert!(proven_digest(&ManifestName::Digest(sha512), b"{ }").is_err());
    }
}
