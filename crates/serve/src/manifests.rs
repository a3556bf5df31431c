//! Manifests, indexes and their tags (distribution spec, "Pulling manifests", "Pushing Manifests", "Deleting").

use bytes::Bytes;
use dhow_base::limits::MANIFEST_BYTES_MAX;
use dhow_spec::digest::Digest;
use dhow_spec::{Descriptor, Document, MediaType, Tag};
use futures::future::try_join_all;
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
use crate::storage::{Manifest, ManifestPut, NewManifest, NewTag, Prefix, Storage};

/// Manifests above this length are taken a few at a time, since each is held in memory several times over while it is
/// parsed. Hardly any image has one.
pub(crate) const SMALL_BYTES: u64 = 256 << 10;

/// How many names of tags are taken together when a manifest is deleted, and how many of them are read at once.
const TAGS_AT_ONCE: usize = 1000;
const READS_AT_ONCE: usize = 16;

impl<S: Storage> Registry<S> {
    pub(crate) async fn get_manifest(
        &self,
        call: &Call,
        repository: &RepositoryName,
        name: &ManifestName,
    ) -> Outcome<Response<Body>> {
        let Some(Manifest { digest, media_type, object }) = self.storage.manifest(repository, name).await? else {
            return Err(unknown(repository, name));
        };
        let answer = |status| Answer::new(status).digest(&digest).entity_tag(&digest);
        if has_current(call, &digest) {
            return answer(StatusCode::NOT_MODIFIED).done();
        }
        let answer = answer(StatusCode::OK).header(header::CONTENT_TYPE, media_type).length(object.size);
        if call.is_head() {
            return answer.done();
        }
        let size = object.size;
        let read = object.body(0..size, call.kernel.as_ref()).await;
        Ok(answer.body(read.map_err(|error| error.context(format_args!("cannot read manifest {digest}")))?))
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

        let size = bytes.len() as u64;
        let new_tag = |tag: &Tag| NewTag { tag: tag.clone(), may_move: !call.permit.is_immutable(repository, tag) };
        let new = new_manifest(&digest, &document, bytes, tags.iter().map(new_tag).collect())?;
        // Two that set the same tag must not both find it free.
        let _held = match new.tags.iter().all(|new| new.may_move) {
            true => Held::Shared(self.locks.adding(repository).await),
            false => Held::Alone(self.locks.deleting(repository).await),
        };
        let intake = Intake { tags: &tags, ..Intake::blob(repository, &digest, size) };
        let reserved = self.reserve(call, intake).await?;
        match self.storage.put_manifest(repository, new).await? {
            ManifestPut::Stored => reserved.keep(),
            ManifestPut::Taken(tag, current) => return Err(access::immutable(repository, &tag, &current)),
            ManifestPut::Lacks(digest) => {
                return Err(Failure::missing(Code::ManifestBlobUnknown, "blob unknown to registry")
                    .with_detail(json!({ "digest": digest.as_str() })));
            }
            ManifestPut::Differs { digest, stated, actual } => {
                let message = format!("the manifest says that {digest} has {stated} bytes, it has {actual}");
                return Err(Failure::bad(Code::ManifestInvalid, message));
            }
        }
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

    pub(crate) async fn delete_manifest(
        &self,
        call: &Call,
        repository: &RepositoryName,
        name: &ManifestName,
    ) -> Outcome<Response<Body>> {
        let deleting = self.locks.deleting(repository).await;
        let is_gone = match name {
            ManifestName::Tag(tag) => {
                if call.permit.is_immutable(repository, tag)
                    && let Some(current) = self.storage.tag(repository, tag).await?
                {
                    return Err(access::immutable(repository, tag, &current));
                }
                self.storage.delete_tag(repository, tag).await?
            }
            ManifestName::Digest(digest) => {
                // They would otherwise come back with it when it is pushed again.
                let tags = self.tags_of(call, repository, digest).await?;
                let subject = self.subject_of(repository, name).await?;
                self.storage.delete_manifest(repository, digest, &tags, subject.as_ref()).await?
            }
        };
        drop(deleting);
        if let (true, ManifestName::Digest(digest)) = (is_gone, name) {
            self.storage.finish_deletion(repository, digest).await?;
        }
        if is_gone { Answer::new(StatusCode::ACCEPTED).done() } else { Err(unknown(repository, name)) }
    }

    /// The tags of a manifest that is to be deleted.
    async fn tags_of(&self, call: &Call, repository: &RepositoryName, digest: &Digest) -> Outcome<Vec<Tag>> {
        let mut tags = Vec::new();
        let mut after: Option<String> = None;
        while let Some(page) = self.storage.list(&Prefix::tags(repository), after.as_deref(), TAGS_AT_ONCE).await? {
            let names: Vec<Tag> = page.names.iter().filter_map(|name| Tag::parse(name).ok()).collect();
            for names in names.chunks(READS_AT_ONCE) {
                let current = try_join_all(names.iter().map(|tag| self.storage.tag(repository, tag))).await?;
                for (tag, _) in names.iter().zip(current).filter(|(_, current)| current.as_ref() == Some(digest)) {
                    if call.permit.is_immutable(repository, tag) {
                        return Err(access::immutable(repository, tag, digest));
                    }
                    tags.push(tag.clone());
                }
            }
            after = page.names.last().cloned();
            if !page.more {
                break;
            }
        }
        Ok(tags)
    }

    /// What a manifest refers to, as far as it can be read.
    async fn subject_of(&self, repository: &RepositoryName, name: &ManifestName) -> Outcome<Option<Digest>> {
        let Some(manifest) = self.storage.manifest(repository, name).await? else { return Ok(None) };
        let bytes = manifest.object.whole(MANIFEST_BYTES_MAX).await?;
        let document = Document::parse(bytes.to_vec(), None).ok();
        Ok(document.as_ref().and_then(Document::subject).map(|subject| subject.digest.clone()))
    }
}

/// A lock on a repository, of either kind.
enum Held<'a> {
    Shared(#[allow(dead_code, reason = "held, not read")] RwLockReadGuard<'a, ()>),
    Alone(#[allow(dead_code, reason = "held, not read")] RwLockWriteGuard<'a, ()>),
}

/// A manifest to be stored. An image needs its config and its layers. The manifests of an index may be absent: partial
/// indexes are how an image is mirrored for some platforms only.
fn new_manifest(digest: &Digest, document: &Document, bytes: Bytes, tags: Vec<NewTag>) -> Outcome<NewManifest> {
    let blobs = document.as_manifest().map_or_else(Vec::new, |manifest| {
        let descriptors = std::iter::once(&manifest.config).chain(&manifest.layers);
        // Foreign layers stay where their URLs point.
        let own = descriptors.filter(|descriptor| !descriptor.media_type.is_foreign());
        own.map(|descriptor| (descriptor.digest.clone(), descriptor.size)).collect()
    });
    let size = bytes.len() as u64;
    let entry = |subject: &Descriptor| {
        referrers::descriptor(document, digest, size).map(|descriptor| (subject.digest.clone(), descriptor))
    };
    let referrer = document.subject().map(entry).transpose()?;
    let media_type = document.media_type().as_str().to_owned();
    Ok(NewManifest { digest: digest.clone(), media_type, bytes, blobs, referrer, tags })
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
