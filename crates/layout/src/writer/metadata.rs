//! The files that list what is in an archive: OCI's `index.json`, docker's `manifest.json` and its older `repositories`.

use std::collections::{BTreeMap, HashMap};

use dhow_base::{Error, Kind, Result};
use dhow_spec::layout::blob_path;
use dhow_spec::{Digest, Document, ImageIndex, ImageManifest, Reference};
use serde::Serialize;

use crate::image::SavedImage;
use crate::names::{labelled, named, unnamed};

/// An entry of `manifest.json`, in docker's order of fields.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// `index.json`: one entry for each name, one for an image without any.
pub(super) fn index(images: &[SavedImage]) -> Result<Vec<u8>> {
    let mut entries = Vec::new();
    for image in images {
        if image.names.is_empty() && image.labels.is_empty() {
            entries.push(unnamed(&image.root));
        }
        entries.extend(image.labels.iter().map(|label| labelled(&image.root, label)));
        entries.extend(image.names.iter().map(|name| named(&image.root, name)));
    }
    let document = Document::from_index(ImageIndex::new(entries))?;
    Ok(document.bytes().to_vec())
}

/// `manifest.json`: each image as readers without manifests and indexes see it. What is no image is left out.
pub(super) fn docker_manifest(
    images: &[SavedImage],
    manifests: &HashMap<Digest, ImageManifest>,
    full_names: bool,
) -> Result<Vec<u8>> {
    let entries = seen(images, manifests).map(|(image, manifest)| {
        let tags =
            image.names.iter().filter_map(|name| Some(format!("{}:{}", repository(name, full_names), name.tag()?)));
        let tags: Vec<String> = tags.collect();
        Entry {
            config: blob_path(&manifest.config.digest),
            repo_tags: (!tags.is_empty()).then_some(tags),
            layers: manifest.layers.iter().map(|layer| blob_path(&layer.digest)).collect(),
        }
    });
    json("manifest.json", &entries.collect::<Vec<_>>())
}

/// `repositories`: the layer on top of each image, by repository and tag. Docker, podman and skopeo still write it, though none reads it beside
/// `manifest.json`, and scripts look up there what an archive has (Galaxy's, for one). Nothing where no image has a name.
pub(super) fn repositories(
    images: &[SavedImage],
    manifests: &HashMap<Digest, ImageManifest>,
    full_names: bool,
) -> Result<Option<Vec<u8>>> {
    let mut repositories: BTreeMap<String, BTreeMap<&str, &str>> = BTreeMap::new();
    for (image, manifest) in seen(images, manifests) {
        let Some(top) = manifest.layers.last() else { continue };
        for name in &image.names {
            let Some(tag) = name.tag() else { continue };
            repositories.entry(repository(name, full_names)).or_default().insert(tag.as_str(), top.digest.hex());
        }
    }
    if repositories.is_empty() { Ok(None) } else { json("repositories", &repositories).map(Some) }
}

/// Those of which there is something to see without manifests and indexes.
fn seen<'i>(
    images: &'i [SavedImage],
    manifests: &'i HashMap<Digest, ImageManifest>,
) -> impl Iterator<Item = (&'i SavedImage, &'i ImageManifest)> {
    images.iter().filter_map(|image| {
        let chosen = image.manifest.as_ref().unwrap_or(&image.root);
        let manifest = manifests.get(&chosen.digest).filter(|manifest| manifest.is_image())?;
        Some((image, manifest))
    })
}

fn json(file: &str, value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::new(Kind::Internal, format!("cannot write {file}: {error}")))
}

/// The name of the repository, the familiar one unless it is to have its registry; a digest beside it has no place here.
fn repository(name: &Reference, full_names: bool) -> String {
    if full_names { name.repository().to_string() } else { name.repository().familiar().to_string() }
}
