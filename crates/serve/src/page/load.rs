//! Reading what a page shows.

use dhow_base::limits::MANIFEST_BYTES_MAX;
use dhow_spec::{Digest, Document, ImageConfig, ImageIndex, MediaType, Tag};
use futures::future::join_all;

use super::READS_AT_ONCE;
use super::index::{Entries, Entry};
use super::summary::{Summary, is_image_entry};
use crate::failure::Outcome;
use crate::manifests::SMALL_BYTES;
use crate::name::RepositoryName;
use crate::registry::Registry;
use crate::route::ManifestName;
use crate::storage::{Manifest, Storage};

/// Longer configs are not read for a page, in bytes: none of a real image is.
const CONFIG_SHOWN_BYTES_MAX: u64 = 1 << 20;

impl<S: Storage> Registry<S> {
    /// A manifest or index that the repository has.
    pub(super) async fn document(&self, repository: &RepositoryName, digest: &Digest) -> Outcome<Option<Document>> {
        let Some(manifest) = self.manifest(repository, digest).await? else { return Ok(None) };
        let is_large = manifest.object.size > SMALL_BYTES;
        let _slot = if is_large { self.large_manifests.acquire().await.ok() } else { None };
        parsed(manifest).await
    }

    /// The same, but nothing for one so large that several at once would take much memory; and whether it is there.
    async fn small_document(&self, repository: &RepositoryName, digest: &Digest) -> Outcome<(Option<Document>, bool)> {
        match self.manifest(repository, digest).await? {
            Some(manifest) if manifest.object.size <= SMALL_BYTES => Ok((parsed(manifest).await?, true)),
            manifest => Ok((None, manifest.is_some())),
        }
    }

    async fn manifest(&self, repository: &RepositoryName, digest: &Digest) -> Outcome<Option<Manifest>> {
        Ok(self.storage.manifest(repository, &ManifestName::Digest(digest.clone())).await?)
    }

    /// The config of an image; nothing for what is no image, and for a config that cannot be read.
    pub(super) async fn image_config(
        &self,
        repository: &RepositoryName,
        document: &Document,
    ) -> Outcome<Option<ImageConfig>> {
        let Some(manifest) = document.as_manifest().filter(|manifest| manifest.is_image()) else { return Ok(None) };
        let config = &manifest.config;
        if config.size > CONFIG_SHOWN_BYTES_MAX {
            return Ok(None);
        }
        // The blob is the repository's own: the rules let its readers see it.
        let Some(object) = self.storage.blob(repository, &config.digest).await? else { return Ok(None) };
        Ok(ImageConfig::parse(&object.whole(CONFIG_SHOWN_BYTES_MAX).await?).ok())
    }

    /// What a tag stands for; nothing when its manifest is missing.
    pub(super) async fn summary_of_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Outcome<Option<(Digest, Summary)>> {
        let Some(digest) = self.storage.tag(repository, tag).await? else { return Ok(None) };
        let (document, is_there) = self.small_document(repository, &digest).await?;
        let Some(document) = document else {
            return Ok(is_there.then(|| (digest, Summary::default())));
        };
        let config = self.image_config(repository, &document).await?;
        let mut summary = Summary::of(&document, config.as_ref());
        summary.day = match document.as_index() {
            Some(index) => self.day_of_index(repository, index).await?,
            None => summary.day,
        };
        Ok(Some((digest, summary)))
    }

    /// When the first image of an index was made; its others are of the same build.
    async fn day_of_index(&self, repository: &RepositoryName, index: &ImageIndex) -> Outcome<Option<String>> {
        let Some(entry) = index.manifests.iter().find(|entry| is_image_entry(entry)) else { return Ok(None) };
        let (Some(document), _) = self.small_document(repository, &entry.digest).await? else { return Ok(None) };
        let config = self.image_config(repository, &document).await?;
        Ok(Summary::of(&document, config.as_ref()).day)
    }

    /// The first entries of an index, and what they point to.
    pub(super) async fn entries(
        &self,
        repository: &RepositoryName,
        index: &ImageIndex,
        entries_max: usize,
    ) -> Outcome<Entries> {
        let shown = &index.manifests[..index.manifests.len().min(entries_max)];
        let mut entries = Entries { entries: Vec::new(), more: index.manifests.len() - shown.len() };
        for descriptors in shown.chunks(READS_AT_ONCE) {
            let read = descriptors.iter().map(|descriptor| self.small_document(repository, &descriptor.digest));
            for (descriptor, document) in descriptors.iter().zip(join_all(read).await) {
                let (document, is_here) = document?;
                let manifest = document.as_ref().and_then(Document::as_manifest).cloned();
                entries.entries.push(Entry { descriptor: descriptor.clone(), manifest, is_here });
            }
        }
        Ok(entries)
    }
}

/// It was parsed when it was pushed; what cannot be read now is as good as not there.
async fn parsed(manifest: Manifest) -> Outcome<Option<Document>> {
    let media_type = MediaType::parse(&manifest.media_type);
    let bytes = manifest.object.whole(MANIFEST_BYTES_MAX).await?;
    Ok(Document::parse(bytes.to_vec(), &media_type).ok())
}
