//! How much an image is, and how much of it moved: what transfers report.

use std::collections::HashSet;

use dhow_base::{Kind, Result};
use dhow_content::{Copied, VerifiedDocument};
use dhow_spec::{Descriptor, Digest, Platform};
use dhow_store::Store;

use crate::select::{Fit, Platforms, Selection};

/// How much an image is, and how much of it moved. Bytes are those of blobs as they travel, compressed or not; manifests
/// and indexes are not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// What it runs on, in the order of its manifests. An artifact runs on nothing.
    pub platforms: Vec<Platform>,
    /// Number of its layers, each once.
    pub layers: usize,
    /// Bytes of its layers and configs, each once.
    pub bytes: u64,
    /// Number of the layers whose bytes moved; the others were there.
    pub layers_moved: usize,
    /// Bytes that moved.
    pub bytes_moved: u64,
}

impl Extent {
    /// Of these documents of what the store keeps as `target`.
    pub(crate) fn of(store: &Store, target: &Digest, documents: &[VerifiedDocument]) -> Result<Self> {
        let digests: HashSet<&Digest> = documents.iter().map(|document| &document.descriptor().digest).collect();
        let mut extent = Self::default();
        for manifest in store.manifests_of(target)?.into_iter().filter(|manifest| digests.contains(&manifest.digest)) {
            let platform = manifest.platform.filter(|platform| !platform.os.is_empty());
            extent.platforms.extend(platform.filter(|platform| !extent.platforms.contains(platform)));
        }
        let mut seen = HashSet::new();
        for manifest in documents.iter().filter_map(|document| document.document().as_manifest()) {
            for (blob, is_layer) in manifest.layers.iter().map(|layer| (layer, true)).chain([(&manifest.config, false)])
            {
                if seen.insert(&blob.digest) {
                    extent.layers += usize::from(is_layer);
                    extent.bytes += blob.size;
                }
            }
        }
        Ok(extent)
    }

    /// With what a copy moved.
    pub(crate) fn moved(self, copied: &Copied) -> Self {
        Self { layers_moved: copied.layers_moved, bytes_moved: copied.bytes_moved, ..self }
    }
}

/// The documents that a pull of these platforms would fetch of what the store keeps as `root`, as far as they are here.
pub(crate) fn local_documents(
    store: &Store,
    root: &Descriptor,
    platforms: &Platforms,
) -> Result<Vec<VerifiedDocument>> {
    let host = [Platform::host()];
    let wanted: &[Platform] = match platforms {
        Platforms::All => return store.documents_below(root),
        Platforms::Default => &host,
        Platforms::These(wanted) => wanted,
    };
    let document = store.document(&root.digest)?;
    if document.document().as_index().is_none() {
        return Ok(vec![document]);
    }
    let members = match Selection::new(wanted, Fit::Best, &root.digest).pick(document.document()) {
        // An index that is here as a whole does not need the host's platform to be up to date.
        Err(error) if error.kind() == Kind::NotFound => return store.documents_below(root),
        members => members?,
    };
    let mut documents = Vec::with_capacity(members.len() + 1);
    for member in &members {
        documents.extend(store.documents_below(member)?);
    }
    documents.push(document);
    Ok(documents)
}
