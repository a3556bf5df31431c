//! Docker archives with a `manifest.json`: docker since 1.10, podman, skopeo, bazel, kaniko and others.

use std::path::Path;

use dhow_base::{Error, Kind, Result, limits};
use dhow_content::LocalBlob;
use dhow_spec::json::parse_strict;
use dhow_spec::{Descriptor, Digest, Document, ImageConfig, ImageManifest, MediaType, Reference};
use serde::Deserialize;

use super::layers::{Layer, LayerTable};
use super::{DOCKER_MANIFEST_FILE, Made};
use crate::image::ArchiveImage;
use crate::local::read_all;
use crate::members::Members;
use crate::names::is_bare;

/// One entry of `manifest.json`, with the fields docker reads.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
    /// What Docker's own store (25 to 28) says of each layer; nobody else writes it.
    #[serde(default)]
    layer_sources: Option<serde::de::IgnoredAny>,
}

/// Whether the archive is of Docker's own store, which keeps no manifests: what it has of them was made for it.
pub(super) fn is_of_own_store(members: &Members) -> bool {
    let read = |file| read_all(&file, DOCKER_MANIFEST_FILE, limits::MANIFEST_BYTES_MAX);
    let entries = members.find(DOCKER_MANIFEST_FILE).and_then(read).and_then(|bytes| parse_entries(&bytes));
    entries.is_ok_and(|entries| entries.iter().any(|entry| entry.layer_sources.is_some()))
}

/// The images of a docker archive, with manifests made for them.
pub(super) fn images(members: &Members, spool_dir: &Path) -> Result<(Vec<ArchiveImage>, Made)> {
    let bytes = read_all(&members.find(DOCKER_MANIFEST_FILE)?, DOCKER_MANIFEST_FILE, limits::MANIFEST_BYTES_MAX)?;
    let entries = parse_entries(&bytes)?;
    let mut configs = Vec::with_capacity(entries.len());
    let mut table = LayerTable::new(members, spool_dir);
    for entry in &entries {
        let config = Config::read(members, entry)?;
        let paths = entry.layers.as_deref().unwrap_or_default();
        let (expected, found) = (paths.len(), config.parsed.rootfs.diff_ids.len());
        if expected != found {
            let message = format!("invalid manifest, layers length mismatch: expected {expected}, got {found}");
            return Err(Error::new(Kind::Corrupt, message));
        }
        for (number, (path, diff_id)) in paths.iter().zip(&config.parsed.rootfs.diff_ids).enumerate() {
            table.add(number, path, diff_id)?;
        }
        configs.push(config);
    }
    table.work_out_digests()?;
    let mut made = Made::default();
    let mut images: Vec<ArchiveImage> = Vec::new();
    for (entry, config) in entries.iter().zip(configs) {
        let paths = entry.layers.as_deref().unwrap_or_default();
        let layers: Vec<Layer> = paths
            .iter()
            .zip(&config.parsed.rootfs.diff_ids)
            .map(|(path, id)| table.layer(path, id))
            .collect::<Result<_>>()?;
        let root = made.image(config.descriptor(), layers)?;
        made.blobs.insert(config.digest, config.blob);
        let names = names(entry)?;
        match images.iter_mut().find(|image| image.root.digest == root.digest) {
            Some(image) => {
                image.bare_names.extend(names.iter().filter(|(_, is_bare)| *is_bare).map(|(name, _)| name.clone()));
                image.names.extend(names.into_iter().map(|(name, _)| name));
            }
            None => images.push(ArchiveImage {
                root,
                bare_names: names.iter().filter(|(_, is_bare)| *is_bare).map(|(name, _)| name.clone()).collect(),
                names: names.into_iter().map(|(name, _)| name).collect(),
                labels: Vec::new(),
            }),
        }
    }
    Ok((images, made))
}

fn parse_entries(bytes: &[u8]) -> Result<Vec<Entry>> {
    let value = parse_strict(bytes).map_err(|error| Error::from(error).context(DOCKER_MANIFEST_FILE))?;
    let entries: Vec<Entry> = serde_json::from_value(value).map_err(|error| {
        Error::new(Kind::Corrupt, format!("{DOCKER_MANIFEST_FILE} in the archive is invalid: {error}"))
    })?;
    let layers: usize = entries.iter().map(|entry| entry.layers.as_ref().map_or(0, Vec::len)).sum();
    if entries.len() > limits::DESCRIPTORS_MAX || layers > limits::DESCRIPTORS_MAX * 10 {
        return Err(Error::new(Kind::LimitExceeded, format!("{DOCKER_MANIFEST_FILE} lists too many images")));
    }
    if entries.is_empty() {
        return Err(Error::new(Kind::Invalid, "the archive holds no images"));
    }
    Ok(entries)
}

/// The names, and whether each is without a registry in the archive.
fn names(entry: &Entry) -> Result<Vec<(Reference, bool)>> {
    let tags = entry.repo_tags.as_deref().unwrap_or_default();
    tags.iter()
        .filter(|tag| !tag.is_empty())
        .map(|tag| match Reference::parse(tag) {
            Ok(reference) => {
                let is_bare = is_bare(&reference, tag);
                Ok((reference.with_default_tag(), is_bare))
            }
            Err(error) => Err(Error::from(error).context(format_args!("invalid tag {tag:?}"))),
        })
        .collect()
}

/// An image config in the archive: its exact bytes make the image ID.
struct Config {
    digest: Digest,
    parsed: ImageConfig,
    blob: LocalBlob,
}

impl Config {
    fn read(members: &Members, entry: &Entry) -> Result<Self> {
        let blob = members.find(&entry.config)?;
        let bytes = read_all(&blob, &entry.config, limits::CONFIG_BYTES_MAX)?;
        let parsed = ImageConfig::parse(&bytes)
            .map_err(|error| Error::from(error).context(format_args!("{:?}", entry.config)))?;
        Ok(Self { digest: Digest::sha256(&bytes), parsed, blob })
    }

    fn descriptor(&self) -> Descriptor {
        Descriptor::new(MediaType::DockerConfig, self.digest.clone(), self.blob.length)
    }
}

impl Made {
    /// Makes and keeps the manifest of an image: always the same bytes for the same config and layers.
    ///
    /// It is docker's, unless a layer is compressed with zstd, for which docker's format has no type.
    pub(super) fn image(&mut self, mut config: Descriptor, layers: Vec<Layer>) -> Result<Descriptor> {
        let docker = layers.iter().all(|layer| layer.media_type(true).is_some());
        let descriptors = layers
            .iter()
            .map(|layer| {
                let media_type = layer.media_type(docker).ok_or_else(|| layer.unsupported())?;
                Ok(Descriptor::new(media_type, layer.digest.clone(), layer.blob.length))
            })
            .collect::<Result<_>>()?;
        config.media_type = if docker { MediaType::DockerConfig } else { MediaType::OciConfig };
        self.blobs.extend(layers.iter().map(|layer| (layer.digest.clone(), layer.blob.clone())));
        let mut manifest = ImageManifest::new(config, descriptors);
        manifest.media_type = if docker { MediaType::DockerManifest } else { MediaType::OciManifest };
        let document = Document::from_manifest(manifest)?;
        let root = document.descriptor();
        self.documents.insert(root.digest.clone(), document.bytes().to_vec().into());
        self.layers.insert(root.digest.clone(), layers);
        Ok(root)
    }
}
