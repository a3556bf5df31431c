//! The files that list what is in an archive: OCI's `index.json` and docker's `manifest.json`.

use std::collections::HashMap;

use dhow_base::{Error, Kind, Result};
use dhow_spec::layout::blob_path;
use dhow_spec::{Digest, Document, ImageIndex, ImageManifest};
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
    let mut entries = Vec::new();
    for image in images {
        let chosen = image.manifest.as_ref().unwrap_or(&image.root);
        let Some(manifest) = manifests.get(&chosen.digest).filter(|manifest| manifest.is_image()) else { continue };
        let tags = image.names.iter().filter(|name| name.tag().is_some());
        let tags: Vec<String> = tags.map(|name| if full_names { in_full(name) } else { tag_text(name) }).collect();
        entries.push(Entry {
            config: blob_path(&manifest.config.digest),
            repo_tags: (!tags.is_empty()).then_some(tags),
            layers: manifest.layers.iter().map(|layer| blob_path(&layer.digest)).collect(),
        });
    }
    serde_json::to_vec(&entries)
        .map_err(|error| Error::new(Kind::Internal, format!("cannot write manifest.json: {error}")))
}

fn in_full(name: &dhow_spec::Reference) -> String {
    let tag = name.tag().map(|tag| format!(":{tag}")).unwrap_or_default();
    format!("{}{tag}", name.repository())
}

/// The familiar name with its tag; a digest beside it has no place in `RepoTags`.
fn tag_text(name: &dhow_spec::Reference) -> String {
    let tag = name.tag().map(|tag| format!(":{tag}")).unwrap_or_default();
    format!("{}{tag}", name.repository().familiar())
}
