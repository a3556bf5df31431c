//! Manifests and tags on their way in, and tags on their way out. `docs/design/bucket.md` says why the order counts.

use std::time::{Instant, SystemTime};

use bytes::Bytes;
use dhow_base::limits::MANIFEST_BYTES_MAX;
use dhow_base::{Error, Kind, Result};
use dhow_spec::Tag;
use dhow_spec::digest::Digest;
use futures::future::ready;
use futures::stream::{StreamExt as _, TryStreamExt as _};

use super::objects::{Look, Read};
use super::record::{self, HEAD_BYTES_MAX, Link, ManifestHead};
use super::{AT_ONCE, BELIEVED, Bucket, serial};
use crate::name::RepositoryName;
use crate::route::ManifestName;
use crate::storage::{Key, ManifestPut, NewManifest, NewTag, Prefix, Storage as _};

impl Bucket {
    /// As [`Storage::put_manifest`](crate::storage::Storage::put_manifest).
    pub(super) async fn store_manifest(
        &self,
        repository: &RepositoryName,
        manifest: NewManifest,
    ) -> Result<ManifestPut> {
        for new in manifest.tags.iter().filter(|new| !new.may_move) {
            match self.tag(repository, &new.tag).await? {
                Some(current) if current != manifest.digest => {
                    return Ok(ManifestPut::Taken(new.tag.clone(), current));
                }
                _ => {}
            }
        }
        if let Some(put) = self.retag(repository, &manifest).await? {
            return Ok(put);
        }
        if let Some((subject, descriptor)) = &manifest.referrer {
            let key = Key::referrer(repository, subject, &manifest.digest);
            self.objects().put(key.as_str(), descriptor.clone()).await?;
        }
        let key = Key::manifest(repository, &manifest.digest);
        let mut head = ManifestHead { media_type: Some(manifest.media_type), push: serial()?, going: None };
        let bytes = record::write(&head, &manifest.bytes)?;
        let begun = Instant::now();
        let version = self.objects().put(key.as_str(), bytes.clone()).await?;
        let needed: Vec<&Digest> = manifest.blobs.iter().map(|(digest, _)| digest).collect();
        // In this order: what is there after no collection is at it any more stays, because the manifest is seen by the
        // next. So blobs are looked for last, and what was written goes again if one is not there.
        let is_untouched = self.inner.gate.pass(self.objects(), &needed).await?;
        let mut problem = self.check_blobs(repository, &manifest.blobs).await?;
        if problem.is_none() && !is_untouched {
            problem = self.check_content(repository, &manifest.blobs).await?;
        }
        if let Some(problem) = problem {
            self.inner.cache.forget(key.as_str());
            // A push of the same manifest that came later has put its own record there, and stands for it.
            head.media_type = None;
            match self.objects().replace(key.as_str(), record::write(&head, b"")?, &version).await {
                Err(error) if error.kind() != Kind::Conflict => return Err(error),
                _ => return Ok(problem),
            }
        }
        self.inner.cache.keep(key.as_str(), Read { bytes, version, changed: SystemTime::now() }, begun);
        self.inner.cache.note_proven(key.as_str());
        let taken = self.set_tags(repository, &manifest.digest, &manifest.tags).await?;
        Ok(taken.unwrap_or(ManifestPut::Stored))
    }

    /// Looks whether a repository has what a manifest needs; if not, says how the push ends.
    async fn check_blobs(&self, repository: &RepositoryName, blobs: &[(Digest, u64)]) -> Result<Option<ManifestPut>> {
        let look = |(digest, stated): (Digest, u64)| async move {
            Ok::<_, Error>(match self.link(repository, &digest).await? {
                Some((link, _)) if link.size == stated => None,
                Some((link, _)) => Some(ManifestPut::Differs { digest, stated, actual: link.size }),
                None => Some(ManifestPut::Lacks(digest)),
            })
        };
        let looks = futures::stream::iter(blobs.to_vec()).map(look).buffered(AT_ONCE);
        looks.try_filter_map(|problem| ready(Ok(problem))).boxed().try_next().await
    }

    /// As [`Bucket::check_blobs`], after a collection: the content is looked for as well.
    async fn check_content(&self, repository: &RepositoryName, blobs: &[(Digest, u64)]) -> Result<Option<ManifestPut>> {
        for (digest, _) in blobs {
            let is_there = match self.link(repository, digest).await? {
                Some((Link { at: Some(at), .. }, _)) => self.objects().size(&at).await?.is_some(),
                Some((Link { at: None, .. }, _)) => true,
                None => false,
            };
            if !is_there {
                return Ok(Some(ManifestPut::Lacks(digest.clone())));
            }
        }
        Ok(None)
    }

    /// Sets tags. Returns one that may not be moved and stands for something else, with what that is.
    async fn set_tags(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        tags: &[NewTag],
    ) -> Result<Option<ManifestPut>> {
        for new in tags {
            let key = Key::tag(repository, &new.tag);
            let bytes = Bytes::copy_from_slice(digest.as_str().as_bytes());
            if new.may_move {
                self.objects().put(key.as_str(), bytes).await?;
                continue;
            }
            match self.objects().create(key.as_str(), bytes).await {
                Ok(_) => {}
                Err(error) if error.kind() == Kind::Conflict => match self.tag(repository, &new.tag).await? {
                    Some(current) if current != *digest => {
                        return Ok(Some(ManifestPut::Taken(new.tag.clone(), current)));
                    }
                    _ => {}
                },
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// A manifest that is known to be there and whole needs only its tags. Returns nothing when it is not known, or has gone.
    async fn retag(&self, repository: &RepositoryName, manifest: &NewManifest) -> Result<Option<ManifestPut>> {
        let key = Key::manifest(repository, &manifest.digest);
        let known = self.inner.cache.entry(key.as_str());
        let Some(known) = known.filter(|known| known.is_proven && !manifest.tags.is_empty()) else { return Ok(None) };
        let (head, _) = record::read::<ManifestHead>(key.as_str(), &known.read.bytes)?;
        if head.media_type.as_deref() != Some(manifest.media_type.as_str()) {
            return Ok(None);
        }
        if let Some(taken) = self.set_tags(repository, &manifest.digest, &manifest.tags).await? {
            return Ok(Some(taken));
        }
        // The tags are written: who deletes the manifest waits this long before it does, and looks for tags then.
        let is_believed = known.seen.is_some_and(|seen| seen.elapsed() < BELIEVED);
        if is_believed || self.objects().is_alone() {
            return Ok(Some(ManifestPut::Stored));
        }
        // In this order: who deletes a manifest looks for its tags afterwards, and so one of the two sees the other.
        let (version, begun) = (&known.read.version, Instant::now());
        match self.objects().look(key.as_str(), Some(version), MANIFEST_BYTES_MAX + HEAD_BYTES_MAX).await? {
            Look::Unchanged => {
                self.inner.cache.note_seen(key.as_str(), begun);
                Ok(Some(ManifestPut::Stored))
            }
            Look::Missing | Look::Changed(_) => {
                self.inner.cache.forget(key.as_str());
                Ok(None)
            }
        }
    }

    /// The tags that stand for a digest.
    async fn tags_of(&self, repository: &RepositoryName, digest: &Digest) -> Result<Vec<Tag>> {
        let tags = self.objects().list(Prefix::tags(repository).as_str(), None);
        let tags = tags.try_filter_map(|listed| async move {
            Ok(listed.key.rsplit_once('/').and_then(|(_, name)| Tag::parse(name).ok()))
        });
        let looked = tags.map_ok(|tag| async move {
            let current = self.tag(repository, &tag).await?;
            Ok::<_, Error>((current.as_ref() == Some(digest)).then_some(tag))
        });
        looked.try_buffered(AT_ONCE).try_filter_map(|tag| ready(Ok(tag))).boxed().try_collect().await
    }

    /// Says that a manifest is being deleted: from then on no server believes that it is there because it has seen it. Returns
    /// whether it was there. A push in full takes the saying back.
    pub(super) async fn begin_deletion(&self, repository: &RepositoryName, digest: &Digest) -> Result<bool> {
        let key = Key::manifest(repository, digest);
        let Some(read) = self.objects().get(key.as_str(), MANIFEST_BYTES_MAX + HEAD_BYTES_MAX).await? else {
            return Ok(false);
        };
        let (head, bytes) = record::read::<ManifestHead>(key.as_str(), &read.bytes)?;
        if head.media_type.is_none() {
            return Ok(false);
        }
        if self.objects().is_alone() {
            self.objects().delete(key.as_str()).await?;
        } else {
            let going = ManifestHead { going: Some(serial()?), ..head };
            self.objects().put(key.as_str(), record::write(&going, &bytes)?).await?;
        }
        self.inner.cache.forget(key.as_str());
        Ok(true)
    }

    /// Deletes a manifest once no server believes any more that it is there, unless it was pushed anew.
    pub(super) async fn end_deletion(&self, repository: &RepositoryName, digest: &Digest) -> Result<()> {
        if self.objects().is_alone() {
            return Ok(());
        }
        let key = Key::manifest(repository, digest);
        loop {
            let Some(going) = self.going(key.as_str()).await? else { return Ok(()) };
            tokio::time::sleep(BELIEVED + BELIEVED / 10).await;
            // Another one may be of a deletion that came after a push in full, whose server still believes.
            if self.going(key.as_str()).await?.as_ref() == Some(&going) {
                break;
            }
        }
        self.objects().delete(key.as_str()).await?;
        self.inner.cache.forget(key.as_str());
        for tag in self.tags_of(repository, digest).await? {
            self.delete_late_tag(repository, &tag, digest).await?;
        }
        Ok(())
    }

    /// Which deletion of a manifest is under way.
    async fn going(&self, key: &str) -> Result<Option<String>> {
        let Some(read) = self.objects().get(key, MANIFEST_BYTES_MAX + HEAD_BYTES_MAX).await? else { return Ok(None) };
        Ok(record::read::<ManifestHead>(key, &read.bytes)?.0.going)
    }

    /// Deletes a tag that was set while its manifest was being deleted, by a server that believed it to be there.
    async fn delete_late_tag(&self, repository: &RepositoryName, tag: &Tag, digest: &Digest) -> Result<()> {
        let name = ManifestName::Digest(digest.clone());
        if self.manifest(repository, &name).await?.is_some() {
            return Ok(());
        }
        let key = Key::tag(repository, tag);
        self.objects().delete(key.as_str()).await?;
        self.inner.cache.forget(key.as_str());
        // Pushed anew just now, it had the tag set behind it, which may have been the one that went.
        if self.manifest(repository, &name).await?.is_some() {
            match self.objects().create(key.as_str(), Bytes::copy_from_slice(digest.as_str().as_bytes())).await {
                Err(error) if error.kind() != Kind::Conflict => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}
