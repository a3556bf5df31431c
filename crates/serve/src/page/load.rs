//! Reading what a page shows.

use dhow_base::limits::MANIFEST_BYTES_MAX;
use dhow_spec::{Digest, Document, ImageConfig, ImageIndex, MediaType, Tag};
use futures::future::join_all;

use super::READS_AT_ONCE;
use super::index::{Entries, Entry};
use super::summary::{Summary, is_image_entry};
use crate::failure::Outcome;
use crate::manifests::{RECORD_BYTES_MAX, SMALL_BYTES};
use crate::name::RepositoryName;
use crate::registry::Registry;
use crate::storage::{Key, Storage};

/// Longer configs are not read for a page, in bytes: none of a real image is.
const CONFIG_SHOWN_BYTES_MAX: u64 = 1 << 20;

impl<S: Storage> Registry<S> {
    /// A manifest or index that the repository has.
    pub(super) async fn document(&self, repository: &RepositoryName, digest: &Digest) -> Outcome<Option<Document>> {
        let Some(size) = self.storage.size(&Key::content(digest)).await? else { return Ok(None) };
        let _slot = if size > SMALL_BYTES { self.large_manifests.acquire().await.ok() } else { None };
        self.read_document(repository, digest).await
    }

    /// The same, but nothing for one so large that several at once would take much memory.
    async fn small_document(&self, repository: &RepositoryName, digest: &Digest) -> Outcome<Option<Document>> {
        match self.storage.size(&Key::content(digest)).await? {
            Some(size) if size <= SMALL_BYTES => self.read_document(repository, digest).await,
            _ => Ok(None),
        }
    }

    async fn read_document(&self, repository: &RepositoryName, digest: &Digest) -> Outcome<Option<Document>> {
        let record = self.storage.get(&Key::manifest(repository, digest), RECORD_BYTES_MAX).await?;
        let Some(record) = record else { return Ok(None) };
        let Some(bytes) = self.storage.get(&Key::content(digest), MANIFEST_BYTES_MAX).await? else { return Ok(None) };
        let media_type = MediaType::parse(&String::from_utf8_lossy(&record));
        // It was parsed when it was pushed.
        Ok(Document::parse(bytes.to_vec(), &media_type).ok())
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
        if self.storage.size(&Key::blob(repository, &config.digest)).await?.is_none() {
            return Ok(None);
        }
        let bytes = self.storage.get(&Key::content(&config.digest), CONFIG_SHOWN_BYTES_MAX).await?;
        Ok(bytes.and_then(|bytes| ImageConfig::parse(&bytes).ok()))
    }

    /// What a tag stands for; nothing when its manifest is missing.
    pub(super) async fn summary_of_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Outcome<Option<(Digest, Summary)>> {
        let Some(digest) = self.tagged(repository, tag).await? else { return Ok(None) };
        let Some(document) = self.small_document(repository, &digest).await? else {
            let is_there = self.storage.size(&Key::manifest(repository, &digest)).await?.is_some();
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
        let Some(document) = self.small_document(repository, &entry.digest).await? else { return Ok(None) };
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
                let document = document?;
                let is_here = match &document {
                    Some(_) => true,
                    None => self.storage.size(&Key::manifest(repository, &descriptor.digest)).await?.is_some(),
                };
                let manifest = document.as_ref().and_then(Document::as_manifest).cloned();
                entries.entries.push(Entry { descriptor: descriptor.clone(), manifest, is_here });
            }
        }
        Ok(entries)
    }
}
